// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.shedlock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.singleflightd.Daemon;
import io.singleflightd.SingleflightClient;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import net.javacrumbs.shedlock.core.ClockProvider;
import net.javacrumbs.shedlock.core.DefaultLockingTaskExecutor;
import net.javacrumbs.shedlock.core.LockConfiguration;
import net.javacrumbs.shedlock.core.LockingTaskExecutor;
import net.javacrumbs.shedlock.core.SimpleLock;
import net.javacrumbs.shedlock.support.LockException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What ShedLock asks of an extensible lock provider. */
@Timeout(60)
class SingleflightLockProviderTest {
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final String NAME = "nightly report";

  private Daemon daemon;
  private SingleflightClient client;
  private SingleflightClient otherClient;
  private SingleflightLockProvider provider;
  private SingleflightLockProvider other;

  @BeforeEach
  void setUp() {
    daemon = Daemon.start();
    client = SingleflightClient.builder().addresses(daemon.address()).build();
    otherClient = SingleflightClient.builder().addresses(daemon.address()).build();
    provider = new SingleflightLockProvider(client);
    other = new SingleflightLockProvider(otherClient);
  }

  @AfterEach
  void tearDown() {
    client.close();
    otherClient.close();
    daemon.close();
  }

  private static LockConfiguration config(String name, Duration atMost, Duration atLeast) {
    return new LockConfiguration(ClockProvider.now(), name, atMost, atLeast);
  }

  private SimpleLock lock(Duration atMost, Duration atLeast) {
    return provider.lock(config(NAME, atMost, atLeast)).orElseThrow();
  }

  private boolean isTakenByOther() {
    Optional<SimpleLock> taken = other.lock(config(NAME, LONG, Duration.ZERO));
    taken.ifPresent(SimpleLock::unlock);
    return taken.isPresent();
  }

  private static void awaitTrue(String what, BooleanSupplier condition) {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() < end, what);
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(5));
    }
  }

  @Test
  void oneHoldsItUntilItUnlocks() {
    for (int i = 0; i < 20; i++) {
      SimpleLock held = lock(LONG, Duration.ZERO);
      assertFalse(isTakenByOther());
      assertTrue(provider.lock(config(NAME, LONG, Duration.ZERO)).isEmpty());
      assertTrue(other.lock(config("another" + i, LONG, Duration.ZERO)).isPresent());
      held.unlock();
      assertTrue(isTakenByOther());
      assertThrows(IllegalStateException.class, held::unlock);
    }
  }

  @Test
  void itEndsAfterLockAtMostForAndALateUnlockTakesNothingFromTheNextHolder() {
    Instant end = ClockProvider.now().plusMillis(50);
    SimpleLock late = lock(Duration.ofMillis(50), Duration.ZERO);
    awaitTrue("it ends", () -> !Locks.isHeld(otherClient, NAME));
    assertFalse(ClockProvider.now().isBefore(end));
    SimpleLock next = other.lock(config(NAME, LONG, Duration.ZERO)).orElseThrow();
    late.unlock();
    assertTrue(Locks.isHeld(client, NAME));
    next.unlock();
    assertFalse(Locks.isHeld(client, NAME));
  }

  @Test
  void aHolderWhoseClockIsLateTakesNothingFromTheNextOne() {
    // By this configuration the lock still holds, but the server has ended it.
    LockConfiguration slow =
        new LockConfiguration(ClockProvider.now(), NAME, Duration.ofMinutes(1), Duration.ZERO);
    Holdings holdings = new Holdings(client, "shedlock");
    long token = holdings.take(config(NAME, Duration.ofMillis(20), Duration.ZERO)).orElseThrow();
    awaitTrue("it ends", () -> !Locks.isHeld(otherClient, NAME));
    assertTrue(holdings.extend(slow, slow, token).isEmpty());
    assertFalse(Locks.isHeld(client, NAME));
    SimpleLock next = other.lock(config(NAME, LONG, Duration.ZERO)).orElseThrow();
    assertTrue(holdings.extend(slow, slow, token).isEmpty());
    holdings.release(slow, token);
    assertTrue(Locks.isHeld(client, NAME));
    next.unlock();
  }

  @Test
  void itIsKeptForLockAtLeastForAfterItWasUnlocked() {
    Instant until = ClockProvider.now().plusMillis(600);
    SimpleLock held = lock(LONG, Duration.ofMillis(600));
    held.unlock();
    assertFalse(isTakenByOther());
    awaitTrue("it ends", this::isTakenByOther);
    assertFalse(ClockProvider.now().isBefore(until));
  }

  @Test
  void itOutlivesTheProcessThatHoldsIt() {
    assertTrue(isTakenByOther());
    Instant until = ClockProvider.now().plusSeconds(3);
    lock(Duration.ofSeconds(3), Duration.ZERO);
    client.close();
    assertFalse(isTakenByOther());
    awaitTrue("it ends", this::isTakenByOther);
    assertFalse(ClockProvider.now().isBefore(until));
  }

  @Test
  void itCanBeExtendedAgainAndAgain() {
    SimpleLock first = lock(Duration.ofMillis(400), Duration.ZERO);
    SimpleLock second = first.extend(Duration.ofMinutes(1), Duration.ZERO).orElseThrow();
    assertThrows(IllegalStateException.class, first::unlock);
    assertThrows(IllegalStateException.class, () -> first.extend(LONG, Duration.ZERO));
    SimpleLock third = second.extend(Duration.ofMillis(300), Duration.ZERO).orElseThrow();
    SimpleLock last = third.extend(LONG, LONG).orElseThrow();
    Instant firstEnd = ClockProvider.now().plusMillis(400);
    awaitTrue("the first end has come", () -> ClockProvider.now().isAfter(firstEnd));
    assertFalse(isTakenByOther());
    last.unlock();
    assertFalse(isTakenByOther()); // lockAtLeastFor of the extension
  }

  @Test
  void whatHasEndedCannotBeExtended() {
    SimpleLock unlocked = lock(LONG, Duration.ZERO);
    unlocked.unlock();
    assertThrows(IllegalStateException.class, () -> unlocked.extend(LONG, Duration.ZERO));
    SimpleLock expired = lock(Duration.ofMillis(2), Duration.ZERO);
    awaitTrue("it ends", () -> !Locks.isHeld(otherClient, NAME));
    assertTrue(expired.extend(LONG, Duration.ZERO).isEmpty());
    assertTrue(isTakenByOther());
  }

  @Test
  void manyThreadsOfManyProcessesNeverHoldItTogether() throws Exception {
    int threads = 6;
    int turns = 20;
    int[] counter = {0}; // not atomic on purpose
    ExecutorService executor = Executors.newFixedThreadPool(threads);
    List<Future<?>> workers = new ArrayList<>();
    for (int i = 0; i < threads; i++) {
      LockingTaskExecutor locking =
          new DefaultLockingTaskExecutor(i % 2 == 0 ? provider : other);
      workers.add(
          executor.submit(
              () -> {
                int[] done = {0};
                while (done[0] < turns) {
                  locking.executeWithLock(
                      (Runnable)
                          () -> {
                            int seen = counter[0];
                            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(1));
                            counter[0] = seen + 1;
                            done[0]++;
                          },
                      config(NAME, LONG, Duration.ofMillis(3)));
                }
                return null;
              }));
    }
    for (Future<?> worker : workers) {
      worker.get();
    }
    executor.shutdown();
    assertEquals(threads * turns, counter[0]);
  }

  @Test
  void withoutAServerThereIsNoLockAndItIsSaid() {
    try (SingleflightClient lost =
        SingleflightClient.builder()
            .addresses("127.0.0.1:1")
            .connectTimeout(Duration.ofMillis(200))
            .failOpen(true)
            .build()) {
      LockException thrown =
          assertThrows(
              LockException.class,
              () ->
                  new SingleflightLockProvider(lost).lock(config(NAME, LONG, Duration.ZERO)));
      assertTrue(thrown.getMessage().contains("UNAVAILABLE"), thrown.getMessage());
    }
  }
}
