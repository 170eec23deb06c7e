"""The vocabulary: small frozen records that every module speaks, importing nothing of ours.

document  --chunking-->  passage  --embedding, index, retrieval-->  hit
example   --prompts-->   messages --models-->  completion | option scores  --tasks-->  sample
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
Access = Literal["open", "credentialed", "private"]
Status = Literal["answered", "unparsed", "refused", "truncated", "error"]
STATUSES: tuple[Status, ...] = ("answered", "unparsed", "refused", "truncated", "error")


@dataclass(frozen=True, slots=True)
class Document:
    """One piece of a corpus, as published. `id` is unique within the corpus; `text` is never rewritten.

    `source`: who published it, or its address. `citation`: how a reader finds it, in one line: publisher or authors,
    title, year, identifier or address. `corpus`: the name of the corpus it was read from.
    """

    id: str
    title: str
    text: str
    source: str = ""
    license: str = ""
    access: Access = "open"
    date: str = ""
    citation: str = ""
    corpus: str = ""

    @property
    def key(self) -> str:
        """Unique within an index over several corpora: `pubmed-sample:9465206`."""
        return f"{self.corpus}:{self.id}" if self.corpus else self.id


@dataclass(frozen=True, slots=True)
class Passage:
    """A slice of a document: `document.text[start:end] == text`, always (offsets in code points).

    `document` is unique within `corpus`, `id` within an index. `citation`: the document's, see `Document`.
    """

    id: str
    document: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    source: str = ""
    corpus: str = ""
    citation: str = ""

    @property
    def document_key(self) -> str:
        """The `key` of its document."""
        return f"{self.corpus}:{self.document}" if self.corpus else self.document


@dataclass(frozen=True, slots=True)
class Hit:
    """A retrieved passage; `score` is higher for nearer, `rank` starts at 1."""

    passage: Passage
    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """One question of a task. `gold` is a letter, `yes`, or a reference text: what the task's scorer expects.

    `options`: letter -> text, in order, for multiple choice. `documents`: ids of the documents that hold the answer,
    empty where nobody said. `group`: examples that share one (a case, a page) are resampled together. `date`: when it
    was asked (YYYY, YYYY-MM or YYYY-MM-DD), '' where nobody said; no prompt shows it.
    """

    id: str
    question: str
    gold: str
    options: Mapping[str, str] = field(default_factory=dict)
    documents: tuple[str, ...] = ()
    group: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote. `finish`: `stop` (it ended), `length` (it was cut), `refused` (a filter of its server, or the
    model's own refusal field), `error` (then `error` says why).

    `thinking`: what a reasoning model wrote before its answer; its `thinking_tokens` are part of `output_tokens`.
    `seconds`: what its own request took, 0 where it was answered in a batch with others.
    """

    text: str
    finish: Literal["stop", "length", "refused", "error"]
    input_tokens: int
    output_tokens: int
    error: str = ""
    thinking: str = ""
    thinking_tokens: int = 0
    seconds: float = field(default=0.0, compare=False)  # the same answer, however long it took


@dataclass(frozen=True, slots=True)
class OptionScores:
    """Log-likelihoods of the continuations of one prompt, in the order they were given.

    `logprobs[i]`: natural logarithm of P(continuation i | prompt), summed over its `tokens[i]` tokens.
    `greedy[i]`: whether every one of its tokens was the most likely one.
    """

    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    greedy: tuple[bool, ...]
    input_tokens: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One example answered by one arm: everything that statistics and a reader of the report need.

    `scores` is empty unless `status` is `answered`: what another status counts as is decided by the comparison's
    policy, never here. `passages`: what was put before the model, in order; `dropped`: what did not fit the budget.
    `documents`: the example's gold documents. `option_tokens`: how many tokens each scored option had. `seconds`: its
    share of the window it was asked in; `request_seconds`: what its own request to a server took, 0 where none was
    timed.
    """

    example: str
    arm: str
    task: str
    status: Status
    extracted: str | None
    gold: str
    scores: Mapping[str, float]
    group: str = ""
    messages: tuple[Message, ...] = ()
    passages: tuple[Mapping[str, Any], ...] = ()
    dropped: tuple[str, ...] = ()
    completion: str | None = None
    options: tuple[str, ...] = ()
    option_logprobs: tuple[float, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    note: str = ""
    thinking: str = ""
    thinking_tokens: int = 0
    documents: tuple[str, ...] = ()
    option_tokens: tuple[int, ...] = ()
    request_seconds: float = 0.0
