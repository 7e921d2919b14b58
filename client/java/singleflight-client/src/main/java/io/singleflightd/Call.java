// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import io.grpc.Status;

/**
 * One call of the program. It takes a place on a seat, perhaps beside others, until its end. The
 * loop's alone, except for what is said.
 */
final class Call {
  /** What happens to a call. Called in tasks of the loop: must not wait, or call the program. */
  interface Events {
    /** Its function is to run; `onEnded` is to be called after it, on any thread. */
    void onLead(Leader leader, Runnable onEnded);

    /** Somebody else leads, perhaps the same as before; a token of 0 is not known. */
    default void onFollow(int attempt, long token) {}

    /** The function goes on for this process alone. */
    default void onAlone() {}

    /** The lead is gone. */
    default void onLost() {}

    /** For the server; "": none. Any time. */
    default String traceparent() {
      return "";
    }

    void onChunk(ByteString bytes);

    void onRestart(int attempt);

    /** The end, once, unless onStatus is. */
    void onOutcome(Outcome outcome, Facts facts);

    void onStatus(StatusException status);
  }

  final Join join;
  final long deadlineMs;
  Seat seat;
  private final Engine engine;
  private final Events events;
  private final Loop.Timer deadlineTimer;
  private boolean ended;

  /** `timeoutMs` counts from `startMs`; NOT_GIVEN: it has none. */
  Call(Engine engine, Join join, long startMs, long timeoutMs, Events events) {
    this.engine = engine;
    this.join = join;
    this.events = events;
    boolean isEndless = timeoutMs == DoOptions.NOT_GIVEN || timeoutMs > Loop.NEVER / 4;
    deadlineMs = isEndless ? Loop.NEVER : startMs + timeoutMs;
    deadlineTimer = engine.loop.timer(this::onDeadline);
  }

  void start() {
    if (ended) { // it has left before
      return;
    }
    if (engine.isClosing()) {
      events.onStatus(engine.closedStatus());
      return;
    }
    if (deadlineMs <= engine.loop.nowMs()) {
      onDeadline();
      return;
    }
    deadlineTimer.arm(deadlineMs);
    Seat.take(engine, this);
  }

  Events events() {
    return events;
  }

  /** Leaves, unless it has ended. */
  void leave(Status.Code code, String why) {
    if (ended) {
      return;
    }
    Seat left = seat;
    StatusException status = new StatusException(code, why);
    end(status);
    if (left != null) {
      left.onCallLeft(status);
    }
  }

  private void onDeadline() {
    leave(
        Status.Code.DEADLINE_EXCEEDED,
        "the timeout of " + Millis.describe(join.options.timeoutMs) + " is over");
  }

  /** Takes it off its seat and ends it. */
  void end(StatusException status) {
    if (detach()) {
      events.onStatus(status);
    }
  }

  void end(Outcome outcome, Facts facts) {
    if (detach()) {
      events.onOutcome(outcome, facts);
    }
  }

  private boolean detach() {
    if (seat != null) {
      seat.calls.remove(this);
      seat = null;
    }
    if (ended) {
      return false;
    }
    ended = true;
    deadlineTimer.disarm();
    return true;
  }
}
