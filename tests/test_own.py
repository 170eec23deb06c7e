import json
from pathlib import Path

import pytest

from ragmed.comparison.baselines import trivial_baselines
from ragmed.errors import DataError, UsageError
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import dry_run, run_experiment
from ragmed.metrics import find_metric
from ragmed.metrics.gold import right_letters
from ragmed.prompts import build_messages
from ragmed.records import ContextDocument, Example
from ragmed.runs import find_run
from ragmed.tasks import TaskSettings, load_task
from ragmed.tasks.own import own_task
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
    write(
        small.root,
        *(record(i, documents=["oak"]) for i in range(4)),
        record(9, split="dev", question="Asked of nobody else?"),
    )
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
        ({"options": {"A": "Xy", "B": "XY"}, "answer": "xy"}, "line 1: 'xy' is options A and B but for capitals"),
        ({"options": {"A": "x", "B": " x"}}, "line 1: all options have one text, 'x'"),
        ({"options": {"A": "x", "B": " ", "C": "z"}}, "line 1: option B is empty"),
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
        ({"documnets": ["oak"]}, "line 1: unknown key 'documnets'; is 'documents' meant"),
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
        "q2": ({"A": "B", "B": "A"}, "B"),  # this file answers with texts
    }
    assert bound.notes == (
        "questions.CSV: answers that are the letter of one option and the text of another were taken as texts "
        "(q2: A is option B).",
    )


GROUPS = "id,question,A,B,C,D,answer\nq1,Which?,A,B,AB,O,O\nq2,Which?,O,A,B,AB,A\nq3,Which?,O,B,A,AB,B\n"


def test_an_answer_that_is_a_letter_and_anothers_text_is_decided_by_the_file(small: Workspace) -> None:
    (small.root / "questions.csv").write_text(GROUPS)
    bound = load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)
    assert {e.id: e.gold for e in bound.examples} == {"q1": "D", "q2": "B", "q3": "B"}
    assert "(q2: A is option B)" in bound.notes[0]
    (small.root / "questions.csv").write_text(GROUPS + "q4,Which?,O,A,B,AB,D\n")
    with pytest.raises(DataError, match=r"line 3: the answer 'A' is the letter .* the text of another, B; .*line 5"):
        load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)


@pytest.mark.parametrize("texts", ["b,a", "B.,A.", "B ,A "])
def test_a_letter_is_anothers_text_however_that_is_written(small: Workspace, texts: str) -> None:
    (small.root / "questions.csv").write_text(f"id,question,A,B,answer\nq1,Which?,{texts},A\n")
    bound = load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)
    assert (bound.examples[0].gold, "(q1: A is option B)" in bound.notes[0]) == ("B", True)
    same = ",".join(reversed(texts.split(",")))
    (small.root / "questions.csv").write_text(f"id,question,A,B,answer\nq1,Which?,{same},A\n")
    bound = load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)
    assert (bound.examples[0].gold, bound.notes) == ("A", ())


def test_an_answer_of_a_file_of_letters_is_a_letter_and_this_is_said(small: Workspace) -> None:
    letters = "".join(f"r{n},Which dose in case {n}?,12 mg,24 mg,48 mg,96 mg,{'ABD'[n]}\n" for n in range(3))
    head = "id,question,A,B,C,D,answer\n"
    (small.root / "questions.csv").write_text(f"{head}q1,Which group?,O,A,B,AB,B\n{letters}")
    bound = load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)
    assert {e.id: e.gold for e in bound.examples} == {"q1": "B", "r0": "A", "r1": "B", "r2": "D"}
    assert "taken as letters, as all other answers of the file are (q1: B)" in bound.notes[0]
    text = "q2,Which dose?,12 mg,24 mg,48 mg,96 mg,24 mg\n"  # now nothing tells which is meant
    (small.root / "questions.csv").write_text(f"{head}q1,Which group?,O,A,B,AB,B\n{letters}{text}")
    with pytest.raises(DataError, match="either may be meant"):
        load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)


@pytest.mark.parametrize("twin", ["24mg", "24 mg.", "24  mg", "24 mg;"])
def test_options_that_differ_in_nothing_that_is_said_are_one(small: Workspace, twin: str) -> None:
    row = f'q1,Which dose?,12 mg,24 mg,"{twin}",A glass of Water,a glass of water\n'
    (small.root / "questions.csv").write_text(f"id,question,A,B,C,D,answer\n{row}q2,Which?,1,24 mg,{twin},2,B\n")
    bound = load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)
    assert [right_letters(example) for example in sorted(bound.examples, key=lambda e: e.id)] == [("D",), ("B", "C")]
    assert any("in 1 of 2 examples the right option's text stands under several letters" in n for n in bound.notes)


@pytest.mark.parametrize("pair", ["Aa/AA", "PaO2/PAO2", "a typical rash/atypical rash", "mg/Mg", "1.5 mg/15 mg"])
def test_options_that_differ_in_what_is_meant_stay_two(pair: str) -> None:
    one, other = pair.split("/")
    assert right_letters(Example("q", "?", options={"A": one, "B": other}, gold="A")) == ("A",)


def test_columns_and_keys_that_nobody_reads_are_named(small: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    (small.root / "questions.csv").write_text("question,A,B,answer,explanation,\nWhich?,a1,b2,A,because,\n")
    bound = load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)
    assert (len(bound.examples), bound.notes) == (
        1,
        ("questions.csv: columns that are not read: explanation, (without a name).",),
    )
    write(small.root, record(1, explanation="because"), record(2, difficulty=3))
    config = {
        "models": {"m": "scripted:first-option"},
        "tasks": {"ours": {"file": "questions.jsonl", "scoring": "letters"}},
        "arms": {"general": {"model": "m"}},
    }
    experiment = make_experiment(config, default_name="ours", where="config")
    note = "note: questions.jsonl: keys that are not read: explanation, difficulty."
    assert note in dry_run(experiment, workspace=small).splitlines()
    run_experiment(experiment, workspace=small)
    assert note in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(("encoding", "notes"), [("cp1252", 1), ("utf-16", 0), ("utf-8-sig", 0)])
def test_what_a_spreadsheet_saves_is_read(small: Workspace, encoding: str, notes: int) -> None:
    (small.root / "questions.csv").write_bytes(
        "question;A;B;answer\nDosis für Säuglinge?;5 µg;7 µg;A\n".encode(encoding)
    )
    bound = load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)
    assert (bound.examples[0].question, bound.examples[0].options["A"]) == ("Dosis für Säuglinge?", "5 µg")
    assert len(bound.notes) == notes
    assert all("was read as Windows-1252" in note and "für, Säuglinge" in note for note in bound.notes)


def test_of_two_options_with_one_text_either_is_right_and_it_is_said(small: Workspace) -> None:
    (small.root / "questions.csv").write_text(
        "id,question,A,B,C,answer\nq1,Dose?,12 mg,24 mg,12  mg,12 mg\nq2,Dose?,12 mg,24 mg,12 mg,C\nq3,Dose?,1,2,3,C\n"
    )
    bound = load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)
    asked = {example.id: example for example in bound.examples}
    assert [asked[name].gold for name in ("q1", "q2", "q3")] == ["A", "C", "C"]
    batch = [(asked[name], letter) for name in ("q1", "q2", "q3") for letter in "ABC"]
    assert find_metric("accuracy").score(batch) == [1, 0, 1, 1, 0, 1, 0, 0, 1]
    (note,) = bound.notes
    assert note.startswith("ours: in 2 of 3 examples the right option's text stands under several letters")
    rows, notes = trivial_baselines("ours", "accuracy", bound.examples)
    assert notes == [note]
    assert {row.name: row.value for row in rows} == pytest.approx(
        {"majority": 1.0, "longest-option": (1 + 2 / 3 + 1 / 3) / 3, "shortest-option": 0.5, "chance": 5 / 9}
    )


CASES = Path(__file__).parent.parent.parent / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not beside the checkout")


@needs_cases
def test_the_question_files_of_the_cases_are_read_or_refused() -> None:
    def golds(name: str) -> dict[str, object]:
        return {example.id: example.gold for example in own_task("t", CASES / name).load(Workspace(CASES)).examples}

    files = "22-question-files"
    assert golds(f"{files}/blood-groups.csv") == {"q1": "D", "q2": "D", "q3": "B", "q4": "B"}
    assert golds(f"{files}/extra.csv") == {"q1": "A"}
    assert golds(f"{files}/cp1252.csv") == {"q1": "A"}
    assert golds(f"{files}/same-options.csv") == {"q1": "A", "q2": "A"}
    with pytest.raises(DataError, match="none for option C"):
        golds(f"{files}/gap.csv")
    same = own_task("t", CASES / "25-same-options" / "q.csv").load(Workspace(CASES)).examples
    assert find_metric("accuracy").score([(example, "B") for example in same]) == [1.0, 1.0]


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
        ("sep=;\nquestion;A;B;answer\na;x;y;X1\n", "line 3: the answer 'X1' is none of the options"),
        ("question,A,B,C,answer\na,x,,z,A\n", "line 2: option B is empty"),
        ("question,A,B,D,answer\na,x,y,z,A\n", "line 1: there is a column D and none for option C"),
        ("question,A,B,answer\na,x,y,C\n", "line 2: the answer 'C' is none of the options"),
        ("question,A,B,answer\na,,y,B\n", "line 2: option A is empty"),
        (
            "question,A,B,answer\na,x,y,A\nb,,,free\n",
            r"questions\.csv': line 2 has options, line 3 has none; a file holds one kind",
        ),
        ('question,A,B,answer\n"a,x,y,A\n', "line 2"),
        ("question,answer\n", "holds no question"),
        ("question,answer\n,b\n", "'question' must be text"),
        ("question,answer\na,—\n", "line 2: the answer '—' has no word"),
    ],
)
def test_a_wrong_spreadsheet_is_named_with_its_line(small: Workspace, text: str, words: str) -> None:
    (small.root / "questions.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        load_task("ours", TaskSettings(file="questions.csv"), workspace=small, seed=0)
