// SPDX-License-Identifier: Apache-2.0
// A relay between clients and a server, whose connections a test can cut.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

export class Relay {
  #sockets = new Set<Socket>();
  #pairs = new Set<{ near: Socket; far: Socket }>();
  #refuses = false;

  private constructor(
    private readonly server: Server,
    private readonly target: string,
  ) {
    server.on('connection', (near) => this.#relay(near));
  }

  static async start(target: string): Promise<Relay> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Relay(server, target);
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** How many there are. */
  get connections(): number {
    return this.#sockets.size / 2;
  }

  #relay(near: Socket): void {
    if (this.#refuses) {
      near.destroy();
      return;
    }
    const [host, port] = this.target.split(':');
    const far = connect(Number(port), host);
    const pair = { near, far };
    this.#pairs.add(pair);
    far.on('close', () => this.#pairs.delete(pair));
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one);
      one.pipe(other);
      one.on('error', () => undefined);
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
  }

  /** Breaks all connections. `refuses`: those that come later as well, until accept(). */
  cut(refuses = false): void {
    this.#refuses = refuses;
    for (const socket of this.#sockets) socket.destroy();
  }

  accept(): void {
    this.#refuses = false;
  }

  /** Holds back what the server says on the connections of now, until pass(). */
  hold(): void {
    for (const { near, far } of this.#pairs) far.unpipe(near);
  }

  pass(): void {
    for (const { near, far } of this.#pairs) far.pipe(near);
  }

  async stop(): Promise<void> {
    this.cut(true);
    this.server.close();
    await once(this.server, 'close');
  }
}
