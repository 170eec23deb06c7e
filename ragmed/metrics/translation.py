"""BLEU and chrF, by the package sacrebleu: answers and references in, counts of common n-grams out.

    bleu   n-grams of 1 to 4 words (tokenised as "13a"), with a penalty for brevity; sacrebleu's corpus BLEU with its
           default smoothing (Papineni et al. 2002; Post 2018, arXiv 1804.08771)
    chrf   n-grams of 1 to 6 characters, recall weighing twice as much: chrF2 (Popović 2015, W15-3049)

Both are made of the counts of all answers together, as they were meant to be: neither is a mean of answers' scores, and
intervals resample the counts. Fractions, where sacrebleu writes 0 to 100. Of several references each n-gram counts in
any of them (bleu), or the best one counts (chrf). What was not answered counts as an empty text.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.gold import accepted

Floats = NDArray[np.float64]
ORDERS = 4
CHARACTERS, BETA = 6, 2


def bleu(sums: Floats) -> Floats:
    """
    >>> float(bleu(np.array([4, 5, 4, 3, 2, 1, 4, 3, 2, 1])).round(4))
    0.7788

    Sums [..., 10] of words answered, words of the reference, n-grams in common and n-grams answered -> [...].
    """
    sums = np.asarray(sums, np.float64)
    answered, wanted = sums[..., 0], sums[..., 1]
    common, all_ = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS :]
    halvings = np.cumsum((common == 0) & (all_ > 0), axis=-1)  # of an order without a match, twice as often each time
    some = np.maximum(all_, 1)
    precision = np.where(all_ == 0, 0.0, np.where(common == 0, 0.5**halvings / some, common / some))
    short = np.exp(np.minimum(0.0, 1 - wanted / np.maximum(answered, 1e-300)))
    found = short * np.prod(precision, axis=-1) ** (1 / ORDERS)
    return np.where((common > 0).any(axis=-1), found, 0.0)


def chrf(sums: Floats) -> Floats:
    """
    >>> float(chrf(np.array([3, 3, 3, 2, 2, 2, 1, 1, 1] + [0] * 9)))
    1.0

    Sums [..., 18] of n-grams answered, of the reference and in common, for each length -> [...].
    """
    answered, wanted, common = np.moveaxis(np.asarray(sums, np.float64).reshape(*np.shape(sums)[:-1], -1, 3), -1, 0)
    counts = (answered > 0) & (wanted > 0)
    orders = np.maximum(counts.sum(axis=-1), 1)
    precision, recall = (
        np.where(counts, common / np.maximum(side, 1), 0.0).sum(axis=-1) / orders for side in (answered, wanted)
    )
    both = BETA**2 * precision + recall
    return np.where(both > 0, (1 + BETA**2) * precision * recall / np.where(both > 0, both, 1.0), 0.0)


@functools.cache
def _package(name: str) -> Any:
    from sacrebleu.metrics import BLEU, CHRF  # type: ignore[attr-defined]

    return BLEU(force=True) if name == "bleu" else CHRF(char_order=CHARACTERS, beta=BETA)


def _metric(name: str, total: Callable[[Floats], Floats]) -> Metric:
    def score(batch: Batch) -> list[tuple[float, ...]]:
        counts = []
        for example, value in batch:
            references = [[text] for text in accepted(example.gold)] or [[""]]
            (found,) = _package(name)._extract_corpus_statistics([value if isinstance(value, str) else ""], references)
            counts.append(tuple(map(float, found)))
        return counts

    return Metric(MetricFacts(name, "ratio"), score, total)


BLEU = _metric("bleu", bleu)
CHRF = _metric("chrf", chrf)
