"""Arms of a task in, groups of arms that cannot be told apart out: what a ranking may claim, and no more."""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import combinations

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.completeness import Reasons
from ragmed.comparison.contrasts import contrast
from ragmed.comparison.rows import Alike, Score
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.verdicts import conclude

MOST_ARMS = 10
"""Beyond so many arms there are more than 45 pairs, each with its own resamples: they are not grouped."""


def alike(
    tables: Sequence[TaskTable], scores: Sequence[Score], settings: ComparisonSettings, *,
    reasons: Reasons, strict: Sequence[TaskTable] = (),
) -> tuple[list[Alike], list[str]]:  # fmt: skip
    """
        alike(tables, scores, settings, reasons=Reasons(settings, {}))[0][0].groups
        # (('rag', 'both'), ('general', 'tuned'))

    For each task with three arms or more, by its primary metric: the largest sets of arms no two of which are told
    apart, the best first. Two arms are told apart where their contrast is `better` or `worse`, adjusted over all pairs
    of the task, and are so in the `strict` table of the task too, where there is one: that in which an answer that
    could not be read counts as wrong, as every claim is held to it. A pair without a verdict is not told apart. An arm
    may stand in two groups: then it is told apart from neither. Also notes on tasks with too many arms.
    """
    held = {table.name: table for table in strict}
    rows, notes = [], []
    for table in tables:
        values = {row.arm: row.value for row in scores if row.task == table.name and row.primary}
        if not table.primary or table.metrics[table.primary].higher_is_better is None:
            continue
        sign = 1 if table.metrics[table.primary].higher_is_better is False else -1
        arms = sorted((a for a, value in values.items() if value is not None), key=lambda a: sign * (values[a] or 0))
        if len(arms) > MOST_ARMS:
            notes.append(f"{table.name}: {len(arms)} arms are too many to be grouped by what can be told apart.")
        elif len(arms) > 2:
            apart = _apart(table, arms, settings, reasons)
            if table.name in held:
                apart &= _apart(held[table.name], arms, settings, reasons)
            rows.append(Alike(table.name, table.primary, cliques(arms, apart)))
    return rows, notes


def _apart(
    table: TaskTable, arms: Sequence[str], settings: ComparisonSettings, reasons: Reasons
) -> set[frozenset[str]]:
    pairs = list(combinations(arms, 2))
    rows = [
        contrast(table, pair, table.primary, settings, family=len(pairs), reason=reasons.why(table, pair))
        for pair in pairs
    ]
    concluded = conclude([(f"'{row.arm}' against '{row.baseline}'", True, row) for row in rows], settings)
    return {frozenset((row.baseline, row.arm)) for row in concluded if row.verdict in ("better", "worse")}


def cliques(names: Sequence[str], apart: Set[frozenset[str]]) -> tuple[tuple[str, ...], ...]:
    """
    >>> cliques("abc", {frozenset("ac")})
    (('a', 'b'), ('b', 'c'))

    The largest sets of names no two of which are `apart`, in the order of the names: Bron and Kerbosch, Commun. ACM
    1973;16:575-577, with a pivot.
    """
    near = {one: {other for other in names if other != one and frozenset((one, other)) not in apart} for one in names}
    found: list[tuple[str, ...]] = []

    def extend(chosen: frozenset[str], candidates: set[str], seen: set[str]) -> None:
        if not candidates and not seen:
            found.append(tuple(name for name in names if name in chosen))
            return
        pivot = max(candidates | seen, key=lambda name: len(near[name] & candidates))
        for name in sorted(candidates - near[pivot], key=list(names).index):
            extend(chosen | {name}, candidates & near[name], seen & near[name])
            candidates = candidates - {name}
            seen = seen | {name}

    extend(frozenset(), set(names), set())
    return tuple(sorted(found, key=lambda group: [list(names).index(name) for name in group]))
