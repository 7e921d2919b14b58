// SPDX-License-Identifier: Apache-2.0
// What programs may ask for, read and checked once.
import { hostname } from 'node:os';
import { basename } from 'node:path';
import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js';
import type { Codec } from './codec.js';
import { InvalidArgumentError } from './errors.js';
import { LeaderLoss, Role } from './gen/singleflight/v1/singleflight.js';
import type { Join as WireJoin } from './gen/singleflight/v1/singleflight.js';

const ADDRESS_VARIABLE = 'SINGLEFLIGHT_ADDRESS';
const ADDRESS_DEFAULT = '127.0.0.1:7433';
const CALLER_BYTES_MAX = 128;
const TIMER_MS_MAX = 2 ** 31 - 1;

// Far above what any server takes; only keeps a message of ours below its bound.
const TEXT_BYTES_MAX = 4096;
const KEY_BYTES_MAX = 64 * 1024;

/** Options of a client. Times are milliseconds, sizes are bytes. */
export interface ClientOptions {
  /**
   * Servers: "host:port" or "unix:/path". Default: the environment variable SINGLEFLIGHT_ADDRESS,
   * comma separated; without that, 127.0.0.1:7433. With several, each key has its home at one of
   * them by rendezvous hashing, so all programs must write the addresses in the same way. A server
   * that is down is stood in for by the next one in the key's order.
   */
  addresses?: readonly string[] | string | undefined;
  /** The name in listings, at most 128 bytes. Default: <program>@<host>:<process id>. */
  caller?: string | undefined;
  /** When no server can be reached: run the function here, and say so. Default: false. */
  failOpen?: boolean | undefined;
  /** How long a call looks for a server before it gives up or fails open. Default: 5,000. */
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
  /** Default: insecure. */
  credentials?: ChannelCredentials | undefined;
  /** Further options of the gRPC channels, such as `grpc.ssl_target_name_override`. */
  channelOptions?: ChannelOptions | undefined;
}

/**
 * Options of one call. Times are milliseconds. Those marked (opener) hold for the flight as its
 * first caller gave them; the others are each caller's own.
 */
export interface CallOptions {
  /** At most 128 bytes of [A-Za-z0-9._-]. Default: the group "default". */
  group?: string | undefined;
  /** The call ends with DEADLINE_EXCEEDED after that. Default: never. */
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
  /** (opener) What happens when the leader is lost. Default: PROMOTE, the next caller leads. */
  onLeaderLoss?: 'PROMOTE' | 'FAIL' | undefined;
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
  credentials: ChannelCredentials | undefined;
  channelOptions: ChannelOptions;
}

/** @internal What a call asks for: shared by the calls that are merged. */
export interface Join {
  wire: WireJoin;
  /** Calls with the same one are equal; undefined: never merged. */
  mergeId: string | undefined;
  connectTimeout: number;
  /** It was told how long to look, so it looks even when every server is known to be down. */
  waitsWhenDown: boolean;
  failOpen: boolean;
  passesOn: boolean;
}

/** @internal */
export function readClientOptions(given: ClientOptions): Settings {
  const backoffMin = positive('backoffMin', given.backoffMin, 50);
  return {
    addresses: readAddresses(given.addresses),
    caller: given.caller === undefined ? defaultCaller() : readCaller(given.caller),
    failOpen: given.failOpen ?? false,
    connectTimeout: positive('connectTimeout', given.connectTimeout, 5000),
    backoffMin,
    backoffMax: Math.max(positive('backoffMax', given.backoffMax, 2000), backoffMin),
    keepaliveTime: positive('keepaliveTime', given.keepaliveTime, 20_000),
    keepaliveTimeout: positive('keepaliveTimeout', given.keepaliveTimeout, 5000),
    resultLimit: positive('resultLimit', given.resultLimit, 64 * 1024 * 1024),
    unsentLimit: positive('unsentLimit', given.unsentLimit, 1024 * 1024),
    credentials: given.credentials,
    channelOptions: given.channelOptions ?? {},
  };
}

/** @internal */
export function readCallOptions(
  key: Uint8Array | string,
  options: CallOptions,
  live: boolean,
  settings: Settings,
): Join {
  const wire: WireJoin = {
    group: bounded('group', options.group ?? ''),
    key: readKey(key),
    role: readRole(options.role),
    live,
    audience: options.audience ?? false,
    retainMs: wireMs('retain', options.retain),
    retainErrorMs: wireMs('retainError', options.retainError),
    maxAgeMs: wireMs('maxAge', options.maxAge),
    leaseMs: wireMs('lease', options.lease),
    runLimitMs: wireMs('runLimit', options.runLimit),
    onLeaderLoss: readLeaderLoss(options.onLeaderLoss),
    maxAttempts: readAttempts(options.maxAttempts),
    fingerprint: readFingerprint(options.fingerprint),
    resumeToken: readToken(options.resumeToken),
    caller: options.caller === undefined ? settings.caller : bounded('caller', options.caller),
    detach: false,
    retainFromLead: false,
    fresh: false,
    within: [],
  };
  const failOpen = options.failOpen ?? settings.failOpen;
  const resumes = wire.resumeToken !== 0n;
  const isPlain = !live && !resumes && wire.role === Role.ROLE_ANY;
  return {
    wire,
    mergeId: isPlain && options.localMerge !== false ? mergeId(wire, failOpen) : undefined,
    connectTimeout: positive('connectTimeout', options.connectTimeout, settings.connectTimeout),
    waitsWhenDown: options.connectTimeout !== undefined && options.connectTimeout !== 0,
    failOpen: failOpen && !resumes && wire.role !== Role.ROLE_FOLLOW_ONLY,
    passesOn: wire.onLeaderLoss !== LeaderLoss.LEADER_LOSS_FAIL,
  };
}

/** @internal How long a call may take; undefined: as long as it wants. */
export function readTimeout(timeout: number | undefined): number | undefined {
  const read = wholeNumber('timeout', timeout ?? 0, TIMER_MS_MAX);
  return read === 0 ? undefined : read;
}

/** @internal */
export function readKey(key: Uint8Array | string): Buffer {
  // Copied: the program may use its buffer for something else.
  const bytes = typeof key === 'string' ? Buffer.from(key, 'utf8') : copyOf('key', key);
  if (bytes.length === 0 || bytes.length > KEY_BYTES_MAX)
    throw new InvalidArgumentError('key has to have 1 to 1,024 bytes');
  return bytes;
}

/** @internal */
export function bounded(name: string, text: string): string {
  if (typeof text !== 'string' || Buffer.byteLength(text) > TEXT_BYTES_MAX)
    throw new InvalidArgumentError(`${name} has to be a string of at most 128 bytes`);
  return text;
}

/** @internal */
export function wireMs(name: string, ms: number | undefined): bigint {
  return BigInt(wholeNumber(name, ms ?? 0, Number.MAX_SAFE_INTEGER));
}

function readAddresses(given: readonly string[] | string | undefined): string[] {
  const text = given ?? (process.env[ADDRESS_VARIABLE] || ADDRESS_DEFAULT);
  const addresses =
    typeof text === 'string' ? text.split(',').map((part) => part.trim()) : [...text];
  if (addresses.length === 0) throw new InvalidArgumentError('addresses is empty');
  for (const address of addresses)
    if (!isAddress(address))
      throw new InvalidArgumentError(
        `${JSON.stringify(address)} is no address: "host:port" or "unix:/path" is wanted`,
      );
  return addresses;
}

function isAddress(address: string): boolean {
  if (/^unix:\S+$/.test(address) || /^(dns|ipv4|ipv6):\S+$/.test(address)) return true;
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
    throw new InvalidArgumentError('caller has to be a string of at most 128 bytes');
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
      throw new InvalidArgumentError('role has to be ANY, LEAD_ONLY or FOLLOW_ONLY');
  }
}

function readLeaderLoss(given: CallOptions['onLeaderLoss']): LeaderLoss {
  switch (given) {
    case undefined:
    case 'PROMOTE':
      return LeaderLoss.LEADER_LOSS_PROMOTE;
    case 'FAIL':
      return LeaderLoss.LEADER_LOSS_FAIL;
    default:
      throw new InvalidArgumentError('onLeaderLoss has to be PROMOTE or FAIL');
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
    throw new InvalidArgumentError('fingerprint has to have at most 64 bytes');
  return bytes;
}

function readToken(given: bigint | undefined): bigint {
  const token = given ?? 0n;
  if (typeof token !== 'bigint' || token < 0n || token >= 2n ** 64n)
    throw new InvalidArgumentError('resumeToken has to be a bigint of 64 bits without sign');
  return token;
}

function copyOf(name: string, bytes: Uint8Array): Buffer {
  if (!(bytes instanceof Uint8Array))
    throw new InvalidArgumentError(`${name} has to be a string or a Uint8Array`);
  return Buffer.from(bytes);
}

function positive(name: string, given: number | undefined, otherwise: number): number {
  const read = wholeNumber(name, given ?? 0, TIMER_MS_MAX);
  return read === 0 ? otherwise : read;
}

function wholeNumber(name: string, value: number, max: number): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0 || value > max)
    throw new InvalidArgumentError(`${name} has to be a number from 0 to ${max}`);
  return Math.ceil(value);
}

// Everything in which two calls may differ, but for their timeouts and functions.
function mergeId(wire: WireJoin, failOpen: boolean): string {
  const numbers = [wire.retainMs, wire.retainErrorMs, wire.maxAgeMs, wire.leaseMs, wire.runLimitMs];
  const others = [wire.onLeaderLoss, wire.maxAttempts, +wire.audience, +failOpen];
  const fingerprint = wire.fingerprint.toString('latin1');
  const group = wire.group === '' ? 'default' : wire.group;
  const head = `${numbers.join()},${others.join()},${fingerprint.length},${group.length}`;
  const tail = wire.key.toString('latin1');
  return `${head},${wire.caller.length}:${fingerprint}${group}${wire.caller}${tail}`;
}
