"""Indexes whose recipes name each other cut a corpus alike, by the tokens of all their embedders, and can be fused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from encoders import WORDS, save_bert

from ragmed.errors import MismatchError, UnknownNameError, UsageError
from ragmed.index.recipe import embedder_of, load_index_recipe
from ragmed.index.store import Index
from ragmed.retrieval.named import build_named
from ragmed.retrieval.spec import RetrieverSpec, make_retriever
from ragmed.workspace import Workspace


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    save_bert(tmp_path / "bert", seed=1)
    (tmp_path / "corpora" / "notes").mkdir(parents=True)
    lines = [{"id": str(n), "title": "asthma", "text": ". ".join(WORDS[n:] * 12)} for n in range(3)]
    (tmp_path / "corpora" / "notes" / "notes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "corpora" / "notes" / "recipe.yaml").write_text("title: Notes\nreader: jsonl\npaths: [notes.jsonl]\n")
    return Workspace(tmp_path)


def index(place: Workspace, name: str, *fits: str) -> Index:
    recipe(place, name, *fits)
    build_named(name, workspace=place)
    return Index.open(place.indexes / name)


def recipe(place: Workspace, name: str, *fits: str) -> None:
    bert = f"embedder: 'path:{place.root}/bert'\nencoding: {{pooling: cls}}"
    embedder = "embedder: 'hashing:16'" if name == "words" else bert
    (place.indexes / name).mkdir(parents=True, exist_ok=True)
    text = f"corpora: [notes]\n{embedder}\nchunking: {{fits: [{', '.join(fits)}]}}\n"
    (place.indexes / name / "recipe.yaml").write_text(text)


def fused(place: Workspace, *names: str) -> list[str]:
    retriever = make_retriever(RetrieverSpec("rrf", of=names), workspace=place)
    return [hit.passage.id for hit in retriever.retrieve(["what treats asthma?"], k=10)[0]]


def test_indexes_that_fit_each_other_have_the_same_passages(place: Workspace) -> None:
    words, bert = index(place, "words"), index(place, "bert")
    assert len(words) < len(bert)  # 512 tokens against 64
    with pytest.raises(MismatchError, match="their indexes cut the corpus differently"):
        fused(place, "words", "bert")

    recipe(place, "bert", "words")
    words, bert = index(place, "words", "bert"), index(place, "bert", "words")
    assert list(words) == list(bert)
    for name in ("words", "bert"):
        reader = embedder_of(load_index_recipe(place.recipe("indexes", name)), device="cpu")
        texts = [f"{p.title}\n{p.text}" for p in bert]
        assert max(reader.count_tokens(texts)) <= 64
    assert len(fused(place, "words", "bert")) == 10


def test_another_model_that_must_read_them_makes_another_index(place: Workspace) -> None:
    recipe(place, "bert", "words")
    first = index(place, "words", "bert").identity
    assert index(place, "words", "bert").identity == first
    save_bert(place.root / "bert", seed=2)
    assert index(place, "words", "bert").identity != first


def test_what_does_not_fit_is_refused(place: Workspace) -> None:
    with pytest.raises(UsageError, match="'fits' names the index itself; name the others"):
        index(place, "words", "words")
    with pytest.raises(UnknownNameError, match="unknown index 'bret'"):
        index(place, "words", "bret")
