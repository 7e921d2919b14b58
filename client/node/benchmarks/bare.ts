// SPDX-License-Identifier: Apache-2.0
// One Session stream with nothing around it: every frame is a message.
import { credentials } from '@grpc/grpc-js';
import {
  LeaderLoss,
  OutcomeKind,
  Role,
  SingleFlightClient,
} from '../src/gen/singleflight/v1/singleflight.js';
import type {
  CallRequest,
  CallResponse,
  Join,
  Outcome,
  SessionResponse,
} from '../src/gen/singleflight/v1/singleflight.js';

const NOTHING = Buffer.alloc(0);

const JOIN: Omit<Join, 'key'> = {
  group: 'bench',
  role: Role.ROLE_ANY,
  live: false,
  audience: false,
  retainMs: 0n,
  retainErrorMs: 0n,
  maxAgeMs: 0n,
  leaseMs: 0n,
  runLimitMs: 0n,
  onLeaderLoss: LeaderLoss.LEADER_LOSS_PROMOTE,
  maxAttempts: 0,
  fingerprint: NOTHING,
  resumeToken: 0n,
  caller: 'bare',
  detach: true,
  retainFromLead: false,
  fresh: false,
  within: [],
  traceparent: '',
};

type Listener = (frame: CallResponse) => void;

export class Bare {
  readonly #stub: SingleFlightClient;
  readonly #stream: ReturnType<SingleFlightClient['session']>;
  readonly #listeners = new Map<bigint, Listener>();
  #lastId = 0n;

  constructor(address: string) {
    this.#stub = new SingleFlightClient(address, credentials.createInsecure());
    this.#stream = this.#stub.session();
    this.#stream.on('error', () => undefined);
    this.#stream.on('data', (response: SessionResponse) => {
      for (const frame of response.calls) this.#listeners.get(frame.id)?.(frame);
    });
  }

  close(): void {
    this.#stream.cancel();
    this.#stub.close();
  }

  /** Joins, is told to lead, finishes with `value`, and gets the result. */
  async flight(key: string, value: Buffer): Promise<void> {
    const id = ++this.#lastId;
    const join: Join = { ...JOIN, key: Buffer.from(key) };
    await this.#ask({ id, step: { $case: 'join', value: join }, timeoutMs: 0n }, 'lead');
    const outcome: Outcome = {
      kind: OutcomeKind.OUTCOME_KIND_OK,
      value,
      code: 0,
      message: '',
      type: '',
      stack: '',
      details: NOTHING,
    };
    const finish = { outcome, retention: undefined, passOn: false };
    await this.#ask({ id, step: { $case: 'finish', value: finish }, timeoutMs: 0n }, 'result');
    this.#listeners.delete(id);
  }

  #ask(frame: CallRequest, answer: 'lead' | 'result'): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#listeners.set(frame.id, ({ step }) => {
        if (step?.$case === answer) resolve();
        else reject(new Error(`${step?.$case ?? 'nothing'} came instead of ${answer}`));
      });
      this.#stream.write({ calls: [frame] });
    });
  }
}
