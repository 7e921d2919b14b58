// SPDX-License-Identifier: Apache-2.0

/** One chunk is at most so large, so that the chunks of several large values take turns. */
export const CHUNK_BYTES_MAX = 64 * 1024;

/**
 * The value that a leader makes: what was written, in which chunks it travelled, and what is not
 * sent yet. Everything is kept: the leader's own result has it, and a resume may send it again.
 */
export class Outgoing {
  /** The chunks, with their boundaries: those before `#sent` have been sent. */
  readonly #chunks: Buffer[] = [];
  #sent = 0;
  /** Written, but not cut into chunks yet; each piece is at most one chunk. */
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #bytes = 0;
  #unsent = 0;

  /** Of the whole value so far. */
  get bytes(): number {
    return this.#bytes;
  }

  get unsentBytes(): number {
    return this.#unsent;
  }

  /** How many chunks have been sent. */
  get sentChunks(): number {
    return this.#sent;
  }

  /** Copies `data`. */
  append(data: Uint8Array): void {
    for (let at = 0; at < data.length; at += CHUNK_BYTES_MAX)
      this.#pieces.push(Buffer.from(data.subarray(at, at + CHUNK_BYTES_MAX)));
    this.#pieceBytes += data.length;
    this.#bytes += data.length;
    this.#unsent += data.length;
  }

  /** More is left than what may travel with the outcome. */
  get needsChunk(): boolean {
    return this.#sent < this.#chunks.length || this.#pieceBytes > CHUNK_BYTES_MAX;
  }

  /** The next chunk to send; only while there are unsent bytes. */
  takeChunk(): Buffer {
    if (this.#sent === this.#chunks.length) this.#chunks.push(this.#cut());
    const chunk = this.#chunks[this.#sent++] ?? Buffer.alloc(0);
    this.#unsent -= chunk.length;
    return chunk;
  }

  /** What is left of the value, at most one chunk, to travel with the outcome. */
  takeTail(): Buffer {
    this.#unsent = 0;
    return Buffer.concat(this.#pieces);
  }

  /** Forgets what has not been sent. */
  dropUnsent(): void {
    this.#chunks.length = this.#sent;
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#unsent = 0;
  }

  /** Only so many chunks have arrived: what comes after them is to be sent again. */
  rewind(arrivedChunks: number): void {
    this.#sent = arrivedChunks;
    this.#unsent = this.#pieceBytes;
    for (const chunk of this.#chunks.slice(arrivedChunks)) this.#unsent += chunk.length;
  }

  /** The whole value. */
  value(): Buffer {
    return Buffer.concat([...this.#chunks, ...this.#pieces]);
  }

  #cut(): Buffer {
    let count = 0;
    let size = 0;
    for (const piece of this.#pieces) {
      if (size + piece.length > CHUNK_BYTES_MAX) break;
      size += piece.length;
      count++;
    }
    const cut = this.#pieces.splice(0, count);
    this.#pieceBytes -= size;
    return cut.length === 1 && cut[0] !== undefined ? cut[0] : Buffer.concat(cut);
  }
}
