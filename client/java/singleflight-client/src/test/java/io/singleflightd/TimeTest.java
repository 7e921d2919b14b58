// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Timeouts of zero, of leaders, and of clients that get no CPU. */
class TimeTest extends DaemonTest {
  private static final String NOBODY = "127.0.0.1:1";

  @ParameterizedTest
  @ValueSource(longs = {0, -1, -5_000_000})
  void aTimeoutOfZeroOrLessEndsTheCallAtOnce(long nanos) throws Exception {
    Work work = new Work("");
    DoOptions none = DoOptions.builder().timeout(Duration.ofNanos(nanos)).build();
    assertTrue(statusOf(start(client, "zero", none, work)).isDeadlineExceeded());
    assertEquals(0, work.runs.get());
  }

  @Test
  void aLeadersOwnDeadlineEndsItsWaitingWhateverItsFunctionDoes() throws Exception {
    CountDownLatch deaf = new CountDownLatch(1);
    DoOptions brief = DoOptions.builder().timeout(Duration.ofMillis(300)).build();
    CompletableFuture<Result<String>> call =
        start(
            client,
            "deaf",
            brief,
            leader -> {
              while (deaf.getCount() > 0) {
                try {
                  deaf.await();
                } catch (InterruptedException ignored) {
                  // Goes on.
                }
              }
              return "";
            });
    assertTrue(statusOf(call).isDeadlineExceeded());
    deaf.countDown();
  }

  @Test
  void aConnectTimeoutOfZeroDoesNotWait() throws Exception {
    SingleflightClient.Builder builder = SingleflightClient.builder().addresses(NOBODY);
    try (SingleflightClient never = builder.connectTimeout(Duration.ZERO).build();
        SingleflightClient patient = builder.connectTimeout(Duration.ofMinutes(10)).build()) {
      assertTrue(statusOf(start(never, "key", PLAIN, leader -> "")).isUnavailable());
      DoOptions.Builder atOnce = DoOptions.builder().connectTimeout(Duration.ZERO);
      assertTrue(statusOf(start(patient, "key", atOnce.build(), leader -> "")).isUnavailable());
      DoOptions open = atOnce.failOpen(true).build();
      assertTrue(get(start(patient, "key", open, leader -> "here")).failedOpen());
    }
  }

  @Test
  void aConnectTimeoutOfZeroTakesAServerThatIsThere() throws Exception {
    client.call("warm", PLAIN, Codec.UTF_8, leader -> "");
    DoOptions atOnce = DoOptions.builder().connectTimeout(Duration.ZERO).build();
    assertEquals("there", get(start(client, "key", atOnce, leader -> "there")).value());
  }

  @Test
  void whoGetsNoCpuDoesNotBlameTheServer() throws Exception {
    try (SingleflightClient starved =
        SingleflightClient.builder()
            .addresses(daemon.address())
            .connectTimeout(Duration.ofMillis(400))
            .build()) {
      CountDownLatch begun = new CountDownLatch(1);
      Thread busy =
          new Thread(
              () ->
                  starved.engine.loop.execute(
                      () -> {
                        begun.countDown();
                        busyFor(1200);
                      }));
      busy.start();
      begun.await();
      // Its join goes out, and the first look at the clock comes, when 1.2 s are over.
      assertEquals("served", get(start(starved, "key", PLAIN, leader -> "served")).value());
      starvedAfterTheJoin(starved);
    }
  }

  private void starvedAfterTheJoin(SingleflightClient starved) throws Exception {
    CompletableFuture<Result<String>> call = start(starved, "next", PLAIN, leader -> "too");
    starved.engine.loop.execute(() -> busyFor(1200));
    assertEquals("too", get(call).value());
  }

  private static void busyFor(long ms) {
    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(ms);
    while (System.nanoTime() < end) {
      Thread.onSpinWait();
    }
  }
}
