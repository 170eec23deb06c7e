"""Results and samples in, a few examples worth reading out: where two arms of a contrast had different outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from ragmed.records import Sample
from ragmed.report import wording

PER_TASK = 3
LONGEST = 1500  # characters shown of one text; the page says how many more there are


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """`answers`: arm, outcome (status and score), what it wrote, the passages it was given and how each is cited."""

    task: str
    metric: str
    kind: str
    arm: str
    baseline: str
    id: str
    question: str
    gold: str
    answers: tuple[tuple[str, str, str, tuple[str, ...]], ...]


def worked_examples(
    results: Mapping[str, Any], samples: Mapping[tuple[str, str], Sequence[Sample]]
) -> Iterator[WorkedExample]:
    """
    >>> [example.kind for example in worked_examples(results, samples)]  # doctest: +SKIP
    ['fixed', 'broke', 'fixed']

    Up to PER_TASK a task, from its first contrast that has any: fixed and broke in turn, by example id; for graded
    metrics the largest gains and losses. The choice depends on nothing but the samples.
    """
    for task in wording.task_names(results):
        by_arm = {arm: {s.example: s for s in given} for (arm, name), given in samples.items() if name == task}
        for row in wording.of_task(results["contrasts"], task):
            chosen = _choose(row, by_arm, results["policy"])
            if chosen:
                yield from (_example(row, id_, kind, by_arm) for id_, kind in chosen)
                break


def _choose(
    row: wording.Row, by_arm: Mapping[str, Mapping[str, Sample]], policy: Mapping[str, str]
) -> list[tuple[str, str]]:
    before, after = by_arm.get(row["baseline"], {}), by_arm.get(row["arm"], {})
    changes: list[tuple[float, str]] = []
    for id_ in sorted(before.keys() & after.keys()):
        old, new = (_score(arm[id_], row["metric"], policy) for arm in (before, after))
        if old is not None and new is not None and old != new:
            changes.append((new - old, id_))
    graded = row["fixed"] is None
    gains = [(id_, "gained" if graded else "fixed") for c, id_ in sorted(changes, key=_largest_first) if c > 0]
    losses = [(id_, "lost" if graded else "broke") for c, id_ in sorted(changes, key=_largest_first) if c < 0]
    in_turn = [pick for pair in zip_longest(gains, losses) for pick in pair if pick is not None]
    return in_turn[:PER_TASK]


def _largest_first(change: tuple[float, str]) -> tuple[float, str]:
    return -abs(change[0]), change[1]


def _score(sample: Sample, metric: str, policy: Mapping[str, str]) -> float | None:
    if sample.status == "answered":
        return sample.scores.get(metric)
    return 0.0 if policy[sample.status] == "wrong" else None


def _example(row: wording.Row, id_: str, kind: str, by_arm: Mapping[str, Mapping[str, Sample]]) -> WorkedExample:
    first = [row["baseline"], row["arm"]]
    arms = first + [arm for arm in by_arm if arm not in first and id_ in by_arm[arm]]
    control = by_arm[row["baseline"]][id_]
    return WorkedExample(
        task=row["task"],
        metric=row["metric"],
        kind=kind,
        arm=row["arm"],
        baseline=row["baseline"],
        id=id_,
        question=_question(control),
        gold=_gold(control),
        answers=tuple(_answer(arm, by_arm[arm][id_], row["metric"]) for arm in arms),
    )


def _question(sample: Sample) -> str:
    """What the user's last message asked; the compared-with arm's, which most often has no passages in it."""
    asked = [message.content for message in sample.messages if message.role == "user"]
    return _shorten(asked[-1]) if asked else "(the prompt is not recorded)"


def _gold(sample: Sample) -> str:
    return _shorten(_option(sample, sample.gold))


def _option(sample: Sample, answer: str) -> str:
    """`B: 40 mg` for a letter that is an option, else the answer as it is."""
    place = ord(answer) - ord("A") if len(answer) == 1 else -1
    return f"{answer}: {sample.options[place]}" if 0 <= place < len(sample.options) else answer


def _answer(arm: str, sample: Sample, metric: str) -> tuple[str, str, str, tuple[str, ...]]:
    outcome: str = sample.status
    if sample.status == "answered" and metric in sample.scores:
        outcome = f"{metric} {sample.scores[metric]:g}"
        if sample.completion is not None and sample.options:
            outcome += f", read as {_shorten(sample.extracted or 'nothing')}"
    if sample.completion is not None:
        text = sample.completion
    elif sample.option_logprobs:
        text = _option(sample, sample.extracted or "")
    else:
        text = sample.note or "(no text is recorded)"
    return arm, outcome, _shorten(text), tuple(_passage(passage) for passage in sample.passages)


def _passage(passage: Mapping[str, Any]) -> str:
    """`handbook:drugs/tarvolen#2 (Tarvolen. Handbook, 2nd edition.)`"""
    name = str(passage.get("id", "without an id"))
    return f"{name} ({passage['citation']})" if passage.get("citation") else name


def _shorten(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} … ({len(text) - LONGEST} more characters)"
