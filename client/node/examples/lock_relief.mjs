// SPDX-License-Identifier: Apache-2.0
// Relief for a distributed lock: a thousand processes want the job done under a lock in Redis. Only
// one of them tries for the lock, the others wait here, where waiting is cheap.
//
// Usage: lock_relief REDIS JOB      REDIS is a URL, or the path of a unix socket
import { Redis } from 'ioredis';
import { Client } from 'singleflightd';

const UNLOCK = `if redis.call('get', KEYS[1]) == ARGV[1] then
  return redis.call('del', KEYS[1]) else return 0 end`;

const [address = '', job = ''] = process.argv.slice(2);

// The job: counts its runs, under the lock, which those who do not use singleflight respect, too.
/** @param {import('singleflightd').Leader} leader */
async function run(leader) {
  const redis = new Redis(address);
  const token = String(leader.token); // the value of the lock: no other holder has the same
  try {
    if ((await redis.set(`lock:${job}`, token, 'PX', 30_000, 'NX')) === null)
      throw new Error('somebody else has the lock');
    const runs = await redis.incr(`runs:${job}`);
    await redis.eval(UNLOCK, 1, `lock:${job}`, token);
    return `run ${runs}`;
  } finally {
    redis.disconnect();
  }
}

const client = new Client();
try {
  console.log((await client.do(job, run, { group: 'jobs', retain: 5000 })).value);
} catch (error) {
  console.error(`lock_relief: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  await client.close();
}
