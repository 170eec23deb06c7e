// One example of the sample browser, drawn: question, options, and every arm's answer with what it was shown.
"use strict";

const COMMON = new Set("the and for are was not all with this that from into than then has have both none above".split(" "));

function letterOf(place) {
  return String.fromCharCode(65 + place);
}

function goldText(example) {
  const place = example.gold.length === 1 ? example.gold.charCodeAt(0) - 65 : -1;
  return place >= 0 && place < example.options.length ? example.options[place] : example.gold;
}

function drawn(example) {
  const parts = [
    node("h3", {}, `${example.task} · ${example.id}`, example.group ? node("span", { class: "soft", textContent: ` · group ${example.group}` }) : null),
    steps(),
    node("h4", { textContent: "Question" }), node("div", { class: "text", textContent: example.question || "(no question is recorded)" }),
  ];
  if (example.options.length) {
    parts.push(node("h4", { textContent: "Options" }), node("ol", { class: "options" }, ...example.options.map((text, place) => {
      const gold = letterOf(place) === example.gold;
      return node("li", { class: gold ? "right" : "" }, node("span", { class: "text", textContent: `${letterOf(place)}. ${text}` }), gold ? " ✓ expected" : null);
    })));
  }
  if (!example.options.some((text, place) => letterOf(place) === example.gold)) {
    parts.push(node("h4", { textContent: "Expected" }), node("div", { class: "text", textContent: example.gold }));
  }
  if (example.documents.length) parts.push(node("p", { class: "aside", textContent: `Documents that hold the answer: ${example.documents.join(", ")}` }));
  const answers = ordered(example.answers).map((answer) => answerCard(example, answer));
  parts.push(node("div", { class: "answers" }, ...answers));
  return parts;
}

function steps() {
  const at = state.found.indexOf(state.open);
  const back = node("button", { type: "button", textContent: "‹ Previous", disabled: at <= 0 });
  const on = node("button", { type: "button", textContent: "Next ›", disabled: at < 0 || at + 1 >= state.found.length });
  back.addEventListener("click", () => step(-1));
  on.addEventListener("click", () => step(1));
  return node("p", { class: "steps" }, back, on);
}

// The arms that the filters speak of stand first.
function ordered(answers) {
  const wanted = asked();
  const row = wanted.contrast !== "" ? store.index.ledger[Number(wanted.contrast)] : null;
  const first = row ? [row.baseline, row.arm] : [wanted.arm];
  const rank = (answer) => { const at = first.indexOf(store.index.arms[answer.arm]); return at < 0 ? first.length : at; };
  return [...answers].sort((a, b) => rank(a) - rank(b));
}

function outcome(example, answer) {
  if (answer.status !== "answered") return ["∅", answer.status, "failed"];
  const metric = store.index.metrics[store.index.tasks.indexOf(example.task)];
  const score = answer.scores?.[metric];
  if (score === 1) return OUTCOMES[1];
  if (score === 0) return OUTCOMES[0];
  return score === undefined ? OUTCOMES.n : ["◐", `${metric} ${score.toFixed(3)}`, "quiet"];
}

function folded(title, ...children) {
  return node("details", {}, node("summary", { textContent: title }), ...children);
}

function answerCard(example, answer) {
  const [sign, said, kind] = outcome(example, answer);
  const card = node("article", { class: "answer" }, node("h4", {}, node("span", { textContent: store.index.arms[answer.arm] }), node("span", { class: kind, textContent: `${sign} ${said}` })));
  if (answer.completion !== undefined) card.append(node("div", { class: "text completion", textContent: answer.completion === "" ? "(an empty answer)" : answer.completion }));
  if (answer.extracted !== undefined) card.append(node("p", { class: "aside", textContent: answer.completion !== undefined ? `Read as: ${answer.extracted}` : `Chosen: ${optionText(answer, answer.extracted)}` }));
  if (answer.note) card.append(node("p", { class: "notice", textContent: answer.note }));
  if (answer.thinking) card.append(folded("Thinking", node("div", { class: "text", textContent: answer.thinking })));
  if (answer.logprobs) card.append(likelihoods(example, answer));
  if (answer.queries) card.append(node("p", { class: "aside", textContent: `Sought by: ${answer.queries.join(" | ")}` }));
  if (answer.passages) card.append(...passages(example, answer));
  if (answer.steps) card.append(...retrievalSteps(answer));
  if (answer.dropped) card.append(node("p", { class: "aside", textContent: `Dropped, because they did not fit: ${answer.dropped.join(", ")}` }));
  if (answer.left_out) card.append(node("p", { class: "aside", textContent: `Left out, because the question was made from it: ${answer.left_out.join(", ")}` }));
  if (answer.messages) card.append(folded(store.index.prompt, ...answer.messages.flatMap(([role, text]) => [node("p", { class: "role", textContent: role }), node("div", { class: "text", textContent: text })])));
  const counted = (name) => (answer.counts?.[name] ? ` (counts ${answer.counts[name].join(", ")})` : "");
  const scores = Object.entries(answer.scores || {}).map(([name, value]) => `${name} ${Number(value.toFixed(4))}${counted(name)}`);
  const tokens = answer.input_tokens === undefined ? [] : [`${answer.input_tokens} tokens in`, `${answer.output_tokens} out`];
  const counts = [...scores, ...tokens, ...(answer.seconds === undefined ? [] : [`${answer.seconds.toFixed(2)} s`])];
  if (counts.length) card.append(node("p", { class: "aside", textContent: counts.join(" · ") }));
  return card;
}

const STEPS = { "follow-up": "Further queries", rerank: "Order by the arm's own model", "evidence-filter": "Evidence filter" };

// What was done about passages before the question, in its order.
function retrievalSteps(answer) {
  return answer.steps.map((step) => {
    const lines = [];
    const line = (text) => lines.push(node("p", { class: "aside", textContent: text }));
    if (step.note) lines.push(node("p", { class: "notice", textContent: step.note }));
    for (const query of step.queries || []) line(`Searched for: ${query}`);
    for (const [id, why] of step.dropped || []) line(`Dropped: ${id}: ${why}`);
    line(`After it: ${(step.passages || ["no passage"]).join(", ")}`);
    for (const text of step.written || []) lines.push(node("div", { class: "text", textContent: text === "" ? "(an empty answer)" : text }));
    if (step.tokens) line(`${step.tokens[0]} tokens in · ${step.tokens[1]} out`);
    return folded(`Before the question: ${STEPS[step.kind] || step.kind}`, ...lines);
  });
}

function optionText(answer, letter) {
  const place = letter.length === 1 ? letter.charCodeAt(0) - 65 : -1;
  const text = answer.options?.[place];
  return text === undefined ? letter : `${letter}. ${text}`;
}

function likelihoods(example, answer) {
  const rows = answer.logprobs.map((value, place) => {
    const letter = letterOf(place);
    const cells = [node("th", { scope: "row", class: "text", textContent: optionText(answer, letter) + (letter === example.gold ? " ✓" : "") }), node("td", { class: "n", textContent: value.toFixed(3) })];
    return node("tr", { class: letter === answer.extracted ? "chosen" : "" }, ...cells);
  });
  const head = node("thead", {}, node("tr", {}, node("th", { scope: "col", textContent: "option; ✓ expected, bold chosen" }), node("th", { scope: "col", class: "n", textContent: "log-likelihood" })));
  return folded("Log-likelihoods", node("table", {}, node("caption", { class: "sr", textContent: "Log-likelihood of each option" }), head, node("tbody", {}, ...rows)));
}

function shownTexts(answer) {
  const texts = new Map();
  const user = (answer.messages || []).filter(([role]) => role === "user").map(([, text]) => text);
  const prompt = user[user.length - 1] || "";
  for (const [, number, text] of prompt.matchAll(/<passage (\d+)>\n([\s\S]*?)\n<\/passage \1>/g)) texts.set(Number(number), text);
  return texts;
}

function passages(example, answer) {
  const texts = shownTexts(answer);
  const other = answer.extracted !== undefined && answer.extracted !== example.gold ? optionText(answer, answer.extracted).replace(/^[A-Z]\. /, "") : "";
  const find = finder(goldText(example), other);
  const made = answer.passages.map((passage, place) => {
    const text = texts.get(place + 1) ?? passage.text ?? passage.content ?? "";
    const marks = find(text);
    const score = typeof passage.score === "number" ? ` · ${passage.score.toFixed(3)}` : "";
    const role = passage.role ? ` · ${passage.role}${passage.claims ? `: says ${passage.claims}` : ""}` : "";
    const gold = passage.gold === true ? " · ✓ gold" : passage.gold === false ? " · not gold" : "";
    const title = `${passage.rank ?? place + 1}${score}${gold}${role} · ${passage.citation || passage.title || passage.id || ""}`;
    const body = node("div", { class: "text" }, ...(text ? marks : ["(its text is not recorded)"]));
    const box = folded(title, passage.id ? node("p", { class: "role", textContent: String(passage.id) }) : null, body);
    box.open = passage.gold === true || (place === 0 && answer.passages.length === 1);
    return box;
  });
  return [node("h5", { textContent: `Passages: rank, score${answer.passages.some((one) => typeof one.gold === "boolean") ? ", gold" : ""}, source` }), ...made];
}

// Words of the expected answer, and of the one given where it is another, as marks in a text.
function finder(gold, other) {
  const words = new Map();
  const add = (text, kind) => {
    const all = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) || [];
    for (const word of all) if ((word.length > 2 || /\d/.test(word)) && !COMMON.has(word) && !words.has(word)) words.set(word, kind);
  };
  if (gold.length <= 400) add(gold, "");
  if (other.length <= 400) add(other, "other");
  return (text) => {
    if (!words.size) return [text];
    const parts = [];
    let plain = "";
    for (const [part] of text.matchAll(/[\p{L}\p{N}]+|[^\p{L}\p{N}]+/gu)) {
      const kind = words.get(part.toLowerCase());
      if (kind === undefined) { plain += part; continue; }
      if (plain) parts.push(plain);
      plain = "";
      parts.push(node("mark", { class: kind, textContent: part }));
    }
    return [...parts, plain];
  };
}
