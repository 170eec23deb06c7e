"""Answers as the statistics need them: checked, and turned into one column of scores per arm, task and metric."""

from __future__ import annotations

import dataclasses
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragmed.errors import DataError, MismatchError
from ragmed.metrics import MetricFacts, facts_by_name, find_metric
from ragmed.records import STATUSES, Answer, Example, Measure, Score
from ragmed.text_table import counted


@dataclass(frozen=True, slots=True)
class Column:
    """Scores of one arm on one task by one metric.

    `values`: example id -> score (counts, of a ratio), or None where the policy leaves the example out or the metric
    was not measured. `unscored`: how many answered samples have no value of this metric.
    """

    values: Mapping[str, Measure | None]
    unscored: int


@dataclass(frozen=True, slots=True)
class TaskTable:
    """All arms on one task, on the same examples (`ids`, sorted). `answers`: arm -> example id -> its answer.

    `metrics`: the facts of what is measured, by name, the task's primary metric first.
    """

    name: str
    ids: tuple[str, ...]
    examples: Mapping[str, Example]
    groups: Mapping[str, str]
    metrics: Mapping[str, MetricFacts]
    columns: Mapping[tuple[str, str], Column]
    status: Mapping[str, dict[str, int]]
    answers: Mapping[str, Mapping[str, Answer]] = field(default_factory=dict)

    @property
    def primary(self) -> str:
        """The metric that the verdict is about; '' where nothing is measured."""
        return next(iter(self.metrics), "")

    @property
    def right_or_wrong(self) -> str:
        """The metric of whether an answer is the gold one; '' where the task has none."""
        return next((name for name, facts in self.metrics.items() if facts.matches_gold), "")

    def without(self, metric: str) -> TaskTable:
        """The same table, in which a metric was not measured."""
        columns = {key: column for key, column in self.columns.items() if key[1] != metric}
        facts = {name: one for name, one in self.metrics.items() if name != metric}
        return dataclasses.replace(self, metrics=facts, columns=columns)

    def kept(self, arms: Sequence[str], metric: str) -> list[str]:
        """The examples that all of `arms` have a score for, in the order of `ids`."""
        columns = [self.columns[arm, metric].values for arm in arms]
        gaps = [values for values in columns if None in values.values()]  # most columns have none
        return [id_ for id_ in self.ids if all(values[id_] is not None for values in gaps)] if gaps else list(self.ids)

    def groups_among(self, ids: Sequence[str]) -> int:
        """How many groups these examples of the table are of."""
        return len(set(self.groups.values() if len(ids) == len(self.groups) else (self.groups[id_] for id_ in ids)))

    def value(self, metric: str, values: NDArray[np.float64]) -> float:
        """One number of the scores of several examples: their mean, or a ratio of the sums of their counts."""
        if self.metrics[metric].kind != "ratio":
            return float(values.mean())
        return float(total_of(metric)(values.sum(axis=0)))


def total_of(metric: str) -> Any:
    """What makes a ratio metric's value of summed counts; DataError where no metric of that name is known here."""
    found = find_metric(metric)
    if found.total is None:
        raise DataError(f"metric '{metric}' is no ratio here; score the run again: ragmed score")
    return found.total


def weights_of(metric: str, counts: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """What each example weighs in a ratio, from counts [n, m]; None where it is the sum of its counts."""
    weights = find_metric(metric).weights
    return None if weights is None else np.asarray(weights(counts), np.float64)


def build_tables(
    answers: Mapping[tuple[str, str], Sequence[Answer]],
    policy: Mapping[str, str],
    metrics: Mapping[str, Sequence[MetricFacts]] | None = None,
) -> list[TaskTable]:
    """
    One table a task, in the order of `answers`:

        build_tables({("general", "medqa"): answers}, {"unparsed": "wrong"})[0].primary   # 'accuracy'

    `metrics`: what each task declares to measure, the primary one first, whether or not an answer has it; a metric that
    nobody declared counts as graded. Raises MismatchError where arms differ in their examples, DataError where an
    answer cannot be used; both name it.
    """
    tasks: dict[str, dict[str, dict[str, Answer]]] = {}
    for (arm, task), given in answers.items():
        if given:
            tasks.setdefault(task, {})[arm] = _by_id(arm, task, given)
    known = metrics or {}
    return [_table(task, arms, policy, known.get(task, ())) for task, arms in tasks.items()]


def _by_id(arm: str, task: str, answers: Iterable[Answer]) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    for answer in answers:
        id_ = answer.sample.example.id
        if id_ in found:
            wrong = "is there twice; keep one record of each example"
        elif not (wrong := _unusable(answer.score)):
            found[id_] = answer
            continue
        raise DataError(f"sample '{id_}' of arm '{arm}', task '{task}' {wrong}")
    return found


def _unusable(score: Score) -> str:
    """What is wrong with a score; '' where nothing is."""
    if score.status not in STATUSES:
        return f"has the unknown status '{score.status}'; known: {', '.join(STATUSES)}"
    if score.metrics and score.status != "answered":
        return f"has scores although its status is '{score.status}'; only answered ones have any"
    for metric, value in score.metrics.items():
        if not (all(map(_is_number, value)) if isinstance(value, tuple) else _is_number(value)):
            return f"has the score {metric} = {value!r}; a finite number is needed"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _table(
    task: str, arms: Mapping[str, Mapping[str, Answer]], policy: Mapping[str, str], declared: Sequence[MetricFacts]
) -> TaskTable:
    examples = {id_: answer.example for found in arms.values() for id_, answer in found.items()}
    for arm, found in arms.items():
        _require_same(arm, task, found, examples)
    ids = tuple(sorted(examples))
    measured = (name for found in arms.values() for id_ in ids for name in found[id_].score.metrics)
    undeclared = {name: MetricFacts(name) for name in measured}
    bare = TaskTable(
        name=task,
        ids=ids,
        examples=examples,
        groups=groups_of(examples, ids),
        metrics={
            **facts_by_name(declared),
            **{n: f for n, f in undeclared.items() if n not in facts_by_name(declared)},
        },
        columns={},
        status={arm: _counts(found.values()) for arm, found in arms.items()},
        answers=arms,
    )
    return under(bare, policy)


def _counts(answers: Iterable[Answer]) -> dict[str, int]:
    counts = Counter(answer.score.status for answer in answers)
    return {status: counts[status] for status in STATUSES}


def under(table: TaskTable, policy: Mapping[str, str]) -> TaskTable:
    """The same table with another policy: what an answer without a value counts as."""
    known = {
        key: column
        for key, column in table.columns.items()
        if table.status[key[0]]["answered"] == len(table.answers[key[0]])  # no policy has anything to say of it
    }
    columns = {
        (arm, metric): known.get((arm, metric)) or _column(found, facts, policy, _worst(table, facts))
        for arm, found in table.answers.items()
        for metric, facts in table.metrics.items()
        if (arm, metric) in table.columns or _measured(found.values(), metric)
    }
    return dataclasses.replace(table, columns=columns)


def _require_same(arm: str, task: str, found: Mapping[str, Answer], examples: Mapping[str, Example]) -> None:
    missing = sorted(examples.keys() - found.keys())
    if missing:
        raise MismatchError(
            f"arm '{arm}' lacks {len(missing)} of the {counted(len(examples), 'example')} of task '{task}' (first: "
            f"'{missing[0]}'); let the run finish: `ragmed eval` goes on where it stopped"
        )
    for id_, answer in found.items():
        mine, other = answer.sample.example, examples[id_]
        if mine is other or (mine.gold == other.gold and mine.group == other.group):
            continue
        name = "group" if mine.gold == other.gold else "gold"
        raise MismatchError(
            f"example '{id_}' of task '{task}' has the {name} {getattr(mine, name)!r} in arm '{arm}' and "
            f"{getattr(other, name)!r} in another arm; these are not the same examples, run both arms on one version "
            "of the task"
        )


def groups_of(examples: Mapping[str, Example], ids: Sequence[str]) -> dict[str, str]:
    """
    >>> asked = {"a": Example("a", "1. Which?"), "b": Example("b", "2. which ?"), "c": Example("c", "When?")}
    >>> groups_of(asked, "abc")
    {'a': 'example a', 'b': 'example a', 'c': 'example c'}

    The group of each example, by its id: examples that share a group, or ask the very same, are one observation.
    """
    groups = {id_: f"group {examples[id_].group}" if examples[id_].group else f"example {id_}" for id_ in ids}
    first: dict[tuple[object, ...], str] = {}
    joined: dict[str, str] = {}

    def root(name: str) -> str:
        while name in joined:
            name = joined[name]
        return name

    for id_ in ids:
        asked = examples[id_]
        key = (asked.context, _plain(asked.question), *sorted(map(_plain, asked.options.values())))
        if not (asked.context or asked.question.strip()):
            continue  # of an imported example nothing but its id may be known
        one, other = root(first.setdefault(key, groups[id_])), root(groups[id_])
        if one != other:
            joined[other] = one
    return {id_: root(name) for id_, name in groups.items()}


# "12. What", "Q7: What", "Question 3 - What", "(4) What", "#5 What"; but not "2-year-old", "1.5 mg", "5 HT", "E. coli".
_NUMBER = re.compile(
    r"\s*(?:(?:question|item|case|frage|q|nr|no)\s*\.?\s*[#(\[]?\d+[)\]]?\s*[.:)\-–—]*(?=\s)"
    r"|[(\[]?(?:\d+|[a-z])[)\]](?=\s)|\d+\s*[.:](?=\s)|#\s*\d+\s*[.:)]?(?=\s))\s*",
    re.IGNORECASE,
)
# "… now? (2)", "… now? #2"
_NUMBER_AFTER = re.compile(r"(?<=[.?!])\s*(?:[(\[]\s*(?:no\.?\s*|#)?\d+\s*[)\]]|#\s*\d+)\s*$", re.IGNORECASE)


def _plain(text: str) -> str:
    """
    >>> _plain("Question 12: What  now ?") == _plain("3. what now") == _plain("What now? (2)")
    True

    A text without what does not change what is asked: a number before or behind it, case, form of letters, blanks,
    marks at its ends. What only looks alike ("a typical", "atypical") is then held to be alike: a group too large makes
    an interval wider, never narrower.
    """
    text = unicodedata.normalize("NFKC", text)
    text = _NUMBER_AFTER.sub("", text)
    asked = text[found.end() :] if (found := _NUMBER.match(text)) else text
    return "".join((asked if asked.strip() else text).casefold().split()).strip(".?!:;")


def repeated(table: TaskTable) -> int:
    """How many examples of a table ask what another one asks, numbers before it, case and blanks apart, and are in no
    declared group with it."""
    declared = {(table.examples[id_].group or f"example {id_}") for id_ in table.ids}
    return len(declared) - len(set(table.groups.values()))


def _measured(answers: Iterable[Answer], metric: str) -> bool:
    """A metric is an arm's own if an answer of it has the metric, or if it has no answer at all (then: the policy)."""
    scores = [answer.score for answer in answers if answer.score.status == "answered"]
    return not scores or any(metric in score.metrics for score in scores)


def _column(answers: Mapping[str, Answer], facts: MetricFacts, policy: Mapping[str, str], worst: float) -> Column:
    values: dict[str, Measure | None] = {}
    for id_, answer in answers.items():
        score = answer.score
        if score.status == "answered":
            values[id_] = score.metrics.get(facts.name)
        elif score.status == "error" or policy[score.status] == "drop":
            values[id_] = None
        else:
            values[id_] = _nothing(facts, answer.example, worst)
    unscored = sum(a.score.status == "answered" and facts.name not in a.score.metrics for a in answers.values())
    return Column(values, unscored)


def _nothing(facts: MetricFacts, example: Example, worst: float) -> Measure:
    """What an answer that gives nothing scores: 0, or `worst` where less is better; of a ratio the counts of an empty
    answer.
    """
    return find_metric(facts.name).score([(example, None)])[0] if facts.kind == "ratio" else worst


def _worst(table: TaskTable, facts: MetricFacts) -> float:
    """The worst score: 0; where less is better 1 of a binary metric, else the most that any answer of the task has."""
    if facts.higher_is_better is not False:
        return 0.0
    scores = (answer.score.metrics.get(facts.name) for found in table.answers.values() for answer in found.values())
    return max((float(s) for s in scores if isinstance(s, int | float)), default=0.0) if facts.kind != "binary" else 1.0


def sample_notes(answers: Mapping[tuple[str, str], Sequence[Answer]]) -> list[str]:
    """What was out of the ordinary with samples, counted, each with the first as its example."""
    notes = []
    for (arm, task), given in answers.items():
        where = f"'{arm}' on '{task}'"
        samples = [answer.sample for answer in given]
        dropped = [sample for sample in samples if sample.dropped]
        if dropped:
            count = sum(len(sample.dropped) for sample in dropped)
            notes.append(
                f"{where}: {counted(count, 'passage')} did not fit the context of "
                f"{counted(len(dropped), 'sample')}, left out whole"
            )
        noted = [(sample.example.id, sample.error or sample.note) for sample in samples if sample.error or sample.note]
        if noted:
            number = "1 sample has a note" if len(noted) == 1 else f"{len(noted)} samples have a note, the first"
            notes.append(f"{where}: {number} ('{noted[0][0]}'): {noted[0][1]}")
    return notes
