// SPDX-License-Identifier: Apache-2.0
// How long a lead is held: it counts from the sending of the last renewal that was answered (before
// that, from the sending of the join or resume), by a clock that goes on while everything sleeps.
//
// A leader that runs and gets no answer has lost the lead when that time is over. One that finds
// that it did not run asks first: the clock says "lost" meanwhile, but the lead may hold again.
import type { Clock } from './clock.js';

export const RENEWALS_PER_HOLD = 3;

/** How long one that was paused waits for the server's answer, at most. */
export const ASK_MS_MAX = 5000;

/**
 * A function is told so soon after the end. A timer that is later shows that nothing ran.
 */
export const LOST_TOLD_WITHIN_MS = 100;
// Nor had the renewals the time to be answered when one of them is late by such a part.
const LATE_DIVISOR = 6;
// An answer may have come already, and only wait to be read.
const GRACE_MS = 20;

/** What is to be done now. */
export type Due = 'RENEW' | 'WAIT' | 'LOST';

export class Hold {
  /** When the next check is due. */
  due: number;
  /** For how long the process did not run, since the lead was last confirmed. */
  paused = 0;

  #silence: number;
  #renewedAt: number;
  #askUntil: number | undefined;
  #hadGrace = false;
  #lastId = 0n;
  /** Renewals without an answer, the oldest first. */
  #unanswered: { id: bigint; sentAt: number }[] = [];

  constructor(
    private readonly clock: Clock,
    /** For so long the lead holds without an answer; 0: until the connection breaks. */
    private readonly agreed: number,
    /** Else the sending of a renewal counts: an old server does not answer. */
    readonly isAnswered: boolean,
    private heldFrom: number,
  ) {
    this.#silence = agreed;
    this.#renewedAt = heldFrom;
    this.due = this.#next(clock.now());
  }

  get hasEnd(): boolean {
    return this.#silence > 0;
  }

  get silence(): number {
    return this.#silence;
  }

  get #end(): number {
    return this.hasEnd ? this.heldFrom + this.#silence : Infinity;
  }

  /** How much time is left. */
  get left(): number {
    return Math.max(0, this.#end - this.clock.now());
  }

  /** By the clock, at this moment. */
  get isOver(): boolean {
    return this.hasEnd && this.clock.now() >= this.#end;
  }

  /** Over, or so near its end that an answer may not come in time. */
  get isDoubtful(): boolean {
    return this.isOver || (this.isAnswered && this.left < this.#silence / RENEWALS_PER_HOLD);
  }

  /** Looks at the clock because it is time to. */
  check(): Due {
    const now = this.clock.now();
    const late = now - this.due;
    const isOver = now >= this.#end;
    if (
      late >
      (isOver ? LOST_TOLD_WITHIN_MS : Math.max(LOST_TOLD_WITHIN_MS, this.#silence / LATE_DIVISOR))
    ) {
      this.paused = Math.max(this.paused, Math.round(late));
      this.#askUntil = undefined; // the server had no chance to be heard
    }
    if (isOver) return this.#checkOver(now);
    const wants = now >= this.#renewedAt + this.#silence / RENEWALS_PER_HOLD;
    if (wants) this.#renewedAt = now;
    this.due = this.#next(now);
    return wants ? 'RENEW' : 'WAIT';
  }

  #checkOver(now: number): Due {
    if (this.#askUntil === undefined && this.paused > 0 && this.isAnswered) this.ask();
    if (this.#askUntil !== undefined) {
      if (now >= this.#askUntil) return 'LOST';
      this.due = Math.min(now + this.#silence / RENEWALS_PER_HOLD, this.#askUntil);
      return 'RENEW';
    }
    if (this.#hadGrace) return 'LOST';
    this.#hadGrace = true;
    this.due = now + GRACE_MS;
    return 'WAIT';
  }

  /** It is over by the clock, but the server may say otherwise: it has some time for that. */
  ask(): void {
    const now = this.clock.now();
    this.#askUntil = now + Math.min(this.#silence, ASK_MS_MAX);
    this.due = now;
  }

  /** A renewal goes out: the id that it has. */
  onRenewal(now: number): bigint {
    this.#renewedAt = now;
    if (!this.isAnswered) {
      this.heldFrom = now;
      return 0n;
    }
    this.#unanswered.push({ id: ++this.#lastId, sentAt: now });
    return this.#lastId;
  }

  /** The server has answered it, and says what holds from now on; 0: as agreed. */
  onRenewed(id: bigint, silence: number): void {
    const renewal = this.#unanswered.find((each) => each.id === id);
    if (renewal === undefined) return;
    this.#unanswered = this.#unanswered.filter((each) => each.id > id);
    this.#silence = silence > 0 ? silence : this.agreed;
    this.#onConfirmed(renewal.sentAt);
  }

  /** The server has confirmed the lead with the answer to what was sent then. */
  onResumed(sentAt: number): void {
    this.#renewedAt = sentAt;
    this.#onConfirmed(sentAt);
    this.due = this.#next(this.clock.now());
  }

  /** What was sent on a broken connection is not answered any more. */
  onCutOff(): void {
    this.#unanswered = [];
  }

  #onConfirmed(sentAt: number): void {
    this.heldFrom = Math.max(this.heldFrom, sentAt);
    if (this.isOver) return;
    this.paused = 0;
    this.#askUntil = undefined;
    this.#hadGrace = false;
  }

  #next(now: number): number {
    const renewal = this.#renewedAt + this.#silence / RENEWALS_PER_HOLD;
    return Math.max(now, Math.min(renewal, this.#end));
  }
}
