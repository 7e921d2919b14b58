// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.lang.reflect.InvocationTargetException;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** What functions and listeners run on: the program's executor, or one of the client's own. */
final class FunctionExecutor implements Executor {
  private static final long CLOSE_WAIT_MS = 1000;
  private static final ThreadLocal<FunctionExecutor> CURRENT = new ThreadLocal<>();

  private final Executor executor;
  private final ExecutorService own; // null: the program's

  FunctionExecutor(Executor given) {
    own = given == null ? newOwn() : null;
    executor = given == null ? own : given;
  }

  private static ExecutorService newOwn() {
    try { // Java 21 and later
      return (ExecutorService)
          Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
    } catch (NoSuchMethodException
        | IllegalAccessException
        | InvocationTargetException tooOld) {
      AtomicInteger count = new AtomicInteger();
      ThreadFactory threads =
          task -> {
            Thread thread = new Thread(task, "singleflight-" + count.incrementAndGet());
            thread.setDaemon(true);
            return thread;
          };
      return new Crew(threads);
    }
  }

  @Override
  public void execute(Runnable task) {
    if (own == null) {
      executor.execute(task);
      return;
    }
    own.execute(
        () -> {
          CURRENT.set(this); // for good: the thread runs nothing else
          task.run();
        });
  }

  /** Runs it here if it cannot be given away: nobody else is left to tell the program. */
  void executeOrRun(Runnable task) {
    try {
      execute(task);
    } catch (RejectedExecutionException shutDown) {
      task.run();
    }
  }

  /** Interrupts what still runs, and waits a moment for its end. */
  void close() {
    if (own == null) {
      return;
    }
    boolean isInside = CURRENT.get() == this; // a function closes its own client
    if (isInside) {
      own.shutdown();
      return;
    }
    own.shutdownNow();
    try {
      own.awaitTermination(CLOSE_WAIT_MS, TimeUnit.MILLISECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
