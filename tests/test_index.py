"""Indexes: built whole or not at all, resumed byte for byte, refused when a bit differs, exact in what they find."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from ragmed.chunking import embedded_text
from ragmed.embedding import HashingEmbedder
from ragmed.errors import (
    BusyError,
    DamagedError,
    DataError,
    MismatchError,
    MissingDependencyError,
    UsageError,
)
from ragmed.files import exclusive
from ragmed.index import devices
from ragmed.index.build import build_index
from ragmed.index.check import self_check
from ragmed.index.manifest import Approximation, FileFacts, read_manifest, write_manifest
from ragmed.index.recipe import ChunkingRecipe, IndexRecipe, load_index_recipe
from ragmed.index.reuse import Reuse
from ragmed.index.search import Searcher
from ragmed.index.store import Index
from ragmed.index.vectors import Layout
from ragmed.workspace import Workspace

DIMENSION = 32
RECIPE = IndexRecipe("small", ("notes",), f"hashing:{DIMENSION}", shard_size=100)


def write_corpus(root: Path, name: str, documents: int, *, access: str = "open", seed: int = 1) -> None:
    words = [f"word{i}" for i in range(300)]
    rng = random.Random(seed)
    folder = root / "corpora" / name
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {"id": f"d{i}", "title": f"Title {i}", "text": " ".join(rng.choices(words, k=12))} for i in range(documents)
    ]
    (folder / "notes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    (folder / "recipe.yaml").write_text(
        f"title: Notes\nreader: jsonl\npaths: [notes.jsonl]\nfields: {{id: id, title: title, text: text}}\n"
        f"license: CC0\naccess: {access}\ncitation: nobody\n",
        "utf-8",
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("workspace")
    write_corpus(root, "notes", 450)
    write_corpus(root, "more", 20, seed=2)
    return Workspace(root)


@pytest.fixture(scope="module")
def built(workspace: Workspace) -> Path:
    output = workspace.indexes / "small"
    build_index(RECIPE, workspace=workspace, output=output)
    return output


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "small"))


def queries(count: int = 40) -> np.ndarray:
    vectors = np.random.default_rng(3).normal(size=(count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def stored(folder: Path) -> np.ndarray:
    return np.concatenate([np.load(path) for path in sorted(folder.glob("segments/*/vectors/*.npy"))]).astype(
        np.float32
    )


# --- what a build leaves ---------------------------------------------------------------------------------------------


def test_the_manifest_says_what_made_it(built: Path, workspace: Workspace):
    manifest = json.loads((built / "manifest.json").read_text())
    assert manifest["counts"] == {
        "documents": 450,
        "passages": 450,
        "vectors": 450,
        "taken_over": 0,
        "ready": 0,
        "ready_cut": 0,
        "ready_unknown": 0,
    }
    assert manifest["corpora"][0] | {"sha256": "", "stamp": "", "characters": 0} == {
        "name": "notes",
        "title": "Notes",
        "license": "CC0",
        "access": "open",
        "ids": "",
        "citation": "nobody",
        "source": "",
        "documents": 450,
        "rejected": 0,
        "ignored": 0,
        "left_out": 0,
        "reasons": [],
        "records": 450,
        "characters": 0,
        "sha256": "",
        "stamp": "",
    }
    declared = manifest["embedder"].pop("encoding")
    assert not any(declared.values())
    assert manifest["embedder"] == {
        "query_weights": "",
        "embedder": "hashing:32",
        "weights": "none",
        "precision": "float32",
        "dimension": 32,
        "revision": "",
        "metric": "inner_product",
        "normalise": True,
    }
    assert (manifest["recipe"]["factory"], manifest["storage"]) == ("Flat", "float16")
    assert sorted(manifest["files"]) == [
        "segments/0000/documents.jsonl",
        "segments/0000/passages.arrow",
        *(f"segments/0000/shards/0000{i}.faiss" for i in range(5)),
        *(f"segments/0000/vectors/0000{i}.npy" for i in range(5)),
    ]
    (segment,) = manifest["segments"]
    assert (segment["folder"], segment["documents"], segment["passages"]) == ("segments/0000", 450, 450)
    assert not (built / ".building").exists()


def test_rows_passages_and_vectors_are_in_step(built: Path):
    index = Index.open(built)
    assert len(index) == 450
    embedder = HashingEmbedder(DIMENSION)
    for row in (0, 99, 100, 449):
        passage = index.passage(row)
        assert passage.document == f"d{row}"
        vector = embedder.embed_passages([f"{passage.title}\n{passage.text}"])[0]
        np.testing.assert_allclose(stored(built)[row], vector, atol=1e-3)
    assert [passage.id for passage in index] == [index.passage(row).id for row in range(450)]
    assert index.passages_of(["d7", "none"]) == {"d7": [index.passage(7)], "none": []}
    with pytest.raises(IndexError):
        index.passage(450)


def test_an_unchanged_index_is_left_alone_and_a_changed_corpus_is_built_again(tmp_path: Path):
    write_corpus(tmp_path, "notes", 30)
    workspace, output = Workspace(tmp_path), tmp_path / "indexes" / "small"
    first = build_index(RECIPE, workspace=workspace, output=output)
    (output / "recipe.yaml").write_text("corpora: [notes]\n")
    before = (output / "manifest.json").stat()
    again = build_index(RECIPE, workspace=workspace, output=output)
    assert (again, (output / "manifest.json").stat().st_ino) == (first, before.st_ino)
    write_corpus(tmp_path, "notes", 29)
    changed = build_index(replace(RECIPE, shard_size=50), workspace=workspace, output=output)
    assert changed.counts.passages == 29
    assert {p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file()} == {
        "segments/0000/documents.jsonl",
        "segments/0000/passages.arrow",
        "segments/0000/vectors.faiss",
        "segments/0000/vectors/00000.npy",
        "manifest.json",
        "recipe.yaml",
        ".lock",
    }
    file = output / "segments" / "0000" / "vectors.faiss"
    shutil.copy(file, tmp_path / "good")
    file.write_bytes(b"x" * file.stat().st_size)
    build_index(replace(RECIPE, shard_size=50), workspace=workspace, output=output)
    assert file.read_bytes() == (tmp_path / "good").read_bytes()


def test_several_corpora_are_joined_and_told_apart(workspace: Workspace, tmp_path: Path):
    recipe = replace(RECIPE, corpora=("notes", "more"))
    manifest = build_index(recipe, workspace=workspace, output=tmp_path / "both")
    index = Index.open(tmp_path / "both")
    assert [one.documents for one in manifest.corpora] == [450, 20]
    first, other = index.passage(0), index.passage(450)
    assert (first.corpus, first.document, first.id) == ("notes", "d0", "notes:d0#0")
    assert (other.corpus, other.document, other.id) == ("more", "d0", "more:d0#0")
    assert index.passages_of(["notes:d0", "more:d0"]) == {"notes:d0": [first], "more:d0": [other]}
    with pytest.raises(MismatchError, match="write 'more:d0' or 'notes:d0'"):
        index.passages_of(["d0"])


class Counting(HashingEmbedder):
    """Says how many passages it was asked to embed."""

    def __init__(self) -> None:
        super().__init__(DIMENSION)
        self.asked = 0

    def embed_passages(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += len(texts)
        return super().embed_passages(texts)


def test_a_corpus_that_has_an_index_is_not_embedded_again(
    workspace: Workspace, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = replace(RECIPE, corpora=("more", "notes"))
    embedder = Counting()
    joined = build_index(recipe, workspace=workspace, output=tmp_path / "joined", embedder=embedder)
    assert joined.counts.taken_over == 450
    assert embedder.asked < 20 + 450  # the self-check embeds some again

    class Stop(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "embed" and done >= 200:
            raise Stop

    with pytest.raises(Stop):
        build_index(recipe, workspace=workspace, output=tmp_path / "killed", progress=stop)
    again = build_index(recipe, workspace=workspace, output=tmp_path / "killed")
    assert again.counts == joined.counts
    monkeypatch.setattr("ragmed.index.build.Reuse.find", lambda *_, **__: Reuse({}))
    whole = build_index(recipe, workspace=workspace, output=tmp_path / "whole")
    assert whole.counts.taken_over == 0
    np.testing.assert_array_equal(stored(tmp_path / "joined"), stored(tmp_path / "whole"))
    assert joined.identity == whole.identity


def test_an_index_of_another_cut_or_a_damaged_one_is_no_source(workspace: Workspace, built: Path, tmp_path: Path):
    recipe = replace(RECIPE, corpora=("more", "notes"))
    other = replace(recipe, chunking=ChunkingRecipe(max_tokens=32))
    assert build_index(other, workspace=workspace, output=tmp_path / "cut").counts.taken_over == 0
    file = built / "segments" / "0000" / "vectors" / "00000.npy"
    whole = file.read_bytes()
    try:
        file.write_bytes(b"damaged")
        assert build_index(recipe, workspace=workspace, output=tmp_path / "damaged").counts.taken_over == 0
    finally:
        file.write_bytes(whole)


def test_ids_of_one_kind_are_not_taken_for_another(workspace: Workspace, tmp_path: Path):
    file = workspace.corpora / "notes" / "recipe.yaml"
    file.write_text(file.read_text() + "ids: pmid\n")
    build_index(replace(RECIPE, corpora=("notes", "more")), workspace=workspace, output=tmp_path / "both")
    index = Index.open(tmp_path / "both")
    assert index.passages_of(["d0", "d449"], ids="pmid") == {"d0": [index.passage(0)], "d449": [index.passage(449)]}
    assert index.passages_of(["d0"], ids="scifact") == {"d0": []}
    (workspace.corpora / "more" / "recipe.yaml").write_text(
        (workspace.corpora / "more" / "recipe.yaml").read_text() + "ids: pmid\n"
    )
    build_index(replace(RECIPE, corpora=("notes", "more")), workspace=workspace, output=tmp_path / "both")
    both = Index.open(tmp_path / "both").passages_of(["d0", "notes:d0"], ids="pmid")
    assert [p.id for p in both["d0"]] == ["more:d0#0", "notes:d0#0"]  # one PMID, two corpora that hold it
    assert [p.id for p in both["notes:d0"]] == ["notes:d0#0"]
    assert [sorted(index.naming(ids)) for ids in ("pmid", "scifact", "")] == [["notes"], [], ["more", "notes"]]


def test_restricted_text_is_for_its_owner_only(tmp_path: Path):
    write_corpus(tmp_path, "notes", 5, access="credentialed")
    output = tmp_path / "indexes" / "small"
    build_index(RECIPE, workspace=Workspace(tmp_path), output=output)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [output, *output.rglob("*")]}
    assert modes == {
        ".lock": 0o600,
        "small": 0o700,
        "segments": 0o700,
        "0000": 0o700,
        "vectors": 0o700,
        "manifest.json": 0o600,
        "documents.jsonl": 0o600,
        "passages.arrow": 0o600,
        "vectors.faiss": 0o600,
        "00000.npy": 0o600,
    }


def test_restricted_text_is_for_its_owner_only_while_it_is_built(tmp_path: Path):
    write_corpus(tmp_path, "notes", 250, access="private")
    output, seen = tmp_path / "indexes" / "small", {}

    class Watching(HashingEmbedder):
        def embed_passages(self, texts):
            building = output / ".building"
            seen.update({path.name: stat.S_IMODE(path.stat().st_mode) for path in [building, *building.rglob("*")]})
            return super().embed_passages(texts)

    build_index(RECIPE, workspace=Workspace(tmp_path), output=output, embedder=Watching(DIMENSION))
    files = {"state.json", "documents.jsonl", "passages.arrow", ".window-00000000.npy.tmp", "00000.npy"}
    assert files - seen.keys() <= {".window-00000000.npy.tmp"}, seen
    assert {name: oct(mode) for name, mode in seen.items() if mode & 0o077} == {}


def test_what_a_killed_build_left_beside_is_taken_away(built: Path, workspace: Workspace):
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = [folder / f".{name}.{process.stdout.strip()}.tmp"
            for folder, name in ((built, "manifest.json"), (built / "bm25", "abc"))]  # fmt: skip
    left[0].write_text("{}")
    (left[1] / "inner").mkdir(parents=True)
    build_index(RECIPE, workspace=workspace, output=built)
    assert [path for path in left if path.exists()] == []


class Broken(HashingEmbedder):
    def __init__(self, bad: float) -> None:
        super().__init__(DIMENSION)
        self.bad = bad

    def embed_passages(self, texts):
        from ragmed.embedding import checked

        vectors = super().embed_passages(texts)
        if "Title 130" in "".join(texts):
            vectors[30] = self.bad
        return checked(vectors, normalise=True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_bad_vector_stops_the_build_and_names_the_passage(workspace: Workspace, tmp_path: Path, bad: float):
    with pytest.raises(DataError, match=r"passages notes:d130#0"):
        build_index(RECIPE, workspace=workspace, output=tmp_path / "bad", embedder=Broken(bad))
    with pytest.raises(DataError, match="no finished index"):
        Index.open(tmp_path / "bad")


def test_a_full_disk_is_one_sentence(workspace: Workspace, tmp_path: Path):
    script = (
        "import sys, pathlib, resource, signal\n"
        "from ragmed.index import build, recipe\n"
        "from ragmed.workspace import Workspace\n"
        "from ragmed.errors import DataError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "r = recipe.IndexRecipe('small', ('notes',), 'hashing:32')\n"
        "root, output = map(pathlib.Path, sys.argv[1:])\n"
        "try:\n    build.build_index(r, workspace=Workspace(root), output=output)\n"
        "except DataError as error:\n    print(error)\n"
    )
    done = run_script(script, str(workspace.root), str(tmp_path / "full"))
    assert "full" in done.stdout
    assert "File too large" in done.stdout, done.stderr


def test_two_builders_do_not_meet(workspace: Workspace, tmp_path: Path):
    with exclusive(tmp_path / ".lock", "index"), pytest.raises(BusyError, match="'small'"):
        build_index(RECIPE, workspace=workspace, output=tmp_path)


# --- kills -----------------------------------------------------------------------------------------------------------

KILLED = """
import os, pathlib, random, signal, sys, time
from ragmed.embedding import HashingEmbedder
from ragmed.index import build, recipe
from ragmed.workspace import Workspace

root, output, log, mode = sys.argv[1:]
output, rng = pathlib.Path(output), random.Random(5)

class Slow(HashingEmbedder):
    def embed_passages(self, texts):
        time.sleep(0.03)
        if len(texts) > 16:  # a window, not the sample of the self-check
            with open(log, "a") as stream:
                stream.write(texts[0].split("\\n")[0] + "\\n")
        return super().embed_passages(texts)

def attempt(deaths):
    if mode == "renames":
        left, replace = [deaths], pathlib.Path.replace
        def dying(self, target):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return replace(self, target)
        pathlib.Path.replace = dying
    r = recipe.IndexRecipe("small", ("notes",), "hashing:32", shard_size=100)
    build.build_index(r, workspace=Workspace(pathlib.Path(root)), output=output, embedder=Slow(32))
    os._exit(0)

killed = 0
while killed < 60:
    deaths = rng.randrange(1, 5)
    child = os.fork()
    if child == 0:
        attempt(deaths)
    if mode == "times" and killed < 8:
        time.sleep(rng.uniform(0.02, 0.12))
        os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] == 0:
        break
    killed += 1
print(killed)
"""


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("mode", ["times", "renames"])
def test_killed_builds_end_in_the_same_bytes(mode: str, workspace: Workspace, built: Path, tmp_path: Path):
    log, output = tmp_path / "log", tmp_path / "small"
    done = run_script(KILLED, str(workspace.root), str(output), str(log), mode)
    assert done.returncode == 0, done.stderr
    killed = int(done.stdout)
    assert 5 <= killed < 60
    assert read_manifest(output).files == read_manifest(built).files
    Index.open(output)
    assert not (output / ".building").exists()
    windows = log.read_text().splitlines()
    assert len(set(windows)) == 5
    assert len(windows) <= 5 + killed  # a kill costs at most the window that was under way


class Dies(HashingEmbedder):
    left = 2

    def __init__(self) -> None:
        super().__init__(DIMENSION)
        self.calls = 0

    def embed_passages(self, texts):
        self.calls += len(texts) > 16
        if self.calls > self.left:
            raise KeyboardInterrupt
        return super().embed_passages(texts)


@pytest.mark.parametrize("how", ["whole", "zeros", "reversed", "cut", "empty"])
def test_a_damaged_window_is_embedded_again(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
):
    monkeypatch.setattr("ragmed.index.vectors.WINDOW", 100)
    recipe = replace(RECIPE, shard_size=450)
    with pytest.raises(KeyboardInterrupt):
        build_index(recipe, workspace=workspace, output=tmp_path / "a", embedder=Dies())
    window, _ = sorted((tmp_path / "a" / ".building" / "segments" / "0000" / "windows").iterdir())
    data = window.read_bytes()
    rows = np.frombuffer(data[: 100 * DIMENSION * 2], "<f2").reshape(100, DIMENSION)
    damaged = {"whole": data, "zeros": bytes(len(data)), "reversed": rows[::-1].tobytes() + data[-32:]}
    window.write_bytes(damaged.get(how, b"" if how == "empty" else data[:1000]))
    again = Dies()
    again.left = 9
    made = build_index(recipe, workspace=workspace, output=tmp_path / "a", embedder=again)
    assert again.calls == (3 if how == "whole" else 4)
    assert made.files == build_index(recipe, workspace=workspace, output=tmp_path / "b").files


@pytest.mark.parametrize("name", ["vectors/00001.npy", "passages.arrow"])
def test_damage_in_an_unfinished_build_never_stops_the_next(
    workspace: Workspace, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ragmed.index.build.write_faiss", stop)
        with pytest.raises(KeyboardInterrupt):
            build_index(RECIPE, workspace=workspace, output=tmp_path)
    path = tmp_path / ".building" / "segments" / "0000" / name
    path.write_bytes(path.read_bytes()[:-64] + bytes(64))
    if name != "passages.arrow":  # those are made again at once
        with pytest.raises(DamagedError, match=r"row 199 .* the unfinished build was removed; build it again"):
            build_index(RECIPE, workspace=workspace, output=tmp_path)
    assert build_index(RECIPE, workspace=workspace, output=tmp_path).files == read_manifest(built).files


def test_what_a_killed_write_of_the_manifest_left_is_removed(copy: Path, workspace: Workspace):
    (copy / ".manifest.json.123.tmp").write_text("{")
    build_index(RECIPE, workspace=workspace, output=copy)
    assert not (copy / ".manifest.json.123.tmp").exists()


# --- refusals --------------------------------------------------------------------------------------------------------


def test_fifty_of_fifty_flipped_bits_are_refused_by_name(copy: Path):
    rng = random.Random(11)
    files = sorted(path for path in copy.rglob("*") if path.is_file() and path.name != ".lock")
    files += [copy / "manifest.json"] * 10
    for _ in range(50):
        path = rng.choice(files)
        good = path.read_bytes()
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(DamagedError, match="build-index small") as caught:
            Index.open(copy)
        assert str(path) in str(caught.value)
        path.write_bytes(good)
    Index.open(copy)


@pytest.mark.parametrize(
    "name",
    ["manifest.json", *(f"segments/0000/{n}" for n in ("passages.arrow", "shards/00002.faiss", "vectors/00001.npy"))],
)
@pytest.mark.parametrize("how", ["missing", "empty", "cut"])
def test_missing_empty_and_cut_files_are_refused_by_name(copy: Path, name: str, how: str):
    path = copy / name
    data = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(data[: len(data) // 2] if how == "cut" else b"")
    with pytest.raises(DataError) as caught:
        Index.open(copy, verify=False)
    assert name.rpartition("/")[2] in str(caught.value)
    assert "ragmed build-index small" in str(caught.value)


def test_a_manifest_cannot_point_outside(copy: Path):
    manifest = read_manifest(copy)
    write_manifest(copy, replace(manifest, files={**manifest.files, "../x": FileFacts("", 0)}))
    with pytest.raises(DataError, match="outside"):
        Index.open(copy)


def test_another_embedder_is_refused_by_both_names(built: Path):
    index = Index.open(built)
    index.require_embedder(HashingEmbedder(DIMENSION))
    with pytest.raises(MismatchError, match=r"'hashing:32'.*'hashing:64'.*dimension"):
        index.require_embedder(HashingEmbedder(64))


# --- search ----------------------------------------------------------------------------------------------------------


def test_search_agrees_with_faiss_and_streaming_with_both(built: Path):
    reference = faiss.IndexFlatIP(DIMENSION)
    reference.add(stored(built))
    expected_scores, expected_rows = reference.search(queries(), 10)
    resident, streamed = Index.open(built), Index.open(built, memory_budget=0)
    by_torch = Index.open(built, devices="torch:cpu")
    assert [index.device for index in (resident, streamed, by_torch)] == [
        "cpu by faiss",
        "cpu by faiss, from disk",
        "cpu by torch",
    ]
    for index in (resident, streamed, by_torch):
        scores, rows = index.search(queries(), k=10)
        np.testing.assert_array_equal(rows, expected_rows)
        np.testing.assert_allclose(scores, expected_scores, atol=1e-5)
    for k in (10, 450):
        expected = [part.tobytes() for part in resident.search(queries(), k=k)]
        for index in (streamed, by_torch):
            assert [part.tobytes() for part in index.search(queries(), k=k)] == expected


def test_a_query_gets_the_same_answer_alone_and_among_others(built: Path):
    index = Index.open(built)
    scores, rows = index.search(queries(64), k=7)
    for i in range(0, 64, 9):
        alone_scores, alone_rows = index.search(queries(64)[i : i + 1], k=7)
        assert alone_scores.tobytes() == scores[i].tobytes()
        assert alone_rows.tobytes() == rows[i].tobytes()


WAYS: list[dict[str, Any]] = [{}, {"memory_budget": 0}, {"devices": "torch:cpu"}]
"""How an index is opened: held by FAISS, streamed, held by torch."""


@pytest.mark.parametrize("way", WAYS)
def test_ties_are_broken_by_row(tmp_path: Path, way: dict[str, Any]):
    write_corpus(tmp_path, "notes", 1)
    line = {"title": "", "text": "the same words"}
    lines = [json.dumps({"id": f"d{i}", **line}) + "\n" for i in range(230)]
    (tmp_path / "corpora/notes/notes.jsonl").write_text("".join(lines))
    build_index(RECIPE, workspace=Workspace(tmp_path), output=tmp_path / "ties")
    index = Index.open(tmp_path / "ties", **way)
    scores, rows = index.search(HashingEmbedder(DIMENSION).embed_queries(["the same words", "words"]), k=30)
    assert rows.tolist() == [list(range(30))] * 2
    assert len(np.unique(scores[0])) == 1


def test_ties_beyond_the_candidates_are_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_corpus(tmp_path, "notes", 1)
    lines = [json.dumps({"id": f"d{i}", "title": "", "text": "the same words"}) + "\n" for i in range(230)]
    (tmp_path / "corpora/notes/notes.jsonl").write_text("".join(lines))
    build_index(RECIPE, workspace=Workspace(tmp_path), output=tmp_path / "ties")
    index = Index.open(tmp_path / "ties")
    query = HashingEmbedder(DIMENSION).embed_queries(["the same words"])
    score = float(index.search(query, k=1)[0][0, 0])
    # FAISS promises no order of equal scores: it may hand over the last rows as well as the first
    monkeypatch.setattr(Searcher, "_candidates", lambda *_: ([np.arange(100, 230)], np.array([score])))
    assert index.search(query, k=30)[1].tolist() == [list(range(30))]


@pytest.mark.parametrize("budget", [None, 0])
@pytest.mark.parametrize("factory", ["Flat", "IVF2,Flat"])
def test_an_open_index_goes_on_while_another_is_built_in_its_place(tmp_path: Path, budget: int | None, factory: str):
    recipe, embedder = replace(RECIPE, factory=factory), HashingEmbedder(DIMENSION)
    write_corpus(tmp_path, "notes", 300)
    workspace, output = Workspace(tmp_path), tmp_path / "indexes" / "small"
    build_index(recipe, workspace=workspace, output=output)
    index, reference = Index.open(output, memory_budget=budget), Index.open(output)
    query = embedder.embed_queries([embedded_text(index.passage(7))])
    expected = [passage.id for passage in reference.passages(reference.search(query, k=5)[1][0].tolist())]
    notes = tmp_path / "corpora" / "notes" / "notes.jsonl"
    notes.write_text("".join(reversed(notes.read_text().splitlines(keepends=True)[:250])))
    build_index(recipe, workspace=workspace, output=output)
    assert [passage.id for passage in index.passages(index.search(query, k=5)[1][0].tolist())] == expected
    assert len(Index.open(output)) == 250


def test_more_hits_than_passages_are_not_invented(built: Path):
    for way in WAYS:
        scores, rows = Index.open(built, **way).search(queries(2), k=1000)
        assert scores.shape == (2, 450)
        assert [sorted(line) for line in rows.tolist()] == [list(range(450))] * 2
    assert Index.open(built).search(queries(0), k=3)[1].shape == (0, 3)


@pytest.mark.parametrize(
    ("vectors", "k", "words"),
    [
        (np.ones((1, 5)), 3, r"\[n, 32\]"),
        (np.full((1, DIMENSION), np.nan), 3, "NaN"),
        (np.ones((1, DIMENSION)), 0, "at least 1"),
    ],
)
def test_queries_that_are_none_are_refused(built: Path, vectors: np.ndarray, k: int, words: str):
    with pytest.raises(UsageError, match=words):
        Index.open(built).search(vectors, k=k)


def test_the_self_check_finds_rows_that_do_not_find_themselves(copy: Path):
    layout = Layout(copy / "segments" / "0000", 450, DIMENSION, 100)
    check(layout)
    wrong = faiss.IndexFlatIP(DIMENSION)
    vectors = stored(copy)[100:200]
    vectors[17] = -vectors[17]
    wrong.add(vectors)
    faiss.write_index(wrong, str(layout.faiss(1)))
    with pytest.raises(DataError, match=r"1 of 450 passages .*\(rows 117\)"):
        check(layout)


def check(layout: Layout) -> tuple[float, Approximation | None]:
    index, embedder = Index.open(layout.folder.parents[1], verify=False), HashingEmbedder(DIMENSION)

    def embed(rows: list[int]) -> np.ndarray:
        return embedder.embed_passages([embedded_text(passage) for passage in index.passages(rows)])

    return self_check(layout, factory="Flat", parameters="", embed=embed, fingerprint=embedder.fingerprint())


@pytest.mark.parametrize(("factor", "good"), [(0.0, False), (np.nan, False), (1.002, False), (0.998, False), (1, True)])
def test_the_self_check_refuses_vectors_that_are_not_of_length_1(copy: Path, factor: float, good: bool):
    layout = Layout(copy / "segments" / "0000", 450, DIMENSION, 100)
    vectors = np.load(layout.vectors(1))
    vectors[17] = vectors[17].astype(np.float32) / np.linalg.norm(vectors[17].astype(np.float32)) * factor
    np.save(layout.vectors(1), vectors)
    if good:
        assert check(layout) == (pytest.approx(1, abs=1e-3), None)
        return
    with pytest.raises(DamagedError, match=r"row 117 in '.*00001\.npy' is not of length 1"):
        check(layout)


def test_the_self_check_finds_vectors_of_other_passages(copy: Path):
    layout = Layout(copy / "segments" / "0000", 450, DIMENSION, 100)
    for shard in range(5):
        vectors = np.load(layout.vectors(shard))[::-1]
        np.save(layout.vectors(shard), vectors)
        wrong = faiss.IndexFlatIP(DIMENSION)
        wrong.add(vectors.astype(np.float32))
        faiss.write_index(wrong, str(layout.faiss(shard)))
    with pytest.raises(DamagedError, match="of 16 passages, embedded again, are not what is stored"):
        check(layout)


def test_an_approximate_index_says_what_it_loses(workspace: Workspace, tmp_path: Path):
    recipe = replace(RECIPE, factory="IVF4,Flat", search="nprobe=2")
    manifest = build_index(recipe, workspace=workspace, output=tmp_path / "ivf")
    assert "segments/0000/trained.faiss" in manifest.files
    lost = manifest.segments[0].approximation
    assert lost is not None
    assert (lost.sample, lost.search) == (450, "nprobe=2")
    assert 0.5 < lost.recall_at_10 < 1
    index = Index.open(tmp_path / "ivf")
    assert index.search(queries(3), k=450)[1].shape == (3, 450)
    again = build_index(recipe, workspace=workspace, output=tmp_path / "again")
    assert again.files == manifest.files


def test_factories_that_cannot_be_are_refused_before_embedding(workspace: Workspace, tmp_path: Path):
    with pytest.raises(UsageError, match="'Flt'"):
        build_index(replace(RECIPE, factory="Flt"), workspace=workspace, output=tmp_path / "a")
    with pytest.raises(DataError, match="IVF4096,Flat"):
        build_index(replace(RECIPE, factory="IVF4096,Flat"), workspace=workspace, output=tmp_path / "b")


# --- recipes and devices ---------------------------------------------------------------------------------------------


def recipe_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine" / "recipe.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_recipe_has_defaults(tmp_path: Path):
    text = "corpora: [a, b]\nembedder: hashing:8\nchunking: {max_tokens: 99}"
    recipe = load_index_recipe(recipe_file(tmp_path, text))
    assert (recipe.name, recipe.corpora, recipe.factory, recipe.precision) == ("mine", ("a", "b"), "Flat", "float32")
    assert (recipe.chunking.max_tokens, recipe.chunking.splitter) == (99, "structure")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("corpora: [a]\nembeder: x", "did you mean 'embedder'"),
        ("corpora: [a]\nembedder: x\nchunking: {overlap: 1}", "overlap_sentences"),
        ("corpora: []\nembedder: x", "corpora"),
        ("corpora: [a, a]\nembedder: x", "twice"),
        ("corpora: [a]", "embedder"),
        ("corpora: [a]\nembedder: x\nprecision: float64", "float32"),
        ("corpora: [a]\nembedder: x\nshard_size: many", "shard_size"),
        ("corpora: [a]\nembedder: x\nchunking: {max_tokens: true}", "max_tokens"),
        ("- a", "list"),
        ("a: [", "YAML"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path: Path, text: str, words: str):
    with pytest.raises(UsageError, match="recipe") as caught:
        load_index_recipe(recipe_file(tmp_path, text))
    assert words in str(caught.value)


def test_two_faiss_distributions_or_none_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices, "_is_installed", lambda name: name in ("faiss-cpu", "faiss-gpu-cu12"))
    with pytest.raises(MissingDependencyError, match="pip uninstall faiss-cpu faiss-gpu-cu12"):
        devices.import_faiss()
    monkeypatch.setattr(devices, "_is_installed", lambda name: False)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match=r"ragmed\[cpu\]"):
        devices.import_faiss()


def test_what_could_not_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    from ragmed.index.vectors import appearing

    def fill() -> None:
        with appearing(tmp_path / "a" / "x.npy") as beside:
            beside.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fill()
    assert list((tmp_path / "a").iterdir()) == []
    with appearing(tmp_path / "a" / "x.npy") as beside:
        beside.write_bytes(b"whole")
    assert (tmp_path / "a" / "x.npy").read_bytes() == b"whole"


def test_an_index_keeps_the_precision_that_auto_came_to_be(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ragmed.retrieval.spec import RetrieverSpec, make_retriever

    asked: list[str] = []

    class Rounded(HashingEmbedder):
        def fingerprint(self):
            return replace(super().fingerprint(), precision="bfloat16")

    def on_a_gpu(name: str, *, precision: str, **more: object) -> HashingEmbedder:
        asked.append(precision)
        return Rounded(DIMENSION) if precision in ("auto", "bfloat16") else HashingEmbedder(DIMENSION)

    monkeypatch.setattr("ragmed.index.recipe.load_embedder", on_a_gpu)
    output = workspace.indexes / "rounded"
    recipe = replace(RECIPE, name="rounded", precision="auto")
    made = build_index(recipe, workspace=workspace, output=output)
    assert made.embedder.precision == "bfloat16"
    again = build_index(recipe, workspace=workspace, output=output)
    assert (again.created, asked) == (made.created, ["auto", "bfloat16"])
    spec = RetrieverSpec(index="rounded")
    make_retriever(spec, workspace=workspace, as_built=True).retrieve(["word1"], k=1)
    assert asked[2:] == ["bfloat16"]
    build_index(replace(recipe, precision="float32"), workspace=workspace, output=output)
    assert asked[3:] == ["float32"]
