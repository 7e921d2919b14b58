// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/** What a caller may become in a flight. */
public enum Role {
  /** Leads or follows, as it comes. */
  ANY,
  /** Leads, or ends with ABORTED at once when somebody else leads. */
  LEAD_ONLY,
  /** Follows, or ends with NOT_FOUND at once when there is nothing to follow. */
  FOLLOW_ONLY
}
