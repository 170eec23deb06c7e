"""PDF, and the process that reads it: a file is a document or has a reason, and none costs another."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path

import pytest

from ragmed.chunking.structure import sections
from ragmed.corpora import Corpus, load_recipe, pdf
from ragmed.corpora.hyphens import joined
from ragmed.corpora.worker import Worker
from ragmed.errors import DataError
from ragmed.records import Document

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"


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
    first = shown(
        "Diabetes is common, com-", "mon; double-blind trials, double-", "blind and Anti-", "TNF. x-", "ray, x-ray."
    )
    data = pdf_of(first, shown("# Dose", "5 mg"), b"", info=b"/Title(On diabetes)/CreationDate(D:20320301120000Z)")
    put(tmp_path, b__trial_pdf=data)
    (document,) = corpus(tmp_path, "citation: The trial register\nlicense: L\n").documents()
    assert document.text == (
        "## Page 1\n\nDiabetes is common, common; double-blind trials, double-blind and Anti-TNF. x-ray, x-ray.\n"
        "\n## Page 2\n\n\\# Dose\n5 mg\n"
    )
    cited = "On diabetes. The trial register, b/trial"
    assert document == Document(
        "b/trial", "On diabetes", document.text, "", "L", "open", "2032-03-01", cited, document.corpus
    )
    assert [one.heading for one in sections(document.text, document.title)] == ["Page 1", "Page 2"]


def at(x: float, y: float, text: str, size: float = 10) -> bytes:
    return b"BT /F1 %d Tf 1 0 0 1 %d %d Tm (%s) Tj ET " % (size, x, y, text.encode("cp1252"))


def one_page(folder: Path, *contents: bytes, **more: bytes) -> str:
    put(folder, a_pdf=pdf_of(*contents, **more))
    (document,) = corpus(folder).documents()
    return document.text.removeprefix("## Page 1\n\n")


def test_powers_are_marked_and_ordinals_and_small_print_are_not(tmp_path: Path) -> None:
    by_rise = b"BT /F1 11 Tf 60 700 Td (0.5 x 10) Tj /F1 7 Tf 5 Ts (-9) Tj "
    by_rise += b"/F1 11 Tf 0 Ts (/L on the 1) Tj 3 Ts (st) Tj 0 Ts ET "
    by_place = b"BT /F1 12 Tf 60 600 Td [(2) -278 (x 10)] TJ /F1 8 Tf 32.9 4 Td (9) Tj /F1 12 Tf 4.5 -4 Td (/L) Tj ET "
    by_matrix = b"BT /F1 1 Tf 12 0 0 12 60 500 Tm (75 mg/m) Tj 8 0 0 8 106.7 504 Tm (2) Tj "
    by_matrix += b"12 0 0 12 111.2 500 Tm ( a day) Tj ET "
    lines = b"BT /F1 12 Tf 14 TL 60 450 Td (kg/m) Tj /F1 8 Tf 4 Ts (2) Tj /F1 12 Tf 0 Ts (next) ' ET "
    small = at(60, 400, "Dose", 12) + at(120, 403, "see below", 8) + at(60, 380, "CO") + at(75, 377, "2", 7)
    assert one_page(tmp_path, by_rise + by_place + by_matrix + lines + small) == (
        "0.5 x 10^-9/L on the 1st\n2 x 10^9/L\n75 mg/m^2 a day\nkg/m^2\nnext\nDose see below\nCO2\n"
    )
    far = b"BT /F1 11 Tf 60 700 Td [(Limit) -3000 (2 x 10)] TJ /F1 7 Tf 5 Ts (9) Tj ET"
    assert one_page(tmp_path, far) == "Limit 2 x 10^9\n"


LEFT = (
    "Sulfacort is given to all patients with", "an acute attack of fever. It is started", "at once and continued for "
    "seven days", "unless the kidneys fail on day three.", "Then it is stopped.",
)  # fmt: skip
RIGHT = (
    "Prednol is kept for those who cannot", "swallow. Its dose is halved in renal", "failure, and it is never given "
    "with a", "diuretic of the loop kind, such as X.",
)  # fmt: skip
ACROSS = "A line across both of the columns, which is long enough to meet each of them"


def test_columns_drawn_line_by_line_are_read_one_after_the_other(tmp_path: Path) -> None:
    page = at(60, 760, ACROSS)
    for number, left in enumerate(LEFT):
        page += at(60, 740 - 12 * number, left)
        page += at(320, 740 - 12 * number, RIGHT[number]) if number < len(RIGHT) else b""
    page += at(60, 660, ACROSS)
    power = page.replace(b"(Then it is stopped.) Tj", b"(Then at 10) Tj /F1 7 Tf 4 Ts (9) Tj 0 Ts /F1 10 Tf (/L.) Tj")
    moved = b"q 0.5 0 0 0.5 10 10 cm " + page + b"Q"
    assert one_page(tmp_path, page) == "\n".join([ACROSS, *LEFT, *RIGHT, ACROSS, ""])
    one_move = b"BT /F1 10 Tf 60 700 Td 12 TL "
    for left, right in zip(LEFT, RIGHT, strict=False):
        one_move += b"[(%s) -9000 (%s)] TJ T* " % (left.encode(), right.encode())
    assert one_page(tmp_path, one_move + b"ET") == "\n".join([*LEFT[:4], *RIGHT, ""])
    assert one_page(tmp_path, moved) == "\n".join([ACROSS, *LEFT, *RIGHT, ACROSS, ""])
    assert one_page(tmp_path, power) == "\n".join([ACROSS, *LEFT[:4], "Then at 10^9/L.", *RIGHT, ACROSS, ""])


def test_tables_stay_row_by_row(tmp_path: Path) -> None:
    rows = [(f"Drug {number}", f"{number} mg twice a day, at meals and at night") for number in range(6)]
    page = b"".join(at(60, 700 - 12 * n, a) + at(320, 700 - 12 * n, b) for n, (a, b) in enumerate(rows))
    assert one_page(tmp_path, page) == "".join(f"{a} {b}\n" for a, b in rows)


def test_a_scan_with_the_line_of_a_fax_is_a_scan(tmp_path: Path) -> None:
    image = b"q 595 0 0 842 0 0 cm /I Do Q "
    fax = at(40, 825, "FAX 2031-02-03 14:05 FROM WARD 7 P. 01/03")
    ocr = image + b"3 Tr " + fax
    logo = b"q 60 0 0 60 500 770 cm /I Do Q " + fax
    slide = image + at(60, 500, "Sepsis")
    for name, page in (("fax", image + fax), ("ocr", ocr), ("logo", logo), ("slide", slide)):
        put(tmp_path, **{f"{name}_pdf": pdf_of(page, objects=(IMAGE,), resources=b"/XObject<</I 7 0 R>>")})
    assert {one.id for one in corpus(tmp_path).documents()} == {"ocr", "logo", "slide"}
    assert refused(tmp_path)["fax.pdf"].startswith(
        "page 1 is an image, with no text but a line at its edge, as a fax or a scanner adds, and no other page has"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TNF-\nalpha, low-\ndose, beta-\nblockers", "TNF-alpha, low-dose, beta-blockers"),
        ("Anti-\ninflammatory, non-\u2010\nx", "Anti-inflammatory, non-\u2010\nx"),
        ("IL-\n6, COVID-\n19, 10-\n20 mg, non-\nST-elevation", "IL-6, COVID-19, 10-20 mg, non-ST-elevation"),
        ("treat-\nment of hyperten-\nsion, calcifi-\ncation", "treatment of hypertension, calcification"),
        ("inflam-\nmatory and inflammatory", "inflammatory and inflammatory"),
        ("drug-\neluting stents; drug-eluting", "drug-eluting stents; drug-eluting"),
        ("short- \nand long-term; soft\u00ad\nware; side-\neffect", "short- and long-term; software; side-effect"),
        ("a - \nb; end-\n\nNext", "a - \nb; end-\n\nNext"),
    ],
)  # fmt: skip
def test_hyphens_at_the_ends_of_lines(text: str, expected: str) -> None:
    assert joined(text) == expected


@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not here")
def test_the_pdfs_among_the_cases(tmp_path: Path) -> None:
    put(tmp_path, a_pdf=(CASES / "02-pdf-superscripts" / "neutropenia.pdf").read_bytes())
    put(tmp_path, b_pdf=(CASES / "05-ligatures" / "ligatures.pdf").read_bytes())
    powers, ligatures = (one.text for one in corpus(tmp_path).documents())
    for words in ("0.5 x 10^9/L.", "20 x 10^9/L need", "75 mg/m^2 every", "note^12."):
        assert words in powers
    words = "first office amflexin Anti-inflammatory IL-6 TNF-alpha beta-blockers COVID-19 low-dose non-ST-elevation"
    assert not [word for word in words.split() if word not in ligatures]


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
