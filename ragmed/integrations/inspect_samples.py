"""A sample of an inspect log in, one of ours out: prompt, answer, status; and a scorer's value as a number."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ragmed.errors import DataError
from ragmed.integrations.carried import KEY, is_finite, restored
from ragmed.records import Message, Role, Sample, Status

ATTACHMENT = "attachment://"
_LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_UNREAD = {"invalid_response_format", "no_response"}
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class Read:
    """`id` and `epoch` as the log has them; `scores`: scorer -> what it gave; `question`: what was asked;
    `kept`: what an export of ours put there."""

    id: str
    epoch: int
    sample: Sample
    scores: Mapping[str, Mapping[str, Any]]
    question: str
    kept: Any

    def scored(self, task: str, values: Mapping[str, float], metrics: int, *, epochs: bool, where: str) -> Sample:
        """The sample with its values; what has none is an error, what failed by its form is named after that."""
        status, note = self._status(values, metrics)
        whole = replace(self.sample, task=task, status=status, note=note, scores=dict(values))
        if epochs:
            whole = replace(whole, example=f"{self.id}#{self.epoch}", group=self.id)
        if self.kept is not None:
            return restored(whole, self.kept, where)
        if status == "answered":
            return whole
        return replace(whole, scores={}, extracted=whole.extracted or None)

    def _status(self, values: Mapping[str, float], metrics: int) -> tuple[Status, str]:
        note = self.sample.note
        if not values:
            reasons = [str(s.get("reason")) for s in self.scores.values() if s.get("reason")]
            return "error", note or f"no score{': ' + ', '.join(reasons) if reasons else ''}"
        if any(values.values()) or len(values) < metrics:  # what has a value at all keeps the values it has
            return "answered", note
        reasons = [str(score.get("reason") or "") for score in self.scores.values()]
        if self.sample.status == "refused" or any(reason == "refusal" for reason in reasons):
            return "refused", note
        if all(score.get("value") == "N" for score in self.scores.values()):
            return "refused", note
        if all(reason in _UNREAD for reason in reasons):
            return "truncated" if self.sample.status == "truncated" else "unparsed", note
        return "answered", note


def read_sample(record: Mapping[str, Any], *, arm: str, model: str, where: str) -> Read:
    """
    >>> read_sample(record, arm="gpt", model="openai/gpt", where="'a.eval', samples/1_epoch_1.json")  # doctest: +SKIP

    DataError, naming `where`, for a record of another shape.
    """
    scores, metadata = record.get("scores") or {}, record.get("metadata")
    if "id" not in record or not isinstance(record.get("epoch", 1), int) or not isinstance(scores, dict):
        raise DataError(f"{where} is no sample of inspect_ai: it lacks 'id', 'epoch' or 'scores'")
    if not all(isinstance(score, dict) and "value" in score for score in scores.values()):
        raise DataError(f"{where}: a score has no 'value'")
    texts = _Texts(_mapping(record.get("attachments")))
    output = _mapping(record.get("output"))
    choice = _mapping(next(iter(_list(output.get("choices"))), None))
    reply = _mapping(choice.get("message"))
    usage = _usage(record, output, model)
    answers = [score["answer"] for score in scores.values() if isinstance(score.get("answer"), str)]
    error = record.get("error")
    said = str(error.get("message", error)) if isinstance(error, dict) else str(error or "")
    status: Status = {"content_filter": "refused", "max_tokens": "truncated", "model_length": "truncated"}.get(
        str(choice.get("stop_reason")), "answered"
    )  # type: ignore[assignment]
    sample = Sample(
        example=str(record["id"]),
        arm=arm,
        task="",
        status=status,
        extracted=answers[0] if answers else None,
        gold=_gold(record.get("target", "")),
        scores={},
        messages=_prompt(record, texts, answered=bool(choice)),
        completion=texts.of(output.get("completion") or reply.get("content") or "") if choice else None,
        options=tuple(texts.of(option) for option in _list(record.get("choices"))),
        input_tokens=_count(usage.get("input_tokens")),
        output_tokens=_count(usage.get("output_tokens")),
        seconds=_seconds(record),
        note=said,
        thinking=texts.thinking(reply.get("content")),
        thinking_tokens=_count(usage.get("reasoning_tokens")),
    )
    kept = metadata.get(KEY) if isinstance(metadata, dict) else None
    return Read(str(record["id"]), record.get("epoch", 1), sample, scores, _question(record), kept)


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


class _Texts:
    """Contents as plain text; what a log keeps apart as an attachment is put back."""

    def __init__(self, pool: Mapping[str, Any]) -> None:
        self._pool = pool

    def of(self, content: Any) -> str:
        if isinstance(content, list):
            return "\n".join(filter(None, (self._part(part) for part in content)))
        if not isinstance(content, str):
            return "" if content is None else json.dumps(content, ensure_ascii=False)
        if content.startswith(ATTACHMENT):
            return str(self._pool.get(content.removeprefix(ATTACHMENT), content))
        return content

    def thinking(self, content: Any) -> str:
        parts = content if isinstance(content, list) else []
        found = [part for part in parts if isinstance(part, dict) and part.get("type") == "reasoning"]
        return "\n".join(self.of(part.get("reasoning")) for part in found)

    def _part(self, part: Any) -> str:
        if not isinstance(part, dict) or part.get("type") == "reasoning":
            return ""
        return self.of(part["text"]) if part.get("type") == "text" and "text" in part else f"[{part.get('type')}]"


def _prompt(record: Mapping[str, Any], texts: _Texts, *, answered: bool) -> tuple[Message, ...]:
    """What stood before the last answer: the messages of the sample without it, or its input where there are none."""
    given = [m for m in _list(record.get("messages")) if isinstance(m, dict)]
    if not given:
        given = record["input"] if isinstance(record.get("input"), list) else []
        given = [m for m in given if isinstance(m, dict)] or [{"role": "user", "content": record.get("input", "")}]
    last = max((i for i, m in enumerate(given) if answered and m.get("role") == "assistant"), default=len(given))
    found: list[Message] = []
    for message in given[:last]:
        role, text = str(message.get("role")), texts.of(message.get("content"))
        found.append(Message(_ROLES.get(role, "user"), text if role in _ROLES else f"[{role}]\n{text}"))
    return tuple(found) if any(message.content for message in found) else ()


def _question(record: Mapping[str, Any]) -> str:
    """What was asked, before any solver put words around it."""
    asked = record.get("input", "")
    return asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False, sort_keys=True)


def _gold(target: Any) -> str:
    if isinstance(target, list):
        return str(target[0]) if len(target) == 1 else json.dumps(target, ensure_ascii=False)
    return str(target)


def _usage(record: Mapping[str, Any], output: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    by_model = record.get("model_usage")
    found = by_model.get(model) if isinstance(by_model, dict) else None
    found = found if isinstance(found, dict) else output.get("usage")
    return found if isinstance(found, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _seconds(record: Mapping[str, Any]) -> float:
    """Time spent working; the whole time where the log does not know it."""
    found: Sequence[Any] = [record.get("working_time"), record.get("total_time")]
    return next((float(v) for v in found if is_finite(v) and v >= 0), 0.0)
