from __future__ import annotations

import json
import random
import time
from dataclasses import replace

import pytest
from answers import answer, answers_of, compared
from hypothesis import given, settings
from hypothesis import strategies as st

from ragmed.checked import dump, parse
from ragmed.comparison.compare import ComparisonSettings, Results
from ragmed.comparison.results import read_results
from ragmed.comparison.rows import NotRun
from ragmed.errors import DamagedError, DataError, MismatchError, UnknownNameError, UsageError
from ragmed.files import write_json
from ragmed.records import Answer, Score

CONTROL = ComparisonSettings(baseline="general", resamples=500)


def run(table, **words):
    return answers_of(table, input_tokens=10, output_tokens=2, seconds=0.5, **words)


def only(results, key="contrasts"):
    (row,) = getattr(results, key)
    return row


def test_a_contrast_by_hand():
    samples = run(
        {"general": [0] * 25 + [1] * 3 + [1] * 12 + [0] * 20, "rag": [1] * 25 + [0] * 3 + [1] * 12 + [0] * 20}
    )
    results = compared(samples, run="trial", settings=CONTROL)
    row = only(results)
    assert (row.baseline, row.arm, row.n, row.fixed, row.broke) == ("general", "rag", 60, 25, 3)
    assert row.difference == pytest.approx(22 / 60)
    assert row.p == row.p_adjusted == pytest.approx(2.744049e-05)
    assert (row.test, row.verdict, row.interval) == ("mcnemar-exact", "better", "tango")
    assert row.baseline_value == 0.25
    score = results.scores[0]
    assert (score.arm, score.value, score.n) == ("general", 0.25, 60)
    assert score.ci == pytest.approx([0.1578, 0.3723], abs=1e-4)
    assert dump(results.costs[1]).items() >= {
        "arm": "rag", "task": "medqa", "input_tokens": 600, "output_tokens": 120, "thinking_tokens": 0,
        "seconds": 30.0, "n": 60,
    }.items()  # fmt: skip


def test_results_have_the_keys_of_the_format_and_are_json():
    results = compared(run({"general": [0, 1], "rag": [1, 1]}), run="trial", settings=CONTROL)
    written = json.loads(json.dumps(dump(results), allow_nan=False))
    assert parse(Results, written, "results") == results
    assert {"schema", "run", "policy", "scores", "baselines", "contrasts", "costs", "family"} <= written.keys()
    assert {"arm", "task", "metric", "value", "ci", "n", "status"} <= written["scores"][0].keys()
    wanted = "task metric baseline arm n difference ci test p p_adjusted fixed broke margin verdict"
    assert set(wanted.split()) <= written["contrasts"][0].keys()
    assert written["schema"] == 1


def test_a_results_file_is_read_back_and_one_with_other_fields_is_refused_without_its_values(tmp_path):
    results = compared(run({"general": [0, 1], "rag": [1, 1]}), CONTROL, run="r")
    file, written = tmp_path / "results.json", dump(results)
    write_json(file, written)
    assert read_results(file) == results
    row = written["contrasts"][0]
    row["verdict"] = "SECRET"
    write_json(file, written)
    with pytest.raises(
        DamagedError, match=r"results file '.*', contrasts.0.verdict: .*; run `ragmed report`"
    ) as refused:
        read_results(file)
    assert "SECRET" not in str(refused.value)
    row |= {"verdict": "better", "diference": row.pop("difference")}
    write_json(file, written)
    with pytest.raises(DamagedError, match=r"key 'diference' in .*, contrasts.0; did you mean 'difference'"):
        read_results(file)


@pytest.mark.parametrize("values", [[1.0] * 40, [0.0, 1.0] * 20])
def test_identical_arms_do_not_differ(values):
    row = only(compared(run({"general": values, "rag": values}), CONTROL))
    assert (row.p, row.difference, row.fixed, row.broke) == (1.0, 0.0, 0, 0)
    assert row.ci == pytest.approx([-0.0876, 0.0876], abs=1e-4)
    assert row.verdict == "cannot-tell"


def test_identical_arms_of_many_examples_are_equivalent():
    row = only(compared(run({"general": [1.0] * 200, "rag": [1.0] * 200}), CONTROL))
    assert row.verdict == "equivalent"


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
@pytest.mark.parametrize("score", [0.0, 1.0])
def test_one_example_is_enough_to_say_that_nothing_can_be_told(metric, score):
    results = compared(run({"general": [1.0], "rag": [score]}, metric=metric), CONTROL)
    row = only(results)
    assert (row.n, row.p, row.verdict) == (1, 1.0, "cannot-tell")
    assert row.ci[1] - row.ci[0] > 0.5
    assert all(s.ci[1] - s.ci[0] > 0.5 for s in results.scores)


def test_failures_count_as_wrong_unless_the_policy_drops_them_from_both_arms():
    samples = run({"general": [1, 1, "refused", 0], "rag": ["unparsed", 1, 1, 0]})
    wrong = compared(samples, CONTROL)
    assert [(s.value, s.n) for s in wrong.scores] == [(0.5, 4), (0.5, 4)]
    assert wrong.scores[1].status == {"answered": 3, "unparsed": 1, "refused": 0, "truncated": 0, "error": 0}
    assert (only(wrong).fixed, only(wrong).broke, only(wrong).n) == (1, 1, 4)
    policy = {"unparsed": "drop"}
    mixed = compared(samples, ComparisonSettings(baseline="general", policy=policy))
    assert mixed.policy == {"unparsed": "drop", "refused": "wrong", "truncated": "wrong"}
    assert [(s.value, s.n) for s in mixed.scores] == [(0.5, 4), (pytest.approx(2 / 3), 3)]
    assert (only(mixed).n, only(mixed).left_out, only(mixed).baseline_value) == (3, 1, pytest.approx(1 / 3))


def test_nothing_left_is_said_and_not_a_zero():
    samples = run({"general": [1, 0], "rag": ["error", "error"]})
    results = compared(samples, CONTROL)
    assert [s.value for s in results.scores] == [0.5, None]
    assert (only(results).difference, only(results).verdict, only(results).n) == (None, "no-verdict", 0)


def test_examples_that_share_a_group_are_not_independent():
    groups = [f"page{i // 4}" for i in range(48)]
    scores = {"general": [0] * 48, "rag": [1] * 24 + [0] * 24}
    alone = only(compared(run(scores), CONTROL))
    row = only(compared(run(scores, groups=groups), CONTROL))
    assert (alone.test, row.test, row.groups) == ("mcnemar-exact", "sign-flip-permutation", 12)
    assert row.p == 0.03125  # 2 / 2 ** 6: six pages differ, all in one direction
    assert row.p > alone.p
    assert row.ci[1] - row.ci[0] > alone.ci[1] - alone.ci[0]
    assert (row.fixed, row.broke) == (24, 0)


def test_graded_scores_have_no_fixed_and_broke():
    rng = random.Random(0)
    base = [rng.random() / 2 for _ in range(40)]
    scores = {"general": base, "rag": [x + 0.2 + 0.1 * rng.random() for x in base]}
    row = only(compared(run(scores, metric="f1"), CONTROL))
    assert (row.fixed, row.broke, row.test) == (None, None, "sign-flip-permutation")
    assert row.p == pytest.approx(1 / 501)
    assert row.interval == "group-bootstrap-bca"
    assert row.ci[0] < 0.25 < row.ci[1]
    assert row.verdict == "better"


scores_of_three = st.lists(
    st.tuples(*[st.sampled_from([0.0, 1.0, "error", "refused"])] * 2, st.sampled_from(["", "g1", "g2"])),
    min_size=1,
    max_size=25,
)


@given(scores_of_three, st.sampled_from(["accuracy", "f1"]), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_swapping_arms_turns_the_sign_and_order_is_nothing(rows, metric, shuffler):
    groups = [group for *_, group in rows]
    samples = run({"a": [x for x, *_ in rows], "b": [y for _, y, _ in rows]}, groups=groups, metric=metric)

    def contrast(given, baseline):
        found = compared(given, ComparisonSettings(baseline=baseline, resamples=200)).contrasts
        return found[0] if found else None

    forth, back = contrast(samples, "a"), contrast(samples, "b")
    if forth is None:  # no arm has an answer: no metric
        assert back is None
        return
    if forth.difference is None:  # no pair of answers came back
        assert back.difference is None
        return
    assert back.difference == pytest.approx(-forth.difference)
    assert back.ci == pytest.approx([-forth.ci[1], -forth.ci[0]])
    assert (back.fixed, back.broke, back.p) == (forth.broke, forth.fixed, forth.p)
    assert forth.ci[0] <= forth.difference <= forth.ci[1]
    shuffled = {key: shuffler.sample(list(value), len(value)) for key, value in samples.items()}
    assert contrast(shuffled, "a") == forth


def test_swapping_arms_draws_the_same_resamples():
    rng = random.Random(2)
    samples = run({arm: [rng.random() for _ in range(30)] for arm in "ab"}, metric="f1")
    forth, back = (only(compared(samples, ComparisonSettings(baseline=arm, resamples=200))) for arm in "ab")
    assert forth.interval == "group-bootstrap-bca"
    assert back.p == forth.p < 1
    assert back.ci == pytest.approx([-forth.ci[1], -forth.ci[0]])


def test_another_arm_changes_no_number_but_the_adjusted_p():
    rng = random.Random(1)
    three = run({arm: [rng.random() for _ in range(30)] for arm in ("general", "rag", "tuned")}, metric="f1")
    two = {key: value for key, value in three.items() if key[0] != "tuned"}
    small, large = (compared(s, CONTROL) for s in (two, three))
    assert small.scores == large.scores[:2]
    adjusted = {name: getattr(only(small), name) for name in ("p_adjusted", "equivalence", "noninferiority")}
    assert replace(large.contrasts[0], **adjusted) == only(small)
    assert (small.family, large.family) == (1, 2)
    again = compared(three, CONTROL)
    assert again == large
    other = compared(three, ComparisonSettings(baseline="general", resamples=500, seed=1))
    assert other.contrasts[0].ci != large.contrasts[0].ci


def test_holm_goes_over_all_tasks_and_metrics():
    samples = run({"general": [0] * 10, "rag": [1] * 10})
    samples |= run({"general": [1.0] * 10, "rag": [1.0] * 10}, task="other")
    results = compared(samples, CONTROL)
    assert results.family == 2
    assert [row.p for row in results.contrasts] == [0.001953125, 1.0]
    assert results.contrasts[0].p_adjusted == 0.00390625


def test_an_arm_that_is_still_running_is_refused():
    samples = run({"general": [0, 1, 1], "rag": [1]})
    with pytest.raises(MismatchError, match=r"arm 'rag' lacks 2 of the 3 examples of task 'medqa' \(first: 'e001'\)"):
        compared(samples, CONTROL)


def test_a_task_that_an_arm_did_not_run_is_listed():
    samples = run({"general": [0, 1], "rag": [1, 1]})
    samples |= run({"general": [1.0]}, task="cases")
    samples["rag", "cases"] = []
    results = compared(samples, CONTROL)
    assert results.not_run == (NotRun("rag", "cases"),)
    assert len(results.contrasts) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"scores": {"accuracy": float("nan")}},
            "sample 'e001' of arm 'rag', task 'medqa' has the score accuracy = nan",
        ),
        ({"scores": {"accuracy": float("inf")}}, "accuracy = inf"),
        ({"scores": {"code_f1": (1.0, float("nan"), 0.0)}}, r"code_f1 = \(1.0, nan, 0.0\)"),
        ({"id_": "e000"}, "sample 'e000' of arm 'rag', task 'medqa' is there twice"),
    ],
)
def test_samples_that_cannot_be_used_are_named(change, message):
    samples = run({"general": [0, 1], "rag": [1, 1]})
    samples["rag", "medqa"][1] = answer(**{"id_": "e001", "arm": "rag"} | change)
    with pytest.raises(DataError, match=message):
        compared(samples, CONTROL)


def test_only_what_is_answered_has_scores():
    samples = run({"general": [0, 1], "rag": [1, 1]})
    first = samples["rag", "medqa"][0]
    samples["rag", "medqa"][0] = Answer(first.sample, Score("e000", "error", None, {"accuracy": 1.0}))
    with pytest.raises(DataError, match="has scores although its status is 'error'"):
        compared(samples, CONTROL)


def test_arms_with_other_golds_are_refused():
    samples = run({"general": [0, 1]}) | run({"rag": [0, 1]}, gold="B")
    with pytest.raises(MismatchError, match="example 'e000' of task 'medqa' has the gold"):
        compared(samples, CONTROL)


def test_a_metric_that_one_arm_does_not_have_is_no_zero():
    samples = run({"general": [0, 1, 1]}) | run({"rag": [1, 1, 1]}, metric="recall")
    results = compared(samples, CONTROL)
    assert [(s.arm, s.metric) for s in results.scores] == [("general", "accuracy"), ("rag", "recall")]
    assert results.contrasts == ()
    assert "medqa: recall is not measured in general: no contrast by it." in results.notes


def test_baselines_need_no_model():
    samples = {
        ("general", "medqa"): [
            answer("e0", "general", gold="A", options=("long one", "b", "c", "d")),
            answer("e1", "general", gold="B", options=("xx", "yy", "c", "d")),
            answer("e2", "general", gold="A", options=("a", "long")),
            answer("e3", "general", gold="c", options=("aa", "bb", "c", "ddd")),
        ]
    }
    rows = compared(samples, CONTROL).baselines
    assert {row.name: row.value for row in rows} == {
        "majority": 0.5,
        "longest-option": (1 + 0.5 + 0 + 0) / 4,
        "shortest-option": (0 + 0 + 1 + 1) / 4,
        "chance": (0.25 + 0.25 + 0.5 + 0.25) / 4,
    }
    assert all(row.metric == "accuracy" for row in rows)


def test_labels_have_a_majority_and_free_text_has_no_baseline():
    golds = enumerate(["yes", "no", "yes"])
    labels = {("general", "pubmedqa"): [answer(f"e{i}", "general", "pubmedqa", gold=gold) for i, gold in golds]}
    rows = compared(labels, CONTROL).baselines
    assert [(row.name, row.value) for row in rows] == [("majority", pytest.approx(2 / 3))]
    assert compared(run({"general": [0.3, 0.4]}, metric="f1"), CONTROL).baselines == ()


def test_a_baseline_arm_is_reported_with_its_interval_and_is_in_no_contrast():
    samples = run({"general": [0, 1, 1, 0], "rag": [1, 1, 1, 0], "options-only": [0, 0, 1, "unparsed"]})
    settings_ = ComparisonSettings(baseline="general", baseline_arms=("options-only",))
    results = compared(samples, settings_)
    row = next(row for row in results.baselines if row.name == "options-only")
    assert (row.value, row.n, row.status["unparsed"]) == (0.25, 4, 1)
    assert row.ci == pytest.approx([0.0456, 0.6994], abs=1e-4)
    assert {score.arm for score in results.scores} == {"general", "rag"}
    assert only(results).arm == "rag"


def test_asked_contrasts_are_the_only_ones():
    samples = run({"general": [0, 1], "rag": [1, 1], "tuned": [1, 1]})
    settings_ = ComparisonSettings(baseline="general", contrasts=(("rag", "tuned"),))
    row = only(compared(samples, settings_))
    assert (row.baseline, row.arm) == ("rag", "tuned")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"baseline": "genral"}, UnknownNameError),
        ({"baseline": "general", "contrasts": (("general", "x"),)}, UnknownNameError),
        ({"baseline": "general", "contrasts": (("rag", "rag"),)}, UsageError),
        ({"baseline": "general", "contrasts": (("general", "rag"), ("general", "rag"))}, UsageError),
        ({"baseline": "general", "baseline_arms": ("general",)}, UsageError),
        ({"baseline": "general", "baseline_arms": ("rag",), "contrasts": (("general", "rag"),)}, UsageError),
        ({"baseline": "general", "policy": {"unparsd": "wrong"}}, UnknownNameError),
        ({"baseline": "general", "policy": {"unparsed": "exclude"}}, UnknownNameError),
        ({"baseline": "general", "alpha": 1.0}, UsageError),
        ({"baseline": "general", "margin": -0.1}, UsageError),
        ({"baseline": "general", "margin": float("nan")}, UsageError),
        ({"baseline": "general", "seed": -1}, UsageError),
        ({"baseline": "general", "resamples": 5}, UsageError),
    ],
)
def test_wrong_words_are_refused(words, error):
    samples = run({"general": [0, 1], "rag": [1, 1]})
    with pytest.raises(error):
        compared(samples, ComparisonSettings(**words))


def test_no_samples_is_said():
    with pytest.raises(DataError, match="run 'r' has no samples"):
        compared({("general", "medqa"): []}, CONTROL)


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
@pytest.mark.parametrize(
    ("general", "rag", "group"),
    [
        ([1.0] * 50, [1.0] * 50, ""),
        ([0.0] * 50, [0.0] * 50, ""),
        ([1.0] * 50, [1.0] * 50, "one page"),
        ([1.0, 0.0] * 25, [1.0, 0.0] * 25, ""),
        ([0.5] * 50, [0.5] * 50, ""),
        ([1.0, 0.0] * 25, [0.0, 1.0] * 25, ""),
        ([1.0], [1.0], ""),
        ([1.0], [0.0], ""),
        (["refused"] * 3 + [1.0] * 3, ["refused"] * 3 + [1.0] * 3, ""),
        ([1.0, 0.0] * 25, [0.0, 1.0] * 25, "one page"),
    ],
)
def test_where_nothing_can_be_told_p_is_1_and_intervals_have_a_width(metric, general, rag, group):
    given = run({"general": general, "rag": rag}, metric=metric, groups=[group] * 50)
    results = compared(given, CONTROL)
    row = only(results)
    assert row.p == row.p_adjusted == 1.0
    assert row.verdict == "cannot-tell"
    assert row.ci[1] - row.ci[0] > 0.1
    assert 0 < row.equivalence.p <= 1
    assert 0 < row.noninferiority.p <= row.equivalence.p
    assert all(score.ci[1] - score.ci[0] > 0.05 for score in results.scores)
    json.dumps(dump(results), allow_nan=False)


@pytest.mark.slow
def test_a_hundred_thousand_pairs():
    rng = random.Random(4)
    general = [float(rng.random() < 0.6) for _ in range(100_000)]
    rag = [x if rng.random() < 0.7 else float(rng.random() < 0.6) for x in general]
    given = run({"general": general, "rag": rag, "same": general}, metric="f1", groups=[""] * 100_000)
    start = time.process_time()
    differs, same = compared(given, CONTROL).contrasts
    assert time.process_time() - start < 20  # about three on a quiet machine
    assert (differs.test, differs.n, differs.verdict) == ("sign-flip-permutation", 100_000, "equivalent")
    assert 0 < differs.p <= 1
    assert 0.004 < differs.ci[1] - differs.ci[0] < 0.01
    assert (same.p, same.difference, same.verdict) == (1.0, 0.0, "equivalent")
    assert 0 < same.ci[1] - same.ci[0] < 1e-3


def test_scores_that_are_no_numbers_are_refused_before_they_are_tested():
    samples = run({"general": [0.5, 0.25], "rag": [0.5, float("nan")]}, metric="f1")
    with pytest.raises(DataError, match=r"sample 'e001' of arm 'rag', task 'medqa' has the score f1 = nan"):
        compared(samples, CONTROL)
