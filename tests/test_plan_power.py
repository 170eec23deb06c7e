"""Power and sample size: against exact enumeration, simulation with the real test and verdict, and published values."""

import math
from functools import cache
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import multinomial
from statsmodels.stats.power import TTestPower

from ragmed.comparison.statistics.differences import ScoreEvidence, equivalence, tango
from ragmed.comparison.statistics.significance import mcnemar_exact
from ragmed.comparison.verdicts import decide
from ragmed.errors import UsageError
from ragmed.planning import power
from ragmed.planning.graded import (
    better_power_t,
    equivalence_power_t,
    examples_for_margin_t,
    examples_needed_t,
    smallest_difference_t,
    smallest_margin_t,
)
from ragmed.planning.power import (
    better_power,
    equivalence_power,
    examples_for_margin,
    examples_needed,
    smallest_difference,
    smallest_margin,
)


@cache
def verdict(fixed: int, broke: int, n: int, family: int, margin: float) -> str:
    """As the comparison concludes, at the first step of Holm's correction."""
    p = min(1.0, family * mcnemar_exact(fixed, broke))
    two_sided = min(1.0, family * equivalence(ScoreEvidence(fixed, broke, n), margin)["equivalence"])
    return decide(p, tango(fixed, broke, n), alpha=0.05, margin=margin, equivalence=two_sided)


def shares(discordance: float, difference: float) -> list[float]:
    return [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]


def enumerated(n: int, discordance: float, difference: float, *, family: int, margin: float, said: str) -> float:
    """Every table that n pairs can give, with its probability, judged by the test, the interval and the verdict."""
    total = 0.0
    for fixed in range(n + 1):
        for broke in range(n + 1 - fixed):
            if verdict(fixed, broke, n, family, margin) == said:
                table = [fixed, broke, n - fixed - broke]
                total += float(multinomial.pmf(table, n, shares(discordance, difference)))
    return total


def simulated(n: int, discordance: float, difference: float, *, family: int, margin: float, said: str) -> float:
    """The share of 6,000 experiments; its own error is 1 point (95 %) at a share of 0.8."""
    drawn = np.random.default_rng([n, family]).multinomial(n, shares(discordance, difference), size=6000)[:, :2]
    tables, counts = np.unique(drawn, axis=0, return_counts=True)
    found = [verdict(int(fixed), int(broke), n, family, margin) == said for fixed, broke in tables]
    return float(counts[found].sum()) / 6000


@pytest.mark.parametrize("n", [1, 2, 5, 6, 9, 14, 21])
@pytest.mark.parametrize(("discordance", "difference"), [(0.3, 0.2), (0.5, 0.5), (1.0, 0.6), (0.05, 0.0)])
@pytest.mark.parametrize("family", [1, 7])
def test_power_is_what_all_tables_together_give(n: int, discordance: float, difference: float, family: int) -> None:
    found = better_power(n, discordance=discordance, difference=difference, alpha=0.05 / family)
    assert found == pytest.approx(
        enumerated(n, discordance, difference, family=family, margin=0.01, said="better"), abs=1e-10
    )


@pytest.mark.parametrize(("n", "margin"), [(1, 0.9), (3, 0.8), (8, 0.6), (15, 0.5), (22, 0.45), (30, 0.3)])
@pytest.mark.parametrize("discordance", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("family", [1, 5])
def test_power_to_show_equivalence_is_what_all_tables_give(
    n: int, margin: float, discordance: float, family: int
) -> None:
    found = equivalence_power(n, discordance=discordance, margin=margin, alpha=0.05 / family)
    by_hand = enumerated(n, discordance, 0.0, family=family, margin=margin, said="equivalent")
    assert found == pytest.approx(by_hand, abs=1e-10)


CELLS = [(20, 0.6), (20, 1.0), (70, 0.1), (70, 0.3), (200, 0.1), (200, 0.6), (700, 0.25), (2000, 0.05), (2000, 0.5)]


@pytest.mark.parametrize(("n", "discordance"), CELLS)
@pytest.mark.parametrize("family", [1, 12])
def test_stated_power_is_reached_within_2_points(n: int, discordance: float, family: int) -> None:
    """With the real test, interval and verdict."""
    alpha = 0.05 / family
    true = smallest_difference(n, discordance=discordance, alpha=alpha, power=0.8)
    stated = 0.8
    if true is None:
        true = discordance
        stated = better_power(n, discordance=discordance, difference=true, alpha=alpha)
    found = simulated(n, discordance, true, family=family, margin=0.01, said="better")
    assert found == pytest.approx(stated, abs=0.02)


@pytest.mark.parametrize("n", [20, 150, 2000])
def test_without_a_difference_few_are_called_better(n: int) -> None:
    stated = better_power(n, discordance=0.3, difference=0.0, alpha=0.05)
    assert 0 <= stated <= 0.025
    assert simulated(n, 0.3, 0.0, family=1, margin=0.01, said="better") == pytest.approx(stated, abs=0.01)


@pytest.mark.parametrize(("n", "discordance"), [(70, 0.3), (300, 0.1), (1000, 0.25)])
@pytest.mark.parametrize("family", [1, 12])
def test_stated_power_to_show_equivalence_is_reached_within_2_points(n: int, discordance: float, family: int) -> None:
    margin = smallest_margin(n, discordance=discordance, alpha=0.05 / family, power=0.8)
    assert margin is not None
    stated = equivalence_power(n, discordance=discordance, margin=margin, alpha=0.05 / family)
    assert stated >= 0.8
    found = simulated(n, discordance, 0.0, family=family, margin=margin, said="equivalent")
    assert found == pytest.approx(stated, abs=0.02)


def test_the_test_alone_has_the_power_that_g_power_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """O'Brien's example in the manual of G*Power 3.1 (exact, McNemar): 0.08 against 0.32, N 50, one-sided 0.05."""
    monkeypatch.setattr(power, "Z", 0.0)  # G*Power knows no interval beside the test
    power._most_broke.cache_clear()
    try:
        found = better_power(50, discordance=0.4, difference=0.24, alpha=0.1)
        actual = better_power(50, discordance=0.4, difference=0.0, alpha=0.1)
    finally:
        power._most_broke.cache_clear()
    assert found == pytest.approx(0.839343, abs=2e-5)
    assert actual == pytest.approx(0.032578, abs=2e-6)


def test_where_all_pairs_are_discordant_it_is_the_sign_test() -> None:
    # n 20, 80 % positive: rejected from 15 on; P(X >= 15) by the binomial distribution (Cohen 1988, table 5.3: .80)
    tail = sum(math.comb(20, k) * 0.8**k * 0.2 ** (20 - k) for k in range(15, 21))
    assert better_power(20, discordance=1.0, difference=0.6, alpha=0.05) == pytest.approx(tail, abs=1e-12)
    assert round(tail, 2) == 0.80


@pytest.mark.parametrize(("discordance", "difference"), [(0.25, 0.05), (0.1, 0.02), (0.4, 0.1), (0.3, 0.01)])
def test_needed_examples_lie_just_above_connor_s_approximation(discordance: float, difference: float) -> None:
    """Connor, Biometrics 1987;43:207-211, which knows neither the exact test's caution nor its discreteness."""
    z = NormalDist().inv_cdf
    root = z(0.975) * math.sqrt(discordance) + z(0.8) * math.sqrt(discordance - difference**2)
    connor = (root / difference) ** 2
    found = examples_needed(discordance, difference, 0.05, 0.8)
    assert found is not None
    assert connor < found < connor + 3 / difference


@pytest.mark.parametrize("discordance", [0.25, 0.9, 1.0])
def test_needed_examples_have_the_power_and_one_fewer_has_not(discordance: float) -> None:
    for difference in (0.1, discordance * 0.9):
        n = examples_needed(discordance, difference, 0.05, 0.8)
        assert n is not None
        powers = [
            better_power(m, discordance=discordance, difference=difference, alpha=0.05) for m in range(n - 1, n + 40)
        ]
        assert powers[0] < 0.8 <= min(powers[1:])
    n = examples_for_margin(discordance, 0.1, 0.05, 0.8)
    assert n is not None
    shown = [equivalence_power(m, discordance=discordance, margin=0.1, alpha=0.05) for m in range(n - 1, n + 40)]
    assert shown[0] < 0.8 <= min(shown[1:])


def test_seventy_cases_cannot_show_five_points() -> None:
    """As many as the NEJM cases of the papers."""
    assert smallest_difference(70, discordance=0.3, alpha=0.05, power=0.8) == pytest.approx(0.187, abs=5e-4)
    assert better_power(70, discordance=0.3, difference=0.05, alpha=0.05) == pytest.approx(0.0771, abs=5e-5)
    assert examples_needed(0.3, 0.05, 0.05, 0.8) == 975


def test_a_wider_alpha_does_not_outdo_the_interval() -> None:
    strict = better_power(200, discordance=0.3, difference=0.1, alpha=0.05)
    wide, wider = (better_power(200, discordance=0.3, difference=0.1, alpha=alpha) for alpha in (0.2, 0.9))
    assert strict < wide == wider < 1


def test_large_sets_are_exact_too() -> None:
    found = smallest_difference(100_000, discordance=0.25, alpha=0.05, power=0.8)
    assert found == pytest.approx(0.00444, abs=1e-5)
    z = NormalDist().inv_cdf
    assert found == pytest.approx((z(0.975) + z(0.8)) * math.sqrt(0.25 / 100_000), rel=3e-3)
    assert examples_needed(0.25, 0.0001, 0.05, 0.8) is None  # more than 10 million


def test_what_cannot_be_shown_is_none() -> None:
    assert smallest_difference(1, discordance=0.25, alpha=0.05, power=0.8) is None
    assert smallest_difference(20, discordance=0.25, alpha=0.05, power=0.8) is None
    assert better_power(1, discordance=1.0, difference=1.0, alpha=0.05) == 0.0
    assert smallest_margin(1, discordance=0.25, alpha=0.05, power=0.8) is None
    assert examples_for_margin(0.25, 0.0, 0.05, 0.8) is None


def test_what_no_two_arms_can_have_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"difference of 0\.3 with a discordance of 0\.25"):
        better_power(50, discordance=0.25, difference=0.3, alpha=0.05)
    for n, discordance, alpha, message in [
        (50, 0.0, 0.05, "a discordance of 0 cannot"),
        (50, 1.2, 0.05, "a discordance of 1.2 cannot"),
        (50, float("nan"), 0.05, "a discordance of nan cannot"),
        (0, 0.25, 0.05, "the number of examples is 0"),
        (50, 0.25, 0.0, "alpha is 0"),
    ]:
        with pytest.raises(UsageError, match=message):
            better_power(n, discordance=discordance, difference=0.0, alpha=alpha)
    with pytest.raises(UsageError, match="a difference of 0 cannot be detected"):
        examples_needed(0.25, 0.0, 0.05, 0.8)


@pytest.mark.parametrize(("n", "effect"), [(2, 0.2), (2, 1.2), (5, 0.5), (34, 0.5), (34, 0.2), (150, 0.2)])
def test_graded_power_is_that_of_the_paired_t_test(n: int, effect: float) -> None:
    found = better_power_t(n, sd=0.2, difference=0.2 * effect, alpha=0.05)
    both = TTestPower().power(effect_size=effect, nobs=n, alpha=0.05, alternative="two-sided")
    wrong_side = TTestPower().power(effect_size=-effect, nobs=n, alpha=0.025, alternative="larger")
    assert found == pytest.approx(both - wrong_side, abs=1e-6)


def test_graded_sizes() -> None:
    assert examples_needed_t(1.0, 0.5, 0.05, 0.8) == 34  # Cohen 1988, table 2.4, and G*Power
    assert examples_needed_t(1.0, 0.2, 0.05, 0.8) == 199
    assert smallest_difference_t(34, sd=1.0, alpha=0.05, power=0.8) == pytest.approx(0.495, abs=1e-3)
    assert smallest_difference_t(1, sd=1.0, alpha=0.05, power=0.8) is None
    assert smallest_margin_t(1, sd=1.0, alpha=0.05, power=0.8) is None
    n = examples_for_margin_t(0.25, 0.1, 0.05, 0.8)
    margin = smallest_margin_t(68, sd=0.25, alpha=0.05, power=0.8)
    assert n == 68
    assert margin is not None
    assert margin <= 0.1
    with pytest.raises(UsageError, match="standard deviation of 0"):
        better_power_t(10, sd=0.0, difference=0.1, alpha=0.05)


def test_graded_power_to_show_equivalence_is_reached_within_2_points() -> None:
    n, sd, margin = 60, 0.25, 0.1
    drawn = np.random.default_rng(4).normal(0.0, sd, size=(20_000, n))
    half = 2.000995 * drawn.std(axis=1, ddof=1) / math.sqrt(n)  # t of 59 degrees of freedom at 0.975
    shown = float(np.mean(np.abs(drawn.mean(axis=1)) + half <= margin))
    assert equivalence_power_t(n, sd=sd, margin=margin, alpha=0.05) == pytest.approx(shown, abs=0.02)
