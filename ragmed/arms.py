"""An arm: a model and how it is augmented. Arms of a trial differ in one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ragmed.checked import Bounds

Context = Literal["none", "retrieved", "oracle", "distractor", "options-only"]
CONTEXTS: dict[str, str] = {
    "none": "closed book",
    "retrieved": "the k passages that the retriever ranks first",
    "oracle": "passages of the documents that hold the answer: what perfect retrieval would give",
    "distractor": "k passages that do not hold the answer: what bad retrieval does",
    "options-only": "the question is not shown: whatever this scores above chance leaks from the options",
}


PassageOrder = Literal["ranked", "reversed", "shuffled"]
PASSAGE_ORDERS: tuple[str, ...] = ("ranked", "reversed", "shuffled")


@dataclass(frozen=True, slots=True)
class Arm:
    """
    >>> Arm("general+rag", model="general", context="retrieved", index="handbook", k=3).needs_index
    True

    `model` names an entry of the experiment's models. Where passages are shown, `k` of them come from `index`, by the
    nearness of vectors, or from `retriever`, an entry of the experiment's retrievers; `replay`: they are those, of the
    same index, that an arm of a stored run was shown (`RUN/ARM`), so that two models read the very same passages (the
    first `k` of them).
    `context_tokens`: what prompt and answer may have together, where that is not the experiment's (0). `tasks`: those
    that the arm is asked; empty: all. `passage_order`: in what order the passages that fit stand in the prompt: best
    first, best last, or in an order that is drawn for each example.
    """

    name: str
    model: str
    context: Context = "none"
    index: str = ""
    k: Annotated[int, Bounds(ge=0)] = 0
    context_tokens: Annotated[int, Bounds(ge=0)] = 0
    tasks: tuple[str, ...] = ()
    passage_order: PassageOrder = "ranked"
    retriever: str = ""
    replay: str = ""

    @property
    def needs_index(self) -> bool:
        return self.context in ("retrieved", "oracle", "distractor")

    @property
    def references(self) -> str:
        """The name of what its passages come from: a retriever, or an index."""
        return self.retriever or self.index

    @property
    def shown(self) -> tuple[str, int, int]:
        """What an arm is shown, whoever reads it: from where, how many passages, within how many tokens."""
        return self.references, self.k, self.context_tokens
