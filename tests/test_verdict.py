"""Rows of results.json -> the verdict in words, and the lines on what lies behind it, word for word."""

import pytest

from ragmed.report.behind import sentences
from ragmed.report.terminal import render_table
from ragmed.report.verdict import advice, headline, overall, sentence


def contrast(task="medqa", verdict="better", **more):
    row = {
        "task": task, "metric": "accuracy", "baseline": "general", "arm": "rag", "n": 200, "difference": 0.1,
        "ci": [0.02, 0.18], "test": "mcnemar-exact", "p": 0.01, "p_adjusted": 0.02, "fixed": 40, "broke": 20,
        "margin": 0.05, "verdict": verdict, "baseline_value": 0.5, "arm_value": 0.6, "higher_is_better": True,
        "noninferiority": {"p": 0.001, "p_adjusted": 0.002, "shown": True},
    }  # fmt: skip
    return row | more


def results(*contrasts, **more):
    return {
        "run": "trial",
        "policy": {"unparsed": "wrong"},
        "scores": [],
        "baselines": [],
        "contrasts": [*contrasts],
    } | more


def test_a_sentence_gives_the_difference_and_its_interval_before_p():
    assert sentence(contrast()) == (
        "On medqa (accuracy), rag is better than general: 0.600 vs 0.500, difference +10.0 points [+2.0, +18.0], "
        "adjusted p 0.020, n 200; rag fixed 40 and broke 20."
    )


def test_no_sentence_claims_more_than_its_verdict():
    row = contrast(verdict="cannot-tell", difference=0.01, ci=[-0.04, 0.06])
    assert "cannot be told whether rag is better than general, but it is not worse by 5 points or more" in sentence(row)
    row["noninferiority"] = {"p": 0.2, "p_adjusted": 0.4, "shown": False}
    assert "cannot be told whether rag and general differ, nor that they are the same within 5 points" in sentence(row)
    row |= {"noninferiority": {"shown": True}, "higher_is_better": False}
    assert "nor that they are the same" in sentence(row)  # not less of what is no virtue says nothing
    assert "rag and general are equivalent within 5 points" in sentence(contrast(verdict="equivalent"))
    assert "rag is lower than general" in sentence(contrast(verdict="worse", higher_is_better=False))
    assert sentence(contrast(difference=None)).endswith("no example is left that both arms have a score for.")


def test_tasks_are_counted_by_verdict_and_by_the_first_metric_where_more_is_better():
    rows = [contrast(f"t{i}", "cannot-tell") for i in range(6)]
    rows += [contrast("medqa"), contrast("mmlu", "worse")]
    rows.insert(0, contrast("medqa", "worse", metric="abstained", higher_is_better=False))
    assert headline(results(*rows)) == [
        "rag against general: better on 1 of 8 tasks (medqa), worse on 1 (mmlu), cannot tell on 6 (t0, t1, t2, t3 and "
        "2 more).",
        "What cannot be told needs more than 200 examples: ragmed plan says how many.",
    ]


def test_one_task_has_its_numbers():
    assert headline(results(contrast(corpora="different"))) == [
        "rag against general on medqa: better; different corpora, +10.0 points [+2.0, +18.0], adjusted p 0.020."
    ]


def effect(name, verdict, difference):
    ci = [difference - 0.1, difference + 0.1]
    return {"effect": name, "difference": difference, "ci": ci, "p_adjusted": 0.01, "margin": 0.05, "verdict": verdict}


def square(task, retrieval="better"):
    return {
        "task": task, "metric": "accuracy", "n": 40, "control": "general", "tuned": "tuned", "retrieved": "rag",
        "both": "both", "higher_is_better": True, "corpora": "different",
        "simple": {"retrieval": {"untuned": 0.3, "tuned": 0.2}, "tuning": {"closed_book": 0.0, "with_passages": 0.0}},
        "effects": [
            effect("tuning", "cannot-tell", 0.0),
            effect("retrieval", retrieval, 0.3),
            effect("interaction", "worse", -0.1),
            effect("tuning-against-retrieval", "worse", -0.3),
        ],
    }  # fmt: skip


def test_a_2x2_answers_the_question_first():
    inside = contrast(baseline="general", arm="rag")
    beside = contrast(arm="rag+oracle")
    assert headline(results(inside, beside, factorials=[square("medqa")])) == [
        "Fine-tune, retrieve, both or neither? On medqa (n 40): retrieve. Retrieval helps, +30.0 points [+20.0, "
        "+40.0]; what tuning does cannot be told, +0.0 points [-10.0, +10.0]; tuning is worse than retrieving, -30.0 "
        "points [-40.0, -20.0] (different corpora).",
        "rag+oracle against general on medqa: better, +10.0 points [+2.0, +18.0], adjusted p 0.020.",
    ]
    many = headline(results(factorials=[square("a"), square("b", "cannot-tell")]))
    assert many == [
        "Fine-tune, retrieve, both or neither? Retrieve on 1 of 2 tasks (a); cannot be told on 1 (b); different "
        "corpora.",
        "What cannot be told needs more than 40 examples: ragmed plan says how many.",
    ]
    twice = square("medqa") | {"tuned": "tuned-2", "both": "both-2"}
    said = headline(results(factorials=[square("medqa"), twice]))
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
    row = square("medqa")
    row["effects"] = [effect("tuning", tuning, 0.0), effect("retrieval", retrieval, 0.0)]
    assert advice(row) == said
    assert advice(row | {"higher_is_better": False}) == "cannot be told"
    row["effects"][0]["difference"] = None
    assert advice(row) == "cannot be told"


def test_warnings_stand_in_the_headline():
    hangs = {"task": "medqa", "metric": "accuracy", "baseline": "general", "arm": "rag", "depends": True}
    leaks = [{"task": "medqa", "arm": arm, "leaked": 3, "n": 50} for arm in ("general", "rag")]
    said = headline(results(contrast(), policy_contrasts=[hangs], leakage=leaks))
    assert said[1] == "Depends on what unreadable answers count as: rag against general on medqa."
    assert said[2] == "Questions that stand in what an arm learnt from or is shown: 3 of medqa."
    assert headline(results()) == ["No two arms were compared."]


def test_the_overall_effect_tells_when_tasks_differ():
    row = {"k": 4, "difference": 0.05, "ci": [-0.07, 0.17], "i2": 0.95, "q_p": 0.001, "verdict": "cannot-tell"}
    assert overall(row) == (
        "Over 4 tasks together +5.0 points [-7.0, +17.0]: cannot tell (I2 95 %: tasks differ by more than chance "
        "explains)."
    )
    assert overall(row | {"q_p": 0.4}) == "Over 4 tasks together +5.0 points [-7.0, +17.0]: cannot tell."
    assert overall(row | {"difference": None}) == "Over 4 tasks together nothing can be told."


def test_what_lies_behind_is_said_in_a_line_each():
    found = results(
        policies=[
            {"arm": "general", "task": "medqa", "metric": "accuracy", "values": {"wrong": 0.5, "drop": 0.6}},
            {"arm": "rag", "task": "medqa", "metric": "accuracy", "values": {"wrong": 0.4, "drop": 0.7}},
        ],
        policy_rankings=[{"task": "medqa", "metric": "accuracy", "depends": True}],
        decomposition=[
            {
                "arm": "rag", "task": "medqa", "closed": "general", "n": 100, "wrong": 30,
                "parts": [{"part": p, "count": n} for p, n in (("form", 10), ("missed", 0), ("ignored", 20))],
                "distracted": {"count": 4}, "beyond": None,
            }
        ],
        order=[
            {"kind": "options", "arm": "rag", "task": "medqa", "other_task": "medqa-reversed", "other_arm": "rag",
             "n": 50, "share": 0.62, "ci": [0.48, 0.75]}
        ],
        retrieval=[
            {"arm": "rag", "task": "medqa", "k": 3, "n": 40, "ndcg": 0.61, "recall": None, "mrr": 0.5,
             "found": {"n": 30, "value": 0.8}, "missed": {"n": 10, "value": 0.3}}
        ],
        calibration=[{"arm": "rag", "task": "medqa", "ece": 0.12, "aurc": 0.3}],
        leakage=[
            {"arm": "rag", "task": "medqa", "metric": "accuracy", "n": 100, "leaked": 12, "value": 0.4,
             "value_without": 0.38, "ci_without": [0.28, 0.48]},
            {"arm": "general", "task": "medqa", "metric": "accuracy", "n": 100, "leaked": 0},
        ],
    )  # fmt: skip
    assert list(sentences(found, "medqa")) == [
        "accuracy when answers that cannot be read count as wrong / dropped: general 0.500 / 0.600, rag 0.400 / 0.700; "
        "the order of the arms depends on it",
        "rag, 30 wrong of 100: not answered in the form asked 10, gold shown, wrong all the same 20; 4 right ones of "
        "general lost to distractor passages",
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
