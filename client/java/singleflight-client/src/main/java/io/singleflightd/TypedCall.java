// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;

/** One call with its types: runs the function, tells the listener, makes a result. */
final class TypedCall<T> implements Call.Events {
  private static final String RUNS_HERE =
      "the client's executor runs functions on the thread that gives them, which must not wait";

  /** How it ended, not yet decoded. */
  private record Ending(Outcome outcome, Facts facts, StatusException status) {}

  private final Engine engine;
  private final Codec<T> codec;
  private final LeaderFunction<? extends T> function;
  private final ChunkListener listener;
  private final Executor callbacks;
  private final Call call;
  private final CompletableFuture<Ending> ending = new CompletableFuture<>();

  /** `callbacks` runs what the program gave, in order. `listener` null: not live. */
  TypedCall(
      Engine engine,
      Join join,
      Codec<T> codec,
      LeaderFunction<? extends T> function,
      ChunkListener listener,
      Executor callbacks) {
    this.engine = engine;
    this.codec = codec;
    this.function = function;
    this.listener = listener;
    this.callbacks = callbacks;
    call = new Call(engine, join, engine.loop.nowMs(), this);
  }

  // ---- on the program's threads ----

  void start() {
    engine.loop.execute(call::start);
  }

  Result<T> await() throws InterruptedException {
    try {
      return resultOf(ending.get());
    } catch (InterruptedException interrupted) {
      leave("the thread that waits was interrupted");
      throw interrupted;
    } catch (ExecutionException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  CompletableFuture<Result<T>> future() {
    CompletableFuture<Result<T>> future = new CompletableFuture<>();
    future.whenComplete((result, thrown) -> leave("the call was cancelled by its own program"));
    ending.thenAccept(end -> callbacks.execute(() -> complete(future, end)));
    return future;
  }

  private void complete(CompletableFuture<Result<T>> future, Ending end) {
    try {
      future.complete(resultOf(end));
    } catch (RuntimeException thrown) {
      future.completeExceptionally(thrown);
    }
  }

  private void leave(String why) {
    if (!ending.isDone()) {
      engine.loop.execute(() -> call.leave(Status.Code.CANCELLED, why));
    }
  }

  private Result<T> resultOf(Ending end) {
    if (end.status != null) {
      throw end.status;
    }
    Outcome outcome = end.outcome;
    if (outcome.kind() != OutcomeKind.OK) {
      throw new FunctionException(outcome, end.facts);
    }
    return new Result<>(valueOf(outcome, end.facts), end.facts);
  }

  private T valueOf(Outcome outcome, Facts facts) {
    if (facts.led() && outcome.own() != null) {
      @SuppressWarnings("unchecked") // this call's function returned it
      T own = (T) outcome.own();
      return own;
    }
    try {
      return codec.decode(outcome.value());
    } catch (Exception thrown) {
      throw new StatusException(
          Status.Code.INTERNAL, "the codec cannot decode the value: " + thrown, thrown);
    }
  }

  /** The function, as the leader knows it: what it returns is appended to the value. */
  private Object runFunction(Leader leader) throws Exception {
    T value = function.run(leader);
    if (value == null) {
      return null;
    }
    int written = leader.written();
    leader.append(codec.encode(value));
    return written == 0 ? value : null;
  }

  // ---- in tasks of the loop ----

  @Override
  public void onLead(Leader leader, Runnable onEnded) {
    try {
      engine
          .executor()
          .execute(
              () -> {
                if (engine.loop.isCurrent()) {
                  leader.finish(Outcome.of(new IllegalStateException(RUNS_HERE)));
                } else {
                  leader.run(this::runFunction);
                }
                onEnded.run();
              });
    } catch (RejectedExecutionException shutDown) {
      leader.passOn();
      leader.finish(Outcome.of(shutDown));
      onEnded.run();
    }
  }

  @Override
  public void onFollow() {}

  @Override
  public void onChunk(ByteString bytes) {
    byte[] copy = bytes.toByteArray();
    callbacks.execute(() -> listener.onChunk(copy));
  }

  @Override
  public void onRestart(int attempt) {
    callbacks.execute(() -> listener.onRestart(attempt));
  }

  @Override
  public void onOutcome(Outcome outcome, Facts facts) {
    ending.complete(new Ending(outcome, facts, null));
  }

  @Override
  public void onStatus(StatusException status) {
    ending.complete(new Ending(null, null, status));
  }
}
