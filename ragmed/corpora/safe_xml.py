"""Bytes of an XML file -> its element tree, with nothing expanded, declared or fetched on the way.

Expat is set to refuse what makes XML dangerous: entity declarations, an internal DTD, depth and numbers without end.
"""

from __future__ import annotations

import html.entities
import re
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, fromstring
from xml.parsers import expat

MAX_XML_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 200
PIECE = 256 * 1024
MAX_TAG = 1024 * 1024
"""Bytes of one tag or comment: a tag's attributes, millions of them, would be in memory before they can be counted."""

MAX_ATTRIBUTES = 1000
"""Of one element: no format that is read has a dozen."""

MAX_ELEMENTS = 2_000_000
"""An element takes about 100 times the bytes it is written in (`<a/>`), so that bytes alone are no limit."""

MAX_CUT_TAGS = 1_000_000
MAX_CUT_TAG = 64 * 1024
_ELEMENT = re.compile(rb"<[A-Za-z]")
_LONG_TAG = re.compile(rb"<[^<>]{%d}" % MAX_CUT_TAG)
"""A record has hundreds of tags, of thousands of authors a hundred thousand; of attributes, two."""


def parse_xml(data: bytes) -> Element:
    """
    >>> parse_xml(b"<a><b>text</b></a>").findtext("b")
    'text'

    The root; names with a namespace as `{uri}name`, as in xml.etree. A DOCTYPE that only names its DTD is passed over
    and the DTD never loaded; the character names of HTML (`&nbsp;`) are then read as the characters they stand for.
    ValueError, with the reason: not well-formed, too large, too deep, an element of too many attributes, an entity or a
    DTD of its own.
    """
    if len(data) > MAX_XML_BYTES:
        raise ValueError(f"the XML is larger than {MAX_XML_BYTES} bytes")
    parser = expat.ParserCreate(None, "}")
    _Builder(parser)
    try:
        _feed(parser, data)
    except expat.ExpatError as error:
        raise ValueError(f"not well-formed XML: {error}") from error
    except LookupError as error:
        raise ValueError(f"XML in an encoding that is not known here: {error}") from error
    builder: _Builder = parser.EndElementHandler.__self__  # type: ignore[union-attr]
    return builder.close()


def parse_cut(data: bytes) -> Element:
    """
    >>> parse_cut(b"<a>1<b/></a>").text
    '1'

    The element that these bytes are, and nothing before it: where no prolog can stand there can be no DTD and no
    entity, so that the standard library's parser may read it, nearly twice as fast as `parse_xml`. Depth is for the
    caller to bound. ValueError as for `parse_xml`.
    """
    if not _ELEMENT.match(data):
        raise ValueError("not well-formed XML: no element at its start")
    if data.count(b"<") > MAX_CUT_TAGS:
        raise ValueError(f"the XML has more than {MAX_CUT_TAGS} tags")
    if len(data) > MAX_CUT_TAG and _LONG_TAG.search(data):
        raise ValueError(f"the XML has a tag or comment longer than {MAX_CUT_TAG} bytes")
    try:
        return fromstring(data)
    except ParseError as error:  # its line and column are those of the cut, not of the file
        raise ValueError(f"not well-formed XML: {str(error).partition(':')[0]}") from error


def _feed(parser: expat.XMLParserType, data: bytes) -> None:
    for start in range(0, len(data), PIECE):
        parser.Parse(data[start : start + PIECE], False)
        begun = parser.CurrentByteIndex  # where the markup starts that is not yet whole; -1 where there is none
        if 0 <= begun < start + PIECE - MAX_TAG:
            raise ValueError(f"the XML has a tag or comment longer than {MAX_TAG} bytes")
    parser.Parse(b"", True)


def local(element: Element) -> str:
    """
    >>> local(parse_xml(b'<p xmlns="urn:x"/>'))
    'p'
    """
    return element.tag.rpartition("}")[2]


class _Builder:
    """Feeds a tree from expat's events, and refuses."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        self._tree = TreeBuilder()
        self._depth = self._count = 0
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._tree.data
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.UnparsedEntityDeclHandler = self._entity
        parser.ExternalEntityRefHandler = self._external
        parser.SkippedEntityHandler = self._skipped

    def close(self) -> Element:
        return self._tree.close()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"the XML is nested deeper than {MAX_DEPTH} elements")
        if self._count > MAX_ELEMENTS:
            raise ValueError(f"the XML has more than {MAX_ELEMENTS} elements")
        if len(attributes) > MAX_ATTRIBUTES:
            raise ValueError(f"the XML has an element with more than {MAX_ATTRIBUTES} attributes")
        self._tree.start(_braced(name), {_braced(key): value for key, value in attributes.items()})

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._tree.end(_braced(name))

    def _doctype(self, name: str, system: str | None, public: str | None, internal: int) -> None:
        if internal:
            raise ValueError("the XML brings a DTD of its own, which is not read")

    def _entity(self, *_: Any) -> None:
        raise ValueError("the XML declares entities, which are not expanded")

    def _external(self, *_: Any) -> int:
        raise ValueError("the XML refers to an external entity, which is not fetched")

    def _skipped(self, name: str, is_parameter: bool) -> None:
        text = "" if is_parameter else html.entities.html5.get(name + ";", "")
        if not text:
            raise ValueError(f"the XML refers to the entity '{name}', which only its DTD explains")
        self._tree.data(text)


def _braced(name: str) -> str:
    return "{" + name if "}" in name else name
