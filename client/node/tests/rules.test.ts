// SPDX-License-Identifier: Apache-2.0
// What all clients do alike: calls inside of functions, times, misuse, errors, and old values.
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { after, before, describe, it } from 'node:test';
import {
  AbandonedError,
  Client,
  DeadlineExceededError,
  FailedPreconditionError,
  FunctionError,
  MisuseError,
  UnavailableError,
} from '../src/index.js';
import type { CallOptions, DoOptions, Leader } from '../src/index.js';
import { callersAre, Daemon } from './support/daemon.js';
import { audienceOf, failureOf, freshKey, Gate, until, Work } from './support/story.js';

describe('rules', { timeout: 180_000 }, () => {
  let daemon: Daemon;
  let client: Client;
  let other: Client;

  before(async () => {
    daemon = await Daemon.start();
    client = new Client({ addresses: daemon.address });
    other = new Client({ addresses: daemon.address });
  });

  after(async () => {
    await Promise.all([client.close(), other.close()]);
    await daemon.stop();
  });

  // -------------------------------------------------------------------- calls inside of functions

  it('refuse a call inside the function that leads its key', async () => {
    const key = freshKey();
    const others: CallOptions[] = [
      {},
      { localMerge: false },
      { role: 'FOLLOW_ONLY' },
      { role: 'LEAD_ONLY' },
      { group: 'default' },
    ];
    const { value } = await client.do(key, async () => {
      for (const options of others) {
        const error = await failureOf(
          client.do(key, () => 1, options),
          FailedPreconditionError,
        );
        assert.match(error.message, /would wait for itself.*leads the key/);
      }
      const elsewhere = await client.do(key, () => 'another group', { group: 'other' });
      return elsewhere.value;
    });
    assert.equal(value, 'another group');
  });

  it('refuse it through other functions, timers and streams', async () => {
    const [a, b] = [freshKey(), freshKey()];
    const tries = async (): Promise<string> => {
      const later = new Gate<Promise<unknown>>();
      setTimeout(() => later.open(client.do(a, () => 1)), 1);
      const error = await failureOf(later.opened as Promise<unknown>, FailedPreconditionError);
      return error.code;
    };
    const inner = async (): Promise<string> => (await client.do(b, tries)).value;
    assert.equal((await client.do(a, inner)).value, 'FAILED_PRECONDITION');
  });

  it('take it when the function has ended, or the flight was forgotten', async () => {
    const [key, gone] = [freshKey(), freshKey()];
    const late = new Gate<Promise<unknown>>();
    const first = await client.do(key, () => {
      setTimeout(() => late.open(client.do(key, () => 'late', { retain: 0 })), 20);
      return 'first';
    });
    assert.equal(first.value, 'first');
    assert.equal(((await late.opened) as { value: string }).value, 'late');
    const inside = async (): Promise<string> => {
      await client.forget(gone);
      return (await client.do(gone, () => 'anew')).value;
    };
    assert.equal((await client.do(gone, inside)).value, 'anew');
  });

  it('refuse one of two functions that wait for each other', async () => {
    const keys = [freshKey(), freshKey(), freshKey()];
    const entered = keys.map(() => new Gate());
    const half = async (index: number): Promise<string> => {
      entered[index]?.open();
      await Promise.all(entered.map((gate) => gate.opened));
      const next = client.do(keys[(index + 1) % keys.length] ?? '', () => 'never');
      return next.then(
        () => 'OK',
        (error: unknown) => (error as FailedPreconditionError).code,
      );
    };
    const ring = await Promise.all(keys.map((key, index) => client.do(key, () => half(index))));
    const values = ring.map(({ value }) => value).sort();
    assert.deepEqual(values, ['FAILED_PRECONDITION', 'OK', 'OK']);
  });

  it('keep what the program has around its call', async () => {
    const storage = new AsyncLocalStorage<string>();
    const key = freshKey();
    const call = storage.run('mine', () => client.do(key, () => storage.getStore()));
    assert.equal((await call).value, 'mine');
  });

  // ---------------------------------------------------------------------------------------- times

  it('end a call at once that has no time at all', async () => {
    let runs = 0;
    for (const timeout of [0, -1, -Infinity]) {
      const begun = performance.now();
      await failureOf(
        client.do(freshKey(), () => ++runs, { timeout }),
        DeadlineExceededError,
      );
      await failureOf(client.forget(freshKey(), { timeout }), DeadlineExceededError);
      assert.ok(performance.now() - begun < 1000);
    }
    assert.equal(runs, 0);
  });

  it("keep a leader's own deadline, whatever its function does", async () => {
    const work = new Work();
    const begun = performance.now();
    await failureOf(client.do(freshKey(), work.run, { timeout: 200 }), DeadlineExceededError);
    assert.ok(performance.now() - begun < 5000);
    work.goOn.open('deaf');
  });

  // --------------------------------------------------------------------------------------- misuse

  it('refuse misuse before the network, and name it', async () => {
    const nobody = new Client({ addresses: '127.0.0.1:1' });
    const bad: [string, Promise<unknown>][] = [
      ['function', nobody.do('k', undefined as never)],
      ['function is a number', nobody.do('k', 5 as never)],
      ['function', nobody.doBytes('k', null)],
      ['function', nobody.live('k', {} as never).result],
      ['"retein"', nobody.do('k', () => 1, { retein: 5 } as never)],
      ['"codec"', nobody.doBytes('k', () => '', { codec: null } as never)],
      ['"force"', nobody.forget('k', { force: true } as never)],
      ['options', nobody.do('k', () => 1, 'text' as never)],
      ['options', nobody.doSettled('k', () => '', null as never)],
      ['codec', nobody.do('k', () => 1, { codec: {} as never })],
      ['signal', nobody.do('k', () => 1, { signal: 7 as never })],
      ['failOpen', nobody.do('k', () => 1, { failOpen: 'yes' as never })],
      ['timeout', nobody.do('k', () => 1, { timeout: Number.NaN })],
      ['timeout', nobody.do('k', () => 1, { timeout: '5' as never })],
      ['lease', nobody.do('k', () => 1, { lease: 5 })],
      ['stale', nobody.live('k', () => '', { stale: 5 }).result],
      ['stale', nobody.do('k', () => 1, { stale: 5, fresh: true })],
      ['stale', nobody.do('k', () => 1, { stale: 5, role: 'LEAD_ONLY' })],
      ...(['retain', 'retainError', 'maxAge', 'lease', 'runLimit', 'connectTimeout'] as const).map(
        (name): [string, Promise<unknown>] => [name, nobody.do('k', () => 1, { [name]: -1 })],
      ),
    ];
    const begun = performance.now();
    for (const [name, call] of bad) {
      const error = await failureOf(call, MisuseError);
      assert.ok(error.message.includes(name), error.message);
      assert.equal(error.code, 'INVALID_ARGUMENT');
    }
    assert.ok(performance.now() - begun < 3000);
    await nobody.close();
  });

  it('refuse clients that make no sense', () => {
    const addresses = ['127.0.0.1:0', '127.0.0.1:99999', 'http://127.0.0.1:7433', 'localhost'];
    for (const address of [...addresses, 'localhost:http', 'dns:localhost:1', ':7433', 'unix:'])
      assert.throws(
        () => new Client({ addresses: [address] }),
        (error: Error) => error instanceof MisuseError && error.message.includes(address),
      );
    const others: [unknown, RegExp][] = [
      ['127.0.0.1:1', /object: \{ addresses: /],
      [{ adresses: [] }, /"adresses"/],
      [{ addresses: 5 }, /addresses/],
      [{ addresses: [5] }, /addresses/],
      [{ connectTimeout: -1 }, /connectTimeout/],
      [{ keepaliveTime: -1 }, /keepaliveTime/],
    ];
    for (const [options, text] of others) assert.throws(() => new Client(options as never), text);
  });

  // --------------------------------------------------------------------------------------- errors

  it('do not keep it that a lead was given back', async () => {
    const key = freshKey();
    const stop = new AbortController();
    const work = new Work();
    const options = { lease: 60_000, retainError: 600_000 };
    const call = client.do(key, work.run, { ...options, signal: stop.signal });
    await work.entered.opened;
    stop.abort();
    await failureOf(call, Error);
    const next = await other.do(key, () => 'next', options);
    assert.deepEqual([next.value, next.retained], ['next', false]);
    work.goOn.open('');
  });

  it('carry the chain of causes to followers', async () => {
    const key = freshKey();
    const work = new Work();
    const fails = async (leader: Leader): Promise<never> => {
      await work.run(leader);
      const socket = new Error('the socket was closed');
      throw new Error('no such user', { cause: new AggregateError([socket], 'db down') });
    };
    const led = client.do(key, fails, { audience: true });
    const leader = await work.entered.opened;
    const followed = other.do(key, fails);
    await audienceOf(leader, 1);
    work.goOn.open('');
    await failureOf(led, Error);
    const { leaderStack, stack = '' } = await failureOf(followed, FunctionError);
    assert.match(leaderStack, /no such user[^]*Caused by: .*db down[^]*Caused by: .*socket was/);
    assert.ok(stack.endsWith(leaderStack));
  });

  it('survive a cause that is its own cause', async () => {
    const key = freshKey();
    const error = new Error('round');
    error.cause = { toString: () => 'and round' };
    const own = await client.doSettled(key, () => Promise.reject(error));
    assert.match(own.failure?.stack ?? '', /Caused by: and round$/);
    error.cause = error;
    assert.equal((await client.doSettled(key, () => Promise.reject(error))).kind, 'ERROR');
  });

  it("have the caller's own frames", async () => {
    const nobody = new Client({ addresses: '127.0.0.1:1', connectTimeout: 100 });
    const key = freshKey();
    const fail = (): never => {
      throw new Error('broken');
    };
    await client.doSettled(key, fail, { retainError: 60_000 });
    const inMyHandler = {
      reach: () =>
        failureOf(
          nobody.do('k', () => 1),
          UnavailableError,
        ),
      forget: () => failureOf(nobody.forget('k', { timeout: 50 }), Error),
      follow: () =>
        failureOf(
          client.do(key, () => 1),
          FunctionError,
        ),
      live: () => failureOf(client.live(key, null, { role: 'FOLLOW_ONLY' }).result, FunctionError),
      late: () => failureOf(client.do(freshKey(), new Work().run, { timeout: 1 }), Error),
    };
    for (const [name, handler] of Object.entries(inMyHandler)) {
      const { stack = '' } = await handler();
      assert.match(stack, new RegExp(`^\\w+Error: [^\\n]*\\n[^]*\\b${name} .*rules\\.test`), name);
    }
    await nobody.close();
  });

  it('give each merged caller an error of its own', async () => {
    const nobody = new Client({ addresses: '127.0.0.1:1', connectTimeout: 100 });
    const one = (): Promise<Error> =>
      failureOf(
        nobody.do('k', () => 1),
        UnavailableError,
      );
    const two = (): Promise<Error> =>
      failureOf(
        nobody.do('k', () => 1),
        UnavailableError,
      );
    const [first, second] = await Promise.all([one(), two()]);
    assert.match(first.stack ?? '', /\bone\b/);
    assert.match(second.stack ?? '', /\btwo\b/);
    assert.match(first.message, /Start singleflightd there/);
    assert.doesNotMatch(first.message, /Resolution note/);
    await nobody.close();
  });

  // ----------------------------------------------------------------------------------- old values

  it('serve an old value at once, and make it anew in the background', async () => {
    const key = freshKey();
    const options: DoOptions<number> = { retain: 60_000, maxAge: 1, stale: 60_000 };
    const work = new Work();
    let runs = 0;
    const first = await client.do(key, () => ++runs, options);
    assert.deepEqual([first.value, first.stale], [1, false]);
    const slow = async (leader: Leader): Promise<number> => {
      await work.run(leader);
      return ++runs;
    };
    const ask = () => client.do(key, slow, options);
    await until('it is old', async () => (await other.do(key, () => 0)).age > 1);
    const old = await Promise.all([ask(), ask(), ask()]);
    for (const { value, stale, retained, led } of old)
      assert.deepEqual([value, stale, retained, led], [1, true, true, false]);
    await work.entered.opened;
    assert.equal((await ask()).value, 1); // while it is made anew
    work.goOn.open('');
    await until('it is new', async () => (await other.do(key, () => 0)).value === 2);
    assert.equal(work.runs, 1);
  });

  it('serve an old value also when it cannot be made anew', async () => {
    const key = freshKey();
    const options: DoOptions<number> = { retain: 60_000, retainError: 60_000, stale: 60_000 };
    await client.do(key, () => 1, options);
    await until('it is old', async () => (await other.do(key, () => 0)).age > 3);
    let tries = 0;
    const fails = (leader: Leader): never => {
      tries++;
      leader.setRetain(60_000);
      throw new Error('the database is away');
    };
    for (let i = 1; i <= 3; i++) {
      const result = await client.do<number>(key, fails, options);
      assert.deepEqual([result.value, result.stale], [1, true]);
      await until('it was tried', () => tries === i);
      await until('it has ended', async () => {
        return (await client.do(key, () => 0, { role: 'FOLLOW_ONLY' })).retained;
      });
    }
  });

  it('make what is not there, or too old, as ever', async () => {
    const key = freshKey();
    const options: DoOptions<number> = { retain: 60_000, stale: 1 };
    const first = await client.do(key, () => 1, options);
    assert.deepEqual([first.value, first.led, first.stale], [1, true, false]);
    await until('it is old', async () => (await other.do(key, () => 0)).age > 1);
    const second = await client.do(key, () => 2, options);
    assert.deepEqual([second.value, second.led, second.stale], [2, true, false]);
  });

  // ------------------------------------------------------------------------------- second edition

  it('join no flight that began before a fresh call', async () => {
    const key = freshKey();
    const [old, young] = [new Work(), new Work()];
    const running = client.do(key, old.run, { retain: 60_000 });
    await old.entered.opened;
    const fresh = [1, 2].map(() => client.do(key, young.run, { fresh: true, retain: 60_000 }));
    const elsewhere = other.do(key, young.run, { fresh: true, retain: 60_000 });
    const joins = other.do(key, () => 'never');
    await callersAre(daemon.address, key, 4); // two of them are one there
    young.goOn.open('young');
    old.goOn.open('old');
    for (const call of [running, joins]) assert.equal((await call).value, 'old');
    for (const call of [...fresh, elsewhere]) {
      const { value, shared } = await call;
      assert.deepEqual({ value, shared }, { value: 'young', shared: true });
    }
    assert.equal(young.runs, 1);
    assert.equal((await other.do(key, () => 'never')).value, 'young');
  });

  it('hold the loss of a leader', async () => {
    const key = freshKey();
    const work = new Work();
    const options = { onLeaderLoss: 'HOLD', retainError: 60_000, audience: true } as const;
    const dies = new Client({ addresses: daemon.address });
    const led = dies.do(key, work.run, options);
    const leader = await work.entered.opened;
    const followed = other.do(key, work.run, options);
    await audienceOf(leader, 1);
    const ends = [failureOf(led, Error), failureOf(followed, AbandonedError), dies.close()];
    await Promise.all(ends);
    const late = await failureOf(other.do(key, work.run, options), AbandonedError);
    assert.equal(late.result?.retained, true);
    assert.equal(work.runs, 1);
    work.goOn.open('');
  });

  it('keep an outcome from when its leader began', async () => {
    const key = freshKey();
    const work = new Work();
    const call = client.do(key, work.run, { retain: 60_000, retainFromLead: true });
    await work.entered.opened;
    const begun = performance.now();
    await until('it has taken a while', () => performance.now() - begun > 200);
    work.goOn.open('value');
    const { retain } = await call;
    assert.ok(retain > 0 && retain <= 59_800, `${retain} ms`);
  });

  it('end a flight that runs', async () => {
    const key = freshKey();
    const work = new Work();
    const call = client.do(key, work.run);
    await work.entered.opened;
    const forgotten = await other.forget(key, { end: true, caller: 'the operator' });
    assert.deepEqual(forgotten, { flight: true, retained: false, ended: true });
    work.goOn.open('too late');
    assert.match((await failureOf(call, Error)).message, /ended by the operator/);
  });
});
