"""How far a long piece of work is, on stderr: a bar where that is a terminal, else a line now and then.

    with open_bar(total=500, initial=128, desc="general on medqa", unit="questions") as bar:
        bar.update(64)

A log of a batch system keeps lines and garbles bars, and a log that stays empty for an hour looks like a hang.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Protocol

from tqdm import tqdm

from ragmed.text_table import visible

EVERY = 60.0
"""Seconds between two lines, of whichever work: many short pieces in a row share them."""
_before = time.monotonic()


class Bar(Protocol):
    @property
    def n(self) -> float: ...
    def update(self, n: int = 1, /) -> object: ...
    def ahead(self, n: int, /) -> object: ...
    def close(self) -> None: ...


_told: ContextVar[Callable[[int], object] | None] = ContextVar("told", default=None)


@contextmanager
def telling(told: Callable[[int], object]) -> Iterator[None]:
    """
        with telling(bar.ahead):
            model.generate(prompts, max_tokens=64)

    Within it, whoever works in batches tells `told` how many pieces each batch did (`tell`).
    """
    token = _told.set(told)
    try:
        yield
    finally:
        _told.reset(token)


def tell(count: int) -> None:
    """So many more pieces are done, by whoever works in batches; nothing where nobody asked to be told."""
    if (told := _told.get()) is not None:
        told(count)


@contextmanager
def open_bar(*, total: int | None, desc: str, unit: str, initial: int = 0, scaled: bool = False) -> Iterator[Bar]:
    """A bar that is closed at the end; what `make_bar` takes."""
    bar = make_bar(total=total, desc=desc, unit=unit, initial=initial, scaled=scaled)
    try:
        yield bar
    finally:
        bar.close()


def make_bar(*, total: int | None, desc: str, unit: str, initial: int = 0, scaled: bool = False) -> Bar:
    """`unit`: a word in the plural, or B of bytes; `scaled`: counts are written 1.2M rather than 1234567."""
    if sys.stderr.isatty():
        return _OnTerminal(
            total=total, initial=initial, desc=visible(desc), unit=f" {unit}", unit_scale=scaled, disable=False
        )
    return Lines(total=total, initial=initial, desc=desc, unit=unit, scaled=scaled)


class _OnTerminal(tqdm):  # type: ignore[type-arg]
    _ahead = 0

    def update(self, n: float | None = 1) -> Any:
        self._ahead = 0
        self.set_postfix_str("", refresh=False)
        return super().update(n)

    def ahead(self, n: int, /) -> None:
        self._ahead += n
        self.set_postfix_str(f"{self._ahead} more at work")


class Lines:
    """A line at most every EVERY seconds, whether or not anything was done since: it also says that work goes on."""

    def __init__(self, *, total: int | None, desc: str, unit: str, initial: int = 0, scaled: bool = False) -> None:
        self.n, self.total, self.desc, self.unit, self.scaled = initial, total, desc, unit, scaled
        self._ahead = 0
        self._first, self._began = initial, time.monotonic()
        self._closed = threading.Event()
        threading.Thread(target=self._now_and_then, daemon=True).start()

    def update(self, n: int = 1, /) -> None:
        self.n += n
        self._ahead = 0

    def ahead(self, n: int, /) -> None:
        """So many more are done, and will be kept with others: then `update` counts them."""
        self._ahead += n

    def close(self) -> None:
        self._closed.set()

    def _now_and_then(self) -> None:
        global _before
        while not self._closed.wait(max(0.0, _before + EVERY - time.monotonic())):
            _before = time.monotonic()
            with suppress(OSError, ValueError):  # a log that is full or closed stops no work
                print(visible(self.line(_before - self._began)), file=sys.stderr, flush=True)

    def line(self, seconds: float) -> str:
        """What is said after so many seconds.

        >>> bar = Lines(total=500, initial=100, desc="general on medqa", unit="questions")
        >>> bar.update(100)
        >>> bar.line(600)
        'general on medqa: 200 of 500 questions, 10 min, about 30 min left'
        >>> bar.ahead(50)
        >>> bar.close()
        >>> bar.line(900)
        'general on medqa: 200 of 500 questions, 50 more done and not kept yet, 15 min, about 25 min left'
        """
        count = str if not self.scaled else tqdm.format_sizeof
        said = f"{self.desc}: {count(self.n)}{f' of {count(self.total)}' if self.total else ''} {self.unit}"
        if self._ahead:
            said += f", {count(self._ahead)} more done and not kept yet"
        done, now = self.n - self._first + self._ahead, self.n + self._ahead
        left = f", about {_span(seconds / done * (self.total - now))} left" if self.total and done else ""
        return f"{said}, {_span(seconds)}{left}"


def _span(seconds: float) -> str:
    """
    >>> _span(59), _span(600), _span(9000)
    ('59 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
