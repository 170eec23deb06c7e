from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragmed.comparison.statistics.resampling import random_sign_sums
from ragmed.comparison.statistics.significance import benjamini_hochberg, holm, mcnemar_exact, sign_flip
from ragmed.comparison.verdicts import decide


@pytest.mark.parametrize(("fixed", "broke"), [(0, 0), (1, 0), (25, 3), (3, 25), (4, 4), (121, 59), (900, 1100)])
def test_mcnemar_is_that_of_statsmodels(fixed, broke):
    from statsmodels.stats.contingency_tables import mcnemar

    expected = mcnemar([[10, fixed], [broke, 10]], exact=True).pvalue if fixed + broke else 1.0
    assert mcnemar_exact(fixed, broke) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_a_large_run_is_a_number_and_never_0():
    assert mcnemar_exact(2600, 2400) == pytest.approx(0.00487, abs=5e-4)
    assert mcnemar_exact(50_000, 50_000) == 1.0
    assert 0 < mcnemar_exact(100_000, 0) < 1e-300


@pytest.mark.parametrize(("fixed", "broke", "p"), [(129, 101, 0.075), (157, 135, 0.22), (676, 554, 0.00056)])
def test_mcnemar_of_the_answers_that_mirage_released(fixed, broke, p):
    from scipy.stats import binomtest

    assert mcnemar_exact(fixed, broke) == pytest.approx(p, rel=0.02)
    assert mcnemar_exact(fixed, broke) == pytest.approx(binomtest(fixed, fixed + broke).pvalue, rel=1e-9)


@pytest.mark.parametrize("count", [2, 7, 12])
def test_sign_flip_enumerates_as_scipy_does(count):
    from scipy.stats import permutation_test

    differences = np.random.default_rng(count).normal(0.5, 1, count)
    expected = permutation_test(
        (differences, np.zeros(count)),
        lambda x, y, axis: np.abs((x - y).sum(axis=axis)),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
        alternative="greater",
    ).pvalue
    assert sign_flip(differences, rng=np.random.default_rng(0), resamples=10) == pytest.approx(expected)


def test_sign_flip_draws_near_the_exact_value_and_never_says_0():
    differences = np.array([1.0] * 14 + [-1.0] * 6)  # by binomial: 2 P(X <= 6 of 20) = 0.1153183
    drawn = sign_flip(differences, rng=np.random.default_rng(0), resamples=40_000)
    assert drawn == pytest.approx(0.1153183, abs=0.005)
    assert sign_flip(np.ones(50), rng=np.random.default_rng(0), resamples=999) == 0.001


def test_sign_flip_counts_the_observed_assignment_above_and_below():
    rng = np.random.default_rng(5)
    differences = rng.normal(0.3, 1, 40)
    sums = random_sign_sums(np.abs(differences), rng=np.random.default_rng(1), resamples=999)
    hits = int((np.abs(sums) >= abs(differences.sum())).sum())
    assert sign_flip(differences, rng=np.random.default_rng(1), resamples=999) == (1 + hits) / 1000


def test_sign_flip_of_many_is_quick_and_exact():
    from scipy.stats import binom

    differences = np.repeat([1.0, -1.0, 0.0], [400, 340, 99_260])
    expected = 2 * binom.sf(399, 740, 0.5)
    found = sign_flip(differences, rng=np.random.default_rng(0), resamples=100_000)
    assert found == pytest.approx(expected, abs=4 * (expected / 100_000) ** 0.5)


def test_sign_flip_of_no_difference_is_1():
    assert sign_flip(np.zeros(30), rng=np.random.default_rng(0), resamples=10) == 1.0


def test_groups_without_a_difference_change_nothing():
    few, many = np.array([1.0, 2.0, -0.5]), np.array([0.0] * 40 + [1.0, 2.0, -0.5])
    assert sign_flip(few, rng=np.random.default_rng(0), resamples=10) == 0.5
    assert sign_flip(many, rng=np.random.default_rng(0), resamples=10) == 0.5


def test_sign_flip_rejects_at_most_5_in_100_under_no_difference():
    rng = np.random.default_rng(2)
    p_values = [sign_flip(rng.normal(0, 1, 15), rng=rng, resamples=500) for _ in range(1000)]
    assert np.mean(np.array(p_values) < 0.05) <= 0.065  # 0.05 and two standard errors


@pytest.mark.parametrize("n", [10, 60])
def test_mcnemar_rejects_at_most_5_in_100_under_no_difference(n):
    rng = np.random.default_rng(3)
    draws = rng.multinomial(n, [0.2, 0.2, 0.6], size=4000).tolist()
    assert np.mean([mcnemar_exact(f, b) < 0.05 for f, b, _ in draws]) <= 0.05


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "theirs"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_corrections_are_those_of_statsmodels_and_never_below_the_raw_value(ours, theirs, p_values):
    from statsmodels.stats.multitest import multipletests

    adjusted = ours(p_values)
    assert adjusted == pytest.approx(multipletests(p_values, method=theirs)[1].tolist(), abs=1e-12)
    assert all(raw <= new <= 1 for raw, new in zip(p_values, adjusted, strict=True))


@pytest.mark.parametrize("correct", [holm, benjamini_hochberg])
def test_corrections_refuse_what_is_no_number(correct):
    with pytest.raises(ValueError, match="NaN"):
        correct([0.01, float("nan")])


@pytest.mark.parametrize(
    ("p", "interval", "both", "expected"),
    [
        (0.01, (0.02, 0.30), 1.0, "better"),
        (0.01, (-0.30, -0.02), 1.0, "worse"),
        (0.20, (0.02, 0.30), 1.0, "cannot-tell"),
        (0.01, (0.0, 0.30), 1.0, "cannot-tell"),
        (0.05, (0.02, 0.30), 1.0, "cannot-tell"),
        (0.90, (-0.05, 0.05), 0.04, "equivalent"),
        (0.90, (-0.05, 0.05), 0.05, "cannot-tell"),
        (0.90, (-0.051, 0.05), 0.04, "cannot-tell"),
        (0.001, (0.01, 0.04), 0.001, "better"),
    ],
)
def test_verdicts(p, interval, both, expected):
    assert decide(p, interval, alpha=0.05, margin=0.05, equivalence=both) == expected
