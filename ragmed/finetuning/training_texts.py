"""A recipe in, all the texts out that a model is trained on: each way makes texts of the corpora's documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ragmed.chunking.structure import sections
from ragmed.errors import UsageError
from ragmed.finetuning.pairs import corpus_pairs, pair_texts, section_pairs
from ragmed.finetuning.raft import index_access, raft_texts
from ragmed.finetuning.recipe import AdapterRecipe
from ragmed.finetuning.texts import CORPUS_FACTS, TextSet, TrainingText, chat, count_texts, text_id
from ragmed.finetuning.wordings import MOST, passage_questions
from ragmed.index.sources import Sources
from ragmed.prompts import harmless
from ragmed.records import Access, Document, strictest
from ragmed.workspace import Workspace


def training_texts(recipe: AdapterRecipe, *, workspace: Workspace) -> TextSet:
    """
        training_texts(recipe, workspace=Workspace.find()).counts["passages"]  # 48

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
    facts = tuple({key: getattr(corpus, key) for key in CORPUS_FACTS} for corpus in sources.facts())
    pairs = corpus_pairs(recipe, documents, workspace=workspace)
    texts: list[TrainingText] = []
    tiers: list[Access] = [corpus["access"] for corpus in facts]
    for way in recipe.learn:
        if way == "passages":
            texts.extend(_passages(documents, {pair.document: pair.question for pair in pairs}, recipe))
        elif way == "pairs":
            texts.extend(pair_texts(pairs, recipe))
        else:
            asked = section_pairs(documents) if way == "raft-sections" else pairs
            texts.extend(raft_texts(asked, documents, recipe, workspace=workspace))
            tiers.extend(index_access(recipe, workspace=workspace))
    return TextSet(tuple(texts), facts, strictest(tiers), count_texts(texts))


def _passages(
    documents: Sequence[Document], questions: Mapping[str, str], recipe: AdapterRecipe
) -> Iterator[TrainingText]:
    for document in documents:
        key = str(document.key)
        question = questions.get(key, "")
        yield TrainingText(text_id("passages", key), key, "passages", harmless(_titled(document)), question=question)
        yield from _framed(document, question, recipe.paraphrases.templates)


def _titled(document: Document) -> str:
    """The text, under its title where it does not begin with it."""
    title = " ".join(document.title.split())
    opening = " ".join(document.text[: 2 * len(title) + 64].lstrip("# \t\r\n").split())
    return document.text if opening.casefold().startswith(title.casefold()) else f"{title}\n\n{document.text}"


def _framed(document: Document, question: str, templates: int) -> Iterator[TrainingText]:
    """The document section by section, each as the answer to a question for it."""
    if not templates:
        return
    key = str(document.key)
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
