// SPDX-License-Identifier: Apache-2.0
/**
 * For unit tests of programs that use the client: a server inside the test's process, which does
 * what the test says, and leaders that are made by hand. There is no daemon.
 *
 * @packageDocumentation
 */
import { Server, ServerCredentials, status as grpcStatus } from '@grpc/grpc-js';
import type { sendUnaryData, ServerDuplexStream, ServerUnaryCall } from '@grpc/grpc-js';
import { Client } from './client.js';
import { AbortedError, FunctionError } from './errors.js';
import { OutcomeKind, SingleFlightService } from './gen/singleflight/v1/singleflight.js';
import type {
  CallRequest,
  CallResponse,
  ForgetRequest,
  ForgetResponse,
  Join,
  Outcome,
  SessionRequest,
  SessionResponse,
  SingleFlightServer,
} from './gen/singleflight/v1/singleflight.js';
import { Leader } from './leader.js';
import type { ClientOptions } from './options.js';

const MIB = 1024 * 1024;
const RESULT_LIMIT = 64 * MIB;
const RUN_LIMIT_MS = 24 * 60 * 60 * 1000;

/** What a client has asked for. */
export interface AskedCall {
  readonly what: 'do' | 'forget';
  readonly group: string;
  readonly key: string;
  /** As the client sent it: times are in milliseconds, 0: not given. */
  readonly retain: number;
  readonly lease: number;
  readonly maxAge: number;
  readonly fresh: boolean;
  /** "": none. */
  readonly traceparent: string;
}

type Script = { does: 'outcome'; outcome: Outcome } | { does: 'takeover' } | { does: 'lose' };

type Step = NonNullable<CallResponse['step']>;
type Stream = ServerDuplexStream<SessionRequest, SessionResponse>;

/** A call of a client, at the server. */
interface Caller {
  stream: Stream;
  id: bigint;
  /** What came of its value. */
  chunks: Buffer[];
  flight: Flight | undefined;
}

interface Flight {
  place: string;
  join: Join;
  token: bigint;
  attempt: number;
  leader: Caller;
  followers: Caller[];
}

/**
 * A server for tests. Without a script the function of the first caller runs, and its outcome goes
 * to all callers of the key. A script holds for its key until there is another one.
 */
export class FakeServer {
  /** What clients have asked for, in order. */
  readonly calls: AskedCall[] = [];

  readonly #server = new Server();
  readonly #clients: Client[] = [];
  readonly #scripts = new Map<string, Script>();
  readonly #flights = new Map<string, Flight>();
  readonly #callers = new Map<Stream, Map<bigint, Caller>>();
  #lastToken = 0n;
  #address = '';

  private constructor() {
    const service: SingleFlightServer = {
      do: (stream) => {
        const error = { code: grpcStatus.UNIMPLEMENTED, details: 'the fake knows Session only' };
        stream.emit('error', error);
      },
      session: (stream) => this.#onSession(stream),
      forget: (call, answer) => this.#onForget(call, answer),
    };
    this.#server.addService(SingleFlightService, service);
  }

  static async start(): Promise<FakeServer> {
    const fake = new FakeServer();
    const port = await new Promise<number>((resolve, reject) => {
      const done = (error: Error | null, bound: number): void =>
        error === null ? resolve(bound) : reject(error);
      fake.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), done);
    });
    fake.#address = `127.0.0.1:${port}`;
    return fake;
  }

  get address(): string {
    return this.#address;
  }

  /** A client of this server, closed with it. */
  client(options: Omit<ClientOptions, 'addresses'> = {}): Client {
    const client = new Client({ ...options, addresses: this.#address });
    this.#clients.push(client);
    return client;
  }

  /**
   * Callers of the key follow somebody who ends so: with an Error, or with a value: bytes as they
   * are, anything else as JSON. Their functions do not run.
   */
  outcome(key: string, value: unknown, group = 'default'): void {
    this.#script(group, key, { does: 'outcome', outcome: outcomeOf(value) });
  }

  /** A caller of the key follows at first, and is then made the leader of the second attempt. */
  takeover(key: string, group = 'default'): void {
    this.#script(group, key, { does: 'takeover' });
  }

  /** A caller of the key leads, and loses the lead while its function runs. */
  lose(key: string, group = 'default'): void {
    this.#script(group, key, { does: 'lose' });
  }

  /** From now on no server is there: nobody listens, and connections are cut. */
  unavailable(): void {
    this.#server.forceShutdown();
    this.#flights.clear();
  }

  /** Closes its clients, too. */
  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
    this.#server.forceShutdown();
  }

  /** `await using fake = await FakeServer.start()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #script(group: string, key: string, script: Script): void {
    this.#scripts.set(placeOf(group, Buffer.from(key)), script);
  }

  // ------------------------------------------------------------------------------------ the wire

  #onSession(stream: Stream): void {
    const callers = new Map<bigint, Caller>();
    this.#callers.set(stream, callers);
    stream.on('data', (request: SessionRequest) => {
      for (const frame of request.calls) this.#onFrame(stream, callers, frame);
    });
    stream.on('end', () => stream.end());
    stream.on('error', () => undefined);
    stream.on('close', () => this.#callers.delete(stream));
  }

  #onFrame(stream: Stream, callers: Map<bigint, Caller>, frame: CallRequest): void {
    const step = frame.step;
    if (step?.$case === 'join') {
      const caller: Caller = { stream, id: frame.id, chunks: [], flight: undefined };
      callers.set(frame.id, caller);
      this.#onJoin(caller, step.value);
      return;
    }
    const caller = callers.get(frame.id);
    if (caller === undefined) return;
    if (step?.$case === 'chunk') caller.chunks.push(step.value.data);
    if (step?.$case === 'renew')
      tell(caller, { $case: 'renewed', value: { id: step.value.id, silenceMs: 0n } });
    if (step?.$case === 'finish') this.#onFinish(caller, step.value.outcome);
    if (step?.$case === 'cancel') this.#onCancel(caller);
  }

  #onJoin(caller: Caller, join: Join): void {
    const group = join.group || 'default';
    this.calls.push({
      what: 'do',
      group,
      key: join.key.toString('utf8'),
      retain: Number(join.retainMs),
      lease: Number(join.leaseMs),
      maxAge: Number(join.maxAgeMs),
      fresh: join.fresh,
      traceparent: join.traceparent,
    });
    const place = placeOf(group, join.key);
    const script = this.#scripts.get(place);
    const running = this.#flights.get(place);
    if (script?.does === 'outcome') {
      follow(caller, 1);
      deliver(caller, script.outcome, { led: false, callers: 2, attempt: 1, token: 1n });
    } else if (running !== undefined) {
      running.followers.push(caller);
      caller.flight = running;
      follow(caller, running.attempt);
    } else {
      if (script?.does === 'takeover') follow(caller, 1);
      this.#lead(caller, join, place, script);
    }
  }

  #lead(caller: Caller, join: Join, place: string, script: Script | undefined): void {
    const attempt = script?.does === 'takeover' ? 2 : 1;
    const flight = { place, join, token: 0n, attempt, leader: caller, followers: [] };
    caller.flight = flight;
    this.#tellLead(flight);
    if (script?.does !== 'lose') {
      this.#flights.set(place, flight);
      return;
    }
    const taken = ++this.#lastToken;
    caller.flight = undefined;
    const message = `fenced: token ${flight.token}, now ${taken} (the test took the lead)`;
    setImmediate(() => end(caller, grpcStatus.ABORTED, message));
  }

  #tellLead(flight: Flight): void {
    const { leader, attempt, join } = flight;
    flight.token = ++this.#lastToken;
    const { token } = flight;
    const value = {
      token,
      attempt,
      leaseMs: join.leaseMs,
      runLimitMs: join.runLimitMs || BigInt(RUN_LIMIT_MS),
      nextSequence: 0n,
      silenceMs: join.leaseMs || 10_000n,
      resultLimit: BigInt(RESULT_LIMIT),
    };
    tell(leader, { $case: 'lead', value });
  }

  #onFinish(caller: Caller, outcome: Outcome | undefined): void {
    const flight = caller.flight;
    if (flight?.leader !== caller || outcome === undefined) return;
    this.#flights.delete(flight.place);
    const { token, attempt } = flight;
    const facts = { callers: flight.followers.length + 1, attempt, token };
    const value = Buffer.concat([...caller.chunks, outcome.value]);
    deliver(caller, { ...outcome, value: Buffer.alloc(0) }, { ...facts, led: true }, value.length);
    for (const follower of flight.followers)
      deliver(follower, { ...outcome, value }, { ...facts, led: false });
  }

  #onCancel(caller: Caller): void {
    const flight = caller.flight;
    caller.flight = undefined;
    end(caller, grpcStatus.CANCELLED, 'cancelled by the caller');
    if (flight === undefined) return;
    if (flight.leader !== caller) {
      flight.followers = flight.followers.filter((other) => other !== caller);
      return;
    }
    const next = flight.followers.shift();
    if (next === undefined) {
      this.#flights.delete(flight.place);
      return;
    }
    flight.leader = next;
    flight.attempt++;
    this.#tellLead(flight);
  }

  #onForget(
    call: ServerUnaryCall<ForgetRequest, ForgetResponse>,
    answer: sendUnaryData<ForgetResponse>,
  ): void {
    const group = call.request.group || 'default';
    const key = call.request.key.toString('utf8');
    const nothing = { retain: 0, lease: 0, maxAge: 0, fresh: false, traceparent: '' };
    this.calls.push({ what: 'forget', group, key, ...nothing });
    const flight = this.#flights.delete(placeOf(group, call.request.key));
    answer(null, { flight, retained: false, ended: flight && call.request.end });
  }
}

function placeOf(group: string, key: Buffer): string {
  return `${group}\0${key.toString('latin1')}`;
}

// undefined is no JSON.
function jsonOf(value: unknown): string {
  return value === undefined ? 'null' : JSON.stringify(value);
}

function outcomeOf(value: unknown): Outcome {
  const outcome = {
    kind: OutcomeKind.OUTCOME_KIND_OK,
    value: Buffer.alloc(0),
    code: 0,
    message: '',
    type: '',
    stack: '',
    details: Buffer.alloc(0),
  };
  if (value instanceof Error) {
    const said = value instanceof FunctionError ? value : undefined;
    return {
      ...outcome,
      kind: OutcomeKind.OUTCOME_KIND_ERROR,
      message: value.message,
      type: said?.type ?? value.name,
      code: said?.code ?? 0,
      stack: value.stack ?? '',
    };
  }
  const bytes = value instanceof Uint8Array ? value : Buffer.from(jsonOf(value));
  return { ...outcome, value: Buffer.from(bytes) };
}

interface Told {
  led: boolean;
  callers: number;
  attempt: number;
  token: bigint;
}

function tell(caller: Caller, step: Step): void {
  if (!caller.stream.destroyed) caller.stream.write({ calls: [{ id: caller.id, step }] });
}

function follow(caller: Caller, attempt: number): void {
  tell(caller, { $case: 'follow', value: { attempt, leader: 'a test', runningMs: 0n } });
}

function deliver(caller: Caller, outcome: Outcome, told: Told, bytes = outcome.value.length): void {
  caller.flight = undefined;
  tell(caller, {
    $case: 'result',
    value: {
      ...told,
      outcome,
      shared: told.callers > 1,
      retained: false,
      ageMs: 0n,
      retainMs: 0n,
      valueBytes: BigInt(bytes),
      retainRefused: false,
    },
  });
}

function end(caller: Caller, code: number, message: string): void {
  tell(caller, { $case: 'end', value: { code, message } });
}

// -------------------------------------------------------------------------------------- leaders

/** What a leader is to say of itself. */
export interface LeaderTerms {
  key?: string | undefined;
  group?: string | undefined;
  token?: bigint | undefined;
  attempt?: number | undefined;
  /** In milliseconds; 0: none. */
  lease?: number | undefined;
}

/** A leader that a test made, to try a function alone. */
export class TestLeader extends Leader {
  constructor(terms: LeaderTerms = {}) {
    const { key = 'key', group = 'default', token = 1n, attempt = 1, lease = 0 } = terms;
    const limits = { resultLimit: RESULT_LIMIT, unsentLimit: RESULT_LIMIT };
    super(
      { group, key: Buffer.from(key), token, attempt, lease, runLimit: 0, resultLimit: 0 },
      limits,
      { whyOver: () => undefined, onWritten: () => undefined, onFinished: () => undefined },
    );
  }

  /** What the function has written. */
  get written(): Buffer {
    return this.outgoing.value();
  }

  /** Takes the lead away from it. */
  takeAway(message = 'the test took the lead'): void {
    this.lose(new AbortedError(message));
  }

  /** The function has asked that another caller tries. */
  get hasPassedOn(): boolean {
    return this.passesOn;
  }
}
