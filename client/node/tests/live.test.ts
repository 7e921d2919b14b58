// SPDX-License-Identifier: Apache-2.0
// Values that are read while they are made.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CancelledError, Client, FunctionError, InvalidArgumentError } from '../src/index.js';
import type { LiveEvent } from '../src/index.js';
import { Daemon } from './support/daemon.js';
import { Listener } from './support/listener.js';
import { audienceOf, failureOf, freshKey, until, Work } from './support/story.js';

describe('live', { timeout: 180_000 }, () => {
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

  it('brings what is written at once, to the leader and to followers', async () => {
    const key = freshKey();
    const work = new Work();
    const led = new Listener(client.live(key, work.run));
    const leader = await work.entered.opened;
    await leader.write('one ');
    await led.heard('one ');
    const followed = new Listener(other.live(key, null, { role: 'FOLLOW_ONLY' }));
    await followed.heard('one ');
    await leader.write('two ');
    await followed.heard('one two ');
    work.goOn.open('three');
    for (const listener of [led, followed]) {
      assert.equal((await listener.call.result).value.toString(), 'one two three');
      await listener.ended;
      assert.equal(listener.text, 'one two three');
      assert.deepEqual(listener.restarts, []);
    }
  });

  it('starts over when the leader is lost', async () => {
    const key = freshKey();
    const [first, second] = [new Work(), new Work()];
    const closing = new Client({ addresses: daemon.address });
    const lost = new Listener(closing.live(key, first.run, { audience: true }));
    const leader = await first.entered.opened;
    const heir = new Listener(other.live(key, second.run));
    const follower = new Listener(other.live(key, null, { role: 'FOLLOW_ONLY' }));
    await audienceOf(leader, 2);
    await leader.write('void');
    await Promise.all([heir.heard('void'), follower.heard('void')]);
    await closing.close();
    await failureOf(lost.call.result, CancelledError);
    await (await second.entered.opened).write('again');
    await Promise.all([heir.heard('again'), follower.heard('again')]);
    assert.deepEqual(heir.restarts, [2]);
    assert.deepEqual(follower.restarts, [2]);
    second.goOn.open('');
    first.goOn.open('');
    assert.equal((await follower.call.result).value.toString(), 'again');
    assert.equal((await heir.call.result).value.toString(), 'again');
    assert.equal((await heir.call.result).attempt, 2);
  });

  it('brings retained values as chunks', async () => {
    const key = freshKey();
    const bytes = Buffer.alloc(300_000, 'kept');
    await client.doBytes(key, () => bytes, { retain: 60_000 });
    const chunks: Buffer[] = [];
    const call = client.live(key, () => 'not this');
    for await (const event of call) if (event.type === 'chunk') chunks.push(event.data);
    assert.ok(Buffer.concat(chunks).equals(bytes));
    assert.equal((await call.result).retained, true);
  });

  it('is a stream of objects, too', async () => {
    const events: LiveEvent[] = [];
    for await (const event of client.live(freshKey(), () => 'value').readable())
      events.push(event as LiveEvent);
    assert.deepEqual(events, [{ type: 'chunk', data: Buffer.from('value'), attempt: 1 }]);
  });

  it('ends with the error of the function', async () => {
    const key = freshKey();
    const work = new Work();
    const own = new Error('half way');
    const led = new Listener(
      client.live(
        key,
        async (leader) => {
          await work.run(leader);
          throw own;
        },
        { audience: true },
      ),
    );
    const leader = await work.entered.opened;
    const followed = new Listener(other.live(key, work.run));
    await audienceOf(leader, 1);
    await leader.write('half');
    await followed.heard('half');
    work.goOn.open('');
    assert.equal(await failureOf(led.ended, Error), own);
    assert.equal((await failureOf(followed.ended, FunctionError)).value.toString(), 'half');
  });

  it('is cancelled when its reader stops', async () => {
    const key = freshKey();
    const work = new Work();
    const call = client.live(key, work.run);
    const leader = await work.entered.opened;
    await leader.write('enough');
    for await (const event of call) {
      assert.equal(event.type, 'chunk');
      break;
    }
    await failureOf(call.result, CancelledError);
    await until('the function is told', () => leader.signal.aborted);
    work.goOn.open('');
  });

  it('need not be awaited to end badly', async () => {
    const call = client.live('', () => 'no key');
    await assert.rejects(async () => {
      for await (const event of call) assert.fail(`an event: ${event.type}`);
    }, InvalidArgumentError);
  });
});
