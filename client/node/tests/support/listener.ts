// SPDX-License-Identifier: Apache-2.0
import type { LiveCall } from '../../src/index.js';
import { until } from './story.js';

/** Reads a live call from the beginning to the end. */
export class Listener {
  /** What has come since the last restart. */
  text = '';
  /** The attempts that restarts have told. */
  readonly restarts: number[] = [];
  readonly ended: Promise<void>;

  constructor(readonly call: LiveCall) {
    this.ended = this.#read();
    this.ended.catch(() => undefined); // told by the result as well
  }

  async #read(): Promise<void> {
    for await (const event of this.call) {
      if (event.type === 'chunk') {
        this.text += event.data.toString();
      } else {
        this.text = '';
        this.restarts.push(event.attempt);
      }
    }
  }

  async heard(text: string): Promise<void> {
    await until(`"${text}" is heard`, () => this.text === text);
  }

  async restarted(times: number): Promise<void> {
    await until(`${times} restarts`, () => this.restarts.length === times);
  }
}
