"""Runs a parser in a process of its own: a file's bytes in, what the parser made of them out, or the reason why not.

Formats such as PDF are programs: a hostile or broken file can take hours, fill the memory or crash the library that
reads it. There it costs that file alone: the process is limited, ended, and restarted for the next one.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

from ragmed.errors import DataError

MEMORY = 2 * 1024**3
"""Bytes of address space that the process may have."""

MAX_ANSWER = 256 * 1024 * 1024
"""Bytes that are taken from it for one file."""

TOO_MUCH = f"it holds more than {MAX_ANSWER} bytes of text; split it"
START_SECONDS = 60.0
_READY = b"ready"
_LENGTH = struct.Struct(">Q")


class Worker:
    """
        with Worker("ragmed.corpora.pdf:pages", item_seconds=30, file_seconds=600) as worker:
            items = worker.run(data)

    The target is a function of bytes that yields what JSON holds. It says why a file cannot be read by a ValueError.
    `item_seconds`: how long it may take for each of them; `file_seconds`: for all.
    """

    def __init__(self, target: str, *, item_seconds: float, file_seconds: float) -> None:
        self._target = target
        self._item_seconds, self._file_seconds = item_seconds, file_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, data: bytes) -> list[Any]:
        """What the target yielded; ValueError says why there is nothing, DataError that no process can be started."""
        process = self._started()
        end = time.monotonic() + self._file_seconds
        items: list[Any] = []
        size = 0
        try:
            stdin = cast(IO[bytes], process.stdin)
            stdin.write(_LENGTH.pack(len(data)) + data)
            stdin.flush()
            while True:
                line = self._line(min(end, time.monotonic() + self._item_seconds))
                size += len(line)
                if size > MAX_ANSWER:
                    raise TimeoutError(TOO_MUCH)
                answer = json.loads(line)
                if "item" not in answer:
                    break
                items.append(answer["item"])
        except TimeoutError as error:
            self._stop()
            reason = str(error) or "reading it took too long; save it anew with another program, or split it"
            raise ValueError(reason) from error
        except (BrokenPipeError, EOFError) as error:
            self._stop()
            raise ValueError("the library that reads it crashed on it; save it anew with another program") from error
        if answer["reason"]:
            raise ValueError(answer["reason"])
        return items

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process:
            return self._process
        # -P and the path written out: nothing is imported from the folder that the user happens to stand in.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ragmed.corpora.worker", self._target, str(MEMORY)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"},
            )
            try:
                if self._line(time.monotonic() + START_SECONDS) == _READY:
                    return self._process
            except (TimeoutError, EOFError):
                pass
            self._stop()
            errors.seek(0)
            lines = errors.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        raise DataError(f"the process for '{self._target}' did not start: {lines[-1] if lines else 'no error printed'}")

    def _line(self, deadline: float) -> bytes:
        """TimeoutError past the deadline, EOFError where the process has ended."""
        stdout = cast(IO[bytes], cast("subprocess.Popen[bytes]", self._process).stdout)
        pieces, room = [self._buffer], MAX_ANSWER
        while b"\n" not in pieces[-1]:
            with selectors.DefaultSelector() as selector:
                selector.register(stdout, selectors.EVENT_READ)
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
            piece = os.read(stdout.fileno(), 1 << 16)
            if not piece:
                raise EOFError
            pieces.append(piece)
            room -= len(piece)
            if room < 0:
                raise TimeoutError(TOO_MUCH)
        line, _, self._buffer = b"".join(pieces).partition(b"\n")
        return line

    def _stop(self) -> None:
        process, self._process, self._buffer = self._process, None, b""
        if not process:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            try:
                cast(IO[bytes], stream).close()
            except BrokenPipeError:  # what was not yet written has nobody to read it
                continue


def _serve(target: str, memory: int) -> None:
    module, _, name = target.partition(":")
    parse = cast(Callable[[bytes], Iterator[object]], getattr(importlib.import_module(module), name))
    # Whatever a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit(memory)
    answers.write(_READY + b"\n")
    answers.flush()
    os.dup2(1, 2)
    while header := sys.stdin.buffer.read(_LENGTH.size):
        data = sys.stdin.buffer.read(_LENGTH.unpack(header)[0])
        for answer in _answers(parse, data):
            answers.write(answer + b"\n")
            answers.flush()


def _answers(parse: Callable[[bytes], Iterator[object]], data: bytes) -> Iterator[bytes]:
    reason = ""
    try:
        for item in parse(data):
            yield json.dumps({"item": item}).encode("ascii")
    except ValueError as error:
        reason = " ".join(str(error).split())[:500] or "it cannot be read"
    except MemoryError:
        reason = "reading it took more memory than it may; split it"
    except RecursionError:
        reason = "it is nested too deeply"
    yield json.dumps({"reason": reason}).encode("ascii")


def _limit(memory: int) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except (ImportError, ValueError, OSError):  # not every system knows this limit; the time limits hold all the same
        return


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
