"""`ragmed audit` as a user calls it: planted pages, adapters, dates, files of one's own, and what is printed."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.adapters import SCHEMA, write_manifest
from ragmed.audit.check import AuditSettings, audit_experiment
from ragmed.audit.table import render_audit
from ragmed.errors import DataError, UnknownNameError
from ragmed.experiments.config import load_experiment
from ragmed.experiments.trial import bind_tasks
from ragmed.finetuning.recipe import load_adapter_recipe
from ragmed.workspace import Workspace

ADAPTER = "base: packaged:smollm2-135m\ncorpora: [wards]\nlearn: [passages]\n"
OWN = """
models: {{small: "scripted:first-option"{models}}}
index: wards
tasks: {{ours: {{file: ours.jsonl{access}}}}}
arms: {{general: {{model: small}}, rag: {{model: small, context: retrieved, k: 1}}}}
"""


@pytest.fixture
def planted(small: Workspace) -> Workspace:
    """Elm's page quotes m0 of mmlu, which is p0 of pubmedqa, too; Oak's page is titled as m1 (and p1)."""
    pages = small.corpora / "wards" / "pages"
    with (pages / "elm.md").open("a") as stream:
        stream.write("\nA visitor asked: WHAT is the extension of *Elm* ward?\n")
    (pages / "oak.md").write_text("# What is the extension of Oak ward?\n\nIt is 5001.\n")
    return small


def audited(workspace: Workspace, config: str = "toy", **given: Any) -> dict[str, Any]:
    experiment = load_experiment(workspace.configs / f"{config}.yaml")
    return audit_experiment(experiment, workspace=workspace, **given)[0]


def leaked(found: dict[str, Any], task: str) -> dict[str, set[str]]:
    """Example -> the kinds of its findings that count."""
    examples = next(one for one in found["tasks"] if one["task"] == task)["examples"]
    kinds = {one["example"]: {f["kind"] for f in one["findings"] if f["counts"]} for one in examples}
    return {example: kind for example, kind in kinds.items() if kind}


def own(workspace: Workspace, *records: dict[str, Any], access: str = "", models: str = "") -> None:
    lines = "".join(json.dumps(one) + "\n" for one in records)
    (workspace.root / "ours.jsonl").write_text(lines, encoding="utf-8")
    (workspace.configs / "own.yaml").write_text(OWN.format(access=access, models=models))


def test_an_index_whose_scores_are_no_cosines_is_not_compared_with_one(planted: Workspace) -> None:
    recipe = planted.indexes / "wards" / "recipe.yaml"
    recipe.write_text("corpora: [wards]\nembedder: hashing:64\nnormalise: false\n")
    note = "index wards: its embedder gives no cosines, so the nearest passages were not looked for"
    assert note in audited(planted)["notes"]


def test_planted_questions_are_found_and_their_gold_documents_do_not_count(planted: Workspace) -> None:
    found = audited(planted)
    both = {"identity", "ngram"}
    assert leaked(found, "mmlu") == {"m0": {"ngram"}, "m1": both}
    assert leaked(found, "pubmedqa") == {"p0": {"ngram"}, "p1": both}
    assert [(one["task"], one["n"], one["leaked"]) for one in found["tasks"]] == [("mmlu", 12, 2), ("pubmedqa", 8, 2)]
    examples = {one["example"]: one["findings"] for one in found["tasks"][1]["examples"]}
    assert len(examples) == 8
    gold = next(one for one in examples["p4"] if one["what"] == "the source holds what holds its answer: pmid yew")
    assert gold == {
        "kind": "identity", "what": gold["what"], "source": "index wards", "document": "wards:yew", "passage": "",
        "score": 1.0, "counts": False,
    }  # fmt: skip
    assert found["sources"] == [
        {"kind": "index", "name": "wards", "corpora": ["wards"], "tasks": ["mmlu", "pubmedqa"], "texts": 12}
    ]
    assert found["settings"] == {
        "ngram": 8, "threshold": 0.5, "similarity": 0.9, "embeddings": True, "seed": 3,
    }  # fmt: skip
    assert json.loads((planted.runs / "toy" / "audit.json").read_text()) == {
        **found,
        "seconds": pytest.approx(9, abs=9),
    }


def test_it_audits_what_eval_asks_and_writes_where_eval_does(planted: Workspace) -> None:
    done = CliRunner().invoke(
        cli, ["--root", str(planted.root), "audit", str(planted.configs / "toy.yaml"), "--limit", "3", "-t", "mmlu"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads((planted.runs / "toy-limit-3" / "audit.json").read_text())
    asked = bind_tasks(load_experiment(planted.configs / "toy.yaml").only((), ("mmlu",), 3), planted)["mmlu"].examples
    assert [one["task"] for one in found["tasks"]] == ["mmlu"]
    assert found["tasks"][0]["n"] == 3
    assert set(leaked(found, "mmlu")) == {one.id for one in asked} & {"m0", "m1"}
    assert "not audited: pubmedqa" in done.output
    assert f"audit: {planted.runs / 'toy-limit-3' / 'audit.json'}" in done.output


def test_a_run_goes_on_beside_its_audit(planted: Workspace) -> None:
    audited(planted)
    config = str(planted.configs / "toy.yaml")
    done = CliRunner().invoke(cli, ["--root", str(planted.root), "eval", config, "--arms", "general", "-t", "mmlu"])
    assert done.exit_code == 0, done.output
    results = json.loads((planted.runs / "toy" / "results.json").read_text())
    # the scripted model answers A: right for the even ones of twelve, of which m0 is leaked, as is m1
    row = next(one for one in results["leakage"] if one["arm"] == "general" and one["task"] == "mmlu")
    assert (row["n"], row["leaked"], row["value"], row["value_without"], row["value_leaked"]) == (12, 2, 0.5, 0.5, 0.5)
    before = (planted.runs / "toy" / "run.json").read_bytes()
    audited(planted)
    assert (planted.runs / "toy" / "run.json").read_bytes() == before


def test_neighbours_are_shown_by_their_vectors_and_can_be_left_out(small: Workspace) -> None:
    page = small.corpora / "wards" / "pages" / "elm.md"
    page.write_text("# Of Elm ward, what is the extension?\n")  # the words of m0 in another order, and two marks
    found = audited(small)
    near = {
        (one["example"], f["document"], f["counts"])
        for task in found["tasks"]
        for one in task["examples"]
        for f in one["findings"]
        if f["kind"] == "embedding" and f["score"] > 0.93
    }
    assert near == {("m0", "wards:elm", False), ("p0", "wards:elm", False)}
    assert leaked(found, "mmlu") == {}
    without = audited(small, settings=AuditSettings(embeddings=False))
    assert not any(f["kind"] == "embedding" for t in without["tasks"] for e in t["examples"] for f in e["findings"])
    assert any("in other words was not looked for" in note for note in without["notes"])


def test_what_is_not_open_is_for_its_owner_alone(small: Workspace) -> None:
    own(small, {"id": "1", "question": "What is the extension of Elm ward?", "answer": "5000"})
    audited(small, "own")
    folder = small.runs / "own"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "audit.json").stat().st_mode) == 0o600
    audited(small)
    assert stat.S_IMODE((small.runs / "toy" / "audit.json").stat().st_mode) == 0o644


def test_hostile_names_are_printed_as_plain_ascii_in_a_hundred_columns(small: Workspace) -> None:
    evil = "\x1b[31m\u202e<script>alert(1)</script>\r\n" + "x" * 150
    question = f"What is the extension of {evil} ward?"
    own(small, {"id": evil, "question": question, "answer": "5000"})
    (small.corpora / "wards" / "pages" / "elm.md").write_text(f"# {evil}\n\n{question}\n", encoding="utf-8")
    found = audited(small, "own")
    assert leaked(found, "ours") == {evil: {"ngram"}}
    table = render_audit(found)
    assert all(" " <= c <= "~" or c == "\n" for c in table)
    assert max(len(line) for line in table.splitlines()) <= 100
    assert "\\x1b[31m\\u202e<script>" in table


def test_a_document_that_is_newer_than_the_question_is_named(small: Workspace) -> None:
    recipe = small.corpora / "wards" / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "date: 2031-05-17\n")
    question = {"question": "Which extension has Elm ward?", "answer": "5000", "documents": ["elm"]}
    own(
        small,
        {"id": "before", **question, "date": "2031-04"},
        {"id": "same", **question, "date": "2031-05"},
        {"id": "after", **question, "date": "2031-05-18"},
        {"id": "undated", **question},
        {"id": "near", "question": "Who answers in Oak ward?", "answer": "5000", "date": "2030"},
        access=", access: open",
    )
    found = audited(small, "own")
    assert leaked(found, "ours") == {"before": {"date"}}
    dated = {
        one["example"]: [(f["what"], f["counts"]) for f in one["findings"] if f["kind"] == "date"]
        for one in found["tasks"][0]["examples"]
    }
    assert dated["before"] == [("a document of 2031-05-17, newer than the question (2031-04)", True)]
    assert dated["near"] == [("a document of 2031-05-17, newer than the question (2030)", False)]
    assert (dated["same"], dated["after"], dated["undated"]) == ([], [], [])


def test_a_date_of_ones_own_is_checked_and_may_stand_in_a_csv(small: Workspace) -> None:
    own(small, {"id": "1", "question": "When?", "answer": "now", "date": "17.5.2031"})
    with pytest.raises(DataError, match="line 1: 'date' must be text such as 2031, 2031-05 or 2031-05-17"):
        audited(small, "own")
    (small.root / "ours.csv").write_text("id,question,answer,date\n1,When?,now,2031-05\n2,Where?,here,\n")
    config = small.configs / "own.yaml"
    config.write_text(config.read_text().replace("ours.jsonl", "ours.csv"))
    bound = bind_tasks(load_experiment(config), small)["ours"]
    assert {one.id: one.date for one in bound.examples} == {"1": "2031-05", "2": ""}


def with_adapter(workspace: Workspace, name: str) -> None:
    config = workspace.configs / "toy.yaml"
    text = config.read_text().replace("\nindex:", f"\n  tuned: packaged:smollm2-135m+adapter:{name}\nindex:", 1)
    text = text.replace('models: {small: "scripted:first-option"}', 'models:\n  small: "scripted:first-option"')
    config.write_text(text.replace("\narms:", "\narms:\n  tuned: {model: tuned, tasks: [mmlu]}", 1))


def folder_of(workspace: Workspace, name: str, recipe: str = "") -> Path:
    folder = workspace.adapters / name
    folder.mkdir(parents=True)
    if recipe:
        (folder / "recipe.yaml").write_text(recipe)
    return folder


def test_what_an_adapter_was_trained_on_is_checked_on_the_tasks_it_is_asked(planted: Workspace) -> None:
    folder_of(planted, "mine", ADAPTER)
    with_adapter(planted, "mine")
    found = audited(planted)
    assert found["sources"][1] == {
        "kind": "adapter", "name": "mine", "corpora": ["wards"], "tasks": ["mmlu"], "texts": 12,
    }  # fmt: skip
    kinds = {
        (one["example"], f["kind"], f["passage"])
        for one in found["tasks"][0]["examples"]
        for f in one["findings"]
        if f["counts"] and f["source"] == "adapter mine"
    }
    assert kinds == {("m0", "ngram", "passages:wards:elm"), ("m1", "ngram", "passages:wards:oak")}
    assert "adapter mine: not trained yet; the texts of its recipe were checked" in found["notes"]


def test_a_trained_adapter_is_taken_at_its_manifests_word(planted: Workspace) -> None:
    folder = folder_of(planted, "mine", ADAPTER.replace("wards", "other"))
    (planted.root / "made.yaml").write_text(ADAPTER)
    made_by = load_adapter_recipe(planted.root / "made.yaml").as_dict()
    manifest = {
        "schema": SCHEMA, "name": "mine", "access": "private", "files": {},
        "corpora": [{"name": "wards", "sha256": "00", "access": "private"}],
        "origin": {"recipe": made_by}, "overlap": {"dropped": ["passages:wards:elm"]},
        "held_out_documents": ["wards:oak"],
    }  # fmt: skip
    write_manifest(folder, manifest)
    with_adapter(planted, "mine")
    found = audited(planted)
    assert found["sources"][1]["texts"] == 10
    assert not any(f["source"] == "adapter mine" for e in found["tasks"][0]["examples"] for f in e["findings"])
    assert any("corpus wards has changed since the training" in note for note in found["notes"])
    assert stat.S_IMODE((planted.runs / "toy" / "audit.json").stat().st_mode) == 0o600


def test_an_adapter_of_which_nothing_is_known_is_a_note(planted: Workspace) -> None:
    folder_of(planted, "foreign")
    with_adapter(planted, "foreign")
    found = audited(planted)
    assert found["sources"][1]["texts"] == 0
    assert "adapter foreign: no manifest and no recipe names what it was trained on: not checked" in found["notes"]
    folder_of(planted, "gone", ADAPTER.replace("wards", "nowhere"))
    config = planted.configs / "toy.yaml"
    config.write_text(config.read_text().replace("adapter:foreign", "adapter:gone"))
    assert any("gone: what it was trained on cannot be read here" in note for note in audited(planted)["notes"])
    config.write_text(config.read_text().replace("adapter:gone", "adapter:nobody"))
    with pytest.raises(UnknownNameError, match="unknown adapter 'nobody'"):
        audited(planted)


def test_without_an_index_or_adapter_there_is_nothing_to_compare_with(small: Workspace) -> None:
    config = small.configs / "toy.yaml"
    config.write_text(config.read_text().split("arms:")[0] + "arms: {general: {model: small}}\n")
    found = audited(small)
    assert found["sources"] == []
    assert (
        "no arm looks anything up and no model is known to be tuned: there was nothing to compare with"
        in found["notes"]
    )
    assert "0 of 12 leaked" in render_audit(found)


def test_an_output_that_is_a_file_is_refused(small: Workspace) -> None:
    (small.root / "taken").write_text("")
    with pytest.raises(DataError, match="is a file; choose another --output"):
        audited(small, output=small.root / "taken")
