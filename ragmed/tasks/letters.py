"""A text in, the letter that it answers with out. Extraction only; comparing with the gold answer happens elsewhere.

An answer that cannot be read is None, never a default letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can(?:no|')t|cannot|can not|won't|will not) "
    r"(?:answer|provide|assist|help|give|offer|diagnose)|as an ai\b|as a language model\b)",
    re.IGNORECASE,
)


def find_letter(text: str, letters: Iterable[str]) -> str | None:
    """
    >>> find_letter("The answer is (B), because ...", "ABCD")
    'B'

    In order: a stated answer (the last one wins: a model may correct itself), a letter that opens the text and is
    marked as one (`B.`, `(B)`, `B` alone), a single distinct marked letter anywhere. Where other letters are marked
    too (the options read out, two rivals) and none is stated, nothing is read: "A patient with ..." is not the answer
    A, and neither is a list that begins with A.
    """
    letters = "".join(letters)
    if not letters:
        return None
    # Nothing below asks more of white space than whether a line ends in it. In long runs of it the patterns would try
    # every way to share them out, which takes hours for a text that any model can write.
    text = re.sub(r"\s+", lambda run: "\n" if "\n" in run.group() else " ", text)
    one = f"([{re.escape(letters)}])"
    marks, end = r"[*_(\[{\"'`]*", r"(?=[*_\"'`]*(?:[.,:;)\]}]|\s*$|\s*\n))"
    reason = r"(?=\s+(?:because|since|as|and|due|is)\b)"
    linked = r"(?:\s+(?:is|would be|should be|must be|has to be)\s*:?|\s*[:=])"
    says = rf"(?i:\banswer{linked}|\b(?:correct|right|best) (?:option|choice){linked}|\\boxed)\s*(?i:option|choice)?\s*"
    stated = re.findall(rf"{says}{marks}{one}(?:{end}|{reason})", text)
    if stated:
        return str(stated[-1])
    marked = set(re.findall(rf"(?<![A-Za-z0-9])\(?{one}[).:](?![A-Za-z0-9])", text))
    opening = re.match(rf"\s*(?:(?i:option|choice)\s+)?{marks}{one}{end}", text)
    if opening and marked <= {opening.group(1)}:
        return str(opening.group(1))
    return str(marked.pop()) if len(marked) == 1 and not opening else None


def is_refusal(text: str) -> bool:
    return REFUSAL.search(text) is not None


def mirage_answer(text: str) -> str:
    """The part that MIRAGE's evaluation looks at: what follows the last `"answer_choice": "`, else the whole text."""
    return text.rsplit('"answer_choice": "', maxsplit=1)[-1].strip()


def mirage_letter(text: str) -> str | None:
    """
    >>> mirage_letter('{"step_by_step_thinking": "...", "answer_choice": "B. 40 mg"}')
    'B'

    The letter that MIRAGE's own evaluation reads (github.com/Teddy-XiongGZ/MIRAGE, src/utils.py: ten patterns, the
    first that matches wins) in `mirage_answer`. None where it falls back to "A".
    """
    answer = mirage_answer(text)
    for before, after in _MIRAGE:
        match = re.search(f"{before}([ABCD]){after}", answer)
        if match:
            return match.group(1)
    return None


_MIRAGE = (
    *(("^", after) for after in (r"$", " or", " and", "/", ",")),
    ("[Oo]ption ", ""),
    (r":\s*", ""),
    *(("^", after) for after in (r"\.", '"', ":")),
)
