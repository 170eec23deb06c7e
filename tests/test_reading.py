"""Readers: what is read out of answers, and what is not, whatever is written."""

import gc
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.metrics.abstention import is_abstention
from ragmed.records import Example, Sample, Value
from ragmed.tasks.letters import find_letter, is_refusal
from ragmed.tasks.reading import READERS, find_reader

OPTIONS = {"A": "10 mg", "B": "40 mg"}
FOUR = dict(zip("ABCD", ("amlodipine", "ramipril", "furosemide", "atenolol"), strict=True))


@contextmanager
def in_no_time() -> Iterator[None]:
    """A second of CPU-time at most, without the collector: what other tests left in memory is not the reader's work."""
    gc.collect()
    gc.disable()
    started = time.process_time()
    try:
        yield
    finally:
        gc.enable()
    assert time.process_time() - started < 1


def read(reader: str, text: str | None, *, options: Any = OPTIONS, **more: Any) -> tuple[str, Value]:
    return find_reader(reader).read(
        Sample("general", "t", Example("q1", "?", options=options), completion=text, **more)
    )


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("B.", "B"),
        (" (C) because of the murmur", "C"),
        ("**D**", "D"),
        ("B. Ramipril", "B"),
        ("B\nThe reason is", "B"),
        ("The answer is C.", "C"),
        ("The answer is (D), since A is wrong.", "D"),
        ("Answer: B", "B"),
        ("the correct option is B because", "B"),
        ("The answer is A. Wait, the answer is B.", "B"),
        ("I would choose (C) here", "C"),
        ("\\boxed{B}", "B"),
        ("answer is **B**", "B"),
        ("The correct option is C: foo. Option A is wrong.", "C"),
        ("Option A is wrong, so the answer must be B", "B"),
        ("Option D.", "D"),
        ("B: Ramipril", "B"),
    ],
)
def test_a_letter_is_read(text: str, letter: str) -> None:
    assert find_letter(text, FOUR) == letter


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A patient with fever should be seen.",
        "The answer is a matter of debate.",
        "The answer is A patient at risk.",
        "Either (A) or (B).",
        "E",
        "Vitamin B is needed",
        "I do not know",
        "Hepatitis B-virus",
        "A. foo\nB. bar\nC. baz\nD. x",
        "Option A is wrong.",
        "(A) or perhaps (C)",
    ],
)
def test_what_is_no_letter_stays_unread(text: str) -> None:
    assert find_letter(text, FOUR) is None


@pytest.mark.parametrize(
    "filler", ["\n", " ", " \n", "\t\u00a0", "*", "(", "A", "A ", "answer is ", "answer:*", "\\boxed{"]
)
@pytest.mark.parametrize("start", ["", "The answer is", "The answer is:", "Answer", "option", "\\boxed", "A", "(A"])
def test_hostile_texts_are_read_in_no_time(start: str, filler: str) -> None:
    text = start + filler * (100_000 // len(filler))
    with in_no_time():
        for whole in (text, text + "x", text + " is x"):
            find_letter(whole, FOUR)
            is_refusal(whole)
            is_abstention(whole)


@pytest.mark.parametrize("between", ["a " * 30_000, "a " * 3_000 + "word " * 40_000, "word " * 40_000 + "a " * 5_000])
def test_what_a_text_states_at_either_end_is_read_however_much_stands_between(between: str) -> None:
    assert find_letter(f"{between}\n\nThe answer is C.", FOUR) == "C"
    assert find_letter(f"The answer is C.\n\n{between}", FOUR) == "C"
    assert find_letter(f"The answer is C.\n\n{between}\n\nWait, the answer is B.", FOUR) == "B"
    assert find_letter(f"The answer is C.\n\n{between}\n\nThe answer is B.", FOUR) is None


def test_a_text_at_the_end_of_what_was_cut_may_go_on() -> None:
    assert read("letter", "The answer is 40 mg", finish="length") == ("truncated", None)
    assert read("letter", "The answer is 40 mg, since", finish="length") == ("answered", "B")
    assert read("letter", "The answer is 40 mg") == ("answered", "B")


def test_of_two_options_with_one_text_either_letter_is_read() -> None:
    same = {"A": "24 mg", "B": "12 mg", "C": "48 mg", "D": "12 mg"}
    texts = ("B", "D. 12 mg", "The answer is B (12 mg).", "12 mg", "A. 12 mg")
    assert [find_letter(text, same) for text in texts] == ["B", "D", "B", "B", None]


def test_much_white_space_hides_no_letter() -> None:
    assert find_letter("The answer" + " " * 2000 + "is\n\n" + " \n" * 1000 + "(B)" + " " * 2000, FOUR) == "B"
    assert find_letter(" \n" * 1000 + "C" + " " * 1000 + "\nfor a reason", FOUR) == "C"
    assert find_letter("A" + " " * 1000 + "patient", FOUR) is None


def test_only_the_letters_on_offer_count() -> None:
    assert find_letter("C", OPTIONS) is None


def test_refusals_are_told_from_answers() -> None:
    assert is_refusal("I'm sorry, but I cannot answer medical questions.")
    assert is_refusal("As an AI language model I have no opinion")
    assert not is_refusal("Patients cannot answer reliably in delirium: B")


def test_abstentions() -> None:
    assert is_abstention("Not stated.")
    assert is_abstention("The handbook does not say.")
    assert is_abstention("It isn't stated.")
    assert is_abstention("I'm not sure.")
    assert is_abstention("There is no answer in the passages.")
    assert not is_abstention("40 mg twice daily")
    assert not is_abstention("Velmarine is not given after day 3.")
    assert not is_abstention("It is not available on Flint ward; use Chalk ward instead.")


def test_no_letter_is_read_where_none_is_on_offer() -> None:
    assert find_letter("The answer is A.", {}) is None


@pytest.mark.parametrize("name", sorted(READERS))
def test_what_failed_was_refused_or_is_empty_has_no_value(name: str) -> None:
    assert read(name, None, finish="error", error="no server") == ("error", None)
    assert read(name, "B", finish="refused") == ("refused", None)
    empty = ("answered", "A") if name == "mirage" else ("unparsed", None)
    assert read(name, "") == read(name, " \n\t ") == empty


@pytest.mark.parametrize("name", sorted(READERS))
def test_no_answer_is_invented_where_options_were_scored(name: str) -> None:
    if name == "recorded" or name.startswith("likelihood"):
        assert read(name, None) == ("unparsed", None)
        return
    with pytest.raises(UsageError, match=rf"'{name}' reads text, and sample 'q1' of arm 'general', task 't' .*likelih"):
        read(name, None, option_logprobs=(-1.0, -2.0))


def test_a_reader_says_whether_it_needs_options() -> None:
    assert [name for name, reader in READERS.items() if reader.needs_options] == [
        "letter", "label", "mirage", "mirage-strict", "clue-label", "clue-choice", "likelihood", "likelihood-tokens",
        "likelihood-characters",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["letter", "label", "list", "codes", "json", "number"])
def test_a_refusal_in_words_is_one_where_nothing_else_is_read(name: str) -> None:
    assert read(name, "I'm sorry, but I cannot help.") == ("refused", None)


def test_a_free_text_is_never_taken_for_a_refusal() -> None:
    assert read("text", " I'm sorry to hear of it: rest.\n") == ("answered", "I'm sorry to hear of it: rest.")


@pytest.mark.parametrize(
    ("name", "text", "status", "value"),
    [
        ("letter", "The answer is (B), because", "answered", "B"),
        ("letter", "Let us think step by", "truncated", None),
        ("label", "40 mg, because", "answered", "B"),
        ("text", "The patient was", "truncated", "The patient was"),
        ("list", "aspirin; ibu", "truncated", ("aspirin", "ibu")),
        ("codes", "I10; E1", "truncated", ("I10",)),
        ("json", '{"a": 1', "truncated", None),
    ],
)
def test_of_a_text_that_was_cut_only_a_choice_is_an_answer(name: str, text: str, status: str, value: Value) -> None:
    assert read(name, text, finish="length") == (status, value)


LABELS = {"A": "enough", "B": "Not enough information", "C": "refuted"}


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Refuted", "C"),
        ("**refuted**.", "C"),
        ("refuted: the trial found the reverse", "C"),
        ("Not enough information.", "B"),
        ("There is not  enough\ninformation here.", "B"),
        ("The passages say enough.", "A"),
        ("The claim is refuted, it is not enough", "C"),
        ("It is not refuted", None),
        ("refuted or enough", None),
        ("Refuted, though others found enough", None),
        ("Either enough or refuted", None),
        ("irrefuted", None),
        ("Enoughness", None),
    ],
)
def test_a_label_is_read_the_longest_first(text: str, letter: str | None) -> None:
    assert read("label", text, options=LABELS)[1] == letter


NLI = {"A": "entailment", "B": "neutral", "C": "contradiction"}


@pytest.mark.parametrize(
    "text",
    [
        "It can't be entailment.",
        "This isn’t entailment",
        "not necessarily entailment",
        "It isn't an obvious contradiction.",
        "It cannot be neutral",
        "Entailment is ruled out.",
        "Entailment can be ruled out",
        "non-entailment",
        "un-neutral",
        "The opposite of entailment",
        "It is not **entailment**",
        "Entailment. On second thought, neutral.",
        "Entailment. On second thought, not entailment.",
        "neither entailment nor neutral",
    ],
)
def test_a_denied_label_is_no_answer(text: str) -> None:
    assert read("label", text, options=NLI) == ("unparsed", None)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Not entailment but neutral", "B"),
        ("It isn’t entailment: contradiction", "C"),
        ("It's not stated. Neutral.", "B"),
        ("Neutral, since entailment and contradiction are ruled out", "B"),
        ("Entailment, since neutral is ruled out", "A"),
        ("No. Contradiction", "C"),
    ],
)
def test_a_label_beside_denied_ones_is_the_answer(text: str, letter: str) -> None:
    assert read("label", text, options=NLI) == ("answered", letter)


def test_labels_that_are_empty_or_none_read_nothing() -> None:
    assert read("label", "anything", options={"A": "", "B": " "}) == ("unparsed", None)
    assert read("label", "anything", options={}) == ("unparsed", None)


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("aspirin; ibuprofen; aspirin.", ("aspirin", "ibuprofen")),
        ("- aspirin\n* ibuprofen\n• 1.5 mg colchicine", ("aspirin", "ibuprofen", "1.5 mg colchicine")),
        ("1. aspirin\n2) ibuprofen\n(3) rest", ("aspirin", "ibuprofen", "rest")),
        ("The drugs are:\n\n1. aspirin; 2. ibuprofen\n", ("aspirin", "ibuprofen")),
        ("fever, cough", ("fever, cough",)),
    ],
)
def test_a_list_loses_its_bullets_and_numbers(text: str, entries: tuple[str, ...]) -> None:
    assert read("list", text) == ("answered", entries)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("E11.9; I10, J45.909 and Z79.4", ("E11.9", "I10", "J45.909", "Z79.4")),
        ("e119, i10, E11.9", ("E11.9", "I10")),
        ("S72.001A\nT36.0X5A\nT360X5A", ("S72.001A", "T36.0X5A")),
        ("Covid-19 (U07.1), C7A.010, Z3A.20, C92.A0", ("U07.1", "C7A.010", "Z3A.20", "C92.A0")),
        ("W19XXXA, W19.XXXD", ("W19.XXXA", "W19.XXXD")),
        ("Hypertension (I10).The rest is well.", ("I10",)),
        ("HbA1c, A1c 7 %, T2DM, H1N1, 5 mg q12h, q6h, ECG, O2 94 %, L4-L5 and CHA2DS2-VASc", None),
        ("She has high blood pressure and diabetes.", None),
    ],
)
def test_codes_are_told_from_prose(text: str, codes: tuple[str, ...] | None) -> None:
    assert read("codes", text) == (("answered", codes) if codes else ("unparsed", None))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"dose": 40, "unit": "mg"}', {"dose": 40, "unit": "mg"}),
        ('Here it is:\n```json\n{"a": {"b": [1]}}\n```\nThat is all.', {"a": {"b": [1]}}),
        ('{"dose": NaN}', None),
        ('{"dose": Infinity}', None),
        ('{"dose": 1e999}', None),
        ("[1, 2]", None),
        ("{dose: 40}", None),
        ("} {", None),
        ("{}", {}),
        ('{"a":' * 50 + "1" + "}" * 50, json.loads('{"a":' * 50 + "1" + "}" * 50)),
        ('{"a":' * 51 + "1" + "}" * 51, None),
        ('{"a":' + "[" * 600 + "]" * 600 + "}", None),
    ],
)
def test_an_object_is_read_with_text_around_it(text: str, value: Value) -> None:
    assert read("json", text) == (("unparsed", None) if value is None else ("answered", value))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("40", 40.0),
        ("The dose is 1,250.5 mg.", 1250.5),
        ("-3", -3.0),
        ("5 mg, so 5", 5.0),
        ("between 3 and 5", None),
        ("none", None),
        (".5 mg", 0.5),
        ("-.5", -0.5),
        ("−5", -5.0),
        ("–5", -5.0),
        ("1e3", 1000.0),
        ("v2", None),
        ("v2.1", None),
        ("COVID-19: 40 mg", 40.0),
        ("2x40 mg", None),
        ("on 12.5.2031", None),
        ("9" * 400, None),
    ],
)
def test_the_only_number_is_read(text: str, number: float | None) -> None:
    assert read("number", text)[1] == number


def test_log_likelihoods_choose_by_their_length() -> None:
    scored = {"option_logprobs": (-2.0, -3.0), "continuations": ("ab", "abcdef"), "option_tokens": (1, 2)}
    chosen = [read(f"likelihood{by}", None, **scored) for by in ("", "-tokens", "-characters")]
    assert chosen == [("answered", "A"), ("answered", "B"), ("answered", "B")]
    assert read("likelihood", None, option_logprobs=(-1.0, -1.0)) == ("answered", "A")
    with pytest.raises(DataError, match=r"sample 'q1' of arm 'general', task 't' holds 2 .* and 0 lengths"):
        read("likelihood-tokens", None, option_logprobs=(-1.0, -1.0))
    with pytest.raises(DataError, match="2 log-likelihoods of 0 options"):
        read("likelihood", None, option_logprobs=(-1.0, -1.0), options={})


def test_mirages_readers_take_what_they_cannot_read_for_a_or_say_so() -> None:
    text = '{"step_by_step_thinking": "...", "answer_choice": "B. 40 mg"}'
    assert read("mirage", text) == read("mirage-strict", text) == ("answered", "B")
    assert read("mirage", "None of these.") == ("answered", "A")
    assert read("mirage-strict", "None of these.") == ("unparsed", None)
    assert read("mirage-strict", '{"answer_choice": "cannot be determined"}') == ("refused", None)


def test_near_names_are_given() -> None:
    with pytest.raises(UnknownNameError, match=r"leter.*letter"):
        find_reader("leter")


@pytest.mark.parametrize("name", sorted(READERS))
@pytest.mark.parametrize(
    "filler", [" ", "\n", " \n", "- ", "1. ", "{", '{"a":', "1,", "E1", "not ", "enough ", ";", "I10."]
)
def test_long_texts_are_read_in_no_time(name: str, filler: str) -> None:
    text = filler * (200_000 // len(filler))
    with in_no_time():
        for whole in (text, "The answer is" + text + "x", "A" + text + "}"):
            read(name, whole, options=LABELS)
