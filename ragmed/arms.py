"""An arm: a model and how it is augmented. Arms of a trial differ in one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ragmed.checked import Bounds

Context = Literal["none", "full", "retrieved", "oracle", "distractor", "options-only"]
CONTEXTS: dict[str, str] = {
    "none": "closed book",
    "full": "the example's whole record, or as many of its documents, from the first, as fit",
    "retrieved": "the k passages that the retriever ranks first",
    "oracle": "passages of the documents that hold the answer: what perfect retrieval would give",
    "distractor": "k passages that do not hold the answer: what bad retrieval does",
    "options-only": "the question is not shown: whatever this scores above chance leaks from the options",
}

COT_TOKENS = 512  # reasoned before an answer, where an arm says nothing else
TREC = "trec:"  # of `replay`: a TREC run file of passages, and no stored run
PassageOrder = Literal["ranked", "reversed", "shuffled"]
PASSAGE_ORDERS: tuple[str, ...] = ("ranked", "reversed", "shuffled")


@dataclass(frozen=True, slots=True)
class Arm:
    """
    >>> Arm("general+rag", model="general", context="retrieved", index="handbook", k=3).shows_passages
    True

    `model` names an entry of the experiment's models. Where passages are shown, `k` of them come from `index`, by the
    nearness of vectors, or from `retriever`, an entry of the experiment's retrievers, which searches an index or each
    example's own record. On a task with records, an arm in any context but `full` is shown none of its documents whole.
    `replay`: they are those, of the
    same index, that an arm of a stored run was shown (`RUN/ARM`), or that a TREC run file of passages ranks
    (`trec:FILE`, or `trec:FOLDER` with a file TASK.txt each), so that two models read the very same passages (the first
    `k` of them).
    `context_tokens`: what prompt and answer may have together, where that is not the experiment's (0). `tasks`: those
    that the arm is asked; empty: all. `passage_order`: in what order the passages that fit stand in the prompt: best
    first, best last, or in an order that is drawn for each example.
    `cot`: the model is asked to reason first, in at most `cot_tokens` (0: 512) beside those of the answer, and to give
    its answer after "Answer:" (chain of thought; Wei et al. 2022, arXiv 2201.11903).
    `constrained`: the answer is one of the valid forms: asked in the same words as a free arm, the option whose answer
    is the most likely is taken. What such an arm has right and a free one has not is form, not medicine.
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
    cot: bool = False
    cot_tokens: Annotated[int, Bounds(ge=0)] = 0
    constrained: bool = False

    @property
    def shows_passages(self) -> bool:
        return self.context in ("retrieved", "oracle", "distractor")

    @property
    def references(self) -> str:
        """The name of what its passages come from: a retriever, or an index."""
        return self.retriever or self.index

    @property
    def shown(self) -> tuple[str, int, int]:
        """What an arm is shown, whoever reads it: from where, how many passages, within how many tokens."""
        return self.references, self.k, self.context_tokens
