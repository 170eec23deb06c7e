"""Baselines that take their answer from what they are given, without a language model: `extract:RULE`.

In: an example, the queries that the retriever was asked for it, its passages. Out: words of its material, words of a
passage, or names of documents. Nothing is learnt and nothing is drawn; what a model adds is what it scores above these.

    lead-3          the first three sentences of the example's own material, or of the question where it has none
    best-sentence   the sentence of the passages that has most words in common with the queries
    nearest-code    the codes whose documents are nearest, as the retriever ranks them
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ragmed.chunking.structure import Section, units
from ragmed.errors import UnknownNameError, UsageError
from ragmed.metrics.icd10 import dotted, is_wellformed
from ragmed.models.names import parse_model_name
from ragmed.models.settings import ModelSettings
from ragmed.records import Completion, Example, Message, OptionScores, Passage
from ragmed.retrieval.words import tokeniser
from ragmed.workspace import Workspace

CONTEXT_TOKENS = 1_000_000
LEAD = 3

Rule = Callable[[Example, Sequence[str], Sequence[Passage]], str]


@dataclass(frozen=True, slots=True)
class Extract:
    """`version` is raised with every change that can change an answer. `from_passages`: it needs some. `reader`: of
    the tasks that it answers, where it does not answer all that are answered with text.
    """

    rule: Rule
    from_passages: bool
    reader: str = ""
    version: int = 1


def lead(example: Example, queries: Sequence[str], passages: Sequence[Passage]) -> str:
    """
    >>> from ragmed.records import ContextDocument
    >>> note = Example("n1", "", (ContextDocument("He fell. He rose. He ran. He fell again."),))
    >>> lead(note, (), ())
    'He fell. He rose. He ran.'
    """
    texts = [part.text for part in example.context] or [example.question]
    return " ".join([sentence for text in texts for sentence in sentences_of(text)][:LEAD])


def best_sentence(example: Example, queries: Sequence[str], passages: Sequence[Passage]) -> str:
    """
    >>> text = "Asthma is a disease. Salbutamol relieves an attack of asthma."
    >>> best_sentence(Example("q1", "?"), ["What relieves asthma?"], [Passage("a#0", "a", "", "", text, 0, len(text))])
    'Salbutamol relieves an attack of asthma.'

    Nearest is the highest cosine of the sets of their stemmed words, without stop words: with the query that is nearest
    to it, of several. Of equals the one of the passage that is ranked first, and there the first; '' without passages.
    """
    found = [sentence for passage in passages for sentence in sentences_of(passage.text)]
    words = tokeniser(stemmer="english", stop_words="english")
    asked = [set(one) for one in words(queries)]
    nearness = [max((_cosine(set(one), query) for query in asked), default=0.0) for one in words(found)]
    return found[nearness.index(max(nearness))] if found else ""


def nearest_codes(example: Example, queries: Sequence[str], passages: Sequence[Passage]) -> str:
    """
    >>> nearest_codes(Example("n1", ""), (), [Passage("I10#0", "I10", "I10 Essential …", "", "…", 0, 1)])
    'I10'

    The documents of the passages, in their rank, each once. UsageError for one that is named by no code.
    """
    for passage in passages:
        if not is_wellformed(passage.document):
            raise UsageError(
                f"extract:nearest-code was shown document '{passage.document}', whose name is no ICD-10-CM code; give "
                "its arm an index over a corpus of codes, such as icd10cm"
            )
    return "; ".join(dict.fromkeys(dotted(passage.document) for passage in passages))


def sentences_of(text: str) -> list[str]:
    """Its sentences in order, without headings and rows of tables, white space within made one blank; where it has
    nothing else, these.
    """
    parts = units(text, Section(0, len(text), "", 0))
    return [" ".join(text[part.start : part.end].split()) for part in [p for p in parts if p.sentence] or parts]


def _cosine(one: set[str], other: set[str]) -> float:
    return len(one & other) / math.sqrt(len(one) * len(other)) if one and other else 0.0


RULES: dict[str, Extract] = {
    f"lead-{LEAD}": Extract(lead, from_passages=False),
    "best-sentence": Extract(best_sentence, from_passages=True),
    "nearest-code": Extract(nearest_codes, from_passages=True, reader="codes"),
}


def rule_of(model: str) -> Extract:
    """What an `extract:` name means; UnknownNameError with near names."""
    rule = parse_model_name(model).target
    if rule not in RULES:
        raise UnknownNameError("rule", rule, RULES, f"model name '{model}'")
    return RULES[rule]


class Extractor:
    """
    >>> Extractor("extract:lead-3").extract(Example("q1", "One. Two. Three. Four."), (), ()).text
    'One. Two. Three.'

    It is asked with an example, never with messages: `generate` and `score` refuse. Its tokens are none, so that all
    passages fit whatever the budget, and nothing that it answers costs any.
    """

    context_tokens = CONTEXT_TOKENS
    thinking_tokens = 0
    computes_here: Literal[True] = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.rule = rule_of(name)

    def fingerprint(self) -> dict[str, str]:
        return {"extract": f"{parse_model_name(self.name).target} {self.rule.version}"}

    def extract(self, example: Example, queries: Sequence[str], passages: Sequence[Passage]) -> Completion:
        """What the rule takes; passages best first."""
        return Completion(self.rule.rule(example, queries, passages), "stop", 0, 0)

    def count_tokens(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        return [0 for _ in prompts]

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        raise UsageError(f"'{self.name}' answers examples; it cannot answer a prompt")

    def score(self, prompts: Sequence[Sequence[Message]], continuations: Sequence[Sequence[str]]) -> list[OptionScores]:
        raise UsageError(f"'{self.name}' takes its answer from texts; it gives no log-likelihoods")


def load(settings: ModelSettings, *, workspace: Workspace, seed: int) -> Extractor:
    """The loader of `extract:` names; neither workspace nor seed matters."""
    return Extractor(settings.name)
