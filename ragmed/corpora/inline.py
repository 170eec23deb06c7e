"""An element of running text -> one line: markup taken off, superscripts kept apart, formulae as text."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ragmed.corpora.mathml import math_text, raised
from ragmed.corpora.safe_xml import local

MAX_TEXT = 256 * 1024
"""Characters of one text with markup in it: it is put together piece by piece, so that without a bound a small file
could take hours."""

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
    return " ".join((_written(element, "", 0) if len(element) else element.text or "").split())


def _written(element: Element, before: str, depth: int) -> str:
    """The text so far with the element after it."""
    check_depth(element, depth)
    if local(element) == "math":
        return before + math_text(element)
    is_sup = local(element) == "sup"
    # what stands before goes into the element: a superscript in italics, too, is of that
    text = ("" if is_sup else before) + (element.text or "")
    for child in element:
        text = opened(bounded(_written(child, text, depth + 1)), child) + (child.tail or "")
    return raised(before, text) if is_sup else text


def opened(text: str, element: Element) -> str:
    """
    >>> from ragmed.corpora.safe_xml import parse_xml
    >>> running_text(parse_xml(b"<p><sup>1</sup>50 men, <sup>14</sup>C</p>"))
    '1 50 men, 14C'

    The text so far, apart from the number after the superscript that it consists of.
    """
    alone = local(element) == "sup" and text.strip().isdigit()
    return text + " " if alone and (element.tail or "")[:1].isdigit() else text


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
