"""Arms x tasks -> samples: the prompt within its budget, and what came back. Passages: `augmentation.py`. Whether an
answer is right is decided afterwards: `scores.py`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ragmed.arms import Arm, PassageOrder
from ragmed.augmentation import Augmentation
from ragmed.errors import MismatchError, UsageError
from ragmed.machine import Spent, Stopwatch
from ragmed.models import ComputesHere, Constrains, Model, OneByOne, ReadsExamples
from ragmed.models.recorded import RecordedAnswers
from ragmed.models.refusals import about_context
from ragmed.planted import planted_answer
from ragmed.prompts import build_messages, constraint, continuations, prompt_hash
from ragmed.records import (
    PLANTED,
    Completion,
    Example,
    Hit,
    Message,
    OptionScores,
    Passage,
    PassageRole,
    Sample,
    ShownPassage,
)
from ragmed.tasks import BoundTask
from ragmed.text_table import counted


@dataclass(frozen=True, slots=True)
class _Prompt:
    messages: tuple[Message, ...]
    hits: tuple[Hit, ...]
    dropped: tuple[Hit, ...]
    tokens: int


def answer(
    arm: Arm,
    bound: BoundTask,
    examples: Sequence[Example],
    augmentations: Sequence[Augmentation],
    *,
    model: Model,
    budget: int,
    keep: Callable[[int, Sample], None] | None = None,
) -> list[Sample]:
    """One sample for each example, in order. `budget`: tokens that prompt and answer may have together. `keep`: where
    the model is one that answers one by one, called with place and sample of each example as it comes, in any order.

    Passages that do not fit are dropped whole, last ranked first, and documents of a record that is shown whole, the
    last one first; both are recorded. A prompt that does not fit without any passage, or with the record's first
    document alone, ends in `error`: nothing is ever cut. A model of recorded answers is not asked: see `_recorded`.
    One that reads examples is asked with them; the prompt is then what a language model would have been asked.
    """
    if isinstance(model, RecordedAnswers):
        return _recorded(arm, bound, examples, model)
    watch = Stopwatch()
    samples = unanswered(arm, bound, examples, augmentations, model=model, budget=budget)
    for i, example in enumerate(examples):
        if samples[i].error:
            continue
        if (tokens := samples[i].input_tokens) + _reserve(bound, example, model) > budget:
            whole = {"full": "with one document of its record", "conflict": "with the passages that conflict"}
            least = whole[arm.context] if samples[i].passages else "without passages"
            reason = f"the prompt has {tokens} tokens {least}; with its answer the budget is {budget}"
            samples[i] = replace(_never_read(samples[i]), error=reason, fits=False)
    if keep and isinstance(model, OneByOne):
        return _one_by_one(bound, examples, samples, model, keep)
    fits = [i for i, sample in enumerate(samples) if not sample.error]
    messages = [samples[i].messages for i in fits]
    if isinstance(model, ReadsExamples):
        for i in fits:
            passages = [hit.passage for hit in sorted(augmentations[i].hits, key=lambda hit: hit.rank)]
            completion = model.extract(examples[i], bound.task.query(examples[i]), passages)
            samples[i] = _written(samples[i], completion, model.thinking_tokens)
    elif bound.needs_likelihoods:
        options = [continuations(bound, examples[i]) for i in fits]
        for i, texts, scores in zip(fits, options, model.score(messages, options), strict=True):
            samples[i] = _scored(samples[i], texts, scores)
    else:
        for i, completion in zip(fits, _generate(model, bound, [examples[i] for i in fits], messages), strict=True):
            samples[i] = _written(samples[i], completion, model.thinking_tokens)
    each = watch.spent().of_each(max(1, len(examples)))
    watched = [replace(sample, seconds=round(each.wall, 4)) for sample in samples]
    if not isinstance(model, ComputesHere):
        return watched
    return [_computed(sample, each, found) for sample, found in zip(watched, augmentations, strict=True)]


def _computed(sample: Sample, each: Spent, found: Augmentation) -> Sample:
    """With what answering and finding passages took of processors and cards; without where that is not known of the
    passages.
    """
    if each.cpu is None or found.cpu_seconds is None:
        return sample
    cards = [part for part in (each.gpu, found.gpu_seconds) if part is not None]
    return replace(
        sample,
        cpu_seconds=round(each.cpu + found.cpu_seconds, 6),
        gpu_seconds=round(sum(cards), 6) if cards else None,
    )


def _one_by_one(
    bound: BoundTask,
    examples: Sequence[Example],
    samples: list[Sample],
    model: Model,
    keep: Callable[[int, Sample], None],
) -> list[Sample]:
    """`samples` answered, each kept as it comes; its `seconds` are those since the one before it came."""
    assert isinstance(model, OneByOne)
    fits = [i for i, sample in enumerate(samples) if not sample.error]
    since = time.perf_counter()

    def came(place: int, sample: Sample) -> None:
        nonlocal since
        now = time.perf_counter()
        samples[place], since = replace(sample, seconds=round(now - since, 4)), now
        keep(place, samples[place])

    for place in sorted({*range(len(samples))} - {*fits}):
        came(place, samples[place])
    messages = [samples[i].messages for i in fits]
    if bound.needs_likelihoods:
        options = [continuations(bound, examples[i]) for i in fits]
        model.score_each(
            messages, options, each=lambda n, scores: came(fits[n], _scored(samples[fits[n]], options[n], scores))
        )
    else:
        thinking = model.thinking_tokens
        _generate(
            model, bound, [examples[i] for i in fits], messages,
            each=lambda n, completion: came(fits[n], _written(samples[fits[n]], completion, thinking)),
        )  # fmt: skip
    return samples


def _generate(
    model: Model,
    bound: BoundTask,
    examples: Sequence[Example],
    messages: Sequence[Sequence[Message]],
    each: Callable[[int, Completion], None] | None = None,
) -> list[Completion]:
    """What the model writes, within the valid forms where the arm is held to them. What breaks its form all the same is
    kept as it is: what can be read of it is for the reader to say.
    """
    if bound.constrained:
        if not isinstance(model, Constrains):
            raise UsageError(f"'{model.name}' cannot be held to a form; take constrained out of its arms")
        forms = [constraint(bound, example) for example in examples]
        return model.generate_within(messages, forms, max_tokens=bound.max_tokens, each=each)
    if each and isinstance(model, OneByOne):
        model.generate_each(messages, max_tokens=bound.max_tokens, each=each)
        return []
    return model.generate(messages, max_tokens=bound.max_tokens)


def unanswered(
    arm: Arm,
    bound: BoundTask,
    examples: Sequence[Example],
    augmentations: Sequence[Augmentation],
    *,
    model: Model,
    budget: int,
) -> list[Sample]:
    """What would be asked, with the passages that fit the budget: samples to which nothing has come back yet."""
    prompts = _fit(arm, bound, examples, augmentations, model, budget)
    return [_asked(arm, bound, *parts) for parts in zip(examples, prompts, augmentations, strict=True)]


def _reserve(bound: BoundTask, example: Example, model: Model) -> int:
    """Tokens kept free for the answer: what may be thought and generated, or the longest option."""
    if bound.needs_likelihoods:
        # Byte-level tokenizers never make more tokens than bytes; options are short, so the bound costs nothing.
        return max(len(text.encode("utf-8")) for text in continuations(bound, example))
    return model.thinking_tokens + bound.max_tokens


def _fit(
    arm: Arm,
    bound: BoundTask,
    examples: Sequence[Example],
    augmentations: Sequence[Augmentation],
    model: Model,
    budget: int,
) -> list[_Prompt]:
    """The prompt of each example with as many of its passages, in rank order, as the budget holds."""
    kept = [len(augmentation.hits) for augmentation in augmentations]
    prompts: list[_Prompt | None] = [None] * len(examples)
    open_ = list(range(len(examples)))
    while open_:
        built = [_prompt(arm, bound, examples[i], augmentations[i].hits, kept[i]) for i in open_]
        counts = model.count_tokens([p.messages for p in built])
        following = []
        for i, prompt, tokens in zip(open_, built, counts, strict=True):
            prompts[i] = replace(prompt, tokens=tokens)
            # What conflicts is shown with what it conflicts with, or not at all.
            least = {"full": 1, "conflict": len(augmentations[i].hits)}.get(arm.context, 0)
            if tokens + _reserve(bound, examples[i], model) > budget and kept[i] > least:
                kept[i] -= 1
                following.append(i)
        open_ = following
    return [p for p in prompts if p is not None]


def _prompt(arm: Arm, bound: BoundTask, example: Example, hits: tuple[Hit, ...], keep: int) -> _Prompt:
    shown = _ordered(hits[:keep], arm.passage_order, example.id)
    return _Prompt(arm_messages(arm, bound, example, [h.passage for h in shown]), shown, hits[keep:], 0)


def arm_messages(arm: Arm, bound: BoundTask, example: Example, shown: Sequence[Passage] = ()) -> tuple[Message, ...]:
    """The prompt of an example as an arm sees it. `shown`: its passages; of an arm that is shown a record whole, as
    many of its documents, from the first. No other arm sees a record, but for passages of it.
    """
    passages, context = shown, example.context
    if bound.task.record:
        passages, context = ((), context[: len(shown)]) if arm.context == "full" else (shown, ())
    return build_messages(
        bound, replace(example, context=context), passages=passages, hide_question=arm.context == "options-only"
    )


def _ordered(hits: tuple[Hit, ...], order: PassageOrder, example: str) -> tuple[Hit, ...]:
    """What fits, in the order of the arm; each passage keeps the rank that the retriever gave it."""
    if order == "shuffled":
        return tuple(sorted(hits, key=lambda h: hashlib.sha256(f"{example}\x00{h.passage.id}".encode()).digest()))
    return hits[::-1] if order == "reversed" else hits


def _asked(arm: Arm, bound: BoundTask, example: Example, prompt: _Prompt, augmentation: Augmentation) -> Sample:
    """What is asked; nothing has come back yet."""
    left_out = len(prompt.dropped) if arm.context == "full" else 0
    of = counted(len(augmentation.hits), "document")
    documents = f"{left_out} of {of} of its record did not fit: the last, left out whole"
    return Sample(
        arm=arm.name,
        task=bound.name,
        example=example,
        messages=prompt.messages,
        prompt=prompt_hash(prompt.messages),
        passages=tuple(_shown(hit, example, augmentation.gold.get(hit.passage.id)) for hit in prompt.hits),
        dropped=tuple(hit.passage.id for hit in prompt.dropped),
        # Of what is not asked only what was spent before counts.
        input_tokens=augmentation.input_tokens if augmentation.error else prompt.tokens,
        output_tokens=augmentation.output_tokens if augmentation.error else 0,
        retrieval_seconds=round(augmentation.seconds, 4),
        retrieval_cpu_seconds=_micro(augmentation.cpu_seconds),
        retrieval_gpu_seconds=_micro(augmentation.gpu_seconds),
        note=documents if left_out else augmentation.note,
        fits=not left_out,
        finish="error" if augmentation.error else "stop",
        error=augmentation.error,
        queries=augmentation.queries,
        retrieval_input_tokens=augmentation.input_tokens,
        retrieval_output_tokens=augmentation.output_tokens,
        left_out=augmentation.left_out,
        steps=augmentation.steps,
        constraint=bound.constrained,
    )


def _shown(hit: Hit, example: Example, gold: bool | None) -> ShownPassage:
    """What is kept of a passage. What contradicts the gold is known by its document, in whatever arm it stands."""
    passage, key = hit.passage, str(hit.passage.document_key)
    role: PassageRole = ""
    claims = ""
    if passage.corpus == PLANTED:
        role, claims = "planted", planted_answer(passage.document)
    elif key in example.contradictions:
        role, claims = "contradicting", example.contradictions[key]
    return ShownPassage(
        passage.id, key, hit.rank, round(hit.score, 6), gold, passage.citation, dict(hit.parts), role, claims
    )


def _micro(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _scored(sample: Sample, texts: Sequence[str], scores: OptionScores) -> Sample:
    if scores.error:
        return replace(_never_read(sample), error=scores.error, fits=_fits(sample, scores.error))
    return replace(
        sample,
        continuations=tuple(texts),
        option_logprobs=tuple(round(logprob, 6) for logprob in scores.logprobs),
        option_tokens=tuple(scores.tokens),
        input_tokens=scores.input_tokens + sample.retrieval_input_tokens,
        output_tokens=sum(scores.tokens) + sample.retrieval_output_tokens,
    )


def _never_read(sample: Sample) -> Sample:
    """An error whose prompt nobody read: only what queries and steps took before counts."""
    read, wrote = sample.retrieval_input_tokens, sample.retrieval_output_tokens
    return replace(sample, finish="error", input_tokens=read, output_tokens=wrote)


def _fits(sample: Sample, error: str) -> bool:
    """Whether a sample fits still, after what its model said went wrong."""
    return sample.fits and not about_context(error)


def _written(sample: Sample, completion: Completion, thinking_budget: int) -> Sample:
    note = sample.note
    if thinking_budget and completion.thinking_tokens >= thinking_budget:  # it did not end by itself
        reason = f"its thinking was ended at the budget of {thinking_budget} tokens"
        note = "; ".join(filter(None, (note, reason)))
    return replace(
        sample,
        completion=completion.text,
        finish=completion.finish,
        error=completion.error,
        input_tokens=completion.input_tokens + sample.retrieval_input_tokens,
        output_tokens=completion.output_tokens + sample.retrieval_output_tokens,
        thinking=completion.thinking,
        thinking_tokens=completion.thinking_tokens,
        request_seconds=round(completion.seconds, 4),
        note=note,
        fits=_fits(sample, completion.error),
    )


def _recorded(arm: Arm, bound: BoundTask, examples: Sequence[Example], model: RecordedAnswers) -> list[Sample]:
    """One sample for each example, from answers that are there already.

    Prompt, passages, tokens and time are those of the recorded sample, where it has them. An example without an answer
    is an `error`; answers to examples that are not asked are counted in the note of the task's first sample.
    """
    if arm.context != "none":
        raise UsageError(f"arm '{arm.name}': recorded answers see no passages now; its context must be none")
    if not any(model.stored(bound.name, example.id) for example in bound.examples):
        asked = ", ".join(sorted(example.id for example in bound.examples)[:3])
        raise MismatchError(
            f"arm '{arm.name}': '{model.name}' holds no answer to any example of task '{bound.name}' ({asked}, …), "
            f"but {model.held()}; name task and ids alike"
        )
    recorded = model.scoring(bound.name)
    if bound.needs_likelihoods and recorded and recorded != bound.settings.scoring:
        raise MismatchError(
            f"arm '{arm.name}': '{model.name}' scored '{bound.name}' by {recorded}, and {bound.settings.scoring} is "
            f"asked; set the task's scoring to {recorded}"
        )
    if model.reasoned not in (None, arm.cot):
        how, remedy = ("after reasoning", "write cot: true") if model.reasoned else ("at once", "take cot out")
        raise MismatchError(f"arm '{arm.name}': '{model.name}' answered {how}, and would be read otherwise; {remedy}")
    samples = [_replayed(arm, bound, example, model) for example in examples]
    if examples and examples[0].id == bound.examples[0].id:
        extra = model.unasked(bound.name, {example.id for example in bound.examples})
        those = "answer is" if extra == 1 else "answers are"
        reason = f"{extra} recorded {those} of no example that is asked here" if extra else ""
        samples[0] = replace(samples[0], note="; ".join(filter(None, (samples[0].note, reason))))
    return samples


def _replayed(arm: Arm, bound: BoundTask, example: Example, model: RecordedAnswers) -> Sample:
    """The recorded sample as this arm's, or an error where it is no answer to what is asked now."""
    stored = model.stored(bound.name, example.id)
    if stored is None:
        reason = f"'{model.name}' holds no answer to '{example.id}' of task '{bound.name}'"
        return Sample(arm.name, bound.name, example, finish="error", error=reason)
    sample = replace(stored, arm=arm.name, task=bound.name, example=example)
    reason = "" if sample.finish == "error" else _misfit(stored, bound, example, model)
    return replace(sample, finish="error", error=reason) if reason else sample


def _misfit(stored: Sample, bound: BoundTask, example: Example, model: RecordedAnswers) -> str:
    """Why a recorded sample is no answer to an example; '' where it is one."""
    before = stored.example
    if before.question and (before.question, before.context) != (example.question, example.context):
        return "the recorded answer is to another question under this id; ask the model again"
    if before.options and dict(before.options) != dict(example.options):
        return "the recorded answer is to other options, or another order of them, under this id; ask the model again"
    if not bound.needs_likelihoods:
        return "" if stored.completion is not None else f"'{model.name}' holds no text for '{example.id}'"
    if not stored.option_logprobs:
        return f"'{model.name}' holds no log-likelihoods of the options of '{example.id}'; score it by generate"
    if len(stored.option_logprobs) != len(example.options):
        return "the recorded sample lacks the log-likelihood of an option"
    if bound.settings.normalise == "tokens" and not all(stored.option_tokens):
        return "how many tokens each option had is not recorded; set normalise to none or characters"
    return ""
