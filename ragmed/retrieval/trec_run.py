"""A TREC run file of passages in, their ids in order for each query out: what `replay: trec:FILE` shows again."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from ragmed.errors import DataError, UsageError
from ragmed.files import read_text

COLUMNS = 6
_HASH = re.compile(r"([0-9a-f]{64}) (\S+)")


@dataclass(frozen=True, slots=True)
class Ranked:
    """A passage's id and its score in the file; its rank is its place."""

    id: str
    score: float


def read_trec_run(path: Path) -> dict[str, list[Ranked]]:
    """
        read_trec_run(Path("out/passages/bm25-32/bioasq.txt"))["q1"][0]
        # Ranked("pubmed-sample:9465206#0", 32.0)

    Query -> its passages, first by score, highest first, and among equal ones by the rank column, then by id (trec_eval
    looks at scores alone). Percent-encoded names are decoded. UsageError where there is no file; DataError, with the
    line, for other than six columns, a score that is no finite number, a rank that is no whole number, an id without
    `#` (a document's), an id that is ranked twice, or an empty file.
    """
    if not path.exists():
        raise UsageError(f"no TREC run file '{path}'; ragmed retrieve CONFIG --output DIR writes one")
    lines = read_text(path, "TREC run file").splitlines()
    ranked: dict[str, dict[str, tuple[float, int]]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        query, passage, rank, score = _columns(line, f"'{path}', line {number}")
        of_query = ranked.setdefault(query, {})
        if passage in of_query:
            raise DataError(f"'{path}', line {number}: passage '{passage}' is ranked twice for query '{query}'")
        of_query[passage] = (-score, rank)
    if not ranked:
        raise DataError(f"'{path}' ranks nothing")
    return {
        query: [Ranked(id_, -found[id_][0]) for id_ in sorted(found, key=lambda id_: (*found[id_], id_))]
        for query, found in ranked.items()
    }


def texts_file(path: Path) -> Path:
    """Where the hashes of the passages lie that a TREC run file ranks: `bioasq.txt`, `bioasq.sha256`."""
    return path.with_suffix(".sha256")


def read_texts(path: Path) -> dict[str, str]:
    """Passage id -> hash of what it said, from beside the TREC run file at `path`; {} where nothing lies there, as
    beside another program's. DataError, with the line, for anything else than `HASH ID`.
    """
    beside = texts_file(path)
    if beside == path or not beside.exists():
        return {}
    texts: dict[str, str] = {}
    for number, line in enumerate(read_text(beside, "file of passages' hashes").splitlines(), 1):
        found = _HASH.fullmatch(line)
        if not found or texts.setdefault(unquote(found[2]), found[1]) != found[1]:
            raise DataError(
                f"'{beside}', line {number}: not the sha256 of a passage's text, a blank and its id, or a second "
                f"one for that id; take '{beside.name}' as ragmed retrieve wrote it"
            )
    return texts


def nothing_file(path: Path) -> Path:
    """Where the queries lie for which nothing was found, and which a TREC run file therefore cannot name."""
    return path.with_suffix(".nothing")


def read_nothing(path: Path) -> frozenset[str]:
    """The queries for which nothing was found, from beside the TREC run file at `path`, one a line."""
    beside = nothing_file(path)
    if not beside.exists():
        return frozenset()
    lines = read_text(beside, "file of queries without a passage").splitlines()
    return frozenset(unquote(line.strip()) for line in lines if line.strip())


def _columns(line: str, where: str) -> tuple[str, str, int, float]:
    columns = line.split()
    if len(columns) != COLUMNS:
        raise DataError(f"{where}: {len(columns)} columns; a TREC run has six: query Q0 passage rank score tag")
    try:
        rank, score = int(columns[3]), float(columns[4])
    except ValueError:
        raise DataError(f"{where}: rank '{columns[3]}' and score '{columns[4]}' must be numbers") from None
    if not math.isfinite(score):
        raise DataError(f"{where}: the score '{columns[4]}' is no finite number")
    passage = unquote(columns[2])
    if "#" not in passage:
        raise DataError(
            f"{where}: '{passage}' is no passage's id (CORPUS:DOCUMENT#N); of what ragmed retrieve writes, take the "
            "files of passages/, not of runs/"
        )
    return unquote(columns[0]), passage, rank, score
