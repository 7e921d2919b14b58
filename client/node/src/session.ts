// SPDX-License-Identifier: Apache-2.0
// One Session stream: the seats of many calls, their frames gathered into few messages.
import type { ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import { clock } from './clock.js';
import { STATUS_NUMBERS } from './errors.js';
import { abandonFrame, cancelFrame, frameBytes, resumeFrame } from './frames.js';
import type {
  CallRequest,
  CallResponse,
  Join as WireJoin,
  SessionRequest,
  SessionResponse,
} from './gen/singleflight/v1/singleflight.js';
import type { Seat } from './seat.js';
import type { Server } from './server.js';
import { Table } from './table.js';

// A message is full when it has reached so much; with its last frame it stays far below 4 MiB.
const FULL_BYTES = 512 * 1024;

// An idle stream is closed, so that it does not keep the process alive.
const IDLE_MS = 1000;

/** Whoever has frames to send on a session. */
interface Sender {
  isReady: boolean;
  /** `now`: when it is sent, on the clock that leads are held by. */
  nextFrame(now: number): CallRequest | undefined;
  hasMore(): boolean;
}

type Stream = ClientDuplexStream<SessionRequest, SessionResponse>;

export class Session {
  /** It has answered. */
  up = false;
  /** It takes no more seats; when its last one has gone, it is closed. */
  retired = false;

  #lastId = 0;
  readonly #seats = new Table<Seat>();
  /**
   * Joins that were cancelled, by their id, until the server has said its last word on them: a lead
   * may have crossed the cancel, and a lease that comes with it would last although nobody leads.
   */
  readonly #cancelled = new Table<WireJoin>();
  /** Those that have frames to send, in turn. */
  #ready: Sender[] = [];
  readonly #stream: Stream;
  #sending = false;
  #flushQueued = false;
  #halfClosed = false;
  #over = false;
  #hasEnded = false;
  #status: StatusObject | undefined;
  #idleSince = performance.now();
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(
    readonly server: Server,
    stream: Stream,
  ) {
    this.#stream = stream;
    stream.on('data', (response: SessionResponse) => this.#onMessage(response));
    stream.on('error', () => undefined); // the status tells the same
    stream.on('end', () => {
      this.#hasEnded = true;
      this.#onOver();
    });
    stream.on('status', (status: StatusObject) => {
      this.#status = status;
      this.#onOver();
    });
  }

  get isEmpty(): boolean {
    return this.#seats.size === 0;
  }

  // ------------------------------------------------------------------------------------ seats

  add(seat: Seat): void {
    seat.session = this;
    seat.server = this.server;
    seat.id = ++this.#lastId;
    this.#seats.set(seat.id, seat);
    this.ready(seat);
  }

  ready(sender: Sender): void {
    if (!sender.isReady) this.#ready.push(sender);
    sender.isReady = true;
    this.#queueFlush();
  }

  /** The seat sends nothing until it is ready again. */
  notReady(seat: Seat): void {
    if (!seat.isReady) return;
    seat.isReady = false;
    this.#ready.splice(this.#ready.indexOf(seat), 1);
  }

  remove(seat: Seat): void {
    this.#seats.delete(seat.id);
    this.notReady(seat);
    seat.session = undefined;
    this.#onFewer();
  }

  /** Removes a seat that the server knows of. */
  cancel(seat: Seat): void {
    this.#cancelled.set(seat.id, seat.join.wire);
    this.#send(cancelFrame(BigInt(seat.id)));
    this.remove(seat);
  }

  /** Removes a seat that leads with a lease, which it gives back. */
  abandon(seat: Seat): void {
    this.#send(abandonFrame(BigInt(seat.id), seat.join.wire));
    this.remove(seat);
  }

  retire(): void {
    this.retired = true;
    if (this.server.current === this) this.server.current = undefined;
    this.#closeIfIdle();
  }

  /** Ends the stream; its seats learn it when it is over. */
  cut(): void {
    this.retire();
    if (!this.#over) this.#stream.cancel();
  }

  #onFewer(): void {
    if (this.#seats.size > 0) return;
    this.#closeIfIdle();
    this.#idleSince = performance.now();
    if (!this.retired && this.#idleTimer === undefined) this.#awaitIdle(IDLE_MS);
  }

  #awaitIdle(wait: number): void {
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = undefined;
      if (this.#seats.size > 0) return;
      const rest = this.#idleSince + IDLE_MS - performance.now();
      if (rest > 0) this.#awaitIdle(Math.ceil(rest));
      else this.retire();
    }, wait);
    this.#idleTimer.unref();
  }

  // The last seat of a session that retires takes it along, once its cancel is confirmed.
  #closeIfIdle(): void {
    const isWanted = this.#seats.size > 0 || this.#cancelled.size > 0;
    const isSending = this.#ready.length > 0 || this.#sending;
    if (!this.retired || isWanted || isSending || this.#halfClosed || this.#over) return;
    this.#halfClosed = true;
    this.#stream.end();
  }

  // ---------------------------------------------------------------------------------- sending

  #send(frame: CallRequest): void {
    this.ready({ isReady: false, nextFrame: () => frame, hasMore: () => false });
  }

  // What gets ready in this turn of the event loop travels together, and what gets ready while a
  // message is on its way in the next one.
  #queueFlush(): void {
    if (this.#sending || this.#flushQueued || this.#over) return;
    this.#flushQueued = true;
    setImmediate(() => {
      this.#flushQueued = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#sending || this.#halfClosed || this.#over) return;
    const calls = this.#gather();
    if (calls.length === 0) {
      this.#closeIfIdle();
      return;
    }
    this.#sending = true;
    this.#stream.write({ calls }, () => {
      this.#sending = false;
      if (this.#ready.length > 0) this.#queueFlush();
      else this.#closeIfIdle();
    });
  }

  // One frame of each that is ready, in turn, until the message is full.
  #gather(): CallRequest[] {
    const calls: CallRequest[] = [];
    const ready = this.#ready;
    const now = ready.length > 0 ? clock.now() : 0;
    let bytes = 0;
    let taken = 0;
    for (const sender of ready) {
      if (bytes >= FULL_BYTES) break;
      taken++;
      sender.isReady = false;
      const frame = sender.nextFrame(now);
      if (frame === undefined) continue;
      calls.push(frame);
      bytes += frameBytes(frame);
      if (!sender.hasMore()) continue;
      sender.isReady = true;
      ready.push(sender); // comes around again
    }
    this.#ready = ready.slice(taken);
    return calls;
  }

  // -------------------------------------------------------------------------------- receiving

  #onMessage(response: SessionResponse): void {
    for (const frame of response.calls) {
      const id = Number(frame.id);
      const seat = this.#seats.get(id);
      if (seat !== undefined) seat.onFrame(frame);
      else this.#onLateFrame(id, frame);
    }
  }

  // A frame for one that has left meanwhile.
  #onLateFrame(id: number, frame: CallResponse): void {
    if (!refuses(frame)) this.server.onSessionUp(this);
    const join = this.#cancelled.get(id);
    if (join === undefined) return;
    const step = frame.step;
    if (step?.$case === 'lead' && step.value.leaseMs > 0n) this.#giveBack(join, step.value.token);
    if (step?.$case !== 'result' && step?.$case !== 'end') return;
    this.#cancelled.delete(id);
    this.#closeIfIdle();
  }

  // Takes the lead back to abandon it; nobody waits for the answers.
  #giveBack(join: WireJoin, token: bigint): void {
    const id = BigInt(++this.#lastId);
    this.#send(resumeFrame(id, join, token));
    this.#send(abandonFrame(id, join));
  }

  // The status may overtake messages that nobody has read yet; the end does not.
  #onOver(): void {
    if (this.#status === undefined || !this.#hasEnded || this.#over) return;
    const { code, details } = this.#status;
    this.#over = true;
    this.retired = true;
    clearTimeout(this.#idleTimer);
    this.server.onSessionOver(this, isRefusal(code), details);
    const seats = this.#seats.values();
    for (const seat of seats) this.remove(seat);
    for (const seat of seats) seat.onSessionOver(code, details);
  }
}

// Who calls is not let in.
function isRefusal(code: number): boolean {
  return code === STATUS_NUMBERS.UNAUTHENTICATED || code === STATUS_NUMBERS.PERMISSION_DENIED;
}

function refuses(frame: CallResponse): boolean {
  return frame.step?.$case === 'end' && frame.step.value.code === STATUS_NUMBERS.UNAVAILABLE;
}
