"""Plans of tasks in groups: what they promise is what the comparison then finds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ragmed.comparison.statistics.bootstrap import Bootstrap
from ragmed.comparison.statistics.cluster_robust import ClusterRobust
from ragmed.comparison.statistics.differences import difference_evidence, equivalence, tango
from ragmed.comparison.statistics.significance import sign_flip
from ragmed.comparison.verdicts import decide
from ragmed.planning import grouped
from ragmed.planning.cases import Assumptions, Question, task_row
from ragmed.planning.grouped import Design, better_power_grouped, resized, smallest_difference_grouped
from ragmed.planning.plan import plan_examples
from ragmed.planning.table import render_plan

UNLIKE = (1,) * 20 + (4,) * 15 + (12,) * 3


def compared(design, difference, *, trials, alpha=0.05, seed=5):
    """How often the comparison itself says `better`, of experiments drawn here, example by example."""
    rng, found = np.random.default_rng(seed), 0
    up = (design.spread + difference) / 2
    for _ in range(trials):
        sums = []
        for size in design.sizes:
            u = np.full(size, rng.random()) if rng.random() < design.icc else rng.random(size)
            sums.append(float(np.sum(u < up) - np.sum((u >= up) & (u < design.spread))))
        sums, sizes = np.array(sums), np.array(design.sizes, float)
        p = sign_flip(sums, rng=rng, resamples=800)
        if p < alpha:
            evidence = difference_evidence(sums, sizes, span=1.0, rng=rng, resamples=800)
            found += decide(p, evidence.interval, alpha=alpha, margin=0.05, equivalence=1.0) == "better"
    return found / trials


@pytest.mark.parametrize(
    "design",
    [
        Design((3,) * 40, 0.3, 0.2),
        Design(UNLIKE, 0.3, 0.3),
        Design((15,) * 20, 0.25, 0.05),
        Design((10,) * 12, 0.6, 0.1),
    ],
)
def test_the_stated_power_is_what_the_comparison_has(design):
    detectable = smallest_difference_grouped(design, alpha=0.05, power=0.8)
    assert detectable is not None
    assert better_power_grouped(design, difference=detectable, alpha=0.05) >= 0.8
    assert compared(design, detectable, trials=700) == pytest.approx(0.8, abs=0.045)  # 3 standard errors


def test_five_groups_can_show_nothing_and_it_says_so():
    design = Design((60,) * 5, 0.25, 0.0)
    assert design.least_p() == 0.0625
    assert better_power_grouped(design, difference=0.25, alpha=0.05) == 0
    assert smallest_difference_grouped(design, alpha=0.05, power=0.8) is None
    question = Question(alpha=0.05, family=1, power=0.8, difference=0.05, margin=0.05)
    groups = [str(i % 5) for i in range(300)]
    row = task_row(
        "t", "accuracy", groups, [("a", "b")], binary=True, question=question, given=Assumptions(icc=0.0), pilot=None
    )
    assert (row["test"], row["cases"][0]["power"], row["cases"][0]["detectable"]) == ("sign-flip-permutation", 0, None)
    text = render_plan({**plan_examples(300, Assumptions()), "tasks": [row]})
    assert "WARNING: 5 groups can show nothing at this alpha (0.05)" in text
    assert "exact" not in text
    assert "sign flips by group" in text


def test_a_family_may_take_what_one_contrast_could_show():
    row = task_row(
        "t", "accuracy", [str(i % 7) for i in range(70)], [("a", "b")], binary=True,
        question=Question(alpha=0.05, family=6, power=0.8, difference=0.05, margin=0.05),
        given=Assumptions(discordance=0.9, icc=1.0), pilot=None,
    )  # fmt: skip
    assert row["least_p"] == 2 / 2**7
    assert row["cases"][0]["power"] == 0
    text = render_plan({**plan_examples(70, Assumptions()), "tasks": [row], "family": 6})
    assert "7 groups can show nothing at this alpha (0.0083, the first step of 6)" in " ".join(text.split())


def test_simulated_intervals_are_those_of_the_comparison():
    rng = np.random.default_rng(1)
    sizes = np.array(UNLIKE, float)
    sums = rng.normal(size=(5, len(sizes))) * sizes
    low, high = grouped._ends(sums, Design(UNLIKE, 0.3, 0.0), 0.025)
    for place in range(5):
        assert (low[place], high[place]) == pytest.approx(ClusterRobust.of(sums[place], sizes).interval)
    sums = rng.gamma(1.0, 1.0, (5, 40))  # skewed: BCa is not the percentile interval
    low, high = grouped._ends(3 * sums, Design((3,) * 40, 0.3, 0.0), 0.025)
    for place in range(5):
        drawn = Bootstrap.of(3 * sums[place], np.full(40, 3.0), rng=rng, resamples=40_000)
        assert drawn.method == "group-bootstrap-bca"
        assert (low[place], high[place]) == pytest.approx(drawn.interval, abs=0.04 * (high[place] - low[place]))
    assert grouped._tango_upper(np.array([7.0]), np.array([2.0]), 50, 1.959964)[0] == pytest.approx(tango(7, 2, 50)[1])


@pytest.mark.parametrize("count", [9, 60])
def test_simulated_p_is_that_of_sign_flips(count):
    rng = np.random.default_rng(2)
    sums = rng.integers(-3, 5, (30, count)).astype(float)
    p = grouped._by_signs(sums, np.abs(sums.sum(axis=1)), 0.05)
    one = [sign_flip(row, rng=rng, resamples=20_000) for row in sums]
    assert p == pytest.approx(one, abs=1e-9 if count == 9 else 0.02)


def test_more_alike_groups_and_fewer_of_them_show_less():
    powers = [better_power_grouped(Design((3,) * 40, 0.3, icc), difference=0.17, alpha=0.05) for icc in (0, 0.3, 1)]
    assert powers == sorted(powers, reverse=True)
    nearly = Design((1,) * 118 + (2,), 0.25, 0.0)
    assert better_power_grouped(nearly, difference=0.135, alpha=0.05) == pytest.approx(0.80, abs=0.03)  # McNemar: 0.80
    graded = Design((3,) * 40, 0.25, 0.0, binary=False)
    assert better_power_grouped(graded, difference=0.065, alpha=0.05) == pytest.approx(
        0.80, abs=0.03
    )  # paired t: 0.805
    assert dataclasses.replace(graded, icc=1.0).groups == 40
    assert better_power_grouped(dataclasses.replace(graded, icc=1.0), difference=0.065, alpha=0.05) < 0.5


def test_groups_of_another_size_of_set():
    assert resized((2, 3), 9) == (2, 3, 2, 2)
    assert resized((2, 3), 1) == (1,)


def test_a_difference_that_is_nearly_all_of_the_discordance_is_said_to_be_so():
    assert "nearly all must then change" in " ".join(render_plan(plan_examples(32, Assumptions())).split())
    assert "nearly all" not in render_plan(plan_examples(300, Assumptions()))


def test_equivalence_within_the_simulated_margin_is_shown_as_often_as_said():
    design, rng = Design(UNLIKE, 0.2, 0.2), np.random.default_rng(3)
    margin = grouped.smallest_margin_grouped(design, alpha=0.05, power=0.8)
    sums, sizes = grouped._drawn(design, 0.0)[:400], np.array(UNLIKE, float)
    shown = 0
    for one in sums:
        evidence = difference_evidence(one, sizes, span=1.0, rng=rng, resamples=300)
        tests = equivalence(evidence, margin)
        p = sign_flip(one, rng=rng, resamples=300)
        verdict = decide(p, evidence.interval, alpha=0.05, margin=margin, equivalence=tests["equivalence"])
        shown += verdict == "equivalent"
    assert shown / 400 == pytest.approx(0.8, abs=0.06)
