// SPDX-License-Identifier: Apache-2.0
// The daemon's JSON API and its stream of events. Addresses are relative, so that the page also
// works behind a proxy that puts it below a path.

const tokenPlace = "singleflightd.token";

// The token lives as long as the tab. A browser that stores nothing keeps it as long as the page.
let token = "";
try {
  token = sessionStorage.getItem(tokenPlace) ?? "";
} catch {
  // Nothing is stored here.
}

export const hasToken = () => token !== "";

export function setToken(text) {
  token = text;
  try {
    if (text === "") sessionStorage.removeItem(tokenPlace);
    else sessionStorage.setItem(tokenPlace, text);
  } catch {
    // As above.
  }
}

// What the daemon answered, when that is no success. `status` is HTTP's; 0: no answer came.
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function headers(bearer) {
  return bearer === "" ? {} : { Authorization: `Bearer ${bearer}` };
}

async function request(path, options, bearer = token) {
  let response;
  try {
    response = await fetch(path, {
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      ...options,
      headers: { ...headers(bearer), ...options.headers },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The daemon does not answer");
  }
  if (!response.ok) throw new ApiError(response.status, await messageOf(response));
  return response;
}

async function messageOf(response) {
  try {
    const { error } = await response.json();
    if (typeof error === "string" && error !== "") return error;
  } catch {
    // Something between here and the daemon answered.
  }
  return `HTTP ${response.status}`;
}

// Parameters that are empty are left out.
export function address(path, parameters) {
  const query = new URLSearchParams(
    Object.entries(parameters).filter(([, value]) => value !== "" && value !== null));
  const text = query.toString();
  return text === "" ? `api/v1/${path}` : `api/v1/${path}?${text}`;
}

export async function get(path, parameters = {}, signal = null, bearer = token) {
  const response = await request(address(path, parameters), { signal }, bearer);
  return response.json();
}

export async function post(path, body) {
  const response = await request(address(path, {}), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return response.json();
}

// --- events ---

const silenceMax = 15_000; // the daemon says something each second
const backoffFirst = 1000;
const backoffMax = 15_000;

// Reads text/event-stream: `onEvent(name, data)` for each event, until the stream ends.
async function readEvents(body, onChunk, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    onChunk();
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) readEvent(event, onEvent);
  }
}

function readEvent(text, onEvent) {
  let name = "message";
  const data = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
  }
  if (data.length > 0) onEvent(name, JSON.parse(data.join("\n")));
}

// The stream of events, opened again whenever it is lost.
//   onEvent(name, data)
//   onState({ state: "connecting" | "live" | "lost" | "off", seen, nextTry, error })
// `seen` is when something came last, or null; `error` is an ApiError.
export class Stream {
  constructor(onEvent, onState) {
    this.onEvent = onEvent;
    this.onState = onState;
    this.parameters = {};
    this.seen = null;
    this.backoff = backoffFirst;
    this.abort = null;
    this.timer = null;
    this.state = "off";
  }

  // Opens it, or opens another one in the place of the one that runs.
  open(parameters = this.parameters) {
    this.parameters = parameters;
    this.#stop();
    this.abort = new AbortController();
    if (this.state !== "live") this.#tell("connecting");
    this.#run(this.abort);
  }

  close() {
    this.#stop();
    this.#tell("off");
  }

  #stop() {
    clearTimeout(this.timer);
    this.abort?.abort();
    this.abort = null;
  }

  #tell(state, error = null, nextTry = null) {
    this.state = state;
    this.onState({ state, seen: this.seen, nextTry, error });
  }

  async #run(abort) {
    let watch = null;
    let failure = new ApiError(0, "The daemon has ended the connection");
    const onChunk = () => {
      clearTimeout(watch);
      watch = setTimeout(() => abort.abort("silence"), silenceMax);
      this.seen = Date.now();
      this.backoff = backoffFirst;
      if (this.state !== "live") this.#tell("live");
    };
    const onEvent = (name, data) => {
      if (this.abort === abort) this.onEvent(name, data);
    };
    try {
      watch = setTimeout(() => abort.abort("silence"), silenceMax);
      const path = address("events", this.parameters);
      const response = await request(path, { signal: abort.signal });
      await readEvents(response.body, () => this.abort === abort && onChunk(), onEvent);
    } catch (error) {
      if (error instanceof ApiError) failure = error;
      else if (abort.signal.reason === "silence")
        failure = new ApiError(0, "The daemon says nothing any more");
    }
    clearTimeout(watch);
    if (this.abort === abort) this.#lose(failure);
  }

  #lose(failure) {
    this.abort = null;
    const wait = this.backoff * (0.75 + Math.random() / 2);
    this.backoff = Math.min(this.backoff * 2, backoffMax);
    this.timer = setTimeout(() => this.open(), wait);
    this.#tell("lost", failure, Date.now() + wait);
  }
}
