// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/** How a function ended. */
public enum OutcomeKind {
  /** It returned. */
  OK,
  /** It failed: in Java, it threw an {@link Exception}. */
  ERROR,
  /** It crashed, and somebody could report it: in Java, it threw an {@link Error}. */
  PANIC,
  /** It ended without saying how, or gave up: see {@link FunctionException#abandoned(String)}. */
  ABANDONED
}
