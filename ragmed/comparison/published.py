"""Measured scores and the names of models in, published figures beside them out. Nothing is tested here: published
numbers come without samples, so that there is nothing to pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.comparison.rows import Published, Score, SuiteTotal
from ragmed.published import WITH_RECORD, find_suite


def beside_published(
    scores: Sequence[Score], arms: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, Mapping[str, Any]],
    suites: Sequence[str],
) -> list[Published]:  # fmt: skip
    """
        beside_published(results.scores, facts.arms, facts.tasks, ["clue"])[0].published

    A row for each arm whose model a suite has figures of and that is shown what the published models were shown
    (`_as_published`), for each of its tasks and metrics that was measured or published. `tasks`: a task of another name
    counts as the one that it asks (`task: mednli`). `arms`: with `model_name`, the model's full name.
    """
    measured = {(row.arm, row.task, row.metric): row for row in scores}
    rows = []
    for name in suites:
        suite = find_suite(name)
        for arm, about in arms.items():
            model = suite.model_of(str(about.get("model_name", "")))
            figures = suite.figures(model) if model else {}
            for task, settings in tasks.items():
                known = str(settings.get("task") or task)
                if not _as_published(about, known):
                    continue
                for metric, figure in ((m, value) for (t, m), value in figures.items() if t == known):
                    row = measured.get((arm, task, metric))
                    rows.append(
                        Published(
                            name,
                            arm,
                            model,
                            task,
                            metric,
                            figure,
                            row.value if row else None,
                            row.ci if row else None,
                            _holds(row, figure),
                        )
                    )
    return rows


def _as_published(about: Mapping[str, Any], task: str) -> bool:
    """Whether an arm is shown of a task what the published models were: the record of one that has records, else
    nothing; and whether it answers as they did, at once and in its own words.
    """
    shown = "full" if task in WITH_RECORD else "none"
    return about.get("context", "none") == shown and not about.get("cot") and not about.get("constrained")


def _holds(row: Score | None, figure: float) -> bool | None:
    return None if row is None or row.ci is None else row.ci[0] <= figure <= row.ci[1]


def suite_totals(
    scores: Sequence[Score], arms: Mapping[str, Mapping[str, Any]], suites: Sequence[str]
) -> list[SuiteTotal]:
    """The totals of every arm that measured a task of a level, with those published of its model where it is closed
    book. Its scores on tasks with records are then those of the arm of its model that is shown them, as the published
    models were; that arm has no total of its own. A total lacks its value, and says what is missing, where a score that
    it is made of is not there.
    """
    rows = []
    for name in suites:
        suite = find_suite(name)
        closed = {_model(about) for about in arms.values() if _as_published(about, "")}
        for arm in dict.fromkeys(row.arm for row in scores):
            about = arms.get(arm, {})
            if _as_published(about, WITH_RECORD[0]) and _model(about) in closed:
                continue
            found = _scores_of(arm, scores, arms)
            as_published = _as_published(about, "")
            model = suite.model_of(str(about.get("model_name", ""))) if as_published else ""
            published = suite.totals(suite.figures(model)) if model else {}
            for level, groups in suite.levels.items():
                if not any(key in found for keys in groups.values() for key in keys):
                    continue
                missing = tuple(f"{metric} of {task}" for task, metric in suite.missing(found, level))
                rows.append(SuiteTotal(name, level, arm, suite.totals(found)[level], published.get(level), missing))
    return rows


def _scores_of(
    arm: str, scores: Sequence[Score], arms: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, str], float]:
    """(task, metric) -> what a total of an arm is made of."""
    about = arms.get(arm, {})
    beside = {
        other: told
        for other, told in arms.items()
        if _as_published(about, "") and _as_published(told, WITH_RECORD[0]) and _model(told) == _model(about)
    }
    return {
        (row.task, row.metric): row.value
        for row in scores
        if row.value is not None
        and (row.arm in beside if _as_published(about, "") and row.task in WITH_RECORD else row.arm == arm)
    }


def _model(about: Mapping[str, Any]) -> str:
    return str(about.get("model") or about.get("model_name") or "")
