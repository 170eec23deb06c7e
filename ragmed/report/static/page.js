// Prices on the page, the line of the contents that is being read, and paper. Reads numbers from data attributes that
// came from results.json; sets text, never HTML.
"use strict";

const page = {
  number(text) {
    return text === "" || text === undefined || text === null ? null : Number(text);
  },

  // What ragmed/comparison/costs/prices.py does: null where a part has no price.
  ofSeconds(prices, seconds) {
    return prices.machine_hour > 0 && seconds !== null ? (prices.machine_hour * seconds) / 3600 : null;
  },

  byToken(prices) {
    return prices.million_input_tokens > 0 || prices.million_output_tokens > 0;
  },

  ofQuestion(prices, seconds, input, output) {
    if (!page.byToken(prices)) return page.ofSeconds(prices, seconds);
    if (input === null || output === null) return null;
    const parts = [[prices.million_input_tokens, input], [prices.million_output_tokens, output]];
    if (parts.some(([price, tokens]) => tokens > 0 && !(price > 0))) return null;
    return parts.reduce((sum, [price, tokens]) => sum + price * tokens, 0) / 1e6;
  },

  // Half the width of the interval of a question's price: at most, as if both kinds of token varied together.
  reach(prices, input, output) {
    if (input === null || output === null) return null;
    return (prices.million_input_tokens * input + prices.million_output_tokens * output) / 1e6;
  },

  // What ragmed/comparison/costs/break_even.py does: when tuning costs less in total.
  breakEven(tuning, retrieval) {
    if ([tuning.once, tuning.each, retrieval.once, retrieval.each].includes(null)) return { outcome: "unknown" };
    const once = tuning.once - retrieval.once;
    const each = tuning.each - retrieval.each;
    if (once === 0 && each === 0) return { outcome: "equal" };
    if (once <= 0 && each <= 0) return { outcome: "from-the-first" };
    if (once >= 0 && each >= 0) return { outcome: "never" };
    const count = once / -each;
    if (!Number.isFinite(count)) return { outcome: once > 0 ? "never" : "from-the-first" };
    const [outcome, whole] = once > 0 ? ["after", Math.ceil] : ["until", Math.floor];
    return { outcome, questions: whole(count), whole };
  },

  bounded(tuning, retrieval, { onceVaries, leastWindows }) {
    const found = page.breakEven(tuning, retrieval);
    if (found.outcome === "unknown" || found.outcome === "equal") return found;
    const unknown = (reason) => ({ outcome: "unknown", reason });
    if (tuning.reach === null || retrieval.reach === null) {
      return unknown(
        `an interval of what a question costs needs ${leastWindows} windows of questions that were measured`,
      );
    }
    const once = Math.abs(tuning.once - retrieval.once);
    const varies = onceVaries * (tuning.once + retrieval.once);
    const each = Math.abs(tuning.each - retrieval.each);
    const reach = Math.hypot(tuning.reach, retrieval.reach);
    if (varies && once <= varies) {
      return unknown("what was paid once differs by no more than one measurement of it may vary");
    }
    if (reach && each <= reach) return unknown("what a question costs differs by no more than it varies");
    if (found.questions === undefined) return found;
    const [least, most] = [(once - varies) / (each + reach), (once + varies) / (each - reach)];
    if (!Number.isFinite(most)) return unknown("what a question costs differs by no more than it varies");
    return { ...found, between: [found.whole(least), found.whole(most)] };
  },

  breakEvenSaid(unit, { outcome, questions, between, reason }, missing) {
    let count = questions === undefined ? "" : questions.toLocaleString("en");
    if (between) count += ` (${between.map((one) => one.toLocaleString("en")).join(" to ")})`;
    const unknown = reason || missing;
    const told = {
      after: `tuning costs less than retrieving from about ${count} questions on`,
      until: `tuning costs less than retrieving up to about ${count} questions, and more beyond`,
      "from-the-first": "tuning costs less than retrieving from the first question on",
      never: "tuning never costs less than retrieving",
      equal: "tuning and retrieving cost the same",
      unknown: `the break-even is unknown: ${unknown || "a part is missing"}`,
    };
    return `In ${unit}, ${told[outcome]}.`;
  },

  PRICES: ["machine_hour", "million_input_tokens", "million_output_tokens"],

  prices(form) {
    const found = { currency: form.elements.currency.value.trim() };
    for (const name of page.PRICES) found[name] = Number(form.elements[name].value);
    return found;
  },

  // Says beside each field what is wrong with it; a browser shows what is no number as the empty text.
  allAreNumbers(form) {
    let all = true;
    for (const name of page.PRICES) {
      const field = form.elements[name];
      const fine = field.value !== "" && Number.isFinite(Number(field.value)) && Number(field.value) >= 0;
      field.setAttribute("aria-invalid", String(!fine));
      const said = document.getElementById(field.getAttribute("aria-describedby"));
      said.textContent = fine ? "" : "Give a number, 0 or more.";
      all = all && fine;
    }
    return all;
  },

  money(value) {
    if (value === null) return "-";
    return value.toLocaleString("en", { minimumFractionDigits: 4, maximumFractionDigits: 4 });
  },

  priceRow(row, prices) {
    const data = row.dataset;
    const n = data.n === undefined ? 1 : Number(data.n);
    const [seconds, input, output] = [data.seconds, data.inputTokens, data.outputTokens].map(page.number);
    const each = [seconds, input, output].map((one) => (one === null || !n ? null : one / n));
    const price = page.ofQuestion(prices, each[0], each[1], each[2]);
    row.querySelector(".money").textContent = page.money(price === null ? null : 1000 * price);
  },

  priceArticle(article, prices) {
    const data = article.dataset;
    const list = article.querySelector("ul");
    const line = (role, once) => ({
      once: page.ofSeconds(prices, page.number(once)),
      each: page.ofQuestion(
        prices, page.number(data[`${role}Seconds`]), page.number(data[`${role}InputTokens`]),
        page.number(data[`${role}OutputTokens`]),
      ),
      reach: page.reach(prices, page.number(data[`${role}InputReach`]), page.number(data[`${role}OutputReach`])),
    });
    list.querySelector(".money-line")?.remove();
    if (!page.byToken(prices)) return;  // by the hour, money breaks even where computing does
    const [tuning, retrieval] = [line("tuned", data.training), line("retrieved", data.index)];
    let unknown = data.unknown;
    if (!unknown) unknown = prices.machine_hour > 0 ? "a kind of token has no price" : "a machine hour has no price";
    const item = document.createElement("li");
    const strong = document.createElement("b");
    item.className = "money-line";
    strong.textContent = page.breakEvenSaid(
      prices.currency || "money",
      page.bounded(tuning, retrieval, { onceVaries: Number(data.onceVaries), leastWindows: data.leastWindows }), unknown,
    );
    item.append(strong);
    list.append(item);
  },

  reprice(form) {
    const said = document.getElementById("prices-status");
    if (!page.allAreNumbers(form)) {
      said.textContent = "Money and break-even still follow the last prices that could be read.";
      return;
    }
    said.textContent = "Money and break-even follow the prices above.";
    const prices = page.prices(form);
    for (const row of document.querySelectorAll("#cost tr[data-seconds]")) page.priceRow(row, prices);
    for (const article of document.querySelectorAll(".economics")) page.priceArticle(article, prices);
    for (const name of document.querySelectorAll(".currency")) name.textContent = prices.currency || "money";
  },

  watchPrices() {
    const form = document.getElementById("prices");
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => page.reprice(form));
    form.addEventListener("reset", () => setTimeout(() => page.reprice(form)));
  },

  watchContents() {
    const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.hash.slice(1), a]));
    const seen = new Set();
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) seen[entry.isIntersecting ? "add" : "delete"](entry.target.id);
      const first = [...links.keys()].find((id) => seen.has(id));
      if (!first) return;
      for (const [id, link] of links) {
        if (id === first) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
      const strip = links.get(first).closest("nav");
      if (strip.scrollWidth > strip.clientWidth) strip.scrollLeft = links.get(first).offsetLeft - 40;
    }, { rootMargin: "-10% 0px -70% 0px" });
    for (const section of document.querySelectorAll("main > section")) observer.observe(section);
  },

  // On paper nothing can be opened: what is folded is unfolded for printing, and folded again after it.
  watchPrinting() {
    let opened = [];
    addEventListener("beforeprint", () => {
      opened = [...document.querySelectorAll("main > section:not(#samples) details:not([open])")];
      opened = opened.filter((one) => !one.querySelector(".record"));
      for (const one of opened) one.open = true;
    });
    addEventListener("afterprint", () => {
      for (const one of opened) one.open = false;
    });
  },
};

page.watchPrices();
page.watchContents();
page.watchPrinting();
