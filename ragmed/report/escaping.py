"""Texts that came from a file or a model in, Markdown that shows them as they are out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_ENTITIES = {c: f"&#{ord(c)};" for c in "\\`*_[]{}<>#|~$&"}
_NUMBERS = re.compile(r"[-+<\[\]., 0-9]*")  # a score with its interval is legible as it is, and can be no markup
_LINKS = (("://", ":&#47;&#47;"), ("www.", "www&#46;"), ("WWW.", "WWW&#46;"))


def escape(text: object) -> str:
    """
    >>> escape("a|b <script>")
    'a&#124;b &#60;script&#62;'

    One line of text that Markdown and HTML show as it is. Characters that nobody sees (control, direction, lone
    surrogates) are shown by their number.
    """
    line = " ".join(str(text).split())
    if _NUMBERS.fullmatch(line):
        return line
    shown = "".join(
        _ENTITIES.get(c) or (f"(U+{ord(c):04X})" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co") else c)
        for c in line
    )
    for link, harmless in _LINKS:
        shown = shown.replace(link, harmless)
    return shown


def table(header: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[int] = ()) -> str:
    """A Markdown table of escaped cells; the columns in `numbers` are aligned to the right."""
    rule = ["---:" if place in numbers else "---" for place in range(len(header))]
    lines = [[escape(cell) for cell in header], rule, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
