// SPDX-License-Identifier: Apache-2.0
// Which server is a key's home: all clients, whatever their language, must come to the same answer.

/** Gives the places of `addresses` in the order in which a key prefers them. */
export type Rendezvous = (group: string, key: Uint8Array) => number[];

/** The order is that of XXH64, seed 0, of <address> 00 <group> 00 <key>, the greatest first. */
export async function rendezvous(addresses: readonly string[]): Promise<Rendezvous> {
  const { default: xxhash } = await import('xxhash-wasm');
  const hash = await xxhash();
  const zero = Buffer.alloc(1);
  const heads = addresses.map((address) => Buffer.from(address, 'utf8'));
  return (group, key) => {
    const name = Buffer.from(group === '' ? 'default' : group, 'utf8');
    const scores = heads.map((head) =>
      hash.h64Raw(Buffer.concat([head, zero, name, zero, key]), 0n),
    );
    const order = scores.map((_, place) => place);
    return order.sort((a, b) => compare(scores[b] ?? 0n, scores[a] ?? 0n) || a - b);
  };
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
