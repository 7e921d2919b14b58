// SPDX-License-Identifier: Apache-2.0
// Numbers, times and foreign text for people to read.
import { element } from "./dom.js";

// --- numbers ---

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const count = (value) => (value === null || value === undefined ? "–" : whole.format(value));
export const roughly = (value) =>
  (value < 100_000 ? count(value < 10 ? Number(value.toFixed(1)) : Math.round(value))
    : short.format(value));

export function rate(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0/s";
  return `${value < 10 ? value.toFixed(value < 1 ? 2 : 1) : roughly(Math.round(value))}/s`;
}

// A part of a whole; null: there is no whole.
export function percent(part, all) {
  if (!all) return null;
  const value = (100 * part) / all;
  if (value > 99.9 && value < 100) return "> 99.9 %";
  return `${value >= 10 || value === 0 ? Math.floor(value * 10) / 10 : value.toFixed(1)} %`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

// --- times ---

const steps = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1000]];

// "3 d 4 h", "1 min 20 s", "850 ms": two units at most.
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return ms === 0 ? "0 ms" : "< 1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  const first = steps.findIndex(([, size]) => ms >= size);
  const [unit, size] = steps[first];
  const text = `${Math.floor(ms / size)} ${unit}`;
  if (first === steps.length - 1) return text;
  const [smaller, smallerSize] = steps[first + 1];
  const rest = Math.floor((ms % size) / smallerSize);
  return rest === 0 ? text : `${text} ${rest} ${smaller}`;
}

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const clockOfPlots = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const timeOfDay = (ms) => clock.format(ms);

// The time, or the day when that is another one than today.
export function timeOrDay(ms) {
  const isToday = new Date(ms).toDateString() === new Date().toDateString();
  return isToday ? clock.format(ms) : day.format(ms);
}
export const hourAndMinute = (ms) => clockOfPlots.format(ms);
export const dateAndTime = (ms) => moment.format(ms);

// --- foreign text ---

// What cannot be seen, or changes how the text around it is seen: controls, marks that turn the
// direction of writing, characters without width, blanks that look like others.
const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
const unseenParts = new RegExp(`(${unseen.source})`, "u");

function named(character) {
  const code = character.codePointAt(0);
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return `\\u{${code.toString(16)}}`;
}

// Not through the middle of a character.
function cut(text, charactersMax) {
  return text.slice(0, charactersMax).replace(/[\ud800-\udbff]$/, "");
}

// Foreign text as nodes, what is unseen made visible and marked.
export function readable(text, charactersMax = Infinity) {
  const shown = text.length > charactersMax ? cut(text, charactersMax) : text;
  const nodes = unseen.test(shown)
    ? shown.split(unseenParts).filter((part) => part !== "").map((part) =>
      unseen.test(part) ? element("span.escape", {}, named(part)) : part)
    : [shown];
  if (shown !== text) nodes.push("…");
  return nodes;
}

// The same as one string, for names and titles.
export const readableText = (text, charactersMax) =>
  readable(text, charactersMax).map((node) => node.textContent ?? node).join("");

// Fills `target` unless it shows that very text already.
export function setForeign(target, text, charactersMax) {
  if (target.foreign === text) return;
  target.foreign = text;
  target.replaceChildren(...readable(text, charactersMax));
}
