// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/**
 * The codec could not do it: make bytes of what the function returned, or a value of the bytes that
 * came. The {@linkplain #getCause() cause} is what the codec threw, if it ran in this process.
 *
 * <p>A value that cannot be encoded is the end of its flight: every caller gets this. One that
 * cannot be decoded ends only the call that cannot.
 */
public final class CodecException extends SingleflightException {
  /** The type of the outcome on the wire, in all languages. */
  static final String ENCODE_TYPE = "singleflight.EncodeError";

  private static final long serialVersionUID = 1L;

  /** Which half of the codec. */
  private final boolean isEncode;

  CodecException(boolean isEncode, String message, Throwable cause) {
    super(message, cause);
    this.isEncode = isEncode;
  }

  static CodecException encode(Throwable cause) {
    return new CodecException(true, "the codec cannot encode the value: " + cause, cause);
  }

  static CodecException decode(Throwable cause) {
    return new CodecException(false, "the codec cannot decode the value: " + cause, cause);
  }

  /**
   * The leader's codec could not make bytes of the value.
   *
   * @return whether that is so
   */
  public boolean isEncode() {
    return isEncode;
  }

  /**
   * This caller's codec could not make a value of the bytes.
   *
   * @return whether that is so
   */
  public boolean isDecode() {
    return !isEncode;
  }
}
