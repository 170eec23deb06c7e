from __future__ import annotations

from itertools import combinations

import pytest
from answers import answers_of, compared
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from ragmed.cli.main import cli

from ragmed.comparison.alike import MOST_ARMS, cliques
from ragmed.comparison.cautions import cautions
from ragmed.comparison.compare import ComparisonSettings
from ragmed.comparison.conditions import Condition
from ragmed.errors import UnknownNameError, UsageError
from ragmed.report.terminal import render_table

CONTROL = ComparisonSettings(baseline="general", resamples=500)
FOUR = {"general": [0] * 60 + [1] * 40, "weak": [0] * 62 + [1] * 38, "rag": [1] * 100, "good": [1] * 99 + [0]}


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.sampled_from(
    [frozenset(pair) for pair in combinations(range(n), 2)] or [frozenset((0, 1))])))))  # fmt: skip
def test_cliques_are_all_the_largest_sets(case):
    n, apart = case
    names = [str(number) for number in range(n)]
    told = {frozenset(map(str, pair)) for pair in apart}

    def together(group):
        return all(frozenset(pair) not in told for pair in combinations(group, 2))

    sets = [set(group) for size in range(1, n + 1) for group in combinations(names, size) if together(group)]
    largest = {frozenset(one) for one in sets if not any(one < other for other in sets)}
    assert {frozenset(group) for group in cliques(names, told)} == largest


def test_arms_are_grouped_by_what_can_be_told_apart():
    results = compared(answers_of(FOUR), run="t", settings=CONTROL)
    (row,) = results.alike
    assert row.groups == (("rag", "good"), ("general", "weak"))
    assert "the best first: (rag, good), (general, weak)" in " ".join(render_table(results).split())


def test_arms_are_told_apart_only_where_they_are_with_unreadable_answers_wrong():
    """Who answers the easy half alone is better once the rest is dropped, and is held to what it left out."""
    shy = {"general": [1] * 30 + [0] * 70, "easy": [1] * 30 + ["unparsed"] * 70, "same": [1] * 30 + [0] * 70}
    for policy in ("wrong", "drop"):
        settings = ComparisonSettings(baseline="general", resamples=500, policy=policy, min_read=0.1)
        (row,) = compared(answers_of(shy), run="t", settings=settings).alike
        assert len(row.groups) == 1
    hard = {"general": [0] * 60 + [1] * 40, "easy": [1] * 60 + ["unparsed"] * 40, "same": [0] * 60 + [1] * 40}
    settings = ComparisonSettings(baseline="general", resamples=500, policy="drop", min_read=0.1)
    results = compared(answers_of(hard), run="t", settings=settings)
    assert {row.verdict for row in results.contrasts if row.arm == "easy"} == {"cannot-tell"}
    assert {frozenset(group) for group in results.alike[0].groups} == {frozenset(hard)}


def test_two_arms_are_no_ranking_and_too_many_are_told():
    two = compared(answers_of({"general": [0, 1], "rag": [1, 1]}), run="t", settings=CONTROL)
    assert two.alike == ()
    many = {"general": [0, 1], **{f"arm{n}": [1, 1] for n in range(MOST_ARMS)}}
    results = compared(answers_of(many), run="t", settings=CONTROL)
    assert results.alike == ()
    assert f"medqa: {MOST_ARMS + 1} arms are too many to be grouped by what can be told apart." in results.notes


def test_mid_p_and_the_attainable_p_stand_beside_the_exact_one():
    samples = answers_of({"general": [0] * 5 + [1] * 10, "rag": [1] * 5 + [1] * 10})
    (row,) = compared(samples, run="t", settings=CONTROL).contrasts
    assert (row.test, row.p, row.mid_p, row.attainable) == ("mcnemar-exact", 2 / 32, 1 / 32, 2 / 32)
    (declared,) = compared(
        samples, run="t", settings=ComparisonSettings(baseline="general", mcnemar="mid-p", resamples=500)
    ).contrasts
    assert (declared.test, declared.p) == ("mcnemar-mid-p", 1 / 32)
    assert (row.verdict, declared.verdict) == ("cannot-tell", "better")
    with pytest.raises(UnknownNameError, match="did you mean 'mid-p'"):
        ComparisonSettings(baseline="general", mcnemar="midp")


def test_the_attainable_p_of_groups_is_that_of_all_going_one_way():
    scores = {"general": [0.0] * 6, "rag": [0.5, 0.25, -0.25, 0.5, 0.0, 0.0]}
    (row,) = compared(
        answers_of(scores, metric="rouge_l", groups=["a", "a", "b", "c", "d", "e"]), run="t", settings=CONTROL
    ).contrasts
    assert row.mid_p is None
    assert row.attainable == pytest.approx(2 / 2**3)  # three groups differ
    assert row.p >= row.attainable


def test_arms_that_differ_in_two_things_or_are_picked_among_many_are_told():
    def arm(model, **more):
        return {"model": model, "context": "none", **more}

    arms = {
        "general": arm("g"), "tuned": arm("t"), "tuned+rag": arm("t", context="retrieved", index="i", k=3),
        **{f"rag{k}": arm("g", context="retrieved", index="i", k=k) for k in (1, 3, 9)},
    }  # fmt: skip
    found = cautions(arms, [("general", other) for other in arms if other != "general"])
    assert found[0] == (
        "tuned+rag and general differ in model and what is shown: their difference belongs to neither alone."
    )
    assert len(found) == 2
    assert found[1].startswith("rag1, rag3, rag9 differ in nothing but how they retrieve.")
    assert cautions({}, [("a", "b")]) == []  # nothing is known of them, so nothing is claimed
    written = {"a": {"model": "m"}, "b": {"model": "n", "query": "question"}, "c": {"model": "n", "query": "hyde"}}
    assert cautions(written, [("a", "b")]) == []
    assert cautions(written, [("a", "c")]) == [
        "c and a differ in model and what is shown: their difference belongs to neither alone."
    ]


def test_arms_that_retrieve_differently_in_two_ways_are_told():
    rag = {"model": "m", "context": "retrieved", "index": "i", "k": 3}
    arms = {
        "rag": rag, "deep": {**rag, "k": 5}, "other": {**rag, "index": "", "retriever": "words"},
        "both": {**rag, "k": 5, "query": "rewrite"}, "orders": {**rag, "rerank": {"candidates": 9}},
        "all": {**rag, "retriever": "words", "k": 5, "query": "hyde", "passage_order": "reversed"},
        "again": {**rag, "k": 5, "query": "rewrite", "replay": "r/a"},
    }  # fmt: skip
    found = [note for note in cautions(arms, [("rag", arm) for arm in arms]) if "retrieve differently" in note]
    assert found == [
        "both and rag retrieve differently in k and query: their difference is of no one alone.",
        "all and rag retrieve differently in retriever, k, order of passages and query: their difference is of no one "
        "alone.",
    ]
    assert "orders and both retrieve differently in k, query and rerank:" in cautions(arms, [("both", "orders")])[0]


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("rag better than general", ["medqa"]),
        ("general worse than rag", ["medqa"]),
        ("rag worse than general", []),
        ("weak not better than general", ["medqa"]),
        ("weak not equivalent to general on medqa", ["medqa"]),
        ("weak equivalent to general", []),
    ],
)
def test_a_condition_holds_where_its_verdict_stands(text, tasks):
    rows = compared(answers_of(FOUR), run="t", settings=CONTROL).contrasts
    assert Condition.of(text).where(rows) == tasks


def test_conditions_that_mean_nothing_are_refused():
    rows = compared(answers_of(FOUR), run="t", settings=CONTROL).contrasts
    with pytest.raises(UsageError, match="is no condition; write 'ARM WORDS ARM'"):
        Condition.of("rag beats general")
    with pytest.raises(UnknownNameError, match="did you mean 'general'"):
        Condition.of("rag worse than genral").where(rows)
    with pytest.raises(UnknownNameError, match="unknown task 'medqua'"):
        Condition.of("rag worse than general on medqua").where(rows)
    with pytest.raises(UsageError, match="'rag' and 'good' are not compared"):
        Condition.of("rag worse than good").where(rows)


def test_compare_ends_with_a_code_of_its_own_where_a_condition_holds(small):
    runner, root = CliRunner(), ["--root", str(small.root)]
    runner.invoke(cli, [*root, "eval", str(small.root / "configs/toy.yaml")], catch_exceptions=False)
    words = "general+rag not better than general"
    held = runner.invoke(cli, [*root, "compare", "toy", "--fail-if", words])
    assert held.exit_code == 6
    assert f"ragmed: {words}: holds on mmlu" in held.output
    free = runner.invoke(cli, [*root, "compare", "toy", "--fail-if", "general+rag worse than general"])
    assert free.exit_code == runner.invoke(cli, [*root, "compare", "toy"]).exit_code
    assert "holds on" not in free.output
    assert runner.invoke(cli, [*root, "compare", "toy", "--fail-if", "rag is bad"]).exit_code != 6
