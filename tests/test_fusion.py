"""Reciprocal-rank fusion against examples computed by hand, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ragmed.errors import MismatchError, UsageError
from ragmed.records import Hit, Passage
from ragmed.retrieval.fusion import FusedRetriever


def passage(name: str) -> Passage:
    return Passage(f"{name}#0", name, "", "", f"Text of {name}.", 0, 10)


class Fixed:
    """Finds the same passages for every query."""

    def __init__(self, *names: str) -> None:
        self.passages = [passage(name) for name in names]
        self.asked = 0

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"method": "fixed", "names": [one.document for one in self.passages]}

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        self.asked = k
        return [[Hit(one, 1.0, rank) for rank, one in enumerate(self.passages[:k], 1)] for _ in queries]


def fused(*parts: Fixed, weights: tuple[float, ...] = (), **settings: int) -> FusedRetriever:
    names = [f"part{number}" for number in range(len(parts))]
    weights = weights or (1.0,) * len(parts)
    return FusedRetriever(dict(zip(names, parts)), weights=dict(zip(names, weights)), **settings)


def test_ranks_are_fused_as_in_the_paper():
    hits = fused(Fixed("a", "b", "c"), Fixed("c", "a", "d")).retrieve(["a query", "another"], k=3)
    assert len(hits) == 2
    assert [(hit.passage.document, hit.rank) for hit in hits[0]] == [("a", 1), ("c", 2), ("b", 3)]
    assert [hit.score for hit in hits[0]] == pytest.approx([1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62], abs=1e-15)
    assert [dict(hit.parts) for hit in hits[0]] == [{"part0": 1, "part1": 2}, {"part0": 3, "part1": 1}, {"part0": 2}]


def test_weights_and_the_constant_change_the_order():
    one, other = Fixed("a", "b"), Fixed("b", "c")
    heavy = fused(one, other, weights=(1.0, 3.0), rrf_k=0).retrieve(["q"], k=3)[0]
    assert [(hit.passage.document, hit.score) for hit in heavy] == [("b", 3.5), ("c", 1.5), ("a", 1.0)]


def test_equal_scores_are_ordered_by_passage_id():
    hits = fused(Fixed("c", "x"), Fixed("a", "z"), Fixed("b", "y")).retrieve(["q"], k=6)[0]
    assert [hit.passage.document for hit in hits] == ["a", "b", "c", "x", "y", "z"]


def test_the_same_ranks_by_other_parts_give_the_same_score():
    three = fused(Fixed("a", "b", "c"), Fixed("b", "c", "a"), Fixed("c", "a", "b")).retrieve(["q"], k=3)[0]
    assert len({hit.score for hit in three}) == 1


def test_each_part_is_asked_for_its_depth_or_for_k():
    part = Fixed("a")
    fused(part, depth=20).retrieve(["q"], k=5)
    assert part.asked == 20
    fused(part, depth=20).retrieve(["q"], k=50)
    assert part.asked == 50


def test_a_part_that_finds_nothing_leaves_the_others():
    assert [hit.passage.document for hit in fused(Fixed(), Fixed("a")).retrieve(["q"], k=2)[0]] == ["a"]
    assert fused(Fixed(), Fixed()).retrieve(["q"], k=2) == [[]]


def test_the_identity_holds_all_that_changes_a_ranking():
    parts = (Fixed("a"), Fixed("b"))
    whole = fused(*parts).identity
    assert whole == {
        "method": "rrf",
        "version": 2,
        "rrf_k": 60,
        "depth": 100,
        "weights": [1.0, 1.0],
        "of": [{"method": "fixed", "names": ["a"]}, {"method": "fixed", "names": ["b"]}],
    }
    others = [fused(*parts, rrf_k=1), fused(*parts, depth=9), fused(*parts, weights=(1.0, 2.0)), fused(*parts[::-1])]
    assert all(other.identity != whole for other in others)


def test_refusals():
    with pytest.raises(UsageError, match="has no parts"):
        fused()
    with pytest.raises(UsageError, match="weight above 0"):
        fused(Fixed("a"), weights=(0.0,))
    with pytest.raises(UsageError, match="depth at least 1"):
        fused(Fixed("a"), depth=0)
    with pytest.raises(UsageError, match="k must be at least 1"):
        fused(Fixed("a")).retrieve(["q"], k=0)
    with pytest.raises(MismatchError, match="'part0' cannot order given passages"):
        fused(Fixed("a")).rank(["q"], [[passage("a")]])
    other = Fixed("a")
    other.passages[0] = replace(other.passages[0], text="Cut elsewhere.")
    with pytest.raises(MismatchError, match="'a#0' has another text in 'part1'"):
        fused(Fixed("a"), other).retrieve(["q"], k=2)
