// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** One flight: who leads, who follows, and what they get. */
@Timeout(60)
class CallTest {
  private static Daemon daemon;
  private static SingleflightClient client;
  private static SingleflightClient other;

  @BeforeAll
  static void setUp() {
    daemon = Daemon.start();
    client = SingleflightClient.builder().addresses(daemon.address()).caller("first").build();
    other = SingleflightClient.builder().addresses(daemon.address()).caller("second").build();
  }

  @AfterAll
  static void tearDown() {
    client.close();
    other.close();
    daemon.close();
  }

  @Test
  void aloneItLeads() throws Exception {
    String value = new String("value");
    Result<String> result =
        client.call("alone", DoOptions.defaults(), Codec.UTF_8, leader -> value);
    assertSame(value, result.value());
    assertTrue(result.led());
    assertFalse(result.shared());
    assertEquals(1, result.callers());
    assertEquals(1, result.attempt());
    assertTrue(result.token() != 0);
  }

  @Test
  void twoClientsShareOneRun() throws Exception {
    CountDownLatch leads = new CountDownLatch(1);
    CompletableFuture<Result<String>> leading =
        client.callAsync(
            "shared",
            DoOptions.builder().audience(true).build(),
            Codec.UTF_8,
            leader -> {
              leads.countDown();
              Eventually.isTrue("somebody follows", () -> followers(leader) == 1);
              return "made once";
            });
    assertTrue(leads.await(10, TimeUnit.SECONDS));
    CompletableFuture<Result<String>> following =
        other.callAsync(
            "shared",
            DoOptions.builder().timeout(Duration.ofSeconds(30)).build(),
            Codec.UTF_8,
            leader -> {
              throw new AssertionError("a second run");
            });
    Result<String> led = leading.get(10, TimeUnit.SECONDS);
    Result<String> followed = following.get(10, TimeUnit.SECONDS);
    assertEquals("made once", followed.value());
    assertTrue(led.led());
    assertFalse(followed.led());
    assertTrue(led.shared());
    assertEquals(led.token(), followed.token());
    assertEquals(2, followed.callers());
  }

  @Test
  void theLeaderGetsItsOwnExceptionAsTheCause() {
    IllegalStateException own = new IllegalStateException("no such user");
    FunctionException thrown =
        assertThrows(
            FunctionException.class,
            () ->
                client.call(
                    "own-error",
                    DoOptions.defaults(),
                    Codec.UTF_8,
                    leader -> {
                      throw own;
                    }));
    assertSame(own, thrown.getCause());
    assertEquals("no such user", thrown.getMessage());
    assertEquals(OutcomeKind.ERROR, thrown.kind());
    assertTrue(thrown.result().led());
  }

  private static int followers(Leader leader) {
    return leader.audience().map(Audience::followers).orElse(0);
  }
}
