"""A sample in, what its passages have to do with the example's gold documents out."""

from __future__ import annotations

from collections.abc import Iterable

from ragmed.records import Sample


def tells_gold(samples: Iterable[Sample]) -> bool:
    """Whether an arm's passages can be told gold or not: some index names its documents as the task does."""
    return any(passage.gold is not None for sample in samples for passage in sample.passages)


def tells_passages(samples: Iterable[Sample]) -> bool:
    """
    >>> tells_passages([])
    False

    Whether an arm's samples say what was shown. Others' runs often do not: then retrieval is unknown, not bad.
    """
    return any(sample.passages or sample.dropped for sample in samples)


def gold_shown(sample: Sample, *, tells: bool) -> bool | None:
    """
    >>> from ragmed.records import Example, ShownPassage
    >>> shown = ShownPassage("wards:elm#0", "wards:elm", gold=True)
    >>> gold_shown(Sample("rag", "t", Example("1", "?", documents=("elm",)), passages=(shown,)), tells=True)
    True

    Whether a passage of a gold document was put before the model; None where nobody can tell. `tells`: see
    `tells_gold`. Where an example does not name its documents, its passages alone decide.
    """
    flags = [passage.gold for passage in sample.passages]
    if True in flags:
        return True
    if False in flags or (sample.example.documents and (tells or not flags)):
        return False
    return None


def ranked_documents(sample: Sample) -> tuple[list[str], dict[str, bool]]:
    """The documents of the passages shown, by the rank of their best passage, and which of them are gold.

    A gold document goes by the name that the example has for it, so that one document of two corpora counts once.
    """
    gold: dict[str, bool] = {}
    for passage in sorted(sample.passages, key=lambda passage: passage.rank):
        document, is_gold = passage.document, passage.gold is True
        if is_gold:
            document = _as_named(document, sample.example.documents)
        gold.setdefault(document, is_gold)
    return list(gold), gold


def _as_named(document: str, names: tuple[str, ...]) -> str:
    own = document.partition(":")[2]  # of CORPUS:ID; a corpus has no colon in its name, an id may have
    return own if own in names and document not in names else document
