// SPDX-License-Identifier: Apache-2.0
// What the tests' stories are told with: things to wait for, never a sleep.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Leader } from '../../src/index.js';

// Everything that is waited for comes soon, but the machine may be busy.
const PATIENCE_MS = 30_000;

/** A promise and its ends. */
export class Gate<T = void> {
  open!: (value: T | PromiseLike<T>) => void;
  readonly opened = new Promise<T>((resolve) => (this.open = resolve));
}

/** A function that tells its leader when it runs, and goes on when it is told to. */
export class Work {
  runs = 0;
  readonly entered = new Gate<Leader>();
  readonly goOn = new Gate<string>();

  readonly run = async (leader: Leader): Promise<string> => {
    this.runs++;
    this.entered.open(leader);
    return this.goOn.opened;
  };
}

/** Waits until `check` holds, and looks often. */
export async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await check())) {
    if (performance.now() > end) assert.fail(`never: ${what}`);
    await delay(2);
  }
}

/** Resolves when the leader has learnt that so many wait. */
export async function audienceOf(leader: Leader, followers: number): Promise<void> {
  await until(`${followers} followers`, () => leader.audience?.followers === followers);
}

/** Resolves when the leader has been told that it lost the lead, with the reason. */
export async function lossOf(leader: Leader): Promise<unknown> {
  await until('the lead is lost', () => !leader.leads);
  return leader.signal.reason;
}

/** What a promise is rejected with, of the given class. */
export async function failureOf<E extends Error>(
  promise: Promise<unknown>,
  type: new (...args: never[]) => E,
): Promise<E> {
  const error: unknown = await promise.then(
    () => assert.fail('it ended well'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof type, `${String(error)} is no ${type.name}`);
  return error;
}

let keys = 0;

/** A key that no other test uses. */
export function freshKey(): string {
  return `key ${process.pid} ${keys++}`;
}
