// SPDX-License-Identifier: Apache-2.0
/// <reference lib="esnext.disposable" preserve="true" />
import type { Call, CallEvents, WorkFunction } from './call.js';
import { json, raw } from './codec.js';
import type { Codec } from './codec.js';
import { Core } from './core.js';
import { InvalidArgumentError, StatusError } from './errors.js';
import type { Leader } from './leader.js';
import { LiveCall } from './live.js';
import type { LiveEvent } from './live.js';
import { bounded, readCallOptions, readClientOptions, readKey, readTimeout } from './options.js';
import type { CallOptions, ClientOptions, DoOptions } from './options.js';
import { bytesOf, resultOf } from './result.js';
import type { Result, Settled } from './result.js';

/** The work: runs in one process for all callers of the key. `null`: only with FOLLOW_ONLY. */
export type LeaderFunction<T> = ((leader: Leader) => T | PromiseLike<T>) | null;

/** What a function may return whose values are bytes: the end of the value. */
export type Bytes = Uint8Array | string | undefined | void;

/** Options of {@link Client.forget}. */
export interface ForgetOptions {
  /** Default: the group "default". */
  group?: string | undefined;
  /** Only if the flight has no followers. Default: false. */
  ifUnshared?: boolean | undefined;
  /** In milliseconds. Default: the client's `connectTimeout`. */
  timeout?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** What a forget has found. */
export interface Forgotten {
  /** A flight was forgotten that new callers would have joined. */
  readonly flight: boolean;
  /** A retained outcome was dropped. */
  readonly retained: boolean;
}

/**
 * Asks for work that runs once for all who ask at the same time, on any machine.
 *
 * One client per process is the usual number: equal calls are merged inside of one client only. It
 * connects when the first call needs it. An idle client lets the process end by itself, about a
 * second after its last call; {@link Client.close} does at once.
 */
export class Client {
  readonly #core: Core;

  /** Throws InvalidArgumentError when an option cannot be read. */
  constructor(options: ClientOptions = {}) {
    this.#core = new Core(readClientOptions(options));
  }

  /**
   * Asks for the value of `key`: runs `work` if this caller is told to lead, or else waits for who
   * leads.
   *
   * The value passes through a codec, JSON by default; the leader's caller gets a copy like all
   * others. If the function fails, its own caller is rejected with the very error that it threw,
   * and the others with a {@link FunctionError}. Everything else that goes wrong is a
   * {@link StatusError}.
   */
  async do<T>(
    key: string | Uint8Array,
    work: LeaderFunction<T>,
    options: DoOptions<T> = {},
  ): Promise<Result<T>> {
    const codec = options.codec ?? (json as Codec<T>);
    const settled = await this.#begin(key, working(work, encoderOf(codec)), options, {}, false)
      .settled;
    return resultOf(settled, (bytes) => decode(codec, bytes));
  }

  /** As `do`, but the value is what the function writes, followed by the bytes that it returns. */
  async doBytes(
    key: string | Uint8Array,
    work: LeaderFunction<Bytes>,
    options: CallOptions = {},
  ): Promise<Result<Buffer>> {
    return bytesOf(await this.doSettled(key, work, options));
  }

  /** As `doBytes`, but an outcome is a value, also that of a function that failed. */
  async doSettled(
    key: string | Uint8Array,
    work: LeaderFunction<Bytes>,
    options: CallOptions = {},
  ): Promise<Settled> {
    return this.#begin(
      key,
      working(work, (bytes) => raw.encode(bytes)),
      options,
      {},
      false,
    ).settled;
  }

  /** As `doBytes`, and hands out the value while it is made. Never merged with other calls. */
  live(key: string | Uint8Array, work: LeaderFunction<Bytes>, options: CallOptions = {}): LiveCall {
    let call: Call | undefined;
    const start = async (push: (event: LiveEvent) => void): Promise<Settled> => {
      const events: CallEvents = {
        onChunk: (data, attempt) => push({ type: 'chunk', data, attempt }),
        onRestart: (attempt, leader) => push({ type: 'restart', attempt, leader }),
      };
      call = this.#begin(
        key,
        working(work, (bytes) => raw.encode(bytes)),
        options,
        events,
        true,
      );
      return call.settled;
    };
    return new LiveCall(start, () => call?.cancel());
  }

  /** Makes the next caller of the key start anew. */
  async forget(key: string | Uint8Array, options: ForgetOptions = {}): Promise<Forgotten> {
    const request = {
      group: bounded('group', options.group ?? ''),
      key: readKey(key),
      ifUnshared: options.ifUnshared ?? false,
      end: false,
      caller: '',
    };
    const timeout = readTimeout(options.timeout) ?? this.#core.settings.connectTimeout;
    const { flight, retained } = await this.#core.forget(request, timeout, options.signal);
    return { flight, retained };
  }

  /**
   * Ends every call that is left with CANCELLED: leaders are told that they lost the lead, and
   * their followers elsewhere go on without them. Resolves when nothing is left; may be called
   * again.
   */
  close(): Promise<void> {
    return this.#core.close();
  }

  /** `await using client = new Client()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #begin(
    key: string | Uint8Array,
    work: WorkFunction | undefined,
    options: CallOptions,
    events: CallEvents,
    live: boolean,
  ): Call {
    const join = readCallOptions(key, options, live, this.#core.settings);
    if (work === undefined && options.role !== 'FOLLOW_ONLY')
      throw new InvalidArgumentError(
        'the function is missing: only FOLLOW_ONLY can do without one',
      );
    const bounds = { timeout: readTimeout(options.timeout), signal: options.signal };
    return this.#core.begin(join, bounds, events, work);
  }
}

function working<T>(
  work: LeaderFunction<T>,
  encode: (value: T, leader: Leader) => Uint8Array,
): WorkFunction | undefined {
  if (work === null) return undefined;
  return async (leader) => encode(await work(leader), leader);
}

// A function that has written its value and returns nothing has said all.
function encoderOf<T>(codec: Codec<T>): (value: T, leader: Leader) => Uint8Array {
  return (value, leader) =>
    value === undefined && leader.outgoing.bytes > 0 ? Buffer.alloc(0) : codec.encode(value);
}

function decode<T>(codec: Codec<T>, bytes: Buffer): T {
  try {
    return codec.decode(bytes);
  } catch (cause) {
    throw new StatusError(
      'INTERNAL',
      'the value cannot be decoded: do all callers use one codec?',
      {
        cause,
      },
    );
  }
}
