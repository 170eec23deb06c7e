"""Runs compared together, and what a comparison of a bundle cannot do."""

from __future__ import annotations

import pytest
from exporting import graded, trial, write

from ragmed.errors import UsageError
from ragmed.experiments.results import Rules, compare_runs, report_run
from ragmed.integrations.bundle import export_bundle
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
