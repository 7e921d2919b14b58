// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BiConsumer;
import java.util.function.Supplier;

/**
 * Tells observers, and the log, what happens to one call. In tasks of the loop, except for what is
 * said.
 */
final class CallWatch {
  private static final System.Logger LOGGER = System.getLogger("io.singleflightd");

  private final List<SingleflightObserver> observers;
  private final List<CallScope> scopes = new ArrayList<>(0);
  private final Join join;
  private final long startNanos = System.nanoTime();
  private final AtomicBoolean hasEnded = new AtomicBoolean();
  private final String traceparent;
  private int attempt;
  private long token;
  private boolean hasFollowed;
  private boolean hasLed;
  private boolean isAlone;

  /** On the thread that makes the call. */
  CallWatch(Settings settings, Join join) {
    observers = settings.observers();
    this.join = join;
    for (SingleflightObserver observer : observers) {
      CallScope scope = ask(() -> observer.started(event()));
      if (scope != null) {
        scopes.add(scope);
      }
    }
    traceparent = findTraceparent(settings.traceparent());
  }

  private String findTraceparent(Supplier<String> fallback) {
    for (CallScope scope : scopes) {
      String own = ask(scope::traceparent);
      if (own != null) {
        return own;
      }
    }
    String current = ask(fallback);
    return current == null ? "" : current;
  }

  /** Of the trace that the call belongs to; "": none. Any thread. */
  String traceparent() {
    return traceparent;
  }

  private static <V> V ask(Supplier<V> asked) {
    try {
      return asked.get();
    } catch (RuntimeException | Error thrown) {
      logThrown(thrown);
      return null;
    }
  }

  private static void logThrown(Throwable thrown) {
    LOGGER.log(System.Logger.Level.WARNING, "an observer has thrown", thrown);
  }

  /** Runs the call's function as the observers like it. Any thread. */
  void run(Runnable function) {
    if (scopes.isEmpty()) {
      function.run();
      return;
    }
    AtomicBoolean isBegun = new AtomicBoolean();
    Runnable once =
        () -> {
          if (isBegun.compareAndSet(false, true)) {
            function.run();
          }
        };
    Runnable wrapped = once;
    for (CallScope scope : scopes) {
      Runnable inner = wrapped;
      Runnable outer = ask(() -> scope.wrap(inner));
      wrapped = outer == null ? inner : outer;
    }
    try {
      wrapped.run();
    } catch (RuntimeException | Error thrown) {
      logThrown(thrown);
    }
    once.run(); // whatever the observers did
  }

  // ---- events ----

  void onLead(Leader.Terms terms) {
    learn(terms.attempt(), terms.token());
    if (terms.token() == 0) {
      onAlone();
      return;
    }
    if (hasFollowed) {
      tell("takeover", SingleflightObserver::takeover);
    }
    hasLed = true;
    hasFollowed = false;
    tell("led", SingleflightObserver::led);
  }

  /** May be called again for the same lead. `leadToken` 0: it is not known. */
  void onFollow(int leadAttempt, long leadToken) {
    boolean isKnown = hasFollowed && attempt == leadAttempt && token == leadToken;
    if (leadAttempt == 0 || isKnown) {
      return;
    }
    learn(leadAttempt, leadToken);
    hasFollowed = true;
    tell("followed", SingleflightObserver::followed);
  }

  void onAlone() {
    isAlone = true;
    tell("failed_open", SingleflightObserver::failedOpen);
  }

  void onLost() {
    tell("lost", SingleflightObserver::lost);
  }

  /** Any thread; only the first one counts. */
  void onOutcome(Outcome outcome, Facts facts) {
    if (hasEnded.compareAndSet(false, true)) {
      learn(facts.attempt(), facts.token());
      isAlone |= facts.failedOpen();
      hasLed |= facts.led();
      String kind = outcome.kind().name().toLowerCase(Locale.ROOT);
      tellEnd(facts.retained() && !hasLed, "OK", kind, facts.callers());
    }
  }

  /** Any thread; only the first one counts. */
  void onStatus(StatusException status) {
    if (hasEnded.compareAndSet(false, true)) {
      tellEnd(false, status.code().name(), "", 0);
    }
  }

  private void learn(int nextAttempt, long nextToken) {
    attempt = nextAttempt;
    token = nextToken;
  }

  private CallEvent event() {
    return new CallEvent(join.group, join.key.toByteArray(), attempt, token);
  }

  private void tell(String name, BiConsumer<SingleflightObserver, CallEvent> method) {
    if (LOGGER.isLoggable(System.Logger.Level.DEBUG)) {
      LOGGER.log(System.Logger.Level.DEBUG, describe(name));
    }
    if (observers.isEmpty()) {
      return;
    }
    CallEvent event = event();
    observers.forEach(observer -> notify(() -> method.accept(observer, event)));
    scopes.forEach(scope -> notify(() -> scope.happened(name, event)));
  }

  private void tellEnd(boolean isRetained, String status, String outcome, int callers) {
    Duration duration = Duration.ofNanos(System.nanoTime() - startNanos);
    String role = isRetained ? "retained" : role();
    if (LOGGER.isLoggable(System.Logger.Level.DEBUG)) {
      String how = " role=%s status=%s outcome=%s ms=%d";
      LOGGER.log(
          System.Logger.Level.DEBUG,
          describe("ended") + how.formatted(role, status, outcome, duration.toMillis()));
    }
    if (observers.isEmpty()) {
      return;
    }
    CallEnd end = new CallEnd(event(), duration, role, status, outcome, callers);
    observers.forEach(observer -> notify(() -> observer.ended(end)));
    scopes.forEach(scope -> notify(() -> scope.ended(end)));
  }

  private String role() {
    if (isAlone) {
      return "alone";
    }
    return hasLed ? "leader" : "follower";
  }

  private String describe(String name) {
    String key = new String(join.key.toByteArray(), StandardCharsets.UTF_8);
    return "%s group=%s key=\"%s\" attempt=%d token=%s"
        .formatted(
            name,
            join.group,
            key.replaceAll("[\\p{Cntrl}\"\\\\]", "?"),
            attempt,
            Long.toUnsignedString(token));
  }

  private static void notify(Runnable told) {
    try {
      told.run();
    } catch (RuntimeException | Error thrown) {
      logThrown(thrown);
    }
  }
}
