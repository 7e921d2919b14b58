// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.util.concurrent.ThreadLocalRandom;

/** Random waits between 0 and a bound that doubles. */
final class Backoff {
  private final long minMs;
  private final long maxMs;
  private long boundMs;

  Backoff(long minMs, long maxMs) {
    this.minMs = minMs;
    this.maxMs = maxMs;
    reset();
  }

  void reset() {
    boundMs = Math.min(minMs, maxMs);
  }

  long nextMs() {
    long waitMs = ThreadLocalRandom.current().nextLong(boundMs + 1);
    boundMs = boundMs > maxMs / 2 ? maxMs : boundMs * 2;
    return waitMs;
  }
}
