import json
from pathlib import Path

import pytest

from ragmed.errors import DataError
from ragmed.tasks import TaskSettings, load_task
from ragmed.tasks.radiology_impression import RADIOLOGY_IMPRESSION, load
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
needs_openi = pytest.mark.skipif(
    not (WORKSPACE.data / "openi").is_dir(), reason=f"needs {WORKSPACE.data / 'openi'} (RAGMED_DATA)"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    folder = tmp_path / "data" / "openi"
    folder.mkdir(parents=True)
    for side, first in (("train", 4), ("validate", 0)):
        lines = [
            json.dumps({"idx": i, "inputs": f"The lung of report {i} is clear. No fluid is seen.", "target": "Normal."})
            for i in range(first, first + 6)
        ]
        (folder / f"{side}.jsonl").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


@needs_openi
def test_the_published_reports_are_whole_and_equal_findings_are_one_group() -> None:
    split = load(WORKSPACE)
    assert len(split.examples) == 341
    assert f"{2735 - len(split.shots):,} of 2,735 examples to show" in split.notes[0]
    assert len(split.shots) == 2735 - 470
    assert not {e.group for e in split.examples} & {e.group for e in split.shots}
    assert len({e.group for e in split.shots}) < len(split.shots)


def test_findings_that_are_scored_are_never_shown(here: Workspace) -> None:
    assert [shot.id for shot in load(here).shots] == ["train-6", "train-7", "train-8", "train-9"]
    assert RADIOLOGY_IMPRESSION.query(load(here).examples[0]) == (
        "The lung of report 0 is clear.", "No fluid is seen.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"idx": 1, "inputs": "a"}', "line 1: 'target' is missing"),
        ('{"idx": 1, "inputs": " ", "target": "b"}', "line 1: 'inputs' is empty"),
        ('{"inputs": "a", "target": "b"}', "line 1: 'idx' is missing"),
        ('{"idx": "", "inputs": "a", "target": "b"}', "line 1: 'idx' is empty, or neither text nor whole number"),
        ("\n".join(['{"idx": 1, "inputs": "a", "target": "b"}'] * 2), "'validate-1' occurs twice"),
    ],
)
def test_a_report_that_cannot_be_used_is_named(here: Workspace, line: str, message: str) -> None:
    (here.data / "openi" / "validate.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        load_task("radiology_impression", TaskSettings(), workspace=here, seed=0)
