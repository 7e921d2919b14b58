// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import io.grpc.Status;

/**
 * The call ended without an outcome of the function. The message says what happened and what can be
 * done about it. A failure of the function is never one of these: see {@link FunctionException}.
 */
public final class StatusException extends SingleflightException {
  private static final long serialVersionUID = 1L;

  /** The code of the status. */
  private final Status.Code code;

  StatusException(Status.Code code, String message) {
    this(code, message, null);
  }

  StatusException(Status.Code code, String message, Throwable cause) {
    super(code + ": " + message, cause);
    this.code = code;
  }

  private StatusException(StatusException same) {
    super(same.getMessage(), same.getCause());
    code = same.code;
  }

  /** The same, thrown from here: the stack is that of the thread that calls this. */
  StatusException here() {
    return new StatusException(this);
  }

  /**
   * The code of the status.
   *
   * @return any but {@code OK}
   */
  public Status.Code code() {
    return code;
  }

  /**
   * No server could be reached, or it shuts down. Try again later, or let calls fail open.
   *
   * @return whether that is so
   */
  public boolean isUnavailable() {
    return code == Status.Code.UNAVAILABLE;
  }

  /**
   * The leader was lost and nobody may take over; or this caller led and was replaced ("fenced");
   * or it may only lead, and somebody else leads. The message says which.
   *
   * @return whether that is so
   */
  public boolean isAborted() {
    return code == Status.Code.ABORTED;
  }

  /**
   * The call's timeout is over.
   *
   * @return whether that is so
   */
  public boolean isDeadlineExceeded() {
    return code == Status.Code.DEADLINE_EXCEEDED;
  }

  /**
   * The call was cancelled, or the client was closed.
   *
   * @return whether that is so
   */
  public boolean isCancelled() {
    return code == Status.Code.CANCELLED;
  }

  /**
   * The call may only follow, and there is nothing to follow.
   *
   * @return whether that is so
   */
  public boolean isNotFound() {
    return code == Status.Code.NOT_FOUND;
  }

  /**
   * The server says that an option is out of its bounds; the message says which.
   *
   * @return whether that is so
   */
  public boolean isInvalidArgument() {
    return code == Status.Code.INVALID_ARGUMENT;
  }

  /**
   * A limit is reached; the message says which one, and its value.
   *
   * @return whether that is so
   */
  public boolean isResourceExhausted() {
    return code == Status.Code.RESOURCE_EXHAUSTED;
  }

  /**
   * The key is in use with another fingerprint; or the call was made by the very function that
   * leads the key, and would wait for itself.
   *
   * @return whether that is so
   */
  public boolean isFailedPrecondition() {
    return code == Status.Code.FAILED_PRECONDITION;
  }

  /**
   * The server does not know who calls: there is no token or certificate, or it does not count
   * there.
   *
   * @return whether that is so
   */
  public boolean isUnauthenticated() {
    return code == Status.Code.UNAUTHENTICATED;
  }

  /**
   * The server knows who calls, and this caller may not do it.
   *
   * @return whether that is so
   */
  public boolean isPermissionDenied() {
    return code == Status.Code.PERMISSION_DENIED;
  }
}
