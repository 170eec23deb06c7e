"""What a model wrote -> the answer it gave. Extraction only; comparing with the gold answer happens elsewhere.

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

ABSTENTION = re.compile(
    r"\bnot (?:stated|specified|mentioned|given|known|provided|available)\b|\b(?:do(?:es)? not|doesn't|don't) "
    r"(?:know|say|state|specify|mention)\b|\b(?:unknown|cannot be determined|no information)\b",
    re.IGNORECASE,
)


def find_letter(text: str, letters: Iterable[str]) -> str | None:
    """>>> find_letter("The answer is (B), because ...", "ABCD")
    'B'

    In order: a stated answer (the last one wins: a model may correct itself), a letter that opens the text and is
    marked as one (`B.`, `(B)`, `B` alone), a single distinct marked letter anywhere. Anything else, and two rival
    marked letters, is None: "A patient with ..." is not the answer A.
    """
    one = f"([{re.escape(''.join(letters))}])"
    marks, end = r"[*_(\[{\"'`]*", r"(?=[*_\"'`]*(?:[.,:;)\]}]|\s*$|\s*\n))"
    reason = r"(?=\s+(?:because|since|as|and|due|is)\b)"
    says = r"(?i:\b(?:answer|option|choice)(?:\s+(?:is|would be|should be))?|\\boxed)\s*[:=]?\s*"
    stated = re.findall(rf"{says}{marks}{one}(?:{end}|{reason})", text)
    if stated:
        return str(stated[-1])
    opening = re.match(rf"\s*{marks}{one}{end}", text)
    if opening:
        return opening.group(1)
    marked = set(re.findall(rf"(?<![A-Za-z0-9])\(?{one}[).](?![A-Za-z0-9])", text))
    return str(marked.pop()) if len(marked) == 1 else None


def is_refusal(text: str) -> bool:
    return REFUSAL.search(text) is not None


def is_abstention(text: str) -> bool:
    """Whether an answer says that the answer is not to be had: counted on questions that have none."""
    return ABSTENTION.search(text) is not None
