from pathlib import Path

import pytest

from ragmed.errors import DataError
from ragmed.metrics import find_metric
from ragmed.records import Example
from ragmed.tasks import invent_sample
from ragmed.tasks.problem_summary import FILES, PROBLEM_SUMMARY, load
from ragmed.workspace import Workspace


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    invent_sample("problem_summary", tmp_path / "data")
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def test_the_assessment_is_asked_first(here: Workspace) -> None:
    split = load(here)
    assert (len(split.examples), len(split.shots)) == (10, 4)
    assert PROBLEM_SUMMARY.query(split.examples[0]) == (
        "70M with emphysema, now with fever and a new infiltrate.", "Coughed all night.",
    )  # fmt: skip
    assert [part.title for part in split.examples[2].context] == ["Assessment"]
    assert split.examples[3].gold == "DKA; Type 1 diabetes"


def test_the_headings_of_the_first_release_are_read_too(here: Workspace) -> None:
    file = here.data / "problem_summary" / FILES["test"]
    file.write_text("File ID,Assessment,Summary,Subjective Sections,Objective Sections\n0012.txt,Ill.,NA,Cough.,BP 9\n")
    (example,) = load(here).examples
    assert (example.id, example.gold, [part.text for part in example.context]) == (
        "test-0012.txt", "NA", ["Cough.", "Ill."],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Subjectives,Assessment\n", "line 1: the column 'Summary' is missing"),
        ("Assessment,Summary\na,b\n", "line 2: one column of Subjectives and Subjective Sections"),
        ("Subjectives,Assessment,Summary\na,,b\n", "line 2: 'Assessment' is empty"),
    ],
)
def test_a_note_that_cannot_be_used_is_named(here: Workspace, text: str, message: str) -> None:
    (here.data / "problem_summary" / FILES["test"]).write_text(text)
    with pytest.raises(DataError, match=message):
        load(here)


def test_problem_lists_are_compared_entry_by_entry() -> None:
    metric = find_metric("problem_f1")
    gold = Example("n", "", gold="# GI bleed:; Hypotension; CAD\n with stent")
    answers = {
        "1. gi  bleed\n2) Hypotension.": (2, 0, 1), "- CAD with stent; CAD with STENT": (1, 0, 2),
        "No GI bleed; coronary disease": (0, 2, 3), "": (0, 0, 3), "GI bleed, hypotension": (0, 1, 3),
    }  # fmt: skip
    counts = metric.score([(gold, answer) for answer in answers])
    assert counts == list(answers.values())
    assert metric.total is not None
    assert metric.total([sum(column) for column in zip(*counts, strict=True)]) == pytest.approx(6 / (6 + 3 + 12))
    with pytest.raises(DataError, match="'n' has no problem"):
        metric.score([(Example("n", "", gold=" ; "), "a")])
