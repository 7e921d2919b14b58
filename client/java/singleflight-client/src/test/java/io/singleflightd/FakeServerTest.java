// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static io.singleflightd.FakeServer.ok;
import static io.singleflightd.FakeServer.send;
import static io.singleflightd.FakeServer.session;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnknownFieldSet;
import io.grpc.BindableService;
import io.grpc.Status;
import io.singleflightd.grpc.v1.CallRequest;
import io.singleflightd.grpc.v1.CallResponse;
import io.singleflightd.grpc.v1.End;
import io.singleflightd.grpc.v1.Finish;
import io.singleflightd.grpc.v1.Follow;
import java.io.IOException;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a server says that is older, newer, or no good. */
@Timeout(60)
class FakeServerTest {
  private FakeServer server;
  private SingleflightClient client;

  private void serve(BindableService... services) throws IOException {
    server = new FakeServer(services);
    client =
        SingleflightClient.builder()
            .addresses(server.address())
            .connectTimeout(Duration.ofSeconds(20))
            .build();
  }

  private CompletableFuture<Result<String>> call() {
    return client.callAsync("key", DoOptions.defaults(), Codec.UTF_8, leader -> "mine");
  }

  @AfterEach
  void tearDown() {
    client.close();
    server.close();
  }

  @Test
  void aServerThatKnowsNoSessionsIsSaidToBeOlder() throws Exception {
    serve();
    StatusException status = DaemonTest.statusOf(call());
    assertEquals(Status.Code.UNIMPLEMENTED, status.code());
    assertTrue(status.getMessage().contains("older"), status.getMessage());
  }

  @Test
  void stepsAndFieldsOfANewerServerAreIgnored() throws Exception {
    UnknownFieldSet later =
        UnknownFieldSet.newBuilder()
            .addField(
                14,
                UnknownFieldSet.Field.newBuilder()
                    .addLengthDelimited(ByteString.copyFromUtf8("news"))
                    .build())
            .build();
    serve(
        session(
            (frame, out) -> {
              if (!frame.hasJoin()) {
                return;
              }
              send(out, CallResponse.newBuilder().setId(frame.getId()).setUnknownFields(later));
              send(
                  out,
                  CallResponse.newBuilder()
                      .setId(frame.getId())
                      .setFollow(Follow.newBuilder().setAttempt(1).setUnknownFields(later)));
              send(out, CallResponse.newBuilder().setId(frame.getId() + 1000).setResult(ok("", 0)));
              send(
                  out,
                  CallResponse.newBuilder().setId(frame.getId()).setResult(ok("value", 5)));
            }));
    assertEquals("value", DaemonTest.get(call()).value());
  }

  @Test
  void aValueThatIsNotWholeIsNeverOk() throws Exception {
    serve(
        session(
            (frame, out) ->
                send(
                    out,
                    CallResponse.newBuilder().setId(frame.getId()).setResult(ok("valu", 5)))));
    assertEquals(Status.Code.INTERNAL, DaemonTest.statusOf(call()).code());
  }

  @Test
  void aStreamThatIsCancelledUnaskedIsTriedAgain() throws Exception {
    AtomicInteger joins = new AtomicInteger();
    serve(
        session(
            (frame, out) -> {
              if (joins.incrementAndGet() == 1) {
                out.onError(Status.CANCELLED.asRuntimeException());
              } else if (frame.hasJoin()) {
                send(
                    out,
                    CallResponse.newBuilder().setId(frame.getId()).setResult(ok("again", 5)));
              }
            }));
    assertEquals("again", DaemonTest.get(call()).value());
    assertEquals(2, joins.get());
  }

  private static io.singleflightd.grpc.v1.Lead.Builder leaseOfTenMinutes() {
    return io.singleflightd.grpc.v1.Lead.newBuilder()
        .setToken(77)
        .setAttempt(1)
        .setLeaseMs(600_000);
  }

  /** What a leader hears that resumes when its outcome is retained already. */
  private AtomicInteger serveOwnOutcomes() throws IOException {
    AtomicInteger joins = new AtomicInteger();
    serve(
        session(
            (frame, out) -> {
              CallResponse.Builder answer = CallResponse.newBuilder().setId(frame.getId());
              if (frame.hasJoin()) {
                joins.incrementAndGet();
                send(out, answer.setLead(leaseOfTenMinutes()));
              } else if (frame.hasFinish()) {
                send(
                    out,
                    answer.setResult(ok("", 4).setLed(true).setRetained(true).setAgeMs(50)));
              }
            }));
    return joins;
  }

  @Test
  void theLeadersOwnOutcomeIsNeverStale() throws Exception {
    AtomicInteger joins = serveOwnOutcomes();
    DoOptions stale =
        DoOptions.builder()
            .lease(Duration.ofMinutes(10))
            .retain(Duration.ofHours(1))
            .stale(Duration.ofHours(1))
            .build();
    Result<String> result = client.call("key", stale, Codec.UTF_8, leader -> "mine");
    assertTrue(result.led());
    assertFalse(result.stale());
    assertEquals(1, joins.get());
  }

  @Test
  void aLeaderThatCannotDecodeItsOwnOutcomeRunsOnce() throws Exception {
    AtomicInteger joins = serveOwnOutcomes();
    DoOptions leased = DoOptions.builder().lease(Duration.ofMinutes(10)).build();
    Codec<String> mute =
        new Codec<>() {
          @Override
          public byte[] encode(String value) throws Exception {
            return Codec.UTF_8.encode(value);
          }

          @Override
          public String decode(byte[] bytes) {
            throw new IllegalArgumentException("it has another form");
          }
        };
    assertThrows(CodecException.class, () -> client.call("key", leased, mute, leader -> "mine"));
    assertEquals(1, joins.get());
  }

  /** Grants a lead of ten minutes just before each `cancel` arrives. */
  private void serveLeadsThatCrossCancels(
      CompletableFuture<Void> joined,
      CompletableFuture<CallRequest> resumed,
      CompletableFuture<CallRequest> finished)
      throws IOException {
    serve(
        session(
            (frame, out) -> {
              CallResponse.Builder answer = CallResponse.newBuilder().setId(frame.getId());
              if (frame.hasCancel()) {
                send(out, answer.setLead(leaseOfTenMinutes()));
                send(
                    out,
                    answer.setEnd(End.newBuilder().setCode(Status.Code.CANCELLED.value())));
              } else if (frame.hasFinish()) {
                send(out, answer.setResult(ok("", 0)));
                finished.complete(frame);
              } else if (frame.getJoin().getResumeToken() != 0) {
                resumed.complete(frame);
              } else {
                joined.complete(null);
              }
            }));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aLeadThatCrossesACancelIsGivenBack(boolean closes) throws Exception {
    CompletableFuture<Void> joined = new CompletableFuture<>();
    CompletableFuture<CallRequest> resumed = new CompletableFuture<>();
    CompletableFuture<CallRequest> finished = new CompletableFuture<>();
    serveLeadsThatCrossCancels(joined, resumed, finished);
    CompletableFuture<Result<String>> leaving = call();
    DaemonTest.get(joined);
    if (closes) {
      client.close();
    } else {
      leaving.cancel(true);
    }
    CallRequest join = DaemonTest.get(resumed);
    Finish finish = DaemonTest.get(finished).getFinish();
    assertEquals("key", join.getJoin().getKey().toStringUtf8());
    assertEquals(77, join.getJoin().getResumeToken());
    assertEquals(join.getId(), finished.join().getId());
    assertEquals(
        io.singleflightd.grpc.v1.OutcomeKind.OUTCOME_KIND_ABANDONED,
        finish.getOutcome().getKind());
    assertTrue(finish.getPassOn());
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aDeadlineOnTheWireLeavesTimeToGiveALeaseBack(boolean merges) throws Exception {
    CompletableFuture<CallRequest> joined = new CompletableFuture<>();
    CompletableFuture<CallRequest> finished = new CompletableFuture<>();
    serve(
        session(
            (frame, out) -> {
              CallResponse.Builder answer = CallResponse.newBuilder().setId(frame.getId());
              if (frame.hasJoin()) {
                joined.complete(frame);
                send(out, answer.setLead(leaseOfTenMinutes()));
              } else {
                finished.complete(frame);
                send(out, answer.setResult(ok("", 0)));
              }
            }));
    DoOptions options =
        DoOptions.builder()
            .lease(Duration.ofMinutes(10))
            .timeout(Duration.ofMillis(100))
            .localMerge(merges)
            .build();
    CompletableFuture<Result<String>> leading =
        client.callAsync(
            "key",
            options,
            Codec.UTF_8,
            leader -> {
              CountDownLatch lost = new CountDownLatch(1);
              leader.onLost(reason -> lost.countDown());
              lost.await();
              return "";
            });
    long timeoutMs = DaemonTest.get(joined).getTimeoutMs();
    assertTrue(timeoutMs > 500 && timeoutMs <= 1100, timeoutMs + " ms"); // a second later
    assertEquals(Status.Code.DEADLINE_EXCEEDED, DaemonTest.statusOf(leading).code());
    Finish finish = DaemonTest.get(finished).getFinish();
    assertEquals(
        io.singleflightd.grpc.v1.OutcomeKind.OUTCOME_KIND_ABANDONED,
        finish.getOutcome().getKind());
    assertTrue(finish.getPassOn());
    assertTrue(finish.hasRetention()); // to leave is no outcome that is kept
    assertEquals(0, finish.getRetention().getRetainMs());
  }

  private void startFailingOpen() {
    client.close();
    client =
        SingleflightClient.builder()
            .addresses(server.address())
            .failOpen(true)
            .connectTimeout(Duration.ofSeconds(5))
            .backoff(Duration.ofMinutes(1), Duration.ofMinutes(1)) // a refusal is no reason to wait
            .build();
  }

  @ParameterizedTest
  @EnumSource(names = {"UNAUTHENTICATED", "PERMISSION_DENIED"})
  void whoMayNotIsToldAtOnceOfAWholeSession(Status.Code code) throws Exception {
    AtomicInteger sessions = new AtomicInteger();
    serve(
        session(
            (frame, out) -> {
              sessions.incrementAndGet();
              out.onError(code.toStatus().withDescription("no token").asRuntimeException());
            }));
    startFailingOpen();
    for (int count = 1; count <= 3; count++) {
      StatusException status = DaemonTest.statusOf(call());
      assertEquals(code, status.code());
      assertTrue(status.getMessage().contains("no token"), status.getMessage());
      assertEquals(count, sessions.get());
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"UNAUTHENTICATED", "PERMISSION_DENIED"})
  void whoMayNotIsToldAtOnceOfOneCall(Status.Code code) throws Exception {
    AtomicInteger joins = new AtomicInteger();
    serve(
        session(
            (frame, out) -> {
              joins.incrementAndGet();
              send(
                  out,
                  FakeServer.to(frame)
                      .setEnd(End.newBuilder().setCode(code.value()).setMessage("not you")));
            }));
    startFailingOpen();
    StatusException status = DaemonTest.statusOf(call());
    assertEquals(code, status.code());
    assertTrue(status.getMessage().contains("not you"), status.getMessage());
    assertEquals(1, joins.get());
  }

  @Test
  void whoIsNotKnownAnyMoreOpensAnotherSession() throws Exception {
    Set<Object> sessions = ConcurrentHashMap.newKeySet();
    serve(
        session(
            (frame, out) -> {
              sessions.add(out);
              End.Builder end = End.newBuilder().setCode(Status.Code.UNAUTHENTICATED.value());
              send(out, FakeServer.to(frame).setEnd(end));
            }));
    for (int count = 1; count <= 2; count++) {
      assertEquals(Status.Code.UNAUTHENTICATED, DaemonTest.statusOf(call()).code());
      assertEquals(count, sessions.size());
    }
  }

  @Test
  void aLeaderThatIsRefusedLaterHasLost() throws Exception {
    serve(
        session(
            (frame, out) -> {
              if (frame.hasJoin()) {
                send(out, FakeServer.to(frame).setLead(leaseOfTenMinutes()));
                out.onError(Status.PERMISSION_DENIED.asRuntimeException());
              }
            }));
    startFailingOpen();
    CompletableFuture<StatusException> lost = new CompletableFuture<>();
    CompletableFuture<Result<String>> leading =
        client.callAsync(
            "key",
            DoOptions.builder().lease(Duration.ofMinutes(10)).build(),
            Codec.UTF_8,
            leader -> {
              leader.onLost(lost::complete);
              return lost.get().getMessage();
            });
    assertEquals(Status.Code.PERMISSION_DENIED, DaemonTest.statusOf(leading).code());
  }
}
