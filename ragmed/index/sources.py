"""The corpora of an index as one stream of documents, and what they were: counts, hashes, licences, access."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragmed.corpora import Corpus, Recipe, load_recipe
from ragmed.records import Document
from ragmed.workspace import Workspace


class Sources:
    """>>> sources = Sources(["handbook"], workspace=Workspace.find(), rejected=None)  # doctest: +SKIP
    >>> documents = list(sources.documents()); sources.facts()[0]["documents"]  # doctest: +SKIP

    With more than one corpus, document ids get the corpus's name before them (`handbook:asthma`): ids are unique only
    within a corpus. `rejected`: the folder for the lists of refused records, or None for none.
    """

    def __init__(self, names: Sequence[str], *, workspace: Workspace, rejected: Path | None) -> None:
        self._recipes: list[Recipe] = [
            load_recipe(workspace.recipe("corpora", name), data=workspace.data) for name in names
        ]
        self._corpora = [
            Corpus(recipe, rejected=rejected / self._file(recipe.name) if rejected else None)
            for recipe in self._recipes
        ]

    def _file(self, corpus: str) -> str:
        return "rejected.jsonl" if len(self._recipes) == 1 else f"rejected.{corpus}.jsonl"

    @property
    def open(self) -> bool:
        """Whether every corpus may be seen by anybody."""
        return all(recipe.access == "open" for recipe in self._recipes)

    def documents(self) -> Iterator[Document]:
        for recipe, corpus in zip(self._recipes, self._corpora, strict=True):
            for document in corpus.documents():
                if len(self._recipes) > 1:
                    document = replace(document, id=f"{recipe.name}:{document.id}")
                yield document

    def facts(self) -> list[dict[str, Any]]:
        """One record a corpus, once `documents()` has been read to its end."""
        return [
            {
                "name": recipe.name,
                "title": recipe.title,
                "license": recipe.license,
                "access": recipe.access,
                "citation": recipe.citation,
                "source": recipe.source,
                **corpus.summary(),
            }
            for recipe, corpus in zip(self._recipes, self._corpora, strict=True)
        ]

    def scan(self) -> list[dict[str, Any]]:
        """The same facts from a reading for their sake alone: minutes less than embedding would take."""
        for _ in self.documents():
            pass
        return self.facts()
