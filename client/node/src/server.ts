// SPDX-License-Identifier: Apache-2.0
// One address: its channel, its sessions, and whether it can be reached.
import { Metadata, status as grpcStatus } from '@grpc/grpc-js';
import type {
  ChannelCredentials,
  ChannelOptions,
  ClientUnaryCall,
  ServiceError,
} from '@grpc/grpc-js';
import { Backoff } from './backoff.js';
import type { Core } from './core.js';
import { HealthCheckResponse_ServingStatus, HealthClient } from './gen/grpc/health/v1/health.js';
import { SingleFlightClient } from './gen/singleflight/v1/singleflight.js';
import { ANSWER_TIMEOUT_MS } from './options.js';
import type { Seat } from './seat.js';
import { Session } from './session.js';

// No server of ours sends a larger one.
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024;

const RESUME_TRIES = 8;

export class Server {
  /** It could not be reached for so long that calls pass it by. */
  down = false;
  /** It has answered, and nothing has gone wrong since. */
  isKnown = false;
  /** Nobody listened there when a connection was last tried, or the name was not found. */
  isRefusing = false;
  /** It is there, but took no joins when it was last asked. */
  isDraining = false;
  lastError = '';
  /** The session that takes new seats. */
  current: Session | undefined;

  #stub: SingleFlightClient | undefined;
  /** What its channel was made with. */
  #stubGeneration = 0;
  /** What its session shows of who calls. */
  #identity = 0;
  #probe: { stub: HealthClient; call: ClientUnaryCall } | undefined;
  readonly #sessions = new Set<Session>();
  /** Seats that wait for a session. */
  readonly #waiting = new Set<Seat>();
  readonly #backoff: Backoff;
  #retryTimer: NodeJS.Timeout | undefined;
  #retryAt = 0;
  #downTimer: NodeJS.Timeout | undefined;
  #onIdle: (() => void) | undefined;

  constructor(
    private readonly core: Core,
    readonly address: string,
  ) {
    this.#backoff = new Backoff(core.settings.backoffMin, core.settings.backoffMax);
  }

  // -------------------------------------------------------------------------- reachable or not

  /** It takes no calls before its next try; one that may go elsewhere does so. */
  get isPassedBy(): boolean {
    return this.#retryTimer !== undefined && (this.isRefusing || this.isDraining);
  }

  /** Its next try is still to come, and the last one was refused. */
  get refuses(): boolean {
    return this.#retryTimer !== undefined && this.isRefusing;
  }

  // For how long it may be silent.
  get #patience(): number {
    return Math.min(this.core.settings.connectTimeout || ANSWER_TIMEOUT_MS, ANSWER_TIMEOUT_MS);
  }

  #setFailing(): void {
    this.isKnown = false;
    if (this.#downTimer !== undefined) return;
    this.#downTimer = setTimeout(() => this.#onDownTimer(), this.#patience);
    this.#downTimer.unref(); // calls that wait keep the process alive by themselves
  }

  #setReachable(): void {
    this.down = false;
    this.isKnown = true;
    this.isRefusing = false;
    this.isDraining = false;
    this.lastError = '';
    clearTimeout(this.#downTimer);
    this.#downTimer = undefined;
    this.#backoff.reset();
  }

  // The next try comes after a random while.
  #backOff(): void {
    if (this.core.closing || this.#retryTimer !== undefined) return;
    this.#retryIn(this.#backoff.next());
    for (const seat of this.#waiting) this.#hurry(seat);
  }

  #retryIn(wait: number): void {
    clearTimeout(this.#retryTimer);
    this.#retryAt = performance.now() + wait;
    this.#retryTimer = setTimeout(() => this.#onRetryTimer(), wait);
    if (this.#waiting.size === 0) this.#retryTimer.unref();
  }

  // A leader that is to resume has several tries before its lead is over.
  #hurry(seat: Seat): void {
    if (seat.lead === undefined || this.#retryTimer === undefined) return;
    const wait = (Math.random() * seat.lead.left) / RESUME_TRIES;
    if (this.#retryAt - performance.now() > wait) this.#retryIn(wait);
  }

  #onRetryTimer(): void {
    this.#retryTimer = undefined;
    if (this.down) this.probe();
    else if (this.current === undefined && this.#waiting.size > 0) this.#openSession();
  }

  // A session that has not answered yet is given up; one that worked may be all right but slow:
  // what runs on it goes on, and what comes takes another.
  #setDown(): void {
    this.down = true;
    this.isKnown = false;
    if (this.current?.up === true) this.onSilentSession(this.current);
    else this.current?.cut();
    this.#backOff();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const seat of waiting) seat.onServerDown();
  }

  #onDownTimer(): void {
    this.#downTimer = undefined;
    const isWanted = this.#waiting.size > 0 || this.current?.isEmpty === false;
    if (isWanted) this.#setDown();
    else this.current?.cut(); // nobody has asked long enough to know
  }

  /** A join was not answered in the time that its call had for it. */
  onSilence(waited: number): void {
    if (this.down || waited < this.#patience) return;
    if (this.lastError === '') this.lastError = 'the server does not answer';
    this.#setDown();
  }

  // ---------------------------------------------------------------------------------- sessions

  /** Puts a seat on a session, at once or as soon as there is one. */
  seat(seat: Seat): void {
    // What runs on a session that shows an old certificate or token goes on there.
    if (this.#identity !== this.core.settings.security.identity) this.current?.retire();
    if (this.current !== undefined) {
      this.current.add(seat);
      return;
    }
    this.#waiting.add(seat);
    this.#hurry(seat);
    if (this.#retryTimer !== undefined) this.#retryTimer.ref();
    else if (!this.down) this.#openSession();
  }

  /** The seat does not wait any more. */
  forget(seat: Seat): void {
    this.#waiting.delete(seat);
    if (this.#waiting.size === 0) this.#retryTimer?.unref();
  }

  #openSession(): void {
    this.#identity = this.core.settings.security.identity;
    const session = new Session(this, this.stub().session(this.core.settings.security.metadata()));
    this.#sessions.add(session);
    this.current = session;
    this.#setFailing(); // until it answers
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const seat of waiting) session.add(seat);
  }

  onSessionUp(session: Session): void {
    if (session.up || session.retired) return;
    session.up = true;
    this.#setReachable();
  }

  /** It does not take joins: the server drains. */
  onSessionRefuses(session: Session, text: string): void {
    session.retire();
    this.isDraining = true;
    this.isRefusing = false;
    this.lastError = text;
    this.#setFailing();
    this.#backOff();
  }

  /** What comes takes another connection. */
  onSilentSession(session: Session): void {
    if (this.current !== session) return;
    session.retire();
    this.#dropStub();
  }

  onSessionOver(session: Session, isAnswer: boolean, text: string): void {
    this.#sessions.delete(session);
    if (isAnswer) {
      session.up = true; // it does not let us in, but it is there
      this.#setReachable();
    }
    const wasCurrent = this.current === session;
    if (wasCurrent) this.current = undefined;
    if (!session.up) this.#dropStub();
    if (this.#sessions.size === 0) this.#onIdle?.();
    if (this.core.closing || (!wasCurrent && session.up)) return;
    this.isKnown = false;
    if (!session.up) {
      if (text !== '') this.lastError = tidy(text);
      if (wasCurrent) this.#onNoAnswer(text);
      this.#setFailing();
    }
    this.#backOff(); // also after a good one: many clients may have lost the same server
  }

  #onNoAnswer(text: string): void {
    this.isRefusing = isRefusal(text);
    this.isDraining = false;
  }

  // ---------------------------------------------------------------------------------- channels

  /** The stub of the channel that is in use. */
  stub(): SingleFlightClient {
    const { generation } = this.core.settings.security;
    if (generation !== this.#stubGeneration) this.#dropStub(); // there are new certificates
    this.#stubGeneration = generation;
    this.#stub ??= new SingleFlightClient(...this.#target());
    return this.#stub;
  }

  // A new channel connects at once, however often the old one has failed; what runs on the old one
  // goes on. So the waits between two tries are ours alone.
  #dropStub(): void {
    this.#stub?.close();
    this.#stub = undefined;
  }

  #target(): [string, ChannelCredentials, ChannelOptions] {
    const { settings } = this.core;
    const secure = settings.security.channel(this.address);
    const options: ChannelOptions = {
      'grpc.keepalive_time_ms': settings.keepaliveTime,
      'grpc.keepalive_timeout_ms': settings.keepaliveTimeout,
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.initial_reconnect_backoff_ms': settings.backoffMin,
      'grpc.max_reconnect_backoff_ms': settings.backoffMax,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      ...secure.options,
      ...settings.channelOptions,
    };
    return [this.address, secure.credentials, options];
  }

  // ------------------------------------------------------------------------------------ probes

  /** Looks whether it is there, for calls that come later. */
  probe(): void {
    if (this.#probe !== undefined || this.core.closing) return;
    const stub = new HealthClient(...this.#target());
    const deadline = Date.now() + this.#patience;
    const call = stub.check({ service: '' }, new Metadata(), { deadline }, (error, response) => {
      stub.close();
      this.#probe = undefined;
      this.#onProbeDone(error, error === null ? response.status : undefined);
    });
    this.#probe = { stub, call };
  }

  #onProbeDone(error: ServiceError | null, status: HealthCheckResponse_ServingStatus | undefined) {
    if (this.core.closing) return;
    // A server without health checks that says so is there.
    const serves =
      error?.code === grpcStatus.UNIMPLEMENTED ||
      status === HealthCheckResponse_ServingStatus.SERVING;
    if (!serves) {
      this.isDraining = error === null;
      this.isRefusing = isRefusal(error?.details ?? '');
      this.lastError = tidy(error?.details ?? '') || 'the server is there, but not ready to serve';
      if (this.down) this.#backOff();
      return;
    }
    this.#setReachable();
    if (this.#waiting.size > 0) this.#openSession();
  }

  // -------------------------------------------------------------------------------------- ends

  /** Lets the sessions end once their last frames are out, but cuts them after `patience` ms. */
  async close(patience: number): Promise<void> {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#downTimer);
    this.#retryTimer = undefined;
    this.#downTimer = undefined;
    this.#probe?.call.cancel();
    for (const session of this.#sessions) session.retire();
    if (this.#sessions.size > 0) {
      const cutTimer = setTimeout(() => {
        for (const session of this.#sessions) session.cut();
      }, patience);
      await new Promise<void>((resolve) => (this.#onIdle = resolve));
      clearTimeout(cutTimer);
    }
    this.#dropStub();
  }
}

// What connecting ends with when nobody listens, or when there is no such host. grpc-js has no
// better sign of it than these words.
const REFUSALS = /ECONNREFUSED|ENOENT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL/;

function isRefusal(details: string): boolean {
  return REFUSALS.test(details) || details.startsWith('Name resolution failed');
}

/** What grpc-js says about a connection, without what it says to nobody. */
export function tidy(details: string): string {
  return details.replace(/ ?Resolution note: [^.]*\.?$/, '').replace(/\.$/, '');
}
