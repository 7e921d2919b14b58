// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.singleflightd.grpc.v1.Lead;
import io.singleflightd.grpc.v1.Renew;
import io.singleflightd.grpc.v1.Renewed;
import java.util.ArrayDeque;

/**
 * For how long a lead holds, by this process's own clock. A renewal goes out every third of that
 * time, and the time counts from the sending of the last one that was answered; with a server that
 * answers none, from the last one that was sent. The loop's alone.
 *
 * <p>When the time is over, the lead is lost. But a process that finds that it was paused asks
 * first: until the answer, who asks the leader hears that it is lost, and the function is not told.
 */
final class Hold {
  static final int RENEWALS = 3;
  private static final int PAUSE_DIVISOR = 4; // a pause that can have hindered a renewal
  static final long ASK_MS_MAX = 5000;
  private static final long TRY_MS_MIN = 300;

  /** A renewal that was sent and not answered. */
  private record Sent(long id, long atMs) {}

  private final Seat seat;
  private final Leader leader;
  private final Loop loop;
  private final Loop.Timer renewTimer;
  private final Loop.Timer endTimer;
  private final ArrayDeque<Sent> unanswered = new ArrayDeque<>();
  private long holdMs; // 0: for as long as the stream lives
  private boolean isAnswered; // the server answers renewals
  private long untilMs = Loop.NEVER;
  private long lastId;
  private boolean wantsRenew;
  private boolean isBroken;
  private boolean isAsking;
  private boolean isConfirmed; // by an answer since it was granted
  private boolean isWatching;

  Hold(Seat seat, Leader leader, Loop loop) {
    this.seat = seat;
    this.leader = leader;
    this.loop = loop;
    renewTimer = loop.timer(this::renew);
    endTimer = loop.timer(this::onEnd);
  }

  /** The server has granted the lead, or given it back, in answer to what was sent then. */
  void begin(Lead granted, long sentMs) {
    isAnswered = granted.getSilenceMs() > 0;
    holdMs = isAnswered ? granted.getSilenceMs() : granted.getLeaseMs();
    isBroken = false;
    isConfirmed = false;
    unanswered.clear();
    if (holdMs == 0) {
      return;
    }
    if (!isWatching) {
      isWatching = true;
      loop.watch();
    }
    holdFrom(isAnswered ? sentMs : loop.nowMs());
    renewTimer.arm((isAnswered ? sentMs : loop.nowMs()) + holdMs / RENEWALS);
    if (isDoubtful()) { // one that has followed for long is promoted
      ask();
    }
  }

  /** How long one try to resume may take, so that there is time for several. */
  long tryMs() {
    long leftMs = untilMs == Loop.NEVER ? holdMs : untilMs - loop.nowMs();
    return Math.max(TRY_MS_MIN, leftMs / RENEWALS);
  }

  /** Whether the server answers renewals: it is of the second edition then. */
  boolean isAnswered() {
    return isAnswered;
  }

  /** Whether the server has to say that it holds before anything relies on it. */
  boolean isDoubtful() {
    long trustedMs = isConfirmed ? holdMs : holdMs / RENEWALS;
    return isAnswered && loop.nowMs() > untilMs - holdMs + trustedMs;
  }

  void stop() {
    renewTimer.disarm();
    endTimer.disarm();
    if (isWatching) {
      isWatching = false;
      loop.unwatch();
    }
  }

  private void holdFrom(long sentMs) {
    isAsking = false;
    untilMs = sentMs + holdMs;
    leader.setHoldsUntil(untilMs);
    endTimer.arm(untilMs);
  }

  // ---- renewals ----

  boolean wantsRenew() {
    return wantsRenew;
  }

  private void renew() {
    if (!isBroken && holdMs > 0) {
      wantsRenew = true;
      seat.onLeadReady();
    }
  }

  /** It may be over, and only the server knows. */
  private void ask() {
    isAsking = true;
    endTimer.arm(loop.nowMs() + Math.min(holdMs, ASK_MS_MAX));
    renew();
  }

  /** The renewal that goes out now. */
  Renew takeRenew() {
    wantsRenew = false;
    long nowMs = loop.nowMs();
    renewTimer.arm(nowMs + holdMs / RENEWALS);
    if (!isAnswered) {
      holdFrom(nowMs);
      return Renew.getDefaultInstance();
    }
    lastId++;
    unanswered.add(new Sent(lastId, nowMs));
    return Renew.newBuilder().setId(lastId).build();
  }

  void onRenewed(Renewed renewed) {
    Sent answered = null;
    while (!unanswered.isEmpty() && unanswered.peek().id <= renewed.getId()) {
      answered = unanswered.poll();
    }
    if (answered == null || isBroken) {
      return;
    }
    if (renewed.getSilenceMs() > 0) {
      holdMs = renewed.getSilenceMs();
    }
    holdFrom(answered.atMs);
    isConfirmed = true;
  }

  // ---- ends ----

  /** The stream broke: what was sent on it and not answered does not count. */
  void onBroken() {
    isBroken = true;
    wantsRenew = false;
    unanswered.clear();
    renewTimer.disarm();
  }

  private void onEnd() {
    boolean wasPaused = loop.pauseMs() >= Math.max(1, holdMs / PAUSE_DIVISOR);
    if (wasPaused && !isAsking) {
      ask();
      return;
    }
    seat.onLeadOver(
        "the lead is lost: the server has not confirmed it for " + Millis.describe(holdMs));
  }
}
