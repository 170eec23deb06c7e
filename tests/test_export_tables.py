import csv
import hashlib
import json
import re
import stat
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from answers import answers_of, compared
from exporting import HOSTILE, made, trial, write

from ragmed.comparison.settings import ComparisonSettings
from ragmed.errors import DamagedError
from ragmed.experiments.results import compare_runs
from ragmed.integrations.papers import export_paper, latex, latex_number, latex_text, markdown, paper_tables
from ragmed.integrations.tables import export_tables, read_text

FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def hostile_run(folder, access="open"):
    answers = [made(i, "general", "medqa", text=text, id_=f"{text}{i}") for i, text in enumerate(HOSTILE)]
    return write(folder, {("general", "medqa"): answers}, access=access), answers


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))


def test_csv_gives_back_what_went_in(tmp_path):
    run, answers = hostile_run(tmp_path / "run")
    export_tables(run, tmp_path / "out", form="csv")
    rows = rows_of(tmp_path / "out" / "samples.csv")
    assert len(rows) == len(HOSTILE)
    for row, answer in zip(rows, answers, strict=True):
        for column in ("completion", "value", "gold", "question"):
            assert read_text(row[column]) == answer.sample.completion.replace("\0", "\u2400")
        assert read_text(row["example"]) == answer.example.id.replace("\0", "\u2400")
        assert json.loads(row["options"]) == [answer.sample.completion, "b"]
        assert float(row["score_accuracy"]) == answer.score.metrics["accuracy"]
        assert float(row["seconds"]) == 0.1
        assert (row["input_tokens"], row["option_logprobs"]) == (str(answer.sample.input_tokens), "[-0.5, -1.25]")
        assert (row["status"], row["finish"], row["continuations"]) == ("answered", "stop", '["A", "B"]')


def test_no_text_cell_of_a_csv_begins_like_a_formula_and_numbers_stay_numbers(tmp_path):
    run, _ = hostile_run(tmp_path / "run")
    for path in export_tables(run, tmp_path / "out", form="csv"):
        for row in rows_of(path):
            for cell in row.values():
                assert not cell.startswith(FORMULA) or re.fullmatch(r"-?[0-9.e-]+", cell), (path, cell)


def test_negative_numbers_are_not_turned_into_text(tmp_path):
    samples = {(arm, "t"): [made(i, arm, "t", metrics={"cosine": -0.25}) for i in range(4)] for arm in ("a", "b")}
    export_tables(write(tmp_path / "run", samples), tmp_path / "out", form="csv")
    assert pd.read_csv(tmp_path / "out" / "samples.csv").score_cosine.tolist() == [-0.25] * 8


def test_pandas_and_pyarrow_read_the_same_csv(tmp_path):
    run, answers = hostile_run(tmp_path / "run")
    export_tables(run, tmp_path / "out", form="csv")
    path = tmp_path / "out" / "samples.csv"
    expected = [answer.sample.completion.replace("\0", "\u2400") for answer in answers]
    frame = pd.read_csv(path, keep_default_na=False, dtype={"completion": str})
    assert [read_text(text) for text in frame.completion] == expected
    assert frame.input_tokens.tolist() == [answer.sample.input_tokens for answer in answers]
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    convert = pyarrow.csv.ConvertOptions(column_types={"completion": pa.string(), "score_accuracy": pa.float64()})
    table = pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert)
    assert [read_text(text) for text in table["completion"].to_pylist()] == expected
    assert table["score_accuracy"].to_pylist() == [answer.score.metrics["accuracy"] for answer in answers]


def test_an_empty_text_is_not_a_missing_one(tmp_path):
    none, empty = made(0, "a", "t"), made(1, "a", "t", text="")
    answers = [replace(none, sample=replace(none.sample, completion=None)), empty]
    run = write(tmp_path / "run", {("a", "t"): answers})
    export_tables(run, tmp_path / "out", form="csv")
    options = pyarrow.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    table = pyarrow.csv.read_csv(tmp_path / "out" / "samples.csv", convert_options=options, parse_options=parse)
    assert table["completion"].to_pylist() == [None, ""]
    export_tables(run, tmp_path / "out", form="parquet")
    assert pq.read_table(tmp_path / "out" / "samples.parquet")["completion"].to_pylist() == [None, ""]


def test_parquet_has_real_types_and_the_texts_as_they_are(tmp_path):
    run, answers = hostile_run(tmp_path / "run")
    export_tables(run, tmp_path / "out", form="parquet")
    table = pq.read_table(tmp_path / "out" / "samples.parquet")
    assert table["completion"].to_pylist() == HOSTILE
    assert table["options"].to_pylist() == [[answer.sample.completion, "b"] for answer in answers]
    assert table.schema.field("arm").type == pa.dictionary(pa.int32(), pa.string())
    assert table.schema.field("score_accuracy").type == pa.float64()
    assert table.schema.field("option_tokens").type == pa.list_(pa.int64())
    assert table.schema.metadata[b"run"] == b"run"


def test_a_lone_surrogate_is_replaced_in_both(tmp_path):
    run = write(tmp_path / "run", {("a", "t"): [made(0, "a", "t", text="half \ud800")]})
    export_tables(run, tmp_path / "out", form="csv")
    export_tables(run, tmp_path / "out", form="parquet")
    assert rows_of(tmp_path / "out" / "samples.csv")[0]["completion"] == "half \ufffd"
    assert pq.read_table(tmp_path / "out" / "samples.parquet")["completion"].to_pylist() == ["half \ufffd"]


@pytest.mark.parametrize(("old", "new"), [('"seconds": 0.1', '"seconds": "fast"'), ("-1.25", "NaN")])
def test_a_value_of_another_type_or_nan_is_refused_by_name(tmp_path, old, new):
    run = write(tmp_path / "run", {("a", "t"): [made(7, "a", "t")]})
    path = run.samples_file("a", "t")
    body = path.read_text().rpartition(', "sha256": ')[0].replace(old, new)
    path.write_text(f'{body}, "sha256": "{hashlib.sha256(body.encode()).hexdigest()[:16]}"}}\n')
    for form in ("csv", "parquet"):
        with pytest.raises(DamagedError, match=r"line 1(, seconds: a number was expected|: not JSON: NaN)"):
            export_tables(run, tmp_path / "out", form=form)
    assert list((tmp_path / "out").iterdir()) == []


def test_counts_and_lists_are_lists(tmp_path):
    answer = made(0, "a", "notes", metrics={"code_f1": (1.0, 1.0, 1.0)}, gold=("I10", "E11.9"))
    answer = replace(answer, score=replace(answer.score, value=("E11.9", "J45")))
    run = write(tmp_path / "run", {("a", "notes"): [answer]})
    export_tables(run, tmp_path / "out", form="csv")
    row = rows_of(tmp_path / "out" / "samples.csv")[0]
    assert (row["value"], row["gold"], row["score_code_f1"]) == (
        '["E11.9", "J45"]', "I10; E11.9", "[1.0, 1.0, 1.0]",
    )  # fmt: skip


def test_results_come_as_a_table_for_each_list(tmp_path):
    run = trial(tmp_path / "run")
    results = compare_runs([run])
    export_tables(run, tmp_path / "csv", form="csv")
    export_tables(run, tmp_path / "parquet", form="parquet")
    frame = pd.read_csv(tmp_path / "csv" / "contrasts.csv")
    table = pq.read_table(tmp_path / "parquet" / "contrasts.parquet").to_pylist()
    for number, row in enumerate(results.contrasts):
        assert [frame.ci_low[number], frame.ci_high[number]] == list(row.ci)
        assert (frame.p[number], table[number]["p"], table[number]["ci_high"]) == (row.p, row.p, row.ci[1])
        assert table[number]["verdict"] == row.verdict
    assert len(pd.read_csv(tmp_path / "csv" / "factorials_effects.csv")) == 4 * len(results.factorials)
    settings = {row["name"]: row["value"] for row in rows_of(tmp_path / "csv" / "settings.csv")}
    assert (settings["baseline"], settings["policy.unparsed"]) == ("general", "wrong")


def test_without_text_and_with_the_runs_permissions(tmp_path):
    run, _ = hostile_run(tmp_path / "run", access="credentialed")
    paths = export_tables(run, tmp_path / "out", form="csv", text=False)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert not {"prompt", "completion", "thinking", "options"} & rows_of(paths[0])[0].keys()


def test_latex_sets_hostile_names_as_text():
    assert latex_text("a_b & 5 % {x} $ # ~ ^") == (
        "a\\_b \\& 5 \\% \\{x\\} \\$ \\# \\textasciitilde{} \\textasciicircum{}"
    )
    assert latex_text("\\input{x}\n\n[y] --- ''") == "\\textbackslash{}input\\{x\\} {[}y{]} -{}-{}- '{}'"
    assert latex_text("é \u202e\0") == "é (U+202E)(U+0000)"
    assert latex_number("[-1.5, +2.0]") == "{[}$-$1.5, $+$2.0{]}"


def test_latex_and_markdown_tables_have_every_row(tmp_path):
    run = trial(tmp_path / "run")
    results = compare_runs([run])
    text = export_paper(run, tmp_path / "t.tex", form="latex").read_text()
    names = ["scores", "contrasts", *(["overall"] if results.overall else []), "effects"]
    names += ["failures", "failure-contrasts"] if results.failures else []
    assert [one.name for one in paper_tables(results)] == names
    assert re.findall(r"\\label\{(.*?)\}", text) == [f"tab:run-{name}" for name in names]
    for mark in (r"\begin{table}", r"\end{table}", r"\begin{tabularx}{\linewidth}", r"\end{tabularx}", r"\bottomrule"):
        assert text.count(mark) == len(names)
    assert "{@{}>{\\raggedright\\arraybackslash}Xrr>{\\raggedright\\arraybackslash}X@{}}" in text
    rows = len(results.scores) + len(results.contrasts) + len(results.overall) + 4 * len(results.factorials)
    rows += sum(len(one.rows) for one in paper_tables(results)[-2:]) if results.failures else 0
    groups = text.count(r"\multicolumn")
    assert text.count(r" \tabularnewline") == rows + groups + len(names)
    assert "\\raggedright\\itshape medqa, accuracy, against general} \\tabularnewline\ntuned & " in text
    assert "n = 60. What is not answered counts as wrong." in text
    assert f"adjusted by Holm's method for all {results.family} contrasts" in text
    page = export_paper(run, tmp_path / "t.md", form="markdown").read_text()
    assert page.count("\n| ") == rows + 2 * len(names)
    assert "| medqa | accuracy | m/rag&#95;32 |" in page
    assert re.search(r"\| medqa \| overlap \| general \| tuned \| [^|]+ \| - \| [^|]+ \| [^|]+ \| secondary \|", page)


def test_failures_are_tables_of_a_paper():
    given = answers_of({"a_1": [1, 1, "unparsed", 0], "b": ["unparsed", "unparsed", "unparsed", 1]}, task="words")
    results = compared(given, ComparisonSettings(baseline="a_1", resamples=100))
    shares, differences = [one for one in paper_tables(results) if one.name.startswith("failure")]
    assert [list(row) for row in shares.rows] == [
        ["words", "wrong form", "a_1", "0.250 [0.046, 0.699]", "1", "4", "answers"],
        ["words", "wrong form", "b", "0.750 [0.301, 0.954]", "3", "4", "answers"],
    ]
    assert "words: none in any arm: refused, cut off." in shares.caption
    [row] = differences.rows
    assert row[:4] == ["words", "wrong form", "a_1", "b"]
    assert row[4].startswith("+50.0 [")
    assert row[5:] == ["0.500", "4"]
    text = latex([shares, differences], run="r")
    assert "\\label{tab:r-failure-contrasts}" in text
    assert "\\itshape words, wrong form} \\tabularnewline\na\\_1 & 0.250 {[}0.046, 0.699{]} & 1 & 4 & answers " in text
    assert "## Failure contrasts\n" in markdown([differences], run="r")


def test_every_latex_row_has_as_many_cells_as_columns(tmp_path):
    names = ["a&b\\\\", "{x}_%", "[1]", "*"]
    samples = {(arm, "t&"): [made(k, arm, "t&") for k in range(4)] for arm in names}
    text = export_paper(write(tmp_path / "run", samples), tmp_path / "t.tex", form="latex").read_text()
    tables = re.findall(
        r"\\begin\{tabularx\}\{\\linewidth\}\{@\{\}(.*?)@\{\}\}\n(.*?)\\end\{tabularx\}", text, re.DOTALL
    )
    assert len(tables) == 2
    for columns, body in tables:
        width = len(re.sub(r">\{.*?\}", "", columns))
        rows = [line for line in body.splitlines() if line.endswith(r" \tabularnewline") and "multicolumn" not in line]
        assert rows
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {width - 1}


def test_a_long_table_comes_in_parts(tmp_path):
    samples = {(f"arm{i}", "t_%"): [made(k, f"arm{i}", "t_%") for k in range(4)] for i in range(45)}
    text = export_paper(write(tmp_path / "run", samples), tmp_path / "t.tex", form="latex").read_text()
    assert re.findall(r"\\label\{(.*?)\}", text) == [
        "tab:run-scores", "tab:run-scores-2", "tab:run-contrasts", "tab:run-contrasts-2",
    ]  # fmt: skip
    assert text.count("Part 1 of 2.") == text.count("Part 2 of 2.") == 2
    assert text.count("\\itshape t\\_\\%, accuracy} \\tabularnewline\n") == 2  # over each part of the scores
    assert "\\itshape t\\_\\%, accuracy} \\tabularnewline\narm0 & " in text
    assert [text.count(f"\narm{i} & ") for i in range(45)] == [1, *[2] * 44]


def test_long_names_may_be_broken_in_latex(tmp_path):
    samples = {(arm, "t"): [made(k, arm, "t") for k in range(4)] for arm in ("general", "biomedical+distractor")}
    text = export_paper(write(tmp_path / "run", samples), tmp_path / "t.tex", form="latex").read_text()
    assert "\nbiomedical+\\allowbreak{}distractor & " in text
    assert "\ngeneral & " in text
