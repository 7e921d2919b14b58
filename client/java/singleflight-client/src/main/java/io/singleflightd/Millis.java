// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.time.Duration;

/** Durations as the wire has them. */
final class Millis {
  private Millis() {}

  /** Rounds up, so that nothing that is above zero becomes zero. */
  static long of(Duration duration, String name) {
    if (duration.isNegative()) {
      throw new IllegalArgumentException(name + " is negative: " + duration);
    }
    return ofAny(duration);
  }

  /** The same; what is below zero is zero. */
  static long ofAny(Duration duration) {
    if (duration.isNegative()) {
      return 0;
    }
    try {
      return duration.plusNanos(999_999).toMillis();
    } catch (ArithmeticException tooLarge) {
      return Long.MAX_VALUE;
    }
  }

  static String describe(long millis) {
    return millis % 1000 == 0 ? millis / 1000 + " s" : millis + " ms";
  }
}
