// SPDX-License-Identifier: Apache-2.0

/** What has come of a value that somebody else makes. */
export class Incoming {
  #pieces: Buffer[] = [];
  bytes = 0;
  nextSequence = 0n;

  add(data: Buffer): void {
    this.#pieces.push(data);
    this.bytes += data.length;
  }

  clear(): void {
    this.#pieces = [];
    this.bytes = 0;
    this.nextSequence = 0n;
  }

  value(): Buffer {
    const [first] = this.#pieces;
    return this.#pieces.length === 1 && first !== undefined ? first : Buffer.concat(this.#pieces);
  }
}
