// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.ManagedChannelBuilder;
import java.util.List;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * The options of a client, checked, with the defaults filled in. Times are milliseconds. `channels`
 * null: connections of its own.
 */
record Settings(
    List<String> addresses,
    String caller,
    boolean failOpen,
    long connectTimeoutMs,
    long backoffMinMs,
    long backoffMaxMs,
    long keepaliveTimeMs,
    long keepaliveTimeoutMs,
    int resultLimit,
    Security security,
    List<SingleflightObserver> observers,
    Supplier<String> traceparent,
    Function<String, ManagedChannelBuilder<?>> channels) {

  /** How long a try takes that may not wait. A server that is there has answered by then. */
  static final long NO_WAIT_MS = 250;

  /** How long a call looks for a server: longer than one is away that is restarted. */
  static final long CONNECT_TIMEOUT_MS = 30_000;

  /** How long a server may leave a call without an answer; connectTimeout, if that is shorter. */
  static final long ANSWER_TIMEOUT_MS = 5000;

  long answerTimeoutMs() {
    return Math.min(connectTimeoutMs, ANSWER_TIMEOUT_MS);
  }

  static long patienceMs(long connectTimeoutMs) {
    return connectTimeoutMs == 0 ? NO_WAIT_MS : connectTimeoutMs;
  }
}
