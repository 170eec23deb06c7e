"""A sample in, the part of it that another program's log has no field for out; and back.

Logs that ragmed writes for other programs hold, beside those programs' own fields, one mapping `ragmed` for each
sample. Other programs pass over it. What they have fields for (scores, prompt, completion) stands there alone.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from ragmed.errors import DataError
from ragmed.files import fsync_folder, writing
from ragmed.records import Message, Sample
from ragmed.runs import Run
from ragmed.stored import fits, short

KEY = "ragmed"
MAX_NAME = 180  # bytes of an arm's and a task's name in the name of a file, beside dates and endings
_ELSEWHERE = {"arm", "task", "scores", "messages", "completion"}
_DEFAULTS = asdict(Sample("", "", "", "answered", None, "", {}))


def carried(sample: Sample) -> dict[str, Any]:
    """
    >>> carried(Sample("q1", "general", "medqa", "answered", "A", "B", {"accuracy": 0.0}))
    {'example': 'q1', 'status': 'answered', 'extracted': 'A', 'gold': 'B'}

    Plain JSON. `completion` is there only as None, where there was none, since a log would call it an empty text.
    """
    always = {"example", "status", "extracted", "gold"}
    values = {name: value for name, value in asdict(sample).items() if name not in _ELSEWHERE}
    kept = {name: value for name, value in values.items() if name in always or value != _DEFAULTS[name]}
    return kept if sample.completion is not None else {**kept, "completion": None}


def restored(sample: Sample, kept: Any, where: str) -> Sample:
    """The sample with what `carried` kept of it. DataError, naming `where`, for what `carried` cannot have written."""
    if not isinstance(kept, Mapping):
        raise DataError(f"{where}: '{KEY}' is no mapping; export the run again")
    changes: dict[str, Any] = {}
    for name, value in kept.items():
        if name in _ELSEWHERE - {"completion"} or name not in _DEFAULTS:
            continue
        fitting = value is None if name == "completion" else fits(name, value)
        if not fitting:
            raise DataError(f"{where}: '{KEY}' has {name} = {short(value)}; export the run again")
        changes[name] = tuple(value) if isinstance(value, list) else value
    own = {name: getattr(sample, name) for name in [*_ELSEWHERE, "example", "status", "extracted", "gold"]}
    values = {**own, **changes}
    return Sample(**{**values, "scores": values["scores"] if values["status"] == "answered" else {}})


def is_finite(value: Any) -> bool:
    """Whether it is a number that a float can hold; JSON may have NaN, infinity and integers of any length."""
    return isinstance(value, int | float) and -sys.float_info.max <= value <= sys.float_info.max


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


def file_name(text: str, taken: Collection[str], *, other: str) -> str:
    """
    >>> file_name("../a b", {"-a-b"}, other="-")
    '-a-b-2'

    The text as the name of a file that is not taken, `other` for what file names better not hold; too long a one is
    cut, since its own name stands in the file.
    """
    plain = re.sub(r"[^\w+.-]", other, text).lstrip(".") or other
    base = plain.encode("utf-8")[:MAX_NAME].decode("utf-8", "ignore")
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}{other}{number}"
    return name


def gold_place(sample: Sample) -> int | None:
    """Which option is the gold one: by its text where that is one option's, else by its letter."""
    texts = [option.strip() for option in sample.options]
    if texts.count(sample.gold.strip()) == 1:
        return texts.index(sample.gold.strip())
    place = ord(sample.gold) - ord("A") if len(sample.gold) == 1 else -1
    return place if 0 <= place < len(texts) else None


def texts_note(run: Run) -> list[str]:
    """What to tell who exports the texts of a run that is not open."""
    if run.access == "open":
        return []
    return [
        f"run '{run.name}' is {run.access}: these files hold its prompts and answers, and are for you alone; what may "
        "be shared is `ragmed export bundle`"
    ]


def started(info: Mapping[str, Any]) -> datetime:
    """When the run was begun; 1970 where its file does not say, or says no time."""
    try:
        return datetime.fromisoformat(str(info.get("started") or "1970-01-01T00:00:00Z")).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def whole_file(path: Path, *, mode: int) -> Iterator[IO[bytes]]:
    """A stream to write to; the file appears when the block ends well, with `mode` from its first byte."""
    beside = path.with_name(f".{os.getpid()}.tmp")
    with writing(path):
        try:
            with os.fdopen(os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode), "w+b") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        fsync_folder(path.parent)
