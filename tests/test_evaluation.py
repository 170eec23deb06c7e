from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from ragmed.arms import Arm
from ragmed.errors import MismatchError
from ragmed.evaluation import answer
from ragmed.records import Completion, Example, Hit, Message, OptionScores, Passage
from ragmed.selection import Shown, choose_passages
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
    Example(str(i), f"Question {i}?", "B", {"A": "wrong", "B": "right"}, documents=(f"d{i}",)) for i in range(4)
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


def choose(arm: Arm, task: Task = TASK) -> tuple[list[Shown], FakeRetriever]:
    retriever = FakeRetriever()
    shown = choose_passages(arm, bound(task=task), EXAMPLES, retriever=retriever, gold=FakeGold(), seed=1)
    return shown, retriever


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
    shown = choose_passages(arm, bound(), EXAMPLES, retriever=Found(), gold=LongGold(), seed=1)
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
    with pytest.raises(MismatchError, match="no corpus of index 'pages' says `ids: scifact`"):
        choose(replace(ARM, context="oracle"), other)
    shown, _ = choose(replace(ARM, context="distractor"), other)
    assert all(not h.passage.document.endswith(str(i)) for i, one in enumerate(shown) for h in one.hits)
    shown, _ = choose(ARM, other)
    assert set(shown[0].gold.values()) == {None}


def test_an_option_is_chosen_and_scored() -> None:
    (sample, *_) = answer(ARM, bound(), EXAMPLES, [Shown()] * 4, model=Fake(), budget=1000)
    assert (sample.status, sample.extracted, sample.scores) == ("answered", "B", {"accuracy": 1.0})
    assert sample.option_logprobs == (-2.0, -1.0)
    (sample, *_) = answer(ARM, bound("option-text"), EXAMPLES, [Shown()] * 4, model=Fake(best="wrong"), budget=1000)
    assert (sample.extracted, sample.scores) == ("A", {"accuracy": 0.0})


def test_passages_that_do_not_fit_are_dropped_whole_and_recorded() -> None:
    shown = [
        Shown(hits(passage("d0", 0, 40), passage("x", 0, 40), passage("y", 0, 40)), gold={"d0#0": True, "x#0": False})
    ] * 4
    model = Fake()
    (sample, *_) = answer(ARM, bound(), EXAMPLES, shown, model=model, budget=170)
    assert [p["id"] for p in sample.passages] == ["d0#0", "x#0"]
    assert [p["gold"] for p in sample.passages] == [True, False]
    assert sample.dropped == ("y#0",)
    assert sample.input_tokens <= 170
    assert model.seen[0].count("word") == 80


def test_a_prompt_that_does_not_fit_is_an_error_with_its_reason_and_never_cut() -> None:
    model = Fake()
    samples = answer(ARM, bound(), EXAMPLES, [Shown(hits(passage("d0")))] * 4, model=model, budget=5)
    assert [s.status for s in samples] == ["error"] * 4
    assert "the budget is 5" in samples[0].note
    assert samples[0].scores == {}
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
    (sample, *_) = answer(ARM, bound("generate"), EXAMPLES, [Shown()] * 4, model=model, budget=1000)
    assert (sample.status, dict(sample.scores)) == (status, scores)


def test_a_failure_of_scoring_is_an_error_not_a_zero() -> None:
    (sample, *_) = answer(ARM, bound(), EXAMPLES, [Shown()] * 4, model=Fake(error="no"), budget=1000)
    assert (sample.status, dict(sample.scores), sample.note) == ("error", {}, "no")


def test_lengths_are_normalised_as_declared() -> None:
    for normalise, best in (("none", "A"), ("characters", "B")):
        settings = TaskSettings(scoring="option-text", normalise=normalise)  # type: ignore[arg-type]
        example = replace(EXAMPLES[0], options={"A": "x", "B": "long enough to gain"})
        task = BoundTask(TASK, settings, (example,), ())
        (sample,) = answer(ARM, task, [example], [Shown()], model=Fake(best="x"), budget=1000)
        assert sample.extracted == best


@pytest.mark.parametrize(("order", "ids"), [("ranked", ["x#0", "y#0"]), ("reversed", ["y#0", "x#0"])])
def test_passages_stand_in_the_order_of_the_arm_and_keep_their_rank(order: str, ids: list[str]) -> None:
    shown = [Shown(hits(passage("x"), passage("y"), passage("z", 0, 400)))] * 4
    arm = replace(ARM, passage_order=order)  # type: ignore[arg-type]
    model = Fake()
    (sample, *_) = answer(arm, bound(), EXAMPLES, shown, model=model, budget=120)
    assert [p["id"] for p in sample.passages] == ids
    assert {p["id"]: p["rank"] for p in sample.passages} == {"x#0": 1, "y#0": 2}
    assert sample.dropped == ("z#0",)  # what does not fit is still the last ranked
    places = [model.seen[0].index(f"word-{id_[0]}") for id_ in ids]
    assert places == sorted(places)
    assert ([p["document"] for p in sample.passages], sample.documents) == ([id_[0] for id_ in ids], ("d0",))


def test_shuffled_passages_stand_in_another_order_in_each_example() -> None:
    shown = [Shown(hits(*(passage(name) for name in "vwxyz")))] * 4
    arm = replace(ARM, passage_order="shuffled")
    orders = [
        [tuple(p["id"] for p in s.passages) for s in answer(arm, bound(), EXAMPLES, shown, model=Fake(), budget=999)]
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

    samples = answer(ARM, bound("generate"), EXAMPLES, [Shown()] * 4, model=Timed(), budget=1000)
    assert [s.request_seconds for s in samples] == [0.25, 1.25, 2.25, 3.25]
    (sample, *_) = answer(ARM, bound(), EXAMPLES, [Shown()] * 4, model=Fake(), budget=1000)
    assert (sample.request_seconds, sample.option_tokens) == (0.0, (1, 1))
