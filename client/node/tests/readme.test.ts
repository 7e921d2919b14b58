// SPDX-License-Identifier: Apache-2.0
// The README as a newcomer meets it: each of its code blocks, in an empty folder.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Daemon } from './support/daemon.js';

const run = promisify(execFile);
const home = resolve(__dirname, '../..');
const readme = readFileSync(join(home, 'README.md'), 'utf8');

interface Block {
  language: string;
  text: string;
}

const blocks: Block[] = [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map((match) => {
  const [, language = '', text = ''] = match;
  return { language, text };
});

/** What the programs print, by their names. */
const OUTPUTS: Record<string, RegExp> = {
  'hello.mjs': /^led: token \d+, attempt 1\n\{ user: 'ada', number: 0\.\d+.*\} mine\n$/,
  'hello.cjs': /^42\n$/,
  'report.mjs': /^one\ntwo\n$/,
  'secure.mjs': /^true\n$/,
  'watched.mjs': /^people leader OK ok\n$/,
  'users.test.mjs': /^# pass 2\n# fail 0$/m,
};

/** A daemon that wants certificates and tokens, and what a caller needs, in the folder. */
async function startSecured(folder: string): Promise<Daemon> {
  await run(resolve(home, '../../tests/support/certificates'), [folder]);
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('token'), 'a-secret');
  const hash = createHash('sha256').update('a-secret').digest('hex');
  writeFileSync(at('tokens'), `ada ${hash}\n`);
  return Daemon.start(
    ...['--tls-cert', at('server.pem'), '--tls-key', at('server.key')],
    ...['--tls-client-ca', at('ca.pem'), '--token-file', at('tokens')],
  );
}

describe('README', { timeout: 180_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'singleflight-node-'));
  let daemon: Daemon;

  before(async () => {
    daemon = await Daemon.start();
  });

  after(async () => {
    await daemon.stop();
    rmSync(folder, { recursive: true });
  });

  it('has a line that installs the package', async () => {
    const lines = blocks.find((block) => block.language === 'sh')?.text.split('\n') ?? [];
    const [clone = '', install = '', ...others] = lines;
    assert.match(clone, /^git clone .*\/singleflightd$/);
    assert.deepEqual(others, ['']);
    symlinkSync(resolve(home, '../..'), join(folder, 'singleflightd')); // the clone
    // It is built already, and other tests use it; that an install builds it is a test of its own.
    const env = { ...process.env, npm_config_ignore_scripts: 'true', npm_config_offline: 'true' };
    await run('sh', ['-e', '-c', install], { cwd: folder, env });
  });

  it('has programs that run', async () => {
    const programs = blocks.filter((block) => block.language === 'js');
    const names = programs.map(({ text }) => /^\/\/ ([\w.]+)/.exec(text)?.[1] ?? '');
    assert.deepEqual(names, Object.keys(OUTPUTS));
    const secured = await startSecured(folder);
    const outputs = programs.map(async ({ text }, index) => {
      const name = names[index] ?? '';
      const { address } = name === 'secure.mjs' ? secured : daemon;
      const env = { ...process.env, SINGLEFLIGHT_ADDRESS: address, NODE_TEST_CONTEXT: '' };
      writeFileSync(join(folder, name), text);
      const { stdout } = await run(process.execPath, [name], { cwd: folder, env });
      assert.match(stdout, OUTPUTS[name] ?? /^$/);
    });
    await Promise.all(outputs).finally(() => secured.stop());
  });

  it('has a program whose types are right', async () => {
    const [program] = blocks.filter((block) => block.language === 'ts');
    writeFileSync(join(folder, 'hello.mts'), program?.text ?? '');
    const compiler = join(home, 'node_modules/typescript/bin/tsc');
    const types = join(home, 'node_modules/@types');
    const options = ['--strict', '--noEmit', '--target', 'es2022', '--module', 'node16'];
    const where = ['--lib', 'es2022,esnext.disposable', '--typeRoots', types, '--types', 'node'];
    await run(process.execPath, [compiler, ...options, ...where, 'hello.mts'], { cwd: folder });
  });

  it('has no other blocks, and no link that needs the tree', () => {
    assert.deepEqual(
      blocks.map((block) => block.language),
      ['sh', 'js', 'js', 'ts', 'js', 'js', 'js', 'js'],
    );
    const links = [...readme.matchAll(/\]\(([^)]*)\)/g)].map((match) => match[1] ?? '');
    assert.ok(links.length > 0);
    for (const link of links) assert.match(link, /^https:\/\/github\.com\/singleflightd\//);
    // What they point to is there.
    for (const link of links) {
      const path = /\/(?:blob|tree)\/main\/(.*)$/.exec(link)?.[1];
      if (path !== undefined) assert.ok(existsSync(resolve(home, '../..', path)), link);
    }
  });
});
