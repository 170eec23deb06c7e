"""Text -> the offsets of its sentences. Made for clinical English: doses, references and initials end no sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Abbreviations that are followed by what they belong to. Units (mg, ml, h, ms) are not among them: "20 mg. The dose"
# ends a sentence, and "20 mg. daily" is recognised by its small letter.
_ABBREVIATIONS = (
    "Dr Drs Prof Mr Mrs Ms St vs cf ca approx Approx fig figs Fig Figs eq eqs Eq Eqs ref refs Ref Refs ed eds viz al"
    " resp var sp spp subsp ssp dept Dept univ Univ incl excl i.e e.g I.e E.g vol vols Vol Vols ch Ch"
)
_BEFORE_NUMBERS = "no nos No Nos p pp max min Max Min wt tab Tab Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec"
_NEVER_LAST, _NUMBER_FOLLOWS = frozenset(_ABBREVIATIONS.split()), frozenset(_BEFORE_NUMBERS.split())
_LETTERED = frozenset(("vitamin", "hepatitis", "factor", "type", "group", "grade", "class", "figure", "table", "panel"))
# Each run of marks is tried once, at its head: a file of ten million full stops must not take hours.
_BOUNDARY = re.compile(r"(?<![.!?])[.!?]++[\"'”’)\]]*+(?=\s)|(?<![。！？])[。！？]++[」』”’）]*+")
_WORD_BEFORE = re.compile(r"[^\s(\[\"'“]*\Z")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_NEXT = re.compile(r"\s*([\"'“‘(\[]*)(\S?)")
_SPAN = re.compile(r"\S(?:.*\S)?", re.DOTALL)


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """
    >>> list(sentences("Give 5 mg i.v. daily. Stop at 3.5 mmol/L.", 0, 41))
    [(0, 21), (22, 41)]

    Offsets of the sentences of `text[start:end]`, without the white space around them; together they hold all the rest.
    """
    begin = start
    for match in _BOUNDARY.finditer(text, start, end):
        if text[match.start()] in "。！？" or _ends(text, match, begin, end):
            yield from stripped(text, begin, match.end())
            begin = match.end()
    yield from stripped(text, begin, end)


def _ends(text: str, match: re.Match[str], begin: int, end: int) -> bool:
    following = _NEXT.match(text, match.end(), end)
    opener, first = (following[1], following[2]) if following else ("", "")
    if first.islower():
        return False
    if match[0] != ".":
        return True
    # The longest abbreviation has a dozen characters: looking further back would only cost.
    before = _WORD_BEFORE.search(text[max(begin, match.start() - 16) : match.start()])
    word = before[0] if before else ""
    if word in _NEVER_LAST:
        return False
    if word in _NUMBER_FOLLOWS:
        return not first.isdigit()
    if len(word) == 1 and word.isalpha():  # an initial, unless it is the end: "hepatitis B. The", "vitamin C. It"
        return not opener and not _is_initial(text, match.start(), begin)
    if _DOTTED.fullmatch(word):  # "i.v.", "U.S.", "b.i.d.": ends only where a plain capitalised word follows
        return first.isupper() and not opener
    return True


def _is_initial(text: str, dot: int, begin: int) -> bool:
    """Whether the letter before `dot` stands for a name ("J. Smith"): a capital, and no longer small word before it."""
    if not text[dot - 1].isupper():
        return False
    before = text[max(begin, dot - 24) : dot - 1].rstrip()
    word = before.rsplit(None, 1)[-1] if before else ""
    return not ((word.isalpha() and word.islower() and len(word) > 3) or word.casefold() in _LETTERED)


def stripped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The span without white space at its ends; nothing where it is all white space."""
    match = _SPAN.search(text, start, end)
    if match:
        yield match.span()
