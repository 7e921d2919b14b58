// SPDX-License-Identifier: Apache-2.0
// A plot of the last hour: lines over time, with gaps where nothing was. The pointer, or the arrow
// keys, read a moment off it.
import { element, setAttribute, setText, shape } from "./dom.js";
import { hourAndMinute, timeOfDay } from "./text.js";

const height = 150;
const room = { left: 54, right: 10, top: 8, bottom: 20 };

// 0, step, 2 step, ... up to at least `max`; a step is 1, 2 or 5 times a power of ten.
function linearTicks(max) {
  const rough = Math.max(max, 1e-9) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let i = 0; ticks.length === 0 || ticks[ticks.length - 1] < max; i++) ticks.push(i * step);
  return ticks;
}

// The powers of ten around the values; not more than five of them are named.
function logTicks(min, max) {
  const first = Math.floor(Math.log10(min));
  const last = Math.max(first + 1, Math.ceil(Math.log10(max)));
  const every = Math.ceil((last - first) / 4);
  const ticks = [];
  for (let i = first; i < last + every; i += every) ticks.push(10 ** i);
  return ticks;
}

export class Plot {
  // options: { title, unit(value) -> text, isLog, series: [{ name, title }] }
  constructor(place, options) {
    this.options = options;
    this.data = null;
    this.cursor = null; // a point's index while somebody reads one off
    this.width = 0;
    this.values = options.series.map((series) => element("dd", {}, "–"));
    this.when = element("span.when");
    this.picture = shape("svg", { "aria-hidden": "true", height });
    this.reader = element("div.picture", {
      tabindex: "0", role: "slider", "aria-label": `${options.title}, last hour`,
      "aria-orientation": "horizontal", "aria-valuemin": "0", "aria-valuemax": "0",
      "aria-valuenow": "0", "aria-valuetext": "nothing yet",
      onpointermove: (event) => this.#point(event), onpointerdown: (event) => this.#point(event),
      onpointerleave: () => this.#read(null), onblur: () => this.#read(null),
      onkeydown: (event) => this.#onKey(event),
    }, this.picture);
    place.append(element("figure.card.plot", {},
      element("figcaption", {}, element("h3", {}, options.title), this.when),
      element("dl.legend", {}, options.series.map((series, i) =>
        element(`div.series.s${i}`, {}, element("dt", {}, series.title), this.values[i]))),
      this.reader));
    new ResizeObserver(([entry]) => {
      this.width = Math.floor(entry.contentRect.width);
      this.#draw();
    }).observe(this.reader);
  }

  // data: { first_ms, step_ms, and an array for each series' name }
  setData(data) {
    this.data = data;
    this.#draw();
  }

  // --- drawing ---

  #count() {
    return Math.max(...this.options.series.map(({ name }) => this.data?.[name]?.length ?? 0));
  }

  #valuesOf(series) {
    return this.data[series.name] ?? [];
  }

  #ticks() {
    const all = this.options.series.flatMap((series) => this.#valuesOf(series))
      .filter((value) => value !== null && (!this.options.isLog || value > 0));
    if (this.options.isLog)
      return all.length === 0 ? [1, 1000] : logTicks(Math.min(...all), Math.max(...all));
    return linearTicks(Math.max(0, ...all) || 1);
  }

  #scale(ticks) {
    const bottom = height - room.bottom;
    const of = this.options.isLog ? (value) => Math.log10(Math.max(value, ticks[0])) : (value) => value;
    const low = of(ticks[0]);
    const high = of(ticks[ticks.length - 1]);
    return (value) => bottom - ((of(value) - low) / (high - low)) * (bottom - room.top);
  }

  #x(index) {
    return room.left + (index * (this.width - room.left - room.right)) / Math.max(1, this.#count() - 1);
  }

  #draw() {
    if (this.data === null || this.width < 100) return;
    const ticks = this.#ticks();
    const y = this.#scale(ticks);
    this.y = y;
    setAttribute(this.picture, "width", this.width);
    this.mark = shape("g", { class: "mark" });
    this.picture.replaceChildren(
      ...ticks.flatMap((tick) => this.#gridLine(tick, y(tick))), ...this.#times(),
      ...this.options.series.flatMap((series, i) => this.#line(this.#valuesOf(series), i, y)).reverse(),
      this.mark);
    this.#read(this.cursor);
  }

  #gridLine(tick, y) {
    const label = shape("text", { class: "tick", x: room.left - 6, y: y + 4, "text-anchor": "end" });
    label.textContent = this.options.unit(tick);
    return [shape("line", {
      class: "grid", x1: room.left, x2: this.width - room.right, y1: y, y2: y,
    }), label];
  }

  // Names the quarters of an hour.
  #times() {
    const { first_ms: first, step_ms: step } = this.data;
    const last = first + (this.#count() - 1) * step;
    const every = this.width > 420 ? 600_000 : 900_000;
    const shapes = [];
    for (let ms = Math.ceil(first / every) * every; ms <= last; ms += every) {
      const x = this.#x((ms - first) / step);
      if (x < room.left + 14 || x > this.width - room.right - 14) continue;
      const label = shape("text", { class: "tick", x, y: height - 5, "text-anchor": "middle" });
      label.textContent = hourAndMinute(ms);
      const bottom = height - room.bottom;
      shapes.push(shape("line", { class: "axis", x1: x, x2: x, y1: bottom, y2: bottom + 4 }), label);
    }
    return shapes;
  }

  // One path for each stretch without a gap; a single point is a dot.
  #line(values, i, y) {
    const shapes = [];
    let points = [];
    const end = () => {
      if (points.length === 1) {
        const [x, height] = points[0].split(" ");
        shapes.push(shape("circle", { class: `dot s${i}`, cx: x, cy: height, r: 1.75 }));
      } else if (points.length > 1) {
        shapes.push(shape("path", { class: `line s${i}`, d: `M${points.join("L")}` }));
      }
      points = [];
    };
    values.forEach((value, index) => {
      if (value === null) end();
      else points.push(`${this.#x(index).toFixed(1)} ${y(value).toFixed(1)}`);
    });
    end();
    return shapes;
  }

  // --- reading a moment off ---

  // `cursor` null: the newest.
  #read(cursor) {
    this.cursor = cursor;
    if (this.data === null) return;
    const index = cursor ?? this.#count() - 1;
    const texts = this.options.series.map((series) => {
      const value = this.#valuesOf(series)[index] ?? null;
      return value === null ? "–" : this.options.unit(value);
    });
    texts.forEach((text, i) => setText(this.values[i], text));
    const time = timeOfDay(this.data.first_ms + index * this.data.step_ms);
    setText(this.when, cursor === null ? "now" : time);
    setAttribute(this.reader, "aria-valuemax", Math.max(0, this.#count() - 1));
    setAttribute(this.reader, "aria-valuenow", Math.max(0, index));
    setAttribute(this.reader, "aria-valuetext", `${time}: ${this.options.series
      .map((series, i) => `${series.title} ${texts[i] === "–" ? "nothing" : texts[i]}`).join(", ")}`);
    this.#markAt(cursor);
  }

  #markAt(index) {
    if (this.mark === undefined) return;
    if (index === null) {
      this.mark.replaceChildren();
      return;
    }
    const x = this.#x(index);
    const dots = this.options.series.flatMap((series, i) => {
      const value = this.#valuesOf(series)[index] ?? null;
      return value === null ? []
        : [shape("circle", { class: `point s${i}`, cx: x, cy: this.y(value), r: 3.5 })];
    });
    this.mark.replaceChildren(
      shape("line", { x1: x, x2: x, y1: room.top, y2: height - room.bottom }), ...dots);
  }

  #point(event) {
    if (this.data === null || this.#count() === 0) return;
    const x = event.clientX - this.picture.getBoundingClientRect().left - room.left;
    const part = x / Math.max(1, this.width - room.left - room.right);
    this.#read(Math.max(0, Math.min(this.#count() - 1, Math.round(part * (this.#count() - 1)))));
  }

  #onKey(event) {
    if (this.data === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.#count() - 1;
    const at = this.cursor ?? last;
    const to = {
      ArrowLeft: at - 1, ArrowRight: at + 1, ArrowDown: at - 1, ArrowUp: at + 1,
      PageUp: at + 30, PageDown: at - 30, Home: 0, End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#read(Math.max(0, Math.min(last, to)));
  }
}
