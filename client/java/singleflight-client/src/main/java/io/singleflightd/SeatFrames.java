// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.singleflightd.grpc.v1.Audience;
import io.singleflightd.grpc.v1.CallResponse;
import io.singleflightd.grpc.v1.Chunk;
import io.singleflightd.grpc.v1.End;
import io.singleflightd.grpc.v1.Follow;
import io.singleflightd.grpc.v1.Lead;
import io.singleflightd.grpc.v1.Restart;
import io.singleflightd.grpc.v1.Result;

/** What the server says to a seat. The loop's alone. */
final class SeatFrames {
  private final Seat seat;
  private final Engine engine;
  private final Incoming incoming = new Incoming();

  SeatFrames(Seat seat, Engine engine) {
    this.seat = seat;
    this.engine = engine;
  }

  void onFrame(CallResponse frame) {
    switch (frame.getStepCase()) {
      case LEAD -> onLead(frame.getLead());
      case FOLLOW -> onFollow(frame.getFollow());
      case CHUNK -> onChunk(frame.getChunk());
      case RESTART -> onRestart(frame.getRestart());
      case AUDIENCE -> onAudience(frame.getAudience());
      case RENEWED -> {
        if (seat.lead != null) {
          seat.lead.onRenewed(frame.getRenewed());
          seat.beginIfHeld();
        }
      }
      case RESULT -> {
        seat.onSessionWorks();
        onResult(frame.getResult());
      }
      case END -> onEnd(frame.getEnd());
      case STEP_NOT_SET -> {} // a step of a later server
    }
  }

  private void onLead(Lead granted) {
    if (seat.join.options.role == Role.FOLLOW_ONLY) {
      refuse("the server told one to lead that only follows");
    } else if (seat.lead == null) {
      seat.setAnswered();
      seat.startLead(granted);
    } else if (!seat.isAnswered() && granted.getToken() == seat.lead.terms().token()) {
      seat.onResumed(granted);
    } else if (!seat.isAnswered()) {
      refuse("the server resumed another lead");
    }
  }

  /** A fresh call may hear it twice: when it waits for the next flight, and when that is led. */
  private void onFollow(Follow follow) {
    if (seat.lead != null) {
      return;
    }
    seat.setAnswered();
    seat.setFollowing(follow.getAttempt());
    tellRestart(follow.getAttempt());
  }

  private void onChunk(Chunk chunk) {
    if (seat.lead != null) {
      return;
    }
    seat.setAnswered();
    tellRestart(chunk.getAttempt());
    if (!incoming.advance(chunk.getSequence())) {
      refuse("a chunk of the value is missing");
      return;
    }
    takeBytes(chunk.getData());
  }

  private void onRestart(Restart restart) {
    if (seat.lead != null) {
      return;
    }
    incoming.clear();
    incoming.setVoid();
    seat.setFollowing(restart.getAttempt());
    tellRestart(restart.getAttempt());
  }

  private void onAudience(Audience audience) {
    if (seat.lead != null) {
      seat.lead.audience = audience;
      seat.onAudience();
    }
  }

  private void onResult(Result result) {
    seat.session.remove(seat);
    Facts facts = Facts.of(result, seat.calls.size());
    if (seat.isOwnOutcome(result)) {
      seat.endWithOwn(facts); // the server does not send the leader's own value back
      return;
    }
    tellRestart(result.getAttempt());
    if (!takeBytes(result.getOutcome().getValue())) {
      return;
    }
    if (!result.getLed() && result.getValueBytes() != incoming.size()) {
      refuse(incoming.size() + " bytes of a value of " + result.getValueBytes() + " have come");
      return;
    }
    seat.endWith(Outcome.of(result.getOutcome(), incoming.value()), facts, result.getLed());
  }

  private void onEnd(End ended) {
    boolean wasAnswered = seat.isAnswered();
    Session was = seat.session;
    was.remove(seat);
    Status status = Status.fromCodeValue(ended.getCode()).withDescription(ended.getMessage());
    Status.Code code = status.getCode();
    // Nobody has asked for CANCELLED: a leaving seat does not listen any more.
    if (code == Status.Code.UNAVAILABLE || code == Status.Code.CANCELLED) {
      // Draining, or its coordinator is away: as if the stream had broken.
      if (wasAnswered && code == Status.Code.CANCELLED) {
        was.retire();
      } else {
        was.server.onSessionRefuses(was, ended.getMessage());
      }
      seat.onSessionOver(Status.UNAVAILABLE.withDescription(ended.getMessage()));
      return;
    }
    was.server.onSessionUp(was);
    if (code == Status.Code.UNAUTHENTICATED) {
      was.retire(); // its token counts no more, but that of the next one may
    }
    Status.Code shown = code == Status.Code.OK ? Status.Code.INTERNAL : code;
    if (seat.lead != null) {
      seat.lose(shown, ended.getMessage());
    } else {
      seat.end(new StatusException(shown, ended.getMessage()));
    }
  }

  private void refuse(String why) {
    seat.end(new StatusException(Status.Code.INTERNAL, why));
  }

  // ---- the value ----

  void clear() {
    incoming.clear();
  }

  /** False: it is too large, and the seat is gone. */
  private boolean takeBytes(ByteString bytes) {
    if (bytes.isEmpty()) {
      return true;
    }
    int limit = engine.settings.resultLimit();
    if (bytes.size() > limit - incoming.size()) {
      seat.end(
          new StatusException(
              Status.Code.RESOURCE_EXHAUSTED,
              "the value is larger than the client's resultLimit, which is " + limit + " bytes"));
      return false;
    }
    incoming.add(bytes);
    if (seat.join.live) { // live calls sit alone
      incoming.setTold();
      seat.firstCall().events().onChunk(bytes);
    }
    return true;
  }

  /** Live calls learn that what they got is void, if it is and they do not know it. */
  void tellRestart(int attempt) {
    if (seat.join.live && !seat.calls.isEmpty() && incoming.takeVoid()) {
      seat.firstCall().events().onRestart(attempt);
    }
  }
}
