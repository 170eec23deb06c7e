"""Passages that say otherwise than the gold: conflicting references, and what an attacker plants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from answers import answer, by_arm_and_task, compared

from ragmed.arms import Arm
from ragmed.augmentation import FromReferences, FromRun, Replayed
from ragmed.comparison.cautions import cautions
from ragmed.comparison.diagnosis.diagnose import RunFacts
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.intervals import wilson
from ragmed.errors import MismatchError, UsageError
from ragmed.evaluation import unanswered
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.models import ModelSettings, load_model
from ragmed.planted import TEMPLATES, planted_again, planted_passages
from ragmed.records import Answer, Example, Hit, Passage, Sample, ShownPassage
from ragmed.report.diagnosis import followed
from ragmed.retrieval.trec_run import Ranked
from ragmed.runs import Run
from ragmed.tasks import BoundTask, Split, Task, TaskSettings, load_task
from ragmed.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
TASK = Task(
    "rules", "Rules", "choice", "You answer.", lambda workspace: Split(()), "here", "none", ("accuracy",),
    gold_documents=True, ids="pages",
)  # fmt: skip
EXAMPLES = tuple(
    Example(
        f"q{i}", f"What is the dose of drug {i}?", options={"A": "5 mg", "B": "50 mg", "C": "500 mg"}, gold="A",
        documents=(f"d{i}",), contradictions={f"old:d{i}": "B"},
    )
    for i in range(40)
)  # fmt: skip
CONFLICT = Arm("conflict", "m", "conflict", "i", 1)
POISONED = Arm("poisoned", "m", "poisoned", "i", 3, planted=5)


def page(corpus: str, document: str, text: str, number: int = 0) -> Passage:
    return Passage(f"{corpus}:{document}#{number}", document, "T", "", text, 0, len(text), corpus=corpus)


def pages(document: str) -> list[Passage]:
    """Of both editions, with a passage that is the same in both."""
    said = {"new": "the dose is 5 mg", "old": "the dose is 50 mg"}
    return [page(c, document, text, n) for c in said for n, text in enumerate((f"{document} in both", said[c]))]


class Pages:
    """Passages of two editions whose documents are named alike; ranks the last candidate first."""

    identity: ClassVar[Mapping[str, object]] = {"method": "fake", "version": 1}

    def __init__(self, *editions: str) -> None:
        self.editions = editions or ("new", "old")

    def naming(self, ids: str) -> frozenset[str]:
        return frozenset(self.editions) if ids == "pages" else frozenset()

    def passages_of(self, names: Sequence[str], *, ids: str) -> Mapping[str, Sequence[Passage]]:
        every = [one for i in range(len(EXAMPLES)) for one in pages(f"d{i}") if one.corpus in self.editions]
        return {n: [one for one in every if n in ((one.document,) if ids else (str(one.document_key),))] for n in names}

    def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
        others = [Hit(page("new", f"x{n}", f"text {n}"), 1.0 - n / 10, n + 1) for n in range(k)]
        return [others for _ in queries]

    def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
        return [[Hit(p, 1.0, n + 1) for n, p in enumerate(reversed(c))] for c in candidates]


def bound(examples: Sequence[Example] = EXAMPLES) -> BoundTask:
    return BoundTask(TASK, TaskSettings(scoring="letters"), tuple(examples), ())


def asked(arm: Arm, *, seed: int = 0, examples: Sequence[Example] = EXAMPLES, budget: int = 4000) -> list[Sample]:
    source = Pages()
    found = FromReferences(arm, source, source, seed=seed).augment(bound(examples), examples, model=None)
    model = load_model(ModelSettings("scripted:first-option"), workspace=Workspace.find(ROOT))
    return unanswered(arm, bound(examples), examples, found, model=model, budget=budget)


# ---- conflict


def test_a_conflict_is_the_oracles_passage_and_one_of_the_other_edition_that_says_otherwise() -> None:
    for sample in asked(CONFLICT):
        name = sample.example.documents[0]
        by_role = {passage.role: passage for passage in sample.passages}
        assert {role: one.id for role, one in by_role.items()} == {
            "": f"new:{name}#1", "contradicting": f"old:{name}#1"
        }  # fmt: skip
        assert (by_role[""].gold, by_role["contradicting"].gold) == (True, False)
        assert by_role["contradicting"].claims == "B"
        assert "the dose is 5 mg" in sample.messages[-1].content
        assert "the dose is 50 mg" in sample.messages[-1].content
        assert [passage.rank for passage in sample.passages] == [1, 2]


def test_what_stands_first_is_drawn_by_seed_and_example() -> None:
    def first(seed: int, examples: Sequence[Example] = EXAMPLES) -> dict[str, str]:
        return {sample.example.id: sample.passages[0].role for sample in asked(CONFLICT, seed=seed, examples=examples)}

    drawn = first(0)
    assert 8 <= list(drawn.values()).count("contradicting") <= 32  # of 40; p < 0.001 outside
    assert first(0, EXAMPLES[5:9]) == {f"q{i}": drawn[f"q{i}"] for i in range(5, 9)}  # whatever else is asked
    assert first(1) != drawn


def test_the_contradicting_passage_is_never_one_that_both_hold() -> None:
    class InOrder(Pages):
        def rank(self, queries: Sequence[str], candidates: Sequence[Sequence[Passage]]) -> list[list[Hit]]:
            return [[Hit(p, 1.0, n + 1) for n, p in enumerate(c)] for c in candidates]

    source = InOrder()  # which ranks the passage first that is the same in both editions
    (found, *_) = FromReferences(CONFLICT, source, source, seed=0).augment(bound(), EXAMPLES, model=None)
    assert {hit.passage.id for hit in found.hits} == {"new:d0#0", "old:d0#1"}


@pytest.mark.parametrize(
    ("editions", "missing"), [(("new",), "passage that contradicts its gold"), (("old",), "gold passage")]
)
def test_an_index_without_both_sides_is_refused_and_never_becomes_an_oracle(
    editions: tuple[str, ...], missing: str
) -> None:
    source = Pages(*editions)
    with pytest.raises(MismatchError, match=rf"'i' holds no {missing} of example 'q0'.*old:d0"):
        FromReferences(CONFLICT, source, source, seed=0).augment(bound(), EXAMPLES, model=None)


def test_a_conflict_is_shown_whole_or_not_at_all() -> None:
    (whole,) = asked(CONFLICT, examples=EXAMPLES[:1])
    (cut,) = asked(CONFLICT, examples=EXAMPLES[:1], budget=whole.input_tokens - 1)
    assert len(cut.passages) == 2  # too long as it is: `answer` makes it an error, and asks no half of a conflict
    assert not cut.dropped


def test_the_other_edition_is_no_gold_where_both_are_searched() -> None:
    class Both(Pages):
        def retrieve(self, queries: Sequence[str], *, k: int) -> list[list[Hit]]:
            return [[Hit(p, 1.0, n + 1) for n, p in enumerate(pages("d0"))] for _ in queries]

    source = Both()
    arm = Arm("rag", "m", "retrieved", "i", 4)
    (found,) = FromReferences(arm, source, source, seed=0).augment(bound(EXAMPLES[:1]), EXAMPLES[:1], model=None)
    assert found.gold == {"new:d0#0": True, "new:d0#1": True, "old:d0#0": False, "old:d0#1": False}


def test_letters_that_move_take_the_claims_with_them(tmp_path: Path) -> None:
    plain, moved = (
        load_task("handbook-changed", TaskSettings(options=options), workspace=Workspace.find(ROOT), seed=0)  # type: ignore[arg-type]
        for options in ("published", "reversed")
    )
    for one, other in zip(plain.examples, moved.examples, strict=True):
        ((document, letter),), ((same, there),) = one.contradictions.items(), other.contradictions.items()
        assert (document, one.options[letter]) == (same, other.options[there])
        assert one.options[letter] != one.options[str(one.gold)]


def test_the_handbooks_editions_contradict_each_other() -> None:
    here = Workspace.find(ROOT)
    now, before = (load_task(f"handbook-changed{of}", TaskSettings(), workspace=here, seed=0) for of in ("", "-2031"))
    for one, other in zip(now.examples, before.examples, strict=True):
        (said,), (told,) = one.contradictions, other.contradictions
        assert (said, told) == (f"handbook-2031:{one.documents[0]}", f"handbook:{one.documents[0]}")
        assert (one.contradictions[said], other.contradictions[told]) == (other.gold, one.gold)
        texts = [(here.corpora / key.replace(":", "/pages/")).with_suffix(".md").read_text() for key in (said, told)]
        assert texts[0] != texts[1]
    every = load_task("handbook-questions", TaskSettings(), workspace=here, seed=0).examples
    assert 0 < sum(bool(example.contradictions) for example in every) < len(every)


# ---- planted passages


def test_five_passages_are_planted_among_those_that_retrieval_brings() -> None:
    places = []
    for sample in asked(POISONED):
        planted = [passage for passage in sample.passages if passage.role == "planted"]
        others = [passage.id for passage in sample.passages if passage.role == ""]
        (claim,) = {passage.claims for passage in planted}
        assert len(planted) == 5
        assert others == ["new:x0#0", "new:x1#0", "new:x2#0"]  # in the order of the retriever
        assert claim in "BC"
        assert all(passage.gold is False for passage in planted)
        assert all(passage.document == f"planted:{sample.example.id}/{claim}" for passage in planted)
        assert sample.messages[-1].content.count(f"{sample.example.options[claim]}") >= 5
        places.append(tuple(passage.role == "planted" for passage in sample.passages))
    assert len(set(places)) > 5
    assert {sample.passages[0].role for sample in asked(POISONED)} == {"", "planted"}


def test_the_wrong_option_is_drawn_for_each_example_and_is_never_right() -> None:
    claims = {e.id: planted_passages(e, count=1, seed=0)[0].document[-1] for e in EXAMPLES}
    assert set(claims.values()) == {"B", "C"}
    same = Example("q", "?", options={"A": "5 mg", "B": "5 mg.", "C": "6 mg"}, gold="A")  # two letters with one text
    assert planted_passages(same, count=2, seed=3)[0].document == "q/C"
    assert planted_passages(replace(same, options={"A": "5 mg"}), count=2, seed=3) == []
    assert planted_passages(replace(same, gold="?"), count=2, seed=3) == []  # what is right is not known
    texts = [passage.text for passage in planted_passages(EXAMPLES[0], count=len(TEMPLATES), seed=0)]
    assert len(set(texts)) == len(TEMPLATES)
    assert all(EXAMPLES[0].question in text for text in texts)


def test_replays_plant_the_same_again() -> None:
    samples = asked(POISONED, examples=EXAMPLES[:4])
    held = {f"new:x{n}#0": page("new", f"x{n}", f"text {n}") for n in range(3)}
    again = Replayed(samples, held, k=8).augment(bound(), EXAMPLES[:4], model=None)
    ranked = {s.example.id: [Ranked(p.id, 1.0 / p.rank) for p in s.passages] for s in samples}
    from_file = FromRun(ranked, held, Pages(), k=8).augment(bound(), EXAMPLES[:4], model=None)
    arm = replace(POISONED, context="retrieved", planted=0, k=8)
    model = load_model(ModelSettings("scripted:first-option"), workspace=Workspace.find(ROOT))
    for found in (again, from_file):
        made = unanswered(arm, bound(), EXAMPLES[:4], found, model=model, budget=4000)
        assert [one.prompt for one in made] == [one.prompt for one in samples]
        assert [[p.role + p.claims for p in one.passages] for one in made] == [
            [p.role + p.claims for p in one.passages] for one in samples
        ]
    turned = [replace(e, options={"A": "500 mg", "B": "50 mg", "C": "5 mg"}, gold="C") for e in EXAMPLES[:4]]
    with pytest.raises(MismatchError, match="other options now than in the run that is replayed"):
        Replayed(samples, held, k=8).augment(bound(turned), turned, model=None)


@pytest.mark.parametrize("wrong", ["planted:q1/B#0", "planted:q0/Z#0", "planted:q0/B#99", "planted:q0/B#x", "planted:"])
def test_an_id_that_nothing_was_planted_under_is_refused(wrong: str) -> None:
    with pytest.raises(MismatchError, match="was planted for no option of example 'q0'"):
        planted_again(wrong, EXAMPLES[0])


# ---- who follows them


def told(arm: str, values: str, claims: str, role: str = "planted") -> list[Answer]:
    """One example for each letter: its answer (? unreadable, ! an error), and what passages shown claim (- none)."""
    return [
        answer(
            f"e{i}", arm, "t", value=value if value.isalpha() else None,
            status={"?": "unparsed", "!": "error"}.get(value, "answered"),
            passages=() if claim == "-" else (ShownPassage("p:x#0", "p:x", 1, role=role, claims=claim),),  # type: ignore[arg-type]
        )
        for i, (value, claim) in enumerate(zip(values, claims, strict=True))
    ]  # fmt: skip


def compared_arms(samples: Sequence[Answer], arms: Mapping[str, Mapping[str, Any]]) -> Any:
    settings = ComparisonSettings(baseline=samples[0].sample.arm, resamples=200)
    return compared(by_arm_and_task(samples), settings, facts=RunFacts(arms=arms, tasks={"t": {}}))


ARMS = {
    "rag": {"model": "m", "context": "retrieved", "index": "i", "k": 3},
    "poisoned": {"model": "m", "context": "poisoned", "index": "i", "k": 3, "planted": 5},
}


def test_the_success_of_an_attack_is_set_beside_the_same_answers_without_it() -> None:
    #                           follows: B B B B . . ? !, and one at which nothing was planted
    samples = [*told("rag", "BABAABAAA", "---------"), *told("poisoned", "BBBBAA?!B", "BBBBBBBB-")]
    (row,) = compared_arms(samples, ARMS).followed
    assert (row.arm, row.role, row.n, row.count) == ("poisoned", "planted", 7, 4)
    assert row.share == pytest.approx(4 / 7)
    assert row.ci == pytest.approx(wilson(4, 7))
    assert (row.beside, row.beside_n, row.beside_share) == ("rag", 7, pytest.approx(3 / 7))
    assert row.difference == pytest.approx(1 / 7)  # gained at e1 and e3, lost at e5
    assert (row.test, row.p) == ("mcnemar-exact", pytest.approx(1.0))
    said = followed(row)
    assert said.startswith("poisoned: 4 of 7 answers, 0.571 [0.250, 0.842], are what planted passages claim; rag")


def test_two_letters_with_one_text_are_one_answer() -> None:
    same = ("5 mg", "6 mg", "6 MG")
    samples = [
        answer("e0", arm, "t", value="C", options=same, passages=shown)
        for arm, shown in (("rag", ()), ("poisoned", (ShownPassage("p:x#0", "p:x", role="planted", claims="B"),)))
    ]
    (row,) = compared_arms(samples, ARMS).followed
    assert (row.count, row.n, row.beside_share) == (1, 1, 1.0)


def test_what_claims_nothing_or_several_things_is_followed_by_nobody() -> None:
    samples = [*told("rag", "BB", "--"), *told("poisoned", "BB", "BB")]
    none = [replace(a, sample=replace(a.sample, passages=tuple(replace(p, claims="") for p in a.sample.passages)))
            for a in samples]  # fmt: skip
    assert compared_arms(none, ARMS).followed == ()
    two = ShownPassage("p:y#0", "p:y", 2, role="planted", claims="A")
    both = [replace(a, sample=replace(a.sample, passages=(*a.sample.passages, two) if a.sample.passages else ()))
            for a in samples]  # fmt: skip
    assert compared_arms(both, ARMS).followed == ()


# ---- configs, trials


RAW: dict[str, Any] = {
    "models": {"m": "scripted:first-option"},
    "index": "i",
    "tasks": {"handbook-changed": {"scoring": "letters"}},
    "arms": {
        "closed": {"model": "m"},
        "rag": {"model": "m", "context": "retrieved", "k": 2},
        "oracle": {"model": "m", "context": "oracle", "k": 1},
        "conflict": {"model": "m", "context": "conflict", "k": 1},
        "poisoned": {"model": "m", "context": "poisoned", "k": 2},
        "few": {"model": "m", "context": "poisoned", "k": 2, "planted": 1},
    },
    "comparison": {"resamples": 200},
}


def test_the_pairs_that_differ_in_nothing_but_what_misleads_are_compared_by_themselves() -> None:
    experiment = make_experiment(RAW, default_name="x", where="x")
    assert experiment.arms["poisoned"].planted == 5
    assert experiment.comparison.misled == (("oracle", "conflict"), ("rag", "poisoned"), ("rag", "few"))
    arms = {name: {"model": a.model, "context": a.context, "index": a.index, "k": a.k, "planted": a.planted}
            for name, a in experiment.arms.items()}  # fmt: skip
    assert cautions(arms, experiment.comparison.misled) == []
    other = {**arms, "poisoned": {**arms["poisoned"], "model": "n"}}
    (said,) = cautions(other, experiment.comparison.misled)
    assert said.startswith("poisoned and rag differ in model and what is shown")


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({"context": "retrieved", "k": 2, "planted": 3}, "planted: it means nothing in the context 'retrieved'"),
        ({"context": "poisoned", "k": 2, "planted": 9}, "planted: it is 9; it must be at most 8"),
        ({"context": "conflict"}, "the context 'conflict' needs k"),
        ({"context": "poisoned", "k": 2, "replay": "run/rag"}, r"\.replay: .* in the context 'retrieved'"),
    ],
)
def test_settings_without_a_meaning_are_refused(arm: Mapping[str, Any], said: str) -> None:
    raw = {**RAW, "arms": {"closed": {"model": "m"}, "odd": {"model": "m", **arm}}}
    with pytest.raises(UsageError, match=said):
        make_experiment(raw, default_name="x", where="x")


@pytest.fixture
def editions(tmp_path: Path) -> Workspace:
    """A workspace with both editions of the handbook in one index."""
    for name in ("handbook", "handbook-2031"):
        (tmp_path / "corpora").mkdir(exist_ok=True)
        (tmp_path / "corpora" / name).symlink_to(ROOT / "corpora" / name)
    (tmp_path / "indexes" / "i").mkdir(parents=True)
    (tmp_path / "indexes" / "i" / "recipe.yaml").write_text(
        "corpora: [handbook, handbook-2031]\nembedder: hashing:512\n"
    )
    return Workspace.find(tmp_path)


def test_a_trial_of_both_over_the_handbooks_two_editions(editions: Workspace) -> None:
    raw = {**RAW, "tasks": {**RAW["tasks"], "handbook-questions": {"scoring": "letters", "limit": 20},
                            "handbook-unanswerable": {"limit": 12}}}  # fmt: skip
    results = run_experiment(make_experiment(raw, default_name="both", where="x"), workspace=editions)
    reasons = {(row.arm, row.task): row.reason for row in results.not_run}
    assert "names no document that contradicts the gold one" in reasons["conflict", "handbook-questions"]
    assert "no wrong answer of it could be planted" in reasons["poisoned", "handbook-unanswerable"]
    pairs = {(row.baseline, row.arm) for row in results.contrasts if row.task == "handbook-changed"}
    assert {("oracle", "conflict"), ("rag", "poisoned"), ("rag", "few")} <= pairs
    rows = {(row.arm, row.task): row for row in results.followed}
    assert rows["conflict", "handbook-changed"].beside == "oracle"
    assert rows["poisoned", "handbook-questions"].beside == "rag"
    assert all(0 <= row.ci[0] <= row.share <= row.ci[1] <= 1 for row in rows.values())
    run = Run(editions.runs / "both", access="open")
    for sample in run.samples_of("conflict", "handbook-changed"):
        gold, against = sorted(sample.passages, key=lambda passage: passage.role)
        assert (gold.gold, against.role, against.document[:14]) == (True, "contradicting", "handbook-2031:")
        assert against.claims == sample.example.contradictions[against.document]
    page_text = (editions.runs / "both" / "report" / "index.html").read_text()
    assert "Who follows passages that say otherwise" in page_text
    assert "among 5 that were planted" in page_text


def test_an_arm_replays_what_was_planted_in_another_run(editions: Workspace) -> None:
    run_experiment(make_experiment(RAW, default_name="first", where="x"), workspace=editions)
    again = {"model": "m", "context": "retrieved", "k": 7, "replay": "first/poisoned"}
    raw = {**RAW, "arms": {"closed": {"model": "m"}, "again": again}}
    run_experiment(make_experiment(raw, default_name="second", where="x"), workspace=editions)
    first = list(Run(editions.runs / "first", access="open").samples_of("poisoned", "handbook-changed"))
    second = list(Run(editions.runs / "second", access="open").samples_of("again", "handbook-changed"))
    assert [sample.prompt for sample in first] == [sample.prompt for sample in second]
    assert [sample.passages for sample in first] == [sample.passages for sample in second]


@pytest.mark.parametrize("name", ["planted", "record"])
def test_no_corpus_is_called_what_passages_of_none_are_called(tmp_path: Path, name: str) -> None:
    from ragmed.corpora import load_recipe

    (tmp_path / name).mkdir()
    (tmp_path / name / "recipe.yaml").write_text("title: T\nreader: text\npaths: [p]\nlicense: none\n")
    with pytest.raises(UsageError, match=f"'{name}' is what passages that come from no corpus are called"):
        load_recipe(tmp_path / name / "recipe.yaml", data=tmp_path)


def test_plans_count_all_that_can_be_shown() -> None:
    assert (POISONED.most_shown, CONFLICT.most_shown, Arm("closed", "m").most_shown) == (8, 2, 0)
