from __future__ import annotations

import numpy as np
import pytest
from answers import answers_of, compared
from pages import row_of

from ragmed.comparison.compare import ComparisonSettings
from ragmed.comparison.statistics.bootstrap import Bootstrap
from ragmed.comparison.statistics.differences import (
    Mirrored,
    ScoreEvidence,
    difference_evidence,
    equivalence,
    tango,
    tango_z,
)
from ragmed.comparison.statistics.intervals import generator
from ragmed.comparison.verdicts import conclude
from ragmed.errors import DataError


def test_tangos_statistic_is_as_published():
    # Tango, Statistics in Medicine 1998;17:891-908: disinfection of contact lenses, 44 pairs, 0 and 1 discordant.
    assert tango_z(0, 1, 44, -0.1) == pytest.approx(1.709, abs=5e-4)
    assert ScoreEvidence(0, 1, 44).at_most(-0.1) == pytest.approx(0.0437, abs=1e-4)


@pytest.mark.parametrize(("fixed", "broke"), [(25, 3), (6, 16), (7, 7), (1, 0)])
def test_at_a_difference_of_0_the_statistic_is_mcnemars(fixed, broke):
    from statsmodels.stats.contingency_tables import mcnemar

    expected = mcnemar([[10, fixed], [broke, 10]], exact=False, correction=False).statistic
    assert tango_z(fixed, broke, 60, 0.0) ** 2 == pytest.approx(expected)
    assert tango_z(0, 0, 60, 0.0) == 0


@pytest.mark.parametrize(("fixed", "broke", "n"), [(12, 2, 50), (0, 0, 60), (0, 9, 30), (129, 101, 1089)])
def test_one_sided_tests_and_tangos_interval_say_the_same(fixed, broke, n):
    low, high = tango(fixed, broke, n)
    evidence = ScoreEvidence(fixed, broke, n, estimate=(fixed - broke) / n)
    assert evidence.at_most(low) == pytest.approx(0.025, abs=1e-8)
    assert evidence.at_least(high) == pytest.approx(0.025, abs=1e-8)
    assert evidence.at_most(-1.0) > 0
    assert equivalence(evidence, 0.0)["equivalence"] >= 0.5


def test_the_opposite_difference_has_the_opposite_evidence():
    evidence = ScoreEvidence(12, 2, 50, estimate=0.2)
    other = Mirrored(evidence)
    assert other.interval == (-evidence.interval[1], -evidence.interval[0])
    assert other.at_most(-0.05) == evidence.at_least(0.05)
    assert equivalence(other, 0.1)["equivalence"] == equivalence(evidence, 0.1)["equivalence"]


def test_a_bootstrap_agrees_with_students_two_one_sided_tests():
    from statsmodels.stats.weightstats import DescrStatsW

    values = np.random.default_rng(1).normal(0.01, 0.1, 60)
    found = difference_evidence(values, np.ones(60), span=1, rng=generator(0, "x"), resamples=100_000)
    assert isinstance(found, Bootstrap)
    larger, below, above = DescrStatsW(values).ttost_mean(-0.03, 0.03)
    assert found.at_most(-0.03) == pytest.approx(below[1], abs=0.003)
    assert found.at_least(0.03) == pytest.approx(above[1], abs=0.003)
    assert equivalence(found, 0.03)["equivalence"] == pytest.approx(larger, abs=0.003)


def samples(fixed, broke, same, *, task="medqa"):
    old = [0] * fixed + [1] * (broke + same)
    new = [1] * fixed + [0] * broke + [1] * same
    return answers_of({"general": old, "rag": new}, task=task)


def test_a_contrast_says_whether_it_is_equivalent_and_whether_not_inferior():
    settings = ComparisonSettings(baseline="general", margin=0.05)
    row = compared(samples(8, 8, 484), settings).contrasts[0]
    assert (row.verdict, row.noninferiority.shown) == ("equivalent", True)
    assert row.equivalence.p == row.noninferiority.p == ScoreEvidence(8, 8, 500).at_most(-0.05)
    row = compared(samples(40, 10, 450), settings).contrasts[0]
    assert (row.verdict, row.noninferiority.shown) == ("better", True)
    assert row.equivalence.p > 0.5
    row = compared(samples(2, 6, 92), settings).contrasts[0]
    assert (row.verdict, row.noninferiority.shown) == ("cannot-tell", False)


def test_equivalence_is_adjusted_over_the_family():
    # Alone, p is 0.0204 and the interval within the margin; with three like it, Holm's p is 0.0817.
    settings = ComparisonSettings(baseline="general", margin=0.05)
    one = samples(3, 3, 134)
    alone = compared(one, settings).contrasts[0]
    assert alone.verdict == "equivalent"
    four = one | {k: v for t in "abc" for k, v in samples(3, 3, 134, task=t).items()}
    rows = compared(four, settings).contrasts
    assert [row.equivalence.p_adjusted for row in rows] == pytest.approx([4 * alone.equivalence.p] * 4)
    assert {row.verdict for row in rows} == {"cannot-tell"}
    found = compared(four, ComparisonSettings(baseline="general", correction="benjamini-hochberg"))
    assert {row.verdict for row in found.contrasts} == {"equivalent"}
    assert found.correction == "benjamini-hochberg"
    assert any("Benjamini and Hochberg's over all 4 contrasts" in note for note in found.notes)


@pytest.mark.parametrize("change", [{"p": float("nan")}, {"p": 1.2}, {"ci": (0.1, float("nan"))}])
def test_what_is_no_number_is_named_and_never_joins_a_family(change):
    settings = ComparisonSettings(baseline="general")
    row = row_of("contrasts", **{"difference": 0.1, "ci": (0.0, 0.2)} | change)
    with pytest.raises(DataError, match=r"'rag' on 'medqa': its (p|interval) is"):
        conclude([("'rag' on 'medqa'", True, row)], settings)
