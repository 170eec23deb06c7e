import json
from pathlib import Path

import pytest

from ragmed.errors import DataError
from ragmed.tasks import invent_sample
from ragmed.tasks.medisumqa import load
from ragmed.workspace import Workspace


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    invent_sample("medisumqa", tmp_path / "data")
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def written(here: Workspace, *records: dict[str, object], listed: bool = False) -> Workspace:
    lines = [json.dumps(record) for record in records]
    text = f"[{', '.join(lines)}]" if listed else "\n".join(lines)
    (here.data / "medisumqa" / "MeDiSumQA.json").write_text(text + "\n")
    return here


def record(question: str = "Why?", **more: object) -> dict[str, object]:
    return {
        "note_id": "10000001-DS-1",
        "discharge_summary": "A letter.",
        "Question": question,
        "Answer": "Gout.",
    } | more


def test_patients_are_groups_and_are_shown_or_scored(here: Workspace) -> None:
    split = load(here)
    assert len(split.examples) + len(split.shots) == 24
    assert len(split.shots) >= 2
    assert not {e.group for e in split.examples} & {e.group for e in split.shots}
    assert {e.group for e in split.examples} == {e.id[:8] for e in split.examples}
    assert not any("You had" in e.context[0].text for e in split.examples)


@pytest.mark.parametrize("listed", [True, False])
def test_every_set_of_keys_is_read_from_lists_and_lines(here: Workspace, listed: bool) -> None:
    several = record(with_discharge_summary="w", without_discharge_summary="o")
    only_with = {k: v for k, v in record("How?", with_discharge_summary="w").items() if k != "discharge_summary"}
    split = load(written(here, several, only_with, listed=listed))
    assert [(e.id, e.context[0].text) for e in (*split.examples, *split.shots)] == [
        ("10000001-DS-1#1", "A letter."), ("10000001-DS-1#2", "w"),
    ]  # fmt: skip
    assert split.notes == (
        "medisumqa: 1 of 2 letters still holds the words to the patient that answers come from.",
    )  # fmt: skip


def test_a_record_that_cannot_be_used_is_named(here: Workspace) -> None:
    for records, message in (
        ([record(), record()], "line 2: note '10000001-DS-1' has this question twice"),
        ([record(Answer="")], "line 1: 'Answer' is empty"),
        ([{"note_id": "1", "Question": "a", "Answer": "b"}], "line 1: there is no letter: one of discharge_summary"),
    ):
        with pytest.raises(DataError, match=message):
            load(written(here, *records))
    (here.data / "medisumqa" / "other.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"found MeDiSumQA\.json, other\.jsonl"):
        load(here)
