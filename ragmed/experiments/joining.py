"""Answers of several runs in, the same under the ids and task names of the first out, where the questions are the same
by their texts: different papers number one benchmark in their own ways.

    joined, notes = join_by_text({"mirage": answers, "afrimed": others})
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ragmed.errors import MismatchError, UsageError
from ragmed.matching.words import same_question
from ragmed.records import Answer, Example
from ragmed.scores import Answers

_LEAST = 0.5  # of the smaller task's questions, for two tasks to be one


@dataclass(slots=True)
class _Asked:
    """A task of a run. `found`: text of a question -> its example, of the texts that one question alone has."""

    run: str
    task: str
    found: dict[str, Example]
    n: int


def join_by_text(runs: Mapping[str, Answers]) -> tuple[dict[str, Answers], list[str]]:
    """
    >>> from ragmed.records import Sample, Score
    >>> def run(id_, arm, task):
    ...     sample = Sample(arm, task, Example(id_, "Which dose?", options={"A": "1 mg", "B": "2 mg"}, gold="B"))
    ...     return {(arm, task): [Answer(sample, Score(id_, "answered", "B", {"accuracy": 1.0}))]}
    >>> joined, notes = join_by_text({"one": run("q1", "base", "medqa"), "other": run("17", "rag", "test")})
    >>> [answer.example.id for answer in joined["other"]["rag", "medqa"]]
    ['q1']

    A task of a later run is one of the first run's where at least half of the smaller one's questions are in both; its
    answers are then those of the first run's task, on the questions that all have, and their scores stay as they are.
    A question is the same where its words are, and its options under the same letters; where one of the two has no
    options, the words alone. Questions of one run that share a text cannot be told apart, and are left out. Notes say
    which tasks were joined, and on how many questions.

    Raises MismatchError, with both, where the runs hold different answers to be right; UsageError where no two tasks
    have questions in common.
    """
    (first, its), *others = runs.items()
    ours = [_asked(first, task, its) for task in _tasks(its)]
    pairs = {one.task: [(one, one)] for one in ours}
    for run, answers in others:
        for task in _tasks(answers):
            theirs = _asked(run, task, answers)
            best = max(ours, key=lambda one: len(_common(one, theirs)), default=None)
            common = len(_common(best, theirs)) if best else 0
            if best is None or common < _LEAST * min(len(best.found), len(theirs.found)) or not common:
                continue
            if any(other.run == run for _, other in pairs[best.task]):
                raise UsageError(
                    f"two tasks of run '{run}' have the questions of '{best.task}' of '{first}'; import them as tables "
                    "with a task each, or compare the run by itself"
                )
            pairs[best.task].append((best, theirs))
    if not any(len(found) > 1 for found in pairs.values()):
        named = "; ".join(f"'{run}' has {', '.join(_tasks(answers))}" for run, answers in runs.items())
        raise UsageError(f"no two tasks of these runs have most of their questions in common, by their texts: {named}")
    joined: dict[str, Answers] = {run: {} for run in runs}
    notes = []
    for task, found in pairs.items():
        if len(found) == 1:
            joined[first] |= {key: given for key, given in its.items() if key[1] == task}
            continue
        of_all: dict[str, dict[str, str]] = {}  # run -> id there -> id here
        for one, other in found:
            of_all[other.run] = {theirs.id: mine.id for mine, theirs in _agreed(one, other)}
        kept = set.intersection(*(set(ids.values()) for ids in of_all.values()))
        examples = {example.id: example for example in found[0][0].found.values()}
        for _, other in found:
            ids = of_all[other.run]
            for (arm, name), given in runs[other.run].items():
                if name == other.task:
                    joined[other.run][arm, task] = [
                        _as(answer, examples[ids[answer.example.id]], task)
                        for answer in given
                        if ids.get(answer.example.id) in kept
                    ]
        said = ", ".join(f"'{other.task}' of {other.run} ({other.n:,})" for _, other in found)
        notes.append(f"{task}: joined by the questions' texts: {said}; {len(kept):,} questions are in all of them.")
    return joined, notes


def _tasks(answers: Answers) -> list[str]:
    return list(dict.fromkeys(task for _, task in answers))


def _asked(run: str, task: str, answers: Answers) -> _Asked:
    """The questions of a task that can be told by their texts."""
    given: Sequence[Answer] = next(found for (_, name), found in answers.items() if name == task)
    by_text: dict[str, list[Example]] = {}
    for answer in given:
        text = same_question(answer.example.question)
        if text:
            by_text.setdefault(text, []).append(answer.example)
    return _Asked(run, task, {text: found[0] for text, found in by_text.items() if len(found) == 1}, len(given))


def _common(one: _Asked, other: _Asked) -> list[tuple[Example, Example]]:
    pairs = ((one.found[text], theirs) for text, theirs in other.found.items() if text in one.found)
    return [pair for pair in pairs if _same_options(*pair)]


def _same_options(one: Example, other: Example) -> bool:
    if not one.options or not other.options:
        return True
    return _spelt(one.options.items()) == _spelt(other.options.items())


def _spelt(options: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {letter: same_question(text) for letter, text in options if text}


def _agreed(one: _Asked, other: _Asked) -> list[tuple[Example, Example]]:
    """The questions that both have; MismatchError where two golds are held right."""
    pairs = _common(one, other)
    for mine, theirs in pairs:
        golds = [_right(mine, mine.options), _right(theirs, theirs.options)]
        if not all(golds) or golds[0] == golds[1]:
            continue
        bare = [_right(mine, {}), _right(theirs, {})]
        if (mine.options and theirs.options) or bare[0] != bare[1]:
            shown = " ".join(mine.question.split())[:60]
            raise MismatchError(
                f"two golds for one question ('{shown}'): {mine.gold!r} in task '{one.task}' of run '{one.run}' "
                f"(question '{mine.id}') and {theirs.gold!r} in '{other.task}' of '{other.run}' ('{theirs.id}'); "
                "correct one of them and import it again"
            )
    return pairs


def _right(example: Example, options: Mapping[str, str]) -> frozenset[str]:
    """The right answers by their words: the options' texts, where a gold answer is a letter."""
    gold = example.gold if isinstance(example.gold, tuple) else (example.gold,)
    return frozenset(filter(None, (same_question(options.get(str(one), str(one))) for one in gold)))


def _as(answer: Answer, example: Example, task: str) -> Answer:
    sample = replace(answer.sample, example=example, task=task)
    return replace(answer, sample=sample, score=replace(answer.score, example=example.id))
