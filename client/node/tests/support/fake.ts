// SPDX-License-Identifier: Apache-2.0
// A server that says what a test wants, of this edition of the protocol or of the one before.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { NO_FAILURE } from '../../src/errors.js';
import { OutcomeKind, SingleFlightService } from '../../src/gen/singleflight/v1/singleflight.js';
import type {
  CallRequest,
  CallResponse,
  Join,
  Lead,
  Outcome,
  Result,
  SessionRequest,
  SessionResponse,
} from '../../src/gen/singleflight/v1/singleflight.js';

type Step = NonNullable<CallResponse['step']>;
type Stream = ServerDuplexStream<SessionRequest, SessionResponse>;

/** One call of a client, and what it has sent. */
export class FakeCall {
  readonly frames: CallRequest[] = [];

  constructor(
    readonly id: bigint,
    private readonly stream: Stream,
  ) {}

  say(step: Step): void {
    this.stream.write({ calls: [{ id: this.id, step }] });
  }

  lead(lead: Partial<Lead> = {}): void {
    const { frames: _frames, ...terms } = { ...LEAD, ...lead, frames: undefined };
    this.say({ $case: 'lead', value: terms });
  }

  follow(attempt: number, leader = 'the leader'): void {
    this.say({ $case: 'follow', value: { attempt, leader, runningMs: 0n } });
  }

  renewed(id: bigint): void {
    this.say({ $case: 'renewed', value: { id, silenceMs: 0n } });
  }

  result(outcome: Partial<Outcome>, facts: Partial<Result> = {}): void {
    this.say({
      $case: 'result',
      value: { ...RESULT, outcome: { ...OUTCOME, ...outcome }, ...facts },
    });
  }

  end(code: number, message: string): void {
    this.say({ $case: 'end', value: { code, message } });
  }

  get join(): Join {
    const [first] = this.of('join');
    if (first === undefined) throw new Error('a call begins with a join');
    return first;
  }

  /** What it has sent of one kind. */
  of<C extends NonNullable<CallRequest['step']>['$case']>(
    kind: C,
  ): Extract<NonNullable<CallRequest['step']>, { $case: C }>['value'][] {
    return this.frames.flatMap(({ step }) => (step?.$case === kind ? [step.value as never] : []));
  }
}

const LEAD: Lead = {
  token: 7n,
  attempt: 1,
  leaseMs: 0n,
  runLimitMs: 0n,
  nextSequence: 0n,
  silenceMs: 0n,
  resultLimit: 0n,
};

const OUTCOME: Outcome = {
  kind: OutcomeKind.OUTCOME_KIND_OK,
  value: Buffer.alloc(0),
  ...NO_FAILURE,
};

const RESULT: Result = {
  outcome: OUTCOME,
  led: false,
  shared: false,
  callers: 1,
  attempt: 1,
  token: 7n,
  retained: false,
  ageMs: 0n,
  retainMs: 0n,
  valueBytes: 0n,
  retainRefused: false,
};

export class Fake {
  readonly calls: FakeCall[] = [];

  private constructor(
    private readonly server: Server,
    /** Hears each frame, also the join. */
    private readonly hears: (call: FakeCall, step: NonNullable<CallRequest['step']>) => void,
  ) {}

  address = '';

  static async start(
    hears: (call: FakeCall, step: NonNullable<CallRequest['step']>) => void,
  ): Promise<Fake> {
    const fake = new Fake(new Server(), hears);
    const session = (stream: Stream): void => fake.#serve(stream);
    const service = { session, do: () => undefined, forget: () => undefined };
    fake.server.addService(SingleFlightService, service);
    fake.address = await new Promise((resolve, reject) => {
      fake.server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
        if (error === null) resolve(`127.0.0.1:${port}`);
        else reject(error);
      });
    });
    return fake;
  }

  #serve(stream: Stream): void {
    const calls = new Map<bigint, FakeCall>();
    stream.on('error', () => undefined);
    stream.on('end', () => stream.end());
    stream.on('data', (request: SessionRequest) => {
      for (const frame of request.calls) this.#hear(stream, calls, frame);
    });
  }

  #hear(stream: Stream, calls: Map<bigint, FakeCall>, frame: CallRequest): void {
    let call = calls.get(frame.id);
    if (call === undefined) {
      call = new FakeCall(frame.id, stream);
      calls.set(frame.id, call);
      this.calls.push(call);
    }
    call.frames.push(frame);
    if (frame.step === undefined) return;
    this.hears(call, frame.step);
    // The usual end; who wants another one has said it by now.
    if (frame.step.$case === 'finish') call.result(frame.step.value.outcome ?? {}, { led: true });
  }

  stop(): void {
    this.server.forceShutdown();
  }
}
