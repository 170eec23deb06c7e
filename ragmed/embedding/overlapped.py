"""Texts through a sentence-transformers model on a GPU, tokenised by the CPU's cores while the card computes.

A card reads BERT-sized models faster than one core tokenises: whoever tokenises a batch, computes it, and then
tokenises the next, waits most of the time. Here batches are tokenised ahead by a thread (the tokenizer itself lets
Python's lock go and uses all cores), go to the card from pinned memory, and their vectors stay there to the end.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TOKENS = 65_536  # of a batch, padding included
LETTERS = 4  # about as many a token in English, to tell the tokens of a batch before it is tokenised
AHEAD = 8  # batches tokenised before their turn


class TooLong(Exception):
    """Texts number `indices` are of up to `tokens` tokens."""

    def __init__(self, indices: Sequence[int], tokens: int) -> None:
        super().__init__(f"{len(indices)} texts of up to {tokens} tokens")
        self.indices, self.tokens = list(indices), tokens


def encode_overlapped(
    model: Any,
    texts: Sequence[str],
    *,
    verb: str,
    prompt: str,
    batch: int = 0,
    read: Callable[[str], Any] = str,
) -> npt.NDArray[np.float32]:
    """
        encode_overlapped(model, ["asthma", "an inhaler"], verb="document", prompt="").shape  # (2, 384)

    float32 [n, dimension], in the order given: what `model.encode_document` (verb `document`) or `encode_query`
    gives, up to rounding. `model`: a SentenceTransformer, on any device. `batch`: texts a batch; 0: as many as make
    about 65,536 tokens. `read`: what the model is given of a text, such as a pair of title and rest. Nothing is cut:
    TooLong names the texts beyond the model's `max_seq_length`.
    """
    import numpy as np
    import torch

    device = model.device
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    rows: list[int] = []
    vectors: list[torch.Tensor] = []
    long: list[int] = []
    longest = 0
    # one thread, since a tokenizer takes one caller at a time
    with _on_all_cores(), torch.inference_mode(), ThreadPoolExecutor(1) as thread:
        for some, features in _ahead(thread, model, texts, list(_batches(texts, order, batch)), verb, prompt, read):
            sizes = features["attention_mask"].sum(dim=1).tolist()
            beyond = [i for i, size in zip(some, sizes, strict=True) if size > model.max_seq_length]
            if beyond or long:  # all are looked at, so that all can be named
                long += beyond
                longest = max(longest, *sizes)
                continue
            moved = {
                key: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
                for key, value in features.items()
            }
            rows += some
            vectors.append(model.forward(moved, task=verb)["sentence_embedding"])
        if long:
            raise TooLong(sorted(long), longest)
        made = np.zeros((len(texts), int(model.get_embedding_dimension() or 0)), dtype=np.float32)
        if vectors:
            made[rows] = torch.cat(vectors).float().cpu().numpy()
    return made


def _batches(texts: Sequence[str], order: Sequence[int], size: int) -> Iterator[list[int]]:
    """Numbers of texts, longest first; each batch about as many tokens, by its longest text's letters."""
    first = 0
    while first < len(order):
        tokens = len(texts[order[first]]) // LETTERS + 2
        last = first + (size or max(1, TOKENS // tokens))
        yield list(order[first:last])
        first = last


def _ahead(
    thread: ThreadPoolExecutor,
    model: Any,
    texts: Sequence[str],
    batches: Sequence[list[int]],
    verb: str,
    prompt: str,
    read: Callable[[str], Any],
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Each batch with its tokens, in order, `AHEAD` of them under way at a time."""
    pinned = model.device.type == "cuda"

    def tokenised(some: list[int]) -> dict[str, Any]:
        features = model.preprocess(
            [read(texts[i]) for i in some],
            prompt=prompt,
            task=verb,
            processing_kwargs={"text": {"truncation": False}},
        )
        return {key: _pinned(value) if pinned else value for key, value in features.items()}

    waiting: deque[tuple[list[int], Future[dict[str, Any]]]] = deque()
    for some in batches:
        waiting.append((some, thread.submit(tokenised, some)))
        if len(waiting) == AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


@contextmanager
def _on_all_cores() -> Iterator[None]:
    """Tokenizers ask the environment before each call; the command line says `false` there, because of forks."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _pinned(value: Any) -> Any:
    return value.pin_memory() if hasattr(value, "pin_memory") else value
