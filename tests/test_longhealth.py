import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ragmed.errors import DataError
from ragmed.records import Sample
from ragmed.tasks import BoundTask, TaskSettings, invent_sample, load_task
from ragmed.tasks.longhealth import UNANSWERED
from ragmed.tasks.reading import find_reader
from ragmed.workspace import Workspace

TASKS = ["longhealth_1", "longhealth_2", "longhealth_3"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    invent_sample("longhealth_1", tmp_path / "data")
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def load(here: Workspace, name: str, seed: int = 0) -> BoundTask:
    return load_task(name, TaskSettings(), workspace=here, seed=seed)


def changed(here: Workspace, **changes: Any) -> None:
    """The first question of the first patient, with other fields."""
    path = here.data / "longhealth" / "benchmark_v5.json"
    record = json.loads(path.read_text())
    record["patient_01"]["questions"][0].update(changes)
    path.write_text(json.dumps(record))


def test_the_first_task_shows_the_patients_documents_in_their_order(here: Workspace) -> None:
    asked = {example.id: example for example in load(here, "longhealth_1").examples}
    assert len(asked) == 8
    one = asked["patient_01-0"]
    assert [document.id for document in one.context] == ["text_0", "text_1", "text_2", "text_3"]
    assert [document.date for document in one.context] == ["2031-02-09", "2031-02-03", "2031-02-14", "2031-03-15"]
    assert (one.gold, one.documents, one.group, list(one.options)) == (
        "B",
        ("text_0", "text_2"),
        "patient_01",
        [*"ABCDE"],
    )


def test_the_second_and_third_differ_in_the_documents_with_the_answer_alone(here: Workspace) -> None:
    second = {example.id: example for example in load(here, "longhealth_2").examples}
    third = {example.id: example for example in load(here, "longhealth_3", seed=7).examples}
    for id_, example in second.items():
        shown = [document.id for document in example.context]
        others = [name for name in shown if "/" in name]
        assert set(shown) - set(others) == set(example.documents)
        assert [document.id for document in third[id_].context] == others
        assert not any(name.startswith(example.group) for name in others)
        assert (example.options["F"], third[id_].gold, third[id_].documents) == (UNANSWERED, "F", ())
        assert example.gold in "ABCDE"


def test_ten_documents_of_others_are_drawn_alike_each_time(here: Workspace) -> None:
    path = here.data / "longhealth" / "benchmark_v5.json"
    record = json.loads(path.read_text())
    record["patient_04"] = {**record["patient_03"], "texts": {f"text_{n}": f"Letter {n}." for n in range(40)}}
    path.write_text(json.dumps(record))
    drawn = [load(here, "longhealth_3", seed).examples for seed in (1, 2)]
    shown = [{e.id: [d.id for d in e.context] for e in examples} for examples in drawn]
    assert shown[0] == shown[1]
    assert {len(names) for names in shown[0].values()} == {10}
    assert len({tuple(names) for names in shown[0].values()}) == len(shown[0])


def test_another_file_than_the_published_one_is_noted(here: Workspace) -> None:
    notes = load(here, "longhealth_1").notes
    assert any("canary" in note for note in notes)
    assert any("that of the published one 76bf80d37f321408a0e3f421a2e2d7ef59e97c1e" in note for note in notes)


@pytest.mark.parametrize("changes", [{"correct": "left ear"}, {"answer_location": {"text_9": {}}}])
def test_a_question_that_cannot_be_placed_is_left_out_and_named(here: Workspace, changes: dict[str, Any]) -> None:
    changed(here, **changes)
    bound = load(here, "longhealth_2")
    assert len(bound.examples) == 7
    assert bound.notes[-1].endswith("of the patient: patient_01-0.")


def test_a_damaged_record_is_named(here: Workspace) -> None:
    changed(here, answer_location=None)
    with pytest.raises(DataError, match="patient 'patient_01': missing or wrong field"):
        load(here, "longhealth_1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": None}, "'question' is empty or no text; correct it, or fetch"),
        ({"answer_c": None}, "'answer_c' is empty or no text"),
        ({"answer_e": 5}, "'answer_e' is empty or no text"),
        ({"correct": None}, "'correct' is empty or no text"),
        ({"No": None}, "'No' is empty, or neither text nor whole number"),
    ],
)
def test_a_field_without_a_text_is_not_read_as_the_word_for_it(
    here: Workspace, changes: dict[str, Any], message: str
) -> None:
    changed(here, **changes)
    for way in (1, 2, 3):
        with pytest.raises(DataError, match=f"patient 'patient_01': {message}"):
            load(here, f"longhealth_{way}")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The question cannot be answered with the provided documents.", "F"),
        ("This question can’t be answered from the documents provided.", "F"),
        ("**Question cannot be answered.**", "F"),
        ("The question cannot be answered with the provided documents, so A.", "A"),
        ("The question cannot be answered with certainty, A or B.", None),
        ("The question cannot be answered with the provided documents. Perhaps the left hip or the right knee?", None),
        ("The documents do not contain this information.", None),
    ],
)
def test_the_sixth_option_is_read_where_its_sentence_is_the_whole_answer(
    here: Workspace, text: str, letter: str | None
) -> None:
    bound = load(here, "longhealth_3")
    reader = find_reader(bound.reader)
    sixth = bound.examples[0]
    assert reader.read(Sample("a", "longhealth_3", sixth, completion=text))[1] == letter
    five = {key: option for key, option in sixth.options.items() if key != "F"}
    without = replace(sixth, options=five, gold="A")
    assert reader.read(Sample("a", "t", without, completion=text))[1] == (None if letter == "F" else letter)


def test_a_sixth_option_in_other_words_is_not_read_where_the_answer_was_cut(here: Workspace) -> None:
    sixth = load(here, "longhealth_3").examples[0]
    sample = Sample("a", "t", sixth, completion="This question cannot be answered from the documents")
    assert find_reader("letter").read(sample)[1] == "F"
    assert find_reader("letter").read(replace(sample, finish="length"))[1] is None


def test_ambiguous_dates_leave_the_year() -> None:
    from ragmed.tasks.longhealth import _date

    assert _date("from 03/04/2031 to 17/04/2031", ()) == "2031"
    assert _date("born 1961-03-30, seen 31.02.2031", ("1961-03-30",)) == ""
