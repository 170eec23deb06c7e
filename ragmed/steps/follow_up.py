"""Examples in, passages of several rounds of queries out: the arm's own model reads what was found, and searches on.

Paper: Xiong et al. 2024, "Improving Retrieval-Augmented Generation in Medicine with Iterative Follow-up Questions"
(i-MedRAG), arXiv 2408.00727, section 2: n rounds of m queries. There each query is answered, and the answers are shown;
here the passages are shown, as to every other arm. The words of the prompt are ours (`prompts.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from ragmed.arms import BY_MODEL, FOLLOW_UP_DEPTH, Arm, FollowUp
from ragmed.augmentation import Augmentation, Augmenter, FromReferences, few
from ragmed.machine import Stopwatch
from ragmed.models import Model
from ragmed.records import Example, Hit, Message, Step
from ragmed.retrieval.fusion import fuse
from ragmed.steps.prompts import asked_of, failure_of, most_that_fit, read_queries, room_for, search_prompt
from ragmed.steps.recording import after, taken
from ragmed.tasks import BoundTask

TOKENS = 32  # of a query, about


class Followed:
    """
        Followed(arm, base, references, limit=0).augment(bound, bound.examples[:2], model=model)

    `base` finds `arm.searched` passages by the question, `references` those of further queries; `arm.candidates` of all
    are left. A passage's `parts` keep the rank that each query gave it. `limit`: tokens that a prompt may have with its
    answer, 0: what the model allows.
    """

    needs_model = True

    def __init__(self, arm: Arm, base: Augmenter, references: FromReferences, *, limit: int) -> None:
        assert arm.follow_up is not None
        self._arm, self._base, self._references, self._limit = arm, base, references, limit
        self._settings: FollowUp = arm.follow_up
        self._wanted = arm.candidates
        self._depth = FOLLOW_UP_DEPTH if self._settings.join == "fused" else arm.candidates

    def augment(self, bound: BoundTask, examples: Sequence[Example], *, model: Model | None) -> list[Augmentation]:
        assert model is not None
        # How few were found is said of all rounds, not of the first.
        made = [replace(one, note="") for one in self._base.augment(bound, examples, model=model)]
        watch = Stopwatch()
        rankings = [[{"question": list(one.hits)}] for one in made]
        made = [replace(one, hits=one.hits[: self._wanted]) for one in made]
        for _ in range(self._settings.rounds):
            made = self._round(bound, examples, made, rankings, model)
        made = [replace(one, note="; ".join(filter(None, (self._few(one), one.note)))) for one in made]
        gold = self._references.judged(bound, examples, [one.hits for one in made])
        spent = watch.spent().of_each(max(1, len(examples)))
        return [
            taken(replace(one, gold=known, left_out=out), spent)
            for one, known, out in zip(made, gold, self._kept_out(bound, examples, made), strict=True)
        ]

    def _kept_out(
        self, bound: BoundTask, examples: Sequence[Example], made: Sequence[Augmentation]
    ) -> list[tuple[str, ...]]:
        """What a filter kept from being found by the question or by a query of any round."""
        asked = [(e, (q,)) for e, one in zip(examples, made, strict=True) for step in one.steps for q in step.queries]
        out = {example.id: list(one.left_out) for example, one in zip(examples, made, strict=True)}
        for (example, _), more in zip(asked, self._references.kept_out(bound, asked, k=self._depth), strict=True):
            out[example.id] += more
        return [tuple(dict.fromkeys(out[example.id])) for example in examples]

    def _round(
        self,
        bound: BoundTask,
        examples: Sequence[Example],
        made: Sequence[Augmentation],
        rankings: Sequence[list[dict[str, list[Hit]]]],
        model: Model,
    ) -> list[Augmentation]:
        """One round of all examples; `rankings` gets what each query of it found."""
        tokens = TOKENS * self._settings.queries
        room = room_for(model, limit=self._limit, answer=tokens)
        before = [[*bound.task.query(e), *self._searched(one)] for e, one in zip(examples, made, strict=True)]
        prompts = [self._prompt(bound, e, one, model, room) for e, one in zip(examples, made, strict=True)]
        asked = [prompt for prompt in prompts if prompt]
        answers = iter(model.generate(asked, max_tokens=tokens) if asked else [])
        given = [next(answers) if prompt else None for prompt in prompts]
        queries = [
            () if answer is None else read_queries(answer, known, most=self._settings.queries)
            for answer, known in zip(given, before, strict=True)
        ]
        flat = [(example, query) for example, several in zip(examples, queries, strict=True) for query in several]
        found = iter(self._references.search(bound, flat, k=self._depth) if flat else [])
        after_it = []
        for one, answer, several, ranked in zip(made, given, queries, rankings, strict=True):
            if one.error:
                after_it.append(one)
                continue
            number = len(ranked)
            ranked.append({f"round {number}, query {n}": next(found) for n, _ in enumerate(several, 1)})
            shown = self._joined(ranked)
            why = f"round {number}: its prompt does not fit {room} tokens, nothing was searched" if not answer else ""
            if answer and not several:
                why = f"round {number}: no query could be read, nothing was searched"
            step = Step(
                "follow-up", tuple(hit.passage.id for hit in shown), several, completions=(answer,) if answer else (),
                unread=int(bool(answer) and not several), note=why,
            )  # fmt: skip
            failure = failure_of(answer) if answer else ""
            error = f"its follow-up queries of round {number} were not written: {failure}" if failure else ""
            after_it.append(after(one, shown, step, error=error))
        return after_it

    def _prompt(
        self, bound: BoundTask, example: Example, found: Augmentation, model: Model, room: int
    ) -> tuple[Message, ...] | None:
        """With as many of the passages found so far as fit, the last left out; None where nothing can be asked."""
        if found.error:
            return None
        passages = [hit.passage for hit in found.hits[: self._arm.k]]
        question, before = asked_of(bound, example), self._searched(found)

        def prompt(count: int) -> tuple[Message, ...]:
            return search_prompt(question, passages[:count], before, queries=self._settings.queries)

        fit = most_that_fit(len(passages), prompt, model, room)
        return None if fit < 0 else prompt(fit)

    def _searched(self, found: Augmentation) -> list[str]:
        """What the model has searched for already. What a rule added to the question, its options, it is not shown."""
        first = found.queries if self._arm.query in BY_MODEL else ()
        return [*first, *(query for step in found.steps for query in step.queries)]

    def _few(self, found: Augmentation) -> str:
        return "" if found.error else few(replace(self._arm, k=self._wanted), found.hits)

    def _joined(self, rounds: Sequence[dict[str, list[Hit]]]) -> tuple[Hit, ...]:
        if self._settings.join == "fused":
            rankings = {name: hits[: self._depth] for one in rounds for name, hits in one.items()}
            first = fuse(rankings)
            # what the question found beyond that comes after all that is fused, so that k decides no place
            known = {hit.passage.id for hit in first}
            rest = [hit for hit in rounds[0]["question"] if hit.passage.id not in known]
            after_them = [
                replace(hit, rank=rank, score=first[-1].score / (1 + rank), parts={"question": hit.rank})
                for rank, hit in enumerate(rest, len(first) + 1)
            ]
            return tuple([*first, *after_them][: self._wanted])
        return _appended(rounds, self._wanted, share=-(-self._wanted // (1 + self._settings.rounds)))


def _appended(rounds: Sequence[dict[str, list[Hit]]], most: int, *, share: int) -> tuple[Hit, ...]:
    """Of the question and of each round as many passages as its share, none twice, those of several queries by turns;
    what a round leaves free stays for the question's further passages.
    """
    chosen: dict[str, Hit] = {}
    for found in rounds:
        mine = [hit for same_rank in zip_longest(*found.values()) for hit in same_rank if hit is not None]
        new = {hit.passage.id: hit for hit in mine if hit.passage.id not in chosen}
        chosen |= dict(list(new.items())[:share])
    rest = {hit.passage.id: hit for hit in rounds[0]["question"] if hit.passage.id not in chosen}
    first = [*chosen.values(), *rest.values()][:most]
    parts = [
        {name: hit.rank for one in rounds for name, hits in one.items() for hit in hits if hit.passage.id == id_}
        for id_ in (hit.passage.id for hit in first)
    ]
    return tuple(
        replace(hit, rank=rank, score=1 / rank, parts=known)
        for rank, (hit, known) in enumerate(zip(first, parts, strict=True), 1)
    )
