"""Rows on what lies behind a difference in, one plain sentence each out, as the terminal shows them below a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ragmed.report import wording
from ragmed.report.wording import Row

RULES = {"wrong": "wrong", "drop": "dropped", "mirage": "as MIRAGE reads them"}
PARTS = {
    "form": "not answered in the form asked",
    "missed": "no gold document shown",
    "misled": "gold shown, and right without it",
    "ignored": "gold shown, wrong all the same",
    "unknown": "gold documents unknown",
}


def sentences(results: Mapping[str, Any], task: str) -> Iterator[str]:
    """
    >>> list(sentences(results, "medqa"))  # doctest: +SKIP
    ['accuracy when what is not answered counts as wrong / dropped: general 0.640 / 0.661, rag 0.650 / 0.702']

    Nothing for a key that the results lack or that has no row of this task.
    """
    yield from _policies(results, task)
    for row in _of(results, "decomposition", task):
        yield decomposition(row)
    for row in results.get("compliance", []):
        if row["generate_task"] == task:
            yield compliance(row)
    for row in _of(results, "order", task):
        yield order(row)
    for row in _of(results, "retrieval", task):
        yield retrieval(row)
    rows = _of(results, "calibration", task)
    if rows:
        yield f"calibration error (area under risk and coverage): {', '.join(map(calibration, rows))}"
    for row in _of(results, "leakage", task):
        if row["leaked"]:
            yield leakage(row)


def _of(results: Mapping[str, Any], key: str, task: str) -> list[Row]:
    return [row for row in results.get(key, []) if row.get("task") == task]


def _policies(results: Mapping[str, Any], task: str) -> Iterator[str]:
    rows = _of(results, "policies", task)
    for metric in dict.fromkeys(row["metric"] for row in rows):
        mine = [row for row in rows if row["metric"] == metric]
        rules = [rule for rule in RULES if any(row["values"].get(rule) is not None for row in mine)]
        if all(len({row["values"].get(rule) for rule in rules}) == 1 for row in mine):
            continue  # everything was answered: the rules agree
        names = " / ".join(RULES[rule] for rule in rules)
        values = ", ".join(
            f"{row['arm']} {' / '.join(wording.fraction(row['values'].get(rule)) for rule in rules)}" for row in mine
        )
        text = f"{metric} when answers that cannot be read count as {names}: {values}"
        hangs = [one for one in _of(results, "policy_rankings", task) if one["metric"] == metric and one["depends"]]
        yield f"{text}; the order of the arms depends on it" if hangs else text


def decomposition(row: Row) -> str:
    """`general+rag, 35 wrong of 120: no gold document shown 20, gold shown, wrong all the same 15`"""
    parts = ", ".join(f"{PARTS[part['part']]} {part['count']}" for part in row["parts"] if part["count"])
    text = f"{row['arm']}, {row['wrong']} wrong of {row['n']}" + (f": {parts}" if parts else "")
    if row.get("distracted"):
        text += f"; {row['distracted']['count']} right ones of {row['closed']} lost to distractor passages"
    if row.get("beyond"):
        text += f"; {row['beyond']['count']} wrong even with oracle passages"
    return text


def compliance(row: Row) -> str:
    """`general: 0.325 as it writes, 0.410 by log-likelihood (...); 12 known but unreadable of 20 not answered`"""
    return (
        f"{row['arm']}: {wording.fraction(row['generate'])} as it writes, {wording.fraction(row['likelihood'])} by "
        f"log-likelihood ({row['likelihood_task']}), {wording.points(row['difference'])} points "
        f"{wording.points_span(row['ci'])}; {row['known_but_unreadable']} of {row['form_failures']} that cannot be "
        "read are right by log-likelihood"
    )


def order(row: Row) -> str:
    """`general: 61 % of 120 answers survive other options ...`"""
    other = row["other_task"] if row["kind"] == "options" else row["other_arm"]
    return (
        f"{row['arm']}: {100 * row['share']:.0f} % [{100 * row['ci'][0]:.0f}, {100 * row['ci'][1]:.0f}] of "
        f"{row['n']} answers survive another order of the {row['kind']} ({other})"
    )


def retrieval(row: Row) -> str:
    """`general+rag, first 3: nDCG 0.612, recall 0.700, MRR 0.580 (n 120); right 0.810 where a gold ...`"""
    text = (
        f"{row['arm']}, first {row['k']}: nDCG {wording.fraction(row['ndcg'])}, recall "
        f"{wording.fraction(row['recall'])}, MRR {wording.fraction(row['mrr'])} (n {row['n']})"
    )
    found, missed = row["found"], row["missed"]
    if found["n"] and missed["n"]:
        text += (
            f"; right {wording.fraction(found['value'])} where a gold document is shown (n {found['n']}), "
            f"{wording.fraction(missed['value'])} where none is (n {missed['n']})"
        )
    return text


def calibration(row: Row) -> str:
    """`general 0.120 (0.310)`; the intervals are on the page."""
    return f"{row['arm']} {wording.fraction(row['ece'])} ({wording.fraction(row['aurc'])})"


def leakage(row: Row) -> str:
    """`general: 12 of 100 leaked; 0.400 with them, 0.380 [0.280, 0.480] without`"""
    return (
        f"{row['arm']} ({row['metric']}): {row['leaked']} of {row['n']} leaked; {wording.fraction(row['value'])} with "
        f"them, {wording.fraction(row['value_without'])} {wording.span(row['ci_without'])} without"
    )
