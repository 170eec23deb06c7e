"""files.py: what is not JSON Lines is reported in its place; files appear whole or not at all."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import random
from pathlib import Path

import pytest

from ragmed import files
from ragmed.errors import BusyError, DataError, UnwritableError
from ragmed.files import BadLine, read_json, read_jsonl, read_text, sha256_file, sha256_json, write_atomic, write_json


def jsonl(folder: Path, data: bytes) -> list[object]:
    path = folder / "data.jsonl"
    path.write_bytes(data)
    return list(read_jsonl(path))


def test_lines_end_at_newline_only(tmp_path: Path) -> None:
    read = jsonl(tmp_path, '{"a": "x\u2028y\u0085z"}\r\n\n{"a": 2}'.encode())
    assert read == [(1, {"a": "x\u2028y\u0085z"}), (3, {"a": 2})]


def test_bad_lines_come_in_their_place(tmp_path: Path) -> None:
    read = jsonl(tmp_path, b'{"a": 1}\n[1]\n{"a":\n{"a": "\xff"}\n{"a": "\x00"}\n' + b"[" * 100_000 + b'\n{"b": 2}\n')
    assert [item.number if isinstance(item, BadLine) else item for item in read] == [
        (1, {"a": 1}), 2, 3, 4, 5, 6, (7, {"b": 2})
    ]  # fmt: skip
    reasons = [item.reason for item in read if isinstance(item, BadLine)]
    assert reasons[0] == "a JSON object was expected, found list"
    assert reasons[1].startswith("not JSON")
    assert "UTF-8" in reasons[2]
    assert "NUL byte at offset 7" in reasons[3]


def test_a_line_over_the_limit_is_skipped_and_the_next_is_read(tmp_path: Path) -> None:
    long = b'{"a": "' + b"x" * 10_000_000 + b'"}'
    read = jsonl(tmp_path, b'{"a": 1}\n' + long + b'\n{"a": 3}\n' + long)
    assert [item.number if isinstance(item, BadLine) else item for item in read] == [(1, {"a": 1}), 2, (3, {"a": 3}), 4]


def test_a_line_of_exactly_the_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 10)
    assert jsonl(tmp_path, b'{"a": "x"}\n{"a": "xy"}\n{"a": "x"}') == [
        (1, {"a": "x"}),
        BadLine(2, "the line is longer than 10 bytes"),
        (3, {"a": "x"}),
    ]


def test_gzip_is_told_by_its_bytes_and_a_damaged_one_is_refused_by_name(tmp_path: Path) -> None:
    lines = b"".join(json.dumps({"a": random.Random(n).random()}).encode() + b"\n" for n in range(5000))
    packed = gzip.compress(lines)
    assert len(jsonl(tmp_path, packed)) == 5000
    with pytest.raises(DataError, match=r"data\.jsonl' is cut or damaged at line 2\d\d\d"):
        jsonl(tmp_path, packed[: len(packed) // 2])
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    with pytest.raises(DataError, match=r"data\.jsonl' is cut or damaged"):
        jsonl(tmp_path, bytes(damaged))


@pytest.mark.parametrize("make", ["missing", "folder", "empty", "fifo"])
def test_what_cannot_be_read_at_all_is_named(tmp_path: Path, make: str) -> None:
    path = tmp_path / "thing.jsonl"
    if make == "folder":
        path.mkdir()
    elif make == "empty":
        path.touch()
    elif make == "fifo":
        os.mkfifo(path)
    for read in (lambda: list(read_jsonl(path)), lambda: read_text(path, "page"), lambda: read_json(path, "page")):
        with pytest.raises(DataError, match=r"thing\.jsonl"):
            read()


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read anything
    with pytest.raises(DataError, match="may not be read"):
        list(read_jsonl(path))


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\x00b", b"[1]", b"{", b"[" * 100_000])
def test_read_json_refuses_what_is_no_object(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.json"):
        read_json(path, "manifest")


def test_read_text_leaves_out_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb")
    assert read_text(path, "page") == "a\r\nb"


def test_write_atomic_keeps_the_old_file_where_the_new_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "a.json"
    write_json(path, {"a": "é"})
    assert path.read_text(encoding="utf-8") == '{\n "a": "é"\n}\n'

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UnwritableError, match=r"cannot write '.*a\.json': disk full; choose another place"):
        write_json(path, {"a": 2})
    assert read_json(path, "file") == {"a": "é"}
    assert [one.name for one in path.parent.iterdir()] == ["a.json"]
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})


def test_write_atomic_sets_the_mode(tmp_path: Path) -> None:
    write_atomic(tmp_path / "secret", b"x", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_digests_are_the_published_ones(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_json({"b": 1, "a": [2, "é"]}) == sha256_json({"a": [2, "é"], "b": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 2})


def hold(lock: Path, ready: multiprocessing.synchronize.Event, stop: multiprocessing.synchronize.Event) -> None:
    with files.exclusive(lock, "the run"):
        ready.set()
        stop.wait(10)


def test_exclusive_is_exclusive_and_freed_by_a_kill(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    lock = tmp_path / "run" / ".lock"
    holder = context.Process(target=hold, args=(lock, ready, stop))
    holder.start()
    try:
        assert ready.wait(20)
        with pytest.raises(BusyError, match="the run is in use"), files.exclusive(lock, "the run"):
            pass
    finally:
        holder.kill()
        holder.join()
    with files.exclusive(lock, "the run"):
        pass
