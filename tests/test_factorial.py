from __future__ import annotations

import itertools
import json
import random
import re
from dataclasses import replace

import pytest
from answers import answers_of, compared, metrics_named
from click.testing import CliRunner
from pages import plain
from ragmed.cli.main import cli

from ragmed.checked import dump
from ragmed.comparison.compare import ComparisonSettings
from ragmed.comparison.designs import Design, Level, four_arms
from ragmed.comparison.sources import UNKNOWN, ArmSources, arm_sources, rule
from ragmed.errors import UnknownNameError, UsageError
from ragmed.experiments.config import load_experiment
from ragmed.experiments.results import Rules, compare_runs, report_run, stored_settings
from ragmed.experiments.trial import run_experiment
from ragmed.integrations.papers import paper_tables
from ragmed.records import ShownPassage
from ragmed.report import effects as words
from ragmed.report.figures.write import write_figures
from ragmed.report.page import render_page
from ragmed.report.terminal import render_table
from ragmed.runs import find_run

ARMS = ("general", "tuned", "rag", "both")
DESIGN = ComparisonSettings(baseline="general", factorials=(ARMS,), resamples=500)
SHOWN = (ShownPassage("wards:a#0", "wards:a"),)
A, B = frozenset({("handbook", "aa" * 32)}), frozenset({("medquad", "bb" * 32)})


def run(*columns, arms=ARMS, **said):
    """One list of scores an arm, in the order of ARMS -> answers."""
    table = dict(zip(arms, columns, strict=True))
    return answers_of(table, input_tokens=10, output_tokens=2, seconds=0.5, cpu_seconds=1.0, **said)


def row_of(samples, settings=DESIGN, **said):
    rows = compared(samples, settings, **said).factorials
    assert len(rows) == 1
    return rows[0]


def effects_of(row):
    return {effect.effect: effect for effect in row.effects}


def exact_p(differences):
    """Every assignment of signs, without numpy and without leaving out zeros."""
    observed = abs(sum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences))) for signs in itertools.product((1, -1), repeat=8)]
    return sum(total >= observed - 1e-9 for total in sums) / len(sums)


# example:   0  1  2  3  4  5  6  7
CONTROL = [0, 0, 0, 0, 0, 0, 1, 1]
TUNED__ = [1, 1, 1, 1, 0, 0, 1, 0]
RAG____ = [1, 1, 1, 1, 1, 0, 1, 1]
BOTH___ = [1, 1, 1, 1, 1, 0, 0, 1]


def test_the_four_effects_by_hand():
    row = row_of(run(CONTROL, TUNED__, RAG____, BOTH___))
    found = effects_of(row)
    # means: 2/8, 5/8, 7/8, 6/8
    assert {name: effect.difference for name, effect in found.items()} == {
        "tuning": pytest.approx(((5 - 2) + (6 - 7)) / 2 / 8),
        "retrieval": pytest.approx(((7 - 2) + (6 - 5)) / 2 / 8),
        "interaction": pytest.approx(((6 - 7) - (5 - 2)) / 8),
        "tuning-against-retrieval": pytest.approx((5 - 7) / 8),
    }
    assert (row.n, row.control, row.tuned, row.retrieved, row.both) == (8, *ARMS)
    assert row.simple["retrieval"] == {"untuned": 5 / 8, "tuned": 1 / 8}
    assert row.simple["tuning"] == {"closed_book": 3 / 8, "with_passages": -1 / 8}
    assert row.cells["tuned"].value == 5 / 8


def test_p_is_that_of_all_sign_assignments():
    found = effects_of(row_of(run(CONTROL, TUNED__, RAG____, BOTH___)))
    each = list(zip(CONTROL, TUNED__, RAG____, BOTH___, strict=True))
    tuning = [((t - c) + (b - r)) / 2 for c, t, r, b in each]
    retrieval = [((r - c) + (b - t)) / 2 for c, t, r, b in each]
    interaction = [(b - r) - (t - c) for c, t, r, b in each]
    assert found["tuning"].p == pytest.approx(exact_p(tuning)) == 0.6875
    assert found["retrieval"].p == pytest.approx(exact_p(retrieval)) == 0.109375
    assert found["interaction"].p == pytest.approx(exact_p(interaction)) == 0.21875
    direct = found["tuning-against-retrieval"]
    assert (direct.test, direct.interval, direct.p) == ("mcnemar-exact", "tango", 0.5)  # 0 fixed, 2 broke


def test_groups_are_flipped_whole():
    samples = run(CONTROL, TUNED__, RAG____, BOTH___, groups=[f"page{i // 2}" for i in range(8)])
    row = row_of(samples)
    found = effects_of(row)
    assert row.groups == 4
    assert found["tuning-against-retrieval"].test == "sign-flip-permutation"
    assert found["interaction"].p == 0.5  # groups sum to -2, -2, -1, 1: 8 of 16 signs reach |-4|


def test_holm_goes_over_the_effects_alone():
    samples = run([0] * 40, [1] * 40, [1] * 40, [1] * 40)
    results = compared(samples, DESIGN)
    assert (results.family, results.factorial_family) == (4, 4)
    assert any("Holm's over all 4 of them, a family of its own" in note for note in results.notes)
    effects = results.factorials[0].effects
    assert [e.verdict for e in effects] == ["better", "better", "worse", "cannot-tell"]
    assert [e.p for e in effects[:3]] == [pytest.approx(1 / 1601)] * 3  # 20 * 4 / 0.05 sign flips
    assert [e.p_adjusted for e in effects] == [pytest.approx(4 / 1601)] * 3 + [1.0]


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
@pytest.mark.parametrize(
    "columns",
    [[[1.0] * 30] * 4, [[0.0, 1.0] * 15] * 4, [[0.0], [1.0], [1.0], [0.0]], [[1.0]] * 4, [["refused", 0.0]] * 4],
)
def test_what_holds_no_evidence_has_p_1_and_an_interval(columns, metric):
    samples = run(*columns, metric=metric)
    row = row_of(samples, metrics={"medqa": metrics_named(metric)})
    for effect in row.effects:
        assert effect.p == effect.p_adjusted == 1.0
        assert effect.verdict == "cannot-tell"
        assert effect.ci[0] <= effect.difference <= effect.ci[1]
        assert effect.ci[1] - effect.ci[0] > 0.1
    json.dumps(dump(row), allow_nan=False)


def test_only_examples_that_all_four_have():
    settings = ComparisonSettings(baseline="general", factorials=(ARMS,), policy="drop", resamples=200)
    row = row_of(run([0, 0, 1], [1, "refused", 1], [1, 1, 1], ["refused", 1, 1]), settings)
    assert (row.n, row.left_out) == (1, 2)
    empty = row_of(run([0], ["error"], [1], [1]), settings)
    assert (empty.n, empty.cells, empty.effects[0].difference) == (0, {}, None)
    assert words.sentence(empty, empty.effects[2]) == (
        "there is no verdict on interaction: 1 of 1 answer of tuned did not come back"
    )


def test_a_metric_that_one_arm_lacks_has_no_row():
    samples = run([0, 1], [1, 1], [1, 1], [1, 0])
    samples |= run([1.0, 1.0], arms=["both"], metric="f1")
    assert compared(samples, DESIGN).factorials == ()


def test_order_and_another_arm_change_no_number_and_swapping_turns_signs():
    rng = random.Random(4)
    samples = run(*[[rng.random() for _ in range(30)] for _ in ARMS], metric="f1")
    first = row_of(samples)
    more = {**dict(reversed(samples.items())), **run([0.5] * 30, arms=["z"], metric="f1")}
    assert row_of(more) == first
    swapped = ComparisonSettings(baseline="general", factorials=(("tuned", "general", "both", "rag"),), resamples=500)
    forth, back = effects_of(first), effects_of(row_of(samples, swapped))
    for name in ("tuning", "interaction"):
        assert back[name].difference == pytest.approx(-forth[name].difference)
        assert back[name].ci == pytest.approx((-forth[name].ci[1], -forth[name].ci[0]))
        assert back[name].p == forth[name].p
    assert back["retrieval"].ci == pytest.approx(forth["retrieval"].ci)


def test_tuned_against_retrieved_is_a_contrast_by_itself_with_the_same_numbers():
    rng = random.Random(5)
    samples = run(*[[rng.random() for _ in range(30)] for _ in ARMS], metric="f1")
    results = compared(samples, DESIGN)
    pairs = [(row.baseline, row.arm) for row in results.contrasts]
    assert pairs == [("general", "tuned"), ("general", "rag"), ("general", "both"), ("rag", "tuned")]
    effect = results.factorials[0].effects[3]
    contrast = results.contrasts[3]
    assert (contrast.difference, contrast.ci, contrast.p) == (effect.difference, effect.ci, effect.p)
    asked = ComparisonSettings(baseline="general", contrasts=(("general", "rag"),), factorials=(ARMS,), resamples=200)
    assert len(compared(samples, asked).contrasts) == 1
    turned = ComparisonSettings(baseline="tuned", factorials=(ARMS,), resamples=200)
    assert [r.arm for r in compared(samples, turned).contrasts] == ["general", "rag", "both"]


@pytest.mark.parametrize(
    ("designs", "error"),
    [
        ((("general", "tuned", "rag"),), UsageError),
        ((("general", "tuned", "rag", "rag"),), UsageError),
        ((ARMS, ARMS), UsageError),
        ((("general", "tuned", "rag", "bth"),), UnknownNameError),
    ],
)
def test_designs_that_make_no_sense_are_refused(designs, error):
    with pytest.raises(error):
        compared(run([0], [1], [1], [1]), ComparisonSettings(baseline="general", factorials=designs))


def test_a_baseline_arm_is_in_no_factorial():
    settings = ComparisonSettings(baseline="general", baseline_arms=("both",), factorials=(ARMS,))
    with pytest.raises(UsageError, match="in no factorial"):
        compared(run([0], [1], [1], [1]), settings)


@pytest.mark.parametrize(
    ("values", "verdict", "said"),
    [
        ((0.1, 0.5, 0.6, 0.7), "worse", "retrieval helps the tuned model less than the untuned one, by 30.0 points"),
        ((0.5, 0.5, 0.4, 0.1), "worse", "retrieval harms the tuned model more than the untuned one, by 30.0 points"),
        ((0.1, 0.1, 0.2, 0.5), "better", "retrieval helps the tuned model more than the untuned one, by 30.0 points"),
        ((0.5, 0.5, 0.1, 0.4), "better", "retrieval harms the tuned model less than the untuned one, by 30.0 points"),
        ((0.1, 0.5, 0.6, 0.7), "cannot-tell", "it cannot be told whether retrieval does more or less for the tuned"),
        ((0.1, 0.1, 0.1, 0.1), "equivalent", "retrieval does the same for the tuned model as for the untuned one"),
    ],
)
def test_an_interaction_in_plain_words(values, verdict, said):
    row = row_of(run(*[[value] * 3 for value in values], metric="f1"))
    effect = replace(effects_of(row)["interaction"], verdict=verdict)
    assert said in words.sentence(row, effect)


def test_the_rule_by_hand():
    trained = {"tuned": ArmSources(trained_on=A), "published": ArmSources(trained_on=UNKNOWN), "general": ArmSources()}
    known = {
        **trained,
        "rag": ArmSources(shown=A),
        "rag-b": ArmSources(shown=B),
        "both": ArmSources(trained_on=A, shown=B),
    }
    assert rule(known, ["tuned", "rag"]) == "same"
    assert rule(known, ["rag-b", "tuned"]) == "different"
    assert rule(known, ["published", "rag"]) == "unknown"
    assert rule(known, ["general", "both"]) == "different"
    # Of two models whose texts nobody declared nothing is known to be the same; of one with and without passages, all.
    known |= {"other+rag": ArmSources(trained_on=UNKNOWN, shown=A, model="other")}
    known |= {"theirs": ArmSources(trained_on=UNKNOWN, model="m"), "theirs+rag": ArmSources(UNKNOWN, A, model="m")}
    assert rule(known, ["published", "other+rag"]) == rule(known, ["theirs", "other+rag"]) == "unknown"
    assert rule(known, ["theirs", "theirs+rag"]) == ""
    assert rule(known, ["published", "tuned", "rag-b"]) == "different"
    same = [["tuned", "both"], ["rag-b", "both"]]  # the same weights, or the same passages, on either side
    for pair in (["general", "tuned"], ["general", "rag"], ["rag", "rag-b"], ["general", "elsewhere"], *same):
        assert rule(known, pair) == ""


def test_names_do_not_matter_hashes_do():
    renamed = frozenset({("handbook-2031", "aa" * 32)})
    other = frozenset({("handbook", "cc" * 32)})
    assert rule({"t": ArmSources(trained_on=A), "r": ArmSources(shown=renamed)}, "tr") == "same"
    assert rule({"t": ArmSources(trained_on=A), "r": ArmSources(shown=other)}, "tr") == "different"


def info(trained_on="aa", shown="aa"):
    """What run.json holds of four arms; '' for a side that is not recorded."""
    arms = {
        "general": {"model": "small", "context": "none", "index": ""},
        "tuned": {"model": "ours", "context": "none", "index": ""},
        "rag": {"model": "small", "context": "retrieved", "index": "pages"},
        "both": {"model": "ours", "context": "retrieved", "index": "pages"},
    }
    models = {"small": {"name": "packaged:smollm2-135m"}, "ours": {"name": "packaged:smollm2-135m+adapter:a"}}
    losses = [
        {"step": k, "tokens": 512 * k, "seconds": k, "train": 3 / k, "held_out": 3 / k + 0.1 if k % 2 else None}
        for k in range(1, 9)
    ]
    adapter = {"name": "ours", "corpora": [{"name": "wards", "sha256": trained_on * 32}], "tokens": 4096, "steps": 8}
    adapter |= {
        "seconds": 90.0,
        "cpu_seconds": 180.0,
        "device": "cpu",
        "peak_memory_bytes": 2**30,
        "energy_joules": None,
        "losses": losses,
    }
    adapter["search"] = {
        "seconds": 120.0,
        "cpu_seconds": 240.0,
        "cells": [{"learning_rate": 0.001, "score": 0.5}],
        "chosen": 0,
    }
    index = {"corpora": [{"name": "wards", "sha256": shown * 32}], "passages": 12, "device": "cpu"}
    index |= {"seconds": 2.0, "cpu_seconds": 4.0}
    references = {"adapters": {"ours": adapter} if trained_on else {}, "indexes": {"pages": index} if shown else {}}
    return {"experiment": {"arms": arms, "models": models}, "references": references}


def test_sources_of_a_run():
    known = arm_sources(info(), "first/")
    assert list(known) == ["first/general", "first/tuned", "first/rag", "first/both"]
    assert known["first/general"].trained_on is known["first/general"].shown is None
    assert known["first/tuned"].trained_on == known["first/both"].shown == frozenset({("wards", "aa" * 32)})
    assert arm_sources(info(trained_on=""))["tuned"].trained_on == UNKNOWN
    assert arm_sources(info(shown=""))["rag"].shown == UNKNOWN
    assert arm_sources({"experiment": info()["experiment"]})["tuned"].trained_on == UNKNOWN
    assert arm_sources({}) == {}


@pytest.mark.parametrize(
    ("made", "same", "mark"),
    [
        (info(), True, ""),
        (info(shown="bb"), False, "different corpora"),
        (info(trained_on=""), None, "corpora not known to be the same"),
    ],
)
def test_every_output_marks_what_is_not_of_the_same_references(made, same, mark):
    samples = run([0] * 20, [1] * 20, [1] * 20, [1] * 20, passages=SHOWN)
    results = compared(samples, DESIGN, sources=arm_sources(made))
    assert results.factorials[0].same_corpus is same
    found = {(row.baseline, row.arm): row.corpora for row in results.contrasts}
    assert found["general", "tuned"] == found["general", "rag"] == ""
    said = {True: "same", False: "different", None: "unknown"}[same]
    assert found["rag", "tuned"] == found["general", "both"] == said
    table, page = render_table(results), plain(render_page(results, run_info=made))
    if mark:
        assert re.search(rf"tuned - rag .*{mark}", " ".join(table.split()))
        assert f"n 20): {mark}" in " ".join(table.split())
        assert f"; {mark}." in page
        assert f"medqa, accuracy {mark} " in page
        assert len(results.corpora_notes) == 1
        assert results.corpora_notes[0] in results.notes
    else:
        assert "corpora" not in table
        assert results.corpora_notes == ()


def test_the_note_names_the_corpora_of_both_sides():
    results = compared(run([0], [1], [1], [1]), DESIGN, sources=arm_sources(info(shown="bb")))
    note = results.corpora_notes[0]
    assert "trained on wards (aaaaaaaa), passages come from wards (bbbbbbbb)" in note
    assert "mixes which references are used with how they are used" in note


def test_a_published_model_in_a_factorial_is_said_to_be_unknown():
    results = compared(run([0], [1], [1], [1]), DESIGN)
    assert results.factorials[0].same_corpus is None
    assert "corpora that nobody declared" in results.corpora_notes[0]


def test_the_page_has_a_square_effects_training_and_no_losses_listed(tmp_path):
    samples = run([0] * 20, [1] * 20, [1] * 20, [1] * 20, passages=SHOWN)
    results = compared(samples, DESIGN, sources=arm_sources(info()))
    html = render_page(results, run_info=info(), figures=["figures/forest.svg", "figures/training.svg"])
    page = plain(html)
    assert "Tuning helps, averaged over closed book and with passages : +50.0 points [+" in page
    assert "Retrieval helps the tuned model less than the untuned one, by 100.0 points : -100.0 points" in page
    assert "(retrieval: +0.0 points when tuned, +100.0 when not), n 20." in page
    assert "| untuned | 0.000 [0.000, 0.161] general |" in page
    assert "| ▼ negative: retrieval helps the tuned model less |" in page
    training = page.split("Training and search")[1].split("What made this run")[0]
    assert '<img src="figures/training.svg" alt="Loss in training and on held-out documents' in html
    assert "ours (model ours): trained on wards (aaaaaaaa); 4,096 tokens in 8 steps; 1.5 min on cpu" in training
    assert "peak memory 1.00 GiB." in training
    assert "| 0 | 0.001 | 0.5 |" in training
    assert "The search that chose ours: seconds 120; cpu seconds 240; chosen 0." in training
    assert "references.adapters.ours.seconds" in page
    assert ".losses." not in page
    drawn = write_figures(results, tmp_path, adapters=info()["references"]["adapters"])
    assert [path.stem for path in drawn[::2]] == ["forest", "scores", "factorial", "cost", "training"]
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_an_adapter_without_losses_has_a_line_and_no_curve(tmp_path):
    bare = {"ours": {"name": "ours", "losses": [{"tokens": 5, "train": None}]}}
    results = compared(run([0], [1], [1], [1]), DESIGN)
    names = [path.name for path in write_figures(results, tmp_path, adapters=bare)]
    page = plain(render_page(results, run_info={"references": {"adapters": bare}}))
    assert not any("training" in name for name in names)
    assert "trained on corpora that nobody declared; unknown tokens in unknown steps; unknown on an unknown" in page


FOUR = """
models: {small: "scripted:first-option", ours: "scripted:first-option"}
index: wards
tasks: {mmlu: {scoring: letters}}
arms:
  general: {model: small}
  tuned: {model: ours}
  rag: {model: small, context: retrieved, k: 2}
  both: {model: ours, context: retrieved, k: 2}
comparison: {resamples: 200, factorials: [[general, tuned, rag, both]]}
"""


@pytest.fixture
def four(small):
    path = small.root / "configs" / "four.yaml"
    path.write_text(FOUR)
    run_experiment(load_experiment(path), workspace=small)
    done = find_run(small.runs, "four")
    made = done.info()
    made["references"] = {
        "adapters": info()["references"]["adapters"],
        "indexes": {"wards": info(shown="bb")["references"]["indexes"]["pages"]},
    }
    done.write_info(made)
    return done


def test_a_run_with_references(four, small):
    results = compare_runs([four])
    assert results.factorials[0].same_corpus is False
    assert results.economics[0].training.total_seconds == 120.0
    page = report_run(four)
    assert "different corpora" in page.read_text()
    assert (page.parent / "figures" / "training.png").is_file()
    told = CliRunner().invoke(cli, ["--root", str(small.root), "compare", "four", "--json", "--price-hour", "3.6"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.output)["prices"]["machine_hour"] == 3.6
    assert stored_settings(four).factorials == (four_arms(ARMS),)


def test_runs_side_by_side_keep_their_factorials_and_marks(four, small):
    path = small.root / "configs" / "plain.yaml"
    path.write_text(FOUR.split("comparison:")[0])
    run_experiment(load_experiment(path), workspace=small)
    plain = find_run(small.runs, "plain")
    plain.write_info({key: value for key, value in plain.info().items() if key != "references"})
    results = compare_runs([four, plain])
    assert [row.both for row in results.factorials] == ["four/both"]
    found = {row.arm: row.corpora for row in results.contrasts}
    assert found["four/both"] == "different"
    assert found["plain/rag"] == ""
    turned = compare_runs([four, plain], Rules(baseline="plain/rag"))
    marks = {(row.baseline, row.arm): row.corpora for row in turned.contrasts}
    assert (marks["plain/rag", "four/tuned"], marks["four/rag", "four/tuned"]) == ("unknown", "different")


def test_a_factorial_whose_arms_are_not_asked_yet_waits(small):
    path = small.root / "configs" / "four.yaml"
    path.write_text(FOUR)
    results = run_experiment(load_experiment(path).only(arms=("general", "tuned", "rag")), workspace=small)
    assert results.factorials == ()
    assert "no 2x2 of general, tuned, rag, both yet: both has no row" in results.notes


REASONED = ("direct", "cot", "rag", "cot+rag")
REASONING = ComparisonSettings(baseline="direct", factorials=(four_arms(REASONED, "reasoning"),), resamples=500)


def test_reasoning_and_retrieval_by_hand_in_every_output(tmp_path):
    # 40 questions; right: 8 directly, 24 after reasoning, 28 with passages, 30 with both
    columns = [[1] * right + [0] * (40 - right) for right in (8, 24, 28, 30)]
    results = compared(run(*columns, arms=REASONED, passages=SHOWN), REASONING)
    (row,) = results.factorials
    assert (row.factor, row.control, row.tuned, row.retrieved, row.both) == (
        "reasoning",
        "direct",
        None,
        "rag",
        "cot+rag",
    )
    assert {effect.effect: (effect.level, effect.difference) for effect in row.effects} == {
        "reasoning": ("reasoning", pytest.approx((16 + 2) / 2 / 40)),
        "retrieval": ("", pytest.approx((20 + 6) / 2 / 40)),
        "interaction": ("reasoning", pytest.approx((2 - 16) / 40)),
        "reasoning-against-retrieval": ("reasoning", pytest.approx(-4 / 40)),
    }
    assert {role: cell.value for role, cell in row.cells.items()} == {
        "control": 0.2, "reasoning": 0.6, "retrieved": 0.7, "both": 0.75,
    }  # fmt: skip
    assert row.simple == {
        "retrieval": {"direct": pytest.approx(0.5), "reasoning": pytest.approx(0.15)},
        "reasoning": {"closed_book": pytest.approx(0.4), "with_passages": pytest.approx(0.05)},
    }
    assert ("rag", "cot") in [(contrast.baseline, contrast.arm) for contrast in results.contrasts]
    assert results.economics == ()  # nothing was trained: there is no break-even
    table = " ".join(render_table(results).split())
    page = " ".join(plain(render_page(results, run_info={})).split())
    assert "2x2 (direct: direct, rag; reasoning: cot, cot+rag; n 40)" in table
    assert "Reason first, retrieve, both or neither? On medqa (n 40): both." in table
    assert "retrieval helps answers after reasoning less than direct ones, by 35.0 points" in table
    assert "retrieval does for answers after reasoning, less what it does for direct ones" in table
    assert "Reasoning × retrieval: medqa, accuracy" in page
    assert "(retrieval: +15.0 points after reasoning, +50.0 without)" in page
    assert "| direct | 0.200" in page
    drawn = write_figures(results, tmp_path)
    assert "factorial" in [path.stem for path in drawn]
    svg = (tmp_path / "factorial.svg").read_text()
    assert "Reasoning and retrieval together" in svg
    assert "untuned" not in svg


LEVELS = Design(
    (Level("untuned", "general", "rag"), Level("pages", "pages", "pages+rag"), Level("raft", "raft", "raft+rag"))
)


def test_three_levels_of_tuning_by_hand():
    right = {"general": 2, "pages": 5, "raft": 8, "rag": 10, "pages+rag": 12, "raft+rag": 15}
    samples = run(*[[1] * n + [0] * (20 - n) for n in right.values()], arms=tuple(right), passages=SHOWN)
    results = compared(samples, ComparisonSettings(baseline="general", factorials=(LEVELS,), resamples=500))
    (row,) = results.factorials
    assert {(effect.effect, effect.level): effect.difference for effect in row.effects} == {
        ("tuning", "pages"): pytest.approx((3 + 2) / 2 / 20),
        ("tuning", "raft"): pytest.approx((6 + 5) / 2 / 20),
        ("retrieval", ""): pytest.approx((8 + 7 + 7) / 3 / 20),
        ("interaction", "pages"): pytest.approx((7 - 8) / 20),
        ("interaction", "raft"): pytest.approx((7 - 8) / 20),
        ("tuning-against-retrieval", "pages"): pytest.approx(-5 / 20),
        ("tuning-against-retrieval", "raft"): pytest.approx(-2 / 20),
    }
    assert results.factorial_family == 7
    assert list(row.cells) == ["control", "pages", "raft", "retrieved", "pages+retrieved", "raft+retrieved"]
    assert row.simple["tuning: raft"] == {"closed_book": pytest.approx(0.3), "with_passages": pytest.approx(0.25)}
    assert [(cost.tuned, cost.both) for cost in results.economics] == [("pages", "pages+rag"), ("raft", "raft+rag")]
    table = " ".join(render_table(results).split())
    assert "2x3 (untuned: general, rag; pages: pages, pages+rag; raft: raft, raft+rag; n 20)" in table
    assert "tuning raft +27.5" in table
    assert "(raft)" in table
    assert "raft+rag" in plain(render_page(results, run_info={}))


def test_p_of_an_effect_over_three_levels_is_that_of_all_sign_assignments():
    more = [1, 0, 1, 0, 1, 1, 1, 1]
    arms = ("general", "pages", "raft", "rag", "pages+rag", "raft+rag")
    columns = (CONTROL, TUNED__, CONTROL, RAG____, BOTH___, more)
    settings = ComparisonSettings(baseline="general", factorials=(LEVELS,), resamples=500)
    retrieval = next(e for e in row_of(run(*columns, arms=arms), settings).effects if e.effect == "retrieval")
    each = [(r + b + m - c - t - c2) / 3 for c, t, c2, r, b, m in zip(*columns, strict=True)]
    assert retrieval.difference == pytest.approx(sum(each) / 8)
    assert retrieval.p == pytest.approx(exact_p(each))


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ((Level("a", "x", "y"),), "two levels or more"),
        ((Level("a", "x", "y"), Level("a", "u", "v")), "the level 'a' stands twice"),
        ((Level("a", "x", "y"), Level("b", "u", "y")), "the arm 'y' stands twice"),
    ],
)
def test_levels_that_make_no_design_are_refused(levels, words):
    with pytest.raises(UsageError, match=words):
        Design(levels)


TWO_FACTORS = """
models: {small: "scripted:first-option", ours: {name: "scripted:first-option", base: small}}
index: wards
tasks: {mmlu: {limit: 4}}
arms:
  general: {model: small}
  cot: {model: small, cot: true}
  cot-short: {model: small, cot: true, cot_tokens: 9}
  rag: {model: small, context: retrieved, k: 2}
  cot+rag: {model: small, context: retrieved, k: 2, cot: true}
  cot+more: {model: small, context: retrieved, k: 3, cot: true}
  tuned: {model: ours}
  tuned+rag: {model: ours, context: retrieved, k: 2}
  tuned+cot: {model: ours, cot: true}
  tuned+cot+rag: {model: ours, context: retrieved, k: 2, cot: true}
"""


def test_a_config_has_the_designs_of_its_arms_and_no_others(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(TWO_FACTORS)
    found = load_experiment(path).comparison.factorials
    assert [(design.factor, design.arms) for design in found] == [
        ("tuning", ("general", "tuned", "rag", "tuned+rag")),
        ("tuning", ("cot", "tuned+cot", "cot+rag", "tuned+cot+rag")),
        ("reasoning", ("general", "cot", "rag", "cot+rag")),
        ("reasoning", ("tuned", "tuned+cot", "tuned+rag", "tuned+cot+rag")),
    ]
    level = "{name: %s, closed_book: %s, with_passages: %s}"
    levels = ", ".join([level % ("now", "general", "rag"), level % ("later", "cot", "cot+rag")])
    path.write_text(TWO_FACTORS + f"comparison: {{factorials: [{{factor: reasoning, levels: [{levels}]}}]}}\n")
    (named,) = load_experiment(path).comparison.factorials
    assert [level.name for level in named.levels] == ["now", "later"]
    path.write_text(TWO_FACTORS + "comparison: {factorials: [[general, cot, rag]]}\n")
    with pytest.raises(UsageError, match="four different arms"):
        load_experiment(path)


def test_two_factors_are_told_apart_and_exported(tmp_path):
    arms = (*REASONED, "tuned", "tuned+rag")
    columns = [[1] * right + [0] * (20 - right) for right in (4, 12, 14, 15, 4, 14)]
    designs = (four_arms(["direct", "tuned", "rag", "tuned+rag"]), four_arms(REASONED, "reasoning"))
    settings = ComparisonSettings(baseline="direct", factorials=designs, resamples=300)
    results = compared(run(*columns, arms=arms, passages=SHOWN), settings)
    said = " ".join(render_table(results).split())
    assert "Fine-tune, retrieve, both or neither? On medqa (n 20): retrieve." in said
    assert "Reason first, retrieve, both or neither? On medqa (n 20): both." in said
    assert {p.stem for p in write_figures(results, tmp_path) if "factorial" in p.stem} == {"factorial", "factorial-2"}
    (effects,) = [table for table in paper_tables(results) if table.name == "effects"]
    assert "(control, tuned, retrieved, both): direct, tuned, rag, tuned+rag" in effects.caption
    assert "(control, reasoning, retrieved, both): direct, cot, rag, cot+rag" in effects.caption
