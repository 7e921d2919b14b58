// SPDX-License-Identifier: Apache-2.0
// The parts that can be looked at alone.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Backoff } from '../src/backoff.js';
import { json } from '../src/codec.js';
import { PanicError, statusCodeOf, statusError, UnavailableError } from '../src/errors.js';
import { CHUNK_BYTES_MAX, Outgoing } from '../src/outgoing.js';
import { readCallOptions, readClientOptions } from '../src/options.js';
import { rendezvous } from '../src/rendezvous.js';

const ASKING = { live: false, hasWork: true, nest: undefined };

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

describe('codec', () => {
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
