"""Labelled answers: how often each reader reads what a careful reader would, and how often something else.

tests/wordings/READER.txt was looked at while the rules were written. READER_held_out.txt was written before them; it is
counted, and no test prints its wordings, so that it can go on telling how the rules do on what they were not made for.
Precision: the share of readings that are right (where there is nothing to be read, every reading is wrong). Recall: of
the answers that hold something, the share that is read, and rightly. A wrong reading is worse than none.
"""

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragmed.records import Example, Sample, Value
from ragmed.tasks import find_task
from ragmed.tasks.letters import find_letter
from ragmed.tasks.reading import find_reader
from ragmed.workspace import Workspace

HERE = Path(__file__).parent
CASES = HERE.parent.parent / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not beside the checkout")
OPTIONS = {
    name: dict(zip("ABCDE", texts.split("|"), strict=False))
    for name, texts in {
        "dose": "12 mg|24 mg|48 mg|96 mg",
        "hep": "Hepatitis B|Hepatitis A|Hepatitis C|Hepatitis E",
        "hemo": "Haemophilia B|Haemophilia A|von Willebrand disease|None of these",
        "blood": "O|A|B|AB",
        "vit": "Vitamin A|Vitamin B12|Vitamin C|Vitamin D|Vitamin K",
        "drug": "Amlodipine|Ramipril|Furosemide|Atenolol",
        "yes": "yes|no|maybe",
        "dx": "Acute pancreatitis|Pancreatitis|Peptic ulcer|All of the above",
        "step": "5 mg|0.5 mg|1.5 mg|15 mg",
        "act": "Give oxygen at once|Call the consultant|Wait for two hours|Both A and B",
        "gen": "AA|Aa|aa|none of these",
        "count": "1|2|3|4",
        "nli": "entailment|neutral|contradiction",
        "claim": "supported|refuted|not enough information",
        "": "",
    }.items()
}
BOUNDS = {  # reader -> precision and recall that each of its two sets must reach
    "letter": (0.99, 0.95),
    "label": (0.95, 0.9),
    "list": (0.9, 0.9),
    "codes": (0.95, 0.9),
    "json": (0.95, 0.9),
    "number": (0.95, 0.9),
}


def labelled(file: str) -> Iterator[tuple[str, str, str]]:
    for line in (HERE / "wordings" / f"{file}.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            options, right, text = line.split("|", 2)
            yield options, right, text.replace("\\n", "\n")


def read(reader: str, options: str, text: str) -> Value:
    return find_reader(reader).read(Sample("a", "t", Example("q", "?", options=OPTIONS[options]), completion=text))[1]


def shown(value: Value) -> str:
    """A value as the files write it."""
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return "; ".join(value)
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else json.dumps(value)


@pytest.mark.parametrize("held_out", [False, True], ids=["looked-at", "held-out"])
@pytest.mark.parametrize("reader", BOUNDS)
def test_readers_read_what_a_careful_reader_reads(
    reader: str, held_out: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [(right, shown(read(reader, options, text)), text)
             for options, right, text in labelled(f"{reader}_held_out" if held_out else reader)]  # fmt: skip
    right = sum(value == expected != "-" for expected, value, _ in found)
    precision = right / sum(value != "-" for _, value, _ in found)
    recall = right / sum(expected != "-" for expected, _, _ in found)
    which = "held out" if held_out else "looked at"
    with capsys.disabled():
        print(f"\n{reader}, {which}: {len(found)} answers, precision {precision:.3f}, recall {recall:.3f}")
    least_precision, least_recall = BOUNDS[reader]
    wrong = [] if held_out else [(text, expected, value) for expected, value, text in found if value != expected]
    assert len(found) >= 20
    assert precision >= least_precision, wrong
    assert recall >= least_recall, wrong


RIGHT = (
    "{letter}", "{letter}. {text}", "({letter}) {text}", "**{letter}. {text}**", "Answer: {letter}",
    "The answer is {text}.",
    "The correct answer is {letter}. {text}", "The correct answer is {text} ({letter}).", "{text}",
    "{text} is correct.", "answer: {small}", "Option {letter}: {text}",
    "{letter}) {text}\n\nExplanation: {other} is not right.",
)  # fmt: skip
UNCLEAR = (
    "{wrong}. {text}", "The answer is {wrong} ({text}).", "{text} or {other}", "{letter} or {wrong}", "{all}",
    "{question}",
)  # fmt: skip


def test_options_of_real_questions_are_read_however_they_are_named() -> None:
    draw = random.Random(0)
    for example in find_task("handbook-questions").load(Workspace(HERE.parent)).examples:
        letter = str(example.gold)
        wrong = draw.choice([other for other in example.options if other != letter])
        text, other = example.options[letter], example.options[wrong]
        parts = {
            "letter": letter, "wrong": wrong, "text": text, "small": text.lower(), "other": other,
            "all": "\n".join(f"{name}. {option}" for name, option in example.options.items()),
            "question": example.question,
        }  # fmt: skip
        for words in RIGHT:
            assert find_letter(words.format(**parts), example.options) == letter, (words, parts)
        for words in UNCLEAR:
            assert find_letter(words.format(**parts), example.options) is None, (words, parts)


def of_a_case(name: str) -> Iterator[tuple[str, str, str | None, str]]:
    with (CASES / name / "questions.csv").open(encoding="utf-8", newline="") as file:
        questions = {row["id"]: row for row in csv.DictReader(file)}
    for line in (CASES / name / "answers.jsonl").read_text("utf-8").splitlines():
        answer = json.loads(line)
        row = questions[answer["id"]]
        options = {letter: row[letter] for letter in "ABCD"}
        yield answer["id"], answer["text"], find_letter(answer["text"], options), row["answer"]


@needs_cases
def test_the_wordings_of_the_cases_are_read() -> None:
    assert [(text, read) for _, text, read, right in of_a_case("23-answer-wordings") if read != right] == []


@needs_cases
def test_letters_of_medical_names_in_the_cases_are_no_answers() -> None:
    found = list(of_a_case("24-letters-in-medical-names"))
    assert [(text, read) for _, text, read, right in found if read not in (right, None)] == []
    # two rivals, an answer that is refused, none of the options, a letter that is another option's text
    assert {id_ for id_, _, read, _ in found if read is None} == {"w10", "w15", "w16", "w18"}
