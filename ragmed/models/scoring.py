"""Log-likelihoods of continuations, reading every shared token once.

In: token ids of prompts, and of the continuations of each. Out: for each continuation its summed log-probability, and
whether greedy decoding would have written it. Strings and chat templates are the business of `local.py`.

One row holds what a prompt does not share with the others, followed by all its continuations; a mask lets each
continuation see the prompt and itself. What all prompts share (system turn, few-shot examples) is read before, once a
call, and lies as keys and values before every row. A long prompt is read by itself, under the model's own causal mask,
before its continuations. The head of the model, a fifth of a small model's work, is applied
at the positions that predict a continuation's token and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer

from ragmed.errors import ModelError
from ragmed.models.rope import length_dependent, unchanged_up_to
from ragmed.progress import tell, telling

Tensor = torch.Tensor
HEAD_CHUNK = 256  # positions per application of the head: a vocabulary of 150 000 in float32 then takes 150 MB
# Tokens of a batch. On a CPU a small model computes no faster from about 200 tokens on, and slower once what a layer
# writes no longer fits the cache: with 135 million parameters 4.5 questions a CPU-second at 384 to 512, 3.2 at 2048.
CPU_BUDGET = 512
GPU_BUDGET = 32768
WORTHWHILE = 128  # prompt tokens that sharing must save before the shared part gets a pass of its own
# From so many tokens that it does not share, a prompt is read by itself before its continuations: attention then needs
# no mask, and kernels leave out the half that a causal model never sees. On a CPU 135 million parameters need 11 % less
# for a prompt of 2,048 tokens, 30 % less for one of 3,560, and 5 % more for one of 512. A GPU, where nothing of this is
# measured, gains from reading prompts together until a few of them fill it. What all share is read with each again, so
# it must be little.
LONG = 2048
GPU_LONG = GPU_BUDGET // 4
MOST_READ_AGAIN = 1 / 8  # of what a long prompt does not share
PROBE_TOLERANCE = {torch.float32: 1e-3}
HALF_TOLERANCE = 0.25


@dataclass(frozen=True, slots=True)
class TokenItem:
    """A prompt and its continuations, as token ids; none of them empty."""

    prompt: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class TokenScores:
    """In the order of the item's continuations: log P(continuation | prompt), natural logarithm; greedy or not."""

    logprobs: tuple[float, ...]
    greedy: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """What is read for one item after the shared prefix. `reads[i]` predicts `targets[i]`, for all options in turn.

    `segments`: 0 for the prompt, j for the j-th continuation. `owner`: place of the item in the call.
    """

    owner: int
    tokens: list[int]
    positions: list[int]
    segments: list[int]
    reads: list[int]
    targets: list[int]


class _PrefixLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of the shared prefix, put before those of any batch; never changed, so one serves all batches."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return _before(self.keys, key_states), _before(self.values, value_states)


def _before(prefix: Tensor | None, states: Tensor) -> Tensor:
    assert prefix is not None
    return torch.cat([prefix.expand(states.shape[0], -1, -1, -1), states], dim=-2)


class Scorer:
    """
        Scorer(model).score([TokenItem((1, 2, 3), ((4,), (5, 6)))])
        # [TokenScores(logprobs=(-2.1, -7.9), greedy=(True, False))]

    `model`: a causal language model of transformers, in eval mode. `token_budget`: tokens of a batch, padding
    included. Equal to scoring each pair alone up to the rounding of sums taken in another order: about 1e-5 nat in
    float32, 0.05 nat in bfloat16. The same call gives the same numbers; the other items of a call can move them by
    that rounding, no more.
    """

    def __init__(self, model: Any, *, token_budget: int | None = None) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.token_budget = token_budget or (CPU_BUDGET if self.device.type == "cpu" else GPU_BUDGET)
        self._long = LONG if self.device.type == "cpu" else GPU_LONG
        self._fits: bool | None = None
        self._unchanged = unchanged_up_to(model.config)
        self._remembers_length = "dynamic" in length_dependent(model.config)

    def score(self, items: Sequence[TokenItem]) -> list[TokenScores]:
        """One TokenScores per item, in order. Items must fit the model's context; ValueError for empty ids."""
        for item in items:
            if not item.prompt or not all(item.continuations):
                raise ValueError("a prompt and a continuation have at least one token each")
        if not any(item.continuations for item in items):
            return [TokenScores((), ()) for _ in items]
        with torch.inference_mode():
            if self.shares and self._within_window(items):
                return self._score_shared(items)
            results = []
            for item in items:
                results.append(self._score_alone(item))
                tell(1)
            return results

    @property
    def shares(self) -> bool:
        """Whether this architecture can share: tried once on a few made-up tokens, against reading each pair alone.

        A model whose positions, masks or caches work otherwise (ALiBi, state spaces, a scaled head) fails the trial
        and is read pair by pair: slower, never wrong.
        """
        if self._fits is None:
            with torch.inference_mode(), telling(lambda _: None):
                self._fits = self._try_sharing()
        return self._fits

    def _try_sharing(self) -> bool:
        vocabulary = int(self.model.get_input_embeddings().weight.shape[0])
        made_up = [(i * i * 31 + 7 * i + 3) % vocabulary for i in range(40)]
        common, rest = made_up[:12], made_up[12:]
        items = [
            TokenItem(tuple(common + rest[:5]), ((rest[5], rest[6], rest[7]), (rest[8],), (rest[9], rest[10]))),
            TokenItem(tuple(common + rest[11:13]), ((rest[13], rest[14]), (rest[15], rest[16], rest[17]))),
        ]
        tolerance = PROBE_TOLERANCE.get(self.model.dtype, HALF_TOLERANCE)
        try:
            shared = self._score_shared(items, worthwhile=1)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError, LookupError):
            return False  # whatever an architecture stumbles over here, the plain path does not need
        for got, item in zip(shared, items, strict=True):
            alone = self._score_alone(item)
            if any(abs(a - b) > tolerance for a, b in zip(got.logprobs, alone.logprobs, strict=True)):
                return False
        return True

    def _within_window(self, items: Sequence[TokenItem]) -> bool:
        """Whether all texts are so short that what one has read can serve another.

        Layers with a sliding window or chunks see everything as long as no text is longer than the window; rotary
        positions that depend on a text's length are the same for all texts up to a limit.
        """
        config = self.model.config.get_text_config()
        windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
        longest = max(len(item.prompt) + max(map(len, item.continuations), default=0) for item in items)
        return all(longest <= limit for limit in (*windows, self._unchanged) if limit)

    def _score_alone(self, item: TokenItem) -> TokenScores:
        """The definition: the whole text of each pair through the whole model."""
        logprobs, greedy = [], []
        for continuation in item.continuations:
            if self._remembers_length:  # a long text leaves its angles behind; a very short one sets them right again
                self.model(input_ids=torch.tensor([item.prompt[:1]], device=self.device), use_cache=False)
            ids = torch.tensor([item.prompt + continuation[:-1]], device=self.device)
            logits = self.model(input_ids=ids, use_cache=False).logits[0, -len(continuation) :].float()
            targets = torch.tensor(continuation, device=self.device)
            logprobs.append(float(logits.log_softmax(-1).gather(1, targets[:, None]).double().sum()))
            greedy.append(bool((logits.argmax(-1) == targets).all()))
        return TokenScores(tuple(logprobs), tuple(greedy))

    def _score_shared(self, items: Sequence[TokenItem], *, worthwhile: int = WORTHWHILE) -> list[TokenScores]:
        prefix = common_prefix([item.prompt for item in items])
        if prefix * (len(items) - 1) < worthwhile:
            prefix = 0
        results = [TokenScores((), ()) for _ in items]
        rows = []
        for owner, item in enumerate(items):
            own = len(item.prompt) - prefix
            if item.continuations and own >= self._long and prefix <= MOST_READ_AGAIN * own:
                results[owner] = self._score_long(item)
                tell(1)
            elif item.continuations:
                rows.append(_row(owner, item, prefix))
        cache = self._read_prefix(items[0].prompt[:prefix]) if prefix and rows else None
        for batch in _batches(rows, self.token_budget):
            logprobs, greedy = self._read_or_halve(batch, prefix, cache)
            at = 0
            for row in batch:
                lengths = [len(continuation) for continuation in items[row.owner].continuations]
                end = at + sum(lengths)
                results[row.owner] = _sums(logprobs[at:end], greedy[at:end], lengths)
                at = end
            tell(len(batch))
        return results

    def _score_long(self, item: TokenItem) -> TokenScores:
        read = len(item.prompt) - 1  # the last token is read with the continuations, the first of which it predicts
        try:
            cache = self._read_prefix(item.prompt[:read])
        except torch.OutOfMemoryError as error:
            raise self._no_memory(len(item.prompt)) from error
        logprobs, greedy = self._read_or_halve([_row(0, item, read)], read, cache)
        return _sums(logprobs, greedy, [len(continuation) for continuation in item.continuations])

    def _read_prefix(self, tokens: Sequence[int]) -> Cache:
        cache = DynamicCache()
        ids = torch.tensor([tokens], device=self.device)
        self.model.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
        layers: list[CacheLayerMixin] = []
        for layer in cache.layers:
            if type(layer) is not DynamicLayer or layer.keys is None or layer.values is None:
                raise NotImplementedError("this model caches something other than one key and value per token")
            layers.append(_PrefixLayer(layer.keys, layer.values))
        return Cache(layers=layers)

    def _read_or_halve(self, batch: list[_Row], prefix: int, cache: Cache | None) -> tuple[list[float], list[bool]]:
        """A batch that does not fit the GPU's memory is read in halves; one row that does not fit is an error."""
        try:
            return self._read_batch(batch, prefix, cache)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                raise self._no_memory(prefix + len(batch[0].tokens)) from error
        half = len(batch) // 2
        first, second = (self._read_or_halve(part, prefix, cache) for part in (batch[:half], batch[half:]))
        return first[0] + second[0], first[1] + second[1]

    def _no_memory(self, tokens: int) -> ModelError:
        return ModelError(f"{self.device} has no memory left to read a prompt and its options, {tokens} tokens")

    def _read_batch(self, batch: Sequence[_Row], prefix: int, cache: Cache | None) -> tuple[list[float], list[bool]]:
        """Log-probability and greediness of every target token of every row, in order."""
        width = max(len(row.tokens) for row in batch)
        ids = self._padded([row.tokens for row in batch], width, 0)
        positions = self._padded([row.positions for row in batch], width, 0)
        segments = self._padded([row.segments for row in batch], width, -1)
        hidden = self.model.base_model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=_mask(segments, prefix, self.model.dtype),
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state
        reads = [number * width + read for number, row in enumerate(batch) for read in row.reads]
        targets = [target for row in batch for target in row.targets]
        return self._predictions(hidden.reshape(-1, hidden.shape[-1]), reads, targets)

    def _predictions(self, hidden: Tensor, reads: list[int], targets: list[int]) -> tuple[list[float], list[bool]]:
        """Options share the position before their first token: the head runs once for each distinct position."""
        places = {read: place for place, read in enumerate(dict.fromkeys(reads))}
        wanted = torch.tensor(list(places), device=self.device)
        inverse = torch.tensor([places[read] for read in reads], device=self.device)
        targets_tensor = torch.tensor(targets, device=self.device)
        logprobs = torch.empty(len(reads), dtype=torch.float64, device=self.device)
        greedy = torch.empty(len(reads), dtype=torch.bool, device=self.device)
        head = self.model.get_output_embeddings()
        for start in range(0, len(wanted), HEAD_CHUNK):
            logits = head(hidden[wanted[start : start + HEAD_CHUNK]]).float()
            cap = getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)
            if cap:
                logits = torch.tanh(logits / cap) * cap
            inside = (inverse >= start) & (inverse < start + HEAD_CHUNK)
            row, target = inverse[inside] - start, targets_tensor[inside]
            logprobs[inside] = (logits[row, target] - logits.logsumexp(-1)[row]).double()
            greedy[inside] = logits.argmax(-1)[row] == target
        return logprobs.tolist(), greedy.tolist()

    def _padded(self, lists: Sequence[Sequence[int]], width: int, fill: int) -> Tensor:
        return torch.tensor([[*values, *[fill] * (width - len(values))] for values in lists], device=self.device)


def common_prefix(prompts: Sequence[tuple[int, ...]]) -> int:
    """
    >>> common_prefix([(1, 2, 3), (1, 2, 4, 5)])
    2

    Tokens that all prompts begin with, leaving each at least one of its own: its last token predicts the answer.
    """
    first, last = min(prompts), max(prompts)  # all others lie between the two, so they share what these two share
    limit = min(map(len, prompts)) - 1
    for position in range(limit):
        if first[position] != last[position]:
            return position
    return limit


def _row(owner: int, item: TokenItem, prefix: int) -> _Row:
    """The last token of a continuation is predicted, never read."""
    tokens = list(item.prompt[prefix:])
    last = len(tokens) - 1
    positions = list(range(prefix, prefix + len(tokens)))
    segments = [0] * len(tokens)
    reads: list[int] = []
    targets: list[int] = []
    for number, continuation in enumerate(item.continuations, start=1):
        inner = len(continuation) - 1
        reads += [last, *range(len(tokens), len(tokens) + inner)]
        targets += continuation
        positions += range(len(item.prompt), len(item.prompt) + inner)
        segments += [number] * inner
        tokens += continuation[:-1]
    return _Row(owner, tokens, positions, segments, reads, targets)


def _batches(rows: Sequence[_Row], budget: int) -> Iterator[list[_Row]]:
    """Rows of like length together, longest first, so that little is padded and memory runs out at once or never."""
    batch: list[_Row] = []
    for row in sorted(rows, key=lambda row: (-len(row.tokens), row.owner)):
        if batch and (len(batch) + 1) * len(batch[0].tokens) > budget:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _mask(segments: Tensor, prefix: int, dtype: torch.dtype) -> Tensor | None:
    """Added to the attention scores, [rows, 1, width, prefix + width]; None where plain causal attention is right.

    A token sees the prefix, and, up to itself, its prompt and its own continuation. Padding stands last in a row,
    where nothing but padding sees it.
    """
    if prefix == 0 and int(segments.max()) <= 0:
        return None
    rows, width = segments.shape
    keys, queries = segments[:, None, :], segments[:, :, None]
    seen = ((keys == 0) | (keys == queries)).tril()
    mask = torch.zeros(rows, 1, width, prefix + width, dtype=dtype, device=segments.device)
    mask[..., prefix:].masked_fill_(~seen[:, None], torch.finfo(dtype).min)
    return mask


def _sums(logprobs: Sequence[float], greedy: Sequence[bool], lengths: Sequence[int]) -> TokenScores:
    sums, all_greedy, at = [], [], 0
    for length in lengths:
        sums.append(float(sum(logprobs[at : at + length])))
        all_greedy.append(all(greedy[at : at + length]))
        at += length
    return TokenScores(tuple(sums), tuple(all_greedy))
