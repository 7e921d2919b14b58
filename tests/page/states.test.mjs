// SPDX-License-Identifier: Apache-2.0
// What the page makes of a daemon that is not well: states that a real one does not come to when it
// is asked to.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, View } from "./browser.mjs";
import { Fake } from "./fake.mjs";

const day = 86_400_000;

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

async function withFake(options, look) {
  const fake = new Fake({ flights: 20, runs: 3, ...options });
  const view = await View.open(browser, await fake.listen());
  try {
    await look(view, fake);
    await view.close();
  } finally {
    fake.close();
  }
}

const checks = (view) => view.page.locator(".checks li").evaluateAll((items) =>
  items.map((item) => [...item.children].map((part) => part.textContent)));

test("certificates, files and the store say what is wrong with them", () => {
  const now = Date.now();
  const status = {
    store: { enabled: true, failing: true, bytes_waiting: 2048, why: "No space left on device" },
    certificates: [
      { name: "good.pem", not_after_ms: now + 40.5 * day, failing: false, why: null },
      { name: "soon.pem", not_after_ms: now + 3.5 * day, failing: false, why: null },
      { name: "now.pem", not_after_ms: now + day / 2, failing: false, why: null },
      { name: "over.pem", not_after_ms: now - day, failing: false, why: null },
      { name: null, not_after_ms: now + 40.5 * day, failing: true, why: null },
    ],
    files: [{ name: "access.ini", failing: true, why: "line 3: no such right" },
      { name: "tokens", failing: false, why: null }],
  };
  return withFake({ status }, async (view) => {
    await view.untilText("#problems", "5 problems, 1 warning");
    const told = Object.fromEntries((await checks(view)).map(([kind, name, text]) =>
      [name, `${kind}: ${text}`]));
    assert.match(told["Data directory"], /^Problem: failing: No space left on device$/);
    assert.match(told["Certificate good.pem"], /^OK: 40 days left, until /);
    assert.match(told["Certificate soon.pem"], /^Soon: 3 days left/);
    assert.match(told["Certificate now.pem"], /^Problem: 1[12] h .*left/);
    assert.match(told["Certificate over.pem"], /^Problem: expired, since /);
    assert.match(told.Certificate, /^Problem: the newest files were refused; 40 days left/);
    assert.match(told["File access.ini"], /^Problem: not reloaded, the older one holds: line 3/);
    assert.equal(told["File tokens"], "OK: as read");
    assert.match(await view.page.title(), /^\(!\)/);
    assert.deepEqual(await view.accessibility("#health"), []);
  });
});

test("a run of another day has its day, one of today its time", () =>
  withFake({}, async (view, fake) => {
    fake.runs = fake.runs.map((run, i) => ({ ...run, ended_ms: i === 1 ? Date.UTC(2026, 0, 9) : Date.now() }));
    await view.untilText("#runs-grid .space", "9 Jan");
    const [first, second] = await view.cells("runs-grid", "ended");
    assert.match(first, /^\d\d:\d\d:\d\d$/);
    assert.equal(second, "9 Jan");
    await view.page.click("#runs-grid .space .row >> nth=1");
    await view.untilText("#details", "9 Jan 2026, 00:00:00");
  }));

test("a daemon that drains says so", () =>
  withFake({ status: { ready: false, draining: true, why_not_ready: "draining" } }, async (view) => {
    await view.untilText("#ready", "Draining");
    assert.equal(await view.page.textContent("#ready"), "Draining");
  }));

test("a group at its quota is marked, and one without quotas has no bar", () => {
  const group = (name, callers, limits) => ({
    group: name, flights: 1, callers, held_bytes: 0, retained_bytes: null, joins_per_s: 0, limits,
  });
  const none = { flights: null, callers: null, held_bytes: null, retained_bytes: null, joins_per_s: null };
  const groups = [group("free", 70, none), group("full", 95, { ...none, callers: 100 }),
    group("calm", 5, { ...none, callers: 100 })];
  return withFake({ status: { groups, groups_total: 3 } }, async (view) => {
    await view.untilText("#groups-list", "95 of 100");
    const names = await view.page.locator("#groups-list h3").allTextContents();
    assert.deepEqual(names, ["full", "calm", "free"]);
    const of = (name, selector) =>
      view.page.locator(`#groups-list article:has-text("${name}") ${selector}`);
    assert.equal(await of("full", ".fill.bad").count(), 1);
    assert.equal(await of("calm", ".track:visible").count(), 1);
    assert.equal(await of("free", ".track:visible").count(), 0);
  });
});

test("a stream that is refused says why, and is tried again", () =>
  withFake({ refusal: { code: 503, error: "16 pages are open already" } }, async (view, fake) => {
    await view.untilText("#lost", "No connection. 16 pages are open already.");
    fake.options.refusal = null;
    // It may have tried again by itself by now, and the button be gone.
    await view.page.evaluate(() => document.querySelector("#retry").click());
    await view.untilLive();
    await view.until(() => document.querySelector("#lost").hidden);
    view.faults = view.faults.filter((text) => !text.includes("status of 503"));
  }));

test("a plot goes on with each new point, and has gaps", () =>
  withFake({ pointEvery: 200 }, async (view) => {
    await view.until(() => document.querySelectorAll("#plots .line.s0").length >= 5);
    const plot = view.page.locator("#plots [role=slider]").first();
    assert.equal(await plot.getAttribute("aria-valuemax"), "359");
    const path = await view.page.locator("#plots .line.s0").first().getAttribute("d");
    await view.until((before) =>
      document.querySelector("#plots .line.s0").getAttribute("d") !== before, path);
    assert.equal(await plot.getAttribute("aria-valuemax"), "359");
  }));

test("more flights than are listed are counted, and that is said", () =>
  withFake({}, async (view, fake) => {
    await view.untilLive();
    const list = fake.listFlights.bind(fake);
    fake.listFlights = (asked) => ({ ...list(asked), total: 12_345 });
    await view.untilText("#flights-count", "12,345, of which the first 10,000 are listed");
  }));

test("time passes in the table although nothing changes, and stands still on a pause", () =>
  withFake({}, async (view) => {
    await view.untilLive();
    const age = () => view.page.locator("#flights-grid .space .row .cell.age").first().textContent();
    const before = await age();
    await view.until((was) =>
      document.querySelector("#flights-grid .space .row .cell.age").textContent !== was, before);
    await view.page.click("#pause");
    await view.page.click("#flights-filters input");
    const paused = await age();
    await view.page.evaluate(() => new Promise((done) => setTimeout(done, 2500)));
    assert.equal(await age(), paused);
  }));

test("a group that was chosen stays chosen when it is gone", () =>
  withFake({}, async (view, fake) => {
    await view.untilLive();
    const select = "#flights-filters select[name=group]";
    const [, group] = await view.page.locator(`${select} option`).evaluateAll((options) =>
      options.map((option) => option.value));
    await view.page.selectOption(select, group);
    fake.options.status = { ...fake.options.status, groups: [] };
    await view.until((wanted) =>
      [...document.querySelector(wanted).options].length === 2, select);
    assert.equal(await view.page.inputValue(select), group);
  }));

test("rows that the daemon does not give are not asked for without end", () =>
  withFake({}, async (view, fake) => {
    await view.untilLive();
    let asked = 0;
    const list = fake.listFlights.bind(fake);
    fake.listFlights = (query) => {
      asked++;
      return { ...list(query), total: 5000 };
    };
    await view.untilText("#flights-count", "5,000");
    await view.page.evaluate(() => {
      document.querySelector("#flights-grid .rows").scrollTop = 100_000;
    });
    await view.page.evaluate(() => new Promise((done) => setTimeout(done, 2000)));
    assert(asked < 30, `${asked} requests`);
  }));
