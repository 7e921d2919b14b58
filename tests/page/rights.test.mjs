// SPDX-License-Identifier: Apache-2.0
// What the page shows to whom, and what it lets them do.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, View } from "./browser.mjs";
import { Crowd } from "./crowd.mjs";
import { Daemon } from "./daemon.mjs";

const access = `
[who]
ops = token:ops
reader = token:reader
callers = token:callers

[group *]
lead = callers

[group reports]
list = reader ops
forget = ops
end = ops

[server]
admin = ops reader
`;

let browser;
let daemon;
let crowd;

before(async () => {
  browser = await launch();
  daemon = await new Daemon({ rights: { tokens: ["ops", "reader", "callers"], access } }).start();
  crowd = new Crowd(daemon.address, Daemon.secretOf("callers"));
  await crowd.lead([{ group: "reports", key: "report:open", caller: "writer" },
    { group: "secrets", key: "secret:key", caller: "spy" }]);
});

after(async () => {
  crowd.close();
  await browser.close();
  await daemon.close();
});

async function open(name = null) {
  const view = await View.open(browser, daemon.page);
  await view.untilText("#flights-grid .space", "hidden");
  if (name === null) return view;
  await view.signIn(Daemon.secretOf(name));
  await view.until(() => !document.querySelector("#sign-out").hidden);
  await view.untilText("#flights-grid .space", "report:open");
  return view;
}

// The browser says itself when the daemon refuses.
function forgive(view, status) {
  view.faults = view.faults.filter((text) => !text.includes(`the server responded with a status of ${status}`));
}

test("without a token there are totals, and no keys and no leaders", async () => {
  const view = await open();
  await view.untilText("#keys-hidden", "Sign in");
  await view.untilText("#flights-grid .space", "hidden");
  const text = await view.text();
  for (const secret of ["report:open", "secret:key", "writer", "spy"])
    assert(!text.includes(secret), secret);
  await view.page.click("#flights-grid .space .row");
  await view.untilText("#details", "hidden: sign in");
  assert.equal(await view.page.locator("#details .actions button").count(), 0);
  await view.close();
});

test("a wrong token is refused, with the daemon's reason, and is not kept", async () => {
  const view = await open();
  await view.signIn("wrong");
  await view.until(() => document.querySelector("#token-error").textContent !== "");
  assert(await view.page.evaluate(() => document.querySelector("#token").open));
  assert.equal(await view.page.evaluate(() => sessionStorage.length), 0);
  assert.deepEqual(await view.accessibility("#token"), []);
  forgive(view, 401);
  await view.close();
});

test("over plain HTTP from elsewhere no token is asked for", async () => {
  const view = await open();
  await view.page.evaluate(() => Object.defineProperty(window, "isSecureContext", { value: false }));
  await view.page.click("#sign-in");
  await view.untilText("#token", "everybody on the way could read a token");
  assert.equal(await view.page.locator("#token input").count(), 0);
  assert.deepEqual(await view.accessibility("#token"), []);
  await view.close();
});

test("with a token one sees the groups that one may list, until one signs out", async () => {
  const view = await open("reader");
  await view.untilText("#viewer", "reader");
  await view.untilText("#flights-grid .space", "hidden");
  assert(!(await view.text()).includes("secret:key"));
  await view.page.reload();
  await view.untilText("#flights-grid .space", "report:open");
  // Before the daemon answers anything else.
  await view.page.route("**/api/**", () => {});
  await view.page.click("#sign-out");
  assert(!(await view.text()).includes("report:open"));
  assert.equal(await view.page.isVisible("#viewer"), false);
  await view.page.unrouteAll({ behavior: "ignoreErrors" });
  await view.page.reload();
  await view.until(() => document.querySelectorAll("#flights-grid .cell.hidden").length === 2);
  assert(!(await view.text()).includes("report:open"));
  assert.equal(await view.page.evaluate(() => sessionStorage.length), 0);
  await view.close();
});

test("signing out ends a pause, and no name is left", async () => {
  const view = await open("reader");
  await view.untilText("#health", "tokens");
  await view.page.click("#pause");
  await view.page.click("#sign-out");
  await view.untilLive();
  assert.equal(await view.page.getAttribute("#pause", "aria-pressed"), "false");
  await view.untilText("#keys-hidden", "Keys and leaders are hidden.");
  assert(!(await view.text()).includes("/tokens"));
  await view.close();
});

test("a token that may look no more is signed out, as one that is not known", async () => {
  const view = await open("reader");
  await view.untilText("#viewer", "reader");
  await view.page.route("**/api/v1/events*", (route) => route.fulfill({
    status: 403, contentType: "application/json", body: '{"error":"reader may not look"}',
  }));
  await view.page.click("#pause");
  await view.page.click("#pause");
  await view.untilText("#token", "Signed out: reader may not look");
  assert(!(await view.text()).includes("report:open"));
  assert.equal(await view.page.evaluate(() => sessionStorage.length), 0);
  await view.page.unrouteAll({ behavior: "ignoreErrors" });
  forgive(view, 403);
  await view.close();
});

test("who may only read is offered nothing else", async () => {
  const view = await open("reader");
  await view.page.click("#flights-grid .space .row:has-text('report:open')");
  await view.untilText("#details", "report:open");
  assert.equal(await view.page.locator("#details .actions button").count(), 0);
  await view.close();
});

test("forgetting asks first, and a cancel does nothing", async () => {
  const kept = await crowd.lead([{ group: "reports", key: "report:kept", retain_ms: 600_000 }]);
  await crowd.finish(kept);
  const view = await open("ops");
  await view.page.selectOption("#flights-filters select[name=state]", "retained");
  const row = "#flights-grid .space .row:has-text('report:kept')";
  await view.page.click(row);
  await view.page.click("#details .actions button:has-text('Forget')");
  await view.untilText("#confirm", "The retained outcome is dropped");
  assert.equal(await view.page.evaluate(() => document.activeElement.textContent), "Cancel");
  assert.deepEqual(await view.accessibility("#confirm"), []);
  await view.page.keyboard.press("Enter");
  await view.until(() => !document.querySelector("#confirm").open);
  const token = Daemon.secretOf("ops");
  assert.equal((await daemon.get("flights?state=retained", token)).total, 1);
  await view.page.click("#details .actions button:has-text('Forget')");
  await view.page.click("#confirm button.danger");
  await view.untilText("#told", "Forgotten");
  assert(await view.page.isVisible("#told"));
  await view.untilText("#flights-grid", "Nothing matches");
  assert.equal((await daemon.get("flights?state=retained", token)).total, 0);
  await view.close();
});

test("ending a flight fences its leader and tells those who wait", async () => {
  const [leader] = await crowd.lead([{ group: "reports", key: "report:stuck" }]);
  const [follower] = await crowd.follow([{ group: "reports", key: "report:stuck" }]);
  const view = await open("ops");
  await view.page.click("#flights-grid .space .row:has-text('report:stuck')");
  await view.page.click("#details .actions button:has-text('End')");
  await view.untilText("#confirm", "1 caller that waits");
  await view.page.click("#confirm button.danger");
  await view.untilText("#told", "Ended");
  assert.equal((await leader.end).code, 10); // ABORTED
  assert.equal((await follower.end).code, 10);
  await view.until(() => !document.querySelector("#flights-grid").textContent.includes("report:stuck"));
  await view.close();
});

test("a token that is taken out of the file signs its viewer out", async () => {
  const view = await open("reader");
  daemon.writeTokens(["ops", "callers"]);
  await view.untilText("#token", "Signed out");
  await view.until(() => document.querySelector("#flights-grid .cell.hidden") !== null);
  assert(!(await view.text()).includes("report:open"));
  daemon.writeTokens(["ops", "reader", "callers"]);
  forgive(view, 401);
  await view.close();
});
