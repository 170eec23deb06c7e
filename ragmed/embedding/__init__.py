"""Texts in, float32 vectors out, in the same order; nothing is cut, and no vector is NaN or zero.

An embedder has two verbs because many models embed a question and a passage differently. `load_embedder` is the only
door; `hashing:DIM` is a double without weights, for tests and dry runs. How two vectors are compared (`metric`) and
whether they are of length 1 (`normalise`) belong to the model: MedCPT and Contriever were trained on inner products of
vectors of any length, SPECTER on distances.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, cast

from ragmed.checked import Bounds
from ragmed.embedding.folders import (
    PRECISIONS,
    declared_similarity,
    folder_hash,
    load_model,
    model_folder,
    positions_of,
    prompts_of,
)
from ragmed.embedding.overlapped import TooLong, encode_overlapped
from ragmed.errors import DataError, MissingDependencyError, ModelError, UnknownNameError, UsageError
from ragmed.machine import auto_dtype

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

Metric = Literal["inner_product", "l2"]
METRICS: tuple[Metric, ...] = ("inner_product", "l2")
KINDS = ("hashing", "hf", "packaged", "path")
CPU_BATCH = 4  # small batches of texts of equal length waste little on padding: 1.36 times the passages/s of 32
BATCHES = 16  # batches a call of the model
COUNTED = 64  # texts tokenised at a time to count: a token takes some 300 bytes until its text is counted


@dataclass(frozen=True, slots=True)
class Encoding:
    """
    >>> Encoding(query_prompt="query: ", passage_prompt="passage: ").pooling
    ''

    How models are asked, where their folders do not say it. `query_embedder`: the model that embeds queries, where
    passages have one of their own (MedCPT), named as an embedder is. `query_prompt`, `passage_prompt`: what stands
    before each text (E5's `query: `, an instruction for Qwen3-Embedding); None: what the folder says. `query_tokens`:
    as many of a query are read at a time, 0: as many as the model reads. `pooling` (`cls`, `mean`, `lasttoken`, ...):
    for folders that hold a bare transformer. `title_pairs`: a passage's first line, its title, and the rest of it are
    read as a pair of texts, as MedCPT's article encoder was trained.
    """

    query_embedder: str = ""
    query_prompt: str | None = None
    passage_prompt: str | None = None
    query_tokens: Annotated[int, Bounds(ge=0)] = 0
    pooling: Literal["", "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"] = ""
    title_pairs: bool = False


PLAIN = Encoding()


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What can change a vector, or what it means that two are near.

    `weights`: a hash of weights, configuration and tokenizer; `query_weights`: of the model that embeds queries, where
    that is another. `revision`: of a model from a hub, else ''. `encoding`: as declared, without names.
    """

    embedder: str
    weights: str
    precision: str
    dimension: int
    revision: str = ""
    metric: Metric = "inner_product"
    normalise: bool = True
    query_weights: str = ""
    encoding: Encoding = PLAIN

    @property
    def cosine(self) -> bool:
        """Whether a score is the cosine of two texts."""
        return self.normalise and self.metric == "inner_product"


class Embedder(Protocol):
    """
    >>> embedder = load_embedder("hashing:64")
    >>> embedder.embed_passages(["asthma", "an inhaler"]).shape
    (2, 64)

    List in, array out, same length, same order. Both verbs raise BadTextsError where a text cannot become a vector.
    A passage's vector depends on the texts beside it by about 1e-7 (padding changes the order of sums), a query's does
    not; the same list on the same machine gives the same bytes.
    """

    name: str
    dimension: int
    max_tokens: int
    """The longest passage it reads whole, special tokens and prompt included."""
    metric: Metric
    """`inner_product`: higher is nearer; `l2`: a smaller distance is nearer."""
    normalise: bool
    """Whether every vector is of length 1."""

    def fingerprint(self) -> Fingerprint:
        """What can change a vector or the nearness of two."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as a passage, special tokens and prompt included, without truncation."""

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """float32 [n, dimension]. A passage beyond `max_tokens` raises: it is never cut."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """float32 [n, dimension].

        A query beyond `max_tokens` is halved at a blank until every piece fits; the pieces' vectors are averaged (and
        normalised again where vectors are), so every word of it counts.
        """


class BadTextsError(DataError):
    """Some texts of a list could not be embedded; `indices` says which, `reason` why."""

    def __init__(self, reason: str, indices: Sequence[int]) -> None:
        self.reason = reason
        self.indices = tuple(indices)
        shown = ", ".join(map(str, self.indices[:10])) + (" …" if len(self.indices) > 10 else "")
        super().__init__(f"{reason} (texts number {shown} of the list, counted from 0)")


def load_embedder(
    name: str,
    *,
    precision: str = "float32",
    device: str = "auto",
    batch_size: int = 0,
    metric: str | None = None,
    normalise: bool | None = None,
    encoding: Encoding = PLAIN,
) -> Embedder:
    """
    >>> load_embedder("hashing:8", metric="l2").fingerprint().metric
    'l2'

    `packaged:NAME`, `path:DIR`, `hf:ORG/NAME@REVISION` (sentence-transformers folders with safetensors; code that
    comes with a model is never run) or `hashing:DIM`. `device`: auto, cpu, cuda, cuda:N. `batch_size` 0: chosen for
    the device. `precision` auto: float32 on a CPU, bfloat16 elsewhere, as for models; the fingerprint says which it is.
    A model with two encoders is two folders (`encoding.query_embedder`), or one of sentence-transformers with a Router
    module. `encoding`: how texts are given to it, see `Encoding`.

    `metric` and `normalise` None: what the folder says, by a Normalize module or by its `similarity_fn_name`:
    `cosine` (also where it says nothing, as in sentence-transformers) is inner products of normalised vectors, `dot`
    inner products of vectors as they are, `euclidean` is `l2`.

    Raises UnknownNameError, UsageError (a malformed name, an encoding that cannot be), ModelError (it cannot be
    loaded), MissingDependencyError.
    """
    kind, _, rest = name.partition(":")
    if kind not in KINDS:
        raise UnknownNameError("embedder", name, ["hashing:DIM", "hf:ORG/NAME@REVISION", "packaged:minilm", "path:DIR"])
    if precision not in ("auto", *PRECISIONS):
        raise UnknownNameError("precision", precision, ("auto", *PRECISIONS))
    if metric is not None and metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    if encoding.title_pairs and encoding.passage_prompt:
        raise UsageError(f"embedder '{name}': title_pairs and a passage_prompt exclude each other; declare one")
    if kind == "hashing":
        if encoding != PLAIN:
            raise UsageError(f"embedder '{name}' counts words and has no encoding; take 'encoding' away")
        return HashingEmbedder(
            _dimension(name, rest), metric=metric or "inner_product", normalise=normalise is not False
        )
    folder, revision = _folder(name, kind, rest)
    if encoding.query_embedder:
        load = partial(
            load_embedder,
            precision=precision,
            device=device,
            batch_size=batch_size,
            metric=metric,
            normalise=normalise,
        )
        asked = replace(encoding, query_embedder="", passage_prompt=None, title_pairs=False)
        shown = replace(encoding, query_embedder="", query_prompt=None, query_tokens=0)
        return TwoEmbedders(load(name, encoding=shown), load(encoding.query_embedder, encoding=asked))
    similarity = declared_similarity(name, folder, metric=metric, normalise=normalise)
    return SentenceEmbedder(
        name,
        folder,
        revision=revision,
        precision=precision,
        device=device,
        batch_size=batch_size,
        similarity=similarity,
        encoding=encoding,
    )


def _dimension(name: str, rest: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", rest) or not 1 <= int(rest) <= 65536:
        raise UsageError(f"embedder '{name}': hashing:DIM needs a number from 1 to 65536, such as hashing:256")
    return int(rest)


def _folder(name: str, kind: str, rest: str) -> tuple[Path, str]:
    if kind == "packaged":
        from ragmed.packaged import packaged_embedder_folder

        return packaged_embedder_folder(rest), ""
    return model_folder("embedder", name)


def checked(vectors: npt.NDArray[np.floating[Any]], *, normalise: bool) -> Vectors:
    """float32 [n, d], of length 1 where asked; BadTextsError names the rows that are NaN, infinite or zero."""
    import numpy as np

    wide = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(wide.astype(np.float64), axis=1, keepdims=True)
    bad = ~np.isfinite(lengths[:, 0])
    if bad.any():
        raise BadTextsError("the embedder gave vectors with NaN or infinity", np.flatnonzero(bad).tolist())
    zero = lengths[:, 0] < 1e-12
    if zero.any():
        raise BadTextsError("the embedder gave zero vectors, which are near to nothing", np.flatnonzero(zero).tolist())
    return (wide / lengths).astype(np.float32) if normalise else wide


def embed_long(
    texts: Sequence[str],
    *,
    limit: int,
    count: Callable[[Sequence[str]], list[int]],
    embed: Callable[[Sequence[str]], Vectors],
    dimension: int,
    normalise: bool,
) -> Vectors:
    """Vectors of texts of any length: pieces that fit `limit` tokens, embedded together, averaged per text."""
    import numpy as np

    pieces, owners = cut_to_fit(list(texts), limit, count)
    vectors = embed(pieces)
    sums = np.zeros((len(texts), dimension), dtype=np.float64)
    np.add.at(sums, owners, vectors)
    counts = np.bincount(owners, minlength=len(texts))
    return checked(sums / np.maximum(counts, 1)[:, None], normalise=normalise)


def cut_to_fit(
    texts: list[str], limit: int, count: Callable[[Sequence[str]], list[int]]
) -> tuple[list[str], list[int]]:
    """Texts halved until each fits, and for each piece the number of the text it belongs to."""
    pieces, owners = texts, list(range(len(texts)))
    while True:
        tokens = count(pieces)
        if all(n <= limit for n in tokens):
            return pieces, owners
        halved: list[tuple[str, int]] = []
        for piece, owner, size in zip(pieces, owners, tokens, strict=True):
            if size > limit and len(piece) < 2:
                raise BadTextsError(f"a single character is more than the {limit} tokens the embedder reads", [owner])
            parts = _halves(piece) if size > limit else [piece]
            halved.extend((part, owner) for part in parts)
        pieces, owners = [part for part, _ in halved], [owner for _, owner in halved]


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    blanks = [match.start() for match in re.finditer(r"\s", text) if 0 < match.start() < len(text) - 1]
    cut = min(blanks, key=lambda at: abs(at - middle), default=middle)
    return [part for part in (text[:cut], text[cut:]) if part.strip()]


class HashingEmbedder:
    """
    >>> HashingEmbedder(4).count_tokens(["two words"])
    [2]

    A bag of words, each word hashed to one of `dimension` places (counts under a square root): the same everywhere,
    no weights, no thread. Texts that share words are near; nothing else is promised. A text without words raises.
    """

    max_tokens = 512

    def __init__(self, dimension: int, *, metric: str = "inner_product", normalise: bool = True) -> None:
        self.name = f"hashing:{dimension}"
        self.dimension = dimension
        self.metric = cast(Metric, metric)
        self.normalise = normalise
        self._places: dict[str, int] = {}

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.name, "none", "float32", self.dimension, metric=self.metric, normalise=self.normalise)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(_words(text)) for text in texts]

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        refuse_long(self.count_tokens(texts), self.max_tokens, self.name)
        return self._embed(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return embed_long(
            texts,
            limit=self.max_tokens,
            count=self.count_tokens,
            embed=self._embed,
            dimension=self.dimension,
            normalise=self.normalise,
        )

    def _embed(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        counts = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in _words(text):
                counts[row, self._place(word)] += 1.0
        return checked(np.sqrt(counts), normalise=self.normalise)

    def _place(self, word: str) -> int:
        if word not in self._places:
            if len(self._places) > 200_000:  # a cache, not a vocabulary: memory stays bounded on any corpus
                self._places.clear()
            digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            self._places[word] = int.from_bytes(digest, "big") % self.dimension
        return self._places[word]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.lower())


def refuse_long(tokens: Sequence[int], limit: int, name: str) -> None:
    """BadTextsError for passages that the embedder would have to cut."""
    long = [index for index, size in enumerate(tokens) if size > limit]
    if long:
        raise too_long(max(tokens), limit, name, long)


def too_long(longest: int, limit: int, name: str, indices: Sequence[int]) -> BadTextsError:
    return BadTextsError(
        f"passages of up to {longest} tokens are longer than the {limit} that {name} reads; chunk them smaller", indices
    )


class SentenceEmbedder:
    """A sentence-transformers model on one device; see `load_embedder`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        revision: str,
        precision: str,
        device: str,
        batch_size: int,
        similarity: tuple[str, bool],
        encoding: Encoding = PLAIN,
    ) -> None:
        self.name = name
        self.metric, self.normalise = cast(Metric, similarity[0]), similarity[1]
        self.device = torch_device(device)
        self._precision = auto_dtype(self.device) if precision == "auto" else precision
        self._revision = revision
        self._encoding = encoding
        self._model = load_model(name, folder, self._precision, self.device, pooling=encoding.pooling)
        self._weights = folder_hash(folder)
        self._batch = batch_size
        self._overlaps = self.device != "cpu" and not any("Static" in type(part).__name__ for part in self._model)
        self.dimension = int(self._model.get_embedding_dimension() or 0)
        self.max_tokens = int(self._model.max_seq_length or 0)
        if self.dimension < 1 or self.max_tokens < 1:
            raise ModelError(f"embedder '{name}' does not say its dimension or how many tokens it reads")
        positions = positions_of(self._model)
        if positions and self.max_tokens > positions:
            raise ModelError(
                f"embedder '{name}' says that it reads {self.max_tokens} tokens, but has only {positions} positions; "
                "correct max_seq_length in its sentence_bert_config.json"
            )
        self._query_prompt, self._passage_prompt = prompts_of(self._model)
        if encoding.query_prompt is not None:
            self._query_prompt = encoding.query_prompt
        if encoding.passage_prompt is not None:
            self._passage_prompt = encoding.passage_prompt
        if encoding.title_pairs and self._passage_prompt:
            raise ModelError(
                f"embedder '{name}' has a prompt for passages, which are to be read as pairs of title and text; "
                "declare passage_prompt: ''"
            )
        if encoding.query_tokens > self.max_tokens:
            raise UsageError(
                f"embedder '{name}': query_tokens is {encoding.query_tokens}, and it reads {self.max_tokens} tokens"
            )
        self._query_tokens = encoding.query_tokens or self.max_tokens

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(
            self.name,
            self._weights,
            self._precision,
            self.dimension,
            revision=self._revision,
            metric=self.metric,
            normalise=self.normalise,
            encoding=self._encoding,
        )

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._count(texts, self._passage_prompt, pairs=self._encoding.title_pairs)

    def _count(self, texts: Sequence[str], prompt: str, *, pairs: bool = False) -> list[int]:
        tokens: list[int] = []
        for first in range(0, len(texts), COUNTED):
            given = [prompt + text for text in texts[first : first + COUNTED]]
            titles, rests = zip(*map(title_and_rest, given), strict=True) if pairs else (given, None)
            encoded = self._model.tokenizer(
                list(titles),
                list(rests) if rests is not None else None,
                truncation=False,
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
            tokens.extend(len(ids) for ids in encoded["input_ids"])
        return tokens

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        if self._overlaps:
            return self._embed(texts, [], "document", self._passage_prompt)
        tokens = self.count_tokens(texts)
        refuse_long(tokens, self.max_tokens, self.name)
        return self._embed(texts, tokens, "document", self._passage_prompt)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return embed_long(
            texts,
            limit=self._query_tokens,
            dimension=self.dimension,
            normalise=self.normalise,
            count=lambda pieces: self._count(pieces, self._query_prompt),
            embed=self._embed_alone,
        )

    def _embed_alone(self, queries: Sequence[str]) -> Vectors:
        """Each by itself: padding, and the size of a batch, change the last bits of a vector, and so which of two
        passages that are equally near comes first."""
        import numpy as np

        alone = [self._embed([query], [len(query)], "query", self._query_prompt) for query in queries]
        return np.concatenate(alone) if alone else np.zeros((0, self.dimension), dtype=np.float32)

    def _embed(self, texts: Sequence[str], lengths: Sequence[int], verb: str, prompt: str) -> Vectors:
        """Longest first, so that a batch's texts need little padding; a few batches a call, because `encode` keeps
        every batch's tensor until it returns, and memory then grows with the list. `lengths` decide the order on a
        CPU; on a GPU nothing is tokenised before its turn."""
        import numpy as np

        pairs = self._encoding.title_pairs and verb == "document"
        if self._overlaps:
            try:
                read = title_and_rest if pairs else str
                made = encode_overlapped(self._model, texts, verb=verb, prompt=prompt, batch=self._batch, read=read)
            except TooLong as error:
                raise too_long(error.tokens, self.max_tokens, self.name, error.indices) from error
            return checked(made, normalise=self.normalise)
        size = self._batch or CPU_BATCH
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        encode = self._model.encode_query if verb == "query" else self._model.encode_document
        order = sorted(range(len(texts)), key=lambda i: -lengths[i])
        for first in range(0, len(order), size * BATCHES):
            some = order[first : first + size * BATCHES]
            # an empty prompt is passed as such, so that a model's default prompt cannot slip in uncounted
            vectors[some] = encode(
                [title_and_rest(texts[i]) if pairs else texts[i] for i in some],
                prompt=prompt,
                batch_size=size,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        return checked(vectors, normalise=self.normalise)


def title_and_rest(text: str) -> tuple[str, str]:
    """
    >>> title_and_rest("Asthma\\nSalbutamol relieves it.")
    ('Asthma', 'Salbutamol relieves it.')

    What an embedder with `title_pairs` reads of a passage's text: its first line, and the rest, which may be empty.
    """
    title, _, rest = text.partition("\n")
    return title, rest


class TwoEmbedders:
    """Passages by one model, queries by another that was trained with it; see `Encoding.query_embedder`."""

    def __init__(self, passages: Embedder, queries: Embedder) -> None:
        alike = ("dimension", "metric", "normalise")
        different = [key for key in alike if getattr(passages, key) != getattr(queries, key)]
        if different:
            said = ", ".join(f"{key} {getattr(passages, key)} and {getattr(queries, key)}" for key in different)
            raise ModelError(
                f"'{passages.name}' embeds passages and '{queries.name}' queries, which cannot be compared: {said}"
            )
        self._passages, self._queries = passages, queries
        self.name, self.dimension, self.max_tokens = passages.name, passages.dimension, passages.max_tokens
        self.metric, self.normalise = passages.metric, passages.normalise
        self.device = getattr(passages, "device", "cpu")

    def fingerprint(self) -> Fingerprint:
        shown, asked = self._passages.fingerprint(), self._queries.fingerprint()
        encoding = replace(
            shown.encoding, query_prompt=asked.encoding.query_prompt, query_tokens=asked.encoding.query_tokens
        )
        return replace(shown, query_weights=asked.weights, encoding=encoding)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._passages.count_tokens(texts)

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        return self._passages.embed_passages(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._queries.embed_queries(texts)


def torch_device(device: str) -> str:
    """`auto` -> cuda where torch sees one, else cpu; an explicit cuda that is not there raises."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and not re.fullmatch(r"cuda(:\d{1,4})?", device):
        raise UnknownNameError("device", device, ["auto", "cpu", "cuda", "cuda:0"])
    if device != "cpu" and int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise MissingDependencyError(
            f"device '{device}' was asked for, but torch sees {torch.cuda.device_count()} CUDA devices; use cpu or auto"
        )
    return device
