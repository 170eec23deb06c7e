"""Scores and differences with and without leaked examples, by hand."""

from typing import Any

import pytest
from answers import answer, by_arm_and_task, compared

from ragmed.comparison.diagnosis.diagnose import RunFacts
from ragmed.comparison.diagnosis.leakage import leaked_examples
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.intervals import wilson
from ragmed.comparison.statistics.significance import mcnemar_exact


def finding(example: str, *counts: bool) -> dict[str, Any]:
    return {"example": example, "findings": [{"kind": "ngram", "counts": one} for one in counts]}


def found(audit: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    answers = [
        answer(f"e{i:02}", arm, "t", scores={"accuracy": float(mark)})
        for arm, marks in (("old", old), ("new", new))
        for i, mark in enumerate(marks)
    ]
    settings = ComparisonSettings(baseline="old", resamples=200)
    return compared(by_arm_and_task(answers), settings, facts=RunFacts(audit=audit))


def test_only_findings_that_count_make_an_example_leaked() -> None:
    one = {"task": "t", "examples": [finding("e00", False), finding("e01", False, True), finding("e02")]}
    other = {"task": "t", "examples": [finding("e03", True)]}
    assert leaked_examples({"tasks": [one, other, {"task": "u"}]}) == {"t": {"e01", "e03"}, "u": frozenset()}
    assert leaked_examples({}) == {}


def test_every_score_and_difference_without_the_leaked_examples() -> None:
    audit = {"tasks": [{"task": "t", "examples": [finding(f"e{i:02}", True) for i in (0, 1, 2)]}]}
    results = found(audit, "0001100000", "1111100000")
    old, new = results.leakage
    assert (old.n, old.leaked, old.value, old.value_without, old.value_leaked) == (
        10,
        3,
        0.2,
        2 / 7,
        0.0,
    )
    assert (new.arm, new.value, new.value_without, new.value_leaked) == ("new", 0.5, 2 / 7, 1.0)
    assert new.ci_without == pytest.approx(wilson(2, 7))
    (row,) = results.leakage_contrasts
    assert (row.difference, row.p) == (pytest.approx(0.3), mcnemar_exact(3, 0))
    assert (row.n_without, row.difference_without, row.p_without) == (7, 0.0, 1.0)
    assert row.ci_without[0] < 0 < row.ci_without[1]


def test_where_nothing_leaked_nothing_changes() -> None:
    results = found({"tasks": [{"task": "t", "examples": []}]}, "0011", "0111")
    assert all(row.value == row.value_without for row in results.leakage)
    (row,) = results.leakage_contrasts
    assert (row.difference_without, row.p_without) == (row.difference, row.p)


def test_where_all_leaked_nothing_is_left() -> None:
    audit = {"tasks": [{"task": "t", "examples": [finding(f"e{i:02}", True) for i in range(2)]}]}
    results = found(audit, "01", "11")
    assert [row.value_without for row in results.leakage] == [None, None]
    assert results.leakage_contrasts[0].p_without is None


def test_without_an_audit_nothing_is_said() -> None:
    results = found({}, "01", "11")
    assert (results.leakage, results.leakage_contrasts) == ((), ())
