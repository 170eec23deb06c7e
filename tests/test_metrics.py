"""Metrics: what single answers score, by hand."""

import random
import unicodedata

import pytest
from rouge_score import rouge_scorer

from ragmed.comparison.baselines import trivial_baselines
from ragmed.errors import DataError, UnknownNameError
from ragmed.metrics import METRICS, find_metric, metric_facts
from ragmed.metrics.f1 import micro_f1
from ragmed.metrics.overlap import rouge_l
from ragmed.records import Example, Gold, Value


def score(name: str, value: Value, gold: Gold) -> object:
    (found,) = find_metric(name).score([(Example("q1", "?", gold=gold), value)])
    return found


def test_an_unknown_metric_is_named_with_near_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown metric 'acuracy'.*accuracy"):
        find_metric("acuracy")


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_goes_by_its_name_and_scores_an_empty_batch(name: str) -> None:
    assert find_metric(name).name == name
    assert list(find_metric(name).score([])) == []
    assert (find_metric(name).total is not None) == (find_metric(name).facts.kind == "ratio")


def test_the_facts_of_several_metrics_keep_their_order() -> None:
    first, second, third = metric_facts(["code_f1", "accuracy", "rouge_l"])
    assert (first.name, first.kind, first.matches_gold) == ("code_f1", "ratio", False)
    assert (second.name, second.kind, second.matches_gold) == ("accuracy", "binary", True)
    assert (third.name, third.kind, third.higher_is_better) == ("rouge_l", "graded", True)


@pytest.mark.parametrize(
    ("value", "gold", "right"),
    [
        ("B", "B", 1.0),
        ("A", "B", 0.0),
        ("C", ("A", "C"), 1.0),
        ("B", ("A", "C"), 0.0),
        (None, "B", 0.0),
        (None, ("A", "C"), 0.0),
        ("", "B", 0.0),
    ],
)
def test_of_several_gold_answers_any_is_right(value: Value, gold: Gold, right: float) -> None:
    assert score("accuracy", value, gold) == right


@pytest.mark.parametrize(
    ("value", "expected"), [("Not stated.", 1.0), ("40 mg, not stated elsewhere", 0.0), (("Not stated.",), 0.0)]
)
def test_an_abstention_is_told_by_how_a_text_opens(value: Value, expected: float) -> None:
    assert score("abstained", value, "") == expected


@pytest.mark.parametrize(
    ("value", "gold", "counts"),
    [
        (("E11.9", "J45"), ("I10", "E119"), (1.0, 1.0, 1.0)),
        (("e11.9", "E119"), ("E11.9",), (1.0, 0.0, 0.0)),
        ("I10", ("I10", "E11.9"), (1.0, 0.0, 1.0)),
        (None, ("I10", "E11.9"), (0.0, 0.0, 2.0)),
        ((), (), (0.0, 0.0, 0.0)),
        (("I10",), (), (0.0, 1.0, 0.0)),
    ],
)
def test_codes_are_counted_once_with_or_without_their_point(
    value: Value, gold: Gold, counts: tuple[float, ...]
) -> None:
    assert score("code_f1", value, gold) == counts
    assert find_metric("code_f1").total is micro_f1


@pytest.mark.parametrize(
    ("value", "gold", "right"),
    [
        (40.0, "40", 1.0),
        (12.5, ("12", "12.5"), 1.0),
        (1250.0, "1,250", 1.0),
        (40.0, "40 mg", 0.0),
        (("b", "a"), ("a", "b"), 1.0),
        (("a",), ("a", "b"), 0.0),
        (("a", "b"), ("a",), 0.0),
        (("a",), "a", 1.0),
        ({"codes": ["I10"], "dose": 40}, {"codes": ("I10",), "dose": ("40",)}, 1.0),
        ({"codes": ["I10"]}, {"codes": ("I10",), "dose": ("40",)}, 0.0),
        ({"codes": ["I10", {"a": True}]}, {"codes": ("I10",)}, 0.0),
        ({"codes": []}, "I10", 0.0),
        ("I10", {"codes": ("I10",)}, 0.0),
    ],
)
def test_numbers_lists_and_named_lists_are_compared_as_what_they_are(value: Value, gold: Gold, right: float) -> None:
    assert score("accuracy", value, gold) == right


SCRIPTS = (
    "高血压", "вирусный гепатит В", "Säuglinge mit Übergewicht", "ارتفاع ضغط الدم", "उच्च रक्तचाप",
    "고혈압 치료", "ความดันโลหิตสูง", "λοίμωξη", "é", "٤٠", "5 µg",
)  # fmt: skip


@pytest.mark.parametrize("text", SCRIPTS)
@pytest.mark.parametrize("name", ["rouge_l", "rouge_1"])
def test_a_text_of_any_script_is_all_of_itself_and_nothing_of_another(name: str, text: str) -> None:
    assert score(name, text, text) == 1.0
    assert score(name, text.upper(), text) == 1.0
    assert score(name, unicodedata.normalize("NFD", text), text) == 1.0
    assert score(name, "nothing", text) == 0.0


def test_rouge_shares_words_between_scripts_as_within_them() -> None:
    assert score("rouge_1", "Säuglinge schlafen", "Säuglinge trinken") == 0.5
    assert score("rouge_1", "高血", "高血压病") == pytest.approx(2 / 3)
    assert score("rouge_2", "高血压", "高血压病") == pytest.approx(0.8)
    # words of a-z are the same, stemmed, beside others
    assert score("rouge_1", "treatments of naïve patients", "treatment of patient") == pytest.approx(6 / 7)
    assert score("rouge_1", "the drug’s dose – 5", "the drug's dose - 5") == 1.0


def test_rouge_of_ascii_texts_is_that_of_the_package() -> None:
    draw, theirs = random.Random(0), rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    pieces = ["Treatment", "treatments", "of", "a_b", "12.5", "mg/kg", "--", "running", "\n", "x", "D'or", "IV"]
    for _ in range(1000):
        answer, gold = (" ".join(draw.choices(pieces, k=draw.randrange(1, 9))) + " x" for _ in range(2))
        for ours, name in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
            assert score(ours, answer, gold) == theirs.score(gold, answer)[name].fmeasure


def test_a_reference_without_words_is_refused() -> None:
    with pytest.raises(DataError, match="rouge_l: the reference '—' of example 'q1' has no word"):
        score("rouge_l", "any", "—")


def test_rouge_takes_the_best_of_several_references() -> None:
    assert score("rouge_l", "the cat sat", ("a dog", "the cat sat")) == 1.0
    assert score("rouge_1", "the cat", ("the", "the cat sat down")) == pytest.approx(2 / 3)
    assert score("rouge_2", "the cat", ()) == 0.0


@pytest.mark.parametrize("gold", [("I10", "E11.9"), {"codes": ("I10", "E11.9")}, "I10; E11.9", "I10,E119"])
def test_gold_codes_are_a_list_named_codes_or_one_text(gold: Gold) -> None:
    assert score("code_f1", ("I10", "J45"), gold) == (1.0, 1.0, 1.0)
    assert score("code_f1", {"codes": ["I10", 7]}, gold) == (1.0, 0.0, 1.0)


def test_the_majority_baseline_counts_every_accepted_answer() -> None:
    examples = [Example("1", "?", gold=("a", "b")), Example("2", "?", gold=("b", "c")), Example("3", "?", gold="a")]
    rows, _ = trivial_baselines("t", "accuracy", [*examples, Example("4", "?", gold="b")])
    assert [(row.name, row.value) for row in rows] == [("majority", 0.75)]


def test_long_texts_are_measured_in_no_time() -> None:
    words = [f"w{i}" for i in range(2000)]
    draw = random.Random(1)
    one, other = (" ".join(draw.choices(words, k=16_000)) for _ in range(2))
    assert 0.04 < rouge_l(one, other) < 0.06  # a table of all pairs would take minutes


def test_signs_are_words_where_they_are_asked_for() -> None:
    batch = [(Example("1", "?", gold="BP < 90"), "BP > 90"), (Example("2", "?", gold="40%"), "40 %")]
    assert find_metric("rouge_l").score(batch) == [1.0, 1.0]
    assert find_metric("rouge_l_signs").score(batch) == [pytest.approx(2 / 3), 1.0]
