// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static io.singleflightd.FakeServer.session;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.stub.StreamObserver;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.SessionResponse;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
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
    ScheduledExecutorService later = Executors.newSingleThreadScheduledExecutor();
    CompletableFuture<Void> joined = new CompletableFuture<>();
    try (FakeServer server =
            new FakeServer(
                session(
                    (frame, out) -> {
                      joined.complete(null);
                      answerIn600Ms(later, frame, out);
                    }));
        SingleflightClient starved =
            SingleflightClient.builder()
                .addresses(server.address())
                .connectTimeout(Duration.ofMillis(400))
                .build()) {
      CompletableFuture<Result<String>> call = start(starved, "key", PLAIN, leader -> "");
      get(joined);
      starved.engine.loop.execute(() -> busyFor(1200));
      // By the wall clock more than 400 ms were over when the answer came.
      assertEquals("served", get(call).value());
    } finally {
      later.shutdown();
    }
  }

  private static void answerIn600Ms(
      ScheduledExecutorService later,
      CallRequest frame,
      StreamObserver<SessionResponse> out) {
    later.schedule(
        () -> FakeServer.send(out, FakeServer.to(frame).setResult(FakeServer.ok("served", 6))),
        600,
        TimeUnit.MILLISECONDS);
  }

  private static void busyFor(long ms) {
    long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(ms);
    while (System.nanoTime() < end) {
      Thread.onSpinWait();
    }
  }
}
