// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.singleflightd.grpc.health.v1.HealthCheckRequest;
import io.singleflightd.grpc.health.v1.HealthCheckResponse;
import io.singleflightd.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.singleflightd.grpc.health.v1.HealthGrpc;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/**
 * One server address. Reachable as far as known; or failing (since when); or down: failing for
 * connectTimeout. A server that is down gets health checks instead of sessions, until it answers
 * one. The loop's alone.
 */
final class Server {
  final String address;

  private final Engine engine;
  private final Set<Session> sessions = new LinkedHashSet<>(); // those that retire included
  private final Set<Seat> waiting = new LinkedHashSet<>(); // for the next session
  private final Backoff backoff;
  private final Loop.Timer retryTimer; // armed: nothing is tried before
  private final Loop.Timer downTimer; // armed while failing
  private Session current; // the one that new seats go to; null: none
  private ManagedChannel channel;
  private boolean isDown;
  private boolean isFailing;
  private boolean isProbing;
  private String lastError = "";

  Server(Engine engine, String address) {
    this.engine = engine;
    this.address = address;
    backoff = new Backoff(engine.settings.backoffMinMs(), engine.settings.backoffMaxMs());
    retryTimer = engine.loop.timer(this::onRetryTimer);
    downTimer = engine.loop.timer(this::onDownTimer);
    channel = engine.connect(address); // loads many classes: not in the time of the first call
  }

  boolean isDown() {
    return isDown;
  }

  /** Statuses of a stream that no second try mends. */
  static boolean isFinal(Status status) {
    return switch (status.getCode()) {
      case PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED -> true;
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
    if (cause != null) {
      String why = cause.getMessage() == null ? cause.toString() : cause.getMessage();
      text = text.isEmpty() ? why : text + ": " + why;
    }
    return text.isEmpty() ? status.getCode().toString() : text;
  }

  // ---- reachable or not ----

  private void setFailing() {
    if (!isFailing) {
      isFailing = true;
      downTimer.arm(engine.loop.nowMs() + engine.settings.connectTimeoutMs());
    }
  }

  private void setReachable() {
    isFailing = false;
    isDown = false;
    lastError = "";
    downTimer.disarm();
    backoff.reset();
  }

  /** The next try comes after a random while. */
  private void backOff() {
    if (!engine.isClosing() && !retryTimer.isArmed()) {
      retryTimer.arm(engine.loop.nowMs() + backoff.nextMs());
    }
  }

  // A session that has not answered yet is given up; one that works may be all right but slow, and
  // what runs on it goes on.
  private void setDown() {
    isDown = true;
    if (current != null && !current.isUp) {
      current.cut(); // its seats look elsewhere once it is over
    }
    backOff();
    List<Seat> seats = List.copyOf(waiting);
    waiting.clear();
    seats.forEach(Seat::onServerDown); // those that stay come back
  }

  private void onDownTimer() {
    boolean isWanted = !waiting.isEmpty() || (current != null && current.isWanted());
    if (isWanted) {
      setDown();
      return;
    }
    isFailing = false; // nobody has asked long enough to know
    if (current != null) {
      current.cut();
    }
  }

  /** From a seat: its join has not been answered for so long. */
  void onSilence(long waitedMs) {
    if (isDown || waitedMs < engine.settings.connectTimeoutMs()) {
      return;
    }
    if (lastError.isEmpty()) {
      lastError = "the server does not answer";
    }
    setDown();
  }

  // ---- sessions ----

  /** Puts a seat that is to join on the current session, or lets it wait for the next one. */
  void seat(Seat seat) {
    if (current != null) {
      current.add(seat);
      return;
    }
    waiting.add(seat);
    if (!isDown && !retryTimer.isArmed()) {
      openSession();
    }
  }

  void stopWaiting(Seat seat) {
    waiting.remove(seat);
  }

  ManagedChannel channel() {
    if (channel == null) {
      channel = engine.connect(address);
    }
    return channel;
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
    Session session = new Session(this, engine.loop, channel());
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

  /** From a session: it turned a join away with UNAVAILABLE. */
  void onSessionRefuses(Session session, String why) {
    session.retire();
    lastError = why;
    setFailing();
    backOff();
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
    if (!session.isUp) {
      if (!status.isOk() && status.getCode() != Status.Code.CANCELLED) {
        lastError = describe(status);
      }
      setFailing();
    }
    backOff(); // also after a good one: many clients may have lost the same server
  }

  // ---- probes ----

  private void onRetryTimer() {
    if (isDown && !isProbing) {
      Context.ROOT.run(this::probe);
    } else if (!isDown && current == null && !waiting.isEmpty()) {
      openSession();
    }
  }

  private void probe() {
    isProbing = true;
    dropChannel();
    HealthGrpc.newStub(channel())
        .withDeadlineAfter(engine.settings.connectTimeoutMs(), TimeUnit.MILLISECONDS)
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
      boolean isThere = status.getCode() == Status.Code.UNIMPLEMENTED;
      engine.loop.execute(() -> onProbed(isThere, describe(status)));
    }

    @Override
    public void onCompleted() {
      engine.loop.execute(
          () -> onProbed(serves, "the server is there, but not ready to serve"));
    }
  }

  private void onProbed(boolean serves, String why) {
    isProbing = false;
    if (engine.isClosing()) {
      return;
    }
    if (!serves) {
      lastError = why;
      backOff();
      return;
    }
    setReachable();
    if (!waiting.isEmpty()) {
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
    downTimer.disarm();
    List.copyOf(sessions).forEach(Session::retire);
  }
}
