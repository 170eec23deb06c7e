"""Vectors that others made in, the vector of a passage out, so that nobody embeds millions of abstracts again.

NCBI gives MedCPT's vectors of all of PubMed away (`embeds_chunk_0.npy` with `pmids_chunk_0.json`), MedRAG those of its
corpora, one a snippet in the snippets' order. A vector is a whole document's: it serves where the document is one
passage here; a document that is cut into several is embedded, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from ragmed.checked import kind_found
from ragmed.errors import DataError
from ragmed.files import parse_json, read_text, records, require_file, sha256_file, sha256_json, user_path
from ragmed.index.recipe import IndexRecipe
from ragmed.index.vectors import Vectors
from ragmed.records import Passage
from ragmed.workspace import Workspace


def _chunk(path: Path) -> Path:
    """MedRAG keeps vectors in CORPUS/index/ORG/MODEL/embedding, snippets in CORPUS/chunk; both may lie side by side."""
    names = [folder / "chunk" / f"{path.stem}.jsonl" for folder in path.parents[1:5]]
    return next((name for name in names if name.exists()), names[0])


PAIRS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "medcpt": ("embeds_chunk_*.npy", lambda path: path.with_name(f"pmids{path.stem.removeprefix('embeds')}.json")),
    "medrag": ("embedding/*.npy", _chunk),
    "npy": ("*.npy", lambda path: path.with_suffix(".txt")),
}
"""Of a kind: where vectors lie, and where the ids of a file of them."""
CHECKED = 4
"""So many vectors of each file, and of each window of a build, are held against their passages embedded here. A file
whose ids stand in another order, or a stretch of it, is found by that; two vectors that are exchanged are not."""


class ReadyVectors:
    """
        ready = ReadyVectors.open(recipe, workspace)
        places, vectors, cut = ready.vectors(passages, after=[])

    `len`: how many there are. `dimension`: of each. `sha256`: over all files.
    """

    def __init__(self, corpus: str, files: Sequence[tuple[Path, Path]], ids: Sequence[Sequence[str]]) -> None:
        self._corpus = corpus
        self._arrays = [_opened(path, len(some), names) for (path, names), some in zip(files, ids, strict=True)]
        self.dimension = int(self._arrays[0].shape[1])
        strange = [path for (path, _), a in zip(files, self._arrays, strict=True) if a.shape[1] != self.dimension]
        if strange:
            raise DataError(f"'{strange[0]}' holds vectors of another dimension than '{files[0][0]}'")
        if not any(ids):
            raise DataError(f"ready-made vectors in '{files[0][0].parent}': the files hold none; fetch them again")
        # sorted bytes rather than a dict: 24 million ids are 0.4 GB of one, and 4 GB of the other
        every = np.array([name.encode("utf-8") for some in ids for name in some], dtype="S")
        self._order = np.argsort(every, kind="stable")
        self._names = every[self._order]
        twice = np.flatnonzero(self._names[1:] == self._names[:-1])
        if len(twice):
            raise DataError(
                f"ready-made vectors in '{files[0][0].parent}': document '{self._names[twice[0]].decode()}' has two; "
                "keep one file of each"
            )
        self._to_check = [CHECKED] * len(files)
        self._starts = np.cumsum([0, *(len(some) for some in ids)])
        self.sha256 = sha256_json([[sha256_file(path), sha256_file(names)] for path, names in files])

    @classmethod
    def open(cls, recipe: IndexRecipe, workspace: Workspace) -> ReadyVectors:
        """What a recipe names. DataError where there is none, ids and vectors do not match, or an id stands twice."""
        assert recipe.vectors is not None
        given = user_path(recipe.vectors.path)
        folder = given if given.is_absolute() else workspace.root / given
        pattern, ids_of = PAIRS[recipe.vectors.kind]
        found = sorted(folder.glob(pattern))
        if not found:
            raise DataError(
                f"index '{recipe.name}': '{folder}' holds no {pattern}; correct vectors.path or vectors.kind"
            )
        files = [(path, ids_of(path)) for path in found]
        return cls(recipe.vectors.corpus or recipe.corpora[0], files, [_ids(names) for _, names in files])

    def __len__(self) -> int:
        return len(self._names)

    def vectors(self, passages: Sequence[Passage], after: Sequence[Passage]) -> tuple[dict[int, int], Vectors, int]:
        """For passages in their order (`after`: the one behind them): place in the list -> row of the array; the array;
        and how many documents begin here that have a vector and are several passages."""
        following = [*passages, *after][1:]
        same = [a.document_key == b.document_key for a, b in zip(passages, following, strict=False)]
        same += [False] * (len(passages) - len(same))
        first = [i for i, p in enumerate(passages) if p.corpus == self._corpus and p.id.endswith("#0")]
        rows = dict(zip(first, self._rows([passages[i].document for i in first]), strict=True))
        known = [i for i in first if rows[i] >= 0]
        whole = [i for i in known if not same[i]]
        made = np.stack([self._one(rows[i]) for i in whole]) if whole else np.zeros((0, self.dimension), np.float32)
        return {place: number for number, place in enumerate(whole)}, made, len(known) - len(whole)

    def to_check(self, documents: Sequence[str]) -> list[int]:
        """Of documents that have a vector, the places of those to be held against what is embedded here: CHECKED in
        even steps, and as many of each file as soon as it comes up."""
        places = set(np.linspace(0, len(documents) - 1, min(CHECKED, len(documents))).astype(int).tolist())
        for place, row in enumerate(self._rows(documents)):
            file = self._file_of(row)
            if self._to_check[file]:
                self._to_check[file] -= 1
                places.add(place)
        return sorted(places)

    def _rows(self, documents: Sequence[str]) -> list[int]:
        """Of each document the row of its vector, over all files; -1 where it has none."""
        asked = np.array([name.encode("utf-8") for name in documents], dtype="S")
        if not len(asked):
            return []
        at = np.minimum(np.searchsorted(self._names, asked), len(self._names) - 1)
        return [int(self._order[i]) if self._names[i] == name else -1 for i, name in zip(at, asked, strict=True)]

    def _one(self, row: int) -> Vectors:
        file = self._file_of(row)
        vector: Vectors = self._arrays[file][row - int(self._starts[file])].astype(np.float32)
        return vector

    def _file_of(self, row: int) -> int:
        return int(np.searchsorted(self._starts, row, side="right")) - 1


def _opened(path: Path, count: int, names: Path) -> npt.NDArray[Any]:
    require_file(path, "ready-made vectors")
    try:
        array: npt.NDArray[Any] = open_memmap(path, mode="r")  # which reads neither pickles nor archives of arrays
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"ready-made vectors '{path}' cannot be read ({error}); fetch the file again") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise DataError(f"'{path}' holds {array.dtype} {array.shape}, not floats of shape [vectors, dimension]")
    if len(array) != count:
        raise DataError(f"'{path}' holds {len(array)} vectors and '{names}' {count} ids; fetch both again")
    return array


def _ids(path: Path) -> list[str]:
    what = "ids of ready-made vectors"
    if path.suffix == ".jsonl":
        return [_id(record.get("id"), where) for where, record in records(path, what)]
    text = read_text(path, what)
    if path.suffix == ".txt":
        return [_id(line.strip(), f"'{path}'") for line in text.split("\n") if line.strip()]
    try:
        values = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{what} '{path}' are not JSON: {error}") from error
    if not isinstance(values, list):
        raise DataError(f"{what} '{path}': a list was expected, found {kind_found(values)}")
    return [_id(value, f"'{path}'") for value in values]


def _id(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise DataError(f"{where}: {value!r} is no document's id; a text or a whole number was expected")
    return str(value)
