"""Measured scores and the names of models in, published figures beside them out. Nothing is tested here: published
numbers come without samples, so that there is nothing to pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.comparison.rows import Published, Score, SuiteTotal
from ragmed.published import find_suite


def beside_published(
    scores: Sequence[Score], arms: Mapping[str, Mapping[str, Any]], tasks: Mapping[str, Mapping[str, Any]],
    suites: Sequence[str],
) -> list[Published]:  # fmt: skip
    """
        beside_published(results.scores, facts.arms, facts.tasks, ["clue"])[0].published

    A row for each closed-book arm whose model a suite has figures of, for each of its tasks and metrics that was
    measured or published. `tasks`: a task of another name counts as the one that it asks (`task: mednli`). `arms`: with
    `model_name`, the model's full name.
    """
    measured = {(row.arm, row.task, row.metric): row for row in scores}
    rows = []
    for name in suites:
        suite = find_suite(name)
        for arm, about in arms.items():
            model = suite.model_of(str(about.get("model_name", ""))) if about.get("context", "none") == "none" else ""
            figures = suite.figures(model) if model else {}
            for task, settings in tasks.items():
                known = settings.get("task") or task
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


def _holds(row: Score | None, figure: float) -> bool | None:
    return None if row is None or row.ci is None else row.ci[0] <= figure <= row.ci[1]


def suite_totals(
    scores: Sequence[Score], arms: Mapping[str, Mapping[str, Any]], suites: Sequence[str]
) -> list[SuiteTotal]:
    """The totals of every arm that measured a task of a level, with those published of its model where it is closed
    book. A total lacks its value, and says what is missing, where a score that it is made of is not there.
    """
    rows = []
    for name in suites:
        suite = find_suite(name)
        for arm in dict.fromkeys(row.arm for row in scores):
            found = {(r.task, r.metric): r.value for r in scores if r.arm == arm and r.value is not None}
            about = arms.get(arm, {})
            model = suite.model_of(str(about.get("model_name", ""))) if about.get("context", "none") == "none" else ""
            published = suite.totals(suite.figures(model)) if model else {}
            for level, groups in suite.levels.items():
                if not any(key in found for keys in groups.values() for key in keys):
                    continue
                missing = tuple(f"{metric} of {task}" for task, metric in suite.missing(found, level))
                rows.append(SuiteTotal(name, level, arm, suite.totals(found)[level], published.get(level), missing))
    return rows
