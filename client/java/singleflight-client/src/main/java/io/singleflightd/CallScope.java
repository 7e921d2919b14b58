// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/** What an observer keeps for one call, such as a span of a trace. */
public interface CallScope {
  /**
   * The trace that the call belongs to, for the server. Asked once, on the thread that makes the
   * call.
   *
   * @return a {@code traceparent} as W3C defines it, or {@code null}
   */
  default String traceparent() {
    return null;
  }

  /**
   * Lets the call's function run inside of something, such as a context of its thread.
   *
   * @param function what is about to run
   * @return what runs it
   */
  default Runnable wrap(Runnable function) {
    return function;
  }

  /**
   * The call has ended. Called once, last.
   *
   * @param end how
   */
  default void ended(CallEnd end) {}
}
