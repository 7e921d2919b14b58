// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;

/** A daemon and two clients for each test. */
@Timeout(60)
abstract class DaemonTest {
  static final DoOptions PLAIN = DoOptions.builder().audience(true).build();

  Daemon daemon;
  SingleflightClient client;
  SingleflightClient other;

  @BeforeEach
  void startBoth() {
    daemon = Daemon.start();
    client = clientOf(daemon.address());
    other = clientOf(daemon.address());
  }

  @AfterEach
  void endBoth() {
    client.close();
    other.close();
    daemon.close();
  }

  static SingleflightClient clientOf(String... addresses) {
    return SingleflightClient.builder().addresses(addresses).build();
  }

  static <T> T get(CompletableFuture<T> future) throws Exception {
    return future.get(20, TimeUnit.SECONDS);
  }

  static StatusException statusOf(CompletableFuture<?> future) throws Exception {
    return thrownBy(future, StatusException.class);
  }

  static <E extends Exception> E thrownBy(CompletableFuture<?> future, Class<E> type)
      throws Exception {
    try {
      throw new AssertionError("it ended with " + future.get(20, TimeUnit.SECONDS));
    } catch (ExecutionException failed) {
      return type.cast(failed.getCause());
    }
  }

  CompletableFuture<Result<String>> start(
      SingleflightClient by, String key, DoOptions options, LeaderFunction<String> function) {
    return by.callAsync(key, options, Codec.UTF_8, function);
  }
}
