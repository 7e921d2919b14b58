// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.util.List;

/** The options of a client, checked, with the defaults filled in. Times are milliseconds. */
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
    Security security) {

  /** How long a try takes that may not wait. A server that is there has answered by then. */
  static final long NO_WAIT_MS = 250;

  static long patienceMs(long connectTimeoutMs) {
    return connectTimeoutMs == 0 ? NO_WAIT_MS : connectTimeoutMs;
  }
}
