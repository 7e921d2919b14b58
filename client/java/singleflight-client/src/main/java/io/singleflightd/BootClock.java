// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.LongSupplier;

/**
 * Milliseconds that also pass while the machine sleeps, as CLOCK_BOOTTIME does. Java has no such
 * clock: nanoTime stands still in a sleep on Linux, and the wall clock is set by people. So this is
 * nanoTime, and when the wall clock has moved otherwise, the kernel's uptime tells whether there
 * was a sleep. Where there is no /proc/uptime, a leap of the wall clock counts as one: then a lead
 * may end too early, but never too late. Any thread.
 */
final class BootClock {
  private static final long NO_UPTIME = -1;
  private static final long NOTICED_MS = 20; // uptime has steps of 10 ms
  private static final Path UPTIME = Path.of("/proc/uptime");

  private final LongSupplier nanos;
  private final LongSupplier wallMs;
  private final LongSupplier uptimeMs;
  private final long startNanos;
  private final long uptimeAheadMs;
  private volatile long wallAheadMs;
  private volatile long sleptMs;

  BootClock() {
    this(System::nanoTime, System::currentTimeMillis, BootClock::readUptimeMs);
  }

  BootClock(LongSupplier nanos, LongSupplier wallMs, LongSupplier uptimeMs) {
    this.nanos = nanos;
    this.wallMs = wallMs;
    this.uptimeMs = uptimeMs;
    startNanos = nanos.getAsLong();
    uptimeAheadMs = uptimeMs.getAsLong();
    wallAheadMs = wallMs.getAsLong();
  }

  /** Since this clock was made. */
  long nowMs() {
    long awakeMs = awakeMs();
    long leapMs = wallMs.getAsLong() - awakeMs - wallAheadMs;
    if (Math.abs(leapMs) > NOTICED_MS) {
      look();
    }
    return awakeMs + sleptMs;
  }

  private long awakeMs() {
    return (nanos.getAsLong() - startNanos) / 1_000_000;
  }

  private synchronized void look() {
    long awakeMs = awakeMs();
    long aheadMs = wallMs.getAsLong() - awakeMs;
    long leapMs = aheadMs - wallAheadMs;
    wallAheadMs = aheadMs;
    long upMs = uptimeAheadMs == NO_UPTIME ? NO_UPTIME : uptimeMs.getAsLong();
    if (upMs == NO_UPTIME) {
      sleptMs += Math.max(0, leapMs);
      return;
    }
    long asleepMs = upMs - uptimeAheadMs - awakeMs;
    if (asleepMs > sleptMs + NOTICED_MS) {
      sleptMs = asleepMs;
    }
  }

  private static long readUptimeMs() {
    try {
      String text = Files.readString(UPTIME, StandardCharsets.US_ASCII);
      return (long) (Double.parseDouble(text.substring(0, text.indexOf(' '))) * 1000);
    } catch (IOException | RuntimeException none) {
      return NO_UPTIME;
    }
  }
}
