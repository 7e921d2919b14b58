// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.util.ArrayDeque;
import java.util.Queue;

/** Runs tasks of one call on an executor, one after the other. */
final class Serial {
  private final FunctionExecutor executor;
  private final Queue<Runnable> tasks = new ArrayDeque<>();
  private boolean running;

  Serial(FunctionExecutor executor) {
    this.executor = executor;
  }

  void execute(Runnable task) {
    synchronized (tasks) {
      tasks.add(task);
      if (running) {
        return;
      }
      running = true;
    }
    executor.executeOrRun(this::drain);
  }

  private void drain() {
    Runnable task;
    while ((task = next()) != null) {
      try {
        task.run();
      } catch (RuntimeException | Error thrown) {
        Thread thread = Thread.currentThread();
        thread.getUncaughtExceptionHandler().uncaughtException(thread, thrown);
      }
    }
  }

  private Runnable next() {
    synchronized (tasks) {
      Runnable task = tasks.poll();
      running = task != null;
      return task;
    }
  }
}
