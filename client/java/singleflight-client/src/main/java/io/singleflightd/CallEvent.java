// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.nio.charset.StandardCharsets;

/**
 * Something that has happened to a call.
 *
 * @param group the namespace of the key
 * @param key the key; not to be changed
 * @param attempt the how-many-eth leader of the flight this is about; 0 when none is known
 * @param token the fencing token of that leader; 0 when it is not known here
 */
public record CallEvent(String group, byte[] key, int attempt, long token) {
  /**
   * The key as a text.
   *
   * @return the key, decoded as UTF-8
   */
  public String keyText() {
    return new String(key, StandardCharsets.UTF_8);
  }
}
