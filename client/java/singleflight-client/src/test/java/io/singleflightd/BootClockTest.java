// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/** A clock that counts the sleep of the machine. */
class BootClockTest {
  private long awakeMs = 1_000;
  private long wallMs = 1_700_000_000_000L;
  private long upMs = 5_000;
  private boolean hasUptime = true;

  private BootClock clock() {
    return new BootClock(
        () -> awakeMs * 1_000_000, () -> wallMs, () -> hasUptime ? upMs : -1);
  }

  private void pass(long ms) {
    awakeMs += ms;
    sleep(ms);
  }

  private void sleep(long ms) {
    wallMs += ms;
    upMs += ms;
  }

  @Test
  void timePassesAwakeAndAsleep() {
    BootClock clock = clock();
    pass(70);
    assertEquals(70, clock.nowMs());
    sleep(60_000);
    assertEquals(60_070, clock.nowMs());
    pass(30);
    assertEquals(60_100, clock.nowMs());
  }

  @Test
  void whoSetsTheWallClockChangesNothing() {
    BootClock clock = clock();
    pass(100);
    wallMs += 3_600_000;
    assertEquals(100, clock.nowMs());
    wallMs -= 7_200_000;
    pass(100);
    assertEquals(200, clock.nowMs());
    sleep(5_000);
    assertEquals(5_200, clock.nowMs());
  }

  @Test
  void withoutAnUptimeALeapOfTheWallClockIsASleep() {
    hasUptime = false;
    BootClock clock = clock();
    sleep(60_000);
    assertEquals(60_000, clock.nowMs());
    wallMs -= 10_000;
    pass(50);
    assertEquals(60_050, clock.nowMs());
  }

  @Test
  void thisMachineHasOne() {
    BootClock clock = new BootClock();
    long before = clock.nowMs();
    Eventually.isTrue("it moves", () -> clock.nowMs() > before + 30);
  }
}
