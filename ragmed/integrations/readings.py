"""The authors' reading of raw outputs and ours, side by side: how many differ, how, and whether a verdict turns.

Both are held against each other under both policies: an answer that could not be read counts as wrong, or is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ragmed.comparison.compare import compare
from ragmed.comparison.settings import POLICIES, ComparisonSettings, every_failure
from ragmed.metrics import metric_facts
from ragmed.records import Answer, Sample, Score
from ragmed.scores import fits, score_samples
from ragmed.tasks.reading import find_reader
from ragmed.text_table import counted, verb

THEIRS, OURS, BOTH = "authors", "ours", "authors, else ours"
_EXAMPLES = 3  # of a kind
_SHOWN = 160  # characters of an output
_ACCURACY = "accuracy"


@dataclass(frozen=True, slots=True)
class Difference:
    """Answers that two readers read differently in one way. `kind`: `not read by the authors`, `not read by ours` or
    `read otherwise`. `gained`, `lost`: how many become right, or no longer are, by our reading. `examples`: id, theirs,
    ours, the output's beginning."""

    kind: str
    count: int
    gained: int
    lost: int
    examples: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class ArmReading:
    """`theirs`, `ours`: how many answers are right by each reading. `reader`: ours."""

    task: str
    arm: str
    reader: str
    n: int
    theirs: int
    ours: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Under:
    """A contrast by one reading under one policy."""

    task: str
    baseline: str
    arm: str
    reading: str
    policy: str
    n: int
    difference: float | None
    fixed: int | None
    broke: int | None
    p: float
    p_adjusted: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Readings:
    arms: tuple[ArmReading, ...] = ()
    verdicts: tuple[Under, ...] = ()

    def notes(self) -> Iterator[str]:
        """What differs, in sentences, as a comparison repeats them."""
        for row in self.arms:
            count = sum(one.count for one in row.differences)
            if count:
                kinds = "; ".join(f"{one.kind}: {one.count:,}" for one in row.differences)
                yield (
                    f"{row.task}, '{row.arm}': of {row.n:,} outputs the authors' column and our reader '{row.reader}' "
                    f"differ in {count:,} ({kinds}); right {row.theirs:,} by theirs, {row.ours:,} by ours."
                )
        same = [row for row in self.arms if not row.differences]
        if same:
            yield (
                f"The authors' column and our reader agree on every output of {len(same)} of {len(self.arms)} arms and "
                "tasks."
            )
        yield from turns(self.verdicts)


def read_together(samples: Mapping[str, Sequence[Sample]], reader: str) -> dict[str, list[Score]]:
    """arm -> what our reader makes of its outputs, of the arms that have any that it can read.

    Question by question, all arms of one together: what a reader prepares for the options then serves every arm.
    """
    arms = [arm for arm, given in samples.items() if _readable(given, reader)]
    mixed = [sample for of_question in zip(*(samples[arm] for arm in arms), strict=True) for sample in of_question]
    scores = score_samples(mixed, reader, [_ACCURACY])
    return {arm: scores[place :: len(arms)] for place, arm in enumerate(arms)}


def _readable(given: Sequence[Sample], reader: str) -> bool:
    texts = all(sample.completion is not None or sample.finish == "error" for sample in given)
    return fits(reader, given) and (texts or not find_reader(reader).needs_text)


def held_together(
    task: str, reader: str, samples: Sequence[Sample], theirs: Sequence[Score], ours: Sequence[Score]
) -> ArmReading:
    """An arm's answers by the authors' column and by our reader, in the same order."""
    kinds: dict[str, list[tuple[Sample, Score, Score]]] = {}
    for sample, their, our in zip(samples, theirs, ours, strict=True):
        kind = _kind(their, our)
        if kind:
            kinds.setdefault(kind, []).append((sample, their, our))
    asked = sum(score.status != "error" for score in theirs)
    return ArmReading(
        task, samples[0].arm, reader, asked, sum(map(_right, theirs)), sum(map(_right, ours)),
        tuple(
            Difference(
                kind, len(found),
                sum(_right(our) and not _right(their) for _, their, our in found),
                sum(_right(their) and not _right(our) for _, their, our in found),
                tuple(
                    (sample.example.id, _said(their), _said(our), " ".join((sample.completion or "").split())[:_SHOWN])
                    for sample, their, our in found[:_EXAMPLES]
                ),
            )
            for kind, found in sorted(kinds.items())
        ),
    )  # fmt: skip


def _kind(their: Score, our: Score) -> str:
    if their.status == "error":
        return ""
    if their.status != "answered":
        return "not read by the authors" if our.status == "answered" else ""
    if our.status != "answered":
        return "not read by ours"
    if _right(their) != _right(our):
        return "read otherwise"
    # where only right or wrong is printed, the value is the output itself, and says nothing of how it was read
    named = isinstance(their.value, str) and isinstance(our.value, str) and len(their.value) == len(our.value) == 1
    return "read otherwise" if named and their.value != our.value else ""


def _right(score: Score) -> bool:
    return score.metrics.get(_ACCURACY) == 1.0


def _said(score: Score) -> str:
    if score.status != "answered":
        return score.status
    value = str(score.value)
    return value if len(value) <= 3 else ("right" if _right(score) else "wrong")


def verdicts(
    task: str,
    samples: Mapping[str, Sequence[Sample]],
    readings: Mapping[str, Mapping[str, Sequence[Score]]],
    settings: ComparisonSettings,
) -> list[Under]:
    """Each contrast on a task by each reading (name -> arm -> scores) under both policies, by accuracy alone."""
    rows: list[Under] = []
    for reading, scores in readings.items():
        answers = {
            (arm, task): [Answer(s, _only_accuracy(one)) for s, one in zip(given, scores[arm], strict=True)]
            for arm, given in samples.items()
        }
        for policy in POLICIES:
            asked = tuple(pair for pair in settings.contrasts if set(pair) <= samples.keys())
            if settings.contrasts and not asked:
                return []
            baseline = settings.baseline if settings.baseline in samples else next(iter(samples))
            under = replace(settings, baseline=baseline, policy=every_failure(policy), factorials=(), contrasts=asked)
            results = compare(answers, run=reading, settings=under, metrics={task: metric_facts([_ACCURACY])})
            rows += [
                Under(
                    row.task, row.baseline, row.arm, reading, policy, row.n, row.difference, row.fixed, row.broke,
                    row.p, row.p_adjusted, row.verdict,
                )
                for row in results.contrasts
            ]  # fmt: skip
    return rows


def _only_accuracy(score: Score) -> Score:
    return replace(score, metrics={name: number for name, number in score.metrics.items() if name == _ACCURACY})


def turns(verdicts: Sequence[Under]) -> Iterator[str]:
    """A sentence for each contrast whose verdict is not the same by both readings and policies, or that has one verdict
    and two signs."""
    by_pair: dict[tuple[str, str, str], list[Under]] = {}
    for row in verdicts:
        by_pair.setdefault((row.task, row.baseline, row.arm), []).append(row)
    turned = 0
    for (task, baseline, arm), rows in by_pair.items():
        signs = {(row.difference > 0) - (row.difference < 0) for row in rows if row.difference is not None}
        several = len({row.verdict for row in rows}) > 1
        turned += several
        if several or {1, -1} <= signs:
            said = "; ".join(map(_said_of, rows))
            what = "the verdict turns" if several else "the sign turns, the verdict does not,"
            yield f"{task}, '{arm}' against '{baseline}': {what} with the reading ({said})."
    if by_pair:
        same = len(by_pair) - turned
        said = f"{same} of {counted(len(by_pair), 'verdict')} {verb(same, 'is', 'are')}"
        yield f"{said} the same by both readings and both policies."


def _said_of(row: Under) -> str:
    pairs = "" if row.fixed is None else f", fixed {row.fixed}, broke {row.broke}"
    return f"{row.reading}, {row.policy}: {_points(row.difference)}{pairs}, {row.verdict}"


def _points(value: float | None) -> str:
    return "nothing" if value is None else f"{100 * value:+.1f}"
