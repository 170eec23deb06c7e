"""A whole file's bytes and a seeded generator in, the bytes as damage, a bad export or malice leave them out."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

Mutate = Callable[[bytes, random.Random], bytes]

SNIPPETS = (
    b"\x00", b"\x00" * 500, b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xa8", b"\xc2\x85", b"\r",
    b"\n", b"\x1a", b"\x0b\x0c", b'"', b"'", b"\\", b"\\ud800", b"\\u0000", b"%s%n", b"NaN", b"1e999", b"-", b"[", b"]",
    b"{", b"}", b",", b"\t", b"|", b"<", b">", b"</", b"<!--", b"-->", b"<![CDATA[", b"<?xml version='1.0'?>", b"&x;",
    b"&#0;", b"&#xD800;", b"&#1114112;", b"&nbsp;", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"---\n", b"# ", b"*a &b",
    b"\xe2\x80\xae", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"TITLE:", b"BODY.", b"endobj", b"endstream", b"1 0 R",
)  # fmt: skip
OPENERS = (b"[", b'{"a":', b"<a>", b"<div>", b"<table><tr><td>", b"<ul><li>", b"(", b"<<", b"- ", b"> ", b"<section>")
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, 10**400, 1e308, float("nan"), float("inf"), "", " ", "\ud800", "a\x00b", "\ufeff",
    "\u2028", "x" * 100_000, [], [[]], [None], {}, {"a": {}}, ["a", 1], "\U0010ffff",
)  # fmt: skip


def mutated(data: bytes, random_: random.Random, also: tuple[Mutate, ...] = ()) -> bytes:
    """One to three mutations, one behind the other; `also`: those that know the format, as likely as all others."""
    for _ in range(random_.choice((1, 1, 1, 2, 3))):
        data = random_.choice(also if also and random_.random() < 0.5 else BYTES)(data, random_)
    return data


def _slice(data: bytes, random_: random.Random, longest: int = 400) -> tuple[int, int]:
    start = random_.randrange(len(data) + 1)
    return start, min(len(data), start + random_.randint(1, longest))


def cut(data: bytes, random_: random.Random) -> bytes:
    at = random_.randrange(len(data) + 1)
    return data[:at] if random_.random() < 0.7 else data[at:]


def flip(data: bytes, random_: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(random_.randint(1, 8) if made else 0):
        made[random_.randrange(len(made))] ^= 1 << random_.randrange(8)
    return bytes(made)


def insert(data: bytes, random_: random.Random) -> bytes:
    at = random_.randrange(len(data) + 1)
    piece = random_.choice(SNIPPETS) if random_.random() < 0.8 else random_.randbytes(random_.randint(1, 200))
    return data[:at] + piece * random_.choice((1, 1, 1, 40)) + data[at:]


def remove(data: bytes, random_: random.Random) -> bytes:
    start, end = _slice(data, random_)
    return data[:start] + data[end:]


def repeat(data: bytes, random_: random.Random) -> bytes:
    start, end = _slice(data, random_)
    return data[:end] + data[start:end] * random_.choice((1, 2, 10, 300)) + data[end:]


def overwrite(data: bytes, random_: random.Random) -> bytes:
    start, end = _slice(data, random_, 60)
    return data[:start] + random_.choice((b"\x00", b"\xff", b" ")) * (end - start) + data[end:]


def swap_lines(data: bytes, random_: random.Random) -> bytes:
    lines = data.split(b"\n")
    one, two = random_.randrange(len(lines)), random_.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return random_.choice((b"\n", b"\n", b"\r\n", b"\r")).join(lines)


def recode(data: bytes, random_: random.Random) -> bytes:
    text = data.decode("utf-8", "replace")
    name = random_.choice(("latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7"))
    made = text.encode(name, "replace")
    return b"\xef\xbb\xbf" + made if random_.random() < 0.2 else made


def renumber(data: bytes, random_: random.Random) -> bytes:
    found = list(re.finditer(rb"\d+", data))
    if not found:
        return insert(data, random_)
    one = random_.choice(found)
    number = random_.choice(
        (b"0", b"-1", b"3", b"65536", b"2147483648", b"9" * 20, b"9" * 5000, b"1e999", b"0x" + b"F" * 5000, b"1:2:3")
    )
    return data[: one.start()] + number + data[one.end() :]


def nest(data: bytes, random_: random.Random) -> bytes:
    at = random_.randrange(len(data) + 1)
    return data[:at] + random_.choice(OPENERS) * random_.choice((10, 300, 3000, 10_000)) + data[at:]


BYTES: tuple[Mutate, ...] = (
    cut, flip, flip, insert, insert, remove, repeat, overwrite, swap_lines, recode, renumber, nest
)  # fmt: skip


def json_values(data: bytes, random_: random.Random) -> bytes:
    """A value of another type, a key gone or renamed, somewhere in the JSON: all of the file, or one of its lines."""
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        lines = data.split(b"\n")
        at = random_.randrange(len(lines))
        try:
            lines[at] = _with_wrong_value(json.loads(lines[at]), random_)
        except (ValueError, RecursionError):
            return insert(data, random_)
        return b"\n".join(lines)
    return _with_wrong_value(whole, random_)


def _with_wrong_value(whole: Any, random_: random.Random) -> bytes:
    places: list[tuple[Any, Any]] = []
    waiting = [whole]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict | list):
            places += [(here, key) for key in (here if isinstance(here, dict) else range(len(here)))]
            waiting += here.values() if isinstance(here, dict) else here
    if not places:
        return json.dumps(random_.choice(ODD)).encode()
    holder, key = random_.choice(places)
    done = random_.random()
    if done < 0.7:
        holder[key] = random_.choice(ODD)
    elif isinstance(holder, dict) and done < 0.85:
        holder[random_.choice(("a", "_id", "id", "text", ""))] = holder.pop(key)
    else:
        del holder[key]
    return json.dumps(whole).encode()


_TAG = re.compile(rb"<[^<>]{1,200}>")


def xml_tags(data: bytes, random_: random.Random) -> bytes:
    """A tag gone, twice, in another's place, with other attributes, or around everything."""
    tags = list(_TAG.finditer(data))
    if not tags:
        return insert(data, random_)
    one, other = random_.choice(tags), random_.choice(tags)
    made = random_.choice((
        b"", one[0] * 2, one[0] * 500, other[0], one[0].replace(b">", b' a="1" a="2">'), b"<x:y>" + one[0],
        one[0].replace(b">", b' morerows="999" colspan="999999" rowspan="999999" namest="a" nameend="z" start="9">'),
        one[0].replace(b"<", b"<b>" * 250 + b"<"), one[0].lower(), one[0].replace(b"<", b"<x"),
    ))  # fmt: skip
    return data[: one.start()] + made + data[one.end() :]


def table_cells(data: bytes, random_: random.Random) -> bytes:
    """CSV: a cell with quotes, line ends or separators where none belong."""
    lines = data.split(b"\n")
    at = random_.randrange(len(lines))
    cells = lines[at].split(b",")
    cells[random_.randrange(len(cells))] = random_.choice(
        (b'"', b'""', b'"a', b'a"b"', b'"a\nb"', b"", b" ", b",", b"x" * 100_000, b"," * 3000, b'"' * 999, b"id", b"\r")
    )
    lines[at] = b",".join(cells)
    return b"\n".join(lines)


def pdf_objects(data: bytes, random_: random.Random) -> bytes:
    """A reference to another object, its own or none; a key under another's name; another length."""
    found = list(re.finditer(rb"\d+ 0 R|/[A-Z][A-Za-z]+", data))
    if not found:
        return insert(data, random_)
    one, other = random_.choice(found), random_.choice(found)
    loop = b"%d 0 R" % random_.randint(0, 9)
    made = random_.choice((other[0], loop, loop, b"[" + loop + b" " + other[0] + b"]", b"null", b"(a)", b"<</A 1>>"))
    return data[: one.start()] + made + data[one.end() :]
