"""Corpora with questions that documents answer in, the pairs out, and the training texts that ask and answer them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ragmed.chunking.structure import sections
from ragmed.corpora import Recipe, load_recipe
from ragmed.errors import UsageError
from ragmed.finetuning.recipe import AdapterRecipe
from ragmed.finetuning.texts import TrainingText, chat, text_id
from ragmed.finetuning.wordings import passage_questions, question_wordings
from ragmed.records import Document
from ragmed.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Pair:
    """A question that a document answers. `document`: its key; `kind` and `focus`: what is asked about what, or ''.
    `section`: its number, where the answer is a section of the document.
    """

    document: str
    question: str
    answer: str
    kind: str = ""
    focus: str = ""
    section: int | None = None


class PairReader(Protocol):
    def __call__(self, recipe: Recipe, /) -> Iterator[Pair]:
        """The pairs of a corpus, in the order of its documents."""


def medquad_pairs(recipe: Recipe) -> Iterator[Pair]:
    """The pairs of a MedQuAD corpus, by the keys of their documents."""
    from ragmed.corpora.medquad import pairs

    for qa in pairs(recipe):
        yield Pair(f"{recipe.name}:{qa.document}", qa.question, qa.answer, qa.kind, qa.focus)


PAIRS: Mapping[str, PairReader] = {"medquad": medquad_pairs}
"""Corpus reader -> what gives the questions and answers of its corpora."""


def corpus_pairs(recipe: AdapterRecipe, documents: Sequence[Document], *, workspace: Workspace) -> list[Pair]:
    """The pairs of all documents that the corpora accepted, each once, in the documents' order.

    UsageError where the recipe asks for pairs and no corpus has any.
    """
    by_document: dict[str, Pair] = {}
    for name in recipe.corpora:
        corpus = load_recipe(workspace.recipe("corpora", name), data=workspace.data)
        if corpus.reader in PAIRS:
            for pair in PAIRS[corpus.reader](corpus):
                by_document.setdefault(pair.document, pair)
    pairs = [by_document[str(document.key)] for document in documents if str(document.key) in by_document]
    asked = [way for way in recipe.learn if way in ("pairs", "raft")]
    if asked and not pairs:
        raise UsageError(
            f"adapter '{recipe.name}', learn: {', '.join(asked)}: no corpus of {', '.join(recipe.corpora)} has "
            "questions with answers; train on its passages (learn: [passages]), or on its sections "
            f"(learn: [raft-sections]), or name a corpus whose reader is {', '.join(PAIRS)}"
        )
    return pairs


def section_pairs(documents: Sequence[Document]) -> list[Pair]:
    """
    >>> page = Document("beds", "Beds", "# Beds\\n\\nTen.\\n\\n## Moves\\n\\nAt noon.", corpus="wards")
    >>> [(pair.question, pair.answer) for pair in section_pairs([page])][1]
    ('What does the page "Beds > Moves" say?', '## Moves\\n\\nAt noon.')

    Each section of each document as the answer to a question for it: of corpora that hold no questions.
    """
    pairs = []
    for document in documents:
        title = " ".join(document.title.split()) or document.id
        for number, section in enumerate(sections(document.text, document.title)):
            (question,) = passage_questions(title, section.heading, 1)
            pairs.append(Pair(str(document.key), question, document.text[section.start : section.end], section=number))
    return pairs


def pair_texts(pairs: Sequence[Pair], recipe: AdapterRecipe) -> Iterator[TrainingText]:
    """The answer to each question, in each of the question's wordings."""
    for pair in pairs:
        for turn, question in enumerate(wordings_of(pair, recipe)):
            yield TrainingText(
                id=text_id("pairs", pair.document, f"t{turn}" if turn else ""),
                document=pair.document,
                way="pairs",
                messages=chat(question, pair.answer),
                question=question,
                wording="template" if turn else "",
            )


def wordings_of(pair: Pair, recipe: AdapterRecipe) -> list[str]:
    """The pair's question, then as many wordings of it as the recipe takes from templates."""
    count = recipe.paraphrases.templates
    return [pair.question, *question_wordings(pair.question, kind=pair.kind, focus=pair.focus, count=count)]
