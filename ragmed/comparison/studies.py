"""Several studies in, the difference that they show together out: risk differences, pooled with random effects.

A study is a task of a run with one or more pairs of arms. Studies are never counted by their verdicts: two studies that
cannot tell may tell together, and one that is large must weigh more than one that is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.overall import Pooled, pooled
from ragmed.comparison.paired import difference_of, shared
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.bootstrap import Interval, Z
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.metrics import POINTS
from ragmed.text_table import counted

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Study:
    """A task's table, and the pairs (baseline, arm) whose differences it stands for; their mean, where there are
    several: the questions are the same, so that the pairs are no studies of their own."""

    name: str
    table: TaskTable
    pairs: tuple[Pair, ...]
    metric: str = ""


@dataclass(frozen=True, slots=True)
class StudyRow:
    """The difference of a study (fractions), on `n` examples of `groups` groups; `weight`: its share of the overall."""

    study: str
    metric: str
    pairs: tuple[Pair, ...]
    n: int
    groups: int
    difference: float
    ci: Interval
    interval: str
    weight: float
    unit: str = POINTS


@dataclass(frozen=True, slots=True)
class StudiesPooled:
    """The rows of the studies, and their overall difference (`overall.Pooled`, whose fields these are)."""

    studies: tuple[StudyRow, ...]
    difference: float
    ci: Interval
    p: float
    prediction: Interval | None
    tau: float
    i2: float
    q: float
    q_p: float
    notes: tuple[str, ...]


def pool(studies: Sequence[Study], settings: ComparisonSettings) -> StudiesPooled:
    """
        pool([Study("a", tables[0], (("general", "tuned"),)), Study("b", tables[1], ...)], settings).ci
        # (-0.04, 0.06)

    At least two studies. A study's difference is that of its pair as `compare` gives it, or the mean over its pairs,
    question by question; its standard error is the width of its 95 % interval by 2 * 1.96, which is never 0. Raises
    UsageError for fewer than two studies, pairs that are repeated, and metrics of which less is better in one study and
    more in another, or that have several units; UnknownNameError for arms; DataError where no example has a score of
    all arms.
    """
    if len(studies) < 2:
        raise UsageError("one study alone cannot be pooled; name at least two")
    directions = {study.table.metrics[_metric(study)].higher_is_better for study in studies}
    if len(directions) > 1:
        raise UsageError("more is better in some of the studies and less in others; pool them apart")
    units = {study.name: study.table.metrics[_metric(study)].unit for study in studies}
    if len(set(units.values())) > 1:
        said = "; ".join(f"'{name}' in {unit or 'a scale of its own'}" for name, unit in units.items())
        raise UsageError(f"the studies measure in several units ({said}); pool those of one unit")
    found = [_difference(study, settings) for study in studies]
    errors = [(high - low) / (2 * Z) for _, (low, high), _, _, _ in found]
    together = pooled([one[0] for one in found], errors)
    weights = [1 / (error**2 + together.tau**2) for error in errors]
    rows = [
        StudyRow(
            study.name,
            _metric(study),
            study.pairs,
            n,
            groups,
            difference,
            ci,
            interval,
            weight / sum(weights),
            units[study.name],
        )
        for study, weight, (difference, ci, interval, n, groups) in zip(studies, weights, found, strict=True)
    ]
    return StudiesPooled(
        tuple(rows), together.difference, together.interval, p=together.p, prediction=together.prediction,
        tau=together.tau, i2=together.i2, q=together.q, q_p=together.q_p,
        notes=(*_notes(together), *_same_questions(studies)),
    )  # fmt: skip


def _metric(study: Study) -> str:
    metric = study.metric or study.table.primary
    if metric not in study.table.metrics:
        raise UnknownNameError("metric", metric, study.table.metrics, f"study '{study.name}'")
    return metric


def _difference(study: Study, settings: ComparisonSettings) -> tuple[float, Interval, str, int, int]:
    table, metric = study.table, _metric(study)
    if len(set(study.pairs)) != len(study.pairs) or any(len(set(pair)) < 2 for pair in study.pairs) or not study.pairs:
        raise UsageError(f"study '{study.name}': name each pair of two arms once, and at least one")
    arms = list(dict.fromkeys(arm for pair in study.pairs for arm in pair))
    for arm in arms:
        if (arm, metric) not in table.columns:
            known = [name for name, measured in table.columns if measured == metric]
            raise UnknownNameError("arm", arm, known, f"study '{study.name}'")
    kept, scores = shared(table, arms, metric)
    if not kept:
        raise DataError(f"study '{study.name}': no example has a score of {', '.join(arms)}")
    if len(study.pairs) > 1 and table.metrics[metric].kind == "ratio":
        raise UsageError(f"study '{study.name}': {metric} is a ratio of counts; give each pair a study of its own")
    minus, plus = (tuple(pair[side] for pair in study.pairs) for side in (0, 1))
    one = difference_of(
        table, metric, kept, scores, sides=(minus, plus), over=len(study.pairs), settings=settings
    )  # as an effect of a 2x2 is: the same interval, to the last bit
    return one.difference, one.ci, one.interval, len(kept), table.groups_among(kept)


def _notes(together: Pooled) -> list[str]:
    notes = []
    if together.prediction is None:
        notes.append("two studies say too little of how studies differ: there is no prediction interval.")
    if together.q_p < 0.05:
        notes.append(
            f"the studies differ by more than chance explains (I2 {100 * together.i2:.0f} %): the overall difference "
            "is that of no study in particular."
        )
    return notes


def _same_questions(studies: Sequence[Study]) -> list[str]:
    """Pairs of studies that ask the same questions, by their text: what is luck in one is luck in the other."""
    asked = [
        {" ".join(example.question.casefold().split()) for example in study.table.examples.values()} - {""}
        for study in studies
    ]
    return [
        f"'{studies[one].name}' and '{studies[two].name}' ask {counted(common, 'question')} in common, so they are not "
        "independent: the overall interval is too narrow. Name their pairs in one study, where a run holds both."
        for one, two in combinations(range(len(studies)), 2)
        if 2 * (common := len(asked[one] & asked[two])) > min(len(asked[one]), len(asked[two])) > 0
    ]
