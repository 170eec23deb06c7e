"""Tables of others' answers -> a run: layouts, keys, gold answers, readings, refusals by name; every row is counted."""

import json
import os
import pickle
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from matplotlib.text import Text
from ragmed.cli.main import cli

from ragmed.checked import parse
from ragmed.errors import DataError, RagmedError, UnknownNameError, UsageError
from ragmed.experiments.pool import Pool
from ragmed.experiments.results import Rules, compare_runs, report_run
from ragmed.integrations.readings import BOTH, OURS, THEIRS, Under, turns
from ragmed.integrations.table import import_again, import_table
from ragmed.integrations.table_files import read_tables
from ragmed.integrations.table_questions import option_named
from ragmed.integrations.table_rows import split_options
from ragmed.integrations.table_settings import ArmFacts, Columns, ScoreColumn, Source, TableImport, read_import
from ragmed.report.figures.forest import forest
from ragmed.report.terminal import render_table
from ragmed.runs import Run
from ragmed.scores import scored_answers
from ragmed.workspace import Workspace
from ragmed.yaml_files import read_yaml

DOSES = {"A": "10 mg", "B": "40 mg", "C": "80 mg"}


def put(path: Path, header: str, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def taken(tmp_path: Path, *files: Path, **settings) -> Run:
    sources = tuple(Source(str(file)) for file in files)
    return import_table(TableImport(files=sources, **settings), output=tmp_path / "run")


def values(run: Run, arm: str) -> list:
    task = next(iter(run.info()["tasks"]))
    return [(a.example.id, a.score.status, a.score.metrics.get("accuracy")) for a in scored_answers(run)[arm, task]]


def test_a_strangers_table_with_a_column_for_each_arm_comes_to_a_verdict_in_one_command(tmp_path):
    rng = random.Random(1)
    rows = []
    for number in range(30):
        gold = rng.choice("ABCD")
        base, rag = (gold if rng.random() < share else "ABCD"["ABCD".index(gold) - 1] for share in (0.3, 0.97))
        rows.append(f"q{number};{gold};{base};{rag}")
    file = put(tmp_path / "mine.csv", "\ufeffquestion_id;gold;base;rag", *rows)  # a spreadsheet's mark and semicolons
    done = CliRunner().invoke(cli, ["import", "table", str(file), "--output", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "Taken for: id = question_id, gold = gold, arms = base, rag." in done.output
    assert "rag against base on mine: better" in " ".join(done.output.split())
    assert Run(tmp_path / "run").info()["imported"]["rows"] == {"all": 30, "taken": 30, "refused": 0}


TEXTS = ["1,A,A,The answer is B,fine", "2,B,A,The answer is B,fine", "3,C,C,The answer is C,well"]


def imported(tmp_path: Path, *options: str) -> str:
    file = tmp_path / "mine.csv"
    done = CliRunner().invoke(cli, ["import", "table", str(file), "--output", str(tmp_path / "run"), *options])
    return " ".join(f"{done.output} {done.exception or ''}".split())


def test_texts_are_never_counted_as_wrong_letters(tmp_path):
    put(tmp_path / "mine.csv", "id,gold,base,rag,remark", *TEXTS)
    refused = "3 of 3 answers of 'rag' name no gold answer or option, such as 'The answer is B'"
    for options in ([], ["--raw", "{arm}"], ["--labels", "A,B,C"]):
        said = imported(tmp_path, "--arms", "base,rag", *options)
        assert refused in said, said
        assert "--raw" in said
        assert not (tmp_path / "run").exists()
    said = imported(tmp_path, "--arms", "base,rag", "--raw", "{arm}", "--labels", "A,B,C")
    assert "rag - base" in said
    assert [right for _, _, right in values(Run(tmp_path / "run"), "rag")] == [0.0, 1.0, 1.0]


def test_columns_that_are_not_taken_are_named(tmp_path):
    put(tmp_path / "mine.csv", "id,gold,base,rag,remark", *TEXTS)
    said = imported(tmp_path)
    assert "arms = base." in said
    assert "Not taken: rag, remark. Name the arms with --arms" in said


def test_yes_and_no_with_marks_are_read_and_a_sentence_is_neither(tmp_path):
    put(tmp_path / "mine.csv", "id,gold,base,rag", "1,yes,Yes.,no", '2,no,"No, it is not",NO', "3,yes,(yes),maybe")
    imported(tmp_path, "--arms", "base,rag")
    run = Run(tmp_path / "run")
    assert [(status, right) for _, status, right in values(run, "base")] == [
        ("answered", 1.0), ("unparsed", None), ("answered", 1.0),
    ]  # fmt: skip
    assert [right for _, _, right in values(run, "rag")] == [0.0, 1.0, 0.0]


def test_columns_of_right_and_wrong_need_no_gold(tmp_path):
    put(tmp_path / "mine.csv", "id,base,rag,remark", "1,0,1,x", "2,1,1,y", "3,0,1,z")
    said = imported(tmp_path)
    assert "right or wrong = base, rag." in said
    assert "Not taken: remark." in said
    assert "printed as right or wrong otherwise" not in said  # there is no gold answer to hold them to
    assert [right for _, _, right in values(Run(tmp_path / "run"), "base")] == [0.0, 1.0, 0.0]


def test_a_file_that_is_not_there_is_named_as_it_was_typed(tmp_path):
    assert "table 'nope.csv' does not exist" in str(CliRunner().invoke(
        cli, ["import", "table", "nope.csv", "--output", str(tmp_path / "run")]
    ).exception)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gold", "golt"], r"unknown column 'golt'.*did you mean 'gold'"),
        (["--arms", "base,tunde"], r"unknown column 'tunde' in the tables, for the arm 'tunde'"),
        (["--id", "nope"], r"unknown column 'nope'"),
        (["--baseline", "none"], r"unknown arm 'none'"),
        (["--gold", "mirage:nothing"], r"unknown set 'nothing' in gold 'mirage:nothing'; known: bioasq, medmcqa"),
        (["--gold", "mirage:aci_bench"], r"unknown set 'aci_bench'"),
        (["--arms", "base,tuned,base"], r"--arms names 'base' twice"),
        (["--names", "a,b"], r"--names has 2 names for 1 file"),
    ],
)
def test_what_is_named_wrongly_is_refused_by_its_name(tmp_path, options, message):
    file = put(tmp_path / "mine.csv", "id,gold,base,tuned", "1,A,A,B", "2,B,A,B")
    done = CliRunner().invoke(cli, ["import", "table", str(file), "-o", str(tmp_path / "run"), *options])
    assert (done.exit_code and not done.exception) or isinstance(done.exception, SystemExit | RagmedError)
    said = done.output + str(done.exception)
    assert re.search(message, said), said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("name,gold,base", "which column says what a row is about.*--id.*there are: name, gold, base"),
        ("id,right,base", "which column holds the right answer.*--gold"),
        ("id,gold,comment", "which columns hold the arms' answers.*--arms.*there are: comment"),
        ("id,qid,gold", "columns 'id' and 'qid' could each be the id; say which with --id"),
    ],
)
def test_what_cannot_be_told_is_asked_for_with_the_option(tmp_path, header, message):
    file = put(tmp_path / "t.csv", header, "1,A,a remark on it", "2,B,another one")
    with pytest.raises(UsageError, match=message):
        taken(tmp_path, file)


def test_what_numbers_the_rows_is_the_id_where_nothing_else_is(tmp_path):
    rows = ["1,A,A,B", "2,B,A,B"]
    said = imported(tmp_path) if put(tmp_path / "mine.csv", "No.,gold,base,tuned", *rows) else ""
    assert "Taken for: id = No., gold = gold, arms = base, tuned." in said
    put(tmp_path / "mine.csv", ",gold,base,tuned", *rows)
    assert "there are: (a column without a name; give it one), gold, base, tuned" in imported(tmp_path)


def test_probabilities_alone_say_what_could_be_answered(tmp_path):
    put(
        tmp_path / "mine.csv", "id,gold,arm,a,b,c",
        "1,A,base,.2,.5,.3", "2,C,base,.1,.1,.8", "3,B,base,.9,.9,.1", "4,A,base,.3,.3,.3",
        "1,A,rag,.7,.2,.1", "2,C,rag,.2,.2,.6", "3,B,rag,0,1,0", "4,A,rag,0,0,0",
    )  # fmt: skip
    said = imported(tmp_path, "--arm", "arm", "--probabilities", "a,b,c")
    assert values(Run(tmp_path / "run"), "rag") == [
        ("1", "answered", 1.0), ("2", "answered", 1.0), ("3", "answered", 1.0), ("4", "unparsed", None),
    ]  # fmt: skip
    base = scored_answers(Run(tmp_path / "run"))["base", "mine"]
    assert [answer.score.value for answer in base] == ["B", "C", "A", None]  # of two that are likeliest, the first
    assert "the options' probabilities of 1 answer come to more than 1 (the first: mine.csv, line 4)" in said


def test_labels_under_letters_are_read_as_they_are_answered(tmp_path):
    header, options = "id,A,B,C,gold,base,rag", "yes,no,maybe"
    rows = [f"{n},{options},{gold},The answer is {gold}.,({gold}) because" for n, gold in enumerate("ABC", 1)]
    put(tmp_path / "mine.csv", header, *rows)
    imported(tmp_path, "--arms", "base,rag", "--raw", "{arm}")
    assert [right for _, _, right in values(Run(tmp_path / "run"), "base")] == [1.0, 1.0, 1.0]
    assert [right for _, _, right in values(Run(tmp_path / "run"), "rag")] == [1.0, 1.0, 1.0]
    rows = [f"{n},{options},{gold},{text}.,It is {text}" for n, (gold, text) in enumerate(zip("AB", ("Yes", "No")), 1)]
    put(tmp_path / "words.csv", header, *rows)
    columns = Columns(options=("A", "B", "C"), output="{arm}")
    run = import_table(
        TableImport(files=(Source(str(tmp_path / "words.csv")),), columns=columns, arms={"base": ArmFacts()}),
        output=tmp_path / "words",
    )
    assert [right for _, _, right in values(run, "base")] == [1.0, 1.0]


def test_an_arm_that_stands_there_twice_is_told(tmp_path):
    put(tmp_path / "mine.csv", "id,gold,base,rag,again", *(f"{n},A,{'AB'[n % 2]},A,{'AB'[n % 2]}" for n in range(12)))
    assert "base, again have the same answer to every question" in imported(tmp_path)
    put(tmp_path / "mine.csv", "id,gold,base,again", *(f"{n},A,A,A" for n in range(5)))  # few, and so by chance
    assert "have the same answer" not in imported(tmp_path, "--output", str(tmp_path / "few"))


def test_runs_that_ids_name_are_no_new_questions(tmp_path):
    put(tmp_path / "mine.csv", "id,gold,base,rag", *(f"q{n // 3}_run{n % 3},A,{'AB'[n % 2]},A" for n in range(12)))
    said = imported(tmp_path)
    assert "the ids of 12 of 12 questions look like runs of 4 ('q0_run0', 'q0_run1')" in said
    put(tmp_path / "mine.csv", "id,gold,base,rag", *(f"trial{n},{'AB'[n % 2]},A,A" for n in range(12)))
    assert "look like runs" not in imported(tmp_path, "--output", str(tmp_path / "numbered"))


def test_scores_that_hold_no_number_are_named(tmp_path):
    put(tmp_path / "mine.csv", "id,arm,loss", "1,base,NaN", "1,rag,", "2,base,n/a", "2,rag,nan")
    assert "no row has a number in the columns of scores ('loss')" in imported(tmp_path, "--score", "loss")


def test_json_that_is_no_table_is_named_with_the_reason(tmp_path):
    file = tmp_path / "t.json"
    for text, reason in [
        ('{"a": 1}', "holds no list of rows"),
        ('[{"id": "1",\n"gold": "A",\n"gold": "B"}]', r"the key 'gold' stands twice in one object \(lines 2 and 3\)"),
        ('{"a": [1], "b": [1, 2]}', "its columns are of different lengths"),
    ]:
        file.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=rf"table '.*t\.json'.*{reason}"):
            read_tables(file)
    lines = put(tmp_path / "t.jsonl", '{"id": "1", "id": "2"}', '{"id": "3"}')
    assert read_tables(lines)[0].refused == [(1, "the key 'id' stands twice in one object; keep one")]


def test_one_row_a_question_and_arm_one_file_an_arm_and_one_column_an_arm_come_to_the_same(tmp_path):
    long = put(tmp_path / "long.csv", "id,model,gold,pred", "1,base,A,A", "1,rag,A,A", "2,base,B,A", "2,rag,B,B")
    wide = put(tmp_path / "wide.tsv", "id\tgold\tbase\trag", "1\tA\tA\tA", "2\tB\tA\tB")
    base = put(tmp_path / "base.csv", "id,gold,pred", "1,A,A", "2,B,A")
    rag = tmp_path / "rag.json"
    rag.write_text(json.dumps([{"id": 1, "gold": "A", "pred": "A"}, {"id": 2, "gold": "B", "pred": "B"}]))
    for name, files in (("a", [long]), ("b", [wide]), ("c", [base, rag])):
        run = taken(tmp_path / name, *files)
        assert values(run, "base") == [("1", "answered", 1.0), ("2", "answered", 0.0)]
        assert values(run, "rag") == [("1", "answered", 1.0), ("2", "answered", 1.0)]


def test_parquet_json_lines_columns_of_json_and_archives_are_read(tmp_path):
    import tarfile

    import pyarrow
    from pyarrow import parquet

    rows = {"id": ["1", "2"], "gold": ["A", "B"], "base": ["A", "A"]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "t.parquet")
    (tmp_path / "t.json").write_text(json.dumps({"accuracy": 0.5, "rows": [{"id": "1"}, {"id": "2"}]}))
    (tmp_path / "c.json").write_text(json.dumps(rows))
    put(tmp_path / "t.jsonl", '{"id": "1"}', '{"id": "2"', '{"id": "3"}')
    assert [row.cells for row in read_tables(tmp_path / "t.parquet")[0].rows][1] == {
        "id": "2",
        "gold": "B",
        "base": "A",
    }
    assert read_tables(tmp_path / "t.json")[0].printed == {"accuracy": 0.5}
    assert [row.cells["base"] for row in read_tables(tmp_path / "c.json")[0].rows] == ["A", "A"]
    cut = read_tables(tmp_path / "t.jsonl")[0]
    assert [row.cells["id"] for row in cut.rows] == ["1", "3"]
    assert [line for line, _ in cut.refused] == [2]
    with tarfile.open(tmp_path / "t.tar.xz", "w:xz") as archive:
        archive.add(tmp_path / "t.parquet", "runs/t.parquet")
    assert read_tables(tmp_path / "t.tar.xz", only="runs/*.parquet")[0].name == "runs/t.parquet"


def test_nothing_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    (tmp_path / "answers.pkl").write_bytes(pickle.dumps([Bomb()]))
    with pytest.raises(
        DataError, match=r"\.pkl can run a program when it is read, and is never opened; save it as Parquet or CSV"
    ):
        read_tables(tmp_path / "answers.pkl")
    assert not (tmp_path / "exploded").exists()


def test_two_golds_for_one_key_are_refused_with_column_both_values_and_both_places(tmp_path):
    file = put(tmp_path / "t.csv", "id,gold,model,pred", "1,A,x,A", "1,B,y,A")
    with pytest.raises(
        DataError, match=r"column 'gold': '1' has two different values of gold, 'A' \(.*line 2\) and 'B'"
    ):
        taken(tmp_path, file)


def test_the_question_is_a_key_however_it_is_written(tmp_path):
    one = put(tmp_path / "base.csv", "question,gold,pred", "What  dose?,A,A", "Which drug?,B,B")
    two = put(tmp_path / "rag.csv", "question,gold,pred", "which drug,B,A", "what dose,A,A")
    run = taken(tmp_path, one, two)
    assert [row[1:] for row in values(run, "base")] == [("answered", 1.0), ("answered", 1.0)]
    assert [row[1:] for row in values(run, "rag")] == [("answered", 1.0), ("answered", 0.0)]


def test_two_answers_of_one_arm_are_refused_and_the_same_twice_is_counted(tmp_path):
    file = put(tmp_path / "t.csv", "id,gold,model,pred", "1,A,x,A", "1,A,x,B")
    with pytest.raises(DataError, match=r"arm 'x' has two different answers to '1'.*--repeat"):
        taken(tmp_path, file)
    file = put(tmp_path / "t.csv", "id,gold,model,pred", "1,A,x,A", "1,A,x,A", "2,B,x,B")
    imported = taken(tmp_path, file).info()["imported"]
    assert imported["rows"] == {"all": 3, "taken": 2, "refused": 1}
    assert imported["refused"] == {"the row says again what an earlier one says": 1}


def test_repeated_samples_of_a_question_are_one_observation(tmp_path):
    rows = [f"{q},A,{arm},{seed},{'A' if arm == 'y' else 'B'}" for q in (1, 2) for arm in "xy" for seed in (1, 2, 3)]
    run = taken(tmp_path, put(tmp_path / "t.csv", "id,gold,model,seed,pred", *rows))
    row = compare_runs([run]).contrasts[0]
    assert (row.n, row.groups) == (6, 2)
    assert values(run, "y")[1][0] == "1#2"


def test_a_question_that_an_arm_has_no_row_for_is_missing_and_not_wrong(tmp_path):
    file = put(tmp_path / "t.csv", "id,gold,model,pred", "1,A,x,A", "2,A,x,A", "1,A,y,A")
    assert values(taken(tmp_path, file), "y") == [("1", "answered", 1.0), ("2", "error", None)]


def test_letters_texts_both_and_numbers_name_an_option():
    named = [option_named(cell, DOSES, 1) for cell in ("b", "(B)", "40 mg", "B. 40 mg", "2", "A. 40 mg", "D", "", "4")]
    assert named == ["B", "B", "B", "B", "B", None, None, None, None]
    assert option_named("2", DOSES, None) is None


def test_a_gold_column_of_letters_and_texts_is_read_with_options_and_refused_without(tmp_path):
    columns = "id,gold,A,B,pred"
    rows = ("1,B,10 mg,40 mg,B", "2,10 mg,10 mg,40 mg,40 mg", "3,C,10 mg,40 mg,A", "4,A,10 mg,40 mg,neither")
    run = taken(tmp_path, put(tmp_path / "t.csv", columns, *rows))
    assert values(run, "t") == [("1", "answered", 1.0), ("2", "answered", 0.0), ("4", "unparsed", None)]
    imported = run.info()["imported"]
    assert imported["refused"] == {"column 'gold' names none of the options, by letter or by text; correct it": 1}
    assert any("gold answers stand as letters (2) and as the options' texts (1)" in n for n in imported["notes"])
    bare = put(tmp_path / "u.csv", "id,gold,pred", "1,A,A", "2,B,A", "3,forty milligrams,A")
    with pytest.raises(DataError, match=r"column 'gold' mixes letters and texts \(2 of 3.*--options"):
        taken(tmp_path / "u", bare)


def test_options_in_a_list_and_within_the_question(tmp_path):
    file = put(tmp_path / "t.csv", "id,question,gold,options,pred", "1,Dose?,B,\"['10 mg', '40 mg']\",40 mg")
    run = taken(tmp_path, file)
    sample = run.ordered_samples("t", "t")[0]
    assert sample.example.options == {"A": "10 mg", "B": "40 mg"}
    assert values(run, "t") == [("1", "answered", 1.0)]
    assert split_options("Type A or B?\n(A) one\n(B) two A. x", "q") == ("Type A or B?", {"A": "one", "B": "two A. x"})


def test_scores_keep_their_direction_and_may_be_negative(tmp_path):
    rows = ("1,base,-0.5,3", "1,rag,0.5,2", "2,base,-0.4,5", "2,rag,,1")
    file = put(tmp_path / "t.csv", "id,model,logp,edits", *rows)
    scores = {"logp": ScoreColumn("logp"), "edits": ScoreColumn("edits", higher_is_better=False)}
    run = taken(tmp_path, file, columns=Columns(id="id", arm="model", scores=scores))
    metrics = run.info()["tasks"]["t"]["metrics"]
    assert [(m["name"], m["kind"], m["higher_is_better"]) for m in metrics] == [
        ("logp", "graded", True), ("edits", "graded", False),
    ]  # fmt: skip
    row = next(score for score in compare_runs([run]).scores if (score.arm, score.metric) == ("rag", "logp"))
    assert (row.value, row.n, row.unscored) == (0.5, 1, 1)
    assert "1 cell of logp holds no number; this answer has no such score." in run.info()["imported"]["notes"]
    bad = put(tmp_path / "u.csv", "id,model,logp,edits", "1,base,high,3", *rows[1:])
    refused = taken(tmp_path / "u", bad, columns=Columns(id="id", arm="model", scores=scores)).info()["imported"]
    assert refused["refused"] == {"column 'logp' holds what is no number": 1}


def test_what_is_no_share_is_printed_in_its_own_unit(tmp_path):
    rows = [f"{n},{arm},{mark + n % 2},{100 * mark + n}" for n in range(12) for arm, mark in (("base", 2), ("rag", 4))]
    file = put(tmp_path / "t.csv", "id,model,likert,length", *rows)
    scores = {"likert": ScoreColumn("likert"), "length": ScoreColumn("length", None, "words")}
    run = taken(tmp_path, file, columns=Columns(id="id", arm="model", scores=scores))
    assert [(one["name"], one["unit"]) for one in run.info()["tasks"]["t"]["metrics"]] == [
        ("likert", ""), ("length", "words"),
    ]  # fmt: skip
    results = compare_runs([run])
    said = " ".join(render_table(results).split())
    assert "likert, difference own scale 95% interval" in said
    assert "rag - base +2.00 [+0.30, +3.33]" in said
    assert "length, difference words 95% interval" in said
    assert "rag - base +200.00 [" in said
    assert "rag against base on t: better, +2.00 [+0.30, +3.33], adjusted p" in said
    assert "points" not in said.split("equivalent:")[0]
    assert {row.unit for row in results.scores} == {"", "words"}
    drawn = [" ".join(text.get_text() for text in figure.findobj(Text)) for figure in forest(results)]
    assert ["difference in words; shaded: within the margin of 0.05 words" in words for words in drawn] == [False, True]
    assert "difference on the metric's own scale" in drawn[0]
    report_run(run)
    page = (run.report_folder / "index.html").read_text(encoding="utf-8")
    assert "+200.00 words" in page
    assert "+2.00 (own scale)" in page
    assert "+20000" not in page


BASE, RAG, GOLD = "ABCD" * 5, "ABCA" * 5, "ABDA" * 5  # of 20: 10 and 15 are right, 5 fixed, none broken
FOUR = {"A": "10 mg", "B": "20 mg", "C": "30 mg", "D": "40 mg"}
SHAPES = {
    "lm-eval": (
        lambda n, said: {
            "doc_id": n,
            "doc": {"q": f"Dose {n}?", "choices": {"text": [*FOUR.values()], "label": [*FOUR]}, "key": GOLD[n]},
            "filtered_resps": [[str(-0.5 if one == said else -3.0), "False"] for one in FOUR],
            "acc": float(said == GOLD[n]),
        },
        {"columns": {"id": "doc_id", "question": "doc.q", "options": "doc.choices", "gold": "doc.key",
                     "log_probabilities": "filtered_resps", "correct": "acc"}},
    ),
    "helm": (
        lambda n, said: {"instance_id": f"id{n}", "predicted_text": said,
                         "stats": {"exact_match": float(said == GOLD[n])}},
        {"columns": {"id": "instance_id", "answer": "predicted_text", "correct": "stats.exact_match"}},
    ),
    "multimedqa": (
        lambda n, said: {"question": f"Dose {n}?", "answer": FOUR[GOLD[n]], "options": FOUR, "answer_idx": GOLD[n],
                         "prediction": said},
        {},
    ),
    "labelled options": (
        lambda n, said: {"qid": n, "options": [{"key": k, "value": v} for k, v in FOUR.items()], "answer_idx": GOLD[n],
                         "response": f"The answer is {FOUR[said]}."},
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_in_which_others_keep_answers(tmp_path, shape):
    row, settings = SHAPES[shape]
    for arm, said in (("base", BASE), ("rag", RAG)):
        (tmp_path / f"{arm}.jsonl").write_text("\n".join(json.dumps(row(n, one)) for n, one in enumerate(said)))
    files = [{"path": "base.jsonl", "arm": "base"}, {"path": "rag.jsonl", "arm": "rag"}]
    given = parse(TableImport, {"files": files, **settings}, "test")
    assert right(import_table(given, output=tmp_path / "run", beside=tmp_path)) == (10, 15, 5, 0)


def right(run) -> tuple[int, int, int, int]:
    """Right answers of both arms, fixed, broken."""
    results = compare_runs([run])
    base, rag = (round(score.value * score.n) for score in results.scores)
    row = results.contrasts[0]
    return base, rag, row.fixed, row.broke


def test_rows_of_a_log_that_are_no_answers_are_left_out_by_name(tmp_path):
    def log(said):
        yield {"spec": {"eval": "doses"}}
        for n, one in enumerate(said):
            yield {"sample_id": f"d.{n}", "type": "sampling", "data": {"sampled": [f"{one}."]}}
            yield {"sample_id": f"d.{n}", "type": "match", "data": {"picked": one, "expected": GOLD[n]}}

    for arm, said in (("base", BASE), ("rag", RAG)):
        (tmp_path / f"{arm}.jsonl").write_text("\n".join(map(json.dumps, log(said))))
    columns = {"id": "sample_id", "answer": "data.picked", "gold": "data.expected"}

    def given(rows):
        files = [{"path": f"{arm}.jsonl", "arm": arm, "rows": rows} for arm in ("base", "rag")]
        return parse(TableImport, {"files": files, "columns": columns}, "test")

    run = import_table(given({"type": "match"}), output=tmp_path / "run", beside=tmp_path)
    assert right(run) == (10, 15, 5, 0)
    imported = run.info()["imported"]
    assert "rag.jsonl: 21 rows are not type match, and not read." in imported["notes"]
    assert imported["rows"] == {"all": 40, "taken": 40, "refused": 0}
    with pytest.raises(DataError, match=r"base.jsonl': no row has type matched; correct rows"):
        import_table(given({"type": "matched"}), output=tmp_path / "none", beside=tmp_path)
    with pytest.raises(UnknownNameError, match=r"'kind' in table .*sample_id"):
        import_table(given({"kind": "match"}), output=tmp_path / "none", beside=tmp_path)


WIDE = ["id;question;gold;base;rag", *(f'{n};"Dose ""{n}""?";{GOLD[n]};{BASE[n]};{RAG[n]}' for n in range(20))]


@pytest.mark.parametrize(
    "data",
    [
        "sep=;\r\n" + "\r\n".join(WIDE),
        "\ufeffsep=;\n" + "\n".join(WIDE),
        "\n".join(WIDE).replace(";", "\t").encode("utf-16"),
    ],
    ids=["sep", "sep-bom", "utf-16"],
)
def test_what_a_spreadsheet_writes_is_read(tmp_path, data):
    (tmp_path / "t.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    run = taken(tmp_path, tmp_path / "t.csv")
    assert right(run) == (10, 15, 5, 0)
    assert run.info()["imported"]["rows"] == {"all": 20, "taken": 20, "refused": 0}


def test_columns_called_as_options_are_may_be_arms(tmp_path):
    rows = [f"{n},{GOLD[n]},{BASE[n]},{RAG[n]}" for n in range(20)]
    file = put(tmp_path / "t.csv", "id,gold,A,B", *rows)
    assert right(taken(tmp_path, file, arms={"A": ArmFacts(), "B": ArmFacts()})) == (10, 15, 5, 0)
    with pytest.raises(UsageError, match=r"--arms COLUMN,COLUMN .*none left \(A, B were taken for options\)"):
        taken(tmp_path / "v", file)
    columns = Columns(id="id", gold="gold", options=("A", "B"))
    with pytest.raises(UsageError, match=r"column 'A' cannot be both an option and an arm's answers"):
        taken(tmp_path / "u", file, columns=columns, arms={"A": ArmFacts(), "B": ArmFacts()})


def test_a_list_of_one_answer_is_that_answer_and_one_of_several_is_refused(tmp_path):
    rows = [
        {"id": n, "gold": [GOLD[n]], "model": arm, "prediction": [said[n]] if n else str([said[n]])}
        for n in range(20)
        for arm, said in (("base", BASE), ("rag", RAG))
    ]
    rows.append({"id": 20, "gold": ["A"], "model": "base", "prediction": ["A", "B"]})
    (tmp_path / "t.json").write_text(json.dumps(rows))
    run = taken(tmp_path, tmp_path / "t.json")
    assert right(run) == (10, 15, 5, 0)
    (reason,) = run.info()["imported"]["refused"]
    assert reason.startswith("column 'prediction' holds several answers to one question")


def test_nulls_of_a_database_are_empty_and_decimal_commas_are_refused(tmp_path):
    rows = [f"{n}\t{GOLD[n]}\t{BASE[n]}\t{RAG[n] if n else chr(92) + 'N'}" for n in range(20)]
    file = put(tmp_path / "t.tsv", "id\tgold\tbase\trag", *rows)
    run = taken(tmp_path, file)
    assert values(run, "rag")[0] == ("0", "unparsed", None)
    assert "t: 1 answer counts as not read: the authors' column is empty." in run.info()["imported"]["notes"]
    scores = put(tmp_path / "s.csv", "id;model;mark", "1;base;1,5", "1;rag;2.5", "2;base;1", "2;rag;2")
    columns = Columns(id="id", arm="model", scores={"mark": ScoreColumn("mark")})
    refused = taken(tmp_path / "s", scores, columns=columns).info()["imported"]["refused"]
    assert refused == {"column 'mark' holds a number with a comma; write decimals with a point": 1}


def test_what_is_no_table_is_said_to_be_what_it_is(tmp_path):
    page = put(tmp_path / "page.csv", "<!DOCTYPE html>", "<table><tr><td>1,2</td></tr></table>")
    with pytest.raises(DataError, match=r"page.csv' is a web page; export the table as CSV"):
        taken(tmp_path, page)
    (tmp_path / "old.csv").write_bytes("id,gold,base,rag\n1,A,A,fièvre\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"none of the 1 rows .*not UTF-8.*'CSV UTF-8'"):
        taken(tmp_path, tmp_path / "old.csv")


def test_probabilities_are_log_likelihoods_and_the_likeliest_option_is_the_answer(tmp_path):
    rows = [
        {"id": 1, "gold": "B", "options": DOSES, "probs": {"A": 0.2, "B": 0.8, "C": 0.0}, "pred": "B", "ok": True},
        {"id": 2, "gold": "A", "options": DOSES, "probs": {"A": 0.2, "B": 0.7, "C": 0.1}, "pred": "B", "ok": False},
    ]
    (tmp_path / "m.json").write_text(json.dumps(rows))
    columns = Columns(id="id", gold="gold", options="options", probabilities="probs", answer="pred", correct="ok")
    run = taken(tmp_path, tmp_path / "m.json", columns=columns)
    assert run.info()["tasks"]["m"]["reader"] == "likelihood"
    assert values(run, "m") == [("1", "answered", 1.0), ("2", "answered", 0.0)]
    assert run.ordered_samples("m", "m")[1].option_logprobs[1] == pytest.approx(-0.3566749)


RAW = (
    "1,B,10 mg,40 mg,The answer is B.,B,True",
    "2,B,10 mg,40 mg,40 mg,,False",  # nothing was read by its authors
    "3,A,10 mg,40 mg,B. 40 mg,A,True",  # read otherwise
    "4,A,10 mg,40 mg,I would not choose between A and B here,A,True",  # not read by us
)


def test_the_authors_reading_is_kept_and_ours_stands_beside_it(tmp_path):
    header = "id,gold,A,B,output,pred,correct"
    tuned = put(tmp_path / "tuned.csv", header, *RAW)
    base = put(tmp_path / "base.csv", header, *(f"{n},B,10 mg,40 mg,A,A,False" for n in (1, 2)),
               *(f"{n},A,10 mg,40 mg,A,A,True" for n in (3, 4)))  # fmt: skip
    run = taken(tmp_path, base, tuned)
    assert values(run, "tuned") == [
        ("1", "answered", 1.0), ("2", "unparsed", None), ("3", "answered", 1.0), ("4", "answered", 1.0),
    ]  # fmt: skip
    readings = run.info()["imported"]["readings"]
    row = next(row for row in readings["arms"] if row["arm"] == "tuned")
    assert (row["reader"], row["n"], row["theirs"], row["ours"]) == ("letter", 4, 3, 2)
    assert {one["kind"]: (one["count"], one["gained"], one["lost"]) for one in row["differences"]} == {
        "not read by the authors": (1, 1, 0), "not read by ours": (1, 0, 1), "read otherwise": (1, 0, 1),
    }  # fmt: skip
    shown = {one["kind"]: one["examples"] for one in row["differences"]}
    assert shown["not read by the authors"] == [["2", "unparsed", "B", "40 mg"]]
    found = {(row["reading"], row["policy"]): row["difference"] for row in readings["verdicts"]}
    assert [found[by, "wrong"] for by in (THEIRS, OURS, BOTH)] == [0.25, 0.0, 0.5]
    assert compare_runs([run], Rules(reader="letter")).scores[1].value == 0.5
    page = report_run(run).read_text(encoding="utf-8")
    assert 'id="readings"' in page
    assert "<td>not read by the authors</td><td>2</td><td>unparsed</td><td>B</td>" in page
    ours = import_table(
        TableImport(files=(Source(str(base)), Source(str(tuned))), reading="ours"), output=tmp_path / "ours"
    )
    assert ours.info()["tasks"]["ours"]["reader"] == "letter"
    assert [status for _, status, _ in values(ours, "tuned")] == ["answered", "answered", "answered", "unparsed"]


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    questions = {
        f"000{n}": {"question": f"Which dose of drug {n}?", "options": DOSES, "answer": "ABC"[n % 3]} for n in range(6)
    }
    (tmp_path / "data" / "mirage").mkdir(parents=True)
    (tmp_path / "data" / "mirage" / "benchmark.json").write_text(json.dumps({"medqa": questions}))
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_gold_is_joined_from_a_known_benchmark_by_id_or_text_and_two_papers_runs_are_compared(tmp_path, data):
    one = put(tmp_path / "one.csv", "id,base", *(f"test_000{n},{'ABC'[n % 3]}" for n in range(6)))
    two = put(
        tmp_path / "two.csv", "question,rag", *(f"which dose of drug {n},A" for n in reversed(range(6))), "What?,A"
    )
    first = import_table(settings_for(one, "id", "base"), output=tmp_path / "paper-1")
    second = import_table(settings_for(two, "question", "rag"), output=tmp_path / "paper-2")
    assert second.info()["imported"]["refused"] == {"mirage/medqa has no question of this text": 1}
    row = compare_runs([first, second]).contrasts[0]
    assert (row.task, row.baseline, row.arm, row.n, row.broke) == ("mirage/medqa", "paper-1/base", "paper-2/rag", 6, 4)


def settings_for(file: Path, key: str, arm: str) -> TableImport:
    columns = Columns(**{key: key}, answer="{arm}")
    return TableImport(files=(Source(str(file)),), columns=columns, arms={arm: ArmFacts()}, gold="mirage:medqa")


def test_ids_that_are_alike_by_chance_join_nothing(tmp_path, data):
    rows = [f"000{5 - n},Which dose of drug {n}?,{'ABC'[n % 3]}" for n in range(5)]
    file = put(tmp_path / "t.csv", "id,question,base", *rows, "0005,Which dose,C", "0004,How old is the patient,A")
    settings = TableImport(
        files=(Source(str(file)),), columns=Columns(id="id", question="question", answer="{arm}"),
        arms={"base": ArmFacts()}, gold="mirage:medqa",
    )  # fmt: skip
    run = import_table(settings, output=tmp_path / "run")
    assert [right for _, _, right in values(run, "base")] == [1.0] * 6  # a part of its text is that question
    reason = "mirage/medqa has another question under this id; --key id joins by ids alone"
    assert run.info()["imported"]["refused"] == {reason: 1}
    put(file, "id,question,base", *rows, "0000,How old is the patient,A")
    by_id = import_table(replace(settings, key="id"), output=tmp_path / "by-id")
    assert [right for _, _, right in values(by_id, "base")] == [1.0, 1.0, 0.0, 0.0, 1.0, 0.0]


def test_a_gold_that_the_benchmark_does_not_have_is_refused(tmp_path, data):
    file = put(tmp_path / "t.csv", "id,gold,base", "0000,B,A")
    settings = TableImport(
        files=(Source(str(file)),), columns=Columns(id="id", gold="gold", answer="base"), gold="mirage:medqa"
    )
    with pytest.raises(
        DataError, match=r"the gold answers of 1 question differ from those of mirage/medqa: '0000' is 'B'"
    ):
        import_table(settings, output=tmp_path / "run")


YAML = """
files: [{path: answers, pattern: 'answers/(?P<arm>\\w+)_(?P<printed>[0-9.]+)\\.csv'}]
columns: {id: id, gold: gold, answer: pred}
arms: {base: {model: small}, rag: {model: small, context: retrieved}}
task: doses
baseline: base
access: open
"""


def test_an_import_file_says_it_once_and_runs_again(tmp_path):
    put(tmp_path / "answers" / "base_0.5.csv", "id,gold,pred", "1,A,A", "2,B,A")
    put(tmp_path / "answers" / "rag_0.9.csv", "id,gold,pred", "1,A,A", "2,B,B")
    file = tmp_path / "doses.yaml"
    file.write_text(YAML)
    arguments = ["--root", str(tmp_path), "import", str(file)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    run = Run(tmp_path / "runs" / "doses")
    notes = run.info()["imported"]["notes"]
    assert "1 of 2 printed figures is what the rows come to." in notes
    assert "'rag' on 'doses': 0.9000 is printed, and the rows come to 1.0000 (n 2)." in notes
    assert CliRunner().invoke(cli, arguments).output == done.output
    settings = read_import(file)
    put(tmp_path / "answers" / "base_0.5.csv", "id,gold,pred", "1,A,A", "2,B,B")
    with pytest.raises(UsageError, match="holds a run of other settings or files already"):
        import_again(settings, output=run.folder, beside=tmp_path)
    file.write_text(YAML.replace("baseline", "baselin"))
    with pytest.raises(UnknownNameError, match="did you mean 'baseline'"):
        read_import(file)


def damaged(rng: random.Random, rows: list[list[str]]) -> bytes:
    """A table with cells, rows, quotes and bytes out of order."""
    rows = [list(row) for row in rows]
    for _ in range(rng.randint(1, 6)):
        row = rng.choice(rows[1:] or rows)
        kind = rng.randrange(7)
        if kind == 0 and row:
            row[rng.randrange(len(row))] = rng.choice(
                ["", "é\u202e", '"', "=1+1", "NaN", "9" * 400, "[", "A,B", "\r", "{x}"]
            )
        elif kind == 1 and row:
            row.pop(rng.randrange(len(row)))
        elif kind == 2:
            row.insert(rng.randrange(len(row) + 1), "x")
        elif kind == 3:
            rows.append(list(rng.choice(rows)))
        elif kind == 4 and len(rows) > 2:
            rows.pop(rng.randrange(1, len(rows)))
        elif kind == 5:
            rng.shuffle(row)
        else:
            rows.insert(rng.randrange(1, len(rows) + 1), [])
    data = bytearray("\n".join(",".join(row) for row in rows).encode())
    for _ in range(rng.choice([0, 0, 1, 3])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.1:
        del data[rng.randrange(len(data)) :]
    marked = (b"\xef\xbb\xbf" if rng.random() < 0.2 else b"") + bytes(data)
    return rng.choice(WHOLE_FILES)(marked) if rng.random() < 0.4 else marked


WHOLE_FILES = (  # what befalls a whole file
    lambda data: b"sep=;\r\n" + data.replace(b",", b";"),
    lambda data: b"sep=,\n" + data,
    lambda data: data.decode("utf-8", "replace").encode("utf-16"),
    lambda data: data.decode("utf-8", "replace").encode("utf-16")[:-1],
    lambda data: data.replace(b"1", b"\0", 1),
    lambda data: data.replace(b"base", b"rag", 1),
    lambda data: data.replace(b".", b",").replace(b"A", b'"A', 1),
    lambda data: data.replace(b"Dose 3?", b"2031-02-30"),
    lambda data: b"<html><table><tr><td>" + data,
    lambda data: data.replace(b"\n", b"\r"),
    lambda data: data.replace(b"-", "\N{MINUS SIGN}".encode()),
    lambda data: data.replace(b"B", b"\\N"),
)


def test_damaged_tables_are_taken_or_refused_and_every_row_is_accounted_for(tmp_path):
    rng = random.Random(7)
    whole = [["id", "question", "gold", "A", "B", "base", "rag", "score"]]
    whole += [
        [str(n), f"Dose {n}?", rng.choice("AB"), "10 mg", "40 mg", rng.choice("AB"), "B", f"{-n / 3:.2f}"]
        for n in range(8)
    ]
    columns = Columns(
        id="id",
        question="question",
        gold="gold",
        options=("A", "B"),
        answer="{arm}",
        scores={"score": ScoreColumn("score")},
    )
    outcomes = {"taken": 0, "refused": 0}
    said: list[str] = []
    for number in range(1000 if os.environ.get("RAGMED_FULL") else 150):
        file = tmp_path / f"{number}.csv"
        file.write_bytes(damaged(rng, whole))
        settings = TableImport(
            files=(Source(str(file)),), columns=columns, arms={"base": ArmFacts(), "rag": ArmFacts()}
        )
        try:
            run = import_table(settings, output=tmp_path / "runs" / str(number))
        except RagmedError as error:
            outcomes["refused"] += 1
            said.append(str(error))
            continue
        outcomes["taken"] += 1
        imported = run.info()["imported"]
        assert imported["rows"]["taken"] + imported["rows"]["refused"] == imported["rows"]["all"]
        assert sum(imported["refused"].values()) == imported["rows"]["refused"]
        assert all(len(a) == run.info()["tasks"][t]["examples"] for (_, t), a in scored_answers(run).items())
    assert min(outcomes.values()) > 10, outcomes
    assert all(said)


DATA = Workspace.find(Path(__file__).parent.parent).data
CONFIGS = Path(__file__).parent.parent / "configs" / "released"


IMPORTS = sorted(CONFIGS.glob("*.yaml"))


def test_pool_files_that_are_shipped_name_runs_and_arms_of_the_import_files():
    studies = sorted((CONFIGS.parent / "studies").glob("*.yaml"))
    assert studies
    for path in studies:
        asked = parse(Pool, read_yaml(path, "studies", error=UsageError)[1], str(path))
        assert len(asked.studies) > 1
        for name, study in asked.studies.items():
            if study.run != "mirage":  # which `ragmed import mirage` makes
                settings = read_import(CONFIGS / f"{study.run}.yaml")
                named = {facts.name or arm for arm, facts in settings.arms.items()}
                assert {arm for pair in study.pairs for arm in pair} <= named, name


@pytest.mark.parametrize("path", IMPORTS, ids=lambda path: path.stem)
def test_the_import_files_that_are_shipped_are_valid(path):
    settings = read_import(path)
    assert all((settings.source, settings.license, settings.files))


def released(name: str, tmp_path: Path) -> Run:
    if not (DATA / "released" / name).exists():
        pytest.skip(f"the released answers of {name} are not at hand (RAGMED_DATA)")
    path = CONFIGS / f"{name}.yaml"
    return import_table(
        read_import(path),
        output=tmp_path / name,
        beside=path.parent,
        workspace=Workspace.find(Path(__file__).parent.parent),
    )


def test_qlora_on_medqa_as_printed(tmp_path):
    run = released("mistral-medqa-qlora", tmp_path)
    row = compare_runs([run]).contrasts[0]
    assert (row.n, row.fixed, row.broke, row.verdict) == (1273, 173, 136, "better")
    assert (row.baseline_value, row.arm_value) == (628 / 1273, 665 / 1273)
    assert row.p == pytest.approx(0.04038984585966218)
    assert all(figure["agrees"] for figure in run.info()["imported"]["figures"])


def test_letters_without_questions_are_joined_with_medmcqa_by_id(tmp_path):
    run = released("finetune-vs-rag-medmcqa", tmp_path)
    rows = {(r.baseline, r.arm): (r.n, r.fixed, r.broke) for r in compare_runs([run]).contrasts}
    assert rows["base", "qlora"] == (46, 7, 2)
    assert rows["base", "qlora-rag-parity"] == (46, 12, 4)
    sample = run.ordered_samples("base", "mirage/medmcqa")[0]
    assert set(sample.example.options) == set("ABCD")


def test_scores_of_clinfo_are_the_first_readings(tmp_path):
    run = released("clinfo-ai", tmp_path)
    values = {}
    for (arm, _), answers in scored_answers(run).items():
        values[arm] = sum(a.score.metrics["meteor"] for a in answers) / len(answers)
    assert values["gpt3.5"] == pytest.approx(0.18144616978594477)
    assert values["clinfo TLDR"] == pytest.approx(0.2518442258551167)
    lengths = next(m for m in run.info()["tasks"]["clinfo-ai"]["metrics"] if m["name"] == "word_length")
    assert lengths["higher_is_better"] is None


@pytest.mark.slow
def test_five_tunings_on_medqa_are_the_first_readings(tmp_path):
    run = released("afrimed-qa", tmp_path)
    imported = run.info()["imported"]
    assert [figure["agrees"] for figure in imported["figures"]] == [True] * 25
    rows = {(r.task, r.baseline, r.arm): (r.n, r.fixed, r.broke) for r in compare_runs([run]).contrasts}
    assert rows["mirage/medqa", "llama-3-70b", "openbiollm-70b"] == (1273, 73, 219)
    assert rows["mirage/medqa", "llama-3-8b", "jsl-medllama-8b"] == (1273, 257, 117)
    assert rows["mirage/medqa", "mistral-7b-v0.2", "biomistral-7b"] == (1273, 170, 226)
    assert rows["afrimed-expert", "llama-3-70b", "openbiollm-70b"] == (289, 17, 39)
    assert rows["afrimed-v2", "llama-3-8b", "meditron-7b-ft"] == (3908, 751, 603)
    both = next(
        row for row in imported["readings"]["verdicts"]
        if (row["task"], row["arm"], row["reading"], row["policy"]) == ("mirage/medqa", "openbiollm-70b", BOTH, "wrong")
    )  # fmt: skip
    assert (both["fixed"], both["broke"]) == (79, 154)
    assert imported["refused"] == {"column 'answer' names none of the options, by letter or by text; correct it": 10}


LOG = """We are a committee.
Can tea cure colds?

No
1
We are a committee.
Can salt help? I ask.

no. it is salt that
2
does harm.
We are a committee.
Is rest good
Yes
We are a committee.
Are drops safe?
Your answer:

Yes
3

Accuracy:0.75"""
TOPICS = [
    ("Can tea cure colds?", "no"),
    ("Can salt help? I ask.", "no"),
    ("Is rest good?", "yes"),
    ("Are drops safe?", "yes"),
]


def test_logs_of_the_trec_health_study_are_read_question_by_question(tmp_path):
    topics = "".join(
        f"<topic><number>{n}</number><question>{text}</question><answer>{answer}</answer></topic>"
        for n, (text, answer) in enumerate(TOPICS, 1)
    )
    (tmp_path / "misinfo-2022-topics.xml").write_text(f"<topics>{topics}</topics>")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "llama.txt").write_text(LOG)
    passage = LOG.replace("Can tea", 'Evidence:"Are drops safe?\n"\nQuestion:Can tea').replace(
        "Can salt", "Question:Can salt"
    )
    passage = passage.replace("Is rest", "Question:Is rest").replace(
        "Are drops safe?\nYour", "Question:Are drops safe?\nYour"
    )
    (tmp_path / "logs" / "rag.txt").write_text(passage.replace("Yes\n3", "No"))
    settings = TableImport(
        files=(Source("logs"),), kind="trec-health", gold="topics:misinfo-2022-topics.xml", task="trec"
    )
    run = import_table(settings, output=tmp_path / "run", beside=tmp_path)
    assert values(run, "llama") == [
        (f"2022-{n}", "answered", right) for n, right in enumerate((1.0, None, None, 1.0), 1)
    ]
    assert values(run, "rag") == [(f"2022-{n}", "answered", right) for n, right in enumerate((1.0, 0.0, 0.0, 0.0), 1)]
    texts = [sample.completion for sample in run.ordered_samples("llama", "trec")]
    assert texts == ["No", "no. it is salt that\n2\ndoes harm.", "Yes", "Yes"]
    printed = {figure["arm"]: figure["printed"] for figure in run.info()["imported"]["figures"]}
    assert printed == {"llama": 0.75, "rag": 0.75}


@pytest.mark.slow
def test_the_two_by_two_of_the_trec_health_study(tmp_path):
    results = compare_runs([released("trec-hm-llama3", tmp_path)])
    right = {row.arm: round(row.value * row.n) for row in results.scores}
    assert [right[arm] for arm in ("llama3", "medllama3", "llama3 1", "medllama3 1")] == [122, 124, 123, 126]
    interaction = next(e for e in results.factorials[0].effects if e.effect == "interaction")
    assert interaction.difference == pytest.approx(1 / 149)
    rows = {(row.baseline, row.arm): (row.fixed, row.broke) for row in results.contrasts}
    assert rows["llama3", "llama3 1"] == (20, 19)
    assert rows["medllama3", "medllama3 1"] == (17, 15)


@pytest.mark.slow
def test_runs_of_a_dialogue_are_one_observation(tmp_path):
    run = released("mediqa-chat-wanglab", tmp_path)
    rows = {(row.baseline, row.arm): row for row in compare_runs([run]).contrasts if row.primary}
    row = rows["led_large", "led_large_pubmed"]
    assert (row.n, row.groups) == (60, 20)
    assert row.baseline_value == pytest.approx(0.617794223996427)  # with stemmed words; 0.598 without


def test_a_verdict_that_turns_with_the_reading_says_what_was_fixed_and_broken():
    rows = [
        Under("t", "base", "rag", reading, "wrong", 100, difference, fixed, broke, 0.01, 0.01, verdict)
        for reading, difference, fixed, broke, verdict in (
            (THEIRS, -0.05, 3, 8, "worse"),
            (OURS, 0.0, 5, 5, "cannot-tell"),
        )
    ]
    said, count = turns(rows)
    assert said.endswith(
        "with the reading (authors, wrong: -5.0, fixed 3, broke 8, worse; ours, wrong: +0.0, fixed 5, broke 5, "
        "cannot-tell)."
    )
    assert count.startswith("0 of 1 verdict")
