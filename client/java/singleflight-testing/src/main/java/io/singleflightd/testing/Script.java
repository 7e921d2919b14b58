// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.testing;

import io.grpc.Status;
import io.singleflightd.grpc.v1.Outcome;

/** What becomes of the calls of one key. */
record Script(Kind kind, Outcome outcome, Status status) {
  enum Kind {
    LEAD,
    /** They follow, and get the outcome. */
    OUTCOME,
    /** They follow, and lead then. */
    TAKEOVER,
    /** They lead, and lose the lead. */
    LOSE,
    /** They end with the status. */
    REFUSE
  }

  static final Script LEAD = of(Kind.LEAD);

  static Script of(Kind kind) {
    return new Script(kind, null, null);
  }

  static Script of(Outcome outcome) {
    return new Script(Kind.OUTCOME, outcome, null);
  }

  static Script of(Status status) {
    return new Script(Kind.REFUSE, null, status);
  }
}
