// SPDX-License-Identifier: Apache-2.0
// The dialogs: all there is to know of a flight or a run, the question before something is done,
// and signing in.
import { ApiError, get, post, setToken } from "./api.js";
import { byId, element, setText, tell } from "./dom.js";
import { ageOf, expiryOf, leaseOf, received } from "./passing.js";
import { bytes, count, dateAndTime, duration, readable } from "./text.js";

function head(dialog, title) {
  return element("div.head", {},
    element("h2", { id: `${dialog.id}-title` }, title),
    element("button.close", { type: "button", "aria-label": "Close", onclick: () => dialog.close() },
      "✕"));
}

function show(dialog, ...children) {
  dialog.replaceChildren(...children);
  if (!dialog.open) dialog.showModal();
  else if (!dialog.contains(document.activeElement)) dialog.querySelector(".close").focus();
}

// --- details ---

const hiddenKey = () => element("em", {}, "hidden: sign in to see it");

function keyOf(row) {
  if (row.key === null) return hiddenKey();
  const key = element("pre.whole", {
    tabindex: "0", "aria-label": row.key_cut ? "The beginning of the key" : "The whole key",
  }, ...readable(row.key));
  return row.key_cut
    ? [key, element("em", {}, `The beginning: it has ${count(row.key_bytes)} bytes.`)] : key;
}

// [name, value]; a value is text, nodes or null (then it is left out).
function facts(pairs) {
  return element("dl.facts", {}, pairs.filter(([, value]) => value !== null).map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

const foreign = (text) => (text ? readable(text) : "–");
const known = (value, format) => (value ? format(value) : null);

let opened; // the flight whose details were opened last
let passing = []; // [element, what it says by now]

function passes(value) {
  const shown = element("span", {}, value());
  passing.push([shown, value]);
  return shown;
}

// Time has passed: what is shown of it is said anew.
export function letDetailsPass() {
  for (const [shown, value] of passing) setText(shown, value());
}

const leftFor = (ms, value) => (ms ? passes(() => duration(value())) : null);

export async function showFlight(row, viewer) {
  opened = row;
  fillFlight(row, viewer);
  if (!row.key_cut) return;
  try {
    const { rows: [whole] } = await get("flights", { token: row.token, key_hash: row.key_hash });
    if (whole === undefined || opened !== row || !byId("details").open) return;
    received([whole]);
    fillFlight(whole, viewer);
  } catch {
    // Its beginning stays.
  }
}

function fillFlight(row, viewer) {
  const dialog = byId("details");
  passing = [];
  // By its beginning alone another key could be meant.
  const isNamed = row.key !== null && !row.key_cut;
  const mayForget = isNamed && (row.can_forget ?? viewer.can_forget);
  const mayEnd = isNamed && row.state !== "retained" && (row.can_end ?? viewer.can_end);
  const action = (isOffered, ask, text) => isOffered
    ? element("button", { type: "button", onclick: () => ask(row) }, text) : null;
  show(dialog, head(dialog, row.state === "retained" ? "Retained outcome" : "Flight"), facts([
    ["Key", keyOf(row)],
    ["Key in base64", known(row.key_base64, foreign)],
    ["Group", foreign(row.group)],
    ["State", row.state],
    ["Outcome", known(row.outcome, foreign)],
    ["Leader", foreign(row.leader)],
    ["Callers", `${count(row.callers)}, the leader included`],
    ["Age", passes(() => duration(ageOf(row)))],
    ["Lease holds for", leftFor(row.lease_ms, () => leaseOf(row))],
    ["Retained for", leftFor(row.expires_ms, () => expiryOf(row))],
    ["Attempt", count(row.attempt)],
    ["Bytes", bytes(row.bytes)],
    ["Token", row.token ?? "–"],
  ]), element("div.actions", {}, action(mayForget, askForget, "Forget…"),
    action(mayEnd, askEnd, "End…")));
}

export function showRun(row) {
  const dialog = byId("details");
  opened = row;
  passing = [];
  show(dialog, head(dialog, "Run that ended"), facts([
    ["Key", keyOf(row)],
    ["Group", foreign(row.group)],
    ["Outcome", foreign(row.outcome)],
    ["Detail", known(row.detail, foreign)],
    ["Leader", foreign(row.leader)],
    ["Began", dateAndTime(row.began_ms)],
    ["Ended", dateAndTime(row.ended_ms)],
    ["Took", duration(row.took_ms)],
    ["Callers", `${count(row.callers)}, the leader included`],
    ["Attempts", count(row.attempt)],
    ["Bytes", bytes(row.bytes)],
  ]));
}

// --- questions ---

// A key that is no UTF-8 is only shown as if it were.
const nameOf = ({ group, key, key_base64 }) =>
  (key_base64 ? { group, key_base64 } : { group, key });

function askForget(row) {
  const text = row.state === "retained"
    ? "The retained outcome is dropped: the next call runs its function anew."
    : "The next call runs its function anew. Those who wait now still get the outcome of the " +
      "flight that runs.";
  ask("Forget this key?", row, text, "Forget", async () => {
    const { forgotten } = await post("forget", nameOf(row));
    return forgotten ? "Forgotten." : "There was nothing left to forget.";
  });
}

function askEnd(row) {
  const followers = Math.max(0, row.callers - 1);
  const told = followers === 0 ? "Its leader is fenced; nobody else waits for it."
    : followers === 1
      ? "Its leader is fenced, and 1 caller that waits for it now gets an error (ABORTED)."
      : `Its leader is fenced, and ${count(followers)} callers that wait for it now get an error ` +
        "(ABORTED).";
  ask("End this flight?", row,
    `${told} What the leader's process is doing, it has to stop by itself.`, "End", async () => {
      const { ended } = await post("end", { ...nameOf(row), token: row.token });
      return ended ? "Ended." : "It had ended already, or another attempt runs by now.";
    });
}

function ask(title, row, text, verb, act) {
  const dialog = byId("confirm");
  const result = element("p.result", { role: "alert" });
  const go = element("button.danger", { type: "button" }, verb);
  const cancel = element("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  go.addEventListener("click", async () => {
    go.disabled = true;
    try {
      const done = await act();
      dialog.close();
      byId("details").close();
      tell(done);
    } catch (error) {
      go.disabled = false;
      result.replaceChildren(...readable(error.message));
    }
  });
  show(dialog, head(dialog, title),
    facts([["Key", keyOf(row)], ["Group", foreign(row.group)], ["Leader", foreign(row.leader)]]),
    element("p", {}, text), result, element("div.actions", {}, cancel, go));
  cancel.focus();
}

// --- signing in ---

const mayStandInHeader = /^[\x21-\x7e]+$/;

// `onSignedIn()` once the daemon has taken the token.
export function askToken(onSignedIn, why = "") {
  const dialog = byId("token");
  if (!isSecureContext) {
    show(dialog, head(dialog, "Sign in"), element("p.result", { role: "alert" }, why),
      element("p", {}, "This page came over plain HTTP from another machine: everybody on the way " +
        "could read a token. Reach it by kubectl port-forward, an SSH tunnel or a TLS proxy."),
      element("div.actions", {},
        element("button", { type: "button", onclick: () => dialog.close() }, "Close")));
    return;
  }
  const input = element("input", {
    id: "token-input", type: "password", autocomplete: "off", required: true, maxlength: "4096",
    "aria-describedby": "token-help token-error",
  });
  const error = element("p.result", { id: "token-error", role: "alert" }, why);
  const submit = async (event) => {
    event.preventDefault();
    const text = input.value.trim();
    error.replaceChildren();
    try {
      if (!mayStandInHeader.test(text)) throw new ApiError(401, "That is no token");
      await get("status", {}, null, text);
      setToken(text);
      dialog.close();
      onSignedIn();
    } catch (failure) {
      error.replaceChildren(...readable(failure.message));
      input.select();
    }
  };
  show(dialog, head(dialog, "Sign in"), element("form", { onsubmit: submit },
    element("label", { for: "token-input" }, "Token"), input,
    element("p.help", { id: "token-help" },
      "One of the daemon's token file. It stays in this tab and is gone with it."),
    error,
    element("div.actions", {},
      element("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      element("button.primary", { type: "submit" }, "Sign in"))));
  input.focus();
}
