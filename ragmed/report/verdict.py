"""results.json in, the verdict in words out: what the terminal, the page and the list of runs say first.

Plain text: whoever shows it escapes it. No sentence claims more than its row's verdict allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ragmed.report import effects, wording
from ragmed.report.wording import Row

ROLES = ("control", "tuned", "retrieved", "both")
EFFECTS = ("retrieval", "tuning", "tuning-against-retrieval", "interaction")
ORDER = ("better", "worse", "equivalent", "cannot-tell")
SHOWN = 4  # names of tasks in a headline before the rest is counted


def headline(results: Mapping[str, Any]) -> list[str]:
    """
    >>> headline(results)[0]  # doctest: +SKIP
    'general+rag against general: better on 1 of 3 tasks (handbook), equivalent on 1 (medqa), cannot tell on 1 (mmlu).'

    Where there is a 2x2, first what it answers: fine-tune, retrieve, both or neither? Then a sentence for each two arms
    that were compared, by the first metric of each task where more is better; then what a reader must know before
    believing it: differences that hang on how unreadable answers count, leaked questions.
    """
    firsts = _first_metrics(results["contrasts"])
    rows = [row for row in results["contrasts"] if firsts.get(row["task"]) == row["metric"]]
    pairs = list(dict.fromkeys((row["baseline"], row["arm"]) for row in rows))
    said = [_pair([row for row in rows if (row["baseline"], row["arm"]) == pair], results) for pair in pairs]
    return [*_designs(results), *(said or ["No two arms were compared."]), *_warnings(results)]


def _metric(results: Mapping[str, Any], task: str) -> str:
    return _first_metrics([row for row in results.get("factorials", []) if row["task"] == task]).get(task, "")


def _designs(results: Mapping[str, Any]) -> Iterator[str]:
    """Fine-tune, retrieve, both or neither? A sentence for each effect of each 2x2."""
    rows = [row for row in results.get("factorials", []) if row["metric"] == _metric(results, row["task"])]
    for design in dict.fromkeys(tuple(row[role] for role in ROLES) for row in rows):
        mine = [row for row in rows if tuple(row[role] for role in ROLES) == design]
        control, tuned, retrieved, both = design
        yield f"Fine-tune ({tuned}), retrieve ({retrieved}), both ({both}) or neither ({control})?"
        for name in EFFECTS:
            found = [(row, effect) for row in mine for effect in row["effects"] if effect["effect"] == name]
            yield _effect(*found[0]) if len(found) == 1 else _effects(name, found)


def _effect(row: Row, effect: Row) -> str:
    """`On medqa, retrieval helps, averaged over the untuned and the tuned model: +32.5 points [+18.8, +46.2], n 40.`"""
    text = f"On {row['task']}, {effects.said(row, effect)}"
    if effect["difference"] is None:
        return f"{text}."
    mark = wording.corpora_mark(row)
    numbers = f"{wording.points(effect['difference'])} points {wording.points_span(effect['ci'])}, n {row['n']}"
    return f"{text}: {numbers}; {mark}." if mark else f"{text}: {numbers}."


def _effects(name: str, found: Sequence[tuple[Row, Row]]) -> str:
    signs = {"better": "positive", "worse": "negative"} if name == "interaction" else {}
    rows = [{"task": row["task"], "verdict": effect["verdict"]} for row, effect in found]
    marks = dict.fromkeys(mark for row, _ in found if (mark := wording.corpora_mark(row)))
    marked = f"; {', '.join(marks)}" if marks else ""
    return f"{effects.NAMES[name].capitalize()}: {_counted(rows, signs)}{marked}."


def _first_metrics(rows: Sequence[Row]) -> dict[str, str]:
    """The first metric of each task where more is better, else its first."""
    first: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: not row.get("higher_is_better", True)):
        first.setdefault(row["task"], row["metric"])
    return first


def _pair(rows: Sequence[Row], results: Mapping[str, Any]) -> str:
    arm, baseline = rows[0]["arm"], rows[0]["baseline"]
    if len(rows) == 1:
        return _short(rows[0])
    text = f"{arm} against {baseline}: {_counted(rows)}."
    for row in results.get("overall", []):
        if (row["arm"], row["baseline"], row["metric"]) == (arm, baseline, rows[0]["metric"]):
            text += f" {overall(row)}"
    return text


def _counted(rows: Sequence[Row], signs: Mapping[str, str] | None = None) -> str:
    """`better on 1 of 6 tasks (medqa), cannot tell on 5 (mmlu, bioasq and 3 more)`"""
    parts: list[str] = []
    for verdict in ORDER:
        tasks = [row["task"] for row in rows if row["verdict"] == verdict]
        if tasks:
            of = f" of {len(rows)} tasks" if not parts else ""
            said = (signs or {}).get(verdict, verdict.replace("-", " "))
            parts.append(f"{said} on {len(tasks)}{of} ({_listed(tasks)})")
    return ", ".join(parts)


def _short(row: Row) -> str:
    """`general+rag against general on medqa: better, +35.0 points [+16.0, +52.1], adjusted p 0.007.`"""
    text = f"{row['arm']} against {row['baseline']} on {row['task']}: {wording.marked(row)}"
    if row["difference"] is None:
        return f"{text}."
    return (
        f"{text}, {wording.points(row['difference'])} points {wording.points_span(row['ci'])}, adjusted p "
        f"{wording.p_value(row['p_adjusted'])}."
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def overall(row: Row) -> str:
    """`Over 4 tasks together +4.8 points [-7.7, +17.3]: cannot tell (I2 96 %: tasks differ by more than chance …).`"""
    if row["difference"] is None:
        return f"Over {row['k']} tasks together nothing can be told."
    differ = ""
    if row.get("i2") is not None and row.get("q_p") is not None and row["q_p"] < 0.05:
        differ = f" (I2 {100 * row['i2']:.0f} %: tasks differ by more than chance explains)"
    return (
        f"Over {row['k']} tasks together {wording.points(row['difference'])} points "
        f"{wording.points_span(row['ci'])}: {wording.verdict(row)}{differ}."
    )


def sentence(row: Row) -> str:
    """
    >>> sentence(results["contrasts"][0])  # doctest: +SKIP
    'On medqa (accuracy), rag and general are equivalent within 5 points: 0.656 vs 0.646, difference +1.0 points ...'

    One contrast, with its numbers: the difference and its interval first, then p.
    """
    where, arm, control = f"On {row['task']} ({row['metric']})", row["arm"], row["baseline"]
    if row["difference"] is None:
        return (
            f"{where}, nothing can be told of {arm} and {control}: no example is left that both arms have a score for."
        )
    return f"{where}, {_claim(row)}: {_numbers(row)}."


def _claim(row: Row) -> str:
    arm, control, within = row["arm"], row["baseline"], wording.margin(row["margin"])
    verdict = row["verdict"]
    if verdict in ("better", "worse"):
        return f"{arm} is {wording.verdict(row)} than {control}"
    if verdict == "equivalent":
        return f"{arm} and {control} are {wording.verdict(row)}"
    if row.get("higher_is_better", True) and row.get("noninferiority", {}).get("shown"):
        return f"it cannot be told whether {arm} is better than {control}, but it is not worse by {within} or more"
    return f"it cannot be told whether {arm} and {control} differ, nor that they are the same within {within}"


def _numbers(row: Row) -> str:
    values = "" if row.get("arm_value") is None else (
        f"{wording.fraction(row['arm_value'])} vs {wording.fraction(row['baseline_value'])}, difference "
    )  # fmt: skip
    text = (
        f"{values}{wording.points(row['difference'])} points {wording.points_span(row['ci'])}, "
        f"adjusted p {wording.p_value(row['p_adjusted'])}, n {row['n']}"
    )
    if row.get("fixed") is not None:
        text += f"; {row['arm']} fixed {row['fixed']} and broke {row['broke']}"
    mark = wording.corpora_mark(row)
    return f"{text}; {mark}" if mark else text


def _warnings(results: Mapping[str, Any]) -> Iterator[str]:
    hangs = [row for row in results.get("policy_contrasts", []) if row["depends"]]
    if hangs:
        named = dict.fromkeys(f"{row['arm']} against {row['baseline']} on {row['task']}" for row in hangs)
        yield f"Depends on what unreadable answers count as: {_listed(list(named))}."
    leaked: dict[str, int] = {}
    for row in results.get("leakage", []):
        leaked[row["task"]] = max(leaked.get(row["task"], 0), row["leaked"])
    told = [f"{count} of {task}" for task, count in leaked.items() if count]
    if told:
        yield f"Questions that stand in what an arm learnt from or is shown: {_listed(told)}."
