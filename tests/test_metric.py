"""Metric and normalisation belong to the embedder: recorded, refused when they differ, exact in all combinations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ragmed.chunking import embedded_text
from ragmed.embedding import HashingEmbedder, checked, load_embedder
from ragmed.embedding.folders import declared_similarity
from ragmed.errors import DamagedError, DataError, MismatchError, ModelError, UnknownNameError, UsageError
from ragmed.index.build import build_index
from ragmed.index.check import self_check
from ragmed.index.manifest import read_manifest
from ragmed.index.recipe import IndexRecipe, load_index_recipe
from ragmed.index.store import Index, layout_of
from ragmed.retrieval.dense import DenseRetriever
from ragmed.retrieval.spec import RetrieverSpec, make_retriever
from ragmed.workspace import Workspace

DIMENSION = 16
COMBINATIONS = [("inner_product", True), ("inner_product", False), ("l2", False), ("l2", True)]


class Drawn(HashingEmbedder):
    """A vector drawn for each text, of lengths between 1 and some 40."""

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = []
        for text in texts:
            rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
            rows.append(rng.normal(size=self.dimension) * rng.uniform(0.3, 10))
        return checked(np.array(rows).reshape(len(texts), self.dimension), normalise=self.normalise)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("workspace")
    (root / "corpora" / "notes").mkdir(parents=True)
    lines = [json.dumps({"id": f"d{i}", "text": f"Note number {i}."}) + "\n" for i in range(500)]
    (root / "corpora" / "notes" / "notes.jsonl").write_text("".join(lines))
    (root / "corpora" / "notes" / "recipe.yaml").write_text("title: Notes\nreader: jsonl\npaths: [notes.jsonl]\n")
    return Workspace(root)


def built(workspace: Workspace, output: Path, metric: str, normalise: bool, **recipe: str) -> tuple[Path, Drawn]:
    embedder = Drawn(DIMENSION, metric=metric, normalise=normalise)
    made = IndexRecipe("notes", ("notes",), f"hashing:{DIMENSION}", shard_size=120, **recipe)
    build_index(made, workspace=workspace, output=output, embedder=embedder)
    return output, embedder


@pytest.mark.parametrize("budget", [None, 0])
@pytest.mark.parametrize(("metric", "normalise"), COMBINATIONS)
def test_search_agrees_with_brute_force(
    workspace: Workspace, tmp_path: Path, metric: str, normalise: bool, budget: int | None
):
    output, embedder = built(workspace, tmp_path / "x", metric, normalise)
    manifest = read_manifest(output)
    assert (manifest.embedder.metric, manifest.embedder.normalise) == (metric, normalise)
    index = Index.open(output, memory_budget=budget)
    stored = np.concatenate([np.load(path) for path in sorted(output.glob("segments/*/vectors/*.npy"))])
    stored = stored.astype(np.float64)
    lengths = np.linalg.norm(stored, axis=1)
    assert lengths.max() == pytest.approx(manifest.segments[0].longest, rel=1e-6)
    assert (np.ptp(lengths) < 2e-3) == normalise
    queries = embedder.embed_queries([f"question {i}" for i in range(60)])
    products = queries.astype(np.float64) @ stored.T
    distances = ((queries.astype(np.float64)[:, None, :] - stored[None]) ** 2).sum(axis=2)
    truth = (-distances if metric == "l2" else products).astype(np.float32)
    expected = np.argsort(-truth, axis=1, kind="stable")
    for k in (1, 9, 500):
        scores, rows = index.search(queries, k=k)
        np.testing.assert_array_equal(rows, expected[:, :k])
        np.testing.assert_allclose(scores, np.take_along_axis(truth, expected[:, :k], axis=1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("metric", "normalise"), COMBINATIONS)
def test_given_passages_are_scored_as_found_ones(workspace: Workspace, tmp_path: Path, metric: str, normalise: bool):
    output, embedder = built(workspace, tmp_path / "x", metric, normalise)
    retriever = DenseRetriever(Index.open(output), embedder)
    hits = retriever.retrieve(["a question"], k=12)[0]
    ranked = retriever.rank(["a question"], [[hit.passage for hit in reversed(hits)]])[0]
    assert [hit.passage.id for hit in ranked] == [hit.passage.id for hit in hits]
    # stored as float16: 2**-11 of each number
    assert [hit.score for hit in ranked] == pytest.approx([hit.score for hit in hits], rel=5e-3)


def test_an_approximate_index_by_distance_says_what_it_loses(workspace: Workspace, tmp_path: Path):
    output, embedder = built(workspace, tmp_path / "x", "l2", False, factory="IVF8,Flat", search="nprobe=4")
    lost = read_manifest(output).segments[0].approximation
    assert lost is not None
    assert 0.5 < lost.recall_at_10 < 1
    index = Index.open(output)
    vector = embedder.embed_passages([embedded_text(index.passage(17))])
    scores, rows = index.search(vector, k=5)
    assert rows[0, 0] == 17
    assert -1e-3 < scores[0, 0] <= 0
    assert (np.diff(scores[0]) <= 0).all()


def test_the_self_check_looks_at_vectors_of_any_length(workspace: Workspace, tmp_path: Path):
    output, embedder = built(workspace, tmp_path / "x", "inner_product", False)
    manifest = read_manifest(output)
    layout = layout_of(output, manifest, manifest.segments[0])
    vectors = np.load(layout.vectors(1))

    def check() -> None:
        index = Index.open(output, verify=False)

        def embed(rows: list[int]) -> np.ndarray:
            return embedder.embed_passages([embedded_text(passage) for passage in index.passages(rows)])

        self_check(layout, factory="Flat", parameters="", embed=embed, fingerprint=embedder.fingerprint())

    check()
    np.save(layout.vectors(1), np.where(np.arange(120)[:, None] == 5, np.float16(np.inf), vectors))
    with pytest.raises(DamagedError, match=r"row 125 in '.*00001\.npy' is not of finite numbers"):
        check()
    np.save(layout.vectors(1), vectors)
    for shard in range(5):
        np.save(layout.vectors(shard), np.load(layout.vectors(shard)) * np.float16(1.5))
    with pytest.raises(DamagedError, match="16 of 16 passages, embedded again, are not what is stored"):
        check()


class Huge(Drawn):
    def embed_passages(self, texts: Sequence[str]) -> np.ndarray:
        return super().embed_passages(texts) * np.float32(1e6)


def test_numbers_beyond_float16_are_refused(workspace: Workspace, tmp_path: Path):
    recipe = IndexRecipe("notes", ("notes",), f"hashing:{DIMENSION}")
    with pytest.raises(DataError, match="numbers beyond 65504, the most that float16 holds"):
        build_index(recipe, workspace=workspace, output=tmp_path, embedder=Huge(DIMENSION, normalise=False))


def test_a_recipe_declares_both_and_retrieval_follows(workspace: Workspace):
    folder = workspace.indexes / "far"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text("corpora: [notes]\nembedder: hashing:64\nmetric: l2\nnormalise: false\n")
    retriever = make_retriever(RetrieverSpec(index="far"), workspace=workspace)
    fingerprint = read_manifest(folder).embedder
    assert (fingerprint.metric, fingerprint.normalise, fingerprint.cosine) == ("l2", False, False)
    found = retriever.retrieve(["Note number 7."], k=10)[0]
    assert "d7" in {hit.passage.document for hit in found if hit.score == 0.0}  # others may hash alike
    with pytest.raises(MismatchError, match=r"l2, not normalised\), and cannot be .*: metric, normalise differ"):
        Index.open(folder).require_embedder(load_embedder("hashing:64"))


def test_wrong_declarations_are_refused(tmp_path: Path):
    (tmp_path / "recipe.yaml").write_text("corpora: [a]\nembedder: hashing:8\nmetric: cosine\n")
    with pytest.raises(UsageError, match="metric: one of inner_product, l2 or nothing was expected, found 'cosine'"):
        load_index_recipe(tmp_path / "recipe.yaml")
    (tmp_path / "recipe.yaml").write_text("corpora: [a]\nembedder: hashing:8\nnormalise: maybe\n")
    with pytest.raises(UsageError, match="normalise: true or false or nothing was expected, found 'maybe'"):
        load_index_recipe(tmp_path / "recipe.yaml")
    with pytest.raises(UnknownNameError, match="unknown metric 'cosine'"):
        load_embedder("hashing:8", metric="cosine")


def model_folder(folder: Path, *modules: str, similarity: str | None) -> Path:
    kinds = [{"type": f"sentence_transformers.models.{kind}", "path": kind} for kind in modules]
    (folder / "modules.json").write_text(json.dumps(kinds))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"similarity_fn_name": similarity}))
    return folder


@pytest.mark.parametrize(
    ("modules", "similarity", "declared", "expected"),
    [
        (["Transformer", "Pooling", "Normalize"], None, (None, None), ("inner_product", True)),
        (["Transformer", "Pooling", "Normalize"], "dot", (None, None), ("inner_product", True)),
        (["Transformer", "Pooling"], "dot", (None, None), ("inner_product", False)),
        (["Transformer", "Pooling"], "cosine", (None, None), ("inner_product", True)),
        (["Transformer", "Pooling"], None, (None, None), ("inner_product", True)),
        (["Transformer", "Pooling"], "euclidean", (None, None), ("l2", False)),
        (["Transformer", "Pooling"], "cosine", ("l2", None), ("l2", False)),
        (["Transformer", "Pooling"], "cosine", (None, False), ("inner_product", False)),
        (["Transformer", "Pooling"], "manhattan", ("l2", True), ("l2", True)),
    ],
)
def test_a_folder_says_how_its_vectors_are_compared(
    tmp_path: Path,
    modules: list[str],
    similarity: str | None,
    declared: tuple[str | None, bool | None],
    expected: tuple[str, bool],
):
    folder = model_folder(tmp_path, *modules, similarity=similarity)
    assert declared_similarity("path:x", folder, metric=declared[0], normalise=declared[1]) == expected


def test_a_folder_that_cannot_be_compared_so_is_refused(tmp_path: Path):
    model_folder(tmp_path, "Transformer", similarity="manhattan")
    with pytest.raises(
        ModelError, match="compares by 'manhattan', which no index can; declare 'metric: inner_product'"
    ):
        declared_similarity("path:x", tmp_path, metric=None, normalise=None)
    model_folder(tmp_path, "Transformer", "Normalize", similarity="dot")
    with pytest.raises(ModelError, match="normalises its vectors itself"):
        declared_similarity("path:x", tmp_path, metric=None, normalise=False)
