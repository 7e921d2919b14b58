// SPDX-License-Identifier: Apache-2.0
// A seat: one call on a session, for one or more equal calls of this program. It finds a server,
// joins there, follows or leads, and survives broken streams.
//
// What may be trusted in each state:
//   JOINING    nothing is known yet: it waits for a session, or for the answer to its join
//   FOLLOWING  somebody else leads; `incoming` is what has come of the attempt's value so far
//   LEADING    `lead` is set, its function runs; while `answered` is false its stream is broken,
//              and it tries to resume the lead until the lease runs out
//   FINISHING  the same, but the function has ended: its outcome is not confirmed yet
//   ALONE      no server could be reached (the lead's token is 0), or the lead's server is lost:
//              the function goes on, and its outcome is for the calls that sit here
//   GONE       it has no calls, no session and no timers any more
// A flight's calls may be gone from a seat that still leads or finishes for others.
import type { Call } from './call.js';
import type { Core } from './core.js';
import {
  AbortedError,
  CancelledError,
  statusCodeOf,
  statusError,
  UnavailableError,
} from './errors.js';
import type { StatusError } from './errors.js';
import { joinFrame, resumeFrame } from './frames.js';
import type { CallRequest, CallResponse } from './gen/singleflight/v1/singleflight.js';
import { Incoming } from './incoming.js';
import { Lead } from './lead.js';
import type { Leader } from './leader.js';
import { ANSWER_TIMEOUT_MS } from './options.js';
import type { Join } from './options.js';
import { receive } from './receive.js';
import type { Server } from './server.js';
import type { Session } from './session.js';

// On the wire every deadline is a part of the timeout later than the call's own, so that the call
// is ended here, where a lease is given back, and not by the server, which would keep the flight
// for a leader that may come back. Equal calls that come a little later take up to half of it.
export const WIRE_SLACK_MS_MIN = 1000;
export const WIRE_SLACK_DIVISOR = 4;

// A server that has answered before has so long to do so again, for a call that looks for none.
const KNOWN_LOOK_MS = 1000;

export type SeatState = 'JOINING' | 'FOLLOWING' | 'LEADING' | 'FINISHING' | 'ALONE' | 'GONE';

export class Seat {
  state: SeatState = 'JOINING';
  /** Among all seats of the client. */
  readonly number: number;
  /** Those that wait here, the oldest first. */
  readonly calls = new Set<Call>();
  /** What the server is told, on the clock of performance.now(); Infinity: none. */
  deadline = Infinity;

  // Where it is: on a server's waiting list, or on a session, or still looking.
  server: Server | undefined;
  session: Session | undefined;
  id = 0;
  /** It is on the session's list of those that have frames to send. */
  isReady = false;
  /** The server has answered the join on this session. */
  answered = false;
  /** When the last join or resume was sent, on the clock that leads are held by. */
  joinedAt = 0;

  readonly incoming = new Incoming();
  /** Live: a chunk has been told since the last restart. */
  hasTold = false;
  /** Live: what was told is void, and nobody has been told yet. */
  isVoid = false;
  lead: Lead | undefined;
  /** The attempt that is led, here or elsewhere; 0: not known. */
  ledAttempt = 0;

  /** Place of its server in the key's order. */
  #rank = 0;
  #lookTimer: NodeJS.Timeout | undefined;
  /** What it was set to. */
  #lookTime = 0;
  /** undefined: it has not begun to look. */
  #lookUntil: number | undefined;
  #lookIsOver = false;
  #wantsJoin = false;

  constructor(
    readonly core: Core,
    readonly join: Join,
  ) {
    this.number = core.onSeat(this);
  }

  get isGone(): boolean {
    return this.state === 'GONE';
  }

  firstCall(): Call | undefined {
    for (const call of this.calls) return call;
    return undefined;
  }

  add(call: Call): void {
    call.seat = this;
    this.calls.add(call);
    call.onFollowed(this.ledAttempt);
  }

  /** The first call that sits here decides the deadline of all. */
  open(call: Call): void {
    this.add(call);
    this.deadline = call.deadline + wireSlack(call);
    this.place();
  }

  /** Whether the server's patience with the seat is enough for one more call. */
  isInTime(call: Call): boolean {
    return call.deadline + wireSlack(call) / 2 <= this.deadline;
  }

  /** Moves all calls but `stays` to a seat of their own, which joins before this one sends more. */
  split(stays: Call | undefined): void {
    const others = [...this.calls].filter((call) => call !== stays);
    if (others.length === 0) return;
    const split = new Seat(this.core, this.join);
    split.deadline = this.deadline;
    for (const call of others) {
      this.calls.delete(call);
      split.add(call);
    }
    split.place();
  }

  // ------------------------------------------------------------------------ looking for a server

  /** Finds a server and joins (or resumes) there; or gives up, and may be gone after it. */
  place(): void {
    const order = this.core.orderOf(this.join.wire);
    if (order === undefined) {
      this.core.whenOrdered(() => {
        if (!this.isGone) this.place();
      });
      return;
    }
    const first = order[0];
    if (first === undefined) throw new Error('a client has at least one server');
    // A lead is known where it was granted, and nowhere else.
    const server = this.lead === undefined ? this.#find(order) : (this.server ?? first);
    if (server !== undefined) this.#enter(server);
    else this.#giveUp(first);
  }

  // The first of the key's servers that takes calls; or else one to wait for.
  #find(order: readonly Server[]): Server | undefined {
    const rest = order.slice(this.#rank).filter((server) => !server.down);
    if (this.join.connectTimeout === 0) return this.#findKnown(order, rest);
    const taking = rest.find((server) => !server.isPassedBy);
    if (taking !== undefined) return taking;
    // That all of them refuse is an answer, for who does not need one.
    if (this.join.failOpen && order.every((server) => server.down || server.refuses))
      return undefined;
    if (rest.length > 0) return rest[0];
    const runsHere = this.join.failOpen && !order.some((server) => server.isDraining);
    return runsHere || this.#lookIsOver ? undefined : order[0];
  }

  // A call that does not wait takes what is there; the others are looked at for the next one.
  #findKnown(order: readonly Server[], rest: readonly Server[]): Server | undefined {
    const known = rest.find((server) => server.isKnown);
    if (known === undefined) for (const server of order) server.probe();
    return known;
  }

  #enter(server: Server): void {
    this.server = server;
    this.answered = false;
    this.#wantsJoin = true;
    const looks = this.lead === undefined && !this.#lookIsOver;
    if (looks && this.#lookTimer === undefined) {
      this.#lookUntil ??= performance.now() + this.join.connectTimeout;
      this.#lookTime = this.#timeToLook(this.#lookUntil - performance.now());
      this.#lookTimer = setTimeout(() => this.#onLookTimer(), this.#lookTime);
    }
    server.seat(this);
  }

  // For one server; the next one has a time of its own.
  #timeToLook(left: number): number {
    if (this.join.connectTimeout === 0) return KNOWN_LOOK_MS;
    const whole = Math.min(this.join.connectTimeout, ANSWER_TIMEOUT_MS);
    return left > 0 ? Math.min(whole, Math.ceil(left)) : whole;
  }

  #stopLooking(): void {
    clearTimeout(this.#lookTimer);
    this.#lookTimer = undefined;
  }

  #onLookTimer(): void {
    this.#lookTimer = undefined;
    const server = this.server;
    this.#leavePlace();
    if (server === undefined) return;
    server.onSilence(this.#lookTime);
    this.#rank++;
    const others = this.core.orderOf(this.join.wire)?.slice(this.#rank) ?? [];
    if (others.every((other) => other.down || other.isRefusing)) {
      this.#rank = 0; // one may be back
      this.#lookIsOver = performance.now() >= (this.#lookUntil ?? 0);
    }
    if (this.#lookIsOver) this.#giveUp(server);
    else this.place();
  }

  #giveUp(tried: Server): void {
    this.#stopLooking();
    if (this.join.failOpen && !this.core.servers.some((server) => server.isDraining)) {
      this.state = 'ALONE';
      this.startLead(Lead.alone(this));
      return;
    }
    const count = this.core.servers.length - 1;
    const others = count > 0 ? ` (and ${count} other servers)` : '';
    this.end(
      new UnavailableError(
        `no server can be reached at ${tried.address}${others}: ` +
          `${tried.lastError || 'it does not answer'}. Start singleflightd there, or name its ` +
          'address in SINGLEFLIGHT_ADDRESS; or let calls fail open',
      ),
    );
  }

  /** Its server is down; the seat is off its waiting list already. */
  onServerDown(): void {
    if (this.lead === undefined) this.#stopLooking(); // the next one has a time of its own
    this.place();
  }

  /** The server has answered the join. */
  setAnswered(): void {
    if (this.answered) return;
    this.answered = true;
    this.#lookIsOver = false;
    this.#lookUntil = undefined;
    this.#rank = 0;
    this.#stopLooking();
    if (this.session !== undefined) this.session.server.onSessionUp(this.session);
  }

  /** It may not be what it was: the server is older than the option. */
  refuseOldServer(option: string): void {
    const address = this.server?.address ?? 'the server';
    const text = `the singleflightd at ${address} is too old for the option ${option}`;
    this.end(statusError('UNIMPLEMENTED', text));
  }

  /** Its session is over; the seat is off it already. `code`: the stream's status. */
  onSessionOver(code: number, text: string): void {
    if (this.isGone) return;
    if (this.core.closing) {
      this.leave();
      return;
    }
    const status = statusCodeOf(code);
    if (isFinal(status)) {
      this.end(statusError(status, finalText(status, text, this.server?.address ?? '')));
      return;
    }
    if (this.lead !== undefined) {
      this.#resume(this.lead);
      return;
    }
    this.state = 'JOINING';
    this.ledAttempt = 0;
    this.voidValue();
    this.place();
  }

  #resume(lead: Lead): void {
    if (lead.leader.lease === 0) {
      this.onLeadOver(
        new AbortedError(
          this.state === 'FINISHING'
            ? 'the connection broke before the server confirmed the outcome: it may or may not ' +
                'have reached the followers'
            : 'the lead is lost: the connection to the server broke, and there is no lease that ' +
                'would outlive it',
        ),
      );
      return;
    }
    this.answered = false;
    this.#rank = 0;
    lead.onCutOff();
    this.place();
  }

  /** The lead is over for want of a server; who asked for that goes on without one. */
  onLeadOver(error: AbortedError): void {
    const lead = this.lead;
    // A connection that has said nothing for so long takes nothing new.
    if (this.answered && this.session !== undefined) this.server?.onSilentSession(this.session);
    if (lead?.call === undefined || !this.join.failOpen) {
      this.lose(error);
      return;
    }
    this.core.stopMerging(this);
    this.#leavePlace();
    this.#stopLooking();
    lead.stop();
    lead.isCutLoose = true;
    this.state = 'ALONE';
    lead.call.onAlone();
    lead.finishAlone(); // if its function has ended
  }

  // Takes the seat off its server, which is told if it knows of it.
  #leavePlace(): void {
    this.server?.forget(this);
    const session = this.session;
    if (session === undefined) return;
    if (this.#wantsJoin) session.remove(this);
    else if (this.#holdsLease()) session.abandon(this);
    else session.cancel(this);
  }

  // A plain leave would leave the lease behind until it runs out.
  #holdsLease(): boolean {
    return this.lead !== undefined && this.answered && this.lead.leader.lease > 0;
  }

  // -------------------------------------------------------------------------------------- leading

  /** Hands the lead to the oldest call. */
  startLead(lead: Lead): void {
    this.lead = lead;
    if (this.state !== 'ALONE') this.state = 'LEADING';
    this.ledAttempt = lead.leader.attempt;
    this.voidValue();
    this.tellRestart(lead.leader.attempt, this.join.wire.caller);
    lead.begin();
  }

  /** The function has ended. */
  onFinished(leader: Leader): void {
    const lead = this.lead;
    if (lead?.leader !== leader) return;
    if (this.state === 'ALONE') {
      lead.finishAlone();
      return;
    }
    if (this.state !== 'LEADING') return;
    this.state = 'FINISHING';
    this.core.stopMerging(this);
    if (this.answered) this.session?.notReady(this); // else its join may have to be sent, to resume
    if (lead.passesOn && this.join.passesOn) this.split(lead.call); // joins before the `finish`
    lead.wantsFinish = true;
    this.readyToLead();
  }

  /** There may be something of the leader to send. */
  readyToLead(): void {
    if (this.session !== undefined && this.answered) this.session.ready(this);
  }

  /**
   * The lead is lost: its call ends with `error` when its function has ended; the others join anew
   * when it is ABORTED, or end with it as well.
   */
  lose(error: StatusError): void {
    if (error.code === 'ABORTED') this.split(this.lead?.call);
    this.end(error);
  }

  tellAudience(): void {
    this.lead?.tellAudience();
  }

  // ----------------------------------------------------------------------------------------- ends

  /** Ends every call with `error`, loses the lead if its function runs, and leaves. */
  end(error: StatusError): void {
    if (this.state === 'LEADING' || this.state === 'FINISHING') this.lead?.call?.onLost();
    this.lead?.leader.lose(error);
    for (const call of [...this.calls]) call.fail(error);
    this.leave();
  }

  /** Frees the seat, which has no calls any more. The server is told if it is on a session. */
  leave(): void {
    this.#leavePlace();
    this.#stopLooking();
    this.lead?.stop();
    this.state = 'GONE';
    this.core.onSeatGone(this);
  }

  /** One of its calls ended so. */
  onCallLeft(call: Call, error: StatusError): void {
    this.calls.delete(call);
    // The rest of an outcome is for the others, and so is a function that others wait for.
    const isWanted = this.state === 'FINISHING' || (this.state === 'LEADING' && this.#isWanted());
    if (this.calls.size > 0) this.tellAudience();
    else if (!isWanted) this.end(error);
  }

  #isWanted(): boolean {
    return this.lead?.isWanted === true;
  }

  /** The client closes. An outcome of a function that has ended still goes out. */
  close(): void {
    const error = new CancelledError('the client was closed');
    if (this.state !== 'FINISHING') this.end(error);
    else for (const call of [...this.calls]) call.fail(error);
  }

  // ---------------------------------------------------------------------------------- the network

  onFrame(frame: CallResponse): void {
    if (!this.isGone) receive(this, frame);
  }

  /** `now`: when it is sent, on the clock that leads are held by. */
  nextFrame(now: number): CallRequest | undefined {
    if (this.#wantsJoin) {
      this.#wantsJoin = false;
      this.joinedAt = now;
      // What is led from now on is not fresh for those who come later.
      if (this.join.wire.fresh) this.core.stopMerging(this);
      return this.#joinFrame();
    }
    return this.answered ? this.lead?.nextFrame(now) : undefined;
  }

  hasMore(): boolean {
    return !this.#wantsJoin && this.answered && this.lead?.hasMore() === true;
  }

  #joinFrame(): CallRequest {
    // A call that may leave has to know whether others wait for its function.
    const audience = [...this.calls].some((call) => call.mayLeave);
    const wire = audience ? { ...this.join.wire, audience } : this.join.wire;
    const id = BigInt(this.id);
    if (this.lead === undefined) return joinFrame(id, wire, this.deadline - performance.now());
    return resumeFrame(id, wire, this.lead.leader.token);
  }

  // -------------------------------------------------------------------------------- live callers

  /** What has come of the value is worth nothing any more. */
  voidValue(): void {
    this.incoming.clear();
    this.isVoid = this.isVoid || this.hasTold;
    this.hasTold = false;
  }

  /** Live calls learn that what they got is void, if it is and they do not know it. */
  tellRestart(attempt: number, leader: string): void {
    if (!this.isVoid) return;
    this.isVoid = false;
    this.firstCall()?.events.onRestart?.(attempt, leader); // live calls sit alone
  }
}

function wireSlack(call: Call): number {
  return Math.max((call.bounds.timeout ?? 0) / WIRE_SLACK_DIVISOR, WIRE_SLACK_MS_MIN);
}

// Statuses of a stream that no second try mends.
function isFinal(status: string): boolean {
  return (
    status === 'PERMISSION_DENIED' || status === 'UNIMPLEMENTED' || status === 'UNAUTHENTICATED'
  );
}

function finalText(status: string, text: string, address: string): string {
  if (status !== 'UNIMPLEMENTED') return text;
  return (
    `what listens at ${address} does not know this service: it is no singleflightd, or one ` +
    `that is older than this client (${text})`
  );
}
