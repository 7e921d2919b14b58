// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.testing;

import com.google.protobuf.ByteString;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.StreamObserver;
import io.singleflightd.grpc.health.v1.HealthCheckRequest;
import io.singleflightd.grpc.health.v1.HealthCheckResponse;
import io.singleflightd.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.singleflightd.grpc.health.v1.HealthGrpc;
import io.singleflightd.grpc.v1.ForgetRequest;
import io.singleflightd.grpc.v1.ForgetResponse;
import io.singleflightd.grpc.v1.Join;
import io.singleflightd.grpc.v1.SessionRequest;
import io.singleflightd.grpc.v1.SessionResponse;
import io.singleflightd.grpc.v1.SingleFlightGrpc;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** What the client of the fake talks to: a server in this process, with one thread. */
final class FakeServer {
  private static final long CLOSE_WAIT_MS = 1000;

  private final ExecutorService thread =
      Executors.newSingleThreadExecutor(
          task -> {
            Thread made = new Thread(task, "singleflight-fake");
            made.setDaemon(true);
            return made;
          });
  private final Server server;

  // All below is that thread's alone.
  private final Map<ByteString, Script> scripts = new HashMap<>();
  private final List<Join> joins = new ArrayList<>();
  private final List<ForgetRequest> forgets = new ArrayList<>();
  private final Set<FakeSession> sessions = new LinkedHashSet<>();
  private boolean isAway;
  private long lastToken;

  FakeServer(String name) {
    server =
        InProcessServerBuilder.forName(name)
            .executor(thread)
            .addService(new Flights())
            .addService(new Health())
            .build();
    try {
      server.start();
    } catch (IOException impossible) {
      throw new UncheckedIOException(impossible);
    }
  }

  void close() {
    server.shutdownNow();
    try {
      server.awaitTermination(CLOSE_WAIT_MS, TimeUnit.MILLISECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    thread.shutdown();
  }

  // ---- the test's threads ----

  private <V> V ask(Supplier<V> asked) {
    return CompletableFuture.supplyAsync(asked, thread).join();
  }

  private void tell(Runnable told) {
    CompletableFuture.runAsync(told, thread).join();
  }

  void set(ByteString key, Script script) {
    tell(() -> scripts.put(key, script));
  }

  void lose(ByteString key) {
    tell(
        () -> {
          scripts.put(key, Script.of(Script.Kind.LOSE));
          sessions.forEach(session -> session.lose(key));
        });
  }

  void setAway(boolean away) {
    tell(
        () -> {
          isAway = away;
          if (away) {
            List.copyOf(sessions).forEach(session -> session.cut(awayStatus()));
            sessions.clear();
          }
        });
  }

  List<Join> joins() {
    return ask(() -> List.copyOf(joins));
  }

  List<ForgetRequest> forgets() {
    return ask(() -> List.copyOf(forgets));
  }

  // ---- its own thread ----

  private static Status awayStatus() {
    ConnectException refused = new ConnectException("the test says that no server is there");
    return Status.UNAVAILABLE.withDescription("connect").withCause(refused);
  }

  Script onJoin(Join join) {
    if (join.getResumeToken() != 0) {
      return Script.LEAD;
    }
    joins.add(join);
    return scripts.getOrDefault(join.getKey(), Script.LEAD);
  }

  long nextToken() {
    return ++lastToken;
  }

  void onSessionOver(FakeSession session) {
    sessions.remove(session);
  }

  private final class Flights extends SingleFlightGrpc.SingleFlightImplBase {
    @Override
    public StreamObserver<SessionRequest> session(StreamObserver<SessionResponse> out) {
      FakeSession session = new FakeSession(FakeServer.this, out);
      if (isAway) {
        session.cut(awayStatus());
      } else {
        sessions.add(session);
      }
      return session;
    }

    @Override
    public void forget(ForgetRequest request, StreamObserver<ForgetResponse> out) {
      if (isAway) {
        out.onError(awayStatus().asRuntimeException());
        return;
      }
      forgets.add(request);
      out.onNext(ForgetResponse.getDefaultInstance());
      out.onCompleted();
    }
  }

  private final class Health extends HealthGrpc.HealthImplBase {
    @Override
    public void check(HealthCheckRequest request, StreamObserver<HealthCheckResponse> out) {
      if (isAway) {
        out.onError(awayStatus().asRuntimeException());
        return;
      }
      out.onNext(HealthCheckResponse.newBuilder().setStatus(ServingStatus.SERVING).build());
      out.onCompleted();
    }
  }
}
