"""Questions in, the passages and training questions whose vectors are nearest to theirs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ragmed.audit.findings import Finding, Findings
from ragmed.audit.words import shortened
from ragmed.embedding import Embedder
from ragmed.finetuning.overlap import paraphrases
from ragmed.finetuning.texts import TrainingText
from ragmed.index.store import Index
from ragmed.records import Example, Hit
from ragmed.retrieval.dense import DenseRetriever
from ragmed.tasks import BoundTask

DEPTH = 3
"""Passages a question that are looked at."""
BATCH = 256


def nearest_passages(
    index: Index, embedder: Embedder, bound: BoundTask, *, source: str, similarity: float, findings: Findings
) -> dict[str, list[Hit]]:
    """The DEPTH nearest passages of each example; the nearest is a finding from `similarity` (cosine) on.

    It never counts: a passage on the matter of a question is what an index is for.
    """
    retriever = DenseRetriever(index, embedder)
    found: dict[str, list[Hit]] = {}
    for first in range(0, len(bound.examples), BATCH):
        some = bound.examples[first : first + BATCH]
        for example, hits in zip(some, retriever.retrieve([bound.query(e) for e in some], k=DEPTH), strict=True):
            found[example.id] = hits
            if hits and hits[0].score >= similarity:
                passage = hits[0].passage
                what = f'the nearest passage: "{shortened(passage.title or passage.text)}"'
                finding = Finding(
                    "embedding", what, source, passage.document_key, passage.id, hits[0].score, counts=False
                )
                findings.add(bound.name, example.id, "nearest", finding)
    return found


def nearest_questions(
    texts: Sequence[TrainingText],
    examples: Mapping[str, Sequence[Example]],
    *,
    source: str,
    embedder: str,
    similarity: float,
    findings: Findings,
) -> None:
    """Training questions whose cosine with an example's question reaches `similarity`; shown, they do not count."""
    documents = {text.id: (text.document, text.question) for text in texts}
    for one in paraphrases(texts, examples, embedder=embedder, similarity=similarity):
        document, question = documents[one.text]
        what = f'a training question like it: "{shortened(question)}"' if question else "a training question like it"
        finding = Finding("embedding", what, source, document, one.text, one.score, counts=False)
        findings.add(one.task, one.example, "nearest", finding)
