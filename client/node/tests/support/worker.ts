// SPDX-License-Identifier: Apache-2.0
// A process of its own that asks for one key, and tells in lines of JSON what happens.
//
// Usage: worker ADDRESS KEY OPTIONS [FOLLOWERS]      FOLLOWERS: the function waits for so many
// On standard input: "go" lets the function end.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Client } from '../../src/index.js';
import type { Audience, CallOptions, Leader } from '../../src/index.js';
import { audienceOf } from './story.js';

const [address = '', key = '', options = '{}', followers] = process.argv.slice(2);

function tell(event: object): void {
  const text = JSON.stringify(event, (_, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
  process.stdout.write(`${text}\n`);
}

async function work(leader: Leader): Promise<number> {
  tell({ event: 'lead', attempt: leader.attempt });
  leader.on('audience', (audience: Audience) => tell({ event: 'audience', ...audience }));
  if (followers !== undefined) {
    await audienceOf(leader, Number(followers));
  } else {
    const input = createInterface({ input: process.stdin });
    await once(input, 'line');
    input.close();
  }
  return process.pid;
}

async function main(): Promise<void> {
  const client = new Client({ addresses: address, connectTimeout: 60_000, backoffMax: 100 });
  try {
    const given = JSON.parse(options) as CallOptions;
    tell({ event: 'done', ...(await client.do(key, work, { audience: true, ...given })) });
  } catch (error) {
    tell({ event: 'failed', message: String(error) });
  }
  await client.close();
}

void main();
