"""A sample of an inspect log in, one of ours and its score out: prompt, answer, status, scorers' values as numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ragmed.integrations.foreign import lettered
from ragmed.integrations.reading import is_finite
from ragmed.records import Example, Finish, Message, Role, Sample, Score, Status

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample

_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_FINISHES: dict[str, Finish] = {"content_filter": "refused", "max_tokens": "length", "model_length": "length"}
_UNREAD = {"invalid_response_format", "no_response"}
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


def read_sample(inspected: EvalSample, example: Example, *, arm: str, task: str, model: str, note: str = "") -> Sample:
    """
        read_sample(log.samples[0], read_example(log.samples[0], epochs=False), arm="gpt", task="medqa",
                    model="openai/gpt")

    What was asked and what came back; `model`: whose tokens count.
    """
    choice = next(iter(inspected.output.choices), None)
    usage = inspected.model_usage.get(model) or inspected.output.usage
    return Sample(
        arm=arm,
        task=task,
        example=example,
        messages=_prompt(inspected),
        completion=inspected.output.completion if choice else None,
        finish=_finish(inspected),
        error=inspected.error.message if inspected.error else "",
        input_tokens=usage.input_tokens if usage else 0,
        output_tokens=usage.output_tokens if usage else 0,
        seconds=_seconds(inspected),
        note=note,
        thinking=_thinking(choice.message.content) if choice else "",
        thinking_tokens=(usage.reasoning_tokens or 0) if usage else 0,
    )


def read_score(inspected: EvalSample, example: Example, numbers: Mapping[str, float], *, metrics: int) -> Score:
    """`numbers`: those of the task's `metrics` that the sample has. What a scorer read is the value."""
    answer = next((score.answer for score in (inspected.scores or {}).values() if score.answer is not None), None)
    status = _status(inspected, numbers, metrics)
    if status == "answered":
        return Score(example.id, status, answer, dict(numbers))
    return Score(example.id, status, answer or None)


def read_example(inspected: EvalSample, *, epochs: bool) -> Example:
    """What was asked, before any solver put words around it.

    `epochs`: whether samples were asked several times; each then is an example of its own, `ID#EPOCH`, in the group
    `ID`.
    """
    asked, target = inspected.input, inspected.target
    if not isinstance(asked, str):
        asked = json.dumps([[message.role, _text(message.content)] for message in asked], ensure_ascii=False)
    several = tuple(target) if isinstance(target, list) else (str(target),)
    return Example(
        f"{inspected.id}#{inspected.epoch}" if epochs else str(inspected.id),
        asked,
        options=lettered(inspected.choices or ()),
        gold=several[0] if len(several) == 1 else several,
        group=str(inspected.id) if epochs else "",
    )


def as_number(value: Any) -> tuple[float | None, bool]:
    """
    >>> as_number("P"), as_number(float("nan")), as_number("about half")
    ((0.5, True), (None, True), (0.0, False))

    A scorer's value as inspect_ai's `value_to_float` reads it, None for NaN, by which a scorer says that it has none;
    and whether it could be read: what cannot be, inspect counts as 0.
    """
    if isinstance(value, str):
        known = _LETTERS.get(value, _WORDS.get(value.lower()))
        if known is not None:
            return known, True
        try:
            number = float(value)
        except ValueError:
            return 0.0, False
        return (number, True) if math.isfinite(number) else (0.0, False)
    if isinstance(value, int | float):
        return (None if value != value else float(value) if is_finite(value) else math.inf), True
    return 0.0, False


def without_score(inspected: EvalSample, numbers: Mapping[str, float]) -> str:
    """Why a sample that did not fail has no number; '' where it has one."""
    if numbers or inspected.error:
        return ""
    reasons = [score.reason for score in (inspected.scores or {}).values() if score.reason]
    return f"no score{': ' if reasons else ''}{', '.join(reasons)}"


def _status(inspected: EvalSample, numbers: Mapping[str, float], metrics: int) -> Status:
    """What has no score is an error; what scored 0 for its form is named after that."""
    if not numbers:
        return "error"
    if any(numbers.values()) or len(numbers) < metrics:  # what has a value at all keeps the values it has
        return "answered"
    given = list((inspected.scores or {}).values())
    reasons = [score.reason or "" for score in given]
    if _finish(inspected) == "refused" or "refusal" in reasons or all(score.value == "N" for score in given):
        return "refused"
    if all(reason in _UNREAD for reason in reasons):
        return "truncated" if _finish(inspected) == "length" else "unparsed"
    return "answered"


def _finish(inspected: EvalSample) -> Finish:
    if inspected.error:
        return "error"
    stop = inspected.output.choices[0].stop_reason if inspected.output.choices else ""
    return _FINISHES.get(stop, "stop")


def _prompt(inspected: EvalSample) -> tuple[Message, ...]:
    """What stood before the last answer: the messages of the sample without it, or its input where there are none."""
    if not inspected.messages and isinstance(inspected.input, str):
        return (Message("user", inspected.input),) if inspected.input else ()
    given = inspected.messages or inspected.input
    answered = bool(inspected.output.choices)
    last = max((i for i, m in enumerate(given) if answered and m.role == "assistant"), default=len(given))
    texts = [(message.role, _text(message.content)) for message in given[:last]]
    if not any(text for _, text in texts):
        return ()
    return tuple(
        Message(_ROLES.get(role, "user"), text if role in _ROLES else f"[{role}]\n{text}") for role, text in texts
    )


def _text(content: Any) -> str:
    """The text of a message; of what is no text, an image say, its kind in brackets."""
    if isinstance(content, str):
        return content
    parts = [part.text if part.type == "text" else f"[{part.type}]" for part in content if part.type != "reasoning"]
    return "\n".join(filter(None, parts))


def _thinking(content: Any) -> str:
    return "" if isinstance(content, str) else "\n".join(part.reasoning for part in content if part.type == "reasoning")


def _seconds(inspected: EvalSample) -> float:
    """Time spent working; the whole time where the log does not have it."""
    times = (inspected.working_time, inspected.total_time)
    return next((float(seconds) for seconds in times if is_finite(seconds) and seconds >= 0), 0.0)
