"""Nothing that is asked is trained on: overlaps are found however they are written, and refused or dropped."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from ragmed.errors import DataError, UnknownNameError
from ragmed.finetuning.overlap import find_overlaps, kept_out
from ragmed.finetuning.recipe import AdapterRecipe, KeepOut
from ragmed.finetuning.texts import TextSet, TrainingText, count_texts
from ragmed.finetuning.training_texts import training_texts
from ragmed.records import Example, Message
from ragmed.workspace import Workspace

QUESTION = "Which beta-blocker should a patient with severe asthma never be given by mouth?"
WORDS = "which beta blocker should a patient with severe asthma never be given by mouth"
LONG = "Give the first dose on the ward and wait for two full hours"


def passage(text: str, name: str = "one") -> TrainingText:
    return TrainingText(f"passages:c:{name}", f"c:{name}", "passages", text)


def found(text: str, *examples: Example, **settings: object) -> list[tuple[str, str, float]]:
    keep_out = replace(KeepOut(), **settings)  # type: ignore[arg-type]
    overlaps = find_overlaps([passage(text)], {"t": examples}, keep_out)
    return [(one.example, one.kind, round(one.score, 3)) for one in overlaps]


def asked(question: str, **options: str) -> Example:
    return Example("q1", question, gold="A", options=options)


@pytest.mark.parametrize(
    "written",
    [
        QUESTION,
        QUESTION.upper(),
        QUESTION.replace(" ", "\n\t "),
        QUESTION.replace("-", "\u2011").replace(" ", "\u00a0"),
        QUESTION.replace("asthma", "as\u00adth\u200bma"),
        QUESTION.replace(" ", "\u200b"),
        QUESTION.replace(" ", " \ufeff"),
        QUESTION.replace(" ", ", \u201c"),
        QUESTION.replace("asthma", "ásthmä"),
        QUESTION.replace("with", "ｗｉｔｈ").replace("never", "𝐧𝐞𝐯𝐞𝐫"),
        QUESTION.replace("severe", "<b>severe</b>").replace("asthma", "as<i>thma</i>"),
        QUESTION.replace("severe", "**severe**").replace("asthma", "[asthma](https://a.org/b)"),
        QUESTION.replace(" ", "<br/>"),
        QUESTION.replace(" ", "&nbsp;"),
        QUESTION.replace("patient with", "patient<!-- hidden --> with"),
    ],
)
def test_a_question_is_found_however_it_is_written(written: str) -> None:
    assert found(f"Before. {written} After.", asked(QUESTION), share=1.0) == [("q1", "question", 1.0)]
    # and the other way round: the example is the one that is written so
    assert found(f"Before. {QUESTION} After.", asked(written), share=1.0) == [("q1", "question", 1.0)]


def test_a_question_is_found_in_a_long_text_and_the_stretch_is_named() -> None:
    text = passage("Nothing of it here. " * 5000 + QUESTION + " Nothing of it here." * 5000)
    overlaps = find_overlaps([text], {"t": [asked(QUESTION)]}, KeepOut())
    assert [(one.text, one.task, one.example, one.shared) for one in overlaps] == [("passages:c:one", "t", "q1", WORDS)]


def test_the_share_of_n_grams_decides() -> None:
    # 14 words: 7 n-grams of 8. The first 11 words hold 4 of them, the first 10 hold 3.
    assert found(" ".join(WORDS.split()[:11]), asked(QUESTION), share=0.5) == [("q1", "question", 0.571)]
    assert found(" ".join(WORDS.split()[:10]), asked(QUESTION), share=0.5) == []
    assert found(" ".join(WORDS.split()[:10]), asked(QUESTION), share=0.4) == [("q1", "question", 0.429)]


def test_other_words_and_another_order_are_no_lexical_overlap() -> None:
    assert (
        found("A patient with severe asthma should never be given which beta-blocker by mouth?", asked(QUESTION)) == []
    )
    assert found("Beta-blockers can make asthma worse, so other drugs are preferred.", asked(QUESTION)) == []


def test_a_short_question_counts_whole_and_from_four_words_on() -> None:
    assert found("He asked: what causes acute gout? We said: urate.", asked("What causes acute gout?")) == [
        ("q1", "question", 1.0)
    ]
    assert found("What causes an acute attack of gout?", asked("What causes acute gout?")) == []
    assert found("What causes gout? Urate does.", asked("What causes gout?")) == []


def test_the_beginning_of_a_sentence_counts_beside_one_of_its_endings() -> None:
    stem = asked("Sickle cell anaemia is a", A="blood disease", B="single gene disorder")
    assert found("Sickle cell anaemia is a disease of red cells.", stem) == []
    assert found("Sickle cell anaemia is a Single-Gene disorder.", stem) == [("q1", "question", 1.0)]
    assert found("Sickle cell anaemia is a disease.", asked("Sickle cell anaemia is a")) == [("q1", "question", 1.0)]


def test_long_options_are_kept_out_and_short_ones_are_ordinary_phrases() -> None:
    example = asked("What is the rule?", A="acute kidney injury", B=LONG)
    assert found(f"In acute kidney injury: {LONG.lower()}.", example) == [("q1", "option", 1.0)]
    assert found("In acute kidney injury, stop the drug.", example) == []


def test_every_turn_from_the_corpora_is_compared() -> None:
    for place, role in enumerate(("user", "assistant")):
        turns = [Message("user", "Hello"), Message("assistant", "Yes")]
        turns[place] = Message(role, QUESTION)  # type: ignore[arg-type]
        text = TrainingText("pairs:c:1", "c:1", "pairs", messages=tuple(turns))
        assert [one.kind for one in find_overlaps([text], {"t": [asked(QUESTION)]}, KeepOut())] == ["question"]


def test_a_text_is_named_once_an_example_and_kind() -> None:
    text = passage(f"{QUESTION} {QUESTION} {LONG}. {LONG}.")
    overlaps = find_overlaps([text], {"s": [asked(QUESTION, A=LONG, B=LONG)], "t": [asked(QUESTION)]}, KeepOut())
    assert [(one.task, one.kind) for one in overlaps] == [("s", "question"), ("s", "option"), ("t", "question")]


def test_paraphrases_are_found_by_their_vectors() -> None:
    turned = "A patient with severe asthma should never be given which beta-blocker by mouth?"
    texts = [
        TrainingText("pairs:c:1", "c:1", "pairs", messages=(Message("user", turned), Message("assistant", "Any."))),
        TrainingText("raft:c:2", "c:2", "raft", messages=(Message("user", "Long"),), question=turned),
        TrainingText("pairs:c:3", "c:3", "pairs", question="What causes gout?"),
        TrainingText("passages:c:4", "c:4", "passages", text=turned),
    ]
    examples = {"t": [asked(QUESTION), Example("blank", "?!", gold="A")]}
    overlaps = find_overlaps(texts, examples, KeepOut(embedder="hashing:4096", similarity=0.95))
    assert [(one.text, one.example, one.kind) for one in overlaps] == [
        ("pairs:c:1", "q1", "paraphrase"),
        ("raft:c:2", "q1", "paraphrase"),
    ]
    # the same words in another order: one vector
    assert overlaps[0].score == pytest.approx(1.0, abs=1e-3)
    assert overlaps[0].shared == QUESTION
    assert find_overlaps(texts, examples, KeepOut()) == []


def test_nothing_to_compare_is_no_overlap() -> None:
    assert find_overlaps([], {"t": [asked(QUESTION)]}, KeepOut(embedder="hashing:8")) == []
    assert find_overlaps([passage(QUESTION)], {}, KeepOut(embedder="hashing:8")) == []
    with pytest.raises(UnknownNameError):
        find_overlaps([replace(passage("x"), question="y")], {"t": [asked(QUESTION)]}, KeepOut(embedder="nonsense"))


def test_ten_thousand_texts_against_eight_thousand_questions() -> None:
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(5000)])
    texts = [passage(" ".join(rng.choice(words, 140)), str(number)) for number in range(10_000)]
    examples = [
        Example(f"q{n}", " ".join(rng.choice(words, 30)), gold="A", options={"A": "x", "B": "y"}) for n in range(8_000)
    ]
    texts[77] = passage("so " + examples[5000].question, "77")
    start = time.perf_counter()
    overlaps = find_overlaps(texts, {"t": examples}, KeepOut())
    assert [(one.text, one.example) for one in overlaps] == [("passages:c:77", "q5000")]
    assert time.perf_counter() - start < 45


# ---- the check of a recipe


@pytest.fixture
def leaking(small: Workspace) -> Workspace:
    """Elm's page quotes a question of mmlu, Oak's the same in a footnote."""
    for ward in ("elm", "oak"):
        with (small.corpora / "wards" / "pages" / f"{ward}.md").open("a") as stream:
            stream.write(f"\nWhat is the **extension** of {ward.title()} ward?\n")
    return small


def recipe(on_overlap: str, *tasks: str) -> AdapterRecipe:
    return AdapterRecipe("mine", "scripted:echo", ("wards",), keep_out=KeepOut(tasks=tasks, on_overlap=on_overlap))


def test_a_training_that_would_see_a_question_is_refused(leaking: Workspace) -> None:
    texts = training_texts(recipe("refuse", "mmlu"), workspace=leaking)
    with pytest.raises(DataError) as refused:
        kept_out(texts, recipe("refuse", "mmlu", "pubmedqa"), workspace=leaking)
    assert str(refused.value) == (
        "adapter 'mine': 2 training texts overlap with examples that keep_out names: "
        "text 'passages:wards:elm' and mmlu example 'm0' (question: \"what is the extension of elm ward\"); "
        "text 'passages:wards:elm' and pubmedqa example 'p0' (question: \"what is the extension of elm ward\"); "
        "text 'passages:wards:oak' and mmlu example 'm1' (question: \"what is the extension of oak ward\"); "
        "and 1 more overlaps; set keep_out.on_overlap: drop to train without them, or take their documents out of the "
        "corpus"
    )


def test_dropped_texts_are_counted_and_named(leaking: Workspace) -> None:
    mine = recipe("drop", "mmlu", "pubmedqa")
    texts = training_texts(mine, workspace=leaking)
    kept, report = kept_out(texts, mine, workspace=leaking)
    assert [len(texts.texts), len(kept.texts), kept.counts["passages"], kept.counts["dropped"]] == [12, 10, 10, 2]
    assert report.dropped == ("passages:wards:elm", "passages:wards:oak")
    recorded = asdict(report)
    assert [recorded[key] for key in ("tasks", "checked", "words", "share", "embedder", "overlaps")] == [
        {"mmlu": 12, "pubmedqa": 8}, 12, 8, 0.5, "", {"question": 2},
    ]  # fmt: skip
    json.dumps(recorded)


def test_other_wordings_of_a_text_that_overlaps_go_with_it(small: Workspace) -> None:
    whole = "What is the extension of Elm ward?"
    texts = (
        TrainingText("pairs:w:elm", "w:elm", "pairs", question=whole, messages=(Message("user", whole),)),
        TrainingText("pairs+t1:w:elm", "w:elm", "pairs", question="Elm's extension?", wording="template"),
        TrainingText("pairs:w:oak", "w:oak", "pairs", question="Oak's extension?"),
        TrainingText("pairs+t1:w:oak", "w:oak", "pairs", messages=(Message("user", whole),), wording="template"),
    )
    textset = TextSet(texts, (), "open", count_texts(texts))
    kept, report = kept_out(textset, recipe("drop", "mmlu"), workspace=small)
    assert [one.id for one in kept.texts] == ["pairs:w:oak"]
    assert report.dropped == ("pairs:w:elm", "pairs+t1:w:elm", "pairs+t1:w:oak")
    with pytest.raises(DataError, match="all 2 training texts overlap"):
        kept_out(replace(textset, texts=texts[:2]), recipe("drop", "mmlu"), workspace=small)


def test_without_tasks_nothing_is_read_and_a_task_that_cannot_be_read_stops(
    small: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = training_texts(recipe("refuse"), workspace=small)
    kept, report = kept_out(texts, recipe("refuse"), workspace=small)
    assert (kept.texts, report.tasks, report.checked) == (texts.texts, {}, 12)
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="nowhere"):
        kept_out(texts, recipe("refuse", "mmlu"), workspace=small)
