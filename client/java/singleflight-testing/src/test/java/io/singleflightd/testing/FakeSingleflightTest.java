// SPDX-License-Identifier: Apache-2.0
package io.singleflightd.testing;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.Status;
import io.singleflightd.CallEnd;
import io.singleflightd.Codec;
import io.singleflightd.DoOptions;
import io.singleflightd.ForgetOptions;
import io.singleflightd.FunctionException;
import io.singleflightd.LeaderFunction;
import io.singleflightd.LeaderLoss;
import io.singleflightd.OutcomeKind;
import io.singleflightd.Result;
import io.singleflightd.Role;
import io.singleflightd.SingleflightClient;
import io.singleflightd.StatusException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What a test of a program can make happen. */
@Timeout(60)
class FakeSingleflightTest {
  private static final DoOptions USERS = DoOptions.builder().group("users").build();

  private final FakeSingleflight fake = new FakeSingleflight();

  @AfterEach
  void close() {
    fake.close();
  }

  private Result<String> call(LeaderFunction<String> function) throws InterruptedException {
    return fake.client().call("ann", USERS, Codec.UTF_8, function);
  }

  private StatusException refused(LeaderFunction<String> function) {
    return assertThrows(StatusException.class, () -> call(function));
  }

  private List<String> roles() {
    return fake.calls().stream().map(CallEnd::role).toList();
  }

  @Test
  void byDefaultTheFunctionRunsEachTime() throws Exception {
    DoOptions kept =
        DoOptions.builder().retain(Duration.ofHours(1)).lease(Duration.ofMinutes(1)).build();
    for (int count = 1; count <= 2; count++) {
      Result<String> result =
          fake.client().call("ann", kept, Codec.UTF_8, leader -> leader.token() + " mine");
      assertEquals(count + " mine", result.value());
      assertTrue(result.led());
    }
    assertEquals(List.of("leader", "leader"), roles());
    assertEquals(3_600_000, fake.joins().get(0).getRetainMs());
  }

  @Test
  void anErrorOfTheFunctionComesBack() {
    FunctionException failed =
        assertThrows(
            FunctionException.class,
            () ->
                call(
                    leader -> {
                      throw new IllegalStateException("no database");
                    }));
    assertEquals("no database", failed.getCause().getMessage());
    assertEquals("error", fake.calls().get(0).outcome());
  }

  @Test
  void anOutcomeComesFromElsewhere() throws Exception {
    fake.outcome("ann", Codec.UTF_8, "Oslo");
    Result<String> result = call(leader -> "mine");
    assertEquals("Oslo", result.value());
    assertFalse(result.led());
    assertEquals(2, result.callers());
    assertEquals(List.of("follower"), roles());
    assertEquals("users", fake.calls().get(0).last().group());
    fake.lead("ann");
    assertEquals("mine", call(leader -> "mine").value());
  }

  @Test
  void aLargeOutcomeComesWhole() throws Exception {
    byte[] large = new byte[300_000];
    large[large.length - 1] = 1;
    fake.outcome("ann", large);
    byte[] value = fake.client().call("ann", USERS, Codec.BYTES, leader -> null).value();
    assertArrayEquals(large, value);
  }

  @Test
  void aFailureElsewhereHasItsKindCodeAndType() {
    fake.outcome("ann", FunctionException.error("no such user").code(7).type("NoUser").build());
    FunctionException failed = assertThrows(FunctionException.class, () -> call(leader -> ""));
    assertEquals(OutcomeKind.ERROR, failed.kind());
    assertEquals("no such user", failed.getMessage());
    assertEquals(7, failed.code());
    assertEquals("NoUser", failed.type());
  }

  @Test
  void aRefusalIsAStatus() {
    fake.refuse("ann", Status.Code.PERMISSION_DENIED, "not you");
    StatusException status = refused(leader -> "mine");
    assertTrue(status.isPermissionDenied());
    assertTrue(status.getMessage().contains("not you"));
  }

  @Test
  void whoTakesOverLeadsWithTheSecondAttempt() throws Exception {
    fake.takeover("ann");
    assertEquals("2", call(leader -> String.valueOf(leader.attempt())).value());
  }

  @Test
  void whoLosesFindsItOutInTheFunction() throws Exception {
    fake.lose("ann");
    CompletableFuture<Boolean> lost = new CompletableFuture<>();
    StatusException status =
        refused(
            leader -> {
              CountDownLatch told = new CountDownLatch(1);
              leader.onLost(reason -> told.countDown());
              try {
                told.await(); // interrupted, or told
              } catch (InterruptedException interrupted) {
                // As functions are that have lost.
              }
              lost.complete(leader.isLost());
              return "mine";
            });
    assertTrue(status.isAborted());
    assertTrue(lost.get(20, TimeUnit.SECONDS));
  }

  @Test
  void aLeadCanBeLostInTheMiddle() throws Exception {
    DoOptions fail = DoOptions.builder().onLeaderLoss(LeaderLoss.FAIL).build();
    CompletableFuture<Boolean> before = new CompletableFuture<>();
    StatusException status =
        assertThrows(
            StatusException.class,
            () ->
                fake.client()
                    .call(
                        "ann",
                        fail,
                        Codec.UTF_8,
                        leader -> {
                          before.complete(leader.isLost());
                          fake.lose("ann");
                          leader.write("too late".repeat(1_000_000).getBytes(
                              StandardCharsets.UTF_8));
                          return "";
                        }));
    assertTrue(status.isAborted());
    assertFalse(before.get(20, TimeUnit.SECONDS));
    assertEquals("ABORTED", fake.calls().get(0).status());
  }

  @Test
  void withoutAServerCallsEndOrFailOpen() throws Exception {
    fake.unavailable();
    assertTrue(refused(leader -> "mine").isUnavailable());
    try (SingleflightClient open = fake.clientBuilder().failOpen(true).build()) {
      Result<String> alone = open.call("ann", USERS, Codec.UTF_8, leader -> "mine");
      assertTrue(alone.failedOpen());
      fake.available();
      while (open.call("ann", USERS, Codec.UTF_8, leader -> "mine").failedOpen()) {
        Thread.onSpinWait(); // until it has seen that the server is back
      }
    }
  }

  @Test
  void connectionsThatAreThereBreak() throws Exception {
    StatusException status =
        refused(
            leader -> {
              CountDownLatch lost = new CountDownLatch(1);
              leader.onLost(reason -> lost.countDown());
              fake.unavailable();
              lost.await();
              return "mine";
            });
    assertTrue(status.isAborted());
  }

  @Test
  void rolesAreMinded() {
    DoOptions follow = DoOptions.builder().role(Role.FOLLOW_ONLY).build();
    StatusException nobody =
        assertThrows(
            StatusException.class, () -> fake.client().call("ann", follow, Codec.UTF_8, null));
    assertTrue(nobody.isNotFound());
    fake.outcome("ann", Codec.UTF_8, "Oslo");
    DoOptions lead = DoOptions.builder().role(Role.LEAD_ONLY).build();
    StatusException taken =
        assertThrows(
            StatusException.class,
            () -> fake.client().call("ann", lead, Codec.UTF_8, leader -> ""));
    assertTrue(taken.isAborted());
  }

  @Test
  void forgettingIsNoted() throws Exception {
    byte[] key = {1};
    fake.client().forget("users", key, ForgetOptions.builder().end(true).build());
    assertEquals("users", fake.forgets().get(0).getGroup());
    assertTrue(fake.forgets().get(0).getEnd());
  }

  @Test
  void aLeaderCanBeMadeByItself() throws Exception {
    TestLeader leader = new TestLeader("ann", 7, 2);
    LeaderFunction<String> function =
        begun -> {
          begun.write("a".getBytes(StandardCharsets.UTF_8));
          begun.retain(Duration.ofSeconds(3));
          begun.passOn();
          return begun.token() + " " + begun.attempt() + " " + begun.isLost();
        };
    assertEquals("7 2 false", function.run(leader));
    assertEquals("ann", new String(leader.key(), StandardCharsets.UTF_8));
    assertArrayEquals(new byte[] {'a'}, leader.written());
    assertEquals(Duration.ofSeconds(3), leader.retained().orElseThrow());
    assertTrue(leader.passedOn());
    CompletableFuture<StatusException> told = new CompletableFuture<>();
    leader.onLost(told::complete);
    leader.lose();
    assertTrue(leader.isLost());
    assertTrue(told.getNow(null).isAborted());
    assertThrows(StatusException.class, () -> leader.write(new byte[1]));
  }
}
