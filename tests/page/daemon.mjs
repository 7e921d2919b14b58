// SPDX-License-Identifier: Apache-2.0
// A real daemon with an admin port, on ports that the system picks, in a folder of its own.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const build = process.env.SFL_BUILD_DIR ?? fileURLToPath(new URL("../../build", import.meta.url));

const hash = (text) => createHash("sha256").update(text).digest("hex");

export class Daemon {
  // rights: { tokens: [NAME], access: TEXT }; the token of NAME is secretOf(NAME). null: none.
  constructor({ rights = null, flags = [] } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), "sfl-page-"));
    this.flags = [...flags];
    this.ports = { grpc: 0, admin: 0 };
    if (rights === null) return;
    this.writeTokens(rights.tokens);
    this.#write("access", rights.access);
    this.flags.push("--token-file", join(this.folder, "tokens"),
      "--access-file", join(this.folder, "access"));
  }

  static secretOf = (name) => `secret-of-${name}`;

  writeTokens(names) {
    this.#write("tokens", names.map((name) => `${name} ${hash(Daemon.secretOf(name))}\n`).join(""));
  }

  #write(name, text) {
    writeFileSync(join(this.folder, `${name}.new`), text, { mode: 0o600 });
    renameSync(join(this.folder, `${name}.new`), join(this.folder, name));
  }

  // Starts it, again on the ports that it had.
  async start() {
    this.process = spawn(join(build, "bin", "singleflightd"), [
      "--listen", `127.0.0.1:${this.ports.grpc}`, "--admin-listen", `127.0.0.1:${this.ports.admin}`,
      ...this.flags,
    ], { stdio: ["ignore", "pipe", "pipe"] });
    this.ended = new Promise((done) => this.process.on("exit", done));
    this.log = "";
    this.process.stderr.on("data", (text) => (this.log += text));
    await this.#readPorts();
    return this;
  }

  async #readPorts() {
    const found = {};
    for await (const line of createInterface({ input: this.process.stdout })) {
      const match = line.match(/^singleflightd (listening|admin) on .*:(\d+)$/);
      if (match) found[match[1]] = Number(match[2]);
      if (found.listening && found.admin) break;
    }
    if (!found.admin) throw new Error(`the daemon did not start: ${this.log}`);
    this.ports = { grpc: found.listening, admin: found.admin };
  }

  get address() {
    return `127.0.0.1:${this.ports.grpc}`;
  }

  get page() {
    return `http://127.0.0.1:${this.ports.admin}/`;
  }

  async get(path, token = null) {
    const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
    return (await fetch(`${this.page}api/v1/${path}`, { headers })).json();
  }

  async stop(signal = "SIGKILL") {
    this.process.kill(signal);
    await this.ended;
  }

  async close() {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
