// SPDX-License-Identifier: Apache-2.0
// One call of a scenario: its function does what a list of actions says.
import assert from 'node:assert';
import { EventEmitter, once } from 'node:events';
import { StatusError } from '../src/index.js';
import type { CallOptions, Client, Leader, Settled } from '../src/index.js';
import { sha256, tell } from './lines.js';

const FILL_PIECE = 64 * 1024;

export interface WireCallOptions {
  group?: string;
  key_b64?: string;
  timeout_ms?: number;
  retain_ms?: number;
  retain_error_ms?: number;
  max_age_ms?: number;
  lease_ms?: number;
  run_limit_ms?: number;
  on_leader_loss?: 'PROMOTE' | 'FAIL';
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
}

export type Action =
  | { write_b64: string }
  | { fill: { bytes: number; seed: number } }
  | { wait: string }
  | { wait_lost: true }
  | { wait_audience: number }
  | { ok: true; retain_ms?: number }
  | { error: WireError }
  | { panic: string }
  | { abandon: { pass_on?: boolean } };

interface WireError {
  message?: string;
  type?: string;
  code?: number;
  details_b64?: string;
  pass_on?: boolean;
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

/** Plays the call, and tells its events. */
export async function runCall(
  client: Client,
  name: string,
  wire: WireCallOptions,
  actions: readonly Action[],
  signal: AbortSignal,
): Promise<void> {
  const key = Buffer.from(wire.key_b64 ?? '', 'base64');
  const options = { ...callOptions(wire), signal };
  const work = (leader: Leader): Promise<void> => lead(name, leader, actions);
  try {
    const live = wire.live === true ? client.live(key, work, options) : undefined;
    const settled = live?.settled ?? client.doSettled(key, work, options);
    settled.catch(() => undefined); // it is awaited only when the chunks have come
    const chunks = live === undefined ? {} : await readChunks(name, live);
    tell({ ...doneOf(name, await settled), ...chunks });
  } catch (error) {
    const code = error instanceof StatusError ? error.code : 'UNKNOWN';
    const message = error instanceof Error ? error.message : String(error);
    tell({ event: 'done', call: name, status: code, message, outcome: '' });
  }
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
    message: failure?.message ?? '',
    value_bytes: settled.value.length,
    value_sha256: sha256(settled.value),
    code: failure?.code ?? 0,
    type: failure?.type ?? '',
    has_stack: (failure?.stack ?? '') !== '',
    details_b64: failure?.details.toString('base64') ?? '',
    led: settled.led,
    shared: settled.shared,
    callers: settled.callers,
    attempt: settled.attempt,
    token: settled.token.toString(),
    retained: settled.retained,
    retain_refused: settled.retainRefused,
    failed_open: settled.failedOpen,
  };
}

// --------------------------------------------------------------------------------- the function

async function lead(name: string, leader: Leader, actions: readonly Action[]): Promise<void> {
  tell({ event: 'lead', call: name, token: leader.token.toString(), attempt: leader.attempt });
  const onLost = (): void => tell({ event: 'lost', call: name });
  if (leader.signal.aborted) onLost();
  else leader.signal.addEventListener('abort', onLost);
  try {
    for (const action of actions) await act(leader, action);
  } finally {
    leader.signal.removeEventListener('abort', onLost);
  }
}

async function act(leader: Leader, action: Action): Promise<void> {
  if ('write_b64' in action) {
    await leader.write(Buffer.from(action.write_b64, 'base64'));
  } else if ('fill' in action) {
    await fill(leader, action.fill.bytes, action.fill.seed);
  } else if ('wait' in action) {
    await signals.wait(action.wait, leader.signal);
  } else if ('wait_lost' in action) {
    if (!leader.signal.aborted) await once(leader.signal as unknown as EventTarget, 'abort');
  } else if ('wait_audience' in action) {
    while ((leader.audience?.followers ?? 0) < action.wait_audience)
      await once(leader, 'audience', { signal: leader.signal });
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
  throw new Error(error.message ?? '');
}
