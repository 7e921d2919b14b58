// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Servers that are away, come, go, drain, and stand in for each other. */
class ReachTest extends DaemonTest {
  private static final String NOBODY = "127.0.0.1:1";

  private static SingleflightClient.Builder hasty(String... addresses) {
    return SingleflightClient.builder()
        .addresses(addresses)
        .connectTimeout(Duration.ofMillis(300));
  }

  @Test
  void withoutAServerACallSaysWhereItLooked() throws Exception {
    try (SingleflightClient lost = hasty(NOBODY).build()) {
      StatusException status = statusOf(start(lost, "key", PLAIN, leader -> ""));
      assertTrue(status.isUnavailable());
      assertTrue(status.getMessage().contains(NOBODY), status.getMessage());
      assertTrue(status.getMessage().contains("refused"), status.getMessage());
    }
  }

  @Test
  void failOpenRunsTheFunctionHereAndStillMerges() throws Exception {
    try (SingleflightClient lost = hasty(NOBODY).failOpen(true).build()) {
      Work work = new Work("here");
      CompletableFuture<Result<String>> first = start(lost, "key", PLAIN, work);
      CompletableFuture<Result<String>> second = start(lost, "key", PLAIN, leader -> "twice");
      work.awaitFollowers(1);
      work.end();
      assertTrue(get(first).failedOpen());
      assertTrue(get(first).led());
      assertEquals(0, get(first).token());
      assertEquals("here", get(second).value());
      assertEquals(2, get(second).callers());
      DoOptions closed = DoOptions.builder().failOpen(false).build();
      assertTrue(statusOf(start(lost, "key", closed, leader -> "")).isUnavailable());
    }
  }

  @Test
  void refusedEverywhereFailsOpenAtOnce() throws Exception {
    try (SingleflightClient lost =
        SingleflightClient.builder()
            .addresses(NOBODY, "127.0.0.1:2", "unix:/nowhere/socket", "nowhere.invalid:7433")
            .connectTimeout(Duration.ofMinutes(10))
            .failOpen(true)
            .build()) {
      for (int i = 0; i < 3; i++) {
        assertTrue(get(start(lost, "key" + i, PLAIN, leader -> "here")).failedOpen());
      }
    }
  }

  @Test
  void aRefusedAddressCostsNothingWhenThereAreOthers() throws Exception {
    try (SingleflightClient one =
        SingleflightClient.builder()
            .addresses(NOBODY, daemon.address(), "127.0.0.1:2")
            .connectTimeout(Duration.ofMinutes(10))
            .build()) {
      for (int i = 0; i < 10; i++) {
        Result<String> result = get(start(one, "key" + i, PLAIN, leader -> "there"));
        assertNotEquals(0, result.token());
        assertEquals(
            new Forgotten(false, false, false), one.forget("", "key" + i, false));
      }
    }
  }

  @Test
  void aServerThatDrainsIsThereAndFailOpenRunsNothing() throws Exception {
    Daemon draining = Daemon.start();
    try (SingleflightClient holds = clientOf(draining.address());
        SingleflightClient late =
            SingleflightClient.builder()
                .addresses(draining.address())
                .connectTimeout(Duration.ofSeconds(3))
                .backoff(Duration.ofMillis(20), Duration.ofMillis(100))
                .failOpen(true)
                .build()) {
      Work work = new Work("in peace");
      CompletableFuture<Result<String>> leading = start(holds, "key", PLAIN, work);
      work.awaitLead();
      late.call("warm", PLAIN, Codec.UTF_8, leader -> "");
      draining.terminate();
      Eventually.isTrue("it drains", () -> isTurnedAway(late));
      work.end();
      assertEquals("in peace", get(leading).value());
      draining.await();
      // Now it is gone, and that is an answer.
      assertTrue(get(start(late, "gone", PLAIN, leader -> "here")).failedOpen());
    }
  }

  private static boolean isTurnedAway(SingleflightClient late) {
    try {
      Result<String> result = late.call("another", PLAIN, Codec.UTF_8, leader -> "beside");
      assertFalse(result.failedOpen());
      return false;
    } catch (StatusException status) {
      assertTrue(status.isUnavailable(), status.getMessage());
      return true;
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void failOpenInTheMiddleGoesOnToTheEnd(boolean hasLease) throws Exception {
    Daemon first = Daemon.start();
    try (SingleflightClient one = hasty(first.address()).failOpen(true).build()) {
      DoOptions.Builder options = DoOptions.builder().audience(true);
      DoOptions leads =
          (hasLease ? options.lease(Duration.ofSeconds(1)) : options).build();
      Work work = new Work("whole");
      CompletableFuture<Result<String>> leading = start(one, "key", leads, work);
      Leader leader = work.awaitLead();
      CompletableFuture<Result<String>> merged = start(one, "key", leads, again -> "twice");
      work.awaitFollowers(1);
      first.kill();
      assertTrue(get(start(one, "another", PLAIN, again -> "here")).failedOpen());
      assertFalse(work.lost.await(1500, TimeUnit.MILLISECONDS)); // more than the lease
      assertFalse(leader.isLost());
      work.end();
      assertTrue(get(leading).failedOpen());
      assertTrue(get(leading).led());
      assertEquals("whole", get(merged).value());
      assertTrue(get(merged).failedOpen());
    }
  }

  @Test
  void aDeadlineHoldsAlsoWithoutAServer() throws Exception {
    try (SingleflightClient patient = clientOf(NOBODY)) {
      DoOptions brief = DoOptions.builder().timeout(Duration.ofMillis(100)).build();
      assertTrue(statusOf(start(patient, "key", brief, leader -> "")).isDeadlineExceeded());
    }
  }

  @Test
  void forgetWaitsForAServerThatComes() throws Exception {
    Daemon first = Daemon.start();
    String address = first.address();
    first.kill();
    try (SingleflightClient hopeless = hasty(address).build()) {
      StatusException thrown =
          assertThrows(StatusException.class, () -> hopeless.forget("", "key", false));
      assertTrue(thrown.isUnavailable(), thrown.getMessage());
    }
    try (SingleflightClient patient =
        SingleflightClient.builder()
            .addresses(address)
            .connectTimeout(Duration.ofSeconds(20))
            .build()) {
      CompletableFuture<Forgotten> forgotten = new CompletableFuture<>();
      Thread waiting =
          new Thread(
              () -> {
                try {
                  forgotten.complete(patient.forget("", "key", false));
                } catch (StatusException | InterruptedException failed) {
                  forgotten.completeExceptionally(failed);
                }
              });
      waiting.start();
      try (Daemon second = Daemon.startAt(address)) {
        assertEquals(address, second.address());
        assertEquals(new Forgotten(false, false, false), get(forgotten));
      }
    }
  }

  @Test
  void callersOutliveADaemonThatIsRestarted() throws Exception {
    Daemon first = Daemon.start();
    String address = first.address();
    try (SingleflightClient one = clientOf(address);
        SingleflightClient two = clientOf(address)) {
      Work work = new Work("");
      CompletableFuture<Result<String>> leading = start(one, "key", PLAIN, work);
      work.awaitLead();
      Work next = new Work("after");
      CompletableFuture<Result<String>> following = start(two, "key", PLAIN, next);
      work.awaitFollowers(1);
      first.kill();
      assertTrue(statusOf(leading).isAborted());
      try (Daemon second = Daemon.startAt(address)) {
        assertEquals(address, second.address());
        next.awaitLead();
        next.end();
        assertEquals("after", get(following).value());
        assertTrue(get(following).led());
      }
    }
  }

  @Test
  void aLeaseThatADaemonHasForgottenIsLost() throws Exception {
    Daemon first = Daemon.start();
    DoOptions leased = DoOptions.builder().lease(Duration.ofSeconds(20)).build();
    try (SingleflightClient one = clientOf(first.address())) {
      Work work = new Work("");
      CompletableFuture<Result<String>> leading = start(one, "key", leased, work);
      work.awaitLead();
      first.kill();
      try (Daemon second = Daemon.startAt(first.address())) {
        assertEquals(first.address(), second.address());
        work.awaitLost();
        StatusException status = statusOf(leading);
        assertTrue(status.isAborted());
        assertTrue(status.getMessage().contains("fenced"), status.getMessage());
      }
    }
  }

  @Test
  void aDrainingDaemonLetsItsFlightsEndAndNewCallsGoElsewhere() throws Exception {
    Daemon draining = Daemon.start("--drain-time", "15s");
    try (SingleflightClient one = hasty(draining.address()).build()) {
      Work work = new Work("in peace");
      CompletableFuture<Result<String>> leading = start(one, "old", PLAIN, work);
      work.awaitLead();
      draining.terminate();
      Eventually.isTrue(
          "new calls are refused",
          () -> {
            try {
              one.call("new" + System.nanoTime(), PLAIN, Codec.UTF_8, leader -> "");
              return false;
            } catch (StatusException refused) {
              return refused.isUnavailable();
            } catch (InterruptedException impossible) {
              throw new AssertionError(impossible);
            }
          });
      assertFalse(work.leader.isLost());
      work.end();
      assertEquals("in peace", get(leading).value());
      draining.await();
    }
  }

  @Test
  void eachKeyHasItsHomeAndTheNextServerStandsIn() throws Exception {
    Daemon second = Daemon.start();
    String[] forth = {daemon.address(), second.address()};
    String[] back = {second.address(), daemon.address()};
    try (SingleflightClient one = hasty(forth).build();
        SingleflightClient two = hasty(back).build()) {
      for (int i = 0; i < 20; i++) {
        Work work = new Work("shared");
        CompletableFuture<Result<String>> leading = start(one, "key" + i, PLAIN, work);
        work.awaitLead();
        CompletableFuture<Result<String>> following =
            start(two, "key" + i, PLAIN, leader -> "a second home");
        work.awaitFollowers(1);
        work.end();
        assertEquals("shared", get(following).value());
        assertTrue(get(leading).shared());
      }
      second.kill();
      for (int i = 0; i < 20; i++) {
        String key = "key" + i;
        Result<String> result = get(start(one, key, PLAIN, leader -> "stands in"));
        assertEquals("stands in", result.value());
        assertNotEquals(0, result.token());
      }
    }
  }

  @Test
  void aUnixSocketWillDo(@TempDir Path folder) throws Exception {
    Path socket = folder.resolve("socket");
    try (Daemon local = Daemon.start("--unix-socket", socket.toString());
        SingleflightClient one = clientOf("unix:" + socket)) {
      assertTrue(get(start(one, "key", PLAIN, leader -> "value")).led());
      assertNotEquals(daemon.address(), local.address());
    }
  }

  @Test
  void afterCloseNothingIsLeft() throws Exception {
    SingleflightClient closing = clientOf(daemon.address());
    Work work = new Work("");
    CompletableFuture<Result<String>> leading = start(closing, "closed", PLAIN, work);
    work.awaitLead();
    Work next = new Work("next");
    CompletableFuture<Result<String>> following = start(other, "closed", PLAIN, next);
    work.awaitFollowers(1);
    other.call("warm", PLAIN, Codec.UTF_8, leader -> "");
    closing.close();
    closing.close();
    assertTrue(statusOf(leading).isCancelled());
    next.awaitLead();
    next.end();
    assertEquals("next", get(following).value());
    assertTrue(statusOf(start(closing, "late", PLAIN, leader -> "")).isCancelled());
    client.close();
    other.close();
    Eventually.isTrue("no thread is left", () -> threads().isEmpty());
  }

  private static List<String> threads() {
    return Thread.getAllStackTraces().keySet().stream()
        .map(Thread::getName)
        .filter(
            name ->
                Stream.of("singleflight", "grpc", "netty", "CompletableFuture")
                    .anyMatch(name::contains))
        .toList();
  }
}
