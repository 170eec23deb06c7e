"""Tables as corpora: CSV, TSV and Parquet are streamed, every row is a document or has a reason."""

from __future__ import annotations

import datetime
import gzip
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from ragmed.corpora import Corpus, load_recipe, tabular
from ragmed.corpora.new import new_recipe
from ragmed.corpora.tabular import OTHERWISE
from ragmed.errors import DataError, UsageError
from ragmed.records import Document
from ragmed.workspace import Workspace


def corpus(folder: Path, name: str, data: bytes | None = None, *, reader: str = "csv", extra: str = "") -> Corpus:
    if data is not None:
        (folder / name).write_bytes(data)
    (folder / "recipe.yaml").write_text(f"title: T\nreader: {reader}\npaths: [{name}]\n{extra}", encoding="utf-8")
    return Corpus(load_recipe(folder / "recipe.yaml", data=folder), rejected=folder / "rejected.jsonl")


def told(made: Corpus) -> list[tuple[str, str]]:
    return [(one.id, one.text) for one in made.documents()]


def refused(folder: Path) -> list[tuple[int, str]]:
    path = folder / "rejected.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(one["line"], one["reason"]) for one in records]


# ---- CSV


def test_lines_may_end_with_carriage_returns_alone(tmp_path: Path) -> None:
    assert told(corpus(tmp_path, "a.csv", b'id,text\r1,a\r2,"b\rc"\r')) == [("1", "a"), ("2", "b\nc")]
    assert told(corpus(tmp_path, "a.csv", b"id,text\r1,a\r2,b")) == [("1", "a"), ("2", "b")]
    long = b"id,text\r" + b"".join(b"%d,%s\r" % (n, b"word " * 100) for n in range(2000))
    assert len(told(corpus(tmp_path, "a.csv.gz", gzip.compress(long)))) == 2000
    made = corpus(tmp_path, "a.csv", b"id,text\r1,a,b\r2,\xff\r3,c\r")
    assert told(made) == [("3", "c")]
    assert refused(tmp_path) == [
        (2, "the row has 3 cells, the header has 2"),
        (3, "is not UTF-8 (byte 0xff at offset 2); convert it to UTF-8" + OTHERWISE),
    ]
    file = new_recipe("mac", (tmp_path / "a.csv",), workspace=Workspace(tmp_path))
    assert "no column" not in file.read_text()


def test_rows_become_documents(tmp_path: Path) -> None:
    data = (
        '\ufeffpmid,title,abstract,year\r\n1,"A, b","line one\r\nsaid ""two""",2019\r\n\r\n2,,caf\u00e9,\r\n'
    ).encode()
    made = corpus(
        tmp_path, "a.csv", data, extra="fields: {id: pmid, text: abstract, date: year}\nlicense: L\nsource: S\n"
    )
    first, second = made.documents()
    assert (first.id, first.title, first.text) == ("1", "A, b", 'line one\r\nsaid "two"')
    assert (first.source, first.license, first.date) == ("S", "L", "2019")
    assert (second.id, second.title, second.text, second.date) == ("2", "", "caf\u00e9", "")
    assert (made.accepted, made.rejected) == (2, 0)


@pytest.mark.parametrize("encoding", ["windows-1252", "iso-8859-1", "iso-8859-15", "mac-roman", "utf-16"])
def test_tables_in_other_encodings_are_read_where_the_recipe_names_them(tmp_path: Path, encoding: str) -> None:
    rows = "id,text\n" + "".join(f"{n},Säuglinge bekommen 5 µg\n" for n in range(20_000))
    data = rows.encode(encoding)
    made = corpus(tmp_path, "a.csv", data, extra=f"encoding: {encoding}\n")
    assert told(made)[::9999] == [(str(n), "Säuglinge bekommen 5 µg") for n in (0, 9999, 19_998)]
    with pytest.raises(DataError, match=r"encoding: (windows-1252|utf-16)"):  # which is what was to be written
        told(corpus(tmp_path, "a.csv", data))


def test_a_wrong_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'encoding' is one of utf-8, windows-1252"):
        corpus(tmp_path, "a.csv", b"", extra="encoding: klingon\n")
    with pytest.raises(DataError, match=r"a\.csv' is not utf-16, as the recipe's 'encoding' has it"):
        told(corpus(tmp_path, "a.csv", b"id,text\n1,abc\n\n", extra="encoding: utf-16\n"))


def test_delimiters_and_packing(tmp_path: Path) -> None:
    assert told(corpus(tmp_path, "a.tsv", b'id\ttext\n1\ta, "b"\n')) == [("1", 'a, "b"')]
    assert told(corpus(tmp_path, "a.csv", b"id;text\n1;a\n", extra='delimiter: ";"\n')) == [("1", "a")]
    assert told(corpus(tmp_path, "a.csv.gz", gzip.compress(b"id,text\n1,a\n"))) == [("1", "a")]
    assert told(corpus(tmp_path, "a.tsv.gz", gzip.compress(b"id\ttext\n1\ta\n"))) == [("1", "a")]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("x/one.csv", "id,text\n1,a\n")
        packed.writestr("x/two.tsv", "id\ttext\n2\tb\n")
    assert told(corpus(tmp_path, "a.zip")) == [("1", "a"), ("2", "b")]


@pytest.mark.parametrize("value", ['"ab"', "1", "'\"'", '""', '"\\n"'])
def test_a_wrong_delimiter_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError, match="'delimiter' is one character"):
        corpus(tmp_path, "a.csv", b"", extra=f"delimiter: {value}\n")


def test_bad_rows_are_rejected_with_their_line(tmp_path: Path) -> None:
    data = b'id,text\n1,"a\nb"\n2\n3,c,d\n4,"e"f\n,g\n5,\n6,\xe9\n7,h\x00\n1,again\n8,good\n9,"never\nclosed\n'
    made = corpus(tmp_path, "a.csv", data)
    assert told(made) == [("1", "a\nb"), ("8", "good")]
    expected = [
        (4, "the row has 1 cell, the header has 2"),
        (5, "the row has 3 cells, the header has 2"),
        (6, "not a row of CSV: ',' expected after '\"'"),
        (7, "no 'id' (id)"),
        (8, "no 'text' (text)"),
        (9, "is not UTF-8 (byte 0xe9 at offset 2); convert it to UTF-8" + OTHERWISE),
        (10, "holds a NUL byte at offset 3: it is not a text file"),
        (11, "the id '1' was met before"),
        (13, "a quote that opens in this row is never closed, so the file's last 2 lines were read as one row"),
    ]
    assert refused(tmp_path) == expected
    assert made.accepted + made.rejected == made.records == 11


def test_a_table_without_its_columns_is_named_with_near_ones(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no column 'text' for the document's text; did you mean 'texts'\? Columns: id"
    ):
        told(corpus(tmp_path, "a.csv", b"id,texts\n1,a\n"))
    with pytest.raises(DataError, match=r"no column 'titel' for the document's title; did you mean 'title'\?"):
        told(corpus(tmp_path, "a.csv", b"id,text,title\n1,a,b\n", extra="fields: {title: titel}\n"))
    with pytest.raises(DataError, match=r'has one column, \'id;text\'; name .* delimiter: ";"'):
        told(corpus(tmp_path, "a.csv", b"id;text\n1;a\n"))
    with pytest.raises(DataError, match="column 'id' more than once"):
        told(corpus(tmp_path, "a.csv", b"id,text,id\n1,a,2\n"))


def test_rows_without_an_id_may_be_numbered(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no column 'id' .* fields: \{id: COLUMN\}; a table without ids: number_rows: true"
    ):
        told(corpus(tmp_path, "a.csv", b"text\na\n"))
    data = b'id,text\n1,"a\nb"\n1,c\n'
    assert told(corpus(tmp_path, "a.csv", data, extra="number_rows: true\n")) == [("a-2", "a\nb"), ("a-4", "c")]
    table(tmp_path, "b.parquet", text=["a", "b"])
    made = corpus(tmp_path, "b.parquet", reader="parquet", extra="number_rows: true\n")
    assert told(made) == [("b-1", "a"), ("b-2", "b")]
    with pytest.raises(UsageError, match="'number_rows' is true or false"):
        corpus(tmp_path, "a.csv", data, extra="number_rows: 1\n")


def test_files_that_are_no_table_are_named(tmp_path: Path) -> None:
    for data, words in (
        (b"", r"a\.csv' is empty"),
        ("id,text\n1,a\n".encode("utf-16"), r"the file is UTF-16; save it as UTF-8"),
        (b'id,"te', "the header cannot be read: unexpected end of data"),
    ):
        with pytest.raises(DataError, match=words):
            told(corpus(tmp_path, "a.csv", data))


def test_a_row_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "MAX_ROW_BYTES", 1000)
    found = corpus(tmp_path, "a.csv", b'id,text\n1,a\n2,"b\n' + b"c,d\n" * 500).documents()
    assert next(found).id == "1"
    with pytest.raises(DataError, match="the row that starts on line 3 is longer than 1000 bytes: a quote"):
        next(found)


def test_a_large_cell_is_read(tmp_path: Path) -> None:
    assert told(corpus(tmp_path, "a.csv", b"id,text\n1," + b"x" * 1_000_000 + b"\n")) == [("1", "x" * 1_000_000)]


def test_a_cut_file_is_told(tmp_path: Path) -> None:
    rows = b"id,text\n" + b"".join(b"%d,%d\n" % (number, number**7) for number in range(5000))
    packed = gzip.compress(rows)
    with pytest.raises(DataError, match=r"a\.csv\.gz.* cut or damaged"):
        told(corpus(tmp_path, "a.csv.gz", packed[: len(packed) // 2]))


# ---- Parquet


def table(folder: Path, name: str, groups: int = 1, **columns: object) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    made = pa.table(columns)
    parquet.write_table(made, folder / name, row_group_size=max(1, len(made) // groups))


def test_rows_of_parquet_become_documents(tmp_path: Path) -> None:
    table(
        tmp_path, "a.parquet", pmid=[1, 2], title=["A", None], abstract=["x", "y"],
        day=[datetime.date(2032, 3, 1), None], other=[[1], [2]],
    )  # fmt: skip
    made = corpus(
        tmp_path,
        "a.parquet",
        reader="parquet",
        extra="fields: {id: pmid, text: abstract, date: day}\naccess: private\n",
    )
    found = list(made.documents())
    assert [(one.id, one.title, one.text, one.date, one.access) for one in found] == [
        ("1", "A", "x", "2032-03-01", "private"),
        ("2", "", "y", "", "private"),
    ]
    assert isinstance(found[0], Document)


def test_rows_of_parquet_without_id_or_text_are_rejected(tmp_path: Path) -> None:
    table(tmp_path, "a.parquet", id=["1", None, "3", "1"], text=["a", "b", None, "d"])
    assert told(corpus(tmp_path, "a.parquet", reader="parquet")) == [("1", "a")]
    assert refused(tmp_path) == [(2, "no 'id' (id)"), (3, "no 'text' (text)"), (4, "the id '1' was met before")]


def test_a_folder_of_parquet_is_read_row_group_by_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "BATCH_ROWS", 7)
    for part in range(2):
        ids = [f"{part}-{number}" for number in range(100)]
        table(tmp_path, f"data/{part}.parquet", groups=10, id=ids, text=ids)
    (tmp_path / "data" / "README.md").write_text("x")
    made = corpus(tmp_path, "data", reader="parquet")
    assert told(made) == [(f"{p}-{n}", f"{p}-{n}") for p in range(2) for n in range(100)]
    assert made.ignored == 1


def test_parquet_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    table(tmp_path, "a.parquet", id=["1"], texts=["a"])
    with pytest.raises(DataError, match=r"no column 'text' .*did you mean 'texts'\?"):
        told(corpus(tmp_path, "a.parquet", reader="parquet"))
    whole = (tmp_path / "a.parquet").read_bytes()
    for data, words in (
        (b"id,text\n1,a\n", "cannot be read as Parquet"),
        (whole[:-20], "cannot be read as Parquet"),
        (b"", "is empty"),
    ):
        with pytest.raises(DataError, match=words):
            told(corpus(tmp_path, "a.parquet", data, reader="parquet"))
    table(tmp_path, "b.parquet", id=["1"], text=[["a"]])
    with pytest.raises(DataError, match=r"holds no document: 1 record rejected(.|\n)*line 1: 'text' .* is a list"):
        told(corpus(tmp_path, "b.parquet", reader="parquet"))
    assert refused(tmp_path) == [(1, "'text' (text) is a list of 1, a string was expected")]


def test_damaged_pages_of_parquet_are_told(tmp_path: Path) -> None:
    ids = [str(number) for number in range(20_000)]
    table(tmp_path, "a.parquet", groups=4, id=ids, text=[one * 9 for one in ids])
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 5000] = b"\xff" * 5000
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        told(corpus(tmp_path, "a.parquet", bytes(data), reader="parquet"))
