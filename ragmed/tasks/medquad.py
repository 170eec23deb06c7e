"""MedQuAD's other names of a health topic (Ben Abacha and Demner-Fushman 2019): a topic in, one of four names out.

The corpus `medquad-topics` gives the names of a topic in its file, `4_MPlus_Health_Topics_QA/0000080.xml`:

    <Document id="0000080" source="MPlusHealthTopics" url="https://www.nlm.nih.gov/medlineplus/badbreath.html">
    <Focus>Bad Breath</Focus>
    <FocusAnnotations><UMLS><CUIs><CUI>C0018520</CUI></CUIs>
    <SemanticTypes><SemanticType>T184</SemanticType></SemanticTypes></UMLS>
    <Synonyms><Synonym>Halitosis</Synonym></Synonyms></FocusAnnotations>

and its reader writes them into the text, as "Also called: Halitosis". A question asks for one of them among those of
three other topics; no text of the corpus asks it, or answers it in its words, so that what is learnt is the name.

A name is asked for that cannot be read off the topic: the two share no word, no four letters at the start of a word
and no five within, neither stands for the other's initials, and it is not a mere abbreviation. Wrong names are such
names of other topics, of a kindred semantic type where there are three, whose pages and the topic's own do not speak of
each other; of these, names of about the same length, some shorter, some longer, so that length tells nothing. All is
drawn by hashes of ids, so that a question depends on the corpus alone. A fifth of the topics may be shown or trained on
(`shots`), the others are scored.

MedlinePlus lists under a topic also what readers look up there, so that a name may be narrower than its topic.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice

from ragmed.corpora.medquad import QA, pairs
from ragmed.corpora.recipe import load_recipe, require_paths
from ragmed.errors import DataError, UnknownNameError
from ragmed.records import Example
from ragmed.tasks import Split, Task
from ragmed.workspace import Workspace

CORPUS = "medquad-topics"
QUESTION = "Which of these is another name for the health topic {focus}?"
LETTERS = "ABCD"
NEAREST = 24  # so many names, by their hashes, are looked at for the three of the most similar length
DEV_SHARE = 5  # one topic in so many may be shown

_WORD = re.compile(r"[^\W_]+")
_SMALL = frozenset("a an and are as at by for from in is of on or the to with your".split())


@dataclass(frozen=True, slots=True)
class Topic:
    """What the corpus says of one focus.

    `askable`: its names that cannot be read off it. `called`: focus and names in small letters; `text`: so all pages.
    """

    focus: str
    key: str
    file: str
    documents: tuple[str, ...]
    names: tuple[str, ...]
    types: frozenset[str]
    concepts: frozenset[str]
    askable: tuple[str, ...]
    called: tuple[str, ...]
    text: str = field(repr=False)


def load(workspace: Workspace) -> Split:
    """DataError where the corpus is not at hand, or holds too few names to ask about."""
    try:
        path = workspace.recipe("corpora", CORPUS)
    except UnknownNameError as error:
        raise DataError(f"task 'medquad-names' asks about the corpus '{CORPUS}': {error}") from error
    recipe = load_recipe(path, data=workspace.data)
    require_paths(recipe)
    topics = _topics(pairs(recipe))
    splits: dict[bool, list[Example]] = {True: [], False: []}
    for topic in topics:
        example = _example(topic, topics) if topic.askable else None
        if example:
            splits[_draw("split", topic.key) % DEV_SHARE == 0].append(example)
    if not splits[False]:
        raise DataError(
            f"corpus '{CORPUS}' gives too few names that can be asked for; is it read from the right folder?"
        )
    return Split(tuple(splits[False]), tuple(splits[True]))


def _topics(found: Iterable[QA]) -> list[Topic]:
    """The topics in the order of their files; pairs on one focus, in one file or several, are one topic."""
    by_focus: dict[str, list[QA]] = {}
    for qa in found:
        if qa.focus and qa.synonyms:
            by_focus.setdefault(qa.focus.casefold(), []).append(qa)
    return [_topic(key, qas) for key, qas in by_focus.items()]


def _topic(key: str, qas: Sequence[QA]) -> Topic:
    focus = qas[0].focus
    names = tuple(dict.fromkeys(name for qa in qas for name in qa.synonyms))
    return Topic(
        focus=focus,
        key=key,
        file=qas[0].document.rpartition("/")[0],
        documents=tuple(qa.document for qa in qas),
        names=names,
        types=frozenset(one for qa in qas for one in qa.semantic_types),
        concepts=frozenset(one for qa in qas for one in qa.cuis),
        askable=tuple(name for name in names if _in_words(name) and not alike(focus, name)),
        called=tuple(_plain(name) for name in (focus, *names)),
        text=_plain(" ".join((focus, *names, *(part for qa in qas for part in (qa.question, qa.answer))))),
    )


def _example(topic: Topic, topics: Sequence[Topic]) -> Example | None:
    """The question about a topic, or None where the corpus has no three wrong names for it."""
    gold = min(topic.askable, key=lambda name: _draw("gold", topic.key, name))
    others = _wrong(topic, gold, topics)
    if len(others) < len(LETTERS) - 1:
        return None
    order = sorted((gold, *others), key=lambda name: _draw("letter", topic.key, name))
    options = dict(zip(LETTERS, order, strict=True))
    letter = next(letter for letter, name in options.items() if name == gold)
    question = QUESTION.format(focus=topic.focus)
    return Example(topic.file, question, letter, options, topic.documents, group=topic.file)


def _wrong(topic: Topic, gold: str, topics: Sequence[Topic]) -> list[str]:
    """Names of three other topics, kindred ones first."""
    wanted = len(LETTERS) - 1
    ranked = sorted(topics, key=lambda other: _draw("topic", topic.key, other.key))
    near = list(islice(_wrong_names(topic, [other for other in ranked if _kindred(topic, other)]), NEAREST))
    if len(near) < wanted:
        near = list(islice(_wrong_names(topic, sorted(ranked, key=lambda other: not _kindred(topic, other))), wanted))
    # The gold's place by length is drawn, as far as there are shorter and longer names.
    by_length = sorted([*near, gold], key=lambda name: (len(name), _draw("tie", topic.key, name)))
    at = by_length.index(gold)
    start = min(max(at - _draw("length", topic.key) % len(LETTERS), 0), max(len(near) - wanted, 0))
    return [name for name in by_length[start : start + wanted + 1] if name != gold]


def _wrong_names(topic: Topic, others: Iterable[Topic]) -> Iterator[str]:
    """A name of each topic that is none of `topic`, no name twice."""
    seen = set(topic.called)
    for other in others:
        if not other.askable or _related(topic, other):
            continue
        name = min(other.askable, key=lambda name: _draw("name", topic.key, name))
        if not alike(topic.focus, name) and _plain(name) not in seen:
            seen.add(_plain(name))
            yield name


def _kindred(topic: Topic, other: Topic) -> bool:
    return bool(topic.types & other.types) or not (topic.types or other.types)


def _related(topic: Topic, other: Topic) -> bool:
    """Whether a name of `other` might be right for `topic` too: one concept, a like name, or a mention on a page."""
    if topic.key == other.key or topic.concepts & other.concepts:
        return True
    if topic.called[0] in other.text or any(name in topic.text for name in other.called):
        return True
    return any(alike(topic.focus, name) for name in (other.focus, *other.names))


def alike(focus: str, name: str) -> bool:
    """>>> alike("High Blood Pressure", "Hypertension"), alike("Osteoporosis", "Bone loss (osteopenia)")
    (False, True)

    Whether one can be told from the other by its letters: a common word, the first four letters of one, five letters
    within one, a word of three within a longer one, or the initials.
    """
    words, others = _words(focus), _words(name)
    if any(_same_letters(one, other) for one in words for other in others):
        return True
    return _stands_for(name, focus) or _stands_for(focus, name)


def _same_letters(one: str, other: str) -> bool:
    if one == other or (min(len(one), len(other)) >= 3 and (one in other or other in one)):
        return True
    if min(len(one), len(other)) >= 4 and one[:4] == other[:4]:
        return True
    return any(one[start : start + 5] in other for start in range(len(one) - 4))


def _stands_for(short: str, long: str) -> bool:
    """Whether a word of `short` is the first letters of `long`'s words or, in capitals, letters of it in order."""
    parts = _WORD.findall(_plain(long))
    letters, initials = "".join(parts), "".join(part[0] for part in parts)
    for word in _WORD.findall(short):
        small = _plain(word)
        capitals = sum(map(str.isupper, word)) >= 2
        if capitals and small[0] == letters[:1] and _in_order(small, letters):
            return True
        if len(small) >= 3 and initials.startswith(small):
            return True
    return False


def _in_order(short: str, letters: str) -> bool:
    rest: Iterator[str] = iter(letters)
    return all(letter in rest for letter in short)


def _in_words(name: str) -> bool:
    """Not `AVM`, `H5N1` or `SSRIs`."""
    return any(len(word) >= 4 and word[1:].islower() for word in _WORD.findall(name))


@cache
def _words(text: str) -> set[str]:
    return set(_WORD.findall(_plain(text))) - _SMALL


def _plain(text: str) -> str:
    """In small letters without accents."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def _draw(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\x00".join(parts).encode()).digest()[:8])


NAMES = Task(
    name="medquad-names",
    title="Other names of MedlinePlus's health topics: four names, one right",
    kind="choice",
    instruction="You answer questions about the names of diseases, symptoms, tests and treatments.",
    load=load,
    source="MedQuAD 4_MPlus_Health_Topics_QA, github.com/abachaa/MedQuAD (Ben Abacha and Demner-Fushman 2019)",
    license="CC BY 4.0",
    metrics=("accuracy",),
    gold_documents=True,
    ids="medquad",
)
