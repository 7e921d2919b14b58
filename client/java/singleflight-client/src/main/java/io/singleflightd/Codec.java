// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.nio.charset.StandardCharsets;

/**
 * Turns values into bytes and back. All callers of a key, in all languages, must agree on it.
 *
 * <p>A function that returns {@code null} makes an empty value, which {@code decode} gets as an
 * array of length 0.
 *
 * @param <T> the type of the values
 */
public interface Codec<T> {
  /** Bytes as they are. */
  Codec<byte[]> BYTES =
      new Codec<>() {
        @Override
        public byte[] encode(byte[] value) {
          return value;
        }

        @Override
        public byte[] decode(byte[] bytes) {
          return bytes;
        }
      };

  /** Text, as UTF-8. */
  Codec<String> UTF_8 =
      new Codec<>() {
        @Override
        public byte[] encode(String value) {
          return value.getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public String decode(byte[] bytes) {
          return new String(bytes, StandardCharsets.UTF_8);
        }
      };

  /**
   * Makes the bytes of a value.
   *
   * @param value what the function returned, not {@code null}
   * @return its bytes, which must not be changed any more
   * @throws Exception if it cannot be encoded: the function counts as failed with it
   */
  byte[] encode(T value) throws Exception;

  /**
   * Makes a value of bytes. Each caller gets a value of its own.
   *
   * @param bytes the whole value
   * @return the value
   * @throws Exception if they cannot be decoded: the call ends with it
   */
  T decode(byte[] bytes) throws Exception;
}
