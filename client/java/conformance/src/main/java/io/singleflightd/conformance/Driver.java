// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import io.singleflightd.DoOptions;
import io.singleflightd.ForgetOptions;
import io.singleflightd.Forgotten;
import io.singleflightd.LeaderLoss;
import io.singleflightd.Role;
import io.singleflightd.SingleflightClient;
import io.singleflightd.StatusException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/**
 * Does with this language's client what the lines of standard input say, and tells what happens on
 * standard output: one JSON object a line, both ways.
 */
public final class Driver {
  private static final Set<String> OPTIONS =
      Set.of(
          ("group key_b64 timeout_ms retain_ms retain_error_ms max_age_ms lease_ms run_limit_ms"
                  + " on_leader_loss max_attempts role live audience fingerprint_b64 caller"
                  + " resume_token connect_timeout_ms fail_open local_merge fresh retain_from_lead"
                  + " stale_ms decode encode")
              .split(" "));

  private final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
  private final Map<String, SingleflightClient> clients = new ConcurrentHashMap<>();
  private final Map<String, DrivenCall> calls = new ConcurrentHashMap<>();
  private final Map<String, CompletableFuture<Void>> signals = new ConcurrentHashMap<>();

  private Driver() {}

  /**
   * Runs until standard input ends.
   *
   * @param args none
   * @throws IOException standard input cannot be read
   */
  public static void main(String[] args) throws IOException {
    Driver driver = new Driver();
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    String line;
    while ((line = in.readLine()) != null) {
      if (!line.isBlank()) {
        driver.obey(JsonParser.parseString(line).getAsJsonObject());
      }
    }
    driver.clients.values().forEach(SingleflightClient::close);
    System.exit(0); // also when a function does not listen
  }

  private void obey(JsonObject command) {
    switch (text(command, "op")) {
      case "hello" -> {
        JsonObject hello = event("hello");
        hello.addProperty("language", "java");
        hello.addProperty("version", "0.1.0");
        emit(hello);
      }
      case "client" -> makeClient(command);
      case "do" -> start(command);
      case "signal" -> signal(text(command, "name")).complete(null);
      case "cancel" -> calls.get(text(command, "call")).cancel();
      case "await" -> calls.get(text(command, "call")).await(); // build-driver's alone
      case "close" -> inBackground(() -> close(text(command, "client")));
      case "forget" -> inBackground(() -> forget(command));
      default -> emitUnknown(command, "op " + text(command, "op"));
    }
  }

  /** A word that this driver does not know. */
  private void emitUnknown(JsonObject command, String word) {
    JsonObject error = event("error");
    for (String name : List.of("client", "call")) {
      if (command.has(name)) {
        error.add(name, command.get(name));
      }
    }
    error.addProperty("message", "unknown " + word);
    emit(error);
  }

  private static void inBackground(Runnable work) {
    Thread thread = new Thread(work);
    thread.setDaemon(true);
    thread.start();
  }

  // ---- clients ----

  private void makeClient(JsonObject command) {
    String name = text(command, "client");
    List<String> addresses = new ArrayList<>();
    command.getAsJsonArray("addresses").forEach(one -> addresses.add(one.getAsString()));
    try {
      SingleflightClient.Builder builder =
          SingleflightClient.builder().addresses(addresses.toArray(String[]::new));
      JsonObject options = object(command, "options");
      when(options, "caller", value -> builder.caller(value.getAsString()));
      when(options, "fail_open", value -> builder.failOpen(value.getAsBoolean()));
      when(options, "connect_timeout_ms", value -> builder.connectTimeout(millis(value)));
      when(options, "result_limit", value -> builder.resultLimit(value.getAsInt()));
      if (options.has("backoff_min_ms") || options.has("backoff_max_ms")) {
        builder.backoff(
            Duration.ofMillis(number(options, "backoff_min_ms", 50)),
            Duration.ofMillis(number(options, "backoff_max_ms", 2000)));
      }
      clients.put(name, builder.build());
      JsonObject made = event("client");
      made.addProperty("client", name);
      emit(made);
    } catch (IllegalArgumentException refused) {
      emitError(name, refused);
    }
  }

  private void close(String name) {
    clients.get(name).close();
    JsonObject closed = event("closed");
    closed.addProperty("client", name);
    emit(closed);
  }

  private void forget(JsonObject command) {
    String name = text(command, "client");
    ForgetOptions.Builder options = ForgetOptions.builder();
    when(command, "if_unshared", value -> options.ifUnshared(value.getAsBoolean()));
    when(command, "end", value -> options.end(value.getAsBoolean()));
    when(command, "caller", value -> options.caller(value.getAsString()));
    try {
      Forgotten forgotten =
          clients.get(name).forget(text(command, "group"), key(command), options.build());
      JsonObject answer = event("forgot");
      answer.addProperty("client", name);
      answer.addProperty("flight", forgotten.flight());
      answer.addProperty("retained", forgotten.retained());
      answer.addProperty("ended", forgotten.ended());
      emit(answer);
    } catch (StatusException | InterruptedException failed) {
      emitError(name, failed);
    }
  }

  private void emitError(String client, Exception failed) {
    JsonObject error = event("error");
    error.addProperty("client", client);
    error.addProperty(
        "code",
        failed instanceof StatusException status ? status.code().name() : "INVALID_ARGUMENT");
    error.addProperty("message", failed.getMessage());
    emit(error);
  }

  // ---- calls ----

  private void start(JsonObject command) {
    start(command, clients.get(text(command, "client")));
  }

  /** Null: the call was refused. */
  DrivenCall start(JsonObject command, SingleflightClient client) {
    JsonObject options = object(command, "options");
    String word = unknownWord(command, options);
    if (word != null) {
      emitUnknown(command, word);
      return null;
    }
    DrivenCall call = new DrivenCall(this, client, command);
    calls.put(text(command, "call"), call);
    try {
      call.start(key(options), optionsOf(options));
      return call;
    } catch (IllegalArgumentException refused) {
      call.emitMisuse(refused);
      return null;
    }
  }

  private static String unknownWord(JsonObject command, JsonObject options) {
    for (String name : options.keySet()) {
      if (!OPTIONS.contains(name)) {
        return "option " + name;
      }
    }
    JsonElement function = command.get("function");
    if (function != null && function.isJsonArray()) {
      for (JsonElement action : function.getAsJsonArray()) {
        String kind = action.getAsJsonObject().keySet().iterator().next();
        if (!DrivenCall.ACTIONS.contains(kind)) {
          return "action " + kind;
        }
      }
    }
    return null;
  }

  private static DoOptions optionsOf(JsonObject options) {
    DoOptions.Builder builder = DoOptions.builder();
    when(options, "group", value -> builder.group(value.getAsString()));
    when(options, "timeout_ms", value -> builder.timeout(millis(value)));
    when(options, "retain_ms", value -> builder.retain(millis(value)));
    when(options, "retain_error_ms", value -> builder.retainError(millis(value)));
    when(options, "max_age_ms", value -> builder.maxAge(millis(value)));
    when(options, "lease_ms", value -> builder.lease(millis(value)));
    when(options, "run_limit_ms", value -> builder.runLimit(millis(value)));
    when(
        options,
        "on_leader_loss",
        value -> builder.onLeaderLoss(LeaderLoss.valueOf(value.getAsString())));
    when(options, "max_attempts", value -> builder.maxAttempts(value.getAsInt()));
    when(options, "role", value -> builder.role(Role.valueOf(value.getAsString())));
    when(options, "audience", value -> builder.audience(value.getAsBoolean()));
    when(options, "fingerprint_b64", value -> builder.fingerprint(bytes(value)));
    when(options, "caller", value -> builder.caller(value.getAsString()));
    when(
        options,
        "resume_token",
        value -> builder.resumeToken(Long.parseUnsignedLong(value.getAsString())));
    when(options, "connect_timeout_ms", value -> builder.connectTimeout(millis(value)));
    when(options, "fail_open", value -> builder.failOpen(value.getAsBoolean()));
    when(options, "local_merge", value -> builder.localMerge(value.getAsBoolean()));
    when(options, "fresh", value -> builder.fresh(value.getAsBoolean()));
    when(options, "retain_from_lead", value -> builder.retainFromLead(value.getAsBoolean()));
    when(options, "stale_ms", value -> builder.stale(millis(value)));
    return builder.build();
  }

  CompletableFuture<Void> signal(String name) {
    return signals.computeIfAbsent(name, absent -> new CompletableFuture<>());
  }

  // ---- JSON ----

  static JsonObject event(String name) {
    JsonObject event = new JsonObject();
    event.addProperty("event", name);
    return event;
  }

  void emit(JsonObject event) {
    out.println(event); // one call: whole lines, whoever writes
  }

  static byte[] bytes(JsonElement base64) {
    return Base64.getDecoder().decode(base64.getAsString());
  }

  private static byte[] key(JsonObject from) {
    return from.has("key_b64") ? bytes(from.get("key_b64")) : new byte[0];
  }

  private static Duration millis(JsonElement value) {
    return Duration.ofMillis(value.getAsLong());
  }

  private static long number(JsonObject from, String name, long otherwise) {
    return from.has(name) ? from.get(name).getAsLong() : otherwise;
  }

  static String text(JsonObject from, String name) {
    return from.has(name) ? from.get(name).getAsString() : "";
  }

  static JsonObject object(JsonObject from, String name) {
    return from.has(name) ? from.getAsJsonObject(name) : new JsonObject();
  }

  private static void when(JsonObject from, String name, Consumer<JsonElement> then) {
    if (from.has(name) && !from.get(name).isJsonNull()) {
      then.accept(from.get(name));
    }
  }
}
