// SPDX-License-Identifier: Apache-2.0
import { CodecError } from './errors.js';

/** How values become bytes and back. Every caller of a key must use the same one. */
export interface Codec<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Buffer): T;
}

/**
 * JSON in UTF-8, as the clients of the other languages write it. `undefined` is no bytes. What JSON
 * would change in silence is refused: maps, sets, bytes, errors, NaN, functions and the like.
 */
export const json: Codec<unknown> = {
  encode(value) {
    if (value === undefined) return Buffer.alloc(0);
    // Most values are plain, and written faster without a look at each.
    const text = isPlain(value, 0) ? JSON.stringify(value) : JSON.stringify(value, checked);
    return Buffer.from(text, 'utf8');
  },
  decode(bytes) {
    if (bytes.length === 0) return undefined;
    const text = bytes.toString('utf8');
    if (LONG_NUMBER.test(text)) checkIntegers(text);
    return JSON.parse(text) as unknown;
  },
};

/** The bytes themselves. @internal */
export const raw: Codec<Uint8Array | string | undefined | void> & {
  decode(bytes: Buffer): Buffer;
} = {
  encode(value) {
    if (value === undefined) return Buffer.alloc(0);
    if (typeof value === 'string') return Buffer.from(value, 'utf8');
    if (value instanceof Uint8Array) return value;
    throw new TypeError('bytes or a text are wanted; do() takes other values');
  },
  decode(bytes) {
    return bytes;
  },
};

/** @internal What the codec throws, or gives back by mistake, is a CodecError. */
export function encodeWith<T>(codec: Codec<T>, value: T): Uint8Array {
  try {
    const bytes: unknown = codec.encode(value);
    if (bytes instanceof Uint8Array) return bytes;
  } catch (cause) {
    throw new CodecError('encode', `the value cannot be encoded: ${textOf(cause)}`, { cause });
  }
  throw new CodecError('encode', 'the value cannot be encoded: the codec gives no Uint8Array');
}

/** @internal */
export function decodeWith<T>(codec: Codec<T>, bytes: Buffer): T {
  try {
    return codec.decode(bytes);
  } catch (cause) {
    const text = `the value cannot be decoded: ${textOf(cause)}. Do all callers use one codec?`;
    throw new CodecError('decode', text, { cause });
  }
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

// ---------------------------------------------------------------------------- what JSON would lose

const PLAIN_DEPTH_MAX = 32;

// Whether there is nothing in it that has to be looked at more closely.
function isPlain(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value);
    case 'object':
      return value === null || (depth < PLAIN_DEPTH_MAX && isPlainObject(value, depth + 1));
    default:
      return false;
  }
}

function isPlainObject(value: object, depth: number): boolean {
  if ('toJSON' in value) return false;
  if (Array.isArray(value)) {
    for (const each of value as unknown[]) if (!isPlain(each, depth)) return false;
    return true;
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  for (const each of Object.values(value))
    if (each !== undefined && !isPlain(each, depth)) return false;
  return true;
}

// Called for each value; `this` holds it as it was before its toJSON.
function checked(this: unknown, key: string, value: unknown): unknown {
  const held = (this as Record<string, unknown>)[key];
  const lostHeld = typeof held === 'object' && held !== null ? lostObject(held) : undefined;
  const what = lostHeld ?? lostBy(value) ?? (isMissing(this, value) ? 'undefined' : undefined);
  if (what === undefined) return value;
  const place = key === '' ? '' : ` at ${JSON.stringify(key)}`;
  throw new TypeError(
    `JSON has no word for ${what}${place}. Return plain objects, arrays, texts and numbers, ` +
      'or give a codec: { encode(value), decode(bytes) }; doBytes() is for bytes',
  );
}

function lostBy(value: unknown): string | undefined {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? undefined : String(value);
    case 'function':
    case 'symbol':
      return `a ${typeof value}`;
    case 'bigint':
      return 'a bigint';
    case 'object':
      return value === null ? undefined : lostObject(value);
    default:
      return undefined;
  }
}

function lostObject(value: object): string | undefined {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return 'bytes';
  if (value instanceof Date && Number.isNaN(value.getTime())) return 'an invalid Date';
  if (Array.isArray(value) || 'toJSON' in value) return undefined;
  const name = nameOf(value);
  if (value instanceof Error || value instanceof Map || value instanceof Set) return `a ${name}`;
  const prototype: unknown = Object.getPrototypeOf(value);
  const isPlain = prototype === Object.prototype || prototype === null || isBoxed(value);
  return isPlain || Object.keys(value).length > 0 ? undefined : `a ${name}`;
}

function nameOf(value: object): string {
  const made = (value as { constructor?: { name?: unknown } }).constructor?.name;
  return typeof made === 'string' && made !== '' ? made : 'object';
}

function isBoxed(value: object): boolean {
  return value instanceof Number || value instanceof String || value instanceof Boolean;
}

// A missing property stays missing; in an array it would become null.
function isMissing(holder: unknown, value: unknown): boolean {
  return value === undefined && Array.isArray(holder);
}

// -------------------------------------------------- numbers of languages that have longer ones

const LONG_NUMBER = /\d{16}/;
const TEXT_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

function checkIntegers(text: string): void {
  for (const [token] of text.matchAll(TEXT_OR_NUMBER)) {
    if (!/^-?\d{16,}$/.test(token) || BigInt(token) === BigInt(Number(token))) continue;
    throw new RangeError(`${token} is no number that JavaScript can hold; give a codec`);
  }
}
