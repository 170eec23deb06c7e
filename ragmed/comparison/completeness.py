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

from ragmed.comparison.columns import TaskTable
from ragmed.comparison.paired import bounds, difference_of, shared
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.sources import SHOWING, ArmSources
from ragmed.comparison.statistics.differences import Difference
from ragmed.comparison.statistics.resampling import Floats
from ragmed.records import Answer
from ragmed.text_table import counted

LEAST_SHOWN = 0.5
"""Of the questions of an arm that is shown passages, the share that must have been shown one."""
MOST_ALIKE = 0.9
"""Of an arm's texts to free-text questions, the share that may be one and the same."""
LEAST_TO_REPEAT = 10
"""Answers: below it, that all are alike is no sign of anything."""
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


def why_no_verdict(
    table: TaskTable, arms: Sequence[str], settings: ComparisonSettings, sources: Mapping[str, ArmSources]
) -> str:
    """
        why_no_verdict(table, ("general", "rag"), settings, sources)
        # '120 of 120 answers of rag did not come back (the first: ConnectError: refused)'

    Why nothing may be concluded from these arms on this task; '' where there is no such reason.
    """
    reasons = (_of_arm(table, arm, settings, sources.get(arm, ArmSources())) for arm in arms)
    return "; ".join(reason for reason in reasons if reason)


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
            f"{len(pages)} of {counted(total, 'answer')} of {arm} {'is' if len(pages) == 1 else 'are'} no answer "
            f"but the page or error of a server or proxy (the first: {shown}); ask again once it is mended"
        )
    read = table.status[arm]["answered"]
    if read < math.ceil(settings.min_read * returned - 1e-9):
        return f"only {read} of {counted(returned, 'answer')} of {arm} could be read"
    if alike := _alike(answers.values()):
        text, count, of = alike
        return f"{count} of {counted(of, 'answer')} of {arm} are the very same text, whatever was asked: {text}"
    if source.context in SHOWING and source.index is not None:  # of imported runs nobody knows what was shown
        without = sum(not answer.sample.passages for answer in answers.values())
        if total - without < LEAST_SHOWN * total:
            return f"{arm} has passages as its context ({source.context}), and got none in {without} of " + counted(
                total, "question"
            )
    return ""


def _alike(answers: Collection[Answer]) -> tuple[str, int, int] | None:
    """The text that nearly all answers to free-text questions are, how many are, and of how many; None where answers
    differ, or where most right answers are few and the same, so that one answer to all of them may be meant.
    """
    given = [answer for answer in answers if answer.score.status == "answered" and not answer.example.options]
    texts = Counter(" ".join((answer.sample.completion or "").split()) for answer in given)
    golds = Counter(repr(answer.example.gold) for answer in given)
    if len(given) < LEAST_TO_REPEAT or len(golds) < len(given) / 2:
        return None
    ((text, count),) = texts.most_common(1)
    if not text or count < MOST_ALIKE * len(given):
        return None
    return f"'{text[:80]}{'…' if len(text) > 80 else ''}'", count, len(given)


def missing(table: TaskTable, arms: Sequence[str], metric: str) -> list[str]:
    """The examples that at least one arm has no answer to, and all others have a score for, or none either."""
    found = []
    for id_ in table.ids:
        lost = [arm for arm in arms if table.answers[arm][id_].score.status == "error"]
        known = (table.columns[arm, metric].values[id_] is not None for arm in arms if arm not in lost)
        if lost and all(known):
            found.append(id_)
    return found


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
