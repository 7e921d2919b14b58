// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The threads of functions. */
@Timeout(30)
class CrewTest {
  private final AtomicInteger threads = new AtomicInteger();
  private final AtomicInteger uncaught = new AtomicInteger();
  private final CountDownLatch road = new CountDownLatch(1); // threads come once it is open
  private final Crew crew = new Crew(this::newThread);

  private Thread newThread(Runnable work) {
    threads.incrementAndGet();
    Thread thread =
        new Thread(
            () -> {
              awaitQuietly(road);
              work.run();
            });
    thread.setUncaughtExceptionHandler((dead, thrown) -> uncaught.incrementAndGet());
    thread.setDaemon(true);
    return thread;
  }

  private static void awaitQuietly(CountDownLatch latch) {
    boolean interrupted = false;
    while (latch.getCount() > 0) {
      try {
        latch.await();
      } catch (InterruptedException again) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  @AfterEach
  void end() {
    road.countDown();
    crew.shutdownNow();
  }

  @Test
  void slowTasksDoNotWaitForEachOther() throws Exception {
    road.countDown();
    int count = 50;
    CyclicBarrier allRun = new CyclicBarrier(count);
    CountDownLatch ended = new CountDownLatch(count);
    for (int i = 0; i < count; i++) {
      crew.execute(
          () -> {
            try {
              allRun.await();
              ended.countDown();
            } catch (Exception broken) {
              throw new IllegalStateException(broken);
            }
          });
    }
    ended.await();
    assertTrue(threads.get() >= count);
  }

  @Test
  void oneThreadIsOnItsWayForAllThatWaits() throws Exception {
    CountDownLatch ended = new CountDownLatch(100);
    for (int i = 0; i < 100; i++) {
      crew.execute(ended::countDown);
    }
    assertEquals(1, threads.get());
    road.countDown();
    ended.await();
  }

  @Test
  void everyTaskRunsWhoeverGivesIt() throws Exception {
    road.countDown();
    int givers = 8;
    int each = 5_000;
    CountDownLatch ended = new CountDownLatch(givers * each * 2);
    for (int i = 0; i < givers; i++) {
      Runnable giver =
          () -> {
            for (int j = 0; j < each; j++) {
              crew.execute(
                  () -> {
                    crew.execute(ended::countDown);
                    ended.countDown();
                  });
            }
          };
      new Thread(giver).start();
    }
    ended.await();
  }

  @Test
  void aTaskThatThrowsHoldsUpNobody() throws Exception {
    CountDownLatch ended = new CountDownLatch(100);
    for (int i = 0; i < 100; i++) {
      crew.execute(
          () -> {
            ended.countDown();
            throw new IllegalStateException("a test throws this");
          });
    }
    road.countDown();
    ended.await();
    Eventually.isTrue("all are told", () -> uncaught.get() == 100);
  }

  @Test
  void anInterruptIsNotForTheNextTask() throws Exception {
    road.countDown();
    AtomicInteger inherited = new AtomicInteger();
    CountDownLatch ended = new CountDownLatch(10_000);
    for (int i = 0; i < 10_000; i++) {
      crew.execute(
          () -> {
            if (Thread.currentThread().isInterrupted()) {
              inherited.incrementAndGet();
            }
            Thread.currentThread().interrupt();
            ended.countDown();
          });
    }
    ended.await();
    assertEquals(0, inherited.get());
  }

  @Test
  void theEndInterruptsWhatRunsAndKeepsWhatWasTaken() throws Exception {
    CountDownLatch interrupted = new CountDownLatch(2);
    Semaphore begun = new Semaphore(0);
    Runnable slow =
        () -> {
          begun.release();
          try {
            new CountDownLatch(1).await();
          } catch (InterruptedException asked) {
            interrupted.countDown();
          }
        };
    crew.execute(slow);
    road.countDown();
    begun.acquire();
    crew.execute(slow); // perhaps nobody has begun it by the end
    crew.shutdownNow();
    interrupted.await();
    assertThrows(RejectedExecutionException.class, () -> crew.execute(() -> {}));
    assertTrue(crew.awaitTermination(20, TimeUnit.SECONDS));
  }
}
