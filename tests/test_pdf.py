"""PDF, and the process that reads it: a file is a document or has a reason, and none costs another."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path

import pytest

from ragmed.chunking.structure import sections
from ragmed.corpora import Corpus, load_recipe, pdf
from ragmed.corpora.worker import Worker
from ragmed.errors import DataError
from ragmed.records import Document


def corpus(folder: Path, extra: str = "") -> Corpus:
    (folder / "recipe.yaml").write_text(f"title: T\nreader: pdf\npaths: [data]\n{extra}", encoding="utf-8")
    return Corpus(load_recipe(folder / "recipe.yaml", data=folder), rejected=folder / "rejected.jsonl")


def put(folder: Path, **files: bytes) -> None:
    for name, data in files.items():
        path = folder / "data" / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def refused(folder: Path) -> dict[str, str]:
    path = folder / "rejected.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {Path(one["file"]).name: one["reason"] for one in records}


def pdf_of(*contents: bytes, info: bytes = b"", objects: tuple[bytes, ...] = (), resources: bytes = b"") -> bytes:
    """By hand: object 1 is the catalogue, 2 the pages, 3 the font, 4 the info; then each page and its content."""
    kids = b" ".join(b"%d 0 R" % (5 + 2 * number) for number in range(len(contents)))
    made = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(contents)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        b"<<%s>>" % info,
    ]
    for number, content in enumerate(contents):
        made.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>%s>>>>"
            % (6 + 2 * number, resources)
        )
        packed = zlib.compress(content)
        made.append(b"<</Length %d/Filter/FlateDecode>>\nstream\n%s\nendstream" % (len(packed), packed))
    made.extend(objects)
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(made, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(made) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer\n<</Size %d/Root 1 0 R/Info 4 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(made) + 1, start))
    return out.getvalue()


def shown(*lines: str) -> bytes:
    return (
        b"BT /F1 12 Tf 14 TL 72 720 Td " + b" ".join(b"(%s) Tj T*" % line.encode("cp1252") for line in lines) + b" ET"
    )


IMAGE = (
    b"<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>>\n"
    b"stream\n\x00\nendstream"
)


def encrypted(password: str) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf_of(shown("Locked words")))))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_pages_of_a_pdf_stand_under_headings(tmp_path: Path) -> None:
    first = shown("Diabetes is com-", "mon; double-blind trials, double-", "blind and Anti-", "TNF. x-", "ray, x-ray.")
    data = pdf_of(first, shown("# Dose", "5 mg"), b"", info=b"/Title(On diabetes)/CreationDate(D:20320301120000Z)")
    put(tmp_path, b__trial_pdf=data)
    (document,) = corpus(tmp_path, "citation: The trial register\nlicense: L\n").documents()
    assert document.text == (
        "## Page 1\n\nDiabetes is common; double-blind trials, double-blind and Anti-TNF. x-ray, x-ray.\n"
        "\n## Page 2\n\n\\# Dose\n5 mg\n"
    )
    cited = "On diabetes. The trial register, b/trial"
    assert document == Document(
        "b/trial", "On diabetes", document.text, "", "L", "open", "2032-03-01", cited, document.corpus
    )
    assert [one.heading for one in sections(document.text, document.title)] == ["Page 1", "Page 2"]


def test_pdfs_that_cannot_be_read_are_rejected_with_reason_and_remedy(tmp_path: Path) -> None:
    good = pdf_of(shown("Good words"))
    scan = pdf_of(b"q 500 0 0 700 0 0 cm /I Do Q", objects=(IMAGE,), resources=b"/XObject<</I 7 0 R>>")
    put(
        tmp_path,
        a_pdf=encrypted("secret"),
        b_pdf=good[: len(good) // 2],
        c_pdf=scan,
        d_pdf=pdf_of(b""),
        e_pdf=b"<!DOCTYPE html><html>Log in",
        f_pdf=b"",
        g_pdf=b"%PDF-1.4\nnothing\n%%EOF\n",
        h_pdf=pdf_of(),
        i_pdf=good,
        j_pdf=encrypted(""),
    )
    assert [(one.id, one.text) for one in corpus(tmp_path).documents()] == [
        ("i", "## Page 1\n\nGood words\n"),
        ("j", "## Page 1\n\nLocked words\n"),
    ]
    reasons = refused(tmp_path)
    for name, words in (
        ("a", "it is encrypted with a password; save a copy without one"),
        ("b", "the end of the file is missing: it is cut; fetch it again"),
        ("c", "page 1 holds an image and no text, and no other page has text; run OCR over it"),
        ("d", "no page has text; if it is a scan, run OCR"),
        ("e", "not a PDF but a web page, perhaps a login"),
        ("f", "not a PDF"),
        ("g", "damaged, or no PDF"),
        ("h", "it has no page"),
    ):
        assert words in reasons.pop(f"{name}.pdf"), name
    assert not reasons


def test_pages_that_are_missing_are_told_beside_the_document(tmp_path: Path) -> None:
    data = pdf_of(shown("Words"), b"/I Do", b"", objects=(IMAGE,), resources=b"/XObject<</I 11 0 R>>")
    put(tmp_path, a_pdf=data.replace(b"/Contents 10 0 R", b"/Contents 99 0 R"))
    made = corpus(tmp_path)
    assert [one.text for one in made.documents()] == ["## Page 1\n\nWords\n"]
    assert refused(tmp_path)["a.pdf"].startswith(
        "page 2 holds an image and no text; page 3 points to content that is not there: missing from the document"
    )
    assert (made.accepted, made.rejected, made.records) == (1, 1, 2)


def test_a_damaged_page_is_told_and_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    data = pdf_of(shown("Words"), shown("Lost words"))
    packed = zlib.compress(shown("Lost words"))
    put(tmp_path, a_pdf=data.replace(packed, b"\xff" * len(packed)), b_pdf=pdf_of(shown("Words"), b""))
    put(tmp_path, c_pdf=data.replace(b"/Kids[5 0 R 7 0 R]", b"/Kids[5 0 R      ]"))
    assert [one.text for one in corpus(tmp_path).documents()] == ["## Page 1\n\nWords\n"] * 3
    reasons = refused(tmp_path)
    assert list(reasons) == ["a.pdf", "c.pdf"]
    assert reasons["a.pdf"].startswith("page 2 is damaged (Error -3 while decompressing")
    assert reasons["c.pdf"].startswith("it has 1 pages where it declares 2: missing from the document; fetch the file")


def test_what_the_library_says_reaches_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good = pdf_of(shown("Words"))
    put(tmp_path, a_pdf=good.replace(b"startxref\n", b"startxref\n9"), b_pdf=good)
    assert [one.id for one in corpus(tmp_path).documents()] == ["a", "b"]
    assert capfd.readouterr() == ("", "")


def test_pages_in_unknown_characters_are_rejected(tmp_path: Path) -> None:
    unknown = b"BT /F1 12 Tf 72 720 Td <0102030405060708> Tj (ab) Tj ET"
    put(tmp_path, a_pdf=pdf_of(unknown), b_pdf=pdf_of(shown("Words"), unknown))
    assert [(one.id, one.text) for one in corpus(tmp_path).documents()] == [("b", "## Page 1\n\nWords\n")]
    reasons = refused(tmp_path)
    assert reasons["a.pdf"].startswith("page 1 has fonts that do not define which characters they show, and no other")
    assert reasons["b.pdf"].startswith("page 2 has fonts that do not define which characters they show: missing from")


def test_too_many_pages_and_too_many_bytes_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MAX_PAGES", 2)
    with pytest.raises(ValueError, match="it has 3 pages, more than 2; split it"):
        list(pdf.pages(pdf_of(b"", b"", b"")))
    monkeypatch.setattr(pdf, "MAX_FILE_BYTES", 100)
    put(tmp_path, a_pdf=pdf_of(shown("Words")))
    with pytest.raises(DataError, match="holds no document"):
        list(corpus(tmp_path).documents())
    assert "larger than 100 bytes" in refused(tmp_path)["a.pdf"]


# ---- the process that reads them

HOSTILE = """
import os, time
def parse(data):
    print("noise")
    yield len(data)
    if data == b"hang": time.sleep(60)
    if data == b"crash": os._exit(9)
    if data == b"fill": x = bytearray(8 << 30)
    if data == b"deep": exec("def f(): f()\\nf()", g := {}) or f()
    if data == b"wrong": raise ValueError("it is\\nwrong")
    yield "é"
"""


def test_a_hostile_file_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hostile_parser.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(tmp_path)
    with Worker("hostile_parser:parse", item_seconds=2, file_seconds=10) as worker:
        assert worker.run(b"good") == [4, "é"]
        for data, reason in (
            (b"hang", "reading it took too long; save it anew with another program, or split it"),
            (b"wrong", "it is wrong"),
            (b"crash", "the library that reads it crashed on it; save it anew with another program"),
            (b"fill", "reading it took more memory than it may; split it"),
            (b"deep", "it is nested too deeply"),
        ):
            with pytest.raises(ValueError, match=rf"^{reason}$"):
                worker.run(data)
        assert worker.run(b"x" * 3_000_000) == [3_000_000, "é"]


def test_a_process_that_cannot_start_is_told() -> None:
    with (
        Worker("no_such_module:parse", item_seconds=1, file_seconds=1) as worker,
        pytest.raises(DataError, match="did not start: ModuleNotFoundError: No module named 'no_such_module'"),
    ):
        worker.run(b"")
