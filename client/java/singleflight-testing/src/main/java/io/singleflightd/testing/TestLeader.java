// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.testing;

import io.singleflightd.Audience;
import io.singleflightd.Leader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Optional;

/**
 * A leader of no flight, to test a function by itself: {@code function.run(new TestLeader("key"))}.
 * It never waits, and runs listeners on the thread that calls {@link #lose()}.
 */
public final class TestLeader extends Leader {
  private volatile Audience audience;

  /**
   * A first leader, with token 1.
   *
   * @param key the key
   */
  public TestLeader(String key) {
    this(key, 1, 1);
  }

  /**
   * A leader that can be told from others.
   *
   * @param key the key
   * @param token the fencing token; 0: of a function that runs without a server
   * @param attempt the how-many-eth leader it is; above 1, somebody else has begun the work
   */
  public TestLeader(String key, long token, int attempt) {
    super(key.getBytes(StandardCharsets.UTF_8), token, attempt);
  }

  /** Makes it lose the lead. The function's thread is not interrupted. */
  public void lose() {
    lose("the lead is lost: the test says so");
  }

  /**
   * Lets it know who waits.
   *
   * @param audience what {@link #audience()} returns from now on
   */
  public void setAudience(Audience audience) {
    this.audience = audience;
  }

  @Override
  public Optional<Audience> audience() {
    return Optional.ofNullable(audience);
  }

  /**
   * What the function has written, without what it returned.
   *
   * @return a copy
   */
  public byte[] written() {
    return value();
  }

  /**
   * For how long the function wants its outcome kept.
   *
   * @return empty if it did not say
   */
  public Optional<Duration> retained() {
    return retention();
  }

  /**
   * Whether the function lets the next caller try, if it fails.
   *
   * @return whether it does
   */
  public boolean passedOn() {
    return isPassedOn();
  }
}
