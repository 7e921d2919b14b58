// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.CallResponse;
import java.util.LinkedHashSet;
import java.util.List;

/**
 * One call on a session, for one or more equal calls of the program. It finds a server, joins
 * there, follows or leads, and survives broken streams. The loop's alone.
 */
final class Seat extends Line {
  /** What may be trusted in each state. */
  enum State {
    /** Nothing is known yet: it waits for a session, or for the answer to its join. */
    JOINING,
    /** Somebody else leads; `incoming` is what has come of the attempt's value so far. */
    FOLLOWING,
    /**
     * `lead` is set, its function runs; while not `answered` the stream is broken, and the lead is
     * to be resumed until the lease runs out.
     */
    LEADING,
    /** The same, but the function has ended: its outcome is not confirmed yet. */
    FINISHING,
    /** No server could be reached: `lead` is set, its token is 0. */
    ALONE,
    /** Off everything. */
    GONE
  }

  // On the wire every deadline is a part of the timeout later than the call's own, so that the call
  // is ended here, where a lease is given back, and not by the server, which would keep the flight
  // for a leader that may come back. Equal calls that come a little later take up to half of it.
  private static final long WIRE_SLACK_MS_MIN = 1000;
  private static final long WIRE_SLACK_DIVISOR = 4;

  final Join join;
  final long deadlineMs;

  /** Those that wait here, the oldest first. */
  final LinkedHashSet<Call> calls = new LinkedHashSet<>();

  private final Engine engine;
  private final Loop.Timer lookTimer;
  private State state = State.JOINING;
  private Server server; // it is on a session of it, or on its waiting list
  private int rank; // of the server in the key's order
  private boolean lookIsOver;
  private boolean wantsJoin;
  private boolean answered; // its join

  private final Incoming incoming = new Incoming();
  private Lead lead;

  private Seat(Engine engine, Join join, long deadlineMs) {
    this.engine = engine;
    this.join = join;
    this.deadlineMs = deadlineMs;
    lookTimer = engine.loop.timer(this::onLookTimer);
    engine.seats.add(this);
  }

  // ---- merging ----

  /** Puts a call that begins on an equal seat, or on one of its own. */
  static void take(Engine engine, Call call) {
    Seat seat = call.join.mergeable ? findEqual(engine, call) : null;
    if (seat != null) {
      seat.add(call);
      seat.tellAudience();
      return;
    }
    seat = new Seat(engine, call.join, wireDeadlineMs(call));
    seat.add(call);
    if (call.join.mergeable) {
      engine.startMerging(seat);
    }
    seat.place();
  }

  private static Seat findEqual(Engine engine, Call call) {
    for (Seat seat : engine.merging(call.join)) {
      if (seat.isInTime(call)) {
        return seat;
      }
    }
    return null;
  }

  private static long wireSlackMs(Call call) {
    return Math.max(call.join.options.timeoutMs / WIRE_SLACK_DIVISOR, WIRE_SLACK_MS_MIN);
  }

  private static long wireDeadlineMs(Call call) {
    return call.deadlineMs == Loop.NEVER ? Loop.NEVER : call.deadlineMs + wireSlackMs(call);
  }

  /** Whether the server's patience with the seat is enough for one more call. */
  private boolean isInTime(Call call) {
    if (call.deadlineMs == Loop.NEVER) {
      return deadlineMs == Loop.NEVER;
    }
    return call.deadlineMs + wireSlackMs(call) / 2 <= deadlineMs;
  }

  private void add(Call call) {
    call.seat = this;
    calls.add(call);
  }

  /** Moves all calls but `stays` to a seat of their own, in front of what this one sends next. */
  private void split(Call stays) {
    List<Call> others = calls.stream().filter(call -> call != stays).toList();
    if (others.isEmpty()) {
      return;
    }
    Seat other = new Seat(engine, join, deadlineMs);
    for (Call call : others) {
      calls.remove(call);
      other.add(call);
    }
    other.place();
  }

  private Call firstCall() {
    return calls.iterator().next();
  }

  // ---- looking for a server ----

  /** Finds a server and joins (or resumes) there; or gives up. */
  private void place() {
    int[] order = engine.order(join);
    for (; rank < order.length; rank++) {
      Server candidate = engine.servers.get(order[rank]);
      if (!candidate.isDown()) {
        enter(candidate);
        return;
      }
    }
    // Every server is down. Leaders wait for as long as their lease lasts, and some calls wait
    // because they were told to.
    Server home = engine.servers.get(order[0]);
    if (lead != null || (join.waitsWhenDown && !lookIsOver)) {
      enter(home);
    } else {
      giveUp(home);
    }
  }

  private void enter(Server next) {
    server = next;
    answered = false;
    wantsJoin = true;
    if (lead == null && !lookIsOver && !lookTimer.isArmed()) {
      lookTimer.arm(engine.loop.nowMs() + join.connectTimeoutMs);
    }
    next.seat(this);
  }

  private void onLookTimer() {
    Server tried = server;
    leavePlace();
    tried.onSilence(join.connectTimeoutMs);
    rank++;
    lookIsOver = rank >= engine.servers.size();
    if (lookIsOver) {
      giveUp(tried);
    } else {
      place();
    }
  }

  /** Its server is down; the seat is off its waiting list already. */
  void onServerDown() {
    if (lead == null && !join.waitsWhenDown) {
      lookTimer.disarm();
    }
    place();
  }

  private void giveUp(Server tried) {
    lookTimer.disarm();
    if (join.failOpen) {
      state = State.ALONE;
      startLead(new Leader.Terms(0, 1, 0, 0), 0);
      return;
    }
    end(tried.unreachable());
  }

  /** The server has answered the join. */
  private void setAnswered() {
    if (answered) {
      return;
    }
    answered = true;
    lookIsOver = false;
    rank = 0;
    lookTimer.disarm();
    server.onSessionUp(session);
  }

  /** Takes the seat off its server, which is told if it has the join and not ended the call. */
  private void leavePlace() {
    server.stopWaiting(this);
    if (session == null) {
      return;
    }
    if (wantsJoin) {
      session.remove(this);
      return;
    }
    boolean hasLease = lead != null && answered && lead.terms().leaseMs() > 0;
    session.replace(this, new Farewell(join, server, hasLease));
  }

  @Override
  void onSessionOver(Status status) {
    if (engine.isClosing()) {
      vanish();
      return;
    }
    if (Server.isFinal(status)) {
      end(new StatusException(status.getCode(), server.explain(status)));
      return;
    }
    if (lead != null) {
      resume();
      return;
    }
    state = State.JOINING;
    incoming.clear();
    place();
  }

  // ---- ends ----

  /** Off everything, without a word to the server. */
  private void vanish() {
    state = State.GONE;
    lookTimer.disarm();
    if (lead != null) {
      lead.stop();
    }
    engine.stopMerging(this);
    engine.seats.remove(this);
    if (session != null) {
      session.remove(this);
    }
    engine.onSomethingEnded();
  }

  /** Leaves; the server is told if it still has the call. */
  private void leave() {
    if (server != null) {
      leavePlace();
    }
    vanish();
  }

  /** Ends every call so, tells the function if it runs, and leaves. */
  private void end(StatusException status) {
    if (lead != null) {
      lead.leader.lose(status);
    }
    for (Call call : List.copyOf(calls)) {
      call.end(status);
    }
    leave();
  }

  /** One of its calls has been taken off. */
  void onCallLeft(StatusException status) {
    if (!calls.isEmpty()) {
      tellAudience();
    } else if (state != State.FINISHING) { // the flight's other callers wait for the outcome
      end(status);
    }
  }

  /** The client closes. */
  void close(StatusException status) {
    if (state != State.FINISHING) {
      end(status);
    } else {
      List.copyOf(calls).forEach(call -> call.end(status));
    }
  }

  /** Ends all calls with one outcome; the merged ones count as callers of their own. */
  private void endAll(Outcome outcome, Facts facts, Call leading) {
    for (Call call : List.copyOf(calls)) {
      call.end(outcome, facts.withLed(call == leading));
    }
    leave();
  }

  // ---- leading ----

  private void startLead(Leader.Terms terms, long firstSequence) {
    if (state != State.ALONE) {
      state = State.LEADING;
    }
    incoming.clear();
    Call call = firstCall();
    lead = new Lead(this, call, terms, firstSequence, engine);
    tellRestart(terms.attempt());
    tellAudience();
    Lead begun = lead;
    call.events()
        .onLead(lead.leader, () -> engine.loop.execute(() -> onLeaderChanged(begun)));
  }

  /** The function has written, or ended. */
  void onLeaderChanged(Lead changed) {
    if (lead != changed || state == State.GONE) {
      return;
    }
    boolean isFinished = changed.leader.isFinished();
    if (isFinished && state == State.ALONE) {
      finishAlone();
      return;
    }
    if (isFinished && state == State.LEADING) {
      state = State.FINISHING;
      engine.stopMerging(this);
      if (changed.leader.passesOn() && join.options.onLeaderLoss != LeaderLoss.FAIL) {
        if (session != null && answered) { // else its join may have to be sent, to resume
          session.unready(this);
        }
        split(changed.call); // their join travels before the `finish`
      }
      changed.wantsFinish = true;
    }
    if (session != null && answered) {
      session.ready(this);
    }
  }

  private void finishAlone() {
    if (lead.leader.passesOn()) {
      split(lead.call);
    }
    endAll(lead.leader.outcome(), Facts.alone(calls.size()), lead.call);
  }

  /** Has a frame to send. */
  void onLeadReady() {
    if (session != null) {
      session.ready(this);
    }
  }

  /** The stream broke while leading. */
  private void resume() {
    if (lead.terms().leaseMs() == 0) {
      lose(
          Status.Code.ABORTED,
          state == State.FINISHING
              ? "the connection broke before the server confirmed the outcome: it may or may not"
                  + " have reached the followers"
              : "the lead is lost: the connection to the server broke, and there is no lease that"
                  + " would outlive it");
      return;
    }
    answered = false;
    rank = 0;
    lead.onBroken();
    place();
  }

  private void onResumed(long sequence) {
    setAnswered();
    if (!lead.rewind(sequence)) {
      end(
          new StatusException(
              Status.Code.INTERNAL,
              "the server resumed the lead at a chunk that was never posted"));
      return;
    }
    lead.wantsFinish = state == State.FINISHING;
    session.ready(this);
  }

  void onLeaseOver() {
    lose(
        Status.Code.ABORTED,
        "the lease of "
            + Millis.describe(lead.terms().leaseMs())
            + " ran out before the connection to "
            + server.address
            + " was back");
  }

  /** Its call ends; the others join anew if somebody else may lead, or end as well. */
  private void lose(Status.Code code, String why) {
    if (code == Status.Code.ABORTED) {
      split(lead.call);
    }
    end(new StatusException(code, why));
  }

  private void tellAudience() {
    if (lead != null && join.options.audience) {
      lead.tellAudience(calls);
    }
  }

  // ---- frames to send ----

  @Override
  CallRequest nextFrame() {
    CallRequest.Builder frame = CallRequest.newBuilder().setId(id);
    if (wantsJoin) {
      wantsJoin = false;
      addJoin(frame);
    } else if (lead == null || !answered || !lead.addFrame(frame)) {
      return null;
    }
    return frame.build();
  }

  @Override
  boolean hasMore() {
    return lead != null && answered && lead.hasFrame();
  }

  private void addJoin(CallRequest.Builder frame) {
    long resumeToken = lead == null ? 0 : lead.terms().token();
    frame.setJoin(join.toWire(resumeToken));
    if (deadlineMs != Loop.NEVER && resumeToken == 0) {
      frame.setTimeoutMs(Math.max(1, deadlineMs - engine.loop.nowMs()));
    }
  }

  // ---- what the server says ----

  @Override
  boolean isWanted() {
    return true;
  }

  @Override
  void onFrame(CallResponse frame) {
    switch (frame.getStepCase()) {
      case LEAD -> onLead(frame.getLead());
      case FOLLOW -> onFollow(frame.getFollow());
      case CHUNK -> onChunk(frame.getChunk());
      case RESTART -> onRestart(frame.getRestart());
      case AUDIENCE -> {
        if (lead != null) {
          lead.audience = frame.getAudience();
          tellAudience();
        }
      }
      case RESULT -> {
        server.onSessionUp(session);
        onResult(frame.getResult());
      }
      case END -> onEnd(frame.getEnd());
      case STEP_NOT_SET -> {} // a step of a later server
    }
  }

  private void onLead(io.singleflightd.grpc.v1.Lead granted) {
    if (join.options.role == Role.FOLLOW_ONLY) {
      end(
          new StatusException(
              Status.Code.INTERNAL, "the server told one to lead that only follows"));
      return;
    }
    if (lead == null) {
      setAnswered();
      startLead(
          new Leader.Terms(
              granted.getToken(),
              granted.getAttempt(),
              granted.getLeaseMs(),
              granted.getRunLimitMs()),
          granted.getNextSequence());
    } else if (!answered && granted.getToken() == lead.terms().token()) {
      onResumed(granted.getNextSequence());
    } else if (!answered) {
      end(new StatusException(Status.Code.INTERNAL, "the server resumed another lead"));
    }
  }

  private void onFollow(io.singleflightd.grpc.v1.Follow follow) {
    if (state != State.JOINING) {
      return;
    }
    setAnswered();
    state = State.FOLLOWING;
    tellRestart(follow.getAttempt());
    for (Call call : calls) {
      call.events().onFollow();
    }
  }

  private void onChunk(io.singleflightd.grpc.v1.Chunk chunk) {
    if (lead != null) {
      return;
    }
    setAnswered();
    tellRestart(chunk.getAttempt());
    if (!incoming.advance(chunk.getSequence())) {
      end(new StatusException(Status.Code.INTERNAL, "a chunk of the value is missing"));
      return;
    }
    takeBytes(chunk.getData());
  }

  private void onRestart(io.singleflightd.grpc.v1.Restart restart) {
    if (lead != null) {
      return;
    }
    incoming.clear();
    incoming.setVoid();
    tellRestart(restart.getAttempt());
  }

  private void onResult(io.singleflightd.grpc.v1.Result result) {
    session.remove(this);
    Facts facts = Facts.of(result, calls.size());
    if (state == State.FINISHING && result.getLed()) {
      // The server does not send the leader's own value back.
      endAll(lead.leader.outcome(), facts, lead.call);
      return;
    }
    tellRestart(result.getAttempt());
    if (!takeBytes(result.getOutcome().getValue())) {
      return;
    }
    if (!result.getLed() && result.getValueBytes() != incoming.size()) {
      end(
          new StatusException(
              Status.Code.INTERNAL,
              incoming.size() + " bytes of a value of " + result.getValueBytes() + " have come"));
      return;
    }
    if (lead != null) { // settled without us, while our function runs
      lead.leader.lose(
          new StatusException(
              Status.Code.ABORTED, "the flight has ended without this leader"));
    }
    Call leading = !result.getLed() || calls.isEmpty() ? null : firstCall();
    endAll(Outcome.of(result.getOutcome(), incoming.value()), facts, leading);
  }

  private void onEnd(io.singleflightd.grpc.v1.End ended) {
    boolean wasAnswered = answered;
    Session was = session;
    was.remove(this);
    Status status = Status.fromCodeValue(ended.getCode()).withDescription(ended.getMessage());
    Status.Code code = status.getCode();
    // Nobody has asked for CANCELLED: a leaving seat does not listen any more.
    if (code == Status.Code.UNAVAILABLE || code == Status.Code.CANCELLED) {
      // Draining, or its coordinator is away: as if the stream had broken.
      if (wasAnswered) {
        was.retire();
      } else {
        server.onSessionRefuses(was, ended.getMessage());
      }
      onSessionOver(Status.UNAVAILABLE.withDescription(ended.getMessage()));
      return;
    }
    server.onSessionUp(was);
    Status.Code shown = code == Status.Code.OK ? Status.Code.INTERNAL : code;
    if (lead != null) {
      lose(shown, ended.getMessage());
    } else {
      end(new StatusException(shown, ended.getMessage()));
    }
  }

  // ---- the value ----

  /** False: it is too large, and the seat is gone. */
  private boolean takeBytes(ByteString bytes) {
    if (bytes.isEmpty()) {
      return true;
    }
    int limit = engine.settings.resultLimit();
    if (bytes.size() > limit - incoming.size()) {
      end(
          new StatusException(
              Status.Code.RESOURCE_EXHAUSTED,
              "the value is larger than the client's resultLimit, which is " + limit + " bytes"));
      return false;
    }
    incoming.add(bytes);
    if (join.live) { // live calls sit alone
      incoming.setTold();
      firstCall().events().onChunk(bytes);
    }
    return true;
  }

  /** Live calls learn that what they got is void, if it is and they do not know it. */
  private void tellRestart(int attempt) {
    if (join.live && incoming.takeVoid()) {
      firstCall().events().onRestart(attempt);
    }
  }
}
