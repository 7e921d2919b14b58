// SPDX-License-Identifier: Apache-2.0
// What can go wrong: the service did not do it (StatusError), the function failed (FunctionError),
// or the codec could not do it (CodecError).
import type { Facts } from './result.js';
import { framesOf } from './site.js';
import type { Site } from './site.js';

/** Names of the gRPC statuses, which are the codes of a {@link StatusError}. */
export type StatusCode =
  | 'CANCELLED'
  | 'UNKNOWN'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'UNAUTHENTICATED';

/** @internal */
export const STATUS_NUMBERS: Readonly<Record<StatusCode, number>> = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
};

/** The base of all errors of this package. */
export class SingleflightError extends Error {}

/** The call did not get an outcome. `code` says why, the message what to do about it. */
export class StatusError extends SingleflightError {
  readonly code: StatusCode;

  constructor(code: StatusCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The call's own program cancelled it, or closed the client. */
export class CancelledError extends StatusError {
  constructor(message: string, options?: ErrorOptions) {
    super('CANCELLED', message, options);
  }
}

/** An option is out of its bounds; the message says which. See {@link MisuseError}, too. */
export class InvalidArgumentError extends StatusError {
  constructor(message: string, options?: ErrorOptions) {
    super('INVALID_ARGUMENT', message, options);
  }
}

/** The program asks for what makes no sense: refused here, before anything goes to the network. */
export class MisuseError extends InvalidArgumentError {}

/** `timeout`, or the time of an `AbortSignal.timeout()`, is over. */
export class DeadlineExceededError extends StatusError {
  constructor(message: string, options?: ErrorOptions) {
    super('DEADLINE_EXCEEDED', message, options);
  }
}

/** `FOLLOW_ONLY`, and there is nothing to follow. */
export class NotFoundError extends StatusError {
  constructor(message: string, options?: ErrorOptions) {
    super('NOT_FOUND', message, options);
  }
}

/** A limit, which the message names together with its value. */
export class ResourceExhaustedError extends StatusError {
  constructor(message: string, options?: ErrorOptions) {
    super('RESOURCE_EXHAUSTED', message, options);
  }
}

/** The key is in use with another fingerprint; or the call would wait for itself. */
export class FailedPreconditionError extends StatusError {
  constructor(message: string, options?: ErrorOptions) {
    super('FAILED_PRECONDITION', message, options);
  }
}

/**
 * The leader was lost and nobody may take over; or this caller led and was replaced ("fenced"); or
 * `LEAD_ONLY` while another leads.
 */
export class AbortedError extends StatusError {
  constructor(message: string, options?: ErrorOptions) {
    super('ABORTED', message, options);
  }
}

/** No server could be reached, or it shuts down: try again later. */
export class UnavailableError extends StatusError {
  constructor(message: string, options?: ErrorOptions) {
    super('UNAVAILABLE', message, options);
  }
}

const CLASSES: Partial<
  Record<StatusCode, new (message: string, options?: ErrorOptions) => StatusError>
> = {
  CANCELLED: CancelledError,
  INVALID_ARGUMENT: InvalidArgumentError,
  DEADLINE_EXCEEDED: DeadlineExceededError,
  NOT_FOUND: NotFoundError,
  RESOURCE_EXHAUSTED: ResourceExhaustedError,
  FAILED_PRECONDITION: FailedPreconditionError,
  ABORTED: AbortedError,
  UNAVAILABLE: UnavailableError,
};

/** @internal The class for a code. */
export function statusError(
  code: StatusCode,
  message: string,
  options?: ErrorOptions,
): StatusError {
  const made = CLASSES[code];
  return made === undefined ? new StatusError(code, message, options) : new made(message, options);
}

/** @internal The same for a caller of its own: its frames are those of the call. */
export function errorAt(error: StatusError, site: Site): StatusError {
  const options = error.cause === undefined ? undefined : { cause: error.cause };
  return placed(statusError(error.code, error.message, options), site);
}

/** @internal Makes the call's frames those of the error. */
export function placed<E extends SingleflightError>(error: E, site: Site): E {
  const isTold = error instanceof FunctionError && error.leaderStack !== '';
  const leader = isTold ? `\nThe leader's stack:\n${error.leaderStack}` : '';
  error.stack = `${error.name}: ${error.message}${framesOf(site)}${leader}`;
  return error;
}

/** @internal The name of a number from the wire; OK and unknown numbers have no place in an end. */
export function statusCodeOf(number: number): StatusCode {
  if (number === 0) return 'INTERNAL';
  for (const [name, value] of Object.entries(STATUS_NUMBERS))
    if (value === number) return name as StatusCode;
  return 'UNKNOWN';
}

/** How a function failed. */
export type FailureKind = 'ERROR' | 'PANIC' | 'ABANDONED';

/** What a function that failed says about itself. */
export interface Failure {
  /** The function's own error code, such as an exit status; 0: none. */
  code: number;
  message: string;
  /** The type of the error or exception. */
  type: string;
  /** Where it happened, in the leader's language. */
  stack: string;
  /** Anything that the function added, at most 64 KiB. */
  details: Buffer;
}

/** @internal */
export const NO_FAILURE: Readonly<Failure> = {
  code: 0,
  message: '',
  type: '',
  stack: '',
  details: Buffer.alloc(0),
};

/**
 * The function failed, in the process that led. The leader's own caller gets the very error that
 * its function threw; everybody else gets this one.
 */
export class FunctionError extends SingleflightError {
  readonly kind: FailureKind;
  /** The function's own error code; 0: none. */
  readonly code: number;
  /** The type of the error as its own language calls it, such as `TypeError`. */
  readonly type: string;
  /** The stack of the leader; it stands at the end of `stack`, too. */
  readonly leaderStack: string;
  readonly details: Buffer;
  /** What the function wrote before it failed. */
  readonly value: Buffer;
  /** What is known about the flight; undefined on an error that has not been through one. */
  readonly result: Facts | undefined;

  constructor(
    kind: FailureKind,
    failure: Partial<Failure>,
    value: Buffer = Buffer.alloc(0),
    result?: Facts,
    options?: ErrorOptions,
  ) {
    super(failure.message ?? '', options);
    this.kind = kind;
    this.code = failure.code ?? 0;
    this.type = failure.type ?? '';
    this.leaderStack = failure.stack ?? '';
    this.details = failure.details ?? Buffer.alloc(0);
    this.value = value;
    this.result = result;
    if (this.leaderStack !== '')
      this.stack = `${this.stack}\nThe leader's stack:\n${this.leaderStack}`;
  }
}

/** The function crashed: a bug in it, not an error that it reports. */
export class PanicError extends FunctionError {
  constructor(failure: Partial<Failure>, value?: Buffer, result?: Facts, options?: ErrorOptions) {
    super('PANIC', failure, value, result, options);
  }
}

/** The function ended without an outcome, or gave up. */
export class AbandonedError extends FunctionError {
  constructor(failure: Partial<Failure>, value?: Buffer, result?: Facts, options?: ErrorOptions) {
    super('ABANDONED', failure, value, result, options);
  }
}

/** @internal The value is larger than a limit: an outcome like that of a function that failed. */
export function limitExceeded(message: string): FunctionError {
  return new FunctionError('ERROR', {
    code: STATUS_NUMBERS.RESOURCE_EXHAUSTED,
    type: LIMIT_EXCEEDED,
    message,
  });
}

/** @internal The type of that error, in every language. */
export const LIMIT_EXCEEDED = 'singleflight.LimitExceeded';

/** @internal The type of the error of a leader whose codec cannot encode, in every language. */
export const ENCODE_ERROR = 'singleflight.EncodeError';

/**
 * The codec could not encode what the function returned, or not decode what has come. Its `cause`
 * is what the codec threw, in the process where it did.
 */
export class CodecError extends SingleflightError {
  readonly operation: 'encode' | 'decode';

  constructor(operation: 'encode' | 'decode', message: string, options?: ErrorOptions) {
    super(message, options);
    this.operation = operation;
  }
}

// Where Error has its name, too: it is in the stack from the start, and may be written to.
for (const type of [
  SingleflightError,
  StatusError,
  ...Object.values(CLASSES),
  MisuseError,
  FunctionError,
  PanicError,
  AbandonedError,
  CodecError,
])
  Object.defineProperty(type.prototype, 'name', {
    value: type.name,
    writable: true,
    configurable: true,
  });
