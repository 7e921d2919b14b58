// SPDX-License-Identifier: Apache-2.0
// The lead of one flight, in the hands of the function.
import { AssertionError } from 'node:assert';
import { EventEmitter } from 'node:events';
import {
  AbandonedError,
  CodecError,
  ENCODE_ERROR,
  FunctionError,
  MisuseError,
  limitExceeded,
  NO_FAILURE,
  SingleflightError,
} from './errors.js';
import type { Failure, FailureKind, StatusError } from './errors.js';
import { wireMs } from './options.js';
import { Outgoing } from './outgoing.js';
import type { Outcome } from './result.js';

export const DETAILS_BYTES_MAX = 64 * 1024;
const TEXT_BYTES_MAX = 64 * 1024;

/** Who waits for the outcome. */
export interface Audience {
  readonly followers: number;
  /** Until the last of them gives up, in milliseconds; undefined: somebody waits without end. */
  readonly latestDeadline: number | undefined;
}

/** What is known when the lead comes. @internal */
export interface Terms {
  group: string;
  key: Buffer;
  token: bigint;
  attempt: number;
  lease: number;
  runLimit: number;
  /** The largest value that the server takes; 0: it does not say. */
  resultLimit: number;
}

/** What a leader asks and tells those who made it. @internal */
export interface LeaderEvents {
  /** Why the lead is over at this moment by the clock; nobody may have been told yet. */
  whyOver(): StatusError | undefined;
  /** `data` is the program's. */
  onWritten(data: Uint8Array): void;
  onFinished(leader: Leader): void;
}

/** @internal */
export interface LeaderLimits {
  resultLimit: number;
  unsentLimit: number;
}

interface Writer {
  resolve: () => void;
  reject: (reason: unknown) => void;
}

/**
 * What the function gets. Emits `audience` when the call asked for it and somebody came or went.
 */
export class Leader extends EventEmitter {
  readonly group: string;
  readonly key: Buffer;
  /**
   * The fencing token: greater than every token granted before for that key. Hand it to what the
   * function writes to. 0n when the function runs here because no server could be reached.
   */
  readonly token: bigint;
  /** The how-many-eth leader of the flight this is, from 1. */
  readonly attempt: number;
  /** The lease that holds, in milliseconds; 0: none. */
  readonly lease: number;
  /** The run limit that holds, in milliseconds; 0: none. */
  readonly runLimit: number;
  /** @internal */ readonly outgoing = new Outgoing();
  /** @internal */ outcome: Outcome | undefined;
  /** @internal */ retainMs: bigint | undefined;
  /** @internal */ passesOn = false;

  #lost: StatusError | undefined;
  /** Made when somebody asks for the signal: it costs as much as all the rest. */
  #controller: AbortController | undefined;
  readonly #events: LeaderEvents;
  readonly #limits: LeaderLimits;
  readonly #resultLimit: number;
  #audience: Audience | undefined;
  #said: Partial<Failure> = {};
  #overflow: FunctionError | undefined;
  #writers: Writer[] = [];

  /** @internal */
  constructor(terms: Terms, limits: LeaderLimits, events: LeaderEvents) {
    super();
    this.group = terms.group;
    this.key = terms.key;
    this.token = terms.token;
    this.attempt = terms.attempt;
    this.lease = terms.lease;
    this.runLimit = terms.runLimit;
    this.#limits = limits;
    this.#resultLimit = terms.resultLimit;
    this.#events = events;
  }

  /**
   * The lead is lost: another may lead by now. The answer is that of the clock at this very moment,
   * also in the first one after the process has stood still. With `failOpen` no lead is lost by the
   * want of a server: the function goes on to its end.
   */
  get lost(): boolean {
    return this.#whyLost() !== undefined;
  }

  #whyLost(): StatusError | undefined {
    return this.#lost ?? this.#events.whyOver();
  }

  /**
   * Aborts when the lead is lost, or when nobody waits for the outcome any more; its reason is the
   * StatusError that says why. Stop then: nothing that is written later reaches anyone. Its
   * `aborted` asks the clock, as `lost` does.
   */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      this.#askTheClock(this.#controller.signal);
      if (this.#lost !== undefined) this.#controller.abort(this.#lost);
    }
    return this.#controller.signal;
  }

  #askTheClock(signal: AbortSignal): void {
    Object.defineProperties(signal, {
      aborted: { get: () => this.lost },
      reason: { get: () => this.#whyLost() },
      throwIfAborted: {
        value: () => {
          const reason = this.#whyLost();
          if (reason !== undefined) throw reason;
        },
      },
    });
  }

  /** @internal Its function runs, and it has not been told that it lost the lead. */
  get leads(): boolean {
    return this.outcome === undefined && this.#lost === undefined;
  }

  /** Who waits; undefined when the call did not ask, or nobody has waited yet. */
  get audience(): Audience | undefined {
    return this.#audience;
  }

  /**
   * Appends bytes to the value. They go out at once, in the background, to followers that are live;
   * `chunk` may be used again at once. What the function returns is appended at the end.
   *
   * The promise waits while more than `unsentLimit` bytes are not sent yet. It is rejected when the
   * lead is lost, and when the value gets larger than `resultLimit`, with a FunctionError whose
   * type is `singleflight.LimitExceeded`: that is the outcome then. Nobody has to wait for it.
   */
  write(chunk: Uint8Array | string): Promise<void> {
    const written = this.#write(typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : chunk);
    written.catch(() => undefined); // a write that nobody waits for must not end the process
    return written;
  }

  /** Describes how the function fails; what is not said is taken from what it throws. */
  setError(error: Partial<Omit<Failure, 'details'>> & { details?: Uint8Array }): void {
    const { details, ...said } = error;
    if (said.code !== undefined && !isInt32(said.code))
      throw new MisuseError('code has to be an integer of 32 bits');
    if (details !== undefined && details.length > DETAILS_BYTES_MAX)
      throw new MisuseError('details are larger than 64 KiB');
    this.#said = { ...this.#said, ...said };
    if (details !== undefined) this.#said.details = Buffer.from(details);
  }

  /** Keeps this outcome for so many ms instead of what the options say; 0: does not keep it. */
  setRetain(retain: number): void {
    this.retainMs = wireMs('retain', retain);
  }

  /**
   * If the function fails: this failure is mine, not that of the work; let the next caller try.
   * This call ends with its own failure, the others get the last one when nobody is left to try.
   * Without effect with `onLeaderLoss: 'FAIL'`.
   */
  passOn(): void {
    this.passesOn = true;
  }

  /** Gives up: the function ends without an outcome. Throws. */
  abandon(message = 'the function gave up'): never {
    throw new AbandonedError({ message });
  }

  async #write(data: Uint8Array): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.outcome !== undefined)
      throw new SingleflightError('the function has ended: nothing can be written any more');
    this.#append(data);
    if (data.length > 0) this.#events.onWritten(data);
    if (this.token === 0n || this.outgoing.unsentBytes <= this.#limits.unsentLimit) return;
    await new Promise<void>((resolve, reject) => this.#writers.push({ resolve, reject }));
  }

  #append(data: Uint8Array): void {
    this.#overflow ??= this.#overflowOf(this.outgoing.bytes + data.length);
    if (this.#overflow !== undefined) throw this.#overflow;
    this.outgoing.append(data);
  }

  #overflowOf(bytes: number): FunctionError | undefined {
    const own = this.#limits.resultLimit;
    if (bytes > own) return limitExceeded(`the value is larger than resultLimit, which is ${own}`);
    // Not sent in vain; the server voids what has been sent already.
    const theirs = this.outgoing.sentChunks === 0 ? this.#resultLimit : 0;
    if (theirs === 0 || bytes <= theirs) return undefined;
    return limitExceeded(`the value is larger than the server's limit, which is ${theirs} bytes`);
  }

  /** @internal The function has returned; `rest` is what it returned. */
  finish(rest: Uint8Array): void {
    try {
      this.#append(rest);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (rest.length > 0) this.#events.onWritten(rest);
    this.#end({ kind: 'OK', value: this.outgoing.value(), failure: undefined });
  }

  /** @internal The function has thrown. */
  fail(error: unknown): void {
    const failure = { ...describe(error), ...this.#said };
    failure.message = cut(failure.message);
    failure.type = cut(failure.type);
    failure.stack = cut(failure.stack);
    if (error === this.#overflow) this.outgoing.dropUnsent();
    const value = error === this.#overflow ? Buffer.alloc(0) : this.outgoing.value();
    this.#end({ kind: kindOf(error), value, failure, thrown: { error } });
  }

  #end(outcome: Outcome): void {
    this.outcome = outcome;
    this.#events.onFinished(this);
  }

  /** @internal */
  lose(error: StatusError): void {
    if (this.#lost !== undefined) return;
    this.#lost = error;
    const writers = this.#writers;
    this.#writers = [];
    this.#controller?.abort(error);
    for (const writer of writers) writer.reject(error);
  }

  /** @internal Some of the value has been sent. */
  onSent(): void {
    if (this.#writers.length === 0) return;
    if (this.outgoing.unsentBytes > this.#limits.unsentLimit / 2) return;
    const writers = this.#writers;
    this.#writers = [];
    for (const writer of writers) writer.resolve();
  }

  /** @internal */
  setAudience(audience: Audience): void {
    this.#audience = audience;
    queueMicrotask(() => this.emit('audience', audience));
  }
}

// The function reports errors, and crashes by mistakes that no program reports on purpose.
function kindOf(error: unknown): FailureKind {
  if (error instanceof FunctionError) return error.kind;
  if (!(error instanceof Error)) return 'PANIC';
  const isBug = error instanceof AssertionError || error instanceof ReferenceError;
  return isBug || (error instanceof RangeError && /call stack/i.test(error.message))
    ? 'PANIC'
    : 'ERROR';
}

function describe(error: unknown): Failure {
  if (!(error instanceof Error))
    return { ...NO_FAILURE, message: textOf(error), type: typeof error };
  const { message } = error;
  if (error instanceof FunctionError && error.type !== '') {
    const { code, type, details } = error;
    return { code, message, type, stack: error.leaderStack || stackOf(error), details };
  }
  const code: unknown = (error as { code?: unknown }).code;
  const isEncode = error instanceof CodecError && error.operation === 'encode';
  return {
    code: isInt32(code) ? code : 0,
    message,
    type: isEncode ? ENCODE_ERROR : error.name,
    stack: stackOf(error),
    details: NO_FAILURE.details,
  };
}

// With the stacks of all that caused it.
function stackOf(error: Error): string {
  const seen = new Set<unknown>();
  let text = '';
  for (let each: unknown = error; each !== undefined && !seen.has(each); each = causeOf(each)) {
    const stack = each instanceof Error ? (each.stack ?? String(each)) : textOf(each);
    text += seen.size === 0 ? stack : `\nCaused by: ${stack}`;
    seen.add(each);
    if (text.length > TEXT_BYTES_MAX) break;
  }
  return text;
}

// Of many errors in one, the first.
function causeOf(error: unknown): unknown {
  if (!(error instanceof Error)) return undefined;
  if (error.cause !== undefined) return error.cause;
  return error instanceof AggregateError ? (error.errors as unknown[])[0] : undefined;
}

function textOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return 'something was thrown that has no text';
  }
}

function isInt32(value: unknown): value is number {
  return typeof value === 'number' && (value | 0) === value;
}

// No more of a text than the service takes, and no torn character.
function cut(text: string): string {
  const kept = text.slice(0, TEXT_BYTES_MAX);
  const bytes = Buffer.from(kept, 'utf8');
  if (bytes.length <= TEXT_BYTES_MAX) return kept;
  let end = TEXT_BYTES_MAX;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}
