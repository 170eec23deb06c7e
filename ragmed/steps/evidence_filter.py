"""Passages in, those that are kept out, before they are shown: an evidence filter. What it drops, and why, is recorded.

Where it drops all, the example is asked without passages, which is noted and counted: it is then no closed-book arm's
question, but one whose evidence was refused. Where a verdict cannot be had, the example is not asked, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ragmed.arms import Arm, EvidenceFilter
from ragmed.augmentation import Augmentation, Augmenter
from ragmed.chunking import embedded_text
from ragmed.machine import Stopwatch
from ragmed.models import Model
from ragmed.records import Completion, Example, Hit, Step
from ragmed.retrieval.cross_encoder import CrossEncoder
from ragmed.retrieval.words import tokeniser
from ragmed.steps.prompts import asked_of, failure_of, judge_prompt, read_verdict, room_for
from ragmed.steps.recording import after, taken
from ragmed.tasks import BoundTask

TOKENS = 4  # of a verdict: its first word decides


class Filtered:
    """
        Filtered(arm, FromReferences(...), limit=0).augment(bound, bound.examples[:2], model=None)

    `base` gives the passages. `cross_encoder`: what scores them, where the filter is by one. `limit`: tokens that a
    prompt may have with its answer, 0: what the model allows. Of the passages that are kept the first k are shown.
    """

    def __init__(self, arm: Arm, base: Augmenter, *, limit: int, cross_encoder: CrossEncoder | None = None) -> None:
        assert arm.evidence_filter is not None
        self._arm, self._base, self._limit, self._cross_encoder = arm, base, limit, cross_encoder
        self._settings: EvidenceFilter = arm.evidence_filter
        self.needs_model = base.needs_model or self._settings.by == "model"

    @property
    def identity(self) -> Mapping[str, Any]:
        """What of the filter is no setting of the arm: the weights that judge."""
        return {} if self._cross_encoder is None else dict(self._cross_encoder.identity)

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        found = self._base.augment(bound, examples, model=model)
        watch = Stopwatch()
        looked_at = [() if one.error else one.hits[: self._arm.looked_at] for one in found]
        if self._settings.by == "model":
            assert model is not None
            judged = self._by_model(bound, examples, looked_at, model)
        else:
            judged = [
                Step("evidence-filter", dropped=self._by_rule(bound, example, hits))
                for example, hits in zip(examples, looked_at, strict=True)
            ]
        spent = watch.spent().of_each(max(1, len(examples)))
        return [taken(self._done(*one), spent) for one in zip(found, looked_at, judged, strict=True)]

    def _by_rule(self, bound: BoundTask, example: Example, hits: Sequence[Hit]) -> dict[str, str]:
        """Passage id -> why it is dropped."""
        least = self._settings.least or 0.0
        if self._settings.by == "score":
            scores, what = [hit.score for hit in hits], "its score {:.4g}"
        elif self._settings.by == "overlap":
            cut = tokeniser(stemmer="english", stop_words="english")
            words = set(cut([" ".join(bound.task.query(example))])[0])
            texts = cut([embedded_text(hit.passage) for hit in hits])
            scores = [len(words & set(text)) / len(words) if words else 0.0 for text in texts]
            what = "its share of the query's words, {:.4g},"
        else:
            assert self._cross_encoder is not None
            query = " ".join(bound.task.query(example))
            scores = self._cross_encoder.scores([(query, embedded_text(hit.passage)) for hit in hits])
            what = "the cross-encoder's score {:.4g}"
        return {
            hit.passage.id: f"{what.format(score)} is below {least:g}"
            for hit, score in zip(hits, scores, strict=True)
            if score < least
        }

    def _by_model(
        self, bound: BoundTask, examples: Sequence[Example], looked_at: Sequence[Sequence[Hit]], model: Model
    ) -> list[Step]:
        """The verdicts of all passages of all examples, asked together; what does not fit is kept, unread."""
        room = room_for(model, limit=self._limit, answer=TOKENS)
        prompts = [
            judge_prompt(asked_of(bound, example), hit.passage)
            for example, hits in zip(examples, looked_at, strict=True)
            for hit in hits
        ]
        fits = [tokens <= room for tokens in model.count_tokens(prompts)] if prompts else []
        asked = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
        answers = iter(model.generate(asked, max_tokens=TOKENS) if asked else [])
        fit_of = iter(fits)
        return [self._judged(hits, [next(answers) if next(fit_of) else None for _ in hits]) for hits in looked_at]

    def _judged(self, hits: Sequence[Hit], answers: Sequence[Completion | None]) -> Step:
        verdicts = [None if answer is None else read_verdict(answer.text) for answer in answers]
        dropped = {h.passage.id: "the model said no" for h, v in zip(hits, verdicts, strict=True) if v is False}
        unread = verdicts.count(None)
        note = f"{unread} of {len(hits)} verdicts on passages could not be read: these are kept" if unread else ""
        given = tuple(answer for answer in answers if answer is not None)
        return Step("evidence-filter", dropped=dropped, completions=given, unread=unread, note=note)

    def _done(self, found: Augmentation, looked_at: Sequence[Hit], judged: Step) -> Augmentation:
        if found.error:
            return found
        failures = [failure for one in judged.completions if (failure := failure_of(one))]
        error = f"its evidence filter failed: {failures[0]}" if failures else ""
        kept = [hit for hit in looked_at if hit.passage.id not in judged.dropped][: self._arm.k]
        hits = tuple(replace(hit, rank=rank) for rank, hit in enumerate(kept, 1))
        emptied = looked_at and not hits
        all_ = f"its evidence filter dropped all {len(looked_at)} passages: asked without passages" if emptied else ""
        note = "; ".join(filter(None, (judged.note, all_)))
        return after(found, hits, replace(judged, passages=tuple(h.passage.id for h in hits), note=note), error=error)
