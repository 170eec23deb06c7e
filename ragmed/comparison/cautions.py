"""Arms and contrasts in, what a reader must know of how they were chosen out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PARTS: dict[str, tuple[str, ...]] = {
    "model": ("model",),
    "what is shown": (
        "context", "index", "retriever", "k", "context_tokens", "passage_order", "replay", "planted", "query",
        "follow_up", "rerank", "evidence_filter",
    ),
    "reasoning": ("cot", "cot_tokens"),
    "form of the answer": ("constrained",),
}  # fmt: skip
"""The things in which arms can differ, and the settings that belong to each."""
HOW: dict[str, tuple[str, ...]] = {
    "retriever": ("index", "retriever"), "k": ("k",), "context budget": ("context_tokens",),
    "order of passages": ("passage_order",), "query": ("query",), "follow_up": ("follow_up",), "rerank": ("rerank",),
    "evidence_filter": ("evidence_filter",), "planted passages": ("planted",),
}  # fmt: skip
"""The ways in which two arms that retrieve can differ, and the settings that belong to each."""
UNCHANGED = {"context": "none", "passage_order": "ranked", "query": "question"}
"""What an absent setting is, where it is not empty."""
MANY = 3


def cautions(arms: Mapping[str, Mapping[str, Any]], pairs: Iterable[tuple[str, str]]) -> list[str]:
    """
    >>> arms = {"a": {"model": "m"}, "b": {"model": "n", "context": "retrieved", "index": "i", "k": 5}}
    >>> cautions(arms, [("a", "b")])
    ['b and a differ in model and what is shown: their difference belongs to neither alone.']

    Pairs of arms that differ in more than one thing, and arms of one model that differ in nothing but in how they
    retrieve: whoever takes the best of these has chosen on the very questions that are scored. `arms`: name -> its
    plain settings, as far as they are known; `pairs`: those that no design with crossed factors takes apart.
    """
    notes = []
    for baseline, arm in dict.fromkeys(pairs):
        if baseline in arms and arm in arms:
            parts = [name for name in PARTS if _part(arms[baseline], name) != _part(arms[arm], name)]
            if len(parts) > 1:
                listed = f"{', '.join(parts[:-1])} and {parts[-1]}"
                notes.append(f"{arm} and {baseline} differ in {listed}: their difference belongs to neither alone.")
            elif len(ways := _ways(arms[baseline], arms[arm])) > 1:
                listed = f"{', '.join(ways[:-1])} and {ways[-1]}"
                notes.append(
                    f"{arm} and {baseline} retrieve differently in {listed}: their difference is of no one alone."
                )
    kinds: dict[tuple[Any, ...], list[str]] = {}
    for name, said in arms.items():
        if said.get("context") == "retrieved" and (said.get("index") or said.get("retriever")):  # else little is known
            same = tuple(_part(said, part) for part in PARTS if part != "what is shown")
            kinds.setdefault((*same, tuple(said.get("tasks") or ())), []).append(name)
    for alike in kinds.values():
        if len(alike) >= MANY:
            notes.append(
                f"{', '.join(alike)} differ in nothing but how they retrieve. Whoever takes the best of these "
                f"{len(alike)} has chosen on the questions that are scored, so that its lead is too large; "
                "`search:` chooses on development examples."
            )
    return notes


def _ways(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In what two arms differ that both retrieve for themselves."""
    same = one.get("context") == other.get("context") and one.get("context") in ("retrieved", "poisoned")
    if not same or one.get("replay") or other.get("replay"):
        return []
    return [way for way, keys in HOW.items() if any(_said(one, key) != _said(other, key) for key in keys)]


def _said(arm: Mapping[str, Any], key: str) -> str:
    value = arm.get(key)
    return str(value if value not in (None, "", 0, False) else UNCHANGED.get(key, ""))


def _part(arm: Mapping[str, Any], name: str) -> tuple[str, ...]:
    if name == "model":
        return (str(arm.get("model_identity") or arm.get("model") or ""),)
    return tuple(_said(arm, key) for key in PARTS[name])
