"""Samples as the statistics need them: checked, and turned into one column of scores per arm, task and metric."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ragmed.errors import DataError, MismatchError
from ragmed.records import STATUSES, Sample
from ragmed.tasks.answers import mirage_letter

MIRAGE_LETTERS = frozenset("ABCD")


@dataclass(frozen=True, slots=True)
class Column:
    """Scores of one arm on one task by one metric.

    `values`: example id -> score, or None where the policy leaves the example out or the metric was not measured.
    `unscored`: how many answered samples have no value of this metric.
    """

    values: Mapping[str, float | None]
    unscored: int


@dataclass(frozen=True, slots=True)
class TaskTable:
    """All arms on one task, on the same examples (`ids`, sorted). `samples`: arm -> example id -> its sample."""

    name: str
    ids: tuple[str, ...]
    examples: Mapping[str, Sample]
    groups: Mapping[str, str]
    metrics: tuple[str, ...]
    columns: Mapping[tuple[str, str], Column]
    status: Mapping[str, dict[str, int]]
    samples: Mapping[str, Mapping[str, Sample]] = field(default_factory=dict)


def build_tables(
    samples: Mapping[tuple[str, str], Sequence[Sample]],
    policy: Mapping[str, str],
    metrics: Mapping[str, Sequence[str]] | None = None,
) -> list[TaskTable]:
    """
    >>> build_tables({("general", "medqa"): samples}, {"unparsed": "wrong"})[0].metrics  # doctest: +SKIP
    ('accuracy',)

    One table a task, in the order of `samples`. `metrics`: what each task is known to measure, whether or not a sample
    has it. Raises MismatchError where arms differ in their examples, DataError
    where a sample cannot be used; both name it.
    """
    tasks: dict[str, dict[str, dict[str, Sample]]] = {}
    for (arm, task), given in samples.items():
        if given:
            tasks.setdefault(task, {})[arm] = _by_id(arm, task, given)
    known = metrics or {}
    return [_table(task, arms, policy, known.get(task, ())) for task, arms in tasks.items()]


def _by_id(arm: str, task: str, samples: Iterable[Sample]) -> dict[str, Sample]:
    found: dict[str, Sample] = {}
    for sample in samples:
        where = f"sample '{sample.example}' of arm '{arm}', task '{task}'"
        if sample.example in found:
            raise DataError(f"{where} is there twice; keep one record of each example")
        if sample.status not in STATUSES:
            raise DataError(f"{where} has the unknown status '{sample.status}'; known: {', '.join(STATUSES)}")
        if sample.scores and sample.status != "answered":
            raise DataError(f"{where} has scores although its status is '{sample.status}'; only answered ones have any")
        for metric, value in sample.scores.items():
            if not _is_number(value):
                raise DataError(f"{where} has the score {metric} = {value!r}; a finite number is needed")
        found[sample.example] = sample
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _table(
    task: str, arms: Mapping[str, Mapping[str, Sample]], policy: Mapping[str, str], known: Sequence[str]
) -> TaskTable:
    examples = {id_: sample for found in arms.values() for id_, sample in found.items()}
    for arm, found in arms.items():
        _require_same(arm, task, found, examples)
    ids = tuple(sorted(examples))
    measured = (m for found in arms.values() for id_ in ids for m in found[id_].scores)
    bare = TaskTable(
        name=task,
        ids=ids,
        examples=examples,
        groups={id_: _group(examples[id_]) for id_ in ids},
        metrics=tuple(dict.fromkeys([*known, *measured])),
        columns={},
        status={arm: {s: sum(x.status == s for x in found.values()) for s in STATUSES} for arm, found in arms.items()},
        samples=arms,
    )
    return under(bare, policy)


def under(table: TaskTable, policy: Mapping[str, str]) -> TaskTable:
    """The same table with another policy: what each status other than `answered` counts as."""
    letters = "mirage" in policy.values() and mirage_reads(table)
    columns = {
        (arm, metric): _letters(found) if letters and metric == "accuracy" else _column(found, metric, policy)
        for arm, found in table.samples.items()
        for metric in table.metrics
        if _measured(found.values(), metric)
    }
    return dataclasses.replace(table, columns=columns)


def mirage_reads(table: TaskTable) -> bool:
    """Whether MIRAGE's policy has a meaning here: some answer was written, and its gold is a letter from A to D."""
    return "accuracy" in table.metrics and any(lettered(s) for found in table.samples.values() for s in found.values())


def lettered(sample: Sample) -> bool:
    return sample.completion is not None and sample.gold in MIRAGE_LETTERS


def _letters(samples: Mapping[str, Sample]) -> Column:
    """Accuracy as MIRAGE's evaluation reads it; what it has no reading for counts as without it, wrong if it failed."""
    values: dict[str, float | None] = {}
    for id_, sample in samples.items():
        if lettered(sample):
            values[id_] = float((mirage_letter(sample.completion or "") or "A") == sample.gold)
        else:
            values[id_] = float(sample.scores["accuracy"]) if "accuracy" in sample.scores else _failed(sample)
    return Column(values, sum(values[id_] is None for id_ in values))


def _failed(sample: Sample) -> float | None:
    return None if sample.status == "answered" else 0.0


def _require_same(arm: str, task: str, found: Mapping[str, Sample], examples: Mapping[str, Sample]) -> None:
    missing = sorted(examples.keys() - found.keys())
    if missing:
        raise MismatchError(
            f"arm '{arm}' lacks {len(missing)} of the {len(examples)} examples of task '{task}' (first: "
            f"'{missing[0]}'); let the run finish: `ragmed eval` goes on where it stopped"
        )
    for id_, sample in found.items():
        for name in ("gold", "group"):
            mine, other = getattr(sample, name), getattr(examples[id_], name)
            if mine != other:
                raise MismatchError(
                    f"example '{id_}' of task '{task}' has the {name} '{mine}' in arm '{arm}' and '{other}' in arm "
                    f"'{examples[id_].arm}'; these are not the same examples, run both arms on one version of the task"
                )


def _group(sample: Sample) -> str:
    return f"group {sample.group}" if sample.group else f"example {sample.example}"


def _measured(samples: Iterable[Sample], metric: str) -> bool:
    """A metric is an arm's own if an answer of it has the metric, or if it has no answer at all (then: the policy)."""
    answered = [sample for sample in samples if sample.status == "answered"]
    return not answered or any(metric in sample.scores for sample in answered)


def _column(samples: Mapping[str, Sample], metric: str, policy: Mapping[str, str]) -> Column:
    values: dict[str, float | None] = {}
    for id_, sample in samples.items():
        if sample.status == "answered":
            values[id_] = float(sample.scores[metric]) if metric in sample.scores else None
        else:
            values[id_] = None if policy[sample.status] == "drop" else 0.0
    unscored = sum(sample.status == "answered" and metric not in sample.scores for sample in samples.values())
    return Column(values, unscored)


def sample_notes(samples: Mapping[tuple[str, str], Sequence[Sample]]) -> list[str]:
    """What was out of the ordinary with samples, counted, each with the first as its example."""
    notes = []
    for (arm, task), given in samples.items():
        where = f"'{arm}' on '{task}'"
        dropped = [s for s in given if s.dropped]
        if dropped:
            count = sum(len(s.dropped) for s in dropped)
            notes.append(f"{where}: {count} passages did not fit the context of {len(dropped)} samples, left out whole")
        told = [s for s in given if s.note]
        if told:
            number = "1 sample has a note" if len(told) == 1 else f"{len(told)} samples have a note, the first"
            notes.append(f"{where}: {number} ('{told[0].example}'): {told[0].note}")
    return notes
