// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.singleflightd.Audience;
import io.singleflightd.ChunkListener;
import io.singleflightd.Codec;
import io.singleflightd.DoOptions;
import io.singleflightd.FunctionException;
import io.singleflightd.Leader;
import io.singleflightd.Result;
import io.singleflightd.SingleflightClient;
import io.singleflightd.StatusException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Base64;
import java.util.HexFormat;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/** One call: runs the function that the command describes, and tells what happens to the call. */
final class DrivenCall implements ChunkListener {
  private static final int PIECE_BYTES = 64 * 1024;

  private final Driver driver;
  private final String name;
  private final JsonArray function;
  private final AtomicBoolean lostTold = new AtomicBoolean();
  private final CompletableFuture<Void> functionEnded = new CompletableFuture<>();
  private volatile boolean functionBegan;
  private CompletableFuture<Result<byte[]>> future;
  private boolean live;
  private MessageDigest chunks = sha256();
  private long chunksBytes;

  DrivenCall(Driver driver, String name, JsonElement function) {
    this.driver = driver;
    this.name = name;
    this.function = function == null ? new JsonArray() : function.getAsJsonArray();
  }

  void start(SingleflightClient client, byte[] key, DoOptions options, boolean isLive) {
    live = isLive;
    future =
        isLive
            ? client.callLive(key, options, Codec.BYTES, this::run, this)
            : client.callAsync(key, options, Codec.BYTES, this::run);
    future.whenComplete(
        (result, thrown) -> {
          if (functionBegan) { // what it has to tell comes first
            functionEnded.thenRun(() -> emitDone(result, thrown));
          } else {
            emitDone(result, thrown);
          }
        });
  }

  void await() {
    future.handle((result, thrown) -> null).join();
  }

  void cancel() {
    future.cancel(true);
  }

  // ---- the function ----

  private byte[] run(Leader leader) throws Exception {
    functionBegan = true;
    JsonObject begins = event("lead");
    begins.addProperty("token", Long.toUnsignedString(leader.token()));
    begins.addProperty("attempt", leader.attempt());
    driver.emit(begins);
    CompletableFuture<Void> lost = new CompletableFuture<>();
    leader.onLost(
        reason -> {
          tellLost();
          lost.complete(null);
        });
    try {
      for (JsonElement action : function) {
        act(leader, lost, action.getAsJsonObject());
      }
      return null;
    } finally {
      if (leader.isLost()) {
        tellLost();
      }
      functionEnded.complete(null);
    }
  }

  private void tellLost() {
    if (lostTold.compareAndSet(false, true)) {
      driver.emit(event("lost"));
    }
  }

  private void act(Leader leader, CompletableFuture<Void> lost, JsonObject action)
      throws InterruptedException {
    String kind = action.keySet().iterator().next();
    JsonElement what = action.get(kind);
    switch (kind) {
      case "write_b64" -> leader.write(Driver.bytes(what));
      case "fill" -> fill(leader, what.getAsJsonObject());
      case "wait" -> {
        // An interrupt says that the lead is lost, too.
        CompletableFuture.anyOf(driver.signal(what.getAsString()), lost).join();
        if (leader.isLost()) {
          throw FunctionException.abandoned("the lead is lost");
        }
      }
      case "wait_lost" -> lost.join();
      case "wait_audience" -> awaitAudience(leader, what.getAsInt());
      case "ok" -> {
        if (action.has("retain_ms")) {
          leader.retain(Duration.ofMillis(action.get("retain_ms").getAsLong()));
        }
      }
      case "error" -> throw errorOf(leader, what.getAsJsonObject());
      case "panic" -> throw new Error(what.getAsString());
      case "abandon" -> {
        passOnIfAsked(leader, what.getAsJsonObject());
        throw FunctionException.abandoned("given up");
      }
      default -> throw new IllegalArgumentException("an unknown action: " + action);
    }
  }

  private static void fill(Leader leader, JsonObject fill) throws InterruptedException {
    int size = fill.get("bytes").getAsInt();
    int seed = fill.get("seed").getAsInt();
    for (int at = 0; at < size; at += PIECE_BYTES) {
      byte[] piece = new byte[Math.min(PIECE_BYTES, size - at)];
      for (int i = 0; i < piece.length; i++) {
        int place = at + i;
        piece[i] = (byte) (seed + place * 31 + (place >> 8) * 17);
      }
      leader.write(piece);
    }
  }

  private static void awaitAudience(Leader leader, int count) throws InterruptedException {
    while (leader.audience().map(Audience::followers).orElse(0) < count && !leader.isLost()) {
      TimeUnit.MILLISECONDS.sleep(1);
    }
  }

  private static FunctionException errorOf(Leader leader, JsonObject error) {
    passOnIfAsked(leader, error);
    FunctionException.Builder builder =
        FunctionException.error(error.has("message") ? error.get("message").getAsString() : "");
    if (error.has("code")) {
      builder.code(error.get("code").getAsInt());
    }
    if (error.has("type")) {
      builder.type(error.get("type").getAsString());
    }
    if (error.has("details_b64")) {
      builder.details(Driver.bytes(error.get("details_b64")));
    }
    return builder.build();
  }

  private static void passOnIfAsked(Leader leader, JsonObject end) {
    if (end.has("pass_on") && end.get("pass_on").getAsBoolean()) {
      leader.passOn();
    }
  }

  // ---- live ----

  @Override
  public void onChunk(byte[] bytes) {
    chunks.update(bytes);
    chunksBytes += bytes.length;
    JsonObject chunk = event("chunk");
    chunk.addProperty("bytes", bytes.length);
    driver.emit(chunk);
  }

  @Override
  public void onRestart(int attempt) {
    chunks = sha256();
    chunksBytes = 0;
    JsonObject restart = event("restart");
    restart.addProperty("attempt", attempt);
    driver.emit(restart);
  }

  // ---- the end ----

  private void emitDone(Result<byte[]> result, Throwable thrown) {
    Throwable cause = thrown instanceof CompletionException ? thrown.getCause() : thrown;
    if (result != null) {
      emitDone("OK", null, result);
    } else if (cause instanceof FunctionException failure) {
      emitDone(failure.kind().name(), failure, failure.result());
    } else if (cause instanceof StatusException status) {
      emitDone(status);
    } else if (cause instanceof CancellationException) {
      emitStatus("CANCELLED", "the call was cancelled by its own program");
    } else {
      emitStatus("UNKNOWN", String.valueOf(cause));
    }
  }

  void emitDone(StatusException status) {
    emitStatus(status.code().name(), status.getMessage());
  }

  void emitRefused(IllegalArgumentException refused) {
    emitStatus("INVALID_ARGUMENT", refused.getMessage());
  }

  private void emitStatus(String status, String message) {
    JsonObject done = event("done");
    done.addProperty("status", status);
    done.addProperty("message", message);
    done.addProperty("outcome", "");
    emitWithChunks(done);
  }

  private void emitDone(String outcome, FunctionException failure, Result<byte[]> facts) {
    JsonObject done = event("done");
    done.addProperty("status", "OK");
    done.addProperty("outcome", outcome);
    done.addProperty("message", failure == null ? "" : failure.getMessage());
    done.addProperty("code", failure == null ? 0 : failure.code());
    done.addProperty("type", failure == null ? "" : failure.type());
    done.addProperty("has_stack", failure != null && !failure.stack().isEmpty());
    done.addProperty("details_b64", base64(failure == null ? new byte[0] : failure.details()));
    done.addProperty("value_bytes", facts.value().length);
    done.addProperty("value_sha256", hex(sha256().digest(facts.value())));
    done.addProperty("led", facts.led());
    done.addProperty("shared", facts.shared());
    done.addProperty("callers", facts.callers());
    done.addProperty("attempt", facts.attempt());
    done.addProperty("token", Long.toUnsignedString(facts.token()));
    done.addProperty("retained", facts.retained());
    done.addProperty("retain_refused", facts.retainRefused());
    done.addProperty("failed_open", facts.failedOpen());
    emitWithChunks(done);
  }

  private void emitWithChunks(JsonObject done) {
    if (live) {
      done.addProperty("chunks_sha256", hex(chunks.digest()));
      done.addProperty("chunks_bytes", chunksBytes);
    }
    driver.emit(done);
  }

  private JsonObject event(String kind) {
    JsonObject event = Driver.event(kind);
    event.addProperty("call", name);
    return event;
  }

  private static String base64(byte[] bytes) {
    return Base64.getEncoder().encodeToString(bytes);
  }

  private static String hex(byte[] bytes) {
    return HexFormat.of().formatHex(bytes);
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }
}
