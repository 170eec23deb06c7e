"""Counts and corpus-level metrics: F1, precision, recall and accuracy are those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support
from sklearn.preprocessing import MultiLabelBinarizer

from ragmed.errors import UsageError
from ragmed.metrics import find_metric
from ragmed.metrics.f1 import (
    accuracy,
    class_counts,
    class_weights,
    macro_f1,
    micro_f1,
    micro_precision,
    micro_recall,
    set_counts,
)
from ragmed.records import Example

CASES = 1000


def label_sets(rng, labels, count):
    return [{label for label in labels if rng.random() < share} for share in rng.random(count) * rng.random()]


def test_sets_of_labels_are_scored_as_by_scikit_learn():
    rng = np.random.default_rng(1)
    for _ in range(CASES):
        labels = [f"c{i}" for i in range(rng.integers(2, 7))]
        predicted, gold = (label_sets(rng, labels, rng.integers(1, 9)) for _ in range(2))
        predicted = (predicted * 9)[: len(gold)]
        table = MultiLabelBinarizer(classes=labels).fit([labels])
        both = table.transform(gold), table.transform(predicted)
        micro = np.sum([set_counts(p, g) for p, g in zip(predicted, gold, strict=True)], axis=0)
        macro = np.sum([class_counts(p, g, classes=labels) for p, g in zip(predicted, gold, strict=True)], axis=0)
        precision, recall, f1, _ = precision_recall_fscore_support(*both, average="micro", zero_division=0)
        assert micro_precision(micro) == pytest.approx(precision, abs=1e-12)
        assert micro_recall(micro) == pytest.approx(recall, abs=1e-12)
        assert micro_f1(micro) == pytest.approx(f1, abs=1e-12)
        assert macro_f1(macro) == pytest.approx(f1_score(*both, average="macro", zero_division=0), abs=1e-12)


def test_one_of_several_classes_is_scored_as_by_scikit_learn():
    rng = np.random.default_rng(2)
    for _ in range(CASES):
        labels = [f"c{i}" for i in range(rng.integers(2, 7))]
        gold = rng.choice(labels, rng.integers(1, 15)).tolist()
        predicted = rng.choice([*labels, "unreadable"], len(gold)).tolist()
        sums = np.sum([class_counts(p, g, classes=labels) for p, g in zip(predicted, gold, strict=True)], axis=0)
        expected = f1_score(gold, predicted, labels=labels, average="macro", zero_division=0)
        assert macro_f1(sums) == pytest.approx(expected, abs=1e-12)
        assert accuracy(sums) == pytest.approx(np.mean(np.array(gold) == np.array(predicted)))
        expected = f1_score(gold, predicted, labels=labels, average="micro", zero_division=0)
        assert micro_f1(sums.reshape(-1, 3).sum(axis=0)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", [micro_f1, micro_precision, micro_recall, macro_f1, accuracy])
def test_nothing_by_nothing_is_0_and_sums_come_in_any_shape(metric):
    assert metric(np.zeros(3)) == 0
    assert metric(np.array([[[0, 0, 0], [5, 0, 0]]])).tolist() == [[0, 1]]


def test_a_label_counts_once_and_may_stand_as_a_string():
    assert set_counts(["I10", "I10"], ["I10"]) == (1, 0, 0)
    assert set_counts("I10", {"E11", "I10"}) == (1, 0, 1)
    assert set_counts([], []) == (0, 0, 0)


def test_no_prediction_and_one_that_is_no_class_are_misses():
    assert class_counts([], "yes", classes=["yes", "no"]) == (0, 0, 1, 0, 0, 0)
    assert class_counts("perhaps", "yes", classes=["yes", "no"]) == (0, 0, 1, 0, 0, 0)
    assert class_counts("no", "yes", classes=["yes", "no"]) == (0, 0, 1, 0, 1, 0)
    assert class_counts("yes", "yes", classes=["yes", "no"]) == (1, 0, 0, 0, 0, 0)


def test_classes_must_hold_what_is_right_and_each_once():
    with pytest.raises(UsageError, match="the right label 'maybe' is none of the classes"):
        class_counts("yes", "maybe", classes=["yes", "no"])
    with pytest.raises(UsageError, match="a class is named twice"):
        class_counts("yes", "yes", classes=["yes", "yes"])


def test_a_class_that_never_occurs_counts_as_0():
    sums = np.array([4, 0, 0, 0, 0, 0])
    assert macro_f1(sums) == 0.5
    assert macro_f1(sums) == f1_score(["a"] * 4, ["a"] * 4, labels=["a", "b"], average="macro", zero_division=0)


def test_an_example_weighs_what_its_class_leaves_it():
    golds = ["a", "a", "a", "b"]
    counts = np.array([class_counts("a", gold, classes=["a", "b"]) for gold in golds])
    assert class_weights(counts).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])


def test_macro_f1_of_a_task_is_that_of_scikit_learn():
    metric, labels = find_metric("macro_f1"), {"A": "supported", "B": "refuted", "C": "not enough"}
    rng = np.random.default_rng(3)
    gold, said = rng.choice(list("ABC"), 200), rng.choice(list("ABC"), 200)
    counts = metric.score([(Example("1", "?", options=labels, gold=g), s) for g, s in zip(gold, said, strict=True)])
    assert metric.total(np.sum(counts, axis=0)) == pytest.approx(f1_score(gold, said, average="macro"), abs=1e-12)


def test_macro_f1_needs_the_same_labels_for_all():
    one, other = {"A": "yes", "B": "no"}, {"A": "no", "B": "yes"}
    batch = [(Example(str(n), "?", options=options, gold="A"), "A") for n, options in enumerate((one, other))]
    for wrong in (batch, [(Example("1", "?", gold="x"), "x")]):
        with pytest.raises(UsageError, match="measure accuracy instead"):
            find_metric("macro_f1").score(wrong)
