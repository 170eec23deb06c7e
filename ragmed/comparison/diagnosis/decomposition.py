"""What retrieval did to each answer: the retrieved arm beside its closed-book, oracle and distractor arms.

Every wrong answer of the retrieved arm is put under the first of these that holds:

    form      nothing was answered (unparsed, refused, truncated, error)
    missed    the gold documents are known, and no passage of one was shown
    misled    one was shown, and the closed-book arm had been right
    ignored   one was shown, and the closed-book arm was wrong too, or is not there
    unknown   nobody knows the gold documents
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.diagnosis.gold_documents import gold_shown, tells_gold, tells_passages
from ragmed.comparison.diagnosis.rows import Cause, Decomposition, Examples, Repaired
from ragmed.comparison.paired import is_binary
from ragmed.records import Answer

Values = Mapping[str, float | None]
PARTS = ("form", "missed", "misled", "ignored", "unknown")
BESIDE = {"closed": "none", "oracle": "oracle", "distractor": "distractor"}
_ALIKE = (
    "index", "retriever", "k", "context_tokens", "passage_order", "tasks", "cot", "cot_tokens", "constrained",
    "follow_up", "rerank", "evidence_filter",
)  # fmt: skip


def decomposition(
    tables: Sequence[TaskTable],
    found: Mapping[tuple[str, str], Mapping[str, Answer]],
    *,
    arms: Mapping[str, Mapping[str, Any]],
) -> list[Decomposition]:
    """
        decomposition(tables, found, arms=facts.arms)[0].parts[1].part
        # missed

    A row for each retrieved arm, task and metric of 0 and 1. `found`: (arm, task) -> example id -> sample. The counts
    of `parts` add up to `wrong`; `broke` are those of their examples that the closed-book arm had right. `repaired`:
    right with retrieval and wrong without, by whether a gold passage was shown. `distracted`: right closed-book, wrong
    with distractors; `beyond`: wrong even with oracle passages; both among the examples of this row.
    """
    rows = []
    for table in tables:
        for arm, about in arms.items():
            for metric in table.metrics:
                if about.get("context") == "retrieved" and right_or_wrong(table, arm, metric):
                    beside = {role: partner(arms, arm, context, table, metric) for role, context in BESIDE.items()}
                    rows.append(_row(table, metric, arm, beside=beside, answers=found[arm, table.name]))
    return rows


def right_or_wrong(table: TaskTable, arm: str, metric: str) -> bool:
    """Whether an arm has scores of 0 and 1 by a metric of which more is better."""
    if (arm, metric) not in table.columns or table.metrics[metric].higher_is_better is not True:
        return False
    values = np.array([value for value in table.columns[arm, metric].values.values() if value is not None])
    return is_binary(table.metrics[metric], values)


def partner(arms: Mapping[str, Mapping[str, Any]], arm: str, context: str, table: TaskTable, metric: str) -> str | None:
    """The arm of the same model in this context; of several, the one that has most settings in common."""
    mine = arms[arm]
    there = [
        name
        for name, about in arms.items()
        if about.get("context") == context and _model(about) == _model(mine) and (name, metric) in table.columns
    ]
    return max(there, key=lambda name: sum(arms[name].get(key) == mine.get(key) for key in _ALIKE), default=None)


def _model(about: Mapping[str, Any]) -> Any:
    return about.get("model_identity") or about.get("model")


def _row(
    table: TaskTable, metric: str, arm: str, *, beside: Mapping[str, str | None], answers: Mapping[str, Answer]
) -> Decomposition:
    values = numbers(table, arm, metric)
    kept = [id_ for id_ in table.ids if values[id_] is not None]
    others: dict[str, Values] = {role: numbers(table, name, metric) if name else {} for role, name in beside.items()}
    closed = others["closed"]
    tells = tells_gold(answer.sample for answer in answers.values())
    known = tells_passages(answer.sample for answer in answers.values())
    shown = {id_: gold_shown(answers[id_].sample, tells=tells) if known else None for id_ in kept}
    wrong = [id_ for id_ in kept if not values[id_]]
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for id_ in wrong:
        parts[_part(answers[id_], shown[id_], closed.get(id_))].append(id_)
    return Decomposition(
        table.name, metric, arm, closed=beside["closed"], oracle=beside["oracle"], distractor=beside["distractor"],
        n=len(kept), value=_mean(values, kept), closed_value=_mean(closed, kept),
        oracle_value=_mean(others["oracle"], kept), distractor_value=_mean(others["distractor"], kept),
        right=len(kept) - len(wrong), wrong=len(wrong),
        parts=tuple(
            Cause(part, len(ids), tuple(ids), broke=tuple(id_ for id_ in ids if closed.get(id_)))
            for part, ids in parts.items()
        ),
        repaired=_repaired([id_ for id_ in kept if values[id_]], shown, closed),
        distracted=_listed(others["distractor"], kept, closed, role=closed and beside["distractor"]),
        beyond=_listed(others["oracle"], kept, None, role=beside["oracle"]),
    )  # fmt: skip


def numbers(table: TaskTable, arm: str, metric: str) -> Values:
    """The column of an arm by a metric that is no ratio."""
    values = table.columns[arm, metric].values
    return {id_: value if isinstance(value, int | float) else None for id_, value in values.items()}


def _part(answer: Answer, shown: bool | None, closed: float | None) -> str:
    if answer.score.status != "answered":
        return "form"
    if shown is None:
        return "unknown"
    if not shown:
        return "missed"
    return "misled" if closed else "ignored"


def _mean(values: Values, kept: Sequence[str]) -> float | None:
    there = [value for id_ in kept if (value := values.get(id_)) is not None]
    return sum(there) / len(there) if there else None


def _repaired(right: Sequence[str], shown: Mapping[str, bool | None], closed: Values) -> Repaired:
    if not closed:
        return Repaired(None, None, None)
    flags = [shown[id_] for id_ in right if closed.get(id_) == 0]
    return Repaired(with_gold=flags.count(True), without_gold=flags.count(False), unknown=flags.count(None))


def _listed(values: Values, kept: Sequence[str], closed: Values | None, *, role: Any) -> Examples | None:
    """The examples that are wrong by `values`, and right by `closed` where that is asked."""
    if not role:
        return None
    ids = tuple(id_ for id_ in kept if values.get(id_) == 0 and (closed is None or closed.get(id_)))
    return Examples(len(ids), ids)
