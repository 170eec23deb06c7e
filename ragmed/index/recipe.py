"""indexes/NAME/recipe.yaml in, a frozen IndexRecipe out: what the index is made of and how."""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from ragmed.checked import Bounds, Shorthand, dump, parse
from ragmed.corpora.recipe import recipe_name
from ragmed.embedding import PLAIN, Embedder, Encoding, Metric, load_embedder
from ragmed.embedding.folders import PRECISIONS
from ragmed.errors import UnknownNameError, UsageError
from ragmed.yaml_files import read_mapping

SHARD_SIZE = 16_384


@dataclass(frozen=True, slots=True)
class ChunkingRecipe:
    """`max_tokens` 0: as many as the embedder reads.

    `fits`: other indexes, whose embedders must be able to read the passages too. A passage has as many tokens as the
    embedder counts that counts most, and at most as many as the one reads that reads least. So indexes that name each
    other cut a corpus alike, and can be fused.
    """

    splitter: str = "structure"
    max_tokens: Annotated[int, Bounds(ge=0)] = 0
    overlap_sentences: Annotated[int, Bounds(ge=0)] = 1
    fits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadyRecipe:
    """
    >>> ReadyRecipe("medcpt", "vectors/pubmed").kind
    'medcpt'

    Vectors that somebody made of the documents already, with the very model that the recipe names. `path`: their
    folder, absolute or from the workspace. `kind`: how files and ids lie in it.

        medcpt   embeds_chunk_0.npy beside pmids_chunk_0.json, a list of ids
        medrag   embedding/NAME.npy beside chunk/NAME.jsonl, whose lines have ids
        npy      NAME.npy beside NAME.txt, an id a line

    `corpus`: whose documents the ids are; may be left out where the index has one.
    """

    kind: Literal["medcpt", "medrag", "npy"]
    path: str
    corpus: str = ""


@dataclass(frozen=True, slots=True)
class IndexRecipe:
    """
    >>> IndexRecipe("handbook", ("handbook",), "packaged:minilm").factory
    'Flat'

    `factory`: a FAISS factory string; `Flat` is exact. `search`: FAISS search parameters of an approximate one, such
    as `nprobe=16`. `shard_size`: vectors a file, which is also what a build holds in memory at most. `metric`
    (inner_product or l2) and `normalise`: how the embedder's vectors are compared, where its folder does not say it or
    says it wrongly; see `load_embedder`. `precision`: float32, bfloat16, float16, or auto (float32 on a CPU, bfloat16
    on a GPU); an index keeps the one in which it was built. `encoding`: how texts are given to it, and what embeds
    queries; see `ragmed.embedding.Encoding`. `vectors`: ready-made ones.
    """

    name: str
    corpora: Annotated[tuple[str, ...], Shorthand((str,), lambda name: [name])]
    embedder: str
    precision: str = "float32"
    chunking: ChunkingRecipe = field(default_factory=ChunkingRecipe)
    factory: str = "Flat"
    search: str = ""
    shard_size: Annotated[int, Bounds(ge=1)] = SHARD_SIZE
    metric: Metric | None = None
    normalise: bool | None = None
    encoding: Encoding = PLAIN
    vectors: ReadyRecipe | None = None

    def identity(self) -> dict[str, Any]:
        """What decides an index: what is `stated`, but for the name."""
        return {key: value for key, value in stated(self).items() if key != "name"}

    def differences(self, other: IndexRecipe) -> list[str]:
        """The fields, but for the name, in which two recipes differ."""
        return [
            field.name
            for field in fields(self)
            if field.name != "name" and getattr(self, field.name) != getattr(other, field.name)
        ]


def embedder_of(recipe: IndexRecipe, *, device: str = "auto", precision: str = "") -> Embedder:
    """The embedder that a recipe names, as it says: `embedder_of(manifest.recipe).embed_queries(["asthma"])`.

    `precision`: the one in which an index was built, where the recipe leaves it open. Raises what `load_embedder`
    raises.
    """
    return load_embedder(
        recipe.embedder,
        precision=precision or recipe.precision,
        device=device,
        metric=recipe.metric,
        normalise=recipe.normalise,
        encoding=recipe.encoding,
    )


def stated(record: Any) -> dict[str, Any]:
    """
    >>> stated(ChunkingRecipe(max_tokens=128))
    {'max_tokens': 128}

    The fields of a dataclass that are not at their defaults, as JSON can hold them. Identities hash these: a field that
    comes to be, at its default, makes nothing another. Who gives a field another default, or another meaning, raises
    the version that is hashed beside it (of an index, `manifest.SCHEMA`).
    """
    return {field.name: dump(getattr(record, field.name)) for field in fields(record) if not _at_default(record, field)}


def _at_default(record: Any, field: Field[Any]) -> bool:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return bool(getattr(record, field.name) == default)


def load_index_recipe(path: Path) -> IndexRecipe:
    """Reads one: `load_index_recipe(Path("indexes/handbook/recipe.yaml")).corpora`.

    Named after its folder (or its file, where that is not recipe.yaml). Raises DataError where it cannot be read,
    UsageError or UnknownNameError where a key or a value is not one.
    """
    where, given = read_mapping(path, "index recipe", error=UsageError)
    if "name" in given:
        raise UsageError(f"{where}: an index's name is its folder's; take 'name' out")
    recipe = parse(IndexRecipe, {**given, "name": recipe_name(path)}, where)
    if not all(recipe.corpora) or not recipe.corpora:
        raise UsageError(f"{where}: 'corpora' must list the names of corpora, such as [handbook]")
    if recipe.vectors and (recipe.vectors.corpus or recipe.corpora[0]) not in recipe.corpora:
        raise UnknownNameError("corpus of ready-made vectors", recipe.vectors.corpus, recipe.corpora, where)
    if recipe.vectors and not recipe.vectors.corpus and len(recipe.corpora) > 1:
        raise UsageError(f"{where}: 'vectors' must say whose ids it has, such as corpus: {recipe.corpora[0]}")
    if len(set(recipe.corpora)) != len(recipe.corpora):
        raise UsageError(f"{where}: 'corpora' names one twice")
    if recipe.precision not in PRECISIONS:
        raise UnknownNameError("precision", recipe.precision, PRECISIONS, where)
    if recipe.name in recipe.chunking.fits:
        raise UsageError(f"{where}: 'fits' names the index itself; name the others that are fused with it")
    return recipe
