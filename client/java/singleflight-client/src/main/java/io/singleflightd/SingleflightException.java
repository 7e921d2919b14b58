// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/**
 * What a call can end with instead of a result: {@link FunctionException} when the function failed,
 * {@link StatusException} when the service did not do what was asked, {@link CodecException} when
 * the codec could not.
 */
public abstract sealed class SingleflightException extends RuntimeException
    permits FunctionException, StatusException, CodecException {
  private static final long serialVersionUID = 1L;

  SingleflightException(String message, Throwable cause) {
    super(message, cause);
  }
}
