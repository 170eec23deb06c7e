"""A stream of XML that is one long list of records -> the bytes of each record, cut out between its tags.

Files of a gigabyte are read so in the memory of one record, and a damaged record costs itself alone. What stands
between records and is none (such as a damaged tag with all that follows it) is handed over as wrong, never skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

MAX_RECORD = 16 * 1024 * 1024
"""Bytes; citations with thousands of authors and their addresses take two or three million."""

_PIECE = 1024 * 1024
_ENCODING = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([\w.-]+)""")
_READ = (b"utf-8", b"utf8", b"us-ascii", b"ascii")


@dataclass(frozen=True, slots=True)
class Cut:
    """A record's element, whole: `data`, which starts on `line`. `wrong`: why there is none."""

    line: int
    name: str
    data: bytes
    wrong: str = ""


def cut_records(stream: IO[bytes], names: Sequence[str], roots: Sequence[str]) -> Iterator[Cut]:
    """
    >>> import io
    >>> [cut.data for cut in cut_records(io.BytesIO(b"<all><one>1</one><one>2</one></all>"), ["one"], ["all"])]
    [b'<one>1</one>', b'<one>2</one>']

    `names`: the elements that are records; `roots`: those that may stand around them. ValueError: the file ends before
    its root does, or is in another encoding than UTF-8.
    """
    start = re.compile(rb"<(" + b"|".join(name.encode() for name in names) + rb")(?=[\s>/])")
    around = re.compile(
        rb"(?>\s|<\?[^>]*>|<!DOCTYPE[^>\[]*>|<!--.*?-->|</?(?:"
        + b"|".join(root.encode() for root in roots)
        + rb")(?:\s[^<>]*)?/?>)*+",  # possessive: comments could be parted in 2^n ways
        re.DOTALL,
    )
    ends = [f"</{root}>".encode() for root in roots] + [f"<{root}/>".encode() for root in roots]
    buffer, line, whole, first = b"", 1, False, True

    def between(gap: bytes) -> Iterator[Cut]:
        nonlocal whole
        if gap and not gap.isspace():
            whole = whole or any(end in gap for end in ends)
            if not around.fullmatch(gap):
                blank = gap[: len(gap) - len(gap.lstrip())].count(b"\n")
                yield Cut(line + blank, "", b"", "it belongs to no record: a damaged tag, or a file of another kind")

    while True:
        piece = stream.read(_PIECE)
        buffer += piece
        if first and (declared := _ENCODING.search(buffer[:200])) and declared[1].lower() not in _READ:
            raise ValueError(f"its encoding is {declared[1].decode()}; convert it to UTF-8")
        first = False
        at = 0
        while match := start.search(buffer, at):
            end_tag = b"</" + match[1] + b">"
            end = buffer.find(end_tag, match.end())
            if end < 0 and piece and len(buffer) - match.start() <= MAX_RECORD:
                break
            yield from between(buffer[at : match.start()])
            line += buffer.count(b"\n", at, match.start())
            name, begun = match[1].decode(), match.start()
            stop = end + len(end_tag) if end >= 0 else len(buffer)
            inner = buffer.rfind(b"<" + match[1] + b">", match.end(), stop)
            if inner >= 0 or end < 0 or stop - begun > MAX_RECORD:
                # One that never ends would take those after it along.
                after = start.search(buffer, match.end(), stop)
                at = after.start() if after else stop
                size = stop - begun > MAX_RECORD and not after
                yield Cut(line, name, b"", f"it is longer than {MAX_RECORD} bytes" if size else "its end is missing")
            else:
                yield Cut(line, name, buffer[begun:stop])
                at = stop
            line += buffer.count(b"\n", begun, at)
        if not piece:
            yield from between(buffer[at:])
            break
        if not match and len(buffer) - at > MAX_RECORD:
            yield from between(buffer[at:])
            line += buffer.count(b"\n", at)
            at = len(buffer)
        buffer = buffer[at:]
    if not whole:
        raise ValueError(f"the file ends before </{roots[0]}>: it is cut; fetch it again")
