"""What a config says of a retriever in, the retriever out: the one place where any of them is built."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Protocol, cast

from ragmed.checked import Bounds, dump
from ragmed.embedding import Embedder
from ragmed.embedding.folders import PRECISIONS
from ragmed.errors import UnknownNameError, UsageError
from ragmed.files import sha256_json
from ragmed.index.recipe import embedder_of
from ragmed.index.store import Index
from ragmed.records import Hit
from ragmed.retrieval import Retriever
from ragmed.retrieval.filters import Census, Filter, Passing
from ragmed.retrieval.named import index_folder, open_index, require_index
from ragmed.retrieval.narrowed import Narrowed, Without
from ragmed.retrieval.score_cache import ScoreCache
from ragmed.retrieval.words import tokeniser
from ragmed.workspace import Workspace

if TYPE_CHECKING:
    from ragmed.retrieval.cross_encoder import CrossEncoder

METHODS = {
    "bm25": "ragmed.retrieval.bm25:BM25Retriever",
    "dense": "ragmed.retrieval.dense:DenseRetriever",
    "filter": "ragmed.retrieval.filtered:FilteredRetriever",
    "late-interaction": "ragmed.retrieval.late_interaction:LateInteractionRetriever",
    "mmr": "ragmed.retrieval.mmr:DiverseRetriever",
    "rerank": "ragmed.retrieval.rerank:RerankedRetriever",
    "rrf": "ragmed.retrieval.fusion:FusedRetriever",
    "sparse": "ragmed.retrieval.sparse:SparseRetriever",
}


SEARCH_RECORDS = ("bm25", "dense")
"""The methods that can search an example's own record."""
OF_ONE = ("filter", "mmr", "rerank")
"""The methods that take the hits of one other retriever: some of them, or in another order."""


@dataclass(frozen=True, slots=True)
class RetrieverSpec:
    """
    >>> RetrieverSpec(method="bm25", index="scifact", k1=0.9).identity()["k1"]
    0.9

    One entry of a config's `retrievers:`. `method`: a key of METHODS. `index`: what is searched, by name or folder.

    bm25: `k1` (how fast repeated words count less), `b` (how far long passages count less), `stemmer` (a Snowball
    language, or `none`), `stop_words` (`english` or `none`) and `title_weight` (as how often a title's words count).

    rrf: `of`, the retrievers (or indexes, which are then searched by vectors) whose rankings are made one, by name;
    `weights`, one each, all equal where empty; `rrf_k`, the constant of Cormack et al. 2009; `depth`, how many hits
    of each are read.

    rerank: `of`, the one retriever whose first `depth` hits are read again; `model`, the cross-encoder that reads them
    (`path:DIR` or `hf:ORG/NAME@REVISION`); `precision`, in which it computes. mmr: `of` and `depth` likewise;
    `mmr_lambda`, how much relevance counts against likeness to what was chosen already.

    filter: `of`, the one retriever that then finds only what `filter` lets through: see `ragmed.retrieval.filters`.

    sparse: `model`, whose learned weights of words passages and queries are compared by, and `precision`.

    late-interaction: `model`, whose vectors of tokens are compared one by one, and `precision`; with `of`, one other
    retriever, those of its first `depth` hits alone.

    `record`: no index is searched, but each example's own record, see `ragmed.retrieval.record`. `embedder`: then what
    cuts its documents into passages and, of method dense, embeds these. What has parts searches what
    these search.

    A method that does not read a field refuses a spec that sets it.
    """

    method: str = "dense"
    index: str = ""
    of: tuple[str, ...] = ()
    weights: tuple[Annotated[float, Bounds(gt=0)], ...] = ()
    rrf_k: Annotated[int, Bounds(ge=0)] = 60
    depth: Annotated[int, Bounds(ge=1)] = 100
    model: str = ""
    precision: str = "float32"
    mmr_lambda: Annotated[float, Bounds(ge=0, le=1)] = 0.7
    k1: Annotated[float, Bounds(ge=0)] = 1.5
    b: Annotated[float, Bounds(ge=0, le=1)] = 0.75
    stemmer: str = "english"
    stop_words: str = "english"
    title_weight: Annotated[int, Bounds(ge=1, le=100)] = 1
    record: bool = False
    embedder: str = ""
    filter: Filter = field(default_factory=Filter)

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields that mean something here, beside the method."""
        known = method_named(self.method).READS
        return tuple(name for name in (*known, "record", "embedder") if name != "index") if self.record else known

    def identity(self) -> dict[str, Any]:
        """What the spec itself says that can change a ranking: the method, its version, and the fields that it reads.

        Raises UnknownNameError for a method nobody knows, UsageError for a field that the method does not read.
        """
        method = method_named(self.method)
        self.check()
        read = {name: getattr(self, name) for name in self.reads}
        plain = {name: dump(value) if name == "filter" else value for name, value in read.items()}
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
        return {"method": self.method, "version": method.VERSION, **listed}

    def check(self) -> None:
        """Raises what `identity` raises, and UnknownNameError for a stemmer or stop words that nobody knows."""
        method = method_named(self.method)
        if self.record and self.method not in SEARCH_RECORDS:
            raise UsageError(
                f"a retriever of method '{self.method}' searches no record itself; these do: "
                + ", ".join(SEARCH_RECORDS)
            )
        for parameter in fields(self):
            read = parameter.name in ("method", *self.reads)
            if not read and getattr(self, parameter.name) != getattr(DEFAULTS, parameter.name):
                of = " over a record" if self.record else ""
                raise UsageError(
                    f"a retriever of method '{self.method}'{of} does not read '{parameter.name}'; it reads "
                    + ", ".join(self.reads)
                )
        if "stemmer" in method.READS:
            tokeniser(stemmer=self.stemmer, stop_words=self.stop_words)
        if self.method in OF_ONE and len(self.of) != 1:
            raise UsageError(
                f"a retriever of method '{self.method}' takes the hits of one other; name that one, such as "
                "of: [dense]" + (f", not {len(self.of)}" if self.of else "")
            )
        if "filter" in method.READS:
            self.filter.check()
        if "of" in method.READS and not self.of and "index" not in method.READS:
            raise UsageError("a fusion has no parts; name the retrievers that are fused, such as of: [lexical, dense]")
        if "index" in method.READS and len(self.of) > 1:
            raise UsageError(
                f"a retriever of method '{self.method}' reads the hits of one other; name one, not {len(self.of)}"
            )
        if len(set(self.of)) < len(self.of):
            raise UsageError(f"a fusion names a part twice: {', '.join(self.of)}; give it a weight instead")
        if "model" in method.READS and not self.model:
            raise UsageError(
                f"a retriever of method '{self.method}' names no model; write model: path:DIR or hf:ORG/NAME@REVISION"
            )
        if "precision" in method.READS and self.precision not in PRECISIONS:
            raise UnknownNameError("precision", self.precision, PRECISIONS)
        if self.weights and len(self.weights) != len(self.of):
            raise UsageError(
                f"{len(self.of)} retrievers are fused with {len(self.weights)} weights; give one each, or none"
            )


DEFAULTS = RetrieverSpec()


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
    cross_encoders: dict[tuple[str, str], CrossEncoder] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    without: Without = field(default_factory=dict)
    leaves: dict[RetrieverSpec, Retriever] = field(default_factory=dict)
    censuses: dict[tuple[str, Filter], Census] = field(default_factory=dict)

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
        recipe, precision = index.manifest.recipe, index.manifest.embedder.precision
        key = (recipe.embedder, precision, recipe.metric, recipe.normalise, recipe.encoding)
        if key not in self.embedders:
            self.embedders[key] = embedder_of(recipe, precision=precision)
        return self.embedders[key]

    def cross_encoder(self, name: str, precision: str) -> CrossEncoder:
        """A model that scores pairs; its scores are kept in the workspace."""
        key = name, precision
        if key not in self.cross_encoders:
            self.cross_encoders[key] = cross_encoder_of(name, precision, workspace=self.workspace)
        return self.cross_encoders[key]

    def part(self, name: str) -> Retriever:
        """A retriever that is part of another, by name. UsageError where it is part of itself, or its index is not
        built."""
        if name in self.within:
            raise UsageError(f"retriever '{name}' is part of itself: {' > '.join([*self.within, name])}")
        spec = spec_named(name, self.specs, workspace=self.workspace)
        if spec.index and spec.index not in self.indexes:
            index_folder(spec.index, self.workspace)
        before, self.within = self.within, (*self.within, name)
        try:
            return _built(spec, self)
        finally:
            self.within = before

    def filtered(self, name: str, filter_: Filter, without: Without) -> Retriever:
        """The same, as it is where all indexes behind it hold no more than a filter lets through, and for each query of
        `without` not those documents either."""
        before = self.filters, self.without
        self.filters, self.without = (*self.filters, filter_), without or self.without
        try:
            return self.part(name)
        finally:
            self.filters, self.without = before

    def behind(self, name: str) -> tuple[str, ...]:
        """The names of the indexes behind a retriever."""
        return indexes_of(spec_named(name, self.specs, workspace=self.workspace), self.specs, workspace=self.workspace)

    def leaf(self, spec: RetrieverSpec) -> Retriever:
        """What searches one index, built once; it finds what the filters let through that are in force here."""
        leaf = self.whole(spec)
        if not self.filters:
            return leaf
        passing = {one: self.passing(spec.index, one) for one in self.filters}
        return Narrowed(leaf, len(self.index(spec.index)), passing, self.without)

    def passing(self, name: str, filter_: Filter) -> Passing:
        """How much of an index a filter lets through; its documents are read once, whatever the date."""
        key = name, replace(filter_, before="", undated="drop")
        if key not in self.censuses:
            self.censuses[key] = Census(filter_, self.index(name).documents())
        return self.censuses[key].passing(filter_)

    def whole(self, spec: RetrieverSpec) -> Retriever:
        """What searches one index, built once, whatever filters are in force."""
        if spec not in self.leaves:
            self.leaves[spec] = method_named(spec.method).build(spec, self)
        return self.leaves[spec]


def cross_encoder_of(name: str, precision: str, *, workspace: Workspace) -> CrossEncoder:
    """A model that scores pairs of query and passage; its scores are kept in the workspace."""
    from ragmed.retrieval.cross_encoder import CrossEncoder

    cache = ScoreCache(workspace.cache / "pairs" / f"{sha256_json((name, precision))[:16]}.scores")
    return CrossEncoder(name, cache=cache, precision=precision)


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


def of_record(spec: RetrieverSpec, specs: Mapping[str, RetrieverSpec], *, within: tuple[str, ...] = ()) -> bool:
    """
    >>> of_record(RetrieverSpec("rrf", of=("notes",)), {"notes": RetrieverSpec("bm25", record=True)})
    True

    Whether each example's own record is searched, and no index. UsageError where a fusion would search both, since
    passages of the two are no ranking of one thing, and where it is part of itself.
    """
    found = {}
    for name in spec.of:
        if name in within:
            raise UsageError(f"retriever '{name}' is part of itself: {' > '.join([*within, name])}")
        found[name] = name in specs and of_record(specs[name], specs, within=(*within, name))
    if spec.method == "filter" and any(found.values()):
        raise UsageError("a filter narrows what an index holds, and is none of a record; take it out")
    if len(set(found.values())) > 1:
        named = ", ".join(name for name, one in found.items() if one)
        raise UsageError(f"a fusion searches an index or an example's own record, not both; the record: {named}")
    if any(found.values()) and spec.index:
        raise UsageError(
            f"a retriever of method '{spec.method}' reads an index, and '{spec.of[0]}' each example's own record; name "
            "a retriever over that index under of"
        )
    return any(found.values()) if spec.of else spec.record


def indexes_of(
    spec: RetrieverSpec, specs: Mapping[str, RetrieverSpec], *, workspace: Workspace, within: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The names of all indexes that a retriever searches, its parts' included, each once, in order."""
    names = [spec.index] if spec.index else []
    for name in spec.of:
        if name in within:
            raise UsageError(f"retriever '{name}' is part of itself: {' > '.join([*within, name])}")
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

    `specs`: the other retrievers of the config, for parts. `device`: where indexes are searched.
    `indexes`: those that are open already, by name. An index that is missing is built first, and one that its recipe
    would not make is refused (`open_index`); `as_built`: it is taken as it lies there, and a missing one is refused.
    The index of a part must be built.

    Raises UnknownNameError (method, retriever, index), UsageError (a field, a missing part), MismatchError.
    """
    return _built(spec, Resources(specs or {}, workspace, device, dict(indexes or {}), as_built))


def _built(spec: RetrieverSpec, resources: Resources) -> Retriever:
    spec.check()
    if spec.record:
        raise UsageError("it searches an example's own record, so it finds nothing without an example that has one")
    method = method_named(spec.method)
    searches = "index" in method.READS and not spec.of  # what reads another's hits is narrowed where that is
    return resources.leaf(spec) if searches else method.build(spec, resources)


def search_index(
    name: str, query: str, *, k: int, workspace: Workspace, method: str = "dense", model: str = "", device: str = "cpu"
) -> list[Hit]:
    """What an index, by name or folder, has for one query; `rrf` fuses dense search and BM25 over it, and what puts
    another's hits in order (`rerank` by `model`, `mmr`) takes these.

    UsageError for a blank query, a method nobody knows or that has no model, or an index that is not built.
    """
    if not query.strip():
        raise UsageError("the query is empty")
    reads = method_named(method).READS
    if "filter" in reads:
        raise UsageError(f"the method '{method}' needs a filter, which a config says: see `ragmed retrieve CONFIG`")
    index_folder(name, workspace)
    parts = {part: RetrieverSpec(method=part, index=name) for part in ("bm25", "dense")}
    specs = {**parts, "rrf": RetrieverSpec("rrf", of=tuple(parts))}
    spec = specs.get(method) or RetrieverSpec(
        method, of=("rrf",) if method in OF_ONE else (), index=name if "index" in reads else "", model=model
    )
    if model and "model" not in reads:
        raise UsageError(f"the method '{method}' reads no model; take --model away")
    retriever = make_retriever(spec, workspace=workspace, specs=specs, device=device, as_built=True)
    return retriever.retrieve([query], k=k)[0]
