// SPDX-License-Identifier: Apache-2.0
// Cache breakdown: an entry that everybody wants has just expired, and the database is asked for it
// once instead of a thousand times.
//
// Usage: cache_breakdown DATABASE USER      DATABASE is a file of lines "user,profile"
import { readFile } from 'node:fs/promises';
import { Client } from 'singleflightd';

const [database = '', user = ''] = process.argv.slice(2);

// Runs in one process, on behalf of all that ask for this user at this moment.
async function load() {
  const rows = (await readFile(database, 'utf8')).split('\n').map((line) => line.split(','));
  const row = rows.find(([name]) => name === user);
  if (row === undefined) throw new Error('no such user');
  return row[1];
}

const client = new Client();
try {
  // Retained for those who looked into the cache just before it was filled.
  const { value, led } = await client.do(user, load, { group: 'users', retain: 5000 });
  console.log(`${value} (${led ? 'from the database' : 'shared'})`);
} catch (error) {
  console.error(`cache_breakdown: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  await client.close();
}
