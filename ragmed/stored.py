"""What a run folder holds, as plain JSON in; samples, and the first value that is not of its kind, out.

Files of a run can be damaged, or changed by hand, and stay valid JSON. What is wrong is found here once, when they are
read, and named, so that nothing after it has to wonder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from ragmed.files import whole_text
from ragmed.records import STATUSES, Message, Sample

Check = Callable[[Any], bool]
DEEPEST = 8  # mappings and lists within each other, in what a passage says of itself
_NAMES = {f.name for f in fields(Sample)}


def sample_line(sample: Sample) -> str:
    """A sample as the line of a samples file. ValueError for NaN and infinity, which JSON has not."""
    return whole_text(json.dumps(asdict(sample), ensure_ascii=False, allow_nan=False)) + "\n"


def read_sample(record: Mapping[str, Any]) -> Sample:
    """
    >>> read_sample({"example": "q1", "messages": [], "seconds": "long"})
    Traceback (most recent call last):
    ValueError: its seconds are not a finite number

    The sample that `sample_line` wrote; fields of other versions are passed over. ValueError says what is wrong without
    repeating it: samples may hold what nobody but their owner may see.
    """
    for name, (check, said) in SAMPLE.items():
        if name in record and not check(record[name]):
            raise ValueError(f"its {name} {_verb(name)} not {said}")
    if "messages" not in record:
        raise ValueError("it has no messages")
    known: dict[str, Any] = {k: tuple(v) if type(v) is list else v for k, v in record.items() if k in _NAMES}
    known["messages"] = tuple([Message(one["role"], one["content"]) for one in record["messages"]])
    try:
        return Sample(**known)
    except TypeError as error:
        raise ValueError(str(error).removeprefix("Sample.__init__() ")) from error


def fits(name: str, value: Any) -> bool:
    """Whether `value` is what the field `name` of a sample holds, as JSON."""
    return SAMPLE[name][0](value)


def short(value: Any) -> str:
    """A value in a message: its beginning where it is long."""
    if isinstance(value, int) and not -(10**60) < value < 10**60:
        return "a number of more than 60 digits"  # which Python may refuse to write out
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _verb(name: str) -> str:
    return "are" if name.endswith("s") and name != "status" else "is"


def _text(value: Any) -> bool:
    return type(value) is str


def _text_or_none(value: Any) -> bool:
    return value is None or type(value) is str


def _texts(value: Any) -> bool:
    return type(value) is list and all(type(one) is str for one in value)


def is_number(value: Any) -> bool:
    """A finite number that a float holds exactly enough: no truth value, no integer of hundreds of digits."""
    return (type(value) is float and math.isfinite(value)) or (type(value) is int and abs(value) < 2**63)


def _numbers(value: Any) -> bool:
    return type(value) is list and all(is_number(one) for one in value)


def _whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**63


def _wholes(value: Any) -> bool:
    return type(value) is list and all(_whole(one) for one in value)


def _scores(value: Any) -> bool:
    return type(value) is dict and all(is_number(one) for one in value.values())


def _messages(value: Any) -> bool:
    return type(value) is list and all(
        type(one) is dict and len(one) == 2 and _text(one.get("role")) and _text(one.get("content")) for one in value
    )


def _passages(value: Any) -> bool:
    return type(value) is list and all(type(one) is dict and _passage(one) for one in value)


def _passage(passage: Mapping[str, Any]) -> bool:
    for name, value in passage.items():
        kind = type(value)
        if kind is str:
            if name in ("score", "rank", "gold"):
                return False
        elif name in ("score", "rank"):
            if value is not None and not is_number(value):
                return False
        elif name == "gold":
            if value is not None and kind is not bool:
                return False
        elif not _plain(value, DEEPEST):
            return False
    return True


def _plain(value: Any, depth: int) -> bool:
    if value is None or isinstance(value, str | bool):
        return True
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_plain(one, depth - 1) for one in inner)
    return is_number(value)


SAMPLE: dict[str, tuple[Check, str]] = {
    **dict.fromkeys(("example", "arm", "task", "gold", "group", "note", "thinking"), (_text, "text")),
    **dict.fromkeys(("extracted", "completion"), (_text_or_none, "text or null")),
    **dict.fromkeys(("options", "dropped", "documents"), (_texts, "a list of texts")),
    **dict.fromkeys(("input_tokens", "output_tokens", "thinking_tokens"), (_whole, "a whole number")),
    **dict.fromkeys(("seconds", "request_seconds"), (is_number, "a finite number")),
    "status": (lambda value: value in STATUSES, f"one of {', '.join(STATUSES)}"),
    "scores": (_scores, "a mapping of metrics to finite numbers"),
    "messages": (_messages, "a list of messages, each with role and content"),
    "passages": (_passages, "a list of mappings with finite numbers"),
    "option_logprobs": (_numbers, "a list of finite numbers"),
    "option_tokens": (_wholes, "a list of whole numbers"),
}

_RECORDS = {"corpora", "cells", "losses"}
_REFERENCES = ("adapters", "indexes", "memory")
_MAPPINGS = {"overlap", "rows", "untrained", "search"}
_NUMBERS = {
    "tokens", "steps", "seconds", "peak_bytes", "peak_memory_bytes", "energy_joules", "passages", "documents",
    "rejected", "taken_over", "score", "train", "held_out", "step", "n", "answered", "input_tokens", "k",
    "context_tokens", "train_seconds", "learning_rate", "epochs", "chosen",
}  # fmt: skip


def misfit_of_info(info: Mapping[str, Any]) -> str:
    """
    >>> misfit_of_info({"experiment": {"arms": {"general": 5}}})
    'experiment.arms.general is 5, where a mapping is expected'

    What is wrong in the parts of run.json that are there, by its dotted name; '' where nothing is.
    """
    experiment = info.get("experiment", {})
    tables = {
        "experiment.models": experiment.get("models", {}), "experiment.arms": experiment.get("arms", {}),
        "experiment.tasks": experiment.get("tasks", {}), "tasks": info.get("tasks", {}),
        "identity.tasks": info.get("identity", {}).get("tasks", {}),
    }  # fmt: skip
    found = [said for name, table in tables.items() for said in _table(name, table)]
    found += [_of(key, info.get(key, {}), dict, "a mapping") for key in ("references", "imported", "software")]
    found.append(_of("hardware", info.get("hardware"), dict | None, "a mapping"))
    references = info.get("references", {})
    for key in _REFERENCES if isinstance(references, dict) else ():
        found += _table(f"references.{key}", references.get(key, {}))
    if any(found):
        return next(filter(None, found))
    return next(filter(None, [*_of_arms_and_tasks(info), *_of_references(references)]), "")


def _table(name: str, table: Any) -> list[str]:
    """A mapping of mappings, such as arms by their names."""
    inner = table.items() if isinstance(table, dict) else ()
    return [_of(name, table, dict, "a mapping"), *(_of(f"{name}.{k}", v, dict, "a mapping") for k, v in inner)]


def _of_arms_and_tasks(info: Mapping[str, Any]) -> Iterable[str]:
    for name, arm in info.get("experiment", {}).get("arms", {}).items():
        for key in ("model", "context", "passage_order"):
            yield _of(f"experiment.arms.{name}.{key}", arm.get(key, ""), str, "text")
        yield _of(f"experiment.arms.{name}.index", arm.get("index"), str | None, "text")
        yield _of(f"experiment.arms.{name}.k", arm.get("k"), int | None, "a whole number")
    for name, task in info.get("experiment", {}).get("tasks", {}).items():
        for key in ("task", "scoring", "options", "file"):
            yield _of(f"experiment.tasks.{name}.{key}", task.get(key), str | None, "text")
    for name, facts in info.get("tasks", {}).items():
        for key in ("examples", "held_out"):
            if not _whole(facts.get(key, 0)):
                yield f"tasks.{name}.{key} is {short(facts[key])}, where a whole number is expected"
        if not _texts(facts.get("metrics", [])):
            yield f"tasks.{name}.metrics is {short(facts['metrics'])}, where a list of texts is expected"
    imported = info.get("imported") or {}
    if not _texts(imported.get("notes", [])):
        yield f"imported.notes is {short(imported['notes'])}, where a list of texts is expected"
    for key in ("models", "weights"):
        yield _of(f"identity.{key}", info.get("identity", {}).get(key, {}), dict, "a mapping")
    for name in _missing(info):
        yield name


def _missing(info: Mapping[str, Any]) -> Iterable[str]:
    for name in info.get("experiment", {}).get("tasks", {}):
        for key in ("examples", "metrics"):
            if key not in info.get("tasks", {}).get(name, {}):
                yield f"tasks.{name}.{key} is missing"


def _of_references(references: Mapping[str, Any]) -> Iterable[str]:
    for key in _REFERENCES:
        for name, record in references.get(key, {}).items():
            yield from _of_records(f"references.{key}.{name}", record)
    search = references.get("search")
    if search:
        yield from _of_records("references", {"search": search})
        cells = search.get("cells", []) if isinstance(search, dict) else []
        if not all(key in cell for cell in cells for key in ("k", "context_tokens", "score")) or not (
            _whole(search.get("chosen")) and 0 <= search["chosen"] < len(cells) and {"n", "task"} <= search.keys()
        ):
            yield "references.search does not say what was tried, and which of it was chosen"


def _of_records(name: str, value: Any) -> Iterable[str]:
    """One record of an adapter, an index or a search: what is computed with is a number, what is gone through a list
    of records. Settings that it repeats (`trained_as`) are shown as they are."""
    for key, one in value.items() if isinstance(value, dict) else ():
        inner = f"{name}.{key}"
        if key in _RECORDS and not (isinstance(one, list) and all(isinstance(part, dict) for part in one)):
            yield f"{inner} is {short(one)}, where a list of mappings is expected"
        elif key in _MAPPINGS and not isinstance(one, dict) and one is not None:
            yield f"{inner} is {short(one)}, where a mapping is expected"
        elif key in _NUMBERS and one is not None and not is_number(one) and not isinstance(one, dict | list):
            yield f"{inner} is {short(one)}, where a finite number is expected"
        elif key in _MAPPINGS:
            yield from _of_records(inner, one)
        elif key in _RECORDS:
            for place, part in enumerate(one):
                yield from _of_records(f"{inner}.{place}", part)


_COMPARISON: dict[str, tuple[Check, str]] = {
    "baseline": (_text, "the name of an arm"),
    **dict.fromkeys(("baseline_arms", "binary_metrics", "descriptive_metrics"), (_texts, "a list of texts")),
    "contrasts": (lambda value: _groups(value, 2), "a list of pairs of arms"),
    "factorials": (lambda value: _groups(value, 4), "a list of four arms each"),
    **dict.fromkeys(("margin", "alpha"), (is_number, "a finite number")),
    **dict.fromkeys(("resamples", "seed"), (_whole, "a whole number")),
    "prices": (lambda value: type(value) is dict, "a mapping"),
    "policy": (lambda value: type(value) in (dict, str), "a mapping or a word"),
    **dict.fromkeys(("correction", "proportions"), (_text, "text")),
}
_NEEDED = ("baseline", "contrasts", "baseline_arms", "binary_metrics", "descriptive_metrics")


def misfit_of_comparison(plain: Mapping[str, Any]) -> str:
    """What is wrong in the settings of the comparison, or missing from them; '' where nothing is."""
    for name in _NEEDED:
        if name not in plain:
            return f"experiment.comparison.{name} is missing"
    for name, (check, said) in _COMPARISON.items():
        if name in plain and not check(plain[name]):
            return f"experiment.comparison.{name} is {short(plain[name])}, where {said} is expected"
    return ""


def misfit_of_audit(audit: Mapping[str, Any]) -> str:
    """
    >>> misfit_of_audit({"tasks": [{"task": "medqa", "examples": [5]}]})
    'tasks.0.examples.0 is 5, where a mapping is expected'

    What is wrong in audit.json; '' where nothing is.
    """
    found = _listed("tasks", audit.get("tasks", []))
    for place, task in enumerate(audit.get("tasks", []) if not found else ()):
        name = f"tasks.{place}"
        found = found or _of(f"{name}.task", task.get("task"), str, "text")
        found = found or _listed(f"{name}.examples", task.get("examples", []))
        for number, one in enumerate(task.get("examples", []) if not found else ()):
            inner = f"{name}.examples.{number}"
            found = found or _of(f"{inner}.example", one.get("example"), str, "text")
            found = found or _listed(f"{inner}.findings", one.get("findings", []))
    return found


def _listed(name: str, value: Any) -> str:
    wrong = _of(name, value, list, "a list")
    inner = (_of(f"{name}.{place}", one, dict, "a mapping") for place, one in enumerate(value if not wrong else ()))
    return wrong or next(filter(None, inner), "")


def _groups(value: Any, size: int) -> bool:
    return isinstance(value, list) and all(_texts(one) and len(one) == size for one in value)


def _of(name: str, value: Any, kind: Any, said: str) -> str:
    return "" if isinstance(value, kind) else f"{name} is {short(value)}, where {said} is expected"
