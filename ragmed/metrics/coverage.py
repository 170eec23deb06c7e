"""Statements that an answer should make, looked for in it by their words alone: a share of them out.

It needs no model, and says no more than words do: an answer that denies a statement in its words covers it, and one
that makes it in other words does not. `ragmed.metrics.entailment` asks a model instead.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

from ragmed.errors import DataError, UsageError
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.overlap import words
from ragmed.records import Example

MUST_HAVE, NICE_TO_HAVE = "must_have", "nice_to_have"
"""Names of the gold lists: statements that belong in an answer, and those that may stand in it."""
COVERED = 0.6
"""A statement is covered where at least this part of its different content words stands in the answer.

By it the physicians' own answers to 93 questions of K-QA cover 94.6 % of the statements that were made of them (a mean
over questions), their answers to the next question 0.2 %, and the question, given back as an answer, 2.9 %.
"""
FUNCTION_WORDS = frozenset(
    "a about after all also am an and any are as at be because been before being both but by can could did do does "
    "doing during each for from had has have having he her hers him his how i if in into is it its may might more "
    "most must my of on once or other our over own per same shall she should so some such than that the their them "
    "then there these they this those through to too under until up very was we were what when where which while "
    "who whom why will with would you your".split()
)


_CONTRACTED = re.compile(r"\b([a-z]+?)(?:n['’ʼ]t|(?<=can)not)\b", re.IGNORECASE)
"""What a denial is contracted to ("doesn't", "cannot"): its words, taken apart as they stand, would hold no "not"."""
_UNCONTRACTED = {"ca": "can", "wo": "will", "sha": "shall", "ai": "is"}


def lexical_coverage(batch: Batch) -> list[float]:
    """
    >>> gold = {"must_have": ("Take the missed dose the same day.", "Do not double it."), "nice_to_have": ()}
    >>> lexical_coverage([(Example("q1", "?", gold=gold), "Take the dose that you missed on the same day.")])
    [0.5]

    The share, 0 to 1, of the must-have statements that are covered. Words are those of ROUGE, stemmed, but for those
    that stand in any prose; "no", "not" and "never" are content.
    """
    scores = []
    for example, value in batch:
        answered = content_words(value) if isinstance(value, str) else frozenset()
        wanted = [content_words(statement) for statement in statements(example, MUST_HAVE)]
        if not all(wanted):
            raise DataError(
                f"lexical_coverage: a must-have statement of example '{example.id}' has no content word, so that no "
                "answer could cover it; leave it out"
            )
        scores.append(sum(len(one & answered) >= COVERED * len(one) for one in wanted) / len(wanted))
    return scores


def statements(example: Example, *names: str) -> Sequence[str]:
    """The statements of the gold lists of these names, in order; UsageError where the example has no must-have ones."""
    if not isinstance(example.gold, Mapping) or not example.gold.get(MUST_HAVE):
        raise UsageError(
            f"example '{example.id}' names no statements that an answer must have; coverage and entailment measure "
            "nothing else"
        )
    return [statement for name in names for statement in example.gold.get(name, ())]


@functools.lru_cache(maxsize=4096)
def content_words(text: str) -> frozenset[str]:
    """
    >>> sorted(content_words("The doses should not be doubled."))
    ['dose', 'doubl', 'not']
    >>> sorted(content_words("It can't be doubled."))
    ['doubl', 'not']
    """
    whole = _CONTRACTED.sub(lambda found: f"{_UNCONTRACTED.get(found[1].casefold(), found[1])} not", text)
    return frozenset(words(whole)) - _function_words()


@functools.cache
def _function_words() -> frozenset[str]:
    return frozenset(word for text in FUNCTION_WORDS for word in words(text))


LEXICAL_COVERAGE = Metric(MetricFacts("lexical_coverage", version=2), lexical_coverage)
