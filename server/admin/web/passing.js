// SPDX-License-Identifier: Apache-2.0
// Rows are told when they change, and time passes all the while; but not on a page that shows what
// once was.

let stoppedAt; // since when what is shown gets no newer; undefined: it does
const clock = () => stoppedAt ?? performance.now();

export function setPassing(isPassing) {
  stoppedAt = isPassing ? undefined : clock();
}

export function received(rows) {
  for (const row of rows) row.receivedAt = clock();
  return rows;
}

const since = (row) => clock() - row.receivedAt;
const left = (ms, row) => (ms === null || ms === undefined ? ms : Math.max(0, ms - since(row)));

export const ageOf = (row) => row.age_ms + since(row);
export const leaseOf = (row) => left(row.lease_ms, row);
export const expiryOf = (row) => left(row.expires_ms, row);
