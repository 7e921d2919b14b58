// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.singleflightd.grpc.v1.ForgetRequest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
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
import java.util.function.BiFunction;

/**
 * A client without its types. A call takes a seat; a seat is on a session, or waits at a server for
 * one; a session is a stream to a server. All of it is the loop's alone, except for what is said.
 */
final class Engine {
  static final long CLOSE_WAIT_MS = 500;

  final Settings settings;
  final Loop loop;
  final List<Server> servers = new ArrayList<>();
  final Set<Seat> seats = new LinkedHashSet<>();

  private final Executor executor;
  private final FunctionExecutor lookups = new FunctionExecutor(null); // of names, which may wait
  private final Transport transport;
  private final Map<Join, Set<Seat>> merging = new HashMap<>(); // those that more calls may join
  private final Set<Join> refreshing = new HashSet<>();
  private final Set<Seat> awaiting = new LinkedHashSet<>(); // any server
  private final Set<ManagedChannel> channels = new LinkedHashSet<>();
  private final CompletableFuture<Void> idle = new CompletableFuture<>();
  private boolean closing;

  Engine(Settings settings, Executor executor) {
    this.settings = settings;
    this.executor = executor;
    transport = new Transport(settings, lookups);
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

  /** Makes a retained outcome anew, unless that is under way; `newCall` gets what tells its end. */
  void startRefresh(Join join, BiFunction<Join, Runnable, Call> newCall) {
    if (!closing && refreshing.add(join)) {
      newCall.apply(join, () -> loop.execute(() -> refreshing.remove(join))).start();
    }
  }

  // ---- servers that are away ----

  void awaitServer(Seat seat) {
    awaiting.add(seat);
  }

  void stopAwaitingServer(Seat seat) {
    awaiting.remove(seat);
  }

  boolean isServerAwaited() {
    return !awaiting.isEmpty();
  }

  void onServerBack() {
    List<Seat> seats = List.copyOf(awaiting);
    awaiting.clear();
    seats.forEach(Seat::onServerBack); // those that find none come back
  }

  /** All that wait for any server look again: what is known of them has changed. */
  void onServerAway() {
    onServerBack();
  }

  // ---- forget ----

  /** Any thread. */
  CompletableFuture<Forgotten> forget(String group, ByteString key, ForgetOptions options) {
    CompletableFuture<Forgotten> answer = new CompletableFuture<>();
    ForgetRequest request =
        ForgetRequest.newBuilder()
            .setGroup(group)
            .setKey(key)
            .setIfUnshared(options.ifUnshared)
            .setEnd(options.end)
            .setCaller(options.caller)
            .build();
    loop.execute(() -> new Forgetting(this, request, answer).start());
    return answer;
  }

  /** Calls that come from now on start anew. */
  void onForgotten(ForgetRequest request) {
    for (Seat seat : seats) {
      if (seat.join.isFor(request.getGroup(), request.getKey())) {
        stopMerging(seat);
        if (seat.lead != null) {
          seat.lead.leader.setForgotten();
        }
      }
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
    lookups.close();
  }
}
