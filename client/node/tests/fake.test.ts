// SPDX-License-Identifier: Apache-2.0
// The fake that users test their own code with.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AbortedError, FunctionError, UnavailableError } from '../src/index.js';
import type { Leader } from '../src/index.js';
import { FakeServer, TestLeader } from '../src/testing.js';
import { failureOf, lossOf, until, Work } from './support/story.js';

describe('testing', { timeout: 60_000 }, () => {
  it('runs the function without a script, and merges clients', async () => {
    const fake = await FakeServer.start();
    const [one, two] = [fake.client(), fake.client()];
    const work = new Work();
    const leading = one.do('k', work.run, { retain: 5000, lease: 2000 });
    await work.entered.opened;
    const following = two.do('k', work.run);
    await until('both have asked', () => fake.calls.length === 2);
    work.goOn.open('value');
    const [led, followed] = await Promise.all([leading, following]);
    assert.deepEqual([led.value, led.led, led.callers], ['value', true, 2]);
    assert.deepEqual([followed.value, followed.led, followed.callers], ['value', false, 2]);
    const [first] = fake.calls;
    assert.deepEqual([first?.key, first?.retain, first?.lease], ['k', 5000, 2000]);
    await fake.close();
  });

  it('hands out what the test says', async () => {
    const fake = await FakeServer.start();
    const client = fake.client();
    const never = (): never => assert.fail('the function runs');
    fake.outcome('good', { name: 'ada' });
    assert.deepEqual((await client.do('good', never)).value, { name: 'ada' });
    fake.outcome('bytes', Buffer.from('raw'), 'files');
    const bytes = await client.doBytes('bytes', never, { group: 'files' });
    assert.equal(bytes.value.toString(), 'raw');
    fake.outcome('bad', new TypeError('no rows'));
    const error = await failureOf(client.do('bad', never), FunctionError);
    assert.deepEqual([error.type, error.message], ['TypeError', 'no rows']);
    await fake.close();
  });

  it('takes leads away and gives them', async () => {
    const fake = await FakeServer.start();
    const client = fake.client();
    fake.takeover('taken');
    const taken = await client.do('taken', (leader) => leader.attempt);
    assert.deepEqual([taken.value, taken.led], [2, true]);
    fake.lose('lost');
    const work = new Work();
    const call = failureOf(client.do('lost', work.run), AbortedError);
    assert.ok((await lossOf(await work.entered.opened)) instanceof AbortedError);
    work.goOn.open('too late');
    assert.match((await call).message, /fenced/);
    await fake.close();
  });

  it('hands the lead on when the leader goes', async () => {
    const fake = await FakeServer.start();
    const [one, two] = [fake.client(), fake.client()];
    const work = new Work();
    const leading = one.do('k', work.run).catch((error: unknown) => error);
    await work.entered.opened;
    const next = two.do('k', (leader: Leader) => leader.attempt);
    await until('both have asked', () => fake.calls.length === 2);
    await one.close();
    work.goOn.open('');
    assert.equal((await next).value, 2);
    await leading;
    await fake.close();
  });

  it('is not there when the test says so', async () => {
    const fake = await FakeServer.start();
    const client = fake.client();
    const work = new Work();
    const cut = failureOf(client.do('cut', work.run), AbortedError);
    await work.entered.opened;
    fake.unavailable();
    work.goOn.open('value');
    await cut;
    const asked = { connectTimeout: 200 };
    await failureOf(
      client.do('k', () => 1, asked),
      UnavailableError,
    );
    const alone = await client.do('k', () => 1, { ...asked, failOpen: true });
    assert.equal(alone.failedOpen, true);
    await fake.close();
  });

  it('remembers what was forgotten', async () => {
    const fake = await FakeServer.start();
    const client = fake.client();
    assert.equal((await client.forget('k', { group: 'g' })).flight, false);
    assert.deepEqual(
      fake.calls.map(({ what, group, key }) => [what, group, key]),
      [['forget', 'g', 'k']],
    );
    await fake.close();
  });

  it('makes leaders for functions alone', async () => {
    const leader = new TestLeader({ token: 7n, attempt: 3, key: 'k' });
    assert.deepEqual([leader.token, leader.attempt, leader.key.toString()], [7n, 3, 'k']);
    await leader.write('some');
    await leader.write('thing');
    assert.equal(leader.written.toString(), 'something');
    leader.passOn();
    assert.equal(leader.hasPassedOn, true);
    assert.equal(leader.lost, false);
    leader.takeAway();
    assert.equal(leader.lost, true);
    assert.ok(leader.signal.reason instanceof AbortedError);
    await assert.rejects(leader.write('more'), AbortedError);
  });
});
