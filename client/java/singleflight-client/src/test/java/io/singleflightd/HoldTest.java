// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static io.singleflightd.FakeServer.ok;
import static io.singleflightd.FakeServer.send;
import static io.singleflightd.FakeServer.session;
import static io.singleflightd.FakeServer.to;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.Follow;
import io.singleflightd.grpc.v1.Join;
import io.singleflightd.grpc.v1.Lead;
import io.singleflightd.grpc.v1.OutcomeKind;
import io.singleflightd.grpc.v1.Renewed;
import io.singleflightd.grpc.v1.SessionResponse;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** For how long a lead holds: renewals with and without answers, pauses, promotions. */
@Timeout(60)
class HoldTest {
  private static final long SILENCE_MS = 900;

  private final BlockingQueue<CallRequest> frames = new LinkedBlockingQueue<>();
  private FakeServer server;
  private SingleflightClient client;

  private void serve(BiConsumer<CallRequest, StreamObserver<SessionResponse>> answer)
      throws Exception {
    server =
        new FakeServer(
            session(
                (frame, out) -> {
                  frames.add(frame);
                  answer.accept(frame, out);
                }));
    client = DaemonTest.clientOf(server.address());
  }

  @AfterEach
  void tearDown() {
    client.close();
    server.close();
  }

  private static Lead.Builder lead(long silenceMs) {
    return Lead.newBuilder().setToken(77).setAttempt(1).setSilenceMs(silenceMs);
  }

  private static void renewed(CallRequest frame, StreamObserver<SessionResponse> out) {
    send(out, to(frame).setRenewed(Renewed.newBuilder().setId(frame.getRenew().getId())));
  }

  /** Grants a lead, takes its outcome, and does something about its renewals. */
  private static BiConsumer<CallRequest, StreamObserver<SessionResponse>> grants(
      Lead.Builder lead, BiConsumer<CallRequest, StreamObserver<SessionResponse>> onRenew) {
    return (frame, out) -> {
      if (frame.hasJoin()) {
        send(out, to(frame).setLead(lead));
      } else if (frame.hasRenew()) {
        onRenew.accept(frame, out);
      } else if (frame.hasFinish()) {
        send(out, to(frame).setResult(ok("", 0).setLed(true)));
      }
    };
  }

  private CompletableFuture<Result<String>> call(Work work) {
    return client.callAsync("key", DoOptions.defaults(), Codec.UTF_8, work);
  }

  private CallRequest nextRenew() throws Exception {
    CallRequest frame;
    do {
      frame = frames.poll(20, TimeUnit.SECONDS);
    } while (!frame.hasRenew());
    return frame;
  }

  @Test
  void renewalsThatAreAnsweredKeepTheLead() throws Exception {
    serve(grants(lead(SILENCE_MS), HoldTest::renewed));
    Work work = new Work("kept");
    CompletableFuture<Result<String>> call = call(work);
    long began = System.nanoTime();
    for (long id = 1; id <= 5; id++) {
      assertEquals(id, nextRenew().getRenew().getId());
    }
    // Five thirds: it has outlived the time of the join's own answer.
    assertTrue(System.nanoTime() - began > TimeUnit.MILLISECONDS.toNanos(SILENCE_MS));
    assertFalse(work.leader.isLost());
    work.end();
    assertEquals("kept", DaemonTest.get(call).value());
    assertEquals(1, work.lost.getCount());
  }

  @Test
  void aLeadThatNobodyAnswersIsLostInTimeAlsoWithoutALease() throws Exception {
    serve(grants(lead(SILENCE_MS), (frame, out) -> {}));
    Work work = new Work("");
    long began = System.nanoTime();
    CompletableFuture<Result<String>> call = call(work);
    work.awaitLead();
    work.awaitLost();
    long tookMs = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
    assertTrue(tookMs >= SILENCE_MS - 100 && tookMs < SILENCE_MS + 3000, tookMs + " ms");
    assertTrue(work.leader.isLost());
    StatusException status = DaemonTest.statusOf(call);
    assertTrue(status.isAborted());
    assertTrue(status.getMessage().contains("900 ms"), status.getMessage());
  }

  @Test
  void theTimeCountsFromTheLastRenewalThatWasAnswered() throws Exception {
    AtomicLong answeredNanos = new AtomicLong();
    serve(
        grants(
            lead(SILENCE_MS),
            (frame, out) -> {
              if (frame.getRenew().getId() <= 2) {
                answeredNanos.set(System.nanoTime());
                renewed(frame, out);
              }
            }));
    Work work = new Work("");
    call(work);
    work.awaitLead();
    work.awaitLost();
    long tookMs = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - answeredNanos.get());
    assertTrue(tookMs < SILENCE_MS + 2000, tookMs + " ms after the last answer");
  }

  @Test
  void anAnswerMayChangeTheTime() throws Exception {
    serve(
        grants(
            lead(SILENCE_MS),
            (frame, out) -> {
              if (frame.getRenew().getId() == 1) {
                send(
                    out,
                    to(frame)
                        .setRenewed(Renewed.newBuilder().setId(1).setSilenceMs(600_000)));
              }
            }));
    Work work = new Work("long");
    CompletableFuture<Result<String>> call = call(work);
    work.awaitLead();
    assertFalse(work.lost.await(2 * SILENCE_MS, TimeUnit.MILLISECONDS));
    work.end();
    assertEquals("long", DaemonTest.get(call).value());
  }

  @Test
  void aServerThatAnswersNoRenewalIsNotAskedTo() throws Exception {
    serve(grants(lead(0).setLeaseMs(1000), (frame, out) -> {}));
    Work work = new Work("as before");
    CompletableFuture<Result<String>> call = call(work);
    for (int i = 0; i < 4; i++) {
      assertEquals(0, nextRenew().getRenew().getId());
    }
    assertFalse(work.leader.isLost());
    work.end();
    assertEquals("as before", DaemonTest.get(call).value());
  }

  /** Nothing of the client runs meanwhile, as when the process is stopped. */
  private void pause(CountDownLatch until) throws Exception {
    CountDownLatch begun = new CountDownLatch(1);
    Thread pausing =
        new Thread(
            () ->
                client.engine.loop.execute(
                    () -> {
                      begun.countDown();
                      try {
                        until.await();
                      } catch (InterruptedException interrupted) {
                        Thread.currentThread().interrupt();
                      }
                    }));
    pausing.setDaemon(true);
    pausing.start();
    begun.await();
  }

  private void pauseBeyondTheEnd(Work work) throws Exception {
    CountDownLatch thaw = new CountDownLatch(1);
    pause(thaw);
    try {
      Eventually.isTrue("the clock says that it is lost", () -> work.leader.isLost());
      assertEquals(1, work.lost.getCount()); // nobody could tell it
    } finally {
      thaw.countDown();
    }
  }

  @Test
  void afterAPauseTheServerIsAskedFirstAndMayConfirmTheLead() throws Exception {
    serve(grants(lead(SILENCE_MS), HoldTest::renewed));
    Work work = new Work("still mine");
    CompletableFuture<Result<String>> call = call(work);
    work.awaitLead();
    pauseBeyondTheEnd(work);
    Eventually.isTrue("it holds again", () -> !work.leader.isLost());
    assertEquals(1, work.lost.getCount());
    work.end();
    assertEquals("still mine", DaemonTest.get(call).value());
  }

  @Test
  void afterAPauseWithoutAnAnswerTheFunctionIsTold() throws Exception {
    serve(grants(lead(SILENCE_MS), (frame, out) -> {}));
    Work work = new Work("");
    CompletableFuture<Result<String>> call = call(work);
    work.awaitLead();
    pauseBeyondTheEnd(work);
    work.awaitLost();
    assertTrue(DaemonTest.statusOf(call).isAborted());
  }

  @Test
  void whoIsPromotedLateBeginsWhenTheServerConfirmsTheLead() throws Exception {
    CompletableFuture<Runnable> confirm = new CompletableFuture<>();
    ScheduledExecutorService later = Executors.newSingleThreadScheduledExecutor();
    serve(
        (frame, out) -> {
          if (frame.hasJoin()) {
            send(out, to(frame).setFollow(Follow.newBuilder().setAttempt(1)));
            later.schedule(
                () -> send(out, to(frame).setLead(lead(SILENCE_MS).setAttempt(2))),
                SILENCE_MS,
                TimeUnit.MILLISECONDS);
          } else if (frame.hasRenew()) {
            confirm.complete(() -> renewed(frame, out));
          } else if (frame.hasFinish()) {
            send(out, to(frame).setResult(ok("", 0).setLed(true)));
          }
        });
    Work work = new Work("promoted");
    CompletableFuture<Result<String>> call = call(work);
    Runnable answers = DaemonTest.get(confirm);
    assertEquals(0, work.runs.get());
    answers.run();
    assertEquals(2, work.awaitLead().attempt());
    assertFalse(work.leader.isLost());
    work.end();
    assertEquals("promoted", DaemonTest.get(call).value());
    later.shutdown();
  }

  /** A server that is far away: each answer takes more than the third of the time. */
  @Test
  void whoIsPromotedLateBeginsAlsoWhenAnswersTakeLong() throws Exception {
    long farMs = 2 * SILENCE_MS / 3;
    ScheduledExecutorService later = Executors.newSingleThreadScheduledExecutor();
    serve(
        (frame, out) -> {
          if (frame.hasJoin()) {
            later.schedule(
                () -> send(out, to(frame).setLead(lead(SILENCE_MS))),
                farMs,
                TimeUnit.MILLISECONDS);
          } else if (frame.hasRenew()) {
            later.schedule(() -> renewed(frame, out), farMs, TimeUnit.MILLISECONDS);
          } else if (frame.hasFinish()) {
            send(out, to(frame).setResult(ok("", 0).setLed(true)));
          }
        });
    Work work = new Work("far");
    CompletableFuture<Result<String>> call = call(work);
    work.awaitLead();
    work.end();
    assertEquals("far", DaemonTest.get(call).value());
    later.shutdown();
  }

  @Test
  void joinsAreDetachedAndTellInsideWhichLeadsTheyAre() throws Exception {
    serve(grants(lead(SILENCE_MS), HoldTest::renewed));
    CompletableFuture<Result<String>> outer =
        client.callAsync(
            "key",
            DoOptions.builder().timeout(Duration.ofSeconds(20)).build(),
            Codec.UTF_8,
            leader ->
                client
                    .call(
                        "other",
                        DoOptions.builder().fresh(true).retainFromLead(true).build(),
                        Codec.UTF_8,
                        inner -> "inner")
                    .value());
    assertEquals("inner", DaemonTest.get(outer).value());
    Join first = frames.remove().getJoin();
    assertTrue(first.getDetach());
    assertTrue(first.getAudience());
    assertEquals(0, first.getWithinCount());
    assertFalse(first.getFresh());
    Join second =
        frames.stream()
            .filter(frame -> frame.getJoin().getKey().toStringUtf8().equals("other"))
            .findFirst()
            .orElseThrow()
            .getJoin();
    assertEquals(1, second.getWithinCount());
    assertEquals("key", second.getWithin(0).getKey().toStringUtf8());
    assertEquals(77, second.getWithin(0).getToken());
    assertTrue(second.getFresh());
    assertTrue(second.getRetainFromLead());
  }

  @Test
  void aDetachedLeadTakesCallersWithMorePatienceThanItsOwn() throws Exception {
    serve(grants(lead(SILENCE_MS), HoldTest::renewed));
    Work work = new Work("for both");
    DoOptions.Builder options = DoOptions.builder().audience(true);
    CompletableFuture<Result<String>> brief =
        client.callAsync(
            "key", options.timeout(Duration.ofMillis(700)).build(), Codec.UTF_8, work);
    work.awaitLead();
    CompletableFuture<Result<String>> patient =
        client.callAsync(
            "key", options.timeout(Duration.ofMinutes(10)).build(), Codec.UTF_8, work);
    work.awaitFollowers(1);
    assertTrue(DaemonTest.statusOf(brief).isDeadlineExceeded());
    work.end();
    assertEquals("for both", DaemonTest.get(patient).value());
    assertEquals(1, frames.stream().filter(CallRequest::hasJoin).count());
  }

  @Test
  void aLimitThatTheValueMetIsTheOutcome() throws Exception {
    serve(
        (frame, out) -> {
          if (frame.hasJoin()) {
            send(out, to(frame).setLead(lead(SILENCE_MS)));
          } else if (frame.hasFinish()) {
            send(
                out,
                to(frame)
                    .setResult(
                        ok("", 0)
                            .setLed(true)
                            .setOutcome(
                                io.singleflightd.grpc.v1.Outcome.newBuilder()
                                    .setKind(OutcomeKind.OUTCOME_KIND_ERROR)
                                    .setCode(8)
                                    .setType("singleflight.LimitExceeded")
                                    .setMessage("result_limit is 64 KiB"))));
          }
        });
    FunctionException failed =
        DaemonTest.thrownBy(
            client.callAsync("key", DoOptions.defaults(), Codec.UTF_8, leader -> "large"),
            FunctionException.class);
    assertEquals(8, failed.code());
    assertEquals("singleflight.LimitExceeded", failed.type());
    assertTrue(failed.result().led());
  }

  @Test
  void withHoldTheLossIsTheOutcomeAlsoForMergedCallers() throws Exception {
    CompletableFuture<StreamObserver<SessionResponse>> stream = new CompletableFuture<>();
    serve(
        (frame, out) -> {
          send(out, to(frame).setLead(lead(0)));
          stream.complete(out);
        });
    DoOptions hold =
        DoOptions.builder().audience(true).onLeaderLoss(LeaderLoss.HOLD).build();
    Work work = new Work("");
    Work twice = new Work("tried twice");
    CompletableFuture<Result<String>> leading =
        client.callAsync("key", hold, Codec.UTF_8, work);
    work.awaitLead();
    CompletableFuture<Result<String>> merged =
        client.callAsync("key", hold, Codec.UTF_8, twice);
    work.awaitFollowers(1);
    stream.join().onError(Status.UNAVAILABLE.asRuntimeException());
    FunctionException held = DaemonTest.thrownBy(merged, FunctionException.class);
    assertEquals(io.singleflightd.OutcomeKind.ABANDONED, held.kind());
    assertTrue(DaemonTest.statusOf(leading).isAborted());
    assertEquals(0, twice.runs.get());
  }
}
