"""What models write instead of an answer, by every reader: no exception, and the right status each time."""

import json
import time
from typing import Any, get_args

import pytest

from ragmed.records import STATUSES, Example, Sample, Status, Value
from ragmed.tasks.reading import READERS, Reader

OPTIONS = dict(zip("ABCD", ("amlodipine", "ramipril", "furosemide", "atenolol"), strict=True))
COLUMNS = ("letter", "label", "text", "list", "codes", "json", "number", "mirage-strict")
INITIALS: dict[str, Status] = {"a": "answered", "u": "unparsed", "r": "refused"}
MEGABYTE = 1_000_000
SECONDS = 5  # of CPU-time for a megabyte, most of which take under one: what is not linear would take hours

# What is written, its status by each reader of COLUMNS in turn (answered, unparsed, refused), and some of the values.
# `text` takes any words: whether they are an answer is for the metrics. `list` takes them as one entry.
ANSWERS: list[tuple[str, str, str, dict[str, Any]]] = [
    # nothing, and nothing that says anything
    ("empty", "", "uuuuuuuu", {}),
    ("spaces", "   ", "uuuuuuuu", {}),
    ("white space of every kind", "\n\t \u00a0\u3000", "uuuuuuuu", {}),
    ("characters that nobody sees", "\u200b\ufeff\u2060", "uuuuuuuu", {}),
    ("only punctuation", "...!?—*", "uuuuuuuu", {}),
    ("an empty fence", "```\n```", "uuuuuuuu", {}),
    ("bullets without entries", "- \n- \n", "uuuuuuuu", {}),
    ("an emoji", "👍", "uuuuuuuu", {}),
    ("a mark of a template", "<|im_end|>", "uuaauuuu", {}),
    # letters and words of options
    ("the right form", "B", "auaauuua", {"letter": "B"}),
    ("a lower-case letter", "b", "auaauuuu", {"letter": "B"}),
    ("a fullwidth letter", "Ｂ", "auaauuuu", {"letter": "B"}),
    ("a letter between marks of direction", "\u202eB\u202c", "auaauuuu", {"letter": "B", "list": ("B",)}),
    ("a letter in markup", "<p><b>B</b></p>", "auaauuuu", {"letter": "B"}),
    ("a letter in LaTeX", "$\\boxed{B}$", "auaauuuu", {"letter": "B"}),
    ("two letters", "A and B", "uuaauuua", {}),
    ("two letters with a stroke", "A/B", "uuaauuua", {}),
    ("all letters", "A, B, C, D", "uuaauuua", {}),
    ("a letter again and again", "B B B B B B", "uuaauuuu", {}),
    ("a letter of no option", "E", "uuaauuuu", {}),
    ("Cyrillic А", "А", "uuaauuuu", {}),  # it looks like A, and В like B, which is the third letter there
    ("Cyrillic В in a sentence", "The answer is В.", "uuaauuuu", {}),
    ("the answer is not A", "The answer is not A.", "uuaauuuu", {}),
    ("a denied option", "It is not ramipril.", "uuaauuuu", {}),
    ("an option in capitals", "**RAMIPRIL**", "aaaauuuu", {"letter": "B", "label": "B"}),
    ("two options", "ramipril or atenolol", "uuaauuuu", {}),
    ("none of the options", "None of the above.", "uuaauuuu", {}),
    ("the options given back", "A. amlodipine\nB. ramipril\nC. furosemide\nD. atenolol", "uuaauuua", {}),
    ("the beginning of an answer", "The answer is", "uuaauuuu", {}),
    ("a question in return", "What do you mean?", "uuaauuuu", {}),
    ("a question of its own after the answer", "B\n\nQuestion: And now?\nAnswer: C", "auaauuua", {"letter": "B"}),
    ("not knowing", "I don't know.", "uuaauuuu", {}),
    # JSON
    (
        "JSON in a fence, with prose", 'Sure!\n```json\n{"answer": "B"}\n```\nThat is all.', "auauuauu",
        {"letter": "B", "json": {"answer": "B"}},
    ),
    ("JSON with an option's text", '{"answer": "ramipril"}', "aaauuauu", {"label": "B"}),
    ("nested JSON", '{"a": {"b": [{"c": null}]}}', "uuauuauu", {"json": {"a": {"b": [{"c": None}]}}}),
    ("JSON nested too deeply", '{"a":' * 500 + "{}" + "}" * 500, "uuauuuuu", {}),
    ("JSON with NaN", '{"dose": NaN}', "uuauuuuu", {}),
    ("JSON that was broken off", '{"a": "b', "uuauuuuu", {}),
    ("JSON with a key twice", '{"a": 1, "a": 2}', "uuauuuuu", {}),
    ("two objects", '{"a": 1} or {"a": 2}', "uuauuuuu", {}),
    ("a list in JSON", '["I10", "E11.9"]', "uuaaauuu", {"list": ("I10", "E11.9"), "codes": ("I10", "E11.9")}),
    (
        "a list in a fence, with prose", 'Here:\n```json\n["a fever", "gout"]\n```\nDone.', "uuaauuuu",
        {"list": ("a fever", "gout")},
    ),
    ("an empty list", "[]", "uuuauuuu", {"list": ()}),
    ("a list of numbers", "[1, 2]", "uuauuuuu", {}),
    # numbers and codes
    ("NaN", "NaN", "uuaauuuu", {}),
    ("a number in words", "forty", "uuaauuuu", {}),
    ("a number too large", "1e400", "uuaauuuu", {}),
    ("a range", "3-5", "uuaauuuu", {}),
    ("a share", "50 %", "uuaauuau", {"number": 50.0}),
    ("digits of another script", "٤٠", "uuaauuau", {"number": 40.0}),
    ("a denied code", "Not I10", "uuaauuuu", {}),
    ("codes in small letters", "i10; e11.9", "uuaaauuu", {"codes": ("I10", "E11.9")}),
    # thinking that was left in the answer
    ("thinking that never ends", "<think>The answer is B, ramipril: I10, 40", "uuuuuuuu", {}),
    (
        "thinking before the answer", "<think>A? 12 mg?</think>The answer is B.", "auaauuuu",
        {"letter": "B", "text": "The answer is B."},
    ),
    ("thinking alone", "<think></think>", "uuuuuuuu", {}),
    # refusals, in words
    ("a refusal", "I'm sorry, but I cannot answer that.", "rrarrrrr", {}),
    ("a refusal with a curly apostrophe", "I can’t help with that request.", "rrarrrrr", {}),
    ("a refusal of an AI", "As an AI language model, I give no medical advice.", "rrarrrrr", {}),
    ("a refusal in German", "Es tut mir leid, aber ich kann diese Frage nicht beantworten.", "rrarrrrr", {}),
    ("a refusal in Spanish", "Lo siento, pero no puedo ayudar con eso.", "rrarrrrr", {}),
    ("a refusal in French", "Je suis désolé, mais je ne peux pas répondre à cette question.", "rrarrrrr", {}),
    ("a refusal in Portuguese", "Desculpe, mas não posso ajudar com isso.", "rrarrrrr", {}),
    ("a refusal in Italian", "Mi dispiace, ma non posso rispondere.", "rrarrrrr", {}),
    ("a refusal in Russian", "Извините, я не могу ответить на этот вопрос.", "rrarrrrr", {}),
    ("a refusal in Chinese", "抱歉，我无法回答这个问题。", "rrarrrrr", {}),
    ("a refusal in Japanese", "申し訳ありませんが、お答えできません。", "rrarrrrr", {}),
    ("a refusal in Korean", "죄송하지만 답변을 드릴 수 없습니다.", "rrarrrrr", {}),
    ("a refusal in Arabic", "عذراً، لا أستطيع الإجابة على هذا السؤال.", "rrarrrrr", {}),
    ("a patient who cannot answer", "The patient cannot answer questions.", "uuaauuuu", {}),
    # other languages
    ("an answer in French", "La réponse est B.", "auaauuuu", {"letter": "B"}),
    ("an answer in German", "Die Antwort ist B.", "auaauuuu", {"letter": "B"}),
    ("an answer in Chinese", "答案是B。", "auaauuuu", {"letter": "B"}),
    ("an answer in Arabic", "الجواب هو ب", "uuaauuuu", {}),
    ("an answer in Hebrew", "התשובה היא B", "uuaauuuu", {}),
    # a megabyte
    ("a megabyte of one letter", "a" * MEGABYTE, "uuaauuuu", {}),
    ("a megabyte of words", "word " * (MEGABYTE // 5), "uuaauuuu", {}),
    ("a megabyte of digits", "1" * MEGABYTE, "uuaauuuu", {}),
    ("a megabyte of braces", "{" * MEGABYTE, "uuuuuuuu", {}),
    ("a megabyte of objects", '{"a":1}' * (MEGABYTE // 7), "uuauuauu", {"json": {"a": 1}}),
    ("a megabyte of open thinking", "<think>" * (MEGABYTE // 7), "uuuuuuuu", {}),
]  # fmt: skip
NAMES = [name for name, *_ in ANSWERS]


def read(reader: Reader, text: str, **more: Any) -> tuple[Status, Value]:
    return reader.read(Sample("general", "t", Example("q1", "?", options=OPTIONS, gold="B"), completion=text, **more))


def test_there_are_enough_of_them() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 40
    assert set(COLUMNS) <= set(READERS)
    assert get_args(Status) == STATUSES


@pytest.mark.parametrize(("name", "text", "statuses", "values"), ANSWERS, ids=NAMES)
def test_an_awkward_answer_has_the_right_status(name: str, text: str, statuses: str, values: dict[str, Any]) -> None:
    found = {}
    for column in COLUMNS:
        started = time.process_time()
        found[column] = read(READERS[column], text)
        assert time.process_time() - started < SECONDS, column
    assert {column: status for column, (status, _) in found.items()} == {
        column: INITIALS[initial] for column, initial in zip(COLUMNS, statuses, strict=True)
    }
    assert {column: found[column][1] for column in values} == values


@pytest.mark.parametrize("reader", READERS.values(), ids=list(READERS))
def test_every_reader_keeps_what_it_read_and_nothing_else(reader: Reader) -> None:
    for name, text, *_ in ANSWERS:
        if len(text) > MEGABYTE // 2 and reader.name in COLUMNS:
            continue  # read above
        status, value = read(reader, text)
        assert (value is not None) == (status == "answered"), name
        assert status == "answered" or reader.name != "mirage", name  # which takes for A whatever it cannot read
        json.dumps(value, allow_nan=False)
        if len(text) < MEGABYTE // 2:  # what was cut is an answer where it would be one whole, and a choice
            cut = {"truncated", "answered"} if value is not None and reader.survives_cut else {"truncated"}
            assert read(reader, text, finish="length")[0] in cut, name
        assert read(reader, text, finish="refused") == ("refused", None), name
        assert read(reader, text, finish="error", error="no server") == ("error", None), name
