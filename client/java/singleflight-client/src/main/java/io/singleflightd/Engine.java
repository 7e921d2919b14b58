// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.singleflightd.grpc.v1.ForgetRequest;
import io.singleflightd.grpc.v1.ForgetResponse;
import io.singleflightd.grpc.v1.SingleFlightGrpc;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * A client without its types. A call takes a seat; a seat is on a session, or waits at a server for
 * one; a session is a stream to a server. All of it is the loop's alone, except for what is said.
 */
final class Engine {
  private static final long CLOSE_WAIT_MS = 1000;

  final Settings settings;
  final Loop loop;
  final List<Server> servers = new ArrayList<>();
  final Set<Seat> seats = new LinkedHashSet<>();

  private final Executor executor;
  private final Transport transport;
  private final Map<Join, Set<Seat>> merging = new HashMap<>(); // those that more calls may join
  private final Set<ManagedChannel> channels = new LinkedHashSet<>();
  private final CompletableFuture<Void> idle = new CompletableFuture<>();
  private boolean closing;

  Engine(Settings settings, Executor executor) {
    this.settings = settings;
    this.executor = executor;
    transport = new Transport(settings, executor);
    loop = new Loop(transport.scheduler());
    for (String address : settings.addresses()) {
      servers.add(new Server(this, address));
    }
  }

  /** Runs what the program gave. Any thread. */
  void runCallback(Runnable callback) {
    try {
      executor.execute(callback);
    } catch (RejectedExecutionException shutDown) {
      // The program has ended what it gave to run this on: it does not want to know any more.
    }
  }

  Executor executor() {
    return executor;
  }

  /** The places of the servers in the order of the key. */
  int[] order(Join join) {
    return Rendezvous.order(settings.addresses(), join.options.group, join.key);
  }

  ManagedChannel connect(String address) {
    channels.removeIf(ManagedChannel::isTerminated);
    ManagedChannel channel = transport.connect(address);
    channels.add(channel);
    return channel;
  }

  // ---- merging ----

  Set<Seat> merging(Join join) {
    return merging.getOrDefault(join, Set.of());
  }

  void startMerging(Seat seat) {
    merging.computeIfAbsent(seat.join, join -> new LinkedHashSet<>()).add(seat);
  }

  void stopMerging(Seat seat) {
    Set<Seat> equals = merging.get(seat.join);
    if (equals != null && equals.remove(seat) && equals.isEmpty()) {
      merging.remove(seat.join);
    }
  }

  // ---- forget ----

  /** Any thread. */
  CompletableFuture<Forgotten> forget(String group, ByteString key, boolean ifUnshared) {
    CompletableFuture<Forgotten> answer = new CompletableFuture<>();
    ForgetRequest request =
        ForgetRequest.newBuilder().setGroup(group).setKey(key).setIfUnshared(ifUnshared).build();
    long endMs = loop.nowMs() + settings.connectTimeoutMs();
    Backoff backoff = new Backoff(settings.backoffMinMs(), settings.backoffMaxMs());
    loop.execute(() -> startForget(request, endMs, backoff, answer));
    return answer;
  }

  private void startForget(
      ForgetRequest request, long endMs, Backoff backoff, CompletableFuture<Forgotten> answer) {
    if (closing) {
      answer.completeExceptionally(closedStatus());
      return;
    }
    int[] order = Rendezvous.order(settings.addresses(), request.getGroup(), request.getKey());
    Server server = servers.get(order[0]);
    for (int place : order) {
      if (!servers.get(place).isDown()) {
        server = servers.get(place);
        break;
      }
    }
    ForgetObserver observer = new ForgetObserver(server, request, endMs, backoff, answer);
    SingleFlightGrpc.SingleFlightStub stub =
        SingleFlightGrpc.newStub(server.channel())
            .withWaitForReady()
            .withDeadlineAfter(Math.max(1, endMs - loop.nowMs()), TimeUnit.MILLISECONDS);
    Context.ROOT.run(() -> stub.forget(request, observer));
  }

  private final class ForgetObserver implements StreamObserver<ForgetResponse> {
    private final Server server;
    private final ForgetRequest request;
    private final long endMs;
    private final Backoff backoff;
    private final CompletableFuture<Forgotten> answer;
    private Forgotten forgotten;

    ForgetObserver(
        Server server,
        ForgetRequest request,
        long endMs,
        Backoff backoff,
        CompletableFuture<Forgotten> answer) {
      this.server = server;
      this.request = request;
      this.endMs = endMs;
      this.backoff = backoff;
      this.answer = answer;
    }

    @Override
    public void onNext(ForgetResponse response) {
      forgotten = new Forgotten(response.getFlight(), response.getRetained());
    }

    @Override
    public void onError(Throwable thrown) {
      loop.execute(() -> fail(Status.fromThrowable(thrown)));
    }

    private void fail(Status status) {
      Status.Code code = status.getCode();
      if (closing) {
        answer.completeExceptionally(closedStatus());
        return;
      }
      long retryMs = loop.nowMs() + backoff.nextMs();
      if (code == Status.Code.UNAVAILABLE && retryMs < endMs) {
        loop.timer(() -> startForget(request, endMs, backoff, answer)).arm(retryMs);
        return;
      }
      boolean isSilence = code == Status.Code.DEADLINE_EXCEEDED;
      answer.completeExceptionally(
          new StatusException(
              isSilence ? Status.Code.UNAVAILABLE : code,
              isSilence
                  ? server.address + " does not answer: is singleflightd there?"
                  : server.explain(status)));
    }

    @Override
    public void onCompleted() {
      loop.execute(
          () -> {
            // Calls that come from now on start anew.
            for (Seat seat : seats) {
              if (seat.join.isFor(request.getGroup(), request.getKey())) {
                stopMerging(seat);
              }
            }
            answer.complete(forgotten);
          });
    }
  }

  // ---- the end ----

  boolean isClosing() {
    return closing;
  }

  StatusException closedStatus() {
    return new StatusException(Status.Code.CANCELLED, "the client was closed");
  }

  /** Something that close() waits for has ended. */
  void onSomethingEnded() {
    if (closing && seats.isEmpty() && servers.stream().noneMatch(Server::hasSessions)) {
      idle.complete(null);
    }
  }

  private void startClosing() {
    if (closing) {
      return;
    }
    closing = true;
    List.copyOf(seats).forEach(seat -> seat.close(closedStatus()));
    servers.forEach(Server::close);
    onSomethingEnded();
  }

  private void awaitIdle() {
    try {
      idle.get(CLOSE_WAIT_MS, TimeUnit.MILLISECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    } catch (ExecutionException | TimeoutException late) {
      // What is still under way is cut off.
    }
  }

  /** Ends everything. Any thread but the loop's; waits for a few seconds at most. */
  void close() {
    loop.execute(this::startClosing);
    awaitIdle();
    CompletableFuture<List<ManagedChannel>> all = new CompletableFuture<>();
    loop.execute(
        () -> {
          loop.stopTimers();
          all.complete(List.copyOf(channels));
        });
    List<ManagedChannel> last = all.join();
    last.forEach(ManagedChannel::shutdownNow);
    try {
      for (ManagedChannel channel : last) {
        channel.awaitTermination(CLOSE_WAIT_MS, TimeUnit.MILLISECONDS);
      }
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    transport.close();
  }
}
