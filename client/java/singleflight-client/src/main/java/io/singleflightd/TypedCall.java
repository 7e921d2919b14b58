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
  private static final String WAITS_FOR_ITSELF =
      "this call would wait for itself: the function that makes it leads the same key";
  private static final long PAST_RETAINED_MS = 3; // until what was retained just now is too old

  /** How it ended, not yet decoded. */
  private record Ending(Outcome outcome, Facts facts, StatusException status) {}

  private final Engine engine;
  private final Codec<T> codec;
  private final LeaderFunction<? extends T> function;
  private final ChunkListener listener;
  private final Executor callbacks;
  private final Within within = Within.current();
  private final CallWatch watch;
  private final long startMs;
  private volatile boolean isTriedAgain;
  private volatile Attempt attempt;

  /** What goes to the network; a value that cannot be decoded may ask for a second one. */
  private record Attempt(Join join, Call call, CompletableFuture<Ending> ending) {}

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
    this.callbacks =
        within == null
            ? callbacks
            : task -> callbacks.execute(() -> Within.run(within, task));
    startMs = engine.loop.nowMs();
    watch = new CallWatch(engine.settings, join);
    attempt = newAttempt(join, join.options.timeoutMs);
  }

  private Attempt newAttempt(Join join, long timeoutMs) {
    Call call = new Call(engine, join, startMs, timeoutMs, this);
    return new Attempt(join, call, new CompletableFuture<>());
  }

  // ---- on the program's threads ----

  void start() {
    if (Within.isCircular(within, attempt.join, engine.settings)) {
      StatusException status =
          new StatusException(Status.Code.FAILED_PRECONDITION, WAITS_FOR_ITSELF);
      engine.loop.execute(() -> onStatus(status));
      return;
    }
    engine.loop.execute(attempt.call::start);
  }

  Result<T> await() throws InterruptedException {
    try {
      while (true) {
        Result<T> result = resultOf(attempt.ending.get());
        if (result != null) {
          return result;
        }
      }
    } catch (InterruptedException interrupted) {
      leave("the thread that waits was interrupted");
      throw interrupted;
    } catch (ExecutionException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  CompletableFuture<Result<T>> future() {
    Throwable site = new Throwable(); // its stack costs little until somebody asks for it
    CompletableFuture<Result<T>> future = new CompletableFuture<>();
    future.whenComplete((result, thrown) -> leave("the call was cancelled by its own program"));
    completeLater(future, site);
    return future;
  }

  private void completeLater(CompletableFuture<Result<T>> future, Throwable site) {
    attempt.ending.thenAccept(end -> callbacks.execute(() -> complete(future, end, site)));
  }

  private void complete(CompletableFuture<Result<T>> future, Ending end, Throwable site) {
    try {
      Result<T> result = resultOf(end);
      if (result == null) {
        completeLater(future, site);
      } else {
        future.complete(result);
      }
    } catch (SingleflightException thrown) {
      thrown.setStackTrace(site.getStackTrace()); // where the program called, not where it ended
      future.completeExceptionally(thrown);
    } catch (Throwable thrown) { // of the codec
      future.completeExceptionally(thrown);
    }
  }

  private void leave(String why) {
    Attempt left = attempt;
    if (!left.ending.isDone()) {
      engine.loop.execute(() -> left.call.leave(Status.Code.CANCELLED, why));
    }
  }

  /** Null: the call is tried again. */
  private Result<T> resultOf(Ending end) {
    if (end.status != null) {
      throw end.status.here();
    }
    Outcome outcome = end.outcome;
    Facts facts = end.facts;
    if (outcome.kind() != OutcomeKind.OK) {
      throw outcome.toException(facts);
    }
    T value;
    try {
      value = codec.decode(outcome.value());
    } catch (Exception thrown) {
      if (facts.retained() && !facts.led() && !isTriedAgain) {
        tryAgain(facts);
        return null;
      }
      watch.onOutcome(outcome, facts);
      throw CodecException.decode(thrown);
    }
    watch.onOutcome(outcome, facts);
    if (facts.retained() && !facts.led() && attempt.join.isStale(facts.ageMs())) {
      if (attempt.join.canRefresh()) {
        refresh();
      }
      return new Result<>(value, facts.withStale());
    }
    return new Result<>(value, facts);
  }

  /** A retained value that cannot be read is as if it were not retained. */
  private void tryAgain(Facts facts) {
    isTriedAgain = true;
    Attempt next = newAttempt(attempt.join.pastRetained(), attempt.join.options.timeoutMs);
    boolean wasTold = listener != null;
    attempt = next;
    if (wasTold) {
      callbacks.execute(() -> listener.onRestart(facts.attempt()));
    }
    long waitMs = Math.max(0, PAST_RETAINED_MS - facts.ageMs());
    engine.loop.execute(
        () -> engine.loop.timer(next.call::start).arm(engine.loop.nowMs() + waitMs));
  }

  /** Makes what is retained anew, for nobody in particular. */
  private void refresh() {
    Join join = attempt.join.toRefresh();
    engine.loop.execute(() -> engine.startRefresh(join, this::newRefresh));
  }

  private Call newRefresh(Join join, Runnable onEnded) {
    Call.Events events =
        new Call.Events() {
          @Override
          public void onLead(Leader leader, Runnable onLeft) {
            // Nobody waits for it inside of anything.
            runLater(leader, null, onLeft, () -> leader.run(TypedCall.this::runFunction));
          }

          @Override
          public void onChunk(ByteString bytes) {}

          @Override
          public void onRestart(int next) {}

          @Override
          public void onOutcome(Outcome outcome, Facts facts) {
            onEnded.run();
          }

          @Override
          public void onStatus(StatusException status) {
            onEnded.run();
          }
        };
    return new Call(engine, join, engine.loop.nowMs(), DoOptions.NOT_GIVEN, events);
  }

  /** The function, as the leader knows it: what it returns is appended to the value. */
  private void runFunction(Leader leader) throws Exception {
    T value = function.run(leader);
    if (value == null && leader.written() > 0) {
      return;
    }
    byte[] bytes;
    try {
      bytes = codec.encode(value);
    } catch (Exception thrown) {
      throw new Leader.NotEncoded(thrown);
    }
    leader.append(bytes);
  }

  // ---- in tasks of the loop ----

  @Override
  public void onLead(Leader leader, Runnable onEnded) {
    watch.onLead(leader.terms());
    Runnable work = () -> leader.run(this::runFunction);
    runLater(leader, within, onEnded, () -> watch.run(work));
  }

  @Override
  public void onFollow(int leadAttempt, long token) {
    watch.onFollow(leadAttempt, token);
  }

  @Override
  public void onAlone() {
    watch.onAlone();
  }

  @Override
  public void onLost() {
    watch.onLost();
  }

  @Override
  public String traceparent() {
    return watch.traceparent();
  }

  private void runLater(Leader leader, Within outer, Runnable onEnded, Runnable run) {
    Within inside = new Within(engine.settings, attempt.join, leader, outer);
    Runnable work =
        () -> {
          if (engine.loop.isCurrent()) {
            leader.finish(Outcome.of(new IllegalStateException(RUNS_HERE)));
          } else {
            leader.setInside(inside);
            Within.run(inside, run);
          }
          onEnded.run();
        };
    try {
      engine.executor().execute(work);
    } catch (RejectedExecutionException shutDown) {
      leader.passOn();
      leader.finish(Outcome.of(shutDown));
      onEnded.run();
    }
  }

  @Override
  public void onChunk(ByteString bytes) {
    byte[] copy = bytes.toByteArray();
    callbacks.execute(() -> listener.onChunk(copy));
  }

  @Override
  public void onRestart(int next) {
    callbacks.execute(() -> listener.onRestart(next));
  }

  @Override
  public void onOutcome(Outcome outcome, Facts facts) {
    boolean isPerhapsUnreadable = outcome.kind() == OutcomeKind.OK && facts.retained();
    if (!isPerhapsUnreadable) { // else it may be tried again
      watch.onOutcome(outcome, facts);
    }
    attempt.ending.complete(new Ending(outcome, facts, null));
  }

  @Override
  public void onStatus(StatusException status) {
    watch.onStatus(status);
    attempt.ending.complete(new Ending(null, null, status));
  }
}
