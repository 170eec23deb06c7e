"""Greedy decoding in batches. In: token ids of prompts. Out: the text that answers each, and why it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from transformers import GenerationConfig, StoppingCriteriaList

from ragmed.models.rope import unchanged_up_to
from ragmed.progress import tell


@dataclass(frozen=True, slots=True)
class Written:
    """`tokens` is how many were written, the end-of-text token included; `text` is without it and without `stop`.

    `ids`: the same tokens, with what ended them.
    """

    text: str
    finish: Literal["stop", "length"]
    tokens: int
    ids: tuple[int, ...] = ()


class Writer(Protocol):
    """Writes on where token ids end: `Generator` through transformers, `vllm.VllmWriter` through vLLM."""

    eos: frozenset[int]

    def decode(self, ids: list[int]) -> str: ...

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        ends: frozenset[int] = frozenset(),
    ) -> list[Written]: ...

    def finished(self, row: Sequence[int], stop: Sequence[str]) -> Written: ...


class Generator:
    """
        Generator(model, decode).generate([[1, 2, 3]], max_tokens=8)

    `model`: a causal language model of transformers in eval mode; `decode`: ids -> text without special tokens.
    Prompts of like length are read together, padded on the left; sums are then taken in another order, which moves
    logits by about 1e-5 (float32) or 0.05 (bfloat16): only where two tokens lie closer than that can the company a
    prompt is read in change its answer.
    """

    def __init__(
        self, model: Any, decode: Callable[[list[int]], str], *, eos: frozenset[int], token_budget: int | None = None
    ) -> None:
        self.model = model
        # What a call leaves open, transformers takes from here: the penalties, suppressed tokens and lengths of a
        # publisher's generation_config.json. Greedy is the most likely token and nothing else.
        model.generation_config = GenerationConfig()
        self._unchanged = unchanged_up_to(model.config)
        self.decode = decode
        self.eos = eos
        self.device = next(model.parameters()).device
        self.token_budget = token_budget or (8192 if self.device.type == "cpu" else 65536)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        stop: Sequence[str] = (),
        ends: frozenset[int] = frozenset(),
    ) -> list[Written]:
        """One Written per prompt, in order; every prompt has a token at least and fits the context with its answer.

        `ends`: tokens that end the text as an end-of-text token does.
        """
        order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
        written: dict[int, Written] = {}
        marks = tuple(mark for mark in stop if mark)
        while order:
            room = self._room(len(prompts[order[0]]) + max_tokens)
            batch, order = order[:room], order[room:]
            with torch.inference_mode():
                answers = self._batch([prompts[i] for i in batch], max_tokens, marks, self.eos | ends)
            written.update(zip(batch, answers, strict=True))
            tell(len(batch))
        return [written[i] for i in range(len(prompts))]

    def _room(self, longest: int) -> int:
        """How many prompts are read together; a text so long that it changes others' positions is read alone."""
        if self._unchanged is not None and longest > self._unchanged:
            return 1
        return max(1, self.token_budget // longest)

    def _batch(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, stop: tuple[str, ...], ends: frozenset[int]
    ) -> list[Written]:
        width = max(map(len, prompts))
        ids = [[0] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=sorted(ends) or None,
            pad_token_id=min(ends, default=0),
        )
        criteria = StoppingCriteriaList([self._stopper(width, stop)] if stop else [])
        out = self.model.generate(
            input_ids=torch.tensor(ids, device=self.device),
            attention_mask=torch.tensor(mask, device=self.device),
            generation_config=config,
            stopping_criteria=criteria,
        )
        return [self._written(row, stop, ends) for row in out[:, width:].tolist()]

    def finished(self, row: Sequence[int], stop: Sequence[str]) -> Written:
        """What tokens that are written already say, up to an end-of-text token or a stop string."""
        return self._written(list(row), tuple(mark for mark in stop if mark), self.eos)

    def _stopper(self, width: int, stop: tuple[str, ...]) -> Any:
        # The tail that could newly hold a stop string: a token writes at least a byte, a character takes up to four.
        tail = 4 * max(map(len, stop)) + 8

        def stopped(ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
            texts = [self.decode(row) for row in ids[:, width:][:, -tail:].tolist()]
            return torch.tensor([any(mark in text for mark in stop) for text in texts], device=ids.device)

        return stopped

    def _written(self, row: list[int], stop: tuple[str, ...], ends: frozenset[int]) -> Written:
        """Cuts the row where its own answer ended: what follows is padding while others of the batch still wrote."""
        end = next((place for place, token in enumerate(row) if token in ends), None)
        tokens = row if end is None else row[:end]
        text = self.decode(tokens)
        cuts = [text.index(mark) for mark in stop if mark in text]
        if cuts:
            used = self._tokens_until(tokens, stop)
            return Written(text[: min(cuts)], "stop", used, tuple(tokens[:used]))
        if end is not None:
            return Written(text, "stop", end + 1, tuple(row[: end + 1]))
        return Written(text, "length", len(tokens), tuple(tokens))

    def _tokens_until(self, tokens: list[int], stop: tuple[str, ...]) -> int:
        """The shortest beginning whose text holds a stop string: that is when decoding of this answer was over."""
        low, high = 1, len(tokens)
        while low < high:
            middle = (low + high) // 2
            if any(mark in self.decode(tokens[:middle]) for mark in stop):
                high = middle
            else:
                low = middle + 1
        return low
