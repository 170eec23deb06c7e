"""Corpora: recipes are checked, every record is accepted or rejected with a reason, nothing ends in a traceback."""

from __future__ import annotations

import gzip
import json
import os
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ragmed.corpora import Corpus, Recipe, describe_corpora, load_recipe
from ragmed.corpora import text as text_reader
from ragmed.errors import DataError, RagmedError, UnknownNameError, UsageError
from ragmed.records import Document
from ragmed.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]


def recipe(folder: Path, text: str, name: str = "recipe.yaml") -> Recipe:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return load_recipe(folder / name, data=folder / "data")


def pages(folder: Path, **files: bytes) -> Corpus:
    for name, data in files.items():
        path = folder / "pages" / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    made = recipe(folder, "title: T\nreader: markdown\npaths: [pages]\nlicense: L\nsource: S\ndate: 2032-03-01\n")
    return Corpus(made, rejected=folder / "out" / "rejected.jsonl")


def lines(folder: Path, data: bytes, extra: str = "") -> Corpus:
    made = recipe(folder, f"title: T\nreader: jsonl\npaths: [a.jsonl]\n{extra}")
    (folder / "a.jsonl").write_bytes(data)
    return Corpus(made, rejected=folder / "rejected.jsonl")


def refused(folder: Path) -> list[tuple[str, int, str]]:
    path = next(folder.rglob("rejected.jsonl"), None)
    records: list[Any] = [json.loads(line) for line in path.read_text().splitlines()] if path else []
    return [(Path(one["file"]).name, one["line"], one["reason"]) for one in records]


# ---- recipes


def test_a_recipe_is_read(tmp_path: Path) -> None:
    made = recipe(
        tmp_path / "mine",
        "title: Mine\nreader: jsonl\npaths: [$RAGMED_DATA/a/b.jsonl, c.jsonl]\nfields: {id: pmid}\n"
        "access: private\ndate: 2032-03-01\ncitation: none\n",
    )
    folder = (tmp_path / "mine").resolve()
    assert (made.name, made.title, made.reader, made.folder) == ("mine", "Mine", "jsonl", folder)
    assert made.paths == (tmp_path / "mine" / "data" / "a" / "b.jsonl", folder / "c.jsonl")
    assert (made.access, made.date, made.license, dict(made.options)) == (
        "private",
        "2032-03-01",
        "",
        {"fields": {"id": "pmid"}},
    )
    assert recipe(tmp_path, "title: T\nreader: text\npaths: [x]\n", "other.yaml").name == "other"


GOOD = "title: T\nreader: jsonl\npaths: [a]\n"


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (GOOD + "licence: MIT\n", UnknownNameError, "unknown key 'licence'.*did you mean 'license'"),
        (GOOD.replace("jsonl", "jsnl"), UnknownNameError, "unknown corpus reader 'jsnl'; did you mean 'jsonl'"),
        (GOOD.replace("jsonl", "markdown") + "fields: {}\n", UnknownNameError, "unknown key 'fields'"),
        (
            GOOD + "access: secret\n",
            UsageError,
            "unknown access 'secret' in recipe .*; known: credentialed, open, private",
        ),
        (
            GOOD + "access: [open]\n",
            UsageError,
            "access: one of open, credentialed, private was expected, found a list of 1",
        ),
        (GOOD + "license: [MIT]\n", UsageError, "license: text was expected, found a list of 1"),
        (GOOD + "fields: {txt: a}\n", UsageError, "'fields' knows id, title, text.*not txt"),
        (GOOD + "fields: [id]\n", UsageError, "'fields' maps"),
        ("title: T\nreader: jsonl\npaths: a\n", UsageError, "paths: a list was expected, found 'a'"),
        (
            "title: T\nreader: jsonl\npaths: [1]\n",
            UsageError,
            r"paths\.0: text was expected, found 1; put it in quotes",
        ),
        ("title: T\nreader: jsonl\npaths: [$HOME/a]\n", UsageError, r"\$RAGMED_DATA/ is the only variable"),
        ("title: T\nreader: jsonl\n", UsageError, "'paths' is missing"),
        ("reader: jsonl\npaths: [a]\n", UsageError, "'title' is missing"),
        ("- a\n", UsageError, "a mapping"),
        ("a: [\n", UsageError, "is not YAML"),
        (GOOD + "paths: [b]\n", UsageError, "line 4 is not YAML: the key 'paths' stands twice"),
        ("a: !!python/object/apply:os.system [ls]\n", UsageError, "is not YAML"),
        ("a: 2032-13-45\n", UsageError, "is not YAML"),
        ("a: !!int ''\n", UsageError, "is not YAML"),
        ("a: !!timestamp x\n", UsageError, "is not YAML"),
        ("[" * 5000, UsageError, "is not YAML"),
        (GOOD + "1: 2\n", UsageError, "unknown key '1'"),
        ("", DataError, "is empty"),
        ("a: \0", DataError, "NUL"),
    ],
)
def test_a_wrong_recipe_is_named(tmp_path: Path, text: str, error: type[RagmedError], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        recipe(tmp_path, text)
    assert "reader" in str(caught.value) or "recipe.yaml" in str(caught.value)


def test_a_recipe_that_is_no_file_is_named(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none.yaml", "does not exist"), (tmp_path, "is a directory")):
        with pytest.raises(DataError, match=words):
            load_recipe(path, data=tmp_path)
    (tmp_path / "latin.yaml").write_bytes("title: café".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        load_recipe(tmp_path / "latin.yaml", data=tmp_path)


def bare(corpus: Corpus) -> list[Document]:
    """The documents without what the corpus adds to each: its name, and how it is cited."""
    return [replace(document, corpus="", citation="") for document in corpus.documents()]


# ---- citations


def test_a_document_is_cited_as_its_recipe_says(tmp_path: Path) -> None:
    data = b'{"id": "12", "title": "On fever.", "text": "c"}\n{"id": "13", "text": "d"}\n'
    corpus = lines(tmp_path, data, 'cite: "{title} PubMed {id}."\ncitation: C\nids: pmid\n')
    assert [document.citation for document in corpus.documents()] == ["On fever. PubMed 12.", "PubMed 13."]
    corpus = lines(tmp_path, data, "citation: Sample of ours\n")
    assert [one.citation for one in corpus.documents()] == ["On fever. Sample of ours, 12", "Sample of ours, 13"]
    with pytest.raises(UnknownNameError, match=r"unknown place '\{name\}'"):
        lines(tmp_path, data, 'cite: "{name}"\n')


# ---- markdown and text


def test_pages_become_documents(tmp_path: Path) -> None:
    corpus = pages(
        tmp_path,
        b_md=b"---\ntitle: Front\ndate: 2031-01-02\nsource: X\nmore: [1]\n---\r\n\r\n# Head\r\nBody.\r\n",
        a__c_md=b"text\n\n# The Head #\n\nBody.",
        a__d_txt=b"\xef\xbb\xbf---\nnot: front\n---\nplain",
        z_png=b"\x89PNG",
        a___hidden_md=b"hidden",
    )
    assert bare(corpus) == [
        Document("b", "Front", "\r\n# Head\r\nBody.\r\n", "X", "L", "open", "2031-01-02"),
        Document("a/c", "The Head", "text\n\n# The Head #\n\nBody.", "S", "L", "open", "2032-03-01"),
        Document("a/d", "d", "---\nnot: front\n---\nplain", "S", "L", "open", "2032-03-01"),
    ]
    assert (corpus.accepted, corpus.rejected, corpus.ignored) == (3, 0, 1)
    assert not (tmp_path / "out").exists()


def test_pages_that_are_none_are_rejected_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_reader, "MAX_FILE_BYTES", 1000)
    corpus = pages(
        tmp_path,
        a_md=b"",
        b_md=b"a\x00b",
        c_md="café".encode("latin-1"),
        d_md=b"x" * 1001,
        e_md=b"---\ntitle: T\n---\n \n",
        f_md=b"---\ntitle: [\n---\nbody",
        g_md=b"---\njust a line\n---\nbody",
        h_md=b"---\ntitle: [a]\n---\nbody",
        i_md=b"good",
        i_txt=b"the same id",
    )
    os.mkfifo(tmp_path / "pages" / "j.md")
    (tmp_path / "pages" / "k.md").symlink_to(tmp_path / "recipe.yaml")
    (tmp_path / "pages" / "l").symlink_to(tmp_path)
    (tmp_path / "pages" / "m").symlink_to(tmp_path / "pages")
    (tmp_path / "pages" / "n.md").symlink_to("nowhere.md")
    assert [one.id for one in corpus.documents()] == ["i"]
    found = refused(tmp_path)
    assert [name for name, _, _ in found] == [
        "a.md", "b.md", "c.md", "d.md", "e.md", "f.md", "g.md", "h.md", "i.txt", "j.md", "k.md", "l", "n.md"
    ]  # fmt: skip
    for (_, _, reason), words in zip(
        found,
        ["empty", "NUL", "UTF-8", "larger than 1000", "text is empty", "front matter is not YAML", "mapping",
         "'title' in the front matter is a list of 1", "'i' was met before", "not a regular file", "leaves", "leaves",
         "cannot be read"],
        strict=True,
    ):  # fmt: skip
        assert words in reason
    assert (corpus.accepted, corpus.rejected, corpus.ignored, corpus.records) == (1, 13, 1, 14)


def test_one_file_may_be_a_corpus(tmp_path: Path) -> None:
    made = recipe(tmp_path, "title: T\nreader: text\npaths: [one.txt]\n")
    (tmp_path / "one.txt").write_bytes(b"words")
    assert [(one.id, one.title, one.text) for one in Corpus(made).documents()] == [("one", "one", "words")]


def test_links_in_a_circle_are_rejected(tmp_path: Path) -> None:
    corpus = pages(tmp_path, a_md=b"good")
    (tmp_path / "pages" / "b.md").symlink_to("c.md")
    (tmp_path / "pages" / "c.md").symlink_to("b.md")
    assert [one.id for one in corpus.documents()] == ["a"]
    found = refused(tmp_path)
    assert [name for name, _, _ in found] == ["b.md", "c.md"]
    assert "circle" in found[0][2] or "cannot be read" in found[0][2]


def test_front_matter_that_unfolds_or_never_ends_is_rejected_at_once(tmp_path: Path) -> None:
    bomb = "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    corpus = pages(
        tmp_path,
        a_md=b"good",
        b_md=f"---\n{bomb}---\nbody".encode(),
        c_md=b"---\ntitle: " + b"x" * 70_000 + b"\n---\nbody",
        d_md=b"---\ndate: !!timestamp x\n---\nbody",
    )
    started = time.monotonic()
    assert [one.id for one in corpus.documents()] == ["a"]
    assert time.monotonic() - started < 5
    reasons = [reason for _, _, reason in refused(tmp_path)]
    assert "aliases (*name) are not taken" in reasons[0]
    assert "longer than 65536 characters" in reasons[1]
    assert reasons[2] == (
        "the front matter is not YAML: a date, a number or a tagged value in it is malformed; put text in quotes"
    )


def test_the_same_stem_twice_is_explained(tmp_path: Path) -> None:
    list(pages(tmp_path, a_md=b"one", a_txt=b"two").documents())
    assert refused(tmp_path)[0][0] == "a.txt"
    assert "path without the suffix" in refused(tmp_path)[0][2]


def test_file_names_that_are_no_text_are_rejected(tmp_path: Path) -> None:
    corpus = pages(tmp_path, a_md=b"good")
    name = os.fsencode(tmp_path / "pages") + b"/\xff.md"
    try:
        with open(name, "wb") as stream:  # noqa: PTH123
            stream.write(b"body")
    except OSError:
        pytest.skip("this file system refuses such names")
    assert [one.id for one in corpus.documents()] == ["a"]
    assert "surrogate" in refused(tmp_path)[0][2]


# ---- JSON Lines


def test_lines_become_documents(tmp_path: Path) -> None:
    data = '{"pmid": 12, "t": null, "text": " a\u2028b ", "year": 2019}\n{"pmid": "x", "text": "c", "license": "MIT"}\n'
    corpus = lines(tmp_path, data.encode(), "fields: {id: pmid, title: t, date: year}\nlicense: L\naccess: private\n")
    assert bare(corpus) == [
        Document("12", "", " a\u2028b ", "", "L", "private", "2019"),
        Document("x", "", "c", "", "MIT", "private", ""),
    ]


def test_lines_that_are_none_are_rejected_with_line_and_reason(tmp_path: Path) -> None:
    bad = [
        ({"text": "a"}, "no 'id'"),
        ({"id": "", "text": "a"}, "id is empty"),
        ({"id": " ", "text": "a"}, "id is empty"),
        ({"id": True, "text": "a"}, "'id' (id) is true or false"),
        ({"id": "1"}, "no 'text'"),
        ({"id": "2", "text": 5}, "'text' (text) is a whole number"),
        ({"id": "3", "text": " \n"}, "text is empty"),
        ({"id": "4", "text": "a", "title": ["b"]}, "'title' (title) is a list of 1"),
        ({"id": "good", "text": "a"}, ""),
        ({"id": "good", "text": "b"}, "'good' was met before"),
        ({"id": "5", "text": "\ud800"}, "surrogate"),
        ({"id": "6", "text": "a\x00b"}, "NUL"),
    ]
    corpus = lines(tmp_path, b"\n".join(json.dumps(record).encode() for record, _ in bad) + b"\nnonsense\n")
    assert [one.id for one in corpus.documents()] == ["good"]
    found = refused(tmp_path)
    expected = [(number, words) for number, (_, words) in enumerate([*bad, ({}, "not JSON")], 1) if words]
    assert [line for _, line, _ in found] == [line for line, _ in expected]
    assert [reason for (_, _, reason), (_, words) in zip(found, expected, strict=True) if words not in reason] == []
    assert corpus.accepted + corpus.rejected == corpus.records == 13


def test_a_line_of_ten_megabytes_is_rejected_and_the_rest_read(tmp_path: Path) -> None:
    long = json.dumps({"id": "a", "text": "x" * 10_000_000}).encode()
    corpus = lines(tmp_path, long + b'\n{"id": "b", "text": "c"}\n')
    assert [one.id for one in corpus.documents()] == ["b"]
    assert refused(tmp_path) == [("a.jsonl", 1, "the line is longer than 8388608 bytes")]


def test_a_cut_gzip_is_told(tmp_path: Path) -> None:
    records = [{"id": str(n), "text": str(random.Random(n).random())} for n in range(2000)]
    packed = gzip.compress("\n".join(map(json.dumps, records)).encode())
    corpus = lines(tmp_path, packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"a\.jsonl' is cut or damaged"):
        list(corpus.documents())
    with pytest.raises(UsageError, match="not been read to its end"):
        corpus.summary()


def test_paths_that_cannot_be_read_are_named_with_the_remedy(tmp_path: Path) -> None:
    made = recipe(tmp_path, "title: T\nreader: jsonl\npaths: [$RAGMED_DATA/a.jsonl]\n")
    with pytest.raises(DataError, match=r"a\.jsonl' does not exist; set RAGMED_DATA"):
        list(Corpus(made).documents())
    for reader in ("jsonl", "markdown"):
        made = recipe(tmp_path, f"title: T\nreader: {reader}\npaths: [none]\n")
        with pytest.raises(DataError, match="none' does not exist; correct 'paths'"):
            list(Corpus(made).documents())
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="folder' is a directory"):
        list(Corpus(recipe(tmp_path, "title: T\nreader: jsonl\npaths: [folder]\n")).documents())
    with pytest.raises(DataError, match="folder' is empty"):
        list(Corpus(recipe(tmp_path, "title: T\nreader: text\npaths: [folder]\n")).documents())
    with pytest.raises(DataError, match="is empty"):
        list(lines(tmp_path, b"").documents())


def test_a_name_too_long_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be reached"):
        list(Corpus(recipe(tmp_path, f"title: T\nreader: text\npaths: [{'x' * 5000}]\n")).documents())


def test_a_corpus_without_a_document_is_an_error(tmp_path: Path) -> None:
    said = r"holds no document: 1 record rejected, 0 files ignored; see '.*rejected\.jsonl'\n"
    with pytest.raises(DataError, match=said + "rejected: .*, line 1: not JSON"):
        list(lines(tmp_path, b"nonsense\n").documents())
    with pytest.raises(
        DataError, match=r"0 records rejected, 1 file ignored.*\nignored: .*a\.png: an image; run OCR over"
    ):
        list(pages(tmp_path, a_png=b"x").documents())


# ---- the corpus


def test_the_summary_tells_the_content(tmp_path: Path) -> None:
    corpus = lines(tmp_path, b'{"id": "a", "text": "bcd"}\nx\n')
    with pytest.raises(UsageError, match="not been read to its end"):
        corpus.summary()
    list(corpus.documents())
    first = corpus.summary()
    # sha256sum of that line with a line feed behind it
    counts = {"documents": 1, "rejected": 1, "ignored": 0, "left_out": 0, "records": 2, "characters": 3}
    assert first == counts | {"sha256": SHA}
    list(corpus.documents())
    assert corpus.summary() == first
    assert len(refused(tmp_path)) == 1
    changed = lines(tmp_path, b'{"id": "a", "text": "bce"}\n')
    list(changed.documents())
    assert changed.summary()["sha256"] != SHA
    assert refused(tmp_path) == []


# sha256sum of the canonical JSON of that document and a line feed
SHA = "9d1f3d286087f91c3c171be7c61f0cd88d49332862d425b5ca0c71e6382c59ef"


def test_the_description_shows_what_was_left_out(tmp_path: Path) -> None:
    text = pages(tmp_path, a_md=b"good", b_png=b"x", c_PNG=b"x", d_pdf=b"x", e_md=b"").describe()
    assert "0 of 1" not in text
    assert "1 of 2 records rejected, 3 files ignored; sha256" in text
    assert f"ignored: {tmp_path / 'pages' / 'b.png'}: an image; run OCR over it (such as ocrmypdf) and put the" in text
    assert "in its place (and 1 more like it)\n" in text
    assert f"ignored: {tmp_path / 'pages' / 'd.pdf'}: a PDF; 'reader: pdf' or 'reader: folder' reads it\n" in text
    assert f"rejected: {tmp_path / 'pages' / 'e.md'}: the file is empty\n" in text
    text = lines(tmp_path / "lines", b'{"id": "a", "text": "b"}\n' + b"x\n" * 7).describe()
    assert text.count("a.jsonl, line") == 1
    assert "(and 6 more like it)\n" in text


def test_a_broken_recipe_does_not_hide_the_others(tmp_path: Path) -> None:
    recipe(tmp_path / "corpora" / "good", "title: Good\nreader: text\npaths: [x]\n")
    (tmp_path / "corpora" / "bad").mkdir()
    (tmp_path / "corpora" / "bad" / "recipe.yaml").write_text("title: T\nreeder: text\npaths: [x]\n")
    bad, good = describe_corpora(Workspace(tmp_path)).splitlines()
    assert bad.startswith("bad ")
    assert "'reader' is missing" in bad
    assert good.split() == ["good", "Good"]


def test_restricted_rejections_are_for_the_owner_alone(tmp_path: Path) -> None:
    corpus = lines(tmp_path, b'{"id": "a", "text": "b"}\nx\n', "access: private\n")
    list(corpus.documents())
    assert (tmp_path / "rejected.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_pubmed_sample() -> None:
    workspace = Workspace(ROOT)
    if not (workspace.data / "corpora" / "pubmed-sample.jsonl.gz").exists():
        pytest.skip("the PubMed sample is not at RAGMED_DATA")
    corpus = Corpus(load_recipe(workspace.recipe("corpora", "pubmed-sample"), data=workspace.data))
    first, *rest = corpus.documents()
    assert (first.id, first.title, first.date) == ("16083", "", "")
    assert first.text.startswith("In Aplysia nervous tissue, curare appears")
    assert len(rest) == 16_805
    assert {key: corpus.summary()[key] for key in ("records", "rejected", "characters")} == {
        "records": 16_806, "rejected": 0, "characters": 10_070_107
    }  # fmt: skip


# ---- fuzz


def mutated(data: bytes, random_: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random_.randint(1, 6)):
        at = random_.randrange(len(changed) + 1)
        match random_.randrange(5):
            case 0:
                changed[at:at] = random_.randbytes(random_.randint(1, 8))
            case 1:
                del changed[at : at + random_.randint(1, 40)]
            case 2:
                del changed[at:]
            case 3:
                changed[at:at] = random_.choice(
                    [b"\x00", b"\n", b'"', b"{", b"---\n", b"\\ud800", b": ", b"- !!int ''\n", b"&a"]
                )
            case 4:
                changed[at:at] = changed[random_.randrange(len(changed) + 1) :][:50]
    return bytes(changed)


LINES = b"".join(
    json.dumps({"id": str(n), "title": "T", "text": "Some text é.", "date": n}).encode() + b"\n" for n in range(8)
)
PAGE = "---\ntitle: T\ndate: 2032-03-01\nlist: {a: [1]}\n---\n# Head\n\nSome text é.\n".encode()


@pytest.mark.parametrize("kind", ["jsonl", "gzip", "markdown", "recipe"])
def test_mutated_files_end_in_a_reason(tmp_path: Path, kind: str) -> None:
    random_ = random.Random(7)
    outcomes = {"accepted": 0, "rejected": 0, "errors": 0}
    base = {"jsonl": LINES, "gzip": gzip.compress(LINES, mtime=0), "markdown": PAGE, "recipe": GOOD.encode()}[kind]
    for _ in range(300):
        data = mutated(base, random_)
        try:
            if kind == "recipe":
                (tmp_path / "recipe.yaml").write_bytes(data)
                load_recipe(tmp_path / "recipe.yaml", data=tmp_path)
                continue
            corpus = pages(tmp_path, a_md=data) if kind == "markdown" else lines(tmp_path, data)
            try:
                assert len(list(corpus.documents())) == corpus.accepted
            finally:
                assert corpus.accepted + corpus.rejected == corpus.records
                assert len(refused(tmp_path)) == corpus.rejected
                outcomes["accepted"] += corpus.accepted
                outcomes["rejected"] += corpus.rejected
        except RagmedError:
            outcomes["errors"] += 1
    assert kind == "recipe" or (outcomes["accepted"] > 50 and outcomes["rejected"] > 50)
    assert outcomes["errors"] > 10
