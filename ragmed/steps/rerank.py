"""Passages in, the same ones in the order that the arm's own model gives them out: listwise reranking.

Paper: Sun et al. 2023, "Is ChatGPT Good at Search? Investigating Large Language Models as Re-Ranking Agents", EMNLP,
section 3.2 (RankGPT): a window slides from the last passages to the first, and what it puts first is read again in the
next one. The words of the prompt are ours (`prompts.py`). An answer in another form leaves its window as it stood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ragmed.arms import Arm, Rerank
from ragmed.augmentation import Augmentation, Augmenter
from ragmed.machine import Stopwatch
from ragmed.models import Model
from ragmed.records import Completion, Example, Hit, Passage, Step
from ragmed.retrieval.rerank import with_rank
from ragmed.steps.prompts import asked_of, failure_of, most_that_fit, order_prompt, read_order, room_for
from ragmed.steps.recording import after, taken
from ragmed.tasks import BoundTask

TOKENS = 8  # that a passage's number takes in the answer, about, with its brackets and the sign after it


@dataclass(slots=True)
class _Sorting:
    """One example on its way: `end`: where the next window ends (0: there is none); `overlap`: how many of its
    passages were in the one before."""

    question: str
    hits: list[Hit]
    end: int
    overlap: int = 0
    completions: list[Completion] = field(default_factory=list)
    unread: int = 0
    notes: list[str] = field(default_factory=list)
    error: str = ""


class Reranked:
    """
        Reranked(arm, FromReferences(...), limit=0).augment(bound, bound.examples[:2], model=model)

    `base` gives the candidates; `limit`: tokens that a prompt may have with its answer, 0: what the model allows.
    A passage's `score` is then 1 / rank, since an order has no scores; the rank that it had stays in its `parts`.
    """

    needs_model = True

    def __init__(self, arm: Arm, base: Augmenter, *, limit: int) -> None:
        assert arm.rerank is not None
        self._arm, self._base, self._limit = arm, base, limit
        self._settings: Rerank = arm.rerank
        self._tokens = TOKENS * min(self._settings.window, arm.candidates)

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        assert model is not None
        found = self._base.augment(bound, examples, model=model)
        watch = Stopwatch()
        room = room_for(model, limit=self._limit, answer=self._tokens)
        sorting = [
            _Sorting(asked_of(bound, example), list(with_rank(one.hits, self._arm.references)), len(one.hits))
            for example, one in zip(examples, found, strict=True)
        ]
        open_ = [one for one, before in zip(sorting, found, strict=True) if len(one.hits) > 1 and not before.error]
        while open_:
            windows = [self._window(one, model, room) for one in open_]
            asked = [(one, begin) for one, begin in zip(open_, windows, strict=True) if begin is not None]
            prompts = [order_prompt(one.question, _passages(one.hits[begin : one.end])) for one, begin in asked]
            completions = model.generate(prompts, max_tokens=self._tokens) if prompts else []
            for (one, begin), completion in zip(asked, completions, strict=True):
                self._read(one, begin, completion)
            open_ = [one for one, _ in asked if one.end]
        spent = watch.spent().of_each(max(1, len(examples)))
        return [taken(self._done(*pair), spent) for pair in zip(found, sorting, strict=True)]

    def _window(self, one: _Sorting, model: Model, room: int) -> int | None:
        """Where the window that ends at `end` begins; None where it would hold nothing new."""
        most = min(one.end, self._settings.window)
        fit = most_that_fit(
            most, lambda n: order_prompt(one.question, _passages(one.hits[one.end - n : one.end])), model, room
        )
        if fit < 2 or fit <= one.overlap:
            one.notes.append(f"no more passages fit {room} tokens together: the first {one.end} keep their order")
            one.end = 0
            return None
        return one.end - fit

    def _read(self, one: _Sorting, begin: int, completion: Completion) -> None:
        one.completions.append(completion)
        if error := failure_of(completion):
            one.error, one.end = f"its passages could not be put in order: {error}", 0
            return
        window = one.hits[begin : one.end]
        order = read_order(completion.text, len(window))
        if order is None:
            one.unread += 1
        else:
            one.hits[begin : one.end] = [window[place] for place in order]
        # What is put first is read again with what stands before it, at most half of a window.
        one.overlap = min(self._settings.window - self._settings.step, len(window) // 2)
        one.end = begin + one.overlap if begin else 0

    def _done(self, found: Augmentation, one: _Sorting) -> Augmentation:
        if found.error:
            return found
        hits = tuple(replace(hit, rank=rank, score=1 / rank) for rank, hit in enumerate(one.hits, 1))
        if one.unread:
            one.notes.append(f"{one.unread} of {len(one.completions)} orders could not be read, and changed nothing")
        step = Step(
            "rerank", tuple(hit.passage.id for hit in hits), completions=tuple(one.completions), unread=one.unread,
            note="; ".join(one.notes),
        )  # fmt: skip
        return after(found, hits, step, error=one.error)


def _passages(hits: Sequence[Hit]) -> list[Passage]:
    return [hit.passage for hit in hits]
