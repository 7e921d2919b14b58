// SPDX-License-Identifier: Apache-2.0
// Callers by the thousand on one Session stream, straight on the wire.
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const proto = fileURLToPath(new URL("../../proto", import.meta.url));
const { singleflight } = grpc.loadPackageDefinition(loader.loadSync(
  "singleflight/v1/singleflight.proto",
  { includeDirs: [proto], keepCase: true, longs: Number, enums: String, oneofs: true }));

const batch = 500;

export class Crowd {
  constructor(address, token = null) {
    const { SingleFlight } = singleflight.v1;
    this.client = new SingleFlight(address, grpc.credentials.createInsecure());
    const metadata = new grpc.Metadata();
    if (token !== null) metadata.set("authorization", `Bearer ${token}`);
    this.stream = this.client.Session(metadata);
    this.calls = new Map(); // id -> what is told of it
    this.nextId = 1;
    this.stream.on("data", ({ calls }) => calls.forEach((call) => this.#onCall(call)));
    this.stream.on("error", () => {}); // the daemon may go first
  }

  #onCall({ id, step, ...steps }) {
    const call = this.calls.get(id);
    if (call !== undefined && ["lead", "follow", "result", "end"].includes(step))
      call[step](steps[step]);
  }

  // joins: [{ key, group, ... }] as in the wire file's Join. Each answer: { id, lead, follow, result,
  // end }, promises; the first two and the last two exclude each other.
  join(joins) {
    const made = joins.map((join) => {
      const call = { id: this.nextId++ };
      const told = {};
      for (const step of ["lead", "follow", "result", "end"])
        call[step] = new Promise((done) => (told[step] = done));
      this.calls.set(call.id, told);
      return { call, frame: { id: call.id, join: { ...join, key: Buffer.from(join.key) } } };
    });
    for (let i = 0; i < made.length; i += batch)
      this.stream.write({ calls: made.slice(i, i + batch).map(({ frame }) => frame) });
    return made.map(({ call }) => call);
  }

  // Joins, and waits until each of them leads.
  async lead(joins) {
    const calls = this.join(joins);
    await Promise.all(calls.map((call) => call.lead));
    return calls;
  }

  // Joins keys that somebody leads.
  async follow(joins) {
    const calls = this.join(joins);
    await Promise.all(calls.map((call) => call.follow));
    return calls;
  }

  // Ends what these calls lead.
  async finish(calls, outcome = { kind: "OUTCOME_KIND_OK", value: Buffer.from("done") }) {
    for (let i = 0; i < calls.length; i += batch)
      this.stream.write({ calls: calls.slice(i, i + batch).map(({ id }) => ({ id, finish: { outcome } })) });
    await Promise.all(calls.map((call) => call.result));
  }

  close() {
    this.stream.cancel();
    this.client.close();
  }
}
