// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.ConnectivityState;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.singleflightd.grpc.health.v1.HealthCheckRequest;
import io.singleflightd.grpc.health.v1.HealthCheckResponse;
import io.singleflightd.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.singleflightd.grpc.health.v1.HealthGrpc;
import java.io.FileNotFoundException;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.UnknownHostException;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;

/**
 * One server address. It is there as far as known, or away, as the last try has shown. One that is
 * away gets health checks instead of sessions, until it answers one. When nothing works for the
 * answer timeout, it is down: for calls that fail open that is an answer. The loop's alone.
 */
final class Server {
  private enum Away {
    NO,
    /** Nobody listens there, or there is no such place. */
    REFUSED,
    /** It takes no joins: it drains, or its coordinator cannot be reached. */
    TURNS_AWAY,
    SILENT
  }

  final String address;

  private final Engine engine;
  private final Set<Session> sessions = new LinkedHashSet<>(); // those that retire included
  private final Set<Seat> waiting = new LinkedHashSet<>(); // for the next session
  private final Backoff backoff;
  private final Loop.Timer retryTimer; // armed: nothing is tried before
  private final Patience patience; // waits while failing
  private Session current; // the one that new seats go to; null: none
  private ManagedChannel channel;
  private Away away = Away.NO;
  private boolean isDown;
  private boolean isFailing;
  private boolean isProbing;
  private String lastError = "";

  Server(Engine engine, String address) {
    this.engine = engine;
    this.address = address;
    backoff = new Backoff(engine.settings.backoffMinMs(), engine.settings.backoffMaxMs());
    retryTimer = engine.loop.timer(this::onRetryTimer);
    patience = new Patience(engine.loop, this::onPatienceOver);
    channel = engine.connect(address);
    channel.getState(true); // begins to connect, and loads what that takes
  }

  boolean isDown() {
    return isDown;
  }

  boolean isAway() {
    return away != Away.NO;
  }

  boolean isRefused() {
    return away == Away.REFUSED;
  }

  boolean isConnected() {
    return current != null && current.isUp;
  }

  boolean turnsAway() {
    return away == Away.TURNS_AWAY;
  }

  /** Whether a status says that nobody listens there, or that there is no such place. */
  static boolean isRefusal(Status status) {
    for (Throwable cause = status.getCause(); cause != null; cause = cause.getCause()) {
      boolean isLate = cause.getClass().getSimpleName().contains("Timeout");
      boolean isNobody =
          cause instanceof ConnectException
              || cause instanceof NoRouteToHostException
              || cause instanceof UnknownHostException
              || cause instanceof FileNotFoundException;
      if (isNobody && !isLate) {
        return true;
      }
    }
    return false;
  }

  /** Statuses of a stream that no second try mends. */
  static boolean isFinal(Status status) {
    return switch (status.getCode()) {
      case PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED -> true;
      default -> false;
    };
  }

  /** Statuses with which a server that is there turns this caller away. */
  static boolean isRefusalOfCaller(Status status) {
    return switch (status.getCode()) {
      case PERMISSION_DENIED, UNAUTHENTICATED -> true;
      default -> false;
    };
  }

  /** A status of a stream in words. */
  String explain(Status status) {
    String text = describe(status);
    if (status.getCode() == Status.Code.UNIMPLEMENTED) {
      return "what answers at "
          + address
          + " does not know singleflight.v1 sessions: it is no singleflightd, or one that is older"
          + " than this client ("
          + text
          + ")";
    }
    return address + ": " + text;
  }

  /** What calls end with that found neither this server nor another one. */
  StatusException unreachable() {
    int others = engine.servers.size() - 1;
    return new StatusException(
        Status.Code.UNAVAILABLE,
        "no server can be reached at "
            + address
            + (others == 0 ? "" : " (and " + others + " other servers)")
            + ": "
            + (lastError.isEmpty() ? "it does not answer" : lastError)
            + ". Start singleflightd there, or name its address in SINGLEFLIGHT_ADDRESS; or let"
            + " calls fail open");
  }

  private static String describe(Status status) {
    String text = status.getDescription() == null ? "" : status.getDescription();
    Throwable cause = status.getCause();
    while (cause instanceof SSLException && cause.getCause() != null) {
      cause = cause.getCause(); // that tells what is wrong
    }
    if (cause != null) {
      text = text.lines().findFirst().orElse(""); // behind it are the classes that saw it
      String why = cause.getMessage() == null ? cause.toString() : cause.getMessage();
      text = text.isEmpty() ? why : text + ": " + why;
    }
    return text.isEmpty() ? status.getCode().toString() : text;
  }

  // ---- reachable or not ----

  private void setFailing() {
    if (!isFailing) {
      isFailing = true;
      patience.await(engine.settings.answerTimeoutMs());
    }
  }

  private void setReachable() {
    isFailing = false;
    lastError = "";
    patience.stop();
    backoff.reset();
    setBack();
  }

  private void setBack() {
    boolean wasAway = isAway();
    away = Away.NO;
    isDown = false;
    if (wasAway) {
      engine.onServerBack();
    }
  }

  /** The next try comes after a random while. */
  private void backOff() {
    if (!engine.isClosing() && !retryTimer.isArmed()) {
      retryTimer.arm(engine.loop.nowMs() + backoff.nextMs());
    }
  }

  // A session that has not answered yet is given up; one that works may be all right but slow, and
  // what runs on it goes on.
  private void setAway(Away how) {
    away = how;
    setFailing();
    if (current != null && !current.isUp) {
      current.cut(); // its seats look elsewhere once it is over
    }
    backOff();
    List<Seat> seats = List.copyOf(waiting);
    waiting.clear();
    seats.forEach(Seat::onServerAway); // those that stay come back
    engine.onServerAway();
  }

  private void onPatienceOver() {
    boolean isWanted =
        isAway()
            || !waiting.isEmpty()
            || engine.isServerAwaited()
            || (current != null && current.isWanted());
    if (isWanted) {
      isDown = true;
      setAway(away == Away.NO ? Away.SILENT : away);
      return;
    }
    isFailing = false; // nobody has asked long enough to know
    if (current != null) {
      current.cut();
    }
  }

  /** From a seat: its join has not been answered for so long. */
  void onSilence(long waitedMs) {
    if (isDown || waitedMs < engine.settings.answerTimeoutMs()) {
      return;
    }
    if (lastError.isEmpty()) {
      lastError = "the server does not answer";
    }
    isDown = true;
    setAway(away == Away.NO ? Away.SILENT : away);
  }

  // ---- sessions ----

  /** Puts a seat that is to join on the current session, or lets it wait for the next one. */
  void seat(Seat seat) {
    if (current != null && !current.token.equals(token())) {
      current.retire(); // the server may soon know the old token no more
    }
    if (current != null) {
      current.add(seat);
      return;
    }
    waiting.add(seat);
    if (!isAway() && !retryTimer.isArmed()) {
      openSession();
    }
  }

  private String token() {
    return engine.settings.security().token();
  }

  void stopWaiting(Seat seat) {
    waiting.remove(seat);
  }

  private ManagedChannel channel() {
    if (channel == null) {
      channel = engine.connect(address);
    }
    return channel;
  }

  /** A channel that does not refuse at once what it has found refused a while ago. */
  ManagedChannel freshChannel() {
    if (channel().getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
      dropChannel();
    }
    return channel();
  }

  /** The next try makes a connection of its own, without the waits that grpc has of its own. */
  private void dropChannel() {
    if (channel != null) {
      channel.shutdown(); // what runs on it may end
      channel = null;
    }
  }

  /** Opens a session for all that wait. */
  private void openSession() {
    Session session = new Session(this, engine.loop, freshChannel(), token());
    sessions.add(session);
    current = session;
    setFailing(); // until it answers
    List<Seat> seats = List.copyOf(waiting);
    waiting.clear();
    seats.forEach(session::add);
    // Not in the context of whoever asks first, whose end must not end the session.
    Context.ROOT.run(session::open);
  }

  /** From a session: it works. */
  void onSessionUp(Session session) {
    if (!session.isUp && !session.isRetired()) {
      session.isUp = true;
      setReachable();
    }
  }

  /** From a session: it turned a call away with UNAVAILABLE. */
  void onSessionRefuses(Session session, String why) {
    session.retire();
    lastError = why;
    setAway(Away.TURNS_AWAY);
  }

  /** From a lead: nothing has come on it for so long that what is new goes another way. */
  void onSessionSilent(Session session) {
    session.retire();
    if (!isAway()) {
      dropChannel();
    }
  }

  void onSessionRetired(Session session) {
    if (current == session) {
      current = null;
    }
  }

  void onSessionOver(Session session, Status status) {
    sessions.remove(session);
    boolean wasCurrent = current == session;
    if (wasCurrent) {
      current = null;
    }
    if (!session.isUp) {
      dropChannel();
    }
    if (engine.isClosing() || (!wasCurrent && session.isUp)) {
      engine.onSomethingEnded();
      return;
    }
    if (isRefusalOfCaller(status)) {
      setReachable(); // the next caller is told at once, too
      return;
    }
    if (!session.isUp) {
      if (!status.isOk() && status.getCode() != Status.Code.CANCELLED) {
        lastError = describe(status);
      }
      setFailing();
      if (isRefusal(status)) {
        setAway(Away.REFUSED);
      }
    }
    backOff(); // also after a good one: many clients may have lost the same server
  }

  // ---- probes ----

  private void onRetryTimer() {
    // Leaders wait at a server that drains: it takes them back.
    boolean isProbed = isAway() && (away != Away.TURNS_AWAY || waiting.isEmpty());
    if (isProbed && !isProbing) {
      Context.ROOT.run(this::probe);
    } else if (!isProbed && current == null && !waiting.isEmpty()) {
      openSession();
    }
  }

  private void probe() {
    isProbing = true;
    dropChannel();
    HealthGrpc.newStub(channel())
        .withDeadlineAfter(engine.settings.answerTimeoutMs(), TimeUnit.MILLISECONDS)
        .check(HealthCheckRequest.getDefaultInstance(), new ProbeObserver());
  }

  private final class ProbeObserver implements StreamObserver<HealthCheckResponse> {
    private boolean serves;

    @Override
    public void onNext(HealthCheckResponse response) {
      serves = response.getStatus() == ServingStatus.SERVING;
    }

    @Override
    public void onError(Throwable thrown) {
      Status status = Status.fromThrowable(thrown);
      // A server without health checks that says so is there.
      boolean isThere = status.getCode() == Status.Code.UNIMPLEMENTED || isRefusalOfCaller(status);
      Away how = isRefusal(status) ? Away.REFUSED : Away.SILENT;
      engine.loop.execute(() -> onProbed(isThere, how, describe(status)));
    }

    @Override
    public void onCompleted() {
      engine.loop.execute(
          () -> onProbed(serves, Away.TURNS_AWAY, "it is there, but not ready to serve"));
    }
  }

  private void onProbed(boolean serves, Away how, String why) {
    isProbing = false;
    if (engine.isClosing() || !isAway()) {
      return;
    }
    if (!serves) {
      lastError = why;
      setAway(how);
      return;
    }
    if (turnsAway()) { // it may do so again: the waits grow on until it takes a join
      setBack();
    } else {
      setReachable();
    }
    if (current == null && !waiting.isEmpty()) {
      openSession();
    }
  }

  // ---- the end ----

  boolean hasSessions() {
    return !sessions.isEmpty();
  }

  /** Ends what runs by itself, and lets the sessions end when their frames are out. */
  void close() {
    retryTimer.disarm();
    patience.stop();
    List.copyOf(sessions).forEach(Session::retire);
  }
}
