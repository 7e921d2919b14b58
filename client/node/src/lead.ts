// SPDX-License-Identifier: Apache-2.0
// The leader's side of a seat: the lead is renewed, resumed, lost, or ends with an outcome.
import type { Call } from './call.js';
import { clock } from './clock.js';
import { AbortedError, CancelledError, StatusError } from './errors.js';
import { chunkFrame, finishFrame, renewFrame } from './frames.js';
import type { CallRequest, Lead as WireLead } from './gen/singleflight/v1/singleflight.js';
import { Hold } from './hold.js';
import { Leader } from './leader.js';
import type { Terms } from './leader.js';
import type { Facts, Outcome } from './result.js';
import type { Seat } from './seat.js';

export class Lead {
  readonly leader: Leader;
  /** Whose function runs; it may have left the seat. */
  call: Call | undefined;
  wantsFinish = false;
  /** The server is lost, and the function goes on without it. */
  isCutLoose = false;

  #wantsRenew = false;
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
    private readonly hold: Hold,
  ) {
    const { group, key } = seat.join.wire;
    this.leader = new Leader({ ...terms, group: group || 'default', key }, seat.core.settings, {
      whyOver: () => (!seat.join.failOpen && this.hold.isOver ? this.#whyOver() : undefined),
      onWritten: (data) => this.#onWritten(data),
      onFinished: (leader) => this.#onFinished(leader),
    });
  }

  static granted(seat: Seat, wire: WireLead): Lead {
    const { token, attempt } = wire;
    const lease = Number(wire.leaseMs);
    const isAnswered = wire.silenceMs > 0n;
    // An old server answers no renewals: it knows leases, and they begin with the lead.
    const hold = isAnswered
      ? new Hold(clock, Number(wire.silenceMs), true, seat.joinedAt)
      : new Hold(clock, lease, false, clock.now());
    const [runLimit, resultLimit] = [Number(wire.runLimitMs), Number(wire.resultLimit)];
    const terms = { token, attempt, lease, runLimit, resultLimit };
    return new Lead(seat, terms, wire.nextSequence, hold);
  }

  /** The function runs here because no server could be reached. */
  static alone(seat: Seat): Lead {
    const terms = { token: 0n, attempt: 1, lease: 0, runLimit: 0, resultLimit: 0 };
    return new Lead(seat, terms, 0n, new Hold(clock, 0, false, clock.now()));
  }

  /** Its function begins now, or when the server confirms a lead that came long after its join. */
  begin(): void {
    if (this.hold.isDoubtful) {
      this.hold.ask();
      this.#armTimer();
    } else {
      this.#start();
    }
  }

  #start(): void {
    const call = this.seat.firstCall();
    if (call === undefined) throw new Error('a seat without calls cannot lead');
    this.call = call;
    this.#armTimer();
    this.tellAudience();
    call.lead(this.leader, this.seat.state === 'ALONE');
    for (const other of this.seat.calls) if (other !== call) other.onFollowed(this.leader.attempt);
  }

  /** How long it still holds. */
  get left(): number {
    return this.hold.left;
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

  #armTimer(): void {
    clearTimeout(this.#timer);
    if (!this.hold.hasEnd || this.isCutLoose || this.seat.isGone) return;
    // The outcome is with the server: only a connection that breaks makes time count again.
    if (this.seat.state === 'FINISHING' && this.seat.answered) return;
    const wait = Math.max(0, this.hold.due - clock.now());
    this.#timer = setTimeout(() => this.#onTimer(), wait);
  }

  #onTimer(): void {
    const due = this.hold.check();
    if (due === 'LOST') {
      this.seat.onLeadOver(this.#whyOver());
      return;
    }
    if (due === 'RENEW' && this.seat.answered) {
      this.#wantsRenew = true;
      this.seat.readyToLead();
    }
    this.#armTimer();
  }

  /** The server has answered a renewal. */
  onRenewed(id: bigint, silenceMs: bigint): void {
    this.hold.onRenewed(id, Number(silenceMs));
    if (this.call === undefined && !this.hold.isOver) this.#start();
    else this.#armTimer();
  }

  #whyOver(): AbortedError {
    const { lease } = this.leader;
    const address = this.seat.server?.address ?? 'the server';
    const what = lease > 0 ? `the lease of ${lease} ms ran out` : 'the lead is lost';
    if (!this.seat.answered)
      return new AbortedError(`${what} before the connection to ${address} was back`);
    if (this.hold.isAnswered)
      return new AbortedError(
        `${what}: ${address} has not confirmed it for ${this.hold.silence} ms${this.whyPaused}`,
      );
    return new AbortedError(`${what} before it was renewed${this.whyPaused}`);
  }

  /** What a program can do about a lead that is lost because it stood still; else empty. */
  get whyPaused(): string {
    if (this.hold.paused === 0) return '';
    return (
      `. This process stood still for ${this.hold.paused} ms or more: if its event loop was ` +
      'blocked, let the function give way, or ask for a longer lease'
    );
  }

  /** The stream broke: the lead may be taken back until the lease is over. */
  onCutOff(): void {
    this.#wantsRenew = false;
    this.hold.onCutOff();
    this.#armTimer();
  }

  /** The answer to a resume: chunks up to `nextSequence` have arrived. */
  onResumed(nextSequence: bigint, sentAt: number): void {
    this.seat.setAnswered();
    const arrived = Number(nextSequence - this.firstSequence);
    if (arrived < 0 || arrived > this.leader.outgoing.sentChunks) {
      const text = 'the server resumed the lead at a chunk that this process does not have';
      this.seat.end(new StatusError('INTERNAL', text));
      return;
    }
    this.leader.outgoing.rewind(arrived);
    this.wantsFinish = this.seat.state === 'FINISHING';
    this.hold.onResumed(sentAt);
    if (this.call === undefined && !this.hold.isOver) this.#start();
    else this.#armTimer();
    this.seat.readyToLead();
  }

  // ------------------------------------------------------------------------------- frames to send

  nextFrame(now: number): CallRequest | undefined {
    const { outgoing } = this.leader;
    if (this.#wantsRenew) {
      this.#wantsRenew = false;
      return renewFrame(BigInt(this.seat.id), this.hold.onRenewal(now));
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
    const { outcome, outgoing } = this.leader;
    if (outcome === undefined) return undefined;
    this.wantsFinish = false;
    const keepsOld = this.seat.join.keepsOld && outcome.kind !== 'OK';
    const retainMs = keepsOld ? 0n : this.leader.retainMs;
    const tail = outgoing.takeTail();
    this.leader.onSent();
    return finishFrame(BigInt(this.seat.id), outcome, tail, this.passesOn, retainMs);
  }

  // ------------------------------------------------------------------------------------- audience

  /** Somebody elsewhere waits for the function that runs here. */
  get isWanted(): boolean {
    return this.call !== undefined && this.#followers > 0;
  }

  setFollowers(followers: number, latestDeadlineMs: bigint): void {
    this.#knowsAudience = true;
    this.#followers = followers;
    this.#latestDeadline = latestDeadlineMs === 0n ? undefined : Number(latestDeadlineMs);
    this.tellAudience();
    if (followers === 0 && this.seat.calls.size === 0 && this.seat.state === 'LEADING')
      this.seat.end(new CancelledError('nobody waits for the outcome any more'));
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

  /** The function has ended, and there is no server that could take its outcome. */
  finishAlone(): void {
    const { outcome, attempt, token } = this.leader;
    if (outcome === undefined) return;
    if (this.passesOn) this.seat.split(this.call);
    const callers = this.seat.calls.size;
    this.endCalls(outcome, {
      led: false,
      shared: callers > 1,
      callers,
      attempt,
      token,
      retained: false,
      age: 0,
      stale: false,
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
