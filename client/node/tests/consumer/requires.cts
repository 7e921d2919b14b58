// SPDX-License-Identifier: Apache-2.0
// A program that is only compiled: the package's types as `require` finds them.
import { Client } from 'singleflightd';
import type { LiveCall } from 'singleflightd';

async function main(): Promise<void> {
  const client = new Client();
  const call: LiveCall = client.live('k', async (leader) => {
    await leader.write('x');
  });
  for await (const event of call)
    console.log(event.type === 'chunk' ? event.data.length : event.attempt);
  await client.close();
}

void main();
