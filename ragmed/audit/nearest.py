"""Questions in, the passages and training questions whose vectors are nearest to theirs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ragmed.audit.findings import Finding, Findings
from ragmed.embedding import load_embedder
from ragmed.finetuning.overlap import texts_by_question
from ragmed.finetuning.texts import TrainingText
from ragmed.matching.paraphrases import paraphrases
from ragmed.matching.words import shortened
from ragmed.records import Example, Hit
from ragmed.retrieval import Retriever
from ragmed.tasks import BoundTask

DEPTH = 3
"""Passages a question that are looked at."""
BATCH = 256


def nearest_passages(
    retriever: Retriever, bound: BoundTask, *, source: str, similarity: float, findings: Findings
) -> dict[str, list[Hit]]:
    """The DEPTH nearest passages of each example; the nearest is a finding from `similarity` (cosine) on.

    It never counts: a passage on the matter of a question is what an index is for.
    """
    nearest: dict[str, list[Hit]] = {}
    for first in range(0, len(bound.examples), BATCH):
        some = bound.examples[first : first + BATCH]
        queries = [" ".join(bound.task.query(example)) for example in some]
        for example, hits in zip(some, retriever.retrieve(queries, k=DEPTH), strict=True):
            nearest[example.id] = hits
            if hits and hits[0].score >= similarity:
                passage = hits[0].passage
                what = f'the nearest passage: "{shortened(passage.title or passage.text)}"'
                finding = Finding(
                    "embedding", what, source, str(passage.document_key), passage.id, hits[0].score, counts=False
                )
                findings.add(bound.name, example.id, "nearest", finding)
    return nearest


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
    asked = texts_by_question(texts)
    if not asked:
        return
    by_id = {text.id: text for text in texts}
    model = load_embedder(embedder, metric="inner_product", normalise=True)  # whose scores are cosines
    for near in paraphrases(asked, examples, embedder=model, similarity=similarity):
        text = by_id[near.text]
        what = "a training question like it" + (f': "{shortened(text.question)}"' if text.question else "")
        finding = Finding("embedding", what, source, text.document, text.id, near.score, counts=False)
        findings.add(near.task, near.example, "nearest", finding)
