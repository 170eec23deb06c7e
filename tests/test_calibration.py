"""Calibration and abstention: values worked out by hand, by exact enumeration and by scikit-learn."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from answers import answer, changed, facts_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from ragmed.comparison.columns import build_tables
from ragmed.comparison.diagnosis.calibration import calibration_error, probabilities, risk_area, risk_curve
from ragmed.comparison.diagnosis.diagnose import RunFacts, diagnose
from ragmed.comparison.settings import ComparisonSettings
from ragmed.records import Answer

WRONG = dict.fromkeys(("unparsed", "refused", "truncated"), "wrong")


def sample(number: int, logprobs: tuple[float, ...], gold: str, **more: Any) -> Answer:
    given = {"options": tuple("word" for _ in logprobs), "option_logprobs": logprobs} | more
    return answer(f"e{number:03}", "a", "t", value="ABCD"[int(np.argmax(logprobs))], gold=gold, **given)


def rows(samples: list[Answer], **task: str) -> list[dict[str, object]]:
    given = {("a", "t"): samples}
    tables = build_tables(given, WRONG, facts_of(given))
    asked = ComparisonSettings(baseline="a", resamples=200)
    found = diagnose(given, tables, contrasts=[], settings=asked, facts=RunFacts(tasks={"t": task}))
    return found.calibration


def test_the_error_by_hand() -> None:
    # (0.9, 1.0]: 0.95 and 0.97, one right: |1.92 - 1|; (0.5, 0.6]: 0.6 (its upper bound belongs to it), right: 0.4
    confidence, right = np.array([0.95, 0.97, 0.6, 0.55]), np.array([1.0, 0.0, 1.0, 1.0])
    assert calibration_error(confidence, right) == pytest.approx((0.92 + 0.85) / 4)
    assert calibration_error(np.array([0.3, 0.25]), np.array([1.0, 0.0])) == pytest.approx(0.45 / 2)  # 0.3 * 10 > 3


def test_the_area_by_hand() -> None:
    # risks 0/1, 1/2, 1/3, 2/4
    assert risk_area(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0.0])) == pytest.approx(
        (1 / 2 + 1 / 3 + 1 / 2) / 4
    )
    assert risk_area(np.array([0.5, 0.9]), np.array([1.0, 1.0])) == 0.0
    assert risk_area(np.array([0.5]), np.array([0.0])) == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.3, 0.5, 0.9]), st.booleans()), min_size=1, max_size=6))
def test_equal_confidence_is_the_mean_over_all_orders(answers: list[tuple[float, bool]]) -> None:
    areas = []
    for order in permutations(answers):
        if [c for c, _ in order] == sorted((c for c, _ in answers), reverse=True):
            wrong = np.cumsum([not right for _, right in order])
            areas.append(float(np.mean(wrong / np.arange(1, len(order) + 1))))
    confidence, right = (np.array(part, np.float64) for part in zip(*answers, strict=True))
    assert risk_area(confidence, right) == pytest.approx(np.mean(areas), abs=1e-12)
    curve = risk_curve(confidence, right)
    assert np.mean([risk for _, risk in curve]) == pytest.approx(np.mean(areas), abs=1e-12)
    assert curve[-1] == (1.0, pytest.approx(1 - right.mean()))


def test_a_curve_has_at_most_fifty_points_and_ends_at_the_error_rate() -> None:
    rng = np.random.default_rng(0)
    right = rng.integers(0, 2, 1234).astype(float)
    curve = risk_curve(rng.random(1234), right)
    assert len(curve) == 50
    assert curve[-1] == (1.0, pytest.approx(1 - right.mean()))


def test_confidence_comes_from_what_the_option_was_chosen_by() -> None:
    one = sample(1, (-2.0, -4.0), "A", options=("ab", "abcdefgh"), option_tokens=(1, 4))
    shares = {"none": (-2.0, -4.0), "characters": (-1.0, -0.5), "tokens": (-2.0, -1.0)}
    for normalise, values in shares.items():
        expected = np.exp(values) / np.exp(values).sum()
        assert probabilities(one, normalise) == pytest.approx(expected)
    letters = changed(one, continuations=("A", "B"))
    assert probabilities(letters, "characters") == pytest.approx(np.exp([-2, -4]) / np.exp([-2, -4]).sum())
    assert probabilities(sample(1, (-2.0, -4.0), "A"), "tokens") is None  # their number was not recorded


def test_a_row() -> None:
    rng = np.random.default_rng(1)
    logits = np.log(rng.dirichlet((1, 1, 1), 60))
    gold = [("ABC"[rng.choice(3, p=np.exp(one))]) for one in logits]
    (row,) = rows([sample(i, tuple(one), g, group=f"g{i // 2}") for i, (one, g) in enumerate(zip(logits, gold))])
    assert row.n == 60
    assert row.brier == pytest.approx(brier_score_loss(gold, np.exp(logits), labels=list("ABC"), scale_by_half=False))
    for name in ("ece", "aurc"):
        low, high = getattr(row, f"{name}_ci")  # type: ignore[misc]
        assert 0 <= low <= getattr(row, name) <= high <= 1  # type: ignore[operator]
        assert high - low > 0.01
    bins = row.bins
    assert sum(one.n for one in bins) == 60  # type: ignore[attr-defined, misc]
    gaps = [one.n * abs(one.confidence - one.right) for one in bins if one.n]  # type: ignore[attr-defined]
    assert sum(gaps) / 60 == pytest.approx(row.ece)


def test_degenerate_rows_are_finite() -> None:
    (one,) = rows([sample(1, (0.0, -1.0), "A")])
    assert one.ece == pytest.approx(1 - 1 / (1 + np.exp(-1)))
    assert (one.aurc, one.ece_ci, one.aurc_ci, one.curve) == (0.0, None, None, ((1.0, 0.0),))
    (flat,) = rows([sample(i, (-1.0, -1.0), "B") for i in range(5)])
    assert (flat.ece, flat.aurc) == (0.5, 1.0)
    assert rows([answer("1", "a", "t")]) == ()


@pytest.mark.parametrize("seed", range(3))
def test_the_intervals_hold_the_truth_of_a_calibrated_model(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.5, 1, 800)
    gold = np.where(rng.random(800) < p, "A", "B")
    (row,) = rows(
        [sample(i, (float(np.log(x)), float(np.log(1 - x))), str(g)) for i, (x, g) in enumerate(zip(p, gold))]
    )
    assert row.ece_ci[0] < 0.01  # type: ignore[index]
