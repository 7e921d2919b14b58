// SPDX-License-Identifier: Apache-2.0

/**
 * A map for what comes and goes all the time. It is a plain object inside: V8 links each table of a
 * Map to the one that replaces it, so that once one of them is old, everything that was ever in its
 * successors survives until a full collection.
 */
export class Table<V extends object> {
  readonly #entries = Object.create(null) as Record<string | number, V>;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: string | number): V | undefined {
    return this.#entries[key];
  }

  set(key: string | number, value: V): void {
    if (this.#entries[key] === undefined) this.#size++;
    this.#entries[key] = value;
  }

  delete(key: string | number): void {
    if (this.#entries[key] === undefined) return;
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- a Map is what it stands for
    delete this.#entries[key];
    this.#size--;
  }

  values(): V[] {
    return Object.values(this.#entries);
  }
}
