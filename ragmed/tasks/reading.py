"""Readers: a sample in, a status and the value that was read out of its answer.

A reader is one function and one line in READERS. It decides nothing about right and wrong. What cannot be read is
`unparsed` or `refused`, what was cut off is `truncated`, and never a default value; the one exception is `mirage`,
which reads as MIRAGE's own evaluation does, and is there to be compared with. `version` is raised with every change
that can change a reading.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any

from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import parse_json
from ragmed.metrics.abstention import option_without_answer
from ragmed.models.constraint import read_object
from ragmed.models.thinking import split_thinking
from ragmed.records import Sample, Status, Value
from ragmed.tasks import clue
from ragmed.tasks.letters import (
    corrects_itself,
    find_letter,
    goes_on_asking,
    is_refusal,
    mirage_answer,
    mirage_letter,
    seen,
)
from ragmed.tasks.words import AFTER_REASONING, IN_JSON

Reading = tuple[Status, Value]

# What stands where the letter should: that there is no answer to give, or the words of a server that gave none.
_DECLINED = re.compile(
    r"\W*(?:(?:it |the answer )?(?:can ?not|can't) be determined|(?:can ?not|can't) determine|unknown|n/a|inconclusive"
    r"|no answer|(?:not enough|insufficient) (?:information|data|evidence)"
    r"|not (?:provided|available|mentioned|specified|stated|determinable|clear|sure|known|found)"
    r"|the response was filtered)\b",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,2}[.)]|\(?[a-z]\))(?:\s+|$)")
_LEAD_IN = re.compile(r"^[^:;\n]{0,80}\b(?:are|is|includes?|following|answer|list):\s+(?=\S)", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```\w*[ \t]*$", re.MULTILINE)
_SENTENCE = re.compile(r"(?:\S+\s+){3,}\S+[.!?]\s*$")
# ICD-10(-CM): a letter, a digit, a digit, A or B, and up to four more after a point that may be left out. What else
# clinical prose holds of this shape (A1C, Q12H, T2DM, H1N1) is none; B12 and T12 cannot be told from codes. X holds
# a place (W19XXXA).
# A letter as the third character stands in a few categories alone; elsewhere it is a receptor or a gene (V1A, A2B).
_CODE = re.compile(
    r"\b([A-Z][0-9][0-9]|C4A|C7[AB]|D3A|M1A|O9A|Z3A)(?:\.([0-9AX][0-9A-Z]{0,3})|([0-9][0-9A-Z]{0,3}|X[0-9X]{2}[0-9A-Z]))?\b"
)
_SEPARATED_BEFORE = re.compile(r"(?:^|[;,\n(])\s*$")
_SEPARATED_AFTER = re.compile(r"\s*(?:$|[;,.\n)])")
_VITAMIN = re.compile(r"\bvit(?:amin|\.) $", re.IGNORECASE)
# A label is denied by one of these before it in its clause, with up to three words between, or by "ruled out" after it.
_CLAUSE_END = re.compile(r"[.,:;!?—]|\b(?:but|so|hence|thus|therefore)\b")
_WORD = re.compile(r"[\w'-]+")
_DENIAL = re.compile(
    r"(?:\b(?:not|no|never|neither|nor|cannot|non|opposite of|rather than|instead of|unlikely|hardly|doubt)|n't|\bun-)"
    r"(?!\w)"
)
_RULED_OUT = re.compile(
    r"[*_\"'`]*\s(?:(?:(?!but|because|since|as|so)[\w']+\s){0,3}ruled out"
    r"|(?:is|was) (?:wrong|incorrect|not|unlikely)|(?:is|was|does)n't|(?:does|can|should) ?not)\b"
)
# What says no of a label as its value: "supported: no", "entailment = false", "Supported? No."; "entailment: no other
# reading" is a reason.
_VALUE_NO = re.compile(
    r"[*_\"'`)\]]*\s?(?:[:=?|→]|->|[-–—](?=\s))[*_\"'`\s]*"
    r"(?:no|nope|false|untrue|wrong|incorrect|0(?:\.0+)?\s?%?|n|not(?: \w+){0,3})[*_\"'`)\]]*"
    r"(?=\s*(?:\Z|[.,;:!|/}\n])|\s[\w ]{1,40}[:=])"
)
# What is asked, not said, up to the end of its sentence: "to say if it is supported or refuted", "whether it is".
_ASKED = re.compile(
    r"\b(?:whether|(?:say|tell|know|see|decide|determine|judge|conclude|assess|establish|clear|unclear|sure) if)\b"
    r"[^.;:!?\n]*"
)
# A word with its own digits (v2, v2.1, COVID-19), which is passed over, or a number.
_NUMBER = re.compile(
    r"(?<!\w)[^\W\d_]\w*(?:[.-]\d+)*|(?P<number>[-+−–]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?)"
    r"(?P<more>[²³¹⁰-⁹½¼¾⅓⅔])?"
)
_STATED_NUMBER = re.compile(r"(?:\banswer(?: is|:| =)|\\boxed\{)[\s*_$]*$", re.IGNORECASE)
# The mark behind which an answer stands, at the head of a line or a sentence, or called final, in any markup.
_ANSWER_MARK = re.compile(
    r"(?:(?:^|\n|[.!?;:)\]] )[^\w\n]{0,12}(?:(?:so|thus|therefore|hence),? )?(?:(?:the|my) )?(?:final |correct )?"
    r"|\b(?:final|correct) )answer(?: is)?[*_` ]{0,6}[:：]",
    re.IGNORECASE,
)
_MOST_MARKS = 100  # a text that holds more of them repeats itself
_COT_READER = 1  # raised with every change; a reader's version is the sum of this and the inner one's
_JSON_READER = 1  # likewise
_DASHES = str.maketrans("−–", "--", ",")
_BRACE = re.compile(r'[{}]|"(?:[^"\\\n]|\\.)*"')
_MOST_NUMBERS = 1000  # a text that holds more of them is no answer
_DEPTH = 50  # levels of a JSON answer: what reads and writes it later must never run out of stack


@dataclass(frozen=True, slots=True)
class Reader:
    """
    >>> from ragmed.records import Example
    >>> reader = find_reader("letter")
    >>> question = Example("q1", "?", options={"A": "10 mg", "B": "40 mg"}, gold="B")
    >>> reader.read(Sample("general", "t", question, completion="The answer is (B)."))
    ('answered', 'B')
    """

    name: str
    read_text: Callable[[Sample, str], Value]
    version: int = 1
    survives_cut: bool = False
    """Whether what was read from a text that was cut off is the whole answer: a letter is, a summary is not."""
    declines: Callable[[str], bool] = is_refusal
    """Whether a text in which nothing was read refuses to answer, in words."""
    needs_options: bool = False
    """Whether what it reads is one of an example's options, so that it fits no task without."""
    letters_alone: bool = False
    """Whether answers count by their letters alone, as in the published script that it reproduces: elsewhere, of two
    options with one text either is right.
    """
    needs_text: bool = True
    """Whether it reads what was written, so that it fits no sample that holds log-likelihoods alone."""

    def read(self, sample: Sample) -> Reading:
        """The status and the value; a sample that failed, or that a filter of its server refused, has none.

        Raises UsageError for a sample without a text, where it is a text that is read.
        """
        if sample.finish == "error":
            return "error", None
        if sample.finish == "refused":
            return "refused", None
        if sample.completion is None and self.needs_text:
            raise UsageError(
                f"the reader '{self.name}' reads text, and sample '{sample.example.id}' of arm '{sample.arm}', task "
                f"'{sample.task}' holds none, as where options were scored; read it with one of "
                f"{', '.join(LIKELIHOODS.values())}"
            )
        text = sample.completion or ""
        if self.needs_text and not self.letters_alone:  # MIRAGE's script knows no thinking
            text = split_thinking(text)[1]
        value = self.read_text(sample, text)
        if value is not None and (sample.finish != "length" or self.survives_cut):
            return "answered", value
        if sample.finish == "length":
            return "truncated", value
        return ("refused" if self.declines(text) else "unparsed"), None


def find_reader(name: str) -> Reader:
    """
    >>> from ragmed.records import Example
    >>> find_reader("cot:number").read(Sample("m", "t", Example("q", "?"), completion="2 x 20 mg\\nAnswer: 40"))
    ('answered', 40.0)

    `cot:NAME` reads by the reader NAME what stands after "Answer:", `held:NAME` what a JSON object holds under "answer"
    that the answer was held to. Raises UnknownNameError with near names.
    """
    if name in READERS:
        return READERS[name]
    for mark, made in ((AFTER_REASONING, _after_reasoning), (IN_JSON, _in_json)):
        inner = READERS.get(name.removeprefix(mark)) if name.startswith(mark) else None
        if inner and inner.needs_text:
            return made(name, inner)
    raise UnknownNameError("reader", name, READERS)


def _after_reasoning(name: str, inner: Reader) -> Reader:
    """What stands after the last mark, read by the `inner` reader; what stands before the first is no answer.

    Where an answer stands behind an earlier mark too, the two must be one, or the text must say between them that it
    corrects itself; what a model answers to a question of its own, with which it goes on, does not count. The reasoning
    may name any option, and is not held against the answer.
    """

    def read(sample: Sample, text: str) -> Value:
        marks = list(_ANSWER_MARK.finditer(text))[:_MOST_MARKS]
        if not marks:
            return None
        ends = [*(mark.start() for mark in marks[1:]), len(text)]
        value: Value = None
        said = ""
        for mark, end in zip(marks, ends, strict=True):
            part = text[mark.end() : end]
            now = inner.read_text(sample, part.strip("*_` \t\r\n"))
            if value is not None and now != value and not corrects_itself(said):
                return None
            value, said = now, part
            if value is not None and goes_on_asking(part):
                break
        return value

    return replace(inner, name=name, read_text=read, version=_COT_READER + inner.version)


def _in_json(name: str, inner: Reader) -> Reader:
    """What the object holds, read by the `inner` reader; what is no such object was not held, and is not read."""

    def read(sample: Sample, text: str) -> Value:
        given = read_object(text)
        if given is None or isinstance(given, bool | dict):
            return None
        return inner.read_text(sample, given if isinstance(given, str) else json.dumps(given, ensure_ascii=False))

    return replace(inner, name=name, read_text=read, version=_JSON_READER + inner.version, survives_cut=False)


def _letter(sample: Sample, text: str) -> Value:
    options = sample.example.options
    cut = sample.finish == "length"
    # What was cut may have gone on: "the question cannot be answered by the notes alone, but A is likely".
    return find_letter(text, options, cut=cut) or (None if cut else option_without_answer(text, options))


def _mirage(sample: Sample, text: str) -> Value:
    return mirage_letter(text) or "A"


def _mirage_strict(sample: Sample, text: str) -> Value:
    return mirage_letter(text)


def _mirage_declines(text: str) -> bool:
    return is_refusal(text) or _DECLINED.match(mirage_answer(text)) is not None


def _label(sample: Sample, text: str) -> Value:
    """The letter of the only option whose text is named and not denied.

    "neutral, since neither entailment nor contradiction holds" is neutral; "entailment or neutral" is neither, nor is
    "not entailment". The longest label first ("not enough information" is no "enough"). What is asked is not named ("to
    say if it is supported"), and a label whose value is no is denied ("supported: no").
    """
    lines = "\n".join(" ".join(line.split()) for line in _folded(text).splitlines() if line.strip())
    words = _ASKED.sub(lambda asked: " " * len(asked.group()), lines).replace("\n", " ")
    letters = {" ".join(_folded(label).split()): letter for letter, label in sample.example.options.items()}
    labels = "|".join(re.escape(label) for label in sorted(letters, key=len, reverse=True) if label)
    if not labels:
        return None
    named: set[str] = set()
    denied: set[str] = set()
    since = 0
    for match in re.finditer(rf"(?<!\w)(?:{labels})(?!\w)", words):
        value = _VALUE_NO.match(lines, match.end())
        no = value or _is_denied(words, match.start(), match.end(), since=since)
        (denied if no else named).add(letters[match.group()])
        since = value.end() if value else since  # a value denies its own label, and not the next one
    return named.pop() if len(named) == 1 and not named & denied else None


def _folded(text: str) -> str:
    return text.replace("’", "'").casefold()


def _is_denied(words: str, start: int, end: int, *, since: int = 0) -> bool:
    return _denies(words[max(since, start - 80) : start], words[end : end + 80])


@lru_cache(maxsize=256)  # a text that names one thing over and over says the same each time
def _denies(before: str, after: str) -> bool:
    last = " ".join(_WORD.findall(_CLAUSE_END.split(before)[-1])[-4:])
    return bool(_DENIAL.search(last) or _RULED_OUT.match(after))


def _text(sample: Sample, text: str) -> Value:
    return text.strip() if _says_something(text) else None


def _says_something(text: str) -> bool:
    return any(map(str.isalnum, text))


def _list(sample: Sample, text: str) -> Value:
    """Entries between semicolons or on lines of their own, without bullets and numbers; each once, in order.

    A line that ends in a colon is a heading, a sentence beside bullets is none of them, nor is an entry without a
    letter or digit. A JSON list of texts is one, with words around it too, and may be empty; other JSON is none.
    """
    if is_refusal(text):
        return None
    text = seen(_FENCE.sub("", text)).strip()
    given = _json_list(text)
    if given is not None:
        return tuple(dict.fromkeys(given)) if all(isinstance(entry, str) for entry in given) else None
    if text.startswith("{") or any(_is_object(part) for part in _in_braces(text)):
        return None
    lines = [line for line in _LEAD_IN.sub("", text.strip(), count=1).splitlines() if line.strip()]
    if sum(_BULLET.match(line) is not None for line in lines) > 1:
        lines = [line for line in lines if _BULLET.match(line) or not _SENTENCE.match(line)]
    parts = [_BULLET.sub("", part).strip(" \t.;*_`") for line in lines for part in line.split(";") if part]
    entries = tuple(dict.fromkeys(part for part in parts if _says_something(part) and not part.endswith(":")))
    return entries or None


def _json_list(text: str) -> list[Any] | None:
    """The JSON list that a text is, whatever is in it, or holds between its first and its last bracket, where that is a
    list of texts ("aspirin [1]" is none).
    """
    start, end = text.find("["), text.rfind("]") + 1
    with suppress(ValueError, RecursionError):
        given = parse_json(text[start:end]) if 0 <= start < end else None
        if isinstance(given, list) and (text == text[start:end] or (given and all(isinstance(e, str) for e in given))):
            return given
    return None


def _is_object(text: str) -> bool:
    with suppress(ValueError, RecursionError):
        return isinstance(parse_json(text), dict)
    return False


def _codes(sample: Sample, text: str) -> Value:
    """ICD-10 codes, in capital letters with their point, each once, in order.

    One that is denied is none. In small letters a code has its point, or stands alone between separators (p53 is none).
    """
    codes: dict[str, None] = {}
    folded = _folded(text)
    same_places = len(text) == len(text.upper()) == len(folded)
    for match in _CODE.finditer(text.upper()):
        rest = match[2] or match[3]
        code = f"{match[1]}.{rest}" if rest else match[1]
        if code not in codes and (not same_places or _is_meant(match, text, folded)):
            codes[code] = None
    return tuple(codes) or None


def _is_meant(match: re.Match[str], text: str, folded: str) -> bool:
    """Whether what looks like a code is one, and is not denied."""
    start, end = match.span()
    before, after = text[max(0, start - 20) : start], text[end : end + 2]
    if match.group() != text[start:end] and not match[2]:
        alone = _SEPARATED_BEFORE.search(before) and _SEPARATED_AFTER.match(after)
        if not alone:
            return False
    return not _VITAMIN.search(before) and not _is_denied(folded, start, end)


def _json(sample: Sample, text: str) -> Value:
    """The only JSON object of a text, whatever stands around it; one of more than 50 levels is not read, nor is one in
    which a key stands twice.
    """
    found: list[Any] = []
    for part in _in_braces(text):
        with suppress(ValueError, RecursionError):
            value: Any = parse_json(part, finite=True, unique=True)
            if not _is_shallow(value):
                return None
            if value not in found:
                found.append(value)
    return found[0] if len(found) == 1 else None


def _in_braces(text: str) -> Iterable[str]:
    """The stretches from a brace to the one that closes it; braces within quotes do not count."""
    depth = start = 0
    for mark in _BRACE.finditer(text):
        brace = text[mark.start()]
        if brace == "{":
            start = start if depth else mark.start()
            depth += 1
        elif brace == "}" and depth:
            depth -= 1
            if not depth:
                yield text[start : mark.end()]


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_DEPTH):
        level = [part for whole in level if isinstance(whole, dict | list) for part in _parts(whole)]
        if not level:
            return True
    return not any(isinstance(whole, dict | list) for whole in level)


def _parts(whole: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return whole.values() if isinstance(whole, dict) else whole


def _number(sample: Sample, text: str) -> Value:
    """The only number of a text, or the only one that is stated to be the answer; one that is denied does not count.

    None where there are several, or where one goes on with what is not read (10⁹, 1½).
    """
    numbered = (match for match in _NUMBER.finditer(text) if match["number"])
    found = list(islice(numbered, _MOST_NUMBERS + 1))
    if len(found) > _MOST_NUMBERS or any(match["more"] for match in found):
        return None
    stated = [match for match in found if _STATED_NUMBER.search(text[max(0, match.start() - 20) : match.start()])]
    folded = _folded(text)
    exact = len(folded) == len(text)
    kept = [m for m in stated or found if not (exact and _is_denied(folded, m.start(), m.end()))]
    numbers = {float(match["number"].translate(_DASHES)) for match in kept}
    return numbers.pop() if len(numbers) == 1 and all(map(math.isfinite, numbers)) else None


def _likelihood(lengths_of: Callable[[Sample], Sequence[int]]) -> Callable[[Sample, str], Value]:
    """The letter of the option with the highest log-likelihood, each divided by the length of its continuation."""

    def read(sample: Sample, text: str) -> Value:
        logprobs, letters, lengths = sample.option_logprobs, list(sample.example.options), lengths_of(sample)
        if not logprobs:
            return None
        if not len(logprobs) == len(letters) == len(lengths):
            raise DataError(
                f"sample '{sample.example.id}' of arm '{sample.arm}', task '{sample.task}' holds {len(logprobs)} "
                f"log-likelihoods of {len(letters)} options and {len(lengths)} lengths to divide them by; choose a "
                "reader that needs less, such as likelihood"
            )
        values = [logprob / max(1, length) for logprob, length in zip(logprobs, lengths, strict=True)]
        return letters[values.index(max(values))]

    return read


def _recorded(sample: Sample, text: str) -> Value:
    """Answers that another program read: their values stand in the scores that came with them."""
    return None


_LENGTHS: dict[str, Callable[[Sample], Sequence[int]]] = {
    "likelihood": lambda sample: [1] * len(sample.option_logprobs),
    "likelihood-tokens": lambda sample: sample.option_tokens,
    "likelihood-characters": lambda sample: [len(text) for text in sample.continuations],
}
READERS: dict[str, Reader] = {
    reader.name: reader
    for reader in (
        Reader("letter", _letter, version=5, survives_cut=True, needs_options=True),
        Reader("label", _label, version=4, survives_cut=True, needs_options=True),
        Reader("text", _text, version=2, declines=lambda text: False),
        Reader("list", _list, version=3),
        Reader("codes", _codes, version=3),
        Reader("json", _json, version=3),
        Reader("number", _number, version=3),
        Reader("mirage", _mirage, survives_cut=True, needs_options=True, letters_alone=True),
        Reader(
            "mirage-strict",
            _mirage_strict,
            version=2,
            survives_cut=True,
            declines=_mirage_declines,
            needs_options=True,
            letters_alone=True,
        ),
        Reader("clue-label", clue.read_label, survives_cut=True, needs_options=True, letters_alone=True),
        Reader("clue-choice", clue.read_choice, survives_cut=True, needs_options=True, letters_alone=True),
        Reader("clue-codes", clue.read_codes),
        *(
            Reader(name, _likelihood(lengths_of), survives_cut=True, needs_options=True, needs_text=False)
            for name, lengths_of in _LENGTHS.items()
        ),
        Reader("recorded", _recorded, needs_text=False),
    )
}
LIKELIHOODS = {"none": "likelihood", "tokens": "likelihood-tokens", "characters": "likelihood-characters"}
"""How log-likelihoods are normalised -> the reader that does so."""
