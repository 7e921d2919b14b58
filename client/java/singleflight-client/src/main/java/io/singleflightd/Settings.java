// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.ChannelCredentials;
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
    ChannelCredentials credentials) {}
