"""A text with words parted at the ends of lines in, the words joined: with their hyphen, unless it only parts them."""

from __future__ import annotations

import itertools
import re

_HYPHEN = re.compile(r"([^\W_]+)(\u00ad|[-\u2010])[ \t]*\n[ \t]*([^\W_]+)")
_COMPOUND = re.compile(r"[^\W_]+(?:[-\u2010][^\W_]+)+")
_WORD = re.compile(r"[^\W\d_]{3,}")

SUSPENDED = frozenset("and or to und oder bis et ou y o".split())
"""After these the word of the hyphen is still to come: short- and long-term."""

GREEK = frozenset("alpha beta gamma delta epsilon kappa lambda mu omega sigma theta".split())
FIRST = frozenset(
    "all anti beta co cross double dose end ex fast follow full half high ill inter intra long low mid multi near non "
    "off on one open over peri post pre placebo pro re self semi short single slow sub two triple ultra under well "
    "x t st q".split()
)
"""Words that stand before a hyphen of their own in medical texts."""

SECOND = frozenset(
    "acting aged associated based bearing blind blinded blocker blockers borne centre center controlled day days "
    "dependent dose related defined derived free grade half hour hours income induced like line mediated month months "
    "negative onset positive quality rate ray related release resistant responsive risk sensitive sided specific stage "
    "study term threatening time to treated up week weeks year years old".split()
)
_ENDING = re.compile(
    r"(?:[bcdfghjklmnpqrstvwxz]{0,2}(?:tion|sion|cian)(?:s|al|ally)?|ments?|mental|ness(?:es)?|ings?|ed|able|ible|ably|"
    r"ibly|(?:[bcdlntv]?it)(?:y|ies)|[ct]?ical(?:ly)?|[ct]?ously|[ct]?ous|[tsn]?i[sz]ed?|[bcdfglmnprstvz]?i?ation(?:s|al)?|a?emia|aemia|"
    r"[ortd]?osis|oses|itis|ectomy|ology|ologist|ogens?|ances?|ences?|ants?|ents?|ively|ives?|ular|ity)"
)
"""What ends a word and is none."""


def joined(text: str, whole: str = "") -> str:
    r"""
    >>> joined("Hyperten-\nsion is treated with low-\ndose TNF-\nalpha blockers.")
    'Hypertension is treated with low-dose TNF-alpha blockers.'

    A hyphen goes where it is a soft one, where `whole` (the text itself, unless given) has the word without it, or
    where what follows is an ending alone. It stays where `whole` has the word with it, where a digit, a capital letter
    or a Greek letter's name is beside it, and wherever nothing says otherwise.
    """
    words = _Words(whole or text)
    return _HYPHEN.sub(lambda match: words.together(match[1], match[2], match[3]), text)


class _Words:
    def __init__(self, text: str) -> None:
        # A word that a line's end parts is no evidence of itself.
        rest = _HYPHEN.sub(" ", text)
        self._plain = {word.lower() for word in _WORD.findall(rest)}
        self._compounds: set[str] = set()
        for compound in _COMPOUND.findall(rest):
            parts = compound.lower().replace("\u2010", "-").split("-")
            self._compounds.update(f"{left}-{right}" for left, right in itertools.pairwise(parts))

    def together(self, left: str, hyphen: str, right: str) -> str:
        first, second = left.lower(), right.lower()
        if hyphen == "\u00ad":
            return left + right
        if right in SUSPENDED:
            return f"{left}- {right}"
        if f"{first}-{second}" in self._compounds:
            return f"{left}-{right}"
        if not right[0].islower() or left[-1].isdigit() or left[1:] != left[1:].lower():
            return f"{left}-{right}"
        if first + second in self._plain:
            return left + right
        if first in GREEK | FIRST or second in GREEK | SECOND:
            return f"{left}-{right}"
        return left + right if _ENDING.fullmatch(right) else f"{left}-{right}"
