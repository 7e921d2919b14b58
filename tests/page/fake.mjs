// SPDX-License-Identifier: Apache-2.0
// A daemon that is played: it serves the page and speaks the admin port's JSON, in states that a real
// one takes an hour or a broken disk to come to. For screenshots, and for looking at the page while
// it is worked on: node fake.mjs [PORT]
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("../../server/admin/web/", import.meta.url));
const types = { html: "text/html", css: "text/css", js: "text/javascript", svg: "image/svg+xml" };
const policy = "default-src 'self'";
const minute = 60_000;

// The same numbers each time.
function dice(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const groups = ["checkout", "profiles", "reports", "thumbnails", "nightly"];
const keys = {
  checkout: (i) => `price:${1000 + i}`,
  profiles: (i) => `user:${48_211 + i * 7}`,
  reports: (i) => `report:2026-${String(1 + (i % 12)).padStart(2, "0")}:region-${i}`,
  thumbnails: (i) => `img/${(i * 2654435761 >>> 0).toString(16)}/320x200.webp`,
  nightly: (i) => `job:${["backup", "reindex", "invoices", "cleanup"][i % 4]}:${i}`,
};

function makeFlights(count, now) {
  const next = dice(7);
  return Array.from({ length: count }, (_, i) => {
    const group = groups[Math.min(4, Math.floor(next() ** 1.6 * 5))];
    const retained = next() < 0.12;
    const hasLease = group === "nightly" || group === "reports";
    return {
      group, key: keys[group](i), began: now - Math.floor(next() ** 4 * 90_000) - 20,
      state: retained ? "retained" : hasLease && next() < 0.05 ? "orphaned" : "led",
      leader: `${group}-${Math.floor(next() * 6)}/${2000 + Math.floor(next() * 900)}`,
      callers: 1 + Math.floor(1.1 / (next() + 0.0025)), lease: hasLease ? 30_000 : null,
      attempt: next() < 0.02 ? 2 : 1, bytes: Math.floor(next() ** 9 * 600_000),
      token: String(901_223 + i), outcome: retained ? "ok" : null,
    };
  });
}

function rowOf(flight, now, seesKeys) {
  const { group, key, state, leader, callers, attempt, bytes, token, outcome, lease, began } = flight;
  return {
    group, key: seesKeys ? key : null, state, leader: seesKeys ? leader : null, callers,
    age_ms: now - began, lease_ms: state === "retained" ? null : lease,
    expires_ms: state === "retained" ? 45_000 : null, outcome, attempt, bytes, token,
  };
}

function makeRuns(count, now) {
  const next = dice(11);
  return Array.from({ length: count }, (_, i) => {
    const group = next() < 0.6 ? "reports" : "nightly";
    const took = Math.floor(40 + next() ** 3 * 60_000);
    const ended = now - Math.floor(i * 2700 + next() * 2000);
    const luck = next();
    const [outcome, detail] = luck < 0.94 ? ["ok", null]
      : luck < 0.98 ? ["error", "upstream answered 503"] : ["abandoned", "the lease ran out"];
    return {
      group, key: keys[group](i), leader: `${group}-${Math.floor(next() * 6)}/2${i % 900}`,
      began_ms: ended - took, ended_ms: ended, took_ms: took, outcome, detail,
      callers: 1 + Math.floor(next() ** 5 * 40), attempt: luck > 0.97 ? 2 : 1,
      bytes: Math.floor(next() ** 4 * 300_000),
    };
  });
}

const wave = (at, period, phase = 0) => (1 + Math.sin((at / period) * 2 * Math.PI + phase)) / 2;

function pointAt(at, next) {
  const calls = 900 + 900 * wave(at, 50 * minute) + 160 * next() + (next() > 0.98 ? 900 : 0);
  const executions = calls * (0.07 + 0.03 * wave(at, 17 * minute));
  return {
    calls, executions, saved: calls - executions, flights: 4000 + calls * 3 + 500 * next(),
    callers: 21_000 + calls * 26 + 1500 * next(), held_bytes: 4e8,
    flight_p50_ms: 18 + 6 * next(), flight_p99_ms: 220 + 300 * wave(at, 23 * minute) + 90 * next(),
    wait_p50_ms: 9 + 4 * next(), wait_p99_ms: 190 + 240 * wave(at, 23 * minute) + 60 * next(),
  };
}

const series = ["calls", "executions", "saved", "flights", "callers", "held_bytes", "flight_p50_ms",
  "flight_p99_ms", "wait_p50_ms", "wait_p99_ms"];

function historyUntil(now) {
  const next = dice(5);
  const step = 10_000;
  const first = Math.floor(now / step) * step - 359 * step;
  // Four minutes in which the daemon was not there.
  const isGap = (i) => i >= 100 && i < 124;
  const points = Array.from({ length: 360 }, (_, i) => isGap(i) ? {} : pointAt(first + i * step, next));
  return {
    step_ms: step, first_ms: first,
    ...Object.fromEntries(series.map((name) => [name, points.map((point) => point[name] ?? null)])),
  };
}

export class Fake {
  // options: { flights, runs, rights, now(), status: what is other than usual in it, refusal: { code,
  // error } of the stream, pointEvery: in milliseconds, history(now) }
  constructor(options = {}) {
    this.options = {
      flights: 1204, runs: 1000, rights: false, now: Date.now, pointEvery: 10_000,
      history: historyUntil, ...options,
    };
    this.begun = this.options.now();
    this.flights = makeFlights(this.options.flights, this.begun);
    this.runs = makeRuns(this.options.runs, this.begun);
    this.server = createServer((request, response) => this.#answer(request, response));
    this.streams = new Set();
  }

  async listen(port = 0) {
    await new Promise((done) => this.server.listen(port, "127.0.0.1", done));
    return `http://127.0.0.1:${this.server.address().port}/`;
  }

  close() {
    for (const stop of this.streams) stop();
    this.server.closeAllConnections();
    this.server.close();
  }

  #answer(request, response) {
    const url = new URL(request.url, "http://fake");
    const asked = Object.fromEntries(url.searchParams);
    const answers = {
      "/api/v1/status": () => this.status(),
      "/api/v1/flights": () => this.listFlights(asked),
      "/api/v1/runs": () => this.listRuns(asked),
      "/api/v1/history": () => this.options.history(this.options.now()),
    };
    if (url.pathname === "/api/v1/events" && this.options.refusal)
      this.#json(response, { error: this.options.refusal.error }, this.options.refusal.code);
    else if (url.pathname === "/api/v1/events") this.#stream(asked, request, response);
    else if (answers[url.pathname]) this.#json(response, answers[url.pathname]());
    else this.#file(url.pathname, response);
  }

  #json(response, body, code = 200) {
    response.writeHead(code, { "Content-Type": "application/json" });
    response.end(JSON.stringify(body));
  }

  #file(path, response) {
    const name = path === "/" ? "index.html" : path.slice(1);
    const extension = name.split(".").pop();
    if (!/^[a-z]+\.[a-z]+$/.test(name) || !types[extension]) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      "Content-Type": `${types[extension]}; charset=utf-8`, "Content-Security-Policy": policy,
    });
    response.end(readFileSync(web + name));
  }

  #stream(asked, request, response) {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    const send = (name, data) => response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
    const runs = {
      group: asked.runs_group, search: asked.runs_search, outcome: asked.runs_outcome,
      limit: asked.runs_limit,
    };
    const sent = {};
    // That time has passed is no change.
    const sendChange = (name, data) => {
      const text = JSON.stringify(data, (key, value) => (key === "age_ms" ? undefined : value));
      if (sent[name] !== text) send(name, data);
      sent[name] = text;
    };
    const tick = () => {
      send("status", this.status());
      sendChange("flights", this.listFlights(asked));
      sendChange("runs", this.listRuns(runs));
    };
    send("history", this.options.history(this.options.now()));
    tick();
    const timers = [setInterval(tick, 1000), setInterval(() =>
      send("point", { at_ms: this.options.now(), ...pointAt(this.options.now(), Math.random) }),
    this.options.pointEvery)];
    const stop = () => {
      timers.forEach(clearInterval);
      this.streams.delete(stop);
    };
    this.streams.add(stop);
    request.on("close", stop);
  }

  #isSeen() {
    return !this.options.rights;
  }

  listFlights({ sort = "callers", group, search, state, offset = 0, limit = 100 }) {
    const now = this.options.now();
    const by = {
      callers: (a, b) => b.callers - a.callers, age: (a, b) => a.began - b.began,
      bytes: (a, b) => b.bytes - a.bytes, attempt: (a, b) => b.attempt - a.attempt,
      key: (a, b) => (a.key < b.key ? -1 : 1), group: (a, b) => (a.group < b.group ? -1 : 1),
    }[sort];
    const found = this.flights.filter((flight) => (!group || flight.group === group) &&
      (!state || state.split(",").includes(flight.state)) && (!search || flight.key.includes(search))).sort(by);
    return {
      total: found.length, rows: found.slice(+offset, +offset + +limit)
        .map((flight) => rowOf(flight, now, this.#isSeen())),
    };
  }

  listRuns({ group, search, outcome, offset = 0, limit = 100 }) {
    const found = this.runs.filter((run) => (!group || run.group === group) &&
      (!outcome || run.outcome === outcome) && (!search || run.key.includes(search)));
    return {
      total: found.length, rows: found.slice(+offset, +offset + +limit).map((run) =>
        this.#isSeen() ? run : { ...run, key: null, leader: null }),
    };
  }

  status() {
    const now = this.options.now();
    const point = pointAt(now, Math.random);
    const callers = this.flights.reduce((sum, flight) =>
      sum + (flight.state === "retained" ? 0 : flight.callers), 0);
    const running = this.flights.filter(({ state }) => state !== "retained");
    const held = this.flights.reduce((sum, { bytes }) => sum + bytes, 0);
    return {
      now_ms: now, version: "0.1.0", revision: "d8bd2159a0c4", started_ms: this.begun - 273_900_000,
      ready: true, why_not_ready: null, draining: false,
      counters: {
        calls: 214_883_190, executions: 17_544_216, saved: 197_120_044, retained_hits: 4_410_980,
        leaders_lost: 1204, fenced: 17, forgets: 3391, refused: 86, retain_refused: 0,
        outcomes_lost: 0,
      },
      current: {
        flights: running.length, callers, retained: this.flights.length - running.length,
        held_bytes: held, retained_bytes: Math.round(held * 0.12), connections: 318,
      },
      limits: {
        flights: 1_000_000, callers: 1_000_000, held_bytes: 2 ** 30, retained_bytes: 2 ** 28,
        connections: 10_000,
      },
      rates: {
        calls_per_s: point.calls ?? 0, executions_per_s: point.executions ?? 0,
        saved_per_s: point.saved ?? 0,
      },
      store: { enabled: true, failing: false, bytes_waiting: 4096, why: null },
      certificates: [
        { name: "server.pem", not_after_ms: now + 61.4 * 86_400_000, failing: false, why: null },
        { name: "clients-ca.pem", not_after_ms: now + 5.2 * 86_400_000, failing: false, why: null },
      ],
      files: [{ name: "access.conf", failing: false, why: null },
        { name: "tokens", failing: false, why: null }],
      groups: groups.map((group, i) => this.#group(group, i)),
      viewer: {
        rights: this.options.rights, name: null, sees_keys: this.#isSeen(),
        can_forget: this.#isSeen(), can_end: this.#isSeen(),
      },
      ...this.options.status,
    };
  }

  #group(group, i) {
    const own = this.flights.filter((flight) => flight.group === group);
    const running = own.filter(({ state }) => state !== "retained");
    return {
      group, flights: running.length, callers: running.reduce((sum, one) => sum + one.callers, 0),
      held_bytes: own.reduce((sum, { bytes }) => sum + bytes, 0), retained_bytes: 180_000 * (i + 1),
      joins_per_s: 740 / (i + 1),
      limits: i < 3
        ? {
          flights: Math.ceil(running.length * [1.35, 2.9, 1.06][i]), callers: 50_000,
          held_bytes: 2 ** 29, retained_bytes: null, joins_per_s: 1000,
        }
        : { flights: null, callers: null, held_bytes: null, retained_bytes: null, joins_per_s: null },
    };
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const fake = new Fake({ flights: Number(process.argv[3] ?? 1204) });
  console.log(await fake.listen(Number(process.argv[2] ?? 0)));
}
