// SPDX-License-Identifier: Apache-2.0
// What the driver says, and how it names bytes.
import { createHash } from 'node:crypto';

export function tell(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
