from __future__ import annotations

import numpy as np
import pytest

from ragmed.comparison.statistics import resampling
from ragmed.comparison.statistics.bootstrap import Bootstrap, Z, acceleration
from ragmed.comparison.statistics.intervals import generator
from ragmed.comparison.statistics.resampling import fixed_point, random_sign_sums, resampled_sums

ones = np.ones


def of(sums, sizes=None, *, seed=0, resamples=2000):
    sums = np.asarray(sums, float)
    sizes = ones(len(sums)) if sizes is None else sizes
    return Bootstrap.of(sums, sizes, rng=generator(seed, "x"), resamples=resamples)


def scipy_interval(found, sums, sizes, method="BCa"):
    """scipy's interval from the resamples that ours is made from."""
    from scipy import stats

    def ratio(a, b, axis=-1):
        return a.sum(axis=axis) / b.sum(axis=axis)

    same = stats._resampling.BootstrapResult(None, found.draws, None)
    interval = stats.bootstrap(
        (sums, sizes), ratio, paired=True, n_resamples=0, method=method, bootstrap_result=same, vectorized=True
    ).confidence_interval
    return interval.low, interval.high


@pytest.mark.parametrize("kind", ["lognormal", "differences", "by group", "right and wrong"])
@pytest.mark.parametrize("n", [20, 300, 1500])
def test_bca_is_that_of_scipy_on_the_same_resamples(kind, n):
    rng = np.random.default_rng(n)
    sizes = rng.integers(1, 6, n).astype(float) if kind == "by group" else ones(n)
    sums = {
        "lognormal": rng.lognormal(0, 1, n),
        "differences": (rng.random(n) < 0.5) * rng.normal(0.1, 0.4, n),
        "by group": rng.binomial(sizes.astype(int), 0.7).astype(float),
        "right and wrong": rng.choice([-1.0, 0.0, 1.0], n),
    }[kind]
    found = of(sums, sizes)
    assert found.method == "group-bootstrap-bca"
    assert found._bca(Z) == pytest.approx(scipy_interval(found, sums, sizes), abs=1e-6)
    assert found.percentile(Z) == pytest.approx(scipy_interval(found, sums, sizes, "percentile"), abs=1e-6)


def test_the_expanded_interval_is_wider_for_few_groups_and_the_same_for_many():
    few, many = of(np.random.default_rng(1).normal(size=12)), of(np.random.default_rng(1).normal(size=20_000))
    assert few.reach == pytest.approx(2.2009852 * (12 / 11) ** 0.5)  # Student's t of 11 degrees of freedom
    assert many.reach == pytest.approx(Z, abs=3e-4)
    assert few.interval[0] < few._bca(Z)[0] < few._bca(Z)[1] < few.interval[1]


@pytest.mark.parametrize(
    ("draw", "true"),
    [
        (lambda rng, n: rng.normal(0.1, 0.3, n), 0.1),
        (lambda rng, n: rng.beta(0.5, 2, n), 0.2),
    ],
)
def test_expanded_bca_covers_where_plain_bca_does_not(draw, true):
    rng, inside, plain = np.random.default_rng(8), [], []
    for trial in range(300):
        found = of(draw(rng, 15), seed=trial, resamples=1000)
        inside.append(found.interval[0] <= true <= found.interval[1])
        low, high = found._bca(Z)
        plain.append(low <= true <= high)
    assert np.mean(inside) > np.mean(plain)
    assert np.mean(inside) >= 0.92  # 0.95 less two standard errors of 300 trials


def test_acceleration_is_a_sixth_of_the_skewness_for_single_examples():
    values = np.random.default_rng(2).lognormal(size=50)
    away = values - values.mean()
    expected = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    assert acceleration(values, ones(50)) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(acceleration(ones(1), ones(1)))
    assert np.isnan(acceleration(ones(5), ones(5)))


def test_where_bca_is_not_defined_the_percentile_interval_stands_in():
    draws = np.linspace(0.2, 0.4, 999)
    one_sided = Bootstrap(draws, 0.1, 20, 0.01)
    assert (one_sided.method, one_sided.bias) == ("group-bootstrap-percentile", -np.inf)
    assert one_sided.interval[0] == 0.1  # the estimate is never left out
    assert one_sided.interval[1] == pytest.approx(np.quantile(draws, 0.98421), abs=1e-4)  # t, 19 degrees: 2.147
    assert Bootstrap(draws, 0.3, 20, float("nan")).method == "group-bootstrap-percentile"
    assert Bootstrap(draws, 0.3, 20, 0.6).method == "group-bootstrap-percentile"  # 1 - a z is negative
    assert 0 < one_sided.at_most(0.0) <= one_sided.at_most(0.3) < one_sided.at_most(0.5) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_one_sided_tests_and_the_interval_say_the_same(seed):
    found = of(np.random.default_rng(seed).lognormal(size=30), seed=seed, resamples=20_000)
    low, high = found.interval
    assert found.at_most(low) == pytest.approx(0.025, abs=5e-4)
    assert found.at_least(high) == pytest.approx(0.025, abs=5e-4)
    assert found.at_most(low - 0.05) < 0.025 < found.at_most(low + 0.05)
    assert found.at_most(-100) >= 1 / 20_001
    assert found.at_most(100) > 0.95


@pytest.mark.parametrize("n", [40, 700, 5003])
@pytest.mark.parametrize("shape", [0.05, 3.0])
def test_resampled_sums_have_the_moments_of_a_bootstrap(n, shape):
    values = np.random.default_rng(n).gamma(shape, 1, n)
    drawn = resampled_sums(values[:, None], rng=np.random.default_rng(1), resamples=40_000)[:, 0]
    away = values - values.mean()
    variance = (away**2).sum()
    skewness = (away**3).sum() / variance**1.5
    kurtosis = 3 + ((away**4).sum() - 3 * (away**2).sum() ** 2 / n) / variance**2
    standard = (drawn - values.sum()) / variance**0.5
    assert standard.mean() == pytest.approx(0, abs=4 / 200)
    assert (standard**2).mean() == pytest.approx(1, abs=4 * (kurtosis - 1) ** 0.5 / 200)
    assert (standard**3).mean() == pytest.approx(skewness, abs=0.15)


def test_a_computed_distribution_is_the_binomial_one():
    from scipy import stats

    draws = resampling._by_convolution((np.arange(600) < 3).astype(float), np.random.default_rng(2), 40_000)
    times = np.rint(draws)
    assert np.abs(draws - times).max() < 0.05  # a value lies between two points of the grid
    seen = np.bincount(np.minimum(times, 9).astype(int), minlength=10)
    chances = np.append(stats.binom.pmf(range(9), 600, 3 / 600), stats.binom.sf(8, 600, 3 / 600))
    assert stats.chisquare(seen, chances * 40_000).pvalue > 0.01


@pytest.mark.parametrize("shape", [0.02, 1.0])
def test_a_computed_distribution_is_that_of_drawing_one_by_one(shape):
    from scipy import stats

    values = np.random.default_rng(9).gamma(shape, 1, 700)
    computed = resampling._by_convolution(values, np.random.default_rng(3), 20_000)
    drawn = resampling._one_by_one(values[:, None], np.random.default_rng(4), 20_000)[:, 0]
    assert stats.ks_2samp(computed, drawn).pvalue > 0.01
    assert computed.min() >= 0


def test_groups_of_unlike_sizes_are_drawn_whole():
    sizes = np.random.default_rng(5).integers(1, 9, 900).astype(float)
    drawn = resampled_sums(np.stack([sizes / 7, sizes], axis=1), rng=np.random.default_rng(1), resamples=200)
    assert drawn[:, 0] == pytest.approx(drawn[:, 1] / 7)
    assert drawn[:, 1].std() == pytest.approx(sizes.std() * 30, rel=0.2)


@pytest.mark.parametrize("n", [300, 700])
def test_draws_do_not_depend_on_how_many_are_made_at_a_time(n, monkeypatch):
    columns = np.random.default_rng(3).normal(size=(n, 2))
    whole = resampled_sums(columns, rng=np.random.default_rng(1), resamples=333)
    monkeypatch.setattr(resampling, "_CELLS", 7 * n)
    assert (resampled_sums(columns, rng=np.random.default_rng(1), resamples=333) == whole).all()


@pytest.mark.parametrize("values", [np.full(3000, 0.7), np.random.default_rng(4).gamma(1, 1, 61)])
def test_random_signs_have_the_moments_of_fair_coins(values):
    sums = random_sign_sums(values, rng=np.random.default_rng(5), resamples=40_000)
    assert sums.mean() == pytest.approx(0, abs=4 * (np.square(values).sum() / 40_000) ** 0.5)
    assert sums.var() == pytest.approx(np.square(values).sum(), rel=0.04)
    assert np.abs(sums).max() <= values.sum()


def test_fixed_point_sums_are_exact_in_any_order():
    values = fixed_point(np.random.default_rng(6).normal(size=10_001))
    assert values.sum() == values[::-1].sum() == sum(values.tolist())
    assert fixed_point(np.zeros(3)).tolist() == [0, 0, 0]
    assert fixed_point(np.array([0.1]))[0] == pytest.approx(0.1, abs=1e-15)


def test_a_hundred_thousand_pairs_are_quick():
    import time

    rng = np.random.default_rng(7)
    start = time.process_time()
    for values in (rng.choice([-1.0, 0.0, 1.0], 100_000), rng.normal(0, 0.8, 100_000)):
        found = of(values, resamples=10_000)
        assert found.interval[1] - found.interval[0] == pytest.approx(2 * Z * values.std() / 100_000**0.5, rel=0.05)
    assert time.process_time() - start < 4
