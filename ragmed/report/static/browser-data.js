// What the three scripts of the sample browser share, and the reading of its files. Texts come from script files beside
// the page (a page from disk may not fetch), and are set as text: no HTML is ever built from a string.
"use strict";

const KEPT = 8; // pieces in memory
const LONGEST = 20_000; // characters of a text that are shown unasked
const OUTCOMES = {
  1: ["✓", "right", "right"], 0: ["✗", "wrong", "wrong"], g: ["◐", "graded", "quiet"], n: ["·", "no score", "quiet"],
  u: ["∅", "unparsed", "failed"], r: ["∅", "refused", "failed"], t: ["∅", "truncated", "failed"],
  e: ["∅", "error", "failed"], "-": ["–", "not asked", "quiet"],
};

const byId = (id) => document.getElementById(id);

function node(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") made.className = value;
    else if (name === "textContent") made.append(...shown(value));
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  for (const child of children) {
    if (child !== null && child !== undefined) made.append(...(typeof child === "string" ? shown(child) : [child]));
  }
  return made;
}

// A text as nodes: its first 20,000 characters, the rest on demand; and with places to break in words so long that
// laying them out would take a browser minutes.
function shown(value) {
  const text = String(value);
  if (text.length <= LONGEST) return breakable(text);
  const end = LONGEST - (/[\ud800-\udbff]/.test(text[LONGEST - 1]) ? 1 : 0);
  const button = node("button", { type: "button", textContent: `Show all ${text.length.toLocaleString("en")} characters` });
  button.addEventListener("click", () => button.replaceWith(...breakable(text.slice(end))));
  return [...breakable(text.slice(0, end)), button];
}

function breakable(text) {
  const parts = [];
  let from = 0;
  for (const run of text.matchAll(/\S{200}(?=\S)/gu)) {
    const to = run.index + run[0].length;
    parts.push(text.slice(from, to), document.createElement("wbr"));
    from = to;
  }
  return [...parts, text.slice(from)];
}

// ---- what the script files hold ----

const store = { index: null, questions: null, pieces: new Map(), waiting: new Map(), loading: new Map() };
const arrived = (name, stamp, value) => store.waiting.get(name)?.(stamp, value);
window.ragmedIndex = (index) => arrived("samples/index.js", null, index);
window.ragmedQuestions = (stamp, questions) => arrived("samples/questions.js", stamp, questions);
window.ragmedPiece = (place, stamp, examples) => arrived(store.index.files[place], stamp, examples);

function load(name) {
  if (!store.loading.has(name)) store.loading.set(name, read(name).finally(() => store.loading.delete(name)));
  return store.loading.get(name);
}

function read(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const done = () => {
      script.remove();
      store.waiting.delete(name);
      reject(new Error(`${name} could not be read; write the report again`)); // has no effect once it was resolved
    };
    store.waiting.set(name, (stamp, held) => {
      if (stamp === null || stamp === store.index.stamp) resolve(held);
      else reject(new Error(`${name} belongs to another writing of this report; reload the page`));
    });
    script.onload = done;
    script.onerror = done;
    script.src = name;
    document.head.append(script);
  });
}

async function piece(place, keep = true) {
  if (store.pieces.has(place)) return store.pieces.get(place);
  const examples = await load(store.index.files[place]);
  if (keep) {
    store.pieces.set(place, examples);
    if (store.pieces.size > KEPT) store.pieces.delete(store.pieces.keys().next().value);
  }
  return examples;
}

function pieceOf(row) {
  const starts = store.index.starts;
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

async function exampleOf(row) {
  const place = pieceOf(row);
  return (await piece(place))[row - store.index.starts[place]];
}
