// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/** What happens to a flight whose leader is lost. */
public enum LeaderLoss {
  /** The oldest follower runs its function. */
  PROMOTE,
  /** Every follower ends with ABORTED. */
  FAIL,
  /**
   * The loss is the outcome: ABANDONED, for every caller, and retained for as long as {@link
   * DoOptions.Builder#retainError} says. For what may not be tried twice; forget frees the key.
   */
  HOLD
}
