// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.Chunk;
import io.singleflightd.grpc.v1.Finish;
import io.singleflightd.grpc.v1.Renewed;
import io.singleflightd.grpc.v1.Retention;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** A seat's lead: what it has posted, what is to be sent, and who waits. The loop's alone. */
final class SeatLead {
  static final int CHUNK_BYTES_MAX = 64 * 1024;

  final Leader leader;
  final Hold hold;

  /** The call whose function runs; null: none has begun. */
  Call call;

  /** The function has ended, and the server is to be told. */
  boolean wantsFinish;

  /** Who waits elsewhere; null: nobody has waited yet. */
  io.singleflightd.grpc.v1.Audience audience;

  private final Loop loop;
  private final boolean isRefresh;
  private final long firstSequence; // above 0: chunks of another process came before
  private final List<Integer> chunkEnds = new ArrayList<>(); // where in the value

  /** `joinSentMs`: when what the server has answered with this lead was sent. */
  SeatLead(
      Seat seat, io.singleflightd.grpc.v1.Lead granted, long joinSentMs, Engine engine) {
    loop = engine.loop;
    isRefresh = seat.join.isRefresh;
    firstSequence = granted.getNextSequence();
    Leader.Terms terms =
        new Leader.Terms(
            granted.getToken(),
            granted.getAttempt(),
            granted.getLeaseMs(),
            granted.getRunLimitMs());
    leader =
        new Leader(
            seat.join,
            terms,
            engine.settings.resultLimit(),
            () -> loop.execute(() -> seat.onLeaderChanged(this)),
            engine::runCallback,
            loop::nowMs);
    hold = new Hold(seat, leader, loop);
    hold.begin(granted, joinSentMs);
  }

  Leader.Terms terms() {
    return leader.terms();
  }

  boolean isBegun() {
    return call != null;
  }

  void stop() {
    hold.stop();
  }

  // ---- who waits ----

  boolean isWantedElsewhere() {
    return audience != null && audience.getFollowers() > 0;
  }

  /** Tells the leader who waits, here on the seat and elsewhere. */
  void tellAudience(Set<Call> seated) {
    int merged = seated.size() - (seated.contains(call) ? 1 : 0);
    if (merged == 0 && audience == null) {
      return; // nobody has waited yet
    }
    int elsewhere = audience == null ? 0 : audience.getFollowers();
    long elsewhereMs = audience == null ? 0 : audience.getLatestDeadlineMs();
    long nowMs = loop.nowMs();
    long latestMs = elsewhere > 0 && elsewhereMs == 0 ? Loop.NEVER : elsewhereMs;
    for (Call other : seated) {
      if (other != call) {
        boolean isEndless = other.deadlineMs == Loop.NEVER;
        latestMs = Math.max(latestMs, isEndless ? Loop.NEVER : other.deadlineMs - nowMs);
      }
    }
    boolean isBounded = elsewhere + merged > 0 && latestMs != Loop.NEVER;
    leader.setAudience(
        new Audience(
            elsewhere + merged,
            isBounded ? Optional.of(Duration.ofMillis(latestMs)) : Optional.empty()));
  }

  // ---- the stream ----

  /** It goes on without a server. */
  void goAlone() {
    hold.stop();
    leader.goAlone();
  }

  /** Led again on a new stream. False: the server cannot have the chunks that it says it has. */
  boolean resume(io.singleflightd.grpc.v1.Lead granted, long joinSentMs) {
    long arrived = granted.getNextSequence() - firstSequence;
    if (arrived < 0 || arrived > chunkEnds.size()) {
      return false;
    }
    chunkEnds.subList((int) arrived, chunkEnds.size()).clear();
    leader.rewind(endOfChunks());
    hold.begin(granted, joinSentMs);
    return true;
  }

  private int endOfChunks() {
    return chunkEnds.isEmpty() ? 0 : chunkEnds.get(chunkEnds.size() - 1);
  }

  void onRenewed(Renewed renewed) {
    hold.onRenewed(renewed);
  }

  // ---- frames ----

  boolean hasFrame() {
    return hold.wantsRenew() || wantsFinish || leader.unsent() > 0;
  }

  /** False: there is none now. */
  boolean addFrame(CallRequest.Builder frame) {
    int unsent = leader.unsent();
    if (hold.wantsRenew()) {
      frame.setRenew(hold.takeRenew());
    } else if (unsent > 0 && (!wantsFinish || unsent > CHUNK_BYTES_MAX)) {
      addChunk(frame, Math.min(unsent, CHUNK_BYTES_MAX));
    } else if (wantsFinish) {
      wantsFinish = false;
      addFinish(frame, unsent);
    } else {
      return false;
    }
    return true;
  }

  private void addChunk(CallRequest.Builder frame, int size) {
    long sequence = firstSequence + chunkEnds.size();
    chunkEnds.add(endOfChunks() + size);
    frame.setChunk(Chunk.newBuilder().setSequence(sequence).setData(leader.take(size)));
  }

  /** What is left of the value travels with the outcome. */
  private void addFinish(CallRequest.Builder frame, int size) {
    Finish.Builder finish = Finish.newBuilder().setPassOn(leader.passesOn());
    finish.setOutcome(leader.toWire().setValue(leader.take(size)));
    Long retainMs = leader.retainMs();
    boolean replacesNothing = isRefresh && leader.ending().kind() != OutcomeKind.OK;
    if (retainMs != null && !replacesNothing) {
      finish.setRetention(Retention.newBuilder().setRetainMs(retainMs));
    }
    frame.setFinish(finish);
  }
}
