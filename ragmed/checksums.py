"""Records of a run that know whether they are whole: a checksum in each line of JSON Lines, and in each JSON object.

    line = sealed_line({"arm": "general"})    # '{"arm": "general", "sha256": "9b2d…"}\\n'
    broken_seal(line.encode())                # ''

It finds what a disk, a copy or an editor changed; it is no signature. A line's is over the bytes before it, so that
reading costs one hash a line and nothing is written out again; an object's is over its canonical JSON.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ragmed.files import sha256_json, whole_text

KEY = "sha256"
CHANGED = "it was changed after it was written: its checksum is another"
UNSEALED = "it has no checksum, which every record of a run ends with"
_DIGITS = 16  # 64 bits: enough against chance, and short beside a sample
_MARK = f', "{KEY}": "'.encode()
_TAIL = len(_MARK) + _DIGITS + len(b'"}')


def sealed_line(record: Mapping[str, Any]) -> str:
    """A record, which has a key at least, as a line of JSON that ends with its checksum; a dataclass in it is an object
    of its fields. ValueError for NaN.
    """
    text = whole_text(json.dumps(record, ensure_ascii=False, allow_nan=False, default=fields_of))[:-1]
    return f'{text}{_MARK.decode()}{_digest(text.encode("utf-8"))}"}}\n'


def fields_of(record: Any) -> dict[str, Any]:
    """A dataclass as a mapping of its fields, whose values stay as they are: a third of `asdict`'s time, of a run's
    samples. TypeError for anything else.
    """
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def broken_seal(line: bytes) -> str:
    """What is wrong with a line's checksum, '' where nothing is."""
    line = line.rstrip(b"\n")
    body, tail = line[:-_TAIL], line[-_TAIL:]
    if not (tail.startswith(_MARK) and tail.endswith(b'"}')):
        return UNSEALED if f'"{KEY}"'.encode() not in tail else CHANGED
    return "" if tail[len(_MARK) : -2] == _digest(body).encode() else CHANGED


def sealed_object(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same with its checksum, as its last key."""
    bare = {key: inner for key, inner in value.items() if key != KEY}
    return {**bare, KEY: _object_digest(bare)}


def broken_object(value: Mapping[str, Any]) -> str:
    """What is wrong with an object's checksum, '' where nothing is."""
    if KEY not in value:
        return UNSEALED
    return "" if value[KEY] == _object_digest({k: inner for k, inner in value.items() if k != KEY}) else CHANGED


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def _object_digest(value: Mapping[str, Any]) -> str:
    return sha256_json(json.loads(json.dumps(value)))  # as it comes back from the file
