"""What a reasoning model wrote, taken apart. In: a text with thinking inline. Out: the thinking, and the answer.

Publishers mark thinking by a pair of tags in the text. Some chat templates write the opening one into the prompt, so
that the text begins inside of it and holds the closing one alone.
"""

from __future__ import annotations

import re

TAGS: dict[str, str] = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<reasoning>": "</reasoning>",
    "<thought>": "</thought>",
    "[THINK]": "[/THINK]",
}
_CLOSES = {closing.lower(): opening.lower() for opening, closing in TAGS.items()}
_ANY = re.compile("|".join(re.escape(tag) for pair in TAGS.items() for tag in pair), re.IGNORECASE)
_LEFT_OPEN = re.compile("(" + "|".join(map(re.escape, TAGS)) + r")\s*\Z", re.IGNORECASE)


def split_thinking(text: str) -> tuple[str, str]:
    r"""
    >>> split_thinking("<think>A fever, so\nB.</think>\n\nThe answer is B.")
    ('A fever, so\nB.', 'The answer is B.')
    >>> split_thinking("A fever.</think>B"), split_thinking("<think>A fever, and"), split_thinking(" B ")
    (('A fever.', 'B'), ('A fever, and', ''), ('', ' B '))

    (thinking, answer). Several blocks are joined by an empty line. A closing tag without its opening one says that all
    before it was thinking; an opening tag that is never closed, that all after it is. A text without tags is returned
    as it is; otherwise both parts are without white space at their ends.
    """
    thinking: list[str] = []
    answer: list[str] = []
    opened, at = "", 0
    for tag in _ANY.finditer(text):
        mark, piece = tag.group().lower(), text[at : tag.start()]
        if opened and _CLOSES.get(mark) == opened:
            thinking.append(piece)
            opened = ""
        elif opened:  # thinking may speak of tags
            continue
        elif mark in _CLOSES:
            thinking += [*answer, piece]
            answer = []
        else:
            answer.append(piece)
            opened = mark
        at = tag.end()
    if at == 0:
        return "", text
    (thinking if opened else answer).append(text[at:])
    parts = ("\n\n".join(part for piece in pieces if (part := piece.strip())) for pieces in (thinking, answer))
    return next(parts), next(parts)


def left_open(prompt: str) -> str:
    """
    >>> left_open("<|assistant|><think>\\n")
    '<think>'

    The opening tag with which a prompt ends, as it is written there; empty where the answer is next.
    """
    match = _LEFT_OPEN.search(prompt)
    return match.group(1) if match else ""


def closing_tag(opening: str) -> str:
    """
    >>> closing_tag("<think>")
    '</think>'
    """
    return next(closing for tag, closing in TAGS.items() if tag.lower() == opening.lower())
