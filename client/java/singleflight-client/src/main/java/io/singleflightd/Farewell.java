// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.Status;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.CallResponse;
import io.singleflightd.grpc.v1.Cancel;
import io.singleflightd.grpc.v1.Finish;
import io.singleflightd.grpc.v1.Outcome;
import io.singleflightd.grpc.v1.OutcomeKind;
import io.singleflightd.grpc.v1.Retention;

/**
 * Takes the place of a seat that has left: tells the server so, and stays until the server's last
 * word for its id. The loop's alone.
 */
final class Farewell extends Line {
  private final Join join;
  private final Server server;
  private final boolean abandons; // leaves with a `finish` that passes on, instead of `cancel`
  private final long resumes; // the token of a lead that it takes up only to give it back; or 0
  private boolean wantsJoin;
  private boolean wantsLeave = true;

  /** `hasLease`: of a leader with one, which a cancel would not end. */
  Farewell(Join join, Server server, boolean hasLease) {
    this(join, server, hasLease, 0);
  }

  private Farewell(Join join, Server server, boolean abandons, long resumes) {
    this.join = join;
    this.server = server;
    this.abandons = abandons;
    this.resumes = resumes;
    wantsJoin = resumes != 0;
  }

  @Override
  boolean isWanted() {
    return false;
  }

  @Override
  CallRequest nextFrame() {
    CallRequest.Builder frame = CallRequest.newBuilder().setId(id);
    if (wantsJoin) {
      wantsJoin = false;
      frame.setJoin(join.toWireOfResume(resumes));
    } else if (wantsLeave) {
      wantsLeave = false;
      addLeave(frame);
    } else {
      return null;
    }
    return frame.build();
  }

  @Override
  boolean hasMore() {
    return wantsLeave;
  }

  private void addLeave(CallRequest.Builder frame) {
    if (!abandons) {
      frame.setCancel(Cancel.getDefaultInstance());
      return;
    }
    // A plain cancel would leave the flight without a leader until the lease is over.
    Outcome.Builder outcome =
        Outcome.newBuilder()
            .setKind(OutcomeKind.OUTCOME_KIND_ABANDONED)
            .setMessage("the leader left");
    Finish.Builder finish = Finish.newBuilder().setOutcome(outcome).setPassOn(true);
    if (join.options.onLeaderLoss != LeaderLoss.HOLD) { // it is no outcome of the work, to be kept
      finish.setRetention(Retention.getDefaultInstance());
    }
    frame.setFinish(finish);
  }

  @Override
  void onFrame(CallResponse frame) {
    if (!isRefusal(frame)) {
      server.onSessionUp(session);
    }
    if (frame.hasResult() || frame.hasEnd()) {
      session.remove(this);
    } else if (!abandons && frame.hasLead() && frame.getLead().getLeaseMs() > 0) {
      // A lead with a lease has crossed our `cancel`. The server takes that for a broken stream,
      // and would keep the flight for this leader until the lease is over.
      session.add(new Farewell(join, server, true, frame.getLead().getToken()));
    }
  }

  private static boolean isRefusal(CallResponse frame) {
    return frame.hasEnd() && frame.getEnd().getCode() == Status.Code.UNAVAILABLE.value();
  }

  @Override
  void onSessionOver(Status status) {}
}
