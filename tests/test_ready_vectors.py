"""Vectors that others made: taken where a document is one passage, the rest embedded, all of it counted and said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragmed.chunking import embedded_text
from ragmed.embedding import HashingEmbedder
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.index.build import build_index
from ragmed.index.recipe import ChunkingRecipe, IndexRecipe, ReadyRecipe, load_index_recipe
from ragmed.index.store import Index
from ragmed.retrieval.named import describe_manifest
from ragmed.workspace import Workspace

EMBEDDER = HashingEmbedder(16)
TEXTS = {
    "11": "salbutamol relieves asthma",
    "12": "a broken wrist needs a cast",
    "13": " ".join(f"sentence {number} of a long abstract." for number in range(20)),
    "14": "paracetamol lowers fever",
}
RECIPE = IndexRecipe("notes", ("notes",), "hashing:16", chunking=ChunkingRecipe(max_tokens=40))


class Counting(HashingEmbedder):
    """Knows which texts it was asked to embed."""

    def __init__(self) -> None:
        super().__init__(16)
        self.texts: list[str] = []

    def embed_passages(self, texts: Any) -> Any:
        self.texts += texts
        return super().embed_passages(texts)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "corpora" / "notes").mkdir(parents=True)
    lines = [json.dumps({"id": name, "text": text}) + "\n" for name, text in TEXTS.items()]
    (tmp_path / "corpora" / "notes" / "notes.jsonl").write_text("".join(lines))
    (tmp_path / "corpora" / "notes" / "recipe.yaml").write_text("title: Notes\nreader: jsonl\npaths: [notes.jsonl]\n")
    return Workspace(tmp_path)


def vectors(*names: str, noise: float = 0.01) -> np.ndarray:
    """What the model would give, a little off, so that it can be told from what is embedded here."""
    made = EMBEDDER.embed_passages([TEXTS.get(name, "of a document that is not here") for name in names])
    return (made + noise * np.random.default_rng(5).standard_normal(made.shape)).astype(np.float32)


def write(folder: Path, kind: str, *, nested: bool = False) -> None:
    """Vectors of three documents and a stranger, in two files, as the kind lays them out."""
    for number, names in enumerate((("12", "99"), ("13", "11"))):
        array = vectors(*names)
        if kind == "medcpt":
            files = folder / f"embeds_chunk_{number}.npy", folder / f"pmids_chunk_{number}.json"
            text = json.dumps([int(name) for name in names])
        elif kind == "medrag":
            files = folder / "embedding" / f"part{number}.npy", folder / "chunk" / f"part{number}.jsonl"
            if nested:  # as MedRAG's own program lays out DB/CORPUS
                files = folder / "index" / "ncbi" / "MedCPT" / "embedding" / files[0].name, files[1]
            text = "".join(json.dumps({"id": name, "content": ""}) + "\n" for name in names)
        else:
            files = folder / f"part{number}.npy", folder / f"part{number}.txt"
            text = "\n".join(names) + "\n"
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
        np.save(files[0], array)
        files[1].write_text(text)


@pytest.mark.parametrize(
    ("kind", "path"),
    [("medcpt", "ready"), ("medrag", "ready"), ("medrag", "ready/index/ncbi/MedCPT"), ("npy", "ready")],
)
def test_ready_made_vectors_are_taken_and_the_rest_is_embedded(workspace: Workspace, kind: Any, path: str):
    write(workspace.root / "ready", kind, nested=path != "ready")
    embedder = Counting()
    recipe = replace(RECIPE, vectors=ReadyRecipe(kind, path))
    manifest = build_index(recipe, workspace=workspace, output=workspace.indexes / "notes", embedder=embedder)
    counts = manifest.counts
    assert (counts.ready, counts.ready_cut, counts.ready_unknown, counts.taken_over) == (2, 1, 1, 0)
    assert TEXTS["14"] in embedder.texts
    index = Index.open(workspace.indexes / "notes")
    cut = {embedded_text(passage) for passage in index if passage.document == "13"}
    assert len(cut) == counts.passages - 3 > 1
    assert cut <= set(embedder.texts)
    rows = {passage.id: row for row, passage in enumerate(index)}
    for name, at in (("12", 0), ("11", 1)):
        expected = vectors(*(("12", "99") if name == "12" else ("13", "11")))[at]
        expected = (expected / np.linalg.norm(expected)).astype(np.float16)
        score, row = index.search(expected[None].astype(np.float32), k=1)
        assert row[0, 0] == rows[f"notes:{name}#0"]
        assert score[0, 0] == pytest.approx(float((expected.astype(np.float64) ** 2).sum()), abs=1e-6)
    said = describe_manifest(manifest)
    assert f"vectors: 2 ready-made, {counts.passages - 2} embedded here (1 document with a vector" in said
    assert "1 ready-made one is of documents that are not here" in said


def test_other_vectors_make_another_index_and_the_same_ones_none(workspace: Workspace):
    write(workspace.root / "ready", "npy")
    recipe = replace(RECIPE, vectors=ReadyRecipe("npy", "ready"))
    output = workspace.indexes / "notes"
    first = build_index(recipe, workspace=workspace, output=output)
    assert build_index(recipe, workspace=workspace, output=output).identity == first.identity
    np.save(workspace.root / "ready" / "part0.npy", vectors("12", "99", noise=0.02))
    again = build_index(recipe, workspace=workspace, output=output)
    assert again.identity != first.identity
    assert again.segments[0].identity != first.segments[0].identity


def test_vectors_of_another_model_are_refused(workspace: Workspace):
    write(workspace.root / "ready", "npy")
    recipe = replace(RECIPE, vectors=ReadyRecipe("npy", "ready"))
    np.save(workspace.root / "ready" / "part0.npy", -vectors("12", "99"))
    with pytest.raises(DataError, match=r"is not what its ready-made vector says .*name the model that made these"):
        build_index(recipe, workspace=workspace, output=workspace.indexes / "notes")
    with pytest.raises(UsageError, match="have 16 dimensions, and 'hashing:32' gives 32"):
        build_index(replace(recipe, embedder="hashing:32"), workspace=workspace, output=workspace.indexes / "wide")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 12345\n"


def archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, one=vectors("12", "99"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def emptied(folder: Path) -> None:
    for file in folder.glob("*.npy"):
        np.save(file, np.zeros((0, 16), np.float32))
        file.with_suffix(".txt").write_text("\n")


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda folder: (folder / "part0.txt").write_text("12\n"), "holds 2 vectors and '.*part0.txt' 1 ids"),
        (lambda folder: (folder / "part0.txt").write_text("12\n11\n"), "document '11' has two"),
        (lambda folder: (folder / "part0.txt").unlink(), "part0.txt' does not exist"),
        (lambda folder: (folder / "part0.npy").write_bytes(b"version https://git-lfs"), "cannot be read"),
        (lambda folder: (folder / "part0.npy").write_bytes(POINTER), "part0.npy' is a Git LFS pointer, not the file"),
        (lambda folder: (folder / "part0.txt").write_bytes(POINTER), "part0.txt' is a Git LFS pointer, not the file"),
        (lambda folder: (folder / "part0.npy").write_bytes(b""), "part0.npy' is empty"),
        (lambda folder: archive(folder / "part0.npy"), "cannot be read"),
        (lambda folder: cut(folder / "part0.npy"), "cannot be read"),
        (lambda folder: np.save(folder / "part0.npy", np.array([{}, {}])), "cannot be read"),
        (lambda folder: (folder / "part0.txt").write_bytes(b"12\xff\n99\n"), "part0.txt' is not UTF-8"),
        (lambda folder: emptied(folder), "the files hold none"),
        (lambda folder: np.save(folder / "part0.npy", np.arange(2)), r"holds int64 \(2,\), not floats"),
        (lambda folder: np.save(folder / "part0.npy", np.ones((2, 8))), "another dimension than"),
        (lambda folder: np.save(folder / "part0.npy", np.full((2, 16), np.nan)), "is NaN or zero: notes:12#0"),
        (lambda folder: [file.unlink() for file in folder.glob("*.npy")], r"holds no \*\.npy; correct vectors\.path"),
    ],
)
def test_files_that_cannot_be_are_refused_by_name(workspace: Workspace, break_it: Any, words: str):
    write(workspace.root / "ready", "npy")
    break_it(workspace.root / "ready")
    recipe = replace(RECIPE, vectors=ReadyRecipe("npy", "ready"))
    with pytest.raises(DataError, match=words):
        build_index(recipe, workspace=workspace, output=workspace.indexes / "notes")


def test_a_recipe_says_whose_ids_they_are(tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    path.write_text("corpora: [a, b]\nembedder: hashing:8\nvectors: {kind: medcpt, path: ready}\n")
    with pytest.raises(UsageError, match="'vectors' must say whose ids it has, such as corpus: a"):
        load_index_recipe(path)
    path.write_text("corpora: [a, b]\nembedder: hashing:8\nvectors: {kind: medcpt, path: ready, corpus: c}\n")
    with pytest.raises(UnknownNameError, match="corpus of ready-made vectors"):
        load_index_recipe(path)


def many(workspace: Workspace, count: int) -> list[str]:
    """A corpus of so many short pages."""
    names = [f"d{i:04}" for i in range(count)]
    corpus = workspace.root / "corpora" / "notes"
    (corpus / "notes.jsonl").write_text(
        "".join(json.dumps({"id": n, "text": f"Page {n}: ward {n[1:]} has rule {n[::-1]}."}) + "\n" for n in names)
    )
    return names


def test_ids_in_another_order_are_found_in_any_one_file_of_many(workspace: Workspace):
    names = many(workspace, 1500)  # two windows
    folder = workspace.root / "ready"
    folder.mkdir()
    made = EMBEDDER.embed_passages([f"Page {n}: ward {n[1:]} has rule {n[::-1]}." for n in names])

    def parts(wrong: int) -> None:
        for number in range(0, 1500, 50):
            some = names[number : number + 50]
            np.save(folder / f"part{number:04}.npy", made[number : number + 50])
            listed = some[1:] + some[:1] if number == wrong else some
            (folder / f"part{number:04}.txt").write_text("\n".join(listed) + "\n")

    recipe = replace(RECIPE, vectors=ReadyRecipe("npy", "ready"))
    parts(wrong=-1)
    counts = build_index(recipe, workspace=workspace, output=workspace.indexes / "notes").counts
    assert (counts.ready, counts.passages) == (1500, 1500)
    for wrong in (0, 700, 1450):
        parts(wrong)
        with pytest.raises(DataError, match=r"not what (its|their) ready-made vectors? says?"):
            build_index(recipe, workspace=workspace, output=workspace.indexes / f"wrong{wrong}")
