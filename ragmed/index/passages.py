"""Passages to and from an Arrow IPC file: written batch by batch, read by memory map; row number = vector number."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

from ragmed.errors import DamagedError
from ragmed.records import DocumentKey, Passage

BATCH = 2048
_TEXTS = ("id", "document", "title", "heading", "text", "source", "corpus", "citation", "date", "access")
_NUMBERS = ("start", "end")


def _schema() -> Any:
    import pyarrow

    # large_string: 64-bit offsets, so that no batch is too big for its texts
    names = [(name, pyarrow.large_string()) for name in _TEXTS] + [(name, pyarrow.int64()) for name in _NUMBERS]
    return pyarrow.schema(names)


def write_passages(path: Path, passages: Iterable[Passage]) -> int:
    """Writes all passages, 2,048 a batch, and returns how many there were; the file is on disk when this returns."""
    import pyarrow

    schema, count, waiting = _schema(), 0, []
    with path.open("wb") as stream:
        with pyarrow.ipc.new_file(stream, schema) as writer:
            for passage in passages:
                waiting.append(passage)
                if len(waiting) == BATCH:
                    writer.write_batch(_batch(waiting, schema))
                    count += len(waiting)
                    waiting = []
            if waiting:
                writer.write_batch(_batch(waiting, schema))
                count += len(waiting)
        stream.flush()
        os.fsync(stream.fileno())
    return count


def _batch(passages: Sequence[Passage], schema: Any) -> Any:
    import pyarrow

    columns = [[getattr(passage, name) for passage in passages] for name in (*_TEXTS, *_NUMBERS)]
    return pyarrow.record_batch([pyarrow.array(c, type=f.type) for c, f in zip(columns, schema, strict=True)], schema)


class PassageFile:
    """Read by row: `PassageFile(Path("passages.arrow"), mapped=True)[0].title`.

    Read-only; `mapped` False reads through a buffer instead, so that pages read once do not count as memory held.
    """

    def __init__(self, path: Path, *, mapped: bool) -> None:
        import pyarrow

        self._path = path
        try:
            self._source = pyarrow.memory_map(str(path)) if mapped else pyarrow.OSFile(str(path))
            self._reader = pyarrow.ipc.open_file(self._source)
            self._batches = self._reader.num_record_batches
            last = self._reader.get_batch(self._batches - 1).num_rows if self._batches else 0
        except (pyarrow.ArrowException, OSError) as error:
            raise DamagedError(f"'{path}' is not a whole Arrow file: {error}") from error
        self._length: int = max(0, self._batches - 1) * BATCH + last

    def __len__(self) -> int:
        return self._length

    def close(self) -> None:
        self._source.close()

    def __getitem__(self, row: int) -> Passage:
        return self.rows([row])[0]

    def rows(self, rows: Sequence[int]) -> list[Passage]:
        """The passages with these numbers, in this order; IndexError for a number that is not there."""
        by_batch: dict[int, list[int]] = {}
        for row in dict.fromkeys(rows):
            if not 0 <= row < self._length:
                raise IndexError(f"passage {row} of {self._length}")
            by_batch.setdefault(row // BATCH, []).append(row)
        passages: dict[int, Passage] = {}
        for number, several in by_batch.items():
            batch = self._reader.get_batch(number).take([row % BATCH for row in several])
            passages.update(zip(several, _passages(batch), strict=True))
        return [passages[row] for row in rows]

    def span(self, start: int, stop: int) -> list[Passage]:
        """Passages start <= row < stop, in order."""
        passages: list[Passage] = []
        for number in range(start // BATCH, -(-stop // BATCH)):
            first = number * BATCH
            low, high = max(start, first) - first, min(stop, first + BATCH) - first
            passages.extend(_passages(self._reader.get_batch(number).slice(low, high - low)))
        return passages

    def __iter__(self) -> Iterator[Passage]:
        for number in range(self._batches):
            yield from _passages(self._reader.get_batch(number))

    def documents(self) -> Iterator[Passage]:
        """Each document as a passage without words: its names, source, date and access; those of a document follow one
        another."""
        last = None
        names = ("corpus", "document", "source", "date", "access")
        for number in range(self._batches):
            batch = self._reader.get_batch(number)
            for row in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                if row[:2] != last:
                    corpus, document, source, date, access = row
                    yield Passage("", document, "", "", "", 0, 0, source, corpus=corpus, date=date, access=access)
                last = row[:2]

    def counts(self) -> dict[str, int]:
        """Corpus -> how many passages it has here; the passages of a corpus follow one another."""
        import pyarrow.compute as compute

        totals: dict[str, int] = {}
        for number in range(self._batches):
            for entry in compute.value_counts(self._reader.get_batch(number).column("corpus")).to_pylist():
                totals[entry["values"]] = totals.get(entry["values"], 0) + entry["counts"]
        return totals

    def of_documents(self, keys: Iterable[DocumentKey]) -> dict[DocumentKey, list[Passage]]:
        """Every asked document's passages, by its key, in order; an empty list for one that has none."""
        passages: dict[DocumentKey, list[Passage]] = {key: [] for key in keys}
        for _, passage in self._of(passages.keys()):
            passages[passage.document_key].append(passage)
        return passages

    def rows_of(self, keys: Iterable[DocumentKey]) -> list[int]:
        """The rows of all passages of these documents, ascending."""
        return [row for row, _ in self._of(set(keys))]

    def _of(self, keys: Set[DocumentKey]) -> Iterator[tuple[int, Passage]]:
        import pyarrow
        import pyarrow.compute as compute

        wanted = pyarrow.array(sorted({key.id for key in keys}), type=pyarrow.large_string())
        for number in range(self._batches if keys else 0):
            batch = self._reader.get_batch(number)
            mask = compute.is_in(batch.column("document"), value_set=wanted)
            if mask.true_count:
                rows = compute.indices_nonzero(mask).to_pylist()
                for row, passage in zip(rows, _passages(batch.filter(mask)), strict=True):
                    if passage.document_key in keys:
                        yield number * BATCH + row, passage


def _passages(batch: Any) -> list[Passage]:
    columns = {name: batch.column(name).to_pylist() for name in (*_TEXTS, *_NUMBERS)}
    return [Passage(**{name: columns[name][row] for name in columns}) for row in range(batch.num_rows)]
