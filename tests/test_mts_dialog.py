import csv
from pathlib import Path
from typing import Any

import pytest

from ragmed.errors import DataError, UsageError
from ragmed.tasks import TaskSettings, load_task
from ragmed.tasks.mts_dialog import COLUMNS, FILES, SECTIONS, load
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
needs_mts = pytest.mark.skipif(
    not (WORKSPACE.data / "mts-dialog").is_dir(), reason=f"needs {WORKSPACE.data / 'mts-dialog'} (RAGMED_DATA)"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    folder = tmp_path / "data" / "mts-dialog"
    folder.mkdir(parents=True)
    for side, name in FILES.items():
        with (folder / name).open("w", newline="", encoding="utf-8-sig") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            for i, header in enumerate(list(SECTIONS)[:6]):
                said = f'Doctor: What about {side} {i}?\nPatient: I take lithium, "daily".'
                writer.writerow([i, header, "NA" if i == 5 else f"Takes lithium {i}.", said])
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


@needs_mts
def test_the_published_rows_are_whole() -> None:
    split = load(WORKSPACE)
    assert (len(split.examples), len(split.shots)) == (200, 1200)  # one of 1,201 has a dialogue that is scored
    assert {e.question for e in (*split.examples, *split.shots)} == set(SECTIONS.values())
    assert split.notes[0].startswith("mts_dialog: 1 of 1,201 examples to show")
    assert len({e.group for e in split.shots}) < 1200


def test_cells_are_text_and_the_section_is_asked_for_in_words(here: Workspace) -> None:
    last = load(here).examples[5]
    assert (last.id, last.question, last.gold) == ("test-ALLERGY-5", "allergies", "NA")


def test_a_section_is_a_task_of_its_own(here: Workspace) -> None:
    def asked(only: str, **more: Any) -> list[str]:
        settings = TaskSettings(task="mts_dialog", only=only, shots=2, **more)
        return [e.id for e in load_task("part", settings, workspace=here, seed=0).examples]

    assert asked("test-ALLERGY-*") == ["test-ALLERGY-5"]
    assert asked("test-*") == asked("") == [*asked("", limit=2), *asked("")[2:]]
    assert sorted(asked("test-[CG]*")) == ["test-CC-3", "test-GENHX-0"]
    with pytest.raises(UsageError, match=r"task 'part': no example has an id of the form 'LABS\*'.* as 'test-"):
        asked("LABS*")


def test_a_row_that_cannot_be_used_is_named(here: Workspace) -> None:
    file = here.data / "mts-dialog" / FILES["test"]
    for text, message in (
        ("ID,section_header,dialogue\n", "line 1: the column 'section_text' is missing"),
        ("ID,section_header,section_text,dialogue\n0,MOOD,a,b\n", "line 2: section_header 'MOOD'; known: GENHX"),
        ("ID,section_header,section_text,dialogue\n0,CC,,b\n", "line 2: 'section_text' is empty"),
        ("ID,section_header,section_text,dialogue\n0,CC,a\n", "line 2: the row has 3 cells, the header has 4"),
        ('ID,section_header,section_text,dialogue\n0,CC,"a\nb,c\n', "line 2: not CSV"),
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=message):
            load(here)
