"""MeQSum (Ben Abacha and Demner-Fushman 2019, ACL P19-1215): a consumer health question -> one short question.

An .xlsx file in `meqsum/` under RAGMED_DATA, sheet `QS`, a header and one question a row:

    File                    CHQ                                                           Summary
    1-131188152.xml.txt     SUBJECT: who and where to get cetirizine - D\\nMESSAGE: I …   Who manufactures cetirizine?

Subject lines, the mail form's boilerplate and the marks that stand for names and places ([NAME], [LOCATION]) are part
of what a summariser meets, and stay as published. Rows with the same summary or the same question are one group: they
are resampled together, and on one side of the split.

The set has no split of its own. Few-shot examples come from the groups all of whose summaries hash into one part of 32
(28 of 759 rows): a hash of the row's own text, so that a row's side does not depend on the seed, on the order or
on which other rows a file holds. The rest is scored, whether examples are shown or not.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ragmed.errors import DataError, MissingDependencyError
from ragmed.files import require_file
from ragmed.records import Example
from ragmed.tasks.invented import AILMENTS, DRUGS
from ragmed.tasks.splits import linked
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import TEXT
from ragmed.workspace import Workspace

SHEET = "QS"
COLUMNS = ("File", "CHQ", "Summary")
DEV_PARTS = 32
MOST_BYTES = 64 * 1024 * 1024  # unpacked; the published file has under 1 MB
MOST_ROWS = 100_000
# A damaged workbook lets openpyxl raise whatever it runs into.
_OPENPYXL_RAISES = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError, EOFError, SyntaxError, RuntimeError,
    zlib.error, zipfile.BadZipFile,
)  # fmt: skip


def load(workspace: Workspace) -> Split:
    """DataError names the file and the row where the set is not whole."""
    folder = workspace.data / "meqsum"
    files = [path for path in sorted(folder.glob("*.xlsx")) if not path.name.startswith("~$")]
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "none"
        raise DataError(
            f"one MeQSum workbook (.xlsx) was expected in '{folder}', found {names}: put it there, or set RAGMED_DATA "
            "to the folder that holds meqsum/"
        )
    rows = _rows(files[0])
    groups = _groups(rows)
    scored = {group for group, row in zip(groups, rows, strict=True) if not _is_dev(row[2])}
    examples = [_example(i, rows, groups) for i in range(len(rows))]
    return Split(
        tuple(e for e in examples if e.group in scored),
        tuple(e for e in examples if e.group not in scored),
    )


def _rows(path: Path) -> list[tuple[str, str, str]]:
    try:
        import defusedxml  # noqa: F401  openpyxl parses with it where it is there: entities are then refused
        import openpyxl
    except ImportError as error:
        raise MissingDependencyError("reading .xlsx files needs: pip install 'ragmed[xlsx]'") from error
    where = f"MeQSum workbook '{path}'"
    require_file(path, "MeQSum workbook")
    try:
        _refuse_large(path, where)
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)  # read-only: row by row, never a grid
        try:
            if SHEET not in book.sheetnames:
                raise DataError(f"{where} has no sheet '{SHEET}', only {', '.join(book.sheetnames)}")
            cells = book[SHEET].iter_rows(max_col=len(COLUMNS), max_row=MOST_ROWS + 1, values_only=True)
            return list(_checked(cells, where))
        finally:
            book.close()
    except _OPENPYXL_RAISES as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{where} cannot be read ({reason}); fetch it again") from error


def _refuse_large(path: Path, where: str) -> None:
    """A few kilobytes of .xlsx can unpack to any size; nothing reads more of a member than its entry declares."""
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES:
        raise DataError(f"{where} unpacks to {size} bytes, more than the {MOST_BYTES} that are read")


def _checked(cells: Iterator[tuple[Any, ...]], where: str) -> Iterator[tuple[str, str, str]]:
    header = tuple(next(cells, ()))
    if header != COLUMNS:
        raise DataError(f"{where}, row 1: the columns {', '.join(COLUMNS)} were expected, found {header}")
    first: dict[tuple[str, str], int] = {}
    for number, row in enumerate(cells, 2):
        if number > MOST_ROWS:
            raise DataError(f"{where} has more than {MOST_ROWS} rows")
        if all(cell is None for cell in row):
            continue  # a row that only has a format
        texts = [cell if isinstance(cell, str) else "" for cell in row]
        for name, text in zip(COLUMNS, texts + [""] * (len(COLUMNS) - len(texts)), strict=True):
            if not text.strip():
                raise DataError(f"{where}, row {number}: '{name}' is empty or no text")
        if (before := first.setdefault((texts[0], _key(texts[1])), number)) != number:
            raise DataError(f"{where}, row {number}: '{texts[0]}' has this question already in row {before}; keep one")
        yield texts[0], texts[1], texts[2]


def _key(text: str) -> str:
    return " ".join(text.casefold().split())


# Not `splits.split_by_hash`: this set is older, and by that rule other rows would be shown (19, not 28), so that no
# score that stands in our results would be of the same questions.
def _is_dev(summary: str) -> bool:
    digest = hashlib.sha256(f"meqsum\x00{_key(summary)}".encode()).digest()
    return digest[0] % DEV_PARTS == 0


def _groups(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """The group of each row: the File of the first row that shares a question or a summary with it, chains included."""
    first = linked([[("question", _key(question)), ("summary", _key(summary))] for _, question, summary in rows])
    return [rows[place][0] for place in first]


def _example(number: int, rows: Sequence[tuple[str, str, str]], groups: Sequence[str]) -> Example:
    file, question, summary = rows[number]
    before = sum(row[0] == file for row in rows[:number])
    # A second question of one file is an example of its own.
    return Example(f"{file}#{before + 1}" if before else file, question, gold=summary, group=groups[number])


def invent(folder: Path) -> None:
    """A workbook of 72 questions, some of which are held out; nobody asked them. MissingDependencyError without
    openpyxl.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise MissingDependencyError("writing .xlsx files needs: pip install 'ragmed[xlsx]'") from error
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = SHEET
    sheet.append(COLUMNS)
    for n in range(72):
        drug, ill = DRUGS[n % len(DRUGS)], AILMENTS[n // 6]
        asked = f"SUBJECT: {ill}\nMESSAGE: I am number {n} and have had {ill} for weeks. Can I take {drug} for it?"
        sheet.append([f"1-{n}.xml.txt", asked, f"Can {drug} be taken for {ill}?"])
    (folder / "meqsum").mkdir()
    book.save(folder / "meqsum" / "MeQSum_invented.xlsx")


MEQSUM = Task(
    name="meqsum",
    title="MeQSum: consumer health questions, each to be summarised as one short question",
    kind="text",
    instruction="You summarise a consumer's health question as one short question that keeps what has to be answered.",
    load=load,
    source=(
        "MeQSum workbook, sheet QS, github.com/abachaa/MeQSum (Ben Abacha and Demner-Fushman 2019, ACL P19-1215); "
        "ROUGE as CLUE reports it (arXiv 2404.04067)"
    ),
    license="CC BY 4.0",
    metrics=("rouge_l", "rouge_1", "rouge_2"),
    further=("bertscore", "concept_f1", "unsupported"),
    form=TEXT,
    max_tokens=64,
    label="Health question",
    get="Open: the workbook (.xlsx) of github.com/abachaa/MeQSum, into meqsum/ under RAGMED_DATA.",
    invent=invent,
)
