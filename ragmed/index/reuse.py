"""Vectors that are here already: passages of a corpus that has a finished index of its own need no second embedding.

In: the recipe and the facts of an index over several corpora. Out: for a row of passages, the stored vectors of those
that another index holds, word for word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragmed.embedding import Fingerprint
from ragmed.errors import DamagedError, DataError
from ragmed.index.manifest import MANIFEST, CorpusFacts, Cut, Manifest, check_files, read_manifest
from ragmed.index.passages import PassageFile
from ragmed.index.vectors import Layout, Vectors
from ragmed.records import Passage


@dataclass(frozen=True, slots=True)
class _Source:
    """An index over one corpus, and the row at which that corpus begins in the index that is being built."""

    passages: PassageFile
    layout: Layout
    start: int


class Reuse:
    """
        reuse = Reuse.find(workspace.indexes, facts, chunking=cut, embedder=model.fingerprint(), counts=counts)
        positions, vectors = reuse.vectors(row, passages)
        reuse.close()

    The vectors that other indexes of the workspace hold already. `vectors` gives positions in the list of passages and
    a float32 array of shape (positions, dimension), or None where none is known.
    """

    def __init__(self, sources: Mapping[str, _Source]) -> None:
        self._sources = dict(sources)

    @classmethod
    def find(
        cls,
        indexes: Path,
        facts: Sequence[CorpusFacts],
        *,
        chunking: Cut,
        embedder: Fingerprint,
        counts: Mapping[str, int],
    ) -> Reuse:
        """Looks through the finished indexes for one over each corpus alone, cut and embedded in the same way, whole.

        `facts`: of the corpora, in order; `counts`: corpus -> its passages. None is looked for where there is one
        corpus only: an index over that would be this very one.
        """
        sources: dict[str, _Source] = {}
        start = 0
        for corpus in facts if len(facts) > 1 else ():
            for file in sorted(indexes.glob(f"*/{MANIFEST}")):
                manifest = _usable(file.parent, corpus, chunking=chunking, embedder=embedder)
                if manifest:
                    sources[corpus.name] = _open(file.parent, manifest, start)
                    break
            start += counts.get(corpus.name, 0)
        return cls(sources)

    def vectors(self, row: int, passages: Sequence[Passage]) -> tuple[list[int], Vectors | None]:
        """Which of the passages from `row` on are known (their places in the list), and their vectors."""
        positions: list[int] = []
        parts: list[Vectors] = []
        for corpus in dict.fromkeys(passage.corpus for passage in passages):
            source = self._sources.get(corpus)
            if source is None:
                continue
            mine = [position for position, passage in enumerate(passages) if passage.corpus == corpus]
            first, last = row + mine[0] - source.start, row + mine[-1] + 1 - source.start
            if first < 0 or last > len(source.passages):
                continue
            known = source.passages.span(first, last)
            same = [passage == passages[position] for passage, position in zip(known, mine, strict=True)]
            rows = _rows(source.layout, first, last)[np.array(same)]
            positions += [position for position, equal in zip(mine, same, strict=True) if equal]
            parts.append(rows)
        return positions, np.concatenate(parts) if positions else None

    def close(self) -> None:
        for source in self._sources.values():
            source.passages.close()


def _usable(folder: Path, corpus: CorpusFacts, *, chunking: Cut, embedder: Fingerprint) -> Manifest | None:
    try:
        manifest = read_manifest(folder)
        alone = [(facts.name, facts.sha256) for facts in manifest.corpora] == [(corpus.name, corpus.sha256)]
        whole = len(manifest.segments) == 1 and not manifest.tombstones
        if not alone or not whole or (manifest.chunking, manifest.embedder) != (chunking, embedder):
            return None
        check_files(folder, manifest, hashes=True)
    except DataError:  # damaged, or of another version: it is of no use here, and says so when it is opened
        return None
    return manifest


def _open(folder: Path, manifest: Manifest, start: int) -> _Source:
    segment = folder / manifest.segments[0].folder
    layout = Layout(segment, manifest.counts.vectors, manifest.dimension, manifest.recipe.shard_size)
    passages = PassageFile(segment / "passages.arrow", mapped=False)
    if len(passages) != layout.count:
        raise DamagedError(f"'{folder}' holds {len(passages)} passages and {layout.count} vectors")
    return _Source(passages, layout, start)


def _rows(layout: Layout, first: int, last: int) -> Vectors:
    parts = []
    for shard in range(first // layout.shard_size, -(-last // layout.shard_size)):
        start, stop = layout.span(shard)
        parts.append(layout.open(shard)[max(first, start) - start : min(last, stop) - start].astype(np.float32))
    return np.concatenate(parts)
