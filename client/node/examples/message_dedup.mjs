// SPDX-License-Identifier: Apache-2.0
// Message deduplication: a broker delivers at least once, and an order must be charged once. Within
// the window, a message that is delivered again gets the outcome of the first one; two deliveries
// at the same time on two machines do, too.
//
// Usage: message_dedup LEDGER MESSAGE_ID AMOUNT
import { appendFile } from 'node:fs/promises';
import { Client } from 'singleflightd';

const [ledger = '', id = '', amount = ''] = process.argv.slice(2);

// Charges the order: a line in the ledger. A ledger that is a database would also refuse a token
// smaller than the last one.
/** @param {import('singleflightd').Leader} leader */
async function charge(leader) {
  await appendFile(ledger, `${id} ${amount} ${leader.token}\n`);
  return `receipt ${leader.token} for ${id}`;
}

const client = new Client();
try {
  const { value, led } = await client.do(id, charge, {
    group: 'orders',
    retain: 60 * 60 * 1000, // the window; an error is not retained: a redelivery tries again
    fingerprint: amount, // the same id with another amount is a mistake, and is refused
  });
  console.log(`${value} (${led ? 'charged' : 'delivered again'})`);
} catch (error) {
  console.error(`message_dedup: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  await client.close();
}
