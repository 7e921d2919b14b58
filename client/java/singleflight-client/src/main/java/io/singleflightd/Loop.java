// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.SynchronizationContext;
import java.util.TreeSet;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Where all state of a client lives: one task at a time, in order, on whatever thread brought it.
 * Tasks never wait, and never call what the program gave.
 */
final class Loop {
  /** A point in time that never comes. */
  static final long NEVER = Long.MAX_VALUE;

  private static final System.Logger LOGGER = System.getLogger("io.singleflightd");

  private final SynchronizationContext context =
      new SynchronizationContext(
          (thread, bug) -> LOGGER.log(System.Logger.Level.ERROR, "a bug in this library", bug));
  // While somebody watches, the clock is looked at so often: what sleeps or is stopped meanwhile
  // finds soon after that a time is over.
  static final long WATCH_MS = 50;

  private final ScheduledExecutorService scheduler;
  private final BootClock clock = new BootClock();
  private final TreeSet<Timer> timers = new TreeSet<>();
  private long timerCount;
  private long wakesAtMs = NEVER;
  private int watches;
  private long lookedMs; // when timers were last looked at
  private long pauseMs; // and how long that was after the look before
  private SynchronizationContext.ScheduledHandle wakeup;
  private boolean closed;
  private volatile Thread runner; // of the task at hand; null: none

  Loop(ScheduledExecutorService scheduler) {
    this.scheduler = scheduler;
  }

  /** Runs `task` soon: here and now if no other task runs. Any thread. */
  void execute(Runnable task) {
    context.execute(() -> run(task));
  }

  private void run(Runnable task) {
    runner = Thread.currentThread();
    try {
      task.run();
    } finally {
      runner = null;
    }
  }

  /** Whether this very thread runs a task of this loop. */
  boolean isCurrent() {
    return runner == Thread.currentThread();
  }

  /** Milliseconds since some point in the past, sleep included. Any thread. */
  long nowMs() {
    return clock.nowMs();
  }

  /** From now on times that are over are noticed at once, also after a pause. In tasks only. */
  void watch() {
    if (watches++ == 0) {
      lookedMs = nowMs();
      wakeAt(lookedMs + WATCH_MS);
    }
  }

  void unwatch() {
    watches--;
  }

  /** For how long nobody could look, just before this timer fired. In timers, while watching. */
  long pauseMs() {
    return pauseMs;
  }

  /** In tasks only. */
  Timer timer(Runnable onFire) {
    return new Timer(onFire);
  }

  /** Does something at a time. In tasks only. */
  final class Timer implements Comparable<Timer> {
    private final Runnable onFire;
    private final long place = timerCount++;
    private long atMs = NEVER;

    private Timer(Runnable onFire) {
      this.onFire = onFire;
    }

    boolean isArmed() {
      return atMs != NEVER;
    }

    void arm(long timeMs) {
      disarm();
      if (timeMs == NEVER || closed) {
        return;
      }
      atMs = timeMs;
      timers.add(this);
      wakeAt(timers.first().atMs);
    }

    void disarm() {
      if (isArmed()) {
        timers.remove(this);
        atMs = NEVER;
      }
    }

    @Override
    public int compareTo(Timer other) {
      int byTime = Long.compare(atMs, other.atMs);
      return byTime != 0 ? byTime : Long.compare(place, other.place);
    }
  }

  /** No timer fires any more. In tasks only. */
  void stopTimers() {
    closed = true;
    timers.clear();
    if (wakeup != null) {
      wakeup.cancel();
    }
  }

  // A timer that was disarmed leaves its wakeup behind: one too many costs less than one per call.
  private void wakeAt(long timeMs) {
    if (timeMs >= wakesAtMs) {
      return;
    }
    if (wakeup != null) {
      wakeup.cancel();
    }
    long nowMs = nowMs();
    wakesAtMs = watches == 0 ? timeMs : Math.min(timeMs, nowMs + WATCH_MS);
    long waitMs = Math.max(0, wakesAtMs - nowMs);
    wakeup = context.schedule(() -> run(this::fire), waitMs, TimeUnit.MILLISECONDS, scheduler);
  }

  private void fire() {
    wakesAtMs = NEVER;
    wakeup = null;
    long nowMs = nowMs();
    pauseMs = nowMs - lookedMs;
    lookedMs = nowMs;
    while (!timers.isEmpty() && timers.first().atMs <= nowMs) {
      Timer timer = timers.first();
      timer.disarm();
      timer.onFire.run();
    }
    if (!timers.isEmpty()) {
      wakeAt(timers.first().atMs);
    }
  }
}
