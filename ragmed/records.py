"""The vocabulary: small frozen records that every module speaks, importing nothing of ours.

document  --chunking-->  passage  --embedding, index, retrieval-->  hit
example   --prompts-->   messages --models-->  completion | option scores  -->  sample
sample    --reading-->   status and value      --metrics-->  score;  sample + score = answer
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Role = Literal["system", "user", "assistant"]
Access = Literal["open", "credentialed", "private"]
Status = Literal["answered", "unparsed", "refused", "truncated", "error"]
STATUSES: tuple[Status, ...] = ("answered", "unparsed", "refused", "truncated", "error")
Finish = Literal["stop", "length", "refused", "error"]
Gold = str | tuple[str, ...] | Mapping[str, tuple[str, ...]]
Value = str | float | tuple[str, ...] | Mapping[str, Any] | None
"""What a reader makes of an answer: a letter, a label, a text, a number, a list, named fields; None: nothing."""
RECORD = "record"
"""The corpus of passages that were cut from an example's own record."""
PLANTED = "planted"
"""The corpus of passages that an experiment plants; a corpus of references cannot be called so, so no ids collide."""
PassageRole = Literal["", "contradicting", "planted"]
Measure = float | tuple[float, ...]
"""What a metric makes of a value: a number, or the counts of a metric that is a ratio over all samples."""


@dataclass(frozen=True, slots=True, order=True)
class DocumentKey:
    """
    >>> DocumentKey.parse("pubmed-sample:9465206")
    DocumentKey(corpus='pubmed-sample', id='9465206')
    >>> str(DocumentKey("pubmed-sample", "9465206"))
    'pubmed-sample:9465206'

    What sets a document apart from every other one in an index over several corpora. `corpus` is '' for a
    document of none.
    """

    corpus: str
    id: str

    @classmethod
    def parse(cls, text: str) -> DocumentKey:
        """`CORPUS:ID`; the id may hold colons itself. Text without a colon is an id of no corpus."""
        corpus, colon, name = text.partition(":")
        return cls(corpus, name) if colon else cls("", text)

    def __str__(self) -> str:
        return f"{self.corpus}:{self.id}" if self.corpus else self.id


def strictest(tiers: Iterable[Access]) -> Access:
    """
    >>> strictest(["open", "private"])
    'private'

    The tier of what is made of several; open where there is nothing.
    """
    return max(tiers, key=get_args(Access).index, default="open")


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
    def key(self) -> DocumentKey:
        """Unique within an index over several corpora: `pubmed-sample:9465206`."""
        return DocumentKey(self.corpus, self.id)


@dataclass(frozen=True, slots=True)
class Passage:
    """A slice of a document: `document.text[start:end] == text`, always (offsets in code points).

    `document` is unique within `corpus`, `id` within an index. `citation`, `date` and `access`: the document's, see
    `Document`; date and access are never shown, and say who may find the passage (`ragmed.retrieval.filters`).
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
    date: str = ""
    access: Access = "open"

    @property
    def document_key(self) -> DocumentKey:
        """The `key` of its document."""
        return DocumentKey(self.corpus, self.document)


@dataclass(frozen=True, slots=True)
class Hit:
    """A retrieved passage; `score` is higher for nearer, `rank` starts at 1.

    `parts`: of a fused hit, the rank that each retriever gave it, by the retriever's name; one that did not find it is
    not in there.
    """

    passage: Passage
    score: float
    rank: int
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ContextDocument:
    """A piece of an example's own material: a note, an abstract, a dialogue, one document of a patient's record.

    `title` and `date` (YYYY, YYYY-MM or YYYY-MM-DD) where they are known. `id`: its name within a record, by which
    examples say which of its documents hold the answer; no prompt shows it.
    """

    text: str
    title: str = ""
    date: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One question of a task.

    `context`: the example's own material, apart from the question (which may be empty where the material is all that is
    given, as for a note to be summarised). `options`: letter -> text, in order, for multiple choice. `gold`: a letter,
    a text, several answers, or named lists (codes; must-have and nice-to-have statements). `documents`: ids of the
    reference documents that hold the answer, empty where nobody named them. `group`: examples that share one (a case, a
    page) are resampled together. `date`: when it was asked (YYYY, YYYY-MM or YYYY-MM-DD), '' where unknown; no
    prompt shows it. `contradictions`: the key (`CORPUS:ID`) of each document that contradicts the gold -> the answer
    that it gives (a letter, a text), '' where nobody named that.
    """

    id: str
    question: str
    context: tuple[ContextDocument, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    gold: Gold = ""
    documents: tuple[str, ...] = ()
    group: str = ""
    date: str = ""
    contradictions: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All that is asked, its own material before the question: for looking for it in other texts."""
        return "\n".join(filter(None, (*(document.text for document in self.context), self.question)))


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote. `finish`: `stop` (it ended), `length` (it was cut), `refused` (a filter of its server, or the
    model's own refusal field), `error` (then `error` says why).

    `thinking`: what a reasoning model wrote before its answer; its `thinking_tokens` are part of `output_tokens`.
    `seconds`: what its own request took, 0 where it was answered in a batch with others.
    """

    text: str
    finish: Finish
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
class Step:
    """What was done about an example's passages between the first retrieval and the question (`ragmed.steps`).

    `kind`: a round of further queries, an order given by the arm's own model, or passages kept and dropped. `queries`:
    what was searched for. `passages`: the ids of those that came out of it, best first; `dropped`: id -> why it was
    taken out. `completions`: what the arm's own model wrote, each with its tokens, in the order in which it was asked.
    `unread`: how many of them were not in the form that was asked for, and changed nothing.
    """

    kind: Literal["follow-up", "rerank", "evidence-filter"]
    passages: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    completions: tuple[Completion, ...] = ()
    unread: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class ShownPassage:
    """A passage as it was put before a model: where it is from, and how the retriever ranked it.

    `document`: the document's key (`CORPUS:ID`). `gold`: whether it is of a document that holds the answer; None where
    its corpus does not name documents as the task does, so that it is unknown. `role`: `contradicting` where the
    example says that its document contradicts the gold, `planted` where the experiment put it there to mislead;
    `claims`: the answer that such a passage gives, '' where nobody named it.
    """

    id: str
    document: str
    rank: int = 0
    score: float | None = None
    gold: bool | None = None
    citation: str = ""
    parts: Mapping[str, int] = field(default_factory=dict)
    role: PassageRole = ""
    claims: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One example answered by one arm: what was asked and what came back. Never a score: see `Score`.

    `prompt`: sha256 of `messages`, the rendered prompt. `passages`: what was put before the model, in order; `dropped`:
    ids of those that did not fit the budget. `completion`: what was written, None where options were scored;
    `continuations`: what was scored as the assistant's turn (letters, or the options' texts), with a log-likelihood and
    a number of tokens each. `finish` is `error` where nothing came back; then `error` says why. `seconds`: its share of
    the window it was asked in, without retrieval; `retrieval_seconds`: its share of that; `queries`: by which its
    passages were sought, where they are not what its task gives; `steps`: what was done about its passages after the
    first retrieval; `retrieval_input_tokens`, `retrieval_output_tokens`: what the arm's own model read and wrote for
    both, part of all that it read and wrote; `left_out`: the documents that the example names which would have been
    among the first hits, and were kept from being found (`exclude: source`); `request_seconds`: what its own request to
    a server took, 0 where none was timed. `cpu_seconds`, `gpu_seconds`: its share of what computing took in this
    process, retrieval included (see `ragmed.machine.Spent`); None where nobody measured it, as of a server.
    `retrieval_cpu_seconds`, `retrieval_gpu_seconds`: the part of finding passages (embedding the query, searching,
    reranking), known of arms on servers too; None where the passages were found elsewhere. `place`: of its example
    among those that the task asks. `fits`: False where the prompt did not fit, so that nothing was asked, and where
    documents of the record were left out of an arm that shows it whole. `constraint`: how the answer was held to the
    valid forms, '' where it was free.
    """

    arm: str
    task: str
    example: Example
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    passages: tuple[ShownPassage, ...] = ()
    dropped: tuple[str, ...] = ()
    completion: str | None = None
    finish: Finish = "stop"
    error: str = ""
    continuations: tuple[str, ...] = ()
    option_logprobs: tuple[float, ...] = ()
    option_tokens: tuple[int, ...] = ()
    thinking: str = ""
    thinking_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    retrieval_seconds: float = 0.0
    request_seconds: float = 0.0
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None
    retrieval_cpu_seconds: float | None = None
    retrieval_gpu_seconds: float | None = None
    note: str = ""
    place: int = 0
    fits: bool = True
    queries: tuple[str, ...] = ()
    retrieval_input_tokens: int = 0
    retrieval_output_tokens: int = 0
    left_out: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    constraint: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """What was read from a sample, and what metrics make of it: derived, and derived again at any time.

    `metrics` is empty unless `status` is `answered`: what another status counts as is decided by the comparison's
    policy, never here.
    """

    example: str
    status: Status
    value: Value = None
    metrics: Mapping[str, Measure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A sample with its score: what statistics and a reader of the report work on."""

    sample: Sample
    score: Score

    @property
    def example(self) -> Example:
        return self.sample.example
