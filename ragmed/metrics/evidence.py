"""Answers that give a label and quote their evidence, `{"label": …, "evidence": …}`: whether the label is right, how
much of the evidence is what annotators marked, and whether the quotation stands in the material at all.

Of an example, gold is `{"label": (label,), "evidence": (the words that one annotator marked, those of another, …)}`.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ragmed.errors import UsageError
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.records import Example, Value

_WORD = re.compile(r"\w+")
_PIECE = re.compile(r"\d+|[^\W\d_]+")


def token_f1(answer: str, reference: str) -> float:
    """
    >>> token_f1("Mortality fell (p = 0.03)", "mortality fell, p=0.03, in both")
    0.8333333333333334

    F1 of the words that two texts have in common, each as often as it is in both, as of answers in SQuAD (Rajpurkar et
    al. 2016, arXiv 1606.05250): words are runs of letters, digits and underscores, whatever their case.
    """
    said, meant = Counter(_words(answer)), Counter(_words(reference))
    both = (said & meant).total()
    return 2 * both / (said.total() + meant.total()) if both else 0.0


def evidence_f1(batch: Batch) -> list[float]:
    """
    >>> example = Example("p1", "?", gold={"label": ("no difference",), "evidence": ("Sleep was alike.", "P = 0.8")})
    >>> evidence_f1([(example, {"label": "no difference", "evidence": "p = 0.8"})])
    [1.0]

    The best `token_f1` over annotators; 0 where nothing is quoted. UsageError for an example without evidence.
    """
    return [
        max(token_f1(_text(value, "evidence"), reference) for reference in _gold(example, "evidence"))
        for example, value in batch
    ]


def label_accuracy(batch: Batch) -> list[float]:
    """1.0 where the label is the right one, whatever its case."""
    return [float(_words(_text(value, "label")) == _words(_gold(example, "label")[0])) for example, value in batch]


def quote_found(batch: Batch) -> list[float]:
    """
    >>> from ragmed.records import ContextDocument
    >>> report = (ContextDocument("Sleep was alike (Table 3Hours)."), ContextDocument("Pain fell by 2 points."))
    >>> example = Example("p1", "?", report)
    >>> quote_found([(example, {"evidence": "sleep was alike (table 3"}), (example, {"evidence": "Pain rose"})])
    [1.0, 0.0]
    >>> quote_found([(example, {"evidence": ["Pain fell by 2 points.", "Sleep was alike"]})])
    [1.0]

    1.0 where the quotation stands in the example's material word for word: each of its texts, and each line of these,
    in one of the documents. Case and punctuation do not count, nor does a blank between a number and a word, which
    reports that were made from web pages often lack.
    """
    return [float(_is_quoted(_text(value, "evidence"), example)) for example, value in batch]


def _is_quoted(quote: str, example: Example) -> bool:
    documents = [_spaced(part.text) for part in example.context]
    lines = [line for line in map(_spaced, quote.splitlines()) if line.strip()]
    return bool(lines) and all(any(line in document for document in documents) for line in lines)


@functools.lru_cache(maxsize=4096)  # the sections of a report are asked again for each arm and prompt
def _spaced(text: str) -> str:
    """Its runs of letters and of digits, folded, with a blank around each."""
    return f" {' '.join(_PIECE.findall(_folded(text)))} "


def _gold(example: Example, name: str) -> tuple[str, ...]:
    given = example.gold.get(name, ()) if isinstance(example.gold, Mapping) else ()
    if not given:
        raise UsageError(
            f"example '{example.id}' has no gold '{name}' to compare an answer with; measure another metric"
        )
    return given


def _text(value: Value, name: str) -> str:
    """The text under a name of an answer; several texts in a list are one."""
    given: Any = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(given, list | tuple):
        return "\n".join(part for part in given if isinstance(part, str))
    return given if isinstance(given, str) else ""


def _words(text: str) -> list[str]:
    return _WORD.findall(_folded(text))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


EVIDENCE_TOKEN_F1 = Metric(MetricFacts("evidence_token_f1", "graded"), evidence_f1)
LABEL_ACCURACY = Metric(MetricFacts("label_accuracy", "binary"), label_accuracy)
QUOTE_FOUND = Metric(MetricFacts("quote_found", "binary", version=2), quote_found)
