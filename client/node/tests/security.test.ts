// SPDX-License-Identifier: Apache-2.0
// TLS, mutual TLS and tokens, with a daemon that wants them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, MisuseError, StatusError, UnavailableError } from '../src/index.js';
import type { ClientOptions } from '../src/index.js';
import { Daemon } from './support/daemon.js';
import { failureOf, freshKey, until, Work } from './support/story.js';

const CERTIFICATES = resolve(__dirname, '../../../../tests/support/certificates');
const VARIABLES = ['TLS_CA', 'TLS_CERT', 'TLS_KEY', 'TLS_SERVER_NAME', 'TOKEN_FILE'];

describe('security', { timeout: 180_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'singleflight-node-tls-'));
  const at = (name: string): string => join(folder, name);
  const mutual = { tlsCa: at('ca.pem'), tlsCert: at('alice.pem'), tlsKey: at('alice.key') };
  const clients: Client[] = [];
  let daemon: Daemon;

  const write = (name: string, text: string): void => {
    writeFileSync(at('new'), text);
    renameSync(at('new'), at(name));
  };
  const letIn = (...tokens: string[]): void => {
    const hash = (token: string): string => createHash('sha256').update(token).digest('hex');
    write('tokens', tokens.map((token) => `${token.split('-')[0]} ${hash(token)}\n`).join(''));
  };
  const connect = (options: ClientOptions): Client => {
    const client = new Client({ addresses: daemon.address, ...options });
    clients.push(client);
    return client;
  };

  before(async () => {
    execFileSync(CERTIFICATES, [folder]);
    letIn('good-1', 'good-2');
    write('token', ' good-1\n');
    daemon = await Daemon.start(
      ...['--tls-cert', at('server.pem'), '--tls-key', at('server.key')],
      ...['--tls-client-ca', at('ca.pem'), '--tls-client-auth', 'optional'],
      ...['--token-file', at('tokens'), '--unix-socket', at('socket')],
    );
  });

  after(async () => {
    for (const client of clients) await client.close();
    await daemon.stop();
    rmSync(folder, { recursive: true });
  });

  it('leads with a certificate of its own', async () => {
    const result = await connect(mutual).do(freshKey(), () => 'value');
    assert.deepEqual([result.value, result.led], ['value', true]);
  });

  it('leads with a token over TLS, and over a unix socket', async () => {
    const secured = connect({ tlsCa: at('ca.pem'), tokenFile: at('token') });
    assert.equal((await secured.do(freshKey(), () => 1)).led, true);
    assert.equal((await secured.forget(freshKey())).flight, false);
    const near = connect({ ...mutual, addresses: `unix:${at('socket')}`, tokenFile: at('token') });
    assert.equal((await near.do(freshKey(), () => 1)).led, true);
  });

  it('takes everything from the environment', async () => {
    const values = [...Object.values(mutual), 'localhost', at('token')];
    for (const [index, name] of VARIABLES.entries())
      process.env[`SINGLEFLIGHT_${name}`] = values[index] ?? '';
    try {
      assert.equal((await connect({}).do(freshKey(), () => 1)).led, true);
    } finally {
      for (const name of VARIABLES) process.env[`SINGLEFLIGHT_${name}`] = ''; // which is none
    }
    const client = connect({ connectTimeout: 500 });
    await failureOf(
      client.do('k', () => 1),
      UnavailableError,
    );
  });

  it('ends a call that is not let in at once, and never runs it alone', async () => {
    const client = connect({ tlsCa: at('ca.pem'), failOpen: true });
    let runs = 0;
    for (let i = 0; i < 3; i++) {
      const begun = performance.now();
      const error = await failureOf(
        client.do('k', () => ++runs),
        StatusError,
      );
      assert.equal(error.code, 'UNAUTHENTICATED');
      assert.ok(performance.now() - begun < 5000);
    }
    assert.equal((await failureOf(client.forget('k'), StatusError)).code, 'UNAUTHENTICATED');
    assert.equal(runs, 0);
  });

  it('reads the token again when it changes', async () => {
    write('changing', 'none-1');
    const client = connect({ tlsCa: at('ca.pem'), tokenFile: at('changing') });
    const ask = async (): Promise<boolean> =>
      client
        .do(freshKey(), () => 1)
        .then(
          () => true,
          () => false,
        );
    assert.equal(await ask(), false);
    write('changing', 'good-2');
    await until('the new token is shown', ask);
    write('changing', ''); // broken: the old one stays
    assert.equal(await ask(), true);
  });

  it('shows a new token while a session with the old one is open', async () => {
    letIn('good-1', 'good-2', 'short-1');
    write('rotated', 'short-1');
    const client = connect({ tlsCa: at('ca.pem'), tokenFile: at('rotated') });
    const ask = async (): Promise<boolean> =>
      client
        .do(freshKey(), () => 1)
        .then(
          () => true,
          () => false,
        );
    await until('the daemon knows the new token', ask);
    const work = new Work();
    const call = failureOf(client.do(freshKey(), work.run), StatusError);
    const leader = await work.entered.opened; // it keeps the session open
    write('rotated', 'good-2');
    await delay(1100); // poll: files are looked at once a second
    assert.equal(await ask(), true);
    letIn('good-1', 'good-2');
    await until('the lead is lost', () => leader.lost);
    work.goOn.open('too late');
    assert.equal((await call).code, 'UNAUTHENTICATED');
    assert.equal(await ask(), true);
  });

  it('shows a new certificate on new connections, and keeps a broken one out', async () => {
    execFileSync(CERTIFICATES, ['--ca', 'other', folder, 'eve', 'DNS:eve.example']);
    const copy = (from: string, to: string): void => {
      for (const end of ['pem', 'key'])
        execFileSync('cp', [at(`${from}.${end}`), at(`${to}.${end}`)]);
    };
    copy('eve', 'mine');
    const client = connect({ ...mutual, tlsCert: at('mine.pem'), tlsKey: at('mine.key') });
    const here = { connectTimeout: 300 };
    await failureOf(
      client.do('k', () => 1, here),
      StatusError,
    );
    copy('alice', 'mine');
    const ask = async (): Promise<boolean> =>
      client
        .do(freshKey(), () => 1, here)
        .then(
          () => true,
          () => false,
        );
    await until('the new certificate is shown', ask);
    write('mine.pem', 'broken');
    assert.equal(await ask(), true);
  });

  it('loses the lead, and the call, with a token that is taken away', async () => {
    letIn('good-1', 'good-2', 'gone-1');
    write('gone', 'gone-1');
    const client = connect({ tlsCa: at('ca.pem'), tokenFile: at('gone') });
    await until('the daemon knows the new token', () =>
      client
        .do(freshKey(), () => 1)
        .then(
          () => true,
          () => false,
        ),
    );
    const work = new Work();
    const call = failureOf(client.do(freshKey(), work.run), StatusError);
    const leader = await work.entered.opened;
    letIn('good-1', 'good-2');
    await until('the lead is lost', () => leader.lost);
    work.goOn.open('too late');
    assert.equal((await call).code, 'UNAUTHENTICATED');
  });

  it('says what cannot work when the client is made', () => {
    const refuse = (options: ClientOptions, text: RegExp): void => {
      assert.throws(
        () => new Client(options),
        (error) => error instanceof MisuseError && text.test(error.message),
      );
    };
    refuse({ tlsCert: at('alice.pem'), tlsCa: at('ca.pem') }, /go together/);
    refuse({ tlsCert: at('alice.pem'), tlsKey: at('alice.key') }, /need tlsCa/);
    refuse({ tlsServerName: 'x' }, /need tlsCa/);
    refuse({ tlsCa: at('nothing.pem') }, /cannot be read/);
    refuse({ tlsCa: at('ca.key') }, /no certificate in it/);
    refuse({ ...mutual, tlsKey: at('bob.key') }, /is no key of/);
    refuse({ tokenFile: at('token'), addresses: 'example.com:7433' }, /without TLS/);
    refuse({ tokenFile: at('nothing') }, /cannot be read/);
    write('two', 'one two');
    refuse({ tokenFile: at('two') }, /one token/);
  });
});
