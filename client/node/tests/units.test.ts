// SPDX-License-Identifier: Apache-2.0
// The parts that can be looked at alone.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';
import { Backoff } from '../src/backoff.js';
import { decodeWith, encodeWith, json } from '../src/codec.js';
import { CLOSE_MS } from '../src/core.js';
import {
  CodecError,
  ENCODE_ERROR,
  LIMIT_EXCEEDED,
  PanicError,
  statusCodeOf,
  statusError,
  UnavailableError,
} from '../src/errors.js';
import { ASK_MS_MAX, LOST_TOLD_WITHIN_MS, RENEWALS_PER_HOLD } from '../src/hold.js';
import { DETAILS_BYTES_MAX } from '../src/leader.js';
import { WITHIN_MAX } from '../src/nesting.js';
import { CHUNK_BYTES_MAX, Outgoing } from '../src/outgoing.js';
import {
  ADDRESS_DEFAULT,
  ADDRESS_VARIABLE,
  ANSWER_TIMEOUT_MS,
  CALLER_BYTES_MAX,
  KEY_BYTES_MAX,
  readCallOptions,
  readClientOptions,
} from '../src/options.js';
import { WIRE_SLACK_DIVISOR, WIRE_SLACK_MS_MIN } from '../src/seat.js';
import { LOOK_MS, SYSTEM, VARIABLES } from '../src/security.js';
import { MESSAGE_BYTES_MAX } from '../src/server.js';
import { rendezvous } from '../src/rendezvous.js';

const ASKING = { live: false, hasWork: true, nest: undefined, keepsOld: false };

describe('backoff', () => {
  it('waits for a part of a bound that doubles', () => {
    const backoff = new Backoff(50, 300);
    const waits = [1, 1, 1, 1, 0.5].map((random) => backoff.next(() => random));
    assert.deepEqual(waits, [50, 100, 200, 300, 150]);
    backoff.reset();
    assert.equal(
      backoff.next(() => 1),
      50,
    );
  });
});

describe('rendezvous', () => {
  it('prefers servers as all clients do', async () => {
    const order = await rendezvous(['10.0.0.1:7433', '10.0.0.2:7433', '10.0.0.3:7433']);
    const keys = ['user_1', 'user_2', 'user_3', 'user_4', 'user_5'];
    const orders = keys.map((key) => order('', Buffer.from(key)).join(''));
    assert.deepEqual(orders, ['021', '210', '012', '102', '210']); // the C client's test has them
    assert.deepEqual(order('', Buffer.from('k')), order('default', Buffer.from('k')));
  });

  it('prefers the first of equal ones', async () => {
    const order = await rendezvous(['same:1', 'same:1']);
    assert.deepEqual(order('', Buffer.from('k')), [0, 1]);
  });
});

describe('outgoing', () => {
  it('cuts what was written into chunks, and keeps a tail', () => {
    const outgoing = new Outgoing();
    outgoing.append(Buffer.alloc(CHUNK_BYTES_MAX * 2 + 1, 'a'));
    assert.equal(outgoing.needsChunk, true);
    assert.equal(outgoing.takeChunk().length, CHUNK_BYTES_MAX);
    assert.equal(outgoing.takeChunk().length, CHUNK_BYTES_MAX);
    assert.equal(outgoing.needsChunk, false);
    assert.equal(outgoing.unsentBytes, 1);
    assert.equal(outgoing.takeTail().length, 1);
    assert.equal(outgoing.unsentBytes, 0);
  });

  it('gathers small writes into one chunk', () => {
    const outgoing = new Outgoing();
    for (const text of ['one ', 'two ', 'three']) outgoing.append(Buffer.from(text));
    assert.equal(outgoing.takeChunk().toString(), 'one two three');
    assert.equal(outgoing.value().toString(), 'one two three');
  });

  it('sends again what has not arrived, with the same boundaries', () => {
    const outgoing = new Outgoing();
    for (const text of ['one', 'two', 'three']) {
      outgoing.append(Buffer.from(text));
      outgoing.takeChunk();
    }
    outgoing.append(Buffer.from('tail'));
    outgoing.takeTail();
    outgoing.rewind(1);
    assert.equal(outgoing.unsentBytes, 'twothreetail'.length);
    assert.equal(outgoing.needsChunk, true);
    assert.equal(outgoing.takeChunk().toString(), 'two');
    assert.equal(outgoing.takeChunk().toString(), 'three');
    assert.equal(outgoing.takeTail().toString(), 'tail');
    assert.equal(outgoing.value().toString(), 'onetwothreetail');
  });
});

describe('constants', () => {
  const file = resolve(__dirname, '../../../constants.json');
  const shared = JSON.parse(readFileSync(file, 'utf8')) as Record<string, number | string>;

  it('are those of all clients', () => {
    const settings = readClientOptions({});
    const ours = {
      address_variable: ADDRESS_VARIABLE,
      address_default: ADDRESS_DEFAULT,
      tls_ca_variable: VARIABLES.tlsCa,
      tls_cert_variable: VARIABLES.tlsCert,
      tls_key_variable: VARIABLES.tlsKey,
      tls_server_name_variable: VARIABLES.tlsServerName,
      token_file_variable: VARIABLES.tokenFile,
      tls_ca_system: SYSTEM,
      files_look_ms: LOOK_MS,
      connect_timeout_ms: settings.connectTimeout,
      answer_timeout_ms: ANSWER_TIMEOUT_MS,
      backoff_min_ms: settings.backoffMin,
      backoff_max_ms: settings.backoffMax,
      keepalive_time_ms: settings.keepaliveTime,
      keepalive_timeout_ms: settings.keepaliveTimeout,
      close_ms: CLOSE_MS,
      wire_slack_ms_min: WIRE_SLACK_MS_MIN,
      wire_slack_divisor: WIRE_SLACK_DIVISOR,
      renewals_per_hold: RENEWALS_PER_HOLD,
      lost_told_within_ms: LOST_TOLD_WITHIN_MS,
      ask_ms_max: ASK_MS_MAX,
      within_max: WITHIN_MAX,
      result_bytes_max: settings.resultLimit,
      message_bytes_max: MESSAGE_BYTES_MAX,
      chunk_bytes_max: CHUNK_BYTES_MAX,
      details_bytes_max: DETAILS_BYTES_MAX,
      key_bytes_max: KEY_BYTES_MAX,
      caller_bytes_max: CALLER_BYTES_MAX,
      type_encode_error: ENCODE_ERROR,
      type_limit_exceeded: LIMIT_EXCEEDED,
    };
    const { about: _about, ...numbers } = shared;
    assert.deepEqual(ours, numbers);
  });
});

describe('codec', () => {
  it('refuses what JSON would lose, and says what to do', () => {
    class Hidden {
      readonly #secret = 1;
      get secret(): number {
        return this.#secret;
      }
    }
    const lost: [unknown, RegExp][] = [
      [new Map([['a', 1]]), /a Map/],
      [{ in: { set: new Set([1]) } }, /a Set at "set"/],
      [[Number.NaN], /NaN/],
      [Infinity, /Infinity/],
      [Buffer.from('x'), /bytes/],
      [{ b: new Uint8Array(2) }, /bytes at "b"/],
      [new ArrayBuffer(2), /bytes/],
      [new Error('x'), /a Error/],
      [10n, /a bigint/],
      [() => 1, /a function/],
      [{ f: Symbol('s') }, /a symbol/],
      [[1, undefined], /undefined/],
      [/x/, /a RegExp/],
      [Promise.resolve(1), /a Promise/],
      [new Hidden(), /a Hidden/],
      [new Date(Number.NaN), /an invalid Date/],
    ];
    for (const [value, what] of lost)
      assert.throws(
        () => encodeWith(json, value),
        (error: Error) => {
          assert.ok(error instanceof CodecError && error.operation === 'encode');
          assert.match(error.message, what);
          return /give a codec: .*doBytes/.test(error.message);
        },
      );
    const loop: { self?: unknown } = {};
    loop.self = loop;
    assert.throws(() => encodeWith(json, loop), CodecError);
  });

  it('takes what JSON has words for', () => {
    class Point {
      constructor(
        readonly x: number,
        readonly y: number,
      ) {}
    }
    const when = new Date(0);
    const values: [unknown, unknown][] = [
      [null, null],
      ['ü', 'ü'],
      [{ a: undefined, b: [] }, { b: [] }],
      [new Point(1, 2), { x: 1, y: 2 }],
      [Object.create(null), {}],
      [when, when.toISOString()],
      [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
      [0.1234567890123456789, 0.1234567890123456789],
      ['12345678901234567890', '12345678901234567890'],
    ];
    for (const [value, back] of values)
      assert.deepEqual(decodeWith(json, Buffer.from(encodeWith(json, value))), back);
  });

  it('refuses numbers that are longer than those of JavaScript', () => {
    const text = '{"\\"9007199254740993": [9007199254740992, 9007199254740993]}';
    assert.throws(
      () => decodeWith(json, Buffer.from(text)),
      (error: Error) => {
        assert.ok(error instanceof CodecError && error.operation === 'decode');
        return error.message.includes('9007199254740993 is no number');
      },
    );
    const fits = Buffer.from('[9007199254740992, 1e20, "9007199254740993"]');
    assert.deepEqual(decodeWith(json, fits), [9007199254740992, 1e20, '9007199254740993']);
  });

  it('takes undefined for no bytes', () => {
    assert.equal(json.encode(undefined).length, 0);
    assert.equal(json.decode(Buffer.alloc(0)), undefined);
    assert.deepEqual(json.decode(Buffer.from(json.encode({ a: [null, 'ü'] }))), { a: [null, 'ü'] });
  });
});

describe('options', () => {
  it('read addresses from the environment', () => {
    const before = process.env.SINGLEFLIGHT_ADDRESS;
    process.env.SINGLEFLIGHT_ADDRESS = 'one:1, unix:/two ,[::1]:3';
    try {
      assert.deepEqual(readClientOptions({}).addresses, ['one:1', 'unix:/two', '[::1]:3']);
      process.env.SINGLEFLIGHT_ADDRESS = '';
      assert.deepEqual(readClientOptions({}).addresses, ['127.0.0.1:7433']);
    } finally {
      if (before === undefined) delete process.env.SINGLEFLIGHT_ADDRESS;
      else process.env.SINGLEFLIGHT_ADDRESS = before;
    }
  });

  it('tell calls apart that must not merge', () => {
    const settings = readClientOptions({});
    const idOf = (options: object, key = 'k', live = false): string | undefined =>
      readCallOptions(key, options, { ...ASKING, live }, settings).mergeId;
    const plain = idOf({});
    assert.equal(idOf({ timeout: 5, connectTimeout: 7, group: 'default' }), plain);
    const others = [
      idOf({}, 'K'),
      ...[{ fresh: true }, { retainFromLead: true }].map((options) => idOf(options)),
      ...[{ group: 'g' }, { retain: 1 }, { retainError: 1 }, { maxAge: 1 }, { lease: 1000 }].map(
        (options) => idOf(options),
      ),
      ...[{ runLimit: 1 }, { onLeaderLoss: 'FAIL' }, { maxAttempts: 1 }, { audience: true }].map(
        (options) => idOf(options),
      ),
      ...[{ fingerprint: 'f' }, { caller: 'c' }, { failOpen: true }].map((options) =>
        idOf(options),
      ),
    ];
    assert.equal(new Set([plain, ...others]).size, others.length + 1);
    assert.equal(others.includes(undefined), false);
    for (const options of [{ role: 'LEAD_ONLY' }, { resumeToken: 1n }, { localMerge: false }])
      assert.equal(idOf(options), undefined);
    assert.equal(idOf({}, 'k', true), undefined);
  });

  it('do not confuse a group with a key, or a caller with either', () => {
    const settings = readClientOptions({});
    const ids = [
      readCallOptions('bc', { group: 'a', caller: 'x' }, ASKING, settings).mergeId,
      readCallOptions('c', { group: 'ab', caller: 'x' }, ASKING, settings).mergeId,
      readCallOptions('xbc', { group: 'a', caller: '' }, ASKING, settings).mergeId,
      readCallOptions('bc', { group: 'a', caller: '', fingerprint: 'x' }, ASKING, settings).mergeId,
    ];
    assert.equal(new Set(ids).size, ids.length);
  });

  it('copy what they are given', () => {
    const key = Buffer.from('key');
    const join = readCallOptions(key, {}, ASKING, readClientOptions({}));
    key.fill(0);
    assert.equal(join.wire.key.toString(), 'key');
  });

  it('have a name for the caller that fits', () => {
    assert.match(readClientOptions({}).caller, new RegExp(`@.+:${process.pid}$`));
  });
});

describe('errors', () => {
  it('have their own classes, names and codes', () => {
    const error = statusError('UNAVAILABLE', 'gone', { cause: 'because' });
    assert.ok(error instanceof UnavailableError);
    assert.equal(error.name, 'UnavailableError');
    assert.equal(error.cause, 'because');
    assert.equal(statusError('INTERNAL', 'x').code, 'INTERNAL');
    assert.equal(statusCodeOf(0), 'INTERNAL');
    assert.equal(statusCodeOf(99), 'UNKNOWN');
    assert.equal(new PanicError({ message: 'm' }).kind, 'PANIC');
  });
});
