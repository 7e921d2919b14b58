// SPDX-License-Identifier: Apache-2.0
// Which functions a call is made in: one for the key that such a function leads waits for itself.
import { AsyncLocalStorage } from 'node:async_hooks';
import type { LeadRef } from './gen/singleflight/v1/singleflight.js';
import type { Leader } from './leader.js';

/** Of a call, for the server. */
export const WITHIN_MAX = 32;

/** A function that runs, and the one in which it was called. */
export interface Nest {
  readonly leader: Leader;
  /** Whose lead it is. */
  readonly client: object;
  readonly outer: Nest | undefined;
}

const storage = new AsyncLocalStorage<Nest>();

/** The innermost function that the running code belongs to. */
export function currentNest(): Nest | undefined {
  return storage.getStore();
}

export function runInside<T>(nest: Nest, work: () => T): T {
  return storage.run(nest, work);
}

/** The functions that still run and lead, the innermost first. */
export function runningLeads(nest: Nest | undefined): Nest[] {
  const leads: Nest[] = [];
  for (let each = nest; each !== undefined; each = each.outer)
    if (each.leader.leads) leads.push(each);
  return leads;
}

/** The same for the server: the innermost ones. */
export function leadRefs(nest: Nest | undefined): LeadRef[] {
  return runningLeads(nest)
    .filter(({ leader }) => leader.token !== 0n)
    .slice(0, WITHIN_MAX)
    .map(({ leader: { group, key, token } }) => ({ group, key, token }));
}
