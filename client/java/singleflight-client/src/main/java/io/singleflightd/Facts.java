// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.singleflightd.grpc.v1.Result;

/** What a call's end tells beside its outcome. Times are milliseconds. */
record Facts(
    boolean led,
    boolean shared,
    int callers,
    int attempt,
    long token,
    boolean retained,
    long ageMs,
    long retainMs,
    boolean retainRefused,
    boolean failedOpen,
    boolean stale) {

  /** Of a result of the server for `seated` merged calls, which it counted as one. */
  static Facts of(Result result, int seated) {
    int callers = result.getCallers();
    boolean shared = result.getShared();
    if (!result.getRetained() && seated > 1) {
      callers += seated - 1;
      shared = true;
    }
    return new Facts(
        false,
        shared,
        callers,
        result.getAttempt(),
        result.getToken(),
        result.getRetained(),
        result.getAgeMs(),
        result.getRetainMs(),
        result.getRetainRefused(),
        false,
        false);
  }

  /** Of a function that ran here, or went on here, because no server could be reached. */
  static Facts alone(int seated, Leader.Terms terms) {
    return withoutServer(seated, terms, true);
  }

  /** Of a flight whose loss is its outcome, told without the server. */
  static Facts held(int seated, Leader.Terms terms) {
    return withoutServer(seated, terms, false);
  }

  private static Facts withoutServer(int seated, Leader.Terms terms, boolean failedOpen) {
    return new Facts(
        false,
        seated > 1,
        seated,
        terms.attempt(),
        terms.token(),
        false,
        0,
        0,
        false,
        failedOpen,
        false);
  }

  Facts withLed(boolean isLeader) {
    return new Facts(
        isLeader,
        shared,
        callers,
        attempt,
        token,
        retained,
        ageMs,
        retainMs,
        retainRefused,
        failedOpen,
        stale);
  }

  Facts withStale() {
    return new Facts(
        led,
        shared,
        callers,
        attempt,
        token,
        retained,
        ageMs,
        retainMs,
        retainRefused,
        failedOpen,
        true);
  }
}
