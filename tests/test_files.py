"""files.py: what is not JSON Lines is reported in its place; files appear whole or not at all."""

from __future__ import annotations

import fcntl
import gzip
import json
import multiprocessing
import os
import random
import re
import socket
import stat
from pathlib import Path

import pytest

from ragmed import files
from ragmed.errors import BusyError, DataError, UnwritableError
from ragmed.files import (
    BadLine,
    parse_json,
    read_json,
    read_jsonl,
    read_text,
    sha256_file,
    sha256_json,
    write_atomic,
    write_json,
)


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
    assert reasons[0] == "a JSON object was expected, found a list of 1"
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
        words = f"the run is in use by process {holder.pid} on host '{socket.gethostname()}'"
        with pytest.raises(BusyError, match=re.escape(words)), files.exclusive(lock, "the run"):
            pass
    finally:
        holder.kill()
        holder.join()
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    with files.exclusive(lock, "the run"):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
        # Who was killed is not named for who holds it now.
        with pytest.raises(BusyError, match=f"by process {os.getpid()} on"), files.exclusive(lock, "the run"):
            pass
    assert lock.read_bytes() == b""


def test_a_holder_that_has_not_signed_yet_or_signed_oddly_is_nobody_in_particular(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    for content in (b"", b"\x1b[31m", b"[" * 2000, b'{"pid": 1}', b'{"pid": "x", "host": 1, "since": 2}'):
        lock.write_bytes(content)
        with lock.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            with (
                pytest.raises(BusyError, match=f"in use by process {os.getpid()} on host [^;(]*;"),
                files.exclusive(lock, "it"),
            ):
                pass
    lock.write_bytes(b'{"pid": 1, "host": "far\\u001b[31m", "since": "now"}')
    with lock.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(BusyError) as caught, files.exclusive(lock, "it"):
            pass
    assert "process 1 on host 'far\\x1b[31m'" in str(caught.value)


def test_a_lock_beside_other_content_leaves_it_alone(tmp_path: Path) -> None:
    part = tmp_path / "a.part"
    part.write_bytes(b"half of it")
    part.chmod(0o644)
    with (
        files.exclusive(part, "it", signed=False),
        pytest.raises(BusyError, match=f"it is in use by process {os.getpid()} on host '"),
        files.exclusive(part, "it", signed=False),
    ):
        pass
    assert (part.read_bytes(), stat.S_IMODE(part.stat().st_mode)) == (b"half of it", 0o644)


def test_what_is_no_file_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("folder", "fifo"):
        with (
            pytest.raises(UnwritableError, match="is not a regular file; remove it"),
            files.exclusive(tmp_path / name, "it"),
        ):
            pass


def dead_pid() -> int:
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


def test_what_kills_left_is_taken_away_at_the_next_use(tmp_path: Path) -> None:
    dead, alive = dead_pid(), os.getppid()
    for name in (
        f".a.json.{dead}.tmp",
        f".a.json.{alive}.tmp",
        f".b.json.{dead}.tmp",
        ".a.json.tmp",
        f"a.json.{dead}.tmp",
    ):
        (tmp_path / name).write_text("half")
    files.write_atomic(tmp_path / "a.json", "whole")
    kept = [f".a.json.{alive}.tmp", ".a.json.tmp", f".b.json.{dead}.tmp", "a.json", f"a.json.{dead}.tmp"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    inner = tmp_path / "inner"
    (inner / f".made.{dead}.tmp").mkdir(parents=True)
    (inner / f".made.{dead}.tmp" / "part").write_text("half")
    files.sweep(tmp_path)
    assert [path.name for path in inner.iterdir()] == [f".made.{dead}.tmp"]
    with files.folder_beside(inner / "made", mode=0o700) as folder:
        assert [path.name for path in inner.iterdir()] == [folder.name]
        files.sweep(tmp_path, deep=True)
        assert folder.is_dir()
    assert list(inner.iterdir()) == []
    kept.remove(f".b.json.{dead}.tmp")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(kept)


def test_what_another_machine_still_writes_is_left(tmp_path: Path) -> None:
    held = tmp_path / f".a.json.{dead_pid()}.tmp"  # the number of a process there
    held.write_text("half")
    with held.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        files.write_atomic(tmp_path / "a.json", "whole")
        assert held.exists()
    files.write_atomic(tmp_path / "a.json", "whole")
    assert not held.exists()


def test_a_key_that_stands_twice_is_refused_where_users_write_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"access": "private",\n "name": "x",\n "access": "open"}')
    with pytest.raises(DataError, match=r"a\.json': the key 'access' stands twice in one object \(lines 1 and 3\)"):
        read_json(path, "file")
    path.write_text('{"id": 1, "text": "x"}\n{"id": 2, "id": 3}\n')
    (_, bad) = read_jsonl(path)
    assert isinstance(bad, BadLine)
    assert (bad.number, bad.reason) == (2, "the key 'id' stands twice in one object; keep one")
    path.write_text('{"id": ' + "9" * 5000 + "}\n")
    (bad,) = read_jsonl(path)
    assert isinstance(bad, BadLine)
    assert bad.reason == "not JSON: a number in it has more than 4,300 digits; put it in quotes"
    assert parse_json('{"a": {"b": 1}, "b": 1}', unique=True) == {"a": {"b": 1}, "b": 1}
