"""Retrievers: list in, list out, ranked from 1; built in one place, by name, and refused where they cannot be."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ragmed.embedding import load_embedder
from ragmed.errors import MismatchError, UsageError
from ragmed.index.build import build_index
from ragmed.index.recipe import IndexRecipe
from ragmed.index.store import Index
from ragmed.retrieval.dense import DenseRetriever
from ragmed.retrieval.named import build_named, describe_indexes, index_recipe, open_index
from ragmed.workspace import Workspace

NOTES = {
    "asthma": "Salbutamol relieves an asthma attack.",
    "wrist": "A broken wrist needs a cast.",
    "fever": "Paracetamol lowers a fever.",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    root = tmp_path_factory.mktemp("workspace")
    folder = root / "corpora" / "notes"
    folder.mkdir(parents=True)
    lines = [json.dumps({"id": key, "title": "", "text": text}) + "\n" for key, text in NOTES.items()]
    (folder / "notes.jsonl").write_text("".join(lines))
    (folder / "recipe.yaml").write_text(
        "title: Notes\nreader: jsonl\npaths: [notes.jsonl]\nfields: {id: id, title: title, text: text}\n"
    )
    recipe = IndexRecipe("notes", ("notes",), "hashing:256")
    build_index(recipe, workspace=Workspace(root), output=root / "indexes" / "notes")
    return Index.open(root / "indexes" / "notes")


def test_the_passage_with_the_words_comes_first(index: Index):
    retriever = DenseRetriever(index, load_embedder("hashing:256"))
    hits = retriever.retrieve(["asthma attack", "a broken wrist"], k=2)
    assert [[hit.rank for hit in line] for line in hits] == [[1, 2], [1, 2]]
    assert [line[0].passage.document for line in hits] == ["asthma", "wrist"]
    assert hits[0][0].passage.text == NOTES["asthma"]
    assert hits[0][0].score > hits[0][1].score
    # 2 shared words of 2 and of 6 (with the full stop), each once: cosine 2 / sqrt(2 * 6)
    assert hits[0][0].score == pytest.approx(2 / 12**0.5, abs=2e-3)


def test_no_query_no_list_and_no_more_hits_than_passages(index: Index):
    retriever = DenseRetriever(index, load_embedder("hashing:256"))
    assert retriever.retrieve([], k=5) == []
    assert [len(line) for line in retriever.retrieve(["fever", "cast"], k=50)] == [3, 3]


def test_refusals(index: Index):
    with pytest.raises(MismatchError, match="hashing:64"):
        DenseRetriever(index, load_embedder("hashing:64"))
    with pytest.raises(UsageError, match="k must be"):
        DenseRetriever(index, load_embedder("hashing:256")).retrieve(["fever"], k=0)


@pytest.fixture
def named(tmp_path: Path) -> Workspace:
    for kind, text in (
        ("corpora", "title: Notes\nreader: jsonl\npaths: [notes.jsonl]\n"),
        ("indexes", "corpora: [notes]\nembedder: hashing:64\n"),
    ):
        (tmp_path / kind / "notes").mkdir(parents=True)
        (tmp_path / kind / "notes" / "recipe.yaml").write_text(text)
    (tmp_path / "corpora" / "notes" / "notes.jsonl").write_text('{"id": "a", "text": "asthma"}\n')
    return Workspace(tmp_path)


def test_a_changed_corpus_is_told_and_an_absent_one_is_not_missed(named: Workspace):
    notes = named.corpora / "notes" / "notes.jsonl"
    assert len(open_index("notes", workspace=named)) == 1
    os.utime(notes, (1, 1))  # another time, the same content
    assert len(open_index("notes", workspace=named)) == 1
    notes.write_text('{"id": "a", "text": "fever"}\n')
    with pytest.raises(MismatchError, match=r"corpus changed \(notes\); run: ragmed build-index notes"):
        open_index("notes", workspace=named)
    build_named("notes", workspace=named)
    assert len(open_index("notes", workspace=named)) == 1
    notes.unlink()
    assert len(open_index("notes", workspace=named)) == 1
    shutil.rmtree(named.corpora)
    assert len(open_index("notes", workspace=named)) == 1


def test_building_again_brings_the_stamp_up_to_date(named: Workspace, monkeypatch: pytest.MonkeyPatch):
    build_named("notes", workspace=named)
    os.utime(named.corpora / "notes" / "notes.jsonl", (1, 1))
    assert build_named("notes", workspace=named)[1] is False
    monkeypatch.setattr("ragmed.index.sources.Corpus", None)  # would be needed to read the corpus
    open_index("notes", workspace=named)


def test_a_typo_in_a_recipe_is_not_taken_for_no_recipe(named: Workspace):
    (named.indexes / "notes" / "recipe.yaml").write_text("corpora: [notes]\nembeder: hashing:64\n")
    with pytest.raises(UsageError, match="did you mean 'embedder'"):
        index_recipe("notes", named)


def test_a_list_of_indexes_has_columns_whatever_their_names(named: Workspace):
    (named.indexes / "notes-of-the-whole-hospital").mkdir()
    (named.indexes / "notes-of-the-whole-hospital" / "recipe.yaml").write_text(
        "corpora: [notes, notes-too]\nembedder: path:models/some-embedder\nfactory: IVF4,Flat\n"
    )
    long, short = sorted(describe_indexes(named).splitlines(), key=len, reverse=True)
    assert long.endswith("notes, notes-too")
    for part in ("not built", "notes"):
        assert long.index(f" {part}") == short.index(f" {part}")


def test_a_broken_index_does_not_hide_the_others(named: Workspace):
    (named.indexes / "bad").mkdir()
    (named.indexes / "bad" / "recipe.yaml").write_text("corpora: [notes]\nembeder: hashing:64\n")
    build_named("notes", workspace=named)
    bad, good = describe_indexes(named).splitlines()
    assert "broken: unknown key 'embeder'" in bad
    assert "1 passage of 1 document" in good
    (named.indexes / "notes" / "manifest.json").write_text("{}")
    assert "is damaged" in describe_indexes(named).splitlines()[1]
