from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from ragmed.arms import Arm
from ragmed.augmentation import Augmentation, FromReferences, Prepared, Replayed
from ragmed.errors import MismatchError
from ragmed.evaluation import answer
from ragmed.prompts import prompt_hash
from ragmed.records import Completion, Example, Hit, Message, OptionScores, Passage, Sample, Score
from ragmed.scores import score_samples
from ragmed.tasks import BoundTask, Split, Task, TaskSettings

TASK = Task(
    name="toy",
    title="Toy",
    kind="choice",
    instruction="You answer.",
    load=lambda workspace: Split(()),
    source="here",
    license="none",
    metrics=("accuracy",),
    gold_documents=True,
)
EXAMPLES = tuple(
    Example(str(i), f"Question {i}?", options={"A": "wrong", "B": "right"}, gold="B", documents=(f"d{i}",))
    for i in range(4)
)
ARM = Arm("general+rag", "small", "retrieved", "pages", 2)


def passage(document: str, n: int = 0, words: int = 5) -> Passage:
    text = " ".join(f"word-{document}-{i}" for i in range(words))
    return Passage(f"{document}#{n}", document, "T", "", text, 0, len(text))


def hits(*passages: Passage) -> tuple[Hit, ...]:
    return tuple(Hit(p, 1.0 - i / 10, i + 1) for i, p in enumerate(passages))


def bound(scoring: str = "letters", task: Task = TASK) -> BoundTask:
    return BoundTask(task, TaskSettings(scoring=scoring), EXAMPLES, ())  # type: ignore[arg-type]


class Fake:
    """Counts words; says `reply`, prefers the option `best`."""

    name = "fake"
    context_tokens = 1000
    thinking_tokens = 0

    def __init__(self, reply: str = "B", best: str = "B", finish: str = "stop", error: str = "") -> None:
        self.reply, self.best, self.finish, self.error = reply, best, finish, error
        self.seen: list[str] = []

    def fingerprint(self) -> dict[str, str]:
        return {}

    def count_tokens(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        return [sum(len(m.content.split()) for m in p) for p in prompts]

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        self.seen += [p[-1].content for p in prompts]
        return [Completion(self.reply, self.finish, 10, 1, self.error) for _ in prompts]  # type: ignore[arg-type]

    def score(self, prompts: Sequence[Sequence[Message]], continuations: Sequence[Sequence[str]]) -> list[OptionScores]:
        self.seen += [p[-1].content for p in prompts]
        return [
            OptionScores(
                tuple(-1.0 if c == self.best else -2.0 for c in cs),
                tuple(len(c.split()) for c in cs),
                tuple(False for _ in cs),
                10,
                self.error,
            )
            for cs in continuations
        ]


class FakeRetriever:
    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    identity: ClassVar[Mapping[str, object]] = {"method": "fake", "version": 1}

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        self.calls.append(list(queries))
        names = [q.split()[1].rstrip("?") for q in queries]
        return [
            list(hits(*(passage(f"d{n}", j) for j in range(2)), *(passage(f"x{n}", j) for j in range(8))))
            for n in names
        ]

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        return [list(hits(*reversed(c))) for c in candidates]


class FakeGold:
    def naming(self, ids: str) -> frozenset[str]:
        return frozenset([""]) if ids in ("", "pmid") else frozenset()

    def passages_of(self, names: Sequence[str], *, ids: str) -> Mapping[str, Sequence[Passage]]:
        return {d: [passage(d, 0), passage(d, 1), passage(d, 2)] for d in names if d != "d3"}


class LongGold(FakeGold):
    def passages_of(self, names: Sequence[str], *, ids: str) -> Mapping[str, Sequence[Passage]]:
        return {d: [passage(d, 0, 40)] for d in names}


def choose(arm: Arm, task: Task = TASK) -> tuple[list[Augmentation], FakeRetriever]:
    retriever = FakeRetriever()
    augmenter = FromReferences(arm, retriever, FakeGold(), seed=1)
    return augmenter.augment(bound(task=task), EXAMPLES, model=None), retriever


def scored(sample: Sample, scoring: str = "letters") -> Score:
    return score_samples([sample], bound(scoring).reader, ["accuracy"])[0]


def test_all_queries_of_a_task_are_retrieved_in_one_batch_without_the_options() -> None:
    shown, retriever = choose(ARM)
    assert retriever.calls == [[f"Question {i}?" for i in range(4)]]
    assert [len(s.hits) for s in shown] == [10] * 4  # the retriever of the test ignores k


def test_oracle_takes_the_best_of_the_gold_documents_and_says_where_there_are_none() -> None:
    shown, _ = choose(replace(ARM, context="oracle"))
    assert [h.passage.id for h in shown[0].hits] == ["d0#2", "d0#1"]
    assert shown[3].hits == ()
    assert "none of its gold documents is in the index" in shown[3].note


def test_distractors_are_near_and_never_gold() -> None:
    shown, _ = choose(replace(ARM, context="distractor"))
    assert [h.passage.id for h in shown[1].hits] == ["x1#0", "x1#1"]
    assert [h.rank for h in shown[1].hits] == [1, 2]


class Found(FakeRetriever):
    """Finds the same two passages for every question: a copy of d1's text in another corpus, and something else."""

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        copy = replace(passage("d1", 0, 40), id="other:77#0", document="77", corpus="other")
        return [list(hits(copy, passage("x", 0, 40))) for _ in queries]


def test_the_gold_text_of_another_corpus_is_no_distractor() -> None:
    arm = replace(ARM, context="distractor")
    shown = FromReferences(arm, Found(), LongGold(), seed=1).augment(bound(), EXAMPLES, model=None)
    assert [h.passage.id for h in shown[1].hits] == ["x#0"]
    assert [h.passage.id for h in shown[2].hits] == ["other:77#0", "x#0"]
    assert shown[2].gold == {"other:77#0": None, "x#0": False}


def test_where_the_gold_document_is_unknown_distractors_come_from_another_question() -> None:
    shown, _ = choose(replace(ARM, context="distractor"))
    assert "come from another question" in shown[3].note
    assert all(not h.passage.document.endswith("3") for h in shown[3].hits)
    assert set(shown[3].gold.values()) == {None}


def test_without_gold_documents_distractors_come_from_another_question() -> None:
    shown, _ = choose(replace(ARM, context="distractor"), replace(TASK, gold_documents=False))
    for i, one in enumerate(shown):
        assert len(one.hits) == 2
        assert all(not h.passage.document.endswith(str(i)) for h in one.hits)


def test_ids_of_another_kind_are_never_taken_for_gold() -> None:
    other = replace(TASK, ids="scifact")
    with pytest.raises(MismatchError, match="no corpus of 'pages' declares `ids: scifact`"):
        choose(replace(ARM, context="oracle"), other)
    shown, _ = choose(replace(ARM, context="distractor"), other)
    assert all(not h.passage.document.endswith(str(i)) for i, one in enumerate(shown) for h in one.hits)
    shown, _ = choose(ARM, other)
    assert set(shown[0].gold.values()) == {None}


def test_an_option_is_chosen_and_scored() -> None:
    (sample, *_) = answer(ARM, bound(), EXAMPLES, [Augmentation()] * 4, model=Fake(), budget=1000)
    assert scored(sample) == Score("0", "answered", "B", {"accuracy": 1.0})
    assert (sample.option_logprobs, sample.continuations) == ((-2.0, -1.0), ("A", "B"))
    (sample, *_) = answer(
        ARM, bound("option-text"), EXAMPLES, [Augmentation()] * 4, model=Fake(best="wrong"), budget=1000
    )
    assert scored(sample) == Score("0", "answered", "A", {"accuracy": 0.0})
    assert sample.continuations == ("wrong", "right")


def test_passages_that_do_not_fit_are_dropped_whole_and_recorded() -> None:
    shown = [
        Augmentation(
            hits(passage("d0", 0, 40), passage("x", 0, 40), passage("y", 0, 40)), gold={"d0#0": True, "x#0": False}
        )
    ] * 4
    model = Fake()
    (sample, *_) = answer(ARM, bound(), EXAMPLES, shown, model=model, budget=170)
    assert [p.id for p in sample.passages] == ["d0#0", "x#0"]
    assert [p.gold for p in sample.passages] == [True, False]
    assert sample.dropped == ("y#0",)
    assert sample.input_tokens <= 170
    assert model.seen[0].count("word") == 80


def test_a_prompt_that_does_not_fit_is_an_error_with_its_reason_and_never_cut() -> None:
    model = Fake()
    samples = answer(ARM, bound(), EXAMPLES, [Augmentation(hits(passage("d0")))] * 4, model=model, budget=5)
    assert [s.finish for s in samples] == ["error"] * 4
    assert "the budget is 5" in samples[0].error
    assert scored(samples[0]) == Score("0", "error")
    assert samples[0].dropped == ("d0#0",)
    assert model.seen == []


@pytest.mark.parametrize(
    ("model", "status", "scores"),
    [
        (Fake("The answer is B."), "answered", {"accuracy": 1.0}),
        (Fake("A."), "answered", {"accuracy": 0.0}),
        (Fake("B. and then", finish="length"), "answered", {"accuracy": 1.0}),
        (Fake("Well, one might", finish="length"), "truncated", {}),
        (Fake("I cannot answer that."), "refused", {}),
        (Fake("no idea"), "unparsed", {}),
        (Fake("", finish="error", error="out of memory"), "error", {}),
    ],
)
def test_every_way_of_answering_has_its_status(model: Fake, status: str, scores: dict[str, float]) -> None:
    (sample, *_) = answer(ARM, bound("generate"), EXAMPLES, [Augmentation()] * 4, model=model, budget=1000)
    score = scored(sample, "generate")
    assert (score.status, dict(score.metrics)) == (status, scores)


def test_a_failure_of_scoring_is_an_error_not_a_zero() -> None:
    (sample, *_) = answer(ARM, bound(), EXAMPLES, [Augmentation()] * 4, model=Fake(error="no"), budget=1000)
    assert (scored(sample), sample.error) == (Score("0", "error"), "no")


def test_lengths_are_normalised_as_declared() -> None:
    for normalise, best in (("none", "A"), ("characters", "B")):
        settings = TaskSettings(scoring="option-text", normalise=normalise)  # type: ignore[arg-type]
        example = replace(EXAMPLES[0], options={"A": "x", "B": "long enough to gain"})
        task = BoundTask(TASK, settings, (example,), ())
        (sample,) = answer(ARM, task, [example], [Augmentation()], model=Fake(best="x"), budget=1000)
        assert score_samples([sample], task.reader, ["accuracy"])[0].value == best


@pytest.mark.parametrize(("order", "ids"), [("ranked", ["x#0", "y#0"]), ("reversed", ["y#0", "x#0"])])
def test_passages_stand_in_the_order_of_the_arm_and_keep_their_rank(order: str, ids: list[str]) -> None:
    shown = [Augmentation(hits(passage("x"), passage("y"), passage("z", 0, 400)))] * 4
    arm = replace(ARM, passage_order=order)  # type: ignore[arg-type]
    model = Fake()
    (sample, *_) = answer(arm, bound(), EXAMPLES, shown, model=model, budget=120)
    assert [p.id for p in sample.passages] == ids
    assert {p.id: p.rank for p in sample.passages} == {"x#0": 1, "y#0": 2}
    assert sample.dropped == ("z#0",)  # what does not fit is still the last ranked
    places = [model.seen[0].index(f"word-{id_[0]}") for id_ in ids]
    assert places == sorted(places)
    assert ([p.document for p in sample.passages], sample.example.documents) == ([id_[0] for id_ in ids], ("d0",))


def test_shuffled_passages_stand_in_another_order_in_each_example() -> None:
    shown = [Augmentation(hits(*(passage(name) for name in "vwxyz")))] * 4
    arm = replace(ARM, passage_order="shuffled")
    orders = [
        [tuple(p.id for p in s.passages) for s in answer(arm, bound(), EXAMPLES, shown, model=Fake(), budget=999)]
        for _ in range(2)
    ]
    assert orders[0] == orders[1]
    assert len(set(orders[0])) > 1


def test_a_passage_is_not_gold_where_the_gold_document_is_known_to_be_elsewhere() -> None:
    pmids = replace(TASK, ids="pmid")
    shown, _ = choose(ARM, pmids)
    assert set(shown[0].gold.values()) == {True, False}
    assert set(shown[3].gold.values()) == {False}  # d3 has a PMID, and is not in the index
    shown, _ = choose(ARM)
    assert set(shown[3].gold.values()) == {None}  # an undeclared name may be of another kind


def test_how_long_an_own_request_took_is_kept() -> None:
    class Timed(Fake):
        def generate(
            self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
        ) -> list[Completion]:
            return [Completion("B", "stop", 10, 1, seconds=0.25 + i) for i, _ in enumerate(prompts)]

    samples = answer(ARM, bound("generate"), EXAMPLES, [Augmentation()] * 4, model=Timed(), budget=1000)
    assert [s.request_seconds for s in samples] == [0.25, 1.25, 2.25, 3.25]
    (sample, *_) = answer(ARM, bound(), EXAMPLES, [Augmentation()] * 4, model=Fake(), budget=1000)
    assert (sample.request_seconds, sample.option_tokens) == (0.0, (1, 1))


def test_a_sample_holds_what_was_asked_and_what_came_back_and_the_hash_of_its_prompt() -> None:
    (first, second, *_) = answer(ARM, bound("generate"), EXAMPLES, [Augmentation()] * 4, model=Fake(), budget=1000)
    assert (first.example, first.completion, first.finish) == (EXAMPLES[0], "B", "stop")
    assert first.prompt == prompt_hash(first.messages) != second.prompt


def test_examples_asked_window_by_window_are_shown_what_they_are_shown_all_at_once() -> None:
    for context in ("retrieved", "oracle", "distractor"):
        augmenter = FromReferences(replace(ARM, context=context), FakeRetriever(), FakeGold(), seed=1)  # type: ignore[arg-type]
        whole = augmenter.augment(bound(), EXAMPLES, model=None)
        assert [augmenter.augment(bound(), [e], model=None)[0] for e in EXAMPLES] == whole
        assert Prepared(augmenter, bound()).augment(bound(), EXAMPLES[2:3], model=None) == whole[2:3]


def test_several_queries_of_one_example_are_fused() -> None:
    task = replace(TASK, query=lambda example: (f"Question {example.id}?", "Question 9?"))
    augmenter = FromReferences(replace(ARM, k=3), FakeRetriever(), FakeGold(), seed=1)
    (shown, *_) = augmenter.augment(bound(task=task), EXAMPLES, model=None)
    assert [hit.passage.id for hit in shown.hits] == ["d0#0", "d9#0", "d0#1"]
    assert shown.hits[0].parts == {"query 1": 1}


def test_what_was_shown_can_be_shown_again() -> None:
    shown, _ = choose(ARM)
    samples = answer(ARM, bound(), EXAMPLES, shown, model=Fake(), budget=1000)
    passages = {hit.passage.id: hit.passage for one in shown for hit in one.hits}
    again = Replayed(samples, passages, k=10).augment(bound(), EXAMPLES, model=None)
    assert [s.prompt for s in answer(ARM, bound(), EXAMPLES, again, model=Fake(), budget=1000)] == [
        s.prompt for s in samples
    ]
    fewer = Replayed(samples, passages, k=1).augment(bound(), EXAMPLES, model=None)
    assert [[hit.rank for hit in one.hits] for one in fewer] == [[1]] * len(EXAMPLES)
    with pytest.raises(MismatchError, match="passage 'd0#0', shown for example '0', is not in the index any more"):
        Replayed(samples, {}, k=10).augment(bound(), EXAMPLES, model=None)
    with pytest.raises(MismatchError, match="no passages are recorded for example '3'"):
        Replayed(samples[:3], passages, k=10).augment(bound(), EXAMPLES, model=None)
