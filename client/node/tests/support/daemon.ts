// SPDX-License-Identifier: Apache-2.0
// A singleflightd of a test's own.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { credentials } from '@grpc/grpc-js';
import { AdminClient } from '../../src/gen/singleflight/v1/singleflight.js';
import type { Flight } from '../../src/gen/singleflight/v1/singleflight.js';
import { until } from './story.js';

const PROGRAM =
  process.env.SINGLEFLIGHTD ?? resolve(__dirname, '../../../../../build/bin/singleflightd');

export class Daemon {
  private constructor(
    private process: ChildProcess,
    readonly address: string,
    private readonly options: readonly string[],
  ) {}

  /** Starts one on a free port. */
  static async start(...options: string[]): Promise<Daemon> {
    const { process, address } = await launch('127.0.0.1:0', options);
    return new Daemon(process, address, options);
  }

  /** Starts it again at the same address; it has to be ended before. */
  async restart(): Promise<void> {
    this.process = (await launch(this.address, this.options)).process;
  }

  signal(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  /** Ends it, and gives its exit code once it is over; null after SIGKILL. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const exited = once(this.process, 'exit');
      this.process.kill(signal);
      await exited;
    }
    return this.process.exitCode;
  }
}

async function launch(
  listen: string,
  options: readonly string[],
): Promise<{ process: ChildProcess; address: string }> {
  const daemon = spawn(PROGRAM, ['--listen', listen, ...options], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(daemon, 'spawn');
  const lines = createInterface({ input: daemon.stdout });
  const [line] = (await Promise.race([once(lines, 'line'), once(daemon, 'exit')])) as [unknown];
  const address = /listening on (\S+)/.exec(String(line))?.[1];
  if (address === undefined) throw new Error(`${PROGRAM} did not start: ${String(line)}`);
  return { process: daemon, address };
}

/** Waits until so many callers are in the flights of the key. */
export async function callersAre(address: string, key: string, callers: number): Promise<void> {
  const admin = new AdminClient(address, credentials.createInsecure());
  const request = { group: '', keyPrefix: Buffer.from(key), limit: 0 };
  await until(`${callers} callers`, async () => {
    let count = 0;
    for await (const flight of admin.listFlights(request)) count += (flight as Flight).callers;
    return count === callers;
  });
  admin.close();
}
