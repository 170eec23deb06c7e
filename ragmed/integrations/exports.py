"""What the exports share: names of files, files that appear whole, values as text, when a run was started, warnings."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from ragmed.files import beside, fsync_folder, sweep, writing
from ragmed.metrics import MetricFacts
from ragmed.records import Answer, Value
from ragmed.runs import Run
from ragmed.scores import declared_metrics

MAX_NAME = 180  # bytes of an arm's and a task's name in the name of a file, beside dates and endings


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


def value_text(value: Value) -> str | None:
    """
    >>> value_text("B"), value_text(("I10", "J45")), value_text(None)
    ('B', '["I10", "J45"]', None)

    What was read from an answer as one text: text as it is, anything else as JSON.
    """
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def measured(answers: Sequence[Answer], declared: Sequence[MetricFacts]) -> list[MetricFacts]:
    """The metrics that an arm's answers have; where none of them could be scored, all that the task declares."""
    names = {name for answer in answers for name in answer.score.metrics}
    return [facts for facts in declared if facts.name in names] or list(declared)


def ratios_note(run: Run) -> list[str]:
    """The warning where a metric is a ratio over all answers: logs of others hold no counts."""
    tasks = {task: declared_metrics(record) for task, record in run.info()["tasks"].items()}
    named = [f"{task}/{facts.name}" for task, metrics in tasks.items() for facts in metrics if facts.kind == "ratio"]
    return [f"left out, since these logs have no place for its counts: {', '.join(named)}"] if named else []


def texts_note(run: Run) -> list[str]:
    """The warning to print when the texts of a run that is not open are exported."""
    if run.access == "open":
        return []
    return [
        f"run '{run.name}' is {run.access}: these files hold its prompts and answers, and are for you alone; what may "
        "be shared is `ragmed export bundle`"
    ]


def started(info: Mapping[str, Any]) -> datetime:
    """When the run was started; 1970 where its file gives no time."""
    try:
        return datetime.fromisoformat(str(info.get("started") or "1970-01-01T00:00:00Z")).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def whole_file(path: Path, *, mode: int) -> Iterator[IO[bytes]]:
    """A stream to write to; the file appears when the block ends well, with `mode` from its first byte."""
    name = path.with_name(path.name[:40])  # beside a name that leaves no room for more
    with writing(path):
        sweep(path.parent, name.name)
        unfinished = beside(name)
        try:
            with os.fdopen(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode), "w+b") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        fsync_folder(path.parent)
