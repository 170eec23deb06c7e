"""A sample in, what its passages have to do with the example's gold documents out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ragmed.records import Sample


def tells_gold(samples: Iterable[Sample]) -> bool:
    """Whether an arm's passages can be told gold or not: some index names its documents as the task does."""
    return any(passage.get("gold") is not None for sample in samples for passage in sample.passages)


def gold_shown(sample: Sample, *, tells: bool) -> bool | None:
    """
    >>> gold_shown(Sample("1", "a", "t", "answered", "A", "A", {}, passages=({"gold": True},)), tells=True)
    True

    Whether a passage of a gold document was put before the model; None where nobody can say. `tells`: see `tells_gold`.
    A sample of an older run does not name its documents: then its passages alone decide.
    """
    flags = [passage.get("gold") for passage in sample.passages]
    if True in flags:
        return True
    if False in flags or (sample.documents and (tells or not flags)):
        return False
    return None


def ranked_documents(sample: Sample) -> tuple[list[str], dict[str, bool]]:
    """The documents of the passages shown, by the rank of their best passage, and which of them are gold.

    A gold document goes by the name that the example has for it, so that one document of two corpora counts once.
    """
    gold: dict[str, bool] = {}
    for passage in sorted(sample.passages, key=lambda one: int(one.get("rank", 0))):
        document, is_gold = document_of(passage), passage.get("gold") is True
        if is_gold:
            document = _as_named(document, sample.documents)
        gold.setdefault(document, is_gold)
    return list(gold), gold


def document_of(passage: Mapping[str, Any]) -> str:
    """The key of a passage's document; older samples have only the passage's id, `DOCUMENT#N`."""
    return str(passage.get("document") or str(passage["id"]).rpartition("#")[0] or passage["id"])


def _as_named(document: str, names: tuple[str, ...]) -> str:
    if document in names:
        return document
    return next((name for name in names if document.endswith(f":{name}")), document)
