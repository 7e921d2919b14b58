// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/**
 * Gets the value of a live call while its leader still makes it. Its methods are called on the
 * client's executor, one after the other, and all of them before the call's future completes.
 */
@FunctionalInterface
public interface ChunkListener {
  /**
   * The next bytes of the value.
   *
   * @param bytes may be kept
   */
  void onChunk(byte[] bytes);

  /**
   * All bytes that came so far are void: the leader was replaced, or this client had to join anew.
   * What comes now is of another attempt; or this caller itself leads.
   *
   * @param attempt the how-many-eth leader of the flight it is, from 1
   */
  default void onRestart(int attempt) {}
}
