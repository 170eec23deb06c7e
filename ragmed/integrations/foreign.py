"""Samples that another program made in, a run folder out that `compare`, `score` and `report` take as one of ours."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ragmed
from ragmed.checked import dump
from ragmed.comparison.settings import ComparisonSettings
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import folder_beside, fsync_folder, make_folder, writing
from ragmed.metrics import METRICS, POINTS, MetricFacts
from ragmed.records import Access, Example, Gold, Sample, Score, Value
from ragmed.runs import Run
from ragmed.scores import RECORDED, score_samples, scored_answers
from ragmed.stored import SCHEMA, ScoresHeader
from ragmed.tasks import examples_hash
from ragmed.tasks.reading import find_reader
from ragmed.text_table import counted

WINDOW = 4096  # samples appended at a time
TRIED = ("letter", "text")


@dataclass(frozen=True, slots=True)
class ForeignTask:
    """A task as another program asked it.

    `examples`: what was asked, in order; two runs can be compared on it where these are equal. `reader`: what reads its
    answers; `recorded` where only the other program can, whose scores are then kept as they came. `metrics`: the
    primary one first.
    """

    examples: Sequence[Example]
    reader: str
    metrics: tuple[MetricFacts, ...]
    source: str
    license: str = ""
    scoring: str = "generate"


def write_run(
    output: Path,
    *,
    samples: Mapping[tuple[str, str], Sequence[Sample]],
    arms: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[str, ForeignTask],
    comparison: ComparisonSettings,
    origin: Mapping[str, Any],
    access: Access = "private",
    scores: Mapping[tuple[str, str], Sequence[Score]] | None = None,
) -> Run:
    """
        write_run(Path("runs/mirage"), samples=samples, arms=arms, tasks=tasks, comparison=settings,
                  origin={"kind": "mirage", "files": [], "notes": []})

    The folder appears whole or not at all. `samples`: (arm, task) -> one sample for each example of the task, in its
    order. `scores`: the same of every task whose reader is `recorded`; those of others are made when they are asked
    for. `arms`: name -> its settings (`model`, `context`, `index`, `k`), as far as they are known. `origin`: where the
    samples came from: `kind`, `files` (name and sha256), `notes`, which the comparison repeats. UsageError where
    `output` is there already, or where a name is too long to name a file; DataError where there is no sample.
    """
    if not any(samples.values()):
        raise DataError("there is nothing to import: no answer was found")
    with writing(output):
        exists = output.exists()
    if exists:
        raise UsageError(f"'{output}' exists already; give another --output, or delete it first")
    mode = Run(output, access=access).folder_mode
    make_folder(output.parent, mode=mode)
    with folder_beside(output, mode=mode) as beside:
        run = Run(beside, access=access)
        for (arm, task), given in samples.items():
            for start in range(0, len(given), WINDOW):
                run.append(arm, task, given[start : start + WINDOW])
            if given and tasks[task].reader == RECORDED:
                versions = {facts.name: facts.version for facts in tasks[task].metrics}
                reader = find_reader(RECORDED)
                header = ScoresHeader(run.samples_hash(arm, task), reader.name, reader.version, versions)
                run.write_scores(arm, task, header, (scores or {})[arm, task])
        info = _info(output.name, arms, tasks, comparison, origin) | {"access": access}
        run.write_info(info)
        with writing(output):
            beside.rename(output)
    fsync_folder(output.parent)
    return Run(output, access=access)


def _info(
    run: str,
    arms: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[str, ForeignTask],
    comparison: ComparisonSettings,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    settings = {name: {"scoring": task.scoring, "normalise": "none"} for name, task in tasks.items()}
    asked = {name: {**settings[name], "data": examples_hash(task.examples)} for name, task in tasks.items()}
    models: dict[str, dict[str, str]] = {str(arm.get("model", arm_name)): {} for arm_name, arm in arms.items()}
    return {
        "schema": SCHEMA,
        "name": run,
        "experiment": {
            "name": run,
            "models": models,
            "arms": {arm: dict(known) for arm, known in arms.items()},
            "tasks": settings,
            "comparison": dump(comparison),
        },
        "identity": {"tasks": asked},
        "tasks": {
            name: {
                "source": task.source,
                "license": task.license,
                "reader": task.reader,
                "metrics": [asdict(facts) for facts in task.metrics],
                "examples": len(task.examples),
                "held_out": 0,
            }
            for name, task in tasks.items()
        },
        "imported": dict(origin),
        "software": {"ragmed": ragmed.__version__, "python": platform.python_version()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def reader_of(samples: Sequence[Sample], scores: Sequence[Score], metrics: Sequence[str]) -> str:
    """The reader of ours that gives these very statuses and numbers, so that `ragmed score` can make them again.

    `recorded` where none does, or where a metric is not known here: the answers are then the other program's to read.
    """
    if not all(name in METRICS for name in metrics):
        return RECORDED
    recorded = [(score.status, score.metrics) for score in scores]
    for reader in TRIED:
        if [(made.status, made.metrics) for made in score_samples(samples, reader, metrics)] == recorded:
            return reader
    return RECORDED


def foreign_metric(
    name: str, answers: Iterable[tuple[Example, Score]], *, higher_is_better: bool | None = True,
    unit: str | None = None,
) -> MetricFacts:  # fmt: skip
    """
    >>> question = Example("q1", "?", gold="B")
    >>> foreign_metric("acc", [(question, Score("q1", "answered", "B", {"acc": 1.0}))])
    MetricFacts(name='acc', kind='binary', version=1, higher_is_better=True, matches_gold=True, unit='points')

    What the numbers of another program's metric show of it: whether all are 0 or 1, and whether they are 1 just where
    the value is the gold answer, whatever its case. `unit`: None for points where all numbers lie between -1 and 1, as
    shares and cosines do, else for a scale of its own.
    """
    pairs = [
        (float(score.metrics[name]), _is_gold(score.value, example.gold))  # type: ignore[arg-type]
        for example, score in answers
        if name in score.metrics
    ]
    binary = all(number in (0.0, 1.0) for number, _ in pairs)
    if unit is None:
        unit = POINTS if all(abs(number) <= 1 for number, _ in pairs) else ""
    return MetricFacts(
        name,
        "binary" if binary else "graded",
        higher_is_better=higher_is_better,
        matches_gold=bool(pairs) and all(number == float(right) for number, right in pairs),
        unit=unit,
    )


def _is_gold(value: Value, gold: Gold) -> bool:
    right = gold if isinstance(gold, tuple) else (gold,)
    return str(value).strip().casefold() in [str(answer).strip().casefold() for answer in right]


def lettered(texts: Sequence[str]) -> dict[str, str]:
    """
    >>> lettered(["yes", "no"])
    {'A': 'yes', 'B': 'no'}

    Options under letters, in their order; from the 27th on under their numbers.
    """
    return {chr(ord("A") + place) if place < 26 else str(place + 1): text for place, text in enumerate(texts)}


def control(arms: Sequence[str], baseline: str | None) -> tuple[str, list[str]]:
    """
    >>> control(["gpt2", "llama"], "llama")
    ('llama', [])

    The arm that the others are compared with: `baseline`, or the first one, with a note. UnknownNameError where
    `baseline` is no arm.
    """
    if baseline is None:
        note = f"The control is '{arms[0]}', the first arm in the order of the files; name another with --baseline."
        return arms[0], [note] if len(arms) > 1 else []
    if baseline not in arms:
        raise UnknownNameError("arm", baseline, arms, "what was imported")
    return baseline, []


def unknown_costs(samples: Mapping[tuple[str, str], Sequence[Sample]]) -> list[str]:
    """A note on the arms whose logs give no tokens, or no times: what stands there as 0 is not known."""
    given = [(arm, sample) for (arm, _), of_task in samples.items() for sample in of_task]
    with_tokens = {arm for arm, sample in given if sample.input_tokens or sample.output_tokens}
    with_seconds = {arm for arm, sample in given if sample.seconds or sample.request_seconds}
    notes = []
    for what, known in (("tokens", with_tokens), ("seconds", with_seconds)):
        silent = [arm for arm in dict.fromkeys(arm for arm, _ in samples) if arm not in known]
        if silent:
            notes.append(f"The logs give no {what} ({', '.join(silent)}): 0 stands for what is not known.")
    return notes


def summary(run: Run) -> str:
    """What was imported, by arm and task, and what to do next, as text."""
    lines = [f"run {run.name}: {run.folder} ({run.access})"]
    for (arm, task), answers in scored_answers(run).items():
        answered = sum(answer.score.status == "answered" for answer in answers)
        lines.append(f"  {arm} on {task}: {counted(len(answers), 'sample')}, {answered:,} answered")
    lines += [f"note: {note}" for note in run.info()["imported"].get("notes", [])]
    return "\n".join([*lines, f"next: ragmed compare {run.folder}", f"      ragmed report {run.folder}"])
