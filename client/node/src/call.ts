// SPDX-License-Identifier: Apache-2.0
import { AsyncResource } from 'node:async_hooks';
import { setMaxListeners } from 'node:events';
import { CancelledError, DeadlineExceededError, errorAt } from './errors.js';
import type { StatusError } from './errors.js';
import type { Leader } from './leader.js';
import { runInside } from './nesting.js';
import type { Nest } from './nesting.js';
import type { EndedEvent, WatchedCall, Watcher } from './observer.js';
import type { Join } from './options.js';
import { settle } from './result.js';
import type { Facts, Outcome, Settled } from './result.js';
import type { Seat } from './seat.js';
import type { Site } from './site.js';

/** Runs the work and gives the last bytes of the value. */
export type WorkFunction = (leader: Leader) => Promise<Uint8Array>;

/** What a live call learns while it waits; `data` is the listener's. */
export interface CallEvents {
  onFollow?(attempt: number, leader: string): void;
  onLead?(leader: Leader): void;
  onChunk?(data: Buffer, attempt: number): void;
  onRestart?(attempt: number, leader: string): void;
}

/** How long a call takes, and who may end it; and where it comes from. */
export interface CallBounds {
  timeout: number | undefined;
  signal: AbortSignal | undefined;
  site: Site;
  /** The function in which it is made. */
  nest: Nest | undefined;
}

type Ending = { settled: Settled } | { error: StatusError };

/**
 * One Do of the program. It ends once: with the outcome of the flight or with a status; when its
 * own function runs it waits for that, unless its own program or deadline takes it away.
 */
export class Call {
  /** Where it waits; undefined before it begins and after it has ended. */
  seat: Seat | undefined;
  readonly settled: Promise<Settled>;
  /** On the clock of performance.now(); Infinity: none. */
  readonly deadline: number;

  #ended = false;
  /** Known, but the function has not ended yet. */
  #pending: Ending | undefined;
  /** Its function runs. */
  #leader: Leader | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** What the program has of its own around the call is around the function, too. */
  readonly #scope: AsyncResource | undefined;
  #resolve!: (settled: Settled) => void;
  #reject!: (error: unknown) => void;
  readonly #begun = performance.now();
  /** The attempt that it has heard of as a follower; 0: none. */
  #followed = 0;
  /** The lead that its own function has had. */
  #led: Leader | undefined;

  constructor(
    readonly join: Join,
    readonly bounds: CallBounds,
    readonly events: CallEvents,
    private readonly work: WorkFunction | undefined,
    /** Where it is while it has an ending, and waits for its function. */
    private readonly lingering: Set<Call>,
    private readonly client: object,
    private readonly watched: WatchedCall,
    private readonly watcher: Watcher,
  ) {
    this.deadline = bounds.timeout === undefined ? Infinity : performance.now() + bounds.timeout;
    if (work !== undefined) this.#scope = new AsyncResource('singleflightd.Call');
    this.settled = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (bounds.timeout !== undefined && bounds.timeout > 0)
      this.#timer = setTimeout(() => this.#onTimeout(), bounds.timeout);
    if (bounds.signal === undefined) return;
    setMaxListeners(0, bounds.signal); // many calls may share one, and that is no leak
    bounds.signal.addEventListener('abort', this.#onAbort);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** It may leave before the others do. */
  get mayLeave(): boolean {
    const { timeout, signal } = this.bounds;
    return timeout !== undefined || signal !== undefined || this.join.wire.live;
  }

  /** The seat hands over the lead. */
  lead(leader: Leader, isAlone: boolean): void {
    this.#leader = leader;
    this.#led = leader;
    if (isAlone) {
      this.#tell('failedOpen', leader);
    } else {
      if (this.#followed > 0) this.#tell('takeover', leader);
      this.#tell('led', leader);
    }
    this.events.onLead?.(leader);
    void this.#run(leader);
  }

  #tell(kind: 'led' | 'takeover' | 'failedOpen' | 'lost', { attempt, token }: Leader): void {
    if (!this.#ended) this.watcher.tell(kind, { ...this.#facts(), attempt, token });
  }

  #facts(): { call: WatchedCall; group: string; key: Buffer } {
    const { group, key } = this.watched;
    return { call: this.watched, group, key };
  }

  /** Somebody else leads, here or elsewhere. */
  onFollowed(attempt: number): void {
    if (attempt === 0 || attempt === this.#followed || this.#ended) return;
    this.#followed = attempt;
    this.watcher.tell('followed', { ...this.#facts(), attempt, token: 0n });
  }

  /** The lead is gone that its function has. */
  onLost(): void {
    if (this.#led !== undefined) this.#tell('lost', this.#led);
  }

  /** Its function goes on without a server. */
  onAlone(): void {
    if (this.#led !== undefined) this.#tell('failedOpen', this.#led);
  }

  async #run(leader: Leader): Promise<void> {
    await Promise.resolve(); // the function begins in a turn of its own
    try {
      if (this.work === undefined) return leader.abandon('there is no function');
      leader.finish(await this.#work(leader, this.work));
    } catch (error) {
      leader.fail(error);
    }
  }

  #work(leader: Leader, work: WorkFunction): Promise<Uint8Array> {
    const nest = { leader, client: this.client, outer: this.bounds.nest };
    const inside = (): Promise<Uint8Array> => runInside(nest, () => work(leader));
    return this.#scope === undefined ? inside() : this.#scope.runInAsyncScope(inside);
  }

  /** The function has ended. */
  onFunctionEnded(leader: Leader): void {
    if (this.#leader !== leader) return;
    this.#leader = undefined;
    if (this.#pending !== undefined) this.#deliver(this.#pending);
  }

  /** The flight has ended for this call. */
  end(outcome: Outcome, facts: Facts): void {
    this.#end({ settled: settle(outcome, facts, this.bounds.site) });
  }

  /** The call ends without an outcome. */
  fail(error: StatusError): void {
    this.#end({ error });
  }

  /** Leaves now, whatever its function does; the function goes on for others that wait. */
  leave(error: StatusError): void {
    if (this.#ended) return;
    const seat = this.seat;
    this.seat = undefined;
    this.#deliver({ error });
    seat?.onCallLeft(this, error);
  }

  /** The program takes the call away. */
  cancel(): void {
    this.leave(new CancelledError('the call was cancelled by its own program'));
  }

  #end(ending: Ending): void {
    this.seat?.calls.delete(this);
    this.seat = undefined;
    if (this.#ended || this.#pending !== undefined) return;
    if (this.#leader === undefined) {
      this.#deliver(ending);
    } else {
      this.#pending = ending;
      this.lingering.add(this);
    }
  }

  #deliver(ending: Ending): void {
    if (!this.#ended) this.watcher.tell('ended', this.#describe(ending));
    this.#ended = true;
    clearTimeout(this.#timer);
    this.bounds.signal?.removeEventListener('abort', this.#onAbort);
    this.lingering.delete(this);
    if ('error' in ending) this.#reject(errorAt(ending.error, this.bounds.site));
    else this.#resolve(ending.settled);
  }

  #describe(ending: Ending): EndedEvent {
    const facts = { ...this.#facts(), duration: performance.now() - this.#begun };
    const token = this.#led?.token ?? 0n;
    if ('settled' in ending) {
      const { attempt, callers, kind } = ending.settled;
      const outcome = kind.toLowerCase() as EndedEvent['outcome'];
      return {
        ...facts,
        attempt,
        token,
        callers,
        role: roleOf(ending.settled),
        status: 'OK',
        outcome,
      };
    }
    const attempt = this.#led?.attempt ?? this.#followed;
    const role = this.#led === undefined ? 'follower' : 'leader';
    const status = ending.error.code;
    return { ...facts, attempt, token, callers: 0, role, status, outcome: '' };
  }

  #onTimeout(): void {
    this.leave(new DeadlineExceededError(`the timeout of ${this.bounds.timeout} ms is over`));
  }

  readonly #onAbort = (): void => {
    this.leave(errorOfSignal(this.bounds.signal));
  };
}

function roleOf({ failedOpen, led, retained }: Settled): EndedEvent['role'] {
  if (failedOpen) return 'alone';
  if (led) return 'leader';
  return retained ? 'retained' : 'follower';
}

/** What an aborted signal means: a deadline if it says so, else a cancel. */
export function errorOfSignal(signal: AbortSignal | undefined): StatusError {
  const cause: unknown = signal?.reason;
  const isTimeout = cause instanceof Error && cause.name === 'TimeoutError';
  return isTimeout
    ? new DeadlineExceededError("the time of the call's signal is over", { cause })
    : new CancelledError('the call was cancelled by its own program', { cause });
}
