// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.Status;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.CallResponse;
import io.singleflightd.grpc.v1.Lead;
import io.singleflightd.grpc.v1.Result;
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
    /** Somebody else leads, or will. */
    FOLLOWING,
    /**
     * `lead` is set. Its function runs, or is to begin once the server has confirmed the lead.
     * While not `answered` the stream is broken, and the lead is to be resumed while it holds.
     * There may be no calls: then somebody waits elsewhere.
     */
    LEADING,
    /** The same, but the function has ended: its outcome is not confirmed yet. */
    FINISHING,
    /** No server can be reached: `lead` is set, and its function runs for the calls here. */
    ALONE,
    /** Off everything. */
    GONE
  }

  // On the wire every deadline is a part of the timeout later than the call's own, so that the call
  // is ended here, where a lease is given back, and not by the server, which would keep the flight
  // for a leader that may come back. Equal calls that come a little later take up to half of it.
  static final long WIRE_SLACK_MS_MIN = 1000;
  static final long WIRE_SLACK_DIVISOR = 4;
  private static final long NOT_LOOKING = Long.MIN_VALUE;

  final Join join;
  final long deadlineMs;

  /** Those that wait here, the oldest first. */
  final LinkedHashSet<Call> calls = new LinkedHashSet<>();

  /** Null unless it leads. */
  SeatLead lead;

  private final Engine engine;
  private final SeatFrames frames;
  private final Patience patience;
  private State state = State.JOINING;
  private Server server; // it is on a session of it, or on its waiting list; null: it waits for any
  private int rank; // of the server in the key's order
  private boolean lookIsOver;
  private long lookLeftMs = NOT_LOOKING;
  private long turnMs; // what its patience was set to
  private boolean wantsJoin;
  private boolean answered; // its join
  private long joinSentMs;
  private int followedAttempt; // 0: none is known

  private Seat(Engine engine, Join join, long deadlineMs) {
    this.engine = engine;
    this.join = join;
    this.deadlineMs = deadlineMs;
    frames = new SeatFrames(this, engine);
    patience = new Patience(engine.loop, this::onPatienceOver);
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
    if (lead != null && lead.hold.isAnswered()) {
      return true; // a server that answers renewals detaches leaders from their deadlines, too
    }
    if (call.deadlineMs == Loop.NEVER) {
      return deadlineMs == Loop.NEVER;
    }
    return call.deadlineMs + wireSlackMs(call) / 2 <= deadlineMs;
  }

  private void add(Call call) {
    call.seat = this;
    calls.add(call);
    if (state == State.FOLLOWING) {
      call.events().onFollow(followedAttempt, 0);
    } else if (lead != null && lead.isBegun()) {
      call.events().onFollow(lead.terms().attempt(), lead.terms().token());
    }
  }

  /** Moves all calls but `stays` to a seat of their own, in front of what this one sends next. */
  private void split(Call stays) {
    List<Call> others = calls.stream().filter(call -> call != stays).toList();
    if (others.isEmpty()) {
      return;
    }
    long latestMs = others.stream().mapToLong(Seat::wireDeadlineMs).max().orElseThrow();
    Seat other = new Seat(engine, join, latestMs);
    for (Call call : others) {
      calls.remove(call);
      other.add(call);
    }
    other.place();
  }

  Call firstCall() {
    return calls.iterator().next();
  }

  // ---- looking for a server ----

  /** Finds a server and joins there; or waits for one; or gives up. A lead stays where it is. */
  private void place() {
    if (lead != null) {
      enter(server);
      return;
    }
    int[] order = engine.order(join);
    for (; rank < order.length; rank++) {
      Server candidate = engine.servers.get(order[rank]);
      if (!candidate.isAway()) {
        enter(candidate);
        return;
      }
    }
    Server home = engine.servers.get(order[0]);
    if (lookIsOver || knowsThatThereIsNone()) {
      giveUp(home);
      return;
    }
    server = null;
    engine.awaitServer(this);
    startPatience();
  }

  private boolean knowsThatThereIsNone() {
    return join.failOpen
        && engine.servers.stream()
            .allMatch(server -> !server.turnsAway() && (server.isRefused() || server.isDown()));
  }

  private void enter(Server next) {
    server = next;
    answered = false;
    wantsJoin = true;
    lookIsOver = false;
    startPatience();
    next.seat(this);
  }

  private void startPatience() {
    if (patience.isWaiting()) {
      return;
    }
    if (lead != null) {
      patience.await(lead.hold.tryMs());
      return;
    }
    if (lookLeftMs == NOT_LOOKING) {
      lookLeftMs = patienceMs();
    }
    // One server has so long to answer; the next one has a time of its own.
    turnMs = Math.min(patienceMs(), Settings.ANSWER_TIMEOUT_MS);
    if (lookLeftMs > 0) {
      turnMs = Math.min(turnMs, lookLeftMs);
    }
    patience.await(turnMs);
  }

  /** Who does not wait for a connection may wait for the answer on one that is there. */
  private long patienceMs() {
    boolean isConnected = server != null && server.isConnected();
    return isConnected && join.connectTimeoutMs == Settings.NO_WAIT_MS
        ? Settings.ANSWER_TIMEOUT_MS
        : join.connectTimeoutMs;
  }

  private void onPatienceOver() {
    if (lead != null) {
      resumeAnew();
      return;
    }
    Server tried = server;
    leavePlace();
    if (tried != null) { // else every server is away
      tried.onSilence(turnMs);
      rank++;
    }
    lookLeftMs -= turnMs;
    lookIsOver = lookLeftMs <= 0; // unless there is one more
    place();
  }

  /** The lead was not given back yet: another connection may have more luck. */
  private void resumeAnew() {
    if (session != null) {
      Session silent = session;
      silent.remove(this);
      server.onSessionSilent(silent);
    } else {
      server.stopWaiting(this);
    }
    place();
  }

  /** Its server cannot be reached; the seat is off its waiting list already. */
  void onServerAway() {
    place();
  }

  /** A server that was away is back; the seat waits for any. */
  void onServerBack() {
    rank = 0;
    place();
  }

  private void giveUp(Server home) {
    patience.stop();
    boolean isThere = engine.servers.stream().anyMatch(Server::turnsAway);
    if (join.failOpen && !isThere) {
      state = State.ALONE;
      beginLead(Lead.newBuilder().setAttempt(1).build());
      return;
    }
    end(home.unreachable());
  }

  boolean isAnswered() {
    return answered;
  }

  /** The server has answered the join. */
  void setAnswered() {
    if (answered) {
      return;
    }
    answered = true;
    lookIsOver = false;
    lookLeftMs = NOT_LOOKING;
    rank = 0;
    patience.stop();
    onSessionWorks();
  }

  void setFollowing(int attempt) {
    state = State.FOLLOWING;
    followedAttempt = attempt;
    calls.forEach(call -> call.events().onFollow(attempt, 0));
  }

  void onSessionWorks() {
    server.onSessionUp(session);
  }

  /** Takes the seat off its server, which is told if it has the join and not ended the call. */
  private void leavePlace() {
    engine.stopAwaitingServer(this);
    if (server != null) {
      server.stopWaiting(this);
    }
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
    if (lead != null && (lead.isBegun() || lead.terms().leaseMs() > 0)) {
      onLeadCutOff();
      return;
    }
    if (lead != null) { // nothing has begun
      lead.stop();
      lead = null;
    }
    state = State.JOINING;
    frames.clear();
    place();
  }

  // ---- ends ----

  /** Off everything, without a word to the server. */
  private void vanish() {
    state = State.GONE;
    patience.stop();
    if (lead != null) {
      lead.stop();
    }
    engine.stopMerging(this);
    engine.stopAwaitingServer(this);
    engine.seats.remove(this);
    if (session != null) {
      session.remove(this);
    }
    engine.onSomethingEnded();
  }

  /** Leaves; the server is told if it still has the call. */
  private void leave() {
    leavePlace();
    vanish();
  }

  /** Ends every call so, tells the function if it runs, and leaves. */
  void end(StatusException status) {
    if (lead != null) {
      lead.leader.lose(status);
      tellLost();
    }
    for (Call call : List.copyOf(calls)) {
      call.end(status);
    }
    leave();
  }

  /** Unless its call has ended, or nobody could take the lead away. */
  private void tellLost() {
    if (lead.isBegun() && state != State.ALONE && calls.contains(lead.call)) {
      lead.call.events().onLost();
    }
  }

  /** One of its calls has been taken off. A function goes on for as long as somebody waits. */
  void onCallLeft(StatusException status) {
    if (!calls.isEmpty()) {
      tellAudience();
      return;
    }
    boolean isWanted =
        state == State.FINISHING
            || (state == State.LEADING && lead.isBegun() && lead.isWantedElsewhere());
    if (!isWanted) {
      end(status);
    }
  }

  /** Others have come, or left, elsewhere. */
  void onAudience() {
    if (calls.isEmpty() && state == State.LEADING && !lead.isWantedElsewhere()) {
      end(new StatusException(Status.Code.CANCELLED, "nobody waits for the outcome any more"));
    } else {
      tellAudience();
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
    boolean isFirst = true;
    for (Call call : List.copyOf(calls)) {
      // Each has bytes of its own.
      Outcome own = isFirst ? outcome : outcome.withValue(outcome.value().clone());
      call.end(own, facts.withLed(call == leading));
      isFirst = false;
    }
    leave();
  }

  /** The server has told what the flight ended with. */
  void endWith(Outcome outcome, Facts facts, boolean isLed) {
    if (lead != null) {
      lead.leader.lose(
          new StatusException(
              Status.Code.ABORTED,
              outcome.message().isEmpty()
                  ? "the flight has ended without this leader"
                  : "the flight has ended: " + outcome.message()));
      if (!isLed) {
        tellLost();
      }
    }
    Call leading = null;
    if (isLed && lead != null) {
      leading = lead.call;
    } else if (isLed && !calls.isEmpty()) {
      leading = firstCall();
    }
    endAll(outcome, facts, leading);
  }

  /** Whether a result confirms what this seat's function has ended with. */
  boolean isOwnOutcome(Result result) {
    if (state != State.FINISHING || !result.getLed()) {
      return false;
    }
    Outcome own = lead.leader.ending();
    Outcome told = Outcome.of(result.getOutcome(), new byte[0]);
    boolean isLimit = told.type().equals(Outcome.LIMIT_TYPE);
    return told.kind() == own.kind() && (!isLimit || own.type().equals(Outcome.LIMIT_TYPE));
  }

  void endWithOwn(Facts facts) {
    endAll(lead.leader.outcome(), facts, lead.call);
  }

  // ---- leading ----

  void startLead(Lead granted) {
    state = State.LEADING;
    beginLead(granted);
  }

  private void beginLead(Lead granted) {
    frames.clear();
    lead = new SeatLead(this, granted, joinSentMs, engine);
    frames.tellRestart(granted.getAttempt());
    beginIfHeld();
  }

  /** Runs the function, unless the server has to confirm the lead first, or it runs already. */
  void beginIfHeld() {
    if (lead.isBegun() || lead.hold.isDoubtful()) {
      return;
    }
    lead.call = firstCall();
    tellAudience();
    SeatLead begun = lead;
    for (Call call : calls) {
      if (call != lead.call) {
        call.events().onFollow(lead.terms().attempt(), lead.terms().token());
      }
    }
    lead.call
        .events()
        .onLead(lead.leader, () -> engine.loop.execute(() -> onLeaderChanged(begun)));
  }

  /** The function has written, or ended. */
  void onLeaderChanged(SeatLead changed) {
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
      if (changed.leader.passesOn() && join.options.onLeaderLoss == LeaderLoss.PROMOTE) {
        if (session != null && answered) { // else its join may have to be sent, to resume
          session.unready(this);
        }
        split(changed.call); // their join travels before the `finish`
      }
      changed.wantsFinish = true;
    }
    onLeadReady();
  }

  private void finishAlone() {
    if (lead.leader.passesOn()) {
      split(lead.call);
    }
    endAll(lead.leader.outcome(), Facts.alone(calls.size(), lead.terms()), lead.call);
  }

  /** Has a frame to send. */
  void onLeadReady() {
    if (session != null && answered) {
      session.ready(this);
    }
  }

  /** The stream broke while leading. */
  private void onLeadCutOff() {
    if (lead.terms().leaseMs() > 0) {
      answered = false;
      patience.stop();
      lead.hold.onBroken();
      place();
    } else if (join.failOpen) {
      goAlone();
    } else {
      lose(
          Status.Code.ABORTED,
          state == State.FINISHING
              ? "the connection broke before the server confirmed the outcome: it may or may not"
                  + " have reached the followers"
              : "the lead is lost: the connection to the server broke, and there is no lease that"
                  + " would outlive it");
    }
  }

  void onResumed(Lead granted) {
    setAnswered();
    if (!lead.resume(granted, joinSentMs)) {
      end(
          new StatusException(
              Status.Code.INTERNAL,
              "the server resumed the lead at a chunk that was never posted"));
      return;
    }
    lead.wantsFinish = state == State.FINISHING;
    session.ready(this);
    beginIfHeld();
  }

  /** The time for which the lead holds is over. */
  void onLeadOver(String why) {
    boolean isConnected = session != null && answered;
    if (state == State.FINISHING && isConnected) {
      return; // the outcome is on its way, and the server's word counts
    }
    if (isConnected) {
      server.onSessionSilent(session);
    }
    if (join.failOpen && lead.isBegun()) {
      goAlone();
    } else {
      lose(Status.Code.ABORTED, isConnected ? why : why + ", and the connection is broken");
    }
  }

  /** The server is lost: the function goes on to its end, for the calls here. */
  private void goAlone() {
    patience.stop();
    leavePlace();
    server = null;
    state = State.ALONE;
    lead.goAlone();
    if (calls.contains(lead.call)) {
      lead.call.events().onAlone();
    }
    if (calls.isEmpty()) { // who waited elsewhere cannot be reached
      end(new StatusException(Status.Code.UNAVAILABLE, "nobody waits here for the outcome"));
    } else if (lead.leader.isFinished()) {
      finishAlone();
    }
  }

  /** Its call ends; the others join anew if somebody else may lead, or end as well. */
  void lose(Status.Code code, String why) {
    StatusException status = new StatusException(code, why);
    lead.leader.lose(status);
    if (code == Status.Code.ABORTED) {
      loseOthers(why);
    }
    end(status);
  }

  private void loseOthers(String why) {
    DoOptions options = join.options;
    if (options.onLeaderLoss == LeaderLoss.HOLD) {
      Facts facts = Facts.held(calls.size(), lead.terms());
      for (Call call : List.copyOf(calls)) {
        if (call != lead.call) {
          call.end(Outcome.abandoned(why), facts);
        }
      }
      return;
    }
    boolean isUsedUp =
        options.maxAttempts > 0 && lead.terms().attempt() >= options.maxAttempts;
    if (options.onLeaderLoss == LeaderLoss.PROMOTE && !isUsedUp) {
      split(lead.call);
    }
  }

  private void tellAudience() {
    if (lead != null && join.options.audience) {
      lead.tellAudience(calls);
    }
  }

  // ---- frames ----

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
    joinSentMs = engine.loop.nowMs();
    if (join.options.fresh) {
      engine.stopMerging(this); // a call that comes later may have to wait for a later flight
    }
    long resumeToken = lead == null ? 0 : lead.terms().token();
    String traceparent = calls.isEmpty() ? "" : firstCall().events().traceparent();
    frame.setJoin(join.toWire(resumeToken).setTraceparent(traceparent));
    if (deadlineMs != Loop.NEVER && resumeToken == 0) {
      frame.setTimeoutMs(Math.max(1, deadlineMs - joinSentMs));
    }
  }

  @Override
  boolean isWanted() {
    return true;
  }

  @Override
  void onFrame(CallResponse frame) {
    frames.onFrame(frame);
  }
}
