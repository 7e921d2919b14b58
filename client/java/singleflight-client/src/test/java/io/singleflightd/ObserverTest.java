// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What observers and the log are told. */
class ObserverTest extends DaemonTest {
  private static final String TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

  private final Recorder seen = new Recorder();
  private SingleflightClient observed;

  @BeforeEach
  void observe() {
    observed = builder().observer(seen).build();
  }

  @AfterEach
  void closeIt() {
    observed.close();
  }

  private SingleflightClient.Builder builder() {
    return SingleflightClient.builder().addresses(daemon.address());
  }

  @Test
  void aLeaderLeadsAndEnds() throws Exception {
    get(start(observed, "key", PLAIN, leader -> "value"));
    assertEquals(
        List.of("started default/key 0", "led default/key 1", "ended leader OK ok default/key 1"),
        seen.lines());
    CallEnd end = seen.ends.remove();
    assertEquals(1, end.callers());
    assertNotEquals(0, end.last().token());
    assertTrue(end.duration().compareTo(Duration.ZERO) > 0);
  }

  @Test
  void callersElsewhereFollow() throws Exception {
    Work work = new Work("value");
    CompletableFuture<Result<String>> leading = start(client, "key", PLAIN, work);
    work.awaitLead();
    CompletableFuture<Result<String>> following = start(observed, "key", PLAIN, leader -> "no");
    seen.await("followed default/key 1");
    work.end();
    get(leading);
    get(following);
    assertEquals(List.of("ended follower OK ok default/key 1"), seen.lines());
  }

  @Test
  void callersThatAreMergedFollowTheOneThatRuns() throws Exception {
    Work work = new Work("value");
    CompletableFuture<Result<String>> leading = start(observed, "key", PLAIN, work);
    work.awaitLead();
    CompletableFuture<Result<String>> merged = start(observed, "key", PLAIN, leader -> "no");
    seen.await("followed default/key 1");
    work.end();
    get(leading);
    get(merged);
    assertEquals(seen.ends.remove().last().token(), seen.ends.remove().last().token());
    assertEquals(
        List.of("ended leader OK ok default/key 1", "ended follower OK ok default/key 1"),
        seen.lines());
  }

  @Test
  void aFollowerThatIsMadeTheLeaderTakesOver() throws Exception {
    Work work = new Work("value");
    start(client, "key", PLAIN, work);
    work.awaitLead();
    CompletableFuture<Result<String>> following = start(observed, "key", PLAIN, leader -> "mine");
    seen.await("followed default/key 1");
    client.close();
    get(following);
    assertEquals(
        List.of(
            "takeover default/key 2", "led default/key 2", "ended leader OK ok default/key 2"),
        seen.lines());
  }

  @Test
  void aLeadThatIsLostIsTold() throws Exception {
    Work work = new Work("value");
    CompletableFuture<Result<String>> leading = start(observed, "key", PLAIN, work);
    work.awaitLead();
    daemon.kill();
    assertEquals(io.grpc.Status.Code.ABORTED, statusOf(leading).code());
    seen.await("led");
    assertEquals(
        List.of("lost default/key 1", "ended leader ABORTED  default/key 1"), seen.lines());
  }

  @Test
  void aFunctionThatGoesOnWithoutAServerIsAlone() throws Exception {
    try (SingleflightClient open = builder().failOpen(true).observer(seen).build()) {
      Work work = new Work("value");
      CompletableFuture<Result<String>> leading = start(open, "key", PLAIN, work);
      work.awaitLead();
      daemon.kill();
      seen.await("failed open default/key 1");
      work.end();
      assertTrue(get(leading).failedOpen());
      seen.await("ended alone OK ok default/key 1");
      get(start(open, "again", PLAIN, leader -> "value"));
      assertEquals(
          List.of(
              "started default/again 0",
              "failed open default/again 1",
              "ended alone OK ok default/again 1"),
          seen.lines());
    }
  }

  @Test
  void whatIsRetainedIsLedByNobody() throws Exception {
    DoOptions kept = DoOptions.builder().group("g").retain(Duration.ofMinutes(1)).build();
    get(start(client, "key", kept, leader -> "value"));
    get(start(observed, "key", kept, leader -> "no"));
    assertEquals(
        List.of("started g/key 0", "ended retained OK ok g/key 1"), seen.lines());
  }

  @Test
  void errorsAreOutcomesAndRefusalsAreStatuses() throws Exception {
    thrownBy(
        start(
            observed,
            "fails",
            PLAIN,
            leader -> {
              throw new IllegalStateException("no");
            }),
        FunctionException.class);
    seen.await("ended leader OK error");
    DoOptions follow = DoOptions.builder().role(Role.FOLLOW_ONLY).build();
    statusOf(start(observed, "none", follow, null));
    seen.await("ended follower NOT_FOUND  default/none 0");
    CompletableFuture<Result<String>> circular =
        start(
            observed,
            "outer",
            PLAIN,
            leader -> observed.call("outer", PLAIN, Codec.UTF_8, inner -> "").value());
    thrownBy(circular, FunctionException.class);
    seen.await("ended follower FAILED_PRECONDITION  default/outer 0");
    seen.await("ended leader OK error default/outer 1");
  }

  @Test
  void aScopeGoesWithItsCall() throws Exception {
    ThreadLocal<String> context = new ThreadLocal<>();
    LinkedBlockingQueue<String> ended = new LinkedBlockingQueue<>();
    CallScope scope =
        new CallScope() {
          @Override
          public Runnable wrap(Runnable function) {
            return () -> {
              context.set("inside");
              function.run();
              context.remove();
            };
          }

          @Override
          public void ended(CallEnd end) {
            ended.add(end.role());
          }
        };
    SingleflightObserver scoped =
        new SingleflightObserver() {
          @Override
          public CallScope started(CallEvent call) {
            return scope;
          }
        };
    try (SingleflightClient wrapped = builder().observer(scoped).build()) {
      assertEquals("inside", get(start(wrapped, "key", PLAIN, leader -> context.get())).value());
    }
    assertEquals(List.of("leader"), List.copyOf(ended));
  }

  /** Throws wherever it can. */
  private static final class Thrower implements SingleflightObserver, CallScope {
    @Override
    public CallScope started(CallEvent call) {
      return this;
    }

    @Override
    public String traceparent() {
      throw new IllegalStateException("traceparent");
    }

    @Override
    public Runnable wrap(Runnable function) {
      return () -> {
        throw new IllegalStateException("wrapped");
      };
    }

    @Override
    public void led(CallEvent call) {
      throw new AssertionError("led");
    }

    @Override
    public void ended(CallEnd end) {
      throw new IllegalStateException("ended");
    }
  }

  @Test
  void whatObserversThrowChangesNothing() throws Exception {
    Logger.getLogger("io.singleflightd").setFilter(record -> false);
    try (SingleflightClient thrown =
        builder().observer(new Thrower()).observer(seen).build()) {
      assertEquals("value", get(start(thrown, "key", PLAIN, leader -> "value")).value());
      seen.await("ended leader OK ok");
    } finally {
      Logger.getLogger("io.singleflightd").setFilter(null);
    }
  }

  @Test
  void theTraceContextTravelsWithTheJoin() throws Exception {
    LinkedBlockingQueue<String> traces = new LinkedBlockingQueue<>();
    try (FakeServer server =
            new FakeServer(
                FakeServer.session(
                    (frame, out) -> {
                      traces.add(frame.getJoin().getTraceparent());
                      FakeServer.send(out, FakeServer.to(frame).setResult(FakeServer.ok("", 0)));
                    }));
        SingleflightClient traced =
            SingleflightClient.builder()
                .addresses(server.address())
                .traceparent(() -> TRACE)
                .build()) {
      get(start(traced, "key", PLAIN, leader -> ""));
      assertEquals(TRACE, traces.remove());
    }
  }

  @Test
  void theLogTellsTheSameAtDebug() throws Exception {
    LinkedBlockingQueue<String> lines = new LinkedBlockingQueue<>();
    Handler handler =
        new Handler() {
          @Override
          public void publish(LogRecord line) {
            lines.add(line.getMessage());
          }

          @Override
          public void flush() {}

          @Override
          public void close() {}
        };
    Logger logger = Logger.getLogger("io.singleflightd");
    logger.addHandler(handler);
    logger.setLevel(Level.FINE);
    try {
      get(start(client, "a\n\"key\"", PLAIN, leader -> "value"));
    } finally {
      logger.setLevel(null);
      logger.removeHandler(handler);
    }
    assertTrue(lines.remove().startsWith("led group=default key=\"a??key?\" attempt=1 token="));
    String last = lines.remove();
    assertTrue(last.startsWith("ended group=default") && last.contains(" role=leader "), last);
  }
}
