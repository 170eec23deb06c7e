"""LangChain's recursive splitter behind our seam: a document -> stretches with exact offsets."""

from __future__ import annotations

from functools import lru_cache

from ragmed.chunking.packing import CountTokens
from ragmed.chunking.sentences import sentences, stripped
from ragmed.chunking.structure import Section, sections
from ragmed.errors import DataError, MissingDependencyError
from ragmed.records import Document

_SENTENCE_TOKENS = 32
"""Room left for each sentence of overlap: clinical sentences have about 25 words."""


def recursive_sections(
    document: Document, overlap: int, budget: int, count: CountTokens, specials: int
) -> list[Section]:
    """Stretches of at most `budget` tokens with title and heading, by RecursiveCharacterTextSplitter's own rules.

    LangChain's overlap is left off, and white space and separators are kept, so that its pieces laid end to end are
    the text: offsets are sums of lengths, not guesses by search. Overlap is whole sentences, as in `structure`.
    """
    try:
        from langchain_text_splitters import RecursiveCharacterTextSplitter
    except ImportError as error:
        raise MissingDependencyError(
            "the splitter 'langchain:recursive' needs langchain-text-splitters: pip install langchain-text-splitters"
        ) from error

    @lru_cache(maxsize=4096)
    def length(text: str) -> int:
        # One at least: LangChain repeats pieces of length 0 (a lone "\r") in the next chunk, overlap or not.
        return max(1, count([text])[0] - specials)

    text = document.text
    outline = sections(text, document.title)
    longest = max((length(f"{document.title}\n{section.heading}") for section in outline), default=0)
    prefix = min(budget // 3, longest)
    room = budget - specials - prefix - 1
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=max(1, room - min(room // 3, overlap * _SENTENCE_TOKENS)),
        chunk_overlap=0,
        length_function=length,
        keep_separator=True,
        strip_whitespace=False,
    )
    pieces = splitter.split_text(text)
    if "".join(pieces) != text:
        raise DataError(
            f"document '{document.id}': this version of langchain-text-splitters gives back other text than it was"
            " given; use the splitter 'structure', or langchain-text-splitters 1.1"
        )
    cut: list[Section] = []
    start = 0
    for piece in pieces:
        for begin, end in stripped(text, start, start + len(piece)):
            lead = _lead(text, cut[-1], overlap, begin) if cut and overlap else begin
            cut.append(Section(begin, end, _heading_at(outline, begin), lead))
        start += len(piece)
    return cut


def _lead(text: str, before: Section, overlap: int, begin: int) -> int:
    """Where the last sentences of the stretch before begin; `begin` where they would be the whole of it."""
    starts = [start for start, _ in sentences(text, before.start, before.end)]
    return starts[-overlap] if len(starts) > overlap else begin


def _heading_at(outline: list[Section], offset: int) -> str:
    return next((section.heading for section in reversed(outline) if section.start <= offset), "")
