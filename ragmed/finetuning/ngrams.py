"""Questions and other texts to be found in, the texts that hold them out: word for word, however they are written.

Words are compared after folding (NFKD without accents, case folded, punctuation a gap, entities resolved, Cyrillic
letters that look Latin taken for Latin), so that no case, dash, quote or line break hides a question. Markup and
characters that nobody sees (soft hyphens, zero-width blanks) may stand within a word or between two: a text that holds
any is read both ways.
"""

from __future__ import annotations

import html
import itertools
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from ragmed.records import Example

FEWEST = 4
"""A question of fewer words is no sentence of its own: it would be found everywhere."""

Run = tuple[str, ...]

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
_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u03bf\u0131\u0251", "aeopcyxijsoia"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A text to be found, such as a question. `runs`: all its runs of `length` words, in order; `total`: how many
    different ones count, `need`: how many of these make a match.

    `beside`: where there are any, one of these (words between blanks) must stand in the text as well. `common`: runs
    that identify nothing, such as those of a template; they are looked for nowhere and do not count.
    """

    task: str
    example: str
    kind: str
    length: int
    runs: tuple[Run, ...]
    total: int
    need: int
    beside: tuple[str, ...] = ()
    common: frozenset[Run] = frozenset()

    def without(self, common: frozenset[Run], *, share: float) -> Target:
        """The same, of whose other runs a `share` makes a match; `total` is 0 where there are no others."""
        total = len(set(self.runs) - common)
        return replace(self, common=common, total=total, need=_least(share, total))


@dataclass(frozen=True, slots=True)
class Match:
    """`score`: the share of the target's runs that the text holds. `shared`: the longest stretch of words of both."""

    target: Target
    score: float
    shared: str


class Finder:
    """>>> finder = Finder([text_target("t", "q1", "question", words, length=8, share=0.5)])  # doctest: +SKIP
    >>> [(one.target.example, one.score) for one in finder.find("Long text ...")]  # doctest: +SKIP
    [('q1', 0.75)]

    Holds the targets' runs; a text is read once, and nothing of it is kept.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._by_run: dict[int, dict[Run, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, target in enumerate(targets):
            for run in set(target.runs) - target.common:
                self._by_run[target.length][run].append(number)
        self._shortest = min(self._by_run, default=2)
        self._pairs = {pair for runs in self._by_run.values() for run in runs for pair in itertools.pairwise(run)}

    def find(self, text: str) -> list[Match]:
        """The targets that a text holds, each once, with the better of the text's readings; in no order."""
        best: dict[tuple[str, str, str], Match] = {}
        for words in readings(text):
            for match in self.find_words(words):
                key = (match.target.task, match.target.example, match.target.kind)
                if key not in best or match.score > best[key].score:
                    best[key] = match
        return list(best.values())

    def find_words(self, words: Sequence[str]) -> Iterator[Match]:
        """The same for one reading of a text."""
        held = self._held(words)
        counts = Counter(
            number for length, runs in held.items() for run in runs for number in self._by_run[length][run]
        )
        for number, count in sorted(counts.items()):
            target = self._targets[number]
            if count >= target.need and holds_one(target.beside, words):
                yield Match(target, count / target.total, _stretch(target, held[target.length]))

    def _held(self, words: Sequence[str]) -> dict[int, set[Run]]:
        """Length -> the runs of targets that stand in the words."""
        held: dict[int, set[Run]] = {}
        for start, stop in self._stretches(words):
            part = words[start:stop]
            for length, by_run in self._by_run.items():
                found = {run for run in runs_of(part, length) if run in by_run}
                if found:
                    held.setdefault(length, set()).update(found)
        return held

    def _stretches(self, words: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Where each two neighbours are neighbours in some target, too: all others can hold none of its runs."""
        pairs, start = self._pairs, 0
        for place, pair in enumerate(itertools.pairwise(words), 1):
            if pair not in pairs:
                if place - start >= self._shortest:
                    yield start, place
                start = place
        if len(words) - start >= self._shortest:
            yield start, len(words)


def readings(text: str) -> list[list[str]]:
    """>>> readings("The <b>Heart\\u2019s</b> rate")
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
    """>>> words_of("Na\\u00efve T-cells")
    ['naive', 't', 'cells']
    """
    if text.isascii():
        return _WORD.findall(text.lower())
    text = unicodedata.normalize("NFKD", text)
    text = "".join(one for one in text if not unicodedata.combining(one))
    return _WORD.findall(text.casefold().translate(_ALIKE))


def question_targets(task: str, example: Example, *, length: int, share: float) -> Iterator[Target]:
    """The question in each of its readings. One shorter than `length` words is found whole, from FEWEST words on; one
    that only begins a sentence, which its options end, where one of them stands in the text, too.
    """
    for words in readings(example.question):
        if len(words) >= length:
            yield text_target(task, example.id, "question", words, length=length, share=share)
        elif len(words) >= FEWEST:
            whole = (tuple(words),)
            yield Target(task, example.id, "question", len(words), whole, 1, 1, _endings(example))


def text_target(task: str, example: str, kind: str, words: Sequence[str], *, length: int, share: float) -> Target:
    """Any text of at least `length` words, of whose runs a `share` makes a match."""
    runs = tuple(runs_of(words, length))
    total = len(set(runs))
    return Target(task, example, kind, length, runs, total, _least(share, total))


def _least(share: float, total: int) -> int:
    """A whole number of runs, one at least: what is a hair above it in binary is not one more."""
    return max(1, math.ceil(share * total - 1e-9))


def runs_of(words: Sequence[str], length: int) -> Iterator[Run]:
    """>>> list(runs_of(["a", "b", "c"], 2))
    [('a', 'b'), ('b', 'c')]
    """
    return zip(*(itertools.islice(words, start, None) for start in range(length)), strict=False)


def holds_one(parts: Collection[str], words: Sequence[str]) -> bool:
    """Whether one of the parts (words between blanks) stands in the words; true where there are none to look for."""
    line = f" {' '.join(words)} " if parts else ""
    return not parts or any(part in line for part in parts)


def _endings(example: Example) -> tuple[str, ...]:
    """The options of a question that does not ask, as words between blanks; none for one that does."""
    if example.question.rstrip(" *_\"'\u201d\u2019").endswith("?"):
        return ()
    return tuple(f" {' '.join(words)} " for option in example.options.values() for words in readings(option) if words)


def _stretch(target: Target, held: set[Run]) -> str:
    """The longest stretch of the target's words whose runs are all held."""
    longest: tuple[int, int] = (0, 0)
    start = 0
    for place, run in enumerate(target.runs):
        if run not in held:
            start = place + 1
        elif place + 1 - start > longest[1] - longest[0]:
            longest = (start, place + 1)
    first, end = longest
    words = [*target.runs[first], *(run[-1] for run in target.runs[first + 1 : end])]
    return " ".join(words)
