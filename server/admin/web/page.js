// SPDX-License-Identifier: Apache-2.0
// The page: one stream of events in, and everything that is shown out of it.
import { Stream, get, hasToken, setToken } from "./api.js";
import { askToken, letDetailsPass, showFlight, showRun } from "./dialogs.js";
import { byId, say, setAttribute, setHidden, setOptions, setText } from "./dom.js";
import { Grid, rowsMax } from "./grid.js";
import { showGroups, showHead, showHealth, showHottest, showTiles } from "./panels.js";
import { ageOf, expiryOf, leaseOf, received, setPassing } from "./passing.js";
import { Plot } from "./plot.js";
import {
  bytes, count, dateAndTime, duration, readableText, roughly, setForeign, timeOrDay,
} from "./text.js";

const running = ["led", "orphaned", "overdue", "next", "finding-home", "forgotten"];
const states = [[running.join(), "Running"], ["", "Retained too"],
  ...[...running, "retained"].map((state) => [state, `Only ${state}`])];
const outcomes = [["", "All outcomes"], ["ok", "ok"], ["error", "error"], ["panic", "panic"],
  ["abandoned", "abandoned"], ["aborted", "aborted"]];

const windowOfStream = 200; // flights, and runs: others are fetched when somebody looks at them
const limitMax = 500;
const hiddenAfter = 60_000; // a tab that nobody sees gives its stream back
const keyCharactersMax = 300;
const typingPause = 250;

const page = {
  status: null,
  history: null,
  viewer: { rights: false, name: null, sees_keys: false, can_forget: false, can_end: false },
  flights: { sort: "callers", group: "", search: "", state: running.join() },
  runs: { group: "", search: "", outcome: "" },
  session: new AbortController(), // ends with signing in or out
  isPaused: false,
  connection: { state: "connecting", seen: null, nextTry: null, error: null },
};

// --- the tables ---

function keyCell(cell, row) {
  cell.classList.toggle("hidden", row.key === null);
  setForeign(cell, row.key === null ? "hidden" : row.key, keyCharactersMax);
}

const text = (name, title, value, sort) =>
  ({ name, title, sort, fill: (cell, row) => setForeign(cell, value(row) ?? "", 200) });
const number = (name, title, value, sort) =>
  ({ name, title, sort, fill: (cell, row) => setText(cell, value(row)) });

const leaderOf = (row) => row.leader || "–";

const flightColumns = [
  { ...text("group", "Group", (row) => row.group, "group"), ascending: true },
  { name: "key", title: "Key", sort: "key", ascending: true, fill: keyCell },
  text("state", "State", (row) => row.outcome && row.state === "retained"
    ? `retained: ${row.outcome}` : row.state),
  text("leader", "Leader", leaderOf),
  number("callers", "Callers", (row) => count(row.callers), "callers"),
  { ...number("age", "Age", (row) => duration(ageOf(row)), "age"), passes: true },
  { ...number("lease", "Lease", (row) => duration(leaseOf(row) ?? expiryOf(row))), passes: true },
  number("attempt", "Attempt", (row) => count(row.attempt), "attempt"),
  number("bytes", "Bytes", (row) => bytes(row.bytes), "bytes"),
];

const runColumns = [
  number("ended", "Ended", (row) => timeOrDay(row.ended_ms)),
  text("group", "Group", (row) => row.group),
  { name: "key", title: "Key", fill: keyCell },
  text("leader", "Leader", leaderOf),
  number("took", "Took", (row) => duration(row.took_ms)),
  {
    name: "outcome", title: "Outcome",
    fill: (cell, row) => {
      setForeign(cell, row.detail ? `${row.outcome}: ${row.detail}` : row.outcome, 200);
      cell.classList.toggle("failed", row.outcome !== "ok");
    },
  },
  number("callers", "Callers", (row) => count(row.callers)),
  number("attempt", "Attempts", (row) => count(row.attempt)),
  number("bytes", "Bytes", (row) => bytes(row.bytes)),
];

const isNarrow = matchMedia("(max-width: 719px)");
const rowHeight = () => (isNarrow.matches ? 62 : 32);

const areAllFlights = ({ group, search, state }) =>
  group === "" && search === "" && state === running.join();
const areAllRuns = ({ group, search, outcome }) => group === "" && search === "" && outcome === "";

const flightsGrid = new Grid(byId("flights-grid"), flightColumns, {
  label: "What runs now",
  rowHeight,
  empty: () => (page.status === null ? "Waiting for the daemon."
    : areAllFlights(page.flights) ? "Nothing runs." : "Nothing matches."),
  onSort: (sort) => changeFlights({ sort }),
  onOpen: (row) => showFlight(row, page.viewer),
  onWant: (offset, limit) => flightsLoader.want(offset, limit),
});

const runsGrid = new Grid(byId("runs-grid"), runColumns, {
  label: "Runs that ended",
  rowHeight,
  empty: () => (page.status === null ? "Waiting for the daemon."
    : areAllRuns(page.runs)
      ? "Nothing has ended yet. Remembered are flights with a lease, and those whose outcome is " +
        "retained."
      : "Nothing matches."),
  onOpen: showRun,
  onWant: (offset, limit) => runsLoader.want(offset, limit),
});

// Fetches the rows that somebody looks at and the stream does not send: one request at a time, the
// newest wish next.
class Loader {
  constructor(path, grid, parameters) {
    Object.assign(this, { path, grid, parameters, wish: null, abort: null, got: null });
  }

  want(offset, limit) {
    // What the daemon does not have is not asked for again at once.
    if (this.got !== null && this.got.offset === offset && this.got.limit === limit) return;
    this.asked = { offset, limit };
    this.wish = { offset: Math.max(0, offset - 50), limit: Math.min(limitMax, limit + 100) };
    if (this.abort === null) this.#next();
  }

  // Looks again at what can be seen, if the stream does not tell of it.
  refresh() {
    const { offset, limit } = this.grid.view();
    this.got = null;
    if (limit > 0 && offset + limit > windowOfStream && this.grid.total > windowOfStream)
      this.want(offset, limit);
  }

  // What is under way answers another question.
  reset() {
    this.abort?.abort();
    this.abort = null;
    this.wish = null;
    this.got = null;
  }

  async #next() {
    const { wish, asked } = this;
    const abort = new AbortController();
    this.abort = abort;
    this.wish = null;
    try {
      const answer = await get(this.path, { ...this.parameters(), ...wish }, abort.signal);
      if (this.abort === abort) {
        this.got = asked;
        this.grid.setRows(answer.total, wish.offset, received(answer.rows));
      }
    } catch {
      // The stream tells when the connection is lost; what is shown stays.
    }
    if (this.abort !== abort) return;
    this.abort = null;
    if (this.wish !== null) this.#next();
  }
}

const flightsLoader = new Loader("flights", flightsGrid, () => page.flights);
const runsLoader = new Loader("runs", runsGrid, () => page.runs);

// --- the plots ---

const latency = (ms) => (ms < 1 ? `${Number((ms * 1000).toPrecision(2))} µs` : duration(ms));

const plots = [
  {
    title: "Calls per second", unit: roughly, series: [
      { name: "calls", title: "calls" }, { name: "executions", title: "executed" },
      { name: "saved", title: "saved" },
    ],
  },
  {
    title: "Flights and callers", unit: roughly, series: [
      { name: "callers", title: "callers" }, { name: "flights", title: "flights" },
    ],
  },
  {
    title: "How long flights take", unit: latency, isLog: true, series: [
      { name: "flight_p99_ms", title: "p99" }, { name: "flight_p50_ms", title: "p50" },
    ],
  },
  {
    title: "How long followers wait", unit: latency, isLog: true, series: [
      { name: "wait_p99_ms", title: "p99" }, { name: "wait_p50_ms", title: "p50" },
    ],
  },
].map((options) => new Plot(byId("plots"), options));

const pointsMax = 360;

function showHistory(history) {
  page.history = history;
  for (const plot of plots) plot.setData(history);
}

function addPoint(point) {
  const { history } = page;
  if (history === null) return;
  for (const [name, values] of Object.entries(history)) {
    if (!Array.isArray(values)) continue;
    values.push(point[name] ?? null);
    if (values.length > pointsMax) values.shift();
  }
  const points = history.calls.length;
  history.first_ms = point.at_ms - (points - 1) * history.step_ms;
  showHistory(history);
}

// --- the status ---


function showStatus(status) {
  page.status = status;
  page.viewer = status.viewer;
  showHead(status);
  showTiles(status);
  showGroups(status);
  showHealth(status);
  showViewer();
  for (const filters of ["flights", "runs"]) showGroupsToChoose(filters);
}

// A group that was chosen stays one of them, also when nothing of it is left.
function showGroupsToChoose(filters) {
  const chosen = page[filters].group;
  const groups = new Set(page.status.groups.map(({ group }) => group));
  if (chosen !== "") groups.add(chosen);
  setOptions(byId(`${filters}-filters`).elements.group, [["", "All groups"],
    ...[...groups].sort().map((group) => [group, readableText(group, 60)])]);
}

function showViewer() {
  const { viewer } = page;
  const hasName = viewer.rights && Boolean(viewer.name);
  setHidden(byId("viewer"), !hasName);
  if (hasName) setForeign(byId("viewer"), viewer.name, 60);
  setHidden(byId("sign-out"), !hasToken());
  setHidden(byId("sign-in"), hasToken() || !viewer.rights);
  const areHidden = viewer.rights && !viewer.sees_keys;
  setHidden(byId("keys-hidden"), !areHidden);
  if (areHidden) {
    setText(byId("keys-hidden"), hasToken()
      ? `${viewer.name ?? "This token"} may not list any group, so keys and leaders are hidden.`
      : "Keys and leaders are hidden. Sign in to see those of your groups.");
  }
}

const hottest = { sort: "callers", state: running.join(), limit: 8 };

// The hottest keys stand at the top of the table as long as nothing else is asked of it; otherwise
// they are asked for.
const showsHottest = () => page.flights.sort === "callers" && areAllFlights(page.flights);

async function refreshHottest() {
  const { signal } = page.session;
  try {
    const { rows } = await get("flights", hottest, signal);
    if (!signal.aborted) showHottest(rows);
  } catch {
    // It is asked for again.
  }
}

// --- the stream ---

// Whoever has asked for others is told aloud how many there are.
function tellTotal(place, { total }, grid) {
  const told = total <= rowsMax ? count(total)
    : `${count(total)}, of which the first ${count(rowsMax)} are listed`;
  setText(place, told);
  if (grid.isStale) say(total === 1 ? "1 row" : `${told} rows`);
}

const looksEvery = 3; // s, after what the stream does not tell of
let statuses = 0;

const handlers = {
  status: (status) => {
    showStatus(status);
    if (++statuses % looksEvery !== 0) return;
    flightsLoader.refresh();
    runsLoader.refresh();
    if (!showsHottest()) refreshHottest();
  },
  history: showHistory,
  point: addPoint,
  flights: (flights) => {
    tellTotal(byId("flights-count"), flights, flightsGrid);
    flightsGrid.setRows(flights.total, 0, received(flights.rows));
    flightsLoader.refresh();
    if (showsHottest()) showHottest(flights.rows);
  },
  runs: (runs) => {
    tellTotal(byId("runs-count"), runs, runsGrid);
    runsGrid.setRows(runs.total, 0, runs.rows);
    runsLoader.refresh();
  },
};

const stream = new Stream((name, data) => handlers[name]?.(data), showConnection);

function openStream() {
  const { flights, runs } = page;
  stream.open({
    ...flights, offset: 0, limit: windowOfStream, runs_group: runs.group,
    runs_search: runs.search, runs_outcome: runs.outcome, runs_limit: windowOfStream,
  });
}

const connectionNames = { connecting: "Connecting", live: "Live", lost: "Lost", off: "Paused" };

function showConnection(connection) {
  const was = page.connection.state;
  page.connection = connection;
  const { state, error } = connection;
  setPassing(state === "live");
  byId("live").dataset.state = state;
  setText(byId("live").lastElementChild, connectionNames[state]);
  if (state === "live" && was !== "live") say("Connected");
  if (state === "lost" && (error.status === 401 || (error.status === 403 && hasToken()))) {
    signOut();
    askToken(reopen, `Signed out: ${error.message}`);
    return;
  }
  showLost();
}

// Stays while the next try is under way, until something comes.
function showLost() {
  const { state, seen, nextTry, error } = page.connection;
  document.body.classList.toggle("is-lost", state === "lost");
  if (state === "live" || state === "off") setHidden(byId("lost"), true);
  if (state !== "lost") return;
  const wait = Math.max(0, Math.ceil((nextTry - Date.now()) / 1000));
  const what = seen === null ? "No connection"
    : `Connection lost, last seen ${dateAndTime(seen)}`;
  const text = `${what}. ${error.message.replace(/\.?$/, ".")}`;
  setHidden(byId("lost"), false);
  setText(byId("lost-text"), text);
  setText(byId("retry"), wait > 0 ? `Try now (next in ${wait} s)` : "Try now");
}

// --- what people do ---

function changeFlights(changes) {
  Object.assign(page.flights, changes);
  flightsGrid.setSort(page.flights.sort);
  byId("flights-filters").elements.sort.value = page.flights.sort;
  flightsLoader.reset();
  flightsGrid.expect();
  reopen();
}

function changeRuns(changes) {
  Object.assign(page.runs, changes);
  runsLoader.reset();
  runsGrid.expect();
  reopen();
}

function reopen() {
  if (page.isPaused) setPaused(false);
  else openStream();
}

// A form's fields are the filters of their names; a search waits until the typing pauses.
function watchFilters(form, filters, change) {
  let timer;
  const read = () => {
    clearTimeout(timer);
    const changes = Object.fromEntries([...form.elements].filter((field) => field.name !== "")
      .map((field) => [field.name, field.value]));
    if (Object.entries(changes).some(([name, value]) => filters[name] !== value)) change(changes);
  };
  form.addEventListener("change", read);
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(read, typingPause);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    read();
  });
}

function setPaused(isPaused) {
  page.isPaused = isPaused;
  setAttribute(byId("pause"), "aria-pressed", String(isPaused));
  setText(byId("pause"), isPaused ? "Resume" : "Pause");
  if (isPaused) stream.close();
  else openStream();
}

// Nothing stays that only the one who signs out might see.
function signOut() {
  setToken("");
  page.session.abort();
  page.session = new AbortController();
  for (const part of [flightsLoader, runsLoader, flightsGrid, runsGrid]) part.reset();
  showHottest([]);
  forgetNames();
  for (const dialog of [byId("details"), byId("confirm")]) {
    dialog.close();
    dialog.replaceChildren();
  }
}

// Until the daemon says what a stranger may see.
function forgetNames() {
  if (page.status === null) return;
  const viewer = { rights: true, name: null, sees_keys: false, can_forget: false, can_end: false };
  const nameless = (files) => files.map((file) => ({ ...file, name: null, why: null }));
  showStatus({
    ...page.status, viewer, files: nameless(page.status.files),
    certificates: nameless(page.status.certificates),
  });
}

function watchPeople() {
  byId("pause").addEventListener("click", () => setPaused(!page.isPaused));
  byId("retry").addEventListener("click", openStream);
  byId("sign-in").addEventListener("click", () => askToken(reopen));
  byId("sign-out").addEventListener("click", () => {
    signOut();
    reopen();
  });
  watchFilters(byId("flights-filters"), page.flights, changeFlights);
  watchFilters(byId("runs-filters"), page.runs, changeRuns);
  addEventListener("online", () => page.connection.state === "lost" && openStream());
  let timer;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(() => stream.close(), hiddenAfter);
    else if (!page.isPaused && stream.state !== "live") openStream();
  });
  setInterval(() => {
    showLost();
    if (page.connection.state !== "live") return;
    flightsGrid.letPass();
    letDetailsPass();
  }, 1000);
}

// --- light and dark ---

const themes = ["auto", "light", "dark"];
const themePlace = "singleflightd.theme";

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  setText(byId("theme"), { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[theme]);
  setAttribute(byId("theme"), "aria-label", `Colours: ${theme}`);
  setAttribute(byId("theme"), "title", "Colours: as the system, light or dark");
}

function watchTheme() {
  let theme = "auto";
  try {
    theme = localStorage.getItem(themePlace) ?? "auto";
  } catch {
    // Nothing is stored here.
  }
  setTheme(themes.includes(theme) ? theme : "auto");
  byId("theme").addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    setTheme(theme);
    try {
      localStorage.setItem(themePlace, theme);
    } catch {
      // As above.
    }
  });
}

// ---

setOptions(byId("flights-filters").elements.state, states);
setOptions(byId("flights-filters").elements.sort, flightColumns
  .filter(({ sort }) => sort !== undefined).map(({ sort, title }) => [sort, `By ${title.toLowerCase()}`]));
setOptions(byId("runs-filters").elements.outcome, outcomes);
byId("flights-filters").elements.sort.value = page.flights.sort;
byId("flights-filters").elements.state.value = page.flights.state;
flightsGrid.setSort(page.flights.sort);
watchTheme();
watchPeople();
openStream();
