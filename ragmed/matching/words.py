"""A text in, its words out as they are compared, so that texts are found however they are written.

Words are folded (NFKD without accents, case folded, punctuation a gap, entities resolved, Cyrillic letters that look
Latin taken for Latin), so that no case, dash, quote or line break hides one. Markup and characters that nobody sees
(soft hyphens, zero-width blanks) may stand within a word or between two: a text that holds any is read both ways.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Collection, Sequence

FEWEST = 4
"""A question of fewer words is no sentence of its own: it would be found everywhere."""

_WORD = re.compile(r"[^\W_]+")
_TAG = re.compile(
    r"</?[a-zA-Z][^<>]{0,200}>|<!--.{0,200}?-->|(?<=\])\([^()\s]{0,500}\)"
    r"|\[\d{1,3}(?:[,;\u2013-] ?\d{1,3})*\]|-[ \t]*\n[ \t]*",  # reference marks; words parted at a line's end
    re.DOTALL,
)
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
# Of small letters, since words are case folded: ten of Cyrillic, Greek omicron, Latin dotless i and script a.
_LOOK_LATIN = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u03bf\u0131\u0251", "aeopcyxijsoia"
)
_AFTER_MARK = " *_\"'\u201d\u2019"  # what may follow a question mark


def readings(text: str) -> list[list[str]]:
    """
    >>> readings("The <b>Heart\\u2019s</b> rate")
    [['the', 'heart', 's', 'rate']]
    >>> readings("heart\\u200bfailure")
    [['heart', 'failure'], ['heartfailure']]

    The words of a text; two lists where markup or unseen characters could part words as well as stand within one.
    """
    if "&" in text:
        text = html.unescape(text)
    if not any(mark in text for mark in ("<", "[", "](", "-\n", "- \n")) and not _UNSEEN.search(text):
        return [words_of(text)]
    parted = words_of(_UNSEEN.sub(" ", _TAG.sub(" ", text)))
    joined = words_of(_UNSEEN.sub("", _TAG.sub("", text)))
    return [parted] if parted == joined else [parted, joined]


def words_of(text: str) -> list[str]:
    """
    >>> words_of("Na\\u00efve T-cells")
    ['naive', 't', 'cells']
    """
    if text.isascii():
        return _WORD.findall(text.lower())
    text = unicodedata.normalize("NFKD", text)
    text = "".join(character for character in text if not unicodedata.combining(character))
    return _WORD.findall(text.casefold().translate(_LOOK_LATIN))


def same_question(text: str) -> str:
    """
    >>> same_question("Which  dose?") == same_question("which dose")
    True

    What two texts of one question have in common, however case, blanks and marks are set.
    """
    return " ".join(words_of(text)) or text.strip()


def between_blanks(words: Sequence[str]) -> str:
    """
    >>> between_blanks(["acute", "gout"])
    ' acute gout '

    So written, one list of words stands in another where the one string stands in the other: no word counts in half.
    """
    return f" {' '.join(words)} "


def holds_any(words: Sequence[str], phrases: Collection[str]) -> bool:
    """
    >>> holds_any(["an", "acute", "gout"], [" acute gout "]), holds_any(["gouty"], [" gout "])
    (True, False)

    Whether one of the phrases (words between blanks) stands in the words.
    """
    text = between_blanks(words) if phrases else ""
    return any(phrase in text for phrase in phrases)


def is_question(text: str) -> bool:
    """
    >>> is_question('What is **gout?**'), is_question("Gout is a")
    (True, False)

    Whether a text ends as a question does; a stem, whose options end the sentence, does not.
    """
    return text.rstrip(_AFTER_MARK).endswith("?")


def shortened(text: str, *, words: int = 14) -> str:
    """
    >>> shortened("Which drug is  never given?", words=3)
    'Which drug is ...'

    The first words, and a mark where more follow.
    """
    all_words = text.split()
    return " ".join(all_words[:words]) + (" ..." if len(all_words) > words else "")
