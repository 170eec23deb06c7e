"""Pairs and documents in, retrieval-aware training texts out: the question after its passage among distractors.

Paper: Zhang et al. 2024, "RAFT: Adapting language model to domain specific RAG", arXiv 2403.10131, section 3. Prompts
come from `ragmed.prompts`, so that a model is trained to read the very words in which arms show passages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ragmed.chunking import Chunking, chunk
from ragmed.errors import UsageError
from ragmed.finetuning.pairs import Pair, wordings_of
from ragmed.finetuning.recipe import AdapterRecipe
from ragmed.finetuning.texts import TrainingText, Way, text_id
from ragmed.prompts import build_messages, harmless
from ragmed.records import Access, Document, Example, Hit, Message, Passage
from ragmed.tasks import BoundTask, Split, Task, TaskSettings
from ragmed.tasks.words import TEXT
from ragmed.text_table import counted
from ragmed.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np

PASSAGE_WORDS = 160
"""How long a passage is: some 256 tokens of English, what an index's passages have. Words need no tokenizer."""

MORE = 8  # passages asked of an index beyond those wanted: some are of the question's own document
_BATCH = 256

_ASKED = BoundTask(
    Task(
        name="raft",
        title="questions of the references",
        kind="text",
        instruction="",
        load=lambda workspace: Split(()),
        source="",
        license="",
        metrics=(),
        form=TEXT,
    ),
    TaskSettings(),
    examples=(),
    shots=(),
)


def raft_texts(
    pairs: Sequence[Pair], documents: Sequence[Document], recipe: AdapterRecipe, *, workspace: Workspace
) -> Iterator[TrainingText]:
    """
        next(raft_texts(pairs, documents, recipe, workspace=workspace)).messages[-2].content
        # '<passages>\\n<passage 1>\\n...\\n</passages>\\n\\nQuestion: What are the symptoms of gout?'

    Each pair, in each of its wordings: the first passage of the document that says something of the answer, in a share
    `raft.gold` of the cases, and passages of other documents, shuffled. One seeded generator draws in the pairs'
    order: same recipe and corpora, same texts. UsageError where there are too few other documents.
    """
    import numpy as np

    generator = np.random.default_rng(recipe.seed)
    passages = _passages(documents)
    wanted = recipe.raft.distractors
    if len(passages) <= wanted:
        raise UsageError(
            f"adapter '{recipe.name}', raft.distractors: {counted(wanted, 'passage')} of other "
            "documents are wanted, the corpora "
            f"have {counted(len(passages), 'document')}; ask for fewer, or name another corpus"
        )
    searched = _searched(pairs, recipe, workspace=workspace) if recipe.raft.index and wanted else {}
    keys = list(passages)
    for pair in pairs:
        gold = _gold(pair, passages[pair.document])
        for turn, question in enumerate(wordings_of(pair, recipe)):
            shown = searched.get(pair.document) or _drawn(pair, passages, keys, wanted, generator=generator)
            if generator.random() < recipe.raft.gold:
                shown = [gold, *shown]
            order = [shown[place] for place in generator.permutation(len(shown))]
            section = "" if pair.section is None else f"s{pair.section}"
            way: Way = "raft-sections" if section else "raft"
            yield TrainingText(
                id=text_id(way, pair.document, section + (f"t{turn}" if turn else "")),
                document=pair.document,
                way=way,
                messages=(*_prompt(question, order), Message("assistant", harmless(pair.answer))),
                question=question,
                wording="template" if turn else "",
            )


def _prompt(question: str, passages: Sequence[Passage]) -> list[Message]:
    messages = build_messages(_ASKED, Example("", question), passages=passages)
    return [message for message in messages if message.content]  # without passages the system has nothing to say


def _passages(documents: Sequence[Document]) -> dict[str, list[Passage]]:
    """The passages of each document that has any, by its key."""
    cut: dict[str, list[Passage]] = {}
    for passage in chunk(
        documents,
        chunking=Chunking(overlap_sentences=0),
        count_tokens=lambda texts: [len(text.split()) for text in texts],
        limit=PASSAGE_WORDS,
    ):
        cut.setdefault(str(passage.document_key), []).append(passage)
    return cut


def _gold(pair: Pair, passages: Sequence[Passage]) -> Passage:
    """The first passage that shares a stretch of the answer; the document's first where none does, as with tables."""
    opening = " ".join(pair.answer.split()[:8])
    return next((passage for passage in passages if opening in " ".join(passage.text.split())), passages[0])


def _drawn(
    pair: Pair,
    passages: Mapping[str, Sequence[Passage]],
    keys: Sequence[str],
    wanted: int,
    *,
    generator: np.random.Generator,
) -> list[Passage]:
    """Passages of as many other documents, drawn at random."""
    drawn: dict[str, Passage] = {}
    while len(drawn) < wanted:
        key = keys[int(generator.integers(len(keys)))]
        if key != pair.document and key not in drawn:
            many = passages[key]
            drawn[key] = many[int(generator.integers(len(many)))]
    return list(drawn.values())


def _searched(pairs: Sequence[Pair], recipe: AdapterRecipe, *, workspace: Workspace) -> dict[str, list[Passage]]:
    """The passages of other documents that are nearest to each question, by the key of the pair's document."""
    from ragmed.retrieval.named import open_index
    from ragmed.retrieval.spec import RetrieverSpec, make_retriever

    wanted = recipe.raft.distractors
    name = recipe.raft.index
    index = open_index(name, workspace=workspace)
    retriever = make_retriever(RetrieverSpec(index=name), workspace=workspace, indexes={name: index})
    distractors: dict[str, list[Passage]] = {}
    for first in range(0, len(pairs), _BATCH):
        some = pairs[first : first + _BATCH]
        for pair, hits in zip(some, retriever.retrieve([pair.question for pair in some], k=wanted + MORE), strict=True):
            others = _others(pair, hits)
            if len(others) < wanted < len(index):  # a long document fills the first ranks
                others = _others(pair, retriever.retrieve([pair.question], k=len(index))[0])
            if len(others) < wanted:
                raise UsageError(
                    f"adapter '{recipe.name}', raft.index: '{recipe.raft.index}' has "
                    f"{counted(len(others), 'passage')} of other "
                    f"documents for the question of '{pair.document}', {wanted} are wanted; ask for fewer distractors"
                )
            distractors[pair.document] = others[:wanted]
    return distractors


def _others(pair: Pair, hits: Sequence[Hit]) -> list[Passage]:
    return [hit.passage for hit in hits if str(hit.passage.document_key) != pair.document]


def searches(recipe: AdapterRecipe) -> bool:
    """Whether passages of an index stand in the texts."""
    return bool(recipe.raft.index) and bool({"raft", "raft-sections"} & set(recipe.learn))


def index_access(recipe: AdapterRecipe, *, workspace: Workspace) -> list[Access]:
    """The tiers of the corpora whose passages the prompts show beside the recipe's own."""
    from ragmed.retrieval.named import open_index

    if not searches(recipe):
        return []
    index = open_index(recipe.raft.index, workspace=workspace)
    return [corpus.access for corpus in index.manifest.corpora]
