// SPDX-License-Identifier: Apache-2.0
// What the client costs beside bare grpc-js: both do flights of distinct keys, which each of them
// leads.
import { parseArgs } from 'node:util';
import { Client } from '../src/index.js';
import { Bare } from './bare.js';

const VALUE = Buffer.alloc(100, 'v');
const WARM_UP_S = 0.5;

type Flight = (key: string) => Promise<unknown>;

let keys = 0;

/** Keeps so many flights under way, and gives the time that each took, in microseconds. */
async function fly(flight: Flight, inFlight: number, seconds: number): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  const one = async (): Promise<void> => {
    for (let begun = performance.now(); begun < end;) {
      await flight(`${process.pid} ${keys++}`);
      const now = performance.now();
      times.push((now - begun) * 1000);
      begun = now;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  return times;
}

async function figure(name: string, flight: Flight, inFlight: number, seconds: number) {
  await fly(flight, inFlight, WARM_UP_S);
  const times = (await fly(flight, inFlight, seconds)).sort((a, b) => a - b);
  const row = {
    name: `client.node.${name}${inFlight}`,
    flights_per_s: Math.round(times.length / seconds),
    p50_us: Math.round(times[times.length >> 1] ?? 0),
  };
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { address: { type: 'string' }, seconds: { type: 'string', default: '3' } },
  });
  if (values.address === undefined) throw new Error('--address is missing');
  const seconds = Number(values.seconds);
  const client = new Client({ addresses: values.address });
  const bare = new Bare(values.address);
  for (const inFlight of [64, 1]) {
    await figure('bare', (key) => bare.flight(key, VALUE), inFlight, seconds);
    const work = (): Buffer => VALUE;
    const options = { group: 'bench' };
    await figure('distinct', (key) => client.doBytes(key, work, options), inFlight, seconds);
  }
  bare.close();
  await client.close();
}

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${String(error)}\n`);
  process.exitCode = 1;
});
