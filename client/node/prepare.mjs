// SPDX-License-Identifier: Apache-2.0
// Makes dist/ where it is not shipped: npm runs this when the package is installed from a folder or
// from git, and before it is packed.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const compiler = join(here, 'node_modules', 'typescript', 'bin', 'tsc');

// What the install around this one was told is not meant for this one.
const FOREIGN = /^npm_config_(global|prefix|location|omit|dry_run|local_prefix)$/;

// An install of a folder only links to it, and leaves it to us to have what the package needs.
if (!existsSync(compiler)) {
  const options = ['--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'];
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !FOREIGN.test(name)),
  );
  execFileSync('npm', ['ci', ...options], {
    cwd: here,
    env,
    shell: process.platform === 'win32',
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
execFileSync(process.execPath, [compiler, '-p', join(here, 'tsconfig.json')], {
  stdio: 'inherit',
});
