// SPDX-License-Identifier: Apache-2.0
// What the status object says, as tiles, bars and cards.
import { byId, element, setAttribute, setHidden, setList, setText } from "./dom.js";
import {
  bytes, count, dateAndTime, duration, percent, rate, roughly, setForeign,
} from "./text.js";

const day = 86_400_000;
const soon = 7 * day; // as the alert SingleflightCertificateExpiresSoon
const groupsShown = 100;

// --- the line at the top ---

function readiness(status) {
  if (status.draining) return ["Draining", "warn"];
  if (!status.ready) return ["Not ready", "bad"];
  return ["Ready", "good"];
}

export function showHead(status) {
  const [text, kind] = readiness(status);
  const why = status.why_not_ready?.trim();
  setText(byId("ready"), why && why !== text.toLowerCase() ? `${text}: ${why}` : text);
  setAttribute(byId("ready"), "class", `pill ${kind}`);
  setText(byId("version"), `v${status.version}`);
  setAttribute(byId("version"), "title", `Revision ${status.revision}`);
  setText(byId("uptime"), `up ${duration(status.now_ms - status.started_ms)}`);
  const found = problems(status);
  setHidden(byId("problems"), found.bad + found.warn === 0);
  setText(byId("problems"), [named(found.bad, "problem"), named(found.warn, "warning")]
    .filter((part) => part !== "").join(", "));
  setAttribute(byId("problems"), "class", `pill ${found.bad > 0 ? "bad" : "warn"}`);
  document.title = `${found.bad > 0 || kind !== "good" ? "(!) " : ""}singleflightd`;
}

const named = (number, what) =>
  (number === 0 ? "" : number === 1 ? `1 ${what}` : `${number} ${what}s`);

function problems(status) {
  const found = { bad: 0, warn: 0 };
  for (const { name, kind } of healthRows(status)) if (name !== "Daemon" && kind in found) found[kind]++;
  return found;
}

// --- tiles ---

const tiles = [
  ["Calls", (s) => roughly(s.counters.calls), (s) => rate(s.rates.calls_per_s)],
  ["Executions", (s) => roughly(s.counters.executions), (s) => rate(s.rates.executions_per_s)],
  ["Saved", (s) => percent(s.counters.saved, s.counters.calls) ?? "–",
    (s) => `${roughly(s.counters.saved)} in all, ${rate(s.rates.saved_per_s)}`],
  ["Flights now", (s) => roughly(s.current.flights), (s) => ofLimit(s, "flights", roughly)],
  ["Callers now", (s) => roughly(s.current.callers), (s) => ofLimit(s, "callers", roughly)],
  ["Retained", (s) => roughly(s.current.retained), (s) =>
    `${bytes(s.current.retained_bytes)} of ${bytes(s.limits.retained_bytes)}`],
  ["Bytes held", (s) => bytes(s.current.held_bytes), (s) => ofLimit(s, "held_bytes", bytes)],
  ["Connections", (s) => roughly(s.current.connections), (s) => ofLimit(s, "connections", roughly)],
];

function ofLimit(status, name, format) {
  const limit = status.limits[name];
  return limit === null || limit === undefined ? "no limit" : `of ${format(limit)}`;
}

export function showTiles(status) {
  const make = () => element("div.tile", {}, element("dt"), element("dd.value"), element("dd.more"));
  setList(byId("tiles"), tiles, make, (tile, [title, value, more]) => {
    setText(tile.children[0], title);
    setText(tile.children[1], value(status));
    setText(tile.children[2], more(status));
  });
}

// --- bars ---

function makeBar() {
  return element("div.bar-row", {},
    element("span.what"), element("span.much"),
    element("div.track", { "aria-hidden": "true" }, element("div.fill")));
}

// { what (or nothing: the caller names it), much, part: 0..1 or null (there is no limit) }
function fillBar(bar, { what, much, part }) {
  const [name, text, track] = bar.children;
  if (what !== undefined) setText(name, what);
  setText(text, much);
  setHidden(track, part === null);
  if (part === null) return;
  const width = `${(100 * Math.max(0, Math.min(1, part))).toFixed(1)}%`;
  if (track.firstChild.style.width !== width) track.firstChild.style.width = width;
  setAttribute(track.firstChild, "class",
    `fill${part >= 0.9 ? " bad" : part >= 0.75 ? " warn" : ""}`);
}

const resources = [
  ["flights", "Flights", count], ["callers", "Callers", count], ["held_bytes", "Bytes held", bytes],
  ["retained_bytes", "Bytes retained", bytes], ["connections", "Connections", count],
];

function usage(now, limits, names) {
  const isTold = ([name]) => names.includes(name) && (now[name] ?? null) !== null;
  return resources.filter(isTold).map(([name, what, format]) => {
    const limit = limits?.[name] ?? null;
    const value = now[name];
    return {
      what,
      much: limit === null ? format(value) : `${format(value)} of ${format(limit)}`,
      part: limit === null ? null : limit === 0 ? 1 : value / limit,
    };
  });
}

// --- groups ---

function barsOfGroup(group) {
  const bars = usage(group, group.limits, ["flights", "callers", "held_bytes", "retained_bytes"]);
  const limit = group.limits?.joins_per_s ?? null;
  const much = limit === null ? rate(group.joins_per_s) : `${rate(group.joins_per_s)} of ${rate(limit)}`;
  return [...bars, {
    what: "Joins", much, part: limit === null ? null : limit === 0 ? 1 : group.joins_per_s / limit,
  }];
}

const fullest = (group) => Math.max(0, ...barsOfGroup(group).map(({ part }) => part ?? 0));

export function showGroups(status) {
  const groups = [...status.groups].map((group) => ({ group, full: fullest(group) }))
    .sort((a, b) => b.full - a.full || b.group.callers - a.group.callers ||
      (a.group.group < b.group.group ? -1 : 1));
  const shown = groups.slice(0, groupsShown);
  const total = status.groups_total ?? groups.length;
  setText(byId("groups-count"), total <= shown.length ? count(total)
    : `${count(shown.length)} of ${count(total)}`);
  if (groups.length === 0) {
    byId("groups-list").replaceChildren(element("p.none", {}, "No group has been used yet."));
    return;
  }
  if (byId("groups-list").querySelector(".none")) byId("groups-list").replaceChildren();
  const make = () => element("article", {}, element("h3"), element("div.bars"));
  setList(byId("groups-list"), shown, make, (article, { group }) => {
    setForeign(article.children[0], group.group, 128);
    setList(article.children[1], barsOfGroup(group), makeBar, fillBar);
  });
}

// --- health ---

function certificateKind(certificate, now) {
  if (certificate.failing) return "bad";
  if (certificate.not_after_ms === null || certificate.not_after_ms === undefined) return "good";
  const left = certificate.not_after_ms - now;
  return left <= day ? "bad" : left <= soon ? "warn" : "good";
}

// Those whom nobody knows are told none.
const reason = ({ why }) => (why ? `: ${why.trim()}` : "");

function certificateText(certificate, now) {
  const why = certificate.failing ? `the newest files were refused${reason(certificate)}; ` : "";
  if (certificate.not_after_ms === null || certificate.not_after_ms === undefined)
    return `${why}no end known`;
  const left = certificate.not_after_ms - now;
  const days = Math.floor(left / day);
  const text = left <= 0 ? "expired" : days >= 2 ? `${count(days)} days left` : `${duration(left)} left`;
  return `${why}${text}, ${left <= 0 ? "since" : "until"} ${dateAndTime(certificate.not_after_ms)}`;
}

function storeRow(store) {
  if (!store?.enabled)
    return { name: "Data directory", kind: "off", text: "not in use: nothing outlives the daemon" };
  if (store.failing)
    return { name: "Data directory", kind: "bad", text: `failing: ${store.why || "see the log"}` };
  const waiting = store.bytes_waiting ? `, ${bytes(store.bytes_waiting)} to be written` : "";
  return { name: "Data directory", kind: "good", text: `in order${waiting}` };
}

function healthRows(status) {
  const [text, kind] = readiness(status);
  return [
    { name: "Daemon", kind, text: status.why_not_ready?.trim() || text.toLowerCase() },
    storeRow(status.store),
    ...(status.certificates ?? []).map((one) => ({
      name: one.name === null ? "Certificate" : `Certificate ${one.name}`, kind: certificateKind(one, status.now_ms),
      text: certificateText(one, status.now_ms),
    })),
    ...(status.files ?? []).map((file) => ({
      name: file.name === null ? "Rights" : `File ${file.name}`, kind: file.failing ? "bad" : "good",
      text: file.failing ? `not reloaded, the older one holds${reason(file)}` : "as read",
    })),
  ];
}

const kindNames = { good: "OK", warn: "Soon", bad: "Problem", off: "Off" };

const counters = [
  ["retained_hits", "Served from retained outcomes"], ["leaders_lost", "Leaders lost"],
  ["fenced", "Leaders fenced"], ["forgets", "Keys forgotten"], ["refused", "Calls refused"],
  ["retain_refused", "Outcomes not retained"], ["outcomes_lost", "Outcomes the disk did not take"],
];

function card(title, inside) {
  return element("div.card", {}, element("div.head", {}, element("h3", {}, title)), inside);
}

let health = null; // its parts, once they are made

function makeHealth() {
  health = {
    rows: element("ul.checks"), limits: element("div.bars"), counters: element("dl.counters"),
  };
  byId("health-cards").append(card("Health", health.rows), card("Limits of the daemon", health.limits),
    card("Counted since the start", health.counters));
}

export function showHealth(status) {
  if (health === null) makeHealth();
  const makeCheck = () => element("li", {}, element("span.pill"), element("b"), element("span.text"));
  setList(health.rows, healthRows(status), makeCheck, (check, { name, kind, text }) => {
    setAttribute(check.children[0], "class", `pill ${kind}`);
    setText(check.children[0], kindNames[kind]);
    setForeign(check.children[1], name);
    setForeign(check.children[2], text);
  });
  setList(health.limits, usage(status.current, status.limits, resources.map(([name]) => name)),
    makeBar, fillBar);
  const makeCounter = () => element("div", {}, element("dt"), element("dd"));
  setList(health.counters, counters, makeCounter, (row, [name, title]) => {
    setText(row.children[0], title);
    setText(row.children[1], count(status.counters[name]));
  });
}

// --- the hottest keys ---

export function showHottest(rows) {
  const busy = rows.filter((row) => row.state !== "retained" && row.callers > 0).slice(0, 8);
  const most = Math.max(1, ...busy.map((row) => row.callers));
  const list = byId("hottest-list");
  if (busy.length === 0) {
    list.replaceChildren(element("li.none", {}, "Nothing runs."));
    return;
  }
  if (list.querySelector(".none")) list.replaceChildren();
  setList(list, busy, () => element("li", {}, makeBar()), (item, row) => {
    const bar = item.firstChild;
    fillBar(bar, { much: count(row.callers), part: row.callers / most });
    setAttribute(bar.querySelector(".fill"), "class", "fill");
    setForeign(bar.firstChild, row.key === null ? `hidden (${row.group})` : row.key, 200);
    setAttribute(bar.firstChild, "class", row.key === null ? "what hidden" : "what");
  });
}
