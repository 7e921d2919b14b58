// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.time.Duration;

/**
 * What a call ended with, and how it came about.
 *
 * @param <T> the type of the value
 */
public final class Result<T> {
  private final T value;
  private final Facts facts;

  Result(T value, Facts facts) {
    this.value = value;
    this.facts = facts;
  }

  /**
   * What the codec makes of the bytes: a value of this caller's own, also for the caller whose
   * function ran.
   *
   * @return the value
   */
  public T value() {
    return value;
  }

  /**
   * Whether this very call ran the function.
   *
   * @return whether it led
   */
  public boolean led() {
    return facts.led();
  }

  /**
   * Whether the outcome went to more than one caller; so for the leader, too.
   *
   * @return whether it is shared
   */
  public boolean shared() {
    return facts.shared();
  }

  /**
   * To how many callers the outcome went, the leader and the merged callers of this client
   * included.
   *
   * @return their number
   */
  public int callers() {
    return facts.callers();
  }

  /**
   * The how-many-eth leader of the flight made it.
   *
   * @return from 1
   */
  public int attempt() {
    return facts.attempt();
  }

  /**
   * The fencing token of that leader, as an unsigned number.
   *
   * @return the token; 0 when the function ran here without ever having led
   */
  public long token() {
    return facts.token();
  }

  /**
   * Whether it was served from a retained outcome: nobody ran anything for this call.
   *
   * @return whether it was
   */
  public boolean retained() {
    return facts.retained();
  }

  /**
   * How old the retained outcome was.
   *
   * @return the age; zero when it was not retained
   */
  public Duration age() {
    return Duration.ofMillis(facts.ageMs());
  }

  /**
   * Whether the retained outcome was older than {@link DoOptions.Builder#maxAge} allows, and was
   * served because of {@link DoOptions.Builder#stale} while a new one is made.
   *
   * @return whether it was
   */
  public boolean stale() {
    return facts.stale();
  }

  /**
   * For how long from now the outcome is retained.
   *
   * @return the time; zero when it is not
   */
  public Duration retain() {
    return Duration.ofMillis(facts.retainMs());
  }

  /**
   * Whether the outcome should have been retained, but the server had no room.
   *
   * @return whether it was refused
   */
  public boolean retainRefused() {
    return facts.retainRefused();
  }

  /**
   * Whether no server could be reached, so that the function ran, or went on, in this process
   * alone.
   *
   * @return whether it failed open
   */
  public boolean failedOpen() {
    return facts.failedOpen();
  }

  @Override
  public String toString() {
    return "Result[value=" + value + ", " + facts + "]";
  }
}
