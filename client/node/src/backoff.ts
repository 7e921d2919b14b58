// SPDX-License-Identifier: Apache-2.0

/** Waits that are random between 0 and a bound, which doubles. */
export class Backoff {
  #bound = 0;

  constructor(
    private readonly min: number,
    private readonly max: number,
  ) {}

  /** The next wait, in milliseconds. */
  next(random: () => number = Math.random): number {
    const bound = Math.min(this.#bound === 0 ? this.min : this.#bound, this.max);
    this.#bound = Math.min(bound * 2, this.max);
    return random() * bound;
  }

  reset(): void {
    this.#bound = 0;
  }
}
