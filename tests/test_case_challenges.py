import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ragmed.errors import DataError
from ragmed.prompts import build_messages
from ragmed.tasks import TaskSettings, invent_sample, load_task
from ragmed.tasks.case_challenges import COLUMNS
from ragmed.workspace import Workspace


def row(**changes: Any) -> dict[str, Any]:
    return {
        "link": "https://example.org/10.1001/jama.2031.1234",
        "question": "An invented man coughs. " * 30 + "What next?",
        "opa": "Wait", "opb": "Order a biopsy", "opc": "Begin prednisone", "opd": "Order an MRI",
        "diagnosis": "SECRET disease", "answer_idx": "B", "answer": "Order a biopsy", "explanation": "SECRET reason",
        "field": "SECRET field", **changes,
    }  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "data" / "case_challenges").mkdir(parents=True)
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def write(here: Workspace, suffix: str, *rows: dict[str, Any]) -> None:
    path = here.data / "case_challenges" / f"jama{suffix}"
    if suffix == ".csv":
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text(json.dumps(rows) if suffix == ".json" else "".join(json.dumps(r) + "\n" for r in rows))


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
def test_all_three_kinds_of_file_hold_the_same_cases(here: Workspace, suffix: str) -> None:
    write(here, suffix, row(), row(answer_idx="D", answer="order an  MRI."))
    bound = load_task("jama_cases", TaskSettings(), workspace=here, seed=0)
    found = {example.id: (example.gold, example.group, example.date) for example in bound.examples}
    assert found == {"0": ("B", "0", "2031"), "1": ("D", "0", "2031")}
    assert bound.task.access == "private"


def test_what_gives_the_answer_away_reaches_neither_prompt_nor_retriever(here: Workspace) -> None:
    write(here, ".csv", row())
    bound = load_task("jama_cases", TaskSettings(), workspace=here, seed=0)
    queries = bound.task.query(bound.examples[0])
    assert len(queries) > 1
    assert all(len(query.split()) <= 60 for query in queries)
    assert " ".join(queries) == bound.examples[0].question
    seen = " ".join([*queries, *(m.content for m in build_messages(bound, bound.examples[0]))])
    assert "SECRET" not in seen
    assert "example.org" not in seen
    assert not any(option in " ".join(queries) for option in bound.examples[0].options.values())


def test_letters_before_options_are_taken_off(here: Workspace) -> None:
    options = {"opa": "A. Wait", "opb": "B. Order a biopsy", "opc": "C. Begin prednisone", "opd": "D. Order an MRI"}
    write(here, ".json", row(**options), row(question="Another?", **options, answer="B. Order a biopsy"))
    for example in load_task("jama_cases", TaskSettings(), workspace=here, seed=0).examples:
        assert (example.options["B"], example.gold) == ("Order a biopsy", "B")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer_idx": "A"}, "record 1: answer_idx A is the option 'Wait', the answer is 'Order a biopsy'"),
        ({"answer_idx": "G"}, "record 1: answer_idx is 'G'; one of A, B, C, D was expected"),
        ({"opc": ""}, "record 1: opc is empty, and an option stands after it"),
        ({"opd": 0}, "record 1: 'opd' is empty or no text; correct it"),
        ({"opd": []}, "record 1: 'opd' is empty or no text"),
        ({"opa": None}, "record 1: opa is empty, and an option stands after it"),
    ],
)
def test_a_case_that_contradicts_itself_is_named(here: Workspace, changes: dict[str, Any], message: str) -> None:
    write(here, ".json", row(**changes))
    with pytest.raises(DataError, match=message):
        load_task("jama_cases", TaskSettings(), workspace=here, seed=0)


def test_a_missing_column_a_second_file_and_none_are_refused(here: Workspace) -> None:
    with pytest.raises(DataError, match="under copyright, so put a file of your own there"):
        load_task("jama_cases", TaskSettings(), workspace=here, seed=0)
    write(here, ".json", {key: text for key, text in row().items() if key != "opc"})
    with pytest.raises(DataError, match="record 1: the column 'opc' is missing"):
        load_task("jama_cases", TaskSettings(), workspace=here, seed=0)
    write(here, ".csv", row())
    with pytest.raises(DataError, match=r"holds jama.csv and jama.json; keep one"):
        load_task("jama_cases", TaskSettings(), workspace=here, seed=0)


@pytest.mark.parametrize("name", ["nejm_cases", "jama_cases"])
def test_two_invented_cases_are_one_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    invent_sample(name, tmp_path / "data")
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    bound = load_task(name, TaskSettings(), workspace=Workspace.find(tmp_path), seed=0)
    assert len(bound.examples) == 34
    assert len({example.group for example in bound.examples}) == 33
