"""ICD-10-CM: how a code is written, and the table of a year -> its codes, and what each of them means.

A table is a file as it is published or commonly copied, plain or gzip, read as text, never as numbers:

    code<TAB>billable<TAB>long_desc                          tab-separated, with this header; codes without points
    00002 A000    1 Cholera due to Vibrio …  Cholera …       CMS' order file (icd10cm_order_2025.txt), fixed columns

Source: ICD-10-CM Official Guidelines for Coding and Reporting, section I.A.2 to I.A.5 (three to seven characters, X as
a placeholder, categories and codes); chapter 22 has the U codes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ragmed.errors import DataError
from ragmed.files import not_text, open_binary, require_file

HEADER = ("code", "billable", "long_desc")
CATEGORY = 3
"""Characters before the point: a category, such as E11."""

# A letter (U too), a digit, a digit or A or B; a rest of four at most, which ends in a letter of an encounter where it
# has four and no digit there. Letters within are placeholders (X) or of subcategories (D47.Z, O30.8).
_SHAPE = re.compile(r"[A-Z][0-9][0-9AB](?:[0-9A-Z]{1,3}|[0-9A-Z]{3}[0-9A-HJKMNP-S])?")
_ORDER_LINE = re.compile(r"(\d{5}) ([0-9A-Z]{3,7}) +([01]) (.{60}) ?(.*)")
_MOST_LINE = 4096


@dataclass(frozen=True, slots=True)
class Code:
    """`text`: with its point (E11.9). `billable`: whether it is a code to be used, not a heading of finer ones."""

    text: str
    billable: bool
    description: str


@dataclass(frozen=True, slots=True)
class CodeTable:
    """The codes of one year, by their bare form (E119). `name`: the file's, which says the year."""

    name: str
    codes: Mapping[str, Code]

    def __contains__(self, code: str) -> bool:
        """Whether a code is there, however it is written."""
        return bare(code) in self.codes

    def parents(self, code: str) -> list[Code]:
        """The headings above a code, nearest first: E11 of E11.9."""
        text = bare(code)
        above = (text[:end] for end in range(len(text) - 1, CATEGORY - 1, -1))
        return [self.codes[part] for part in above if part in self.codes]


def bare(code: str) -> str:
    """
    >>> bare(" e11.9 ")
    'E119'

    A code in capitals, without point and white space: two codes are one where this is the same.
    """
    return code.replace(".", "").strip().upper()


def dotted(code: str) -> str:
    """
    >>> dotted("e119"), dotted("I10")
    ('E11.9', 'I10')

    A code as the tabular list prints it: in capitals, with a point after its category.
    """
    text = bare(code)
    return f"{text[:CATEGORY]}.{text[CATEGORY:]}" if len(text) > CATEGORY else text


def is_wellformed(code: str) -> bool:
    """
    >>> is_wellformed("U07.1"), is_wellformed("250.00"), is_wellformed("E11.9.1")
    (True, False, False)

    Whether a text is written as an ICD-10-CM code, with its point in its place or without: not whether there is such a
    code.
    """
    text = code.strip()
    return (text[CATEGORY : CATEGORY + 1] == "." or "." not in text) and bool(
        _SHAPE.fullmatch(bare(text)) and text.count(".") <= 1 and not text.endswith(".")
    )


def load_table(path: Path) -> CodeTable:
    """
        "I10" in load_table(Path("icd10cm2019.tsv.gz"))

    DataError names file and line of what is no row of a table, or a code that stands twice.
    """
    codes: dict[str, Code] = {}
    for number, code in table_rows(path):
        key = bare(code.text)
        if key in codes:
            raise DataError(f"ICD-10-CM table '{path}', line {number}: the code {code.text} stands there twice")
        codes[key] = code
    if not codes:
        raise DataError(f"ICD-10-CM table '{path}' holds no code")
    return CodeTable(path.name, codes)


def table_rows(path: Path) -> Iterator[tuple[int, Code]]:
    """Line number and code of every row, streamed; DataError as for `load_table`."""
    what = f"ICD-10-CM table '{path}'"
    require_file(path, "ICD-10-CM table")
    tabs = False
    for number, line in _lines(path, what):
        if number == 1 and "\t" in line:
            tabs = True
            if tuple(line.split("\t")) != HEADER:
                raise DataError(f"{what}, line 1: the columns {', '.join(HEADER)}, separated by tabs, were expected")
        elif line.strip():
            yield number, _code(line, tabs, f"{what}, line {number}")


def _code(line: str, tabs: bool, where: str) -> Code:
    if tabs:
        cells = line.split("\t")
    else:
        match = _ORDER_LINE.fullmatch(line.ljust(77))
        cells = [match[2], match[3], match[5] or match[4]] if match else []
    if len(cells) != len(HEADER) or cells[1] not in ("0", "1") or not cells[2].strip():
        raise DataError(f"{where}: a code, 0 or 1 for billable, and a description were expected")
    if not is_wellformed(cells[0]):
        raise DataError(f"{where}: '{cells[0][:20]}' is not written as an ICD-10-CM code")
    return Code(dotted(cells[0]), cells[1] == "1", cells[2].strip())


def _lines(path: Path, what: str) -> Iterator[tuple[int, str]]:
    number = 0
    with open_binary(path) as stream:
        while True:
            number += 1
            try:
                line = stream.readline(_MOST_LINE)
            except (EOFError, OSError, zlib.error) as error:
                raise DataError(f"{what} is cut or damaged at line {number} ({error}); fetch it again") from error
            if not line:
                return
            if reason := not_text(line):
                raise DataError(f"{what}, line {number} {reason}")
            yield number, line.decode("utf-8-sig").rstrip("\r\n")
