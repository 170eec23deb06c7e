import time

import pytest

from ragmed.tasks.answers import find_letter, is_abstention, is_refusal


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("B.", "B"),
        (" (C) because of the murmur", "C"),
        ("**D**", "D"),
        ("B. Amlodipine", "B"),
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
        ("B: Amlodipine", "B"),
    ],
)
def test_a_letter_is_read(text: str, letter: str) -> None:
    assert find_letter(text, "ABCD") == letter


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
    assert find_letter(text, "ABCD") is None


@pytest.mark.parametrize(
    "filler", ["\n", " ", " \n", "\t\u00a0", "*", "(", "A", "A ", "answer is ", "answer:*", "\\boxed{"]
)
@pytest.mark.parametrize("start", ["", "The answer is", "The answer is:", "Answer", "option", "\\boxed", "A", "(A"])
def test_hostile_texts_are_read_in_no_time(start: str, filler: str) -> None:
    text = start + filler * (100_000 // len(filler))
    started = time.process_time()
    for whole in (text, text + "x", text + " is x"):
        find_letter(whole, "ABCD")
        is_refusal(whole)
        is_abstention(whole)
    assert time.process_time() - started < 1


def test_much_white_space_hides_no_letter() -> None:
    assert find_letter("The answer" + " " * 2000 + "is\n\n" + " \n" * 1000 + "(B)" + " " * 2000, "ABCD") == "B"
    assert find_letter(" \n" * 1000 + "C" + " " * 1000 + "\nfor a reason", "ABCD") == "C"
    assert find_letter("A" + " " * 1000 + "patient", "ABCD") is None


def test_only_the_letters_on_offer_count() -> None:
    assert find_letter("C", "AB") is None


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
