"""What a task is, and what an experiment may set for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ragmed.checked import Bounds
from ragmed.records import Access, Example
from ragmed.tasks.words import LETTER, PromptForm
from ragmed.workspace import Workspace

Kind = Literal["choice", "text"]
Scoring = Literal["generate", "letters", "option-text"]
Normalise = Literal["none", "tokens", "characters"]
SCORINGS: tuple[str, ...] = ("generate", "letters", "option-text")
NORMALISATIONS: tuple[str, ...] = ("none", "tokens", "characters")
OptionOrder = Literal["published", "reversed", "rotated", "shuffled"]
OPTION_ORDERS: tuple[str, ...] = ("published", "reversed", "rotated", "shuffled")
FewShot = Literal["seeded", "one-per-class"]


@dataclass(frozen=True, slots=True)
class Split:
    """What a publisher's files hold: examples to score, and examples that may be shown (`shots`, often none).

    `notes`: what whoever asks these questions should know of how they were read.
    """

    examples: tuple[Example, ...]
    shots: tuple[Example, ...] = ()
    notes: tuple[str, ...] = ()


def question_query(example: Example) -> tuple[str, ...]:
    """What the retriever sees unless a task says otherwise: the question alone, never options or gold (MIRAGE, arXiv
    2402.13178, section 3.1); where there is no question, the example's own material.
    """
    return (example.question,) if example.question.strip() else tuple(part.text for part in example.context[:1])


@dataclass(frozen=True, slots=True)
class Task:
    """A task as published: where its examples come from, its words, how its answers are read and measured.

    `kind`: `choice` has options and a letter as gold; `text` has another gold. `metrics`: names, the primary one first:
    it alone is in the family of the correction. `form`: how an answer is to be given, unless the options are scored.
    `reader`: '' for the form's own. `query`: the queries for the retriever, one or several, made of question and
    context. `few_shot`: how few-shot examples are drawn, unless an experiment chooses. `label`, `context_label`: the
    words before the question and before the material, in the prompt.
    `gold_documents`: whether examples name the documents that hold the answer, so that oracle passages exist. `ids`:
    what these names are (`pmid`), as corpora declare it of their documents' ids; '' for whatever an index holds.
    `record`: whether the material is a record of many documents, which an arm shows whole, retrieves from, or does not
    show at all; then `documents` of an example name those of its own `context`, by their `id`.
    `further`: metrics that need what an experiment must name first (a model, a lexicon): measured where it does.
    `get`: where the files are to be had, under what terms, and where they go, in sentences. `invent`: writes invented
    records in exactly the publisher's format, and files, below a folder that then serves as RAGMED_DATA.
    """

    name: str
    title: str
    kind: Kind
    instruction: str
    load: Callable[[Workspace], Split]
    source: str
    license: str
    metrics: tuple[str, ...]
    form: PromptForm = LETTER
    reader: str = ""
    query: Callable[[Example], tuple[str, ...]] = question_query
    few_shot: FewShot = "seeded"
    gold_documents: bool = False
    max_tokens: int = 16
    label: str = "Question"
    context_label: str = "Text"
    access: Access = "open"
    ids: str = ""
    record: bool = False
    further: tuple[str, ...] = ()
    get: str = ""
    invent: Callable[[Path], None] | None = None


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """What an experiment may set for a task. `limit` 0 asks all examples; `max_tokens` 0 takes the task's own.

    `scoring`: `generate` lets the model write, in the task's own form; `letters` and `option-text` take the option with
    the highest log-likelihood. `few_shot`: '' as the task does.

    `file`: questions of one's own, see `ragmed.tasks.own`, with their `access` (private unless set otherwise).
    `system_instruction`: words before the task's own, at the head of the system message of every arm.
    `task`: the known task behind a name of one's own, so that one task can be asked in several ways. `options`: the
    order of the options' texts under their letters (`rotated` by one, `shuffled` for each example by itself); few-shot
    examples stay as they are. `only`: a pattern of the ids that are asked, such as `test-ALLERGY-*`, so that part of a
    set is a task of its own. `protocol`: `clue` draws and reads as CLUE's scripts do (`ragmed.tasks.clue`).
    """

    file: str = ""
    access: Access = "private"
    limit: Annotated[int, Bounds(ge=0)] = 0
    scoring: Scoring = "generate"
    normalise: Normalise = "none"
    shots: Annotated[int, Bounds(ge=0)] = 0
    max_tokens: Annotated[int, Bounds(ge=0)] = 0
    system_instruction: str = ""
    task: str = ""
    options: OptionOrder = "published"
    few_shot: Literal["", "seeded", "one-per-class"] = ""
    only: str = ""
    protocol: Literal["", "clue"] = ""
