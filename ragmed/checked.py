"""A mapping out of a YAML file in, the fields of a frozen record out: every key known, every value of its type."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from ragmed.errors import UnknownNameError, UsageError


def known_keys(raw: Mapping[str, Any], known: list[str], where: str) -> None:
    for key in raw:
        if key not in known:
            raise UnknownNameError("key", str(key), known, where)


def checked_fields(record: type, raw: Any, where: str) -> dict[str, Any]:
    """The fields of a frozen record from a mapping, each of the right type."""
    if not isinstance(raw, Mapping):
        raise UsageError(f"{where}: a mapping was expected, found {type(raw).__name__}")
    hints = typing.get_type_hints(record)
    known_keys(raw, [f.name for f in dataclasses.fields(record)], where)
    return {key: typed(hints[key], value, f"{where}, {key}") for key, value in raw.items()}


def typed(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (tuple, frozenset):
        if not isinstance(value, (list, tuple, set)):
            raise UsageError(f"{where}: a list was expected, found {value!r}")
        inner = typing.get_args(hint)[0]
        return origin(typed(inner, v, where) for v in value)
    if origin is typing.Literal:
        return value
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise UsageError(f"{where}: a mapping was expected, found {value!r}")
        if any(not isinstance(key, str) for key in value):
            raise UsageError(f"{where}: its keys must be text, found {value!r}")
        return dict(value)
    if isinstance(hint, types.UnionType):
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and _number(value):
        raise UsageError(f"{where}: YAML takes '{value}' for text; write it with a point, as {float(value):f}")
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise UsageError(f"{where}: {hint.__name__} was expected, found {value!r}")
    return value


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
