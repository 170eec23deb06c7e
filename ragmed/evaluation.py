"""Arms x tasks -> samples: which passages an arm sees, the prompt within its budget, the answer and its status."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ragmed.arms import Arm
from ragmed.errors import UsageError
from ragmed.models import Model
from ragmed.prompts import build_messages, continuations
from ragmed.records import Completion, Example, Hit, Message, OptionScores, Passage, Sample, Status
from ragmed.retrieval import Retriever
from ragmed.tasks import BoundTask
from ragmed.tasks.answers import find_letter, is_refusal

DISTRACTOR_DEPTH = 4  # distractors are taken from the first k + this many hits, times this, once gold ones are out


class GoldPassages(Protocol):
    """Passages by the ids of their documents; a document that is not there has no entry."""

    def passages_of(self, document_ids: Sequence[str]) -> Mapping[str, Sequence[Passage]]: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """The passages meant for one example, best first, before the budget; `note` says what was out of the ordinary."""

    hits: tuple[Hit, ...] = ()
    note: str = ""


def choose_passages(
    arm: Arm,
    bound: BoundTask,
    examples: Sequence[Example],
    *,
    retriever: Retriever | None,
    gold: GoldPassages | None,
    seed: int,
) -> list[Shown]:
    """The passages of one arm for the examples of one task, all retrieved in one batch.

    `oracle` takes the first k passages of the gold documents, those most like the question first. `distractor` takes
    the best-ranked passages that are of no gold document; where a task names no gold documents, those retrieved for
    another of its questions (a seeded rotation), since a passage retrieved for the question itself might hold the
    answer.
    """
    if not arm.needs_index:
        return [Shown() for _ in examples]
    if retriever is None or gold is None:
        raise UsageError(f"arm '{arm.name}' shows passages and needs an index")
    if arm.context == "oracle":
        return _oracle(arm, bound, examples, retriever, gold)
    queries = [bound.query(e) for e in examples]
    depth = arm.k if arm.context == "retrieved" else DISTRACTOR_DEPTH * (arm.k + DISTRACTOR_DEPTH)
    found = retriever.retrieve(queries, k=depth)
    if arm.context == "retrieved":
        return [Shown(tuple(hits)) for hits in found]
    if not bound.task.gold_documents:
        found = _rotated(found, examples, seed)
    return [_without_gold(arm, e, hits) for e, hits in zip(examples, found, strict=True)]


def _oracle(
    arm: Arm, bound: BoundTask, examples: Sequence[Example], retriever: Retriever, gold: GoldPassages
) -> list[Shown]:
    by_document = gold.passages_of(sorted({d for e in examples for d in e.documents}))
    ranked = retriever.rank(
        [bound.query(e) for e in examples], [[p for d in e.documents for p in by_document.get(d, ())] for e in examples]
    )
    missing = "none of its gold documents is in the index: asked without passages"
    return [Shown(tuple(hits[: arm.k]), "" if hits else missing) for hits in ranked]


def _rotated(found: list[list[Hit]], examples: Sequence[Example], seed: int) -> list[list[Hit]]:
    if len(found) < 2:
        return [[] for _ in found]
    digest = hashlib.sha256(f"{seed}\x00distractors".encode()).digest()
    step = 1 + int.from_bytes(digest[:8], "big") % (len(found) - 1)
    shifted = found[step:] + found[:step]
    own = [{hit.passage.id for hit in hits} for hits in found]
    return [[h for h in hits if h.passage.id not in mine] for hits, mine in zip(shifted, own, strict=True)]


def _without_gold(arm: Arm, example: Example, hits: Sequence[Hit]) -> Shown:
    kept = [hit for hit in hits if hit.passage.document not in example.documents][: arm.k]
    note = f"only {len(kept)} of {arm.k} distractors were to be had" if len(kept) < arm.k else ""
    return Shown(tuple(replace(hit, rank=i) for i, hit in enumerate(kept, 1)), note)


@dataclass(frozen=True, slots=True)
class _Prompt:
    messages: tuple[Message, ...]
    hits: tuple[Hit, ...]
    dropped: tuple[Hit, ...]
    tokens: int


def answer(
    arm: Arm, bound: BoundTask, examples: Sequence[Example], shown: Sequence[Shown], *, model: Model, budget: int
) -> list[Sample]:
    """One sample for each example, in order. `budget`: tokens that prompt and answer may have together.

    Passages that do not fit are dropped whole, last ranked first, and recorded. A prompt that does not fit without
    any ends in the status `error`: nothing is ever cut.
    """
    started = time.perf_counter()
    prompts = _fit(arm, bound, examples, shown, model, budget)
    fits = [i for i, p in enumerate(prompts) if p.tokens + _reserve(bound, examples[i], model) <= budget]
    messages = [prompts[i].messages for i in fits]
    samples: dict[int, Sample] = {}
    if bound.task.kind == "choice" and bound.settings.scoring != "generate":
        options = [continuations(bound, examples[i]) for i in fits]
        for i, scores in zip(fits, model.score(messages, options), strict=True):
            samples[i] = _from_scores(_blank(arm, bound, examples[i], prompts[i], shown[i]), bound, examples[i], scores)
    else:
        for i, completion in zip(fits, model.generate(messages, max_tokens=bound.max_tokens), strict=True):
            blank = _blank(arm, bound, examples[i], prompts[i], shown[i])
            samples[i] = _from_completion(blank, bound, examples[i], completion)
    seconds = (time.perf_counter() - started) / max(1, len(examples))
    result = []
    for i, example in enumerate(examples):
        if i not in samples:
            reason = (
                f"the prompt has {prompts[i].tokens} tokens without passages; with its answer the budget is {budget}"
            )
            samples[i] = replace(_blank(arm, bound, example, prompts[i], shown[i]), note=reason)
        result.append(replace(samples[i], seconds=round(seconds, 4)))
    return result


def _reserve(bound: BoundTask, example: Example, model: Model) -> int:
    """Tokens kept free for the answer: what may be generated, or the longest option."""
    if bound.task.kind == "choice" and bound.settings.scoring != "generate":
        # Byte-level tokenizers never make more tokens than bytes; options are short, so the bound costs nothing.
        return max(len(text.encode("utf-8")) for text in continuations(bound, example))
    return bound.max_tokens


def _fit(
    arm: Arm, bound: BoundTask, examples: Sequence[Example], shown: Sequence[Shown], model: Model, budget: int
) -> list[_Prompt]:
    """The prompt of each example with as many of its passages, in rank order, as the budget holds."""
    kept = [len(s.hits) for s in shown]
    prompts: list[_Prompt | None] = [None] * len(examples)
    open_ = list(range(len(examples)))
    while open_:
        built = [_prompt(arm, bound, examples[i], shown[i].hits, kept[i]) for i in open_]
        counts = model.count_tokens([p.messages for p in built])
        following = []
        for i, prompt, tokens in zip(open_, built, counts, strict=True):
            prompts[i] = replace(prompt, tokens=tokens)
            if tokens + _reserve(bound, examples[i], model) > budget and kept[i]:
                kept[i] -= 1
                following.append(i)
        open_ = following
    return [p for p in prompts if p is not None]


def _prompt(arm: Arm, bound: BoundTask, example: Example, hits: tuple[Hit, ...], keep: int) -> _Prompt:
    messages = build_messages(
        bound, example, passages=[h.passage for h in hits[:keep]], hide_question=arm.context == "options-only"
    )
    return _Prompt(messages, hits[:keep], hits[keep:], 0)


def _blank(arm: Arm, bound: BoundTask, example: Example, prompt: _Prompt, shown: Shown) -> Sample:
    return Sample(
        example=example.id,
        arm=arm.name,
        task=bound.name,
        status="error",
        extracted=None,
        gold=example.gold,
        scores={},
        group=example.group,
        messages=prompt.messages,
        passages=tuple(
            {
                "id": h.passage.id,
                "rank": h.rank,
                "score": round(h.score, 6),
                "gold": h.passage.document in example.documents,
            }
            for h in prompt.hits
        ),
        dropped=tuple(h.passage.id for h in prompt.dropped),
        options=tuple(example.options.values()),
        input_tokens=prompt.tokens,
        note=shown.note,
    )


def _from_scores(sample: Sample, bound: BoundTask, example: Example, scores: OptionScores) -> Sample:
    if scores.error:
        return replace(sample, note=scores.error)
    values = [
        logprob / _length(bound, text, tokens)
        for logprob, text, tokens in zip(scores.logprobs, continuations(bound, example), scores.tokens, strict=True)
    ]
    best = list(example.options)[values.index(max(values))]
    return replace(
        sample,
        status="answered",
        extracted=best,
        scores={"accuracy": float(best == example.gold)},
        option_logprobs=tuple(round(v, 6) for v in scores.logprobs),
        input_tokens=scores.input_tokens,
        output_tokens=sum(scores.tokens),
    )


def _length(bound: BoundTask, text: str, tokens: int) -> int:
    return {"none": 1, "tokens": max(1, tokens), "characters": max(1, len(text))}[bound.settings.normalise]


def _from_completion(sample: Sample, bound: BoundTask, example: Example, completion: Completion) -> Sample:
    sample = replace(
        sample,
        completion=completion.text,
        input_tokens=completion.input_tokens,
        output_tokens=completion.output_tokens,
        note=completion.error or sample.note,
    )
    if completion.finish == "error":
        return sample
    if bound.task.kind == "choice":
        extracted = find_letter(completion.text, example.options)
        scores = {"accuracy": float(extracted == example.gold)}
    else:
        assert bound.task.score is not None, f"task '{bound.name}' has no scorer"
        extracted = completion.text.strip() or None
        scores = dict(bound.task.score(example, extracted)) if extracted else {}
    status = _status(bound, completion, extracted)
    return replace(sample, status=status, extracted=extracted, scores=scores if status == "answered" else {})


def _status(bound: BoundTask, completion: Completion, extracted: str | None) -> Status:
    """A letter that was read counts even if the text after it was cut; a cut text does not."""
    if bound.task.kind == "choice" and extracted is not None:
        return "answered"
    if completion.finish == "length":
        return "truncated"
    if bound.task.kind == "choice" and is_refusal(completion.text):
        return "refused"
    return "answered" if extracted is not None else "unparsed"
