"""How good retrieval was, and what it did to the answers: passages shown and gold documents in, rows out."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragmed.comparison.bootstrap import Interval
from ragmed.comparison.columns import TaskTable
from ragmed.comparison.gold import gold_shown, ranked_documents, tells_gold
from ragmed.comparison.intervals import wilson
from ragmed.comparison.paired import is_binary
from ragmed.comparison.resampling import Floats
from ragmed.comparison.settings import ComparisonSettings
from ragmed.metrics.retrieval import hit, ndcg, recall, reciprocal_rank
from ragmed.records import Sample

Row = dict[str, Any]
_LEAST_GROUPS = 5
"""Groups on either side below which a cluster-robust standard error is not believed."""


def ranking(
    tables: Sequence[TaskTable], found: Mapping[tuple[str, str], Mapping[str, Sample]], *,
    arms: Mapping[str, Mapping[str, Any]], settings: ComparisonSettings,
) -> list[Row]:  # fmt: skip
    """
    >>> ranking(tables, found, arms=facts.arms, settings=settings)[0]["recall"]  # doctest: +SKIP
    0.81

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
                row = _row(table, arm, metric, found[arm, table.name], k=int(about.get("k") or 0), settings=settings)
                rows += [row] if row else []
    return rows


def _row(
    table: TaskTable, arm: str, metric: str, samples: Mapping[str, Sample], *, k: int, settings: ComparisonSettings
) -> Row | None:
    tells = tells_gold(samples.values())
    shown = {id_: gold_shown(samples[id_], tells=tells) for id_ in table.ids}
    told = [id_ for id_ in table.ids if shown[id_] is not None]
    if not told:
        return None
    k = k or max((len(samples[id_].passages) for id_ in told), default=0) or 1
    measured = [_measures(samples[id_], k) for id_ in told]
    row: Row = {"arm": arm, "task": table.name, "k": k, "n": len(told), "without_gold": len(table.ids) - len(told)}
    for name in ("ndcg", "recall", "mrr", "hit"):
        values = [one[name] for one in measured]
        known = [value for value in values if value is not None]
        row[name] = sum(known) / len(known) if len(known) == len(values) else None
    return row | {"metric": metric, **_link(table, arm, metric, {id_: bool(shown[id_]) for id_ in told}, settings)}


def _measures(sample: Sample, k: int) -> dict[str, float | None]:
    """`ndcg` and `recall` are None where only what was shown tells of gold documents, not how many there are."""
    ranked, gold = ranked_documents(sample)
    unseen = len(set(sample.documents) - {document for document, right in gold.items() if right})
    found = _measured(tuple(gold[document] for document in ranked), unseen, k)
    return found if sample.documents else {**found, "ndcg": None, "recall": None}


@functools.lru_cache(maxsize=4096)
def _measured(right: tuple[bool, ...], unseen: int, k: int) -> dict[str, float | None]:
    """The measures of a ranking by what they depend on: which places hold gold documents, and how many others exist."""
    ranked = [str(place) for place in range(len(right))]
    relevant = {name: 1 for name, gold in zip(ranked, right, strict=True) if gold} | {f"+{i}": 1 for i in range(unseen)}
    measures = {"ndcg": ndcg, "recall": recall, "mrr": reciprocal_rank, "hit": hit}
    return {name: measure(ranked, relevant, k=k) for name, measure in measures.items()}


def _link(
    table: TaskTable, arm: str, metric: str, shown: Mapping[str, bool], settings: ComparisonSettings
) -> dict[str, Any]:
    column = table.columns[arm, metric].values
    kept = [(id_, value) for id_ in shown if (value := column[id_]) is not None]
    where = np.array([shown[id_] for id_, _ in kept], bool)
    values = np.array([value for _, value in kept], np.float64)
    sides = {"found": values[where], "missed": values[~where]}
    row: Row = {
        name: {"n": len(side), "value": float(side.mean()) if len(side) else None} for name, side in sides.items()
    }
    row |= {"difference": None, "ci": None, "p": None, "test": "none"}
    if not len(sides["found"]) or not len(sides["missed"]):
        return row
    row["difference"] = row["found"]["value"] - row["missed"]["value"]
    groups = [table.groups[id_] for id_, _ in kept]
    if is_binary(metric, values, settings) and len(set(groups)) == len(groups):
        counts = [(int(side.sum()), len(side)) for side in sides.values()]
        return row | {"ci": list(newcombe(*counts)), "p": fisher(*counts), "test": "fisher-exact"}
    robust = clustered(values, where, groups)
    return row | ({} if robust is None else {"ci": list(robust[0]), "p": robust[1], "test": "cluster-robust-t"})


def newcombe(one: tuple[int, int], other: tuple[int, int]) -> Interval:
    """>>> [round(x, 4) for x in newcombe((56, 70), (48, 80))]
    [0.0524, 0.3339]

    95 % interval of the difference of two independent shares, (successes, n) each, from their Wilson intervals.
    """
    (p, low, high), (q, bottom, top) = ((s / n, *wilson(s, n)) for s, n in (one, other))
    return (
        p - q - math.sqrt((p - low) ** 2 + (top - q) ** 2),
        p - q + math.sqrt((high - p) ** 2 + (q - bottom) ** 2),
    )


def fisher(one: tuple[int, int], other: tuple[int, int]) -> float:
    """>>> round(fisher((8, 10), (1, 6)), 6)
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
