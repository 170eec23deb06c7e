"""A line of lm_eval's samples file in, a sample out: prompt, answer or log-likelihoods, gold and the raw scores."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ragmed.errors import DataError
from ragmed.integrations.carried import KEY, is_finite, prompt_messages, restored
from ragmed.records import Sample

INVALID = "[invalid]"
"""What lm_eval's regex filters give where they find nothing (lm_eval/filters/extraction.py)."""

_FIELDS = {
    "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics", "doc_hash", "prompt_hash",
    "target_hash", KEY,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What tells a document from another of the same number: its hash, its gold answer; and how it was put."""

    document: str
    gold: str
    prompt: str
    question: str


@dataclass(frozen=True, slots=True)
class Line:
    """`values`: metric -> number, or None for what is no number. `extra`: fields that are not lm_eval's own."""

    filter: str
    sample: Sample
    values: Mapping[str, float | None]
    asked: Asked
    scoring: str
    extra: Mapping[str, Any]

    def scored(self, task: str, metrics: Sequence[str], *, upward: bool) -> Sample:
        """The sample with those of its values that are taken over. `upward`: higher is better in all of them."""
        scores = {m: value for m in metrics if (value := self.values.get(m)) is not None}
        if KEY in self.extra:
            return restored(replace(self.sample, task=task, scores=scores), self.extra[KEY], self.extra["where"])
        if self.sample.extracted == INVALID and upward and not any(scores.values()):
            return replace(self.sample, task=task, status="unparsed", extracted=None)
        return replace(self.sample, task=task, scores=scores)


def read_line(record: Mapping[str, Any], *, arm: str, where: str, config: Mapping[str, Any]) -> Line:
    """
    >>> read_line(record, arm="gpt2", where="line 1", config={"output_type": "multiple_choice"})  # doctest: +SKIP

    `config`: what lm_eval recorded of the task. DataError, naming `where`, for a line of another shape and for a score
    that is NaN or infinite.
    """
    for key in ("doc_id", "target", "resps", "filtered_resps", "arguments"):
        if key not in record:
            raise DataError(f"{where} is no sample of lm_eval: it has no '{key}'")
    asked = _arguments(record["arguments"], where)
    raw, filtered = record["resps"], record["filtered_resps"]
    if not isinstance(raw, list) or not isinstance(filtered, list) or not filtered:
        raise DataError(f"{where}: 'resps' and 'filtered_resps' must be lists")
    blank = Sample(str(record["doc_id"]), arm, "", "answered", None, str(record["target"]), {})
    kind = str(config.get("output_type") or "")
    likely = kind in ("", "multiple_choice", "loglikelihood") and _is_likelihood(filtered)
    if likely:
        sample = _with_likelihoods(blank, asked, filtered, halve="acc_mutual_info" in record)
    else:
        sample = _with_text(blank, asked, raw, filtered)
    doc = record.get("doc")
    question = (
        next((doc[k] for k in ("question", "query", "input") if isinstance(doc.get(k), str)), "")
        if isinstance(doc, dict)
        else ""
    )
    return Line(
        str(record.get("filter", "none")),
        sample,
        _values(record, where),
        Asked(str(record.get("doc_hash", "")), sample.gold, str(record.get("prompt_hash", asked[0][0])), question),
        "generate" if not likely else "letters" if all(len(o) == 1 for o in sample.options) else "option-text",
        {KEY: record[KEY], "where": where} if KEY in record else {},
    )


def _arguments(value: Any, where: str) -> list[list[Any]]:
    """One list a request: its context, and the continuation or how to generate. Older versions wrote it as lists."""
    if isinstance(value, dict):
        value = list(value.values())
    found = [list(one.values()) if isinstance(one, dict) else one for one in value] if isinstance(value, list) else []
    if not found or not all(isinstance(one, list) and one for one in found):
        raise DataError(f"{where}: 'arguments' has no request")
    return [[_text(one[0]), *one[1:]] for one in found]


def _text(value: Any) -> str:
    """A prompt: a text, or one that is wrapped once, as prompts for chat services are."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_likelihood(filtered: Sequence[Any]) -> bool:
    return all(isinstance(one, list) and len(one) == 2 and str(one[1]) in ("True", "False") for one in filtered)


def _values(record: Mapping[str, Any], where: str) -> dict[str, float | None]:
    listed = record.get("metrics")
    names = listed if isinstance(listed, list) else [key for key in record if key not in _FIELDS]
    values: dict[str, float | None] = {}
    for name in map(str, names):
        value = record.get(name)
        if isinstance(value, int | float):
            if not is_finite(value):
                raise DataError(f"{where}: {name} is {str(value)[:40]}; a score must be a finite number")
            values[name] = float(value)
        else:
            values[name] = None
    return values


def _with_text(blank: Sample, asked: Sequence[Sequence[Any]], raw: Sequence[Any], filtered: Sequence[Any]) -> Sample:
    first = raw[0] if raw else ""
    drawn = first if isinstance(first, list) else [first]
    return replace(
        blank,
        messages=prompt_messages(asked[0][0]),
        completion=_text(drawn[0]) if drawn else "",
        extracted=_text(filtered[0]),
        note=f"{len(drawn)} answers were drawn; the first is shown, the scores are of all" if len(drawn) > 1 else "",
    )


def _with_likelihoods(blank: Sample, asked: Sequence[Sequence[Any]], filtered: Sequence[Any], *, halve: bool) -> Sample:
    count = len(asked) // 2 if halve else len(asked)  # for acc_mutual_info each option is asked without context too
    pairs = [(one[0], _text(one[1]) if len(one) > 1 else "") for one in asked[:count]]
    continuations = [continuation for _, continuation in pairs]
    if len(set(continuations)) < len(continuations):  # the options stand in the context, as in WinoGrande
        continuations = [context + continuation for context, continuation in pairs]
    options = tuple(continuation.strip() for continuation in continuations)
    logprobs = [_logprob(one) for one in filtered[:count]]
    known = [value for value in logprobs if value is not None]
    whole = len(known) == len(options)
    best = known.index(max(known)) if whole and len(options) > 1 else None
    return replace(
        blank,
        messages=prompt_messages(pairs[0][0]),
        options=options,
        option_logprobs=tuple(known) if whole else (),
        extracted=options[best] if best is not None else None,
        gold=_gold(blank.gold, options),
        note="" if whole else "not every option has a finite log-likelihood",
    )


def _logprob(value: Any) -> float | None:
    """`["-1.25", "False"]`: the log-likelihood, and whether each of its tokens was the most likely one."""
    try:
        number = float(value[0] if isinstance(value, list | tuple) else value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _gold(target: str, options: Sequence[str]) -> str:
    """The option that is right: `target` is its number or its text; as it stands where it could be either, or none."""
    number = target.isdecimal() and len(target) < 10  # Python reads no number of thousands of digits
    named = options[int(target)] if number and int(target) < len(options) else None
    if named is None or options.count(named) > 1:
        return target
    return named if target not in options or named == target else target
