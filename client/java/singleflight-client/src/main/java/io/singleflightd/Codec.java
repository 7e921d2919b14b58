// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/**
 * Turns values into bytes and back. All callers of a key, in all languages, must agree on it. What
 * either half throws ends calls with a {@link CodecException}; so a codec should rather throw than
 * lose something.
 *
 * @param <T> the type of the values
 */
public interface Codec<T> {
  /** Bytes as they are; {@code null} is no bytes. */
  Codec<byte[]> BYTES =
      new Codec<>() {
        @Override
        public byte[] encode(byte[] value) {
          return value == null ? new byte[0] : value;
        }

        @Override
        public byte[] decode(byte[] bytes) {
          return bytes;
        }
      };

  /** Text, as UTF-8. Neither {@code null} nor half a character (a lone surrogate) is text. */
  Codec<String> UTF_8 =
      new Codec<>() {
        @Override
        public byte[] encode(String value) throws CharacterCodingException {
          if (value == null) {
            throw new IllegalArgumentException("null is no text");
          }
          ByteBuffer bytes = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(value));
          byte[] whole = new byte[bytes.remaining()];
          bytes.get(whole);
          return whole;
        }

        @Override
        public String decode(byte[] bytes) throws CharacterCodingException {
          return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        }
      };

  /**
   * Makes the bytes of a value.
   *
   * @param value what the function returned; {@code null} only if it did and has written nothing
   * @return its bytes, which must not be changed any more
   * @throws Exception if it cannot be encoded, which is the end of the flight
   */
  byte[] encode(T value) throws Exception;

  /**
   * Makes a value of bytes. Each caller gets a value of its own.
   *
   * @param bytes the whole value, for this caller alone
   * @return the value
   * @throws Exception if they cannot be decoded: a retained value then counts as not retained
   */
  T decode(byte[] bytes) throws Exception;
}
