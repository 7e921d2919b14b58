// SPDX-License-Identifier: Apache-2.0
// Many processes on one key, and processes that die.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { Client } from '../src/index.js';
import type { Result } from '../src/index.js';
import { Daemon } from './support/daemon.js';
import { audienceOf, freshKey, Work } from './support/story.js';

interface Told extends Result<number | string> {
  event: string;
}

class Worker {
  private constructor(
    readonly process: ChildProcessByStdio<Writable, Readable, null>,
    private readonly lines: AsyncIterator<string>,
    private readonly input: Interface,
  ) {}

  static start(...options: string[]): Worker {
    const program = resolve(__dirname, 'support/worker.js');
    const worker = spawn(process.execPath, [program, ...options], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const input = createInterface({ input: worker.stdout });
    return new Worker(worker, input[Symbol.asyncIterator](), input);
  }

  async tells(event: string): Promise<Told> {
    const { value } = (await this.lines.next()) as { value: string };
    const told = JSON.parse(value) as Told;
    assert.equal(told.event, event, value);
    return told;
  }

  /** All that it tells until it ends by itself. */
  async tellsAll(): Promise<Told[]> {
    const told: Told[] = [];
    for (;;) {
      const line = await this.lines.next();
      if (line.done === true) return told;
      told.push(JSON.parse(line.value) as Told);
    }
  }

  async dies(): Promise<void> {
    const exited = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await exited;
    this.input.close();
  }
}

describe('processes', { timeout: 180_000 }, () => {
  let daemon: Daemon;
  let client: Client;

  before(async () => {
    daemon = await Daemon.start();
    client = new Client({ addresses: daemon.address });
  });

  after(async () => {
    await client.close();
    await daemon.stop();
  });

  it('share one execution, all forty of them', async () => {
    const key = freshKey();
    const workers = Array.from({ length: 40 }, () => Worker.start(daemon.address, key, '{}', '39'));
    const told = await Promise.all(workers.map((worker) => worker.tellsAll()));
    const results = told.map((events) => events.at(-1));
    const pid = results[0]?.value;
    for (const result of results) {
      assert.equal(result?.event, 'done');
      assert.equal(result.value, pid);
      assert.equal(result.callers, 40);
    }
    assert.equal(told.flat().filter((each) => each.event === 'lead').length, 1);
    assert.equal(results.filter((result) => result?.led).length, 1);
  });

  it('take over from a leader that is killed', async () => {
    const key = freshKey();
    const first = Worker.start(daemon.address, key);
    assert.equal((await first.tells('lead')).attempt, 1);
    const work = new Work();
    const followed = client.do(key, work.run, { audience: true });
    await first.tells('audience');
    await first.dies();
    const leader = await work.entered.opened;
    assert.equal(leader.attempt, 2);
    const second = Worker.start(daemon.address, key);
    await audienceOf(leader, 1);
    work.goOn.open('taken over');
    assert.equal((await followed).attempt, 2);
    assert.equal((await second.tells('done')).value, 'taken over');
  });
});
