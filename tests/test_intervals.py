from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragmed.comparison.statistics.differences import difference_evidence, tango
from ragmed.comparison.statistics.intervals import (
    clopper_pearson,
    effective_groups,
    generator,
    group_sums,
    score_interval,
    wilson,
)

ones = np.ones


@pytest.mark.parametrize(("count", "n"), [(0, 1), (1, 1), (60, 60), (7, 20), (0, 500), (811, 1273)])
def test_intervals_of_a_share_are_those_of_statsmodels(count, n):
    from statsmodels.stats.proportion import proportion_confint

    assert wilson(count, n) == pytest.approx(proportion_confint(count, n, method="wilson"), abs=1e-12)
    assert clopper_pearson(count, n) == pytest.approx(proportion_confint(count, n, method="beta"), abs=1e-9)


@pytest.mark.parametrize(
    ("fixed", "broke", "n", "expected"),
    [
        # Fagerland, Lydersen, Laake: Statistics in Medicine 2014;33:2850-2875 (data of Bentur et al. and Cavo et al.).
        (1, 7, 21, (-0.517, -0.026)),
        (6, 16, 161, (-0.1240, -0.0054)),
        # In closed form without discordant pairs: z^2 / (n + z^2).
        (0, 0, 60, (-0.060172, 0.060172)),
    ],
)
def test_tango_is_as_published(fixed, broke, n, expected):
    assert tango(fixed, broke, n) == pytest.approx(expected, abs=5e-4 if n == 21 else 5e-5)


@pytest.mark.parametrize(("fixed", "broke", "n"), [(12, 2, 50), (40, 20, 160), (0, 1, 44), (3, 0, 3), (1, 0, 9)])
def test_tango_limits_are_where_the_constrained_likelihood_just_does_not_reject(fixed, broke, n):
    from scipy.optimize import minimize_scalar

    def z(delta: float) -> float:
        def minus_log_likelihood(p_broke: float) -> float:
            p_fixed, same = p_broke + delta, 1 - 2 * p_broke - delta
            cells = [(fixed, p_fixed), (broke, p_broke), (n - fixed - broke, same)]
            return -sum(k * math.log(max(p, 1e-300)) for k, p in cells if k)

        low, high = max(0.0, -delta), (1 - delta) / 2
        best = minimize_scalar(minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        return (fixed - broke - n * delta) / math.sqrt(n * (2 * best + delta - delta * delta))

    low, high = tango(fixed, broke, n)
    assert low == pytest.approx(-1) or z(low) == pytest.approx(1.959964, abs=1e-3)
    assert high == pytest.approx(1) or z(high) == pytest.approx(-1.959964, abs=1e-3)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_tango_is_antisymmetric_and_holds_the_estimate(fixed, broke, same):
    n = fixed + broke + same
    if n == 0:
        return
    low, high = tango(fixed, broke, n)
    assert tango(broke, fixed, n) == (-high, -low)
    assert -1 <= low <= (fixed - broke) / n <= high <= 1
    assert high - low > 0.01


def test_tango_covers_and_does_not_reject_too_often():
    rng = np.random.default_rng(7)
    for p_fixed, p_broke, n in [(0.05, 0.05, 60), (0.3, 0.1, 40), (0.02, 0.0, 100), (0.25, 0.25, 15)]:
        draws = rng.multinomial(n, [p_fixed, p_broke, 1 - p_fixed - p_broke], size=2000)
        limits = {(f, b): tango(f, b, n) for f, b in {(int(f), int(b)) for f, b, _ in draws}}
        inside = [limits[f, b][0] <= p_fixed - p_broke <= limits[f, b][1] for f, b, _ in draws.tolist()]
        assert np.mean(inside) >= 0.93, (p_fixed, p_broke, n)


def test_score_intervals_cover_with_groups():
    rng, inside = np.random.default_rng(5), []
    for trial in range(400):
        level = np.repeat(rng.beta(3, 2, 20), 3)  # 20 groups of 3 that share their difficulty; mean 0.6
        values = (rng.random(60) < level).astype(float)
        sums, sizes = group_sums(values, [str(i // 3) for i in range(60)])
        (low, high), _ = score_interval(sums, sizes, bounds=(0, 1), rng=generator(trial, "x"), resamples=1000)
        inside.append(low <= 0.6 <= high)
    assert np.mean(inside) >= 0.93


@pytest.mark.parametrize("share", [0.03, 0.3, 1.0])
def test_difference_intervals_cover_for_graded_scores_few_or_many_of_which_differ(share):
    rng, inside = np.random.default_rng(6), []
    for trial in range(400):
        differences = (rng.random(25) < share) * rng.beta(2, 2, 25) * rng.choice([-1, 1], 25, p=[0.3, 0.7])
        found = difference_evidence(differences, ones(25), span=1, rng=generator(trial, "x"), resamples=1000)
        inside.append(found.interval[0] <= 0.5 * 0.4 * share <= found.interval[1])
    assert np.mean(inside) >= 0.93


def test_all_equal_groups_still_leave_doubt():
    interval, method = score_interval(ones(20) * 3, ones(20) * 3, bounds=(0, 1), rng=generator(0), resamples=100)
    assert (interval, method) == (wilson(20, 20), "wilson-by-group")
    interval, method = score_interval(
        ones(20) * 3, ones(20) * 3, bounds=(0, 1), rng=generator(0), resamples=100, proportion="clopper-pearson"
    )
    assert (interval, method) == (clopper_pearson(20, 20), "clopper-pearson-by-group")
    found = difference_evidence(ones(20) * 0, ones(20) * 3, span=1, rng=generator(0), resamples=100)
    assert (found.interval, found.method) == (tango(0, 0, 20), "tango-by-group")


def test_scores_beyond_0_and_1_keep_their_scale():
    values = np.array([-1.0, 1.0, -1.0, 1.0])
    (low, high), _ = score_interval(values, ones(4), bounds=(-1, 1), rng=generator(0), resamples=100)
    assert (low, high) == pytest.approx((2 * wilson(2, 4)[0] - 1, 2 * wilson(2, 4)[1] - 1))


def test_groups_are_summed_in_the_order_of_their_names():
    sums, sizes = group_sums(np.array([1.0, 2.0, 4.0]), ["b", "a", "b"])
    assert sums.tolist() == [2.0, 5.0]
    assert sizes.tolist() == [1.0, 2.0]
    assert effective_groups(np.array([3.0, 1.0])) == 1.6


def test_every_name_has_its_own_stream_and_every_seed_too():
    draws = {generator(*key).integers(2**60) for key in [(0, "a"), (0, "b"), (1, "a"), (0, "a", "b"), (0, "ab")]}
    assert len(draws) == 5
    assert generator(0, "a").integers(2**60) == generator(0, "a").integers(2**60)
