"""Statements of an answer that nothing in what was shown supports: answers and their evidence in, counts out.

    unsupported(load_entailment(Path("models/nli")))      # supported where a model of entailment says so
    unsupported(LexicalSupport())                         # supported where its words stand in one sentence

The evidence of an answer is what stood before the model: the passages and the example's own material, as the `context`
of the example that the metric is given. A statement is a sentence of the answer. An answer without evidence (closed
book, no note) or without a statement has no counts: nothing can be said of it.

What such a number is worth is measured, never assumed: `ragmed.support_error` asks the same of answers that are known
to be hallucinated or true, and comparisons report the share with that error alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.coverage import COVERED, content_words
from ragmed.metrics.entailment import EntailmentScorer, Relation
from ragmed.metrics.f1 import micro_precision

UNSUPPORTED = "unsupported"
LEXICAL = "lexical"
"""The name under which the measure without a model is asked for."""
_BREAK = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[^a-z\s])|\n+")
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.)])\s+")


def statements_of(text: str) -> list[str]:
    """
    >>> statements_of("- He took 0.5 mg of it. It helped!\\n2. Yes.")
    ['He took 0.5 mg of it.', 'It helped!', 'Yes.']

    Its sentences and lines, without the marks of a list; those with letters and a content word.
    """
    lines = (_BULLET.sub("", line) for line in text.split("\n"))
    parts = (part.strip() for line in lines for part in _BREAK.split(line))
    return [part for part in parts if any(map(str.isalpha, part)) and content_words(part)]


class LexicalSupport:
    """
    >>> LexicalSupport().relations([("He had a fever. He took aspirin.", "Fever was treated with aspirin.")])
    ['neutral']

    Entailment where at least COVERED of the statement's different content words stand in one sentence of the evidence,
    else neutral. It knows words alone: "no fever" is supported by "fever was not seen", and by "fever was seen" too.
    """

    def relations(self, pairs: Sequence[tuple[str, str]]) -> list[Relation]:
        return [self._relation(evidence, statement) for evidence, statement in pairs]

    def _relation(self, evidence: str, statement: str) -> Relation:
        wanted = content_words(statement)
        common = (len(wanted & content_words(sentence)) for sentence in statements_of(evidence))
        return "entailment" if max(common, default=0) >= COVERED * len(wanted) else "neutral"


def unsupported(scorer: EntailmentScorer) -> Metric:
    """
    >>> from ragmed.records import ContextDocument, Example
    >>> note = Example("n1", "", (ContextDocument("He had a fever and took aspirin."),))
    >>> unsupported(LexicalSupport()).score([(note, "He had a fever. Gout was diagnosed.")])
    [(1.0, 1.0, 0.0)]

    The metric `unsupported`: statements of each answer without support, and those with it (a ratio: the share without).
    A statement is supported where one document of the evidence entails it.
    """

    def score(batch: Batch) -> list[tuple[float, ...]]:
        found = [
            [(document.text, statement) for statement in statements_of(value) for document in example.context]
            if isinstance(value, str)
            else []
            for example, value in batch
        ]
        entailed = iter(scorer.relations([pair for several in found for pair in several]))
        counts: list[tuple[float, ...]] = []
        for pairs in found:
            supported: dict[str, bool] = {}
            for _, statement in pairs:
                supported[statement] = (next(entailed) == "entailment") or supported.get(statement, False)
            good = sum(supported.values())
            counts.append((float(len(supported) - good), float(good), 0.0))
        return counts

    return Metric(
        MetricFacts(UNSUPPORTED, "ratio", version=2, higher_is_better=False), score, micro_precision, evidence=True
    )
