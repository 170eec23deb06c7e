"""Texts are matched by words, n-grams, order and meaning, however they are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from ragmed.matching.ngrams import Finder, Target, question_targets, text_targets
from ragmed.matching.paraphrases import Paraphrase, paraphrases
from ragmed.matching.similarity import copies_any, words_in_order
from ragmed.matching.words import is_question, readings, shortened
from ragmed.records import Example

QUESTION = Example("q1", "Which beta-blocker should a patient with severe asthma never be given by mouth?", gold="A")
STEM = Example("q2", "Sickle cell anaemia is a", gold="A", options={"A": "blood disease", "B": "single gene disorder"})


def test_readings_part_words_and_join_them() -> None:
    assert readings("The p-value (p < 0.05 and > 0.01) of 5_x") == [
        ["the", "p", "value", "p", "0", "05", "and", "0", "01", "of", "5", "x"]
    ]
    assert readings("heart\u200bfailure") == [["heart", "failure"], ["heartfailure"]]
    assert readings("?!") == [[]]


def test_a_question_ends_in_its_mark() -> None:
    assert [is_question(text) for text in ("Is it?", "Is it? **", "\u201cIs it?\u201d", "It is a", "")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_long_texts_are_shown_by_their_first_words() -> None:
    assert shortened("one  two\nthree") == "one two three"
    assert shortened("a " * 20) == " ".join("a" * 14) + " ..."


def test_a_match_is_the_share_of_n_grams_and_the_longest_stretch() -> None:
    finder = Finder(list(question_targets("t", QUESTION, length=8, share=0.5)))
    # 14 words: 7 n-grams of 8, of which the first 11 words hold 4 and the first 10 hold 3
    (match,) = finder.find("Which beta-blocker should a patient with severe asthma never be? Unknown.")
    assert (match.target.example, round(match.score, 3)) == ("q1", 0.571)
    assert match.shared == "which beta blocker should a patient with severe asthma never be"
    assert finder.find("Which beta-blocker should a patient with severe asthma never? Unknown.") == []


def test_a_stem_is_found_beside_one_of_its_options() -> None:
    finder = Finder(list(question_targets("t", STEM, length=8, share=0.5)))
    assert [match.score for match in finder.find("Sickle cell anaemia is a single-gene disorder.")] == [1.0]
    assert finder.find("Sickle cell anaemia is a disease of red cells.") == []


def test_n_grams_that_are_common_do_not_count() -> None:
    (target,) = question_targets("t", QUESTION, length=8, share=0.5)
    rest = target.without(frozenset(target.ngrams[:5]), share=0.5)
    assert (target.total, target.need, rest.total, rest.need) == (7, 4, 2, 1)
    assert target.without(frozenset(target.ngrams), share=0.5).total == 0
    opening = "which beta blocker should a patient with severe asthma never be given"
    assert [match.score for match in Finder([target]).find(opening)] == [pytest.approx(5 / 7)]
    assert Finder([rest]).find(opening) == []


def test_a_short_text_is_no_target() -> None:
    def targets(text: str) -> list[Target]:
        return list(text_targets("t", "q1", "option", text, length=8, share=0.5))

    assert targets("acute kidney injury") == []
    assert [target.total for target in targets("Give the first dose and wait for two hours")] == [2]


def test_words_in_order() -> None:
    # 6 and 7 words, 6 in both: 2 x 6 / 13
    both = ("Do statins help in heart failure?", "Do statins help in chronic heart failure?")
    assert words_in_order(*both) == pytest.approx(12 / 13)
    assert words_in_order("Is it so?", "Is it so?") == 0.0  # fewer than four words
    assert words_in_order("Do statins help in heart failure?", "") == 0.0


def test_copies_share_more_than_a_fifth_of_the_shorter_text() -> None:
    words = [f"w{number}" for number in range(17)]  # 10 n-grams of 8
    text = " ".join(words)
    assert copies_any(text.upper(), ["another text", text])
    # the first 10 words hold 3 of the ten n-grams, the first 9 hold 2: no more than a fifth
    assert copies_any(text, [" ".join(words[:10] + ["x"] * 20)])
    assert not copies_any(text, [" ".join(words[:9] + ["x"] * 20)])
    assert copies_any("Two words", ["two words"])
    assert not copies_any("Two words", ["two other words"])
    assert not copies_any(text, [])


class ByFirstLetter:
    """A vector a text: 1 where its first letter stands in the alphabet."""

    def embed_queries(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.asarray([np.eye(26)[ord(text[0].lower()) - 97] for text in texts], dtype=np.float32)


def test_paraphrases_name_each_text_and_example_once() -> None:
    asked = {"Alpha?": ["one", "two"], "also?": ["one"], "beta?": ["three"], "?!": ["four"]}
    examples = {
        "t": [Example("q1", "Any?", gold="A"), Example("q2", "?", gold="A")],
        "u": [Example("q3", "Cough?", gold="A")],
    }
    found = list(paraphrases(asked, examples, embedder=ByFirstLetter(), similarity=0.9))
    assert found == [
        Paraphrase("one", "t", "q1", 1.0, "Any?"),
        Paraphrase("two", "t", "q1", 1.0, "Any?"),
    ]
    assert list(paraphrases({}, examples, embedder=ByFirstLetter(), similarity=0.9)) == []
    assert list(paraphrases(asked, {}, embedder=ByFirstLetter(), similarity=0.9)) == []
