"""Statements without support: what is a statement, what is its evidence, and how often the measure errs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.errors import DataError
from ragmed.experiments.config import load_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.metrics.settings import MetricSettings
from ragmed.metrics.support import LexicalSupport, statements_of, unsupported
from ragmed.prompts import evidence_of, passages_block
from ragmed.records import ContextDocument, Example, Message, Passage, Sample
from ragmed.support_error import measure_support
from ragmed.workspace import Workspace

LEXICAL = MetricSettings(model="lexical")


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        (
            "He fell. He got 0.5 mg i.v. and slept.",
            ["He fell.", "He got 0.5 mg i.v. and slept."],
        ),
        ("- Fever\n- No cough\n\n1. Rest (at home)", ["Fever", "No cough", "Rest (at home)"]),
        ('"It hurts." She said so! Why?', ['"It hurts.', "She said so!"]),
        ("", []),
        ("... 1. - \n12", []),
    ],
)
def test_statements_are_sentences_and_lines_with_a_word(text: str, statements: list[str]) -> None:
    assert statements_of(text) == statements


def count(evidence: list[str], answer: Any) -> tuple[float, ...]:
    example = Example("e", "?", tuple(map(ContextDocument, evidence)))
    (found,) = unsupported(LexicalSupport()).score([(example, answer)])
    assert isinstance(found, tuple)
    return found


def test_counts_are_worked_out_by_hand() -> None:
    # 4 of 5 content words stand in one sentence; 1 of 3 in one, though all three stand in the two together
    evidence = ["Aspirin was given for chest pain. The ECG was normal."]
    assert count(evidence, "He was given aspirin for chest pain.") == (0.0, 1.0, 0.0)
    assert count(evidence, "ECG showed pain.") == (1.0, 0.0, 0.0)
    assert count(["Gout.", *evidence], "The ECG was normal. Gout. Sepsis was excluded. Gout.") == (1.0, 2.0, 0.0)
    assert count([], "He has gout.") == (0.0, 0.0, 0.0)
    assert count(evidence, "") == count(evidence, None) == count(evidence, ("I10",)) == (0.0, 0.0, 0.0)


def shown(*content: str, question: str = "Why?", context: str = "") -> list[str]:
    example = Example("e", question, (ContextDocument(context),) if context else ())
    messages = (
        Message("system", "s"),
        Message("user", "Note: of a shot\nQuestion: x"),
        Message("user", "".join(content)),
    )
    return [document.text for document in evidence_of(Sample("a", "t", example, messages=messages))]


def test_evidence_is_what_stood_before_the_model_without_the_question() -> None:
    passages = passages_block([Passage(f"c:{n}#0", n, n, "", f"Text {n}.", 0, 7) for n in ("One", "Two")]) + "\n\n"
    assert shown(passages, "Question: Why?") == ["One\nText One.", "Two\nText Two."]
    assert shown(passages, "Note: Ill.\nQuestion: Why?") == ["One\nText One.", "Two\nText Two.", "Note: Ill."]
    assert shown("Question: Why?\nA. Why not\nB. So") == []
    assert shown("Note: He is ill.\nHe is well.", question="") == ["Note: He is ill.\nHe is well."]
    day, other = "<document 1>\nDay 1\nIll.\n</document 1>", "<document 2>\nWell.\n</document 2>"
    assert shown(f"Record:\n<documents>\n{day}\n{other}\n</documents>", "\nQuestion: Why?") == ["Day 1\nIll.", "Well."]
    assert shown("Question: (not shown)", context="Ill.") == []
    assert evidence_of(Sample("a", "t", Example("e", "", (ContextDocument("Ill."),)))) == (ContextDocument("Ill."),)


ROWS = [
    # the words of the first answer stand in a sentence of what is known, those of the second do not
    (
        "Does tea help?",
        ["Tea lowers blood pressure in adults."],
        "Tea lowers blood pressure.",
        "It cures every cancer.",
    ),
    ("Does rest help?", ["Rest heals the knee."], "Rest heals knees quickly.", "Rest heals the knee."),
    ("Does ice help?", ["Nothing was seen."], "Ice numbs.", "Ice burns skin."),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def label(here: Workspace) -> None:
    folder = here.root / "data" / "medhallu"
    folder.mkdir(parents=True)
    keys = ("Question", "Knowledge", "Ground Truth", "Hallucinated Answer")
    rows = [dict(zip(keys, row, strict=True)) for row in ROWS]
    text = "".join(
        json.dumps({**row, "Difficulty Level": "hard", "Category of Hallucination": "x"}) + "\n" for row in rows
    )
    (folder / "pqa_labeled_dev.jsonl").write_text(text, encoding="utf-8")


def test_the_error_is_counted_on_labelled_answers(here: Workspace) -> None:
    with pytest.raises(DataError, match="put MedHallu's pqa_labeled_dev"):
        measure_support(LEXICAL, here)
    label(here)
    found = measure_support(LEXICAL, here)
    assert (found.hallucinated, found.flagged, found.true, found.passed) == (3, 2, 3, 2)
    assert found.sensitivity == found.specificity == 2 / 3


def test_it_is_reported_with_its_error_or_not_at_all(here: Workspace) -> None:
    label(here)
    config = {
        "name": "trial",
        "models": {"m": "scripted:echo"},
        "tasks": {"handbook-notes": {"limit": 4}},
        "arms": {"general": {"model": "m"}},
        "metrics": {"unsupported": {"model": "lexical"}},
        "comparison": {"baseline": "general", "resamples": 200},
    }
    file = here.root / "trial.yaml"
    file.write_text(yaml.safe_dump(config))
    results = run_experiment(load_experiment(file), workspace=here)
    (row,) = [row for row in results.failures if row.kind == "unsupported"]
    assert row.n > 0
    (error,) = results.measured_errors
    assert (error.measure, error.positives, error.sensitivity.value) == ("lexical", 3, 2 / 3)

    (here.root / "data" / "medhallu" / "pqa_labeled_dev.jsonl").unlink()
    said = CliRunner().invoke(cli, ["--root", str(here.root), "compare", "trial"])
    assert "statements without support" in said.output  # what was measured stays known
    CliRunner().invoke(
        cli, ["--root", str(here.root), "score", "trial", "--metric", "unsupported", "--model", "lexical"]
    )
    said = CliRunner().invoke(cli, ["--root", str(here.root), "compare", "trial"])
    assert "unsupported is not reported" in said.output
    assert "statements without support  " not in said.output
