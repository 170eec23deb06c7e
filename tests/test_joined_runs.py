"""Runs compared together, and what a comparison of a bundle cannot do."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from exporting import graded, trial, write
from ragmed.cli.main import cli

from ragmed.errors import MismatchError, UsageError
from ragmed.experiments.results import Rules, compare_runs, report_run
from ragmed.integrations.bundle import export_bundle
from ragmed.records import Answer, Example, Message, Sample, Score
from ragmed.runs import find_run

ARMS = ("general", "tuned")


def asked(folder, tasks):
    return write(folder, {(arm, task): graded(arm, task, 20) for task in tasks for arm in ARMS})


def test_runs_without_a_common_task_are_refused_with_the_tasks_of_each(tmp_path):
    one, other = asked(tmp_path / "one", ["medqa", "mmlu"]), asked(tmp_path / "other", ["notes"])
    with pytest.raises(UsageError, match=r"'one' shares no task .*: 'one' has medqa, mmlu; 'other' has notes"):
        compare_runs([one, other])


def test_a_task_of_one_run_alone_is_named(tmp_path):
    one, other = asked(tmp_path / "one", ["medqa", "mmlu"]), asked(tmp_path / "other", ["medqa", "notes"])
    notes = compare_runs([one, other]).notes
    assert "mmlu was asked in one only: no contrast on it with arms of other" in notes
    assert "notes was asked in other only: no contrast on it with arms of one" in notes
    assert not [note for note in notes if note.startswith("medqa was asked")]


def paper(folder, task, questions, *, arm="base", right=1.0):
    """A run of (id, question, options, gold)."""
    answers = []
    for id_, question, options, gold in questions:
        example = Example(id_, question, options=options, gold=gold)
        sample = Sample(arm, task, example, messages=(Message("user", question),), completion="B")
        answers.append(Answer(sample, Score(id_, "answered", "B", {"accuracy": right})))
    return write(folder, {(arm, task): answers})


DOSE = {"A": "10 mg", "B": "40 mg"}
MEDQA = [(f"test_{n}", f"Which dose is given on day {n}?", DOSE, "B") for n in range(12)]
OTHER = [(f"{n}", f"which dose  is given on day {n}", {"A": "10 MG", "B": "40 mg."}, "B") for n in reversed(range(10))]


def test_questions_of_other_ids_and_tasks_are_joined_by_their_texts(tmp_path):
    one, other = paper(tmp_path / "one", "mirage/medqa", MEDQA), paper(tmp_path / "two", "1273", OTHER, right=0.0)
    with pytest.raises(UsageError, match=r"shares no task .*--join text"):
        compare_runs([one, other])
    results = compare_runs([one, other], join="text")
    (row,) = results.contrasts
    assert (row.task, row.baseline, row.arm, row.n) == ("mirage/medqa", "one/base", "two/base", 10)
    assert (row.fixed, row.broke, row.difference) == (0, 10, -1.0)
    assert (
        "mirage/medqa: joined by the questions' texts: 'mirage/medqa' of one (12), '1273' of two (10); 10 questions "
        "are in all of them."
    ) in results.notes
    done = CliRunner().invoke(cli, ["compare", str(one.folder), str(other.folder), "--join", "text"])
    assert "two/base - one/base -100.0" in " ".join(done.output.split())


def test_two_golds_for_one_question_are_refused_with_both(tmp_path):
    one = paper(tmp_path / "one", "medqa", MEDQA)
    wrong = paper(tmp_path / "two", "medqa", [*OTHER[:-1], (*OTHER[-1][:3], "A")])
    with pytest.raises(MismatchError, match=r"'B' in task 'medqa' of run 'one' \(.*'test_0'\) and 'A'.*'two'"):
        compare_runs([one, wrong], join="text")
    as_text = paper(tmp_path / "three", "t", [(id_, question, {}, "40 mg") for id_, question, _, _ in OTHER])
    assert compare_runs([one, as_text], join="text").contrasts[0].n == 10


def test_what_only_looks_alike_is_not_joined(tmp_path):
    one = paper(tmp_path / "one", "medqa", MEDQA)
    turned = paper(tmp_path / "turned", "x", [(i, q, {"A": "40 mg", "B": "10 mg"}, "A") for i, q, _, _ in OTHER])
    twice = paper(tmp_path / "twice", "x", [(f"{i}#{n}", q, o, g) for i, q, o, g in OTHER for n in (1, 2)])
    few = paper(tmp_path / "few", "x", [*OTHER[:3], *((f"y{n}", f"Another {n}?", DOSE, "B") for n in range(9))])
    for other in (turned, twice, few):
        with pytest.raises(UsageError, match=rf"no two tasks .*'one' has medqa; '{other.name}' has x"):
            compare_runs([one, other], join="text")


def test_a_bundle_has_no_answers_to_be_read_again(tmp_path):
    export_bundle(trial(tmp_path / "run"), tmp_path / "shared")
    bundle = find_run(tmp_path, str(tmp_path / "shared"), packed=True)
    with pytest.raises(UsageError, match=r"'shared' is a bundle: it holds scores and no answers.*or the original run"):
        compare_runs([bundle], Rules(reader="mirage"))
    with pytest.raises(UsageError, match="is a bundle"):
        report_run(bundle, folder=tmp_path / "page", rules=Rules(reader="letter"))
    assert compare_runs([bundle], Rules(policy="drop")).policy["refused"] == "drop"
    score = compare_runs([find_run(tmp_path, "run")], Rules(reader="text")).scores[0]
    assert (score.metric, score.value) == ("accuracy", 1.0)  # each text is the gold one
