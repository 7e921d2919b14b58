// SPDX-License-Identifier: Apache-2.0
// A program that is only compiled: the package's types as `import` finds them.
import { Client, StatusError } from 'singleflightd';
import type { Result } from 'singleflightd';

await using client = new Client();
try {
  const result: Result<{ n: number }> = await client.do('k', (leader) => ({ n: leader.attempt }));
  console.log(result.value.n.toFixed(), result.token + 1n);
} catch (error) {
  if (error instanceof StatusError && error.code === 'UNAVAILABLE') console.log(error.message);
}
