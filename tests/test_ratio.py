"""Intervals and paired tests of corpus-level metrics, against brute force and by simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ragmed.comparison.statistics.bootstrap import Bootstrap
from ragmed.comparison.statistics.differences import difference_evidence
from ragmed.comparison.statistics.intervals import (
    Estimate,
    clopper_pearson,
    generator,
    group_sums,
    score_interval,
    wilson,
)
from ragmed.comparison.statistics.ratio import ratio_difference, ratio_score, swapped
from ragmed.comparison.statistics.significance import sign_flip
from ragmed.metrics.f1 import class_counts, class_weights, macro_f1, micro_f1, micro_precision

SIDES = (["a"], ["b"])


def each(n):
    return [f"e{i:05d}" for i in range(n)]


def documents(rng, n, *, better=0.0, codes=4):
    """Counts of two arms on n documents of 1 + Poisson codes, each with a difficulty that both arms share."""
    gold, hard = 1 + rng.poisson(codes, n), rng.normal(0.8, 1, n)
    counts = {}
    for arm, shift in (("a", 0.0), ("b", better)):
        found = rng.binomial(gold, 1 / (1 + np.exp(-(hard + shift + rng.normal(0, 0.7, n)))))
        counts[arm] = np.stack([found, rng.poisson(0.6 * (gold - found)), gold - found], axis=1)
    return counts


def score(counts, total=micro_f1, *, groups=None, **named):
    groups = each(len(counts)) if groups is None else groups
    return ratio_score(counts, total, groups=groups, names=["t", "m", "a"], **named)


def difference(counts, total=micro_f1, *, groups=None, sides=SIDES, **named):
    groups = each(len(counts["a"])) if groups is None else groups
    return ratio_difference(counts, total, sides=sides, groups=groups, names=["t", "m"], **named)


def mean(sums):
    """A plain mean of scores as a function of sums: of scores and of how many there are."""
    return sums[..., 0] / np.maximum(1, sums[..., 1])


def brute_force(counts, statistic, *, resamples=4000):
    """Percentiles of a bootstrap as one would write it first."""
    rng, n, values = np.random.default_rng(3), len(counts), []
    for _ in range(resamples):
        values.append(float(statistic(counts[rng.integers(0, n, n)].sum(axis=0))))
    return np.quantile(values, [0.025, 0.975])


def test_the_interval_of_a_score_is_that_of_a_plain_bootstrap():
    counts = documents(np.random.default_rng(1), 400)["a"]
    row = score(counts)
    assert row.interval == "group-bootstrap-bca"
    assert row.value == micro_f1(counts.sum(axis=0))
    assert row.ci == pytest.approx(brute_force(counts, micro_f1), abs=0.003)  # the width is 0.05


def test_the_interval_of_a_difference_is_that_of_a_plain_bootstrap():
    counts = documents(np.random.default_rng(2), 400, better=0.3)
    both = np.concatenate([counts["a"], counts["b"]], axis=1)
    row = difference(counts)
    assert row.interval == "group-bootstrap-bca"
    assert row.difference == micro_f1(counts["b"].sum(axis=0)) - micro_f1(counts["a"].sum(axis=0))
    expected = brute_force(both, lambda sums: micro_f1(sums[3:]) - micro_f1(sums[:3]))
    assert row.ci == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_mean_as_a_function_of_sums_has_the_rows_of_a_mean(grouped):
    rng = np.random.default_rng(3)
    values = {arm: rng.beta(2, 2, 120) for arm in "ab"}
    groups = [f"g{i // 2:03d}" for i in range(120)] if grouped else each(120)
    counts = {arm: np.stack([column, np.ones(120)], axis=1) for arm, column in values.items()}
    sums, sizes = group_sums(values["a"], groups)
    expected, method = score_interval(sums, sizes, bounds=(0, 1), rng=generator(0, "s"), resamples=40_000)
    row = score(counts["a"], mean, groups=groups, resamples=40_000)
    assert (row.value, row.interval) == (pytest.approx(values["a"].mean()), method)
    assert row.ci == pytest.approx(expected, abs=0.002)
    sums, sizes = group_sums(values["b"] - values["a"], groups)
    found = difference_evidence(sums, sizes, span=1, rng=generator(0, "d"), resamples=40_000)
    row = difference(counts, mean, groups=groups, resamples=40_000)
    assert row.interval == found.method
    assert row.ci == pytest.approx(found.interval, abs=0.003)
    assert row.noninferiority == pytest.approx(found.at_most(-0.05), rel=0.1)
    assert row.p == pytest.approx(sign_flip(sums, rng=generator(0), resamples=40_000), abs=0.01)


def test_groups_of_unlike_sizes_have_the_interval_of_a_mean():
    rng = np.random.default_rng(4)
    groups = np.repeat(each(40), rng.integers(1, 6, 40)).tolist()
    values = rng.beta(2, 2, len(groups))
    counts = np.stack([values, np.ones(len(groups))], axis=1)
    expected, method = score_interval(
        *group_sums(values, groups), bounds=(0, 1), rng=generator(0), resamples=100
    )  # fmt: skip
    row = score(counts, mean, groups=groups, weights=np.ones(len(groups)))
    assert row.interval == method == "cluster-robust-t"
    assert row.ci == pytest.approx(expected, abs=1e-12)


def test_examples_of_a_group_go_together():
    counts = documents(np.random.default_rng(5), 60)["a"]
    alone = score(counts)
    thrice = score(np.repeat(counts, 3, axis=0), groups=np.repeat(each(60), 3).tolist())
    assert thrice.value == alone.value
    assert thrice.ci == pytest.approx(alone.ci, abs=1e-12)
    wrong = score(np.repeat(counts, 3, axis=0))
    assert wrong.ci[1] - wrong.ci[0] < 0.7 * (alone.ci[1] - alone.ci[0])


def test_a_few_documents_with_most_of_the_codes_have_no_bca():
    counts = documents(np.random.default_rng(6), 60)["a"]
    counts[:6] *= 12
    row = score(counts)
    assert row.interval == "cluster-robust-t"
    without = np.array([micro_f1(counts.sum(axis=0) - one) for one in counts])
    error = (59 / 60 * ((row.value - without) ** 2).sum()) ** 0.5
    weight = counts.sum(axis=1) / counts.sum()
    assert row.ci[1] - row.ci[0] > 2 * 1.96 * error
    assert 1 / (weight**2).sum() == pytest.approx(14, abs=4)


def enumerated(rows, total):
    """The permutation p as one would write it first: every way to swap the arms of every group."""
    half = rows.shape[1] // 2
    minus, plus = rows[:, :half], rows[:, half:]
    observed = abs(total(plus.sum(axis=0)) - total(minus.sum(axis=0)))
    as_far = 0
    for swaps in product([False, True], repeat=len(rows)):
        swap = np.array(swaps)[:, None]
        a, b = np.where(swap, plus, minus).sum(axis=0), np.where(swap, minus, plus).sum(axis=0)
        as_far += abs(total(b) - total(a)) >= observed - 1e-9
    return as_far / 2 ** len(rows)


@pytest.mark.parametrize("n", [1, 2, 5, 9, 12])
@pytest.mark.parametrize("seed", range(3))
def test_the_permutation_test_is_the_full_enumeration_of_swaps(n, seed):
    counts = documents(np.random.default_rng([n, seed]), n, better=0.8)
    rows = np.concatenate([counts["a"], counts["b"]], axis=1)
    assert difference(counts).p == pytest.approx(enumerated(rows, micro_f1), abs=1e-12)


def test_drawn_swaps_come_near_to_all_of_them():
    counts = documents(np.random.default_rng(8), 15, better=0.9)
    counts["b"][0, 1] += 1  # no group without a difference
    rows = np.concatenate([counts["a"], counts["b"]], axis=1)
    assert difference(counts, resamples=40_000).p == pytest.approx(enumerated(rows, micro_f1), abs=0.005)


def test_whole_groups_are_swapped():
    counts = documents(np.random.default_rng(9), 24, better=0.8)
    groups = [f"g{i // 3}" for i in range(24)]
    rows = np.concatenate([counts["a"], counts["b"]], axis=1).reshape(8, 3, 6).sum(axis=1)
    assert difference(counts, groups=groups).p == enumerated(rows, micro_f1)


@pytest.mark.parametrize("better", [0.0, 0.5])
def test_turning_the_sides_round_turns_the_sign_and_nothing_else(better):
    counts = documents(np.random.default_rng(10), 50, better=better)
    one, other = difference(counts), difference(counts, sides=(["b"], ["a"]))
    assert other.difference == -one.difference
    assert other.ci == (-one.ci[1], -one.ci[0])
    assert (other.p, other.equivalence, other.test) == (one.p, one.equivalence, one.test)


def test_the_order_of_the_examples_changes_nothing():
    counts = documents(np.random.default_rng(11), 50)
    order = np.random.default_rng(1).permutation(50)
    turned = {arm: values[order] for arm, values in counts.items()}
    assert difference(turned, groups=[each(50)[i] for i in order]) == difference(counts)


@pytest.mark.parametrize("kind", ["even", "uneven", "few"])
def test_interval_and_one_sided_tests_say_the_same(kind):
    counts = documents(np.random.default_rng(12), 80, better=0.4)
    if kind == "uneven":
        counts = {arm: values * np.repeat([1, 15], [72, 8])[:, None] for arm, values in counts.items()}
    if kind == "few":
        counts["b"] = np.where(np.arange(80)[:, None] < 6, counts["b"], counts["a"])
    row = difference(counts)
    names = {"even": "group-bootstrap-bca", "uneven": "cluster-robust-t", "few": "tango-by-group"}
    assert row.interval == names[kind]
    low = row.ci[0]
    inside, outside = (difference(counts, margin=-low + step).noninferiority for step in (-0.005, 0.005))
    assert outside < 0.025 < inside


def test_a_large_family_draws_more():
    counts = documents(np.random.default_rng(13), 100, better=2.0)
    assert difference(counts, resamples=500).p == 1 / 501
    assert difference(counts, resamples=500, family=1000).p == 1 / 400_001


def test_effects_of_four_arms_are_sums_of_differences():
    more = documents(np.random.default_rng(15), 60)
    counts = documents(np.random.default_rng(14), 60) | {"c": more["a"], "d": more["b"]}
    value = {arm: float(micro_f1(values.sum(axis=0))) for arm, values in counts.items()}
    row = difference(counts, sides=(["a", "b"], ["c", "d"]), over=2)
    assert row.difference == pytest.approx((value["c"] + value["d"] - value["a"] - value["b"]) / 2)
    same = difference({**counts, "c": counts["a"], "d": counts["b"]}, sides=(["a", "b"], ["c", "d"]))
    assert (same.difference, same.p) == (pytest.approx(0, abs=1e-15), 1)
    one = difference(counts, sides=(["a"], ["c"]))
    twice = difference({**counts, "b": counts["a"], "d": counts["c"]}, sides=(["a", "b"], ["c", "d"]), over=2)
    assert twice.difference == pytest.approx(one.difference)
    assert twice.p == pytest.approx(one.p, abs=0.02)
    assert twice.ci == pytest.approx(one.ci, abs=0.005)


def test_all_right_is_the_interval_of_a_share():
    counts = np.tile([3, 0, 0], (60, 1))
    assert score(counts) == Estimate(1.0, wilson(60, 60), "wilson-by-group")
    exact = score(counts, proportions="clopper-pearson")
    assert exact.ci == clopper_pearson(60, 60)
    assert exact.interval == "clopper-pearson-by-group"


def test_documents_that_say_nothing_of_precision_are_not_counted():
    counts = np.concatenate([np.tile([2, 0, 0], (30, 1)), np.tile([0, 0, 2], (30, 1))])
    assert score(counts, micro_precision).ci == wilson(30, 30)


def test_a_rare_class_that_is_all_right_is_few_examples():
    golds = ["common"] * 196 + ["rare"] * 4
    counts = np.array([class_counts(gold, gold, classes=["common", "rare"]) for gold in golds])
    weights = class_weights(counts)
    n = 4 / (1 / 196 + 1 / 4)  # the variance of a mean of two shares, as that of one
    assert score(counts, macro_f1, weights=weights).ci == pytest.approx(wilson(n, n))
    other = counts.copy()
    other[-1] = class_counts("common", "rare", classes=["common", "rare"])
    row = difference({"a": counts, "b": other}, macro_f1, weights=weights)
    assert row.interval == "tango-by-group"
    assert row.ci[0] < -0.3  # one of four, in one of two classes


def test_no_gold_and_nothing_predicted_says_nothing():
    empty = np.zeros((20, 3))
    row = score(empty)
    assert (row.value, row.interval) == (0, "wilson-by-group")
    assert row.ci == pytest.approx((0, 1), abs=1e-5)
    row = difference({"a": empty, "b": empty})
    assert (row.difference, row.p) == (0, 1)
    assert row.ci == pytest.approx((-1, 1), abs=1e-5)
    assert row.equivalence > 0.4


def test_one_group_is_one_observation():
    counts = documents(np.random.default_rng(16), 20, better=0.5)
    row = score(counts["a"], groups=["g"] * 20)
    assert row.interval == "wilson-by-group"
    assert row.ci[1] - row.ci[0] > 0.6
    row = difference(counts, groups=["g"] * 20)
    assert (row.p, row.interval) == (1, "tango-by-group")
    assert row.ci[0] < -0.3 < 0.3 < row.ci[1]


def test_equal_arms_do_not_differ_and_their_interval_has_a_width():
    counts = documents(np.random.default_rng(17), 100)
    row = difference({"a": counts["a"], "b": counts["a"]})
    assert (row.difference, row.p, row.interval) == (0, 1, "tango-by-group")
    assert row.ci[0] < -0.02 < 0.02 < row.ci[1]


def test_what_does_not_fit_is_refused():
    counts = documents(np.random.default_rng(18), 20)
    with pytest.raises(ValueError, match="one number for each"):
        score(counts["a"], lambda sums: np.full(sums.shape[:-1], np.nan))
    with pytest.raises(ValueError, match="do not fit"):
        score(counts["a"], groups=each(19))
    with pytest.raises(ValueError, match="not negative"):
        score(-counts["a"])
    with pytest.raises(ValueError, match="counts of the same examples"):
        difference({"a": counts["a"], "b": counts["b"][:-1]})


def test_draws_are_made_in_parts_of_bounded_memory(monkeypatch):
    counts = documents(np.random.default_rng(19), 100)
    whole = difference(counts)
    monkeypatch.setattr("ragmed.comparison.statistics.ratio._NUMBERS", 600)
    parts = difference(counts, resamples=1000)
    assert parts.ci == pytest.approx(whole.ci, abs=0.02)


def test_a_thousand_documents_are_quick():
    import time

    counts, start = documents(np.random.default_rng(20), 1000), time.process_time()
    score(counts["a"])
    difference(counts)
    assert time.process_time() - start < 3


@pytest.mark.slow
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("n", [30, 120])
def test_a_true_null_is_called_in_5_of_100_and_intervals_cover(n, grouped):
    """1,000 experiments: two standard errors of 0.05 are 0.014."""
    rng, called, inside, covered = np.random.default_rng([n, grouped]), 0, 0, 0
    truth = float(micro_f1(documents(np.random.default_rng(0), 1_000_000)["a"].sum(axis=0)))
    groups = [f"g{i // 2}" for i in range(2 * n)] if grouped else each(n)
    for trial in range(1000):
        counts = documents(rng, len(groups))
        row = difference(counts, groups=groups, resamples=500, seed=trial)
        low, high = score(counts["a"], groups=groups, resamples=500, seed=trial).ci
        called += row.p <= 0.05
        inside += row.ci[0] <= 0 <= row.ci[1]
        covered += low <= truth <= high
    assert 0.03 <= called / 1000 <= 0.064
    assert 0.93 <= inside / 1000 <= 0.975
    assert 0.925 <= covered / 1000 <= 0.97


def test_swaps_of_a_mean_are_sign_flips():
    differences = np.random.default_rng(21).normal(0.2, 1, 11)
    rows = np.stack([np.zeros(11), differences], axis=1)
    p = swapped(rows, lambda sums: sums[..., 1] - sums[..., 0], rng=generator(0), resamples=100)
    assert p == sign_flip(differences, rng=generator(0), resamples=100)


def test_resamples_of_sums_give_the_bootstrap_of_a_mean():
    values = np.random.default_rng(22).beta(2, 2, 50)
    counts = np.stack([values, np.ones(50)], axis=1)
    row = score(counts, mean, resamples=2000)
    alone = Bootstrap.of(values, np.ones(50), rng=generator(0, "score", "t", "m", "a"), resamples=2000)
    assert row.ci == pytest.approx(alone.interval, abs=0.01)
