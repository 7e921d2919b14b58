// SPDX-License-Identifier: Apache-2.0
// The page in a real Chromium, and what holds for it in every test: nothing on the console, no
// request to anybody but its own daemon.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const tracing = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"];

const sizes = { desktop: { width: 1440, height: 800 }, phone: { width: 360, height: 740 } };

export function launch() {
  const places = [process.env.SFL_CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"];
  const found = places.find((path) => path && existsSync(path));
  assert(found, "no Chromium: ./dev deps page, or SFL_CHROMIUM");
  // A container has little of /dev/shm, and root no sandbox.
  const args = ["--disable-dev-shm-usage"];
  if (process.getuid() === 0) args.push("--no-sandbox");
  return chromium.launch({ executablePath: found, args });
}

export class View {
  // options: { size: "desktop" | "phone", dark, reducedMotion }
  static async open(browser, url, options = {}) {
    const view = new View();
    const isPhone = options.size === "phone";
    view.context = await browser.newContext({
      viewport: sizes[options.size ?? "desktop"], colorScheme: options.dark ? "dark" : "light",
      reducedMotion: options.reducedMotion ? "reduce" : "no-preference",
      hasTouch: isPhone, isMobile: isPhone, deviceScaleFactor: 1, locale: "en-GB",
      timezoneId: "UTC",
    });
    view.page = await view.context.newPage();
    view.faults = [];
    view.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) view.faults.push(message.text());
    });
    view.page.on("pageerror", (error) => view.faults.push(error.stack));
    view.page.on("dialog", (dialog) => view.faults.push(`a dialog: ${dialog.message()}`));
    view.page.on("request", (request) => {
      if (new URL(request.url()).origin !== new URL(url).origin)
        view.faults.push(`a request to ${request.url()}`);
    });
    await view.page.goto(url);
    return view;
  }

  // Waits until `look`, which runs in the page with `argument`, returns something true.
  until(look, argument) {
    return this.page.waitForFunction(look, argument, { timeout: 20_000 });
  }

  untilText(selector, text) {
    return this.until(([where, what]) =>
      document.querySelector(where)?.textContent.includes(what), [selector, text]);
  }

  untilLive() {
    return this.until(() => document.querySelector("#live").dataset.state === "live");
  }

  // The cells of the rows that can be seen, top down.
  cells(grid, name) {
    return this.page.locator(`#${grid} .space .cell.${name}`).allTextContents();
  }

  text() {
    return this.page.evaluate(() => document.documentElement.innerHTML);
  }

  async signIn(token) {
    await this.page.click("#sign-in");
    await this.page.fill("#token-input", token);
    await this.page.keyboard.press("Enter");
  }

  // What axe-core finds in an element and all in it, as lines.
  async accessibility(selector = "html") {
    // In the page's own context the Content-Security-Policy would not let it in.
    await this.page.evaluate(axe);
    const { violations } = await this.page.evaluate((where) => window.axe.run(where, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }), selector);
    return violations.flatMap(({ id, help, nodes }) =>
      nodes.map((node) => `${id}: ${help}: ${node.target.join(" ")}: ${node.failureSummary}`));
  }

  // How long the tasks of the page's main thread take while `act` runs, in milliseconds. What counts is
  // the processor's time: on a busy machine every task may have to wait.
  async tasks(act) {
    const browser = this.context.browser();
    await browser.startTracing(this.page, { categories: tracing });
    await act();
    const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
    const isMain = ({ name, args }) => name === "thread_name" && args.name === "CrRendererMain";
    const threads = traceEvents.filter(isMain).map(({ tid }) => tid);
    return traceEvents.filter(({ name, tid, tdur }) =>
      name === "RunTask" && threads.includes(tid) && tdur !== undefined).map(({ tdur }) => tdur / 1000);
  }

  async close() {
    await this.context.close();
    assert.deepEqual(this.faults, []);
  }
}
