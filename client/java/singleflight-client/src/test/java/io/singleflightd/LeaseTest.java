// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Leases: kept alive, taken up again on a new connection, given back, lost. */
class LeaseTest extends DaemonTest {
  private static final DoOptions LEASED =
      DoOptions.builder().audience(true).lease(Duration.ofSeconds(10)).build();

  private Relay relay;
  private SingleflightClient relayed;

  @BeforeEach
  void startRelay() {
    relay = new Relay(daemon.address());
    relayed = clientOf(relay.address());
  }

  @AfterEach
  void endRelay() {
    relayed.close();
    relay.close();
  }

  @Test
  void aLeaseIsRenewedForAsLongAsTheFunctionRuns() throws Exception {
    DoOptions brief = DoOptions.builder().lease(Duration.ofSeconds(1)).build();
    Result<String> result =
        client.call(
            "renewed",
            brief,
            Codec.UTF_8,
            leader -> {
              CountDownLatch lost = new CountDownLatch(1);
              leader.onLost(reason -> lost.countDown());
              return lost.await(2500, TimeUnit.MILLISECONDS) ? "lost" : "kept";
            });
    assertEquals("kept", result.value());
    assertEquals(1, result.attempt());
  }

  @Test
  void aLeaderWithALeaseSurvivesConnectionsThatBreakAndBreak() throws Exception {
    byte[] part = new byte[300_000];
    CompletableFuture<Result<byte[]>> leading =
        relayed.callAsync(
            "cut",
            LEASED,
            Codec.BYTES,
            leader -> {
              for (int i = 0; i < 6; i++) {
                Arrays.fill(part, (byte) i);
                leader.write(part);
                relay.cut(false);
              }
              return new byte[] {6};
            });
    Result<byte[]> led = get(leading);
    assertTrue(led.led());
    assertEquals(1, led.attempt());
    assertEquals(6 * 300_000 + 1, led.value().length);
  }

  @Test
  void itsFollowersGetTheValueWhole() throws Exception {
    Work gate = new Work("");
    byte[] value = new byte[3_000_000];
    for (int i = 0; i < value.length; i++) {
      value[i] = (byte) (i * 7 + (i >> 8));
    }
    CompletableFuture<Result<byte[]>> leading =
        relayed.callAsync(
            "whole",
            LEASED,
            Codec.BYTES,
            leader -> {
              gate.run(leader);
              leader.write(Arrays.copyOf(value, 1_500_000));
              relay.cut(false);
              return Arrays.copyOfRange(value, 1_500_000, value.length);
            });
    gate.awaitLead();
    CompletableFuture<Result<byte[]>> following =
        other.callAsync("whole", PLAIN, Codec.BYTES, leader -> null);
    gate.awaitFollowers(1);
    gate.end();
    assertArrayEquals(value, get(following).value());
    assertArrayEquals(value, get(leading).value());
    assertFalse(get(following).led());
  }

  @Test
  void withoutALeaseACutConnectionIsTheEndOfTheLead() throws Exception {
    Work work = new Work("");
    CompletableFuture<Result<String>> leading = start(relayed, "bare", PLAIN, work);
    work.awaitLead();
    relay.cut(false);
    work.awaitLost();
    StatusException status = statusOf(leading);
    assertTrue(status.isAborted());
    assertTrue(status.getMessage().contains("lease"), status.getMessage());
  }

  @Test
  void aFollowerJoinsAnewOverACutConnection() throws Exception {
    Work work = new Work("value");
    CompletableFuture<Result<String>> leading = start(client, "anew", PLAIN, work);
    work.awaitLead();
    CompletableFuture<Result<String>> following = start(relayed, "anew", PLAIN, leader -> "no");
    work.awaitFollowers(1);
    relay.cut(true);
    work.awaitFollowers(0);
    relay.acceptAgain();
    work.awaitFollowers(1);
    work.end();
    assertEquals("value", get(following).value());
    assertTrue(get(leading).led());
  }

  @Test
  void aLeaseThatRunsOutWhileCutOffIsLostHereAndThere() throws Exception {
    DoOptions brief =
        DoOptions.builder().audience(true).lease(Duration.ofSeconds(1)).build();
    Work work = new Work("");
    CompletableFuture<Result<String>> leading = start(relayed, "out", brief, work);
    work.awaitLead();
    Work next = new Work("next");
    CompletableFuture<Result<String>> following = start(other, "out", PLAIN, next);
    work.awaitFollowers(1);
    relay.cut(true);
    next.awaitLead();
    work.awaitLost();
    assertTrue(statusOf(leading).isAborted());
    next.end();
    assertEquals(2, get(following).attempt());
  }

  @Test
  void aLeaderWhoseConnectionSwallowsEverythingIsToldAndOthersGoAnotherWay() throws Exception {
    DoOptions brief =
        DoOptions.builder().audience(true).lease(Duration.ofSeconds(1)).build();
    Work work = new Work("");
    CompletableFuture<Result<String>> leading = start(relayed, "swallowed", brief, work);
    work.awaitLead();
    Work next = new Work("another way");
    CompletableFuture<Result<String>> merged = start(relayed, "swallowed", brief, next);
    work.awaitFollowers(1);
    relay.swallow();
    work.awaitLost();
    assertTrue(statusOf(leading).isAborted());
    next.awaitLead(15); // keepalive would take 25 s
    next.end();
    assertEquals("another way", get(merged).value());
  }

  @Test
  void aResumeThatIsSwallowedIsTriedAgainWhileTheLeadHolds() throws Exception {
    Work work = new Work("kept");
    DoOptions brief =
        DoOptions.builder().lease(Duration.ofSeconds(4)).build(); // less than connectTimeout
    CompletableFuture<Result<String>> leading = start(relayed, "again", brief, work);
    work.awaitLead();
    relay.swallowNext();
    relay.cut(false);
    work.end();
    assertEquals("kept", get(leading).value());
    assertEquals(1, get(leading).attempt());
  }

  @Test
  void cancellingGivesALeaseBackAtOnce() throws Exception {
    Work work = new Work("");
    CompletableFuture<Result<String>> leading = start(client, "back", LEASED, work);
    work.awaitLead();
    leading.cancel(true);
    work.awaitLost();
    Work next = new Work("next");
    CompletableFuture<Result<String>> following = start(other, "back", PLAIN, next);
    next.awaitLead(5); // the lease is 10 s
    next.end();
    assertEquals("next", get(following).value());
  }
}
