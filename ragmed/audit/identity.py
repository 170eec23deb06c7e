"""Examples and a source's documents out of one register in, what an example names and the source holds out.

That a gold document is in the index is the point of retrieval, and does not count as a leak; that the document is
titled as the question, as most of PubMedQA's are, does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ragmed.audit.findings import Finding, Findings
from ragmed.audit.words import NEARLY
from ragmed.finetuning.texts import TrainingText
from ragmed.index.store import Index
from ragmed.matching.similarity import words_in_order
from ragmed.matching.words import shortened
from ragmed.records import DocumentKey, Example
from ragmed.tasks import BoundTask

_PMID = re.compile(r"\bPMID[:\s]{0,3}(\d{4,9})\b", re.IGNORECASE)
_NAMED = 3  # documents that are listed by name


@dataclass(frozen=True, slots=True)
class Held:
    """A document that a source holds: its key, and its title where it has one."""

    key: str
    title: str


Register = Mapping[str, Sequence[Held]]


def in_index(index: Index, names: Sequence[str], *, ids: str) -> Register:
    """The documents that the names mean in an index; MismatchError as `Index.passages_of`."""
    if not names or not index.naming(ids):
        return {}
    by_name = index.passages_of(names, ids=ids)
    return {
        name: _held((str(passage.document_key), passage.title) for passage in passages)
        for name, passages in by_name.items()
    }


def in_texts(texts: Sequence[TrainingText], corpora: Mapping[str, str], names: Sequence[str], *, ids: str) -> Register:
    """The documents that the names mean among those that were trained on (`corpora`: name -> what its ids are)."""
    keys = {text.document for text in texts}
    naming = [corpus for corpus, kind in corpora.items() if not ids or kind == ids]
    possible = {name: [*(str(DocumentKey(corpus, name)) for corpus in naming), name] for name in names}
    return {name: [Held(key, "") for key in several if key in keys] for name, several in possible.items()}


def gold_documents(bound: BoundTask, register: Register, task: str, source: str, findings: Findings) -> None:
    """Which gold documents of each example are there, and whether one is titled as the question."""
    for example in bound.examples:
        here = [(name, held) for name in example.documents for held in register.get(name, ())]
        if not here:
            continue
        kind = bound.task.ids or "document"
        shown = ", ".join(f"{kind} {name}" for name, _ in here[:_NAMED])
        more = f" and {len(here) - _NAMED} more" if len(here) > _NAMED else ""
        what = f"the source holds what holds its answer: {shown}{more}"
        findings.add(task, example.id, "gold", Finding("identity", what, source, here[0][1].key, "", 1.0, counts=False))
        for name, held in here:
            score = words_in_order(example.text, held.title)
            if score >= NEARLY:
                how = "as" if score == 1.0 else "nearly as"
                what = f"{kind} {name} is titled {how} the question: {shortened(held.title)}"
                findings.add(task, example.id, "same", Finding("identity", what, source, held.key, "", score, True))


def named_pmids(bound: BoundTask) -> dict[str, list[str]]:
    """PMIDs that stand in an example's id, question or options -> the examples."""
    examples_by_pmid: dict[str, list[str]] = {}
    for example in bound.examples:
        for pmid in dict.fromkeys(_PMID.findall(" ".join([example.id, example.text, *example.options.values()]))):
            examples_by_pmid.setdefault(pmid, []).append(example.id)
    return examples_by_pmid


def named_documents(
    named: Mapping[str, Sequence[str]], register: Register, task: str, source: str, findings: Findings
) -> None:
    for pmid, examples in named.items():
        for held in register.get(pmid, ()):
            for example in examples:
                what = f"the document that it names: pmid {pmid}"
                finding = Finding("identity", what, source, held.key, "", 1.0, counts=False)
                findings.add(task, example, f"pmid {pmid}", finding)


def names_of(examples: Iterable[Example]) -> list[str]:
    return sorted({name for example in examples for name in example.documents})


def _held(pairs: Iterable[tuple[str, str]]) -> list[Held]:
    return [Held(key, title) for key, title in dict(pairs).items()]
