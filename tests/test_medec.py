import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ragmed.errors import DataError, UsageError
from ragmed.metrics import find_metric
from ragmed.metrics.corrections import corrected_fields
from ragmed.prompts import build_messages
from ragmed.records import Example, Sample, Value
from ragmed.scores import score_samples
from ragmed.tasks import TaskSettings, load_task, medec
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
NOTES = WORKSPACE.data / "medec" / medec.FILE
needs_medec = pytest.mark.skipif(not NOTES.is_file(), reason=f"needs {NOTES} (RAGMED_DATA)")


def note(number: int, *, error: bool, **changes: str) -> dict[str, str]:
    """Invented, with the columns of the published file."""
    first = " ".join(f"w{number}x{i}" for i in range(20)) + "."
    last = "He was given Zelmarin." if error else "He was given nothing."
    row = {
        "Text ID": f"ms-val-{number}-{error}", "Text": f"{first} {last}", "Sentences": f"0 {first}\n1 {last}",
        "Error Flag": "1", "Error Type": "pharmacotherapy", "Error Sentence ID": "1", "Error Sentence": last,
        "Corrected Sentence": "He was given nothing.", "Corrected Text": f"{first} He was given nothing.",
    }  # fmt: skip
    if not error:
        row |= dict.fromkeys(("Error Type", "Error Sentence", "Corrected Sentence", "Corrected Text"), "NA")
        row |= {"Error Flag": "0", "Error Sentence ID": "-1"}
    return {**row, **changes}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "data" / "medec").mkdir(parents=True)
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def write(workspace: Workspace, *rows: dict[str, str]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, medec.COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    (workspace.data / "medec" / medec.FILE).write_text(text.getvalue(), newline="")


@needs_medec
def test_the_published_notes_are_whole_and_both_forms_of_a_note_are_one_group() -> None:
    split = medec.load(WORKSPACE)
    notes = [*split.examples, *split.shots]
    assert (len(split.examples), len(split.shots)) == (547, 27)
    assert Counter(e.gold["error_flag"] for e in notes) == {("1",): 319, ("0",): 255}  # type: ignore[call-overload]
    sizes = Counter(Counter(e.group for e in notes).values())
    assert sizes == {1: 68, 2: 249, 4: 2}
    by_id = {e.id: e for e in notes}
    assert by_id["ms-val-0"].group == by_id["ms-val-1"].group
    assert by_id["ms-val-0"].gold == {
        "error_flag": ("1",), "error_sentence_id": ("5",),
        "corrected_sentence": ("Culture tests indicate Trichomonas vaginalis.",),
    }  # fmt: skip
    assert (
        "\n5 Culture tests indicate Neisseria gonorrhoeae.\n6 Her pulse is\n7 106/min"
        in by_id["ms-val-0"].context[0].text
    )
    with NOTES.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["Error Flag"] == "1":
                sentence = medec.numbered(row["Sentences"])[int(row["Error Sentence ID"])]
                assert sentence == " ".join(row["Error Sentence"].split())


def test_a_note_is_asked_by_its_numbered_sentences(here: Workspace) -> None:
    long = note(
        1, error=True, Sentences="\n".join(["0 Fever.", "1 It was", "12 hours long.", "2 Pain.", "3 Rest.", ""])
    )
    write(here, long, *(note(number, error=number % 2 == 0) for number in range(2, 90)))
    bound = load_task("medec", TaskSettings(shots=2), workspace=here, seed=0)
    example = next(e for e in bound.examples if e.id == "ms-val-1-True")
    assert example.context[0].text == "0 Fever.\n1 It was 12 hours long.\n2 Pain.\n3 Rest."
    assert bound.task.query(example) == ("Fever. It was 12 hours long. Pain.", "Rest.")
    messages = build_messages(bound, example)
    assert messages[-1].content == f"Note: {example.context[0].text}"
    shown = {m.content for m in messages if m.role == "assistant"}
    assert shown <= {
        '{"error_flag": 1, "error_sentence_id": 1, "corrected_sentence": "He was given nothing."}',
        '{"error_flag": 0, "error_sentence_id": -1, "corrected_sentence": "NA"}',
    }


def test_both_forms_of_a_note_stay_on_one_side(here: Workspace) -> None:
    write(here, *(note(number, error=error) for number in range(100) for error in (True, False)))
    split = medec.load(here)
    assert 4 <= len(split.shots) <= 30
    assert not {e.group for e in split.examples} & {e.group for e in split.shots}
    assert set(Counter(e.group for e in (*split.examples, *split.shots)).values()) == {2}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (note(1, error=True, **{"Error Flag": "2"}), "line 2: 'Error Flag' is '2', neither 0 nor 1"),
        (note(1, error=True, **{"Error Sentence ID": "2"}), "line 2: 'Error Sentence ID' is '2', .* sentences 0 to 1"),
        (
            note(1, error=False, **{"Error Sentence ID": "1"}),
            "line 2: a note without an error has .* found '1' and 'NA'",
        ),
        (note(1, error=True, **{"Corrected Sentence": "NA"}), "line 2: 'Corrected Sentence' is empty"),
        (
            note(1, error=True, Sentences="1 A fever."),
            "line 2: 'Sentences' begins with '1 A fever.', not with sentence 0",
        ),
        (note(1, error=True, Sentences=" "), "line 2: 'Sentences' is empty"),
        (note(1, error=True, **{"Text ID": " "}), "line 2: 'Text ID' is empty"),
        (note(1, error=True, Text=" "), "line 2: 'Text' is empty"),
    ],
)
def test_a_note_that_cannot_be_used_is_named(here: Workspace, row: dict[str, str], message: str) -> None:
    write(here, row)
    with pytest.raises(DataError, match=message):
        medec.load(here)


def test_a_file_of_another_form_is_named_with_its_line(here: Workspace) -> None:
    file = here.data / "medec" / medec.FILE
    file.write_text("Text ID,Text\na,b\n")
    with pytest.raises(DataError, match="line 1: the column 'Sentences' is missing"):
        medec.load(here)
    write(here, note(1, error=True))
    file.write_text(file.read_text() + "a,b\n")
    with pytest.raises(DataError, match="line 4: the row has 2 cells, the header has 9"):
        medec.load(here)  # the first note takes two lines
    write(here, note(1, error=True))
    file.write_text(file.read_text() + 'a,"b')
    with pytest.raises(DataError, match="line 4: not CSV"):
        medec.load(here)


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ({"error_flag": 1, "error_sentence_id": 3, "corrected_sentence": " Gout. "}, ("1", "3", "Gout.")),
        ({"error_flag": "1", "error_sentence_id": "3.", "corrected_sentence": None}, ("1", "", "")),
        ({"error_flag": True, "error_sentence_id": 3.0}, ("1", "3", "")),
        ({"error_flag": 0, "error_sentence_id": -1, "corrected_sentence": "Gout."}, ("0", "-1", "NA")),
        ({"error_flag": 0, "error_sentence_id": 3}, ("0", "3", "NA")),
        ({"error_flag": "0", "error_sentence_id": None}, ("0", "-1", "NA")),
        ({"error_flag": 2, "error_sentence_id": 3, "corrected_sentence": "NA"}, ("", "3", "NA")),
        ({"error_flag": [1]}, ("", "", "")),
        ({}, ("", "", "")),
        ("1", ("", "", "")),
        (None, ("", "", "")),
    ],
)
def test_fields_are_read_as_what_they_say(value: Value, fields: tuple[str, str, str]) -> None:
    assert corrected_fields(value) == fields


WRONG = Example(
    "n1", "", gold={"error_flag": ("1",), "error_sentence_id": ("2",), "corrected_sentence": ("Gout is treated.",)}
)
RIGHT = Example("n2", "", gold={"error_flag": ("0",), "error_sentence_id": ("-1",), "corrected_sentence": ("NA",)})


def answered(flag: object, sentence: object, correction: str = "NA") -> Value:
    return {"error_flag": flag, "error_sentence_id": sentence, "corrected_sentence": correction}


def test_the_scores_of_the_shared_task_are_worked_out_by_hand() -> None:
    batch = [
        (WRONG, answered(1, 2, "Gout was treated.")),  # 2 of 3 words each way
        (WRONG, answered(1, 3, "Rest.")),  # another sentence
        (WRONG, answered(0, -1, "Gout is treated.")),  # no error, so that the correction is NA
        (RIGHT, answered(0, -1)),
        (RIGHT, answered(1, 0, "Rest.")),
        (RIGHT, {}),
        (WRONG, None),
    ]
    scores = {name: find_metric(name).score(batch) for name in medec.MEDEC.metrics}
    assert scores["error_flag_accuracy"] == [1, 1, 0, 1, 0, 0, 0]
    assert scores["error_sentence_accuracy"] == [1, 0, 0, 1, 0, 0, 0]
    assert scores["correction_rouge_1"] == pytest.approx([2 / 3, 0, 0, 1, 0, 0, 0])
    assert scores["error_flag_f1"] == [(1, 0, 0), (1, 0, 0), (0, 0, 1), (0, 0, 0), (0, 1, 0), (0, 0, 0), (0, 0, 1)]
    total = find_metric("error_flag_f1").total
    assert total is not None
    assert total(np.sum(scores["error_flag_f1"], axis=0)) == pytest.approx(4 / 7)
    with pytest.raises(UsageError, match="'q' has no gold error_flag"):
        find_metric("correction_rouge_1").score([(Example("q", "?", gold="B"), {})])


def test_an_answer_in_json_is_read_with_words_around_it(here: Workspace) -> None:
    write(here, note(1, error=True), note(1, error=False))
    bound = load_task("medec", TaskSettings(), workspace=here, seed=0)
    example = next(e for e in bound.examples if e.id == "ms-val-1-True")
    text = (
        'Sure:\n```json\n{"error_flag": 1, "error_sentence_id": 1, "corrected_sentence": "He was given nothing."}\n```'
    )
    (score,) = score_samples([Sample("a", "medec", example, completion=text)], bound.reader, bound.task.metrics)
    assert dict(score.metrics) == {
        "error_flag_f1": (1, 0, 0), "error_flag_accuracy": 1, "error_sentence_accuracy": 1, "correction_rouge_1": 1,
    }  # fmt: skip
