"""Scores that cost a model's reading, kept on disk by what was read, so that nothing is read twice.

A file of records of 52 bytes: the sha256 of what was scored, the score, the seconds that it took (clock, processors,
cards; float32 each, NaN where nobody measured), a CRC of all that. Records are only ever appended, under a lock; one
that a kill tore, or that was damaged, is no score: what it stood for is computed again.
"""

from __future__ import annotations

import fcntl
import math
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from ragmed.files import make_folder, writing
from ragmed.machine import Spent, summed

RECORD = struct.Struct("<32sffff")
SIZE = RECORD.size + 4


class ScoreCache:
    """
    >>> cache = ScoreCache()
    >>> cache.add({b"k" * 32: 0.5}, Spent(wall=2.0, cpu=1.5))
    >>> cache.known([b"k" * 32, b"?" * 32])
    {b'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk': 0.5}
    >>> cache.spent([b"k" * 32])
    Spent(wall=2.0, cpu=1.5, gpu=None)

    `path`: its file, readable by its owner alone; None: in memory, for what must not be written, as of records.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._kept: dict[bytes, tuple[float, Spent]] = {}
        if path is not None and path.exists():
            self._kept = _read(path.read_bytes())

    def known(self, keys: Iterable[bytes]) -> dict[bytes, float]:
        """The scores of those keys that there is one of."""
        return {key: self._kept[key][0] for key in keys if key in self._kept}

    def spent(self, keys: Iterable[bytes]) -> Spent:
        """What it took to make the scores of those keys that there is one of."""
        return summed(self._kept[key][1] for key in keys if key in self._kept)

    def add(self, scores: Mapping[bytes, float], spent: Spent) -> None:
        """Keeps scores, each a float32, by keys of 32 bytes; `spent`: what they took, each the same share of it.
        UnwritableError where the disk is full."""
        if not scores:
            return
        each = spent.of_each(len(scores))
        self._kept |= {key: (score, each) for key, score in scores.items()}
        if self._path is None:
            return
        make_folder(self._path.parent, mode=0o700)
        lines = b"".join(_record(key, score, each) for key, score in scores.items())
        with writing(self._path), os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(file.seek(0, os.SEEK_END) // SIZE * SIZE)  # over what a kill tore
            file.write(lines)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def _record(key: bytes, score: float, spent: Spent) -> bytes:
    cpu, gpu = (math.nan if part is None else part for part in (spent.cpu, spent.gpu))
    data = RECORD.pack(key, score, spent.wall, cpu, gpu)
    return data + zlib.crc32(data).to_bytes(4, "little")


def _read(data: bytes) -> dict[bytes, tuple[float, Spent]]:
    kept: dict[bytes, tuple[float, Spent]] = {}
    for start in range(0, len(data) - SIZE + 1, SIZE):
        line = data[start : start + SIZE]
        if zlib.crc32(line[:-4]) == int.from_bytes(line[-4:], "little"):
            key, score, wall, cpu, gpu = RECORD.unpack(line[:-4])
            kept[key] = score, Spent(wall, None if math.isnan(cpu) else cpu, None if math.isnan(gpu) else gpu)
    return kept
