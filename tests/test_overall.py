from __future__ import annotations

import numpy as np
import pytest
from answers import answers_of, compared
from pages import row_of

from ragmed.comparison.compare import ComparisonSettings
from ragmed.comparison.overall import overall, pooled
from ragmed.comparison.statistics.bootstrap import Z

SETTINGS = ComparisonSettings(baseline="general")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [2, 3, 8])
def test_the_overall_difference_is_that_of_statsmodels(seed, k):
    from statsmodels.stats.meta_analysis import combine_effects

    rng = np.random.default_rng(seed)
    errors = rng.uniform(0.01, 0.05, k)
    differences = rng.normal(0.03, 0.06, k)
    theirs = combine_effects(differences, errors**2, method_re="iterated", use_t=True, atol=1e-6, maxiter=500)
    ours = pooled(differences.tolist(), errors.tolist())
    assert ours.tau**2 == pytest.approx(max(0.0, theirs.tau2), abs=1e-8)
    assert ours.difference == pytest.approx(theirs.mean_effect_re, abs=1e-6)
    homogeneity = theirs.test_homogeneity()
    assert (ours.q, ours.q_p) == pytest.approx((homogeneity.statistic, homogeneity.pvalue), abs=1e-6)
    assert ours.i2 == pytest.approx(max(0.0, theirs.i2), abs=1e-6)
    if ours.tau > 0:
        assert ours.error == pytest.approx(theirs.sd_eff_w_re_hksj, abs=1e-6)
        assert ours.interval == pytest.approx(theirs.conf_int()[3], abs=1e-6)  # random effects, Hartung and Knapp
    else:
        assert ours.error == pytest.approx(theirs.sd_eff_w_re, abs=1e-6)  # where theirs would be narrower than this


def test_equal_differences_leave_doubt_and_two_tasks_leave_much():
    equal = pooled([0.1, 0.1, 0.1], [0.02, 0.02, 0.02])
    assert (equal.tau, equal.q, equal.i2, equal.q_p) == (0, pytest.approx(0), 0, pytest.approx(1))
    reach = 4.302653 * 0.02 / 3**0.5  # Student's t of 2 degrees of freedom
    assert equal.interval == pytest.approx((0.1 - reach, 0.1 + reach), abs=1e-6)
    assert equal.prediction == pytest.approx((0.1 - 12.706205 * 0.02 / 3**0.5, 0.1 + 12.706205 * 0.02 / 3**0.5))
    two = pooled([0.1, 0.1], [0.02, 0.02])
    assert two.prediction is None
    assert two.interval[1] - two.interval[0] == pytest.approx(2 * 12.706205 * 0.02 / 2**0.5, abs=1e-6)
    assert 0 < two.p < 1
    assert pooled([0.0, 0.0], [0.02, 0.02]).p == 1.0


def test_prediction_by_hand():
    found = pooled([0.0, 0.1, 0.2, 0.3], [0.01] * 4)
    tau2 = 0.05 / 3 - 0.0001  # variance of the four, less that of each
    reach = 4.302653 * (tau2 + 0.05 / 3 / 4) ** 0.5
    assert found.tau**2 == pytest.approx(tau2)
    assert found.prediction == pytest.approx((0.15 - reach, 0.15 + reach), abs=1e-6)


def row(task, difference, ci):
    return row_of("contrasts", task=task, baseline="general", arm="rag", difference=difference, ci=ci)


def test_tasks_without_a_score_and_tasks_asked_twice_are_left_out_and_named():
    rows = [
        row("medqa", 0.1, (0.06, 0.14)),
        row("medqa-letters", 0.3, (0.26, 0.34)),
        row("mmlu", 0.12, (0.08, 0.16)),
        row("empty", None, None),
    ]
    found, notes = overall(rows, settings=SETTINGS, same={"medqa-letters": "medqa"})
    assert [one.tasks for one in found] == [("medqa", "mmlu")]
    assert found[0].difference == pytest.approx(0.11)
    assert sorted(notes, reverse=True) == [
        "overall, rag against general by accuracy: medqa-letters is left out, because it asks the questions of medqa "
        "again.",
        "overall, rag against general by accuracy: empty is left out, because no example has a score in both arms.",
    ]
    assert overall(rows[:2], settings=SETTINGS, same={"medqa-letters": "medqa"})[0] == []
    assert overall(rows[:1], settings=SETTINGS, same={}) == ([], [])


def samples(scores):
    return {
        key: given for (arm, task), row in scores.items() for key, given in answers_of({arm: row}, task=task).items()
    }


def test_an_overall_difference_has_its_own_family_and_verdict():
    rng = np.random.default_rng(3)
    scores = {}
    for task in ("a", "b", "c", "d", "e", "f"):
        scores["general", task] = (rng.random(300) < 0.4).astype(float).tolist()
        scores["rag", task] = (rng.random(300) < 0.6).astype(float).tolist()
        scores["same", task] = scores["general", task]
    results = compared(samples(scores), SETTINGS)
    rag, same = results.overall
    assert (rag.arm, rag.k, rag.verdict, results.overall_family) == ("rag", 6, "better", 2)
    assert rag.ci[0] < 0.2 < rag.ci[1]
    assert rag.p_adjusted == pytest.approx(2 * rag.p)
    first = results.contrasts[1]
    assert (same.difference, same.p, same.verdict) == (0, 1, "equivalent")
    error = (first.ci[1] - first.ci[0]) / (2 * Z) / 6**0.5
    assert same.ci == pytest.approx((-2.570582 * error, 2.570582 * error), abs=1e-6)


def test_one_example_a_task_is_enough_to_say_that_nothing_can_be_told():
    results = compared(samples({(a, t): [1.0] for a in ("general", "rag") for t in "ab"}), SETTINGS)
    (found,) = results.overall
    assert (found.difference, found.p, found.verdict) == (0, 1, "cannot-tell")
    assert found.ci[1] - found.ci[0] > 1
