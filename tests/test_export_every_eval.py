"""A run -> records of the Every Eval Ever schema: its required fields, numbers that agree, and its own validator."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
from exporting import trial

from ragmed.errors import UnknownNameError, UsageError
from ragmed.experiments.results import compare_runs
from ragmed.files import sha256_file
from ragmed.integrations.every_eval_export import (
    developers_note,
    developers_of,
    export_every_eval,
    without_developer,
)


@pytest.fixture
def exported(tmp_path):
    run = trial(tmp_path / "run", n=6)
    return run, tmp_path / "out", export_every_eval(run, tmp_path / "out")


def test_a_record_for_each_arm_and_task_with_the_numbers_of_the_comparison(exported):
    run, folder, paths = exported
    records = [json.loads(path.read_text()) for path in paths if path.suffix == ".json"]
    assert len(records) == len(run.asked())
    rows = {(row.arm, row.task, row.metric): row for row in compare_runs([run]).scores}
    for record in records:
        arm = record["model_info"]["additional_details"]["arm"]
        for result in record["evaluation_results"]:
            row = rows[arm, result["evaluation_name"], result["metric_config"]["metric_name"]]
            assert result["score_details"]["score"] == row.value
        detail = record["detailed_evaluation_results"]
        samples = folder / detail["file_path"]
        assert detail["checksum"] == sha256_file(samples)
        lines = [json.loads(line) for line in samples.read_text().splitlines()]
        assert len(lines) == detail["total_rows"]
        assert {line["evaluation_id"] for line in lines} == {record["evaluation_id"]}
        assert {line["model_id"] for line in lines} == {record["model_info"]["id"]}
        means = {}
        for line in lines:
            means.setdefault(line["evaluation_result_id"], []).append(line["evaluation"]["score"])
        for result in record["evaluation_results"]:
            given = means[result["evaluation_result_id"]]
            assert sum(given) / len(given) == pytest.approx(result["score_details"]["score"])


def test_the_same_run_gives_the_same_files(exported, tmp_path):
    run, folder, paths = exported
    again = export_every_eval(run, tmp_path / "again")
    assert [p.relative_to(folder) for p in paths] == [p.relative_to(tmp_path / "again") for p in again]
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(paths, again, strict=True))


def test_its_own_validator_takes_the_records(exported):
    if find_spec("every_eval_ever") is None:
        pytest.skip("every-eval-ever is not installed (it needs Python 3.12 or newer)")
    run, folder, paths = exported
    named = export_every_eval(run, folder / "named", developers=dict.fromkeys(without_developer(run), "acme"))
    done = validated(folder / "named", named)
    assert done.returncode == 0, done.stdout + done.stderr
    unnamed = validated(folder, paths)  # a warning, and no error: its status for records that nobody can look up
    assert (unnamed.returncode, "0 errors" in unnamed.stdout) == (2, True), unnamed.stdout + unnamed.stderr


def validated(folder, paths) -> subprocess.CompletedProcess:
    files = [path.relative_to(folder).as_posix() for path in paths]
    command = [sys.executable, "-m", "every_eval_ever", "validate", *files]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_who_made_a_model_is_what_its_name_or_the_command_says(exported, tmp_path):
    run, _, _ = exported
    models = without_developer(run)
    assert models
    paths = export_every_eval(run, tmp_path / "named", developers={models[0]: "acme"})
    made = {path.relative_to(tmp_path / "named").parts[2] for path in paths}
    assert "acme" in made
    assert ("unknown" in made) == (len(models) > 1)
    left = developers_note(run, {models[0]: "acme"})
    assert [models[0] in note for note in left] == [False] * (len(models) > 1)
    assert models[0] in developers_note(run, {})[0]
    with pytest.raises(UnknownNameError, match="unknown model 'nobody'"):
        export_every_eval(run, tmp_path / "none", developers={"nobody": "acme"})
    for wrong in ("acme", "=acme", "smollm2="):
        with pytest.raises(UsageError, match="give MODEL=NAME"):
            developers_of([wrong])
