import zipfile
from collections import Counter
from pathlib import Path

import openpyxl
import pytest

from ragmed.errors import DataError
from ragmed.metrics import find_metric
from ragmed.metrics.overlap import rouge, rouge_l
from ragmed.prompts import build_messages
from ragmed.records import Example
from ragmed.tasks import TaskSettings, load_task, meqsum
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
BOOKS = sorted((WORKSPACE.data / "meqsum").glob("*.xlsx"))
needs_meqsum = pytest.mark.skipif(not BOOKS, reason=f"needs {WORKSPACE.data / 'meqsum'} (RAGMED_DATA)")
HEADER = ("File", "CHQ", "Summary")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "data" / "meqsum").mkdir(parents=True)
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def book(workspace: Workspace, rows: list[tuple[object, ...]], *, sheet: str = "QS") -> Path:
    made = openpyxl.Workbook()
    active = made.active
    assert active is not None
    active.title = sheet
    for row in rows:
        active.append(row)
    path = workspace.data / "meqsum" / "MeQSum.xlsx"
    made.save(path)
    return path


def rewritten(path: Path, change: tuple[bytes, bytes]) -> None:
    """The same workbook with other bytes in its sheet."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["xl/worksheets/sheet1.xml"] = parts["xl/worksheets/sheet1.xml"].replace(*change, 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


@needs_meqsum
def test_the_published_rows_are_whole_and_those_shown_are_not_scored() -> None:
    split = meqsum.load(WORKSPACE)
    # Counts of the full file are higher; what is kept back here does not change the side of a row.
    assert len(split.examples) + len(split.shots) >= 759
    assert 16 <= len(split.shots) <= 60
    assert not {e.group for e in split.examples} & {e.group for e in split.shots}
    assert not {e.gold for e in split.examples} & {e.gold for e in split.shots}
    assert all(e.question.strip() and e.gold.strip() for e in split.examples)
    first = next(e for e in split.examples if e.id == "1-131188152.xml.txt")
    assert first.question.startswith("SUBJECT: who and where to get cetirizine - D\nMESSAGE: I need/want to know")
    assert first.gold == "Who manufactures cetirizine?"


@needs_meqsum
def test_rows_with_one_summary_are_one_group() -> None:
    split = meqsum.load(WORKSPACE)
    groups: dict[str, set[str]] = {}
    for example in (*split.examples, *split.shots):
        groups.setdefault(example.gold.casefold(), set()).add(example.group)
    assert all(len(found) == 1 for found in groups.values())
    sizes = Counter(e.group for e in (*split.examples, *split.shots))
    assert max(sizes.values()) >= 4


@needs_meqsum
def test_worked_examples_are_chat_turns() -> None:
    bound = load_task("meqsum", TaskSettings(shots=3, limit=5), workspace=WORKSPACE, seed=1)
    messages = build_messages(bound, bound.examples[0])
    assert [m.role for m in messages] == ["system", *["user", "assistant"] * 3, "user"]
    assert messages[2].content == bound.shots[0].gold
    assert messages[-1].content.startswith("Health question: ")


def test_a_row_keeps_its_side_whatever_stands_beside_it(here: Workspace) -> None:
    # Every summary stands under two files.
    rows = [(f"{i}.txt", f"What about {i}?", f"What is {i % 100}?") for i in range(200)]
    book(here, [HEADER, *rows])
    whole = {e.id for e in meqsum.load(here).shots}
    book(here, [HEADER, *reversed(rows[50:150])])
    half = {e.id for e in meqsum.load(here).shots}
    assert half == {name for name in whole if 50 <= int(name[:-4]) < 150}
    assert len(half) > 0


def test_the_same_question_or_summary_makes_a_group_with_its_chain(here: Workspace) -> None:
    rows = [("1", "Q one", "S a"), ("2", "Q two", "S b"), ("3", "q  ONE", "s B"), ("4", "Q four", "S d")]
    book(here, [HEADER, *rows])
    split = meqsum.load(here)
    groups = {e.id: e.group for e in (*split.examples, *split.shots)}
    assert groups == {"1": "1", "2": "1", "3": "1", "4": "4"}


def test_a_second_question_of_one_file_has_an_id_of_its_own(here: Workspace) -> None:
    book(here, [HEADER, ("f", "Q one", "S a"), (None, None, None), ("f", "Q two", "S b")])
    split = meqsum.load(here)
    assert sorted(e.id for e in (*split.examples, *split.shots)) == ["f", "f#2"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([HEADER, ("f", "Q", "S"), ("g", "Q two", None)], "row 3: 'Summary' is empty"),
        ([HEADER, ("f", " ", "S")], "row 2: 'CHQ' is empty"),
        ([HEADER, ("f", 12.5, "S")], "row 2: 'CHQ' is empty or no text"),
        ([("File", "Question", "Summary"), ("f", "Q", "S")], "row 1: the columns File, CHQ, Summary"),
        ([], "row 1: the columns"),
    ],
)
def test_a_row_that_is_not_whole_is_named(here: Workspace, rows: list[tuple[object, ...]], message: str) -> None:
    book(here, rows)
    with pytest.raises(DataError, match=message):
        meqsum.load(here)


def test_what_is_no_workbook_of_the_set_is_refused(here: Workspace) -> None:
    with pytest.raises(DataError, match=r"one MeQSum workbook.*found none.*RAGMED_DATA"):
        meqsum.load(here)
    path = book(here, [HEADER], sheet="Sheet1")
    with pytest.raises(DataError, match="no sheet 'QS', only Sheet1"):
        meqsum.load(here)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"cannot be read .*; fetch it again"):
        meqsum.load(here)
    path.with_name("other.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"found MeQSum\.xlsx, other\.xlsx"):
        meqsum.load(here)


def test_entities_are_refused(here: Workspace) -> None:
    path = book(here, [HEADER, ("f", "Q", "S")])
    rewritten(path, (b"<worksheet", b'<!DOCTYPE x [<!ENTITY a "aaaaaaaa">]><worksheet'))
    with pytest.raises(DataError, match="cannot be read"):
        meqsum.load(here)


def test_a_cell_far_away_costs_no_memory(here: Workspace) -> None:
    path = book(here, [HEADER, ("f", "Q", "S")])
    rewritten(path, (b'r="A2"', b'r="XFD1048576"'))
    with pytest.raises(DataError, match="'File' is empty"):
        meqsum.load(here)


def test_a_workbook_that_unpacks_to_too_much_is_refused(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    book(here, [HEADER, ("f", "Q", "S")])
    monkeypatch.setattr(meqsum, "MOST_BYTES", 1000)
    with pytest.raises(DataError, match="more than the 1000 that are read"):
        meqsum.load(here)


def test_rouge_is_worked_out_by_hand() -> None:
    # 4 words against 3, two of them shared and next to each other: P 2/4, R 2/3; pairs: P 1/3, R 1/2
    scores = rouge("what treats severe asthma", "what treats flu")
    assert scores == pytest.approx({"rouge_1": 4 / 7, "rouge_2": 2 / 5, "rouge_l": 4 / 7})
    assert rouge_l("asthma severe what treats", "what treats flu") == pytest.approx(4 / 7)
    assert rouge_l("treats what", "what treats") == pytest.approx(1 / 2)
    assert rouge("nothing", "in common") == {"rouge_1": 0.0, "rouge_2": 0.0, "rouge_l": 0.0}


def test_rouge_stems_words_and_ignores_case() -> None:
    assert rouge("Treatments of ASTHMA", "treatment of asthma")["rouge_2"] == 1.0


def test_the_task_reports_three_rouges() -> None:
    assert meqsum.MEQSUM.metrics == ("rouge_l", "rouge_1", "rouge_2")  # the first is the primary one
    answers = [(Example("1", "?", gold="what treats flu"), "what treats flu")]
    assert [find_metric(name).score(answers) for name in meqsum.MEQSUM.metrics] == [[1.0]] * 3
