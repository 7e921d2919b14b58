// SPDX-License-Identifier: Apache-2.0
// The driver of tests/conformance: commands in lines of JSON come in, events go out.
import { createInterface } from 'node:readline';
import { Client, StatusError } from '../src/index.js';
import type { ClientOptions } from '../src/index.js';
import { runCall, signals } from './calls.js';
import type { Action } from './calls.js';
import { tell } from './lines.js';

interface WireClientOptions {
  caller?: string;
  fail_open?: boolean;
  connect_timeout_ms?: number;
  result_limit?: number;
  backoff_min_ms?: number;
  backoff_max_ms?: number;
}

interface Command {
  op: 'hello' | 'client' | 'do' | 'signal' | 'cancel' | 'forget' | 'close';
  client: string;
  call: string;
  name: string;
  addresses: string[];
  group: string;
  key_b64: string;
  if_unshared: boolean;
  end?: boolean;
  caller?: string;
  options?: object;
  function?: Action[] | null;
}

const clients = new Map<string, Client>();
const calls = new Map<string, AbortController>();

function clientOf(name: string): Client {
  const client = clients.get(name);
  if (client === undefined) throw new Error(`there is no client ${name}`);
  return client;
}

const CLIENT_OPTIONS =
  'caller fail_open connect_timeout_ms result_limit backoff_min_ms backoff_max_ms';

function openClient(command: Command): void {
  const given = (command.options ?? {}) as WireClientOptions;
  const unknown = Object.keys(given).find((each) => !CLIENT_OPTIONS.split(' ').includes(each));
  if (unknown !== undefined) {
    tell({ event: 'error', client: command.client, message: `unknown option ${unknown}` });
    return;
  }
  const options: ClientOptions = {
    addresses: command.addresses,
    caller: given.caller,
    failOpen: given.fail_open,
    connectTimeout: given.connect_timeout_ms,
    resultLimit: given.result_limit,
    backoffMin: given.backoff_min_ms,
    backoffMax: given.backoff_max_ms,
  };
  try {
    clients.set(command.client, new Client(options));
    tell({ event: 'client', client: command.client });
  } catch (error) {
    tellError(command.client, error);
  }
}

function tellError(client: string, error: unknown): void {
  const code = error instanceof StatusError ? error.code : 'UNKNOWN';
  tell({ event: 'error', client, code, message: String(error) });
}

async function forget(command: Command): Promise<void> {
  const key = Buffer.from(command.key_b64, 'base64');
  const { group, if_unshared: ifUnshared, end, caller } = command;
  const options = { group, ifUnshared, end, caller };
  try {
    const forgotten = await clientOf(command.client).forget(key, options);
    tell({ event: 'forgot', client: command.client, ...forgotten });
  } catch (error) {
    tellError(command.client, error);
  }
}

async function close(name: string): Promise<void> {
  await clientOf(name).close();
  clients.delete(name);
  tell({ event: 'closed', client: name });
}

async function call(command: Command): Promise<void> {
  const controller = new AbortController();
  calls.set(command.call, controller);
  await runCall(
    clientOf(command.client),
    command.call,
    command.options ?? {},
    command.function === undefined ? [] : command.function,
    controller.signal,
  );
  calls.delete(command.call);
}

function obey(command: Command): Promise<void> | undefined {
  switch (command.op) {
    case 'hello':
      tell({ event: 'hello', language: 'node', version: '0.1.0' });
      return undefined;
    case 'client':
      openClient(command);
      return undefined;
    case 'do':
      return call(command);
    case 'signal':
      signals.send(command.name);
      return undefined;
    case 'cancel':
      calls.get(command.call)?.abort();
      return undefined;
    case 'forget':
      return forget(command);
    case 'close':
      return close(command.client);
    default:
      tell({ event: 'error', client: command.client, message: `unknown op ${String(command.op)}` });
      return undefined;
  }
}

const input = createInterface({ input: process.stdin });
input.on('line', (line) => void obey(JSON.parse(line) as Command));
input.on('close', () => {
  for (const client of clients.values()) void client.close();
});
