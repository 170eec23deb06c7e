"""The key of a server, kept out of sight. In: the name of an environment variable. Out: a Secret that never prints."""

from __future__ import annotations

import json
import os

from ragmed.errors import ModelError, UsageError

_HIDDEN = "[key]"
_CANNOT_BE_CHANCE = 12  # a key as short as "none" or "EMPTY" also stands in answers, which are not to be changed
_LONGEST_QUOTE = 300


class Secret:
    """>>> Secret("RAGMED_KEY", "sk-1")
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
        """The text without the key, however short the key is."""
        for form in self._forms:
            text = text.replace(form, _HIDDEN)
        return text

    def scrub_reply(self, text: str) -> str:
        """A server's reply without the key; a key that is a mere word is left, since answers may hold the word."""
        return self.scrub(text) if len(self._value) >= _CANNOT_BE_CHANCE else text

    def quote(self, text: str) -> str:
        """A server's words for a message of ours: no key, one line, and no longer than anybody reads."""
        line = " ".join(self.scrub(text).split())
        line = "".join(letter if letter.isprintable() else "?" for letter in line)
        return line if len(line) <= _LONGEST_QUOTE else line[:_LONGEST_QUOTE] + "…"


def read_secret(variable: str) -> Secret:
    """>>> read_secret("").header()
    {}

    No variable, no key: none is taken from the environment that the settings do not name.
    """
    if not variable:
        return Secret("", "")
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ModelError(f"the environment variable '{variable}', which key: names, is empty; set it to the key")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UsageError(f"the environment variable '{variable}' holds characters that no key has")
    return Secret(variable, value)
