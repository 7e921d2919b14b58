// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.Chunk;
import io.singleflightd.grpc.v1.Finish;
import io.singleflightd.grpc.v1.Renew;
import io.singleflightd.grpc.v1.Retention;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** A seat's lead: what it has posted, what is to be sent, and its lease. The loop's alone. */
final class Lead {
  private static final int CHUNK_BYTES_MAX = 256 * 1024;
  private static final int RENEWALS_PER_LEASE = 3;

  /** The call whose function runs. */
  final Call call;

  final Leader leader;

  /** The function has ended, and the server is to be told. */
  boolean wantsFinish;

  /** Who waits elsewhere; null: nobody has waited yet. */
  io.singleflightd.grpc.v1.Audience audience;

  private final Seat seat;
  private final Loop loop;
  private final Loop.Timer timer; // the next renewal; while the stream is broken, the lease's end
  private final long firstSequence; // above 0: chunks of another process came before
  private final List<Integer> chunkEnds = new ArrayList<>(); // where in the value
  private long renewedMs;
  private boolean wantsRenew;
  private boolean broken;

  Lead(Seat seat, Call call, Leader.Terms terms, long firstSequence, Engine engine) {
    this.seat = seat;
    this.call = call;
    this.firstSequence = firstSequence;
    loop = engine.loop;
    timer = loop.timer(this::onTimer);
    leader =
        new Leader(
            call.join,
            terms,
            engine.settings.resultLimit(),
            () -> engine.loop.execute(() -> seat.onLeaderChanged(this)),
            engine::runCallback);
    renewedMs = loop.nowMs();
    armAfter(terms.leaseMs() / RENEWALS_PER_LEASE);
  }

  Leader.Terms terms() {
    return leader.terms();
  }

  void stop() {
    timer.disarm();
  }

  // ---- who waits ----

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

  // ---- the lease ----

  private void armAfter(long waitMs) {
    if (terms().leaseMs() > 0) {
      timer.arm(renewedMs + waitMs);
    }
  }

  private void onTimer() {
    if (broken) {
      seat.onLeaseOver();
      return;
    }
    wantsRenew = true;
    renewedMs = loop.nowMs();
    armAfter(terms().leaseMs() / RENEWALS_PER_LEASE);
    seat.onLeadReady();
  }

  /** The stream broke: the lease counts from the last renewal that was sent. */
  void onBroken() {
    broken = true;
    wantsRenew = false;
    armAfter(terms().leaseMs());
  }

  /** The server has the chunks before `sequence`. False: it cannot have. */
  boolean rewind(long sequence) {
    long arrived = sequence - firstSequence;
    if (arrived < 0 || arrived > chunkEnds.size()) {
      return false;
    }
    broken = false;
    chunkEnds.subList((int) arrived, chunkEnds.size()).clear();
    leader.rewind(endOfChunks());
    renewedMs = loop.nowMs();
    armAfter(terms().leaseMs() / RENEWALS_PER_LEASE);
    return true;
  }

  private int endOfChunks() {
    return chunkEnds.isEmpty() ? 0 : chunkEnds.get(chunkEnds.size() - 1);
  }

  // ---- frames ----

  boolean hasFrame() {
    return wantsRenew || wantsFinish || leader.unsent() > 0;
  }

  /** False: there is none now. */
  boolean addFrame(CallRequest.Builder frame) {
    int unsent = leader.unsent();
    if (wantsRenew) {
      wantsRenew = false;
      frame.setRenew(Renew.getDefaultInstance());
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
    if (retainMs != null) {
      finish.setRetention(Retention.newBuilder().setRetainMs(retainMs));
    }
    frame.setFinish(finish);
  }
}
