"""Documents in, passages out: pieces with exact offsets that an embedder takes whole."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import metadata

from ragmed.chunking.packing import CountTokens, SectionToPack, pack
from ragmed.chunking.structure import Section, Table, heading_of, sections, tables
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.records import Document, Passage

__all__ = ["INPUT_VERSION", "Chunking", "chunk", "embedded_text", "require_read_whole", "splitter_version"]

MIN_TOKENS = 16
"""Fewer tokens leave no room for a title and a word beside it."""

WINDOW_DOCUMENTS = 256
WINDOW_CHARACTERS = 1_000_000
"""Tokens are counted for a window of documents at a time; passages do not depend on where windows end."""

_LIKELY_CHARACTERS = 5
"""A section of more characters a token than this is not tried whole: it would be counted in vain."""

INPUT_VERSION = 1
"""Of `embedded_text`: raised whenever it makes another text of the same passage."""

_OPENING_LINES = 12
_SHRINK = 0.8


@dataclass(frozen=True, slots=True)
class Chunking:
    """How documents are cut. `splitter`: `structure`, or `langchain:recursive` (needs langchain-text-splitters).

    `max_tokens`: 0 for the embedder's limit. `overlap_sentences`: whole sentences that a passage repeats of the one
    before it, where they take no more than a third of it.
    """

    splitter: str = "structure"
    max_tokens: int = 0
    overlap_sentences: int = 1


@dataclass(slots=True)
class _Part:
    """A section on its way; `done`: its passages without their final ids."""

    document: Document
    section: Section
    title: str
    heading: str
    tables: Sequence[Table] = ()
    room: int = 0
    done: list[Passage] | None = None

    def heading_at(self, start: int) -> str:
        """The heading of a passage that begins there, with the header of the table within which that is."""
        nth = bisect_right(self.tables, start, key=lambda table: table.body) - 1
        header = self.tables[nth].header if nth >= 0 and start < self.tables[nth].end else ""
        return " > ".join(part for part in (self.heading, header) if part)

    def longest_heading(self) -> str:
        """The longest one that a passage of the section can have."""
        first = bisect_left(self.tables, self.section.start, key=lambda table: table.end)
        last = bisect_left(self.tables, self.section.end, key=lambda table: table.body)
        header = max((table.header for table in self.tables[first:last]), key=len, default="")
        return " > ".join(part for part in (self.heading, header) if part)


def embedded_text(passage: Passage) -> str:
    r"""
    >>> embedded_text(Passage("a#0", "a", "Asthma", "Treatment", "## Treatment\n\nSalbutamol.", 9, 34))
    'Asthma\n## Treatment\n\nSalbutamol.'

    What is embedded of a passage: title, heading and text, a line each. What the text itself opens with (its title,
    or the heading lines of its section) is not repeated.
    """
    title, heading, text = passage.title, passage.heading, passage.text
    if text.startswith("#"):
        headings = _opening_headings(text)
        heading = " > ".join(name for name in heading.split(" > ") if name.casefold() not in headings)
        title = "" if title.casefold() in headings else title
    elif title and text[: len(title)].casefold() == title.casefold():
        title = ""
    return "\n".join(part for part in (title, heading, text) if part)


def require_read_whole(passages: Sequence[Passage], counts: Sequence[int], *, most: int, by: str) -> None:
    """DataError for the first passage of which a model, `by` name, reads no more than a part: it is never cut.

    `counts`: tokens of each, as the model is given it; `most`: how many it reads.
    """
    for passage, count in zip(passages, counts, strict=True):
        if count > most:
            raise DataError(
                f"passage '{passage.id}' is longer than the {most} tokens that '{by}' reads; build the index with "
                f"chunking: {{max_tokens: {most}}} or less"
            )


def _opening_headings(text: str) -> set[str]:
    headings: set[str] = set()
    for line in text.split("\n", _OPENING_LINES)[:_OPENING_LINES]:
        level, name = heading_of(line)
        if not level and line.strip():
            break
        headings.add(name.casefold())
    return headings


def chunk(
    documents: Iterable[Document], *, chunking: Chunking, count_tokens: CountTokens, limit: int
) -> Iterator[Passage]:
    """Streamed:

        for passage in chunk(documents, chunking=Chunking(), count_tokens=embedder.count_tokens, limit=256):
            ...

    Passages in the documents' order, ids `CORPUS:DOCUMENT#0`, `CORPUS:DOCUMENT#1`, ... For every passage
    `document.text[start:end] == text`, without white space at its ends; every other character of a document is in at
    least one passage (a document of white space has none); and `count_tokens([embedded_text(passage)])[0] <= limit`,
    counted before it is yielded. `count_tokens` counts the embedder's own marks, too ([CLS] and [SEP]).

    A passage that begins below the header of a table has that header at the end of its heading ("Doses > Drug | mg").

    Where title and heading would take more than a third of the limit, or a table's header would, the passage carries
    them shortened, with "…" at the end; its text is never shortened. Raises UnknownNameError for a splitter nobody
    knows, UsageError for a limit that leaves no room, DataError for a character that alone takes more tokens than the
    limit.
    """
    if chunking.splitter not in SPLITTERS:
        raise UnknownNameError("splitter", chunking.splitter, SPLITTERS)
    if chunking.overlap_sentences < 0:
        raise UsageError(f"overlap_sentences is {chunking.overlap_sentences}; it is 0 or more")
    budget = chunking.max_tokens or limit
    if not MIN_TOKENS <= budget <= limit:
        raise UsageError(
            f"a passage of {budget} tokens: between {MIN_TOKENS} and the embedder's limit of {limit} are possible"
        )
    cutter = _Cutter(chunking, count_tokens, budget)
    for window in _windows(documents):
        yield from cutter.passages(window)


class _Cutter:
    def __init__(self, chunking: Chunking, count: CountTokens, budget: int) -> None:
        self.chunking = chunking
        self.count = count
        self.budget = budget
        self.specials = count([""])[0]

    def passages(self, documents: Sequence[Document]) -> Iterator[Passage]:
        parts = [part for document in documents for part in self._parts(document)]
        self._shorten(parts)
        self._try_whole(parts)
        open_parts = [part for part in parts if part.done is None]
        self._measure(open_parts)
        while open_parts:
            self._pack(open_parts)
            open_parts = [part for part in open_parts if part.done is None]
        for _, group in itertools.groupby(parts, key=lambda part: id(part.document)):
            done = itertools.chain.from_iterable(part.done or [] for part in group)
            for number, passage in enumerate(done):
                yield replace(passage, id=f"{passage.document_key}#{number}")

    def _parts(self, document: Document) -> Iterator[_Part]:
        title = " ".join(document.title.split())
        third = self.budget // 3
        headed = [
            replace(table, header=self._shortened(table.header, third)) if len(table.header) > third else table
            for table in tables(document.text)
        ]
        for section in SPLITTERS[self.chunking.splitter](document, self):
            yield _Part(document, section, title, section.heading, headed)

    def _shorten(self, parts: list[_Part]) -> None:
        """Title and heading down to a third of the budget, the heading first."""
        third = self.budget // 3
        # A token is a character at least, but for rare ones; the count before yielding catches those.
        long = [part for part in parts if len(part.title) + len(part.heading) + 1 > third]
        for part, tokens in zip(long, self._prefix_tokens(long), strict=True):
            if tokens > third:
                share = third // 2 if part.title else third
                part.heading = self._shortened(part.heading, share)
                left = third - self._text_tokens(part.heading) if part.heading else third
                part.title = self._shortened(part.title, left)

    def _shortened(self, text: str, tokens: int) -> str:
        """The most words from the front that take no more than `tokens`, with "…" after them."""
        if self._text_tokens(text) <= tokens:
            return text
        words = text.split()
        low, high = 0, len(words) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._text_tokens(" ".join(words[:middle]) + " …") <= tokens:
                low = middle
            else:
                high = middle - 1
        return " ".join(words[:low]) + " …" if low else ""

    def _text_tokens(self, text: str) -> int:
        return self.count([text])[0] - self.specials

    def _prefix_tokens(self, parts: list[_Part]) -> list[int]:
        if not parts:
            return []
        prefixes = [f"{part.title}\n{part.heading}".strip() for part in parts]
        return [tokens - self.specials for tokens in self.count(prefixes)]

    def _try_whole(self, parts: list[_Part]) -> None:
        """Most sections fit whole: those are counted once, as they will be embedded."""
        short = [p for p in parts if p.section.end - p.section.start <= self.budget * _LIKELY_CHARACTERS]
        self._try(short, [part.section.start for part in short])
        # With the overlap before it, where the section before it is one passage, too: only then is its start known.
        leading = [b for a, b in itertools.pairwise(parts) if b.section.lead < b.section.start and a.done and b.done]
        self._try(leading, [part.section.lead for part in leading])

    def _try(self, parts: list[_Part], starts: list[int]) -> None:
        passages = [self._passage(part, start, part.section.end) for part, start in zip(parts, starts, strict=True)]
        counts = self.count([embedded_text(passage) for passage in passages]) if passages else []
        for part, passage, tokens in zip(parts, passages, counts, strict=True):
            if tokens <= self.budget:
                part.done = [passage]

    def _measure(self, parts: list[_Part]) -> None:
        prefixes = [f"{part.title}\n{part.longest_heading()}".strip() for part in parts]
        for part, tokens in zip(parts, self.count(prefixes) if prefixes else [], strict=True):
            part.room = max(1, self.budget - tokens - 1)

    def _pack(self, parts: list[_Part]) -> None:
        """Packs and counts the parts; one that came out too long stays open, with less room for another round."""
        to_pack = [SectionToPack(part.document.text, part.section, part.room) for part in parts]
        spans = pack(to_pack, self.chunking.overlap_sentences, self.count, self.specials)
        packed = [[self._passage(part, *span) for span in many] for part, many in zip(parts, spans, strict=True)]
        counts = iter(self.count([embedded_text(passage) for many in packed for passage in many]))
        for part, many in zip(parts, packed, strict=True):
            if max(itertools.islice(counts, len(many))) <= self.budget:
                part.done = many
            elif part.room > 1:
                part.room = int(part.room * _SHRINK)
            elif part.tables:
                part.tables = ()
            elif part.title or part.heading:
                part.title = part.heading = ""
            else:
                raise DataError(
                    f"document '{part.document.id}' holds a character that takes more than {self.budget} tokens;"
                    " use an embedder with a larger limit"
                )

    def _passage(self, part: _Part, start: int, end: int) -> Passage:
        document = part.document
        return Passage(
            id="",
            document=document.id,
            title=part.title,
            heading=part.heading_at(start),
            text=document.text[start:end],
            start=start,
            end=end,
            source=document.source,
            corpus=document.corpus,
            citation=document.citation,
            date=document.date,
            access=document.access,
        )


def _structure(document: Document, cutter: _Cutter) -> Iterable[Section]:
    return sections(document.text, document.title)


def _recursive(document: Document, cutter: _Cutter) -> Iterable[Section]:
    from ragmed.chunking.recursive import recursive_sections  # langchain-text-splitters takes half a second to import

    overlap = cutter.chunking.overlap_sentences
    return recursive_sections(document, overlap, cutter.budget, cutter.count, cutter.specials)


SPLITTERS: dict[str, Callable[[Document, _Cutter], Iterable[Section]]] = {
    "structure": _structure,
    "langchain:recursive": _recursive,
}
VERSIONS = {"structure": 2, "langchain:recursive": 2}
"""Of a splitter, with the packing of its sections: raised whenever it cuts the same document elsewhere."""


def splitter_version(splitter: str) -> str:
    """
    >>> splitter_version("structure")
    '2'

    With the version of the package that does the cutting, where another one does it. UnknownNameError.
    """
    if splitter not in SPLITTERS:
        raise UnknownNameError("splitter", splitter, SPLITTERS)
    package = {"langchain:recursive": "langchain-text-splitters"}.get(splitter)
    return f"{VERSIONS[splitter]}" + (f" ({package} {metadata.version(package)})" if package else "")


def _windows(documents: Iterable[Document]) -> Iterator[list[Document]]:
    window: list[Document] = []
    characters = 0
    for document in documents:
        window.append(document)
        characters += len(document.text)
        if len(window) >= WINDOW_DOCUMENTS or characters >= WINDOW_CHARACTERS:
            yield window
            window, characters = [], 0
    if window:
        yield window
