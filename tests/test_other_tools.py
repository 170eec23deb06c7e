"""The numbers of others' tools on the same answers; where a number differs, the difference is explained."""

from __future__ import annotations

import numpy as np
import pytest

from ragmed.comparison.statistics.cluster_robust import ClusterRobust
from ragmed.comparison.statistics.differences import tango
from ragmed.comparison.statistics.intervals import group_sums, wilson
from ragmed.comparison.statistics.significance import holm, mcnemar_exact, mcnemar_mid_p, sign_flip

COUNTS = [(25, 3, 60), (0, 4, 30), (7, 7, 40), (157, 135, 1273), (1, 0, 10), (40, 38, 200)]


def scores(fixed: int, broke: int, n: int):
    """Of both arms, as floats: those that were fixed, those that were broken, then one half right and one wrong."""
    rest = n - fixed - broke
    same = [1.0] * (rest // 2) + [0.0] * (rest - rest // 2)
    return np.array([0.0] * fixed + [1.0] * broke + same), np.array([1.0] * fixed + [0.0] * broke + same)


@pytest.mark.parametrize(("fixed", "broke", "n"), COUNTS)
def test_mid_p_and_tango_are_those_of_evalstats(fixed, broke, n):
    from evalstats import pairwise_differences

    old, new = scores(fixed, broke, n)
    theirs = pairwise_differences(np.stack([new, old]), 0, 1, "new", "old", method="tango")
    assert (theirs.ci_low, theirs.ci_high) == pytest.approx(tango(fixed, broke, n), abs=1e-9)
    assert theirs.p_value == pytest.approx(mcnemar_mid_p(fixed, broke), abs=1e-9)
    assert theirs.point_diff == pytest.approx((fixed - broke) / n, abs=1e-12)


@pytest.mark.parametrize(("fixed", "broke", "n"), COUNTS)
def test_exact_mcnemar_and_wilson_are_those_of_errorbars(fixed, broke, n):
    from errorbars.compare import paired_compare
    from errorbars.stats import wilson_ci

    old, new = scores(fixed, broke, n)
    theirs = paired_compare(new, old)
    assert theirs.mean_diff == pytest.approx((fixed - broke) / n, abs=1e-12)
    assert theirs.mcnemar.p_value == pytest.approx(mcnemar_exact(fixed, broke), abs=1e-9)
    share = wilson_ci(fixed, n)
    assert (share.ci_low, share.ci_high) == pytest.approx(wilson(fixed, n), abs=1e-9)


def test_errorbars_cluster_robust_error_differs_by_the_weight_of_large_groups():
    """Theirs is the sandwich with the factor G / (G - 1) (CR1), ours the jackknife (CR3). With groups of one size the
    two are one; where sizes differ a large group weighs more in the jackknife, and its error is the larger."""
    from errorbars.stats import cluster_robust_se

    rng = np.random.default_rng(4)
    for sizes, same in (([5] * 30, True), (list(rng.integers(1, 12, 30)), False)):
        groups = np.repeat(np.arange(30), sizes)
        values = rng.normal(0.1, 1.0, 30)[groups] + rng.normal(0, 0.3, len(groups))
        ours = ClusterRobust.of(*group_sums(values, [str(g) for g in groups])).error
        theirs = cluster_robust_se(values, groups)
        assert (ours == pytest.approx(theirs, rel=1e-9)) == same
        assert ours >= theirs * (1 - 1e-9)


@pytest.mark.parametrize(("fixed", "broke", "n"), COUNTS)
def test_exact_mcnemar_is_that_of_paired_eval(fixed, broke, n):
    from paired_eval import mcnemar_exact as theirs
    from paired_eval import wilson_ci

    assert theirs(fixed, broke) == pytest.approx(mcnemar_exact(fixed, broke), abs=1e-9)
    # its z is 1.96, not the 0.975 quantile of the normal distribution, 1.959964
    assert wilson_ci(fixed, n) == pytest.approx(wilson(fixed, n), abs=1e-5)


def test_holm_and_the_permutation_test_are_those_of_paired_eval():
    from paired_eval import holm_adjust, paired_compare

    rng = np.random.default_rng(1)
    p = list(rng.uniform(0, 0.2, 9))
    assert holm_adjust(p) == pytest.approx(holm(p), abs=1e-12)
    old, new = rng.uniform(size=40), rng.uniform(size=40) + 0.12
    theirs = paired_compare(list(new), list(old))
    ours = sign_flip(new - old, rng=np.random.default_rng(0), resamples=100_000)
    assert theirs["p_value"] == pytest.approx(ours, abs=0.01)  # both are drawn


@pytest.mark.parametrize("n", [10, 25, 60, 200])
def test_mid_p_keeps_its_level_nearly_and_exact_p_stays_below(n):
    """Type I error over all shares of discordant pairs: exact never above 0.05, mid-p a little at most, and nearer."""
    from scipy.stats import binom

    worst = {}
    pairs = np.arange(n + 1)
    for name, test in (("exact", mcnemar_exact), ("mid-p", mcnemar_mid_p)):
        rejected = np.zeros(n + 1)  # for each number of discordant pairs
        for d in pairs[1:]:
            rejected[d] = sum(binom.pmf(k, d, 0.5) for k in range(d + 1) if test(k, d - k) < 0.05)
        worst[name] = max(float(binom.pmf(pairs, n, share) @ rejected) for share in np.linspace(0.05, 1, 20))
    assert worst["exact"] <= 0.05 < worst["mid-p"] + 0.02
    assert worst["exact"] < worst["mid-p"] <= 0.056
