"""MeDiSumCode: built from invented files in MIMIC-IV's format, read again, and asked."""

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from coding_trial import run_coding_trial
from ragmed.cli.main import cli

from ragmed.errors import DataError, UsageError
from ragmed.runs import find_run
from ragmed.tasks import invent_sample
from ragmed.tasks.medisumcode import DIAGNOSES, FILE, MEDISUMCODE, NOTES, build
from ragmed.workspace import Workspace

TIMES = ("2180-05-07 00:00:00", "")


def note(
    patient: int, admission: object, text: str = 'He was "well",\nand walked.', kind: str = "DS", seq: int = 1
) -> Any:
    return [f"{patient}-{kind}-{seq}", patient, admission, kind, seq, *TIMES, text]


def write(path: Path, header: tuple[str, ...], rows: list[list[object]]) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def mimic(tmp_path: Path) -> tuple[Path, Path]:
    notes = [
        note(1, 11), note(1, 12, seq=2), note(2, 21, "Addendum.", "AD"), note(3, ""), note(4, 41, " "),
        note(5, 51, "Second.", seq=2), note(5, 51, "First.", seq=1), note(6, 61),
    ]  # fmt: skip
    codes: list[list[object]] = [
        [1, 11, 2, "4019 ", 9], [1, 11, 1, "00845", 9], [1, 11, 3, "I10", 10], [1, 12, 1, "E1165", 10],
        [5, 51, 1, "0012", 9], [5, 51, 2, "NoDx", 10], [6, 62, 1, "I10", 10], [5, 51, 3, "U071", 10],
    ]  # fmt: skip
    return write(tmp_path / "d.csv.gz", DIAGNOSES, codes), write(tmp_path / "n.csv", NOTES, notes)


def test_what_is_built_and_left_out_is_worked_out_by_hand(mimic: tuple[Path, Path], tmp_path: Path) -> None:
    built = build(*mimic, tmp_path / "o.jsonl")
    records = {r["hadm_id"]: r for r in map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines())}
    assert {key: [(c["code"], c["from"]) for c in r["icd_codes"]] for key, r in records.items()} == {
        "11": [("A04.7", "00845"), ("I10", "4019")], "12": [("E11.65", "E1165")], "51": [("U07.1", "U071")],
    }  # fmt: skip
    assert records["11"]["text"] == 'He was "well",\nand walked.'
    assert records["51"]["text"] == "First."
    assert (records["51"]["note_id"], records["51"]["subject_id"]) == ("5-DS-1", "5")
    assert built.summaries == 3
    assert built.notes == {
        "of another type than DS (discharge summary)": 1, "without an admission (hadm_id)": 1, "without a text": 1,
        "a second summary of an admission": 1, "drawn, of an admission without a code that can be used": 1,
    }  # fmt: skip
    assert built.diagnoses == {
        "ICD-9 codes that have no ICD-10-CM code": 1, "codes that are none": 1,
        "codes that map to a code of the same admission": 1,
    }  # fmt: skip
    assert (tmp_path / "o.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_the_rows(tmp_path: Path) -> None:
    notes = [note(n, 1000 + n) for n in range(60)]
    codes: list[list[object]] = [[n, 1000 + n, 1, "I10", 10] for n in range(60)]
    diagnoses = write(tmp_path / "d.csv", DIAGNOSES, codes)
    drawn = {}
    for name, rows, seed in (("a", notes, 0), ("b", random.Random(1).sample(notes, 60), 0), ("c", notes, 1)):
        discharge = write(tmp_path / f"{name}.csv.gz", NOTES, rows)
        built = build(diagnoses, discharge, tmp_path / name, count=10, seed=seed)
        assert (built.summaries, built.notes) == (10, {"not drawn": 50})
        drawn[name] = (tmp_path / name).read_bytes()
    assert drawn["a"] == drawn["b"] != drawn["c"]


def test_codes_that_are_not_in_a_table_are_left_out(mimic: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("code\tbillable\tlong_desc\nI10\t1\tHypertension\nE1165\t1\tDiabetes\n")
    built = build(*mimic, tmp_path / "o.jsonl", table=tmp_path / "t.tsv")
    assert built.summaries == 2
    assert built.diagnoses["codes that do not stand in t.tsv"] == 2


@pytest.mark.parametrize(
    ("which", "text", "message"),
    [
        (0, "subject_id,hadm_id\n", "line 1: the column 'seq_num' is missing, found subject_id, hadm_id; name the"),
        (0, ",".join(DIAGNOSES) + "\n1,11,1,4019,8\n", "line 2: icd_version '8'; 9 or 10"),
        (0, ",".join(DIAGNOSES) + "\n1,11,x,4019,9\n", "line 2: seq_num 'x' is no whole number"),
        (0, ",".join(DIAGNOSES) + "\n1,11,1\n", "line 2: the row has 3 cells, the header has 5; put quotes"),
        (0, ",".join(DIAGNOSES) + "\n7,77,1,4019,9\n", "are they of one release"),
        (1, ",".join(NOTES) + '\n1-DS-1,1,11,DS,1,,,"He was\n', "line 2: not CSV"),
        (1, "", "is empty"),
    ],
)
def test_what_mimic_does_not_publish_is_refused_with_its_line(
    mimic: tuple[Path, Path], tmp_path: Path, which: int, text: str, message: str
) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_text(text)
    files = (broken, mimic[1]) if which == 0 else (mimic[0], broken)
    with pytest.raises(DataError, match=message):
        build(*files, tmp_path / "o.jsonl")
    assert not (tmp_path / "o.jsonl").exists()


def test_a_cut_archive_is_refused(mimic: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "cut.csv.gz").write_bytes(mimic[0].read_bytes()[:-30])
    with pytest.raises(DataError, match="cut or damaged"):
        build(tmp_path / "cut.csv.gz", mimic[1], tmp_path / "o.jsonl")


def test_the_command_says_what_it_did_and_writes_over_nothing(mimic: tuple[Path, Path], tmp_path: Path) -> None:
    given = ["tasks", "build", "medisumcode", "--diagnoses", str(mimic[0]), "--discharge", str(mimic[1])]
    done = CliRunner().invoke(cli, [*given, "--output", str(tmp_path / "o.jsonl")])
    assert "3 discharge summaries written" in done.output
    assert "notes left out: 1 without a text" in done.output
    with pytest.raises(UsageError, match="exists already"):
        build(*mimic, tmp_path / "o.jsonl")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    invent_sample("medisumcode", tmp_path / "data")
    return Workspace.find(tmp_path)


def test_no_patient_is_both_shown_and_scored(here: Workspace) -> None:
    split = MEDISUMCODE.load(here)
    assert len(split.examples) + len(split.shots) == 40
    assert split.shots
    assert not {e.group for e in split.examples} & {e.group for e in split.shots}
    assert split.notes == ()


def test_a_file_that_clue_s_own_script_made_is_read_with_a_note(here: Workspace) -> None:
    path = here.data / "medisumcode" / FILE
    records = [
        {"hadm_id": str(n), "text": f"Note {n}.", "icd_codes": [{"code": "I10", "description": "…"}]} for n in range(40)
    ]
    for text in ("".join(json.dumps(r) + "\n" for r in records), json.dumps(records)):
        path.write_text(text)
        split = MEDISUMCODE.load(here)
        assert len(split.examples) + len(split.shots) == 40
        assert "40 summaries name no patient" in split.notes[0]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"hadm_id": "1", "text": "x", "icd_codes": []}, "the summary of admission 1 has no code"),
        ({"hadm_id": "1", "text": "x", "icd_codes": [{"code": "401.9"}]}, "'401.9' is not written as an ICD-10-CM"),
        ({"hadm_id": "1", "text": "x", "icd_codes": [{"code": 8.45}]}, "'code' is empty or no text"),
        ({"hadm_id": "1", "text": "x", "icd_codes": ["I10"]}, "'icd_codes' is no list of objects with a code"),
        (
            {"hadm_id": 1.5, "text": "x", "icd_codes": [{"code": "I10"}]},
            "'hadm_id' is empty, or neither text nor whole",
        ),
        ({"hadm_id": 1, "subject_id": [2], "text": "x", "icd_codes": []}, "'subject_id' is empty, or neither text"),
        ({"hadm_id": "1", "text": "x"}, "missing or wrong field 'icd_codes'"),
    ],
)
def test_a_summary_that_cannot_be_used_is_named(here: Workspace, record: dict[str, Any], message: str) -> None:
    (here.data / "medisumcode" / FILE).write_text(json.dumps(record) + "\n")
    with pytest.raises(DataError, match=f"line 1: {message}"):
        MEDISUMCODE.load(here)


def test_five_summaries_go_through_every_arm(here: Workspace) -> None:
    results, workspace = run_coding_trial("medisumcode", here.root)
    assert {row.arm for row in results.scores} == {"general", "general+rag", "general+oracle", "general+distractor"}
    run = find_run(workspace.runs, "r")
    assert run.info()["access"] == "credentialed"
    nearest = next(row for row in results.baselines if (row.name, row.metric) == ("nearest-code", "code_f1"))
    assert 0 < (nearest.value or 0) <= 1
