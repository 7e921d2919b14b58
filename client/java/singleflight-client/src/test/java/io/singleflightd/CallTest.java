// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** One flight: who leads, who follows, and what they get. */
class CallTest extends DaemonTest {
  @Test
  void aloneItLeads() throws Exception {
    Result<String> result = client.call("alone", PLAIN, Codec.UTF_8, leader -> "value");
    assertEquals("value", result.value());
    assertTrue(result.led());
    assertFalse(result.shared());
    assertEquals(1, result.callers());
    assertEquals(1, result.attempt());
    assertTrue(result.token() != 0);
  }

  @Test
  void twoClientsShareOneRun() throws Exception {
    Work work = new Work("made once");
    Work second = new Work("never");
    CompletableFuture<Result<String>> leading = start(client, "shared", PLAIN, work);
    work.awaitLead();
    CompletableFuture<Result<String>> following = start(other, "shared", PLAIN, second);
    work.awaitFollowers(1);
    work.end();
    Result<String> led = get(leading);
    Result<String> followed = get(following);
    assertEquals("made once", followed.value());
    assertTrue(led.led());
    assertFalse(followed.led());
    assertTrue(led.shared());
    assertEquals(led.token(), followed.token());
    assertEquals(2, followed.callers());
    assertEquals(0, second.runs.get());
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 65_536, 65_537, 5 * 1024 * 1024})
  void valuesOfAnySizeArriveWhole(int size) throws Exception {
    byte[] value = new byte[size];
    for (int i = 0; i < size; i++) {
      value[i] = (byte) (i * 31 + (i >> 8) * 17);
    }
    Work gate = new Work("");
    byte[] key = {0, (byte) 0xff, '/', '\n', (byte) size};
    CompletableFuture<Result<byte[]>> leading =
        client.callAsync(
            key,
            PLAIN,
            Codec.BYTES,
            leader -> {
              gate.run(leader);
              leader.write(Arrays.copyOf(value, size / 2));
              return Arrays.copyOfRange(value, size / 2, size);
            });
    gate.awaitLead();
    CompletableFuture<Result<byte[]>> following =
        other.callAsync(key, PLAIN, Codec.BYTES, leader -> null);
    gate.awaitFollowers(1);
    gate.end();
    assertArrayEquals(value, get(following).value());
    assertArrayEquals(value, get(leading).value());
  }

  @Test
  void everyCallerGetsTheFailure() throws Exception {
    Work gate = new Work("");
    FunctionException own =
        FunctionException.error("no such user")
            .code(7)
            .type("NoSuchUser")
            .details(new byte[] {1, 2, 3})
            .build();
    CompletableFuture<Result<String>> leading =
        start(
            client,
            "failure",
            PLAIN,
            leader -> {
              gate.run(leader);
              leader.write("half a value".getBytes(StandardCharsets.UTF_8));
              throw own;
            });
    gate.awaitLead();
    CompletableFuture<Result<String>> merged = start(client, "failure", PLAIN, leader -> "");
    CompletableFuture<Result<String>> following = start(other, "failure", PLAIN, leader -> "");
    gate.awaitFollowers(2);
    gate.end();

    FunctionException led = thrownBy(leading, FunctionException.class);
    assertSame(own, led.getCause());
    assertTrue(led.result().led());
    FunctionException here = thrownBy(merged, FunctionException.class);
    assertSame(own, here.getCause());
    assertFalse(here.result().led());
    FunctionException elsewhere = thrownBy(following, FunctionException.class);
    assertNull(elsewhere.getCause());
    assertEquals(OutcomeKind.ERROR, elsewhere.kind());
    assertEquals("no such user", elsewhere.getMessage());
    assertEquals(7, elsewhere.code());
    assertEquals("NoSuchUser", elsewhere.type());
    assertArrayEquals(new byte[] {1, 2, 3}, elsewhere.details());
    assertTrue(elsewhere.stack().contains("CallTest"), elsewhere.stack());
    assertEquals("half a value", new String(elsewhere.value(), StandardCharsets.UTF_8));
    assertEquals(3, led.result().callers());
    assertEquals(2, elsewhere.result().callers()); // merged ones count as one elsewhere
  }

  @Test
  void anErrorOfJavaIsAPanic() {
    FunctionException thrown =
        assertThrows(
            FunctionException.class,
            () ->
                client.call(
                    "panic",
                    PLAIN,
                    Codec.UTF_8,
                    leader -> {
                      throw new StackOverflowError("too deep");
                    }));
    assertEquals(OutcomeKind.PANIC, thrown.kind());
    assertEquals("java.lang.StackOverflowError", thrown.type());
  }

  @Test
  void aFailureThatIsPassedOnLetsTheNextOneTry() throws Exception {
    Work gate = new Work("");
    CompletableFuture<Result<String>> leading =
        start(
            client,
            "passed",
            PLAIN,
            leader -> {
              gate.run(leader);
              leader.passOn();
              throw new IllegalStateException("only mine");
            });
    gate.awaitLead();
    CompletableFuture<Result<String>> merged = start(client, "passed", PLAIN, leader -> "mended");
    gate.awaitFollowers(1);
    gate.end();
    assertEquals("only mine", thrownBy(leading, FunctionException.class).getMessage());
    assertEquals("mended", get(merged).value());
    assertEquals(2, get(merged).attempt());
  }

  @Test
  void aRetainedValueIsServedUntilItIsForgotten() throws Exception {
    DoOptions kept =
        DoOptions.builder().group("kept").retain(Duration.ofMinutes(1)).build();
    Result<String> first = client.call("key", kept, Codec.UTF_8, leader -> "one");
    assertTrue(first.retain().toMillis() > 50_000);
    Result<String> second = other.call("key", kept, Codec.UTF_8, leader -> "two");
    assertEquals("one", second.value());
    assertTrue(second.retained());
    assertFalse(second.led());
    assertEquals(new Forgotten(false, true, false), client.forget("kept", "key", false));
    assertEquals(new Forgotten(false, false, false), client.forget("kept", "key", false));
    assertEquals("three", other.call("key", kept, Codec.UTF_8, leader -> "three").value());
  }

  @Test
  void aForgottenFlightTakesNoMoreCallersAlsoHere() throws Exception {
    Work first = new Work("first");
    Work second = new Work("second");
    CompletableFuture<Result<String>> old = start(client, "forgotten", PLAIN, first);
    first.awaitLead();
    assertEquals(new Forgotten(true, false, false), client.forget("", "forgotten", false));
    CompletableFuture<Result<String>> anew = start(client, "forgotten", PLAIN, second);
    second.awaitLead();
    second.end();
    first.end();
    assertEquals("second", get(anew).value());
    assertEquals("first", get(old).value());
    assertTrue(Long.compareUnsigned(get(anew).token(), get(old).token()) > 0);
  }

  @Test
  void rolesAndFingerprintsAreKept() throws Exception {
    DoOptions leads =
        DoOptions.builder().role(Role.LEAD_ONLY).fingerprint(new byte[] {1}).build();
    DoOptions follows = DoOptions.builder().role(Role.FOLLOW_ONLY).build();
    DoOptions differs = DoOptions.builder().fingerprint(new byte[] {2}).build();
    assertTrue(statusOf(start(client, "roles", follows, null)).isNotFound());
    Work work = new Work("done");
    CompletableFuture<Result<String>> leading = start(client, "roles", leads, work);
    work.awaitLead();
    assertTrue(statusOf(start(other, "roles", leads, leader -> "")).isAborted());
    assertTrue(statusOf(start(other, "roles", differs, leader -> "")).isFailedPrecondition());
    work.end();
    assertEquals("done", get(leading).value());
  }

  @Test
  void equalCallsOfAClientTravelAsOneAndKeepTheirOwnDeadlines() throws Exception {
    Work work = new Work("late");
    DoOptions brief =
        DoOptions.builder().audience(true).timeout(Duration.ofMillis(300)).build();
    DoOptions briefer =
        DoOptions.builder().audience(true).timeout(Duration.ofMillis(150)).build();
    CompletableFuture<Result<String>> patient = start(client, "merged", PLAIN, work);
    work.awaitLead();
    CompletableFuture<Result<String>> hasty = start(client, "merged", brief, leader -> "");
    CompletableFuture<Result<String>> hastier = start(client, "merged", briefer, leader -> "");
    CompletableFuture<Result<String>> cancelled = start(client, "merged", PLAIN, leader -> "");
    CompletableFuture<Result<String>> last = start(client, "merged", PLAIN, leader -> "");
    work.awaitFollowers(4);
    assertTrue(cancelled.cancel(true));
    assertTrue(statusOf(hastier).isDeadlineExceeded());
    assertTrue(statusOf(hasty).isDeadlineExceeded());
    work.awaitFollowers(1);
    work.end();
    assertEquals(2, get(patient).callers());
    assertEquals("late", get(last).value());
    assertTrue(get(last).shared());
  }

  @Test
  void theFunctionGoesOnForMergedCallersWhenItsOwnLeaves() throws Exception {
    Work work = new Work("for the others");
    CompletableFuture<Result<String>> first = start(client, "goes-on", PLAIN, work);
    work.awaitLead();
    CompletableFuture<Result<String>> second = start(client, "goes-on", PLAIN, leader -> "");
    work.awaitFollowers(1);
    first.cancel(true);
    work.end();
    assertEquals("for the others", get(second).value());
    assertFalse(get(second).led());
    assertFalse(work.leader.isLost());
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void theFunctionGoesOnForCallersElsewhereWhenItsOwnLeaves(boolean byDeadline) throws Exception {
    Work work = new Work("for the others");
    DoOptions brief =
        DoOptions.builder().audience(true).timeout(Duration.ofMillis(700)).build();
    CompletableFuture<Result<String>> first =
        start(client, "left", byDeadline ? brief : PLAIN, work);
    work.awaitLead();
    CompletableFuture<Result<String>> second = start(other, "left", PLAIN, leader -> "no");
    work.awaitFollowers(1);
    if (byDeadline) {
      assertTrue(statusOf(first).isDeadlineExceeded());
    } else {
      first.cancel(true);
    }
    CompletableFuture<Result<String>> merged = start(client, "left", PLAIN, leader -> "no");
    work.awaitFollowers(2);
    assertFalse(work.leader.isLost());
    work.end();
    assertEquals("for the others", get(second).value());
    assertEquals("for the others", get(merged).value());
    assertEquals(1, get(second).attempt());
    assertFalse(get(merged).led());
  }

  @Test
  void whenNobodyWaitsAnywhereTheFunctionIsToldAndTheLeadGivenBack() throws Exception {
    Work work = new Work("");
    CompletableFuture<Result<String>> first = start(client, "nobody", PLAIN, work);
    work.awaitLead();
    CompletableFuture<Result<String>> second = start(other, "nobody", PLAIN, leader -> "no");
    work.awaitFollowers(1);
    first.cancel(true);
    second.cancel(true);
    work.awaitLost();
    Work next = new Work("next");
    CompletableFuture<Result<String>> third = start(other, "nobody", PLAIN, next);
    next.awaitLead();
    next.end();
    assertEquals("next", get(third).value());
  }

  @Test
  void anInterruptedCallerLeaves() throws Exception {
    Work work = new Work("");
    Thread waiting =
        new Thread(
            () ->
                assertThrows(
                    InterruptedException.class,
                    () -> client.call("interrupted", PLAIN, Codec.UTF_8, work)));
    waiting.start();
    work.awaitLead();
    waiting.interrupt();
    waiting.join(10_000);
    work.awaitLost();
  }

  @Test
  void aFunctionThatRunsTooLongIsInterruptedAndItsCallAborted() throws Exception {
    DoOptions limited = DoOptions.builder().runLimit(Duration.ofMillis(100)).build();
    CompletableFuture<Throwable> seen = new CompletableFuture<>();
    CompletableFuture<Result<String>> call =
        start(
            client,
            "limited",
            limited,
            leader -> {
              try {
                Thread.sleep(20_000);
                return "";
              } catch (InterruptedException interrupted) {
                seen.complete(interrupted);
                leader.write(new byte[1]);
                throw new AssertionError("a lost leader wrote");
              }
            });
    assertTrue(statusOf(call).isAborted());
    assertTrue(get(seen) instanceof InterruptedException);
  }

  @Test
  void aResultOverTheLimitOfTheClientIsRefusedInWords() throws Exception {
    try (SingleflightClient small =
        SingleflightClient.builder().addresses(daemon.address()).resultLimit(1000).build()) {
      FunctionException leads =
          thrownBy(
              small.callAsync("large", PLAIN, Codec.BYTES, leader -> new byte[1001]),
              FunctionException.class);
      assertTrue(leads.getMessage().contains("resultLimit"), leads.getMessage());
      assertEquals("singleflight.LimitExceeded", leads.type());
      assertEquals(8, leads.code());
      Work gate = new Work("");
      CompletableFuture<Result<byte[]>> leading =
          client.callAsync(
              "large",
              PLAIN,
              Codec.BYTES,
              leader -> {
                gate.run(leader);
                return new byte[1001];
              });
      gate.awaitLead();
      CompletableFuture<Result<byte[]>> following =
          small.callAsync("large", PLAIN, Codec.BYTES, leader -> null);
      gate.awaitFollowers(1);
      gate.end();
      StatusException refused = statusOf(following);
      assertTrue(refused.isResourceExhausted());
      assertTrue(refused.getMessage().contains("1000"), refused.getMessage());
      assertEquals(1001, get(leading).value().length);
    }
  }

  @Test
  void whatMakesNoSenseIsRefused() {
    assertMisuse("key", () -> start(client, "", PLAIN, leader -> ""));
    assertMisuse("key", () -> start(client, "k".repeat(65_537), PLAIN, leader -> ""));
    assertMisuse("function", () -> start(client, "key", PLAIN, null));
    DoOptions odd = DoOptions.builder().group("a group").build();
    assertMisuse("group", () -> start(client, "key", odd, leader -> ""));
    DoOptions.Builder options = DoOptions.builder();
    Duration negative = Duration.ofMillis(-1);
    assertMisuse("retain", () -> options.retain(negative));
    assertMisuse("retainError", () -> options.retainError(negative));
    assertMisuse("maxAge", () -> options.maxAge(negative));
    assertMisuse("lease", () -> options.lease(negative));
    assertMisuse("runLimit", () -> options.runLimit(negative));
    assertMisuse("stale", () -> options.stale(negative));
    assertMisuse("connectTimeout", () -> options.connectTimeout(negative));
  }

  @Test
  void whatTheServerRefusesIsAStatus() throws Exception {
    assertTrue(
        statusOf(start(client, "k".repeat(1025), PLAIN, leader -> "")).isInvalidArgument());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "nowhere",
        "nowhere:",
        ":7433",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:99999",
        "http://127.0.0.1:7433",
        "dns:///localhost:7433",
        "::1:7433",
        "a b:7433",
        "unix:",
        ""
      })
  void anAddressThatIsNoneIsRefusedAtOnce(String address) {
    assertMisuse("\"" + address + "\"", () -> clientOf(address));
  }

  @ParameterizedTest
  @ValueSource(strings = {"localhost:7433", "[::1]:7433", "a-b.example:1", "127.0.0.1:65535"})
  void anAddressThatIsOneIsTaken(String address) {
    clientOf(address).close();
  }

  private static void assertMisuse(String named, Executable use) {
    IllegalArgumentException thrown = assertThrows(IllegalArgumentException.class, use);
    assertTrue(thrown.getMessage().contains(named), thrown.getMessage());
  }

  @Test
  void anExecutorThatRunsOnTheThreadThatGivesIsRefused() throws Exception {
    try (SingleflightClient direct =
        SingleflightClient.builder().addresses(daemon.address()).executor(Runnable::run).build()) {
      FunctionException thrown =
          thrownBy(start(direct, "direct", PLAIN, leader -> ""), FunctionException.class);
      assertTrue(thrown.getMessage().contains("executor"), thrown.getMessage());
    }
  }
}
