// SPDX-License-Identifier: Apache-2.0
// What a client tells those who watch it, and its own log: NODE_DEBUG=singleflight.
import { debuglog } from 'node:util';
import type { StatusCode } from './errors.js';

/** One call of the program: the same object in all its events. */
export interface WatchedCall {
  readonly group: string;
  readonly key: Buffer;
}

export interface CallEvent {
  readonly call: WatchedCall;
  readonly group: string;
  readonly key: Buffer;
  /** Of the lead that it is about, from 1; 0: not known. */
  readonly attempt: number;
  /** Of this call's own lead; 0n: it has none. */
  readonly token: bigint;
}

export interface EndedEvent extends CallEvent {
  /** Since the call began, in milliseconds. */
  readonly duration: number;
  /** "alone": it failed open. */
  readonly role: 'leader' | 'follower' | 'retained' | 'alone';
  readonly status: 'OK' | StatusCode;
  /** How the function ended; "": the call has no outcome. */
  readonly outcome: 'ok' | 'error' | 'panic' | 'abandoned' | '';
  /** To how many callers the outcome went; 0: the call has none. */
  readonly callers: number;
}

/**
 * Told what becomes of calls, where the client runs: it must not block. What it throws changes
 * nothing, and is a warning of the process.
 */
export interface Observer {
  /** The call's function begins, as the leader's. */
  led?(event: CallEvent): void;
  /** Somebody else leads, here or elsewhere. */
  followed?(event: CallEvent): void;
  /** The call followed, and is made the leader: before `led`. */
  takeover?(event: CallEvent): void;
  /** No server is there: the function begins, or goes on, for this process alone. */
  failedOpen?(event: CallEvent): void;
  /** The lead is gone while the function runs, or before its outcome was confirmed. */
  lost?(event: CallEvent): void;
  /** Every call, once, last. */
  ended?(event: EndedEvent): void;
}

type Kind = keyof Observer;
export const KINDS: readonly Kind[] = [
  'led',
  'followed',
  'takeover',
  'failedOpen',
  'lost',
  'ended',
];

const debug = debuglog('singleflight');

/** @internal Tells an observer and the log. */
export class Watcher {
  constructor(private readonly observer: Observer | undefined) {}

  tell<K extends Kind>(kind: K, event: Parameters<NonNullable<Observer[K]>>[0]): void {
    if (debug.enabled) debug('%s %s', kind, describe(event));
    try {
      const hear = this.observer?.[kind] as ((told: typeof event) => void) | undefined;
      hear?.call(this.observer, event);
    } catch (error) {
      warn(`the observer's ${kind}()`, error);
    }
  }
}

/** @internal What a function of the program threw that may not throw. */
export function warn(who: string, error: unknown): void {
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.emitWarning(`${who} threw: ${what}`, 'SingleflightWarning');
}

function describe(event: CallEvent | EndedEvent): string {
  const key = JSON.stringify(event.key.toString('utf8'));
  const head = `group=${event.group} key=${key} attempt=${event.attempt} token=${event.token}`;
  if (!('role' in event)) return head;
  const { role, status, outcome, duration } = event;
  return `${head} role=${role} status=${status} outcome=${outcome} ms=${duration.toFixed(1)}`;
}
