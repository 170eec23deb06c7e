"""An index folder in, passages and search out; refused where any byte differs from what was written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ragmed.embedding import Embedder
from ragmed.errors import BusyError, DamagedError, MismatchError
from ragmed.index.devices import parse_devices
from ragmed.index.manifest import Manifest, check_files, read_manifest, remedy
from ragmed.index.passages import PassageFile
from ragmed.index.search import Rows, Searcher
from ragmed.index.vectors import Layout, Vectors
from ragmed.records import Passage


class Index:
    """>>> index = Index.open(workspace.indexes / "handbook")  # doctest: +SKIP
    >>> scores, rows = index.search(embedder.embed_queries(["asthma attack"]), k=5)  # doctest: +SKIP
    >>> index.passage(int(rows[0, 0])).title  # doctest: +SKIP
    'Asthma'

    `manifest` says what made it; `device` where it is searched, `streaming` whether from disk, for the user to read.
    """

    def __init__(self, folder: Path, manifest: Manifest, *, devices: str, streaming: bool) -> None:
        self.folder = folder
        self.manifest = manifest
        self.streaming = streaming
        where = parse_devices("cpu" if streaming else devices)
        self.device = where.text
        self._passages = PassageFile(folder / "passages.arrow", mapped=True)
        layout = Layout(folder, manifest.counts["vectors"], manifest.dimension, manifest.recipe["shard_size"])
        if len(self._passages) != layout.count:
            raise DamagedError(
                f"'{folder}' holds {len(self._passages)} passages and {layout.count} vectors; {remedy(manifest.name)}"
            )
        self._searcher = Searcher(
            layout, factory=manifest.factory, devices=where, parameters=manifest.recipe["search"], streaming=streaming
        )
        if read_manifest(folder).files != manifest.files:  # a build moved its files in while these were opened
            raise BusyError(f"index '{manifest.name}' was built anew while it was being opened; open it again")

    @classmethod
    def open(
        cls, folder: Path, *, verify: bool = True, memory_budget: int | None = None, devices: str = "cpu"
    ) -> Index:
        """Opens a built index.

        `verify` hashes every file (about a second a gigabyte); sizes are looked at in any case. An exact index whose
        float32 vectors need more than `memory_budget` bytes (by default half of the free memory) is searched from
        disk, with the same results. `devices`: auto, cpu, cuda, cuda:0,1, all.

        An open index goes on with its own files where another build replaces them. Raises DataError where there is
        no index, DamagedError (naming the file), MissingDependencyError, BusyError (built anew at this moment).
        """
        manifest = read_manifest(folder)
        check_files(folder, manifest, hashes=verify)
        budget = available_memory() // 2 if memory_budget is None else memory_budget
        needed = manifest.counts["vectors"] * manifest.dimension * 4
        return cls(folder, manifest, devices=devices, streaming=manifest.factory == "Flat" and needed > budget)

    def __len__(self) -> int:
        return len(self._passages)

    def passage(self, row: int) -> Passage:
        """IndexError where there is no such row."""
        return self._passages[row]

    def passages(self, rows: Sequence[int]) -> list[Passage]:
        """Passages by row, in the order asked."""
        return self._passages.rows(rows)

    def __iter__(self) -> Iterator[Passage]:
        """Every passage, in row order, streamed."""
        return iter(self._passages)

    def naming(self, ids: str) -> frozenset[str]:
        """The corpora that name their documents by such ids (`ids` in their recipes); all of them where `ids` is ''."""
        return frozenset(str(one["name"]) for one in self.manifest.corpora if not ids or one["ids"] == ids)

    def passages_of(self, names: Sequence[str], *, ids: str = "") -> dict[str, list[Passage]]:
        """The passages of documents, in order; an empty list for a document that is not here.

        A name is an id, or `CORPUS:ID`. Of the corpora only those whose recipe says these `ids` are looked at: the
        same number may be one thing's PMID and another's place in a list. Where two corpora hold the document that a
        PMID names, both count. MismatchError where an id of no declared kind stands for documents of two corpora.
        """
        keys = {name: self._keys(name, ids) for name in names}
        by_key = self._passages.of_documents([key for several in keys.values() for key in several])
        found = {}
        for name, several in keys.items():
            here = [key for key in several if by_key[key]]
            if len(here) > 1 and not ids:
                raise MismatchError(
                    f"'{name}' is a document of more than one corpus of index '{self.manifest.name}': write "
                    + " or ".join(f"'{key}'" for key in here)
                )
            found[name] = [passage for key in here for passage in by_key[key]]
        return found

    def _keys(self, name: str, ids: str) -> list[str]:
        corpora = self.naming(ids)
        keys = [f"{corpus}:{name}" for corpus in sorted(corpora)]
        return [*keys, name] if name.partition(":")[0] in corpora else keys

    def search(self, vectors: Vectors, *, k: int) -> tuple[Vectors, Rows]:
        """float32 [n, d], rows of length 1 -> scores (inner products, float32) and rows (int64), best first.

        Both are [n, min(k, len(self))]. Equal scores are ordered by row; the same query gets the same answer whatever
        stands beside it. UsageError for k < 1, another dimension, NaN.
        """
        return self._searcher.search(vectors, k=k)

    def require_embedder(self, embedder: Embedder) -> None:
        """MismatchError where the passages were embedded by another model, or the same one otherwise."""
        mine, theirs = dict(self.manifest.embedder), embedder.fingerprint()
        # the same weights may lie in a package, a folder and on a hub: where they were found changes no vector
        different = sorted(
            key for key in (mine.keys() | theirs.keys()) - {"embedder", "revision"} if mine.get(key) != theirs.get(key)
        )
        if different:
            raise MismatchError(
                f"index '{self.manifest.name}' was built with {_described(mine)}, and cannot be searched with "
                f"{_described(theirs)}: {', '.join(different)} differ; use the same, or build another index"
            )


def _described(fingerprint: dict[str, str]) -> str:
    shown = [f"'{fingerprint.get('embedder', 'an embedder')}'", fingerprint.get("precision", "")]
    return " ".join([*shown, f"(weights {fingerprint.get('weights', '?')[:12]}, {fingerprint.get('dimension')})"])


def available_memory() -> int:
    """Bytes that can be had without swapping, as Linux estimates it; elsewhere, what is unused."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass  # not Linux
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
