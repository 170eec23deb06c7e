"""Corpora -> the texts that are learnt: passages as they are, or chat turns of which the last one is learnt."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, get_args

from ragmed.chunking.structure import sections
from ragmed.corpora import Recipe, load_recipe
from ragmed.errors import UsageError
from ragmed.finetuning.recipe import AdapterRecipe
from ragmed.finetuning.wordings import MOST, passage_questions, question_wordings
from ragmed.index.sources import Sources
from ragmed.prompts import harmless
from ragmed.records import Access, Document, Message
from ragmed.workspace import Workspace

Way = Literal["passages", "pairs", "raft"]
Wording = Literal["", "template", "model"]

PAIRS = {"medquad": "ragmed.finetuning.texts:medquad_pairs"}
"""Corpus reader -> `module:function` that gives the questions and answers of its corpora, `(recipe) -> pairs`."""

FACTS = ("name", "sha256", "documents", "rejected", "license", "access", "citation")
"""What is kept of a corpus. `sha256` is the one that an index's manifest records for it: equal hash, same corpus."""


@dataclass(frozen=True, slots=True)
class TrainingText:
    """One thing to learn. Either `text`, all of whose tokens are learnt, or `messages`, of which the last one, the
    assistant's, is learnt and the rest is only read.

    `id` is unique in a training; `document`: the key of the document that it comes from, which is held out whole or
    not at all. `question`: what it asks, where it asks something, for the overlap check. `wording`: empty for the
    words of the corpus, else who found other words for them.
    """

    id: str
    document: str
    way: Way
    text: str = ""
    messages: tuple[Message, ...] = ()
    question: str = ""
    wording: Wording = ""


@dataclass(frozen=True, slots=True)
class TextSet:
    """All that a training learns, in an order that corpora and recipe alone decide.

    `corpora`: one record a corpus, see FACTS. `access`: the strictest tier among them. `counts`: texts a way, how many
    of all are wordings by templates and by a model, and what later steps add.
    """

    texts: tuple[TrainingText, ...]
    corpora: tuple[Mapping[str, Any], ...]
    access: Access
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Pair:
    """A question that a document answers. `document`: its key; `kind` and `focus`: what is asked about what, or ''."""

    document: str
    question: str
    answer: str
    kind: str = ""
    focus: str = ""


class PairReader(Protocol):
    def __call__(self, recipe: Recipe, /) -> Iterator[Pair]:
        """The pairs of a corpus, in the order of its documents."""


def training_texts(recipe: AdapterRecipe, *, workspace: Workspace) -> TextSet:
    """>>> training_texts(recipe, workspace=Workspace.find()).counts["passages"]  # doctest: +SKIP
    48

    The corpora are read once, each way in the recipe's order makes texts of them, templates add wordings. UsageError
    where pairs are asked for and no corpus has any, or more wordings than there are templates; DataError where a
    corpus cannot be read.
    """
    if recipe.paraphrases.templates > MOST:
        raise UsageError(
            f"adapter '{recipe.name}', paraphrases.templates: there are {MOST} templates a text; "
            f"{recipe.paraphrases.templates} were asked for; a model can write more: paraphrases.model"
        )
    sources = Sources(recipe.corpora, workspace=workspace, rejected=None)
    documents = list(sources.documents())
    facts = tuple({key: one[key] for key in FACTS} for one in sources.facts())
    pairs = _pairs(recipe, documents, workspace)
    texts: list[TrainingText] = []
    tiers: list[Access] = [one["access"] for one in facts]
    for way in recipe.learn:
        if way == "passages":
            texts.extend(_passages(documents, {one.document: one.question for one in pairs}, recipe))
        elif way == "pairs":
            texts.extend(_asked(pairs, recipe))
        else:
            from ragmed.finetuning.raft import index_access, raft_texts  # it needs the records of this module

            texts.extend(raft_texts(pairs, documents, recipe, workspace=workspace))
            tiers.extend(index_access(recipe, workspace=workspace))
    return TextSet(tuple(texts), facts, strictest(tiers), count_texts(texts))


def strictest(tiers: Iterable[Access]) -> Access:
    """>>> strictest(["open", "private", "credentialed"])
    'private'
    """
    order = get_args(Access)
    return cast(Access, max(tiers, key=order.index, default="open"))


def count_texts(texts: Sequence[TrainingText]) -> dict[str, int]:
    """Texts a way; how many of all are wordings; all of them."""
    ways, wordings = Counter(one.way for one in texts), Counter(one.wording for one in texts)
    by_way = {way: ways[way] for way in get_args(Way)}
    return {**by_way, "templates": wordings["template"], "by_model": wordings["model"], "texts": len(texts)}


def text_id(way: Way, document: str, wording: str = "") -> str:
    """>>> text_id("pairs", "medquad:1/2", "t1")
    'pairs+t1:medquad:1/2'

    The wording stands before the key, which may hold any character, so that no two ids can meet.
    """
    return f"{way}+{wording}:{document}" if wording else f"{way}:{document}"


def chat(question: str, answer: str) -> tuple[Message, ...]:
    """A question and its answer as turns that no text in them can end."""
    return Message("user", harmless(question)), Message("assistant", harmless(answer))


def medquad_pairs(recipe: Recipe) -> Iterator[Pair]:
    """The pairs of a MedQuAD corpus, by the keys of their documents."""
    from ragmed.corpora.medquad import pairs

    for one in pairs(recipe):
        yield Pair(f"{recipe.name}:{one.document}", one.question, one.answer, one.kind, one.focus)


def _pairs(recipe: AdapterRecipe, documents: Sequence[Document], workspace: Workspace) -> list[Pair]:
    """The pairs of all documents that the corpora accepted, each once, in the documents' order."""
    found: dict[str, Pair] = {}
    for name in recipe.corpora:
        corpus = load_recipe(workspace.recipe("corpora", name), data=workspace.data)
        if corpus.reader in PAIRS:
            module, function = PAIRS[corpus.reader].split(":")
            read: PairReader = getattr(importlib.import_module(module), function)
            for pair in read(corpus):
                found.setdefault(pair.document, pair)
    pairs = [found[one.key] for one in documents if one.key in found]
    asked = [way for way in recipe.learn if way in ("pairs", "raft")]
    if asked and not pairs:
        raise UsageError(
            f"adapter '{recipe.name}', learn: {', '.join(asked)}: no corpus of {', '.join(recipe.corpora)} has "
            "questions with answers; learn its passages (learn: [passages]), or name a corpus whose reader is "
            f"{', '.join(PAIRS)}"
        )
    return pairs


def _passages(
    documents: Sequence[Document], questions: Mapping[str, str], recipe: AdapterRecipe
) -> Iterator[TrainingText]:
    for document in documents:
        key, question = document.key, questions.get(document.key, "")
        yield TrainingText(text_id("passages", key), key, "passages", harmless(_titled(document)), question=question)
        yield from _framed(document, question, recipe.paraphrases.templates)


def _titled(document: Document) -> str:
    """The text, under its title where it does not begin with it."""
    title = " ".join(document.title.split())
    opening = " ".join(document.text[: 2 * len(title) + 64].lstrip("# \t\r\n").split())
    return document.text if opening.casefold().startswith(title.casefold()) else f"{title}\n\n{document.text}"


def _framed(document: Document, question: str, templates: int) -> Iterator[TrainingText]:
    """The document told section by section, each as the answer to a question for it."""
    if not templates:
        return
    key = document.key
    title = " ".join(document.title.split()) or document.id
    for number, section in enumerate(sections(document.text, document.title)):
        text = document.text[section.start : section.end]
        for turn, asked in enumerate(passage_questions(title, section.heading, templates), 1):
            yield TrainingText(
                id=text_id("passages", key, f"t{turn}.{number}"),
                document=key,
                way="passages",
                messages=chat(asked, text),
                question=question,
                wording="template",
            )


def _asked(pairs: Sequence[Pair], recipe: AdapterRecipe) -> Iterator[TrainingText]:
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
    """The pair's question, and behind it as many wordings of it as the recipe takes from templates."""
    count = recipe.paraphrases.templates
    return [pair.question, *question_wordings(pair.question, kind=pair.kind, focus=pair.focus, count=count)]
