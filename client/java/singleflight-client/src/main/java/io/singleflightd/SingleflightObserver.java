// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/**
 * Is told what happens to the calls of a client, for metrics, traces and logs.
 *
 * <p>Methods run inside of the client, on whatever thread it is at work on, one at a time for each
 * call. They must not wait, or everything waits. What they throw changes nothing, and is logged.
 */
public interface SingleflightObserver {
  /**
   * A call begins. Runs on the thread that makes it.
   *
   * @param call what is asked for; nothing is known of a leader
   * @return what goes with the call, or {@code null}
   */
  default CallScope started(CallEvent call) {
    return null;
  }

  /**
   * The call's function starts as the leader's, on any attempt.
   *
   * @param call the call
   */
  default void led(CallEvent call) {}

  /**
   * Somebody else leads, here or elsewhere, and the call waits. Told once for each lead.
   *
   * @param call the call
   */
  default void followed(CallEvent call) {}

  /**
   * A call that has followed is made the leader: {@link #led} comes next.
   *
   * @param call the call
   */
  default void takeover(CallEvent call) {}

  /**
   * No server can be reached: the call's function runs, or goes on, for this process alone.
   *
   * @param call the call
   */
  default void failedOpen(CallEvent call) {}

  /**
   * The lead is gone while the function runs, or before the server has confirmed its outcome.
   *
   * @param call the call
   */
  default void lost(CallEvent call) {}

  /**
   * A call has ended. Every call ends once, and nothing comes after it.
   *
   * @param end how
   */
  default void ended(CallEnd end) {}
}
