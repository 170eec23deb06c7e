"""An element of running text -> one line: markup taken off, superscripts kept apart, formulae as text."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from ragmed.corpora.mathml import math_text, raised
from ragmed.corpora.safe_xml import local

MAX_TEXT = 256 * 1024
"""Characters of one text with markup in it: it is put together piece by piece, so that without a bound a small file
could take hours."""

_END = "\x01"  # which no XML may hold, and no blank
_ENDED = re.compile(r"\x01(?=\d)")
MAX_NESTED = 50
"""Elements in one another, of markup or formula."""


def running_text(element: Element | None) -> str:
    """
    >>> from ragmed.corpora.safe_xml import parse_xml
    >>> running_text(parse_xml(b"<p>Some <i>10<sup>6</sup></i> cells, Ca<sup>2+</sup> in H<sub>2</sub>O</p>"))
    'Some 10^6 cells, Ca2+ in H2O'

    Empty for None. ValueError: a text with markup that is longer than MAX_TEXT, or nested deeper than MAX_NESTED.
    """
    if element is None:
        return ""
    return apart(" ".join((_written(element, "", 0) if len(element) else element.text or "").split()))


def _written(element: Element, before: str, depth: int) -> str:
    """The text so far with the element after it."""
    check_depth(element, depth)
    if local(element) == "math":
        return before + math_text(element)
    is_sup = local(element) == "sup"
    # what stands before goes into the element: a superscript in italics, too, is of that
    text = ("" if is_sup else before) + (element.text or "")
    for child in element:
        text = bounded(_written(child, text, depth + 1)) + (child.tail or "")
    return superscript(before, text) if is_sup else text


def superscript(before: str, above: str) -> str:
    """The text so far with a superscript after it; at one that begins a word its end is marked, for `apart`."""
    alone = (not before or before[-1:].isspace()) and above.strip()[-1:].isdigit()
    return raised(before, above) + (_END if alone else "")


def apart(text: str) -> str:
    """
    >>> apart(superscript("", "1") + "50 men, " + superscript("of ", "14") + "C")
    '1 50 men, of 14C'

    A finished text: a superscript that begins a word stands apart from a number behind it.
    """
    return _ENDED.sub(" ", text).replace(_END, "") if _END in text else text


def check_depth(element: Element, depth: int) -> None:
    """ValueError for markup nested too deeply; a formula's own elements are counted with it."""
    if depth > MAX_NESTED or (local(element) == "math" and _deeper(element, MAX_NESTED)):
        raise ValueError(f"markup nested deeper than {MAX_NESTED} elements")


def bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise ValueError(f"a text with links or formats in it is longer than {MAX_TEXT} characters")
    return text


def _deeper(element: Element, limit: int) -> bool:
    return limit < 0 or any(_deeper(child, limit - 1) for child in element)
