// SPDX-License-Identifier: Apache-2.0
// Merging equal remote calls: however many processes GET the same thing at the same time, the other
// side sees one request.
//
// Usage: merge_remote_calls URL
import { Client } from 'singleflightd';

const [url = ''] = process.argv.slice(2);

/** @param {import('singleflightd').Leader} leader */
async function get(leader) {
  try {
    const response = await fetch(url, { signal: leader.signal });
    if (!response.ok) throw new Error(`the other side says ${response.status}`);
    for await (const bytes of response.body ?? []) await leader.write(bytes);
  } catch (error) {
    leader.passOn(); // our trouble need not be everybody's: the next one tries
    throw error;
  }
}

const client = new Client({ failOpen: true }); // without a daemon, everybody calls for himself
try {
  const { value } = await client.doBytes(`GET ${url}`, get, { group: 'http', timeout: 30_000 });
  process.stdout.write(value);
} catch (error) {
  console.error(`merge_remote_calls: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  await client.close();
}
