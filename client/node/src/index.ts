// SPDX-License-Identifier: Apache-2.0
/**
 * Client of singleflightd: many processes ask for the same piece of work at the same time, one of
 * them does it, and all of them get what it made.
 *
 * @packageDocumentation
 */
export { Client } from './client.js';
export type { Bytes, ForgetOptions, Forgotten, LeaderFunction } from './client.js';
export type { Codec } from './codec.js';
export {
  AbandonedError,
  AbortedError,
  CancelledError,
  CodecError,
  DeadlineExceededError,
  FailedPreconditionError,
  FunctionError,
  InvalidArgumentError,
  MisuseError,
  NotFoundError,
  PanicError,
  ResourceExhaustedError,
  SingleflightError,
  StatusError,
  UnavailableError,
} from './errors.js';
export type { Failure, FailureKind, StatusCode } from './errors.js';
export { Leader } from './leader.js';
export type { Audience } from './leader.js';
export { LiveCall } from './live.js';
export type { ChunkEvent, LiveEvent, RestartEvent } from './live.js';
export type { CallEvent, EndedEvent, Observer, WatchedCall } from './observer.js';
export type { CallOptions, ClientOptions, DoOptions } from './options.js';
export type { Facts, Result, Settled } from './result.js';
export type { SecurityOptions } from './security.js';
