// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Calls inside functions: none waits for itself. */
class NestedTest extends DaemonTest {
  private enum Way {
    SYNC,
    ASYNC,
    AFTER_ANOTHER,
    ANOTHER_CLIENT,
    CARRIED,
    ONLY_FOLLOWS
  }

  private String callOwnKey(Way way, Leader leader) throws Exception {
    CompletableFuture<Result<String>> inner =
        switch (way) {
          case ASYNC -> start(client, "own", PLAIN, again -> "twice");
          case AFTER_ANOTHER ->
              start(client, "another", PLAIN, again -> "")
                  .thenCompose(done -> start(client, "own", PLAIN, again -> "twice"));
          case ANOTHER_CLIENT -> start(other, "own", PLAIN, again -> "twice");
          case ONLY_FOLLOWS ->
              start(
                  client, "own", DoOptions.builder().role(Role.FOLLOW_ONLY).build(), null);
          case CARRIED -> {
            FutureTask<String> task =
                new FutureTask<>(leader.carry(() -> callOwnKey(Way.SYNC, leader)));
            new Thread(task).start();
            yield CompletableFuture.completedFuture(null).thenApply(none -> got(task));
          }
          case SYNC -> {
            client.call("own", PLAIN, Codec.UTF_8, again -> "twice");
            throw new AssertionError();
          }
        };
    try {
      return inner.join().value();
    } catch (CompletionException failed) {
      throw (Exception) failed.getCause();
    }
  }

  private static Result<String> got(FutureTask<String> task) {
    try {
      throw new AssertionError(task.get());
    } catch (Exception failed) {
      throw new CompletionException(failed.getCause());
    }
  }

  @ParameterizedTest
  @EnumSource(Way.class)
  void aCallForTheKeyThatItsFunctionLeadsFailsAtOnce(Way way) throws Exception {
    CompletableFuture<StatusException> seen = new CompletableFuture<>();
    CompletableFuture<Result<String>> outer =
        start(
            client,
            "own",
            PLAIN,
            leader -> {
              try {
                return callOwnKey(way, leader);
              } catch (StatusException status) {
                seen.complete(status);
                return "went on";
              }
            });
    assertEquals("went on", get(outer).value());
    assertTrue(get(seen).isFailedPrecondition());
    assertTrue(seen.join().getMessage().contains("itself"), seen.join().getMessage());
  }

  @Test
  void aCallInsideAnotherOneInsideTheFirstFailsAtOnce() throws Exception {
    CompletableFuture<Result<String>> outer =
        start(
            client,
            "A",
            PLAIN,
            a ->
                client
                    .call(
                        "B",
                        PLAIN,
                        Codec.UTF_8,
                        b -> {
                          try {
                            return client.call("A", PLAIN, Codec.UTF_8, c -> "no").value();
                          } catch (StatusException status) {
                            return "B: " + status.isFailedPrecondition();
                          }
                        })
                    .value());
    assertEquals("B: true", get(outer).value());
  }

  @Test
  void aKeyThatWasForgottenInsideIsAnotherFlight() throws Exception {
    CompletableFuture<Result<String>> outer =
        start(
            client,
            "own",
            PLAIN,
            leader -> {
              client.forget("default", "own", false);
              return client.call("own", PLAIN, Codec.UTF_8, again -> "another").value();
            });
    assertEquals("another", get(outer).value());
  }

  @Test
  void afterTheFunctionTheKeyIsAnybodys() throws Exception {
    CompletableFuture<Runnable> later = new CompletableFuture<>();
    CompletableFuture<String> value = new CompletableFuture<>();
    start(
            client,
            "own",
            PLAIN,
            leader -> {
              later.complete(
                  leader.carry(
                      () -> {
                        start(client, "own", PLAIN, again -> "later")
                            .thenAccept(result -> value.complete(result.value()));
                      }));
              return "";
            })
        .get();
    later.join().run();
    assertEquals("later", get(value));
  }
}
