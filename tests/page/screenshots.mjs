// SPDX-License-Identifier: Apache-2.0
// The pictures of docs/images: the page before a daemon that is played, with an hour behind it, at a
// moment that does not change.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch, View } from "./browser.mjs";
import { Fake } from "./fake.mjs";

const moment = Date.UTC(2026, 10, 30, 14, 52, 30);
const pictures = [
  ["page-light", { size: "desktop" }],
  ["page-dark", { size: "desktop", dark: true }],
  ["page-phone", { size: "phone" }, "running"],
];

const [folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const fake = new Fake({ flights: 10_000, now: () => moment });
const url = await fake.listen();
const browser = await launch();
for (const [name, options, section] of pictures) {
  const view = await View.open(browser, url, { ...options, reducedMotion: true });
  await view.untilLive();
  await view.until(() => document.querySelector("#flights-grid .cell.key")?.textContent);
  await view.until(() => document.querySelectorAll("#plots .line").length > 8);
  if (section) await view.page.evaluate((id) => document.getElementById(id).scrollIntoView(), section);
  await view.page.screenshot({ path: join(folder, `${name}.png`) });
  await view.close();
}
await browser.close();
fake.close();
