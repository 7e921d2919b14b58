// SPDX-License-Identifier: Apache-2.0
// The package as its users see it: what is in it, how it is loaded, when its process ends.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Daemon } from './support/daemon.js';

const run = promisify(execFile);
const cwd = resolve(__dirname, '../..');

// Inside of its folder the package is found under its own name.
async function node(type: 'module' | 'commonjs', script: string, address: string): Promise<string> {
  const env = { ...process.env, SINGLEFLIGHT_ADDRESS: address };
  const options = { cwd, env, timeout: 20_000 };
  const { stdout } = await run(process.execPath, [`--input-type=${type}`, '-e', script], options);
  return stdout.trim();
}

describe('package', { timeout: 180_000 }, () => {
  let daemon: Daemon;

  before(async () => {
    daemon = await Daemon.start();
  });

  after(async () => {
    await daemon.stop();
  });

  it('is one for import and for require', async () => {
    const script = `
      import { createRequire } from 'node:module';
      import { Client, StatusError } from 'singleflightd';
      const required = createRequire(process.cwd() + '/').call(null, 'singleflightd');
      console.log(required.Client === Client && required.StatusError === StatusError);`;
    assert.equal(await node('module', script, daemon.address), 'true');
  });

  it('leaves nothing behind after close', async () => {
    const script = `
      const { Client } = require('singleflightd');
      (async () => {
        const client = new Client();
        const { value } = await client.do('k', () => 'value', { lease: 60_000 });
        await client.close();
        setImmediate(() => {
          const left = process.getActiveResourcesInfo().filter((each) => /TCP|Timeout/.test(each));
          console.log(value, left.length);
        });
      })();`;
    assert.equal(await node('commonjs', script, daemon.address), 'value 0');
  });

  it('lets a process end that forgets to close', async () => {
    const script = `
      import { Client } from 'singleflightd';
      const client = new Client();
      console.log((await client.do('k', () => 'value')).value);`;
    assert.equal(await node('module', script, daemon.address), 'value');
  });

  it('is closed by "await using"', async () => {
    const script = `
      const { Client } = require('singleflightd');
      const dispose = Symbol.asyncDispose ?? 'none';
      new Client()[dispose]?.().then(() => console.log('disposed'));
      if (dispose === 'none') console.log('disposed');`;
    assert.equal(await node('commonjs', script, daemon.address), 'disposed');
  });

  it('is built where it is installed from a folder', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'singleflight-node-'));
    const [there, app] = [join(folder, 'there'), join(folder, 'app')];
    mkdirSync(app);
    for (const path of ['package.json', 'prepare.mjs', 'tsconfig.json', 'src'])
      cpSync(join(cwd, path), join(there, path), { recursive: true });
    symlinkSync(join(cwd, 'node_modules'), join(there, 'node_modules'));
    const env = { ...process.env, npm_config_offline: 'true' };
    await run('npm', ['install', there], { cwd: app, env });
    const script = "console.log(typeof require('singleflightd').Client)";
    const { stdout } = await run(process.execPath, ['-e', script], { cwd: app });
    assert.equal(stdout, 'function\n');
    rmSync(folder, { recursive: true });
  });

  it('says where it comes from', () => {
    const pack = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8')) as {
      homepage: string;
      bugs: { url: string };
      author: string;
      repository: { url: string; directory: string };
    };
    const { url, directory } = pack.repository;
    assert.match(url, /^git\+https:.*\.git$/);
    assert.equal(directory, 'client/node');
    const page = url.replace(/^git\+|\.git$/g, '');
    for (const link of [pack.homepage, pack.bugs.url]) assert.ok(link.startsWith(page), link);
    assert.ok(pack.author.length > 0);
  });

  it('ships what its users need, and no more', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd,
    });
    const [pack] = JSON.parse(stdout) as [{ files: { path: string }[] }];
    const paths = pack.files.map((file) => file.path);
    for (const path of ['LICENSE', 'README.md', 'package.json', 'dist/index.js', 'dist/esm.d.mts'])
      assert.ok(paths.includes(path), path);
    const others = paths.filter((path) => !/^dist\/.*\.(m?js|d\.m?ts)$/.test(path));
    assert.deepEqual(others.sort(), ['LICENSE', 'README.md', 'package.json']);
  });
});
