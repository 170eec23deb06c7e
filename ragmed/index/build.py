"""An index recipe in, a folder with passages, vectors, FAISS files and a manifest out.

Streamed, so that memory does not grow with the corpus, and resumed after a kill: everything is made in
`OUTPUT/.building`, and appears in `OUTPUT` when it is whole and has passed its self-check, the manifest last.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ragmed import __version__
from ragmed.checked import dump, parse
from ragmed.chunking import INPUT_VERSION, Chunking, chunk, embedded_text, splitter_version
from ragmed.embedding import BadTextsError, Embedder, Fingerprint, checked
from ragmed.errors import DamagedError, DataError, MissingDependencyError, UsageError
from ragmed.files import exclusive, fsync_folder, make_folder, read_json, sha256_file, sha256_json, sweep, write_json
from ragmed.index.check import READY, require_same, self_check
from ragmed.index.devices import Devices, choose_devices
from ragmed.index.manifest import (
    DOCUMENTS,
    SCHEMA,
    Approximation,
    CorpusFacts,
    Counts,
    Cut,
    Manifest,
    Segment,
    check_files,
    describe_files,
    read_manifest,
    write_manifest,
)
from ragmed.index.passages import PassageFile, write_passages
from ragmed.index.ready import ReadyVectors
from ragmed.index.recipe import IndexRecipe, embedder_of, load_index_recipe, stated
from ragmed.index.replaced import replaced
from ragmed.index.reuse import Reuse
from ragmed.index.sources import Sources
from ragmed.index.store import SAME_VECTORS
from ragmed.index.vectors import Layout, Vectors, appearing, empty_index, write_faiss, write_vectors
from ragmed.machine import Spent, Stopwatch
from ragmed.records import Document, Passage
from ragmed.workspace import Workspace

Progress = Callable[[str, int, int], None]
"""Called with a stage (`chunk`, `embed`, `index`), how many are done, and of how many (0: not yet known)."""

SEGMENT = "segments/0000"
"""A build makes one segment; documents that are added later come in others."""
PRODUCTS = (
    "rejected*.jsonl",
    f"segments/*/{DOCUMENTS}",
    "segments/*/passages.arrow",
    "segments/*/*.faiss",
    "segments/*/vectors/*.npy",
    "segments/*/shards/*.faiss",
)
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
    """Builds it:

        recipe = load_index_recipe(workspace.recipe("indexes", "handbook"))
        build_index(recipe, workspace=workspace, output=workspace.indexes / "handbook").counts.passages

    Returns at once where the folder already holds this very index, whole; else builds it, or resumes where a killed
    build stopped. `embedder` None: the recipe's, on `device`. An older index stays until the new one is complete.

    Raises UsageError (recipe), DataError (corpus, a passage that cannot be embedded, a full disk, a failed
    self-check), BusyError where another process builds here.
    """
    try:
        with exclusive(output / ".lock", f"index '{recipe.name}'"):
            sources = Sources(recipe.corpora, workspace=workspace, rejected=output / ".building")
            model = embedder or embedder_of(recipe, device=device, precision=_precision(recipe, output))
            return _Build(recipe, sources, output, model, progress or _silent, workspace=workspace, device=device).run()
    except OSError as error:
        where = error.filename or output
        raise DataError(f"index '{recipe.name}': '{where}' failed: {error.strerror or error}") from error


def _precision(recipe: IndexRecipe, output: Path) -> str:
    """The recipe's; of `auto`, what the index that is there was embedded in: elsewhere it need not be built again."""
    if recipe.precision != "auto":
        return recipe.precision
    try:
        there = read_manifest(output)
    except DataError:
        return recipe.precision
    return there.embedder.precision if there.recipe.precision == "auto" else recipe.precision


def _others(recipe: IndexRecipe, workspace: Workspace) -> list[Embedder]:
    """The embedders of the other indexes that the passages fit: on the CPU, since they only count tokens."""
    recipes = [load_index_recipe(workspace.recipe("indexes", name)) for name in recipe.chunking.fits]
    return [embedder_of(other, device="cpu") for other in recipes]


def _content(fingerprint: Fingerprint) -> dict[str, Any]:
    """Without the embedder's name."""
    return {key: value for key, value in stated(fingerprint).items() if key in SAME_VECTORS}


def _silent(stage: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class _State:
    """What a build knows once its passages are written. `files`: their names in the segment, and hashes."""

    identity: str
    corpora: tuple[CorpusFacts, ...]
    passages: int
    files: Mapping[str, str]


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
        device: str,
    ) -> None:
        self.recipe, self.sources, self.output, self.workspace = recipe, sources, output, workspace
        self.device = device
        self.embedder, self.progress = embedder, progress
        self.folder = output / ".building"
        self.segment = self.folder / SEGMENT
        self.fingerprint = embedder.fingerprint()
        self.watch = Stopwatch()
        self.resumed = False
        # a factory string that FAISS does not know fails here, not later
        empty_index(recipe.factory, embedder.dimension, metric=embedder.metric)
        self.ready = ReadyVectors.open(recipe, workspace) if recipe.vectors else None
        if self.ready and self.ready.dimension != embedder.dimension:
            raise UsageError(
                f"index '{recipe.name}': its ready-made vectors have {self.ready.dimension} dimensions, and "
                f"'{embedder.name}' gives {embedder.dimension}; name the model that made them"
            )
        self.readers = [embedder, *_others(recipe, workspace)]
        self.fits = tuple(sorted(sha256_json([_content(r.fingerprint()), r.max_tokens]) for r in self.readers[1:]))
        asked = recipe.chunking
        self.chunking = Chunking(asked.splitter, asked.max_tokens, asked.overlap_sentences)

    def run(self) -> Manifest:
        sweep(self.output, deep=True)
        finished = self._finished()
        state = self._state()
        if finished or state:
            facts = self.sources.scan()
            identity = self._identity(facts)
            if finished and finished.identity == identity:
                shutil.rmtree(self.folder, ignore_errors=True)
                return self._with_facts_of_now(finished, facts)
            if state and state.identity != identity:
                state = None
        self.resumed = state is not None
        if not state:
            state = self._write_passages()
        del self.readers[1:]  # they have counted
        layout = Layout(
            self.segment,
            state.passages,
            self.embedder.dimension,
            self.recipe.shard_size,
            metric=self.embedder.metric,
        )
        if not (self.folder / "manifest.json").exists():
            try:
                taken = self._write_vectors(layout, state.corpora)
                write_faiss(layout, self.recipe.factory, lambda done: self.progress("index", done, layout.count))
                manifest = self._manifest(state, layout, taken)
            except DamagedError as error:  # resuming from these files would fail for ever
                shutil.rmtree(self.folder, ignore_errors=True)
                raise DamagedError(
                    f"index '{self.recipe.name}': {error}; the unfinished build was removed; build it again"
                ) from error
            write_manifest(self.folder, manifest, mode=self._mode)
        return self._publish()

    def _with_facts_of_now(self, finished: Manifest, facts: tuple[CorpusFacts, ...]) -> Manifest:
        """The index stays; what its manifest says of the corpora (files' times, a licence) is brought up to date."""
        if finished.corpora == facts:
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

    def _state(self) -> _State | None:
        """What a killed build left, from the moment its passages were written; None where those were damaged since.

        Once the manifest is written, the passages may have been moved to their place already.
        """
        try:
            path = self.folder / "state.json"
            state = parse(_State, read_json(path, "build state"), f"build state '{path}'", error=DataError)
            if (self.folder / "manifest.json").exists():
                return state
            whole = all(sha256_file(self.segment / name) == digest for name, digest in state.files.items())
        except (DataError, FileNotFoundError):
            return None
        return state if whole else None

    def _identity(self, facts: Sequence[CorpusFacts]) -> str:
        return sha256_json(
            {
                "schema": SCHEMA,
                "recipe": self.recipe.identity(),
                "cut": stated(self._cut()),
                "corpora": [{"name": corpus.name, "sha256": corpus.sha256} for corpus in facts],
                "embedder": stated(self.fingerprint),
                **self._ready_identity(),
            }
        )

    def _ready_identity(self) -> dict[str, str]:
        return {"vectors": self.ready.sha256} if self.ready else {}

    def _segment_identity(self, state: _State) -> str:
        """Of the content alone: neither the name of the embedder nor of a corpus's recipe is in it."""
        return sha256_json(
            {
                "schema": SCHEMA,
                "cut": stated(self._cut()),
                "embedder": _content(self.fingerprint),
                "factory": self.recipe.factory,
                "search": self.recipe.search,
                "documents": state.files[DOCUMENTS],
                **self._ready_identity(),
            }
        )

    def _write_passages(self) -> _State:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o755 if self.sources.open else 0o700, parents=True)
        with (
            appearing(self.segment / DOCUMENTS) as listed,
            appearing(self.segment / "passages.arrow") as beside,
            listed.open("w", encoding="utf-8", newline="\n") as lines,
        ):
            count = write_passages(beside, self._chunked(lines))
        if not count:
            raise DataError(f"index '{self.recipe.name}': its corpora gave no passage; see '{self.folder}'")
        facts = self.sources.facts()
        files = {name: sha256_file(self.segment / name) for name in (DOCUMENTS, "passages.arrow")}
        state = _State(self._identity(facts), facts, count, files)
        write_json(self.folder / "state.json", dump(state), mode=self._mode)
        return state

    def _documents(self, lines: IO[str]) -> Iterator[Document]:
        """The documents, each with a line that says which it was."""
        for document in self.sources.documents():
            digest = sha256_json(stated(document))
            line = {"corpus": document.corpus, "id": document.id, "sha256": digest}
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            yield document

    def _chunked(self, lines: IO[str]) -> Iterator[Passage]:
        passages = chunk(
            self._documents(lines),
            chunking=self.chunking,
            count_tokens=self._count_tokens,
            limit=min(reader.max_tokens for reader in self.readers),
        )
        for number, passage in enumerate(passages, 1):
            if number % 256 == 0:
                self.progress("chunk", number, 0)
            yield passage

    def _count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Of each text, the tokens of the embedder that counts most."""
        return [max(counts) for counts in zip(*(reader.count_tokens(texts) for reader in self.readers), strict=True)]

    def _write_vectors(self, layout: Layout, facts: Sequence[CorpusFacts]) -> int:
        """Embeds what no index of one of the corpora holds already, and returns how many vectors were taken over."""
        with closing(PassageFile(self.segment / "passages.arrow", mapped=False)) as passages:
            counts = passages.counts()
            found = Reuse.find(
                self.workspace.indexes, facts, chunking=self._cut(), embedder=self.fingerprint, counts=counts
            )
            with closing(found) as reuse:
                write_vectors(
                    layout,
                    lambda start, stop: self._vectors(
                        start, passages.span(start, stop), reuse, passages.span(stop, min(stop + 1, layout.count))
                    ),
                    lambda done: self.progress("embed", done, layout.count),
                )
        return sum(self._noted("taken.json").values())

    def _noted(self, name: str) -> dict[str, Any]:
        """First row of a window -> what was counted in it; on disk, so that a kill forgets none."""
        file = self.folder / name
        try:
            return read_json(file, "build state") if file.exists() else {}
        except DataError as error:
            raise DamagedError(str(error)) from error

    def _note(self, name: str, row: int, value: Any) -> None:
        write_json(self.folder / name, self._noted(name) | {str(row): value}, mode=self._mode)

    def _vectors(self, row: int, passages: list[Passage], reuse: Reuse, after: list[Passage]) -> Vectors:
        """Those of a window: taken over, ready-made, or embedded. `after`: the passage behind it, if any."""
        vectors = np.empty((len(passages), self.embedder.dimension), dtype=np.float32)
        places, known = reuse.vectors(row, passages)
        if known is not None:
            self._note("taken.json", row, len(places))
            vectors[places] = known
        rest = sorted(set(range(len(passages))) - set(places))
        if self.ready and rest:
            made, ready, cut = self.ready.vectors(passages, after)
            mine = [place for place in rest if place in made]
            vectors[mine] = self._checked_ready([passages[p] for p in mine], [made[p] for p in mine], ready)
            probes = [mine[i] for i in self.ready.to_check([passages[place].document for place in mine])]
            if probes:
                again = self._embed([passages[place] for place in probes])
                require_same(vectors[probes], again, [row + place for place in probes], READY, ready=True)
            self._note("ready.json", row, [len(mine), cut])
            rest = [place for place in rest if place not in made]
        if rest:
            vectors[rest] = self._embed([passages[place] for place in rest])
        return vectors

    def _checked_ready(self, passages: list[Passage], numbers: list[int], ready: Vectors) -> Vectors:
        try:
            return checked(ready[numbers], normalise=self.embedder.normalise)
        except BadTextsError as error:
            named = ", ".join(passages[index].id for index in error.indices[:5])
            raise DataError(f"index '{self.recipe.name}': a ready-made vector is NaN or zero: {named}") from error

    def _cut(self) -> Cut:
        return Cut(
            splitter=self.chunking.splitter,
            splitter_version=splitter_version(self.chunking.splitter),
            max_tokens=self.chunking.max_tokens,
            overlap_sentences=self.chunking.overlap_sentences,
            embedder_reads=self.embedder.max_tokens,
            input_version=INPUT_VERSION,
            fits=self.fits,
        )

    def _embed(self, passages: list[Passage]) -> Vectors:
        try:
            return self.embedder.embed_passages([embedded_text(passage) for passage in passages])
        except BadTextsError as error:
            named = ", ".join(passages[index].id for index in error.indices[:5])
            more = f" and {len(error.indices) - 5} more" if len(error.indices) > 5 else ""
            raise DataError(f"index '{self.recipe.name}': {error.reason}: passages {named}{more}") from error

    def _checked(self, layout: Layout) -> tuple[float, Approximation | None]:
        with closing(PassageFile(self.segment / "passages.arrow", mapped=False)) as passages:
            return self_check(
                layout,
                factory=self.recipe.factory,
                parameters=self.recipe.search,
                embed=lambda rows: self._embed(passages.rows(rows)),
                fingerprint=self.fingerprint,
                devices=self._devices(layout),
                ready=self.ready is not None,
            )

    def _devices(self, layout: Layout) -> Devices:
        """Where the self-check searches: a build for a GPU does not fail because its index cannot be searched there."""
        try:
            return choose_devices(
                self.device,
                factory=self.recipe.factory,
                parameters=self.recipe.search,
                size=2 * layout.count * layout.dimension,
            )
        except (MissingDependencyError, UsageError) as error:
            return Devices(note=str(error))

    def _manifest(self, state: _State, layout: Layout, taken: int) -> Manifest:
        longest, approximation = self._checked(layout)
        spent = self.watch.spent().rounded()
        documents = sum(corpus.documents for corpus in state.corpora)
        files = [path.relative_to(self.folder).as_posix() for path in _products(self.folder)]
        return Manifest(
            name=self.recipe.name,
            identity=state.identity,
            recipe=self.recipe,
            corpora=state.corpora,
            chunking=self._cut(),
            embedder=self.fingerprint,
            counts=self._counts(documents, layout.count, taken),
            segments=(
                Segment(SEGMENT, self._segment_identity(state), documents, layout.count, longest, approximation),
            ),
            files=describe_files(self.folder, files),
            versions=_versions(),
            device=str(getattr(self.embedder, "device", "cpu")),
            searched_on=self._devices(layout).text,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            seconds=Spent(spent.wall) if self.resumed else spent,
            replaced=replaced(
                self.output, self.segment / DOCUMENTS, recipe=self.recipe, cut=self._cut(), embedder=self.fingerprint
            ),
        )

    def _counts(self, documents: int, passages: int, taken: int) -> Counts:
        if not self.ready:
            return Counts(documents, passages, passages, taken)
        used, cut = (sum(counted[i] for counted in self._noted("ready.json").values()) for i in (0, 1))
        return Counts(documents, passages, passages, taken, used, cut, len(self.ready) - used - cut)

    def _publish(self) -> Manifest:
        """Moves everything into place; a kill between any two lines is made good by calling it again."""
        manifest = read_manifest(self.folder)
        if not self.sources.open:
            self.output.chmod(0o700)
        (self.output / "manifest.json").unlink(missing_ok=True)
        fsync_folder(self.output)
        for name in manifest.files:
            made, target = self.folder / name, self.output / name
            if made.exists():
                make_folder(target.parent, mode=0o755 if self.sources.open else 0o700)
                made.chmod(self._mode)
                made.replace(target)
        for path in _products(self.output):  # of an index that was here before and had more files
            if path.relative_to(self.output).as_posix() not in manifest.files:
                path.unlink()
        for part in ("bm25", "sparse", "late"):  # of the passages that were here before
            shutil.rmtree(self.output / part, ignore_errors=True)
        for folder in {self.output, *((self.output / name).parent for name in manifest.files)}:
            fsync_folder(folder)
        for folder in (self.output / "segments", self.output / SEGMENT):
            fsync_folder(folder)
        check_files(self.output, manifest, hashes=False)
        write_manifest(self.output, manifest, mode=self._mode)
        shutil.rmtree(self.folder)
        return manifest


def _products(folder: Path) -> list[Path]:
    return sorted(path for pattern in PRODUCTS for path in folder.glob(pattern))


def _versions() -> dict[str, str]:
    versions = {"ragmed": __version__, "python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
