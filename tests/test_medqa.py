import json
from pathlib import Path

import pytest

from ragmed.errors import DataError
from ragmed.tasks import HELD_OUT, TaskSettings, load_task
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
FOLDER = WORKSPACE.data / "medqa"
needs_medqa = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs {FOLDER} (RAGMED_DATA)")
TWO = {"A": "Rest", "B": "Surgery"}


def write(folder: Path, *records: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dev.jsonl", "dev_4_options.jsonl"):
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


@needs_medqa
@pytest.mark.parametrize(("name", "options"), [("medqa_dev", 5), ("medqa_dev_4", 4)])
def test_the_development_set_is_whole(name: str, options: int) -> None:
    bound = load_task(name, TaskSettings(), workspace=WORKSPACE, seed=0)
    assert len(bound.examples) == 1272
    assert {len(example.options) for example in bound.examples} == {options}
    assert len({example.group for example in bound.examples}) == 1272


@needs_medqa
def test_no_development_question_is_in_the_test_set_that_it_is_shown_for() -> None:
    bound = load_task("medqa", TaskSettings(shots=1272), workspace=WORKSPACE, seed=0)
    assert (len(bound.examples), len(bound.shots), bound.held_out) == (1273, 1272, 0)
    words = [{" ".join(e.question.casefold().split()) for e in some} for some in (bound.examples, bound.shots)]
    assert not words[0] & words[1]


@pytest.mark.parametrize("there", [True, False])
def test_shots_of_the_test_set_come_from_the_development_file_where_it_is_there(here: Workspace, there: bool) -> None:
    record = {"question": "Why?", "options": TWO, "answer": "A"}
    (here.data / "mirage").mkdir(parents=True)
    sets = {"medqa": {str(i): {**record, "question": f"Why {i}?"} for i in range(40)}}
    (here.data / "mirage" / "benchmark.json").write_text(json.dumps(sets))
    if there:
        write(here.data / "medqa", {"question": "How?", "options": TWO, "answer": "Surgery", "answer_idx": "B"})
    bound = load_task("medqa", TaskSettings(shots=1), workspace=here, seed=0)
    assert bound.held_out == (0 if there else HELD_OUT)
    assert (bound.shots[0].id == "dev-1") == there


def test_answers_that_contradict_each_other_are_refused(here: Workspace) -> None:
    write(here.data / "medqa", {"question": "How?", "options": TWO, "answer": "Rest", "answer_idx": "B"})
    with pytest.raises(DataError, match="line 1: answer_idx 'B' and answer 'Rest' do not name the same option"):
        load_task("medqa_dev", TaskSettings(), workspace=here, seed=0)
