// SPDX-License-Identifier: Apache-2.0
// Makes dist/ where it is not shipped: npm runs this when the package is installed from a folder or
// from git, and before it is packed.
const { execFileSync } = require('node:child_process');
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const compiler = join(__dirname, 'node_modules', 'typescript', 'bin', 'tsc');

// An install of a folder only links to it, and leaves it to us to have what the package needs.
if (!existsSync(compiler)) {
  const options = ['--include=dev', '--ignore-scripts', '--no-audit', '--no-fund'];
  const env = { ...process.env };
  for (const name of ['global', 'prefix', 'location', 'omit', 'dry_run', 'local_prefix'])
    delete env[`npm_config_${name}`];
  execFileSync('npm', ['ci', ...options], {
    cwd: __dirname,
    env,
    shell: process.platform === 'win32',
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
execFileSync(process.execPath, [compiler, '-p', join(__dirname, 'tsconfig.json')], {
  stdio: 'inherit',
});
