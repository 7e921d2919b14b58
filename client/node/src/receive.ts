// SPDX-License-Identifier: Apache-2.0
// What the server says to a seat.
import {
  AbortedError,
  ResourceExhaustedError,
  STATUS_NUMBERS,
  StatusError,
  statusCodeOf,
  statusError,
} from './errors.js';
import { readOutcome } from './frames.js';
import { Role } from './gen/singleflight/v1/singleflight.js';
import type {
  CallResponse,
  Chunk,
  End,
  Follow,
  Lead as WireLead,
  Outcome as WireOutcome,
  Restart,
  Result as WireResult,
} from './gen/singleflight/v1/singleflight.js';
import { Lead } from './lead.js';
import type { Facts, Outcome } from './result.js';
import type { Seat } from './seat.js';

/** A frame of the server for this seat, which may be gone after it. */
export function receive(seat: Seat, frame: CallResponse): void {
  const step = frame.step;
  switch (step?.$case) {
    case 'lead':
      onLead(seat, step.value);
      return;
    case 'follow':
      onFollow(seat, step.value);
      return;
    case 'chunk':
      onChunk(seat, step.value);
      return;
    case 'restart':
      onRestart(seat, step.value);
      return;
    case 'audience':
      seat.lead?.setFollowers(step.value.followers, step.value.latestDeadlineMs);
      return;
    case 'renewed':
      if (seat.answered) seat.lead?.onRenewed(step.value.id, step.value.silenceMs);
      return;
    case 'result':
      onResult(seat, step.value);
      return;
    case 'end':
      onEnd(seat, step.value);
      return;
    case undefined:
      return; // a step of a later server
  }
}

function onLead(seat: Seat, wire: WireLead): void {
  if (seat.join.wire.role === Role.ROLE_FOLLOW_ONLY) {
    seat.end(internal('the server told one to lead that only follows'));
    return;
  }
  if (seat.lead === undefined) {
    seat.setAnswered();
    seat.startLead(Lead.granted(seat, wire));
    return;
  }
  if (seat.answered) return; // it leads already
  if (wire.token === seat.lead.leader.token) seat.lead.onResumed(wire.nextSequence, seat.joinedAt);
  else seat.end(internal('the server resumed another lead'));
}

function onFollow(seat: Seat, wire: Follow): void {
  if (seat.state !== 'JOINING') return;
  seat.setAnswered();
  // A fresh caller gets a flight that nobody leads yet: the next one, or one that is to be led.
  if (seat.join.wire.fresh && wire.attempt > 0 && (wire.leader !== '' || wire.runningMs > 0n)) {
    seat.refuseOldServer('fresh');
    return;
  }
  seat.state = 'FOLLOWING';
  seat.tellRestart(wire.attempt, wire.leader);
  seat.ledAttempt = wire.attempt;
  for (const call of seat.calls) {
    call.onFollowed(wire.attempt);
    call.events.onFollow?.(wire.attempt, wire.leader);
  }
}

function onChunk(seat: Seat, chunk: Chunk): void {
  if (seat.lead !== undefined) return;
  seat.setAnswered();
  seat.tellRestart(chunk.attempt, '');
  if (chunk.sequence !== seat.incoming.nextSequence) {
    seat.end(internal('a chunk of the value is missing'));
    return;
  }
  seat.incoming.nextSequence++;
  takeBytes(seat, chunk.data, chunk.attempt);
}

function onRestart(seat: Seat, restart: Restart): void {
  if (seat.lead !== undefined) return;
  seat.ledAttempt = restart.attempt;
  for (const call of seat.calls) call.onFollowed(restart.attempt);
  seat.voidValue();
  seat.isVoid = seat.join.wire.live;
  seat.tellRestart(restart.attempt, restart.leader);
}

// False: the seat is gone.
function takeBytes(seat: Seat, bytes: Buffer, attempt: number): boolean {
  if (bytes.length === 0) return true;
  const limit = seat.core.settings.resultLimit;
  if (seat.incoming.bytes + bytes.length > limit) {
    seat.end(new ResourceExhaustedError(`the value is larger than resultLimit, which is ${limit}`));
    return false;
  }
  seat.incoming.add(bytes);
  if (seat.join.wire.live) {
    seat.hasTold = true;
    seat.firstCall()?.events.onChunk?.(bytes, attempt); // live calls sit alone
  }
  return true;
}

function onResult(seat: Seat, result: WireResult): void {
  const session = seat.session;
  if (session !== undefined) {
    session.server.onSessionUp(session);
    session.remove(seat);
  }
  // The server does not send the leader's own value back.
  const own = seat.state === 'FINISHING' && result.led ? seat.lead?.leader.outcome : undefined;
  if (own !== undefined && isOutcome(own, result.outcome)) {
    endAll(seat, own, result);
    return;
  }
  if (seat.join.wire.fresh && result.retained && !result.led) {
    seat.refuseOldServer('fresh');
    return;
  }
  if (result.outcome === undefined) {
    seat.end(internal('the server sent a result without an outcome'));
    return;
  }
  seat.tellRestart(result.attempt, '');
  if (!takeBytes(seat, result.outcome.value, result.attempt)) return;
  if (!result.led && result.valueBytes !== BigInt(seat.incoming.bytes)) {
    const text = `${seat.incoming.bytes} bytes of a value of ${result.valueBytes} have come`;
    seat.end(internal(text));
    return;
  }
  seat.lead?.call?.onLost();
  seat.lead?.leader.lose(new AbortedError(whyEnded(result.outcome)));
  endAll(seat, readOutcome(result.outcome, seat.incoming.value()), result);
}

// Not when the server ended the flight in another way: a limit was met, or a loss is held.
function isOutcome(own: Outcome, told: WireOutcome | undefined): boolean {
  if (told === undefined) return true;
  const { kind, failure } = readOutcome(told, own.value);
  return kind === own.kind && (failure?.type ?? '') === (own.failure?.type ?? '');
}

// Ends all calls with one outcome; the merged ones count as callers of their own.
function endAll(seat: Seat, outcome: Outcome, result: WireResult): void {
  const merged = result.retained ? 0 : Math.max(0, seat.calls.size - 1);
  const leading = seat.lead === undefined ? seat.firstCall() : seat.lead.call;
  const facts: Facts = {
    led: false,
    shared: result.shared || merged > 0,
    callers: result.callers + merged,
    attempt: result.attempt,
    token: result.token,
    retained: result.retained,
    age: Number(result.ageMs),
    stale: false,
    retain: Number(result.retainMs),
    retainRefused: result.retainRefused,
    failedOpen: false,
  };
  for (const call of [...seat.calls])
    call.end(outcome, { ...facts, led: result.led && call === leading });
  seat.leave();
}

function onEnd(seat: Seat, end: End): void {
  const session = seat.session;
  if (session === undefined) return;
  const { server } = session;
  const wasAnswered = seat.answered;
  session.remove(seat);
  if (end.code === STATUS_NUMBERS.UNAVAILABLE) {
    // Draining, or its coordinator is away: as if the stream had broken.
    if (wasAnswered) session.retire();
    else server.onSessionRefuses(session, end.message);
    seat.onSessionOver(end.code, end.message);
    return;
  }
  server.onSessionUp(session);
  const status = statusCodeOf(end.code);
  if (status === 'UNAUTHENTICATED') session.retire(); // another one may show a newer token
  const pause = status === 'ABORTED' ? (seat.lead?.whyPaused ?? '') : '';
  const error = statusError(status, `${end.message}${pause}`);
  if (seat.lead !== undefined) seat.lose(error);
  else seat.end(error);
}

// What a leader hears that has not ended the flight itself.
function whyEnded({ message }: WireOutcome): string {
  return `the flight has ended without this leader${message === '' ? '' : `: ${message}`}`;
}

function internal(text: string): StatusError {
  return new StatusError('INTERNAL', text);
}
