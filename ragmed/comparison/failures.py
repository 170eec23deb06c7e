"""Tables of answers in, how they fail apart from being wrong out: hallucination and instruction adherence.

For each arm and task, as far as the task has what it is told by:

    false-answer   an answer to an item that has none: another option than "cannot be answered" (LongHealth 3), or a
                   text that does not abstain, where the task measures `abstained`
    made-up-code   of the codes that were answered, those that stand in no table of the year (`valid_codes`)
    unsupported    of the statements that were answered, those without support in the passages or the material that
                   were shown; with the error of that measure, see `ragmed.support_error`
    contradiction  of the statements that an answer should hold, those that it contradicts (K-QA)
    unparsed       the answer is not in the form that was asked for
    refused        the model, or a filter of its server, declined
    truncated      the answer was cut off before it could be read

The first four are hallucinations (what is stated and not so), the last three are instructions not followed: n are the
answers that came back, whatever was read. A task scored by log-likelihoods has no form to miss. Shares and differences
have the intervals and paired tests of all scores; p is not adjusted and nothing is concluded from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ragmed.comparison.columns import Column, TaskTable
from ragmed.comparison.paired import difference_of, scored, shared
from ragmed.comparison.rows import Failure, FailureContrast, MeasuredError
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.intervals import PROPORTIONS, Estimate
from ragmed.metrics import MetricFacts
from ragmed.metrics.abstention import cannot_be_answered
from ragmed.metrics.gold import right_letters
from ragmed.metrics.support import UNSUPPORTED
from ragmed.records import Answer, Measure

ABSTAINED, VALID_CODES, CONTRADICTION = "abstained", "valid_codes", "contradiction"
Values = Mapping[str, Measure | None]


@dataclass(frozen=True, slots=True)
class _Kind:
    """`of`: what n counts. `values`: from the answers of one arm, by example, 1 or 0, a share, or counts of each; None
    where it is none of these. `metric`: whose counts or shares these are; `inverted`: it is the share of those that are
    right.
    """

    name: str
    of: str
    values: Callable[[TaskTable, Mapping[str, Answer]], Values]
    metric: str = ""
    inverted: bool = False


OfKind = tuple[TaskTable, _Kind]


def _false_answers(table: TaskTable, answers: Mapping[str, Answer]) -> Values:
    if ABSTAINED in table.metrics:
        return {
            id_: float(answer.score.status == "answered" and not answer.score.metrics.get(ABSTAINED))
            for id_, answer in answers.items()
        }
    return {
        id_: float(answer.score.status == "answered" and answer.score.value not in right_letters(answer.example))
        for id_, answer in answers.items()
        if cannot_be_answered(answer.example)
    }


def _counts_by(metric: str) -> Callable[[TaskTable, Mapping[str, Answer]], Values]:
    def counts(table: TaskTable, answers: Mapping[str, Answer]) -> Values:
        if metric not in table.metrics:
            return {}
        return {
            id_: answer.score.metrics.get(metric) if answer.score.status == "answered" else (0.0, 0.0, 0.0)
            for id_, answer in answers.items()
        }

    return counts


def _contradictions(table: TaskTable, answers: Mapping[str, Answer]) -> Values:
    if CONTRADICTION not in table.metrics:
        return {}
    return {id_: answer.score.metrics.get(CONTRADICTION) for id_, answer in answers.items()}


def _ended(status: str) -> Callable[[TaskTable, Mapping[str, Answer]], Values]:
    return lambda table, answers: {
        id_: float(answer.score.status == status)
        for id_, answer in answers.items()
        if not answer.sample.option_logprobs
    }


KINDS: Mapping[str, _Kind] = {
    kind.name: kind
    for kind in (
        _Kind("false-answer", "items without an answer", _false_answers),
        _Kind("made-up-code", "codes", _counts_by(VALID_CODES), VALID_CODES, inverted=True),
        _Kind("unsupported", "statements", _counts_by(UNSUPPORTED), UNSUPPORTED),
        _Kind("contradiction", "answers", _contradictions, CONTRADICTION),
        _Kind("unparsed", "answers", _ended("unparsed")),
        _Kind("refused", "answers", _ended("refused")),
        _Kind("truncated", "answers", _ended("truncated")),
    )
}


def failures(measured: Sequence[OfKind], arms: Sequence[str], settings: ComparisonSettings) -> list[Failure]:
    """
        failures(measured_kinds(tables), ["general"], settings)[0].share
        # 0.05

    A row for each task, kind and arm that has what the kind is a share of.
    """
    return [
        _row(table, kind, arm, settings)
        for table, kind in measured
        for arm in arms
        if (arm, _metric(kind)) in table.columns
    ]


def failure_contrasts(
    measured: Sequence[OfKind],
    rows: Sequence[Failure],
    pairs: Sequence[tuple[str, str]],
    settings: ComparisonSettings,
) -> list[FailureContrast]:
    """
        measured = measured_kinds(tables)
        rows = failures(measured, ["general", "rag"], settings)
        failure_contrasts(measured, rows, [("general", "rag")], settings)[0].difference
        # -0.025

    Each pair by each kind that both arms have a row of and at least one has any of; more is worse.
    """
    shares = {(row.task, row.kind, row.arm): row.share for row in rows}
    return [
        _contrast(table, kind, pair, settings)
        for table, kind in measured
        for pair in pairs
        if all((table.name, kind.name, arm) in shares for arm in pair)
        and any(shares[table.name, kind.name, arm] for arm in pair)
    ]


def measured_kinds(tables: Sequence[TaskTable]) -> list[OfKind]:
    """Each task and kind, as a table of that kind alone."""
    found: list[OfKind] = []
    for table in tables:
        for kind in KINDS.values():
            columns = {(arm, _metric(kind)): column for arm in table.answers if (column := _column(table, kind, arm))}
            if columns:
                found.append((replace(table, metrics={_metric(kind): _facts(table, kind)}, columns=columns), kind))
    return found


def _column(table: TaskTable, kind: _Kind, arm: str) -> Column | None:
    answers = came = table.answers[arm]
    if table.status[arm]["error"]:
        came = {id_: answer for id_, answer in answers.items() if answer.score.status != "error"}
    known = {id_: value for id_, value in kind.values(table, came).items() if value is not None}
    if not any(sum(value) if isinstance(value, tuple) else True for value in known.values()):
        return None
    return Column({**dict.fromkeys(answers), **known}, 0)


def _metric(kind: _Kind) -> str:
    return kind.metric or kind.name


def _facts(table: TaskTable, kind: _Kind) -> MetricFacts:
    return table.metrics[kind.metric] if kind.metric else MetricFacts(kind.name, "binary", higher_is_better=False)


def _row(table: TaskTable, kind: _Kind, arm: str, settings: ComparisonSettings) -> Failure:
    values = table.columns[arm, _metric(kind)].values
    kept = table.kept([arm], _metric(kind))
    found = scored(table, arm, _metric(kind), kept=kept, settings=settings)
    share, (low, high) = found.value, found.ci
    if kind.inverted:
        share, low, high = 1 - share, 1 - high, 1 - low
    counted = isinstance(values[kept[0]], tuple)
    n = round(sum(sum(value) for id_ in kept if isinstance(value := values[id_], tuple))) if counted else len(kept)
    whole = counted or not kind.metric
    passes = {False: 0.0, True: 1.0}[kind.inverted]
    fail = [id_ for id_ in kept if values[id_] != passes and _fails(values[id_], inverted=kind.inverted)]
    return Failure(
        arm, table.name, kind.name, of=kind.of, n=n, count=round(share * n) if whole else None, share=share,
        ci=(low, high), interval=found.interval, groups=table.groups_among(kept), examples=tuple(fail),
    )  # fmt: skip


def _fails(value: Measure | None, *, inverted: bool) -> bool:
    """Whether an answer has any of what its kind counts; of counts, the metric is the share of the first ones."""
    if isinstance(value, tuple):
        return value[inverted] > 0
    return value is not None and (value < 1 if inverted else value > 0)


def _contrast(table: TaskTable, kind: _Kind, pair: tuple[str, str], settings: ComparisonSettings) -> FailureContrast:
    metric, (baseline, arm) = _metric(kind), pair
    kept, values = shared(table, pair, metric)
    sides = ([arm], [baseline]) if kind.inverted else ([baseline], [arm])
    told = difference_of(table, metric, kept, values, sides=sides, settings=settings) if kept else None
    return FailureContrast(
        table.name, kind.name, baseline, arm, n=len(kept), difference=told.difference if told else None,
        ci=told.ci if told else None, interval=told.interval if told else "none", test=told.test if told else "none",
        p=told.p if told else 1.0, groups=table.groups_among(kept),
    )  # fmt: skip


def measured_errors(metrics: Mapping[str, Mapping[str, Any]], settings: ComparisonSettings) -> list[MeasuredError]:
    """What the support score is worth, by the record that the run keeps of it; nothing where that was not measured."""
    record = metrics.get(UNSUPPORTED, {})
    error = record.get("error")
    if not error:
        return []

    def share(found: int, of: int) -> Estimate:
        return Estimate(found / of, PROPORTIONS[settings.proportions](found, of), settings.proportions)

    found, left = share(error["flagged"], error["hallucinated"]), share(error["passed"], error["true"])
    return [
        MeasuredError(
            UNSUPPORTED, str(record["settings"]["model"]), error["labelled"], positives=error["hallucinated"],
            negatives=error["true"], sensitivity=found, specificity=left, youden=_youden(found, left),
        )
    ]  # fmt: skip


def _youden(sensitivity: Estimate, specificity: Estimate) -> Estimate:
    both = (sensitivity, specificity)
    value = sum(one.value for one in both) - 1
    down, up = (math.hypot(*(one.value - one.ci[side] for one in both)) for side in (0, 1))
    return Estimate(value, (value - down, value + up), sensitivity.interval)


def unmeasured_notes(tables: Sequence[TaskTable], metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why the support score is not reported, where it was asked for."""
    if not any(UNSUPPORTED in table.metrics for table in tables) or metrics.get(UNSUPPORTED, {}).get("error"):
        return []
    why = metrics.get(UNSUPPORTED, {}).get("unmeasured") or "the run does not say what it was measured with"
    return [
        f"{UNSUPPORTED} is not reported, because its error could not be measured on labelled answers: {why}; then "
        "`ragmed score` the run by it again."
    ]
