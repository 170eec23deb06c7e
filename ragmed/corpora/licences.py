"""An address or a sentence that names a Creative Commons licence -> its short name."""

from __future__ import annotations

import re

_LICENCE = re.compile(r"creativecommons\.org/licenses/([a-z-]+)/([0-9.]*[0-9])")
_ZERO = re.compile(r"creativecommons\.org/publicdomain/zero/([0-9.]*[0-9])")


def creative_commons(text: str) -> str:
    """
    >>> creative_commons("http://creativecommons.org/licenses/by-nc/4.0/"), creative_commons("all rights reserved")
    ('CC BY-NC 4.0', '')
    """
    if match := _LICENCE.search(text):
        return f"CC {match[1].upper()} {match[2]}"
    zero = _ZERO.search(text)
    return f"CC0 {zero[1]}" if zero else ""
