// SPDX-License-Identifier: Apache-2.0
// What programs may ask for, read and checked once.
import { hostname } from 'node:os';
import { basename } from 'node:path';
import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js';
import type { ForgetOptions } from './client.js';
import type { Codec } from './codec.js';
import { MisuseError } from './errors.js';
import { LeaderLoss, Role } from './gen/singleflight/v1/singleflight.js';
import type { Join as WireJoin } from './gen/singleflight/v1/singleflight.js';
import { leadRefs } from './nesting.js';
import type { Nest } from './nesting.js';
import { KINDS, warn } from './observer.js';
import type { Observer, WatchedCall } from './observer.js';
import { Security } from './security.js';
import type { SecurityOptions } from './security.js';

export const ADDRESS_VARIABLE = 'SINGLEFLIGHT_ADDRESS';
export const ADDRESS_DEFAULT = '127.0.0.1:7433';
export const CALLER_BYTES_MAX = 128;
const TIMER_MS_MAX = 2 ** 31 - 1;
const LEASE_MS_MIN = 1000;

/** How long a call looks for a server: longer than one is away that is restarted. @internal */
export const CONNECT_TIMEOUT_MS = 30_000;
/** How long a server may leave a call without an answer; `connectTimeout`, if shorter. @internal */
export const ANSWER_TIMEOUT_MS = 5000;

// Far above what any server takes; only keeps a message of ours below its bound.
const TEXT_BYTES_MAX = 4096;
export const KEY_BYTES_MAX = 64 * 1024;

/** Options of a client. Times are milliseconds, sizes are bytes. */
export interface ClientOptions extends SecurityOptions {
  /**
   * Servers: "host:port" or "unix:/path". Default: the environment variable SINGLEFLIGHT_ADDRESS,
   * comma separated; without that, 127.0.0.1:7433. With several, each key has its home at one of
   * them by rendezvous hashing, so all programs must write the addresses in the same way. A server
   * that is down is stood in for by the next one in the key's order.
   */
  addresses?: readonly string[] | string | undefined;
  /** The name in listings, at most 128 bytes. Default: <program>@<host>:<process id>. */
  caller?: string | undefined;
  /**
   * When no server can be reached, run the function here, and say so: at once when all of them
   * refuse connections, else when they have said nothing for 5 s (`connectTimeout`, if that is
   * shorter). A leader that loses the server goes on to its
   * end, and its own callers get the outcome. Default: false.
   */
  failOpen?: boolean | undefined;
  /**
   * How long a call looks for a server before it ends with UNAVAILABLE: longer than one is away
   * that is restarted. 0: it does not wait, and takes only a server that has answered already.
   * Default: 30,000.
   */
  connectTimeout?: number | undefined;
  /** The wait before a new try is random, below a bound that doubles from here. Default: 50. */
  backoffMin?: number | undefined;
  /** … up to here. Default: 2,000. */
  backoffMax?: number | undefined;
  /** A ping goes out after so much silence. Default: 20,000. */
  keepaliveTime?: number | undefined;
  /** The connection is given up when the ping is not answered for so long. Default: 5,000. */
  keepaliveTimeout?: number | undefined;
  /** The largest value that this process makes or takes. Default: 64 MiB. */
  resultLimit?: number | undefined;
  /** `leader.write()` waits while more bytes than this wait to be sent. Default: 1 MiB. */
  unsentLimit?: number | undefined;
  /** gRPC's own, instead of those that `tlsCa` and its like make. */
  credentials?: ChannelCredentials | undefined;
  /** Further options of the gRPC channels, such as `grpc.ssl_target_name_override`. */
  channelOptions?: ChannelOptions | undefined;
  /** Told what becomes of calls. */
  observer?: Observer | undefined;
  /**
   * The W3C trace context that a call belongs to, as in the header `traceparent`; asked when a call
   * begins. singleflightd/otel brings one.
   */
  traceparent?: ((call: WatchedCall) => string | undefined) | undefined;
}

/**
 * Options of one call. Times are milliseconds. Those marked (opener) hold for the flight as its
 * first caller gave them; the others are each caller's own.
 */
export interface CallOptions {
  /** At most 128 bytes of [A-Za-z0-9._-]. Default: the group "default". */
  group?: string | undefined;
  /** The call ends with DEADLINE_EXCEEDED then, at once if it is 0 or less. Default: never. */
  timeout?: number | undefined;
  /** Takes this caller away when it aborts; `AbortSignal.timeout()` counts as a deadline. */
  signal?: AbortSignal | undefined;
  /** (opener) Keep an OK outcome for so long, at most 7 days. Default: not. */
  retain?: number | undefined;
  /** (opener) The same for every other outcome. */
  retainError?: number | undefined;
  /** Take a retained outcome only if it is not older. Default: any. */
  maxAge?: number | undefined;
  /**
   * (opener) Default 0: who leads does so as long as its connection holds. 1,000 to 600,000: as
   * long as its process renews the lease in time, which the client does, also over a broken
   * connection. A function that blocks the event loop for that long loses the lead.
   */
  lease?: number | undefined;
  /** (opener) A leader that runs longer is replaced. Default: the server's limit. */
  runLimit?: number | undefined;
  /** (opener) `retain` counts from when the leader began, not from its end. Default: false. */
  retainFromLead?: boolean | undefined;
  /**
   * Serve a retained outcome that is up to so old at once, also if it is older than `maxAge`
   * (without one: of any age), and make it anew in the background; if that fails, go on serving
   * it. Keep outcomes for that long with `retain`. Default: not.
   */
  stale?: number | undefined;
  /** Join no flight that began before this call, and take no retained outcome. Default: false. */
  fresh?: boolean | undefined;
  /**
   * (opener) What happens when the leader is lost. PROMOTE: the next caller leads. FAIL: all are
   * ABORTED. HOLD: the loss is the outcome, an AbandonedError, kept for `retainError`; for what may
   * not be tried twice. Default: PROMOTE.
   */
  onLeaderLoss?: 'PROMOTE' | 'FAIL' | 'HOLD' | undefined;
  /** (opener) How many leaders in all. Default: no limit. */
  maxAttempts?: number | undefined;
  /** LEAD_ONLY: ABORTED when another leads. FOLLOW_ONLY: NOT_FOUND when nobody does. */
  role?: 'ANY' | 'LEAD_ONLY' | 'FOLLOW_ONLY' | undefined;
  /** While leading, learn who waits: `leader.audience`. */
  audience?: boolean | undefined;
  /** (opener) At most 64 bytes: the same key with another one is refused. */
  fingerprint?: Uint8Array | string | undefined;
  /** The name in listings. Default: that of the client. */
  caller?: string | undefined;
  /** Take back the lead that was granted, with a lease, to a process that has ended since. */
  resumeToken?: bigint | undefined;
  /** Instead of the client's. */
  connectTimeout?: number | undefined;
  /** Instead of the client's. */
  failOpen?: boolean | undefined;
  /**
   * Whether equal calls of this client are merged before they go to the network. Calls that are
   * live, of a role other than ANY, or with a resumeToken never are. Default: true.
   */
  localMerge?: boolean | undefined;
}

/** Options of a call whose values pass through a codec. */
export interface DoOptions<T> extends CallOptions {
  /** Default: JSON. */
  codec?: Codec<T> | undefined;
}

const CLIENT_OPTIONS: Record<keyof ClientOptions, true> = {
  addresses: true,
  caller: true,
  failOpen: true,
  connectTimeout: true,
  backoffMin: true,
  backoffMax: true,
  keepaliveTime: true,
  keepaliveTimeout: true,
  resultLimit: true,
  unsentLimit: true,
  credentials: true,
  channelOptions: true,
  tlsCa: true,
  tlsCert: true,
  tlsKey: true,
  tlsServerName: true,
  tokenFile: true,
  observer: true,
  traceparent: true,
};

const CALL_OPTIONS: Record<keyof CallOptions, true> = {
  group: true,
  timeout: true,
  signal: true,
  retain: true,
  retainError: true,
  maxAge: true,
  lease: true,
  runLimit: true,
  retainFromLead: true,
  stale: true,
  fresh: true,
  onLeaderLoss: true,
  maxAttempts: true,
  role: true,
  audience: true,
  fingerprint: true,
  caller: true,
  resumeToken: true,
  connectTimeout: true,
  failOpen: true,
  localMerge: true,
};

const DO_OPTIONS: Record<keyof DoOptions<unknown>, true> = { ...CALL_OPTIONS, codec: true };

const FORGET_OPTIONS: Record<keyof ForgetOptions, true> = {
  group: true,
  ifUnshared: true,
  end: true,
  caller: true,
  timeout: true,
  signal: true,
};

/** @internal */
export interface Settings {
  addresses: string[];
  caller: string;
  failOpen: boolean;
  connectTimeout: number;
  backoffMin: number;
  backoffMax: number;
  keepaliveTime: number;
  keepaliveTimeout: number;
  resultLimit: number;
  unsentLimit: number;
  security: Security;
  channelOptions: ChannelOptions;
  observer: Observer | undefined;
  traceparent: (call: WatchedCall) => string;
}

/** @internal What a call asks for: shared by the calls that are merged. */
export interface Join {
  wire: WireJoin;
  /** Calls with the same one are equal; undefined: never merged. */
  mergeId: string | undefined;
  /** 0: only a server that is known to be there. */
  connectTimeout: number;
  failOpen: boolean;
  passesOn: boolean;
  /** A failure must not take the place of the value that is retained. */
  keepsOld: boolean;
}

/** @internal What a call of the program is, beside its options. */
export interface Asking {
  live: boolean;
  hasWork: boolean;
  nest: Nest | undefined;
  keepsOld: boolean;
}

/** @internal */
export function readClientOptions(given: ClientOptions): Settings {
  refuseUnknown('new Client()', given, CLIENT_OPTIONS, "{ addresses: '127.0.0.1:7433' }");
  const backoffMin = positive('backoffMin', given.backoffMin, 50);
  const addresses = readAddresses(given.addresses);
  return {
    addresses,
    caller: given.caller === undefined ? defaultCaller() : readCaller(given.caller),
    failOpen: readFlag('failOpen', given.failOpen, false),
    connectTimeout: readConnectTimeout(given.connectTimeout, CONNECT_TIMEOUT_MS),
    backoffMin,
    backoffMax: Math.max(positive('backoffMax', given.backoffMax, 2000), backoffMin),
    keepaliveTime: positive('keepaliveTime', given.keepaliveTime, 20_000),
    keepaliveTimeout: positive('keepaliveTimeout', given.keepaliveTimeout, 5000),
    resultLimit: positive('resultLimit', given.resultLimit, 64 * 1024 * 1024),
    unsentLimit: positive('unsentLimit', given.unsentLimit, 1024 * 1024),
    security: new Security(given, given.credentials, addresses),
    channelOptions: given.channelOptions ?? {},
    observer: readObserver(given.observer),
    traceparent: readTraceparent(given.traceparent),
  };
}

function readObserver(given: Observer | undefined): Observer | undefined {
  if (given === undefined) return undefined;
  const observer: unknown = given;
  if (typeof observer !== 'object' || observer === null)
    throw new MisuseError(`observer has to be an object with some of ${KINDS.join(', ')}`);
  return given;
}

// What it gives that is no text, or throws, is no trace context.
function readTraceparent(given: ClientOptions['traceparent']): Settings['traceparent'] {
  if (given === undefined) return () => '';
  if (typeof given !== 'function') throw new MisuseError('traceparent has to be a function');
  return (call) => {
    try {
      const text: unknown = given(call);
      return typeof text === 'string' && text.length <= TEXT_BYTES_MAX ? text : '';
    } catch (error) {
      warn('traceparent()', error);
      return '';
    }
  };
}

/** @internal */
export function readCallOptions(
  key: Uint8Array | string,
  options: CallOptions,
  asking: Asking,
  settings: Settings,
): Join {
  readShape(options, asking);
  const wire = readWire(key, options, asking, settings);
  const failOpen = readFlag('failOpen', options.failOpen, settings.failOpen);
  const resumes = wire.resumeToken !== 0n;
  const isPlain = !asking.live && !resumes && wire.role === Role.ROLE_ANY;
  const merges = readFlag('localMerge', options.localMerge, true) && isPlain;
  return {
    wire,
    mergeId: merges ? mergeId(wire, failOpen, asking.keepsOld) : undefined,
    connectTimeout: readConnectTimeout(options.connectTimeout, settings.connectTimeout),
    failOpen: failOpen && !resumes && wire.role !== Role.ROLE_FOLLOW_ONLY,
    passesOn: wire.onLeaderLoss === LeaderLoss.LEADER_LOSS_PROMOTE,
    keepsOld: asking.keepsOld,
  };
}

function readWire(
  key: Uint8Array | string,
  options: CallOptions,
  asking: Asking,
  settings: Settings,
): WireJoin {
  return {
    group: bounded('group', options.group ?? ''),
    key: readKey(key),
    role: readRole(options.role),
    live: asking.live,
    audience: readFlag('audience', options.audience, false),
    retainMs: wireMs('retain', options.retain),
    retainErrorMs: wireMs('retainError', options.retainError),
    maxAgeMs: wireMs('maxAge', options.maxAge),
    leaseMs: readLease(options.lease),
    runLimitMs: wireMs('runLimit', options.runLimit),
    onLeaderLoss: readLeaderLoss(options.onLeaderLoss),
    maxAttempts: readAttempts(options.maxAttempts),
    fingerprint: readFingerprint(options.fingerprint),
    resumeToken: readToken(options.resumeToken),
    caller: options.caller === undefined ? settings.caller : bounded('caller', options.caller),
    detach: true,
    retainFromLead: readFlag('retainFromLead', options.retainFromLead, false),
    fresh: readFlag('fresh', options.fresh, false),
    within: leadRefs(asking.nest),
    traceparent: '',
  };
}

// What has no place on the wire, or makes no sense together.
function readShape(options: CallOptions, asking: Asking): void {
  if (!asking.hasWork && options.role !== 'FOLLOW_ONLY')
    throw new MisuseError('the function is missing: only FOLLOW_ONLY can do without one');
  readSignal(options.signal);
  const stale = wholeNumber('stale', options.stale ?? 0, Number.MAX_SAFE_INTEGER);
  if (stale === 0) return;
  if (asking.live) throw new MisuseError('stale: a live call has no old value to hand out');
  const isPlain = options.resumeToken === undefined && (options.role ?? 'ANY') === 'ANY';
  if (options.fresh === true || !isPlain)
    throw new MisuseError('stale goes with no fresh, no role and no resumeToken');
}

/** @internal */
export function refuseUnknownCall(name: string, given: object): void {
  const known = name === 'do()' ? DO_OPTIONS : name === 'forget()' ? FORGET_OPTIONS : CALL_OPTIONS;
  refuseUnknown(name, given, known, '{ timeout: 5000 }');
}

function refuseUnknown(name: string, given: unknown, known: object, example: string): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new MisuseError(`the options of ${name} have to be an object: ${example}`);
  for (const option of Object.keys(given))
    if (!Object.hasOwn(known, option))
      throw new MisuseError(
        `${name} has no option ${JSON.stringify(option)}; it has ${Object.keys(known).join(', ')}`,
      );
}

/** @internal How long a call may take, 0: no time at all; undefined: as long as it wants. */
export function readTimeout(timeout: number | undefined): number | undefined {
  if (timeout === undefined) return undefined;
  const isOver = typeof timeout === 'number' && timeout <= 0;
  return isOver ? 0 : wholeNumber('timeout', timeout, TIMER_MS_MAX);
}

/** @internal */
export function readSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  const given: unknown = signal;
  if (typeof given !== 'object' || given === null || !('aborted' in given))
    throw new MisuseError('signal has to be an AbortSignal');
}

/** @internal */
export function readFlag(name: string, given: boolean | undefined, otherwise: boolean): boolean {
  if (given === undefined) return otherwise;
  if (typeof given !== 'boolean') throw new MisuseError(`${name} has to be true or false`);
  return given;
}

/** @internal */
export function readCodec<T>(codec: Codec<T> | undefined): Codec<T> | undefined {
  if (codec === undefined) return undefined;
  const given = codec as Partial<Codec<T>> | null;
  if (typeof given?.encode !== 'function' || typeof given.decode !== 'function')
    throw new MisuseError('codec has to be { encode(value), decode(bytes) }');
  return codec;
}

function readConnectTimeout(given: number | undefined, otherwise: number): number {
  return given === undefined ? otherwise : wholeNumber('connectTimeout', given, TIMER_MS_MAX);
}

function readLease(given: number | undefined): bigint {
  const lease = wireMs('lease', given);
  if (lease > 0n && lease < LEASE_MS_MIN)
    throw new MisuseError(`lease has to be 0, or ${LEASE_MS_MIN} ms or more`);
  return lease;
}

/** @internal */
export function readKey(key: Uint8Array | string): Buffer {
  // Copied: the program may use its buffer for something else.
  const bytes = typeof key === 'string' ? Buffer.from(key, 'utf8') : copyOf('key', key);
  if (bytes.length === 0 || bytes.length > KEY_BYTES_MAX)
    throw new MisuseError('key has to have 1 to 1,024 bytes');
  return bytes;
}

/** @internal */
export function bounded(name: string, text: string): string {
  if (typeof text !== 'string' || Buffer.byteLength(text) > TEXT_BYTES_MAX)
    throw new MisuseError(`${name} has to be a string of at most 128 bytes`);
  return text;
}

/** @internal */
export function wireMs(name: string, ms: number | undefined): bigint {
  return BigInt(wholeNumber(name, ms ?? 0, Number.MAX_SAFE_INTEGER));
}

function readAddresses(given: readonly string[] | string | undefined): string[] {
  const text = given ?? (process.env[ADDRESS_VARIABLE] || ADDRESS_DEFAULT);
  if (typeof text !== 'string' && !Array.isArray(text))
    throw new MisuseError('addresses has to be a string, or an array of strings');
  const addresses: readonly unknown[] =
    typeof text === 'string' ? text.split(',').map((part) => part.trim()) : text;
  if (addresses.length === 0) throw new MisuseError('addresses is empty');
  return addresses.map(readAddress);
}

function readAddress(address: unknown): string {
  if (typeof address === 'string' && isAddress(address)) return address;
  throw new MisuseError(
    `addresses: ${JSON.stringify(address)} is none; "host:port" (a port from 1 to 65535, and no ` +
      '"http://") or "unix:/path" is wanted',
  );
}

function isAddress(address: string): boolean {
  if (/^unix:\S+$/.test(address)) return true;
  const port = /^(?:[^\s:/[\]]+|\[[0-9A-Fa-f:.%]+\]):(\d{1,5})$/.exec(address)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65535;
}

function defaultCaller(): string {
  const program = basename(process.argv[1] ?? process.title).slice(0, 30);
  return readCaller(
    `${program}@${hostname().slice(0, 60)}:${process.pid}`.slice(0, CALLER_BYTES_MAX / 2),
  );
}

function readCaller(caller: string): string {
  if (typeof caller !== 'string' || Buffer.byteLength(caller) > CALLER_BYTES_MAX)
    throw new MisuseError('caller has to be a string of at most 128 bytes');
  return caller;
}

function readRole(role: CallOptions['role']): Role {
  switch (role) {
    case undefined:
    case 'ANY':
      return Role.ROLE_ANY;
    case 'LEAD_ONLY':
      return Role.ROLE_LEAD_ONLY;
    case 'FOLLOW_ONLY':
      return Role.ROLE_FOLLOW_ONLY;
    default:
      throw new MisuseError('role has to be ANY, LEAD_ONLY or FOLLOW_ONLY');
  }
}

function readLeaderLoss(given: CallOptions['onLeaderLoss']): LeaderLoss {
  switch (given) {
    case undefined:
    case 'PROMOTE':
      return LeaderLoss.LEADER_LOSS_PROMOTE;
    case 'FAIL':
      return LeaderLoss.LEADER_LOSS_FAIL;
    case 'HOLD':
      return LeaderLoss.LEADER_LOSS_HOLD;
    default:
      throw new MisuseError('onLeaderLoss has to be PROMOTE, FAIL or HOLD');
  }
}

function readAttempts(given: number | undefined): number {
  return wholeNumber('maxAttempts', given ?? 0, 2 ** 32 - 1);
}

function readFingerprint(given: Uint8Array | string | undefined): Buffer {
  if (given === undefined) return Buffer.alloc(0);
  const bytes =
    typeof given === 'string' ? Buffer.from(given, 'utf8') : copyOf('fingerprint', given);
  if (bytes.length > TEXT_BYTES_MAX)
    throw new MisuseError('fingerprint has to have at most 64 bytes');
  return bytes;
}

function readToken(given: bigint | undefined): bigint {
  const token = given ?? 0n;
  if (typeof token !== 'bigint' || token < 0n || token >= 2n ** 64n)
    throw new MisuseError('resumeToken has to be a bigint of 64 bits without sign');
  return token;
}

function copyOf(name: string, bytes: Uint8Array): Buffer {
  if (!(bytes instanceof Uint8Array))
    throw new MisuseError(`${name} has to be a string or a Uint8Array`);
  return Buffer.from(bytes);
}

function positive(name: string, given: number | undefined, otherwise: number): number {
  const read = wholeNumber(name, given ?? 0, TIMER_MS_MAX);
  return read === 0 ? otherwise : read;
}

function wholeNumber(name: string, value: number, max: number): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0 || value > max)
    throw new MisuseError(`${name} has to be a number from 0 to ${max}, not ${value}`);
  return Math.ceil(value);
}

// Everything in which two calls may differ, but for their timeouts and functions.
function mergeId(wire: WireJoin, failOpen: boolean, keepsOld: boolean): string {
  const numbers = [wire.retainMs, wire.retainErrorMs, wire.maxAgeMs, wire.leaseMs, wire.runLimitMs];
  const flags = [wire.audience, wire.retainFromLead, wire.fresh, failOpen, keepsOld].map(Number);
  const others = [wire.onLeaderLoss, wire.maxAttempts, ...flags];
  const fingerprint = wire.fingerprint.toString('latin1');
  const group = wire.group === '' ? 'default' : wire.group;
  const head = `${numbers.join()},${others.join()},${fingerprint.length},${group.length}`;
  const tail = wire.key.toString('latin1');
  return `${head},${wire.caller.length}:${fingerprint}${group}${wire.caller}${tail}`;
}
