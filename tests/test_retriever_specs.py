"""Retrievers by name: built in one place, indexes shared, refused with near names and remedies."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from encoders import save_bert, save_cross_encoder, save_late_interaction

from ragmed.errors import UnknownNameError, UsageError
from ragmed.index.store import Index
from ragmed.records import Hit
from ragmed.retrieval import Ranker
from ragmed.retrieval.named import build_named, open_index
from ragmed.retrieval.spec import (
    METHODS,
    Resources,
    RetrieverSpec,
    indexes_of,
    make_retriever,
    search_index,
    spec_named,
)
from ragmed.workspace import Workspace

ROOT = Path(__file__).parents[1]
NOTES = {"a": "Salbutamol relieves asthma.", "b": "A broken wrist needs a cast.", "c": "Paracetamol lowers a fever."}
SPECS = {
    "dense": RetrieverSpec(index="notes"),
    "lexical": RetrieverSpec("bm25", index="notes", k1=0.9),
    "both": RetrieverSpec("rrf", of=("lexical", "dense"), weights=(1.0, 2.0)),
    "nested": RetrieverSpec("rrf", of=("both", "notes")),
    "loop": RetrieverSpec("rrf", of=("dense", "back")),
    "back": RetrieverSpec("rrf", of=("loop",)),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for kind, text in (
        ("corpora", "title: Notes\nreader: jsonl\npaths: [notes.jsonl]\n"),
        ("indexes", "corpora: [notes]\nembedder: hashing:64\n"),
    ):
        (tmp_path / kind / "notes").mkdir(parents=True)
        (tmp_path / kind / "notes" / "recipe.yaml").write_text(text)
    lines = [f'{{"id": "{name}", "text": "{text}"}}\n' for name, text in NOTES.items()]
    (tmp_path / "corpora" / "notes" / "notes.jsonl").write_text("".join(lines))
    return Workspace(tmp_path)


def test_every_method_is_built_by_its_spec(workspace: Workspace):
    index = open_index("notes", workspace=workspace)
    for name in ("dense", "lexical", "both", "nested"):
        retriever = make_retriever(SPECS[name], specs=SPECS, workspace=workspace, indexes={"notes": index})
        assert retriever.retrieve(["a fever"], k=2)[0][0].passage.document == "c", name
        assert retriever.identity["method"] == SPECS[name].method
        assert isinstance(retriever, Ranker)
        ranked = retriever.rank(["a fever"], [list(index)])[0]
        assert (ranked[0].passage.document, ranked[0].rank) == ("c", 1)
        assert len(ranked) == 3


def test_a_missing_index_is_built_for_one_retriever_and_refused_for_a_fused_one(workspace: Workspace):
    with pytest.raises(UsageError, match="index 'notes' is not built yet; run: ragmed build-index notes"):
        make_retriever(SPECS["both"], specs=SPECS, workspace=workspace)
    with pytest.raises(UsageError, match="not built yet"):
        make_retriever(SPECS["dense"], workspace=workspace, as_built=True)
    assert make_retriever(SPECS["lexical"], workspace=workspace).retrieve(["fever"], k=1)[0][0].rank == 1
    both = make_retriever(SPECS["both"], specs=SPECS, workspace=workspace)
    assert dict(both.retrieve(["fever"], k=1)[0][0].parts) == {"lexical": 1, "dense": 1}


def test_the_identity_is_what_the_method_reads(workspace: Workspace):
    assert SPECS["dense"].identity() == {"method": "dense", "version": 2, "index": "notes"}
    assert SPECS["lexical"].identity() == {
        "method": "bm25",
        "version": 3,
        "index": "notes",
        "k1": 0.9,
        "b": 0.75,
        "stemmer": "english",
        "stop_words": "english",
        "title_weight": 1,
    }
    assert SPECS["both"].identity() == {
        "method": "rrf",
        "version": 2,
        "of": ["lexical", "dense"],
        "weights": [1.0, 2.0],
        "rrf_k": 60,
        "depth": 100,
    }


def test_names_are_answered_with_near_ones(workspace: Workspace):
    with pytest.raises(UnknownNameError, match="unknown retrieval method 'bm52'; did you mean 'bm25'"):
        make_retriever(RetrieverSpec("bm52", index="notes"), workspace=workspace)
    with pytest.raises(UnknownNameError, match="unknown retriever or index 'lexcal'; did you mean 'lexical'"):
        spec_named("lexcal", SPECS, workspace=workspace)
    assert spec_named("lexical", SPECS, workspace=workspace) == SPECS["lexical"]
    assert spec_named("notes", SPECS, workspace=workspace) == RetrieverSpec(index="notes")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (RetrieverSpec(index="notes", k1=2.0), "'dense' does not read 'k1'; it reads index"),
        (RetrieverSpec("rrf", index="notes", of=("dense",)), "does not read 'index'"),
        (RetrieverSpec("bm25"), "names no index"),
        (RetrieverSpec("rrf"), "has no parts"),
        (RetrieverSpec("rrf", of=("dense", "dense")), "names a part twice"),
        (RetrieverSpec("rrf", of=("dense", "lexical"), weights=(1.0,)), "2 retrievers are fused with 1 weights"),
        (SPECS["loop"], "is part of itself: back > loop > back"),
    ],
)
def test_specs_that_cannot_be_are_refused(workspace: Workspace, spec: RetrieverSpec, words: str):
    build_named("notes", workspace=workspace)
    with pytest.raises(UsageError, match=words):
        make_retriever(spec, specs=SPECS, workspace=workspace)


def test_the_indexes_behind_a_retriever_are_known_before_it_is_built(workspace: Workspace):
    assert indexes_of(SPECS["nested"], SPECS, workspace=workspace) == ("notes",)
    with pytest.raises(UsageError, match="is part of itself: back > loop > back"):
        indexes_of(SPECS["loop"], SPECS, workspace=workspace)


def test_one_query_is_searched_by_any_method(workspace: Workspace, tmp_path: Path):
    build_named("notes", workspace=workspace)
    cross = save_cross_encoder(
        tmp_path / "cross", [("fever", f"{text}", float("fever" in text)) for text in NOTES.values()]
    )
    masked = tmp_path / "masked"
    save_bert(masked, seed=4, kind="BertForMaskedLM")
    late = save_late_interaction(tmp_path / "late")
    with pytest.raises(UsageError, match="the method 'filter' needs a filter, which a config says"):
        search_index("notes", "fever", k=1, workspace=workspace, method="filter")
    for method in METHODS.keys() - {"filter"}:
        model = {"rerank": cross, "sparse": masked, "late-interaction": late}.get(method, "")
        model = f"path:{model}" if model else ""
        hits = search_index("notes", "fever", k=1, workspace=workspace, method=method, model=model)
        assert [hit.passage.document for hit in hits] == ["c"] or method in ("sparse", "late-interaction")  # random
    with pytest.raises(UsageError, match="the method 'bm25' reads no model"):
        search_index("notes", "fever", k=1, workspace=workspace, method="bm25", model="path:x")
    with pytest.raises(UsageError, match="the query is empty"):
        search_index("notes", "  ", k=1, workspace=workspace)
    with pytest.raises(UnknownNameError, match="unknown retrieval method 'dens'; did you mean 'dense'"):
        search_index("notes", "fever", k=1, workspace=workspace, method="dens")


class Shelf:
    """Finds the first passages of an index, whatever is asked."""

    VERSION = 3
    READS = ("index",)

    def __init__(self, index: Index) -> None:
        self._index = index

    @classmethod
    def build(cls, spec: RetrieverSpec, resources: Resources) -> Shelf:
        return cls(resources.index(spec.index))

    @property
    def identity(self) -> dict[str, Any]:
        return {"method": "shelf", "version": self.VERSION, "passages": self._index.contents}

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        passages = list(self._index)[:k]
        return [[Hit(passage, 1 / rank, rank) for rank, passage in enumerate(passages, 1)] for _ in queries]


def test_a_method_is_a_class_and_a_line(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(METHODS, "shelf", f"{__name__}:Shelf")
    build_named("notes", workspace=workspace)
    shelf = RetrieverSpec("shelf", index="notes")
    assert shelf.identity() == {"method": "shelf", "version": 3, "index": "notes"}
    specs = {"shelf": shelf, "lexical": SPECS["lexical"]}
    both = make_retriever(RetrieverSpec("rrf", of=("shelf", "lexical")), specs=specs, workspace=workspace)
    assert [hit.passage.document for hit in both.retrieve(["fever"], k=3)[0]] == ["c", "a", "b"]
    with pytest.raises(UsageError, match="'shelf' does not read 'k1'; it reads index"):
        make_retriever(RetrieverSpec("shelf", index="notes", k1=2.0), workspace=workspace)


def test_no_retriever_is_built_elsewhere():
    classes = {target.partition(":")[2] for target in METHODS.values()}
    for path in [*(ROOT / "ragmed").rglob("*.py"), *(ROOT / "cli").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in classes, f"{path}, line {node.lineno}"
