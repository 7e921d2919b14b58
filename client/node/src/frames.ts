// SPDX-License-Identifier: Apache-2.0
// The frames that a call sends, as they travel.
import type { FailureKind } from './errors.js';
import { NO_FAILURE } from './errors.js';
import { LeaderLoss, OutcomeKind } from './gen/singleflight/v1/singleflight.js';
import type {
  CallRequest,
  Join as WireJoin,
  Outcome as WireOutcome,
} from './gen/singleflight/v1/singleflight.js';
import type { Outcome } from './result.js';

const NOTHING = Buffer.alloc(0);

const KINDS: Record<Outcome['kind'], OutcomeKind> = {
  OK: OutcomeKind.OUTCOME_KIND_OK,
  ERROR: OutcomeKind.OUTCOME_KIND_ERROR,
  PANIC: OutcomeKind.OUTCOME_KIND_PANIC,
  ABANDONED: OutcomeKind.OUTCOME_KIND_ABANDONED,
};

export function joinFrame(id: bigint, join: WireJoin, timeout: number): CallRequest {
  const timeoutMs = timeout === Infinity ? 0n : BigInt(Math.max(1, Math.ceil(timeout)));
  return { id, step: { $case: 'join', value: join }, timeoutMs };
}

/** Takes back a lead that was granted before. */
export function resumeFrame(id: bigint, join: WireJoin, token: bigint): CallRequest {
  return joinFrame(id, { ...join, resumeToken: token }, Infinity);
}

export function chunkFrame(id: bigint, data: Buffer, sequence: bigint): CallRequest {
  return { id, step: { $case: 'chunk', value: { data, sequence, attempt: 0 } }, timeoutMs: 0n };
}

/** `renewal`: the id that its answer has; 0: it is not answered. */
export function renewFrame(id: bigint, renewal: bigint): CallRequest {
  return { id, step: { $case: 'renew', value: { id: renewal } }, timeoutMs: 0n };
}

export function cancelFrame(id: bigint): CallRequest {
  return { id, step: { $case: 'cancel', value: {} }, timeoutMs: 0n };
}

/** `tail`: what of the value has not travelled as chunks. */
export function finishFrame(
  id: bigint,
  outcome: Outcome,
  tail: Buffer,
  passOn: boolean,
  retainMs: bigint | undefined,
): CallRequest {
  const wire: WireOutcome = {
    kind: KINDS[outcome.kind],
    value: tail,
    ...(outcome.failure ?? NO_FAILURE),
  };
  const retention = retainMs === undefined ? undefined : { retainMs };
  return {
    id,
    step: { $case: 'finish', value: { outcome: wire, retention, passOn } },
    timeoutMs: 0n,
  };
}

/**
 * Gives a lease back at once. That is no outcome of the work, so it is not retained, unless the
 * loss is what the callers asked to keep.
 */
export function abandonFrame(id: bigint, join: WireJoin): CallRequest {
  const failure = { ...NO_FAILURE, message: 'the leader left' };
  const outcome: Outcome = { kind: 'ABANDONED', value: NOTHING, failure };
  const holds = join.onLeaderLoss === LeaderLoss.LEADER_LOSS_HOLD;
  return finishFrame(id, outcome, NOTHING, true, holds ? undefined : 0n);
}

/** An outcome from the wire; `value` is the whole of it. */
export function readOutcome(wire: WireOutcome, value: Buffer): Outcome {
  const kind = readKind(wire.kind);
  const { code, message, type, stack, details } = wire;
  const failure = kind === 'OK' ? undefined : { code, message, type, stack, details };
  return { kind, value, failure };
}

// A kind of a later server is some failure.
function readKind(kind: OutcomeKind): 'OK' | FailureKind {
  switch (kind) {
    case OutcomeKind.OUTCOME_KIND_OK:
      return 'OK';
    case OutcomeKind.OUTCOME_KIND_PANIC:
      return 'PANIC';
    case OutcomeKind.OUTCOME_KIND_ABANDONED:
      return 'ABANDONED';
    default:
      return 'ERROR';
  }
}

/** About how large a frame is on the wire. */
export function frameBytes(frame: CallRequest): number {
  const step = frame.step;
  switch (step?.$case) {
    case 'join':
      return 128 + step.value.key.length;
    case 'chunk':
      return 32 + step.value.data.length;
    case 'finish': {
      const outcome = step.value.outcome;
      if (outcome === undefined) return 32;
      const texts = outcome.message.length + outcome.type.length + outcome.stack.length;
      return 64 + outcome.value.length + outcome.details.length + texts;
    }
    default:
      return 32;
  }
}
