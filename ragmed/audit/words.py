"""Examples and texts of a source in, findings of the same words out: identical, n-grams, beside the answer."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ragmed.audit.findings import Finding, Findings, Kind
from ragmed.audit.sources import SourceText
from ragmed.matching.ngrams import Finder, Match, Ngram, Target, question_targets, text_targets
from ragmed.matching.words import FEWEST, between_blanks, is_question, readings, shortened
from ragmed.records import Example
from ragmed.tasks.words import gold_text

TEMPLATE = 5
"""An n-gram of so many questions of a task belongs to their form, and identifies none of them."""
TEMPLATE_WHOLE = 2
"""The same for a question that is shorter than an n-gram, and looked for whole."""
NOT_TELLING = frozenset(["yes", "no", "maybe", "true", "false", "none", "all", "of", "the", "these", "above", "both"])
DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"<>]+")
_SHORT = 200  # characters: texts in which a question of a few words could be all there is
_LETTERS = 3
_HAIR = 1e-9  # what a share may be below the threshold for being a binary fraction
NEARLY = 0.85
"""What shares so much with a question is the question, with a word or two changed."""

Key = tuple[str, str]
Gold = Mapping[Key, Collection[str]]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is looked for of all examples: by (task, example)."""

    equal: Mapping[str, Sequence[Key]]
    asking: frozenset[Key]
    answers: Mapping[Key, tuple[str, ...]]
    dois: Mapping[str, Sequence[Key]]
    finder: Finder
    unfindable: Mapping[str, int]


class WordAudit:
    """
        audit = WordAudit({"medqa": examples}, length=8, share=0.5)
        audit.scan(texts_of_passages(iter(index)), "index handbook", findings)  # 200

    The questions are held, the texts are read once. `length`: words an n-gram; `share`: the share of a question's
    n-grams in one text from which it counts as standing there.
    """

    def __init__(self, examples: Mapping[str, Sequence[Example]], *, length: int, share: float) -> None:
        self._length, self._share = length, share
        self._wanted = _wanted(examples, length, share)

    @property
    def unfindable(self) -> Mapping[str, int]:
        """Task -> how many of its questions have no n-gram of their own."""
        return self._wanted.unfindable

    def scan(
        self, texts: Iterable[SourceText], source: str, findings: Findings, *, gold: Gold = MappingProxyType({})
    ) -> int:
        """How many texts there were; `findings` gets what was found.

        `gold`: (task, example) -> keys of the documents that the example names as holding its answer. A question made
        from a document shares phrases with it: there only the whole of it counts, NEARLY at least.
        """
        count = 0
        for text in texts:
            count += 1
            self._same_title(text, source, findings)
            self._words(text, source, findings, gold)
            if self._wanted.dois:
                self._named(text, source, findings)
        return count

    def _same_title(self, text: SourceText, source: str, findings: Findings) -> None:
        for called, title in text.titles:
            for words in readings(title):
                for key in self._wanted.equal.get(" ".join(words), ()):
                    counts = len(words) >= FEWEST or key in self._wanted.asking  # "Vitamin K" is a topic
                    what = f"the question is the {called}: {shortened(title)}"
                    findings.add(*key, "same", _finding("identity", what, source, text, 1.0, counts=counts))
        if len(text.text) <= _SHORT:
            self._same_text(text, source, findings)

    def _same_text(self, text: SourceText, source: str, findings: Findings) -> None:
        for words in readings(text.text):
            for key in self._wanted.equal.get(" ".join(words), ()):
                what = "the question is the whole text"
                findings.add(*key, "same", _finding("identity", what, source, text, 1.0, counts=True))

    def _words(self, text: SourceText, source: str, findings: Findings, gold: Gold) -> None:
        parts = [*(title for _, title in text.titles), text.text]  # one by one: no n-gram goes from one to the next
        matches = [match for part in parts for match in self._wanted.finder.find(part)]
        lines = [between_blanks(words) for part in parts for words in readings(part)] if matches else []
        for match in matches:
            key = (match.target.task, match.target.example)
            if match.target.kind == "answer":
                what = f'its answer: "{shortened(match.shared)}"'
                findings.add(*key, "answer", _finding("ngram", what, source, text, match.score, counts=False))
                continue
            beside = any(answer in line for answer in self._wanted.answers.get(key, ()) for line in lines)
            enough = match.score >= self._share - _HAIR
            if enough or beside:
                part = "question" if match.score == 1.0 else "part of the question"
                what = f'{part}{" and its answer" if beside else ""}: "{shortened(match.shared)}"'
                counts = enough and self._counts(match, key, elsewhere=text.document not in gold.get(key, ()))
                findings.add(*key, "question", _finding("ngram", what, source, text, match.score, counts=counts))
            if match.score == 1.0 and len(text.text) > _SHORT:
                self._same_text(text, source, findings)

    def _counts(self, match: Match, key: Key, *, elsewhere: bool) -> bool:
        """Of what is found in `share` of its n-grams or more. A stem shorter than one is an ordinary phrase."""
        if match.target.length < self._length:
            return key in self._wanted.asking
        return elsewhere or match.score >= NEARLY

    def _named(self, text: SourceText, source: str, findings: Findings) -> None:
        for doi in dois(f"{text.cited} {text.text}"):
            for task, example in self._wanted.dois.get(doi, ()):
                what = f"the document that it names: doi {doi}"
                findings.add(task, example, f"doi {doi}", _finding("identity", what, source, text, 1.0, counts=False))


def dois(text: str) -> Iterator[str]:
    """
    >>> list(dois("see https://doi.org/10.1000/AB-1."))
    ['10.1000/ab-1']
    """
    if "10." in text:
        for doi in DOI.findall(text):
            yield doi.rstrip(".,;:)]}'").casefold()


def _tells(words: Sequence[str]) -> bool:
    """Whether an answer is more than a word that stands in any text, or a letter or two."""
    return sum(len(word) for word in words if word not in NOT_TELLING) > _LETTERS


def answer_text(example: Example) -> str:
    """The right answer in words: the text of the right option, where there are options."""
    gold = gold_text(example)
    return example.options.get(gold, gold)


def _finding(kind: Kind, what: str, source: str, text: SourceText, score: float, *, counts: bool) -> Finding:
    return Finding(kind, what, source, text.document, text.passage, score, counts)


def _wanted(examples: Mapping[str, Sequence[Example]], length: int, share: float) -> _Wanted:
    equal: dict[str, list[Key]] = defaultdict(list)
    named: dict[str, list[Key]] = defaultdict(list)
    answers: dict[Key, tuple[str, ...]] = {}
    asking: set[Key] = set()
    targets: list[Target] = []
    unfindable: dict[str, int] = {}
    for task, many in examples.items():
        mine, missing = _targets(task, many, length, share)
        targets += mine
        unfindable |= {task: missing} if missing else {}
        for example in many:
            key = (task, example.id)
            for words in readings(example.text):
                if len(words) > 1:
                    equal[" ".join(words)].append(key)
            if is_question(example.text):
                asking.add(key)
            telling = tuple(between_blanks(words) for words in readings(answer_text(example)) if _tells(words))
            if telling:
                answers[key] = telling
            for doi in dict.fromkeys(dois(" ".join([example.id, example.text, *example.options.values()]))):
                named[doi].append(key)
    return _Wanted(equal, frozenset(asking), answers, named, Finder(targets), unfindable)


def _targets(task: str, examples: Sequence[Example], length: int, share: float) -> tuple[list[Target], int]:
    """What is looked for of a task, without the n-grams of its questions' form; how many questions have no others."""
    by_example = {example.id: list(question_targets(task, example, length=length, share=share)) for example in examples}
    common = _common(by_example.values())
    targets: list[Target] = []
    missing = 0
    for example in examples:
        own = [target.without(common, share=share / 2) for target in by_example[example.id]]
        kept = [target for target in own if target.total]
        missing += not kept
        targets += kept
        targets += text_targets(task, example.id, "answer", answer_text(example), length=length, share=share)
    return targets, missing


def _common(targets_by_example: Iterable[Sequence[Target]]) -> frozenset[Ngram]:
    counts: Counter[Ngram] = Counter()
    whole: set[Ngram] = set()
    for targets in targets_by_example:
        counts.update({ngram for target in targets for ngram in target.ngrams})
        whole.update(target.ngrams[0] for target in targets if len(target.ngrams) == 1)
    return frozenset(
        ngram for ngram, count in counts.items() if count >= (TEMPLATE_WHOLE if ngram in whole else TEMPLATE)
    )
