// SPDX-License-Identifier: Apache-2.0
// A scheduled task, once across all nodes. Every node's scheduler runs it at about the same time.
// Whoever comes first runs the command; who comes while it runs waits for it; who comes within the
// RETAIN time after it has ended gets the same output at once, and nothing runs. So RETAIN is
// longer than the clocks of the nodes may differ, and shorter than the time from one run to the
// next. A node that dies at it is replaced by the next that waits.
//
// Usage: [RETAIN=600] scheduled_task NAME COMMAND [ARG...]      RETAIN is in seconds
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Client } from 'singleflightd';

const [name = '', command = '', ...args] = process.argv.slice(2);
const retain = Number(process.env.RETAIN ?? 600) * 1000;

/** @param {import('singleflightd').Leader} leader */
async function run(leader) {
  const task = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, SINGLEFLIGHT_TOKEN: String(leader.token) },
    signal: leader.signal, // a node that has lost the lead stops
  });
  const forward = async () => {
    for await (const bytes of task.stdout) await leader.write(bytes);
  };
  const [[code]] = await Promise.all([once(task, 'close'), forward()]);
  if (code !== 0) {
    leader.setError({ code: code ?? 1 });
    throw new Error(`${command} ended with ${code}`);
  }
}

const client = new Client();
try {
  // A task that failed is not to be run again by the node whose clock is slow: retainError.
  const options = { group: 'cron', retain, retainError: retain };
  const { value, failure } = await client.doSettled(name, run, options);
  process.stdout.write(value); // also beside an error
  if (failure !== undefined) process.exitCode = failure.code || 1;
} catch (error) {
  console.error(`scheduled_task: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  await client.close();
}
