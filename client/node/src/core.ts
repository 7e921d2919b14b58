// SPDX-License-Identifier: Apache-2.0
// The client: what all its parts share.
//
// Who is who, from the program down to the network:
//   call     one Do of the program
//   seat     one call on a session: the place in the flight that merged calls share
//   lead     the leader's side of a seat; `leader` is what the function sees of it
//   session  one Session stream; seats are spread over it
//   server   one address: its channel, its sessions, and whether it can be reached
import { setMaxListeners } from 'node:events';
import { status as grpcStatus } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { Backoff } from './backoff.js';
import { Call, errorOfSignal } from './call.js';
import type { CallBounds, CallEvents, WorkFunction } from './call.js';
import {
  CancelledError,
  DeadlineExceededError,
  FailedPreconditionError,
  statusCodeOf,
  statusError,
} from './errors.js';
import type { StatusError } from './errors.js';
import type { ForgetRequest, ForgetResponse } from './gen/singleflight/v1/singleflight.js';
import type { Leader } from './leader.js';
import { runningLeads, WITHIN_MAX } from './nesting.js';
import type { Nest } from './nesting.js';
import { Watcher } from './observer.js';
import type { Join, Settings } from './options.js';
import { rendezvous } from './rendezvous.js';
import type { Rendezvous } from './rendezvous.js';
import { Seat } from './seat.js';
import { Server, tidy } from './server.js';
import { Table } from './table.js';

// How long closing waits for the last frames to go out.
export const CLOSE_MS = 500;

const UNWATCHED = new Watcher(undefined);

interface Place {
  group: string;
  key: Buffer;
}

export class Core {
  readonly servers: Server[];
  closing = false;

  readonly #seats = new Table<Seat>();
  #lastSeat = 0;
  /** Calls that have an ending already, and wait for their function. */
  readonly #lingering = new Set<Call>();
  /** Seats that more calls may share, by what their calls ask for. */
  readonly #merging = new Table<Seat[]>();
  /** Leaders whose flight no call joins any more. */
  readonly #forgotten = new WeakSet<Leader>();
  readonly #watcher: Watcher;
  #order: Rendezvous | undefined;
  #ordering: Promise<void> | undefined;
  /** Ends what waits for nothing but time. */
  readonly #closed = new AbortController();
  #closeDone: Promise<void> | undefined;

  constructor(readonly settings: Settings) {
    setMaxListeners(0, this.#closed.signal); // one for each forget under way
    this.#watcher = new Watcher(settings.observer);
    this.servers = settings.addresses.map((address) => new Server(this, address));
  }

  // ---------------------------------------------------------------------------------------- calls

  /** Asks for the work. What is wrong with it is told by the call. */
  begin(asked: Join, bounds: CallBounds, events: CallEvents, work: WorkFunction | undefined): Call {
    const { own, others } = this.#findSurrounding(asked, bounds);
    // It may wait for itself over another client: only the server knows, and is asked by itself.
    const join = others ? { ...asked, mergeId: undefined } : asked;
    const watched = { group: asked.wire.group || 'default', key: asked.wire.key };
    if (!asked.keepsOld) asked.wire.traceparent = this.settings.traceparent(watched);
    const watcher = join.keepsOld ? UNWATCHED : this.#watcher; // nobody made that call
    const call = new Call(join, bounds, events, work, this.#lingering, this, watched, watcher);
    if (this.closing) call.fail(new CancelledError('the client is closed'));
    else if (bounds.signal?.aborted) call.fail(errorOfSignal(bounds.signal));
    else if (bounds.timeout === 0)
      call.leave(new DeadlineExceededError('its timeout is 0 or less'));
    else if (own) call.fail(waitsForItself(asked));
    else this.#take(call);
    return call;
  }

  // Whether a function around the call leads its key: one of this client, or of others.
  #findSurrounding(join: Join, bounds: CallBounds): { own: boolean; others: boolean } {
    if (bounds.nest === undefined) return { own: false, others: false };
    const { key, group } = join.wire;
    const leads = runningLeads(bounds.nest).filter(
      ({ leader }) => leader.key.equals(key) && leader.group === (group || 'default'),
    );
    const own = leads.some(({ client, leader }) => client === this && !this.#forgotten.has(leader));
    return { own: own || this.#closesRing(join, bounds.nest), others: leads.length > 0 };
  }

  // Whether the function that leads the key waits, over others perhaps, for one around the call.
  #closesRing(join: Join, nest: Nest): boolean {
    const leader = this.#leaderOf(join.wire);
    return leader !== undefined && this.#waitsFor(leader, nest, WITHIN_MAX);
  }

  #waitsFor(leader: Leader, nest: Nest, depth: number): boolean {
    if (runningLeads(nest).some((each) => each.leader === leader)) return true;
    if (depth === 0) return false;
    const inside = this.#seats.values().flatMap(({ calls }) => {
      return [...calls].filter((call) => call.bounds.nest?.leader === leader);
    });
    return inside.some((call) => {
      const next = this.#leaderOf(call.join.wire);
      return next !== undefined && next !== leader && this.#waitsFor(next, nest, depth - 1);
    });
  }

  #leaderOf(place: Place): Leader | undefined {
    const leaders = this.#seatsOf(place).flatMap(({ lead }) => lead?.leader ?? []);
    return leaders.find((leader) => leader.leads && !this.#forgotten.has(leader));
  }

  // Puts a call on an equal seat, or on one of its own.
  #take(call: Call): void {
    const equal = this.#findEqual(call);
    if (equal !== undefined) {
      equal.add(call);
      equal.tellAudience();
      return;
    }
    const seat = new Seat(this, call.join);
    const mergeId = call.join.mergeId;
    if (mergeId !== undefined) {
      const seats = this.#merging.get(mergeId);
      if (seats === undefined) this.#merging.set(mergeId, [seat]);
      else seats.push(seat);
    }
    seat.open(call);
  }

  #findEqual(call: Call): Seat | undefined {
    if (call.join.mergeId === undefined) return undefined;
    const seats = this.#merging.get(call.join.mergeId);
    return seats?.find((seat) => seat.isInTime(call));
  }

  /** The seat takes no more calls. */
  stopMerging(seat: Seat): void {
    const mergeId = seat.join.mergeId;
    if (mergeId === undefined) return;
    const rest = this.#merging.get(mergeId)?.filter((other) => other !== seat) ?? [];
    if (rest.length > 0) this.#merging.set(mergeId, rest);
    else this.#merging.delete(mergeId);
  }

  /** Numbers a seat, and remembers it until it is gone. */
  onSeat(seat: Seat): number {
    this.#seats.set(++this.#lastSeat, seat);
    return this.#lastSeat;
  }

  onSeatGone(seat: Seat): void {
    this.#seats.delete(seat.number);
    this.stopMerging(seat);
  }

  // -------------------------------------------------------------------------------------- servers

  /** The servers as the key prefers them; undefined: not known yet. */
  orderOf(place: Place): readonly Server[] | undefined {
    if (this.servers.length === 1) return this.servers;
    const order = this.#order?.(place.group, place.key);
    return order?.flatMap((index) => this.servers[index] ?? []);
  }

  /** Calls `then` once orderOf() knows. */
  whenOrdered(then: () => void): void {
    void this.#loadOrder().then(then);
  }

  #loadOrder(): Promise<void> {
    this.#ordering ??= rendezvous(this.settings.addresses).then((order) => {
      this.#order = order;
    });
    return this.#ordering;
  }

  // --------------------------------------------------------------------------------------- forget

  /** The next caller starts anew. `timeout`: until a server must have answered. */
  async forget(
    request: ForgetRequest,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<ForgetResponse> {
    if (this.servers.length > 1) await this.#loadOrder();
    const deadline = Date.now() + timeout;
    const backoff = new Backoff(this.settings.backoffMin, this.settings.backoffMax);
    try {
      for (;;) {
        const answer = await this.#forgetAnywhere(request, deadline, signal);
        if (!('code' in answer)) {
          if (answer.flight) this.#setForgotten(request);
          return answer;
        }
        const wait = backoff.next();
        const isLast = answer.code !== 'UNAVAILABLE' || Date.now() + wait >= deadline;
        if (isLast) throw answer;
        await this.#sleep(wait, signal);
      }
    } finally {
      this.#stopMergingKey(request); // calls that come from now on start anew
    }
  }

  // Asks the servers as the key prefers them, until one answers.
  async #forgetAnywhere(
    request: ForgetRequest,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<ForgetResponse | StatusError> {
    const servers = this.orderOf(request) ?? this.servers;
    const up = servers.filter((each) => !each.down);
    let last: StatusError | undefined;
    for (const server of up.length > 0 ? up : servers) {
      if (this.closing) throw new CancelledError('the client was closed');
      if (signal?.aborted) throw errorOfSignal(signal);
      const answer = await this.#forgetOnce(server, request, deadline, signal);
      if (!('code' in answer) || answer.code !== 'UNAVAILABLE') return answer;
      last ??= answer;
    }
    if (last === undefined) throw new Error('a client has at least one server');
    return last;
  }

  #forgetOnce(
    server: Server,
    request: ForgetRequest,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<ForgetResponse | StatusError> {
    return new Promise((resolve) => {
      const stop = (): void => call.cancel();
      const done = (error: ServiceError | null, response: ForgetResponse): void => {
        signal?.removeEventListener('abort', stop);
        this.#closed.signal.removeEventListener('abort', stop);
        resolve(error === null ? response : this.#forgetError(server, error, signal));
      };
      const metadata = this.settings.security.metadata();
      const call = server.stub().forget(request, metadata, { deadline }, done);
      if (signal !== undefined) setMaxListeners(0, signal);
      signal?.addEventListener('abort', stop);
      this.#closed.signal.addEventListener('abort', stop);
    });
  }

  #forgetError(server: Server, error: ServiceError, signal: AbortSignal | undefined): StatusError {
    if (error.code === grpcStatus.CANCELLED && this.closing)
      return new CancelledError('the client was closed');
    if (error.code === grpcStatus.CANCELLED && signal?.aborted) return errorOfSignal(signal);
    return statusError(statusCodeOf(error.code), `${server.address}: ${tidy(error.details)}`, {
      cause: error,
    });
  }

  #sleep(wait: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', wake);
        this.#closed.signal.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, wait);
      signal?.addEventListener('abort', wake);
      this.#closed.signal.addEventListener('abort', wake);
    });
  }

  #stopMergingKey(place: Place): void {
    for (const seat of this.#seatsOf(place)) this.stopMerging(seat);
  }

  #setForgotten(place: Place): void {
    for (const { lead } of this.#seatsOf(place))
      if (lead !== undefined) this.#forgotten.add(lead.leader);
  }

  #seatsOf(place: Place): Seat[] {
    const group = place.group || 'default';
    return this.#seats.values().filter(({ join: { wire } }) => {
      return wire.key.equals(place.key) && (wire.group || 'default') === group;
    });
  }

  // ---------------------------------------------------------------------------------------- close

  close(): Promise<void> {
    this.#closeDone ??= this.#close();
    return this.#closeDone;
  }

  // Calls end at once. What is left goes out in its time: leaves, and outcomes of ended functions.
  async #close(): Promise<void> {
    for (const seat of this.#seats.values()) seat.close();
    this.closing = true;
    this.#closed.abort();
    for (const call of [...this.#lingering])
      call.leave(new CancelledError('the client was closed'));
    await Promise.all(this.servers.map((server) => server.close(CLOSE_MS)));
    for (const seat of this.#seats.values()) seat.leave();
  }
}

function waitsForItself({ wire }: Join): FailedPreconditionError {
  const key = JSON.stringify(wire.key.toString('utf8'));
  const group = JSON.stringify(wire.group || 'default');
  return new FailedPreconditionError(
    'this call would wait for itself: it is made in the function that leads the key ' +
      `${key} of the group ${group}, or in one that this function waits for`,
  );
}
