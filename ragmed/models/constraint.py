"""What an answer may be while it is written. In: the valid forms. Out: fields of a request, and whether a text keeps to
them.

Servers are told in different words. `json_schema` is OpenAI's `response_format` (Structured Outputs), which vLLM,
SGLang, llama.cpp and Ollama take too; the answer then is a JSON object with one key, `answer`.
`structured_outputs` is vLLM's own, since 0.12; `guided` what it had before (`guided_choice`, …); `grammar` is
llama.cpp's GBNF. Their answers are plain text, as the prompt asks for them, but for lists, which are JSON in every one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from ragmed.files import parse_json

HeldBy = Literal["likelihood", "json_schema", "structured_outputs", "guided", "grammar"]
AnswerKind = Literal["choice", "codes", "list", "number"]
VERSION = 1
"""Raised with every change of the forms below that can change an answer."""
KEY = "answer"
ROOM = 16  # tokens of the JSON around an answer

_CODE = r"[A-Z][0-9][0-9A-Z](?:\.[0-9A-Z]{1,4})?"
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
_GBNF_CODES = """root ::= code ("; " code)*
code ::= [A-Z] [0-9] [0-9A-Z] ("." [0-9A-Z] [0-9A-Z]? [0-9A-Z]? [0-9A-Z]?)?"""
_GBNF_NUMBER = 'root ::= "-"? [0-9]+ ("." [0-9]+)?'


@dataclass(frozen=True, slots=True)
class Constraint:
    """
    >>> letters = Constraint("choice", ("A", "B"))
    >>> letters.keeps('{"answer": "B"}', "json_schema"), letters.keeps("It is B.", "structured_outputs")
    (True, False)

    `kind`: one of `choices`; ICD-10 codes, one or more; a list of texts; a number.
    """

    kind: AnswerKind
    choices: tuple[str, ...] = ()

    def fields(self, how: HeldBy) -> dict[str, Any]:
        """
        >>> Constraint("choice", ("A", "B")).fields("structured_outputs")
        {'structured_outputs': {'choice': ['A', 'B']}}

        What a request says of the form, beside the question.
        """
        if how == "json_schema":
            named = {"name": "answer", "strict": True, "schema": self.schema()}
            return {"response_format": {"type": "json_schema", "json_schema": named}}
        if how == "grammar":
            return {"json_schema": self.schema()} if self.kind == "list" else {"grammar": self._grammar()}
        (name, value), *_ = self.plain().items()
        return {f"guided_{name}": value} if how == "guided" else {"structured_outputs": {name: value}}

    def plain(self) -> dict[str, Any]:
        """What vLLM calls it: choice, regex or json, with its value."""
        if self.kind == "choice":
            return {"choice": list(self.choices)}
        return {"json": self.schema()} if self.kind == "list" else {"regex": self._pattern()}

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of an object with the answer alone; codes are one or more: none named is no answer."""
        text: dict[str, Any] = {"type": "string"}
        answers: dict[AnswerKind, dict[str, Any]] = {
            "choice": {**text, "enum": list(self.choices)},
            "codes": {"type": "array", "items": {**text, "pattern": f"^{_CODE.replace('(?:', '(')}$"}, "minItems": 1},
            "list": {"type": "array", "items": text},
            "number": {"type": "number"},
        }
        held = {KEY: answers[self.kind]}
        return {"type": "object", "properties": held, "required": [KEY], "additionalProperties": False}

    def keeps(self, text: str, how: HeldBy, *, cut: bool = False) -> bool:
        """Whether a text is in the form; of one that was `cut`, whether it begins so."""
        if not in_json(self.kind, how):
            matched = re.compile(self._pattern())
            return bool(matched.match(text.strip()) if cut else matched.fullmatch(text.strip()))
        if cut:
            return bool(re.match(rf'\s*\{{\s*"{KEY}"\s*:', text))
        value = read_object(text)
        if self.kind in ("codes", "list"):
            entries = value if isinstance(value, list) else [None]
            return all(isinstance(e, str) and (self.kind == "list" or re.fullmatch(_CODE, e)) for e in entries)
        if self.kind == "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        return value in self.choices

    def _pattern(self) -> str:
        if self.kind == "choice":
            return "|".join(map(re.escape, sorted(self.choices, key=len, reverse=True)))
        return rf"{_CODE}(?:; {_CODE})*" if self.kind == "codes" else _NUMBER

    def _grammar(self) -> str:
        if self.kind == "choice":
            return "root ::= " + " | ".join(json.dumps(choice, ensure_ascii=False) for choice in self.choices)
        return _GBNF_CODES if self.kind == "codes" else _GBNF_NUMBER


def in_json(kind: AnswerKind, how: HeldBy) -> bool:
    """
    >>> in_json("choice", "grammar"), in_json("list", "grammar")
    (False, True)

    Whether an answer held in this way is a JSON object.
    """
    return how == "json_schema" or (kind == "list" and how != "likelihood")


def read_object(text: str) -> Any:
    """
    >>> read_object('{"answer": ["I10"]}'), read_object("I10")
    (['I10'], None)

    What a JSON object with the answer alone holds; None where the text is none.
    """
    try:
        value = parse_json(text.strip(), finite=True, unique=True)
    except (ValueError, RecursionError):
        return None
    return value[KEY] if isinstance(value, dict) and value.keys() == {KEY} else None
