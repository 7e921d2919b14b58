// SPDX-License-Identifier: Apache-2.0
// One call of a scenario: its function does what a list of actions says.
import assert from 'node:assert';
import { EventEmitter, once } from 'node:events';
import { CodecError, MisuseError, StatusError } from '../src/index.js';
import type { CallOptions, Client, DoOptions, Leader, Settled } from '../src/index.js';
import { sha256, tell } from './lines.js';

const FILL_PIECE = 64 * 1024;
const STACK_MAX = 16 * 1024;

export interface WireCallOptions {
  group?: string;
  key_b64?: string;
  timeout_ms?: number;
  retain_ms?: number;
  retain_error_ms?: number;
  max_age_ms?: number;
  lease_ms?: number;
  run_limit_ms?: number;
  on_leader_loss?: 'PROMOTE' | 'FAIL' | 'HOLD';
  max_attempts?: number;
  role?: 'ANY' | 'LEAD_ONLY' | 'FOLLOW_ONLY';
  live?: boolean;
  audience?: boolean;
  fingerprint_b64?: string;
  caller?: string;
  resume_token?: string | number;
  connect_timeout_ms?: number;
  fail_open?: boolean;
  local_merge?: boolean;
  fresh?: boolean;
  retain_from_lead?: boolean;
  stale_ms?: number;
  decode?: 'fail';
  encode?: 'fail';
  unknown_option?: string;
}

const OPTIONS =
  'group key_b64 timeout_ms retain_ms retain_error_ms max_age_ms lease_ms run_limit_ms ' +
  'on_leader_loss max_attempts role live audience fingerprint_b64 caller resume_token ' +
  'connect_timeout_ms fail_open local_merge fresh retain_from_lead stale_ms decode encode ' +
  'unknown_option';
const ACTIONS =
  'write_b64 fill wait wait_lost wait_audience ok error panic abandon block_ms ask_lost do_inside';

export type Action =
  | { write_b64: string }
  | { fill: { bytes: number; seed: number } }
  | { wait: string }
  | { wait_lost: true }
  | { wait_audience: number }
  | { ok: true; retain_ms?: number }
  | { error: WireError }
  | { panic: string }
  | { abandon: { pass_on?: boolean } }
  | { block_ms: number }
  | { ask_lost: true }
  | { do_inside: { call: string; options?: WireCallOptions; function?: Action[] | null } };

interface WireError {
  message?: string;
  type?: string;
  code?: number;
  details_b64?: string;
  pass_on?: boolean;
  cause?: string;
}

/** Names that were called, and those who wait for one. */
class Signals extends EventEmitter {
  readonly #sent = new Set<string>();

  send(name: string): void {
    this.#sent.add(name);
    this.emit(`sent ${name}`);
  }

  async wait(name: string, signal: AbortSignal): Promise<void> {
    if (!this.#sent.has(name)) await once(this, `sent ${name}`, { signal });
  }
}

export const signals = new Signals().setMaxListeners(0);

/** Plays the call, and tells its events. `actions`: null if the program passes no function. */
export async function runCall(
  client: Client,
  name: string,
  wire: WireCallOptions,
  actions: readonly Action[] | null,
  signal: AbortSignal,
): Promise<void> {
  const unknown = unknownWord(wire, actions ?? []);
  if (unknown !== undefined) {
    tell({ event: 'error', call: name, message: `unknown ${unknown}` });
    return;
  }
  const key = Buffer.from(wire.key_b64 ?? '', 'base64');
  const options = { ...callOptions(wire), signal };
  const work = actions === null ? null : (leader: Leader) => lead(client, name, leader, actions);
  try {
    if (wire.decode !== undefined || wire.encode !== undefined) {
      await client.do(key, work, { ...options, codec: failingCodec(wire) });
      throw new Error('the codec does not fail');
    }
    const live = wire.live === true ? client.live(key, work, options) : undefined;
    const settled = live?.settled ?? client.doSettled(key, work, options);
    settled.catch(() => undefined); // it is awaited only when the chunks have come
    const chunks = live === undefined ? {} : await readChunks(name, live);
    tell({ ...doneOf(name, await settled), ...chunks });
  } catch (error) {
    tell({ event: 'done', call: name, ...failureOf(error) });
  }
}

function unknownWord(wire: object, actions: readonly Action[]): string | undefined {
  const option = Object.keys(wire).find((each) => !OPTIONS.split(' ').includes(each));
  if (option !== undefined) return `option ${option}`;
  const words = actions.map((action) => Object.keys(action)[0] ?? '');
  const action = words.find((word) => !ACTIONS.split(' ').includes(word));
  return action === undefined ? undefined : `action ${action}`;
}

function failureOf(error: unknown): object {
  const message = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error ? (error.stack ?? '').slice(0, STACK_MAX) : '';
  if (error instanceof CodecError) {
    const outcome = error.operation === 'encode' ? 'ERROR' : '';
    return { status: 'OK', message, outcome, error_class: error.operation, stack };
  }
  const status = error instanceof StatusError ? error.code : 'UNKNOWN';
  const error_class = error instanceof MisuseError ? 'misuse' : 'status';
  return { status, message, outcome: '', error_class, stack };
}

// Values are bytes; one way, the other, or both fail.
function failingCodec(wire: WireCallOptions): DoOptions<Buffer | undefined>['codec'] {
  const pass = (bytes: Buffer | undefined): Buffer => bytes ?? Buffer.alloc(0);
  const fail = (): never => {
    throw new Error('the codec of this call fails');
  };
  return {
    encode: wire.encode === 'fail' ? fail : pass,
    decode: wire.decode === 'fail' ? fail : pass,
  };
}

function callOptions(wire: WireCallOptions): CallOptions {
  return {
    group: wire.group,
    timeout: wire.timeout_ms,
    retain: wire.retain_ms,
    retainError: wire.retain_error_ms,
    maxAge: wire.max_age_ms,
    lease: wire.lease_ms,
    runLimit: wire.run_limit_ms,
    onLeaderLoss: wire.on_leader_loss,
    maxAttempts: wire.max_attempts,
    role: wire.role,
    audience: wire.audience,
    fingerprint:
      wire.fingerprint_b64 === undefined ? undefined : Buffer.from(wire.fingerprint_b64, 'base64'),
    caller: wire.caller,
    resumeToken: wire.resume_token === undefined ? undefined : BigInt(wire.resume_token),
    connectTimeout: wire.connect_timeout_ms,
    failOpen: wire.fail_open,
    localMerge: wire.local_merge,
    fresh: wire.fresh,
    retainFromLead: wire.retain_from_lead,
    stale: wire.stale_ms,
    ...(wire.unknown_option === undefined ? {} : { [wire.unknown_option]: 1 }),
  };
}

async function readChunks(name: string, live: ReturnType<Client['live']>): Promise<object> {
  let chunks: Buffer[] = [];
  try {
    for await (const event of live) {
      if (event.type === 'chunk') {
        chunks.push(event.data);
        tell({ event: 'chunk', call: name, bytes: event.data.length });
      } else {
        chunks = [];
        tell({ event: 'restart', call: name, attempt: event.attempt });
      }
    }
  } catch {
    // The outcome or the status tells the same.
  }
  const bytes = Buffer.concat(chunks);
  return { chunks_bytes: bytes.length, chunks_sha256: sha256(bytes) };
}

function doneOf(name: string, settled: Settled): object {
  const { failure } = settled;
  return {
    event: 'done',
    call: name,
    status: 'OK',
    outcome: settled.kind,
    error_class: errorClassOf(settled),
    message: failure?.message ?? '',
    value_bytes: settled.value.length,
    value_sha256: sha256(settled.value),
    code: failure?.code ?? 0,
    type: failure?.type ?? '',
    has_stack: (failure?.stack ?? '') !== '',
    stack: (failure?.stack ?? '').slice(0, STACK_MAX),
    details_b64: failure?.details.toString('base64') ?? '',
    led: settled.led,
    shared: settled.shared,
    callers: settled.callers,
    attempt: settled.attempt,
    token: settled.token.toString(),
    retained: settled.retained,
    ...(settled.retained ? { age_ms: settled.age } : {}),
    stale: settled.stale,
    retain_refused: settled.retainRefused,
    failed_open: settled.failedOpen,
  };
}

function errorClassOf(settled: Settled): string {
  if (settled.kind === 'OK') return '';
  return settled.error instanceof CodecError ? settled.error.operation : 'function';
}

// --------------------------------------------------------------------------------- the function

// What it returns is the end of the value: nothing.
async function lead(
  client: Client,
  name: string,
  leader: Leader,
  actions: readonly Action[],
): Promise<Buffer> {
  tell({ event: 'lead', call: name, token: leader.token.toString(), attempt: leader.attempt });
  // What it is told, and not what it would hear if it asked the clock.
  const told = new AbortController();
  const onLost = (): void => {
    tell({ event: 'lost', call: name });
    told.abort();
  };
  if (leader.signal.aborted) onLost();
  else leader.signal.addEventListener('abort', onLost);
  try {
    for (const action of actions) {
      if ('do_inside' in action) await doInside(client, action.do_inside);
      else if ('ask_lost' in action) tell({ event: 'asked', call: name, lost: leader.lost });
      else await act(leader, action, told.signal);
    }
    return Buffer.alloc(0);
  } finally {
    leader.signal.removeEventListener('abort', onLost);
  }
}

async function doInside(
  client: Client,
  inside: { call: string; options?: WireCallOptions; function?: Action[] | null },
): Promise<void> {
  const actions = inside.function === undefined ? [] : inside.function;
  const { signal } = new AbortController();
  await runCall(client, inside.call, inside.options ?? {}, actions, signal);
}

type PlainAction = Exclude<Action, { do_inside: object } | { ask_lost: true }>;

async function act(leader: Leader, action: PlainAction, told: AbortSignal): Promise<void> {
  if ('write_b64' in action) {
    await leader.write(Buffer.from(action.write_b64, 'base64'));
  } else if ('fill' in action) {
    await fill(leader, action.fill.bytes, action.fill.seed);
  } else if ('wait' in action) {
    await signals.wait(action.wait, told);
  } else if ('wait_lost' in action) {
    if (!told.aborted) await once(told as unknown as EventTarget, 'abort');
  } else if ('wait_audience' in action) {
    while ((leader.audience?.followers ?? 0) < action.wait_audience)
      await once(leader, 'audience', { signal: told });
  } else if ('block_ms' in action) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, action.block_ms);
  } else if ('ok' in action) {
    if (action.retain_ms !== undefined) leader.setRetain(action.retain_ms);
  } else if ('error' in action) {
    fail(leader, action.error);
  } else if ('panic' in action) {
    assert.fail(action.panic);
  } else {
    if (action.abandon.pass_on === true) leader.passOn();
    leader.abandon();
  }
}

async function fill(leader: Leader, bytes: number, seed: number): Promise<void> {
  for (let at = 0; at < bytes; at += FILL_PIECE) {
    const piece = Buffer.alloc(Math.min(FILL_PIECE, bytes - at));
    for (let i = 0; i < piece.length; i++)
      piece[i] = (seed + (at + i) * 31 + ((at + i) >> 8) * 17) & 0xff;
    await leader.write(piece);
  }
}

function fail(leader: Leader, error: WireError): never {
  if (error.pass_on === true) leader.passOn();
  const { type, code } = error;
  leader.setError({
    ...(type === undefined ? {} : { type }),
    ...(code === undefined ? {} : { code }),
    ...(error.details_b64 === undefined
      ? {}
      : { details: Buffer.from(error.details_b64, 'base64') }),
  });
  const cause = error.cause === undefined ? undefined : { cause: new Error(error.cause) };
  throw new Error(error.message ?? '', cause);
}
