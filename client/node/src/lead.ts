// SPDX-License-Identifier: Apache-2.0
// The leader's side of a seat: the lead is renewed, resumed, lost, or ends with an outcome.
import type { Call } from './call.js';
import { AbortedError, StatusError } from './errors.js';
import { chunkFrame, finishFrame, renewFrame } from './frames.js';
import type { CallRequest, Lead as WireLead } from './gen/singleflight/v1/singleflight.js';
import { Leader } from './leader.js';
import type { Terms } from './leader.js';
import type { Facts, Outcome } from './result.js';
import type { Seat } from './seat.js';

const RENEWALS_PER_LEASE = 3;

export class Lead {
  readonly leader: Leader;
  /** Whose function runs; it may have left the seat. */
  call: Call | undefined;
  wantsFinish = false;

  #wantsRenew = false;
  /** When the lease was last known to be renewed, on the clock of performance.now(). */
  #renewedAt = performance.now();
  /** The next renewal; while cut off, the lease's end. */
  #timer: NodeJS.Timeout | undefined;
  /** What the server says who waits elsewhere. */
  #followers = 0;
  #latestDeadline: number | undefined;
  #knowsAudience = false;

  private constructor(
    private readonly seat: Seat,
    terms: Omit<Terms, 'group' | 'key'>,
    /** Above 0: chunks of another process came before. */
    private readonly firstSequence: bigint,
  ) {
    const { group, key } = seat.join.wire;
    this.leader = new Leader({ ...terms, group: group || 'default', key }, seat.core.settings, {
      onWritten: (data) => this.#onWritten(data),
      onFinished: (leader) => this.#onFinished(leader),
    });
  }

  static granted(seat: Seat, wire: WireLead): Lead {
    const { token, attempt } = wire;
    const terms = {
      token,
      attempt,
      lease: Number(wire.leaseMs),
      runLimit: Number(wire.runLimitMs),
    };
    return new Lead(seat, terms, wire.nextSequence);
  }

  /** The function runs here because no server could be reached. */
  static alone(seat: Seat): Lead {
    return new Lead(seat, { token: 0n, attempt: 1, lease: 0, runLimit: 0 }, 0n);
  }

  begin(call: Call): void {
    this.call = call;
    this.#renewedAt = performance.now();
    this.#armTimer(this.leader.lease / RENEWALS_PER_LEASE);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** The function wants that the next caller tries. */
  get passesOn(): boolean {
    return this.leader.passesOn && this.leader.outcome?.kind !== 'OK';
  }

  // ---------------------------------------------------------------------------------- the function

  #onWritten(data: Uint8Array): void {
    if (this.seat.isGone) return;
    const events = this.call?.ended === false ? this.call.events : undefined;
    if (events?.onChunk !== undefined) {
      this.seat.hasTold = true;
      events.onChunk(Buffer.from(data), this.leader.attempt);
    }
    this.seat.readyToLead();
  }

  #onFinished(leader: Leader): void {
    this.call?.onFunctionEnded(leader);
    this.seat.onFinished(leader);
  }

  // ---------------------------------------------------------------------------------------- leases

  #armTimer(wait: number): void {
    clearTimeout(this.#timer);
    if (this.leader.lease === 0) return;
    const rest = this.#renewedAt + wait - performance.now();
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(0, rest));
  }

  #onTimer(): void {
    if (!this.seat.answered) {
      const address = this.seat.server?.address ?? 'the server';
      const text = `the lease of ${this.leader.lease} ms ran out before the connection to`;
      this.seat.lose(new AbortedError(`${text} ${address} was back`));
      return;
    }
    this.#wantsRenew = true;
    this.#renewedAt = performance.now();
    this.#armTimer(this.leader.lease / RENEWALS_PER_LEASE);
    this.seat.readyToLead();
  }

  /** The stream broke: the lead may be taken back until the lease is over. */
  onCutOff(): void {
    this.#wantsRenew = false;
    this.#armTimer(this.leader.lease);
  }

  /** The answer to a resume: chunks up to `nextSequence` have arrived. */
  onResumed(nextSequence: bigint): void {
    this.seat.setAnswered();
    const arrived = Number(nextSequence - this.firstSequence);
    if (arrived < 0 || arrived > this.leader.outgoing.sentChunks) {
      this.seat.end(
        new StatusError('INTERNAL', 'the server resumed the lead at a chunk that was never posted'),
      );
      return;
    }
    this.leader.outgoing.rewind(arrived);
    this.wantsFinish = this.seat.state === 'FINISHING';
    this.#renewedAt = performance.now();
    this.#armTimer(this.leader.lease / RENEWALS_PER_LEASE);
    this.seat.readyToLead();
  }

  // ------------------------------------------------------------------------------- frames to send

  nextFrame(): CallRequest | undefined {
    const { outgoing } = this.leader;
    if (this.#wantsRenew) {
      this.#wantsRenew = false;
      return renewFrame(BigInt(this.seat.id));
    }
    if (this.#wantsChunk()) {
      const sequence = this.firstSequence + BigInt(outgoing.sentChunks);
      const frame = chunkFrame(BigInt(this.seat.id), outgoing.takeChunk(), sequence);
      this.leader.onSent();
      return frame;
    }
    return this.wantsFinish ? this.#finishFrame() : undefined;
  }

  hasMore(): boolean {
    return this.#wantsRenew || this.#wantsChunk() || this.wantsFinish;
  }

  // What is left of the value of a function that has ended travels with its outcome.
  #wantsChunk(): boolean {
    const { outgoing } = this.leader;
    return outgoing.unsentBytes > 0 && (!this.wantsFinish || outgoing.needsChunk);
  }

  #finishFrame(): CallRequest | undefined {
    const { outcome, outgoing, retainMs } = this.leader;
    if (outcome === undefined) return undefined;
    this.wantsFinish = false;
    const tail = outgoing.takeTail();
    this.leader.onSent();
    return finishFrame(BigInt(this.seat.id), outcome, tail, this.passesOn, retainMs);
  }

  // ------------------------------------------------------------------------------------- audience

  setFollowers(followers: number, latestDeadlineMs: bigint): void {
    this.#knowsAudience = true;
    this.#followers = followers;
    this.#latestDeadline = latestDeadlineMs === 0n ? undefined : Number(latestDeadlineMs);
    this.tellAudience();
  }

  /** The callers that merged with the leader's own wait, too. */
  tellAudience(): void {
    if (!this.seat.join.wire.audience) return;
    const merged = [...this.seat.calls].filter((call) => call !== this.call);
    if (merged.length > 0) this.#knowsAudience = true; // somebody has waited
    if (!this.#knowsAudience) return;
    const now = performance.now();
    let latest = merged.length === 0 ? 0 : Math.max(...merged.map((call) => call.deadline - now));
    if (this.#followers > 0) latest = Math.max(latest, this.#latestDeadline ?? Infinity);
    this.leader.setAudience({
      followers: this.#followers + merged.length,
      latestDeadline: latest === Infinity ? undefined : latest,
    });
  }

  // ---------------------------------------------------------------------------------------- alone

  /** The function has ended while no server could be reached. */
  finishAlone(): void {
    const outcome = this.leader.outcome;
    if (outcome === undefined) return;
    if (this.passesOn) this.seat.split(this.call);
    const callers = this.seat.calls.size;
    this.endCalls(outcome, {
      led: false,
      shared: callers > 1,
      callers,
      attempt: 1,
      token: 0n,
      retained: false,
      age: 0,
      retain: 0,
      retainRefused: false,
      failedOpen: true,
    });
  }

  /** Ends all calls of the seat with an outcome that was made here. */
  endCalls(outcome: Outcome, facts: Facts): void {
    for (const call of [...this.seat.calls])
      call.end(outcome, { ...facts, led: call === this.call });
    this.seat.leave();
  }
}
