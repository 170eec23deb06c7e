"""Questions and other texts to be found in, the texts that hold their n-grams out: word for word, however written."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ragmed.matching.words import FEWEST, between_blanks, holds_any, is_question, readings
from ragmed.records import Example

Ngram = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A text to be found, such as a question. `ngrams`: all its n-grams of `length` words, in order; `total`: how many
    different ones count, `need`: how many of these make a match.

    `beside`: where there are any, one of these (words between blanks) must stand in the text as well. `common`: n-grams
    that identify nothing, such as those of a template; they are looked for nowhere and do not count.
    """

    task: str
    example: str
    kind: str
    length: int
    ngrams: tuple[Ngram, ...]
    total: int
    need: int
    beside: tuple[str, ...] = ()
    common: frozenset[Ngram] = frozenset()

    def without(self, common: frozenset[Ngram], *, share: float) -> Target:
        """The same, of whose other n-grams a `share` makes a match; `total` is 0 where there are no others."""
        total = len(set(self.ngrams) - common)
        return replace(self, common=common, total=total, need=_least(share, total))


@dataclass(frozen=True, slots=True)
class Match:
    """`score`: the share of the target's n-grams that a text holds. `shared`: the longest stretch of words of both."""

    target: Target
    score: float
    shared: str


class Finder:
    """
    >>> question = Example("q1", "Which drug is never given in severe asthma?", gold="A")
    >>> finder = Finder(list(question_targets("t", question, length=4, share=0.5)))
    >>> [(match.target.example, match.score) for match in finder.find("It is never given in severe asthma.")]
    [('q1', 0.6)]

    Holds the targets' n-grams; a text is read once, and nothing of it is kept.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._by_ngram: dict[int, dict[Ngram, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, target in enumerate(targets):
            for ngram in set(target.ngrams) - target.common:
                self._by_ngram[target.length][ngram].append(number)
        self._shortest = min(self._by_ngram, default=2)
        self._pairs = {
            pair for ngrams in self._by_ngram.values() for ngram in ngrams for pair in itertools.pairwise(ngram)
        }

    def find(self, text: str) -> list[Match]:
        """The targets that a text holds, each once, with the better of the text's readings; in no order."""
        best: dict[tuple[str, str, str], Match] = {}
        for words in readings(text):
            for match in self._find_words(words):
                key = (match.target.task, match.target.example, match.target.kind)
                if key not in best or match.score > best[key].score:
                    best[key] = match
        return list(best.values())

    def _find_words(self, words: Sequence[str]) -> Iterator[Match]:
        held = self._held(words)
        counts = Counter(
            number for length, ngrams in held.items() for ngram in ngrams for number in self._by_ngram[length][ngram]
        )
        for number, count in sorted(counts.items()):
            target = self._targets[number]
            if count >= target.need and (not target.beside or holds_any(words, target.beside)):
                yield Match(target, count / target.total, _longest_stretch(target, held[target.length]))

    def _held(self, words: Sequence[str]) -> dict[int, set[Ngram]]:
        """Length -> the n-grams of targets that stand in the words."""
        held: dict[int, set[Ngram]] = {}
        for start, stop in self._stretches(words):
            part = words[start:stop]
            for length, by_ngram in self._by_ngram.items():
                known = {ngram for ngram in ngrams_of(part, length) if ngram in by_ngram}
                if known:
                    held.setdefault(length, set()).update(known)
        return held

    def _stretches(self, words: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Where each two neighbours are neighbours in some target, too: all others can hold none of its n-grams."""
        pairs, start = self._pairs, 0
        for position, pair in enumerate(itertools.pairwise(words), 1):
            if pair not in pairs:
                if position - start >= self._shortest:
                    yield start, position
                start = position
        if len(words) - start >= self._shortest:
            yield start, len(words)


def question_targets(task: str, example: Example, *, length: int, share: float) -> Iterator[Target]:
    """The question in each of its readings. One shorter than `length` words is found whole, from FEWEST words on; one
    that only begins a sentence, which its options end, where one of them stands in the text, too.
    """
    for words in readings(example.text):
        if len(words) >= length:
            yield _target(task, example.id, "question", words, length=length, share=share)
        elif len(words) >= FEWEST:
            whole = (tuple(words),)
            yield Target(task, example.id, "question", len(words), whole, 1, 1, _endings(example))


def text_targets(task: str, example: str, kind: str, text: str, *, length: int, share: float) -> Iterator[Target]:
    """Any other text, such as an option: each of its readings that has `length` words, of whose n-grams a `share` makes
    a match. A shorter one is an ordinary phrase ("acute kidney injury"), and no target.
    """
    for words in readings(text):
        if len(words) >= length:
            yield _target(task, example, kind, words, length=length, share=share)


def ngrams_of(words: Sequence[str], length: int) -> Iterator[Ngram]:
    """
    >>> list(ngrams_of(["a", "b", "c"], 2))
    [('a', 'b'), ('b', 'c')]
    """
    return zip(*(itertools.islice(words, start, None) for start in range(length)), strict=False)


def _target(task: str, example: str, kind: str, words: Sequence[str], *, length: int, share: float) -> Target:
    ngrams = tuple(ngrams_of(words, length))
    total = len(set(ngrams))
    return Target(task, example, kind, length, ngrams, total, _least(share, total))


def _least(share: float, total: int) -> int:
    """A whole number of n-grams, one at least: what is a hair above it in binary is not one more."""
    return max(1, math.ceil(share * total - 1e-9))


def _endings(example: Example) -> tuple[str, ...]:
    """The options of a stem, as words between blanks; none for a question."""
    if is_question(example.text):
        return ()
    return tuple(between_blanks(words) for option in example.options.values() for words in readings(option) if words)


def _longest_stretch(target: Target, held: set[Ngram]) -> str:
    """The longest stretch of the target's words whose n-grams are all held."""
    longest: tuple[int, int] = (0, 0)
    start = 0
    for position, ngram in enumerate(target.ngrams):
        if ngram not in held:
            start = position + 1
        elif position + 1 - start > longest[1] - longest[0]:
            longest = (start, position + 1)
    first, end = longest
    words = [*target.ngrams[first], *(ngram[-1] for ngram in target.ngrams[first + 1 : end])]
    return " ".join(words)
