"""Gold documents that a file calls otherwise than the index does: refused before anything is asked."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
import yaml

from ragmed.errors import MismatchError
from ragmed.experiments.config import load_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.runs import Run
from ragmed.workspace import Workspace

PAGES = {"Sepsis": "Blood cultures come before antibiotics.", "Schädel": "A helmet is worn.", "1": "Page one."}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "corpora" / "rules"
    folder.mkdir(parents=True)
    rows = ["id,title,text", *(f"{name},{name},{text}" for name, text in PAGES.items())]
    (folder / "pages.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    recipe = {
        "title": "Rules", "reader": "csv", "paths": ["pages.csv"], "license": "CC0", "access": "open",
        "citation": "nobody", "fields": {"id": "id", "title": "title", "text": "text"},
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "indexes" / "rules").mkdir(parents=True)
    (tmp_path / "indexes" / "rules" / "recipe.yaml").write_text("corpora: [rules]\nembedder: hashing:64\n")
    return Workspace(tmp_path)


def trial(workspace: Workspace, names: list[str], contexts: list[str]) -> Path:
    lines = ["id,question,A,B,answer,documents"]
    lines += [f"q{i},What comes first in case {i}?,this,that,A,{name}" for i, name in enumerate(names)]
    (workspace.root / "questions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "name": "named",
        "models": {"m": "scripted:echo"},
        "index": "rules",
        "tasks": {"own": {"file": str(workspace.root / "questions.csv"), "scoring": "generate"}},
        "arms": {"general": {"model": "m"}, **{c: {"model": "m", "context": c, "k": 1} for c in contexts}},
        "comparison": {"baseline": "general"},
    }
    (workspace.root / "named.yaml").write_text(yaml.safe_dump(config))
    return workspace.root / "named.yaml"


@pytest.mark.parametrize("context", ["oracle", "retrieved", "distractor"])
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Sepsis.md", "Sepsis"),
        ("SEPSIS", "Sepsis"),
        (unicodedata.normalize("NFD", "Schädel"), "Schädel"),
        ("1.0", "1"),
        ("sepsis.PDF", "Sepsis"),
    ],
)
def test_names_that_are_nearly_right_are_refused_with_the_right_ones(
    workspace: Workspace, context: str, name: str, near: str
) -> None:
    config = trial(workspace, ["Sepsis", name], [context])
    with pytest.raises(
        MismatchError, match=rf"1 of 2 gold documents is not in 'rules': '{name}' \(there is '{near}'[,)]"
    ) as refused:
        run_experiment(load_experiment(config), workspace=workspace)
    assert (r"another Unicode form: 'Sch\xe4del', not 'Scha\u0308del'" in str(refused.value)) == (near == "Schädel")
    assert not list((workspace.runs / "named").glob("samples/*/*"))


def test_a_name_that_nothing_is_near_to(workspace: Workspace) -> None:
    config = trial(workspace, ["Sepsis", "Gout"], ["oracle"])
    with pytest.raises(MismatchError, match=r"'Gout'; correct the names, or leave the arm out"):
        run_experiment(load_experiment(config), workspace=workspace)
    config = trial(workspace, ["Gout", "Lupus"], ["retrieved"])  # an index of other things may be searched all the same
    results = run_experiment(load_experiment(config), workspace=workspace, output=workspace.runs / "other")
    assert results.contrasts[0].n == 2


def test_right_names_are_taken(workspace: Workspace) -> None:
    config = trial(workspace, ["Sepsis", "Schädel", "1"], ["oracle", "retrieved"])
    run_experiment(load_experiment(config), workspace=workspace)
    shown = Run(workspace.runs / "named").samples_of("oracle", "own")
    assert {sample.example.id: [passage.document for passage in sample.passages] for sample in shown} == {
        "q0": ["rules:Sepsis"],
        "q1": ["rules:Schädel"],
        "q2": ["rules:1"],
    }
