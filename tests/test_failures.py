"""Hallucination and instruction adherence: shares of failures, and their differences, by hand."""

from __future__ import annotations

from answers import answer, answers_of, by_arm_and_task, compared, metrics_named

from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.intervals import wilson
from ragmed.comparison.statistics.significance import mcnemar_exact
from ragmed.report.terminal import render_table
from ragmed.report.wording import failing

SETTINGS = ComparisonSettings(baseline="a", resamples=200)


def rows(results, kind):
    return {row.arm: row for row in results.failures if row.kind == kind}


def test_form_refusals_and_cuts_are_shares_of_what_came_back():
    table = {
        "a": [1, 0, 1, 1, 1, 1, 1, 1, "unparsed", "error"],
        "b": [1, "unparsed", "unparsed", "unparsed", "unparsed", "unparsed", "refused", "truncated", "unparsed", 1],
    }
    results = compared(answers_of(table), SETTINGS)
    shares = {
        kind: (rows(results, kind)["a"], rows(results, kind)["b"]) for kind in ("unparsed", "refused", "truncated")
    }
    assert [(row.count, row.n, row.share) for row in shares["unparsed"]] == [(1, 9, 1 / 9), (6, 10, 0.6)]
    assert [(row.count, row.n) for row in shares["refused"]] == [(0, 9), (1, 10)]
    assert [(row.count, row.n) for row in shares["truncated"]] == [(0, 9), (1, 10)]
    assert shares["unparsed"][1].ci == wilson(6, 10)
    assert shares["unparsed"][0].examples == ("e008",)
    assert shares["truncated"][1].examples == ("e007",)
    by_kind = {row.kind: row for row in results.failure_contrasts}
    assert by_kind["unparsed"].n == 9  # what did not come back is in no pair
    assert by_kind["unparsed"].difference == (6 - 1) / 9
    assert by_kind["unparsed"].p == mcnemar_exact(5, 0)
    text = render_table(results)
    assert "wrong form" in text
    assert "none in any arm" not in text


def test_what_options_likelihoods_choose_has_no_form():
    results = compared(answers_of({"a": [1, 0], "b": [1, 1]}, option_logprobs=(-1.0, -2.0)), SETTINGS)
    assert results.failures == () == results.failure_contrasts


def test_items_that_cannot_be_answered_are_told_by_their_right_option():
    options = ("1999", "2004", "Question cannot be answered with provided documents")
    given = [
        answer(f"e{i}", arm, "record", value=value, gold="C" if i < 3 else "A", options=options)
        for arm, values in {"a": "CACA", "b": "CCCB"}.items()
        for i, value in enumerate(values)
    ]
    given.append(answer("e4", "a", "record", status="unparsed", gold="C", options=options))
    given.append(answer("e4", "b", "record", status="refused", gold="C", options=options))
    found = rows(compared(by_arm_and_task(given), SETTINGS), "false-answer")
    assert [(found[arm].count, found[arm].n, found[arm].examples) for arm in "ab"] == [(1, 4, ("e1",)), (0, 4, ())]


def test_a_text_that_does_not_abstain_is_a_false_answer():
    results = compared(answers_of({"a": [1, 0, 0, "refused"], "b": [1, 1, 1, 1]}, metric="abstained"), SETTINGS)
    found = rows(results, "false-answer")
    assert [(found[arm].count, found[arm].n) for arm in "ab"] == [(2, 4), (0, 4)]
    assert [row.difference for row in results.failure_contrasts if row.kind == "false-answer"] == [-0.5]


def test_codes_that_do_not_exist_are_what_valid_codes_leaves():
    table = {
        "a": [(2.0, 0.0, 0.0), (1.0, 1.0, 0.0), "unparsed"],
        "b": [(0.0, 2.0, 0.0), (1.0, 3.0, 0.0), (0.0, 0.0, 0.0)],
    }
    results = compared(answers_of(table, metric="valid_codes", task="codes"), SETTINGS)
    found = rows(results, "made-up-code")
    assert [(found[arm].count, found[arm].n, found[arm].share) for arm in "ab"] == [(1, 4, 0.25), (5, 6, 5 / 6)]
    assert [found[arm].examples for arm in "ab"] == [("e001",), ("e000", "e001")]
    assert found["a"].ci[0] <= 0.25 <= found["a"].ci[1]
    (contrast,) = [row for row in results.failure_contrasts if row.kind == "made-up-code"]
    assert round(contrast.difference, 9) == round(5 / 6 - 1 / 4, 9)


def support(values, record, **more):
    given = answers_of(values, metric="unsupported", task="notes")
    metrics = {"notes": (*metrics_named("rouge_l", "unsupported"),)}
    from ragmed.comparison.diagnosis.diagnose import RunFacts

    return compared(given, SETTINGS, metrics=metrics, facts=RunFacts(metrics={"unsupported": record}), **more)


COUNTS = {"a": [(1.0, 3.0, 0.0), (0.0, 0.0, 0.0)], "b": [(2.0, 0.0, 0.0), (0.0, 2.0, 0.0)]}


def test_a_support_score_stands_with_its_own_error():
    error = {"labelled": "L", "hallucinated": 100, "flagged": 80, "true": 50, "passed": 40, "of": {}}
    results = support(COUNTS, {"settings": {"model": "path:nli"}, "error": error})
    found = rows(results, "unsupported")
    assert [(found[arm].count, found[arm].n) for arm in "ab"] == [(1, 4), (2, 4)]
    assert [found[arm].examples for arm in "ab"] == [("e000",), ("e000",)]
    (row,) = results.measured_errors
    assert (row.sensitivity.value, row.sensitivity.ci, row.specificity.ci) == (0.8, wilson(80, 100), wilson(40, 50))
    assert round(row.youden.value, 9) == 0.6
    assert row.youden.ci[0] > 0.4
    assert not [score for score in results.scores if score.metric == "unsupported"]
    assert "of 100 hallucinated answers of L it flags 0.800" in " ".join(render_table(results).split())


def test_contradictions_are_shares_of_single_answers():
    found = rows(compared(answers_of({"a": [0.5, 0.0, 0.25], "b": [0.0, 0.0, 0.0]}, metric="contradiction"), SETTINGS),
                 "contradiction")  # fmt: skip
    assert [(found[arm].share, found[arm].count, found[arm].examples) for arm in "ab"] == [
        (0.25, None, ("e000", "e002")), (0.0, None, ()),
    ]  # fmt: skip
    assert [failing(found[arm]) for arm in "ab"] == ["in 2 answers", "in 0 answers"]


def test_without_its_error_a_support_score_is_not_reported_and_that_is_said():
    results = support(COUNTS, {"settings": {"model": "lexical"}, "unmeasured": "'medhallu' does not exist"})
    assert not rows(results, "unsupported")
    assert results.measured_errors == ()
    (note,) = [note for note in results.notes if "is not reported" in note]
    assert "'medhallu' does not exist" in note


def test_a_measure_that_tells_nothing_apart_is_said_to():
    error = {"labelled": "L", "hallucinated": 100, "flagged": 50, "true": 100, "passed": 52, "of": {}}
    text = render_table(support(COUNTS, {"settings": {"model": "lexical"}, "error": error}))
    assert "no better than a lot does" in " ".join(text.split())
