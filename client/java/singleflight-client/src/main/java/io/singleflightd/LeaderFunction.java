// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/**
 * The work. Runs in one process at a time, on behalf of all that ask for the key.
 *
 * @param <T> the type of the value
 */
@FunctionalInterface
public interface LeaderFunction<T> {
  /**
   * Does the work, on a thread of the client's executor. The thread is interrupted when the lead is
   * lost, since nobody takes the outcome then.
   *
   * @param leader tells the fencing token, takes parts of the value, and more
   * @return the value, or what is left of it after {@link Leader#write}; {@code null}: no bytes
   * @throws Exception when it fails; every caller gets it as a {@link FunctionException}
   */
  T run(Leader leader) throws Exception;
}
