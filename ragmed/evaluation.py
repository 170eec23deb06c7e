"""Arms x tasks -> samples: the prompt within its budget, the answer and its status. Passages: `selection.py`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragmed.arms import Arm, PassageOrder
from ragmed.errors import MismatchError, UsageError
from ragmed.models import Model
from ragmed.models.recorded import RecordedAnswers, Stored
from ragmed.prompts import HIDDEN, build_messages, continuations, harmless
from ragmed.records import Completion, Example, Hit, Message, OptionScores, Sample, Status
from ragmed.selection import Shown
from ragmed.tasks import BoundTask
from ragmed.tasks.answers import find_letter, is_refusal


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
    shown = _ordered(hits[:keep], arm.passage_order, example.id)
    messages = build_messages(
        bound, example, passages=[h.passage for h in shown], hide_question=arm.context == "options-only"
    )
    return _Prompt(messages, shown, hits[keep:], 0)


def _ordered(hits: tuple[Hit, ...], order: PassageOrder, example: str) -> tuple[Hit, ...]:
    """What fits, in the order of the arm; each passage keeps the rank that the retriever gave it."""
    if order == "shuffled":
        return tuple(sorted(hits, key=lambda h: hashlib.sha256(f"{example}\x00{h.passage.id}".encode()).digest()))
    return hits[::-1] if order == "reversed" else hits


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
                "document": h.passage.document_key,
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
        documents=example.documents,
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
        option_tokens=tuple(scores.tokens),
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
        request_seconds=round(completion.seconds, 4),
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
    samples = [_same_question(s, e, model.stored(bound.name, e.id)) for s, e in zip(samples, examples, strict=True)]
    if examples and examples[0].id == bound.examples[0].id:
        extra = model.unasked(bound.name, {example.id for example in bound.examples})
        reason = f"{extra} recorded answers are of no example that is asked here" if extra else ""
        samples[0] = replace(samples[0], note="; ".join(filter(None, (samples[0].note, reason))))
    return samples


def _same_question(sample: Sample, example: Example, stored: Stored | None) -> Sample:
    """The sample, or an error where what was recorded under this id is no answer to today's question."""
    if stored is None or not stored.messages or sample.status == "error":
        return sample
    asked = [message.content for message in stored.messages if message.role == "user"]
    same = any(harmless(example.question) in text or HIDDEN in text for text in asked[-1:])
    if same and (not stored.options or stored.options == tuple(example.options.values())):
        return sample
    what = "other options, or another order of them," if same else "another question"
    reason = f"the recorded answer is to {what} under this id; ask the model again"
    return replace(sample, status="error", extracted=None, scores={}, option_logprobs=(), note=reason)


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
        option_tokens=stored.option_tokens,
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
    return replace(
        again, output_tokens=sample.output_tokens, option_tokens=sample.option_tokens,
        options=tuple(example.options.values()),
    )  # fmt: skip


def _reread(sample: Sample, bound: BoundTask, example: Example, completion: Completion) -> Sample:
    """A recorded refusal of a choice may be what an older parser made of the text: the text is read anew."""
    refused = completion.finish == "refused" and bound.task.kind == "choice" and bool(completion.text.strip())
    again = _from_completion(sample, bound, example, replace(completion, finish="stop") if refused else completion)
    again = replace(again, options=tuple(example.options.values()))
    return replace(again, status="refused") if refused and again.status == "unparsed" else again
