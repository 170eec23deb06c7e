"""A line of lm_eval's samples file in, a sample and its score out: prompt, answer or log-likelihoods, gold, numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ragmed.errors import DataError
from ragmed.integrations.foreign import lettered
from ragmed.integrations.reading import is_finite
from ragmed.records import Example, Message, Sample, Score

INVALID = "[invalid]"
"""What lm_eval's regex filters give where they find nothing (lm_eval/filters/extraction.py)."""

_FIELDS = {
    "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash",
    "target_hash",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One document under one filter.

    `document`, `prompt`: hashes; two models were asked the same where the documents and `target` are equal.
    `continuations` and `logprobs` are empty where a text was written, `completion` is None where none was. `value`:
    what the filter left of a text, or the letter of the likeliest option. `numbers`: metric -> number, or None for what
    is no number.
    """

    example: Example
    filter: str
    document: str
    prompt: str
    target: str
    messages: tuple[Message, ...]
    numbers: Mapping[str, float | None]
    value: str | None
    note: str = ""
    completion: str | None = None
    continuations: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()

    @property
    def scoring(self) -> str:
        if not self.continuations:
            return "generate"
        return "letters" if self.continuations == tuple(self.example.options) else "option-text"

    def sample(self, arm: str, task: str, example: Example) -> Sample:
        """`example`: its own, or that of another arm's line, which may show more of the same document."""
        return Sample(
            arm=arm,
            task=task,
            example=example,
            messages=self.messages,
            completion=self.completion,
            continuations=self.continuations,
            option_logprobs=self.logprobs,
            note=self.note,
        )

    def score(self, metrics: Sequence[str], *, upward: bool) -> Score:
        """With the numbers of `metrics`. `upward`: higher is better in all of them."""
        numbers = {metric: number for metric in metrics if (number := self.numbers.get(metric)) is not None}
        if self.value == INVALID and upward and not any(numbers.values()):
            return Score(self.example.id, "unparsed")
        return Score(self.example.id, "answered", self.value, numbers)


def read_line(record: Mapping[str, Any], *, where: str, config: Mapping[str, Any]) -> Line:
    """
        read_line(record, where="line 1", config={"output_type": "multiple_choice"})

    `config`: what lm_eval recorded of the task. DataError, naming `where`, for a line of another shape and for a score
    that is NaN or infinite.
    """
    for key in ("doc_id", "target", "resps", "filtered_resps", "arguments"):
        if key not in record:
            raise DataError(f"{where} is no sample of lm_eval: it has no '{key}'; run lm_eval again")
    requests = _requests(record["arguments"], where)
    raw, filtered = record["resps"], record["filtered_resps"]
    if not isinstance(raw, list) or not isinstance(filtered, list) or not filtered:
        raise DataError(f"{where}: 'resps' and 'filtered_resps' must be lists with an answer; run lm_eval again")
    likely = str(config.get("output_type") or "") in ("", "multiple_choice", "loglikelihood") and _is_likely(filtered)
    target = str(record["target"])
    doc = record["doc"] if isinstance(record.get("doc"), dict) else {}
    answer = _likelihoods(requests, filtered, halve="acc_mutual_info" in record) if likely else _written(raw, filtered)
    example, value = _example(str(record["doc_id"]), doc, target, answer)
    return Line(
        example=example,
        filter=str(record.get("filter", "none")),
        document=str(record.get("doc_hash", "")),
        prompt=str(record.get("prompt_hash", requests[0][0])),
        target=target,
        messages=prompt_messages(requests[0][0]),
        numbers=_numbers(record, where),
        value=value,
        note=answer.note,
        completion=answer.completion,
        continuations=answer.continuations,
        logprobs=answer.logprobs,
    )


def prompt_text(messages: tuple[Message, ...]) -> str:
    """One user message is its text; anything else a JSON list of roles and contents, as chat models are sent."""
    if len(messages) == 1 and messages[0].role == "user" and not messages[0].content.lstrip().startswith("[{"):
        return messages[0].content
    return json.dumps([asdict(message) for message in messages], ensure_ascii=False) if messages else ""


def prompt_messages(text: str) -> tuple[Message, ...]:
    """
    >>> prompt_messages('[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]')
    (Message(role='system', content='Be brief.'), Message(role='user', content='Why?'))

    Text that is no such list is one user message; no text is none.
    """
    if text.lstrip().startswith("[{"):
        try:
            parts = json.loads(text)
        except (ValueError, RecursionError):
            parts = None
        if isinstance(parts, list) and all(_is_message(part) for part in parts):
            return tuple(Message(part["role"], part["content"]) for part in parts)
    return (Message("user", text),) if text else ()


def _is_message(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and part.get("role") in ("system", "user", "assistant")
        and isinstance(part.get("content"), str)
    )


def _requests(value: Any, where: str) -> list[list[Any]]:
    """One list a request: its context, and the continuation or how to generate. Older versions wrote it as lists."""
    given = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    requests = [list(request.values()) if isinstance(request, dict) else request for request in given]
    if not requests or not all(isinstance(request, list) and request for request in requests):
        raise DataError(f"{where}: 'arguments' has no request; run lm_eval again")
    return [[_text(request[0]), *request[1:]] for request in requests]


def _text(value: Any) -> str:
    """A prompt: a text, or one that is wrapped once, as prompts for chat services are."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_likely(filtered: Sequence[Any]) -> bool:
    return all(isinstance(pair, list) and len(pair) == 2 and str(pair[1]) in ("True", "False") for pair in filtered)


def _numbers(record: Mapping[str, Any], where: str) -> dict[str, float | None]:
    listed = record.get("metrics")
    names = listed if isinstance(listed, list) else [key for key in record if key not in _FIELDS]
    numbers: dict[str, float | None] = {}
    for name in map(str, names):
        value = record.get(name)
        if isinstance(value, int | float):
            if not is_finite(value):
                raise DataError(f"{where}: {name} is {str(value)[:40]}; a score must be a finite number")
            numbers[name] = float(value)
        else:
            numbers[name] = None
    return numbers


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back: a text and what the filter left of it, or continuations, their names, and log-likelihoods."""

    extracted: str = ""
    completion: str | None = None
    continuations: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()
    note: str = ""


def _written(raw: Sequence[Any], filtered: Sequence[Any]) -> _Answer:
    first = raw[0] if raw else ""
    drawn = first if isinstance(first, list) else [first]
    return _Answer(
        extracted=_text(filtered[0]),
        completion=_text(drawn[0]) if drawn else "",
        note=f"{len(drawn)} answers were drawn; the first is shown, the scores are of all" if len(drawn) > 1 else "",
    )


def _likelihoods(requests: Sequence[Sequence[Any]], filtered: Sequence[Any], *, halve: bool) -> _Answer:
    """`halve`: for acc_mutual_info each option is asked without its context too, after the others."""
    count = len(requests) // 2 if halve else len(requests)
    pairs = [(request[0], _text(request[1]) if len(request) > 1 else "") for request in requests[:count]]
    continuations = [continuation for _, continuation in pairs]
    shown = continuations
    if len(set(continuations)) < len(continuations):  # the options stand in the context, as in WinoGrande
        shown = [context + continuation for context, continuation in pairs]
    logprobs = [logprob for pair in filtered[:count] if (logprob := _logprob(pair)) is not None]
    whole = len(logprobs) == count
    return _Answer(
        continuations=tuple(text.strip() for text in continuations),
        shown=tuple(text.strip() for text in shown),
        logprobs=tuple(logprobs) if whole else (),
        note="" if whole else "not every option has a finite log-likelihood",
    )


def _logprob(value: Any) -> float | None:
    """`["-1.25", "False"]`: the log-likelihood, and whether each of its tokens was the most likely one."""
    try:
        number = float(value[0] if isinstance(value, list | tuple) else value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _example(id_: str, doc: Mapping[str, Any], target: str, answer: _Answer) -> tuple[Example, str | None]:
    """The document as far as it can be told, and what was answered: the letter of an option where these were scored."""
    texts = [doc.get(key) for key in ("question", "query", "input")]
    question = next((text for text in texts if isinstance(text, str)), "")
    options = _options(doc, len(answer.continuations))
    if not answer.continuations:
        return Example(id_, question, options=options, gold=target), answer.extracted
    if tuple(options.values()) != answer.shown and all(len(text) == 1 for text in answer.shown):
        options = dict(zip(answer.shown, options.values() or answer.shown, strict=True))  # the letters that were scored
    options = options or lettered(answer.shown)
    letters = list(options)
    best = answer.logprobs.index(max(answer.logprobs)) if len(answer.logprobs) > 1 else None
    right = _place(target, answer.shown)
    right = letters.index(target) if right is None and target in letters else right
    gold = target if right is None else letters[right]
    return Example(id_, question, options=options, gold=gold), None if best is None else letters[best]


def _options(doc: Mapping[str, Any], count: int) -> dict[str, str]:
    """Letter -> text, where the document lists its options in a way that is known, and as many as were scored."""
    for given in (doc.get("options"), doc.get("choices")):
        texts = given.get("text") if isinstance(given, dict) and isinstance(given.get("text"), list) else given
        listed = list(texts.values()) if isinstance(texts, dict) else texts if isinstance(texts, list) else []
        if listed and len(listed) == (count or len(listed)) and all(isinstance(text, str) for text in listed):
            return dict(texts) if isinstance(texts, dict) else lettered(listed)
    return {}


def _place(target: str, options: Sequence[str]) -> int | None:
    """Which option is right: `target` is its number or its text; None where it could be either, or none."""
    number = target.isdecimal() and len(target) < 10  # Python reads no number of thousands of digits
    named = int(target) if number and int(target) < len(options) else None
    if named is not None and target in options and options[named] != target:
        return None
    if named is None and options.count(target) == 1:
        return options.index(target)
    return named
