// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.Context;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.singleflightd.grpc.v1.ForgetRequest;
import io.singleflightd.grpc.v1.ForgetResponse;
import io.singleflightd.grpc.v1.SingleFlightGrpc;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** One Forget, tried until a server answers it or connectTimeout is over. The loop's alone. */
final class Forgetting {
  private final Engine engine;
  private final ForgetRequest request;
  private final CompletableFuture<Forgotten> answer;
  private final Backoff backoff;
  private final Set<Server> refused = new HashSet<>(); // in this round
  private final long endMs;

  Forgetting(Engine engine, ForgetRequest request, CompletableFuture<Forgotten> answer) {
    this.engine = engine;
    this.request = request;
    this.answer = answer;
    backoff = new Backoff(engine.settings.backoffMinMs(), engine.settings.backoffMaxMs());
    endMs = engine.loop.nowMs() + engine.settings.connectTimeoutMs();
  }

  void start() {
    if (engine.isClosing()) {
      answer.completeExceptionally(engine.closedStatus());
      return;
    }
    Server server = choose();
    SingleFlightGrpc.SingleFlightStub stub =
        SingleFlightGrpc.newStub(server.freshChannel())
            .withDeadlineAfter(
                Math.max(1, endMs - engine.loop.nowMs()), TimeUnit.MILLISECONDS);
    Context.ROOT.run(() -> stub.forget(request, new Observer(server)));
  }

  /** The server that joins of the key go to; or, while all are away, the next to be tried. */
  private Server choose() {
    int[] order =
        Rendezvous.order(engine.settings.addresses(), request.getGroup(), request.getKey());
    for (int place : order) {
      Server server = engine.servers.get(place);
      if (!server.isAway() && !refused.contains(server)) {
        return server;
      }
    }
    for (int place : order) {
      if (!refused.contains(engine.servers.get(place))) {
        return engine.servers.get(place);
      }
    }
    refused.clear();
    return engine.servers.get(order[0]);
  }

  private final class Observer implements StreamObserver<ForgetResponse> {
    private final Server server;
    private Forgotten forgotten;

    Observer(Server server) {
      this.server = server;
    }

    @Override
    public void onNext(ForgetResponse response) {
      forgotten =
          new Forgotten(response.getFlight(), response.getRetained(), response.getEnded());
    }

    @Override
    public void onError(Throwable thrown) {
      engine.loop.execute(() -> onFailed(server, Status.fromThrowable(thrown)));
    }

    @Override
    public void onCompleted() {
      engine.loop.execute(
          () -> {
            engine.onForgotten(request);
            answer.complete(forgotten);
          });
    }
  }

  private void onFailed(Server server, Status status) {
    if (engine.isClosing()) {
      answer.completeExceptionally(engine.closedStatus());
      return;
    }
    Status.Code code = status.getCode();
    if (code == Status.Code.UNAVAILABLE) {
      refused.add(server);
      boolean isRoundOver = refused.size() == engine.servers.size();
      long retryMs = engine.loop.nowMs() + (isRoundOver ? backoff.nextMs() : 0);
      if (retryMs < endMs) {
        engine.loop.timer(this::start).arm(retryMs);
        return;
      }
    }
    boolean isSilence = code == Status.Code.DEADLINE_EXCEEDED;
    answer.completeExceptionally(
        new StatusException(
            isSilence ? Status.Code.UNAVAILABLE : code,
            isSilence
                ? server.address + " does not answer: is singleflightd there?"
                : server.explain(status)));
  }
}
