"""An index recipe in, a folder with passages, vectors, FAISS files and a manifest out.

Streamed, so that memory does not grow with the corpus, and resumed after a kill: everything is made in
`OUTPUT/.building`, and appears in `OUTPUT` when it is whole and has passed its self-check, the manifest last.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ragmed import __version__
from ragmed.chunking import Chunking, chunk, embedded_text
from ragmed.embedding import BadTextsError, Embedder, load_embedder
from ragmed.errors import DamagedError, DataError
from ragmed.files import exclusive, fsync_folder, read_json, sha256_file, sha256_json, write_json
from ragmed.index.check import self_check
from ragmed.index.manifest import SCHEMA, Manifest, check_files, describe_files, read_manifest, write_manifest
from ragmed.index.passages import PassageFile, write_passages
from ragmed.index.recipe import IndexRecipe
from ragmed.index.reuse import Reuse
from ragmed.index.sources import Sources
from ragmed.index.vectors import Layout, Vectors, appearing, empty_index, write_faiss, write_vectors
from ragmed.records import Passage
from ragmed.workspace import Workspace

Progress = Callable[[str, int, int], None]
"""Called with a stage (`chunk`, `embed`, `index`), how many are done, and of how many (0: not yet known)."""

PRODUCTS = ("passages.arrow", "vectors.faiss", "trained.faiss", "rejected*.jsonl", "vectors/*.npy", "shards/*.faiss")
DISTRIBUTIONS = ("faiss-cpu", "faiss-gpu", "numpy", "pyarrow", "sentence-transformers", "torch", "transformers")


def build_index(
    recipe: IndexRecipe,
    *,
    workspace: Workspace,
    output: Path,
    embedder: Embedder | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Manifest:
    """>>> recipe = load_index_recipe(workspace.recipe("indexes", "handbook"))  # doctest: +SKIP
    >>> build_index(recipe, workspace=workspace, output=workspace.indexes / "handbook").counts  # doctest: +SKIP
    {'documents': 20, 'passages': 63, 'vectors': 63}

    Returns at once where the folder already holds this very index, whole; else builds it, or goes on where a killed
    build stopped. `embedder` None: the recipe's, on `device`. An older index stays until the new one is complete.

    Raises UsageError (recipe), DataError (corpus, a passage that cannot be embedded, a full disk, a failed
    self-check), BusyError where another process builds here.
    """
    try:
        with exclusive(output / ".lock", f"index '{recipe.name}'"):
            sources = Sources(recipe.corpora, workspace=workspace, rejected=output / ".building")
            model = embedder or load_embedder(recipe.embedder, precision=recipe.precision, device=device)
            return _Build(recipe, sources, output, model, progress or _silent, workspace=workspace).run()
    except OSError as error:
        where = error.filename or output
        raise DataError(f"index '{recipe.name}': '{where}' failed: {error.strerror or error}") from error


def _silent(stage: str, done: int, total: int) -> None:
    pass


class _Build:
    def __init__(
        self,
        recipe: IndexRecipe,
        sources: Sources,
        output: Path,
        embedder: Embedder,
        progress: Progress,
        *,
        workspace: Workspace,
    ) -> None:
        self.recipe, self.sources, self.output, self.workspace = recipe, sources, output, workspace
        self.embedder, self.progress = embedder, progress
        self.folder = output / ".building"
        self.started = time.monotonic()
        empty_index(recipe.factory, embedder.dimension)  # a factory string FAISS does not know fails here, not later
        asked = recipe.chunking
        self.chunking = Chunking(asked.splitter, asked.max_tokens, asked.overlap_sentences)

    def run(self) -> Manifest:
        for left in self.output.glob(".manifest.json.*.tmp"):  # of a build that was killed while it wrote that
            left.unlink()
        finished = self._finished()
        state = self._state()
        if finished or state:
            facts = self.sources.scan()
            identity = self._identity(facts)
            if finished and finished.identity == identity:
                shutil.rmtree(self.folder, ignore_errors=True)
                return self._described_anew(finished, facts)
            if state and state["identity"] != identity:
                state = None
        if not state:
            state = self._write_passages()
        layout = Layout(self.folder, state["passages"], self.embedder.dimension, self.recipe.shard_size)
        if not (self.folder / "manifest.json").exists():
            try:
                taken = self._write_vectors(layout, state["corpora"])
                write_faiss(layout, self.recipe.factory, lambda done: self.progress("index", done, layout.count))
                manifest = self._manifest(state, layout, taken)
            except DamagedError as error:  # going on from these files would fail for ever
                shutil.rmtree(self.folder, ignore_errors=True)
                raise DamagedError(
                    f"index '{self.recipe.name}': {error}; the unfinished build was removed, build it again"
                ) from error
            write_manifest(self.folder, manifest, mode=self._mode)
        return self._publish()

    def _described_anew(self, finished: Manifest, facts: list[dict[str, Any]]) -> Manifest:
        """The index stays; what its manifest says of the corpora (files' times, a licence) is brought up to date."""
        if list(finished.corpora) == facts:
            return finished
        manifest = replace(finished, corpora=facts)
        write_manifest(self.output, manifest, mode=self._mode)
        return manifest

    @property
    def _mode(self) -> int:
        return 0o644 if self.sources.open else 0o600

    def _finished(self) -> Manifest | None:
        """The index that is already here, if it is whole: a damaged one is built again."""
        try:
            manifest = read_manifest(self.output)
            check_files(self.output, manifest, hashes=True)
        except DataError:
            return None
        return manifest

    def _state(self) -> dict[str, Any] | None:
        """What a killed build left, from the moment its passages were written; None where those were damaged since.

        Once the manifest is written, the passages may have been moved to their place already.
        """
        passages = self.folder / "passages.arrow"
        try:
            state = read_json(self.folder / "state.json", "build state")
            if (self.folder / "manifest.json").exists():
                return state
            return state if sha256_file(passages) == state.get("sha256") else None
        except (DataError, FileNotFoundError):
            return None

    def _identity(self, facts: list[dict[str, Any]]) -> str:
        corpora = [{"name": one["name"], "sha256": one["sha256"]} for one in facts]
        # another version of ragmed may cut passages elsewhere
        return sha256_json(
            {
                "schema": SCHEMA,
                "ragmed": __version__,
                "recipe": self.recipe.as_dict(),
                "corpora": corpora,
                "embedder": self.embedder.fingerprint(),
            }
        )

    def _write_passages(self) -> dict[str, Any]:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o755 if self.sources.open else 0o700, parents=True)
        with appearing(self.folder / "passages.arrow") as beside:
            count = write_passages(beside, self._chunked())
        if not count:
            raise DataError(f"index '{self.recipe.name}': its corpora gave no passage; see '{self.folder}'")
        facts = self.sources.facts()
        digest = sha256_file(self.folder / "passages.arrow")
        state = {"identity": self._identity(facts), "corpora": facts, "passages": count, "sha256": digest}
        write_json(self.folder / "state.json", state)
        return state

    def _chunked(self) -> Iterator[Passage]:
        passages = chunk(
            self.sources.documents(),
            chunking=self.chunking,
            count_tokens=self.embedder.count_tokens,
            limit=self.embedder.max_tokens,
        )
        for number, passage in enumerate(passages, 1):
            if number % 256 == 0:
                self.progress("chunk", number, 0)
            yield passage

    def _write_vectors(self, layout: Layout, facts: list[dict[str, Any]]) -> int:
        """Embeds what no index of one of the corpora holds already, and returns how many vectors were taken over."""
        passages = PassageFile(self.folder / "passages.arrow", mapped=False)
        reuse = Reuse.find(
            self.workspace.indexes,
            facts,
            chunking=self._cut(),
            embedder=self.embedder.fingerprint(),
            counts=passages.counts(),
        )
        try:
            write_vectors(
                layout,
                lambda start, stop: self._vectors(start, passages.span(start, stop), reuse),
                lambda done: self.progress("embed", done, layout.count),
            )
        finally:
            reuse.close()
            passages.close()
        return sum(self._taken().values())

    def _taken(self) -> dict[str, int]:
        """First row of a window -> how many of its vectors were taken over; on disk, so that a kill forgets none."""
        file = self.folder / "taken.json"
        try:
            return read_json(file, "build state") if file.exists() else {}
        except DataError as error:
            raise DamagedError(str(error)) from error

    def _vectors(self, row: int, passages: list[Passage], reuse: Reuse) -> Vectors:
        places, known = reuse.vectors(row, passages)
        if known is None:
            return self._embed(passages)
        write_json(self.folder / "taken.json", self._taken() | {str(row): len(places)})
        vectors = np.empty((len(passages), known.shape[1]), dtype=np.float32)
        vectors[places] = known
        rest = sorted(set(range(len(passages))) - set(places))
        if rest:
            vectors[rest] = self._embed([passages[place] for place in rest])
        return vectors

    def _cut(self) -> dict[str, Any]:
        return dict(self.recipe.as_dict()["chunking"]) | {"embedder_reads": self.embedder.max_tokens}

    def _embed(self, passages: list[Passage]) -> Vectors:
        try:
            return self.embedder.embed_passages([embedded_text(passage) for passage in passages])
        except BadTextsError as error:
            named = ", ".join(passages[index].id for index in error.indices[:5])
            more = f" and {len(error.indices) - 5} more" if len(error.indices) > 5 else ""
            raise DataError(f"index '{self.recipe.name}': {error.reason}: passages {named}{more}") from error

    def _checked(self, layout: Layout) -> dict[str, Any]:
        passages = PassageFile(self.folder / "passages.arrow", mapped=False)
        try:
            return self_check(
                layout,
                factory=self.recipe.factory,
                parameters=self.recipe.search,
                embed=lambda rows: self._embed(passages.rows(rows)),
                precision=self.embedder.fingerprint()["precision"],
            )
        finally:
            passages.close()

    def _manifest(self, state: dict[str, Any], layout: Layout, taken: int) -> Manifest:
        approximation = self._checked(layout)
        facts = state["corpora"]
        files = [path.relative_to(self.folder).as_posix() for path in _products(self.folder)]
        return Manifest(
            name=self.recipe.name,
            identity=state["identity"],
            recipe=self.recipe.as_dict(),
            corpora=facts,
            chunking=self._cut(),
            embedder=self.embedder.fingerprint(),
            factory=self.recipe.factory,
            dimension=layout.dimension,
            approximation=approximation,
            counts={
                "documents": sum(one["documents"] for one in facts),
                "passages": layout.count,
                "vectors": layout.count,
                **({"taken_over": taken} if taken else {}),
            },
            files=describe_files(self.folder, files),
            versions=_versions(),
            device=str(getattr(self.embedder, "device", "cpu")),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self.started, 3),
        )

    def _publish(self) -> Manifest:
        """Moves everything into place; a kill between any two lines is made good by calling it again."""
        manifest = read_manifest(self.folder)
        if not self.sources.open:
            self.output.chmod(0o700)
        (self.output / "manifest.json").unlink(missing_ok=True)
        fsync_folder(self.output)
        for name in manifest.files:
            made, place = self.folder / name, self.output / name
            if made.exists():
                place.parent.mkdir(exist_ok=True, mode=0o755 if self.sources.open else 0o700)
                made.chmod(self._mode)
                made.replace(place)
        for path in _products(self.output):  # of an index that was here before and had more files
            if path.relative_to(self.output).as_posix() not in manifest.files:
                path.unlink()
        for folder in (self.output, self.output / "vectors", self.output / "shards"):
            if folder.is_dir():
                fsync_folder(folder)
        check_files(self.output, manifest, hashes=False)
        write_manifest(self.output, manifest, mode=self._mode)
        shutil.rmtree(self.folder)
        return manifest


def _products(folder: Path) -> list[Path]:
    return sorted(path for pattern in PRODUCTS for path in folder.glob(pattern))


def _versions() -> dict[str, str]:
    found = {"ragmed": __version__, "python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
