"""The folders a user works in, under one root: corpora/ indexes/ adapters/ configs/ runs/ models/ cache/.

The root is `--root`, else RAGMED_ROOT, else the current folder. Data sets that others publish lie under RAGMED_DATA
(by default `../shared/data` beside the root).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ragmed.errors import UnknownNameError
from ragmed.files import user_path


@dataclass(frozen=True, slots=True)
class Workspace:
    """
    >>> Workspace.find("/data/trial").indexes
    PosixPath('/data/trial/indexes')
    """

    root: Path

    @classmethod
    def find(cls, root: str | Path | None = None) -> Workspace:
        return cls(user_path(root or os.environ.get("RAGMED_ROOT") or Path.cwd()).resolve())

    @property
    def corpora(self) -> Path:
        return self.root / "corpora"

    @property
    def indexes(self) -> Path:
        return self.root / "indexes"

    @property
    def adapters(self) -> Path:
        return self.root / "adapters"

    @property
    def configs(self) -> Path:
        return self.root / "configs"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def cache(self) -> Path:
        """What can be deleted at any time, and is then computed again."""
        return self.root / "cache"

    @property
    def data(self) -> Path:
        """Where published data sets lie: RAGMED_DATA, else `../shared/data` beside the root."""
        return user_path(os.environ.get("RAGMED_DATA") or self.root / ".." / "shared" / "data").resolve()

    def recipe(self, kind: str, name_or_path: str) -> Path:
        """A kind (such as `corpora`) and a name or a path -> the recipe file; UnknownNameError lists what there is."""
        given = user_path(name_or_path)
        for candidate in (given, given / "recipe.yaml"):
            if candidate.suffix in (".yaml", ".yml") and candidate.is_file():
                return candidate.resolve()
        folder = self.root / kind
        recipe = folder / name_or_path / "recipe.yaml"
        if recipe.is_file():
            return recipe
        singular = {"corpora": "corpus", "indexes": "index", "adapters": "adapter"}[kind]
        raise UnknownNameError(singular, name_or_path, self.names(kind), str(folder))

    def adapter(self, name_or_path: str) -> Path:
        """The folder of an adapter: a name in adapters/, or a path."""
        named = self.adapters / name_or_path
        return named if named.is_dir() else user_path(name_or_path)

    def names(self, kind: str) -> list[str]:
        """Names of the corpora, indexes or adapters that have a recipe here."""
        return sorted(path.parent.name for path in (self.root / kind).glob("*/recipe.yaml"))
