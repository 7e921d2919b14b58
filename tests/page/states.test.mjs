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

const ageOfFirst = "#flights-grid .space .row .cell.age";
const ageInDetails = "#details .facts div:has(> dt:text-is('Age')) dd";

test("time passes in the table and in the details, and stands still on a pause", () =>
  withFake({}, async (view) => {
    await view.untilLive();
    const text = (selector) => view.page.locator(selector).first().textContent();
    const untilOther = (selector, was) =>
      view.until(([where, before]) => document.querySelector(where).textContent !== before,
        [selector, was]);
    await untilOther(ageOfFirst, await text(ageOfFirst));
    await untilOther(ageOfFirst, await text(ageOfFirst));
    await view.page.locator("#flights-grid .space .row").first().click();
    await view.until((where) => [...document.querySelectorAll("#details dd")].some((value) =>
      value.textContent === document.querySelector(where).textContent), ageOfFirst);
    const opened = await text(ageInDetails);
    await view.until((was) => [...document.querySelectorAll("#details .facts > div")].some((fact) =>
      fact.firstChild.textContent === "Age" && fact.lastChild.textContent !== was), opened);
    await view.page.keyboard.press("Escape");
    await view.page.click("#pause");
    const paused = await text(ageOfFirst);
    await view.page.evaluate(() => new Promise((done) => setTimeout(done, 2500)));
    assert.equal(await text(ageOfFirst), paused);
  }));

test("a daemon that does nothing has plots all the same", () => {
  const names = ["calls", "executions", "saved", "flights", "callers"];
  const history = (now) => ({
    step_ms: 10_000, first_ms: now - 3_590_000,
    ...Object.fromEntries(names.map((name) => [name, Array(360).fill(0)])),
  });
  return withFake({ flights: 0, history }, async (view) => {
    await view.until(() => document.querySelectorAll("#plots .line").length === 5);
    const paths = await view.page.locator("#plots .line").evaluateAll((lines) =>
      lines.map((line) => line.getAttribute("d")));
    for (const path of paths) assert.match(path, /^M54\.0 130\.0(L[\d.]+ 130\.0){359}$/);
    const ticks = await view.page.locator("#plots .plot:first-child [text-anchor=end]").allTextContents();
    assert.deepEqual(ticks, ["0", "0.5", "1"]);
  });
});

test("the hottest keys and rows far down are looked at again, whatever the table is sorted by", () =>
  withFake({ flights: 1000 }, async (view, fake) => {
    await view.untilLive();
    await view.page.click("#flights-grid .heads .age button");
    await view.page.evaluate(() => {
      document.querySelector("#flights-grid .rows").scrollTop = 32 * 600;
    });
    const byAge = () => fake.listFlights({ sort: "age", state: "led", limit: 500 }).rows;
    await view.until(() => [...document.querySelectorAll("#flights-grid .space .row")].some((row) =>
      row.getAttribute("aria-rowindex") === "612" && row.textContent !== ""));
    const last = fake.flights.filter(({ state }) => state === "led").sort((a, b) => b.began - a.began);
    assert(byAge().length > 400);
    for (const flight of last.slice(0, 400)) flight.callers = 777_000;
    await view.untilText("#hottest-list", "777,000");
    await view.untilText("#flights-grid .space", "777,000");
  }));

test("of a key that is cut nothing is offered but the whole one", () =>
  withFake({}, async (view, fake) => {
    const whole = `long:${"k".repeat(2000)}`;
    const list = fake.listFlights.bind(fake);
    let isThere = true;
    fake.listFlights = (asked) => {
      const { total, rows } = list({ ...asked, limit: asked.limit ?? 1 });
      const cut = { ...rows[0], key: whole.slice(0, 1024), key_cut: true, key_bytes: 2005,
        key_hash: "18446744073709551615", can_forget: false, can_end: false };
      if (asked.token === undefined) return { total, rows: [cut, ...rows.slice(1)] };
      assert.equal(asked.key_hash, cut.key_hash);
      return { total: 1, rows: isThere ? [{ ...rows[0], key: whole }] : [] };
    };
    await view.untilText("#flights-grid .space .cell.key", "…");
    const row = view.page.locator("#flights-grid .space .row").first();
    await row.click();
    await view.until((key) => document.querySelector("#details .whole").textContent === key, whole);
    await view.until(() => document.querySelector("#details").contains(document.activeElement));
    assert.equal(await view.page.locator("#details .actions button").count(), 2);
    assert.match(await view.page.locator(ageInDetails).textContent(), /^\d/);
    await view.page.keyboard.press("Escape");
    isThere = false;
    await row.click();
    await view.untilText("#details", "The beginning: it has 2,005 bytes.");
    assert.equal(await view.page.locator("#details .actions button").count(), 0);
    assert.deepEqual(await view.accessibility("#details"), []);
  }));

test("what is not in use has a mark like the others", () => {
  const status = { store: { enabled: false, failing: false, bytes_waiting: 0, why: null } };
  return withFake({ status }, async (view) => {
    await view.untilText("#health", "not in use");
    const heights = await view.page.locator(".checks .pill").evaluateAll((pills) =>
      pills.map((pill) => pill.offsetHeight));
    assert.equal(new Set(heights).size, 1, String(heights));
  });
});

test("nobody who waits is said to be nobody", () =>
  withFake({}, async (view, fake) => {
    fake.flights = fake.flights.filter(({ state }) => state === "led");
    for (const flight of fake.flights) flight.callers = 1;
    await view.untilText("#hottest-list", "1");
    await view.until(() => document.querySelector("#flights-grid .space .callers").textContent === "1");
    await view.page.locator("#flights-grid .space .row").first().click();
    await view.page.click("#details .actions button:has-text('End')");
    await view.untilText("#confirm", "Its leader is fenced; nobody else waits for it.");
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
