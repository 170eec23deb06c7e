"""An arm: a model and how it is augmented. Arms of a trial differ in one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ragmed.checked import Bounds

Context = Literal["none", "full", "retrieved", "oracle", "distractor", "conflict", "poisoned", "options-only"]
SHOWING: tuple[Context, ...] = ("retrieved", "oracle", "distractor", "conflict", "poisoned")
"""The contexts in which passages are shown."""
CONTEXTS: dict[str, str] = {
    "none": "closed book",
    "full": "the example's whole record, or as many of its documents, from the first, as fit",
    "retrieved": "the k passages that the retriever ranks first",
    "oracle": "passages of the documents that hold the answer: what perfect retrieval would give",
    "distractor": "k passages that do not hold the answer: what bad retrieval does",
    "conflict": "the oracle's passages together with one that contradicts them: what references that disagree do",
    "poisoned": "retrieved passages among others that were planted and answer wrongly: what an attacker does",
    "options-only": "the question is not shown: whatever this scores above chance leaks from the options",
}

PLANTS = 5  # planted a question, where an arm says nothing else: what PoisonedRAG plants
MOST_PLANTS = 8
COT_TOKENS = 512  # reasoned before an answer, where an arm says nothing else
TREC = "trec:"  # of `replay`: a TREC run file of passages, and no stored run
QueryForm = Literal["question", "question+options", "keywords", "hyde", "rewrite"]
QUERY_FORMS: dict[str, str] = {
    "question": "the question or material, as the task gives it",
    "question+options": "the same with the options, of which one is the answer",
    "keywords": "its words without function words",
    "hyde": "a passage that could answer it, written by the arm's own model",
    "rewrite": "a search query, written by the arm's own model",
}
FOLLOW_UP_DEPTH = 10
"""Hits of each query that rounds of further queries fuse, however few are shown: of the same queries the first 10 of 32
are the 10. Deep lists of queries that miss drown the question's first hits: of 24 questions on the handbook the gold
page was among the first three for 21, 19, 17, 14 and 12 at depths of 3, 8, 20, 32 and 100."""
BY_MODEL: tuple[QueryForm, ...] = ("hyde", "rewrite")
"""The query forms that the arm's own model writes."""
PassageOrder = Literal["ranked", "reversed", "shuffled"]
PASSAGE_ORDERS: tuple[str, ...] = ("ranked", "reversed", "shuffled")


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Iterative retrieval: in each of `rounds` the arm's own model reads what was found so far and writes `queries`
    further ones (i-MedRAG; Xiong et al. 2024, arXiv 2408.00727, which answers each; here their passages are shown).

    `join`: `fused` makes one ranking of all, by reciprocal ranks, of which the first k are shown; `appended` gives the
    question and each round an equal share of the k places.
    """

    rounds: Annotated[int, Bounds(ge=1, le=10)] = 1
    queries: Annotated[int, Bounds(ge=1, le=10)] = 3
    join: Literal["fused", "appended"] = "fused"


@dataclass(frozen=True, slots=True)
class Rerank:
    """The first `candidates` passages, put in order by the arm's own model, which reads `window` of them at a time,
    from the last to the first, each window `step` before the one before it (listwise reranking; Sun et al. 2023, "Is
    ChatGPT Good at Search?", EMNLP, section 3.2). A window that the context does not hold is made shorter.
    """

    candidates: Annotated[int, Bounds(ge=2, le=1000)] = 20
    window: Annotated[int, Bounds(ge=2, le=100)] = 20
    step: Annotated[int, Bounds(ge=1, le=99)] = 10


@dataclass(frozen=True, slots=True)
class EvidenceFilter:
    """Each passage is kept or dropped before it is shown. By whom: `model`, the arm's own, which is asked of each
    passage whether it helps; `cross-encoder`, the `model` named here, whose score must be at least `least`; `score`:
    the retriever's own, where no other step has made an order without scores; `overlap`: the share of the query's words
    that a passage holds.

    The first `candidates` passages are looked at (0: as many as are shown), and the first k of those kept are shown.
    """

    by: Literal["model", "cross-encoder", "score", "overlap"]
    least: float | None = None
    model: str = ""
    precision: str = "float32"
    candidates: Annotated[int, Bounds(ge=0, le=1000)] = 0


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
    `query`: in what form the retriever is asked, in the context `retrieved` (see `ragmed.queries`).
    `planted`: in the context `poisoned`, how many passages that answer wrongly are put among the `k` retrieved ones
    (0: 5). In the context `conflict`, one passage that contradicts the gold comes to the at most `k` gold ones.
    `context_tokens`: what prompt and answer may have together, where that is not the experiment's (0). `tasks`: those
    that the arm is asked; empty: all. `passage_order`: in what order the passages that fit stand in the prompt: best
    first, best last, or in an order that is drawn for each example.
    `follow_up`, `rerank`, `evidence_filter`: what is done, in this order, with what was retrieved, before it is shown.
    `cot`: the model is asked to reason first, in at most `cot_tokens` (0: 512) beside those of the answer, and to give
    its answer after "Answer:" (chain of thought; Wei et al. 2022, arXiv 2201.11903).
    `constrained`: the answer is one of the valid forms: asked in the same words as a free arm, the option whose answer
    is the most likely is taken, or a server holds what is written to a form (see `constrained_by` of its model). What
    such an arm has right and a free one has not is form, not medicine.
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
    query: QueryForm = "question"
    follow_up: FollowUp | None = None
    rerank: Rerank | None = None
    evidence_filter: EvidenceFilter | None = None
    planted: Annotated[int, Bounds(ge=0, le=MOST_PLANTS)] = 0

    @property
    def shows_passages(self) -> bool:
        return self.context in SHOWING

    @property
    def most_shown(self) -> int:
        """How many passages a question can be shown."""
        return (self.k if self.shows_passages else 0) + {"poisoned": self.planted, "conflict": 1}.get(self.context, 0)

    @property
    def steps(self) -> tuple[FollowUp | None, Rerank | None, EvidenceFilter | None]:
        """What is done between the first retrieval and the question."""
        return self.follow_up, self.rerank, self.evidence_filter

    @property
    def step_names(self) -> tuple[str, ...]:
        """The settings of those that are taken, in their order."""
        named = zip(("follow_up", "rerank", "evidence_filter"), self.steps, strict=True)
        return tuple(name for name, step in named if step)

    @property
    def candidates(self) -> int:
        """How many passages are retrieved, so that k are left to be shown."""
        wanted = (self.rerank.candidates if self.rerank else 0, self.looked_at)
        return max(self.k, *wanted)

    @property
    def searched(self) -> int:
        """How many passages the question is to find: of those that are fused with others', at least FOLLOW_UP_DEPTH."""
        fused = self.follow_up is not None and self.follow_up.join == "fused"
        return max(self.candidates, FOLLOW_UP_DEPTH) if fused else self.candidates

    @property
    def looked_at(self) -> int:
        """How many passages an evidence filter looks at."""
        return max(self.k, self.evidence_filter.candidates if self.evidence_filter else 0)

    @property
    def steps_ask(self) -> bool:
        """Whether a step asks the arm's own model."""
        by_model = self.evidence_filter is not None and self.evidence_filter.by == "model"
        return self.follow_up is not None or self.rerank is not None or by_model

    @property
    def references(self) -> str:
        """The name of what its passages come from: a retriever, or an index."""
        return self.retriever or self.index

    @property
    def shown(self) -> tuple[str, int, int, QueryForm]:
        """What an arm is shown, whoever reads it: from where, how many passages, within how many tokens, by which form
        of query."""
        return self.references, self.k, self.context_tokens, self.query
