"""An index folder in, passages and search out, over all its segments as if they were one; refused where any byte
differs from what was written."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from ragmed.embedding import Embedder, Fingerprint
from ragmed.errors import BusyError, DamagedError, MismatchError
from ragmed.files import sha256_json
from ragmed.index.devices import CPU, Devices, choose_devices
from ragmed.index.manifest import Manifest, Segment, check_files, read_manifest, remedy
from ragmed.index.passages import PassageFile
from ragmed.index.search import Rows, Searcher
from ragmed.index.torch_search import SHARE
from ragmed.index.vectors import Layout, Vectors
from ragmed.records import DocumentKey, Passage

SAME_VECTORS = ("weights", "precision", "dimension", "metric", "normalise", "query_weights", "encoding")
"""What must be equal of two embedders: where the same weights were found changes no vector."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A segment at work; `deleted`: the documents, `dead`: their rows (from 0 in each segment)."""

    passages: PassageFile
    searcher: Searcher
    deleted: frozenset[DocumentKey]
    dead: frozenset[int]


class Index:
    """Opened, searched, read:

        index = Index.open(workspace.indexes / "handbook")
        scores, rows = index.search(embedder.embed_queries(["asthma attack"]), k=5)
        index.passage(int(rows[0, 0])).title  # 'Asthma'

    A row counts through all segments, deleted passages included, so that it never changes; those are not given out.
    `manifest` says what made it; `place` where and by what it is searched; `device` the same for the user to read, with
    why and whether from disk (`streaming`).
    """

    def __init__(self, folder: Path, manifest: Manifest, *, devices: Devices = CPU, streaming: bool = False) -> None:
        self.folder = folder
        self.manifest = manifest
        self.streaming = streaming
        self.place = devices.place
        self.device = f"{devices.text}, from disk" if streaming else devices.text
        self._segments = [self._open(segment, devices) for segment in manifest.segments]
        self._starts = [0, *accumulate(segment.passages for segment in manifest.segments)]
        if read_manifest(folder).files != manifest.files:  # a build moved its files in while these were opened
            raise BusyError(f"index '{manifest.name}' was rebuilt while it was being opened; open it again")

    def _open(self, segment: Segment, devices: Devices) -> _Opened:
        folder, recipe = self.folder / segment.folder, self.manifest.recipe
        passages = PassageFile(folder / "passages.arrow", mapped=True)
        if len(passages) != segment.passages:
            raise DamagedError(
                f"'{folder}' holds {len(passages)} passages and {segment.passages} vectors; "
                + remedy(self.manifest.name)
            )
        deleted = frozenset(DocumentKey.parse(key) for key in self.manifest.tombstones.get(segment.folder, ()))
        dead = passages.rows_of(deleted)
        searcher = Searcher(
            layout_of(self.folder, self.manifest, segment),
            factory=recipe.factory,
            devices=devices,
            parameters=recipe.search,
            streaming=self.streaming,
            share=SHARE / len(self.manifest.segments),
            dead=np.array(dead, dtype=np.int64),
        )
        return _Opened(passages, searcher, deleted, frozenset(dead))

    @classmethod
    def open(
        cls, folder: Path, *, verify: bool = True, memory_budget: int | None = None, devices: str = "cpu"
    ) -> Index:
        """Opens a built index.

        `verify` hashes every file (about a second a gigabyte); sizes are looked at in any case. An exact index whose
        float32 vectors need more than `memory_budget` bytes (by default half of the free memory) is searched from
        disk, with the same results, as torch searches any that is larger than a GPU. `devices`: see `choose_devices`.

        An open index keeps its own files where another build replaces them. Raises DataError where there is
        no index, DamagedError (naming the file), MissingDependencyError, BusyError (rebuilt at this moment).
        """
        manifest = read_manifest(folder)
        check_files(folder, manifest, hashes=verify)
        budget = available_memory() // 2 if memory_budget is None else memory_budget
        recipe, size = manifest.recipe, manifest.dimension * sum(segment.passages for segment in manifest.segments)
        where = choose_devices(devices, factory=recipe.factory, parameters=recipe.search, size=2 * size)
        streaming = where.on_cpu_by_faiss and recipe.factory == "Flat" and 4 * size > budget
        return cls(folder, manifest, devices=where, streaming=streaming)

    @property
    def identity(self) -> str:
        """One hash of what decides a search by vectors: the segments, and what is deleted in them."""
        return self.manifest.searches

    @property
    def contents(self) -> str:
        """One hash of the passages alone, however they are embedded."""
        files, tombstones = self.manifest.files, self.manifest.tombstones
        names = [segment.folder for segment in self.manifest.segments]
        hashes = [files[f"{name}/passages.arrow"].sha256 for name in names]
        dead = [sorted(tombstones.get(name, ())) for name in names]
        return sha256_json([list(pair) for pair in zip(hashes, dead, strict=True)])

    def live_rows(self) -> Rows:
        """The rows of the passages that iterating gives, in that order."""
        rows = np.arange(self._starts[-1], dtype=np.int64)
        parts = zip(self._starts, self._segments, strict=False)
        dead = [start + row for start, segment in parts for row in segment.dead]
        return np.delete(rows, dead)

    def __len__(self) -> int:
        """How many passages there are, without those that are deleted."""
        return self._starts[-1] - sum(len(segment.dead) for segment in self._segments)

    def passage(self, row: int) -> Passage:
        """IndexError where there is no such row, or its document is deleted."""
        return self.passages([row])[0]

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        """Passages by row, in the order asked."""
        by_segment: dict[int, list[int]] = {}
        for row in dict.fromkeys(rows):
            if not 0 <= row < self._starts[-1]:
                raise IndexError(f"passage {row} of {self._starts[-1]}")
            number = bisect_right(self._starts, row) - 1
            if row - self._starts[number] in self._segments[number].dead:
                raise IndexError(f"passage {row} is deleted")
            by_segment.setdefault(number, []).append(row)
        passages: dict[int, Passage] = {}
        for number, several in by_segment.items():
            own = [row - self._starts[number] for row in several]
            passages.update(zip(several, self._segments[number].passages.rows(own), strict=True))
        return [passages[row] for row in rows]

    def __iter__(self) -> Iterator[Passage]:
        """Every passage, in row order, streamed."""
        for segment in self._segments:
            for row, passage in enumerate(segment.passages):
                if row not in segment.dead:
                    yield passage

    def documents(self) -> Iterator[Passage]:
        """Every document once, as a passage without words: its names, source, date and access."""
        for segment in self._segments:
            for document in segment.passages.documents():
                if document.document_key not in segment.deleted:
                    yield document

    def naming(self, ids: str) -> frozenset[str]:
        """The corpora that name their documents by such ids (`ids` in their recipes); all of them where `ids` is ''."""
        return frozenset(corpus.name for corpus in self.manifest.corpora if not ids or corpus.ids == ids)

    def passages_of(self, names: Sequence[str], *, ids: str = "") -> dict[str, list[Passage]]:
        """The passages of documents, in order; an empty list for a document that is not here.

        A name is an id, or `CORPUS:ID`. Of the corpora only those whose recipe says these `ids` are looked at: the
        same number may be one thing's PMID and another's place in a list. Where two corpora hold the document that a
        PMID names, both count. MismatchError where an id of no declared kind stands for documents of two corpora.
        """
        keys = {name: self._keys(name, ids) for name in names}
        by_key: dict[DocumentKey, list[Passage]] = {key: [] for several in keys.values() for key in several}
        for segment in self._segments:
            for key, passages in segment.passages.of_documents(by_key.keys() - segment.deleted).items():
                by_key[key] += passages
        by_name = {}
        for name, several in keys.items():
            here = [key for key in several if by_key[key]]
            if len(here) > 1 and not ids:
                raise MismatchError(
                    f"'{name}' is a document of more than one corpus of index '{self.manifest.name}': write "
                    + " or ".join(f"'{key}'" for key in here)
                )
            by_name[name] = [passage for key in here for passage in by_key[key]]
        return by_name

    def _keys(self, name: str, ids: str) -> list[DocumentKey]:
        corpora, written_out = self.naming(ids), DocumentKey.parse(name)
        keys = [DocumentKey(corpus, name) for corpus in sorted(corpora)]
        return [*keys, written_out] if written_out.corpus in corpora else keys

    def search(self, vectors: Vectors, *, k: int) -> tuple[Vectors, Rows]:
        """float32 [n, d] -> scores (float32) and rows (int64), best first.

        Both are [n, min(k, len(self))]. A score is the inner product, or the negative squared distance, as the
        embedder's metric is. Equal scores are ordered by row; the same query gets the same answer whatever stands
        beside it, and, where the factory is Flat, however the passages are spread over segments: of an approximate
        index each segment finds what it finds. UsageError for k < 1, another dimension, NaN.
        """
        results = [segment.searcher.search(vectors, k=k) for segment in self._segments]
        scores = np.concatenate([part for part, _ in results], axis=1)
        rows = np.concatenate([part + start for (_, part), start in zip(results, self._starts, strict=False)], axis=1)
        best = np.lexsort((rows, -scores))[:, :k]
        return np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)

    def require_embedder(self, embedder: Embedder) -> None:
        """MismatchError where the passages were embedded by another model, or the same one otherwise."""
        mine, theirs = self.manifest.embedder, embedder.fingerprint()
        different = [key for key in SAME_VECTORS if getattr(mine, key) != getattr(theirs, key)]
        if different:
            raise MismatchError(
                f"index '{self.manifest.name}' was built with {_described(mine)}, and cannot be searched with "
                f"{_described(theirs)}: {', '.join(different)} differ; use the same, or build another index"
            )


def layout_of(folder: Path, manifest: Manifest, segment: Segment) -> Layout:
    """Where the vectors of one segment of an index lie."""
    return Layout(
        folder / segment.folder,
        segment.passages,
        manifest.dimension,
        manifest.recipe.shard_size,
        metric=manifest.embedder.metric,
        longest=segment.longest,
    )


def _described(mark: Fingerprint) -> str:
    how = "normalised" if mark.normalise else "not normalised"
    return f"'{mark.embedder}' {mark.precision} (weights {mark.weights[:12]}, {mark.dimension}, {mark.metric}, {how})"


def available_memory() -> int:
    """Bytes that can be had without swapping, as Linux estimates it; elsewhere, what is unused."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass  # not Linux
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
