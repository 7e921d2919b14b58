// SPDX-License-Identifier: Apache-2.0
/// <reference lib="esnext.disposable" preserve="true" />
import { setTimeout as delay } from 'node:timers/promises';
import type { Call, CallEvents, WorkFunction } from './call.js';
import { decodeWith, encodeWith, json, raw } from './codec.js';
import type { Codec } from './codec.js';
import { Core } from './core.js';
import { CodecError, DeadlineExceededError, MisuseError, placed, StatusError } from './errors.js';
import type { Leader } from './leader.js';
import { LiveCall } from './live.js';
import type { LiveEvent } from './live.js';
import { currentNest } from './nesting.js';
import {
  bounded,
  CONNECT_TIMEOUT_MS,
  readCallOptions,
  readClientOptions,
  readCodec,
  readFlag,
  readKey,
  readSignal,
  readTimeout,
  refuseUnknownCall,
} from './options.js';
import type { CallOptions, ClientOptions, DoOptions } from './options.js';
import { bytesOf, resultOf } from './result.js';
import type { Result, Settled } from './result.js';
import { callSite } from './site.js';
import type { Site } from './site.js';

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
  /** End the flight that runs: its leader loses the lead, its followers are ABORTED. */
  end?: boolean | undefined;
  /** Who does so: a name for those who are told. Default: the client's. */
  caller?: string | undefined;
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
  /** With `end`: a flight that ran was ended. */
  readonly ended?: boolean;
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
  /** Keys whose retained outcome is made anew in the background. */
  readonly #refreshing = new Set<string>();

  /** Throws MisuseError when an option cannot be read. */
  constructor(options: ClientOptions = {}) {
    this.#core = new Core(readClientOptions(options));
  }

  /**
   * Asks for the value of `key`: runs `work` if this caller is told to lead, or else waits for who
   * leads.
   *
   * The value passes through a codec, JSON by default; the leader's caller gets a copy like all
   * others. If the function fails, its own caller is rejected with the very error that it threw,
   * and the others with a {@link FunctionError}. What the codec cannot do is a {@link CodecError},
   * and what the service did not do is a {@link StatusError}.
   */
  async do<T>(
    key: string | Uint8Array,
    work: LeaderFunction<T>,
    options: DoOptions<T> = {},
  ): Promise<Result<T>> {
    const asked = { name: 'do()', key, options, site: callSite() };
    refuseUnknownCall(asked.name, options);
    const codec = readCodec(options.codec) ?? (json as Codec<T>);
    const run = working(work, encoderOf(codec));
    const read = (bytes: Buffer): T => decodeWith(codec, bytes);
    const begun = performance.now();
    const settled = await this.#settle(asked, run);
    try {
      return resultOf(settled, read);
    } catch (error) {
      if (!(error instanceof CodecError) || error.operation === 'encode') throw error;
      if (!settled.retained || settled.led) throw placed(error, asked.site);
      // Of another version of the program, perhaps: as if it were not retained, once.
      const newer = await this.#settleNewer(asked, run, settled.age, performance.now() - begun);
      return resultOf(newer, (bytes) => placing(asked.site, () => read(bytes)));
    }
  }

  /** As `do`, but the value is what the function writes, followed by the bytes that it returns. */
  async doBytes(
    key: string | Uint8Array,
    work: LeaderFunction<Bytes>,
    options: CallOptions = {},
  ): Promise<Result<Buffer>> {
    const asked = { name: 'doBytes()', key, options, site: callSite() };
    return bytesOf(await this.#settle(asked, working(work, bytesEncoder)));
  }

  /** As `doBytes`, but an outcome is a value, also that of a function that failed. */
  async doSettled(
    key: string | Uint8Array,
    work: LeaderFunction<Bytes>,
    options: CallOptions = {},
  ): Promise<Settled> {
    const asked = { name: 'doSettled()', key, options, site: callSite() };
    return this.#settle(asked, working(work, bytesEncoder));
  }

  /** As `doBytes`, and hands out the value while it is made. Never merged with other calls. */
  live(key: string | Uint8Array, work: LeaderFunction<Bytes>, options: CallOptions = {}): LiveCall {
    const asked = { name: 'live()', key, options, site: callSite() };
    let call: Call | undefined;

    const start = async (push: (event: LiveEvent) => void): Promise<Settled> => {
      const events: CallEvents = {
        onChunk: (data, attempt) => push({ type: 'chunk', data, attempt }),
        onRestart: (attempt, leader) => push({ type: 'restart', attempt, leader }),
      };
      call = this.#begin(asked, working(work, bytesEncoder), events);
      return call.settled;
    };
    return new LiveCall(start, () => call?.cancel());
  }

  /** Makes the next caller of the key start anew. */
  async forget(key: string | Uint8Array, options: ForgetOptions = {}): Promise<Forgotten> {
    const site = callSite();
    refuseUnknownCall('forget()', options);
    readSignal(options.signal);
    const request = {
      group: bounded('group', options.group ?? ''),
      key: readKey(key),
      ifUnshared: readFlag('ifUnshared', options.ifUnshared, false),
      end: readFlag('end', options.end, false),
      caller: bounded('caller', options.caller ?? this.#core.settings.caller),
    };
    const { connectTimeout } = this.#core.settings;
    const timeout = readTimeout(options.timeout) ?? (connectTimeout || CONNECT_TIMEOUT_MS);
    try {
      if (timeout === 0) throw new DeadlineExceededError('the timeout is 0 or less');
      const answer = await this.#core.forget(request, timeout, options.signal);
      const { flight, retained, ended } = answer;
      if (!request.end) return { flight, retained };
      if (flight && !ended)
        throw new StatusError('UNIMPLEMENTED', 'forgotten, but not ended: the server is too old');
      return { flight, retained, ended };
    } catch (error) {
      throw error instanceof StatusError ? placed(error, site) : error;
    }
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

  // A call whose values are handed out whole; an old one may stand in for the one to come.
  async #settle(asked: Asked, work: WorkFunction | undefined): Promise<Settled> {
    const { options } = asked;
    refuseUnknownCall(asked.name, options);
    const stale = options.stale ?? 0;
    if (stale === 0) return this.#begin(asked, work).settled;
    const maxAge = options.maxAge ?? 0;
    const oldest = { ...options, maxAge: Math.max(stale, maxAge) };
    const settled = await this.#begin({ ...asked, options: oldest }, work).settled;
    const isOld = settled.retained && !settled.led && (maxAge === 0 || settled.age > maxAge);
    if (!isOld) return settled;
    this.#refresh(asked, work, maxAge > 0 ? maxAge : youngerThan(settled.age));
    return { ...settled, stale: true };
  }

  // Makes the value anew, once at a time; who asked does not wait, so nobody hears how it ends.
  #refresh(asked: Asked, work: WorkFunction | undefined, maxAge: number): void {
    const { group, timeout: _timeout, signal: _signal, stale: _stale, ...rest } = asked.options;
    const place = `${group ?? 'default'}\0${readKey(asked.key).toString('latin1')}`;
    if (work === undefined || this.#refreshing.has(place)) return;
    this.#refreshing.add(place);
    // A failure is not kept: it would take the place of the value that is there.
    const options = { ...rest, group, maxAge, retainError: 0 };
    const done = (): boolean => this.#refreshing.delete(place);
    this.#begin({ ...asked, options, keepsOld: true }, work).settled.then(done, done);
  }

  // The same call again, after `elapsed` ms, for an outcome that is younger than one of that age.
  async #settleNewer(
    asked: Asked,
    work: WorkFunction | undefined,
    age: number,
    elapsed: number,
  ): Promise<Settled> {
    const { timeout, maxAge, stale: _stale, ...rest } = asked.options;
    await delay(Math.max(0, AGE_MS_MIN - age)); // the server counts whole milliseconds
    const younger = Math.min(youngerThan(age), maxAge === undefined || maxAge === 0 ? age : maxAge);
    const options = {
      ...rest,
      maxAge: Math.max(1, younger),
      timeout: timeout === undefined ? undefined : Math.max(0, timeout - elapsed),
    };
    return this.#begin({ ...asked, options }, work).settled;
  }

  #begin(asked: Asked, work: WorkFunction | undefined, events?: CallEvents): Call {
    const { name, key, options, site, keepsOld = false } = asked;
    if (events !== undefined) refuseUnknownCall(name, options); // of others it is known by now
    const nest = currentNest();
    const asking = { live: events !== undefined, hasWork: work !== undefined, nest, keepsOld };
    const join = readCallOptions(key, options, asking, this.#core.settings);
    const bounds = { timeout: readTimeout(options.timeout), signal: options.signal, site, nest };
    return this.#core.begin(join, bounds, events ?? {}, work);
  }
}

/** What the program asked for. */
interface Asked {
  name: string;
  key: string | Uint8Array;
  options: CallOptions;
  site: Site;
  keepsOld?: boolean;
}

// So old has an outcome to be that one with a smaller `maxAge` may be asked for.
const AGE_MS_MIN = 3;

function youngerThan(age: number): number {
  return Math.max(1, age - 1);
}

function working<T>(
  work: LeaderFunction<T>,
  encode: (value: T, leader: Leader) => Uint8Array,
): WorkFunction | undefined {
  const given: unknown = work;
  if (given === null || given === undefined) return undefined;
  if (typeof given !== 'function')
    throw new MisuseError(`the function is a ${typeof given}: it has to be a function`);
  return async (leader) => encode(await (work as (leader: Leader) => T)(leader), leader);
}

function bytesEncoder(value: Bytes): Uint8Array {
  return encodeWith(raw, value);
}

// A function that has written its value and returns nothing has said all.
function encoderOf<T>(codec: Codec<T>): (value: T, leader: Leader) => Uint8Array {
  return (value, leader) =>
    value === undefined && leader.outgoing.bytes > 0 ? Buffer.alloc(0) : encodeWith(codec, value);
}

function placing<T>(site: Site, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof CodecError ? placed(error, site) : error;
  }
}
