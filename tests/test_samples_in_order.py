"""The same numbers in whatever order samples and tasks come; large families; questions that are pooled once."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
from answers import answer, changed, compared
from pages import row_of

from ragmed.comparison.compare import ComparisonSettings
from ragmed.comparison.paired import draws_note
from ragmed.comparison.statistics.significance import MOST_FLIPS, draws_for, sign_flip

SETTINGS = ComparisonSettings(baseline="general", resamples=500)


def answers(arm, task, scores, *, metric="rouge", options=(), group=""):
    return [
        answer(
            f"e{i}", arm, task, status="unparsed" if s is None else "answered", scores={metric: s},
            options=options[i] if options else (), group=group and f"{group}{i // 3}",
        )
        for i, s in enumerate(scores)
    ]  # fmt: skip


def test_every_number_is_the_same_to_the_last_bit_in_another_order():
    rng = random.Random(1)
    scores = {
        (arm, task): [None if rng.random() < 0.1 else rng.random() for _ in range(31)]
        for task in ("b", "c", "a", "d")
        for arm in ("general", "rag", "tuned")
    }
    given = {key: answers(*key, values, group="g") for key, values in scores.items()}
    shuffled = {key: rng.sample(found, len(found)) for key, found in reversed(given.items())}
    for key in ("scores", "contrasts", "policies", "policy_contrasts", "overall"):
        rows, other = (
            {
                (getattr(r, "task", ""), r.arm, getattr(r, "baseline", "")): r
                for r in getattr(compared(x, SETTINGS), key)
            }
            for x in (given, {k: shuffled[k] for k in sorted(shuffled, key=lambda k: (k[1] != "d", k[0] == "rag"))})
        )  # fmt: skip
        assert rows == other, key


def test_ties_do_not_depend_on_the_policy_by_the_dust_of_rounding():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values = np.round(rng.random(60), 3)
        given = {
            (arm, "t"): answers(arm, "t", [*rng.permutation(values).tolist(), *[None] * 10])
            for arm in ("general", "rag")
        }
        results = compared(given, ComparisonSettings(baseline="general", resamples=100))
        assert results.policy_contrasts[0].depends is False
        assert results.policy_rankings[0].depends is False


def test_of_a_large_family_of_clear_differences_every_one_is_found():
    given = {}
    for k in range(60):
        given["general", f"t{k}"] = answers("general", f"t{k}", [0.1] * 30 + [0.2] * 10)
        given["rag", f"t{k}"] = answers("rag", f"t{k}", [0.9] * 30 + [0.8] * 10)
    results = compared(given, SETTINGS)
    assert results.family == 60
    assert {row.verdict for row in results.contrasts} == {"better"}
    assert results.contrasts[0].p == pytest.approx(1 / 24_001)
    assert results.resamples == 500
    assert any("went on from 500 to 24,000 sign flips" in note for note in results.notes)


def test_draws_grow_with_the_family_up_to_a_cap_that_is_named():
    assert draws_for(1, 0.05, resamples=10_000, most=MOST_FLIPS) == 10_000
    assert draws_for(26, 0.05, resamples=10_000, most=MOST_FLIPS) == 10_400
    assert draws_for(10_000, 0.05, resamples=10_000, most=MOST_FLIPS) == 2_000_000
    by_flips = row_of("contrasts", test="sign-flip-permutation", primary=True)
    (note,) = draws_note([by_flips] * 6000, SETTINGS)
    assert note.endswith("No p by sign flips is below 5.0e-07, however clear a difference is.")
    assert draws_note([dataclasses.replace(by_flips, test="mcnemar-exact")] * 6000, SETTINGS) == []
    assert draws_note([by_flips] * 20, ComparisonSettings(baseline="general")) == []


def test_draws_go_on_only_where_p_is_small_and_stay_valid():
    clear, unclear = np.ones(40), np.array([1.0, -1.0] * 20)
    assert sign_flip(clear, rng=np.random.default_rng(0), resamples=200, most=4000) == 1 / 4001
    plain = sign_flip(unclear, rng=np.random.default_rng(0), resamples=200)
    assert sign_flip(unclear, rng=np.random.default_rng(0), resamples=200, most=4000) == plain
    rng = np.random.default_rng(1)
    p = np.array([sign_flip(rng.normal(size=20), rng=rng, resamples=200, most=2000) for _ in range(3000)])
    for level in (0.01, 0.05, 0.1, 0.2):
        assert np.mean(p <= level) <= level + 2.5 * (level * (1 - level) / 3000) ** 0.5


def overall_tasks(given, order):
    tasks = dict.fromkeys(sorted({task for _, task in given}, reverse=order))
    sorted_ = {key: given[key] for task in tasks for key in given if key[1] == task}
    results = compared(sorted_, SETTINGS)
    return [row.tasks for row in results.overall], results.notes


@pytest.mark.parametrize("order", [False, True])
def test_the_same_questions_are_pooled_once_whatever_the_order(order):
    rng = random.Random(2)
    options = [(f"{i} days", f"{i + 1} days") for i in range(30)]
    given = {}
    for arm in ("general", "rag"):
        for task, asked in (("changed", options), ("changed-2031", options), ("other", [o[::-1] * 2 for o in options])):
            given[arm, task] = answers(arm, task, [rng.random() for _ in range(30)], options=asked)
        given[arm, "part"] = answers(arm, "part", [rng.random() for _ in range(12)], options=options[:12])
        given[arm, "yes-no"] = answers(arm, "yes-no", [rng.random() for _ in range(9)], options=[("yes", "no")] * 9)
        given[arm, "maybe"] = answers(arm, "maybe", [rng.random() for _ in range(9)], options=[("yes", "no")] * 9)
    pooled, notes = overall_tasks(given, order)
    assert pooled == [("changed", "maybe", "other", "yes-no")]  # ids that count from 0 alone are not the same questions
    for name in ("changed-2031", "part"):
        said = f"{name} is left out, because it asks the questions of changed again."
        assert f"overall, rag against general by rouge: {said}" in notes


def test_another_name_moves_drawn_numbers_within_their_error_alone():
    rng = random.Random(3)
    given = {(arm, "t"): answers(arm, "t", [rng.random() for _ in range(40)]) for arm in ("general", "rag")}
    renamed = {("z" + a, t): [changed(one, arm="z" + a) for one in found] for (a, t), found in given.items()}
    settings = ComparisonSettings(baseline="general")
    one = compared(given, settings).contrasts[0]
    other = compared(renamed, dataclasses.replace(settings, baseline="zgeneral")).contrasts[0]
    assert one.difference == other.difference
    assert one.ci == pytest.approx(other.ci, abs=0.01)
    assert one.p == pytest.approx(other.p, abs=0.02)
