// SPDX-License-Identifier: Apache-2.0
import { Readable } from 'node:stream';
import { bytesOf } from './result.js';
import type { Result, Settled } from './result.js';

/** Part of the value. */
export interface ChunkEvent {
  readonly type: 'chunk';
  readonly data: Buffer;
  readonly attempt: number;
}

/** What came so far is void: another leader makes the value anew, or the connection was lost. */
export interface RestartEvent {
  readonly type: 'restart';
  readonly attempt: number;
  readonly leader: string;
}

export type LiveEvent = ChunkEvent | RestartEvent;

/**
 * A live call: its events as they come, for one reader, and its result.
 *
 * Events that nobody has read yet are held in memory, up to the client's `resultLimit` per attempt.
 * Whoever stops reading before the end cancels the call.
 */
export class LiveCall implements AsyncIterable<LiveEvent> {
  /** As that of `doBytes`. It need not be awaited: the events end with the same error. */
  readonly result: Promise<Result<Buffer>>;
  /** As that of `doSettled`; need not be awaited either. */
  readonly settled: Promise<Settled>;

  #events: LiveEvent[] = [];
  #wake: (() => void) | undefined;
  #ended = false;

  /** @internal */
  constructor(
    start: (push: (event: LiveEvent) => void) => Promise<Settled>,
    private readonly cancelCall: () => void,
  ) {
    this.settled = start((event) => this.#push(event));
    this.result = this.settled.then(bytesOf);
    const onEnd = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    this.result.then(onEnd, onEnd);
  }

  #push(event: LiveEvent): void {
    if (event.type === 'restart')
      this.#events = this.#events.filter((each) => each.type !== 'chunk');
    this.#events.push(event);
    this.#wake?.();
  }

  /** Leaves; the events and the result end with CANCELLED. */
  cancel(): void {
    this.cancelCall();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LiveEvent, void, undefined> {
    try {
      for (;;) {
        const events = this.#events;
        this.#events = [];
        yield* events;
        if (events.length > 0) continue;
        if (this.#ended) break;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      await this.result;
    } finally {
      this.cancel();
    }
  }

  /** The events as a stream of objects. Destroying it cancels the call. */
  readable(): Readable {
    return Readable.from(this);
  }
}
