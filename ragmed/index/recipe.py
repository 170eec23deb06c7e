"""indexes/NAME/recipe.yaml in, a frozen IndexRecipe out: what the index is made of and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ragmed.corpora.recipe import parse_yaml
from ragmed.embedding import PRECISIONS
from ragmed.errors import UnknownNameError, UsageError
from ragmed.files import read_text

SHARD_SIZE = 16_384


@dataclass(frozen=True, slots=True)
class ChunkingRecipe:
    """`max_tokens` 0: as many as the embedder reads."""

    splitter: str = "structure"
    max_tokens: int = 0
    overlap_sentences: int = 1


@dataclass(frozen=True, slots=True)
class IndexRecipe:
    """>>> load_index_recipe(Path("indexes/handbook/recipe.yaml")).factory  # doctest: +SKIP
    'Flat'

    `factory`: a FAISS factory string; `Flat` is exact. `search`: FAISS search parameters of an approximate one, such
    as `nprobe=16`. `shard_size`: vectors a file, which is also what a build holds in memory at most.
    """

    name: str
    corpora: tuple[str, ...]
    embedder: str
    precision: str = "float32"
    chunking: ChunkingRecipe = field(default_factory=ChunkingRecipe)
    factory: str = "Flat"
    search: str = ""
    shard_size: int = SHARD_SIZE

    def as_dict(self) -> dict[str, Any]:
        """Every field but the name, as JSON can hold it: equal recipes make equal indexes."""
        values = asdict(self)
        del values["name"]
        return values | {"corpora": list(self.corpora)}


def load_index_recipe(path: Path) -> IndexRecipe:
    """>>> load_index_recipe(Path("indexes/handbook/recipe.yaml")).corpora  # doctest: +SKIP
    ('handbook',)

    Named after its folder (or its file, where that is not recipe.yaml). Raises DataError where it cannot be read,
    UsageError or UnknownNameError where a key or a value is not one.
    """
    where = f"index recipe '{path}'"
    try:
        given = parse_yaml(read_text(path, "index recipe"))
    except ValueError as error:
        raise UsageError(f"{where} is not YAML: {error}") from error
    values = _keys(given, IndexRecipe, where, without=("name",))
    name = path.resolve().parent.name if path.name == "recipe.yaml" else path.stem
    if isinstance(values.get("corpora"), str):
        values["corpora"] = [values["corpora"]]
    if "chunking" in values:
        chunking = _keys(values["chunking"], ChunkingRecipe, f"{where}, chunking")
        values["chunking"] = ChunkingRecipe(**_typed(chunking, ChunkingRecipe(), f"{where}, chunking"))
    corpora = values.pop("corpora", None)
    if not isinstance(corpora, list) or not corpora or not all(isinstance(one, str) and one for one in corpora):
        raise UsageError(f"{where}: 'corpora' must list the names of corpora, such as [handbook]")
    if len(set(corpora)) != len(corpora):
        raise UsageError(f"{where}: 'corpora' names one twice")
    if not isinstance(values.get("embedder"), str):
        raise UsageError(f"{where}: 'embedder' must name one, such as packaged:minilm")
    example = IndexRecipe(name, tuple(corpora), values["embedder"])
    recipe = IndexRecipe(name, tuple(corpora), **_typed(values, example, where))
    return _checked(recipe, where)


def _keys(given: Any, kind: type, where: str, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise UsageError(f"{where}: keys and values were expected, found {type(given).__name__}")
    known = [one.name for one in fields(kind) if one.name not in without]
    for key in given:
        if key not in known:
            raise UnknownNameError("key", str(key), known, where)
    return dict(given)


def _typed(values: dict[str, Any], example: Any, where: str) -> dict[str, Any]:
    for key, value in values.items():
        expected = type(getattr(example, key))
        if type(value) is not expected:  # not isinstance: `true` must not pass for the number 1
            raise UsageError(f"{where}: '{key}' must be of type {expected.__name__}, found {value!r}")
    return values


def _checked(recipe: IndexRecipe, where: str) -> IndexRecipe:
    if recipe.precision not in PRECISIONS:
        raise UnknownNameError("precision", recipe.precision, PRECISIONS, where)
    if recipe.shard_size < 1:
        raise UsageError(f"{where}: 'shard_size' must be at least 1, found {recipe.shard_size}")
    for key in ("max_tokens", "overlap_sentences"):
        if getattr(recipe.chunking, key) < 0:
            raise UsageError(f"{where}: chunking '{key}' must not be negative")
    return recipe
