// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** What is retained: served while it is stale, made anew, passed over. */
class StaleTest extends DaemonTest {
  private static final DoOptions STALE =
      DoOptions.builder()
          .retain(Duration.ofMinutes(10))
          .retainError(Duration.ofMinutes(10))
          .maxAge(Duration.ofMillis(1))
          .stale(Duration.ofMinutes(5))
          .build();

  private Result<String> call(LeaderFunction<String> function) throws Exception {
    return client.call("stale", STALE, Codec.UTF_8, function);
  }

  private void makeStale(String value) throws Exception {
    assertTrue(call(leader -> value).led());
    Eventually.isTrue("it is old", () -> ageMs() > 5);
  }

  private long ageMs() {
    try {
      return client
          .call("stale", DoOptions.defaults(), Codec.UTF_8, leader -> "none")
          .age()
          .toMillis();
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  @Test
  void itIsServedAtOnceAndMadeAnewOnce() throws Exception {
    makeStale("old");
    AtomicInteger runs = new AtomicInteger();
    CountDownLatch go = new CountDownLatch(1);
    LeaderFunction<String> refresh =
        leader -> {
          runs.incrementAndGet();
          go.await();
          return "new";
        };
    for (int i = 0; i < 10; i++) {
      Result<String> served = call(refresh);
      assertEquals("old", served.value());
      assertTrue(served.stale());
      assertTrue(served.retained());
    }
    Eventually.isTrue("it is made anew", () -> runs.get() == 1);
    go.countDown();
    Eventually.isTrue("the new one is served", () -> retained().equals("new"));
    assertEquals(1, runs.get());
  }

  private String retained() {
    try {
      return client
          .call("stale", DoOptions.defaults(), Codec.UTF_8, leader -> "none")
          .value();
    } catch (InterruptedException interrupted) {
      throw new IllegalStateException(interrupted);
    }
  }

  @Test
  void ifThatFailsItIsServedOn() throws Exception {
    makeStale("good");
    CompletableFuture<Void> failed = new CompletableFuture<>();
    LeaderFunction<String> fails =
        leader -> {
          failed.complete(null);
          throw new IllegalStateException("the database is down");
        };
    assertEquals("good", call(fails).value());
    get(failed);
    for (int i = 0; i < 5; i++) {
      Result<String> served = call(fails);
      assertEquals("good", served.value());
      assertTrue(served.stale());
    }
  }

  @Test
  void whatIsYoungEnoughIsNotMadeAnew() throws Exception {
    DoOptions young =
        DoOptions.builder()
            .retain(Duration.ofMinutes(10))
            .maxAge(Duration.ofMinutes(5))
            .stale(Duration.ofMinutes(10))
            .build();
    client.call("young", young, Codec.UTF_8, leader -> "value");
    Result<String> served = client.call("young", young, Codec.UTF_8, leader -> "no");
    assertEquals("value", served.value());
    assertFalse(served.stale());
  }
}
