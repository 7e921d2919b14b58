// SPDX-License-Identifier: Apache-2.0

/** How values become bytes and back. Every caller of a key must use the same one. */
export interface Codec<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Buffer): T;
}

/** JSON in UTF-8, as the clients of the other languages write it. `undefined` is no bytes. */
export const json: Codec<unknown> = {
  encode(value) {
    // What JSON has no word for, such as a function, is no bytes either.
    const text = JSON.stringify(value) as string | undefined;
    return Buffer.from(text ?? '', 'utf8');
  },
  decode(bytes) {
    return bytes.length === 0 ? undefined : (JSON.parse(bytes.toString('utf8')) as unknown);
  },
};

/** @internal The bytes themselves. */
export const raw: Codec<Uint8Array | string | undefined | void> & {
  decode(bytes: Buffer): Buffer;
} = {
  encode(value) {
    return typeof value === 'string' ? Buffer.from(value, 'utf8') : (value ?? Buffer.alloc(0));
  },
  decode(bytes) {
    return bytes;
  },
};
