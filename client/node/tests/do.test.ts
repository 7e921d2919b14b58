// SPDX-License-Identifier: Apache-2.0
// One process, one daemon: what a Do returns, what is merged, how calls end early.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  AbandonedError,
  AbortedError,
  CancelledError,
  Client,
  CodecError,
  DeadlineExceededError,
  FailedPreconditionError,
  FunctionError,
  InvalidArgumentError,
  NotFoundError,
  PanicError,
  ResourceExhaustedError,
} from '../src/index.js';
import type { Leader, Result } from '../src/index.js';
import { callersAre, Daemon } from './support/daemon.js';
import { audienceOf, failureOf, freshKey, Gate, lossOf, until, Work } from './support/story.js';

describe('do', { timeout: 180_000 }, () => {
  let daemon: Daemon;
  let client: Client;
  let other: Client;

  before(async () => {
    daemon = await Daemon.start();
    client = new Client({ addresses: daemon.address, caller: 'the first' });
    other = new Client({ addresses: [daemon.address], caller: 'the other' });
  });

  after(async () => {
    await Promise.all([client.close(), other.close()]);
    await daemon.stop();
  });

  // ------------------------------------------------------------------------------- one caller

  it('gives the leader its own value', async () => {
    const result = await client.do(freshKey(), () => ({ name: 'Ada', tags: [1, 2] }));
    assert.deepEqual(result.value, { name: 'Ada', tags: [1, 2] });
    assert.equal(result.led, true);
    assert.equal(result.shared, false);
    assert.equal(result.callers, 1);
    assert.equal(result.attempt, 1);
    assert.ok(result.token > 0n);
    assert.equal(result.retained, false);
    assert.equal(result.failedOpen, false);
  });

  it('joins what was written and what is returned', async () => {
    const result = await client.doBytes(freshKey(), async (leader) => {
      await leader.write('one ');
      await leader.write('');
      await leader.write(Buffer.from('two '));
      return 'three';
    });
    assert.equal(result.value.toString(), 'one two three');
  });

  it('takes undefined for no bytes', async () => {
    const nothing = await client.do(freshKey(), () => undefined);
    assert.equal(nothing.value, undefined);
    assert.equal((await client.doBytes(freshKey(), () => undefined)).value.length, 0);
  });

  it('copies what is written', async () => {
    const { value } = await client.doBytes(freshKey(), (leader) => {
      const buffer = Buffer.from('aaa');
      void leader.write(buffer);
      buffer.fill('b');
      return buffer;
    });
    assert.equal(value.toString(), 'aaabbb');
  });

  it('uses the codec that it is given', async () => {
    const codec = {
      encode: (date: Date) => Buffer.from(date.toISOString()),
      decode: (bytes: Buffer) => new Date(bytes.toString()),
    };
    const { value } = await client.do(freshKey(), () => new Date(0), { codec });
    assert.equal(value.getTime(), 0);
  });

  it('says that a value cannot be decoded, for the leader and for a follower', async () => {
    const key = freshKey();
    const work = new Work();
    const codec = {
      encode: (value: string) => Buffer.from(value),
      decode: (bytes: Buffer) => JSON.parse(bytes.toString()) as string,
    };
    const led = client.do(key, work.run, { codec, audience: true });
    const leader = await work.entered.opened;
    const followed = other.do(key, work.run, { codec });
    await audienceOf(leader, 1);
    work.goOn.open('{');
    for (const call of [led, followed]) {
      const error = await failureOf(call, CodecError);
      assert.equal(error.operation, 'decode');
      assert.ok(error.cause instanceof SyntaxError);
      assert.match(error.stack ?? '', /do\.test/);
    }
  });

  it('says that a value cannot be encoded, to the leader and to a follower', async () => {
    const key = freshKey();
    const work = new Work();
    const makes = async (leader: Leader): Promise<object> => ({
      at: [await work.run(leader), NaN],
    });
    const led = client.do(key, makes, { audience: true });
    const leader = await work.entered.opened;
    const followed = other.do(key, makes);
    await audienceOf(leader, 1);
    work.goOn.open('');
    for (const call of [led, followed]) {
      const error = await failureOf(call, CodecError);
      assert.equal(error.operation, 'encode');
      assert.match(error.message, /no word for NaN.*codec/);
    }
  });

  it('takes a retained value that it cannot decode for none, once', async () => {
    const key = freshKey();
    const options = { retain: 60_000 };
    await client.doBytes(key, () => '{', options);
    const result = await client.do(key, () => ({ version: 2 }), options);
    assert.deepEqual(result.value, { version: 2 });
    assert.equal(result.led, true);
    const again = await client.do(key, () => ({ version: 3 }), options);
    assert.deepEqual(again.value, { version: 2 });
    assert.equal(again.retained, true);
    await client.doBytes(key, () => '{', { ...options, maxAge: 1, localMerge: false });
    const late = client.do(key, () => 1, { ...options, timeout: 0 });
    await failureOf(late, DeadlineExceededError);
    const bad = { encode: () => Buffer.from('{'), decode: () => assert.fail('never') };
    let runs = 0;
    const error = await failureOf(
      client.do(key, () => ++runs, { ...options, codec: bad }),
      CodecError,
    );
    assert.equal(error.operation, 'decode');
    assert.equal(runs, 1);
  });

  it('hands large values there and back', async () => {
    for (const size of [0, 1, 64 * 1024, 64 * 1024 + 1, 5 * 1024 * 1024]) {
      const key = freshKey();
      const bytes = Buffer.alloc(size, 'value');
      const work = new Work();
      const led = client.doBytes(
        key,
        async (leader) => {
          await work.run(leader);
          return bytes;
        },
        { audience: true },
      );
      const leader = await work.entered.opened;
      const followed = other.doBytes(key, work.run);
      await audienceOf(leader, 1);
      work.goOn.open('');
      assert.ok((await led).value.equals(bytes));
      assert.ok((await followed).value.equals(bytes));
    }
  });

  // -------------------------------------------------------------------------------- functions

  it('gives the leader its very error, and the others one that tells of it', async () => {
    const key = freshKey();
    const own = Object.assign(new TypeError('no such user'), { code: 7 });
    const work = new Work();
    const fails = async (leader: Leader): Promise<never> => {
      await work.run(leader);
      throw own;
    };
    const calls = [client.do(key, fails, { audience: true })];
    const leader = await work.entered.opened;
    for (const each of [client, other]) calls.push(each.do(key, fails, { audience: true }));
    await audienceOf(leader, 2);
    work.goOn.open('');
    const errors = await Promise.all(calls.map((call) => failureOf(call, Error)));
    assert.equal(errors.filter((error) => error === own).length, 1);
    const told = errors.filter((error): error is FunctionError => error instanceof FunctionError);
    assert.equal(told.length, 2);
    for (const error of told) {
      assert.equal(error.kind, 'ERROR');
      assert.equal(error.message, 'no such user');
      assert.equal(error.type, 'TypeError');
      assert.equal(error.code, 7);
      assert.match(error.leaderStack, /do\.test/);
      assert.match(error.stack ?? '', /The leader's stack:/);
      assert.equal(error.result?.led, false);
    }
  });

  it('lets a value and an error stand side by side', async () => {
    const key = freshKey();
    const work = async (leader: Leader): Promise<never> => {
      await leader.write('half');
      leader.setError({
        code: -5,
        type: 'IOError',
        stack: 'at write',
        details: Buffer.from('\0d'),
      });
      throw new Error('disk full');
    };
    for (const retained of [false, true]) {
      const settled = await client.doSettled(key, work, { retainError: 60_000 });
      assert.equal(settled.kind, 'ERROR');
      assert.equal(settled.value.toString(), 'half');
      assert.equal(settled.retained, retained);
      assert.equal(settled.led, !retained);
      assert.deepEqual(settled.failure, {
        code: -5,
        message: 'disk full',
        type: 'IOError',
        stack: 'at write',
        details: Buffer.from('\0d'),
      });
    }
    const error = await failureOf(client.doBytes(key, work), FunctionError);
    assert.equal(error.value.toString(), 'half');
    assert.equal(error.result?.retained, true);
  });

  it('tells a panic from an error', async () => {
    const panics: (() => never)[] = [
      () => assert.fail('broken'),
      () => {
        throw new ReferenceError('broken');
      },
      () => {
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- that is what is tested
        throw 'broken';
      },
    ];
    for (const panic of panics) {
      const key = freshKey();
      const own = await client.doSettled(key, panic, { retainError: 60_000 });
      assert.equal(own.kind, 'PANIC');
      const error = await failureOf(other.do(key, null, { role: 'FOLLOW_ONLY' }), PanicError);
      assert.equal(error.message, 'broken');
    }
  });

  it('lets a function give up', async () => {
    const key = freshKey();
    const own = client.do(key, (leader) => leader.abandon('not today'), { retainError: 60_000 });
    await failureOf(own, AbandonedError);
    const error = await failureOf(
      other.do(key, () => 1),
      AbandonedError,
    );
    assert.equal(error.message, 'not today');
  });

  it('passes a failure on to the next caller', async () => {
    const key = freshKey();
    const work = new Work();
    const mine = new Error('mine');
    const first = client.do(
      key,
      async (leader) => {
        leader.passOn();
        await work.run(leader);
        throw mine;
      },
      { audience: true },
    );
    const leader = await work.entered.opened;
    const merged = client.do(key, () => 'second', { audience: true });
    await audienceOf(leader, 1);
    work.goOn.open('');
    assert.equal(await failureOf(first, Error), mine);
    const result = await merged;
    assert.equal(result.value, 'second');
    assert.equal(result.attempt, 2);
    assert.ok(result.token > leader.token);
  });

  // -------------------------------------------------------------------------------- retention

  it('serves a retained value until it is forgotten', async () => {
    const key = freshKey();
    let runs = 0;
    const ask = () => client.do(key, () => ++runs, { retain: 60_000 });
    assert.ok((await ask()).retain > 0);
    const again = await ask();
    assert.equal(again.value, 1);
    assert.equal(again.retained, true);
    assert.equal(again.shared, true);
    assert.equal(again.led, false);
    assert.deepEqual(await client.forget(key), { flight: false, retained: true });
    assert.deepEqual(await client.forget(key), { flight: false, retained: false });
    assert.equal((await ask()).value, 2);
  });

  it('lets the function overrule the retention', async () => {
    const key = freshKey();
    const work = (leader: Leader): number => {
      leader.setRetain(0);
      return 1;
    };
    assert.equal((await client.do(key, work, { retain: 60_000 })).retain, 0);
    assert.equal((await client.do(key, work, { retain: 60_000 })).led, true);
  });

  it('starts anew beside a forgotten flight', async () => {
    const key = freshKey();
    const [old, young] = [new Work(), new Work()];
    const first = client.do(key, old.run);
    const leader = await old.entered.opened;
    assert.equal((await client.forget(key, { ifUnshared: true })).flight, true);
    const second = client.do(key, young.run);
    assert.ok((await young.entered.opened).token > leader.token);
    old.goOn.open('old');
    young.goOn.open('young');
    assert.equal((await first).value, 'old');
    assert.equal((await second).value, 'young');
  });

  // ------------------------------------------------------------------------------ bad requests

  it('refuses here what makes no sense', async () => {
    const bad = [
      client.do('', () => 1),
      client.do('k', null),
      client.do('k', () => 1, { retain: -1 }),
      client.do('k', () => 1, { timeout: Number.NaN }),
      client.do('k', () => 1, { timeout: 2 ** 31 }),
      client.do('k', () => 1, { role: 'BOSS' as 'ANY' }),
      client.do('k', () => 1, { resumeToken: -1n }),
      client.do(7 as unknown as string, () => 1),
      client.forget(''),
    ];
    for (const call of bad)
      assert.equal((await failureOf(call, InvalidArgumentError)).code, 'INVALID_ARGUMENT');
    for (const addresses of ['', 'nowhere', 'host:0', 'host:99999', 'this is: no address', []])
      assert.throws(() => new Client({ addresses }), InvalidArgumentError);
    assert.throws(() => new Client({ caller: 'x'.repeat(129) }), InvalidArgumentError);
  });

  it("refuses with the server's words", async () => {
    const error = await failureOf(
      client.do('k', () => 1, { group: 'no spaces' }),
      InvalidArgumentError,
    );
    assert.match(error.message, /group/);
    await failureOf(
      client.do('x'.repeat(1025), () => 1),
      InvalidArgumentError,
    );
    await failureOf(
      client.do('k', () => 1, { lease: 10 }),
      InvalidArgumentError,
    );
  });

  it('keeps roles', async () => {
    const key = freshKey();
    await failureOf(client.do(key, null, { role: 'FOLLOW_ONLY' }), NotFoundError);
    const work = new Work();
    const led = client.do(key, work.run, { role: 'LEAD_ONLY' });
    await work.entered.opened;
    const error = await failureOf(other.do(key, work.run, { role: 'LEAD_ONLY' }), AbortedError);
    assert.match(error.message, /the first/);
    work.goOn.open('done');
    assert.equal((await led).value, 'done');
  });

  it('refuses another fingerprint', async () => {
    const key = freshKey();
    const work = new Work();
    const led = client.do(key, work.run, { fingerprint: 'one' });
    await work.entered.opened;
    const refused = client.do(key, work.run, { fingerprint: Buffer.from('two') });
    await failureOf(refused, FailedPreconditionError);
    work.goOn.open('');
    await led;
  });

  // ----------------------------------------------------------------------------------- merging

  it('sends equal calls as one, and counts them all', async () => {
    const key = freshKey();
    const work = new Work();
    const calls = Array.from({ length: 8 }, () => client.do(key, work.run, { audience: true }));
    const leader = await work.entered.opened;
    await audienceOf(leader, 7);
    const elsewhere = other.do(key, work.run, { audience: true });
    await audienceOf(leader, 8);
    work.goOn.open('value');
    const results = await Promise.all([...calls, elsewhere]);
    for (const result of results) {
      assert.equal(result.value, 'value');
      assert.equal(result.shared, true);
    }
    for (const result of results.slice(0, 8)) assert.equal(result.callers, 9);
    assert.equal(results.filter((result) => result.led).length, 1);
    assert.equal(work.runs, 1);
  });

  it('does not merge calls that differ, nor those that do not want it', async () => {
    const key = freshKey();
    const work = new Work();
    const calls = [
      client.do(key, work.run, { audience: true, localMerge: false }),
      client.do(key, work.run, { audience: true, localMerge: false }),
      client.do(key, work.run, { audience: true, retain: 1 }),
    ];
    await audienceOf(await work.entered.opened, 2);
    work.goOn.open('value');
    for (const result of await Promise.all(calls)) assert.equal(result.callers, 3);
  });

  it('gives each merged caller its own copy of a decoded value', async () => {
    const key = freshKey();
    const [a, b] = await Promise.all([
      client.do(key, () => ({ n: 1 })),
      client.do(key, () => ({ n: 2 })),
    ]);
    assert.deepEqual(a.value, b.value);
    assert.notEqual(a.value, b.value);
  });

  it('does not merge into a function that has ended', async () => {
    const key = freshKey();
    const second = new Gate<Result<number>>();
    const first = client.do(key, () => {
      // After the function has ended, and before any answer of the server can be read.
      setImmediate(() => second.open(client.do(key, () => 2)));
      return 1;
    });
    assert.equal((await first).value, 1);
    assert.equal((await second.opened).value, 2);
  });

  // -------------------------------------------------------------------------------- early ends

  it("lets a merged caller's deadline and signal end only itself", async () => {
    const key = freshKey();
    const work = new Work();
    const stays = client.do(key, work.run, { audience: true });
    const leader = await work.entered.opened;
    const controller = new AbortController();
    const timesOut = client.do(key, work.run, { audience: true, timeout: 20 });
    const isAborted = client.do(key, work.run, { audience: true, signal: controller.signal });
    const runsOut = client.do(key, work.run, { audience: true, signal: AbortSignal.timeout(20) });
    await audienceOf(leader, 3);
    controller.abort('because');
    assert.equal((await failureOf(isAborted, CancelledError)).cause, 'because');
    assert.match((await failureOf(timesOut, DeadlineExceededError)).message, /20 ms/);
    await failureOf(runsOut, DeadlineExceededError);
    await audienceOf(leader, 0);
    assert.equal(leader.signal.aborted, false);
    work.goOn.open('value');
    assert.equal((await stays).callers, 1);
  });

  it('may share a signal with many others', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning);
    process.on('warning', onWarning);
    const controller = new AbortController();
    const work = new Work();
    const calls = Array.from({ length: 20 }, () =>
      client.do(freshKey(), work.run, { signal: controller.signal }),
    );
    await work.entered.opened;
    controller.abort();
    await Promise.all(calls.map((call) => failureOf(call, CancelledError)));
    await Promise.all(calls.map(() => client.forget(freshKey())));
    process.off('warning', onWarning);
    assert.deepEqual(warnings, []);
    work.goOn.open('');
  });

  it('ends a call at once whose signal has aborted before', async () => {
    const signal = AbortSignal.abort();
    let runs = 0;
    await failureOf(
      client.do(freshKey(), () => ++runs, { signal }),
      CancelledError,
    );
    assert.equal(runs, 0);
  });

  it('runs the function on for merged callers when its own has left', async () => {
    const key = freshKey();
    const work = new Work();
    const controller = new AbortController();
    const leaves = client.do(key, work.run, { signal: controller.signal });
    const leader = await work.entered.opened;
    const stays = client.do(key, () => 'not this');
    controller.abort();
    await failureOf(leaves, CancelledError);
    assert.equal(leader.signal.aborted, false);
    work.goOn.open('value');
    const result = await stays;
    assert.equal(result.value, 'value');
    assert.equal(result.led, false);
  });

  it('runs the function on for a caller elsewhere when its own has left', async () => {
    const key = freshKey();
    const work = new Work();
    const leaves = client.do(key, work.run, { timeout: 1500 });
    const leader = await work.entered.opened;
    const stays = other.do(key, () => 'not this');
    await callersAre(daemon.address, key, 2);
    await failureOf(leaves, DeadlineExceededError);
    assert.equal(leader.lost, false);
    work.goOn.open('value');
    const { value, attempt } = await stays;
    assert.deepEqual({ value, attempt }, { value: 'value', attempt: 1 });
  });

  it('stops the function when the last one elsewhere has left, too', async () => {
    const key = freshKey();
    const [first, second] = [new Work(), new Work()];
    const [mine, theirs] = [new AbortController(), new AbortController()];
    const leaves = client.do(key, first.run, {
      signal: mine.signal,
      lease: 600_000,
      audience: true,
    });
    const leader = await first.entered.opened;
    const follows = other.do(key, second.run, { signal: theirs.signal });
    await audienceOf(leader, 1);
    mine.abort();
    await failureOf(leaves, CancelledError);
    assert.equal(leader.lost, false);
    theirs.abort();
    await failureOf(follows, CancelledError);
    assert.match(String(await lossOf(leader)), /nobody waits/);
    await assert.rejects(leader.write('too late'), CancelledError);
    const next = other.do(key, second.run); // the lease was given back
    assert.equal((await second.entered.opened).attempt, 1);
    second.goOn.open('second');
    assert.equal((await next).value, 'second');
    first.goOn.open('nobody gets this');
  });

  it('gives a lease back at once when its caller leaves', async () => {
    const key = freshKey();
    const [first, second] = [new Work(), new Work()];
    const leaves = client.do(key, first.run, { lease: 600_000, timeout: 50 });
    const leader = await first.entered.opened;
    await failureOf(leaves, DeadlineExceededError);
    assert.equal(leader.signal.aborted, true);
    const next = other.do(key, second.run, { lease: 600_000 });
    await second.entered.opened;
    second.goOn.open('second');
    assert.equal((await next).value, 'second');
  });

  it('tells a leader that runs too long, and its caller after it has ended', async () => {
    const work = new Work();
    const call = client.do(freshKey(), work.run, { runLimit: 100 });
    const leader = await work.entered.opened;
    assert.equal(leader.runLimit, 100);
    assert.match(String(await lossOf(leader)), /fenced/);
    work.goOn.open('too late');
    await failureOf(call, AbortedError);
  });

  it('fails the followers of a lost leader if they want it so', async () => {
    const key = freshKey();
    const work = new Work();
    const options = { onLeaderLoss: 'FAIL', audience: true } as const;
    const closing = new Client({ addresses: daemon.address });
    const leads = closing.do(key, work.run, options);
    const leader = await work.entered.opened;
    const follows = other.do(key, work.run, options);
    await audienceOf(leader, 1);
    const ends = [failureOf(leads, CancelledError), failureOf(follows, AbortedError)];
    await Promise.all([...ends, closing.close()]);
    work.goOn.open('');
  });

  // ------------------------------------------------------------------------------------ limits

  it('names the limit of a value that is too large', async () => {
    const small = new Client({ addresses: daemon.address, resultLimit: 1000 });
    const key = freshKey();
    const work = new Work();
    const leads = client.doBytes(
      key,
      async (leader) => {
        await work.run(leader);
        return Buffer.alloc(1001);
      },
      { audience: true },
    );
    const leader = await work.entered.opened;
    const follows = small.doBytes(key, work.run);
    await audienceOf(leader, 1);
    const makes = small.doBytes(freshKey(), () => Buffer.alloc(1001));
    const writes = small.doBytes(freshKey(), (leader) => {
      void leader.write(Buffer.alloc(1001)); // nobody waits, and still it does not end OK
    });
    work.goOn.open('');
    const status = await failureOf(follows, ResourceExhaustedError);
    assert.match(status.message, /resultLimit.*1000/);
    for (const call of [makes, writes]) {
      const error = await failureOf(call, FunctionError);
      assert.match(error.message, /resultLimit.*1000/);
      assert.deepEqual([error.type, error.code], ['singleflight.LimitExceeded', 8]);
    }
    assert.equal((await leads).value.length, 1001);
    await small.close();
  });

  it('takes thousands of calls at once', async () => {
    const ask = async (index: number): Promise<void> => {
      const value = `value ${index % 500}`;
      const result = await client.do(`crowd ${index % 500}`, () => value, {
        localMerge: index % 3 > 0,
      });
      assert.equal(result.value, value);
    };
    await Promise.all(Array.from({ length: 5000 }, (_, index) => ask(index)));
  });

  it('holds a writer back until its bytes are sent', async () => {
    const tight = new Client({ addresses: daemon.address, unsentLimit: 64 * 1024 });
    const events: string[] = [];
    const { value } = await tight.doBytes(freshKey(), async (leader) => {
      const fits = leader.write(Buffer.alloc(64 * 1024)).then(() => events.push('fits'));
      const held = leader.write('x').then(() => events.push('held'));
      process.nextTick(() => events.push('later'));
      await Promise.all([fits, held]);
    });
    assert.deepEqual(events, ['fits', 'later', 'held']);
    assert.equal(value.length, 64 * 1024 + 1);
    await tight.close();
  });

  // ------------------------------------------------------------------------------------- close

  it('ends everything on close, once', async () => {
    const closing = new Client({ addresses: daemon.address });
    const key = freshKey();
    const [first, second] = [new Work(), new Work()];
    const call = closing.do(key, first.run, { audience: true });
    const leader = await first.entered.opened;
    const stays = other.do(key, second.run);
    await audienceOf(leader, 1);
    const closed = closing.close();
    assert.equal(closing.close(), closed);
    await failureOf(call, CancelledError);
    assert.equal(leader.signal.aborted, true);
    await closed;
    await second.entered.opened;
    second.goOn.open('second');
    assert.equal((await stays).value, 'second');
    await failureOf(
      closing.do(key, () => 1),
      CancelledError,
    );
    await failureOf(closing.forget(key), CancelledError);
    first.goOn.open('nobody gets this');
    await until('the function has ended', () => first.runs === 1);
  });
});
