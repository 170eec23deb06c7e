"""An arm and what retrieves for it in, its augmenter with all its steps out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ragmed.arms import Arm
from ragmed.augmentation import Augmentation, Augmenter, FromRecord, FromReferences, Prepared
from ragmed.errors import UsageError
from ragmed.models import Model
from ragmed.records import Example
from ragmed.retrieval.spec import cross_encoder_of
from ragmed.steps.evidence_filter import Filtered
from ragmed.steps.follow_up import Followed
from ragmed.steps.rerank import Reranked
from ragmed.tasks import BoundTask
from ragmed.workspace import Workspace


def with_steps(
    arm: Arm, bound: BoundTask, first: FromReferences | FromRecord, *, limit: int, workspace: Workspace
) -> tuple[Augmenter, Mapping[str, Any]]:
    """
        augmenter, identity = with_steps(arm, bound, references.augmenter(arm, seed=0), limit=4096, workspace=workspace)

    `first` retrieves `arm.searched` passages; where it needs no model, it is asked for all examples now. `limit`:
    tokens that arm and experiment let a prompt have with its answer, 0: what the model allows. The identity holds the
    weights that a step brings, beside the arm's own model. Raises what loading a cross-encoder raises.
    """
    base: Augmenter = first if first.needs_model else Prepared(first, bound)
    found_nothing = isinstance(base, Prepared) and not arm.follow_up and base.why_nothing()
    if found_nothing or not any(arm.steps):  # of nothing there is nothing to put in order, or to keep
        return base, {}
    made = base
    if arm.follow_up:
        if not isinstance(first, FromReferences):
            raise UsageError(f"arm '{arm.name}': follow_up searches an index, and its retriever each example's record")
        made = Followed(arm, made, first, limit=limit)
    if arm.rerank:
        made = Reranked(arm, made, limit=limit)
    judge = arm.evidence_filter
    if judge is None:
        return _First(made, arm.k), {}
    encoder = cross_encoder_of(judge.model, judge.precision, workspace=workspace) if judge.model else None
    filtered = Filtered(arm, made, limit=limit, cross_encoder=encoder)
    return filtered if filtered.needs_model else Prepared(filtered, bound), filtered.identity


class _First:
    """The k passages that are shown, of those that the steps before needed."""

    def __init__(self, base: Augmenter, k: int) -> None:
        self._base, self._k, self.needs_model = base, k, base.needs_model

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        made = []
        for found in self._base.augment(bound, examples, model=model):
            hits = found.hits[: self._k]
            made.append(replace(found, hits=hits, gold={h.passage.id: found.gold.get(h.passage.id) for h in hits}))
        return made
