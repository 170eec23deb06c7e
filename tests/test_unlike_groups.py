"""Groups of unlike sizes: the cluster-robust t interval covers, and its one-sided tests keep their level."""

from __future__ import annotations

import numpy as np
import pytest

from ragmed.comparison.statistics.cluster_robust import ClusterRobust
from ragmed.comparison.statistics.differences import difference_evidence, equivalence
from ragmed.comparison.statistics.intervals import generator, score_interval

TRIALS = 3000


def pareto(rng, shape):
    return np.minimum(60, np.ceil(rng.pareto(1.2, shape) * 2 + 1))


def poisson(rng, shape):
    return 1.0 + rng.poisson(rng.gamma(1, 4, shape))


def few(rng, shape):
    return rng.integers(1, 6, shape).astype(float)


def experiments(draw, groups, true, *, alike=0.5, discordance=0.3, seed=4):
    """Sums and sizes: a group is alike with chance `alike`, else its examples are independent."""
    rng = np.random.default_rng(seed)
    sizes = draw(rng, (TRIALS, groups))
    up = (discordance + true) / 2
    moved = rng.binomial(sizes.astype(int), discordance)
    own = 2.0 * rng.binomial(moved, up / discordance) - moved
    one = rng.random(sizes.shape)
    whole = sizes * np.where(one < up, 1, np.where(one < discordance, -1, 0))
    return np.where(rng.random(sizes.shape) < alike, whole, own), sizes


@pytest.mark.parametrize(("draw", "groups"), [(few, 60), (poisson, 60), (poisson, 200), (pareto, 60), (pareto, 200)])
def test_intervals_cover_and_noninferiority_at_the_margin_keeps_its_level(draw, groups):
    """A true difference of -0.1 at a margin of 0.1; two standard errors are 0.008."""
    inside = shown = below = 0
    sums, sizes = experiments(draw, groups, -0.1)
    for one, size in zip(sums, sizes, strict=True):
        found = ClusterRobust.of(one, size)
        low, high = found.interval
        inside += low <= -0.1 <= high
        below += equivalence(found, 0.1)["noninferiority"] < 0.05
        shown += equivalence(found, 0.1)["noninferiority"] < 0.05 and low > -0.1
    assert inside / TRIALS >= 0.94
    assert shown / TRIALS <= 0.05  # what the comparison calls not inferior
    assert below / TRIALS <= 0.08  # the one-sided test alone, with these very skewed sums


def test_a_difference_over_unlike_groups_is_not_by_bca():
    sums, sizes = (rows[0] for rows in experiments(pareto, 60, 0.0))
    found = difference_evidence(sums, sizes, span=1.0, rng=generator(0), resamples=200)
    assert found.method == "cluster-robust-t"
    alike = difference_evidence(sums / sizes, np.ones(60), span=1.0, rng=generator(0), resamples=200)
    assert alike.method == "group-bootstrap-bca"
    interval, method = score_interval(
        (sums + sizes) / 2, sizes, bounds=(0.0, 1.0), rng=generator(0), resamples=200
    )  # fmt: skip
    assert method == "cluster-robust-t"
    assert 0 <= interval[0] < interval[1] <= 1


def test_the_error_is_that_of_the_jackknife_and_of_statsmodels():
    import statsmodels.api as sm

    rng = np.random.default_rng(7)
    sizes = rng.integers(1, 9, 30)
    values, groups = rng.normal(size=sizes.sum()), np.repeat(np.arange(30), sizes)
    sums = np.bincount(groups, weights=values)
    found = ClusterRobust.of(sums, sizes.astype(float))
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    assert found.error == pytest.approx((29 / 30 * ((without - found.estimate) ** 2).sum()) ** 0.5)
    fit = sm.OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert found.estimate == pytest.approx(fit.params[0])
    assert found.error == pytest.approx(fit.bse[0], rel=0.05)  # CR1, a little narrower
    assert found.freedom == pytest.approx(sizes.sum() ** 2 / (sizes**2).sum() - 1)


def test_with_groups_of_one_size_it_is_students_t():
    from scipy import stats

    values = np.random.default_rng(8).normal(size=25)
    found = ClusterRobust.of(3 * values, np.full(25, 3.0))
    expected = stats.ttest_1samp(values, 0.2)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.at_least(0.2) + found.at_most(0.2) == pytest.approx(1)
    assert 2 * min(found.at_least(0.2), found.at_most(0.2)) == pytest.approx(expected.pvalue)


def test_tests_and_interval_say_the_same():
    sums, sizes = (rows[0] for rows in experiments(pareto, 60, 0.0))
    found = ClusterRobust.of(sums, sizes)
    low, high = found.interval
    assert found.at_most(low) == pytest.approx(0.025)
    assert found.at_least(high) == pytest.approx(0.025)
    assert found.at_most(low - 0.01) < 0.025 < found.at_most(low + 0.01)
