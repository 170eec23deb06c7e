"""Others' files: whatever goes wrong while one is read in, one message with the file, the reason and the remedy out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ragmed.errors import DataError, RagmedError


@contextmanager
def reading(place: str, *, remedy: str) -> Iterator[None]:
    """
    >>> with reading("'benchmark.json', set 'mmlu'", remedy="download it again"):
    ...     {"answer": "A"}["question"]
    Traceback (most recent call last):
    ragmed.errors.DataError: 'benchmark.json', set 'mmlu' cannot be read: 'question' is missing; download it again

    Errors of ragmed's own, and memory that runs out, pass as they are.
    """
    try:
        yield
    except (RagmedError, MemoryError):
        raise
    except Exception as error:  # others' readers raise whatever damaged bytes lead them to
        raise DataError(f"{place} cannot be read: {_reason(error)}; {remedy}") from error


def _reason(error: Exception) -> str:
    """The first error of a group or of a pydantic validation, in one line."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, KeyError):
        return f"{error} is missing"
    if callable(getattr(error, "errors", None)):  # pydantic's ValidationError, without importing it for this
        first = error.errors()[0]  # type: ignore[attr-defined]
        return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    return " ".join(str(error).split())[:300] or type(error).__name__


def is_finite(value: Any) -> bool:
    """Whether it is a number that a float can hold; JSON may have NaN, infinity and integers of any length."""
    return isinstance(value, int | float) and -sys.float_info.max <= value <= sys.float_info.max
