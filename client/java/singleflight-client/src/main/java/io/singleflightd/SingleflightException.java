// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

/**
 * What a call can end with instead of a result: {@link FunctionException} when the function failed,
 * {@link StatusException} when the service could not do what was asked.
 */
public abstract class SingleflightException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  SingleflightException(String message, Throwable cause) {
    super(message, cause);
  }
}
