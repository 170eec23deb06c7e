"""What an audit found in, every score and every difference with and without the leaked examples out.

An example is leaked where its question or answer was found in what was retrieved from or trained on, by a finding
that counts (a gold document that retrieval is meant to find does not).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.diagnosis.rows import Leakage, LeakageContrast
from ragmed.comparison.paired import difference_of, scored, shared
from ragmed.comparison.rows import Contrast
from ragmed.comparison.settings import ComparisonSettings


def leaked_examples(audit: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """
    >>> leaked_examples({"tasks": [{"task": "q", "examples": [{"example": "1", "findings": [{"counts": True}]}]}]})
    {'q': frozenset({'1'})}

    Task -> the examples with a finding that counts, in any audit; one that was found clean has an empty set.
    """
    found: dict[str, frozenset[str]] = {}
    for task in audit.get("tasks", []):
        leaked = frozenset(
            str(one["example"])
            for one in task.get("examples", [])
            if any(finding.get("counts") for finding in one.get("findings", []))
        )
        found[str(task["task"])] = found.get(str(task["task"]), frozenset()) | leaked
    return found


def leakage(
    tables: Sequence[TaskTable], leaked: Mapping[str, frozenset[str]], settings: ComparisonSettings
) -> list[Leakage]:
    """
        leakage(tables, {"medqa": frozenset({"17"})}, settings)[0].value_without
        # 0.41

    A row for each score of an audited task: on all its examples, on those that are not leaked, on the leaked alone.
    """
    return [
        _score(table, arm, metric, leaked[table.name], settings)
        for table in tables
        if table.name in leaked
        for metric in table.metrics
        for arm in table.status
        if (arm, metric) in table.columns and arm not in settings.baseline_arms
    ]


def _score(table: TaskTable, arm: str, metric: str, leaked: frozenset[str], settings: ComparisonSettings) -> Leakage:
    values = table.columns[arm, metric].values
    kept = [id_ for id_ in table.ids if values[id_] is not None]
    clean = [id_ for id_ in kept if id_ not in leaked]
    alone = np.array([values[id_] for id_ in kept if id_ in leaked], np.float64)
    whole, without = (scored(table, arm, metric, kept=ids, settings=settings) if ids else None for ids in (kept, clean))
    return Leakage(
        table.name, arm, metric, n=len(kept), leaked=len(alone), value=whole.value if whole else None,
        ci=whole.ci if whole else None, value_without=without.value if without else None,
        ci_without=without.ci if without else None, value_leaked=table.value(metric, alone) if len(alone) else None,
    )  # fmt: skip


def leakage_contrasts(
    tables: Sequence[TaskTable], leaked: Mapping[str, frozenset[str]], *,
    contrasts: Sequence[Contrast], settings: ComparisonSettings,
) -> list[LeakageContrast]:  # fmt: skip
    """Each contrast of an audited task with all its examples (as it stands there) and without the leaked ones.

    `p_without` is not adjusted: it says how the one result depends on the leaked examples, and is no further test.
    """
    known = {table.name: table for table in tables}
    rows = []
    for contrast in contrasts:
        if contrast.task not in leaked:
            continue
        table, pair = known[contrast.task], (contrast.baseline, contrast.arm)
        kept, scores = shared(table, pair, contrast.metric)
        clean = np.array([id_ not in leaked[contrast.task] for id_ in kept], bool)
        ids = [id_ for id_, is_clean in zip(kept, clean, strict=True) if is_clean]
        without = difference_of(
            table, contrast.metric, ids, {arm: values[clean] for arm, values in scores.items()},
            sides=(pair[:1], pair[1:]), settings=settings,
        ) if ids else None  # fmt: skip
        rows.append(
            LeakageContrast(
                contrast.task, contrast.metric, *pair, difference=contrast.difference, ci=contrast.ci, p=contrast.p,
                n_without=len(ids), difference_without=without.difference if without else None,
                ci_without=without.ci if without else None, p_without=without.p if without else None,
            )
        )  # fmt: skip
    return rows
