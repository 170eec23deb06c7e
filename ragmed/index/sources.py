"""The corpora of an index as one stream of documents, and what they were: counts, hashes, licences, access."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ragmed.corpora import Corpus, Recipe, load_recipe
from ragmed.errors import UnknownNameError, UsageError
from ragmed.files import sha256_json
from ragmed.index.manifest import CorpusFacts
from ragmed.records import Document
from ragmed.workspace import Workspace


class Sources:
    """Read once, described after:

        sources = Sources(["handbook"], workspace=Workspace.find(), rejected=None)
        documents = list(sources.documents())
        sources.facts()[0].documents == len(documents)

    A document knows its corpus: ids are unique only within one. `rejected`: the folder for the lists of refused
    records, or None for none.
    """

    def __init__(self, names: Sequence[str], *, workspace: Workspace, rejected: Path | None) -> None:
        self._recipes: list[Recipe] = [
            load_recipe(workspace.recipe("corpora", name), data=workspace.data) for name in names
        ]
        called = [recipe.name for recipe in self._recipes]
        for name in called:
            if called.count(name) > 1:
                raise UsageError(
                    f"two corpora of one index are called '{name}', so that their documents have the same keys; "
                    "rename the folder of one"
                )
        self._corpora = [
            Corpus(recipe, rejected=rejected / self._file(recipe.name) if rejected else None)
            for recipe in self._recipes
        ]
        self._stamps = [""] * len(names)

    def _file(self, corpus: str) -> str:
        return "rejected.jsonl" if len(self._recipes) == 1 else f"rejected.{corpus}.jsonl"

    @property
    def open(self) -> bool:
        """Whether every corpus may be seen by anybody."""
        return all(recipe.access == "open" for recipe in self._recipes)

    def documents(self) -> Iterator[Document]:
        for number, (recipe, corpus) in enumerate(zip(self._recipes, self._corpora, strict=True)):
            self._stamps[number] = stamp(recipe)  # before the reading: what changes meanwhile must look changed
            yield from corpus.documents()

    def facts(self) -> tuple[CorpusFacts, ...]:
        """One record a corpus, once `documents()` has been read to its end."""
        return tuple(
            _described(recipe, corpus, files)
            for recipe, corpus, files in zip(self._recipes, self._corpora, self._stamps, strict=True)
        )

    def scan(self) -> tuple[CorpusFacts, ...]:
        """The same facts from a reading for their sake alone: minutes less than embedding would take."""
        for _ in self.documents():
            pass
        return self.facts()


def _described(recipe: Recipe, corpus: Corpus, files: str) -> CorpusFacts:
    summary: Mapping[str, Any] = corpus.summary()
    return CorpusFacts(
        name=recipe.name,
        title=recipe.title,
        license=recipe.license,
        access=recipe.access,
        ids=recipe.ids,
        citation=recipe.citation,
        source=recipe.source,
        stamp=files,
        reasons=tuple(corpus.reasons()),
        **summary,
    )


def stamp(recipe: Recipe) -> str:
    """One hash of how a corpus is read and of its files' paths, sizes and times: equal stamps, equal corpus.

    The other way round it does not hold: a copied file has another time.
    """
    files = []
    for root in recipe.paths:
        if not root.is_dir():
            files.append(["", *_facts(root)])
        for folder, names, found in os.walk(root):
            names.sort()
            here = Path(folder)
            # names may be no Unicode: repr() writes any
            files.extend([repr(str((here / name).relative_to(root))), *_facts(here / name)] for name in sorted(found))
    facts: list[Any] = [recipe.reader, recipe.source, recipe.license, recipe.access, recipe.date]
    facts += [recipe.citation, recipe.cite, recipe.ids, dict(recipe.options)]
    return sha256_json({"recipe": facts, "files": files})


def _facts(path: Path) -> list[int]:
    try:
        facts = path.stat()
    except OSError:
        return []
    # the system sets the time of change at every write, and nobody can set it back, as copying tools do the other one
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


def changed_corpora(names: Sequence[str], built: Sequence[CorpusFacts], *, workspace: Workspace) -> list[str]:
    """Which of an index's corpora no longer hold what it was built from (`built`: its manifest's `corpora`).

    Where the stamp differs the corpus is read, since only its content counts. A corpus that is not here, as beside an
    index that was copied from elsewhere, has not changed. DataError where a corpus is here and cannot be read.
    """
    changed = []
    for name, known in zip(names, built, strict=True):
        try:
            path = workspace.recipe("corpora", name)
        except UnknownNameError:
            continue
        recipe = load_recipe(path, data=workspace.data)
        if not all(_reachable(root) for root in recipe.paths) or stamp(recipe) == known.stamp:
            continue
        corpus = Corpus(recipe)
        for _ in corpus.documents():
            pass
        if corpus.summary()["sha256"] != known.sha256 or recipe.ids != known.ids:
            changed.append(name)
    return changed


def _reachable(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
