"""What a config says of a retriever in, the retriever out: the one place where any of them is built."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Protocol, cast

from ragmed.checked import Bounds
from ragmed.embedding import Embedder, load_embedder
from ragmed.errors import UnknownNameError, UsageError
from ragmed.index.store import Index
from ragmed.records import Hit
from ragmed.retrieval import Retriever
from ragmed.retrieval.named import index_folder, open_index, require_index
from ragmed.retrieval.words import tokeniser
from ragmed.workspace import Workspace

METHODS = {
    "bm25": "ragmed.retrieval.bm25:BM25Retriever",
    "dense": "ragmed.retrieval.dense:DenseRetriever",
    "rrf": "ragmed.retrieval.fusion:FusedRetriever",
}


@dataclass(frozen=True, slots=True)
class RetrieverSpec:
    """
    >>> RetrieverSpec(method="bm25", index="scifact", k1=0.9).identity()["k1"]
    0.9

    One entry of a config's `retrievers:`. `method`: a key of METHODS. `index`: what is searched, by name or folder.

    bm25: `k1` (how fast repeated words count less), `b` (how far long passages count less), `stemmer` (a Snowball
    language, or `none`) and `stop_words` (`english` or `none`).

    rrf: `of`, the retrievers (or indexes, which are then searched by vectors) whose rankings are made one, by name;
    `weights`, one each, all equal where empty; `rrf_k`, the constant of Cormack et al. 2009; `depth`, how many hits
    of each are read.

    A method that does not read a field refuses a spec that sets it.
    """

    method: str = "dense"
    index: str = ""
    of: tuple[str, ...] = ()
    weights: tuple[Annotated[float, Bounds(gt=0)], ...] = ()
    rrf_k: Annotated[int, Bounds(ge=0)] = 60
    depth: Annotated[int, Bounds(ge=1)] = 100
    k1: Annotated[float, Bounds(ge=0)] = 1.5
    b: Annotated[float, Bounds(ge=0, le=1)] = 0.75
    stemmer: str = "english"
    stop_words: str = "english"

    def identity(self) -> dict[str, Any]:
        """What the spec itself says that can change a ranking: the method, its version, and the fields that it reads.

        Raises UnknownNameError for a method nobody knows, UsageError for a field that the method does not read.
        """
        method = method_named(self.method)
        self.check()
        read = {name: getattr(self, name) for name in method.READS}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in read.items()}
        return {"method": self.method, "version": method.VERSION, **plain}

    def check(self) -> None:
        """Raises what `identity` raises, and UnknownNameError for a stemmer or stop words that nobody knows."""
        method = method_named(self.method)
        for parameter in fields(self):
            read = parameter.name in ("method", *method.READS)
            if not read and getattr(self, parameter.name) != parameter.default:
                raise UsageError(
                    f"a retriever of method '{self.method}' does not read '{parameter.name}'; it reads "
                    + ", ".join(method.READS)
                )
        if "stemmer" in method.READS:
            tokeniser(stemmer=self.stemmer, stop_words=self.stop_words)
        if "of" in method.READS and not self.of:
            raise UsageError("a fusion has no parts; name the retrievers that are fused, such as of: [lexical, dense]")
        if self.weights and len(self.weights) != len(self.of):
            raise UsageError(
                f"{len(self.of)} retrievers are fused with {len(self.weights)} weights; give one each, or none"
            )


class Method(Protocol):
    """What a method's class must have beside the verbs of a Retriever."""

    VERSION: int
    """Raised whenever the same spec over the same index may rank otherwise than before."""
    READS: tuple[str, ...]
    """The fields of RetrieverSpec that it reads."""

    @classmethod
    def build(cls, spec: RetrieverSpec, resources: Resources) -> Retriever: ...


def method_named(name: str) -> type[Method]:
    """UnknownNameError, with near names, where there is none."""
    if name not in METHODS:
        raise UnknownNameError("retrieval method", name, METHODS)
    module, _, attribute = METHODS[name].partition(":")
    return cast(type[Method], getattr(importlib.import_module(module), attribute))


@dataclass(slots=True)
class Resources:
    """What retrievers are built from: each index is opened once, each embedder loaded once."""

    specs: Mapping[str, RetrieverSpec]
    workspace: Workspace
    device: str
    indexes: dict[str, Index]
    as_built: bool
    embedders: dict[tuple[Any, ...], Embedder] = field(default_factory=dict)
    within: tuple[str, ...] = ()

    def index(self, name: str) -> Index:
        """An open index with something in it; see `make_retriever`."""
        if not name:
            raise UsageError("a retriever names no index; write index: NAME")
        if name not in self.indexes:
            if self.as_built:
                self.indexes[name] = Index.open(index_folder(name, self.workspace), devices=self.device)
            else:
                self.indexes[name] = open_index(name, workspace=self.workspace, device=self.device)
        if not len(self.indexes[name]):
            raise UsageError(f"index '{name}' holds no passage any more; run: ragmed build-index {name}")
        return self.indexes[name]

    def embedder(self, index: Index) -> Embedder:
        """The embedder that made the index, for its queries."""
        recipe = index.manifest.recipe
        key = (recipe.embedder, recipe.precision, recipe.metric, recipe.normalise)
        if key not in self.embedders:
            self.embedders[key] = load_embedder(
                recipe.embedder,
                precision=recipe.precision,
                device="auto",
                metric=recipe.metric,
                normalise=recipe.normalise,
            )
        return self.embedders[key]

    def part(self, name: str) -> Retriever:
        """A retriever that is fused, by name. UsageError where it fuses itself, or its index is not built."""
        if name in self.within:
            raise UsageError(f"retriever '{name}' fuses itself: {' > '.join([*self.within, name])}")
        spec = spec_named(name, self.specs, workspace=self.workspace)
        if spec.index and spec.index not in self.indexes:
            index_folder(spec.index, self.workspace)
        before, self.within = self.within, (*self.within, name)
        try:
            return _built(spec, self)
        finally:
            self.within = before


def spec_named(name: str, specs: Mapping[str, RetrieverSpec], *, workspace: Workspace) -> RetrieverSpec:
    """The retriever of that name; else, where it names an index or a corpus, dense search of that."""
    if name in specs:
        return specs[name]
    try:
        require_index(name, workspace)
    except UnknownNameError:
        known = {*specs, *workspace.names("indexes"), *workspace.names("corpora")}
        raise UnknownNameError("retriever or index", name, known) from None
    return RetrieverSpec(index=name)


def indexes_of(
    spec: RetrieverSpec, specs: Mapping[str, RetrieverSpec], *, workspace: Workspace, within: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The names of all indexes that a retriever searches, its parts' included, each once, in order."""
    names = [spec.index] if spec.index else []
    for name in spec.of:
        if name in within:
            raise UsageError(f"retriever '{name}' fuses itself: {' > '.join([*within, name])}")
        part = spec_named(name, specs, workspace=workspace)
        names += indexes_of(part, specs, workspace=workspace, within=(*within, name))
    return tuple(dict.fromkeys(names))


def make_retriever(
    spec: RetrieverSpec,
    *,
    workspace: Workspace,
    specs: Mapping[str, RetrieverSpec] | None = None,
    device: str = "auto",
    indexes: Mapping[str, Index] | None = None,
    as_built: bool = False,
) -> Retriever:
    """Builds a retriever:

        make_retriever(RetrieverSpec(method="bm25", index="handbook"), workspace=Workspace.find())

    `specs`: the other retrievers of the config, for those that are fused. `device`: where indexes are searched.
    `indexes`: those that are open already, by name. An index that is missing is built first, and one that its recipe
    would not make is refused (`open_index`); `as_built`: it is taken as it lies there, and a missing one is refused.
    A part of a fusion must be built.

    Raises UnknownNameError (method, retriever, index), UsageError (a field, a missing part), MismatchError.
    """
    return _built(spec, Resources(specs or {}, workspace, device, dict(indexes or {}), as_built))


def _built(spec: RetrieverSpec, resources: Resources) -> Retriever:
    spec.check()
    return method_named(spec.method).build(spec, resources)


def search_index(
    name: str, query: str, *, k: int, workspace: Workspace, method: str = "dense", device: str = "cpu"
) -> list[Hit]:
    """What an index, by name or folder, has for one query; `rrf` fuses dense search and BM25 over it.

    UsageError for a blank query, a method nobody knows, or an index that is not built.
    """
    if not query.strip():
        raise UsageError("the query is empty")
    fuses = "of" in method_named(method).READS
    index_folder(name, workspace)
    parts = {part: RetrieverSpec(method=part, index=name) for part in ("bm25", "dense")}
    spec = RetrieverSpec(method, of=tuple(parts)) if fuses else RetrieverSpec(method, index=name)
    retriever = make_retriever(spec, workspace=workspace, specs=parts, device=device, as_built=True)
    return retriever.retrieve([query], k=k)[0]
