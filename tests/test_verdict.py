"""Rows of results.json -> the verdict in words, and the lines on what lies behind it, word for word."""

from dataclasses import replace

import pytest
from pages import nothing, row_of

from ragmed.comparison.designs import four_arms
from ragmed.comparison.diagnosis.rows import Cause, Examples, Side
from ragmed.comparison.rows import Noninferiority
from ragmed.report.diagnosis import sentences
from ragmed.report.terminal import render_table
from ragmed.report.verdict import advice, headline, overall, sentence


def contrast(task="medqa", verdict="better", **more):
    row = row_of(
        "contrasts", task=task, baseline="general", arm="rag", n=200, groups=200, difference=0.1, ci=(0.02, 0.18),
        p=0.01, p_adjusted=0.02, fixed=40, broke=20, verdict=verdict, baseline_value=0.5, arm_value=0.6,
        noninferiority=Noninferiority(0.001, 0.002, True), corpora="",
    )  # fmt: skip
    return replace(row, **more)


def results(*contrasts, **more):
    """Results of these contrasts, and of what else is given."""
    return nothing(policy={"unparsed": "wrong"}, contrasts=contrasts, **more)


def test_a_sentence_gives_the_difference_and_its_interval_before_p():
    assert sentence(contrast()) == (
        "On medqa (accuracy), rag is better than general: 0.600 vs 0.500, difference +10.0 points [+2.0, +18.0], "
        "adjusted p 0.020, n 200; rag fixed 40 and broke 20."
    )


def test_no_sentence_claims_more_than_its_verdict():
    row = contrast(verdict="cannot-tell", difference=0.01, ci=(-0.04, 0.06))
    assert "cannot be told whether rag is better than general, but it is not worse by 5 points or more" in sentence(row)
    neither = replace(row, noninferiority=Noninferiority(0.2, 0.4, False))
    assert "cannot be told whether rag and general differ, nor that they are the same within 5 points" in sentence(
        neither
    )
    assert "nor that they are the same" in sentence(replace(row, higher_is_better=None))  # more is no virtue there
    assert "but it is not worse by 5 points or more" in sentence(replace(row, higher_is_better=False))
    assert "rag and general are equivalent within 5 points" in sentence(contrast(verdict="equivalent"))
    assert "rag is lower than general" in sentence(contrast(verdict="worse", higher_is_better=None))
    assert "rag is worse than general" in sentence(contrast(verdict="worse", higher_is_better=False))
    assert sentence(contrast(difference=None)).endswith("no example is left that both arms have a score for.")


def test_a_secondary_metric_makes_no_verdict():
    row = contrast(metric="rouge_l", verdict="secondary", primary=False, p_adjusted=None, fixed=None, broke=None)
    assert sentence(row) == (
        "On medqa (rouge_l), a secondary metric, there is no verdict on rag and general: 0.600 vs 0.500, difference "
        "+10.0 points [+2.0, +18.0], p 0.010, not adjusted, n 200."
    )
    assert headline(results(row)) == ["No two arms were compared."]


def test_tasks_are_counted_by_verdict_and_by_their_primary_metric():
    rows = [contrast(f"t{i}", "cannot-tell") for i in range(6)]
    rows += [contrast("medqa"), contrast("mmlu", "worse")]
    rows.insert(0, contrast("medqa", "secondary", metric="abstained", primary=False, p_adjusted=None))
    assert headline(results(*rows)) == [
        "rag against general: better on 1 of 8 tasks (medqa), worse on 1 (mmlu), cannot tell on 6 (t0, t1, t2, t3 and "
        "2 more).",
        "What cannot be told needs more than 200 examples: ragmed plan says how many.",
    ]


def test_what_is_too_few_are_groups_where_examples_belong_together():
    rows = [contrast("t0", "cannot-tell", groups=1), contrast("t1", "cannot-tell", groups=12)]
    assert headline(results(*rows))[-1] == (
        "What cannot be told needs more than 1 to 12 groups of examples: ragmed plan says how many."
    )
    assert "more than 1 group of examples:" in headline(results(rows[0], rows[0]))[-1]
    one = contrast("t0", "cannot-tell", n=1, groups=1)
    assert "more than 1 example:" in headline(results(one, one))[-1]


def test_one_task_has_its_numbers():
    assert headline(results(contrast(corpora="different"))) == [
        "rag against general on medqa: better; different corpora, +10.0 points [+2.0, +18.0], adjusted p 0.020."
    ]


def effect(name, verdict, difference):
    ci = (difference - 0.1, difference + 0.1)
    row = row_of("factorials").effects[0]
    return replace(row, effect=name, difference=difference, ci=ci, p_adjusted=0.01, verdict=verdict)


def square(task, retrieval="better"):
    effects = (
        effect("tuning", "cannot-tell", 0.0),
        effect("retrieval", retrieval, 0.3),
        effect("interaction", "worse", -0.1),
        effect("tuning-against-retrieval", "worse", -0.3),
    )
    does = {"retrieval": {"untuned": 0.3, "tuned": 0.2}, "tuning": {"closed_book": 0.0, "with_passages": 0.0}}
    return row_of("factorials", task=task, n=40, groups=40, corpora="different", simple=does, effects=effects)


def test_a_2x2_answers_the_question_first():
    inside = contrast(baseline="general", arm="rag")
    beside = contrast(arm="rag+oracle")
    assert headline(results(inside, beside, factorials=(square("medqa"),))) == [
        "Fine-tune, retrieve, both or neither? On medqa (n 40): retrieve. Retrieval helps, +30.0 points [+20.0, "
        "+40.0]; what tuning does cannot be told, +0.0 points [-10.0, +10.0]; tuning is worse than retrieving, -30.0 "
        "points [-40.0, -20.0] (different corpora).",
        "rag+oracle against general on medqa: better, +10.0 points [+2.0, +18.0], adjusted p 0.020.",
    ]
    many = headline(results(factorials=(square("a"), square("b", "cannot-tell"))))
    assert many == [
        "Fine-tune, retrieve, both or neither? Retrieve on 1 of 2 tasks (a); cannot be told on 1 (b); different "
        "corpora.",
        "What cannot be told needs more than 40 examples: ragmed plan says how many.",
    ]
    other = four_arms(["general", "tuned-2", "rag", "both-2"])
    twice = replace(square("medqa"), tuned="tuned-2", both="both-2", levels=other.levels)
    said = headline(results(factorials=(square("medqa"), twice)))
    assert said[1].startswith("Fine-tune (tuned-2), retrieve (rag), both (both-2) or neither (general)? On medqa")


@pytest.mark.parametrize(
    ("retrieval", "tuning", "said"),
    [
        ("better", "better", "both"),
        ("better", "worse", "retrieve"),
        ("cannot-tell", "better", "fine-tune"),
        ("equivalent", "worse", "neither"),
        ("equivalent", "cannot-tell", "cannot be told"),
    ],
)
def test_only_what_is_shown_to_help_is_recommended(retrieval, tuning, said):
    effects = (effect("tuning", tuning, 0.0), effect("retrieval", retrieval, 0.0))
    row = replace(square("medqa"), effects=effects)
    assert advice(row) == said
    assert advice(replace(row, higher_is_better=None)) == "cannot be told"
    assert advice(replace(row, higher_is_better=False)) == said
    assert advice(replace(row, effects=(replace(effects[0], difference=None), effects[1]))) == "cannot be told"


def test_warnings_stand_in_the_headline():
    leaks = tuple(row_of("leakage", task="medqa", arm=arm, leaked=3, n=50) for arm in ("general", "rag"))
    one, two = (replace(contrast(), task=task, depends=True) for task in ("medqa", "mmlu"))
    said = headline(results(one, leakage=leaks))
    assert said[0].endswith("; this depends on what unreadable answers count as.")
    assert said[1] == "Questions that stand in what an arm was trained on or is shown: 3 of medqa."
    said = headline(results(one, two))
    assert said[1] == (
        "Depends on what unreadable answers count as: rag against general on medqa, rag against general on mmlu."
    )
    assert len(headline(results(replace(one, primary=False), contrast()))) == 1
    assert headline(results()) == ["No two arms were compared."]


def test_the_overall_effect_tells_when_tasks_differ():
    row = row_of("overall", k=4, difference=0.05, ci=(-0.07, 0.17), i2=0.95, q_p=0.001, verdict="cannot-tell")
    assert overall(row) == (
        "Over 4 tasks together +5.0 points [-7.0, +17.0]: cannot tell (I2 95 %: tasks differ by more than chance "
        "explains)."
    )
    assert overall(replace(row, q_p=0.4)) == "Over 4 tasks together +5.0 points [-7.0, +17.0]: cannot tell."
    assert overall(replace(row, difference=None)) == "Over 4 tasks together nothing can be told."


def test_tasks_with_other_primary_metrics_are_pooled_apart():
    one = row_of(
        "overall", baseline="general", arm="rag", k=2, difference=0.05, ci=(-0.07, 0.17), q_p=0.4, verdict="cannot-tell"
    )
    secondary = replace(one, metric="rouge_1", primary=False, verdict="secondary", p_adjusted=None)
    rows = [contrast(), contrast("mmlu"), contrast("notes", metric="rouge_l")]
    (said,) = headline(results(*rows, overall=(one, secondary)))
    assert said == (
        "rag against general: better on 3 of 3 tasks (medqa, mmlu, notes). By accuracy: over 2 tasks together +5.0 "
        "points [-7.0, +17.0]: cannot tell."
    )


def test_what_lies_behind_is_said_in_a_line_each():
    here = {"task": "medqa", "metric": "accuracy"}
    counts = (("form", 10), ("missed", 0), ("ignored", 20))
    found = results(
        policies=(
            row_of("policies", **here, arm="general", values={"wrong": 0.5, "drop": 0.6}),
            row_of("policies", **here, arm="rag", values={"wrong": 0.4, "drop": 0.7}),
        ),
        policy_rankings=(row_of("policy_rankings", **here, depends=True),),
        decomposition=(
            row_of("decomposition", **here, arm="rag", closed="general", n=100, wrong=30,
                   parts=tuple(Cause(part, count, (), ()) for part, count in counts),
                   distracted=Examples(4, ()), beyond=None),
        ),
        order=(
            row_of("order", kind="options", arm="rag", task="medqa", other_task="medqa-reversed", other_arm="rag",
                   n=50, share=0.62, ci=(0.48, 0.75)),
        ),
        retrieval=(
            row_of("retrieval", **here, arm="rag", k=3, n=40, ndcg=0.61, recall=None, mrr=0.5, found=Side(30, 0.8),
                   missed=Side(10, 0.3)),
        ),
        calibration=(row_of("calibration", arm="rag", task="medqa", ece=0.12, aurc=0.3),),
        leakage=(
            row_of("leakage", **here, arm="rag", n=100, leaked=12, value=0.4, value_without=0.38,
                   ci_without=(0.28, 0.48)),
            row_of("leakage", **here, arm="general", n=100, leaked=0),
        ),
    )  # fmt: skip
    assert list(sentences(found, "medqa")) == [
        "accuracy with answers that cannot be read counted as wrong / left out: general 0.500 / 0.600, rag 0.400 / "
        "0.700; the order of the arms depends on it",
        "rag, 30 wrong of 100: 10 no readable answer; 20 gold document shown, still wrong; 4 right ones of general "
        "lost to distractor passages",
        "rag: 62 % [48, 75] of 50 answers survive another order of the options (medqa-reversed)",
        "rag, first 3: nDCG 0.610, recall -, MRR 0.500 (n 40); right 0.800 where a gold document is shown (n 30), "
        "0.300 where none is (n 10)",
        "calibration error (area under risk and coverage): rag 0.120 (0.300)",
        "rag (accuracy): 12 of 100 leaked; 0.400 with them, 0.380 [0.280, 0.480] without",
    ]
    assert list(sentences(found, "mmlu")) == []


def test_the_terminal_ends_with_the_verdict_in_words():
    assert render_table(results(contrast())).rstrip().splitlines()[-2:] == [
        "In words",
        "rag against general on medqa: better, +10.0 points [+2.0, +18.0], adjusted p 0.020.",
    ]
