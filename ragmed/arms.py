"""An arm: a model and how it is augmented. Arms of a trial differ in one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
    """>>> Arm("general+rag", model="general", context="retrieved", index="handbook", k=3).needs_index
    True

    `model` names an entry of the experiment's models; `index` and `k` matter only where passages are shown.
    `context_tokens`: what prompt and answer may have together, where that is not the experiment's (0). `tasks`: those
    that the arm is asked; empty: all. `passage_order`: in what order the passages that fit stand in the prompt: best
    first, best last, or in an order that is drawn for each example.
    """

    name: str
    model: str
    context: Context = "none"
    index: str = ""
    k: int = 0
    context_tokens: int = 0
    tasks: tuple[str, ...] = ()
    passage_order: PassageOrder = "ranked"

    @property
    def needs_index(self) -> bool:
        return self.context in ("retrieved", "oracle", "distractor")
