"""What a reasoning model wrote, taken apart. In: a text with thinking inline. Out: the thinking, and the answer.

Publishers mark thinking by a pair of marks in the text, by the channels of a turn (gpt-oss, Gemma 4), or by headings.
Some chat templates write the opening one into the prompt, so that the text begins inside of it and holds the closing
one alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection

_ANALYSIS, _FINAL = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"
TAGS: dict[str, str] = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<|thinking|>": "<|/thinking|>",
    "<|think|>": "<|end|><|begin|>assistant<|content|>",  # Solar Open
    "<longcat_think>": "</longcat_think>",  # LongCat
    "<mm:think>": "</mm:think>",  # MiniMax
    "<reasoning>": "</reasoning>",
    "<thought>": "</thought>",
    "[THINK]": "[/THINK]",
    "<seed:think>": "</seed:think>",
    "<unused94>": "<unused95>",  # MedGemma
    "<|channel>": "<channel|>",  # Gemma 4
    _ANALYSIS: _FINAL,  # gpt-oss
    "<|inner_prefix|>": "<|inner_suffix|>",  # Apertus
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A
    "◁think▷": "◁/think▷",  # Kimi
    "<|begin_of_thought|>": "<|end_of_thought|>",  # Sky-T1, OpenThinker
    "<|im_start|>think": "<|im_start|>answer",  # s1, m1
}
# Marks that are written in more than one way: with the name of the channel, or with what it is restricted to.
_VARIANTS: dict[str, str] = {
    "<unused94>": r"<unused94>(?:thought(?=\s|\Z))?",
    "<|channel>": r"<\|channel>(?:thought(?=\s|\Z))?",
    "<|end|><|begin|>assistant<|content|>": r"(?:<\|end\|>\s*)?<\|begin\|>assistant<\|content\|>|<\|/think\|>",
    _ANALYSIS: r"<\|channel\|>(?:analysis|commentary)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>",
    _FINAL: r"<\|channel\|>final[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>",
}
# How a mark is written where the thinking is closed by force; the others stand on a line of their own.
_BY_FORCE = {
    _FINAL: f"<|end|><|start|>assistant{_FINAL}",
    **{mark: mark for mark in ("<unused95>", "<channel|>", "<|inner_suffix|>", "<|END_THINKING|>", TAGS["<|think|>"])},
}
_TURN = "<|start|>assistant"  # a prompt of gpt-oss ends here: the channel comes next
_CONTROL = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")
# What stays beside the marks and belongs to neither part.
_AROUND = re.compile(
    r"<\|start\|>assistant|<\|(?:end|return|call|(?:START|END)_RESPONSE|(?:begin|end)_of_solution)\|>|<turn\|>|<end_of_turn>"
)
# A server that takes marks out leaves the channels' names; and two families write headings instead of marks.
_NAMES = re.compile(
    r"\A(?:assistant)?analysis(?P<thinking>.*?)assistantfinal(?P<answer>.*)\Z|\Aanalysis(?=[A-Z])(?P<cut>.*)\Z", re.S
)
_HEADINGS = re.compile(
    r"\A\s*## Thinking\s*\n(?P<thinking>.*?)(?:^## Final Response\s*(?P<answer>.*))?\Z"
    r"|\A\s*Here(?: is|'s) my thought process:(?P<process>.*?)(?:Here(?: is|'s) my response:(?P<response>.*))?\Z",
    re.S | re.M,
)


def _pattern(marks: Collection[str]) -> str:
    return "|".join(_VARIANTS.get(mark, re.escape(mark)) for mark in marks)


_OPENS, _CLOSES = (re.compile(_pattern(marks), re.IGNORECASE) for marks in (TAGS.keys(), TAGS.values()))
_ANY = re.compile(f"{_pattern(TAGS.keys())}|{_pattern(TAGS.values())}", re.IGNORECASE)
_LEFT_OPEN = re.compile(rf"({_pattern(TAGS.keys())})\s*\Z", re.IGNORECASE)


def split_thinking(text: str) -> tuple[str, str]:
    r"""
    >>> split_thinking("<think>A fever, so\nB.</think>\n\nThe answer is B.")
    ('A fever, so\nB.', 'The answer is B.')
    >>> split_thinking("<unused94>thought\nA fever.<unused95>B")
    ('A fever.', 'B')
    >>> split_thinking("A fever.</think>B"), split_thinking("<think>A fever, and"), split_thinking(" B ")
    (('A fever.', 'B'), ('A fever, and', ''), ('', ' B '))

    (thinking, answer). Several blocks are joined by an empty line. A closing mark without its opening one says that all
    before it was thinking; an opening mark that is never closed, that all after it is. A text without marks is returned
    as it is; otherwise both parts are without white space at their ends.
    """
    thinking: list[str] = []
    answer: list[str] = []
    opened, at = "", 0
    for found in _ANY.finditer(text):
        opening, closing = _opening(found.group()), _closing(found.group())
        if opened and TAGS[opened] != closing:  # thinking may speak of marks
            continue
        piece = text[at : found.start()]
        if opened:
            thinking.append(piece)
            opened = ""
        elif closing:
            thinking += [*answer, piece]
            answer = []
        else:
            answer.append(piece)
            opened = opening
        at = found.end()
    if at == 0:
        return _without_marks(text)
    (thinking if opened else answer).append(text[at:])
    return _joined(thinking), _joined(answer)


def _joined(pieces: list[str]) -> str:
    return "\n\n".join(part for piece in pieces if (part := _AROUND.sub("", piece).strip()))


def _without_marks(text: str) -> tuple[str, str]:
    found = _NAMES.match(text) or _HEADINGS.match(text)
    if not found:
        return "", text
    parts = found.groupdict()
    thinking = next(parts[name] for name in ("thinking", "cut", "process") if parts.get(name) is not None)
    answer = next((parts[name] for name in ("answer", "response") if parts.get(name) is not None), "")
    return thinking.strip(), answer.strip()


@functools.lru_cache(maxsize=256)  # a text may hold one mark a hundred thousand times
def _opening(mark: str) -> str:
    """The opening mark, as TAGS writes it, that this is a way of writing; empty where it is none."""
    return next((tag for tag in TAGS if re.fullmatch(_pattern([tag]), mark, re.IGNORECASE)), "")


@functools.lru_cache(maxsize=256)
def _closing(mark: str) -> str:
    return next((tag for tag in TAGS.values() if re.fullmatch(_pattern([tag]), mark, re.IGNORECASE)), "")


def left_open(prompt: str) -> str:
    """
    >>> left_open("<|assistant|><think>\\n")
    '<think>'

    The opening mark with which a prompt ends, as it is written there; empty where the answer is next.
    """
    match = _LEFT_OPEN.search(prompt)
    return match.group(1) if match else ""


def starts_thinking(text: str) -> bool:
    """Whether a text begins with an opening mark."""
    return bool(_OPENS.match(text.lstrip()))


def until_closed(text: str) -> tuple[str, str]:
    r"""
    >>> until_closed("<think>A fever.</think>\n\nB")
    ('A fever.', '\n\nB')

    A text that begins in thinking, with or without its opening mark: the thinking, and all that follows its closing
    mark as it is written; nothing follows where it is not closed.
    """
    closed = _CLOSES.search(text)
    thinking, rest = (text[: closed.start()], text[closed.end() :]) if closed else (text, "")
    thinking = thinking.strip()
    opened = _OPENS.match(thinking)
    return _AROUND.sub("", thinking[opened.end() :] if opened else thinking).strip(), rest


def closing_text(opening: str) -> str:
    r"""
    >>> closing_text("<think>"), closing_text("<unused94>thought")
    ('\n</think>\n\n', '<unused95>')

    What closes the thinking that `opening` began, where the model does not close it by itself.
    """
    closing = TAGS[_opening(opening)]
    return _BY_FORCE.get(closing, f"\n{closing}\n\n")


def to_the_answer(prompt: str) -> str:
    """
    >>> to_the_answer("<|start|>assistant"), to_the_answer("<|im_start|>assistant\\n")
    ('<|channel|>final<|message|>', '')

    What has to follow a prompt so that the answer comes next, and no thinking.
    """
    if prompt.endswith(_TURN):
        return _FINAL
    opened = left_open(prompt)
    return closing_text(opened) if opened else ""


def marks_of(template: str) -> list[str]:
    """The opening marks of the families whose marks a chat template speaks of."""
    return [tag for tag, closing in TAGS.items() if tag in template or closing in template]


def single_marks(vocabulary: Collection[str]) -> set[str]:
    """The marks that are one token of a vocabulary, those of channels included."""
    marks = {mark for pair in TAGS.items() for mark in pair if mark in vocabulary}
    return marks | ({mark for mark in _CONTROL if mark in vocabulary} if {*_CONTROL[:2]} <= {*vocabulary} else set())
