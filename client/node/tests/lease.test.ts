// SPDX-License-Identifier: Apache-2.0
// Leads that outlive their connection, and what happens to those that do not.
import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, describe, it } from 'node:test';
import { AbortedError, CancelledError, Client, DeadlineExceededError } from '../src/index.js';
import { Daemon } from './support/daemon.js';
import { Listener } from './support/listener.js';
import { Relay } from './support/relay.js';
import { audienceOf, failureOf, freshKey, lossOf, Work } from './support/story.js';

describe('leases', { timeout: 180_000 }, () => {
  let daemon: Daemon;
  let relay: Relay;
  /** Its connections can be cut. */
  let far: Client;
  let near: Client;

  before(async () => {
    daemon = await Daemon.start();
  });

  after(async () => {
    await daemon.stop();
  });

  beforeEach(async () => {
    relay = await Relay.start(daemon.address);
    far = new Client({ addresses: relay.address, caller: 'far', backoffMax: 100 });
    near = new Client({ addresses: daemon.address, caller: 'near' });
  });

  afterEach(async () => {
    await Promise.all([far.close(), near.close()]);
    await relay.stop();
  });

  it('are renewed for as long as the function runs', async () => {
    const key = freshKey();
    const work = new Work();
    const led = far.do(key, work.run, { lease: 2000 });
    const leader = await work.entered.opened;
    assert.equal(leader.lease, 2000);
    await failureOf(near.do(key, work.run, { timeout: 4500 }), DeadlineExceededError);
    assert.equal(leader.signal.aborted, false);
    work.goOn.open('value');
    assert.equal((await led).attempt, 1);
  });

  it('survive a cut connection', async () => {
    const key = freshKey();
    const work = new Work();
    const led = far.doBytes(key, work.run, { lease: 10_000, audience: true });
    const leader = await work.entered.opened;
    const follower = new Listener(near.live(key, null, { role: 'FOLLOW_ONLY' }));
    await audienceOf(leader, 1);
    await leader.write('one ');
    await follower.heard('one ');
    relay.cut();
    await leader.write('two ');
    await follower.heard('one two ');
    relay.cut();
    await leader.write('three');
    work.goOn.open('');
    assert.equal((await led).value.toString(), 'one two three');
    const result = await follower.call.result;
    assert.equal(result.value.toString(), 'one two three');
    assert.equal(result.attempt, 1);
    assert.deepEqual(follower.restarts, []);
  });

  it('bring a large value whole over a connection that breaks and breaks', async () => {
    const key = freshKey();
    const piece = Buffer.alloc(2_600_000);
    for (let i = 0; i < piece.length; i++) piece[i] = i % 251;
    const work = new Work();
    const led = far.doBytes(
      key,
      async (leader) => {
        await work.run(leader);
        for (let i = 0; i < 10; i++) {
          await leader.write(piece);
          relay.cut();
        }
      },
      { lease: 10_000, audience: true },
    );
    const leader = await work.entered.opened;
    const followed = near.doBytes(key, work.run);
    await audienceOf(leader, 1);
    work.goOn.open('');
    const whole = Buffer.concat(Array.from({ length: 10 }, () => piece));
    assert.ok((await followed).value.equals(whole));
    assert.ok((await led).value.equals(whole));
  });

  it('bring an outcome that was cut off on its way', async () => {
    const key = freshKey();
    const work = new Work();
    const led = far.doBytes(key, work.run, { lease: 10_000, audience: true });
    const leader = await work.entered.opened;
    const followed = near.doBytes(key, work.run);
    await audienceOf(leader, 1);
    relay.cut(true);
    work.goOn.open('value');
    relay.accept();
    assert.equal((await followed).value.toString(), 'value');
    assert.equal((await led).led, true);
  });

  it('are lost here and there when they run out while cut off', async () => {
    const key = freshKey();
    const [first, second] = [new Work(), new Work()];
    const led = far.do(key, first.run, { lease: 1000, audience: true });
    const leader = await first.entered.opened;
    const followed = near.do(key, second.run);
    await audienceOf(leader, 1);
    relay.cut(true);
    assert.match(String(await lossOf(leader)), /lease of 1000 ms ran out/);
    assert.equal((await second.entered.opened).attempt, 2);
    first.goOn.open('too late');
    await failureOf(led, AbortedError);
    second.goOn.open('second');
    assert.equal((await followed).value, 'second');
  });

  it('can be taken up by their token', async () => {
    const key = freshKey();
    const first = new Work();
    const dies = new Client({ addresses: relay.address, backoffMin: 60_000, backoffMax: 60_000 });
    void dies.do(key, first.run, { lease: 600_000 }).catch(() => undefined);
    const leader = await first.entered.opened;
    const follower = new Listener(near.live(key, null, { role: 'FOLLOW_ONLY' }));
    await leader.write('one ');
    await follower.heard('one ');
    relay.cut(true);
    const result = await near.doBytes(
      key,
      (heir) => {
        assert.equal(heir.token, leader.token);
        return 'two';
      },
      { resumeToken: leader.token },
    );
    assert.equal(result.token, leader.token);
    assert.equal((await follower.call.result).value.toString(), 'one two');
    await dies.close();
    first.goOn.open('');
  });

  for (const [way, leave] of [
    ['cancels', (stop: AbortController) => stop.abort()],
    ['closes its client', () => void far.close()],
  ] as const)
    it(`go back when the lead crosses with a caller that ${way}`, async () => {
      const key = freshKey();
      const work = new Work();
      const stop = new AbortController();
      const opened = near.do(
        key,
        async (leader) => {
          leader.passOn();
          throw new Error(await work.run(leader));
        },
        { lease: 600_000, audience: true },
      );
      const leader = await work.entered.opened;
      const left = far.do(key, () => 'never', { signal: stop.signal });
      await audienceOf(leader, 1);
      const heir = near.do(key, () => 'heir', { timeout: 60_000 });
      await audienceOf(leader, 2);
      relay.hold();
      work.goOn.open('not me');
      await failureOf(opened, Error); // so the other leads, and has not heard of it
      leave(stop);
      await failureOf(left, CancelledError);
      relay.pass();
      const { value, attempt } = await heir;
      assert.deepEqual({ value, attempt }, { value: 'heir', attempt: 3 });
    });

  for (const localMerge of [true, false])
    it(`leave time to be given back (localMerge: ${localMerge})`, async () => {
      const key = freshKey();
      const [opener, heir] = [new Work(), new Work()];
      const opened = near.do(key, opener.run, { audience: true });
      const leader = await opener.entered.opened;
      const waits = far.do(key, heir.run, { lease: 600_000, localMerge, timeout: 60_000 });
      await audienceOf(leader, 1);
      // What the server was told: a quarter more.
      const { latestDeadline = 0 } = leader.audience ?? {};
      assert.ok(latestDeadline > 65_000 && latestDeadline <= 75_000, `${latestDeadline} ms`);
      opener.goOn.open('value');
      await Promise.all([opened, waits]);
    });

  it('are not needed by followers to join anew', async () => {
    const key = freshKey();
    const work = new Work();
    const led = near.doBytes(key, work.run, { audience: true });
    const leader = await work.entered.opened;
    const plain = far.doBytes(key, work.run);
    const live = new Listener(far.live(key, null, { role: 'FOLLOW_ONLY' }));
    await audienceOf(leader, 2);
    await leader.write('one ');
    await live.heard('one ');
    relay.cut();
    await live.restarted(1); // it is told that it all comes again
    await live.heard('one ');
    await audienceOf(leader, 2);
    work.goOn.open('two');
    for (const result of await Promise.all([led, plain, live.call.result]))
      assert.equal(result.value.toString(), 'one two');
  });

  it('are what a lead lacks that ends with its connection', async () => {
    const key = freshKey();
    const [first, second] = [new Work(), new Work()];
    const led = far.do(key, first.run, { audience: true });
    const merged = far.do(key, () => 'merged', { audience: true });
    const leader = await first.entered.opened;
    const heir = near.do(key, second.run);
    await audienceOf(leader, 2);
    relay.cut();
    assert.match(String(await lossOf(leader)), /no lease/);
    await second.entered.opened;
    first.goOn.open('too late');
    assert.match((await failureOf(led, AbortedError)).message, /no lease/);
    second.goOn.open('second');
    assert.equal((await heir).value, 'second');
    assert.match((await merged).value, /second|merged/);
  });
});
