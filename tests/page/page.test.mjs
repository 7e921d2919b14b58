// SPDX-License-Identifier: Apache-2.0
// The page of a real daemon without rights, in a real browser: 10,000 flights and 1,000 runs.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, View } from "./browser.mjs";
import { Crowd } from "./crowd.mjs";
import { Daemon } from "./daemon.mjs";

const flights = 10_000;
const hostile = '<img src=x onerror="window.hit=1">\u202egnp.exe\u0007\n</script>';
const longest = `long:${"0123456789".repeat(100)}`;

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

describe("10,000 flights and 1,000 runs", () => {
  let daemon;
  let crowd;

  before(async () => {
    daemon = await new Daemon().start();
    crowd = new Crowd(daemon.address);
    await crowd.lead(Array.from({ length: flights - 3 }, (_, i) =>
      ({ group: `group-${i % 7}`, key: `key:${i}`, caller: `worker-${i % 90}` })));
    await crowd.lead([{ group: "odd", key: hostile, caller: hostile.slice(0, 30) },
      { group: "odd", key: longest }, { group: "odd", key: "busy", caller: "boss" }]);
    await crowd.follow(Array.from({ length: 40 }, () => ({ group: "odd", key: "busy" })));
    const jobs = await crowd.lead(Array.from({ length: 1000 }, (_, i) =>
      ({ group: "jobs", key: `job:${i}`, caller: "cron", lease_ms: 60_000 })));
    await crowd.finish(jobs.slice(100));
    await crowd.finish(jobs.slice(0, 100), { kind: "OUTCOME_KIND_ERROR", code: 7, message: "no disk" });
  });

  after(async () => {
    crowd.close();
    await daemon.close();
  });

  async function open(options) {
    const view = await View.open(browser, daemon.page, options);
    await view.untilText("#flights-count", "10,000");
    await view.untilText("#flights-grid .space", "busy");
    return view;
  }

  test("what is there is shown", async () => {
    const view = await open();
    await view.untilText("#ready", "Ready");
    await view.untilText("#runs-count", "1,000");
    await view.untilText("#tiles", "10,0"); // flights and callers
    await view.untilText("#groups-list", "group-3");
    const [callers] = await view.cells("flights-grid", "callers");
    assert.equal(callers, "41");
    assert.deepEqual((await view.cells("flights-grid", "leader"))[0], "boss");
    await view.untilText("#hottest-list", "busy");
    await view.untilText("#health-cards", "nothing outlives the daemon");
    await view.close();
  });

  test("only the rows that can be seen are in the document, down to the last one", async () => {
    const view = await open();
    await view.page.focus("#flights-grid .rows");
    await view.page.keyboard.press("End");
    await view.until(() => {
      const last = document.querySelector("#flights-grid .row.current");
      return last?.getAttribute("aria-rowindex") === "10001" &&
        last.querySelector(".key").textContent !== "";
    });
    const count = await view.page.locator("#flights-grid .space .row").count();
    assert(count < 80, `${count} rows`);
    const box = await view.page.locator("#flights-grid .row.current").boundingBox();
    const around = await view.page.locator("#flights-grid .rows").boundingBox();
    assert(box.y >= around.y && box.y + box.height <= around.y + around.height + 1);
    await view.page.focus("#runs-grid .rows");
    await view.page.keyboard.press("End");
    await view.until(() => {
      const last = document.querySelector("#runs-grid .row.current");
      return last?.getAttribute("aria-rowindex") === "1001" && last.textContent.includes("job:");
    });
    await view.close();
  });

  test("no task takes longer than 100 ms of the processor while it runs and is scrolled", async () => {
    const view = await open();
    await view.page.evaluate(() => {
      window.events = 0;
      new MutationObserver(() => window.events++).observe(document.querySelector("#uptime"), {
        childList: true, characterData: true, subtree: true,
      });
      const rows = document.querySelector("#flights-grid .rows");
      const scroll = () => {
        rows.scrollTop = (rows.scrollTop + 700) % rows.scrollHeight;
        if (window.events < 4) requestAnimationFrame(scroll);
      };
      scroll();
    });
    const tasks = await view.tasks(() => view.until(() => window.events >= 4));
    assert(tasks.length > 50, `${tasks.length} tasks`);
    const longest = Math.max(...tasks);
    assert(longest <= 100, `a task of ${longest} ms`);
    await view.close();
  });

  test("sorting", async () => {
    const view = await open();
    await view.page.focus("#flights-grid .heads .key button");
    await view.page.keyboard.press("Enter");
    await view.until(() => document.querySelector("#flights-grid .heads .key")
      .getAttribute("aria-sort") === "ascending");
    await view.untilText("#flights-grid .space .row:nth-child(3) .cell.key", "key:0");
    const keys = (await view.cells("flights-grid", "key")).slice(2);
    assert.deepEqual(keys, [...keys].sort());
    await view.page.click("#flights-grid .heads .group button");
    await view.untilText("#flights-grid .space .row:nth-child(2) .cell.group", "group-0");
    await view.close();
  });

  test("searching and filters", async () => {
    const view = await open();
    await view.page.fill("#flights-filters input", "key:4711");
    await view.untilText("#flights-count", "1");
    await view.until(() => document.querySelector("#flights-count").textContent === "1");
    assert.equal(await view.page.textContent("#said"), "1 row");
    assert.deepEqual(await view.cells("flights-grid", "key"), ["key:4711"]);
    await view.page.fill("#flights-filters input", "");
    await view.page.selectOption("#flights-filters select[name=group]", "group-2");
    await view.until(() => document.querySelector("#flights-count").textContent === "1,428");
    await view.page.selectOption("#flights-filters select[name=state]", "orphaned");
    await view.untilText("#flights-grid", "Nothing matches");
    await view.page.selectOption("#runs-filters select[name=outcome]", "error");
    await view.until(() => document.querySelector("#runs-count").textContent === "100");
    await view.untilText("#runs-grid .space", "no disk");
    await view.close();
  });

  test("every choice of a filter is one that the daemon knows", async () => {
    const view = await open();
    for (const [select, path] of [
      ["#flights-filters select[name=state]", "flights?state="],
      ["#flights-filters select[name=sort]", "flights?sort="],
      ["#runs-filters select[name=outcome]", "runs?outcome="],
    ]) {
      const values = await view.page.locator(`${select} option`).evaluateAll((options) =>
        options.map((option) => option.value));
      assert(values.length > 4, select);
      for (const value of values) await daemon.get(path + value);
    }
    await view.page.selectOption("#runs-filters select[name=outcome]", "aborted");
    await view.untilText("#runs-grid", "Nothing matches");
    await view.close();
  });

  test("the keyboard reaches everything, and one sees where it is", async () => {
    const view = await open();
    const seen = [];
    for (let i = 0; i < 60; i++) {
      await view.page.keyboard.press("Tab");
      const stop = await view.page.evaluate(() => {
        const at = document.activeElement;
        if (at === document.body) return null;
        const style = getComputedStyle(at);
        return {
          what: at.id || at.name || at.className || at.textContent,
          where: at.closest("#plots, #running, #ended")?.id ?? "",
          isMarked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1,
        };
      });
      if (stop === null || seen.some(({ what, where }) =>
        what === stop.what && where === stop.where && where !== "plots")) break;
      seen.push(stop);
    }
    assert.deepEqual(seen.filter(({ isMarked }) => !isMarked), []);
    const stops = seen.map(({ what, where }) => `${where} ${what}`.trim());
    for (const stop of ["skip", "pause", "theme", "Running", "plots picture", "running search",
      "running group", "running state", "running rows", "groups-list", "ended search",
      "ended outcome", "ended rows"]) assert(stops.includes(stop), `${stop} in ${stops}`);
    await view.close();
  });

  test("arrows move in the table, Enter opens, Escape closes", async () => {
    const view = await open();
    await view.page.focus("#flights-grid .rows");
    await view.page.keyboard.press("ArrowDown");
    await view.page.keyboard.press("Enter");
    await view.untilText("#details", "busy");
    await view.untilText("#details", "41, the leader included");
    await view.page.keyboard.press("Escape");
    await view.until(() => !document.querySelector("#details").open);
    assert(await view.page.evaluate(() => document.activeElement.matches("#flights-grid .rows")));
    await view.page.focus("#runs-grid .rows");
    await view.page.keyboard.press("ArrowDown");
    await view.page.keyboard.press("Enter");
    await view.untilText("#details", "no disk");
    await view.close();
  });

  test("a hostile key is text, and what is unseen is shown", async () => {
    const view = await open();
    await view.page.fill("#flights-filters input", "onerror");
    await view.untilText("#flights-grid .space .cell.key", "\\u{202e}gnp.exe\\x07\\n</script>");
    await view.page.click("#flights-grid .space .row");
    await view.untilText("#details", "<img src=x onerror=");
    assert.equal(await view.page.locator("img").count(), 1); // the page's own
    assert.equal(await view.page.evaluate(() => window.hit), undefined);
    assert(!(await view.text()).includes("\u202e"));
    await view.close();
  });

  test("a very long key is cut, and whole when it is asked for", async () => {
    const view = await open();
    await view.page.fill("#flights-filters input", "long:");
    await view.untilText("#flights-grid .space .cell.key", "…");
    await view.page.click("#flights-grid .space .row");
    await view.until((key) => document.querySelector("#details .whole")?.textContent === key, longest);
    await view.close();
  });

  test("a plot is read with the keyboard", async () => {
    const view = await open();
    const plot = view.page.locator("#plots [role=slider]").first();
    await view.until(() => document.querySelector("#plots .line, #plots .dot") !== null);
    await plot.focus();
    await view.page.keyboard.press("End");
    const newest = await plot.getAttribute("aria-valuetext");
    assert.match(newest, /^\d\d:\d\d:\d\d: calls .*, executed .*, saved /);
    await view.page.keyboard.press("Home");
    assert.match(await plot.getAttribute("aria-valuetext"), /calls nothing/);
    await view.close();
  });

  test("a pause keeps what is shown", async () => {
    const view = await open();
    await view.page.click("#pause");
    await view.untilText("#live", "Paused");
    const uptime = await view.page.textContent("#uptime");
    await view.page.click("#pause");
    await view.untilText("#live", "Live");
    await view.until((before) => document.querySelector("#uptime").textContent !== before, uptime);
    await view.close();
  });

  test("light, dark, and one's own choice, which is remembered", async () => {
    const view = await open({ dark: true });
    const colour = () => view.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await colour();
    await view.page.click("#theme");
    const light = await colour();
    assert.notEqual(light, dark);
    await view.page.reload();
    await view.untilLive();
    assert.equal(await colour(), light);
    await view.close();
  });

  test("a phone: nothing is wider than it, and a touch opens a row", async () => {
    const view = await open({ size: "phone" });
    assert.equal(await view.page.evaluate(() => document.documentElement.scrollWidth), 360);
    await view.page.tap("#flights-grid .space .row");
    await view.untilText("#details", "busy");
    const box = await view.page.locator("#details").boundingBox();
    assert(box.x >= 0 && box.x + box.width <= 360);
    await view.close();
  });

  test("whoever wants no motion gets none", async () => {
    const view = await open({ reducedMotion: true });
    await view.untilLive();
    assert.equal(await view.page.evaluate(() => document.getAnimations().length), 0);
    await view.close();
  });

  for (const options of [{}, { dark: true, size: "phone" }]) {
    test(`axe-core finds nothing: ${JSON.stringify(options)}`, async () => {
      const view = await open(options);
      assert.deepEqual(await view.accessibility(), []);
      await view.page.click("#flights-grid .space .row");
      await view.untilText("#details", "busy");
      assert.deepEqual(await view.accessibility("#details"), []);
      await view.close();
    });
  }
});

test("a connection that is lost is said to be, and found again", async () => {
  const daemon = await new Daemon().start();
  const view = await View.open(browser, daemon.page);
  await view.untilLive();
  await daemon.stop();
  await view.untilText("#lost", "Connection lost, last seen");
  await view.untilText("#live", "Lost");
  await daemon.start();
  await view.untilLive();
  await view.until(() => document.querySelector("#lost").hidden);
  // The browser says itself that it was refused.
  view.faults = view.faults.filter((text) => !/ERR_(CONNECTION_REFUSED|INCOMPLETE_CHUNKED)/.test(text));
  await view.close();
  await daemon.close();
});
