// The list of the sample browser: filters, search, pages, keys. What is asked for is kept in the address.
"use strict";

const PER_PAGE = 50;
const FIELDS = ["task", "arm", "status", "contrast", "change", "q", "deep", "set", "page", "on", "id"];
const FILTERS = [
  ["", "any"], ["right", "right"], ["wrong", "wrong"], ["graded", "graded"], ["failed", "not answered, any"],
  ["unparsed", "unparsed"], ["refused", "refused"], ["truncated", "truncated"], ["error", "error"],
];
const LETTERS = {
  right: "1", wrong: "0", graded: "g", failed: "urte", unparsed: "u", refused: "r", truncated: "t", error: "e", "": "10gnurte",
};

// ---- what is asked for: kept in the address ----

const state = { found: [], open: -1, page: 0, set: "", job: 0, drawn: 0 };
const form = byId("filters");
const list = byId("examples");

function asked() {
  const values = Object.fromEntries(["task", "arm", "status", "contrast", "change", "q"].map((name) => [name, form.elements[name].value]));
  return { ...values, deep: form.elements.deep.checked ? "1" : "", set: state.set };
}

function address(values) {
  const pairs = FIELDS.filter((name) => values[name]).map((name) => [name, String(values[name])]);
  return `#samples${pairs.length ? "?" : ""}${new URLSearchParams(pairs)}`;
}

function remember() {
  const row = state.open >= 0 ? store.index.rows[state.open] : null;
  const where = { ...asked(), page: state.page ? state.page + 1 : "" };
  if (row) Object.assign(where, { on: store.index.tasks[row[1]], id: row[0] });
  history.replaceState(null, "", address(where));
}

function fromAddress() {
  if (!location.hash.startsWith("#samples?")) return null;
  return Object.fromEntries(new URLSearchParams(location.hash.slice("#samples?".length)));
}

function apply(wanted) {
  for (const name of ["task", "arm", "status", "contrast", "change"]) {
    if (name === "contrast") fillContrasts(wanted.task || "");
    const select = form.elements[name];
    const value = wanted[name] || "";
    select.value = [...select.options].some((one) => one.value === value) ? value : "";
  }
  form.elements.q.value = wanted.q || "";
  form.elements.deep.checked = Boolean(wanted.deep);
  state.set = wanted.set && Object.hasOwn(store.index.sets, wanted.set) ? wanted.set : "";
  const place = wanted.id === undefined ? -1
    : store.index.rows.findIndex((row) => row[0] === wanted.id && store.index.tasks[row[1]] === wanted.on);
  return filter({ page: Math.max(0, (Math.floor(Number(wanted.page)) || 1) - 1), open: place });
}

// ---- filters ----

function fill(select, pairs) {
  const value = select.value;
  select.replaceChildren(...pairs.map(([key, text]) => node("option", { value: key, textContent: text })));
  if (pairs.some(([key]) => key === value)) select.value = value;
}

function fillContrasts(task) {
  const pairs = store.index.ledger.map((row, place) => [row, place]).filter(([row]) => !task || row.task === task);
  const texts = pairs.map(([row, place]) => [String(place), `${task ? "" : `${row.task}: `}${row.arm} − ${row.baseline}, ${row.metric}`]);
  fill(form.elements.contrast, [["", "any"], ...texts]);
}

function wantedRows(wanted) {
  let rows = null;
  const keep = (these) => { rows = rows === null ? new Set(these) : new Set(these.filter((row) => rows.has(row))); };
  if (wanted.contrast !== "") {
    const row = store.index.ledger[Number(wanted.contrast)];
    keep(wanted.change ? row[wanted.change] : [...row.fixed, ...row.broke]);
  } else if (wanted.change) {
    const inScope = store.index.ledger.filter((row) => (!wanted.arm || row.arm === wanted.arm) && (!wanted.task || row.task === wanted.task));
    keep(inScope.flatMap((row) => row[wanted.change]));
  }
  if (wanted.set) keep(store.index.sets[wanted.set].rows);
  return rows;
}

function fits(row, task, arm, letters, any) {
  if (task >= 0 && row[1] !== task) return false;
  if (arm >= 0) return letters.includes(row[3][arm]);
  if (any) return true;
  for (const letter of row[3]) if (letters.includes(letter)) return true;
  return false;
}

async function filter({ page = 0, open = -1 } = {}) {
  const job = ++state.job;
  const wanted = asked();
  const { rows, tasks, arms } = store.index;
  const only = wantedRows(wanted);
  form.elements.change.options[0].textContent = wanted.contrast === "" ? "any" : "fixed or broke";
  const [task, arm] = [wanted.task ? tasks.indexOf(wanted.task) : -1, wanted.arm ? arms.indexOf(wanted.arm) : -1];
  const letters = LETTERS[wanted.status] ?? LETTERS[""];
  let found = [];
  for (let place = 0; place < rows.length; place += 1) {
    if ((only === null || only.has(place)) && fits(rows[place], task, arm, letters, !wanted.status)) found.push(place);
  }
  const words = wanted.q.trim().toLowerCase();
  if (words && wanted.deep) found = await searchTexts(found, words, job);
  else if (words) found = await searchQuestions(found, words);
  if (job !== state.job) return;
  state.found = found;
  state.page = Math.min(page, Math.max(0, Math.ceil(found.length / PER_PAGE) - 1));
  state.open = open;
  if (open >= 0 && found.includes(open)) state.page = Math.floor(found.indexOf(open) / PER_PAGE);
  say();
  drawList();
  drawOnly();
  if (open >= 0) await show(open);
  else clearExample();
  remember();
}

async function searchQuestions(rows, words) {
  store.questions ??= await load("samples/questions.js");
  return rows.filter((row) => store.questions[row].includes(words));
}

function holds(value, words) {
  if (typeof value === "string") return value.toLowerCase().includes(words);
  if (value === null || typeof value !== "object") return false;
  return Object.values(value).some((inner) => holds(inner, words));
}

async function searchTexts(rows, words, job) {
  const found = [];
  let at = 0;
  for (let place = 0; place < store.index.files.length && at < rows.length; place += 1) {
    const end = store.index.starts[place + 1] ?? store.index.rows.length;
    if (rows[at] >= end) continue;
    const examples = await piece(place, false);
    if (job !== state.job) return found;
    for (; at < rows.length && rows[at] < end; at += 1) {
      if (holds(examples[rows[at] - store.index.starts[place]], words)) found.push(rows[at]);
    }
    byId("count").textContent = `Searching: ${place + 1} of ${store.index.files.length} files, ${found.length.toLocaleString("en")} found`;
  }
  return found;
}

// ---- the list ----

function say() {
  const count = state.found.length;
  const all = store.index.rows.length;
  byId("count").textContent = count === all ? `${all.toLocaleString("en")} examples`
    : `${count.toLocaleString("en")} of ${all.toLocaleString("en")} examples`;
}

function drawOnly() {
  const line = byId("only");
  line.hidden = !state.set;
  if (!state.set) return line.replaceChildren();
  const button = node("button", { type: "button", textContent: "Show all" });
  button.addEventListener("click", () => { state.set = ""; filter(); });
  line.replaceChildren(node("span", {}, `Only: ${store.index.sets[state.set].label}`), button);
}

function drawList() {
  const first = state.page * PER_PAGE;
  const shown = state.found.slice(first, first + PER_PAGE);
  list.replaceChildren(...shown.map(line));
  state.drawn = shown.length;
  const last = Math.max(1, Math.ceil(state.found.length / PER_PAGE));
  byId("page-at").textContent = `page ${state.page + 1} of ${last}`;
  byId("page-back").disabled = state.page === 0;
  byId("page-on").disabled = state.page + 1 >= last;
  markOpen();
}

function line(place) {
  const [id, task, beginning, outcomes] = store.index.rows[place];
  const marks = [...outcomes].map((letter, arm) => [letter, store.index.arms[arm]]).filter(([letter]) => letter !== "-");
  const said = marks.map(([letter, arm]) => `${arm} ${OUTCOMES[letter][1]}`).join(", ");
  const signs = marks.map(([letter, arm]) => node("span", { class: OUTCOMES[letter][2], title: `${arm}: ${OUTCOMES[letter][1]}`, textContent: OUTCOMES[letter][0] }));
  const button = node(
    "button", { type: "button", tabIndex: -1 },
    node("span", { class: "where", textContent: store.index.tasks.length > 1 ? `${store.index.tasks[task]} · ${id}` : id }),
    node("span", { class: "text", textContent: beginning || "(no question is recorded)" }),
    node("span", { class: "outcomes", "aria-hidden": "true" }, ...signs),
    node("span", { class: "sr", textContent: said }),
  );
  button.dataset.row = String(place);
  return node("li", {}, button);
}

function buttons() {
  return [...list.querySelectorAll("button")];
}

function markOpen() {
  const all = buttons();
  for (const button of all) {
    const current = Number(button.dataset.row) === state.open;
    button.tabIndex = current ? 0 : -1;
    if (current) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  if (all.length && !all.some((one) => one.tabIndex === 0)) all[0].tabIndex = 0;
}

async function turn(step) {
  const last = Math.ceil(state.found.length / PER_PAGE) - 1;
  state.page = Math.min(last, Math.max(0, state.page + step));
  drawList();
  list.scrollTop = 0;
  remember();
}

async function step(by) {
  if (!state.found.length) return;
  const at = state.found.indexOf(state.open);
  const next = at < 0 ? 0 : Math.min(state.found.length - 1, Math.max(0, at + by));
  await open(state.found[next]);
}

async function open(row) {
  const page = Math.floor(state.found.indexOf(row) / PER_PAGE);
  state.open = row;
  if (page !== state.page && page >= 0) { state.page = page; drawList(); }
  markOpen();
  list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  await show(row);
  remember();
}

// ---- one example ----

function clearExample() {
  byId("example").replaceChildren(node("p", { class: "soft", textContent: state.found.length ? "Choose an example." : "No example fits these filters." }));
}

async function show(row) {
  const box = byId("example");
  try {
    const example = await exampleOf(row);
    if (state.open === row) box.replaceChildren(...drawn(example));
  } catch (error) {
    box.replaceChildren(node("p", { class: "notice", textContent: error.message }));
  }
}

// ---- keys and clicks ----

function onKey(event) {
  const target = event.target;
  const typing = target.matches("input:not([type=checkbox]), select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && target === form.elements.q) { target.blur(); return; }
  if (typing) return;
  if (event.key === "/") { event.preventDefault(); start().then(() => { form.elements.q.focus(); form.scrollIntoView({ block: "start" }); }); }
  if (event.key === "j" || event.key === "k") start().then(() => step(event.key === "j" ? 1 : -1));
}

function onListKey(event) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const all = buttons();
  const at = all.indexOf(document.activeElement);
  if (by && at >= 0) {
    event.preventDefault();
    const next = all[Math.min(all.length - 1, Math.max(0, at + by))];
    for (const one of all) one.tabIndex = one === next ? 0 : -1;
    next.focus();
  }
  if (event.key === "Home" && all.length) { event.preventDefault(); all[0].focus(); }
  if (event.key === "End" && all.length) { event.preventDefault(); all[all.length - 1].focus(); }
}

let timer = 0;
function listen() {
  form.addEventListener("submit", (event) => { event.preventDefault(); filter(); });
  form.addEventListener("change", (event) => {
    if (event.target.name === "task") fillContrasts(form.elements.task.value);
    if (event.target.name !== "q") filter();
  });
  form.addEventListener("reset", () => { state.set = ""; setTimeout(() => { fillContrasts(""); filter(); }); });
  form.elements.q.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(filter, 200); });
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) open(Number(button.dataset.row)).then(() => { if (innerWidth < 860) byId("example").scrollIntoView(); });
  });
  list.addEventListener("keydown", onListKey);
  byId("page-back").addEventListener("click", () => turn(-1));
  byId("page-on").addEventListener("click", () => turn(1));
}

let starting = null;
function start() {
  starting ??= (async () => {
    byId("count").textContent = "Loading the list of samples …";
    store.index = await load("samples/index.js");
    fill(form.elements.task, [["", "any"], ...store.index.tasks.map((name) => [name, name])]);
    fill(form.elements.arm, [["", "any"], ...store.index.arms.map((name) => [name, name])]);
    fill(form.elements.status, FILTERS);
    fill(form.elements.change, [["", "any"], ["fixed", "fixed"], ["broke", "broke"]]);
    fillContrasts("");
    listen();
    await apply(fromAddress() || {});
  })().catch((error) => { byId("count").textContent = error.message; });
  return starting;
}

function onAddress() {
  const wanted = fromAddress();
  if (!wanted) return;
  byId("samples").scrollIntoView();
  const first = starting === null;
  start().then(() => (first ? null : apply(wanted))).then(() => byId("count").focus({ preventScroll: true }));
}

// A link to where the address is already does not change it.
function onLink(event) {
  const link = event.target.closest("a[href^='#samples?']");
  if (link && link.hash === location.hash) onAddress();
}

byId("browser").hidden = false;
addEventListener("hashchange", onAddress);
addEventListener("click", onLink);
addEventListener("keydown", onKey);
new IntersectionObserver((entries, observer) => {
  if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); start(); }
}, { rootMargin: "1200px" }).observe(byId("samples"));
if (fromAddress()) addEventListener("load", onAddress);
