// SPDX-License-Identifier: Apache-2.0
// Servers that are not there, go away, come back, or never were what they seemed.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';
import {
  AbortedError,
  CancelledError,
  Client,
  DeadlineExceededError,
  StatusError,
  UnavailableError,
} from '../src/index.js';
import type { Leader } from '../src/index.js';
import { rendezvous } from '../src/rendezvous.js';
import { Daemon } from './support/daemon.js';
import { Listener } from './support/listener.js';
import { Relay } from './support/relay.js';
import { audienceOf, failureOf, freshKey, lossOf, until, Work } from './support/story.js';

/** An address where nobody listens. */
async function nowhere(): Promise<string> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `127.0.0.1:${port}`;
}

describe('reach', { timeout: 180_000 }, () => {
  it('says where it looked in vain', async () => {
    const address = await nowhere();
    const client = new Client({ addresses: address, connectTimeout: 1500 });
    const error = await failureOf(
      client.do('k', () => 1),
      UnavailableError,
    );
    assert.ok(error.message.includes(address));
    assert.match(error.message, /ECONNREFUSED/);
    assert.match((await failureOf(client.forget('k'), UnavailableError)).message, /ECONNREFUSED/);
    const begun = performance.now(); // known to be down, but it may be back soon
    await failureOf(
      client.do('k', () => 1),
      UnavailableError,
    );
    assert.ok(performance.now() - begun > 1400);
    await client.close();
  });

  it('runs the function here when calls may fail open', async () => {
    const addresses = [await nowhere(), await nowhere()];
    const client = new Client({ addresses, connectTimeout: 60_000, failOpen: true });
    let runs = 0;
    const work = (leader: Leader): number => {
      assert.equal(leader.token, 0n);
      return ++runs;
    };
    const results = await Promise.all([client.do('k', work), client.do('k', work)]);
    for (const [index, result] of results.entries()) {
      assert.equal(result.value, 1);
      assert.equal(result.failedOpen, true);
      assert.equal(result.led, index === 0);
      assert.equal(result.callers, 2);
    }
    const here = { connectTimeout: 100 };
    await failureOf(client.do('k', work, { ...here, failOpen: false }), UnavailableError);
    await failureOf(client.do('k', null, { ...here, role: 'FOLLOW_ONLY' }), UnavailableError);
    await client.close();
  });

  it('does not wait for an address that refuses when there is another one', async () => {
    const daemon = await Daemon.start();
    const client = new Client({
      addresses: [await nowhere(), daemon.address, await nowhere()],
      connectTimeout: 60_000,
    });
    const asked = Array.from({ length: 12 }, () => client.do(freshKey(), () => 'value'));
    for (const result of await Promise.all(asked)) assert.equal(result.failedOpen, false);
    assert.equal((await client.forget(freshKey())).flight, false);
    await client.close();
    await daemon.stop();
  });

  it('does not wait at all with a connectTimeout of 0', async () => {
    const daemon = await Daemon.start();
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const port = (silent.address() as AddressInfo).port;
    for (const address of [`127.0.0.1:${port}`, await nowhere()]) {
      const client = new Client({ addresses: address, connectTimeout: 0 });
      await failureOf(
        client.do('k', () => 1),
        UnavailableError,
      );
      const alone = await client.do('k', (leader) => leader.lost, { failOpen: true });
      assert.deepEqual([alone.failedOpen, alone.value], [true, false]);
      await client.close();
    }
    const client = new Client({ addresses: daemon.address, connectTimeout: 0 });
    const ask = () => client.do(freshKey(), () => 'value').catch(() => undefined);
    await until('a server that is there is known', async () => (await ask())?.value === 'value');
    await client.close();
    for (const socket of sockets) socket.destroy();
    silent.close();
    await daemon.stop();
  });

  for (const lease of [0, 1000])
    it(`lets a function go on that loses the server (failOpen, lease: ${lease})`, async () => {
      const daemon = await Daemon.start();
      const client = new Client({ addresses: daemon.address, failOpen: true });
      const key = freshKey();
      const work = new Work();
      const led = client.do(key, work.run, { lease });
      const leader = await work.entered.opened;
      const merged = client.do(key, () => 'never', { lease });
      await daemon.stop();
      const begun = performance.now();
      await until('more than the lease', () => performance.now() - begun > 1500);
      assert.deepEqual([leader.lost, leader.signal.aborted], [false, false]);
      work.goOn.open('value');
      for (const { value, failedOpen, token } of await Promise.all([led, merged]))
        assert.deepEqual([value, failedOpen, token], ['value', true, leader.token]);
      assert.equal((await client.do(key, () => 'anew')).value, 'anew');
      await client.close();
    });

  it('resumes a lead where it was granted, though another server is there', async () => {
    const daemons = await Promise.all([Daemon.start(), Daemon.start()]);
    const relays = await Promise.all(daemons.map(({ address }) => Relay.start(address)));
    const client = new Client({ addresses: relays.map(({ address }) => address), backoffMax: 100 });
    const work = new Work();
    const led = client.do(freshKey(), work.run, { lease: 20_000 });
    const leader = await work.entered.opened;
    const home = relays.find((relay) => relay.connections > 0);
    home?.cut(true);
    const other = client.do(freshKey(), () => 'goes on');
    assert.equal((await other).value, 'goes on');
    home?.accept();
    work.goOn.open('value');
    const { value, token } = await led;
    assert.deepEqual([value, token], ['value', leader.token]);
    await client.close();
    await Promise.all([...relays, ...daemons].map((each) => each.stop()));
  });

  it('keeps deadlines without a server', async () => {
    const client = new Client({ addresses: await nowhere() });
    await failureOf(
      client.do('k', () => 1, { timeout: 50 }),
      DeadlineExceededError,
    );
    await client.close();
  });

  it('waits for a server that comes', async () => {
    const daemon = await Daemon.start();
    await daemon.stop();
    const client = new Client({ addresses: daemon.address, connectTimeout: 20_000 });
    const call = client.do('k', () => 'value');
    await daemon.restart();
    assert.equal((await call).value, 'value');
    await client.close();
    await daemon.stop();
  });

  it('listens at unix sockets', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'singleflight-node-'));
    const path = join(folder, 'socket');
    const daemon = await Daemon.start('--unix-socket', path);
    const client = new Client({ addresses: `unix:${path}` });
    assert.equal((await client.do('k', () => 'value')).value, 'value');
    await client.close();
    await daemon.stop();
    rmSync(folder, { recursive: true });
  });

  it('gives up on what is no singleflightd, in words', async () => {
    const server = new GrpcServer();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    const client = new Client({ addresses: `127.0.0.1:${port}` });
    const error = await failureOf(
      client.do('k', () => 1),
      StatusError,
    );
    assert.equal(error.code, 'UNIMPLEMENTED');
    assert.match(error.message, /older than this client/);
    await client.close();
    server.forceShutdown();
  });

  it('gives up on a server that does not answer', async () => {
    const daemon = await Daemon.start();
    const client = new Client({ addresses: daemon.address, connectTimeout: 300 });
    daemon.signal('SIGSTOP');
    await failureOf(
      client.do('k', () => 1),
      UnavailableError,
    );
    await failureOf(
      client.do('k', () => 1),
      UnavailableError,
    );
    daemon.signal('SIGCONT');
    const ask = () => client.do('k', () => 'value').catch(() => undefined);
    await until('it is back', async () => (await ask())?.value === 'value');
    await client.close();
    await daemon.stop();
  });

  it('closes in spite of a server that does not answer', async () => {
    const daemon = await Daemon.start();
    const relay = await Relay.start(daemon.address);
    const client = new Client({ addresses: relay.address });
    const key = freshKey();
    const work = new Work();
    const call = client.do(key, work.run, { lease: 60_000 });
    await work.entered.opened;
    daemon.signal('SIGSTOP');
    work.goOn.open('nobody confirms this');
    await work.goOn.opened;
    await nextTurn(); // the function has ended
    const closed = client.close();
    await failureOf(call, CancelledError);
    await closed;
    // No session was opened to resume the lead.
    await until('the connection is closed', () => relay.connections === 0);
    await daemon.stop();
    await relay.stop();
  });

  it('outlives a daemon that is restarted', async () => {
    const daemon = await Daemon.start();
    const key = freshKey();
    const [first, second] = [new Work(), new Work()];
    const leads = new Client({ addresses: daemon.address, backoffMax: 100 });
    const follows = new Client({ addresses: daemon.address, backoffMax: 100 });
    const led = leads.do(key, first.run, { lease: 60_000, audience: true });
    const leader = await first.entered.opened;
    const followed = follows.do(key, second.run);
    await audienceOf(leader, 1);
    await daemon.stop('SIGKILL');
    await daemon.restart();
    // A leader with a lease finds that nobody knows it any more.
    assert.ok((await lossOf(leader)) instanceof AbortedError);
    assert.ok((await second.entered.opened).token > leader.token);
    first.goOn.open('too late');
    second.goOn.open('second');
    await failureOf(led, AbortedError);
    assert.equal((await followed).value, 'second');
    await Promise.all([leads.close(), follows.close()]);
    await daemon.stop();
  });

  it('lets the flights of a draining daemon end', async () => {
    const daemon = await Daemon.start();
    const key = freshKey();
    const work = new Work();
    const leads = new Client({ addresses: daemon.address, connectTimeout: 200 });
    const follows = new Client({ addresses: daemon.address });
    const led = leads.doBytes(key, work.run, { audience: true });
    const leader = await work.entered.opened;
    const follower = new Listener(follows.live(key, null, { role: 'FOLLOW_ONLY' }));
    await audienceOf(leader, 1);
    const exit = daemon.stop('SIGTERM');
    const ask = () => leads.do(freshKey(), () => 1).catch((error: unknown) => error);
    await until('it drains', async () => (await ask()) instanceof UnavailableError);
    await leader.write('going ');
    await follower.heard('going ');
    work.goOn.open('gone');
    assert.equal((await led).value.toString(), 'going gone');
    assert.equal((await follower.call.result).value.toString(), 'going gone');
    assert.equal(await exit, 0);
    await Promise.all([leads.close(), follows.close()]);
  });

  // --------------------------------------------------------------------------- several servers

  it('gives each key its home, whatever the order of the addresses', async () => {
    const [one, two] = await Promise.all([Daemon.start(), Daemon.start()]);
    const there = new Client({ addresses: [one.address, two.address] });
    const back = new Client({ addresses: `${two.address}, ${one.address}` });
    for (let i = 0; i < 16; i++) {
      const key = freshKey();
      const work = new Work();
      const led = there.do(key, work.run, { audience: true });
      const leader = await work.entered.opened;
      const followed = back.do(key, work.run);
      await audienceOf(leader, 1);
      work.goOn.open('value');
      assert.equal((await led).callers, 2);
      assert.equal((await followed).led, false);
    }
    await Promise.all([there.close(), back.close()]);
    await Promise.all([one.stop(), two.stop()]);
  });

  it('lets the next server stand in until the home is back', async () => {
    const daemons = await Promise.all([Daemon.start(), Daemon.start()]);
    const addresses = daemons.map((daemon) => daemon.address);
    const key = freshKey();
    const home = (await rendezvous(addresses))('', Buffer.from(key))[0];
    const daemon = daemons[home ?? 0] as Daemon;
    const client = new Client({ addresses, connectTimeout: 300, backoffMax: 100 });
    const direct = new Client({ addresses: daemon.address });
    await daemon.stop();
    assert.equal((await client.do(key, () => 'value', { retain: 60_000 })).led, true);
    assert.equal((await client.do(key, () => 'value')).retained, true);
    await daemon.restart();
    await direct.do(key, () => 'home', { retain: 60_000 });
    const ask = () => client.do(key, () => 'nowhere', { localMerge: false });
    await until('the home is asked again', async () => (await ask()).value === 'home');
    await Promise.all([client.close(), direct.close()]);
    await Promise.all(daemons.map((each) => each.stop()));
  });
});
