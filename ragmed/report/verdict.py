"""results.json in, the verdict in words out: what the terminal, the page and the list of runs say first.

Plain text: whoever shows it escapes it. No sentence claims more than its row's verdict allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ragmed.report import effects, wording
from ragmed.report.wording import Row

ROLES = ("control", "tuned", "retrieved", "both")
EFFECTS = ("retrieval", "tuning", "tuning-against-retrieval")
ADVICE = ("retrieve", "fine-tune", "both", "neither", "cannot be told")
ORDER = ("better", "worse", "equivalent", "cannot-tell")
SHOWN = 4  # names of tasks in a headline before the rest is counted


def headline(results: Mapping[str, Any]) -> list[str]:
    """
    >>> headline(results)[0]  # doctest: +SKIP
    'Fine-tune, retrieve, both or neither? On medqa (n 400): retrieve. Retrieval helps, +12.0 points [+7.1, +16.8]; ...'

    Where there is a 2x2, first what it answers. Then a sentence for each two other arms that were compared, by the
    first metric of each task where more is better; then what a reader must know before believing it: differences that
    hang on how unreadable answers count, leaked questions, too few examples.
    """
    firsts = _first_metrics(results["contrasts"])
    squares = _squares(results)
    answered = {(row["task"], arm) for row in squares for arm in (row[role] for role in ROLES)}
    rows = [
        row
        for row in results["contrasts"]
        if firsts.get(row["task"]) == row["metric"]
        and not {(row["task"], row["arm"]), (row["task"], row["baseline"])} <= answered
    ]
    pairs = list(dict.fromkeys((row["baseline"], row["arm"]) for row in rows))
    said = [_pair([row for row in rows if (row["baseline"], row["arm"]) == pair], results) for pair in pairs]
    answers = [*_designs(squares), *said] or ["No two arms were compared."]
    return [*answers, *_warnings(results), *_too_few([*squares, *rows])]


def _squares(results: Mapping[str, Any]) -> list[Row]:
    """The rows of 2x2 designs by the first metric of their task."""
    rows = results.get("factorials", [])
    firsts = _first_metrics(rows)
    return [row for row in rows if firsts.get(row["task"]) == row["metric"]]


def _designs(rows: Sequence[Row]) -> Iterator[str]:
    for design in dict.fromkeys(tuple(row[role] for role in ROLES) for row in rows):
        mine = [row for row in rows if tuple(row[role] for role in ROLES) == design]
        asked = "Fine-tune, retrieve, both or neither?"
        if len({tuple(row[role] for role in ROLES) for row in rows}) > 1:
            asked = f"Fine-tune ({design[1]}), retrieve ({design[2]}), both ({design[3]}) or neither ({design[0]})?"
        yield f"{asked} {_one(mine[0]) if len(mine) == 1 else _several(mine)}"


def advice(row: Row) -> str:
    """
    >>> advice(row)  # doctest: +SKIP
    'retrieve'

    What the main effects of a 2x2 allow to be recommended: that which is shown to help, and nothing else. `neither`:
    both are shown not to help (worse, or the same within the margin); `cannot be told` otherwise.
    """
    verdicts = {effect["effect"]: effect["verdict"] for effect in row["effects"]}
    helps = {name for name in ("retrieval", "tuning") if verdicts.get(name) == "better"}
    if not row.get("higher_is_better", True) or any(effect["difference"] is None for effect in row["effects"]):
        return "cannot be told"
    if len(helps) == 2:
        return "both"
    if helps:
        return "retrieve" if "retrieval" in helps else "fine-tune"
    shown = all(verdicts.get(name) in ("worse", "equivalent") for name in ("retrieval", "tuning"))
    return "neither" if shown else "cannot be told"


def _one(row: Row) -> str:
    """`On medqa (n 400): retrieve. Retrieval helps, +12.0 points [...]; what tuning does cannot be told, ...`"""
    where = f"On {row['task']} (n {row['n']}): {advice(row)}."
    found = {effect["effect"]: effect for effect in row["effects"]}
    if any(effect["difference"] is None for effect in row["effects"]):
        return f"{where} No example is left that all four arms have a score for."
    mark = wording.corpora_mark(row)
    parts = [
        f"{effects.brief(row, found[name])}, {wording.points(found[name]['difference'])} points "
        f"{wording.points_span(found[name]['ci'])}"
        for name in EFFECTS
        if name in found
    ]
    text = "; ".join(parts)
    return f"{where} {text[:1].upper()}{text[1:]}{f' ({mark})' if mark else ''}."


def _several(rows: Sequence[Row]) -> str:
    """`Retrieve on 1 of 6 tasks (medquad-names); cannot be told on 5 (medqa, medmcqa, mmlu, pubmedqa and 1 more).`"""
    found = [advice(row) for row in rows]
    parts = [
        f"{name} on {found.count(name)}{'' if place else f' of {len(rows)} tasks'} "
        f"({_listed([row['task'] for row, said in zip(rows, found, strict=True) if said == name])})"
        for place, name in enumerate(sorted(dict.fromkeys(found), key=ADVICE.index))
    ]
    marks = dict.fromkeys(mark for row in rows if (mark := wording.corpora_mark(row)))
    text = "; ".join([*parts, *marks])
    return f"{text[:1].upper()}{text[1:]}."


def _too_few(rows: Sequence[Row]) -> Iterator[str]:
    """Where the best that can be said is that it cannot be told: what would help."""
    open_ = [row for row in rows if (advice(row) == "cannot be told" if "effects" in row else _open(row))]
    if open_ and min(row["n"] for row in open_):
        least, most = min(row["n"] for row in open_), max(row["n"] for row in open_)
        n = f"{least}" if least == most else f"{least} to {most}"
        yield f"What cannot be told needs more than {n} examples: ragmed plan says how many."


def _open(row: Row) -> bool:
    return bool(row["verdict"] == "cannot-tell" and row["difference"] is not None)


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


def _counted(rows: Sequence[Row]) -> str:
    """`better on 1 of 6 tasks (medqa), cannot tell on 5 (mmlu, bioasq and 3 more)`"""
    parts: list[str] = []
    for verdict in ORDER:
        tasks = [row["task"] for row in rows if row["verdict"] == verdict]
        if tasks:
            of = f" of {len(rows)} tasks" if not parts else ""
            parts.append(f"{verdict.replace('-', ' ')} on {len(tasks)}{of} ({_listed(tasks)})")
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
