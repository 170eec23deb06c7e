"""Manifests and identity by content: an absent key is at its default, what changes an index is named, nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from ragmed import chunking
from ragmed.embedding import Encoding
from ragmed.errors import DamagedError, DataError, MismatchError
from ragmed.files import sha256_json
from ragmed.index.build import build_index
from ragmed.index.manifest import read_manifest, render, write_manifest
from ragmed.index.recipe import ChunkingRecipe, IndexRecipe, ReadyRecipe, load_index_recipe
from ragmed.retrieval.named import build_named, describe_index, open_index
from ragmed.workspace import Workspace

RECIPE = "corpora: [notes]\nembedder: hashing:16\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name in ("notes", "others"):
        (tmp_path / "corpora" / name).mkdir(parents=True)
        (tmp_path / "corpora" / name / "recipe.yaml").write_text("title: N\nreader: jsonl\npaths: [notes.jsonl]\n")
        (tmp_path / "corpora" / name / "notes.jsonl").write_text('{"id": "a", "text": "asthma, fever"}\n')
    (tmp_path / "indexes" / "notes").mkdir(parents=True)
    (tmp_path / "indexes" / "notes" / "recipe.yaml").write_text(RECIPE)
    made = Workspace(tmp_path)
    build_named("notes", workspace=made)
    return made


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes the manifest's plain values and gives it the checksum that goes with them."""
    values = json.loads((folder / "manifest.json").read_text())
    del values["checksum"]
    change(values)
    values["checksum"] = sha256_json(values)
    (folder / "manifest.json").write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n")


def test_a_manifest_is_read_as_it_was_written(workspace: Workspace):
    folder = workspace.indexes / "notes"
    manifest = read_manifest(folder)
    assert render(manifest) == (folder / "manifest.json").read_text()
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest


@pytest.mark.parametrize("key", ["search", "precision", "factory", "shard_size", "chunking", "metric", "normalise"])
def test_a_key_that_is_absent_is_at_its_default(workspace: Workspace, key: str):
    folder = workspace.indexes / "notes"
    rewrite(folder, lambda values: values["recipe"].pop(key))
    assert read_manifest(folder).recipe == IndexRecipe("notes", ("notes",), "hashing:16")
    assert len(open_index("notes", workspace=workspace)) == 1
    recipe = (
        RECIPE
        + {
            "search": "search: nprobe=1\n",
            "precision": "precision: bfloat16\n",
            "factory": "factory: HNSW8\n",
            "shard_size": "shard_size: 5\n",
            "chunking": "chunking: {overlap_sentences: 0}\n",
            "metric": "metric: l2\n",
            "normalise": "normalise: false\n",
        }[key]
    )
    (folder / "recipe.yaml").write_text(recipe)
    with pytest.raises(MismatchError, match=f"'notes' was built with {key} = .*; run: ragmed build-index notes"):
        open_index("notes", workspace=workspace)


def test_every_field_of_a_recipe_is_compared(workspace: Workspace):
    plain = load_index_recipe(workspace.indexes / "notes" / "recipe.yaml")
    changed = {
        "corpora": ("others",),
        "embedder": "hashing:8",
        "precision": "bfloat16",
        "chunking": ChunkingRecipe(max_tokens=20),
        "factory": "HNSW8",
        "search": "efSearch=9",
        "shard_size": 7,
        "metric": "l2",
        "normalise": False,
        "encoding": Encoding(query_tokens=9),
        "vectors": ReadyRecipe("npy", "ready"),
    }
    assert changed.keys() == {one.name for one in fields(IndexRecipe)} - {"name"}
    for key, value in changed.items():
        other = replace(plain, **{key: value})
        assert plain.differences(other) == [key]
        assert other.identity() != plain.identity()
    assert plain.differences(replace(plain, name="another")) == []
    assert plain.identity() == {"corpora": ["notes"], "embedder": "hashing:16"}  # defaults are not in it


def test_absent_facts_of_a_corpus_are_at_their_defaults(workspace: Workspace):
    folder = workspace.indexes / "notes"

    def older(values: dict[str, Any]) -> None:
        for key in ("ids", "rejected", "license", "citation"):
            del values["corpora"][0][key]
        del values["counts"]["taken_over"], values["tombstones"], values["embedder"]["metric"]

    rewrite(folder, older)
    assert len(open_index("notes", workspace=workspace)) == 1
    assert "1 passage of 1 document" in describe_index("notes", workspace)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.pop("segments"), r"of another version of ragmed: \'segments\' is missing"),
        (lambda values: values.update(compression="zip"), r"unknown key \'compression\' in index manifest"),
        (
            lambda values: values["recipe"].update(pooling="cls"),
            r"unknown key \'pooling\' in index manifest .*, recipe",
        ),
        (lambda values: values["segments"][0].update(age=1), r"unknown key \'age\' in index manifest .*, segments\.0"),
        (
            lambda values: values["counts"].update(passages="1"),
            r"counts\.passages: a whole number was expected, found \'1\'",
        ),
        (
            lambda values: values["embedder"].update(metric="l3"),
            r"unknown metric \'l3\' .*, embedder; did you mean \'l2\'",
        ),
        (lambda values: values.update(schema=2), r"another version of ragmed \(schema 2\)"),
    ],
)
def test_another_manifest_is_refused_by_the_name_of_what_differs(
    workspace: Workspace, change: Callable[[dict[str, Any]], None], words: str
):
    folder = workspace.indexes / "notes"
    rewrite(folder, change)
    with pytest.raises(DataError, match=words + ".*run: ragmed build-index notes"):
        read_manifest(folder)
    assert build_named("notes", workspace=workspace)[1]  # and built again
    assert len(open_index("notes", workspace=workspace)) == 1


def test_a_manifest_whose_checksum_does_not_fit_is_damaged(workspace: Workspace):
    path = workspace.indexes / "notes" / "manifest.json"
    path.write_text(path.read_text().replace('"passages": 1', '"passages": 2'))
    with pytest.raises(DamagedError, match=r"manifest\.json' is damaged"):
        read_manifest(path.parent)


def test_versions_decide_and_the_program_version_does_not(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    recipe, output = IndexRecipe("notes", ("notes",), "hashing:16"), workspace.indexes / "notes"
    before = read_manifest(output)
    monkeypatch.setattr("ragmed.index.build.__version__", "9.9.9")
    assert build_index(recipe, workspace=workspace, output=output) == before
    for name, value in (("VERSIONS", {"structure": 9}), ("INPUT_VERSION", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(chunking, name, value)
            patch.setattr(f"ragmed.index.build.{name}", value, raising=False)
            other = build_index(recipe, workspace=workspace, output=output)
            assert other.identity != before.identity
            assert other.segments[0].identity != before.segments[0].identity
    assert build_index(recipe, workspace=workspace, output=output).identity == before.identity


def test_a_splitter_of_another_package_is_known_by_its_version():
    assert chunking.splitter_version("structure") == "2"
    assert chunking.splitter_version("langchain:recursive").startswith("2 (langchain-text-splitters 1.")
