// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import java.util.Objects;

/**
 * The function failed: what every caller of the flight gets, the leader's own caller included.
 *
 * <p>The {@linkplain #getCause() cause} is what the function threw, the very same object, if it ran
 * in this process; otherwise there is none, and {@link #type} and {@link #stack} tell.
 *
 * <p>A function can throw one of these to say more than another exception can: a {@link #code},
 * {@link #details}, a {@link #type} that other languages understand.
 */
public final class FunctionException extends SingleflightException {
  private static final long serialVersionUID = 1L;
  private static final byte[] NOTHING = {};

  /** How the function ended. */
  private final OutcomeKind kind;

  /** The function's own error code. */
  private final int code;

  /** The type of the error. */
  private final String type;

  /** Where it happened. */
  private final String stack;

  /** What the function added. */
  private final byte[] details;

  /** What was written before. */
  private final byte[] value;

  private final transient Facts facts;

  private FunctionException(Builder builder) {
    super(builder.message, builder.cause);
    kind = builder.kind;
    code = builder.code;
    type = builder.type;
    stack = "";
    details = builder.details;
    value = NOTHING;
    facts = null;
  }

  FunctionException(Outcome outcome, Facts facts) {
    super(outcome.message(), outcome.cause());
    kind = outcome.kind();
    code = outcome.code();
    type = outcome.type();
    stack = outcome.stack();
    details = outcome.details();
    value = outcome.value();
    this.facts = facts;
  }

  /**
   * Starts an exception for a function to throw.
   *
   * @param message what went wrong
   * @return a builder
   */
  public static Builder error(String message) {
    return new Builder(OutcomeKind.ERROR, message);
  }

  /**
   * An exception for a function to throw that gives up without an outcome of the work. Together
   * with {@link Leader#passOn} the next caller tries.
   *
   * @param message why
   * @return the exception
   */
  public static FunctionException abandoned(String message) {
    return new Builder(OutcomeKind.ABANDONED, message).build();
  }

  /** Says more about an error. */
  public static final class Builder {
    private final OutcomeKind kind;
    private final String message;
    private int code;
    private String type = "";
    private byte[] details = NOTHING;
    private Throwable cause;

    private Builder(OutcomeKind kind, String message) {
      this.kind = kind;
      this.message = Objects.requireNonNull(message, "message");
    }

    /**
     * The function's own error code.
     *
     * @param code any number
     * @return this
     */
    public Builder code(int code) {
      this.code = code;
      return this;
    }

    /**
     * The type of the error. Without one it is the name of {@link FunctionException}.
     *
     * @param type a name
     * @return this
     */
    public Builder type(String type) {
      this.type = Objects.requireNonNull(type, "type");
      return this;
    }

    /**
     * Anything else that the callers need.
     *
     * @param details at most 64 KiB
     * @return this
     */
    public Builder details(byte[] details) {
      if (details.length > Outcome.DETAILS_BYTES_MAX) {
        throw new IllegalArgumentException("details are larger than 64 KiB");
      }
      this.details = details.clone();
      return this;
    }

    /**
     * What caused it. Callers elsewhere find it in the {@link #stack}.
     *
     * @param cause may be {@code null}
     * @return this
     */
    public Builder cause(Throwable cause) {
      this.cause = cause;
      return this;
    }

    /**
     * Makes the exception.
     *
     * @return a new exception
     */
    public FunctionException build() {
      return new FunctionException(this);
    }
  }

  /**
   * How the function ended.
   *
   * @return any but OK
   */
  public OutcomeKind kind() {
    return kind;
  }

  /**
   * The function's own error code, such as an exit status.
   *
   * @return the code, 0 when it had none
   */
  public int code() {
    return code;
  }

  /**
   * The type of the error, in the words of the leader's language.
   *
   * @return the type, or an empty text
   */
  public String type() {
    return type;
  }

  /**
   * Where it happened, in the words of the leader's language.
   *
   * @return the stack, or an empty text
   */
  public String stack() {
    return stack;
  }

  /**
   * What the function added.
   *
   * @return a copy
   */
  public byte[] details() {
    return details.clone();
  }

  /**
   * What the function had written of the value before it failed.
   *
   * @return a copy
   */
  public byte[] value() {
    return value.clone();
  }

  /**
   * How the outcome came about: who led, how many callers there were, and so on. Its value is
   * {@link #value()}.
   *
   * @return the facts, or {@code null} for an exception that was made by a function itself
   */
  public Result<byte[]> result() {
    return facts == null ? null : new Result<>(value(), facts);
  }
}
