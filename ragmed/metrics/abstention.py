"""Abstention: whether an answer opens by telling that the answer is not to be had."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.records import Example

# Anchored to the start: "not given after day 3" is an answer. "Not stated" is what the task's instruction demands; the
# rest is what models write in its place.
ABSTENTION = re.compile(
    r"\W*(?:(?:it|this|that|the answer) (?:is|was) )?(?:not|n't) (?:stated|specified|mentioned|known)\b"
    r"|\W*(?:it|this|that|the answer) (?:isn't|cannot be|can't be) (?:stated|specified|mentioned|known|determined)\b"
    r"|\W*i(?: do not| don't) know\b|\W*i(?:'m| am) not sure\b|\W*unknown\b"
    r"|\W*the (?:hospital's )?(?:handbook|passages?|texts?) (?:does|do)(?: not|n't) (?:say|state|specify|mention)\b"
    r"|\W*there is no (?:answer|information|mention)\b",
    re.IGNORECASE,
)


def is_abstention(text: str) -> bool:
    """
    >>> is_abstention("Not stated."), is_abstention("40 mg, not stated elsewhere")
    (True, False)

    Whether a text opens by telling that the answer is not to be had: counted on questions that have none.
    """
    return ABSTENTION.match(text) is not None


# Options that say so of the question, as LongHealth's F. "Cannot be determined" is a finding as often as an abstention.
NO_ANSWER = re.compile(
    r"\W*(?:(?:the|this) )?(?:question )?(?:cannot|can't|can not|could not) be answered\b"
    r"|\W*(?:unanswerable|not answerable)\b",
    re.IGNORECASE,
)


# The same sentence as a whole answer, which models give without the option's letter and not in its very words.
_SAID = re.compile(
    r"\W*(?:(?:the|this) )?question (?:cannot|can't|can not|could not) be answered"
    r"(?: (?:with|from|by|using|based on) (?:(?:the|these|those|this) )?(?:(?:provided|given|available) )?"
    r"(?:documents?|information|texts?|records?|context|passages?)(?: (?:provided|given|shown))?)?\W*",
    re.IGNORECASE,
)


def option_without_answer(text: str, options: Mapping[str, str]) -> str | None:
    """
    >>> options = {"A": "1999", "F": "Question cannot be answered with provided documents"}
    >>> option_without_answer("The question cannot be answered with the documents provided.", options)
    'F'

    The option that the question has no answer, where a whole text says so and there is one such option.
    """
    if not _SAID.fullmatch(text.replace("’", "'")):
        return None
    found = [letter for letter, option in options.items() if NO_ANSWER.match(option)]
    return found[0] if len(found) == 1 else None


def cannot_be_answered(example: Example) -> bool:
    """
    >>> cannot_be_answered(Example("q1", "?", options={"A": "1999", "B": "Question cannot be answered"}, gold="B"))
    True

    Whether the right option is that the question has no answer.
    """
    gold = example.options.get(example.gold, "") if isinstance(example.gold, str) else ""
    return NO_ANSWER.match(gold) is not None


def abstained(batch: Batch) -> list[float]:
    return [float(isinstance(value, str) and is_abstention(value)) for _, value in batch]


ABSTAINED = Metric(MetricFacts("abstained", "binary"), abstained)
