// SPDX-License-Identifier: Apache-2.0
// The five uses, each by several processes at once.
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { credentials } from '@grpc/grpc-js';
import { AdminClient } from '../src/gen/singleflight/v1/singleflight.js';
import type { Flight } from '../src/gen/singleflight/v1/singleflight.js';
import { Daemon } from './support/daemon.js';
import { until } from './support/story.js';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'singleflight-node-'));

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

describe('examples', { timeout: 180_000 }, () => {
  let daemon: Daemon;

  before(async () => {
    daemon = await Daemon.start();
  });

  after(async () => {
    await daemon.stop();
    rmSync(folder, { recursive: true });
  });

  async function example(name: string, ...args: string[]): Promise<Ended> {
    const program = resolve(__dirname, `../../examples/${name}.mjs`);
    const env = { ...process.env, SINGLEFLIGHT_ADDRESS: daemon.address };
    try {
      return { code: 0, ...(await run(process.execPath, [program, ...args], { env })) };
    } catch (error) {
      return error as Ended;
    }
  }

  async function three(name: string, ...args: string[]): Promise<Ended[]> {
    return Promise.all([0, 1, 2].map(() => example(name, ...args)));
  }

  it('cache_breakdown asks the database once', async () => {
    const database = join(folder, 'users');
    writeFileSync(database, 'ada,countess\nbob,builder\n');
    const outputs = (await three('cache_breakdown', database, 'ada')).map((each) => each.stdout);
    assert.deepEqual(outputs.sort(), [
      'countess (from the database)\n',
      'countess (shared)\n',
      'countess (shared)\n',
    ]);
    const { code, stderr } = await example('cache_breakdown', database, 'eve');
    assert.equal(code, 1);
    assert.equal(stderr, 'cache_breakdown: no such user\n');
  });

  it('merge_remote_calls sends one request', async () => {
    let requests = 0;
    const server = createServer((_, response) => {
      requests++;
      // Answered when all three wait for it.
      void until('three wait', async () => (await callersOf('http')) === 3).then(() =>
        response.end('the answer'),
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    for (const { stdout } of await three('merge_remote_calls', `http://127.0.0.1:${port}/`))
      assert.equal(stdout, 'the answer');
    assert.equal(requests, 1);
    server.close();
  });

  it('scheduled_task runs once, and all have its output and its exit code', async () => {
    const log = join(folder, 'log');
    const task = `echo ran >> ${log}; echo report; exit 3`;
    for (const { code, stdout } of await three('scheduled_task', 'nightly', 'sh', '-c', task)) {
      assert.equal(stdout, 'report\n');
      assert.equal(code, 3);
    }
    assert.equal(readFileSync(log, 'utf8'), 'ran\n');
  });

  it('message_dedup charges once', async () => {
    const ledger = join(folder, 'ledger');
    const outputs = (await three('message_dedup', ledger, 'm1', '5')).map((each) => each.stdout);
    assert.equal(outputs.filter((output) => output.endsWith('(charged)\n')).length, 1);
    assert.equal(outputs.filter((output) => output.endsWith('(delivered again)\n')).length, 2);
    assert.match(readFileSync(ledger, 'utf8'), /^m1 5 \d+\n$/);
    assert.match((await example('message_dedup', ledger, 'm1', '6')).stderr, /fingerprint/);
  });

  const hasRedis = spawnSync('redis-server', ['--version']).status === 0;
  it('lock_relief takes the lock once', { skip: !hasRedis && 'no redis-server' }, async () => {
    const socket = join(folder, 'redis');
    const options = ['--port', '0', '--unixsocket', socket, '--save', ''];
    const redis = spawn('redis-server', options, { cwd: folder, stdio: 'ignore' });
    try {
      await until('Redis answers', () => {
        return spawnSync('redis-cli', ['-s', socket, 'ping']).stdout.toString() === 'PONG\n';
      });
      for (const { stdout, stderr } of await three('lock_relief', socket, 'job'))
        assert.equal(stdout, 'run 1\n', stderr);
    } finally {
      redis.kill();
      await once(redis, 'exit');
    }
  });

  async function callersOf(group: string): Promise<number> {
    const admin = new AdminClient(daemon.address, credentials.createInsecure());
    const request = { group, keyPrefix: Buffer.alloc(0), limit: 0 };
    let callers = 0;
    for await (const flight of admin.listFlights(request)) callers += (flight as Flight).callers;
    admin.close();
    return callers;
  }
});
