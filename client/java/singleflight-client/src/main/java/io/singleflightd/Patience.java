// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/**
 * Waits for something outside, and counts only the time in which this process could have noticed
 * it: a process that still loads its classes, or gets no CPU, blames nobody else. The loop's alone.
 */
final class Patience {
  private static final long STEP_MS = 100;

  private final Loop loop;
  private final Runnable onOver;
  private final Loop.Timer timer;
  private long leftMs;

  Patience(Loop loop, Runnable onOver) {
    this.loop = loop;
    this.onOver = onOver;
    timer = loop.timer(this::onStep);
  }

  boolean isWaiting() {
    return timer.isArmed();
  }

  void await(long ms) {
    leftMs = ms;
    arm();
  }

  void stop() {
    timer.disarm();
  }

  private void arm() {
    timer.arm(loop.nowMs() + Math.min(STEP_MS, leftMs));
  }

  private void onStep() {
    leftMs -= Math.min(STEP_MS, leftMs); // however late it comes
    if (leftMs > 0) {
      arm();
    } else {
      onOver.run();
    }
  }
}
