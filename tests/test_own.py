import json
from pathlib import Path

import pytest

from ragmed.errors import DataError, UsageError
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.metrics import find_metric
from ragmed.prompts import build_messages
from ragmed.records import ContextDocument
from ragmed.runs import find_run
from ragmed.tasks import TaskSettings, load_task
from ragmed.workspace import Workspace


def record(number: int, **changes: object) -> dict[str, object]:
    return {
        "id": f"q{number}",
        "question": "Who signs?",
        "options": {"A": "clerk", "B": "consultant"},
        "answer": "B",
        **changes,
    }


def write(folder: Path, *records: object) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def load(workspace: Workspace, **settings: object) -> object:
    return load_task("ours", TaskSettings(file="questions.jsonl", **settings), workspace=workspace, seed=0)  # type: ignore[arg-type]


def test_own_questions_are_asked_from_a_file(small: Workspace) -> None:
    write(small.root, *(record(i, documents=["oak"]) for i in range(4)), record(9, split="dev"))
    config = {
        "models": {"m": "scripted:first-option"},
        "index": "wards",
        "tasks": {"ours": {"file": "questions.jsonl", "scoring": "letters", "shots": 1}},
        "arms": {"general": {"model": "m"}, "oracle": {"model": "m", "context": "oracle", "k": 1}},
    }
    run_experiment(make_experiment(config, default_name="ours", where="config"), workspace=small)
    run = find_run(small.runs, "ours")
    samples = run.samples()["oracle", "ours"]
    assert [p.id for p in samples[0].passages] == ["wards:oak#0"]
    assert len(samples) == 4
    assert samples[0].messages[2].content == "B"
    # private unless set otherwise, whatever the corpus is
    assert run.samples_file("oracle", "ours").stat().st_mode & 0o777 == 0o600
    assert (run.report_folder / "index.html").stat().st_mode & 0o777 == 0o600
    assert run.results_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": "C"}, "line 1: the answer 'C' is none of the options; write a letter .A, B. or the text of one"),
        ({"options": {"A": "x"}, "answer": "A"}, "line 1: two options or more are needed, found 1"),
        ({"options": {"A": "x", "B": "X"}, "answer": "x"}, "the answer 'x' is none of the options"),
        ({"question": "", "context": " "}, "line 1: 'question' must be text"),
        ({"context": 7}, "line 1: 'context' must be text, or a list"),
        ({"context": ["note"]}, "line 1: 'context' must be text, or a list"),
        ({"context": [{"text": "x"}, {"text": " "}]}, "line 1, context 2: 'text' must be text"),
        ({"context": [{"text": "x", "kind": "note"}]}, "line 1, context 1: unknown key 'kind'"),
        ({"context": [{"text": "x", "date": "May"}]}, "line 1, context 1: 'date' must be text such as 2031"),
        ({"options": {"B": "x", "A": "y"}}, "line 1: the letters of 'options' must be A, B, C"),
        ({"options": ["x"]}, "line 1: 'options' must be letters"),
        ({"question": " "}, "line 1: 'question' must be text"),
        ({"id": 3}, "line 1: 'id' must be text"),
        ({"documents": "oak"}, "line 1: 'documents' must be a list"),
        ({"split": "train"}, "line 1: split is 'train'"),
        ({"anwser": "A"}, "line 1: unknown key 'anwser'"),
    ],
)
def test_a_record_that_cannot_be_used_is_named(small: Workspace, changes: dict[str, object], message: str) -> None:
    write(small.root, record(1, **changes))
    with pytest.raises(DataError, match=message):
        load(small)


def test_a_record_may_name_its_option_by_text_and_bring_notes_for_a_question(small: Workspace) -> None:
    notes = [{"text": "Fever since Monday.", "title": "Admission", "date": "2031-05-17"}, {"text": "Cough."}]
    first = record(1, answer="Consultant", context=notes)
    second = record(2, context="Signed by the consultant.")
    del first["question"]
    write(small.root, first, second)
    bound = load_task("ours", TaskSettings(file="questions.jsonl"), workspace=small, seed=0)
    asked = {example.id: example for example in bound.examples}
    assert (asked["q1"].question, asked["q1"].gold) == ("", "B")
    assert asked["q1"].context == (
        ContextDocument("Fever since Monday.", "Admission", "2031-05-17"), ContextDocument("Cough.")
    )  # fmt: skip
    assert asked["q2"].context == (ContextDocument("Signed by the consultant."),)
    assert [bound.task.query(asked[name])[0] for name in ("q1", "q2")] == [
        "Fever since Monday.",
        "Who signs?",
    ]
    assert "Fever since Monday." in build_messages(bound, asked["q1"])[-1].content


def test_a_file_that_is_not_there_is_named(small: Workspace) -> None:
    with pytest.raises(DataError, match=r"questions\.jsonl' does not exist"):
        load(small)


def test_a_name_that_ragmed_has_is_refused(small: Workspace) -> None:
    config = {
        "models": {"m": "scripted:echo"},
        "tasks": {"medqa": {"file": "questions.jsonl"}},
        "arms": {"general": {"model": "m"}},
    }
    with pytest.raises(UsageError, match="another name"):
        make_experiment(config, default_name="x", where="config")


CSV = """id,question,A,B,C,answer,documents,split
q1,"Who signs, and when?",clerk,consultant,nurse,B,oak; elm,
,Which ward?,Oak,Elm,,A,oak,test
q3,Shown?,yes,no,,B,oak,dev
"""


@pytest.mark.parametrize(("mark", "start"), [(",", ""), (";", "\ufeff"), ("\t", "")])
def test_a_spreadsheet_is_asked_as_it_is_saved(small: Workspace, mark: str, start: str) -> None:
    text = CSV.replace('"Who signs, and when?"', "Who signs?").replace("; ", "+").replace(",", mark).replace("+", "; ")
    text = text if mark != ";" else text.replace("oak; elm", '"oak; elm"')
    (small.root / "questions.csv").write_text(start + text.replace("\n", "\r\n"))
    bound = load_task("ours", TaskSettings(file="questions.csv", shots=1), workspace=small, seed=0)
    first, second = sorted(bound.examples, key=lambda e: e.id)
    assert (first.id, first.options, first.gold, first.documents) == (
        "q1", {"A": "clerk", "B": "consultant", "C": "nurse"}, "B", ("oak", "elm")
    )  # fmt: skip
    assert (second.id, second.options) == ("row-3", {"A": "Oak", "B": "Elm"})
    assert [shot.id for shot in bound.shots] == ["q3"]


def test_what_excel_writes_is_read(small: Workspace) -> None:
    text = "sep=;\r\nId;Question;a;B;Answer\r\nq1;Who signs?;Clerk;Nurse;nurse\r\nq2;Which group?;B;A;A\r\n"
    (small.root / "questions.CSV").write_text(text, newline="")
    bound = load_task("ours", TaskSettings(file="questions.CSV"), workspace=small, seed=0)
    assert {e.id: (dict(e.options), e.gold) for e in bound.examples} == {
        "q1": ({"A": "Clerk", "B": "Nurse"}, "B"),
        "q2": ({"A": "B", "B": "A"}, "A"),  # a letter is a letter, whatever the options say
    }


def test_a_spreadsheet_of_its_own_format_is_refused(small: Workspace) -> None:
    with pytest.raises(UsageError, match=r"save it as CSV \(UTF-8\)"):
        load_task("ours", TaskSettings(file="questions.xlsx"), workspace=small, seed=0)


def test_questions_without_options_are_answered_with_text(small: Workspace) -> None:
    (small.root / "questions.csv").write_text("question,answer\nWho signs?,the ward consultant\n")
    bound = load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)
    assert (bound.task.kind, bound.task.metrics, bound.examples[0].id) == ("text", ("rouge_l",), "row-2")
    assert find_metric(*bound.task.metrics).score([(bound.examples[0], "the consultant")]) == [pytest.approx(0.8)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question,answr\na,b\n", "unknown column 'answr'"),
        ("question,question,answer\na,b,c\n", "twice"),
        ("question,A,B,answer\na,x,y\n", "3 cells, the header has 4"),
        ("\n", "holds no question"),
        ("sep=;\nquestion;A;B;answer\na;x;x;X\n", "line 3: the answer 'X' is none of the options"),
        ("question,A,B,answer\na,x,y,C\n", "line 2: the answer 'C' is none of the options"),
        ("question,A,B,answer\na,,y,B\n", "the question's options|an option with text|two or more options"),
        (
            "question,A,B,answer\na,x,y,A\nb,,,free\n",
            r"questions\.csv': line 2 has options, line 3 has none; a file holds one kind",
        ),
        ('question,A,B,answer\n"a,x,y,A\n', "line 2"),
        ("question,answer\n", "holds no question"),
        ("question,answer\n,b\n", "'question' must be text"),
    ],
)
def test_a_wrong_spreadsheet_is_named_with_its_line(small: Workspace, text: str, words: str) -> None:
    (small.root / "questions.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)
