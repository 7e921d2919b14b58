// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/** What happens to a flight whose leader is lost. */
public enum LeaderLoss {
  /** The oldest follower runs its function. */
  PROMOTE,
  /** Every follower ends with ABORTED. */
  FAIL
}
