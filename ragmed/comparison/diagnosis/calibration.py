"""Log-likelihoods of options in, out: how far an arm's confidence can be trusted, and what abstaining would buy.

The confidence of an answer is its probability among the options: the softmax of the values by which it was chosen,
log-likelihoods divided by their length where the task says so (`normalise`). Then the values are no log-probabilities
of anything, and their softmax is a scale of confidence like any other: what is asked here is what it is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.diagnosis.rows import Bin, Calibration
from ragmed.comparison.diagnosis.same_questions import Settings
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.intervals import MIN_INFORMATIVE, generator, group_sums, informative
from ragmed.comparison.statistics.resampling import Floats
from ragmed.records import Answer

BINS = 10
POINTS = 50
RESAMPLES, FEWEST = 1000, 400
_CELLS = 60_000  # numbers drawn at a time: what stays in a processor's cache
_WORK = 2_000_000  # numbers drawn in all, where that leaves enough draws


def calibration(
    tables: Sequence[TaskTable], found: Mapping[tuple[str, str], Mapping[str, Answer]], *,
    tasks: Settings, settings: ComparisonSettings,
) -> list[Calibration]:  # fmt: skip
    """
        calibration(tables, found, tasks=facts.tasks, settings=settings)[0].ece
        # 0.21

    A row for each arm and task whose samples hold log-likelihoods of their options. Intervals come from 1,000 bootstrap
    draws of whole groups (fewer, and 400 at least, with more than 2,000 examples): percentiles for `aurc`. A resampled
    ECE lies above its original as that lies above the true one, so that of `ece` the percentiles are moved: the upper
    one down by how far the draws lie above the estimate, the lower end is 2e less the upper percentile. It is 0 where
    perfect calibration is not excluded: where the estimate is not above 97.5 % of those without any true gap (the signs
    of the groups' gaps drawn at random). In simulations (60 to 1,000 examples, true ECE 0 to 0.15) it held the true
    value in 92 % of runs or more. None with fewer than ten groups; of `aurc` also where fewer than ten differ from the
    others in whether they are right, since resamples then hold too few distinct outcomes.
    """
    rows = []
    for table in tables:
        normalise = str(tasks.get(table.name, {}).get("normalise") or "none")
        for arm in table.status if table.right_or_wrong else ():
            answers = [found[arm, table.name][id_] for id_ in table.ids]
            answers = [answer for answer in answers if table.right_or_wrong in answer.score.metrics]
            told = [(one, p) for one in answers if (p := probabilities(one, normalise)) is not None]
            if told:
                rows.append(_row(table, arm, told, settings))
    return rows


def probabilities(answer: Answer, normalise: str) -> Floats | None:
    """Softmax over the options; None where the sample has no log-likelihoods, or no lengths to divide them by."""
    sample = answer.sample
    if answer.score.status != "answered" or not sample.option_logprobs:
        return None
    values = np.array(sample.option_logprobs, np.float64)
    if normalise == "tokens":
        if len(sample.option_tokens) != len(values):
            return None
        values /= np.maximum(1, np.array(sample.option_tokens))
    elif normalise == "characters":
        if len(sample.continuations) != len(values):
            return None
        values /= np.maximum(1, np.array([len(text) for text in sample.continuations]))
    weights = np.exp(values - values.max())
    return np.asarray(weights / weights.sum(), np.float64)


def _row(
    table: TaskTable, arm: str, told: Sequence[tuple[Answer, Floats]], settings: ComparisonSettings
) -> Calibration:
    confidence = np.array([p[_place(answer, p)] for answer, p in told])
    right = np.array([answer.score.metrics[table.right_or_wrong] for answer, _ in told], np.float64)
    names = [table.groups[answer.example.id] for answer, _ in told]
    _, group = np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)
    bins = bin_of(confidence)
    ece, aurc = calibration_error(confidence, right), risk_area(confidence, right)
    ece_ci = aurc_ci = None
    sums, sizes = group_sums(right, names)
    if len(sums) >= MIN_INFORMATIVE:
        draws = _draws(confidence, right, group, generator(settings.seed, "calibration", table.name, arm), settings)
        high, mean, null = float(np.quantile(draws[0], 0.975)), float(draws[0].mean()), np.quantile(draws[2], 0.975)
        low = 0.0 if ece <= null else max(0.0, 2 * ece - high)
        ece_ci = min(ece, low), min(1.0, max(ece, ece + high - mean))
        if informative(sums / sizes) >= MIN_INFORMATIVE:
            low, high = (float(q) for q in np.quantile(draws[1], [0.025, 0.975]))
            aurc_ci = min(aurc, low), max(aurc, high)
    return Calibration(
        arm, table.name, len(told), ece=ece, ece_ci=ece_ci, brier=_brier(told), aurc=aurc, aurc_ci=aurc_ci,
        bins=tuple(_bin(place, confidence[bins == place], right[bins == place]) for place in range(BINS)),
        curve=risk_curve(confidence, right),
    )  # fmt: skip


def _bin(place: int, confidence: Floats, right: Floats) -> Bin:
    some = len(right) > 0
    return Bin(
        place / BINS, (place + 1) / BINS, len(right), confidence=float(confidence.mean()) if some else None,
        right=float(right.mean()) if some else None,
    )  # fmt: skip


def _place(answer: Answer, p: Floats) -> int:
    """The option that was chosen."""
    chosen = _option(answer.score.value, answer, p)
    return int(p.argmax()) if chosen is None else chosen


def _option(letter: object, answer: Answer, p: Floats) -> int | None:
    letters = list(answer.example.options)
    return letters.index(letter) if letter in letters and len(letters) == len(p) else None


def _brier(told: Sequence[tuple[Answer, Floats]]) -> float | None:
    """Mean squared distance from certainty in the right option, summed over the options (Brier 1950): 0 to 2.

    None where a gold answer is no letter of an option.
    """
    scores = []
    for answer, p in told:
        gold = _option(answer.example.gold, answer, p)
        if gold is None:
            return None
        scores.append(float(((p - (np.arange(len(p)) == gold)) ** 2).sum()))
    return sum(scores) / len(scores)


def bin_of(confidence: Floats) -> NDArray[np.int64]:
    """
    >>> bin_of(np.array([0.0, 0.1, 0.11, 1.0])).tolist()
    [0, 0, 1, 9]

    Ten bins of equal width, each with its upper bound (Guo et al. 2017, arXiv 1706.04599, section 2).
    """
    upper = np.ceil(np.round(confidence * BINS, 9))  # 0.3 * 10 is a little more than 3
    return np.asarray(np.clip(upper - 1, 0, BINS - 1), np.int64)


def calibration_error(confidence: Floats, right: Floats) -> float:
    """
    >>> round(calibration_error(np.array([0.95, 0.95, 0.55]), np.array([1.0, 0.0, 1.0])), 4)
    0.45

    Expected calibration error: over the bins, the distance of mean confidence from the share of right answers, weighted
    by their counts.
    """
    gaps = np.bincount(bin_of(confidence), weights=confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))


def risk_area(confidence: Floats, right: Floats) -> float:
    """
    >>> risk_area(np.array([0.9, 0.8, 0.7]), np.array([1.0, 0.0, 1.0]))
    0.27777777777777773

    Area under the risk-coverage curve: the mean, over all n coverages, of the share of errors among the most confident
    (Geifman and El-Yaniv 2017, arXiv 1705.08500; area: arXiv 1805.08206, section 3). Where several are equally
    confident, the mean over all their orders.
    """
    errors, sizes = _blocks(confidence, right)
    ones = np.ones((1, len(right)))
    return float(_areas(errors, sizes, ones)[0])


def _blocks(confidence: Floats, right: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The order of falling confidence and the starts of its ties, and the errors in that order."""
    falling = np.argsort(-np.round(confidence, 12), kind="stable")
    ranked = np.round(confidence, 12)[falling]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    return np.stack([falling, np.searchsorted(starts, np.arange(len(falling)), "right") - 1]), 1.0 - right[falling]


def _areas(blocks: NDArray[np.int64], errors: Floats, counts: Floats) -> Floats:
    """The area for each row of `counts` (how often each example, in the order of confidence, was drawn).

    A block of equal confidence with w examples and e errors after W with E: position W + j has the expected errors
    E + j e / w, so that the sum of risks over the block is e + (E - W e / w) (H(W + w) - H(W)), H harmonic numbers.
    """
    ties = blocks[1]
    starts = np.flatnonzero(np.r_[True, ties[1:] != ties[:-1]])
    single = len(starts) == len(ties)
    size = counts if single else np.add.reduceat(counts, starts, axis=1)
    wrong = counts * errors if single else np.add.reduceat(counts * errors, starts, axis=1)
    above = np.cumsum(size, axis=1)
    failed = np.cumsum(wrong, axis=1) - wrong
    harmonic = np.r_[0.0, np.cumsum(1.0 / np.arange(1, int(above[:, -1].max()) + 1))]
    rate = errors[None, :] if single else np.divide(wrong, size, out=np.zeros_like(wrong), where=size > 0)
    steps = np.diff(harmonic[above.astype(np.int32)], axis=1, prepend=0.0)
    return np.asarray((wrong + (failed - (above - size) * rate) * steps).sum(axis=1) / above[:, -1], np.float64)


def risk_curve(confidence: Floats, right: Floats) -> tuple[tuple[float, float], ...]:
    """(coverage, risk) at up to 50 coverages, the last of them 1; ties as in `risk_area`."""
    blocks, errors = _blocks(confidence, right)
    n, ties = len(errors), blocks[1]
    starts = np.flatnonzero(np.r_[True, ties[1:] != ties[:-1]])
    rates = np.add.reduceat(errors, starts) / np.diff(np.r_[starts, n])
    expected = np.cumsum(rates[ties])
    places = np.unique(np.ceil(np.arange(1, min(POINTS, n) + 1) * n / min(POINTS, n)).astype(int))
    return tuple((float(place / n), float(expected[place - 1] / place)) for place in places)


def _draws(
    confidence: Floats, right: Floats, group: NDArray[np.int64], rng: np.random.Generator, settings: ComparisonSettings
) -> Floats:
    """ECE and area of bootstrap draws of whole groups, and ECE without any true gap: (3, draws)."""
    groups, n = int(group.max()) + 1, len(right)
    draws = min(settings.resamples, max(FEWEST, min(RESAMPLES, _WORK // n)))
    gaps = np.zeros((groups, BINS))
    np.add.at(gaps, (group, bin_of(confidence)), confidence - right)
    blocks, errors = _blocks(confidence, right)
    where = group[blocks[0]]
    sizes = np.bincount(group, minlength=groups)
    found = np.empty((3, draws))
    step = max(1, _CELLS // n)
    for start in range(0, draws, step):
        count = min(step, draws - start)
        picks = rng.integers(0, groups, size=(count, groups)) + np.arange(count)[:, None] * groups
        times = np.bincount(picks.ravel(), minlength=count * groups).reshape(count, groups).astype(np.float64)
        found[0, start : start + count] = np.abs(times @ gaps).sum(axis=1) / (times @ sizes)
        found[1, start : start + count] = _areas(blocks, errors, times[:, where])
        signs = 2.0 * rng.integers(0, 2, size=(count, groups), dtype=np.int8) - 1.0
        found[2, start : start + count] = np.abs(signs @ gaps).sum(axis=1) / n
    return found
