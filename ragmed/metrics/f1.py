"""Predicted and right labels in, counts of one example out; summed counts in, F1, precision, recall and accuracy out.

Corpus-level metrics: an example has counts and no score of its own; the metric is a function of their sums.

    sets of codes or entities   (tp, fp, fn): predicted and right, predicted and wrong, right and not predicted
    classes                     (tp, fp, fn) of the first class, then of the second, and so on: 3 * classes numbers

Every function of sums takes an array [..., counts] and gives one [...], fractions from 0 to 1. 0 / 0 is 0, as with
scikit-learn's `zero_division=0`: without anything predicted precision is 0, without anything to find recall is 0.

Sources: van Rijsbergen, Information Retrieval (2nd ed. 1979), chapter 7, for F; Manning, Raghavan and Schütze,
Introduction to Information Retrieval (2008), section 13.6, for micro and macro averages; for macro-F1 the mean of the
classes' F1, not the F1 of mean precision and recall (Opitz and Burst, arXiv:1911.03347), as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from ragmed.errors import UsageError

Floats = NDArray[np.float64]


def set_counts(predicted: Collection[str], gold: Collection[str]) -> tuple[int, int, int]:
    """
    >>> set_counts(["I10", "E11.9", "I10"], ["I10", "J45.9"])
    (1, 1, 1)

    (tp, fp, fn) of one example, each label counted once. A single label may stand as a plain string. Labels are equal
    where their text is: spelling is for whoever reads the answer.
    """
    answered, right = _labels(predicted), _labels(gold)
    return len(answered & right), len(answered - right), len(right - answered)


def micro_f1(sums: Floats) -> Floats:
    """
    >>> float(micro_f1(np.array([6, 2, 4])))
    0.6666666666666666

    2 tp / (2 tp + fp + fn) of counts that `set_counts` gives: every label weighs the same, whatever example it is of.
    """
    tp, fp, fn = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def micro_precision(sums: Floats) -> Floats:
    """
    >>> float(micro_precision(np.array([6, 2, 4])))
    0.75

    tp / (tp + fp): the share of what is predicted that is right.
    """
    tp, fp, _ = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    return _ratio(tp, tp + fp)


def micro_recall(sums: Floats) -> Floats:
    """
    >>> float(micro_recall(np.array([6, 2, 4])))
    0.6

    tp / (tp + fn): the share of what is right that is predicted.
    """
    tp, _, fn = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    return _ratio(tp, tp + fn)


def class_counts(
    predicted: str | Collection[str], gold: str | Collection[str], *, classes: Sequence[str]
) -> tuple[int, ...]:
    """
    >>> class_counts("no", "yes", classes=["yes", "no", "maybe"])
    (0, 0, 1, 0, 1, 0, 0, 0, 0)

    3 * len(classes) counts of one example, with one label or with several. A predicted label that is none of the
    classes, or none at all (an empty collection), is a wrong prediction of no class: a miss of what is right. Raises
    UsageError for a right label that is none of the classes, and for a class that is named twice.
    """
    answered, right = _labels(predicted), _labels(gold)
    if len(set(classes)) != len(classes):
        raise UsageError(f"a class is named twice in {list(classes)}; name each once")
    if unknown := sorted(right.difference(classes)):
        raise UsageError(f"the right label '{unknown[0]}' is none of the classes {list(classes)}; add it to them")
    counts: list[int] = []
    for label in classes:
        counts += [label in answered and label in right, label in answered - right, label in right - answered]
    return tuple(map(int, counts))


def macro_f1(sums: Floats) -> Floats:
    """
    >>> float(macro_f1(np.array([6, 2, 4, 0, 0, 0])))
    0.3333333333333333

    The mean of the classes' F1 of counts that `class_counts` gives: every class weighs the same. A class that is
    neither right nor predicted anywhere counts as 0, as in scikit-learn's `f1_score(average="macro", labels=classes,
    zero_division=0)`; so name only classes that occur.
    """
    return np.asarray(micro_f1(_by_class(sums)).mean(axis=-1))


def accuracy(sums: Floats) -> Floats:
    """
    >>> float(accuracy(np.array([6, 2, 4, 5, 4, 2])))
    0.6470588235294118

    The share of right labels that are predicted, over all classes: with one label an example, the share of examples
    that are right.
    """
    return micro_recall(_by_class(sums).sum(axis=-2))


def class_weights(counts: Floats) -> Floats:
    """
    >>> class_weights(np.array([[1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 1, 0], [0, 0, 0, 1, 0, 0]])).tolist()
    [0.5, 0.5, 1.0]

    What each of n examples weighs in a macro average, [n], from their `class_counts` [n, 3 * classes]: an example of a
    class with few examples more than one of a class with many.
    """
    tp, _, fn = np.moveaxis(_by_class(counts), -1, 0)
    return np.asarray(_ratio(tp + fn, (tp + fn).sum(axis=0)).sum(axis=-1))


def _labels(given: str | Collection[str]) -> set[str]:
    return {given} if isinstance(given, str) else set(given)


def _by_class(sums: Floats) -> Floats:
    """[..., 3 * classes] to [..., classes, 3]."""
    sums = np.asarray(sums, dtype=np.float64)
    return sums.reshape(*sums.shape[:-1], -1, 3)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """0 where there is no whole."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole != 0)
