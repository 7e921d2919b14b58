// SPDX-License-Identifier: Apache-2.0
package io.singleflightd;

import com.google.protobuf.ByteString;
import io.singleflightd.grpc.v1.Outcome.Builder;
import java.io.PrintWriter;
import java.io.StringWriter;

/**
 * What a flight ended with.
 *
 * @param value the whole value
 * @param cause what the function threw; null unless it ran in this process
 */
record Outcome(
    OutcomeKind kind,
    byte[] value,
    int code,
    String message,
    String type,
    String stack,
    byte[] details,
    Throwable cause) {

  static final int DETAILS_BYTES_MAX = 64 * 1024;
  static final String LIMIT_TYPE = "singleflight.LimitExceeded";
  private static final int LIMIT_CODE = 8; // RESOURCE_EXHAUSTED
  private static final int TEXT_CHARS_MAX = 64 * 1024;
  private static final byte[] NOTHING = {};

  static Outcome ok() {
    return new Outcome(OutcomeKind.OK, NOTHING, 0, "", "", "", NOTHING, null);
  }

  /** Of a value that is too large. */
  static Outcome overLimit(String message) {
    return new Outcome(
        OutcomeKind.ERROR, NOTHING, LIMIT_CODE, message, LIMIT_TYPE, "", NOTHING, null);
  }

  /** Of a leader that was lost while nobody else may try. */
  static Outcome abandoned(String message) {
    return new Outcome(OutcomeKind.ABANDONED, NOTHING, 0, message, "", "", NOTHING, null);
  }

  /** Of a value of which the codec cannot make bytes. */
  static Outcome notEncoded(Throwable thrown) {
    String message = cut(CodecException.encode(thrown).getMessage());
    return new Outcome(
        OutcomeKind.ERROR,
        NOTHING,
        0,
        message,
        CodecException.ENCODE_TYPE,
        stackOf(thrown),
        NOTHING,
        thrown);
  }

  /** What a caller gets that cannot have a value. */
  SingleflightException toException(Facts facts) {
    if (type.equals(CodecException.ENCODE_TYPE)) {
      return new CodecException(true, message, cause);
    }
    return new FunctionException(this, facts);
  }

  /** Of what the function threw. */
  static Outcome of(Throwable thrown) {
    String message = thrown.getMessage() == null ? thrown.toString() : thrown.getMessage();
    String type = thrown.getClass().getName();
    OutcomeKind kind = thrown instanceof Error ? OutcomeKind.PANIC : OutcomeKind.ERROR;
    int code = 0;
    byte[] details = NOTHING;
    if (thrown instanceof FunctionException own) {
      kind = own.kind();
      code = own.code();
      details = own.details();
      type = own.type().isEmpty() ? type : own.type();
    }
    return new Outcome(
        kind, NOTHING, code, cut(message), cut(type), stackOf(thrown), details, thrown);
  }

  /** Of what the server says, with the chunks that came before. */
  static Outcome of(io.singleflightd.grpc.v1.Outcome wire, byte[] value) {
    OutcomeKind kind =
        switch (wire.getKind()) {
          case OUTCOME_KIND_OK -> OutcomeKind.OK;
          case OUTCOME_KIND_ERROR -> OutcomeKind.ERROR;
          case OUTCOME_KIND_PANIC -> OutcomeKind.PANIC;
          default -> OutcomeKind.ABANDONED;
        };
    return new Outcome(
        kind,
        value,
        wire.getCode(),
        wire.getMessage(),
        wire.getType(),
        wire.getStack(),
        wire.getDetails().toByteArray(),
        null);
  }

  Outcome withValue(byte[] whole) {
    return new Outcome(kind, whole, code, message, type, stack, details, cause);
  }

  /** The wire's form, without the value. */
  Builder toWire() {
    return io.singleflightd.grpc.v1.Outcome.newBuilder()
        .setKind(
            switch (kind) {
              case OK -> io.singleflightd.grpc.v1.OutcomeKind.OUTCOME_KIND_OK;
              case ERROR -> io.singleflightd.grpc.v1.OutcomeKind.OUTCOME_KIND_ERROR;
              case PANIC -> io.singleflightd.grpc.v1.OutcomeKind.OUTCOME_KIND_PANIC;
              case ABANDONED -> io.singleflightd.grpc.v1.OutcomeKind.OUTCOME_KIND_ABANDONED;
            })
        .setCode(code)
        .setMessage(message)
        .setType(type)
        .setStack(stack)
        .setDetails(ByteString.copyFrom(details));
  }

  private static String stackOf(Throwable thrown) {
    StringWriter text = new StringWriter();
    thrown.printStackTrace(new PrintWriter(text));
    return cut(text.toString());
  }

  private static String cut(String text) {
    return text.length() <= TEXT_CHARS_MAX ? text : text.substring(0, TEXT_CHARS_MAX);
  }
}
