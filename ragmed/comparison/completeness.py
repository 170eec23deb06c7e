"""Tables of answers in, what is missing from them out: whether a verdict may be given, and between which bounds.

An answer that did not come back (a server was down, a prompt did not fit, a recorded file lacks it) says nothing of the
arm: it is missing data, neither right nor wrong. Nor is an arm judged that was not what its name says, or of whose
answers hardly any could be read.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ragmed.arms import SHOWING
from ragmed.comparison.columns import TaskTable
from ragmed.comparison.paired import bounds, difference_of, shared
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.sources import ArmSources
from ragmed.comparison.statistics.differences import Difference
from ragmed.comparison.statistics.resampling import Floats
from ragmed.records import Answer
from ragmed.text_table import counted, verb

LEAST_SHOWN = 0.5
"""Of the questions of an arm that is shown passages, the share that must have been shown one."""
MOST_ALIKE = 0.9
"""Of an arm's texts to free-text questions, the share that may be one and the same."""
LEAST_TO_REPEAT = 10
"""Answers: below it, that all are alike is no sign of anything."""
LEAST_AT_FLOOR = 60
"""Answers: from about so many on, scores that are all 0 in both arms would pass for equivalence."""
LEAST_WORDS = 8
"""Of a text: shorter ones may well be the same in two arms."""
_REFUSED = (
    "bad gateway|bad request|service (?:temporarily )?unavailable|gateway time-?out|too many requests|"
    "internal server error|forbidden|unauthorized|not found|proxy authentication"
)
_PAGE = re.compile(
    r"\s*(?:<!doctype\s+html|<html[\s>]|<head[\s>]|<\?xml[^>]*>\s*<(?:html|error)"
    rf"|HTTP/\d(?:\.\d)? [45]\d\d|(?:HTTP )?(?:error )?[45]\d\d[ :-]+(?:{_REFUSED})|error code: [45]\d\d\b"
    r'|upstream (?:connect|request) |\{\s*"(?:error|errors)"\s*:\s*\[?\s*\{\s*"(?:message|type|code|status)"'
    r'|\{\s*"(?:error|detail)"\s*:\s*"[^"]*"\s*\}\s*$)',
    re.IGNORECASE,
)
"""What servers and proxies say instead of an answer."""


class Reasons:
    """
        Reasons(settings, sources).why(table, ("general", "rag"))
        # '120 of 120 answers of rag did not come back (the first: ConnectError: refused)'

    Why nothing may be concluded from some arms on a task. Each arm and each set of arms is looked at once, however many
    rows ask for it; tables of one name hold the same answers, whatever their policy.
    """

    def __init__(self, settings: ComparisonSettings, sources: Mapping[str, ArmSources]) -> None:
        self._settings, self._sources = settings, sources
        self._of_arms: dict[tuple[str, str], str] = {}
        self._of_sets: dict[tuple[str, tuple[str, ...]], str] = {}

    def why(self, table: TaskTable, arms: Sequence[str]) -> str:
        """The reasons, in words; '' where there is none."""
        key = (table.name, tuple(arms))
        if key not in self._of_sets:
            reasons = [self._arm(table, arm) for arm in arms]
            if not any(reasons):
                reasons = [_at_floor(table, arms), *(_repeated(table, arms[0], arm) for arm in arms[1:])]
            self._of_sets[key] = "; ".join(reason for reason in reasons if reason)
        return self._of_sets[key]

    def _arm(self, table: TaskTable, arm: str) -> str:
        key = (table.name, arm)
        if key not in self._of_arms:
            self._of_arms[key] = _of_arm(table, arm, self._settings, self._sources.get(arm, ArmSources()))
        return self._of_arms[key]


def _of_arm(table: TaskTable, arm: str, settings: ComparisonSettings, source: ArmSources) -> str:
    answers, total = table.answers[arm], len(table.ids)
    failed = [answer for answer in answers.values() if answer.score.status == "error"]
    if total - len(failed) < math.ceil(settings.min_returned * total - 1e-9):
        first = next((answer.sample.error for answer in failed if answer.sample.error), "")
        why = f" (the first: {' '.join(first.split())[:160]})" if first else ""
        return f"{len(failed)} of {counted(total, 'answer')} of {arm} did not come back{why}"
    returned = total - len(failed)
    texts = [answer.sample.completion or "" for answer in answers.values() if answer.score.status != "error"]
    pages = [text for text in texts if _PAGE.match(text)]
    if total - len(failed) - len(pages) < math.ceil(settings.min_returned * total - 1e-9):
        shown = " ".join(pages[0].split())[:80]
        return (
            f"{len(pages)} of {counted(total, 'answer')} of {arm} {verb(len(pages), 'is', 'are')} no answer "
            f"but the page or error of a server or proxy (the first: {shown}); ask again once it is mended"
        )
    read = table.status[arm]["answered"]
    if read < math.ceil(settings.min_read * returned - 1e-9):
        return f"only {read} of {counted(returned, 'answer')} of {arm} could be read"
    if alike := _alike(answers.values()):
        text, count, of = alike
        return f"{count} of {counted(of, 'answer')} of {arm} are the very same text, whatever was asked: {text}"
    if source.context in SHOWING and source.index is not None:  # of imported runs nobody knows what was shown
        return _wrongly_shown(table, arm, source)
    return ""


def _wrongly_shown(table: TaskTable, arm: str, source: ArmSources) -> str:
    """What keeps the passages that an arm was shown from being what its context says; '' where they are."""
    samples, total = [answer.sample for answer in table.answers[arm].values()], len(table.ids)
    questions = counted(total, "question")
    shown = [sample for sample in samples if sample.passages]
    if len(shown) < LEAST_SHOWN * total:
        without = total - len(shown)
        return f"{arm} has passages as its context ({source.context}), and got none in {without} of {questions}"
    gold = [[passage.gold for passage in sample.passages] for sample in shown]
    known = [of for of in gold if None not in of]
    missed = sum(not any(of) for of in known)
    if source.context == "oracle" and missed > (1 - LEAST_SHOWN) * total:
        return f"{arm} is to be shown gold documents (oracle), and got others in {missed} of {questions}"
    held = sum(any(of) for of in known)
    if source.context == "distractor" and held > (1 - LEAST_SHOWN) * total:
        return f"{arm} is to be shown no gold document (distractor), and got one in {held} of {questions}"
    sets = Counter(tuple(passage.id for passage in sample.passages) for sample in shown)
    ((most, count),) = sets.most_common(1)
    asked = {sample.example.question for sample in shown}
    more = not (source.index or {}).get("of_record") and (source.index or {}).get("passages", 0) > len(most)
    if source.context == "retrieved" and more and len(asked) >= LEAST_TO_REPEAT and count > MOST_ALIKE * len(shown):
        return f"{arm} was shown the very same passages in {count} of {questions}, whatever was asked"
    return ""


def _at_floor(table: TaskTable, arms: Sequence[str]) -> str:
    """That no answer of any arm is worth anything, which tells of gold answers, reader or task, not of the arms."""
    facts = table.metrics.get(table.primary)
    if facts is None or not facts.higher_is_better or facts.kind == "ratio":
        return ""
    scores = (answer.score for arm in arms for answer in table.answers[arm].values())
    at_floor = 0
    for score in scores:
        if score.metrics.get(facts.name):
            return ""
        at_floor += facts.name in score.metrics
    if at_floor < LEAST_AT_FLOOR * len(arms):
        return ""
    return (
        f"no answer of {' or '.join(arms)} scores above 0 by {facts.name}: nothing can be told apart at the floor; "
        "look whether gold answers and reader fit the answers"
    )


def _repeated(table: TaskTable, one: str, other: str) -> str:
    """That an arm's texts are another's word for word though it was asked otherwise, as a cache in between gives them;
    '' where they are not, or are so short that they may well be.
    """
    first, second = table.answers[one], table.answers[other]
    otherwise = [
        (a, b)
        for id_ in table.ids
        if (a := first[id_].sample).prompt and (b := second[id_].sample).prompt and a.prompt != b.prompt
    ]
    long = [(a.completion, b.completion) for a, b in otherwise if len((a.completion or "").split()) >= LEAST_WORDS]
    same = [a for a, b in long if a == b]
    if len(long) < LEAST_TO_REPEAT or len(same) < MOST_ALIKE * len(long) or len(set(same)) < len(same) / 2:
        return ""
    return (
        f"{len(same)} of {counted(len(long), 'text')} of {other} are those of {one} word for word, though the prompts "
        "differ: a cache may stand between, or what is shown does not reach the model"
    )


def _alike(answers: Collection[Answer]) -> tuple[str, int, int] | None:
    """The text that nearly all answers to free-text questions are, how many are, and of how many; None where answers
    differ, or where most right answers are few and the same, so that one answer to all of them may be meant.
    """
    given = [answer for answer in answers if answer.score.status == "answered" and not answer.sample.example.options]
    if len(given) < LEAST_TO_REPEAT:
        return None
    texts = Counter(" ".join((answer.sample.completion or "").split()) for answer in given)
    ((text, count),) = texts.most_common(1)
    if not text or count < MOST_ALIKE * len(given):
        return None
    if len({repr(answer.sample.example.gold) for answer in given}) < len(given) / 2:
        return None
    return f"'{text[:80]}{'…' if len(text) > 80 else ''}'", count, len(given)


def missing(table: TaskTable, arms: Sequence[str], metric: str) -> list[str]:
    """The examples that at least one arm has no answer to, and all others have a score for, or none either."""
    if not any(table.status[arm]["error"] for arm in arms):
        return []
    lost = {arm: {id_ for id_ in table.ids if table.answers[arm][id_].score.status == "error"} for arm in arms}
    some = set().union(*lost.values())
    return [
        id_
        for id_ in table.ids
        if id_ in some and all(id_ in lost[arm] or table.columns[arm, metric].values[id_] is not None for arm in arms)
    ]


def within_bounds(
    difference: Difference, table: TaskTable, metric: str, *, sides: tuple[Sequence[str], Sequence[str]],
    over: int = 1, settings: ComparisonSettings, family: int = 1,
) -> Difference:  # fmt: skip
    """The difference with an interval and p that hold whatever the missing answers would have been.

    It is computed twice more: with all that `sides[1]` misses as good as can be and all that `sides[0]` misses as bad,
    and the other way round (Manski's bounds: Am. Econ. Rev. 1990;80:319-323). The interval reaches over all three, each
    p is the largest of the three. Between the two lie "all right" and "all wrong". Of a ratio of counts,
    and of scores beyond 0 and 1, nobody knows the best: there every p is 1.
    """
    arms = [*sides[0], *sides[1]]
    lost = missing(table, arms, metric)
    if not lost:
        return difference
    unbounded = replace(difference, p=1.0, equivalence=1.0, noninferiority=1.0, mid_p=None)
    if table.metrics[metric].kind == "ratio":
        return unbounded
    kept, scores = shared(table, arms, metric)
    ids = sorted({*kept, *lost})
    low, high = bounds(np.concatenate(list(scores.values())))
    if (low, high) != (0.0, 1.0):  # what was seen of a distance, or of a cosine, is no bound of what was not
        return unbounded
    found = [difference]
    for bad, good in ((low, high), (high, low)):
        filled = {arm: _filled(table, arm, metric, ids, bad if arm in sides[0] else good) for arm in arms}
        found.append(
            difference_of(table, metric, ids, filled, sides=sides, over=over, settings=settings, family=family)
        )
    return replace(
        difference, ci=(min(one.ci[0] for one in found), max(one.ci[1] for one in found)),
        p=max(one.p for one in found), equivalence=max(one.equivalence for one in found),
        noninferiority=max(one.noninferiority for one in found), mid_p=None,
    )  # fmt: skip


def _filled(table: TaskTable, arm: str, metric: str, ids: Sequence[str], value: float) -> Floats:
    known = table.columns[arm, metric].values
    lost = {id_ for id_ in ids if table.answers[arm][id_].score.status == "error"}
    return np.array([value if id_ in lost else known[id_] for id_ in ids], np.float64)


def completeness_notes(tables: Sequence[TaskTable], arms: Sequence[str], settings: ComparisonSettings) -> list[str]:
    """What did not come back, arm by arm."""
    notes = []
    for table in tables:
        for arm in arms:
            failed = table.status.get(arm, {}).get("error", 0)
            if failed:
                notes.append(
                    f"{table.name}: {failed} of {counted(len(table.ids), 'answer')} of {arm} did not come back. "
                    "They are missing, neither right nor wrong: scores are of the others, and intervals and p of "
                    "differences hold whatever they would have been. Where fewer than "
                    f"{100 * settings.min_returned:g} % came back there is no verdict."
                )
    return notes
