"""Scores that cost a model's reading, kept on disk by what was read, so that nothing is read twice.

A file of records of 40 bytes: the sha256 of what was scored, the score (float32), a CRC of both. Records are only ever
appended, under a lock; one that a kill tore, or that was damaged, is no score: what it stood for is computed again.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from ragmed.files import make_folder, writing

RECORD = struct.Struct("<32sf")
SIZE = RECORD.size + 4


class ScoreCache:
    """
    >>> cache = ScoreCache()
    >>> cache.add({b"k" * 32: 0.5})
    >>> cache.known([b"k" * 32, b"?" * 32])
    {b'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk': 0.5}

    `path`: its file, readable by its owner alone; None: in memory, for what must not be written, as of records.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._scores: dict[bytes, float] = {}
        if path is not None and path.exists():
            self._scores = _read(path.read_bytes())

    def known(self, keys: Iterable[bytes]) -> dict[bytes, float]:
        """The scores of those keys that there is one of."""
        return {key: self._scores[key] for key in keys if key in self._scores}

    def add(self, scores: Mapping[bytes, float]) -> None:
        """Keeps scores, each a float32, by keys of 32 bytes. UnwritableError where the disk is full."""
        self._scores |= scores
        if self._path is None or not scores:
            return
        make_folder(self._path.parent, mode=0o700)
        lines = b"".join(_record(key, score) for key, score in scores.items())
        with writing(self._path), os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(file.seek(0, os.SEEK_END) // SIZE * SIZE)  # over what a kill tore
            file.write(lines)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def _record(key: bytes, score: float) -> bytes:
    data = RECORD.pack(key, score)
    return data + zlib.crc32(data).to_bytes(4, "little")


def _read(data: bytes) -> dict[bytes, float]:
    scores: dict[bytes, float] = {}
    for start in range(0, len(data) - SIZE + 1, SIZE):
        line = data[start : start + SIZE]
        if zlib.crc32(line[:-4]) == int.from_bytes(line[-4:], "little"):
            key, score = RECORD.unpack(line[:-4])
            scores[key] = score
    return scores
