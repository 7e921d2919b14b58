// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import io.singleflightd.Audience;
import io.singleflightd.ChunkListener;
import io.singleflightd.Codec;
import io.singleflightd.CodecException;
import io.singleflightd.DoOptions;
import io.singleflightd.FunctionException;
import io.singleflightd.Leader;
import io.singleflightd.LeaderFunction;
import io.singleflightd.Result;
import io.singleflightd.SingleflightClient;
import io.singleflightd.StatusException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;

/** One call: runs the function that the command describes, and tells what happens to the call. */
final class DrivenCall implements ChunkListener {
  static final Set<String> ACTIONS =
      Set.of(
          ("write_b64 fill wait wait_lost wait_audience block_ms ask_lost do_inside ok error panic"
                  + " abandon")
              .split(" "));

  private static final int PIECE_BYTES = 64 * 1024;
  private static final int STACK_CHARS_MAX = 16 * 1024;

  private final Driver driver;
  private final SingleflightClient client;
  private final String name;
  private final JsonArray function; // null: none is given
  private final Codec<byte[]> codec;
  private final boolean live;
  private final AtomicBoolean lostTold = new AtomicBoolean();
  private final CompletableFuture<Void> functionEnded = new CompletableFuture<>();
  private final CompletableFuture<Void> leftTold = new CompletableFuture<>();
  private volatile boolean functionBegan;
  private CompletableFuture<Result<byte[]>> future;
  private MessageDigest chunks = sha256();
  private long chunksBytes;

  DrivenCall(Driver driver, SingleflightClient client, JsonObject command) {
    this.driver = driver;
    this.client = client;
    name = Driver.text(command, "call");
    JsonElement given = command.get("function");
    boolean isNone = given != null && given.isJsonNull();
    function = given == null ? new JsonArray() : isNone ? null : given.getAsJsonArray();
    JsonObject options = Driver.object(command, "options");
    live = options.has("live") && options.get("live").getAsBoolean();
    codec = new OddCodec(Driver.text(options, "encode"), Driver.text(options, "decode"));
  }

  /** Bytes as they are, unless it is to fail. */
  private record OddCodec(String encodes, String decodes) implements Codec<byte[]> {
    @Override
    public byte[] encode(byte[] value) throws Exception {
      if (encodes.equals("fail")) {
        throw new IOException("this codec cannot encode");
      }
      return Codec.BYTES.encode(value);
    }

    @Override
    public byte[] decode(byte[] bytes) throws Exception {
      if (decodes.equals("fail")) {
        throw new IOException("this codec cannot decode");
      }
      return bytes;
    }
  }

  void start(byte[] key, DoOptions options) {
    LeaderFunction<byte[]> runs = function == null ? null : this::run;
    future =
        live
            ? client.callLive(key, options, codec, runs, this)
            : client.callAsync(key, options, codec, runs);
    future.whenComplete(
        (result, thrown) -> {
          // What the function has to tell comes first, if the call ends by its end.
          if (functionBegan && !hasLeft(unwrapped(thrown))) {
            functionEnded.thenRun(() -> emitDone(result, thrown));
          } else {
            emitDone(result, thrown);
            leftTold.complete(null);
          }
        });
  }

  /** The function may go on for others. */
  private static boolean hasLeft(Throwable thrown) {
    return thrown instanceof CancellationException
        || (thrown instanceof StatusException status && status.isDeadlineExceeded());
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
    CompletableFuture<StatusException> lost = new CompletableFuture<>();
    leader.onLost(
        reason -> {
          tellLost();
          lost.complete(reason);
        });
    try {
      for (JsonElement action : function) {
        act(leader, lost, action.getAsJsonObject());
      }
      if (codec instanceof OddCodec odd && odd.encodes.equals("fail")) {
        return new byte[0]; // what was written is sent as it is, and this cannot be
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

  private void act(Leader leader, CompletableFuture<StatusException> lost, JsonObject action)
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
      case "wait_lost" -> {
        if (lost.join().isDeadlineExceeded() || future.isCancelled()) {
          leftTold.join(); // what ended the call comes before what the function says after it
        }
      }
      case "block_ms" -> block(what.getAsLong());
      case "ask_lost" -> {
        JsonObject asked = event("asked");
        asked.addProperty("lost", leader.isLost());
        driver.emit(asked);
      }
      case "do_inside" -> doInside(what.getAsJsonObject());
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

  /** Does not listen to interrupts, as code that computes does not. */
  private static void block(long ms) {
    long endNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(ms);
    boolean interrupted = false;
    long leftNanos;
    while ((leftNanos = endNanos - System.nanoTime()) > 0) {
      LockSupport.parkNanos(leftNanos);
      interrupted |= Thread.interrupted();
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void doInside(JsonObject command) {
    DrivenCall inner = driver.start(command, client);
    if (inner != null) {
      inner.await();
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
    if (error.has("cause")) {
      builder.cause(new IOException(error.get("cause").getAsString()));
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

  private static Throwable unwrapped(Throwable thrown) {
    return thrown instanceof CompletionException ? thrown.getCause() : thrown;
  }

  private void emitDone(Result<byte[]> result, Throwable thrown) {
    Throwable cause = unwrapped(thrown);
    if (result != null) {
      emitDone("OK", null, result);
    } else if (cause instanceof FunctionException failure) {
      emitDone(failure.kind().name(), failure, failure.result());
    } else if (cause instanceof StatusException status) {
      emitStatus(status.code().name(), "status", status);
    } else if (cause instanceof CodecException failure) {
      emitDone(failure);
    } else if (cause instanceof CancellationException) {
      emitStatus("CANCELLED", "status", cause);
    } else {
      emitStatus("UNKNOWN", "", cause);
    }
  }

  void emitMisuse(RuntimeException refused) {
    emitStatus("INVALID_ARGUMENT", "misuse", refused);
  }

  private void emitStatus(String status, String errorClass, Throwable thrown) {
    JsonObject done = event("done");
    done.addProperty("status", status);
    done.addProperty("message", String.valueOf(thrown.getMessage()));
    done.addProperty("outcome", "");
    done.addProperty("error_class", errorClass);
    done.addProperty("stack", stackOf(thrown));
    emitWithChunks(done);
  }

  private void emitDone(CodecException failure) {
    JsonObject done = event("done");
    done.addProperty("status", "OK");
    done.addProperty("message", failure.getMessage());
    done.addProperty("outcome", failure.isEncode() ? "ERROR" : "OK");
    done.addProperty("type", failure.isEncode() ? "singleflight.EncodeError" : "");
    done.addProperty("error_class", failure.isEncode() ? "encode" : "decode");
    done.addProperty("stack", stackOf(failure));
    emitWithChunks(done);
  }

  private static String stackOf(Throwable thrown) {
    StringWriter text = new StringWriter();
    thrown.printStackTrace(new PrintWriter(text));
    return cut(text.toString());
  }

  private static String cut(String stack) {
    return stack.length() <= STACK_CHARS_MAX ? stack : stack.substring(0, STACK_CHARS_MAX);
  }

  private void emitDone(String outcome, FunctionException failure, Result<byte[]> facts) {
    JsonObject done = event("done");
    done.addProperty("status", "OK");
    done.addProperty("outcome", outcome);
    done.addProperty("message", failure == null ? "" : failure.getMessage());
    done.addProperty("code", failure == null ? 0 : failure.code());
    done.addProperty("type", failure == null ? "" : failure.type());
    done.addProperty("error_class", failure == null ? "" : "function");
    done.addProperty("stack", failure == null ? "" : cut(failure.stack()));
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
    if (facts.retained()) {
      done.addProperty("age_ms", facts.age().toMillis());
    }
    done.addProperty("stale", facts.stale());
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
