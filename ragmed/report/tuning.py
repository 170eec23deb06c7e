"""results.json and the records of adapters in, what the page says of tuning and retrieving and what they cost out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ragmed.report import effects, wording
from ragmed.report.escaping import escape, table

ROLES = ("control", "tuned", "retrieved", "both")


def tuning_and_retrieval(results: Mapping[str, Any]) -> Iterator[str]:
    """A 2x2 table a task and metric, its effects as sentences, then as a table. Nothing without a factorial."""
    rows = results.get("factorials", [])
    if not rows:
        return
    yield "## Tuning and retrieval"
    yield (
        f"The same examples, untuned and tuned, closed book and with passages. p is adjusted for all "
        f"{results['factorial_family']} effects of this section, a family of its own."
    )
    for row in rows:
        title = f"### {escape(row['task'])}: {escape(row['metric'])}"
        yield title + (f" ({mark})" if (mark := wording.corpora_mark(row)) else "")
        yield "\n".join(f"- {_sentence(row, effect)}" for effect in row["effects"])
        yield _square(row)
        yield _effects(row)


def _sentence(row: wording.Row, effect: wording.Row) -> str:
    said, numbers = effects.said(row, effect), effects.numbers(row, effect)
    mark = wording.corpora_mark(row)
    text = said[0].upper() + said[1:]
    return f"**{text}**" + (f": {numbers}" if numbers else "") + f", n {row['n']}" + (f"; {mark}" if mark else "") + "."


def _square(row: wording.Row) -> str:
    def cell(role: str) -> str:
        found = row["cells"].get(role, {"value": None, "ci": None})
        return f"{row[role]}: {wording.fraction(found['value'])} {wording.span(found['ci'])}"

    lines = [["untuned", cell("control"), cell("retrieved")], ["tuned", cell("tuned"), cell("both")]]
    return table(["", "closed book", "with passages"], lines)


def _effects(row: wording.Row) -> str:
    lines = [
        [
            effects.NAMES[effect["effect"]],
            wording.points(effect["difference"]),
            wording.points_span(effect["ci"]),
            effect["test"],
            *(wording.p_value(effect[key]) for key in ("p", "p_adjusted")),
            effects.verdict(row, effect),
        ]
        for effect in row["effects"]
    ]
    return table(["effect", "points", "95 % interval", "test", "p", "adjusted p", "verdict"], lines, numbers=(1, 4, 5))


def what_it_cost(results: Mapping[str, Any]) -> Iterator[str]:
    """What was paid once and what each question costs, and from how many questions on tuning costs less."""
    rows = results.get("economics", [])
    if not rows:
        return
    yield "## What it cost"
    for row in rows:
        said = "\n".join(f"- **{_capital(escape(effects.break_even(one)))}**." for one in row["break_even"])
        yield f"On **{escape(row['task'])}**, **{escape(row['tuned'])}** against **{escape(row['retrieved'])}**:"
        yield said
        yield f"Paid once: {_training(row['training'])}; {_indexing(row['index'])}."
        yield _questions(row, results.get("prices", {}))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _training(cost: wording.Row) -> str:
    text = f"training {effects.duration(cost['seconds'])}, {effects.whole(cost['tokens'])} tokens"
    if cost["search"] is not None:
        search = cost["search"]
        text += (
            f", and the search that chose it {effects.duration(search['seconds'])}, {effects.whole(search['tokens'])} "
            f"tokens more (together {effects.duration(cost['total_seconds'])})"
        )
    return text + (f", on {escape(cost['device'])}" if cost["device"] else "")


def _indexing(cost: wording.Row) -> str:
    passages = "" if cost["passages"] is None else f", {effects.whole(cost['passages'])} passages"
    text = f"indexing {effects.duration(cost['seconds'])}{passages}"
    if cost["search_seconds"] is not None:
        text += f", and the search for k and context budget {effects.duration(cost['search_seconds'])}"
    return text + (f", on {escape(cost['device'])}" if cost["device"] else "")


def _questions(row: wording.Row, prices: Mapping[str, Any]) -> str:
    header = ["a question of", "arm", "input tokens", "output tokens", "seconds"]
    priced = any(one["price"] is not None for one in row["per_question"].values())
    header += [f"{prices.get('currency') or 'money'} for 1,000"] if priced else []
    lines = []
    for role in ROLES:
        one = row["per_question"].get(role)
        if one is not None:
            line = [role, row[role], *(_mean(one[key], 1) for key in ("input_tokens", "output_tokens"))]
            line += [_mean(one["seconds"], 4)]
            line += [_mean(None if one["price"] is None else 1000 * one["price"], 4)] if priced else []
            lines.append(line)
    return table(header, lines, numbers=tuple(range(2, len(header))))


def _mean(value: float | None, digits: int) -> str:
    return wording.MISSING if value is None else f"{value:.{digits}f}"


def training(run_info: Mapping[str, Any], figures: Sequence[str]) -> Iterator[str]:
    """How each adapter was trained. `figures`: the loss curves, if any. Nothing where no adapter was recorded."""
    adapters, search = adapters_of(run_info), _mapping(_mapping(run_info.get("references")).get("search"))
    if not adapters and not search:
        return
    yield "## Training and search"
    for name in figures:
        yield f"![Loss over the tokens learnt from]({name})"
    for model, record in adapters.items():
        yield f"- {_adapter(model, record)}"
        yield from _search(record.get("search"), "The search that chose it")
    yield from _search({k: v for k, v in search.items() if k != "asked"}, "The search that chose k and context budget")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def adapters_of(run_info: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Model of the experiment -> the record of its adapter; empty for runs without."""
    found = _mapping(_mapping(run_info.get("references")).get("adapters"))
    return {str(k): v for k, v in found.items() if isinstance(v, Mapping)}


def _adapter(model: str, record: Mapping[str, Any]) -> str:
    corpora = [
        f"{c.get('name', 'unnamed')} ({str(c.get('sha256') or 'no hash')[:8]})" for c in record.get("corpora") or []
    ]
    parts = [
        f"learnt from {escape(', '.join(corpora)) or 'corpora that nobody declared'}",
        f"{effects.whole(record.get('tokens'))} tokens in {effects.whole(record.get('steps'))} steps",
        f"{effects.duration(record.get('seconds'))} on {escape(record.get('device') or 'an unknown device')}",
    ]
    if record.get("peak_memory_bytes") is not None:
        parts.append(f"peak memory {record['peak_memory_bytes'] / 2**30:.2f} GiB")
    if record.get("energy_joules") is not None:
        parts.append(f"energy {record['energy_joules'] / 3600:.2f} Wh")
    return f"**{escape(record.get('name') or model)}** (model {escape(model)}): {'; '.join(parts)}."


def _search(search: Any, title: str) -> Iterator[str]:
    """What was tried, as a table, and all else that the record says, such as what was chosen."""
    if not isinstance(search, Mapping) or not search:
        return
    trials = {key: value for key, value in search.items() if _are_trials(value)}
    rest = [f"{key} {_flat(value)}" for key, value in search.items() if key not in trials]
    yield f"{title}: {escape('; '.join(rest)) or 'as below'}."
    for tried in trials.values():
        header = list(dict.fromkeys(key for trial in tried for key in trial))
        lines = [[str(place), *(_flat(trial.get(key, "")) for key in header)] for place, trial in enumerate(tried)]
        yield table(["", *(key.replace("_", " ") for key in header)], lines)


def _are_trials(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(_flat, value)) if isinstance(value, list | tuple) else str(value)
