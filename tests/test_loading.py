"""Files of tasks that are not as published: each refusal names file, line, column and remedy; what can be read is."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragmed.errors import DataError
from ragmed.tasks import TaskSettings, invent_sample, load_task
from ragmed.tasks.loading import csv_records, json_records
from ragmed.workspace import Workspace

LINES = {
    "mednli": "mednli/mli_test_v1.jsonl", "k_qa": "k-qa/questions_w_answers.jsonl",
    "medhallu": "medhallu/pqa_labeled_dev.jsonl", "scifact": "scifact/claims_train.jsonl",
    "medqa_dev": "medqa/dev.jsonl", "radiology_impression": "openi/validate.jsonl",
    "medisumqa": "medisumqa/MeDiSumQA.json", "medisumcode": "medisumcode/medisumcode.jsonl",
    "nejm_cases": "case_challenges/nejm.jsonl",
}  # fmt: skip
TABLES = {
    "mts_dialog": "mts-dialog/MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv",
    "aci_bench": "aci-bench/clinicalnlp_taskB_test1.csv",
    "medec": "medec/MEDEC-MS-ValidationSet-with-GroundTruth-and-ErrorType.csv",
    "jama_cases": "case_challenges/jama.csv", "problem_summary": "problem_summary/BioNLP2023-1A-Test.csv",
    "evidence_inference": "evidence-inference/prompts_merged.csv",
}  # fmt: skip
REMEDY = r"; (correct|fetch|keep|save|name) .*"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def file_of(name: str, workspace: Workspace) -> Path:
    invent_sample(name, workspace.data)
    return workspace.data / {**LINES, **TABLES}[name]


def loaded(name: str, workspace: Workspace) -> set[str]:
    return {example.id for example in load_task(name, TaskSettings(), workspace=workspace, seed=0).examples}


def rewrite(path: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n").writerows(change(rows))
        path.write_text(out.getvalue(), encoding="utf-8")
    else:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8-sig").splitlines()]
        path.write_text("".join(json.dumps(record) + "\n" for record in change(records)))


@pytest.mark.parametrize("name", LINES)
def test_json_and_json_lines_are_read_alike_with_a_byte_order_mark_too(here: Workspace, name: str) -> None:
    file = file_of(name, here)
    published = loaded(name, here)
    lines = file.read_bytes()
    for given in (json.dumps([json.loads(line) for line in lines.splitlines()], indent=1).encode(), lines):
        file.write_bytes(b"\xef\xbb\xbf" + given)
        assert loaded(name, here) == published
    rewrite(file, lambda records: records[:1])
    assert 1 <= len(loaded(name, here)) <= 2


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("value", [None, ""])
def test_a_record_without_texts_is_named_with_its_line_and_field(here: Workspace, name: str, value: str | None) -> None:
    file = file_of(name, here)
    rewrite(file, lambda given: [given[0], dict.fromkeys(given[1], value), *given[2:]])
    with pytest.raises(DataError, match=rf"{file.name}', line 2: '\w+( \w+)*' is .*{REMEDY}"):
        loaded(name, here)


@pytest.mark.parametrize("name", LINES)
def test_a_cut_line_and_a_missing_field_are_named(here: Workspace, name: str) -> None:
    file = file_of(name, here)
    whole = file.read_text()
    file.write_text(whole[:-9])
    last = whole.count("\n")
    with pytest.raises(DataError, match=rf"{file.name}', line {last}: not JSON: .*{REMEDY}"):
        loaded(name, here)
    file.write_text('{"other": 1}\n')
    with pytest.raises(DataError, match=rf"{file.name}', line 1: .*'\w+( \w+)*'.*{REMEDY}"):
        loaded(name, here)


@pytest.mark.parametrize("name", LINES)
def test_what_is_no_utf8_has_one_remedy(here: Workspace, name: str) -> None:
    file = file_of(name, here)
    file.write_bytes(file.read_bytes().replace(b'": "', b'": "\xe9', 1))
    with pytest.raises(DataError, match=r"line 1: is not UTF-8 \(byte 0xe9 at offset \d+\); convert it to UTF-8$"):
        loaded(name, here)


@pytest.mark.parametrize(
    ("name", "path"), [("longhealth_3", "longhealth/benchmark_v5.json"), ("mmlu", "mirage/benchmark.json")]
)
def test_a_file_of_one_object_that_is_cut_is_named(here: Workspace, name: str, path: str) -> None:
    invent_sample(name, here.data)
    file = here.data / path
    file.write_bytes(file.read_bytes()[:-400])
    with pytest.raises(DataError, match=rf"{file.name}' is not JSON: .*{REMEDY}"):
        loaded(name, here)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_tables_are_read_however_a_spreadsheet_ends_their_lines(here: Workspace, name: str, end: bytes) -> None:
    file = file_of(name, here)
    published = load_task(name, TaskSettings(), workspace=here, seed=0)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", end))
    assert load_task(name, TaskSettings(), workspace=here, seed=0).examples == published.examples


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace(b",", b";"),
            "line 1: the column '.*' is missing, .*by another mark; save",
        ),
        (lambda text: text.decode().encode("utf-16"), r"line 1 or after it: not UTF-8 \(byte 0xff\); save"),
        (lambda text: text + b"\xe9", r"line \d+ or after it: not UTF-8 \(byte 0xe9\); save it as CSV in UTF-8"),
        (lambda text: text.split(b"\n", 1)[0] + b"\n", "has a header and no row below it; fetch the file again"),
        (lambda text: b"x" + text[1:-9] + b'"', "line 1: the column '.*' is missing, found .*name the columns"),
        (lambda text: text[:-9] + b"\0" + text[-9:], r"line \d+: it holds a NUL byte, as no text does; fetch"),
        (lambda text: text + b'"', r"line \d+: not CSV \(unexpected end of data\); fetch"),
    ],
)
def test_a_table_of_another_form_is_named(
    here: Workspace, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    file = file_of(name, here)
    if message.endswith("name the columns"):
        rewrite(file, lambda rows: [[f"{cell}x" for cell in rows[0]], *rows[1:]])
    else:
        file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DataError, match=rf"{file.name}',? {message}"):
        loaded(name, here)


@pytest.mark.parametrize("name", ["mednli", "k_qa", "medhallu", "scifact", "mts_dialog", "aci_bench", "medec"])
def test_a_record_that_stands_twice_is_refused_with_both_places(here: Workspace, name: str) -> None:
    file = file_of(name, here)
    first = 1 if name in LINES else 2
    rewrite(file, lambda rows: [*rows, rows[first - 1]])
    with pytest.raises(DataError, match=rf"line \d+: the id '.*' occurs twice, first at .*line {first}; keep one"):
        loaded(name, here)


@pytest.mark.parametrize(
    ("name", "field"),
    [("mednli", "pairID"), ("scifact", "id"), ("radiology_impression", "idx"), ("medisumqa", "note_id")],
)
@pytest.mark.parametrize("given", [None, " ", True, 1.5, []])
def test_an_id_that_is_none_is_refused_with_its_line(here: Workspace, name: str, field: str, given: object) -> None:
    file = file_of(name, here)
    rewrite(file, lambda rows: [{**rows[0], field: given}, *rows[1:]])
    with pytest.raises(DataError, match=rf"line 1: '{field}' is empty, or neither text nor whole number{REMEDY}"):
        loaded(name, here)


def test_codes_and_names_of_drugs_stay_text(tmp_path: Path) -> None:
    file = tmp_path / "t.csv.gz"
    file.write_bytes(gzip.compress("\ufeffcode,drug\n008.45,NA\n1e5,null\nTRUE,007\n".encode()))
    assert [row for _, row in csv_records(file, "table", needs=("code", "drug"))] == [
        {"code": "008.45", "drug": "NA"}, {"code": "1e5", "drug": "null"}, {"code": "TRUE", "drug": "007"},
    ]  # fmt: skip
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="or after it: cut or damaged"):
        list(csv_records(file, "table"))


def test_a_column_or_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("code,code\n1,2\n")
    with pytest.raises(DataError, match="line 1: the column 'code' stands twice; keep one"):
        list(csv_records(tmp_path / "t.csv", "table", needs=("code",)))
    (tmp_path / "t.csv").write_text("code,note,note,,\n1,2,3,,\n")
    with pytest.raises(DataError, match="line 1: the column 'note' stands twice; keep one"):
        list(csv_records(tmp_path / "t.csv", "table", needs=("code",)))
    (tmp_path / "t.json").write_text('[\n{"a": 1,\n"a": 2}]')
    with pytest.raises(DataError, match=r"the key 'a' stands twice in one object \(lines 2 and 3\); keep one"):
        list(json_records(tmp_path / "t.json", "records"))
