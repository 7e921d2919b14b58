// SPDX-License-Identifier: Apache-2.0
// How connections are secured, and what says who calls: certificates and a token, out of files that
// may change while the client runs.
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { debuglog } from 'node:util';
import { credentials, Metadata } from '@grpc/grpc-js';
import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js';
import { MisuseError } from './errors.js';

/** Paths of PEM files and of a token's file. Each has a variable that stands in for it. */
export interface SecurityOptions {
  /**
   * The certificates that vouch for servers; "system": those of the machine. TLS is on when it is
   * given, but for `unix:` addresses. Default: SINGLEFLIGHT_TLS_CA; without that, plain text.
   */
  tlsCa?: string | undefined;
  /** This program's own certificate, with `tlsKey`. Default: SINGLEFLIGHT_TLS_CERT. */
  tlsCert?: string | undefined;
  /** Default: SINGLEFLIGHT_TLS_KEY. */
  tlsKey?: string | undefined;
  /** The name that servers prove to have. Default: SINGLEFLIGHT_TLS_SERVER_NAME, or the address. */
  tlsServerName?: string | undefined;
  /**
   * A file with the token that goes along with calls. It is read again when it changes. Default:
   * SINGLEFLIGHT_TOKEN_FILE.
   */
  tokenFile?: string | undefined;
}

/** @internal */
export const VARIABLES = {
  tlsCa: 'SINGLEFLIGHT_TLS_CA',
  tlsCert: 'SINGLEFLIGHT_TLS_CERT',
  tlsKey: 'SINGLEFLIGHT_TLS_KEY',
  tlsServerName: 'SINGLEFLIGHT_TLS_SERVER_NAME',
  tokenFile: 'SINGLEFLIGHT_TOKEN_FILE',
} as const;

/** @internal */
export const SYSTEM = 'system';

// Where machines keep the certificates that they trust.
const SYSTEM_CA = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
];
/** @internal */
export const LOOK_MS = 1000;
const TOKEN_BYTES_MAX = 8192;

const debug = debuglog('singleflight');

/** Files that somebody may replace. */
class Files {
  #stamp: string;
  #lookedAt = performance.now();

  constructor(private readonly paths: readonly string[]) {
    this.#stamp = this.#read();
  }

  /** Whether they have changed since they were looked at, which is done once a second at most. */
  haveChanged(): boolean {
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_MS) return false;
    this.#lookedAt = now;
    const stamp = this.#read();
    const changed = stamp !== this.#stamp;
    this.#stamp = stamp;
    return changed;
  }

  #read(): string {
    return this.paths.map(stampOf).join();
  }
}

function stampOf(path: string): string {
  try {
    const { dev, ino, size, mtimeMs } = statSync(path);
    return `${dev}:${ino}:${size}:${mtimeMs}`;
  } catch {
    return 'none';
  }
}

/** What comes of files, as they are now; a broken new one keeps what was. */
class Reread<T> {
  #generation = 0;
  #value: T;
  readonly #files: Files;

  constructor(
    paths: readonly string[],
    private readonly read: () => T,
  ) {
    this.#files = new Files(paths);
    this.#value = read();
  }

  get value(): T {
    this.look();
    return this.#value;
  }

  /** A number that grows when there is a new value. */
  look(): number {
    if (!this.#files.haveChanged()) return this.#generation;
    try {
      this.#value = this.read();
      this.#generation++;
    } catch (error) {
      debug('%s; what was read before stays', error instanceof Error ? error.message : error);
    }
    return this.#generation;
  }
}

export class Security {
  readonly #explicit: ChannelCredentials | undefined;
  readonly #serverName: string | undefined;
  readonly #tls: Reread<ChannelCredentials> | undefined;
  readonly #token: Reread<Metadata> | undefined;

  /** Throws MisuseError when what is asked for cannot work. */
  constructor(
    given: SecurityOptions,
    explicit: ChannelCredentials | undefined,
    addresses: readonly string[],
  ) {
    const { tlsCa, tlsCert, tlsKey, tlsServerName, tokenFile } = resolve(given);
    this.#explicit = explicit;
    if (explicit === undefined) {
      checkTogether(tlsCa, tlsCert, tlsKey, tlsServerName);
      this.#serverName = tlsServerName;
      if (tlsCa !== undefined) this.#tls = readTls(tlsCa, tlsCert, tlsKey);
    }
    if (tokenFile === undefined) return;
    const isOpen = explicit === undefined ? tlsCa === undefined : isInsecure(explicit);
    const exposed = isOpen ? addresses.find((address) => !isNear(address)) : undefined;
    if (exposed !== undefined)
      throw new MisuseError(
        `tokenFile: a token over a connection to ${exposed} without TLS could be read by others: ` +
          'give tlsCa, or use a loopback or unix: address',
      );
    this.#token = new Reread([tokenFile], () => readToken(tokenFile));
  }

  /** Grows when new connections are to be made in another way. */
  get generation(): number {
    return this.#tls?.look() ?? 0;
  }

  /** Grows when new RPCs show something else of who calls. */
  get identity(): number {
    return this.generation + (this.#token?.look() ?? 0);
  }

  /** For a new channel to the address. */
  channel(address: string): { credentials: ChannelCredentials; options: ChannelOptions } {
    if (this.#explicit !== undefined) return { credentials: this.#explicit, options: {} };
    if (this.#tls === undefined || address.startsWith('unix:'))
      return { credentials: credentials.createInsecure(), options: {} };
    const name = this.#serverName;
    const options = name === undefined ? {} : { 'grpc.ssl_target_name_override': name };
    return { credentials: this.#tls.value, options };
  }

  /** For a new RPC. */
  metadata(): Metadata {
    return this.#token?.value.clone() ?? new Metadata();
  }
}

function resolve(given: SecurityOptions): SecurityOptions {
  const read = (name: keyof typeof VARIABLES): string | undefined => {
    const value: unknown = given[name] ?? (process.env[VARIABLES[name]] || undefined);
    if (value !== undefined && (typeof value !== 'string' || value === ''))
      throw new MisuseError(`${name} has to be a string that is not empty`);
    return value;
  };
  return {
    tlsCa: read('tlsCa'),
    tlsCert: read('tlsCert'),
    tlsKey: read('tlsKey'),
    tlsServerName: read('tlsServerName'),
    tokenFile: read('tokenFile'),
  };
}

function checkTogether(
  ca: string | undefined,
  cert: string | undefined,
  key: string | undefined,
  name: string | undefined,
): void {
  if ((cert === undefined) !== (key === undefined))
    throw new MisuseError('tlsCert and tlsKey go together: one of them is missing');
  if (ca === undefined && (cert !== undefined || name !== undefined))
    throw new MisuseError(
      'tlsCert, tlsKey and tlsServerName need tlsCa, which turns TLS on; "system" stands for the ' +
        'certificates of the machine',
    );
}

function readTls(
  ca: string,
  cert: string | undefined,
  key: string | undefined,
): Reread<ChannelCredentials> {
  const caPath = ca === SYSTEM ? systemCa() : ca;
  const pair = cert === undefined || key === undefined ? [] : [cert, key];
  return new Reread([caPath, ...pair], () => {
    const roots = readCertificates('tlsCa', caPath);
    const [certPath, keyPath] = pair;
    if (certPath === undefined || keyPath === undefined) return credentials.createSsl(roots);
    const chain = readCertificates('tlsCert', certPath);
    const secret = readFile('tlsKey', keyPath);
    try {
      createSecureContext({ cert: chain, key: secret });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new MisuseError(`tlsKey: ${keyPath} is no key of the certificate ${certPath}: ${why}`);
    }
    return credentials.createSsl(roots, secret, chain);
  });
}

function systemCa(): string {
  const paths = process.env.SSL_CERT_FILE ? [process.env.SSL_CERT_FILE] : SYSTEM_CA;
  const found = paths.find((path) => stampOf(path) !== 'none');
  if (found === undefined)
    throw new MisuseError(`tlsCa: there are no certificates of the machine (${paths.join(', ')})`);
  return found;
}

function readFile(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new MisuseError(`${option}: ${path} cannot be read: ${why}`);
  }
}

function readCertificates(option: string, path: string): Buffer {
  const pem = readFile(option, path);
  try {
    new X509Certificate(pem); // the first of them
  } catch {
    throw new MisuseError(`${option}: ${path} has no certificate in it (PEM is wanted)`);
  }
  return pem;
}

function readToken(path: string): Metadata {
  const token = readFile('tokenFile', path).toString('latin1').trim();
  if (token === '' || token.length > TOKEN_BYTES_MAX || !/^[\x21-\x7e]+$/.test(token))
    throw new MisuseError(`tokenFile: ${path} has to have one token in it, of printable ASCII`);
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

function isInsecure(given: ChannelCredentials): boolean {
  return !given._isSecure();
}

/** Nobody else is on the way there. */
function isNear(address: string): boolean {
  if (address.startsWith('unix:')) return true;
  const host = address.slice(0, address.lastIndexOf(':')).toLowerCase();
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
