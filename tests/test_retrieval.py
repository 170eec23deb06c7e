"""Dense retrieval: list in, list out, ranked from 1, refused with another embedder."""

from __future__ import annotations

import json

import pytest

from ragmed.embedding import load_embedder
from ragmed.errors import MismatchError, UsageError
from ragmed.index.build import build_index
from ragmed.index.recipe import IndexRecipe
from ragmed.index.store import Index
from ragmed.retrieval.dense import DenseRetriever
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
