// SPDX-License-Identifier: Apache-2.0
// A table of any length: only the rows that can be seen are there. One stop for Tab; arrows, Page
// Up, Page Down, Home and End move the current row, Enter opens it.
import { element, empty, setAttribute, setHidden, setText } from "./dom.js";

const rowsAround = 8; // above and below those that can be seen
export const rowsMax = 10_000; // the daemon lists no more; filters find the others

export class Grid {
  // columns: [{ name, title, sort?, passes?, fill(cell, row) }]
  // options: { label, empty(), rowHeight(), onSort(sort), onOpen(row), onWant(offset, limit) }
  constructor(place, columns, options) {
    this.columns = columns;
    this.options = options;
    this.total = 0;
    this.rows = new Map(); // by their index
    this.current = -1;
    this.rowHeight = options.rowHeight();
    this.shown = [];
    this.#build(place);
  }

  // --- what others tell it ---

  // `rows` stand from `offset` on, of `total`. Rows that were there before and are not among them
  // are shown until newer ones come.
  setRows(total, offset, rows) {
    if (this.isStale) this.rows.clear();
    this.isStale = false;
    this.total = total;
    rows.forEach((row, i) => this.rows.set(offset + i, row));
    for (const index of this.rows.keys()) {
      if (index >= total || !this.#isNear(index)) this.rows.delete(index);
    }
    this.#layOut();
  }

  // Nothing that was there may be seen any more.
  reset() {
    this.rows.clear();
    this.current = -1;
    this.body.scrollTop = 0;
    this.#layOut();
  }

  // Time has passed: columns that show how much of it say it anew.
  letPass() {
    for (const { row, children } of this.shown) {
      if (row === undefined) continue;
      this.columns.forEach((column, i) => column.passes && column.fill(children[i], row));
    }
  }

  // Another order or another filter: what is there is shown until the first new rows come.
  expect() {
    this.isStale = true;
    this.current = -1;
    this.body.scrollTop = 0;
    this.#layOut();
  }

  setSort(sort) {
    for (const [i, column] of this.columns.entries()) {
      if (column.sort === undefined) continue;
      const order = column.sort !== sort ? "none" : column.ascending ? "ascending" : "descending";
      setAttribute(this.heads[i], "aria-sort", order);
    }
  }

  // The first row that can be seen, and how many.
  view() {
    const first = Math.max(0, Math.floor(this.body.scrollTop / this.rowHeight) - rowsAround);
    const fit = Math.ceil(this.body.clientHeight / this.rowHeight) + 2 * rowsAround;
    return { offset: first, limit: Math.max(0, Math.min(fit, this.#rowsMax() - first)) };
  }

  // --- what it does ---

  #build(place) {
    this.heads = this.columns.map((column) => this.#makeHead(column));
    this.space = element("div.space", { role: "rowgroup" });
    this.none = element("p.none", { hidden: true });
    this.body = element("div.rows", {
      tabindex: "0", role: "grid", "aria-label": this.options.label,
      onscroll: () => this.#onScroll(), onkeydown: (event) => this.#onKey(event),
      onclick: (event) => this.#onClick(event),
    },
    element("div.row.heads", { role: "row", "aria-rowindex": "1" }, this.heads), this.space);
    place.replaceChildren(element("div.grid", {}, this.body, this.none));
    this.id = place.id;
    new ResizeObserver(() => this.#onResize()).observe(this.body);
  }

  #makeHead(column) {
    const inside = column.sort === undefined
      ? element("span", {}, column.title)
      : element("button", {
        type: "button", onclick: () => this.options.onSort(column.sort),
      }, column.title);
    return element(`div.cell.${column.name}`, {
      role: "columnheader", "aria-sort": column.sort === undefined ? null : "none",
    }, inside);
  }

  #rowsMax() {
    return Math.min(this.total, rowsMax);
  }

  #isNear(index) {
    const { offset, limit } = this.view();
    return index >= offset - 600 && index < offset + limit + 600;
  }

  #onResize() {
    this.rowHeight = this.options.rowHeight();
    this.#layOut();
  }

  #onScroll() {
    if (this.frame !== undefined) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = undefined;
      this.#layOut();
    });
  }

  #layOut() {
    const { offset, limit } = this.view();
    setAttribute(this.body, "aria-rowcount", this.total + 1);
    this.space.style.height = `${this.#rowsMax() * this.rowHeight}px`;
    setHidden(this.none, this.total > 0);
    if (this.total === 0) setText(this.none, this.options.empty());
    this.#fillRows(offset, limit);
    let isMissing = false;
    for (let i = offset; i < offset + limit; i++) isMissing ||= !this.rows.has(i);
    if (isMissing) this.options.onWant(offset, limit);
  }

  #fillRows(offset, limit) {
    while (this.shown.length > limit) this.shown.pop().remove();
    while (this.shown.length < limit) this.shown.push(this.space.appendChild(this.#makeRow()));
    this.shown.forEach((row, i) => this.#fillRow(row, offset + i, this.rows.get(offset + i)));
    this.#markCurrent();
  }

  #makeRow() {
    const cells = this.columns.map((column) =>
      element(`div.cell.${column.name}`, { role: "gridcell" }));
    return element("div.row", { role: "row" }, cells);
  }

  #fillRow(target, index, row) {
    const top = index * this.rowHeight;
    if (target.top !== top) {
      target.top = top;
      target.index = index;
      target.id = `${this.id}-${index}`;
      target.style.transform = `translateY(${top}px)`;
      target.setAttribute("aria-rowindex", index + 2);
    }
    if (target.row === row) return;
    target.row = row;
    this.columns.forEach((column, i) => {
      if (row === undefined) empty(target.children[i]);
      else column.fill(target.children[i], row);
    });
  }

  // --- the current row ---

  #markCurrent() {
    const isThere = this.shown.some((row) => row.index === this.current);
    for (const row of this.shown) {
      const isCurrent = row.index === this.current;
      row.classList.toggle("current", isCurrent);
      setAttribute(row, "aria-selected", isCurrent ? "true" : null);
    }
    setAttribute(this.body, "aria-activedescendant", isThere ? `${this.id}-${this.current}` : null);
  }

  #move(to) {
    if (this.#rowsMax() === 0) return;
    this.current = Math.max(0, Math.min(this.#rowsMax() - 1, to));
    const head = this.heads[0].parentElement.offsetHeight;
    const top = this.current * this.rowHeight;
    const room = this.body.clientHeight - head;
    if (top < this.body.scrollTop) this.body.scrollTop = top;
    else if (top + this.rowHeight > this.body.scrollTop + room)
      this.body.scrollTop = top + this.rowHeight - room;
    this.#layOut();
  }

  #open(index) {
    const row = this.rows.get(index);
    if (row !== undefined) this.options.onOpen(row);
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.body.clientHeight / this.rowHeight) - 2);
    const to = {
      ArrowDown: this.current + 1, ArrowUp: this.current - 1,
      PageDown: this.current + page, PageUp: this.current - page,
      Home: 0, End: Infinity,
    }[event.key];
    if (to !== undefined) this.#move(to);
    else if (event.key === "Enter" && event.target === this.body) this.#open(this.current);
    else return;
    event.preventDefault();
  }

  #onClick(event) {
    const row = event.target.closest(".row:not(.heads)");
    if (row === null) return;
    this.current = row.index;
    this.#markCurrent();
    this.#open(row.index);
  }
}
