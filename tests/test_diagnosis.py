"""What lies behind a difference: rows worked out by hand from a few samples each."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from answers import answer, by_arm_and_task, changed, compared

from ragmed.comparison.diagnosis.diagnose import RunFacts, diagnose
from ragmed.comparison.diagnosis.rows import Cause, Examples, Ledger, Repaired, Share
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.differences import tango
from ragmed.errors import MismatchError
from ragmed.metrics.codes import code_counts
from ragmed.metrics.labels import MACRO_F1
from ragmed.records import Answer, Example, ShownPassage
from ragmed.report.diagnosis import sentences

ARMS = {
    "closed": {"model": "m", "context": "none"},
    "rag": {"model": "m", "context": "retrieved", "index": "i", "k": 2, "passage_order": "ranked"},
    "oracle": {"model": "m", "context": "oracle", "index": "i", "k": 2},
    "noise": {"model": "m", "context": "distractor", "index": "i", "k": 2},
}
GOLD, OTHER, UNSAID = (
    ShownPassage(f"w:{document}#0", f"w:{document}", rank=1, gold=gold)
    for document, gold in (("a", True), ("b", False), ("c", None))
)


def sample(id_: str, right: bool | None, arm: str, task: str = "t", **more: Any) -> Answer:
    """`right` None: nothing that could be read."""
    return answer(
        id_, arm, task, status="unparsed" if right is None else "answered", value="A" if right else "B", **more
    )


def rows(
    samples: Sequence[Answer], *, arms: Mapping[str, Any] = ARMS, tasks: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    settings = ComparisonSettings(baseline=samples[0].sample.arm, resamples=200, **more)
    return compared(by_arm_and_task(samples), settings, facts=RunFacts(arms=arms, tasks=tasks or {"t": {}}))


def shown(answers: str, arm: str = "rag", passages: Sequence[ShownPassage] = ()) -> list[Answer]:
    """`answers`: 1 right, 0 wrong, ? unreadable, one example each."""
    told = {"1": True, "0": False, "?": None}
    return [
        sample(f"e{i}", told[mark], arm, passages=(passages[i],) if passages else (), documents=("a",))
        for i, mark in enumerate(answers)
    ]


def test_the_ledger_names_what_was_fixed_and_broken() -> None:
    found = rows([*shown("00110", "closed"), *shown("0110?", "rag")])
    (row,) = found.ledger
    assert row == Ledger("t", "accuracy", baseline="closed", arm="rag", fixed=("e1",), broke=("e3",))
    assert (found.contrasts[0].fixed, found.contrasts[0].broke) == (1, 1)


def test_right_without_the_evidence_is_a_number() -> None:
    #              with: 2 right, 1 wrong; without: 1 right, 2 wrong; unknown: 1
    rag = shown("1101001", passages=[GOLD, GOLD, GOLD, OTHER, OTHER, OTHER, UNSAID])
    found = rows([*shown("0000000", "closed"), *[changed(a, documents=()) for a in rag]])
    (row,) = found.evidence
    assert (row.arm, row.metric, row.n, row.unknown) == ("rag", "accuracy", 6, 1)
    counts = [(c.count, c.n) for c in (row.right_with, row.right_without, row.wrong_with, row.wrong_without)]
    assert counts == [(2, 6), (1, 6), (1, 6), (2, 6)]
    low, high = 0.06149, 0.79234  # Wilson's interval of 1 of 3, by its closed form
    assert row.unsupported == Share(1, 3, pytest.approx(1 / 3), pytest.approx((low, high), abs=1e-4))


def test_evidence_of_a_whole_record_is_told_and_of_closed_books_is_not() -> None:
    arms = {**ARMS, "whole": {"model": "m", "context": "full"}}
    found = rows([*shown("01", "closed"), *shown("10", "whole", passages=[GOLD, OTHER])], arms=arms)
    (row,) = found.evidence
    assert (row.arm, row.right_with.count, row.wrong_without.count) == ("whole", 1, 1)
    assert row.right_without == Share(0, 2, 0.0, row.right_without.ci)


def test_evidence_resamples_whole_groups() -> None:
    """Each example twice, as one group: the interval must not be narrower than that of the groups alone."""
    marks, passages = "1100" * 5, [GOLD, OTHER, GOLD, OTHER] * 5
    single = rows(shown(marks, passages=passages)).evidence[0].right_without.ci
    twice = [
        changed(a, id=f"{a.example.id}-{n}", group=a.example.id)
        for a in shown(marks, passages=passages)
        for n in (1, 2)
    ]
    doubled = rows(twice).evidence[0].right_without
    assert doubled.ci is not None
    assert single is not None
    assert doubled.share == 0.25
    assert doubled.ci[1] - doubled.ci[0] > 0.8 * (single[1] - single[0])


def test_every_wrong_answer_has_one_reason() -> None:
    #        form  missed misled ignored unknown right right
    rag = shown("?000011", passages=[GOLD, OTHER, GOLD, GOLD, UNSAID, GOLD, OTHER])
    rag[4] = changed(rag[4], documents=())
    beside = [*shown("0110000", "closed"), *shown("0111011", "oracle"), *shown("0010000", "noise")]
    (row,) = rows([*beside[:7], *rag, *beside[7:]]).decomposition
    parts = {part.part: (part.count, part.examples, part.broke) for part in row.parts}
    assert parts == {
        "form": (1, ("e0",), ()),
        "missed": (1, ("e1",), ("e1",)),
        "misled": (1, ("e2",), ("e2",)),
        "ignored": (1, ("e3",), ()),
        "unknown": (1, ("e4",), ()),
    }
    assert (row.n, row.right, row.wrong) == (7, 2, 5)
    assert (row.closed, row.oracle, row.distractor) == ("closed", "oracle", "noise")
    values = (row.value, row.closed_value, row.oracle_value, row.distractor_value)
    assert [round((value or 0.0) * 7) for value in values] == [2, 2, 5, 1]
    assert row.repaired == Repaired(with_gold=1, without_gold=1, unknown=0)
    assert row.distracted == Examples(1, ("e1",))
    assert row.beyond == Examples(2, ("e0", "e4"))


def test_a_policy_that_leaves_out_leaves_out_here_too() -> None:
    given = [*shown("011", "closed"), *shown("?10", passages=[GOLD, GOLD, GOLD])]
    (row,) = rows(given, policy={"unparsed": "drop"}).decomposition
    assert (row.n, row.wrong, row.parts[0].count, row.closed_value) == (2, 1, 0, 1.0)


def test_without_other_arms_nothing_is_said_of_them() -> None:
    (row,) = rows(shown("01", passages=[GOLD, OTHER])).decomposition
    assert (row.closed_value, row.oracle_value, row.distractor_value) == (None, None, None)
    assert (row.distracted, row.beyond) == (None, None)
    assert row.repaired == Repaired(None, None, None)
    assert [part.count for part in row.parts] == [0, 0, 0, 1, 0]


def test_the_arm_beside_is_of_the_same_model_and_as_alike_as_can_be() -> None:
    arms = ARMS | {
        "other": {"model": "n", "context": "none"},
        "oracle-5": {"model": "m", "context": "oracle", "index": "i", "k": 5},
    }
    names = ("other", "oracle-5", "closed", "oracle", "rag")
    (row,) = rows([one for name in names for one in shown("01", name)], arms=arms).decomposition
    assert (row.closed, row.oracle) == ("closed", "oracle")


def test_where_all_passages_were_dropped_none_was_shown() -> None:
    rag = [changed(one, passages=(), dropped=("handbook:gout#0",)) for one in shown("00", passages=[GOLD, GOLD])]
    (row,) = rows(rag).decomposition
    assert row.parts[1] == Cause("missed", 2, examples=("e0", "e1"), broke=())


def test_where_nobody_said_what_was_shown_retrieval_is_unknown_not_bad() -> None:
    found = rows([changed(one, passages=()) for one in shown("00", passages=[GOLD, GOLD])])
    assert found.retrieval == ()
    (row,) = found.decomposition
    assert {part.part: part.count for part in row.parts if part.count} == {"unknown": 2}


WAYS = {"q": {"scoring": "generate"}, "q-letters": {"task": "q", "scoring": "letters", "normalise": "none"}}


def asked(arm: str, written: str, preferred: str) -> list[Answer]:
    told = {"1": True, "0": False, "?": None}
    ways = (("q", written), ("q-letters", preferred))
    return [sample(f"e{i:02}", told[mark], arm, task) for task, marks in ways for i, mark in enumerate(marks)]


def test_form_that_failed_is_not_knowledge_that_failed() -> None:
    given = [*asked("old", "1" * 20, "1" * 20), *asked("new", "?" * 10 + "1" * 9 + "0", "1" * 20)]
    found = rows(given, arms={}, tasks=WAYS)
    old, new = found.compliance
    assert (old.difference, old.said) == (0.0, "cannot-tell")  # 20 examples: the interval reaches 16 points
    assert (new.generate_task, new.held_task, new.n) == ("q", "q-letters", 20)
    assert (new.generate, new.held, new.difference) == (0.45, 1.0, pytest.approx(-0.55))
    assert (new.form_failures, new.known_but_unreadable) == (10, 10)
    assert new.examples == tuple(f"e{i:02}" for i in range(10))
    assert (new.test, new.p, new.said) == ("mcnemar-exact", pytest.approx(2 / 2**11), "compliance")
    (contrast,) = found.compliance_contrasts
    assert (contrast.generate_difference, contrast.held_difference) == (pytest.approx(-0.55), 0.0)
    assert (contrast.interaction, contrast.reading) == (pytest.approx(-0.55), "form")


@pytest.mark.parametrize(
    ("written", "preferred", "said"),
    [
        ("0" * 10 + "1" * 10, "1" * 20, "other-answers"),
        ("1" * 20, "0" * 10 + "1" * 10, "writing-helps"),
        ("1" * 400, "1" * 400, "knowledge"),
        ("?" * 4 + "1" * 16, "1" * 20, "cannot-tell"),
    ],
)
def test_what_two_ways_of_asking_say(written: str, preferred: str, said: str) -> None:
    (row,) = rows(asked("old", written, preferred), arms={}, tasks=WAYS).compliance
    assert row.said == said


@pytest.mark.parametrize(
    ("written", "preferred", "reading"),
    [
        ("1" * 40, "1" * 40, "knowledge"),
        ("1" * 40, "0" * 20 + "1" * 20, "both"),
        ("1" * 40, "0" * 40, "form"),
        ("0" * 40, "0" * 40, "cannot-tell"),
    ],
)
def test_a_difference_by_one_way_and_by_the_other(written: str, preferred: str, reading: str) -> None:
    given = [*asked("old", "0" * 40, "0" * 40), *asked("new", written, preferred)]
    (row,) = rows(given, arms={}, tasks=WAYS).compliance_contrasts
    assert row.reading == reading


def test_ways_of_other_examples_or_other_words_are_no_pair() -> None:
    given = asked("old", "11", "11")
    with pytest.raises(MismatchError, match=r"'q' and 'q-letters' are one task, but 1 example was asked .* 'e01'"):
        rows(given[:-1], arms={}, tasks=WAYS)
    shots = WAYS | {"q": {"scoring": "generate", "shots": 2}}
    assert rows(given, arms={}, tasks=shots).compliance == ()


TWINS = {
    name: {"model": "m", "context": context, "constrained": constrained}
    for name, context, constrained in (
        ("old", "none", False), ("held-old", "none", True),
        ("new", "retrieved", False), ("held-new", "retrieved", True),
    )
}  # fmt: skip


def beside(arm: str, written: str, held: str, constraint: str) -> list[Answer]:
    return [*shown(written, arm), *(changed(one, constraint=constraint) for one in shown(held, f"held-{arm}"))]


@pytest.mark.parametrize("how", ["json_schema", "likelihood"])
def test_an_arm_and_its_constrained_twin_tell_form_from_knowledge(how: str) -> None:
    given = [*beside("old", "1" * 20, "1" * 20, how), *beside("new", "?" * 10 + "1" * 9 + "0", "1" * 20, how)]
    found = rows(given, arms=TWINS)
    old, new = found.compliance
    assert (old.arm, old.held_arm, old.difference) == ("old", "held-old", 0.0)
    assert (new.generate_task, new.held_task, new.held_by, new.n) == ("t", "t", how, 20)
    assert (new.generate, new.held, new.difference) == (0.45, 1.0, pytest.approx(-0.55))
    assert (new.form_failures, new.known_but_unreadable, new.said) == (10, 10, "compliance")
    assert (new.by_form, new.by_answers) == (pytest.approx(-0.5), pytest.approx(-0.05))
    assert new.by_form_ci == tango(0, 10, 20)
    (contrast,) = found.compliance_contrasts
    assert (contrast.baseline, contrast.arm, contrast.held_baseline) == ("old", "new", "held-old")
    assert (contrast.generate_difference, contrast.held_difference) == (pytest.approx(-0.55), 0.0)
    assert contrast.reading == "form"
    said = list(sentences(found, "t"))
    words = "by log-likelihood" if how == "likelihood" else "held to the form by its server"
    assert any(
        one.startswith(f"new (accuracy): 0.450 as it writes, 1.000 {words} (held-new), -55.0 points") for one in said
    )
    assert any("-50.0 [" in one and "] by form, -5.0 [" in one for one in said)
    assert any("new against old (accuracy): -55.0 points" in one and "a loss or gain of form" in one for one in said)


def coded(arm: str, answers: Sequence[tuple[str, ...] | None], gold: Sequence[tuple[str, ...]]) -> list[Answer]:
    """Answers in codes, None where nothing could be read, with the counts that the metric gives them."""
    found = []
    for number, (value, right) in enumerate(zip(answers, gold, strict=True)):
        (counts,) = code_counts([(Example("", "", gold=right), value)])
        status = "unparsed" if value is None else "answered"
        found.append(answer(f"d{number}", arm, "t", status=status, value=value, gold=right, scores={"code_f1": counts}))  # type: ignore[arg-type]
    return found


def f1_of(answers: Sequence[tuple[str, ...] | None], gold: Sequence[tuple[str, ...]]) -> float:
    """Micro-F1, counted code by code."""
    hits = sum(code in right for value, right in zip(answers, gold, strict=True) for code in value or ())
    given = sum(len(value or ()) for value in answers)
    return 2 * hits / (given + sum(map(len, gold)))


def test_form_and_other_answers_of_a_ratio_are_recounted() -> None:
    rng = np.random.default_rng(5)
    names = [f"{letter}{number:02}" for letter in "ABCDE" for number in range(10, 20)]

    def drawn(right: tuple[str, ...], keep: float, noise: int) -> tuple[str, ...]:
        kept = [code for code in right if rng.random() < keep]
        return tuple(dict.fromkeys([*kept, *rng.choice(names, noise)])) or ("Z99",)

    gold = [tuple(rng.choice(names, rng.integers(2, 6), replace=False)) for _ in range(80)]
    held = {arm: [drawn(right, keep, 1) for right in gold] for arm, keep in (("old", 0.6), ("new", 0.8))}
    written: dict[str, list[tuple[str, ...] | None]] = {
        "old": [drawn(right, 0.6, 1) for right in gold],
        "new": [None if number % 3 == 0 else drawn(right, 0.7, 2) for number, right in enumerate(gold)],
    }
    given = [one for arm in ("old", "new") for one in coded(arm, written[arm], gold)]
    given += [
        changed(one, constraint="json_schema")
        for arm in ("old", "new")
        for one in coded(f"held-{arm}", held[arm], gold)
    ]
    settings = ComparisonSettings(baseline="old", resamples=2000)
    found = compared(by_arm_and_task(given), settings, facts=RunFacts(arms=TWINS, tasks={"t": {}}))
    _, new = found.compliance
    between = [one if one is not None else other for one, other in zip(written["new"], held["new"], strict=True)]

    def parts(places: Sequence[int]) -> tuple[float, float, float]:
        right = [gold[place] for place in places]
        said, mixed, forced = (f1_of([one[p] for p in places], right) for one in (written["new"], between, held["new"]))
        return said - forced, said - mixed, mixed - forced

    assert (new.metric, new.n, new.form_failures, new.said) == ("code_f1", 80, 27, "compliance")
    assert (new.difference, new.by_form, new.by_answers) == pytest.approx(parts(range(80)))
    assert new.generate == pytest.approx(f1_of(written["new"], gold))
    assert new.examples == tuple(
        f"d{n}" for n in sorted(range(0, 80, 3), key=lambda n: f"d{n}") if set(held["new"][n]) & set(gold[n])
    )
    draws = [parts(rng.integers(0, 80, 80)) for _ in range(2000)]
    for ci, ends in zip(
        (new.ci, new.by_form_ci, new.by_answers_ci), np.quantile(draws, [0.025, 0.975], axis=0).T, strict=True
    ):
        assert ci == pytest.approx(ends, abs=0.015)
    (contrast,) = found.compliance_contrasts
    old = f1_of(written["old"], gold), f1_of(held["old"], gold)
    apart = f1_of(written["new"], gold) - old[0], f1_of(held["new"], gold) - old[1]
    assert (contrast.generate_difference, contrast.held_difference) == pytest.approx(apart)
    assert (contrast.metric, contrast.interaction) == ("code_f1", pytest.approx(apart[0] - apart[1]))


def test_a_primary_metric_of_sums_stands_beside_right_and_wrong() -> None:
    def labelled(arm: str, marks: str) -> list[Answer]:
        return [
            changed_score(one, MACRO_F1.score([(one.example, one.score.value)])[0])
            for one in (answer(f"e{i}", arm, "t", status="unparsed" if mark == "?" else "answered", value=mark,
                               gold="AB"[i % 2], options=("yes", "no")) for i, mark in enumerate(marks))
        ]  # fmt: skip

    def changed_score(one: Answer, counts: tuple[float, ...]) -> Answer:
        metrics = {"macro_f1": counts, "accuracy": one.score.metrics["accuracy"]} if one.score.metrics else {}
        return replace(one, score=replace(one.score, metrics=metrics))

    given = [*labelled("old", "AB?B" * 5), *labelled("held-old", "ABAA" * 5)]
    found = compared(by_arm_and_task(given), ComparisonSettings(baseline="old", resamples=100),
                     facts=RunFacts(arms=TWINS, tasks={"t": {}}))  # fmt: skip
    by_metric = {row.metric: row for row in found.compliance}
    assert (by_metric["accuracy"].by_form, by_metric["accuracy"].by_answers) == (-0.25, 0.25)
    # A: 5 of 10 found, then 10; B: 10 of 10 found, 5 when held, its other 5 called A
    written, between, held = (2 / 3 + 1) / 2, 1.0, (20 / 25 + 10 / 15) / 2
    assert by_metric["macro_f1"].by_form == pytest.approx(written - between)
    assert by_metric["macro_f1"].by_answers == pytest.approx(between - held)


def test_answers_that_did_not_come_back_are_no_failure_of_form() -> None:
    given = [*beside("old", "11", "11", "likelihood")]
    given[0] = answer("e0", "old", "t", status="error")
    (row,) = rows(given, arms=TWINS).compliance
    assert (row.n, row.form_failures, row.known_but_unreadable) == (1, 0, 0)


def test_arms_that_differ_in_more_than_form_are_no_twins() -> None:
    other = TWINS | {"held-new": {"model": "m", "context": "oracle", "constrained": True}}
    given = [*beside("old", "11", "11", ""), *beside("new", "11", "11", "")]
    assert [row.arm for row in rows(given, arms=other).compliance] == ["old"]
    both_held = {name: about | {"constrained": "likelihood 1"} for name, about in TWINS.items()}
    both_held["held-old"]["constrained"] = "json_schema 1"
    assert rows(given, arms=both_held).compliance == ()  # none of the two writes freely
    scored = rows(given, arms=TWINS, tasks={"t": {"scoring": "letters"}})
    assert scored.compliance == ()  # nobody wrote freely there


def chosen(id_: str, letter: str | None, task: str, options: tuple[str, ...]) -> Answer:
    status = "unparsed" if letter is None else "answered"
    return answer(id_, "m", task, status=status, value=letter, gold="ABC"[options.index("x")], options=options)  # type: ignore[arg-type]


def test_answers_that_survive_another_order_of_options() -> None:
    tasks = {
        "q": {"scoring": "letters", "options": "published"},
        "r": {"task": "q", "scoring": "letters", "options": "reversed"},
    }
    there, back = ("x", "y", "z"), ("z", "y", "x")
    answers = [("A", "C"), ("A", "A"), ("B", "B"), ("C", None), (None, "C")]  # same, by letter, same, unread, not asked
    given = [
        one
        for i, (before, after) in enumerate(answers)
        for one in (chosen(str(i), before, "q", there), chosen(str(i), after, "r", back))
    ]
    (row,) = rows(given, arms={}, tasks=tasks).order
    assert (row.kind, row.task, row.other_task) == ("options", "q", "r")
    assert (row.n, row.survived, row.share) == (4, 2, 0.5)
    assert row.ci == pytest.approx([0.150, 0.850], abs=5e-4)  # Wilson 2 of 4, R's binom.confint
    assert (row.value, row.other_value) == (0.4, 0.4)
    moved = [changed(one, gold="A") if one.sample.task == "r" else one for one in given]
    with pytest.raises(MismatchError, match="example '0' has another answer in task 'q' than in 'r'"):
        rows(moved, arms={}, tasks=tasks)


def test_answers_that_survive_another_order_of_passages() -> None:
    arms = ARMS | {"rag-back": {**ARMS["rag"], "passage_order": "reversed"}}
    two = (GOLD, OTHER)
    given = [
        sample("1", True, "rag", passages=two), sample("1", True, "rag-back", passages=two[::-1]),
        sample("2", True, "rag", passages=two), sample("2", False, "rag-back", passages=two[::-1]),
        sample("3", True, "rag", passages=(GOLD,)), sample("3", True, "rag-back", passages=(GOLD,)),  # no order
    ]  # fmt: skip
    (row,) = rows(given, arms=arms).order
    assert (row.kind, row.arm, row.other_arm) == ("passages", "rag", "rag-back")
    assert (row.n, row.survived) == (2, 1)


def test_facts_alone_make_rows() -> None:
    found = diagnose({}, [], contrasts=[], settings=ComparisonSettings(baseline="a"), facts=RunFacts())
    assert not any(getattr(found, field.name) for field in fields(found))
