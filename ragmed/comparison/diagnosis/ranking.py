"""How good retrieval was, and what it did to the answers: passages shown and gold documents in, rows out."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.diagnosis.gold_documents import gold_shown, ranked_documents, tells_gold, tells_passages
from ragmed.comparison.diagnosis.rows import Retrieval, Side
from ragmed.comparison.paired import is_binary
from ragmed.comparison.statistics.bootstrap import Interval
from ragmed.comparison.statistics.intervals import wilson
from ragmed.comparison.statistics.resampling import Floats
from ragmed.metrics.retrieval import hit, ndcg, recall, reciprocal_rank
from ragmed.records import Answer, Sample

_LEAST_GROUPS = 5
"""Groups on either side below which a cluster-robust standard error is not believed."""


def ranking(
    tables: Sequence[TaskTable], found: Mapping[tuple[str, str], Mapping[str, Answer]], *,
    arms: Mapping[str, Mapping[str, Any]],
) -> list[Retrieval]:  # fmt: skip
    """
        ranking(tables, found, arms=facts.arms)[0].recall
        # 0.81

    A row for each retrieved arm and task with gold documents. The ranking is that of documents as they were shown (a
    document by its best passage; what did not fit the budget is not there), cut at the arm's `k`; the measures are
    those of `ragmed.metrics.retrieval`, means over the `n` queries whose gold documents are known. `ndcg` and `recall`
    are None where the samples do not name all gold documents. `without_gold`: queries that say nothing.

    The link: the score where a gold document was shown (`found`) and where none was (`missed`), their difference and
    its interval. Scores of 0 and 1, no group with two examples: Newcombe's interval (Statistics in Medicine 1998;
    17:873-890, method 10) and Fisher's exact test. Otherwise least squares with standard errors robust to groups
    (Liang and Zeger 1986, the correction of Stata and statsmodels) and Student's t with the degrees of freedom of the
    side that has fewer groups, which errs on the wide side. It is an observed difference: questions whose documents are
    hard to find may be hard to answer, too.
    """
    rows = []
    for table in tables:
        for arm, about in arms.items():
            metric = next((m for m in table.metrics if (arm, m) in table.columns), None)
            if about.get("context") == "retrieved" and metric and (arm, table.name) in found:
                samples = {id_: answer.sample for id_, answer in found[arm, table.name].items()}
                if tells_passages(samples.values()):
                    row = _row(table, arm, metric, samples, k=int(about.get("k") or 0))
                    rows += [row] if row else []
    return rows


def _row(table: TaskTable, arm: str, metric: str, samples: Mapping[str, Sample], *, k: int) -> Retrieval | None:
    tells = tells_gold(samples.values())
    shown = {id_: gold_shown(samples[id_], tells=tells) for id_ in table.ids}
    told = [id_ for id_ in table.ids if shown[id_] is not None]
    if not told:
        return None
    k = k or max((len(samples[id_].passages) for id_ in told), default=0) or 1
    measured = [_measures(samples[id_], k) for id_ in told]

    def mean(name: str) -> float | None:
        known = [value for one in measured if (value := one[name]) is not None]
        return sum(known) / len(known) if len(known) == len(measured) else None

    found, missed, link = _link(table, arm, metric, {id_: bool(shown[id_]) for id_ in told})
    return Retrieval(
        arm, table.name, k=k, n=len(told), without_gold=len(table.ids) - len(told), ndcg=mean("ndcg"),
        recall=mean("recall"), mrr=mean("mrr"), hit=mean("hit"), metric=metric, found=found, missed=missed,
        difference=found.value - missed.value if found.value is not None and missed.value is not None else None,
        ci=link.ci, p=link.p, test=link.test,
    )  # fmt: skip


def _measures(sample: Sample, k: int) -> dict[str, float | None]:
    """`ndcg` and `recall` are None where only what was shown tells of gold documents, not how many there are."""
    ranked, gold = ranked_documents(sample)
    unseen = len(set(sample.example.documents) - {document for document, right in gold.items() if right})
    found = _measured(tuple(gold[document] for document in ranked), unseen, k)
    return found if sample.example.documents else {**found, "ndcg": None, "recall": None}


@functools.lru_cache(maxsize=4096)
def _measured(right: tuple[bool, ...], unseen: int, k: int) -> dict[str, float | None]:
    """The measures of a ranking by what they depend on: which places hold gold documents, and how many others exist."""
    ranked = [str(place) for place in range(len(right))]
    relevant = {name: 1 for name, gold in zip(ranked, right, strict=True) if gold} | {f"+{i}": 1 for i in range(unseen)}
    measures = {"ndcg": ndcg, "recall": recall, "mrr": reciprocal_rank, "hit": hit}
    return {name: measure(ranked, relevant, k=k) for name, measure in measures.items()}


@dataclass(frozen=True, slots=True)
class _Link:
    """How the scores where a gold document was shown differ from the others."""

    ci: Interval | None = None
    p: float | None = None
    test: str = "none"


def _link(table: TaskTable, arm: str, metric: str, shown: Mapping[str, bool]) -> tuple[Side, Side, _Link]:
    column = table.columns[arm, metric].values
    kept = [(id_, value) for id_ in shown if isinstance(value := column[id_], int | float)]  # a ratio has no mean
    where = np.array([shown[id_] for id_, _ in kept], bool)
    values = np.array([value for _, value in kept], np.float64)
    sides = (values[where], values[~where])
    found, missed = (Side(len(side), float(side.mean()) if len(side) else None) for side in sides)
    if not found.n or not missed.n:
        return found, missed, _Link()
    groups = [table.groups[id_] for id_, _ in kept]
    if is_binary(table.metrics[metric], values) and len(set(groups)) == len(groups):
        one, other = ((int(side.sum()), len(side)) for side in sides)
        return found, missed, _Link(newcombe(one, other), fisher(one, other), "fisher-exact")
    robust = clustered(values, where, groups)
    return found, missed, _Link() if robust is None else _Link(*robust, "cluster-robust-t")


def newcombe(one: tuple[int, int], other: tuple[int, int]) -> Interval:
    """
    >>> [round(x, 4) for x in newcombe((56, 70), (48, 80))]
    [0.0524, 0.3339]

    95 % interval of the difference of two independent shares, (successes, n) each, from their Wilson intervals.
    """
    (p, low, high), (q, bottom, top) = ((s / n, *wilson(s, n)) for s, n in (one, other))
    return (
        p - q - math.sqrt((p - low) ** 2 + (top - q) ** 2),
        p - q + math.sqrt((high - p) ** 2 + (q - bottom) ** 2),
    )


def fisher(one: tuple[int, int], other: tuple[int, int]) -> float:
    """
    >>> round(fisher((8, 10), (1, 6)), 6)
    0.034965

    Fisher's exact test of two independent shares, two-sided: all tables as likely as the observed one, or less so.
    """
    from scipy.stats import fisher_exact

    return float(fisher_exact([[one[0], one[1] - one[0]], [other[0], other[1] - other[0]]]).pvalue)


def clustered(values: Floats, where: NDArray[np.bool_], groups: Sequence[str]) -> tuple[Interval, float] | None:
    """Interval and p of the difference of two means (`where` against the rest), robust to groups.

    None with fewer than five groups on a side, or where nothing varies within the two: then it cannot be told.
    """
    from scipy.special import stdtr, stdtrit

    names, place = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    count, n = len(names), len(values)
    fewest = min(len(np.unique(place[side])) for side in (where, ~where))
    if fewest < _LEAST_GROUPS:
        return None
    means = np.where(where, values[where].mean(), values[~where].mean())
    pull = (values - means) * np.where(where, 1 / where.sum(), -1 / (~where).sum())
    summed = np.bincount(place, weights=pull, minlength=count)
    variance = float((summed**2).sum()) * count / (count - 1) * (n - 1) / (n - 2)
    if variance <= 1e-18:
        return None
    error, difference = math.sqrt(variance), float(values[where].mean() - values[~where].mean())
    reach = float(stdtrit(fewest - 1, 0.975)) * error
    p = 2 * float(stdtr(fewest - 1, -abs(difference) / error))
    return (difference - reach, difference + reach), p
