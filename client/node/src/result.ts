// SPDX-License-Identifier: Apache-2.0
import {
  AbandonedError,
  CodecError,
  ENCODE_ERROR,
  FunctionError,
  PanicError,
  placed,
} from './errors.js';
import type { Failure, FailureKind, SingleflightError } from './errors.js';
import type { Site } from './site.js';

/** What is known about the flight that an outcome came from. Times are milliseconds. */
export interface Facts {
  /** This very call ran the function whose outcome this is. */
  readonly led: boolean;
  /** The outcome went to more than one caller; true for the leader, too. */
  readonly shared: boolean;
  /** To how many, the leader and the merged callers of this process included. */
  readonly callers: number;
  /** The how-many-eth leader of the flight made it, from 1. */
  readonly attempt: number;
  /** The fencing token of that leader; 0n when there was no server from the start. */
  readonly token: bigint;
  /** Served from a retained outcome: nobody ran anything for this call. */
  readonly retained: boolean;
  /** The age of that outcome. */
  readonly age: number;
  /** It is older than `maxAge`, and made anew in the background: see the option `stale`. */
  readonly stale: boolean;
  /** For how long from now the outcome is retained; 0: it is not. */
  readonly retain: number;
  /** It should have been retained, but the server had no room. */
  readonly retainRefused: boolean;
  /** The outcome comes from this process alone: the server could not be reached, or was lost. */
  readonly failedOpen: boolean;
}

/** What a Do ended with. */
export interface Result<T> extends Facts {
  readonly value: T;
}

/** Any outcome, also that of a function that failed: what `doSettled` ends with. */
export interface Settled extends Facts {
  readonly kind: 'OK' | FailureKind;
  /** The bytes of the value; they may stand beside an error. */
  readonly value: Buffer;
  /** How the function describes its failure; undefined when it is OK. */
  readonly failure: Failure | undefined;
  /**
   * What `do` would reject with: the very error of the function for the leader's own caller, a
   * FunctionError for the others, undefined when it is OK.
   */
  readonly error: unknown;
}

/** @internal The outcome of a function, as it travels. */
export interface Outcome {
  kind: 'OK' | FailureKind;
  value: Buffer;
  failure: Failure | undefined;
  /** In the process that led: what the function threw. */
  thrown?: { readonly error: unknown };
}

/** @internal */
export function settle(outcome: Outcome, facts: Facts, site: Site): Settled {
  return {
    ...facts,
    kind: outcome.kind,
    value: outcome.value,
    failure: outcome.failure,
    error: errorOf(outcome, facts, site),
  };
}

/** @internal What a Do ends with; throws if the function failed. */
export function resultOf<T>(settled: Settled, read: (bytes: Buffer) => T): Result<T> {
  const { kind, value, failure: _failure, error, ...facts } = settled;
  if (kind !== 'OK') throw error;
  return { ...facts, value: read(value) };
}

/** @internal */
export function bytesOf(settled: Settled): Result<Buffer> {
  return resultOf(settled, (bytes) => bytes);
}

function errorOf(outcome: Outcome, facts: Facts, site: Site): unknown {
  if (outcome.kind === 'OK') return undefined;
  if (outcome.thrown !== undefined && facts.led) return outcome.thrown.error;
  return placed(errorTold(outcome, facts), site);
}

function errorTold(outcome: Outcome, facts: Facts): SingleflightError {
  const failure: Partial<Failure> = outcome.failure ?? {};
  const options = outcome.thrown === undefined ? undefined : { cause: outcome.thrown.error };
  switch (outcome.kind) {
    case 'PANIC':
      return new PanicError(failure, outcome.value, facts, options);
    case 'ABANDONED':
      return new AbandonedError(failure, outcome.value, facts, options);
    default:
      return failure.type === ENCODE_ERROR
        ? new CodecError('encode', failure.message ?? '', options)
        : new FunctionError('ERROR', failure, outcome.value, facts, options);
  }
}
