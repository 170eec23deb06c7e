"""Answers for tests: a table of scores in, samples with their examples and scores out; and the facts of their metrics.

A test names what it is about and nothing else:

    answers_of({"general": [0, 1, "error"], "rag": [1, 1, 0]})          # three examples of one task, two arms
    answer("e1", "rag", "t", value="B", gold="A", options=("x", "y"))    # one answer; what it scores: {"accuracy": 0.0}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ragmed.comparison.compare import ComparisonSettings, Results, compare
from ragmed.metrics import METRICS, MetricFacts, find_metric
from ragmed.records import Answer, Example, Finish, Gold, Measure, Sample, Score, ShownPassage, Status, Value

FINISHES: dict[str, Finish] = {"truncated": "length", "error": "error"}  # a refusal in words has ended as it should


def answer(
    id_: str,
    arm: str,
    task: str = "medqa",
    *,
    status: Status = "answered",
    value: Value = "A",
    gold: Gold = "A",
    scores: Mapping[str, Measure] | None = None,
    question: str = "",
    options: Sequence[str] = (),
    group: str = "",
    documents: Sequence[str] = (),
    passages: Sequence[ShownPassage] = (),
    **more: Any,
) -> Answer:
    """`scores`: accuracy by `value` and `gold` unless given; an answer that is not `answered` has no value and none.

    `options`: texts, whose letters are A, B, C … `more`: fields of the sample, such as `completion` or `seconds`.
    """
    letters = dict(zip("ABCDEFGH", options, strict=False))
    example = Example(id_, question, options=letters, gold=gold, documents=tuple(documents), group=group)
    more = {"finish": FINISHES.get(status, "stop"), "continuations": tuple(options), **more}
    sample = Sample(arm, task, example, passages=tuple(passages), **more)
    if status != "answered":
        return Answer(sample, Score(id_, status))
    return Answer(sample, Score(id_, status, value, {"accuracy": float(value == gold)} if scores is None else scores))


def answers_of(
    table: Mapping[str, Sequence[Measure | str]],
    *,
    task: str = "medqa",
    metric: str = "accuracy",
    groups: Sequence[str] = (),
    **more: Any,
) -> dict[tuple[str, str], list[Answer]]:
    """arm -> scores by `metric` of the examples e000, e001 …, or a status instead of a score."""
    return {
        (arm, task): [
            answer(
                f"e{number:03d}", arm, task, group=groups[number] if groups else "", **more,
                **({"status": score} if isinstance(score, str) else {"scores": {metric: score}}),
            )
            for number, score in enumerate(scores)
        ]
        for arm, scores in table.items()
    }  # fmt: skip


def changed(given: Answer, **fields: Any) -> Answer:
    """The same answer with other fields of its sample, or of its example."""
    of_example = {name: fields.pop(name) for name in list(fields) if name in Example.__dataclass_fields__}
    return replace(given, sample=replace(given.sample, example=replace(given.example, **of_example), **fields))


def by_arm_and_task(answers: Sequence[Answer]) -> dict[tuple[str, str], list[Answer]]:
    found: dict[tuple[str, str], list[Answer]] = {}
    for given in answers:
        found.setdefault((given.sample.arm, given.sample.task), []).append(given)
    return found


def metrics_named(*names: str) -> tuple[MetricFacts, ...]:
    """Metrics that are known as they are, others as graded."""
    return tuple(find_metric(name).facts if name in METRICS else MetricFacts(name) for name in names)


def facts_of(answers: Mapping[tuple[str, str], Sequence[Answer]]) -> dict[str, tuple[MetricFacts, ...]]:
    """What each task measures, in the order of its answers."""
    names: dict[str, dict[str, None]] = {}
    for (_, task), given in answers.items():
        names.setdefault(task, {}).update(dict.fromkeys(name for one in given for name in one.score.metrics))
    return {task: metrics_named(*found) for task, found in names.items()}


def compared(
    answers: Mapping[tuple[str, str], Sequence[Answer]], settings: ComparisonSettings, *, run: str = "r", **more: Any
) -> Results:
    """The results of `compare`; `metrics`: what the tasks measure, where their answers do not tell."""
    return compare(answers, run=run, settings=settings, metrics=more.pop("metrics", facts_of(answers)), **more)
