"""One real prompt before the first question of a run. In: what a served model will be asked. Out: nothing, or why not.

A server may take a greeting and refuse what a trial asks: a prompt with all its passages is long, and its answers may
come cut, empty, or in another field. An hour of refused questions says no more than the first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragmed.arms import Arm
from ragmed.augmentation import Augmentation, Augmenter, ClosedBook
from ragmed.errors import ModelError
from ragmed.evaluation import answer, arm_messages
from ragmed.models import Constrains, Model
from ragmed.models.constraint import Constraint
from ragmed.models.refusals import about_context
from ragmed.records import Example, Message, Sample
from ragmed.tasks import BoundTask

_FREELY = (Message("user", "Write the word fever ten times, and nothing else."),)
"""What no valid form lets a model do."""
_UNASKED = ("zq7", "kx4")  # no model writes one of these unless it must
_PROBE_TOKENS = 64  # a list within a form may be long; of one that is cut its beginning tells


@dataclass(frozen=True, slots=True)
class Prompting:
    """An arm on a task, where its passages come from, and how many tokens its prompts may have with their answers."""

    arm: Arm
    bound: BoundTask
    augmenter: Augmenter
    budget: int


@dataclass(frozen=True, slots=True)
class _Prompt:
    """`letters`: how long it is with all the passages that are meant for it."""

    prompting: Prompting
    example: Example
    augmentation: Augmentation
    letters: int


def require_answers(promptings: Sequence[Prompting], model: Model) -> None:
    """
        require_answers([Prompting(arm, bound, ClosedBook(), 4096)], model)

    Asks the longest of all prompts, with its system turn and as many of its passages as the budget holds; where that
    fails, the shortest too, since a single question may be refused for what stands in it. Answers are thrown away.

    Raises ModelError where the server's context does not hold the longest, or where neither has an answer.
    """
    prompts = [prompt for prompting in promptings for prompt in _prompts(prompting, model)]
    if not prompts:
        return
    longest = max(prompts, key=lambda prompt: prompt.letters)
    sample = _ask(longest, model)
    reason = _failure(sample, model)
    if not reason:
        return
    arm = f"arm '{longest.prompting.arm.name}' on task '{longest.prompting.bound.name}'"
    if about_context(reason):
        raise ModelError(
            f"'{model.name}' cannot hold the longest prompt of {arm} ({len(sample.passages)} passages): {reason}; set "
            "the model's context_tokens to what it holds (passages that do not fit are then left out, last ranked "
            "first), give the server more context, or lower k"
        )
    if _failure(_ask(min(prompts, key=lambda prompt: prompt.letters), model), model):
        raise ModelError(f"'{model.name}' gives no answer to the prompts of this run ({arm} was tried): {reason}")


def require_constraint(tasks: Sequence[BoundTask], model: Model) -> None:
    """
        require_constraint([as_asked(arm, bound, "json_schema")], model)

    Asks for a text that no valid form allows, once for each kind of form to which answers to these tasks are held while
    they are written: only a server that does hold them answers within the form.

    Raises ModelError, with the remedy, where the request is refused, or the form is passed over.
    """
    for how, kind in dict.fromkeys((bound.constrained, bound.valid) for bound in tasks):
        if not how or how == "likelihood" or kind is None:
            continue
        assert isinstance(model, Constrains)  # settings that do not fit a kind of model are refused
        form = Constraint(kind, _UNASKED if kind == "choice" else ())
        reply = model.generate_within([_FREELY], [form], max_tokens=_PROBE_TOKENS)[0]
        others = (
            f"set the model's constrained_by to what it understands (it is {how}; docs/endpoints.md lists them), or "
        )
        remedy = f"{'' if model.name.startswith('chat:') else others}take constrained out of its arms"
        if reply.finish in ("error", "refused"):
            said = reply.error or reply.text
            raise ModelError(f"'{model.name}' gives no answer that is held to a form ({how}): {said}; {remedy}")
        if not form.keeps(reply.text, how, cut=reply.finish == "length"):
            said = " ".join(reply.text.split())[:80]
            raise ModelError(
                f"'{model.name}' passes over the form that its answers are to be held to ({how}): asked for what the "
                f"form does not allow, it answered '{said}'; {remedy}"
            )


def _prompts(prompting: Prompting, model: Model) -> list[_Prompt]:
    """Every example's, but for what an augmenter asks of the model itself: that would be questions already."""
    arm, bound = prompting.arm, prompting.bound
    augmenter = ClosedBook() if prompting.augmenter.needs_model else prompting.augmenter
    made = []
    for example, augmentation in zip(
        bound.examples, augmenter.augment(bound, bound.examples, model=model), strict=True
    ):
        messages = arm_messages(arm, bound, example, [hit.passage for hit in augmentation.hits])
        made.append(_Prompt(prompting, example, augmentation, sum(len(message.content) for message in messages)))
    return made


def _ask(prompt: _Prompt, model: Model) -> Sample:
    asked = prompt.prompting
    return answer(
        asked.arm, asked.bound, [prompt.example], [prompt.augmentation], model=model, budget=asked.budget
    )[0]  # fmt: skip


def _failure(sample: Sample, model: Model) -> str:
    """Why this is no answer; '' where it is one, be it wrong or cut."""
    if sample.finish == "error":
        return sample.error
    if sample.option_logprobs or sample.finish == "refused" or (sample.completion or "").strip():
        return ""
    if sample.thinking and sample.finish == "length":
        remedy = "set it higher" if model.thinking_tokens else "set it, or switch the server's thinking off"
        return (
            f"its {sample.output_tokens} tokens were thinking alone, cut before the answer; thinking_tokens is "
            f"{model.thinking_tokens}: {remedy}"
        )
    if sample.output_tokens and not sample.thinking:
        return f"the server counts {sample.output_tokens} tokens of answer, and the answer's content holds none of them"
    return "the answer is empty"
