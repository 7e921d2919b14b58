// SPDX-License-Identifier: Apache-2.0
// What makes and changes elements. Text goes in as text nodes alone: whatever a key says, it is
// never read as HTML.

// element("button.quiet", {type: "button", "aria-label": "Close", onclick: f}, "Close", ...)
export function element(kind, properties = {}, ...children) {
  const [name, ...classes] = kind.split(".");
  const made = document.createElement(name);
  if (classes.length > 0) made.className = classes.join(" ");
  apply(made, properties);
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}

const svg = "http://www.w3.org/2000/svg";
export function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS(svg, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function apply(target, properties) {
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) target.addEventListener(key.slice(2), value);
    else if (value === true) target.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined)
      target.setAttribute(key, value);
  }
}

export const byId = (id) => document.getElementById(id);

// Each of these leaves alone what is so already: an element that did not change costs no layout.
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

export function empty(target) {
  target.replaceChildren();
  delete target.foreign; // see setForeign()
}

export function setAttribute(target, name, value) {
  if (value === null) target.removeAttribute(name);
  else if (target.getAttribute(name) !== String(value)) target.setAttribute(name, value);
}

export function setHidden(target, isHidden) {
  if (target.hidden !== isHidden) target.hidden = isHidden;
}

// Gives `parent` one child for each item: `make()` returns a new one, `update(child, item)` fills it.
export function setList(parent, items, make, update) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  while (parent.children.length < items.length) parent.append(make());
  items.forEach((item, i) => update(parent.children[i], item, i));
}

// Gives a <select> these [value, text] pairs and keeps what is chosen.
export function setOptions(select, pairs) {
  const wanted = JSON.stringify(pairs);
  if (select.dataset.pairs === wanted) return;
  select.dataset.pairs = wanted;
  const chosen = select.value;
  select.replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));
  select.value = pairs.some(([value]) => value === chosen) ? chosen : pairs[0][0];
}

// Tells everybody, for a while.
let tellTimer;
export function tell(text) {
  const told = byId("told");
  told.textContent = text;
  told.classList.add("is-there");
  clearTimeout(tellTimer);
  tellTimer = setTimeout(() => told.classList.remove("is-there"), 8000);
}

// Tells those who listen instead of looking.
export function say(text) {
  byId("said").textContent = text;
}
