"""What an audit found: frozen findings in, for each example and source the strongest of each sort out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["identity", "ngram", "embedding", "date"]
KINDS: tuple[Kind, ...] = ("identity", "ngram", "embedding", "date")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in common between an example and a source.

    `what`: in words. `source`: `index NAME` or `adapter NAME`. `document`: its key (`CORPUS:ID`); `passage`: the id of
    the passage or training text, '' where the document as a whole is meant. `score`: the share of the question's
    n-grams, a cosine, or 1 for what is the same. `counts`: whether it makes the example leaked.
    """

    kind: Kind
    what: str
    source: str
    document: str
    passage: str
    score: float
    counts: bool

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "score": round(self.score, 4)}


@dataclass(slots=True)
class Findings:
    """
    >>> findings = Findings()
    >>> findings.add("t", "q1", "question", Finding("ngram", "question", "index i", "c:d", "c:d#0", 0.8, True))
    >>> [(example, [one.score for one in found]) for example, found in findings.of("t")]
    [('q1', [0.8])]

    Of several findings of one example in one source in one `slot`, one that counts goes before one that does not, then
    the higher score, then the one that came first: so memory depends on the examples, not on the texts.
    """

    _best: dict[tuple[str, str], dict[tuple[str, str], Finding]] = field(default_factory=dict)

    def add(self, task: str, example: str, slot: str, finding: Finding) -> None:
        known = self._best.setdefault((task, example), {})
        key = (finding.source, slot)
        if key not in known or _strength(finding) > _strength(known[key]):
            known[key] = finding

    def of(self, task: str) -> Iterator[tuple[str, list[Finding]]]:
        """The examples of a task that have any, with theirs: those that count first."""
        for (name, example), found in self._best.items():
            if name == task:
                yield example, sorted(found.values(), key=lambda one: (not one.counts, KINDS.index(one.kind)))

    def slots(self, task: str, example: str) -> list[tuple[str, Finding]]:
        """Each finding of an example with the slot it stands in."""
        return [(slot, one) for (_, slot), one in self._best.get((task, example), {}).items()]


def _strength(finding: Finding) -> tuple[bool, float]:
    return finding.counts, finding.score
