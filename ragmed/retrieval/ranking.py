"""Scores and passages in, hits out: the one place that settles which of two equal scores comes first."""

from __future__ import annotations

from collections.abc import Iterable

from ragmed.records import Hit, Passage


def ranked(scored: Iterable[tuple[float, Passage]]) -> list[Hit]:
    """
    >>> one, two = (Passage(name, "d", "", "", "", 0, 0) for name in ("d#1", "d#0"))
    >>> [hit.passage.id for hit in ranked([(0.5, one), (0.5, two)])]
    ['d#0', 'd#1']

    Best first, ranked from 1; equal scores by passage id, so that neither the order in which passages were indexed nor
    how they are spread over segments decides. Of a passage that comes twice the better score counts.
    """
    best: dict[str, tuple[float, Passage]] = {}
    for score, passage in scored:
        if passage.id not in best or best[passage.id][0] < score:
            best[passage.id] = (float(score), passage)
    ordered = sorted(best.values(), key=lambda one: (-one[0], one[1].id))
    return [Hit(passage, score, rank) for rank, (score, passage) in enumerate(ordered, 1)]
