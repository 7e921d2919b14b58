// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * As many threads as there are slow tasks, and few for quick ones. To wake a thread costs more than
 * a quick task does: only one is on its way at a time, and it takes whatever waits when it is
 * there. Who leaves a task behind calls the next thread before it begins with its own, so that no
 * task waits for the end of another one.
 */
final class Crew extends ThreadPoolExecutor {
  private static final long IDLE_SECONDS = 60;

  private final Queue<Runnable> tasks = new ConcurrentLinkedQueue<>();
  private final AtomicBoolean isComing = new AtomicBoolean(); // a thread that has not looked yet
  private volatile boolean stopsAll;

  Crew(ThreadFactory threads) {
    super(
        0, Integer.MAX_VALUE, IDLE_SECONDS, TimeUnit.SECONDS, new SynchronousQueue<>(), threads);
  }

  @Override
  public void execute(Runnable task) {
    if (isShutdown()) {
      throw new RejectedExecutionException("shut down");
    }
    tasks.add(task);
    callThread();
  }

  private void callThread() {
    if (!isComing.compareAndSet(false, true)) {
      return;
    }
    try {
      super.execute(this::work);
    } catch (RejectedExecutionException shutDown) { // but these tasks were accepted before
      getThreadFactory().newThread(this::work).start();
    } catch (OutOfMemoryError noThread) { // those that are there go on; the next task tries again
      isComing.set(false);
    }
  }

  private void work() {
    isComing.set(false); // before it looks: who adds a task later calls anew
    Runnable task;
    while ((task = tasks.poll()) != null) {
      if (!tasks.isEmpty()) {
        callThread();
      }
      settleInterrupt();
      task.run();
    }
  }

  /** What came before was for another task, unless it was for all of them. */
  private void settleInterrupt() {
    Thread.interrupted();
    if (stopsAll) {
      Thread.currentThread().interrupt();
    }
  }

  @Override
  public List<Runnable> shutdownNow() {
    stopsAll = true;
    return super.shutdownNow();
  }
}
