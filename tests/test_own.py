import json
from pathlib import Path

import pytest

from ragmed.errors import DataError, UsageError
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.runs import find_run
from ragmed.tasks import TaskSettings, load_task
from ragmed.workspace import Workspace


def record(number: int, **changes: object) -> dict[str, object]:
    return {
        "id": f"q{number}",
        "question": "Who signs?",
        "options": {"A": "clerk", "B": "consultant"},
        "answer": "B",
        **changes,
    }


def write(folder: Path, *records: object) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def load(workspace: Workspace, **settings: object) -> object:
    return load_task("ours", TaskSettings(file="questions.jsonl", **settings), workspace=workspace, seed=0)  # type: ignore[arg-type]


def test_own_questions_are_asked_from_a_file(small: Workspace) -> None:
    write(small.root, *(record(i, documents=["oak"]) for i in range(4)), record(9, split="dev"))
    config = {
        "models": {"m": "scripted:first-option"},
        "index": "wards",
        "tasks": {"ours": {"file": "questions.jsonl", "scoring": "letters", "shots": 1}},
        "arms": {"general": {"model": "m"}, "oracle": {"model": "m", "context": "oracle", "k": 1}},
    }
    run_experiment(make_experiment(config, default_name="ours", where="config"), workspace=small)
    run = find_run(small.runs, "ours")
    samples = run.samples()["oracle", "ours"]
    assert [p["id"] for p in samples[0].passages] == ["oak#0"]
    assert len(samples) == 4
    assert samples[0].messages[2].content == "B"
    # private unless said otherwise, whatever the corpus is
    assert run.samples_file("oracle", "ours").stat().st_mode & 0o777 == 0o600
    assert (run.report_folder / "report.md").stat().st_mode & 0o777 == 0o600
    assert run.results_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": "C"}, "the answer 'C' is no option"),
        ({"options": {"B": "x", "A": "y"}}, "line 1: the letters of 'options' must be A, B, C"),
        ({"options": ["x"]}, "line 1: 'options' must be letters"),
        ({"question": " "}, "line 1: 'question' must be text"),
        ({"id": 3}, "line 1: 'id' must be text"),
        ({"documents": "oak"}, "line 1: 'documents' must be a list"),
        ({"split": "train"}, "line 1: split is 'train'"),
        ({"anwser": "A"}, "line 1: unknown key 'anwser'"),
    ],
)
def test_a_record_that_cannot_be_used_is_named(small: Workspace, changes: dict[str, object], message: str) -> None:
    write(small.root, record(1, **changes))
    with pytest.raises(DataError, match=message):
        load(small)


def test_a_file_that_is_not_there_is_named(small: Workspace) -> None:
    with pytest.raises(DataError, match=r"questions\.jsonl' does not exist"):
        load(small)


def test_a_name_that_ragmed_has_is_refused(small: Workspace) -> None:
    config = {
        "models": {"m": "scripted:echo"},
        "tasks": {"medqa": {"file": "questions.jsonl"}},
        "arms": {"general": {"model": "m"}},
    }
    with pytest.raises(UsageError, match="another name"):
        make_experiment(config, default_name="x", where="config")
