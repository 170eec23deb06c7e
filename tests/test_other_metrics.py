"""Metrics that are no accuracy, through the whole of a comparison: ratios of counts, less is better, secondary ones."""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pytest
from answers import answer, answers_of, compared, metrics_named
from pages import plain
from sklearn.metrics import f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from ragmed.checked import dump, parse
from ragmed.comparison.compare import ComparisonSettings, Results
from ragmed.comparison.diagnosis.diagnose import RunFacts
from ragmed.comparison.diagnosis.rows import Side
from ragmed.errors import DataError
from ragmed.metrics import MetricFacts
from ragmed.metrics.codes import code_counts
from ragmed.records import Example, ShownPassage
from ragmed.report import browser
from ragmed.report.figures.write import write_figures
from ragmed.report.page import render_page
from ragmed.report.terminal import render_table
from ragmed.report.verdict import headline, sentence

ARMS = ("general", "tuned", "rag", "both")
HITS = {"general": 0.3, "tuned": 0.5, "rag": 0.6, "both": 0.9}
CODES = ("E11.9", "I10", "J45.909", "Z79.4", "N18.3", "I25.10")
SETTINGS = ComparisonSettings(baseline="general", resamples=300)
DESIGN = ComparisonSettings(baseline="general", factorials=(ARMS,), resamples=300)
SHOWN = (ShownPassage("w:a#0", "w:a", 1, gold=True),)


def coded(arm, predicted, gold, *, number=0, task="notes", **more):
    """An answer with its codes, None where nothing could be read."""
    more = {"question": f"Code note {number}.", **more}
    if predicted is None:
        return answer(f"n{number:03d}", arm, task, status="unparsed", gold=gold, **more)
    counts = code_counts([(Example("", "", gold=gold), predicted)])[0]
    scores = {"code_f1": counts}
    return answer(f"n{number:03d}", arm, task, value=predicted, gold=gold, scores=scores, **more)


def trial(arms=ARMS, n=60, *, unread=(), groups=1, task="notes"):
    rng = random.Random(7)
    golds = [tuple(rng.sample(CODES, rng.randint(1, 4))) for _ in range(n)]
    return {
        (arm, task): [
            coded(
                arm,
                None if number in unread else _predicted(rng, golds[number], HITS[arm]),
                golds[number], number=number, task=task, group=f"g{number // groups}" if groups > 1 else "",
                completion=f"answer {number}", passages=SHOWN if arm in ("rag", "both") else (),
                input_tokens=5, seconds=0.1,
            )
            for number in range(n)
        ]
        for arm in arms
    }  # fmt: skip


def _predicted(rng, gold, chance):
    return tuple(code for code in CODES if rng.random() < (chance if code in gold else 0.1))


def sklearn_f1(answers):
    binarizer = MultiLabelBinarizer(classes=CODES)
    gold = binarizer.fit_transform([given.example.gold for given in answers])
    predicted = binarizer.transform([given.score.value or () for given in answers])
    return f1_score(gold, predicted, average="micro", zero_division=0)


def test_two_arms_by_micro_f1():
    given = trial(("general", "rag"))
    results = compared(given, SETTINGS)
    assert [row.value for row in results.scores] == pytest.approx([sklearn_f1(given[key]) for key in given])
    assert all(row.ci[0] < row.value < row.ci[1] and row.primary for row in results.scores)
    (row,) = results.contrasts
    assert row.difference == pytest.approx(results.scores[1].value - results.scores[0].value)
    assert (row.metric, row.test, row.verdict) == ("code_f1", "sign-flip-permutation", "better")
    assert (row.p, row.fixed, row.broke) == (pytest.approx(1 / 401), None, None)
    assert results.baselines == results.calibration == results.ledger == results.order == ()
    assert parse(Results, json.loads(json.dumps(dump(results), allow_nan=False)), "results") == results


def test_a_2x2_by_micro_f1():
    given = trial()
    results = compared(given, DESIGN)
    (row,) = results.factorials
    values = {
        role: sklearn_f1(given[arm, "notes"]) for role, arm in zip(("control", "tuned", "retrieved", "both"), ARMS)
    }
    assert {role: cell.value for role, cell in row.cells.items()} == pytest.approx(values)
    found = {effect.effect: effect for effect in row.effects}
    assert found["retrieval"].difference == pytest.approx(
        ((values["retrieved"] - values["control"]) + (values["both"] - values["tuned"])) / 2
    )
    assert found["interaction"].difference == pytest.approx(
        values["both"] - values["retrieved"] - values["tuned"] + values["control"]
    )
    assert (found["retrieval"].verdict, results.factorial_family, results.family) == ("better", 4, 4)
    same = next(one for one in results.contrasts if (one.baseline, one.arm) == ("rag", "tuned"))
    direct = found["tuning-against-retrieval"]
    assert (same.difference, same.ci, same.p) == (direct.difference, direct.ci, direct.p)
    json.dumps(dump(results), allow_nan=False)


def test_an_answer_that_cannot_be_read_counts_as_an_empty_one_or_not_at_all():
    unread = set(range(0, 60, 4))
    given = trial(("general", "rag"), unread=unread)
    wrong, drop = (
        compared(given, ComparisonSettings(baseline="general", policy=policy, resamples=300))
        for policy in ("wrong", "drop")
    )
    read = {key: [one for one in answers if one.score.status == "answered"] for key, answers in given.items()}
    for place, key in enumerate(given):
        assert (wrong.scores[place].value, wrong.scores[place].n) == (
            pytest.approx(sklearn_f1(given[key])), 60,
        )  # fmt: skip
        assert (drop.scores[place].value, drop.scores[place].n) == (
            pytest.approx(sklearn_f1(read[key])), 45,
        )  # fmt: skip
    assert wrong.policies == drop.policies
    assert wrong.policies[1].values == {
        "wrong": wrong.scores[1].value, "drop": drop.scores[1].value,
    }  # fmt: skip
    assert wrong.contrasts[0].difference < drop.contrasts[0].difference


def test_an_arm_without_an_answer_that_can_be_read_has_found_nothing():
    given = trial(("general",)) | trial(("rag",), unread=set(range(60)))
    results = compared(given, SETTINGS, metrics={"notes": metrics_named("code_f1")})
    assert [row.value for row in results.scores][1] == 0.0
    assert results.contrasts[0].p < 0.01
    assert results.contrasts[0].verdict == "no-verdict"
    assert results.contrasts[0].reason == "only 0 of 60 answers of rag could be read"


def test_codes_of_one_case_are_resampled_together():
    row = compared(trial(("general", "rag"), groups=3), SETTINGS).contrasts[0]
    assert (row.n, row.groups) == (60, 20)


def test_leaked_examples_and_what_was_retrieved_go_with_a_ratio():
    given = trial()
    leaked = [f"n{number:03d}" for number in range(10)]
    audit = {
        "tasks": [{"task": "notes", "examples": [{"example": id_, "findings": [{"counts": True}]} for id_ in leaked]}]
    }
    about = {arm: {"model": "m", "context": "retrieved" if arm in ("rag", "both") else "none"} for arm in ARMS}
    results = compared(given, DESIGN, facts=RunFacts(arms=about, tasks={"notes": {}}, audit=audit))
    row = results.leakage[0]
    answers = given["general", "notes"]
    assert (row.value, row.leaked) == (pytest.approx(sklearn_f1(answers)), 10)
    assert row.value_without == pytest.approx(sklearn_f1(answers[10:]))
    assert row.value_leaked == pytest.approx(sklearn_f1(answers[:10]))
    assert row.ci_without[0] < row.value_without < row.ci_without[1]
    contrast = results.leakage_contrasts[1]
    assert contrast.difference_without == pytest.approx(
        sklearn_f1(given["rag", "notes"][10:]) - sklearn_f1(answers[10:])
    )
    assert results.decomposition == ()
    assert [row.found for row in results.retrieval] == [Side(0, None)] * 2
    json.dumps(dump(results), allow_nan=False)


def test_page_terminal_figures_and_sample_browser_show_a_ratio(tmp_path):
    given = trial()
    results = compared(given, DESIGN)
    value = results.scores[0].value
    assert f"general {value:.3f} [" in " ".join(render_table(results).split())
    assert f"| general | {value:.3f} | [" in plain(render_page(results, run_info={}))
    assert len(write_figures(results, tmp_path / "figures")) == 6
    browser.write_browser(results, given, tmp_path, stamp="now")
    index = json.loads((tmp_path / "samples/index.js").read_text()[len("ragmedIndex(") : -3])
    assert index["metrics"] == ["code_f1"]
    piece = json.loads("[" + (tmp_path / "samples/0001.js").read_text()[len("ragmedPiece(") : -3] + "]")[2]
    exact = {"1": 1.0, "0": 0.0}
    for row, held in zip(index["rows"], piece, strict=True):
        for letter, shown in zip(row[3], held["answers"], strict=True):
            tp, fp, fn = shown["counts"]["code_f1"]
            alone = 2 * tp / (2 * tp + fp + fn)
            assert shown["scores"]["code_f1"] == pytest.approx(alone)
            assert letter == next((one for one, at in exact.items() if at == alone), "g")
    assert piece[0]["gold"] == "; ".join(given["general", "notes"][0].example.gold)


def test_a_ratio_that_nobody_knows_here_is_named():
    given = {(arm, "t"): [answer("e0", arm, "t", scores={"rouge_l": (1.0, 2.0)})] for arm in ("general", "rag")}
    with pytest.raises(DataError, match="metric 'rouge_l' is no ratio here; score the run again"):
        compared(given, SETTINGS, metrics={"t": (MetricFacts("rouge_l", "ratio"),)})


LESS = MetricFacts("invented", "graded", higher_is_better=False)
ERRORS = MetricFacts("wrong_dose", "binary", higher_is_better=False)


def less(general, rag, facts=LESS, **more):
    settings = ComparisonSettings(baseline="general", resamples=300, **more)
    given = answers_of({"general": general, "rag": rag}, metric=facts.name)
    return compared(given, settings, metrics={"medqa": (facts,)})


@pytest.mark.parametrize(("change", "verdict"), [(-0.2, "better"), (0.2, "worse")])
def test_where_less_is_better_a_negative_difference_is_better(change, verdict):
    rng = random.Random(3)
    general = [0.4 + rng.random() / 10 for _ in range(40)]
    results = less(general, [score + change + rng.random() / 50 for score in general])
    (row,) = results.contrasts
    assert (row.verdict, row.difference < 0) == (verdict, change < 0)
    assert row.noninferiority.shown is (verdict == "better")
    assert f"rag is {verdict} than general" in sentence(row)
    best = {"better": ("rag", "general"), "worse": ("general", "rag")}[verdict]
    assert results.policy_rankings[0].orders == {"wrong": best, "drop": best}
    text = " ".join(render_table(results).split())
    assert re.search(rf"rag - general [+-]\d+\.\d \[.*\] 0\.002 - - {verdict}", text)


def test_not_worse_is_read_the_right_way_round():
    rng = np.random.default_rng(5)
    general = rng.normal(0.5, 0.1, 400)
    lower = general + rng.normal(-0.03, 0.2, 400)  # a little better, and not shown to be
    row = less(general.tolist(), lower.tolist()).contrasts[0]
    more = less((-general).tolist(), (-lower).tolist(), MetricFacts("kept", "graded")).contrasts[0]
    assert row.noninferiority.shown is True
    assert row.noninferiority.p == pytest.approx(more.noninferiority.p, abs=0.005)
    assert row.equivalence.p == pytest.approx(more.equivalence.p, abs=0.03)


def test_of_errors_those_that_went_are_fixed():
    results = less([1] * 25 + [0] * 3 + [0] * 32, [0] * 25 + [1] * 3 + [0] * 32, ERRORS)
    (row,) = results.contrasts
    assert (row.fixed, row.broke, row.verdict, row.test) == (25, 3, "better", "mcnemar-exact")
    assert row.noninferiority.shown is True
    assert results.ledger[0].broke == ("e025", "e026", "e027")
    assert results.baselines == results.decomposition == ()


def test_effects_and_tasks_together_where_less_is_better():
    rng = random.Random(6)
    table = {arm: [level + rng.random() / 10 for _ in range(40)] for arm, level in zip(ARMS, (0.8, 0.7, 0.3, 0.2))}
    given = {
        key: answers for task in ("a", "b") for key, answers in answers_of(table, task=task, metric="invented").items()
    }
    results = compared(given, DESIGN, metrics={"a": (LESS,), "b": (LESS,)})
    effects = {effect.effect: effect.verdict for effect in results.factorials[0].effects}
    assert (effects["tuning"], effects["retrieval"], effects["tuning-against-retrieval"]) == (
        "better",
        "better",
        "worse",
    )
    assert {row.verdict for row in results.overall if row.arm == "rag"} <= {"better", "cannot-tell"}
    assert headline(results)[0].startswith("Fine-tune, retrieve, both or neither? Both on 2 of 2 tasks (a, b)")


@pytest.mark.parametrize(
    ("levels", "said", "sign"),
    [
        ((0.8, 0.8, 0.3, 0.7), "retrieval helps the tuned model less than", "positive"),
        ((0.8, 0.8, 0.7, 0.3), "retrieval helps the tuned model more than", "negative"),
        ((0.3, 0.3, 0.4, 0.8), "retrieval harms the tuned model more than", "positive"),
    ],
)  # fmt: skip
def test_an_interaction_where_less_is_better(levels, said, sign):
    rng = random.Random(6)
    table = {arm: [level + rng.random() / 10 for _ in range(40)] for arm, level in zip(ARMS, levels)}
    results = compared(answers_of(table, metric="invented"), DESIGN, metrics={"medqa": (LESS,)})
    page = plain(render_page(results, run_info={}))
    assert f"{said} the untuned one" in page.replace("Retrieval", "retrieval")
    assert f"{sign}: {said.removesuffix(' than')} |" in page


def both_metrics(task="notes", n=40, difference=0.3):
    """Accuracy first, then ROUGE-L, which is far more certain."""
    return {
        (arm, task): [
            answer(f"e{i}", arm, task, scores={"accuracy": float(i % 2), "rouge_l": 0.2 + i / 100 + gain})
            for i in range(n)
        ]
        for arm, gain in zip(ARMS, (0.0, 0.0, difference, difference))
    }


def test_only_primary_metrics_are_in_the_family_and_come_to_a_verdict():
    results = compared(both_metrics(), DESIGN)
    assert (results.family, results.factorial_family) == (4, 4)
    by_metric = {name: [r for r in results.contrasts if r.metric == name] for name in ("accuracy", "rouge_l")}
    assert {row.p_adjusted for row in by_metric["accuracy"]} == {1.0}
    assert [row.ci[0] < 0.3 < row.ci[1] for row in by_metric["rouge_l"][1:3]] == [True, True]  # 0.3 each time
    for row in by_metric["rouge_l"]:
        assert (row.primary, row.verdict, row.p_adjusted) == (False, "secondary", None)
        assert row.equivalence.p_adjusted is row.noninferiority.p_adjusted is None
        assert (row.ci is not None, 0 < row.p <= 1) == (True, True)
    effects = [effect for row in results.factorials if row.metric == "rouge_l" for effect in row.effects]
    assert [(one.verdict, one.p_adjusted) for one in effects] == [("secondary", None)] * 4
    assert [(row.metric, row.primary) for row in results.scores][::4] == [
        ("accuracy", True),
        ("rouge_l", False),
    ]
    assert any(note.startswith("secondary: by another metric than") for note in results.notes)
    json.dumps(dump(results), allow_nan=False)


def test_secondary_metrics_change_no_number_of_the_primary_one():
    both = compared(both_metrics(), DESIGN)
    alone = {key: [changed_scores(one) for one in given] for key, given in both_metrics().items()}
    single = compared(alone, DESIGN)
    assert tuple(row for row in both.contrasts if row.primary) == single.contrasts
    assert tuple(row for row in both.factorials if row.primary) == single.factorials


def changed_scores(given):
    scores = {"accuracy": given.score.metrics["accuracy"]}
    return answer(given.example.id, given.sample.arm, given.sample.task, scores=scores)


def test_a_secondary_metric_is_shown_and_says_nothing_in_words(tmp_path):
    results = compared(both_metrics() | both_metrics("letters"), DESIGN)
    assert [(row.metric, row.verdict) for row in results.overall][-1] == ("rouge_l", "secondary")
    assert results.overall_family == 4
    table = " ".join(render_table(results).split())
    assert "rag - general +30.0 [+18.1, +45.4] - - - secondary" in table
    assert "+30.0" not in " ".join(headline(results))
    page = plain(render_page(results, run_info={}))
    for said in (
        "| rag | general | +30.0 | [+18.1, +45.4] | 40 | <0.001 | - | - | - | □ secondary |",
        "On notes (rouge_l), a secondary metric, there is no verdict on rag and general: 0.695 vs 0.395, difference "
        "+30.0 points [+18.1, +45.4], p <0.001, not adjusted, n 40.",
        "Retrieval by rouge_l, a secondary metric: no verdict : +30.0 points [+18.1, +45.4], p <0.001, not adjusted",
        "Tuning against retrieval by rouge_l, a secondary metric: no verdict",
        "adjusted for all 8 contrasts of this run by primary metrics",
    ):
        assert said in page
    assert len(write_figures(results, tmp_path)) == 6


def test_a_metric_that_is_primary_on_some_tasks_alone_comes_to_no_verdict_over_all():
    given = both_metrics()
    rouge_first = {(arm, "letters"): found for (arm, _), found in both_metrics("letters").items()}
    facts = {"notes": metrics_named("accuracy", "rouge_l"), "letters": metrics_named("rouge_l", "accuracy")}
    results = compared(given | rouge_first, SETTINGS, metrics=facts)
    assert {row.verdict for row in results.overall} == {"secondary"}
    assert results.family == 6
    assert results.overall_family == 0
    render_page(results, run_info={})


def test_a_number_that_only_describes_is_higher_or_lower():
    facts = MetricFacts("words", "graded", higher_is_better=None)
    rng = random.Random(1)
    table = {
        "general": [0.2 + rng.random() / 10 for _ in range(30)],
        "rag": [0.7 + rng.random() / 10 for _ in range(30)],
    }
    results = compared(answers_of(table, metric="words"), SETTINGS, metrics={"medqa": (facts,)})
    assert "rag is higher than general" in sentence(results.contrasts[0])
    assert headline(results)[0].startswith("rag against general on medqa: higher, +")
