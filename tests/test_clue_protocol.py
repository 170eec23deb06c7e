"""`protocol: clue`: CLUE's draw of few-shot examples and its parsers, beside the ones that are used by default."""

import random
from pathlib import Path

import pytest

from ragmed.errors import UsageError
from ragmed.records import Example, Sample
from ragmed.tasks import TaskSettings, invent_sample, load_task
from ragmed.tasks.reading import find_reader
from ragmed.workspace import Workspace

NLI = Example("1", "?", options={"A": "entailment", "B": "neutral", "C": "contradiction"}, gold="B")
CHOICE = Example("2", "?", options={"A": "asthma", "B": "gout"}, gold="B")
NOTE = Example("3", "?", gold=("I10",))


def read(reader: str, example: Example, text: str) -> object:
    return find_reader(reader).read(Sample("a", "t", example, completion=text))[1]


@pytest.mark.parametrize(
    ("text", "theirs", "ours"),
    [
        ("Neutral", "B", "B"),
        ("entailment, neutral or contradiction", "B", None),  # an answer that lists all labels
        ("It is not neutral but entailment.", "B", "A"),
        ("neutral: the statement is neutral", None, "B"),  # their word must stand once
        ("none", None, None),
    ],
)
def test_labels(text: str, theirs: str | None, ours: str | None):
    assert read("clue-label", NLI, text) == theirs
    assert read("label", NLI, text) == ours


def test_choices_and_codes():
    assert read("clue-choice", CHOICE, "The correct answer is B: gout.") == "B"
    assert read("clue-choice", CHOICE, "B") is None
    assert read("letter", CHOICE, "B") == "B"
    assert read("clue-codes", NOTE, "not I10; U07.1; e11.9, E11.9") == ("I10", "E11.9")
    assert read("codes", NOTE, "not I10; U07.1; e11.9, E11.9") == ("U07.1", "E11.9")


def test_examples_that_are_shown_are_of_the_scored_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    invent_sample("mednli", tmp_path / "data")
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    workspace = Workspace.find(tmp_path)
    bound = load_task("mednli", TaskSettings(protocol="clue", shots=3), workspace=workspace, seed=7)
    published = list(bound.task.load(workspace).examples)
    random.Random(1).shuffle(published)
    assert [*bound.shots, *bound.examples] == published
    assert (bound.held_out, bound.reader) == (3, "clue-label")
    assert "Published runs cannot be paired" in bound.notes[0]
    for settings in (
        TaskSettings(protocol="clue", scoring="letters"),
        TaskSettings(protocol="clue", options="rotated"),
    ):
        with pytest.raises(UsageError, match="protocol clue lets the model write"):
            load_task("mednli", settings, workspace=workspace, seed=7)


def test_problems_stand_between_commas_in_clues_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    invent_sample("problem_summary", tmp_path / "data")
    golds, metrics = {}, {}
    for protocol in ("", "clue"):
        settings = TaskSettings(shots=3, protocol=protocol)
        bound = load_task("problem_summary", settings, workspace=Workspace.find(tmp_path), seed=0)
        golds[protocol] = {example.id: str(example.gold) for example in bound.examples}
        metrics[protocol] = bound.task.metrics
    assert "Pneumonia; Emphysema" in golds[""].values()
    assert all(gold == golds[""][id_].replace(";", ", ") for id_, gold in golds["clue"].items())
    assert not any(";" in gold for gold in golds["clue"].values())
    assert set(metrics[""]) - set(metrics["clue"]) == {"problem_f1"}
