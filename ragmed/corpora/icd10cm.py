"""Reads an ICD-10-CM table: a code -> one document, named by its code, with what stands above it in the tabular list.

Tables are those of `ragmed.metrics.icd10`: tab-separated with a header, or CMS' order file, plain or gzip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected, one_of
from ragmed.metrics.icd10 import CodeTable, load_table, table_rows

OPTIONS: Mapping[str, OptionCheck] = {"codes": one_of("billable", "all")}
"""`codes`: `billable` (unless set otherwise), those that may be used; or `all`, with the headings above them."""


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.title  # 'A00.0 Cholera due to Vibrio cholerae 01, biovar cholerae'

    The id is the code with its point; the text its description, then a line for each heading above it, nearest first,
    since the description of a code often says less than its headings ("Unspecified"). DataError: no such table.
    """
    for path in recipe.paths:
        table = load_table(path)
        for line, code in table_rows(path):
            if code.billable or recipe.options.get("codes") == "all":
                title = f"{code.text} {code.description}"
                yield Found(recipe.document(code.text, title, _text(title, code.text, table)), str(path), line)


def _text(title: str, code: str, table: CodeTable) -> str:
    return "\n".join([title, *(f"{above.text} {above.description}" for above in table.parents(code))])
