"""The key of a server, kept out of sight. In: the name of an environment variable. Out: a Secret that never prints."""

from __future__ import annotations

import json
import os
import re

from ragmed.errors import ModelError, UsageError

_HIDDEN = "[key]"
_TELLING = 8  # characters of a key that are too many to be shown
_SAYS_KEY = re.compile(r"[A-Z_]*(KEY|TOKEN|SECRET|PASSWORD)[A-Z_]*[0-9]{0,2}")  # a name, and certainly no key
_CANNOT_BE_CHANCE = 12  # a key as short as "none" or "EMPTY" also stands in answers, which are not to be changed
_LONGEST_QUOTE = 300


class Secret:
    """
    >>> Secret("RAGMED_KEY", "sk-1")
    Secret(RAGMED_KEY)

    Only `header` gives the value out, for the request itself. `variable` is empty where no key is sent.
    """

    __slots__ = ("_forms", "_value", "variable")

    def __init__(self, variable: str, value: str) -> None:
        self.variable = variable
        self._value = value
        quoted = json.dumps(value)[1:-1]
        self._forms = sorted({value, quoted, quoted.replace("/", "\\/")} - {""}, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Secret({self.variable})"

    def __reduce__(self) -> str:
        raise TypeError("a key is not to be copied into a file")

    def header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def scrub(self, text: str) -> str:
        """The text without the key, however short the key is, and without pieces of it: servers show its beginning."""
        return self._without(text, _TELLING)

    def scrub_reply(self, text: str) -> str:
        """A server's reply without the key and long pieces of it; what may be a mere word is left to the answers."""
        return self._without(text, _CANNOT_BE_CHANCE) if len(self._value) >= _CANNOT_BE_CHANCE else text

    def _without(self, text: str, length: int) -> str:
        for form in self._forms:
            text = without_pieces(text.replace(form, _HIDDEN), form, length=length, mark=_HIDDEN)
        return text

    def quote(self, text: str) -> str:
        """A server's words for a message of ours: no key, one line, and no longer than anybody reads."""
        line = " ".join(self.scrub(text).split())
        line = "".join(letter if letter.isprintable() else "?" for letter in line)
        return line if len(line) <= _LONGEST_QUOTE else line[:_LONGEST_QUOTE] + "…"


def without_pieces(text: str, value: str, *, length: int, mark: str) -> str:
    """
    >>> without_pieces("Incorrect key sk-topse***", "sk-topsecret", length=8, mark="[key]")
    'Incorrect key [key]***'

    The text without every piece of `value` that has `length` characters or more.
    """
    hidden: list[tuple[int, int]] = []
    for piece in {value[i : i + length] for i in range(len(value) - length + 1)}:
        at = text.find(piece)
        while at >= 0:
            hidden.append((at, at + length))
            at = text.find(piece, at + 1)
    kept: list[str] = []
    end = 0
    for start, stop in sorted(hidden):
        if start > end or not kept:
            kept += [text[end:start], mark]
        end = max(end, stop)
    return "".join([*kept, text[end:]])


def read_secret(variable: str) -> Secret:
    """
    >>> read_secret("").header()
    {}

    No variable, no key: none is taken from the environment that the settings do not name.
    """
    if not variable:
        return Secret("", "")
    value = os.environ.get(variable, "").strip()
    if not value:
        shown = f" '{variable}'" if _SAYS_KEY.fullmatch(variable) else ""  # it may be the key, put in the wrong place
        raise ModelError(f"the environment variable{shown}, which key: names, is empty or not set; set it to the key")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UsageError(f"the environment variable '{variable}' holds characters that no key has")
    return Secret(variable, value)
