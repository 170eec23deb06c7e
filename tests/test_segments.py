"""Segments and tombstones: several segments are searched as one, and what is deleted is never given out."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragmed.embedding import HashingEmbedder
from ragmed.errors import DamagedError, DataError, MismatchError, UsageError
from ragmed.files import read_jsonl, sha256_json
from ragmed.index.build import build_index
from ragmed.index.manifest import Counts, read_manifest, write_manifest
from ragmed.index.recipe import IndexRecipe
from ragmed.index.store import Index
from ragmed.retrieval.spec import RetrieverSpec, make_retriever
from ragmed.workspace import Workspace

DIMENSION = 24
CORPORA = {"first": 150, "second": 90, "third": 60}
RECIPE = IndexRecipe("whole", tuple(CORPORA), f"hashing:{DIMENSION}", shard_size=40)
QUERIES = ["word1 word2 word3", "word17 word17", "word40 word41 word42 word43"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same documents as one segment (`whole`) and as three (`parts`)."""
    root, rng = tmp_path_factory.mktemp("workspace"), random.Random(2)
    for name, count in CORPORA.items():
        folder = root / "corpora" / name
        folder.mkdir(parents=True)
        texts = [" ".join(f"word{rng.randrange(60)}" for _ in range(8)) for _ in range(count)]
        texts[-1] = "word1 word2 word3"  # the same in all three: equal scores across segments
        lines = [json.dumps({"id": f"d{i}", "title": "", "text": text}) + "\n" for i, text in enumerate(texts)]
        (folder / "notes.jsonl").write_text("".join(lines))
        (folder / "recipe.yaml").write_text("title: Notes\nreader: jsonl\npaths: [notes.jsonl]\n")
    made = Workspace(root)
    build_index(RECIPE, workspace=made, output=made.indexes / "whole")
    for name in CORPORA:
        build_index(replace(RECIPE, name=name, corpora=(name,)), workspace=made, output=made.indexes / name)
    join([made.indexes / name for name in CORPORA], made.indexes / "parts")
    return made


def join(folders: list[Path], output: Path) -> None:
    """Several indexes of one segment each as the segments of one index."""
    manifests, segments, files = [read_manifest(folder) for folder in folders], [], {}
    for number, (folder, manifest) in enumerate(zip(folders, manifests, strict=True)):
        place = f"segments/{number:04d}"
        shutil.copytree(folder / "segments" / "0000", output / place)
        segments.append(replace(manifest.segments[0], folder=place))
        files |= {name.replace("segments/0000", place): facts for name, facts in manifest.files.items()}
    total = sum(manifest.counts.passages for manifest in manifests)
    whole = replace(
        manifests[0],
        name="parts",
        recipe=replace(RECIPE, name="parts"),
        corpora=tuple(corpus for manifest in manifests for corpus in manifest.corpora),
        counts=Counts(total, total, total),
        segments=tuple(segments),
        files=files,
    )
    write_manifest(output, whole)


def delete(index: Path, tombstones: dict[str, tuple[str, ...]]) -> None:
    write_manifest(index, replace(read_manifest(index), tombstones=tombstones))


def vectors(count: int = 30) -> np.ndarray:
    made = np.random.default_rng(3).normal(size=(count, DIMENSION)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def parts(workspace: Workspace, tmp_path: Path) -> Path:
    return Path(shutil.copytree(workspace.indexes / "parts", tmp_path / "parts"))


@pytest.mark.parametrize("budget", [None, 0])
@pytest.mark.parametrize("k", [1, 10, 100, 1000])
def test_three_segments_find_what_one_finds(workspace: Workspace, budget: int | None, k: int):
    one = Index.open(workspace.indexes / "whole", memory_budget=budget)
    three = Index.open(workspace.indexes / "parts", memory_budget=budget)
    assert [len(index.manifest.segments) for index in (one, three)] == [1, 3]
    asked = np.concatenate([vectors(), HashingEmbedder(DIMENSION).embed_queries(QUERIES)])
    expected, found = one.search(asked, k=k), three.search(asked, k=k)
    assert found[0].shape == (33, min(k, 300))
    assert found[0].tobytes() == expected[0].tobytes()
    assert found[1].tobytes() == expected[1].tobytes()


def test_three_segments_hold_what_one_holds(workspace: Workspace):
    one, three = Index.open(workspace.indexes / "whole"), Index.open(workspace.indexes / "parts")
    assert list(three) == list(one)
    assert len(three) == len(one) == 300
    assert three.passages([299, 0, 150, 239, 240]) == one.passages([299, 0, 150, 239, 240])
    assert three.live_rows().tolist() == list(range(300))
    names = ["second:d7", "third:d59", "first:d0", "third:d60"]
    assert three.passages_of(names) == one.passages_of(names)
    with pytest.raises(MismatchError, match="write 'first:d7' or 'second:d7' or 'third:d7'"):
        three.passages_of(["d7"])
    with pytest.raises(IndexError, match="passage 300 of 300"):
        three.passage(300)


@pytest.mark.parametrize("method", ["bm25", "dense", "rrf"])
def test_retrievers_find_in_three_segments_what_they_find_in_one(workspace: Workspace, method: str):
    found = []
    for name in ("whole", "parts"):
        specs = {one: RetrieverSpec(one, index=name) for one in ("bm25", "dense")}
        spec = RetrieverSpec("rrf", of=tuple(specs)) if method == "rrf" else specs[method]
        found.append(make_retriever(spec, specs=specs, workspace=workspace, as_built=True).retrieve(QUERIES, k=20))
    assert found[0] == found[1]
    assert len(found[0][0]) == 20


@pytest.mark.parametrize("budget", [None, 0])
def test_what_is_deleted_is_never_given_out(workspace: Workspace, parts: Path, budget: int | None):
    whole = Index.open(parts, memory_budget=budget)
    rows = whole.search(vectors(), k=300)[1]
    gone = [*(f"second:d{i}" for i in range(90)), "first:d3", "first:d149", "third:d0", "third:d99"]
    tombstones = {
        "segments/0000": ("first:d3", "first:d149"),
        "segments/0001": tuple(gone[:90]),  # a whole segment
        "segments/0002": ("third:d0", "third:d99", "first:d5"),  # the last two are not in it
    }
    delete(parts, tombstones)
    index = Index.open(parts, memory_budget=budget)
    dead = {3, 149, *range(150, 240), 240}
    assert len(index) == 300 - len(dead)
    for k in (5, 400):
        expected = [[row for row in line if row not in dead][:k] for line in rows.tolist()]
        assert index.search(vectors(), k=k)[1].tolist() == expected
    assert index.live_rows().tolist() == [row for row in range(300) if row not in dead]
    assert [p.id for p in index] == [index.passage(int(row)).id for row in index.live_rows()]
    with pytest.raises(IndexError, match="passage 149 is deleted"):
        index.passage(149)
    found = index.passages_of(["first:d3", "first:d5", "second:d1", "third:d1"])
    assert {name: len(passages) for name, passages in found.items()} == {
        "first:d3": 0,
        "first:d5": 1,
        "second:d1": 0,
        "third:d1": 1,
    }
    assert index.identity != whole.identity
    assert index.contents != whole.contents


@pytest.mark.parametrize("factory", ["IVF2,Flat", "HNSW8"])
def test_an_approximate_index_gives_no_deleted_passage_either(workspace: Workspace, tmp_path: Path, factory: str):
    output = tmp_path / "approximate"
    build_index(replace(RECIPE, factory=factory), workspace=workspace, output=output)
    best = {int(row) for row in Index.open(output).search(vectors(), k=3)[1].ravel()}
    keys = tuple(str(passage.document_key) for passage in Index.open(output).passages(sorted(best)))
    delete(output, {"segments/0000": keys})
    index = Index.open(output)
    assert len(index) == 300 - len(best)
    rows = index.search(vectors(), k=10)[1]
    assert rows.shape == (30, 10)
    assert not best & {int(row) for row in rows.ravel()}


def test_bm25_counts_only_what_is_not_deleted(workspace: Workspace, tmp_path: Path):
    output = workspace.indexes / "deleted"
    shutil.copytree(workspace.indexes / "parts", output, ignore=shutil.ignore_patterns("bm25"))
    delete(output, {"segments/0001": tuple(f"second:d{i}" for i in range(90))})
    joined = workspace.indexes / "first-third"
    join([workspace.indexes / name for name in ("first", "third")], joined)
    found = [
        make_retriever(RetrieverSpec("bm25", index=folder.name), workspace=workspace, as_built=True)
        for folder in (output, joined)
    ]
    hits = [retriever.retrieve(QUERIES, k=50) for retriever in found]
    assert hits[0] == hits[1]
    assert len(hits[0][0]) == 50


def test_an_index_of_which_everything_is_deleted_is_refused(workspace: Workspace):
    output = workspace.indexes / "empty"
    shutil.copytree(workspace.indexes / "third", output)
    delete(output, {"segments/0000": tuple(f"third:d{i}" for i in range(60))})
    assert Index.open(output).search(vectors(2), k=3)[1].shape == (2, 0)
    for spec in (
        RetrieverSpec(index="empty"),
        RetrieverSpec("bm25", index="empty"),
        RetrieverSpec("rrf", of=("empty",)),
    ):
        with pytest.raises(UsageError, match="index 'empty' holds no passage any more"):
            make_retriever(spec, workspace=workspace, as_built=True)


def test_a_segment_lists_its_documents_with_their_hashes(workspace: Workspace):
    lines = [line for _, line in read_jsonl(workspace.indexes / "parts" / "segments" / "0001" / "documents.jsonl")]
    assert [(line["corpus"], line["id"]) for line in lines] == [("second", f"d{i}") for i in range(90)]
    index = Index.open(workspace.indexes / "second")
    first = index.passage(0)
    document = {"id": "d0", "title": "", "text": first.text, "citation": first.citation, "corpus": "second"}
    assert lines[0]["sha256"] == sha256_json(document)
    assert len({line["sha256"] for line in lines}) == 90


def test_the_identity_of_a_segment_is_of_its_content(workspace: Workspace, tmp_path: Path):
    plain = read_manifest(workspace.indexes / "third").segments[0].identity
    recipe = replace(RECIPE, name="third", corpora=("third",))

    def identity(changed: IndexRecipe) -> str:
        return build_index(changed, workspace=workspace, output=tmp_path / "x").segments[0].identity

    assert identity(replace(recipe, shard_size=7)) == plain  # how it is filed changes nothing that is found
    others = [replace(recipe, factory="IVF2,Flat"), replace(recipe, metric="l2"), replace(recipe, corpora=("second",))]
    assert plain not in [identity(one) for one in others]


def test_segments_that_are_not_there_are_refused(parts: Path):
    manifest = read_manifest(parts)
    write_manifest(parts, replace(manifest, tombstones={"segments/0007": ("first:d1",)}))
    with pytest.raises(DataError, match="names a segment without files: 'segments/0007'"):
        Index.open(parts)
    outside = replace(manifest.segments[0], folder="../whole")
    write_manifest(parts, replace(manifest, segments=(outside,)))
    with pytest.raises(DataError, match=r"names a segment without files: '\.\./whole'"):
        Index.open(parts)


def test_a_segment_that_lacks_passages_is_refused(parts: Path):
    manifest = read_manifest(parts)
    first, *others = manifest.segments
    write_manifest(parts, replace(manifest, segments=(replace(first, passages=149), *others)))
    with pytest.raises(
        DamagedError, match=r"segments/0000' holds 150 passages and 149 vectors; run: ragmed build-index"
    ):
        Index.open(parts)
