"""Arms x tasks -> samples: which passages an arm sees, the prompt within its budget, the answer and its status."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ragmed.arms import Arm
from ragmed.errors import MismatchError, UsageError
from ragmed.models import Model
from ragmed.models.recorded import RecordedAnswers
from ragmed.prompts import build_messages, continuations
from ragmed.records import Completion, Example, Hit, Message, OptionScores, Passage, Sample, Status
from ragmed.retrieval import Retriever
from ragmed.tasks import BoundTask
from ragmed.tasks.answers import find_letter, is_refusal

SHINGLE = 8  # words; two texts that share many runs of so many are one text
SAME_TEXT = 0.2
DISTRACTOR_DEPTH = 4  # distractors are taken from the first k + this many hits, times this, once gold ones are out


class GoldPassages(Protocol):
    """Passages by the names of their documents (`ids` says what kind of names: PMIDs, or the corpus's own)."""

    def naming(self, ids: str) -> frozenset[str]:
        """The corpora whose documents are named by such ids."""

    def passages_of(self, names: Sequence[str], *, ids: str) -> Mapping[str, Sequence[Passage]]: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """The passages meant for one example, best first, before the budget; `note` says what was out of the ordinary.

    `gold`: passage id -> whether it is of a gold document; None where its corpus does not name documents as the task
    does, so that nobody can say.
    """

    hits: tuple[Hit, ...] = ()
    note: str = ""
    gold: Mapping[str, bool | None] = field(default_factory=dict)


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
    the best-ranked passages that are of no gold document and share no text with one (another corpus may hold the same
    abstract). Where the gold documents are unknown, because the task names none or they are not in the index, it takes
    those retrieved for another of the task's questions (a seeded rotation), since a passage retrieved for the question
    itself might hold the answer. MismatchError for an oracle over an index without such ids.
    """
    if not arm.needs_index:
        return [Shown() for _ in examples]
    if retriever is None or gold is None:
        raise UsageError(f"arm '{arm.name}' shows passages and needs an index")
    naming = gold.naming(bound.task.ids) if bound.task.gold_documents else frozenset()
    by_document = gold.passages_of(_names(examples), ids=bound.task.ids) if naming else {}
    right = [tuple(p for d in e.documents for p in by_document.get(d, ())) for e in examples]
    queries = [bound.query(e) for e in examples]
    if arm.context == "oracle":
        if not naming:
            raise MismatchError(
                f"arm '{arm.name}' on task '{bound.name}': its gold documents are named by '{bound.task.ids}' ids, and "
                f"no corpus of index '{arm.index}' says `ids: {bound.task.ids}`; add that line to the recipe of the "
                "one whose document ids they are, or leave the arm out"
            )
        return _oracle(arm, retriever.rank(queries, right))
    depth = arm.k if arm.context == "retrieved" else DISTRACTOR_DEPTH * (arm.k + DISTRACTOR_DEPTH)
    found = retriever.retrieve(queries, k=depth)
    if arm.context == "retrieved":
        return [
            Shown(tuple(hits), gold=_judged(hits, passages, naming))
            for hits, passages in zip(found, right, strict=True)
        ]
    elsewhere = _rotated(found, examples, seed)
    return [
        _distractors(arm, found[i] if right[i] else elsewhere[i], right[i], naming, bound.task.gold_documents)
        for i in range(len(examples))
    ]


def _names(examples: Sequence[Example]) -> list[str]:
    return sorted({name for example in examples for name in example.documents})


def _judged(hits: Sequence[Hit], right: Sequence[Passage], naming: frozenset[str]) -> dict[str, bool | None]:
    ids = {passage.id for passage in right}
    return {
        hit.passage.id: True if hit.passage.id in ids else False if hit.passage.corpus in naming and right else None
        for hit in hits
    }


def _oracle(arm: Arm, ranked: Sequence[Sequence[Hit]]) -> list[Shown]:
    missing = "none of its gold documents is in the index: asked without passages"
    return [
        Shown(tuple(hits[: arm.k]), "" if hits else missing, {hit.passage.id: True for hit in hits}) for hits in ranked
    ]


def _rotated(found: list[list[Hit]], examples: Sequence[Example], seed: int) -> list[list[Hit]]:
    if len(found) < 2:
        return [[] for _ in found]
    digest = hashlib.sha256(f"{seed}\x00distractors".encode()).digest()
    step = 1 + int.from_bytes(digest[:8], "big") % (len(found) - 1)
    shifted = found[step:] + found[:step]
    own = [{hit.passage.id for hit in hits} for hits in found]
    return [[h for h in hits if h.passage.id not in mine] for hits, mine in zip(shifted, own, strict=True)]


def _distractors(arm: Arm, hits: Sequence[Hit], right: Sequence[Passage], naming: frozenset[str], named: bool) -> Shown:
    kept = [hit for hit in hits if not _holds_gold(hit.passage, right)][: arm.k]
    notes = [f"only {len(kept)} of {arm.k} distractors were to be had"] if len(kept) < arm.k else []
    if named and not right:
        notes.append("none of its gold documents is known in the index: distractors come from another question")
    return Shown(
        tuple(replace(hit, rank=i) for i, hit in enumerate(kept, 1)), "; ".join(notes), _judged(kept, right, naming)
    )


def _holds_gold(passage: Passage, right: Sequence[Passage]) -> bool:
    """Whether it is a gold passage, or shares much of its text with one: another corpus may hold the same document."""
    if any(passage.id == one.id or passage.document_key == one.document_key for one in right):
        return True
    mine = _shingles(passage.text)
    return any(
        len(mine & theirs) > SAME_TEXT * min(len(mine), len(theirs))
        for theirs in (_shingles(one.text) for one in right)
    )


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = text.casefold().split()
    return {tuple(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))}


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
    any ends in the status `error`: nothing is ever cut. A model of recorded answers is not asked: see `_recorded`.
    """
    if isinstance(model, RecordedAnswers):
        return _recorded(arm, bound, examples, model)
    started = time.perf_counter()
    prompts = _fit(arm, bound, examples, shown, model, budget)
    fits = [i for i, p in enumerate(prompts) if p.tokens + _reserve(bound, examples[i], model) <= budget]
    messages = [prompts[i].messages for i in fits]
    samples: dict[int, Sample] = {}
    if bound.needs_likelihoods:
        options = [continuations(bound, examples[i]) for i in fits]
        for i, scores in zip(fits, model.score(messages, options), strict=True):
            samples[i] = _from_scores(_blank(arm, bound, examples[i], prompts[i], shown[i]), bound, examples[i], scores)
    else:
        for i, completion in zip(fits, model.generate(messages, max_tokens=bound.max_tokens), strict=True):
            blank = _blank(arm, bound, examples[i], prompts[i], shown[i])
            samples[i] = _spent(_from_completion(blank, bound, examples[i], completion), model.thinking_tokens)
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
    """Tokens kept free for the answer: what may be thought and generated, or the longest option."""
    if bound.needs_likelihoods:
        # Byte-level tokenizers never make more tokens than bytes; options are short, so the bound costs nothing.
        return max(len(text.encode("utf-8")) for text in continuations(bound, example))
    return model.thinking_tokens + bound.max_tokens


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
                "gold": shown.gold.get(h.passage.id),
                "citation": h.passage.citation,
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
        thinking=completion.thinking,
        thinking_tokens=completion.thinking_tokens,
    )
    if completion.finish == "error":
        return sample
    if completion.finish == "refused":
        return replace(sample, status="refused")
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


def _spent(sample: Sample, budget: int) -> Sample:
    """Thinking that has as many tokens as it may have did not end by itself: a reader should know."""
    if not budget or sample.thinking_tokens < budget:
        return sample
    reason = f"its thinking was ended at the budget of {budget} tokens"
    return replace(sample, note="; ".join(filter(None, (sample.note, reason))))


def _recorded(arm: Arm, bound: BoundTask, examples: Sequence[Example], model: RecordedAnswers) -> list[Sample]:
    """One sample for each example, from answers that are there already, read and scored as any other answer.

    Prompt, passages, tokens and time are those of the recorded sample, where it has them. An example without an answer
    is an `error`; answers to examples that are not asked are counted in the note of the task's first sample.
    """
    if arm.context != "none":
        raise UsageError(f"arm '{arm.name}': recorded answers see no passages anew; its context must be none")
    was = model.scoring(bound.name)
    if bound.needs_likelihoods and was and was != bound.settings.scoring:
        raise MismatchError(
            f"arm '{arm.name}': '{model.name}' scored '{bound.name}' by {was}, and {bound.settings.scoring} is asked; "
            f"set the task's scoring to {was}"
        )
    ids = [example.id for example in examples]
    if bound.needs_likelihoods:
        scored = zip(examples, model.option_scores(bound.name, ids), strict=True)
        samples = [_rescored(_replayed(arm, bound, e, model), bound, e, scores) for e, scores in scored]
    else:
        said = zip(examples, model.completions(bound.name, ids), strict=True)
        samples = [_reread(_replayed(arm, bound, e, model), bound, e, completion) for e, completion in said]
    if examples and examples[0].id == bound.examples[0].id:
        extra = model.unasked(bound.name, {example.id for example in bound.examples})
        reason = f"{extra} recorded answers are of no example that is asked here" if extra else ""
        samples[0] = replace(samples[0], note="; ".join(filter(None, (samples[0].note, reason))))
    return samples


def _replayed(arm: Arm, bound: BoundTask, example: Example, model: RecordedAnswers) -> Sample:
    blank = _blank(arm, bound, example, _Prompt((), (), (), 0), Shown())
    stored = model.stored(bound.name, example.id)
    if stored is None:
        return blank
    return replace(
        blank,
        messages=stored.messages,
        passages=stored.passages,
        dropped=stored.dropped,
        seconds=stored.seconds,
        note=stored.note,
        input_tokens=stored.completion.input_tokens,
        output_tokens=stored.completion.output_tokens,
        options=stored.options or blank.options,
    )


def _rescored(sample: Sample, bound: BoundTask, example: Example, scores: OptionScores) -> Sample:
    if not scores.error and sample.options != tuple(example.options.values()):
        scores = replace(scores, error="the recorded options are not those of today, or stand in another order")
    elif not scores.error and len(scores.logprobs) != len(example.options):
        scores = replace(scores, error="the recorded sample lacks the log-likelihood of an option")
    elif not scores.error and bound.settings.normalise == "tokens":
        reason = "how many tokens each option had is not recorded; set normalise to none or characters"
        scores = replace(scores, error=reason)
    again = _from_scores(sample, bound, example, scores)
    return replace(again, output_tokens=sample.output_tokens, options=tuple(example.options.values()))


def _reread(sample: Sample, bound: BoundTask, example: Example, completion: Completion) -> Sample:
    """A recorded refusal of a choice may be what an older parser made of the text: the text is read anew."""
    refused = completion.finish == "refused" and bound.task.kind == "choice" and bool(completion.text.strip())
    again = _from_completion(sample, bound, example, replace(completion, finish="stop") if refused else completion)
    again = replace(again, options=tuple(example.options.values()))
    return replace(again, status="refused") if refused and again.status == "unparsed" else again
