"""Every method ranks alike whatever stands beside a query, however many are asked for, in whatever order the corpus is
read, and each time it is built."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from encoders import WORDS, save_bert, save_cross_encoder, save_late_interaction

from ragmed.index.store import Index
from ragmed.records import Hit
from ragmed.retrieval import Ranker, Retriever
from ragmed.retrieval.filters import Filter
from ragmed.retrieval.named import build_named
from ragmed.retrieval.spec import METHODS, RetrieverSpec, make_retriever
from ragmed.workspace import Workspace

QUERIES = ["what treats asthma?", "a broken wrist", "fever in children and cough", "insulin for diabetes", "sepsis"]
NAMES = [f"d{(number * 37) % 60}" for number in range(60)]  # neither in order as text nor as numbers
TEXTS = [
    " ".join(WORDS[(number // 2 + step * 3) % len(WORDS)] for step in range(4 + number % 4 // 2))
    for number in range(60)
]
"""Each twice, so that every method meets equal scores."""


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RetrieverSpec]:
    cross = save_cross_encoder(tmp_path_factory.mktemp("cross"))
    masked = tmp_path_factory.mktemp("masked")
    save_bert(masked, seed=4, kind="BertForMaskedLM")
    late = save_late_interaction(tmp_path_factory.mktemp("late"))
    return {
        "bm25": RetrieverSpec("bm25", index="notes"),
        "dense": RetrieverSpec("dense", index="notes"),
        "sparse": RetrieverSpec("sparse", index="notes", model=f"path:{masked}"),
        "late-interaction": RetrieverSpec("late-interaction", index="notes", model=f"path:{late}"),
        "rrf": RetrieverSpec("rrf", of=("bm25", "dense"), weights=(1.0, 2.0), depth=40),
        "rerank": RetrieverSpec("rerank", of=("rrf",), model=f"path:{cross}", depth=40),
        "mmr": RetrieverSpec("mmr", of=("rrf",), depth=40),
        "filter": RetrieverSpec("filter", of=("dense",), filter=Filter(documents=("d[0-4].",))),
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, specs: dict[str, RetrieverSpec]):
    """A method over the corpus as it is read forwards, backwards, or forwards again in another place."""

    @cache
    def retriever(method: str, order: str) -> Retriever:
        workspace = place(order)
        return make_retriever(specs[method], specs=specs, workspace=workspace)

    @cache
    def place(order: str) -> Workspace:
        root = tmp_path_factory.mktemp(order)
        for kind, text in (
            ("corpora", "title: Notes\nreader: jsonl\npaths: [notes.jsonl]\n"),
            ("indexes", "corpora: [notes]\nembedder: hashing:32\n"),
        ):
            (root / kind / "notes").mkdir(parents=True)
            (root / kind / "notes" / "recipe.yaml").write_text(text)
        lines = [json.dumps({"id": name, "text": text}) + "\n" for name, text in zip(NAMES, TEXTS, strict=True)]
        (root / "corpora" / "notes" / "notes.jsonl").write_text("".join(lines[::-1] if order == "backwards" else lines))
        build_named("notes", workspace=Workspace(root))
        return Workspace(root)

    retriever.place = place  # type: ignore[attr-defined]
    return retriever


def ids(hits: list[Hit]) -> list[str]:
    return [hit.passage.id for hit in hits]


def test_every_method_is_held_to_it(specs: dict[str, RetrieverSpec]):
    assert specs.keys() == METHODS.keys()


@pytest.mark.parametrize("method", METHODS)
def test_the_first_ten_of_32_are_the_ten(found, method: str):
    retriever = found(method, "forwards")
    for ten, more in zip(retriever.retrieve(QUERIES, k=10), retriever.retrieve(QUERIES, k=32), strict=True):
        assert ten == more[:10]
        assert [hit.rank for hit in more] == list(range(1, len(more) + 1))
        assert len(set(ids(more))) == len(more) > 10 or method == "bm25"


@pytest.mark.parametrize("method", METHODS)
def test_a_query_finds_the_same_alone_and_among_others(found, method: str):
    retriever = found(method, "forwards")
    together = retriever.retrieve(QUERIES, k=20)
    assert [retriever.retrieve([query], k=20)[0] for query in QUERIES] == together
    assert retriever.retrieve([*QUERIES[::-1], *QUERIES], k=20) == [*together[::-1], *together]


@pytest.mark.parametrize("method", METHODS)
def test_equal_scores_are_ordered_by_passage_id(found, method: str):
    hits = found(method, "forwards").retrieve(QUERIES, k=32)
    tied = [(a, b) for line in hits for a, b in pairwise(line) if a.score == b.score]
    assert tied or method in ("mmr", "rrf")  # a copy is unlike none at its turn; copies have neighbouring ranks
    assert all(a.passage.id < b.passage.id for a, b in tied)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_corpus_decides_nothing(found, method: str):
    hits, turned = (found(method, order).retrieve(QUERIES, k=20) for order in ("forwards", "backwards"))
    assert [ids(line) for line in turned] == [ids(line) for line in hits]


@pytest.mark.parametrize("method", METHODS)
def test_given_passages_are_ordered_alike_in_whatever_order_they_come(found, method: str):
    retriever = found(method, "forwards")
    given = [[hit.passage for hit in line] for line in retriever.retrieve(QUERIES, k=20)]
    assert isinstance(retriever, Ranker)
    ordered = [ids(line) for line in retriever.rank(QUERIES, given)]
    assert [ids(line) for line in retriever.rank(QUERIES, [line[::-1] for line in given])] == ordered
    alone = [ids(retriever.rank([query], [line])[0]) for query, line in zip(QUERIES, given, strict=True)]
    assert alone == ordered


@pytest.mark.parametrize("method", METHODS)
def test_two_builds_give_the_same_identity_and_the_same_bytes(found, method: str):
    one, two = found(method, "forwards"), found(method, "again")
    assert one.retrieve(QUERIES, k=20) == two.retrieve(QUERIES, k=20)
    assert one.identity == two.identity
    assert json.loads(json.dumps(one.identity)) == one.identity
    mine, again = files(found.place("forwards")), files(found.place("again"))
    assert {name: mine[name] for name in again} == again  # of more methods, the first place holds more
    assert method not in ("bm25", "sparse", "late-interaction") or any(name.startswith(f"{method}/") for name in again)


def files(workspace: Workspace) -> dict[str, bytes]:
    """All files of the index but those that say when it was built and how long that took."""
    folder: Path = workspace.indexes / "notes"
    assert len(Index.open(folder)) == 60
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("manifest.json", ".lock", "took.json")
    }
