"""Differences of one pair of arms on several tasks in, one overall difference with its heterogeneity out.

Tasks are taken for a sample of the tasks that might have been asked: the true differences vary from task to task
(random effects), so that a mean of means, which knows only the spread within tasks, would claim too much.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.rows import Contrast, Overall
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.bootstrap import LEVEL, Interval, Z
from ragmed.comparison.statistics.differences import Difference, equivalence
from ragmed.comparison.statistics.root_finding import root
from ragmed.comparison.verdicts import conclude, fields_of

Question = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Pooled:
    """
    >>> round(pooled([0.1, 0.3], [0.05, 0.05]).difference, 3)
    0.2

    The mean of the true differences and its standard error, from `k` tasks. `tau`: standard deviation of the true
    differences between tasks. `q`, `q_p`: Cochran's test that they are all equal; `i2`: the share of the variation
    between the observed differences that is not sampling error (Higgins and Thompson 2002).
    """

    difference: float
    error: float
    k: int
    tau: float
    q: float
    q_p: float
    i2: float
    method: str = "hartung-knapp"

    @property
    def interval(self) -> Interval:
        return self._reaching(self.error, self.k - 1)

    @property
    def prediction(self) -> Interval | None:
        """Where the true difference of one further task lies (Higgins, Thompson and Spiegelhalter, J. R. Stat. Soc. A
        2009;172:137-159); None for two tasks, which say too little of how tasks vary."""
        return self._reaching(math.hypot(self.tau, self.error), self.k - 2) if self.k > 2 else None

    def _reaching(self, error: float, freedom: int) -> Interval:
        from scipy.special import stdtrit

        reach = float(stdtrit(freedom, 0.5 + LEVEL / 2)) * error
        return self.difference - reach, self.difference + reach

    @property
    def p(self) -> float:
        return min(1.0, 2 * self._tail(-abs(self.difference)))

    def at_most(self, bound: float) -> float:
        return self._tail(bound - self.difference)

    def at_least(self, bound: float) -> float:
        return self._tail(self.difference - bound)

    def _tail(self, distance: float) -> float:
        from scipy.special import stdtr

        return max(float(stdtr(self.k - 1, distance / self.error)), sys.float_info.min)


def pooled(differences: Sequence[float], errors: Sequence[float]) -> Pooled:
    """Random effects over at least two tasks; `errors`: standard errors, greater than 0.

    Variance between tasks: Paule and Mandel (J. Res. Natl. Bur. Stand. 1982;87:377-385). Standard error of the mean:
    Hartung and Knapp (Stat. Med. 2001;20:3875-3889) with Student's t for k - 1, never less than that of the weights
    alone (the factor is at least 1: Röver, Knapp and Friede, BMC Med. Res. Methodol. 2015;15:99), so that differences
    that happen to be equal do not make it 0. With Paule and Mandel's variance the factor is then always 1.
    """
    from scipy.special import chdtrc

    k, squares = len(differences), [error**2 for error in errors]

    def weighted(between: float) -> tuple[float, float, float]:
        """Mean, sum of the weights, and weighted sum of squares about the mean."""
        weights = [1 / (square + between) for square in squares]
        total = sum(weights)
        mean = sum(w * d for w, d in zip(weights, differences, strict=True)) / total
        return mean, total, sum(w * (d - mean) ** 2 for w, d in zip(weights, differences, strict=True))

    q = weighted(0.0)[2]
    between = _between(lambda value: weighted(value)[2] - (k - 1)) if q > k - 1 else 0.0
    mean, total, spread = weighted(between)
    factor = max(1.0, spread / (k - 1))
    return Pooled(
        difference=mean, error=math.sqrt(factor / total), k=k, tau=math.sqrt(between), q=q,
        q_p=float(chdtrc(k - 1, q)), i2=max(0.0, (q - (k - 1)) / q) if q > 0 else 0.0,
    )  # fmt: skip


def _between(excess: Callable[[float], float]) -> float:
    """The variance between tasks at which the weighted sum of squares is what it must be on average."""
    high = 1e-6
    while excess(high) > 0:
        high *= 4
    return root(excess, 0.0, high)


def overall(
    contrasts: Sequence[Contrast], *, settings: ComparisonSettings, same: Mapping[str, str],
    tables: Sequence[TaskTable] = (),
) -> tuple[list[Overall], list[str]]:  # fmt: skip
    """
        overall(results.contrasts, settings=settings, same={})[0][0].difference
        # 0.041

    A row for every pair of arms and metric that at least two tasks have a difference of, and notes on what was left
    out. `same`: task -> what it asks, where several tasks ask the same questions in several ways; `tables`: the tasks'
    examples (see `questions`). A task most of whose questions a larger one asks too (of one size: one whose name comes
    first) is left out, whatever the order in which the tasks come. A task's standard error is the width of its 95 %
    interval by 2 * 1.96, which is never 0, not even where no two answers differ. Adjusted p are over all rows by
    metrics that are primary in all their tasks, a family of its own.
    """
    asked = {table.name: questions(table) for table in tables} if len(tables) > 1 else {}  # one repeats none
    sets: dict[tuple[str, str, str], list[Contrast]] = {}
    for row in contrasts:
        sets.setdefault((row.metric, row.baseline, row.arm), []).append(row)
    rows, notes = [], []
    for (metric, baseline, arm), given in sets.items():
        used, said = _usable(given, same, asked)
        if len(given) > 1:
            notes += [f"overall, {arm} against {baseline} by {metric}: {words}" for words in said]
        if len(used) > 1:
            rows.append(_row(metric, used, settings))
    named = [(f"the overall difference of '{r.arm}' and '{r.baseline}' by {r.metric}", r.primary, r) for r in rows]
    return conclude(named, settings), list(dict.fromkeys(notes))


def questions(table: TaskTable) -> frozenset[Question]:
    """
    >>> len(questions(build_tables(samples, policy)[0]))  # doctest: +SKIP
    48

    What tells the questions of a task from those of others. An id alone does not: many sets count from 0. So an id
    with its options (where they are not the same for all), its group and its gold documents; where there are none of
    these, with its prompts. Empty for a task of which nothing but ids is known.
    """
    choices = {id_: tuple(sorted(table.examples[id_].options.values())) for id_ in table.ids}
    told = len(set(choices.values())) > 1
    found = []
    for id_ in table.ids:
        one = table.examples[id_]
        marks = (*(choices[id_] if told else ()), one.group, *sorted(one.documents))
        if not any(marks):
            marks = tuple(
                sorted({m.content for given in table.answers.values() for m in given[id_].sample.messages[-1:]})
            )
        found += [(id_, marks)] if any(marks) else []
    return frozenset(found)


def _usable(
    given: Sequence[Contrast], same: Mapping[str, str], asked: Mapping[str, frozenset[Question]]
) -> tuple[list[Contrast], list[str]]:
    used: dict[str, Contrast] = {}
    said = []
    for row in sorted(given, key=lambda one: (-len(asked.get(one.task, ())), one.task)):
        name = row.task
        mine = asked.get(name, frozenset())
        twins = (
            other
            for other in used
            if (same.get(name) or name) == (same.get(other) or other)
            or 2 * len(mine & asked.get(other, frozenset())) > len(mine) > 0
        )
        if row.reason:
            said.append(f"{name} is left out, because {row.reason}.")
        elif row.unit != given[0].unit:
            said.append(f"{name} is left out, because its {row.metric} is in {row.unit or 'a scale of its own'}.")
        elif row.ci is None:
            said.append(f"{name} is left out, because no example has a score in both arms.")
        elif (twin := next(twins, None)) is not None:
            said.append(f"{name} is left out, because it asks the questions of {twin} again.")
        else:
            used[name] = row
    return [used[name] for name in sorted(used)], said


def _row(metric: str, used: Sequence[Contrast], settings: ComparisonSettings) -> Overall:
    known = [(row.difference, row.ci) for row in used if row.difference is not None and row.ci is not None]
    found = pooled([difference for difference, _ in known], [(high - low) / (2 * Z) for _, (low, high) in known])
    tests, first = equivalence(found, settings.margin), used[0]
    not_worse = found.at_least(settings.margin) if first.higher_is_better is False else tests["noninferiority"]
    difference = Difference(
        found.difference, found.interval, found.method, test="hartung-knapp-t", p=found.p,
        equivalence=tests["equivalence"], noninferiority=not_worse,
    )  # fmt: skip
    return Overall(
        metric=metric, baseline=first.baseline, arm=first.arm, tasks=tuple(row.task for row in used), k=found.k,
        **fields_of(difference, settings), prediction=found.prediction, tau=found.tau, i2=found.i2, q=found.q,
        q_p=found.q_p, higher_is_better=first.higher_is_better, primary=all(row.primary for row in used),
        corpora=first.corpora, unit=first.unit,
    )  # fmt: skip
