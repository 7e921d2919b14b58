// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
import java.util.function.LongSupplier;

/**
 * What a function that runs on behalf of a flight knows and can do. Usable from any thread until
 * the function has ended.
 *
 * <p>A call that the function makes for its own key would wait for itself, and fails at once. Calls
 * are known by the thread that makes them: the function's own, and those on which the client runs
 * what belongs to calls of the function. Take it along to threads of your own with {@link
 * #carry(Runnable)}.
 */
public class Leader {
  /** How much of a value may wait to be sent before {@link #write} waits. */
  private static final int UNSENT_BYTES_MAX = 1024 * 1024;

  /** What was granted; a token of 0 stands for a function that runs alone. */
  record Terms(long token, int attempt, long leaseMs, long runLimitMs) {}

  /** The function has returned what its codec cannot encode. */
  static final class NotEncoded extends Exception {
    private static final long serialVersionUID = 1L;

    NotEncoded(Throwable cause) {
      super(cause);
    }
  }

  /** A function that leaves its value here. */
  interface Body {
    void run(Leader leader) throws Exception;
  }

  private final ByteString key;
  private final Terms terms;
  private final int resultLimit;
  private final Runnable onWritten;
  private final Consumer<Runnable> callbacks;
  private final LongSupplier nowMs;

  private volatile long holdsUntilMs = Loop.NEVER; // by that clock
  private volatile boolean isForgotten;
  private volatile Within inside;

  // All below is guarded by `this`.
  private byte[] bytes = {};
  private int size;
  private int sent;
  private StatusException overflow; // what the function was told
  private boolean finished;
  private Outcome outcome;
  private Long retainMs;
  private boolean passesOn;
  private Audience audience;
  private StatusException lost;
  private final List<Consumer<StatusException>> onLost = new ArrayList<>();
  private Thread thread;
  private boolean alone;

  /** `onWritten` is called after bytes were added; `callbacks` runs what the program gave. */
  Leader(
      Join join,
      Terms terms,
      int resultLimit,
      Runnable onWritten,
      Consumer<Runnable> callbacks,
      LongSupplier nowMs) {
    key = join.key;
    this.terms = terms;
    this.resultLimit = resultLimit;
    this.onWritten = onWritten;
    this.callbacks = callbacks;
    this.nowMs = nowMs;
    alone = terms.token == 0;
  }

  /**
   * A leader of no flight, to run a function by itself. It has no lease, and takes values of any
   * size.
   *
   * @param key the key
   * @param token the fencing token
   * @param attempt the how-many-eth leader it is
   */
  protected Leader(byte[] key, long token, int attempt) {
    this.key = ByteString.copyFrom(key);
    terms = new Terms(token, attempt, 0, 0);
    resultLimit = Integer.MAX_VALUE;
    onWritten = () -> {};
    callbacks = Runnable::run;
    nowMs = () -> 0;
    alone = true;
  }

  // ---- for leaders of no flight ----

  /**
   * The lead is lost. Listeners run on this thread.
   *
   * @param reason what they are told
   */
  protected final void lose(String reason) {
    lose(new StatusException(Status.Code.ABORTED, reason));
  }

  /**
   * What was written.
   *
   * @return a copy
   */
  protected final synchronized byte[] value() {
    return Arrays.copyOf(bytes, size);
  }

  /**
   * What {@link #retain} was told.
   *
   * @return empty if it was not called
   */
  protected final synchronized Optional<Duration> retention() {
    return Optional.ofNullable(retainMs).map(Duration::ofMillis);
  }

  /**
   * Whether {@link #passOn} was called.
   *
   * @return whether it was
   */
  protected final synchronized boolean isPassedOn() {
    return passesOn;
  }

  // ---- what functions call ----

  /**
   * The fencing token, an unsigned number greater than every one granted before for the key. Give
   * it to whatever the function writes to, so that a leader that was paused and has been replaced
   * is refused there.
   *
   * @return the token; 0 when the function runs here because no server could be reached
   */
  public long token() {
    return terms.token;
  }

  /**
   * The how-many-eth leader of the flight this is. Above 1, somebody else has begun the work.
   *
   * @return from 1
   */
  public int attempt() {
    return terms.attempt;
  }

  /**
   * The key.
   *
   * @return a copy
   */
  public byte[] key() {
    return key.toByteArray();
  }

  /**
   * The lease that holds.
   *
   * @return zero when there is none
   */
  public Duration lease() {
    return Duration.ofMillis(terms.leaseMs);
  }

  /**
   * The run limit that holds.
   *
   * @return zero when there is none
   */
  public Duration runLimit() {
    return Duration.ofMillis(terms.runLimitMs);
  }

  /**
   * Appends bytes to the value; what the function returns comes after them. They go out at once, in
   * the background, to followers that are live. Waits while more than 1 MiB is not sent yet.
   *
   * @param part is copied
   * @throws StatusException ABORTED (or CANCELLED): the lead is lost, stop; RESOURCE_EXHAUSTED: the
   *     value is larger than the client's result limit, which is the flight's outcome then
   * @throws InterruptedException the thread was interrupted, perhaps since the lead is lost
   */
  public void write(byte[] part) throws InterruptedException {
    append(part);
    onWritten.run();
    synchronized (this) {
      while (!alone && size - sent > UNSENT_BYTES_MAX && lost == null) {
        wait();
      }
      throwIfLost();
    }
  }

  /**
   * Keep this outcome for so long instead of what the options say.
   *
   * @param retain zero: do not keep it
   */
  public void retain(Duration retain) {
    long ms = Millis.of(retain, "retain");
    synchronized (this) {
      retainMs = ms;
    }
  }

  /**
   * If the function fails: this failure is its own, not that of the work; let the next caller try.
   * This call ends with it. The others get the last failure once nobody is left to try.
   */
  public synchronized void passOn() {
    passesOn = true;
  }

  /**
   * Who waits for the outcome, as far as known.
   *
   * @return empty when the call did not ask for it, or nobody has waited yet
   */
  public synchronized Optional<Audience> audience() {
    return Optional.ofNullable(audience);
  }

  /**
   * Whether the lead is lost. A long function asks now and then, and stops; its thread is
   * interrupted, too. The answer comes from the clock at this moment, so it is right also when the
   * process has just been paused, or the machine has slept: the lead may come back then, if the
   * server says so. Only what checks the token is safe from a leader that is paused after it asked.
   *
   * <p>With {@link DoOptions.Builder#failOpen} a leader that loses its server goes on, and is not
   * lost.
   *
   * @return whether it is
   */
  public boolean isLost() {
    synchronized (this) {
      if (lost != null || finished) {
        return lost != null;
      }
    }
    return nowMs.getAsLong() >= holdsUntilMs;
  }

  /**
   * Takes this lead along to another thread: calls that {@code work} makes are calls of this
   * function, so one for its own key fails instead of waiting for itself.
   *
   * @param work what to run there
   * @return what to give to the thread
   */
  public Runnable carry(Runnable work) {
    Within carried = inside;
    return () -> Within.run(carried, work);
  }

  /**
   * Takes this lead along to another thread, as {@link #carry(Runnable)} does.
   *
   * @param <V> what it returns
   * @param work what to call there
   * @return what to give to the thread
   */
  public <V> Callable<V> carry(Callable<V> work) {
    Within carried = inside;
    return () -> Within.call(carried, work);
  }

  /**
   * Registers what to do when the lead is lost. It runs on the client's executor, at once if the
   * lead is lost already, and never once the function has ended.
   *
   * @param listener gets the reason: replaced, or the connection or the lease is gone, cancelled,
   *     timed out, closed
   */
  public void onLost(Consumer<StatusException> listener) {
    StatusException reason;
    synchronized (this) {
      reason = lost;
      if (reason == null) {
        onLost.add(listener);
      }
    }
    if (reason != null) {
      callbacks.accept(() -> listener.accept(reason));
    }
  }

  // ---- the thread that the function runs on ----

  /** Runs the function and remembers how it ended. */
  void run(Body function) {
    synchronized (this) {
      thread = Thread.currentThread();
      if (lost != null) {
        thread.interrupt();
      }
    }
    Outcome ended;
    try {
      function.run(this);
      ended = Outcome.ok();
    } catch (NotEncoded wrapped) {
      ended = Outcome.notEncoded(wrapped.getCause());
    } catch (Throwable thrown) {
      ended = Outcome.of(thrown);
    }
    finish(ended);
  }

  /** The function has ended, or could not even begin. */
  synchronized void finish(Outcome ended) {
    if (lost != null && thread != null) {
      Thread.interrupted(); // ours, and not for whatever the thread does next
    }
    thread = null;
    finished = true;
    onLost.clear();
    boolean isTooLarge =
        overflow != null && (ended.kind() == OutcomeKind.OK || ended.cause() == overflow);
    if (isTooLarge) {
      size = Math.min(size, sent); // a value that is cut is none
    }
    outcome = isTooLarge ? Outcome.overLimit(overflow.getMessage()) : ended;
  }

  /** Appends without a wait, and without sending. */
  synchronized void append(byte[] part) {
    throwIfLost();
    if (part.length > resultLimit - size) {
      overflow = tooLarge();
      throw overflow;
    }
    if (part.length > bytes.length - size) {
      long doubled = Math.min(resultLimit, 2L * bytes.length);
      bytes = Arrays.copyOf(bytes, (int) Math.max(doubled, size + part.length));
    }
    System.arraycopy(part, 0, bytes, size, part.length);
    size += part.length;
  }

  private StatusException tooLarge() {
    return new StatusException(
        Status.Code.RESOURCE_EXHAUSTED,
        "the value is larger than the client's resultLimit, which is " + resultLimit + " bytes");
  }

  private void throwIfLost() {
    if (lost != null) {
      throw new StatusException(lost.code(), "the lead is lost", lost);
    }
  }

  synchronized int written() {
    return size;
  }

  // ---- the loop ----

  Terms terms() {
    return terms;
  }

  synchronized boolean isFinished() {
    return finished;
  }

  /** A call for the key would join the flight that this leads. */
  boolean isJoinable() {
    return !isForgotten && !isFinished() && !isLost();
  }

  void setForgotten() {
    isForgotten = true;
  }

  void setInside(Within inside) {
    this.inside = inside;
  }

  void setHoldsUntil(long timeMs) {
    holdsUntilMs = timeMs;
  }

  /** There is no server any more that could take the lead away. */
  synchronized void goAlone() {
    alone = true;
    holdsUntilMs = Loop.NEVER;
    notifyAll();
  }

  synchronized boolean passesOn() {
    return passesOn && outcome.kind() != OutcomeKind.OK;
  }

  synchronized Long retainMs() {
    return retainMs;
  }

  /** How the function ended, as the server is told; without the value. */
  synchronized io.singleflightd.grpc.v1.Outcome.Builder toWire() {
    return outcome.toWire();
  }

  /** How the function ended, without the value. */
  synchronized Outcome ending() {
    return outcome;
  }

  /** How the function ended, with the whole value. */
  synchronized Outcome outcome() {
    return outcome.withValue(value());
  }

  synchronized int unsent() {
    return alone ? 0 : size - sent;
  }

  /** Takes the next part of the value to send. */
  synchronized ByteString take(int count) {
    // What is written once never changes, so the bytes can be lent out.
    ByteString part = UnsafeByteOperations.unsafeWrap(bytes, sent, count);
    sent += count;
    notifyAll();
    return part;
  }

  /** What comes after so many bytes is to be sent again. */
  synchronized void rewind(int arrived) {
    sent = arrived;
  }

  synchronized void setAudience(Audience now) {
    audience = now;
  }

  /** Tells the function. Nothing happens when it has ended, or knows already. */
  void lose(StatusException reason) {
    List<Consumer<StatusException>> listeners;
    synchronized (this) {
      if (lost != null || finished) {
        return;
      }
      lost = reason;
      notifyAll();
      if (thread != null) {
        thread.interrupt();
      }
      listeners = List.copyOf(onLost);
    }
    for (Consumer<StatusException> listener : listeners) {
      callbacks.accept(() -> listener.accept(reason));
    }
  }
}
