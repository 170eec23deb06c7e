"""How good a ranking is: ranked document ids and the relevant ones in, a fraction out, by trec_eval's conventions.

    relevant    document -> relevance (a qrels line); relevant is what has 1 or more, all else is as if not judged
    gain        the relevance itself, not 2^relevance - 1 (trec_eval's ndcg_cut, m_ndcg_cut.c); discount log2(rank + 1)
    ideal       all relevant documents of the query, best first, cut at k, found or not
    recall      over all relevant documents of the query, also where there are more than k
    ties        none: the list is the ranking. trec_eval sorts equal scores by document id, so that a run for it needs
                distinct scores to mean this list
    no relevant document   0.0, as trec_eval has it. Such a query says nothing: a mean leaves it out, and says how many

Sources: trec_eval 9 (github.com/usnistgov/trec_eval) through ir_measures (ir-measur.es): nDCG@k, R@k, P@k, Success@k,
RR; Järvelin and Kekäläinen 2002 (10.1145/582415.582418) for nDCG with this gain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ragmed.errors import UsageError


def ndcg(ranked: Sequence[str], relevant: Mapping[str, int], *, k: int) -> float:
    """
    >>> round(ndcg(["a", "b", "c"], {"b": 1}, k=10), 4)
    0.6309

    Normalised discounted cumulative gain of the first k. UsageError for k < 1 or an id that is ranked twice.
    """
    top = _top(ranked, k)
    ideal = _gain(sorted((grade for grade in relevant.values() if grade > 0), reverse=True)[:k])
    return _gain([relevant.get(document, 0) for document in top]) / ideal if ideal else 0.0


def recall(ranked: Sequence[str], relevant: Mapping[str, int], *, k: int) -> float:
    """
    >>> recall(["a", "b", "c"], {"b": 1, "z": 1}, k=10)
    0.5

    The part of the relevant documents that is among the first k. UsageError as for `ndcg`.
    """
    wanted = _relevant(relevant)
    hits = wanted.intersection(_top(ranked, k))
    return len(hits) / len(wanted) if wanted else 0.0


def precision(ranked: Sequence[str], relevant: Mapping[str, int], *, k: int) -> float:
    """
    >>> precision(["a", "b", "c"], {"b": 1}, k=10)
    0.1

    How many of the first k are relevant, over k, also where fewer were found. UsageError as for `ndcg`.
    """
    return len(_relevant(relevant).intersection(_top(ranked, k))) / k


def hit(ranked: Sequence[str], relevant: Mapping[str, int], *, k: int) -> float:
    """
    >>> hit(["a", "b", "c"], {"c": 1}, k=2)
    0.0

    1.0 where a relevant document is among the first k (success@k), else 0.0. UsageError as for `ndcg`.
    """
    return float(not _relevant(relevant).isdisjoint(_top(ranked, k)))


def reciprocal_rank(ranked: Sequence[str], relevant: Mapping[str, int], *, k: int) -> float:
    """
    >>> reciprocal_rank(["a", "b", "c"], {"b": 1, "c": 1}, k=10)
    0.5

    One over the rank of the first relevant document, 0.0 where none is among the first k. UsageError as for `ndcg`.
    """
    wanted = _relevant(relevant)
    ranks = (rank for rank, document in enumerate(_top(ranked, k), 1) if document in wanted)
    return 1.0 / next(ranks, math.inf)


def _top(ranked: Sequence[str], k: int) -> Sequence[str]:
    if k < 1:
        raise UsageError(f"k must be at least 1, found {k}")
    if len(set(ranked)) != len(ranked):
        raise UsageError("a document is ranked twice: keep the best passage of each document before measuring")
    return ranked[:k]


def _relevant(relevant: Mapping[str, int]) -> set[str]:
    return {document for document, grade in relevant.items() if grade > 0}


def _gain(grades: Sequence[int]) -> float:
    return sum(max(grade, 0) / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))
