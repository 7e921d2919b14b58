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
   * Something has happened to the call: what {@link SingleflightObserver} is told, too.
   *
   * @param name {@code led}, {@code followed}, {@code takeover}, {@code failed_open}, {@code lost}
   * @param call the call
   */
  default void happened(String name, CallEvent call) {}

  /**
   * The call has ended. Called once, last.
   *
   * @param end how
   */
  default void ended(CallEnd end) {}
}
