"""Reads MedQuAD (XML of questions that NIH pages answer): one question with its answer -> one document.

The text is the question, the other names of what it is about, and the answer. The names are there because patients
and records use them; UMLS concept codes are not, since to an embedder they are noise.

A recipe may take a part of the set: `folders: [4_MPlus_Health_Topics_QA]` reads the files of these folders alone, and
`synonyms: required` the files alone that give other names. What is left out so is Ignored, and counted.

Paper: Ben Abacha and Demner-Fushman 2019, "A question-entailment approach to question answering", BMC Bioinformatics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from ragmed.corpora.members import Member, read_members
from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected, one_of
from ragmed.corpora.safe_xml import parse_xml
from ragmed.errors import DataError
from ragmed.records import Document

SUFFIXES = (".xml",)


def _check_folders(value: object) -> str:
    whole = isinstance(value, list) and value and all(isinstance(one, str) and one.strip() for one in value)
    return "" if whole else "is a list of folder names of the set, such as [6_NINDS_QA]"


OPTIONS: Mapping[str, OptionCheck] = {"folders": _check_folders, "synonyms": one_of("any", "required")}

PUBLISHERS = {
    "ADAM": "A.D.A.M. Medical Encyclopedia, MedlinePlus",
    "CDC": "Centers for Disease Control and Prevention",
    "CancerGov": "National Cancer Institute",
    "GARD": "Genetic and Rare Diseases Information Center",
    "GHR": "Genetics Home Reference",
    "MPlusDrugs": "MedlinePlus Drugs",
    "MPlusHealthTopics": "MedlinePlus Health Topics",
    "MPlusHerbsSupplements": "MedlinePlus Herbs and Supplements",
    "NHLBI": "National Heart, Lung, and Blood Institute",
    "NIDDK": "National Institute of Diabetes and Digestive and Kidney Diseases",
    "NIHSeniorHealth": "NIH SeniorHealth",
    "NINDS": "National Institute of Neurological Disorders and Stroke",
}
"""The short names of the files -> who that is."""

# A few files are of an older make: the same in lower case, with shorter names.
_ROOTS = ("Document", "DiseaseFile", "doc")
_PAIR = ("QAPair", "pair")
_FOCUS = ("Focus", "doctitle-focus")


_SPACES = re.compile(r"[ \t]{2,}(?P<item>(?:-[ \t]+)+)?")


@dataclass(frozen=True, slots=True)
class QA:
    """A question with its answer. `document`: the id of its document; `kind`: `treatment`, `symptoms`, …; `concepts`:
    the UMLS ids of what it is about."""

    document: str
    question: str
    answer: str
    focus: str
    kind: str
    publisher: str
    url: str
    synonyms: tuple[str, ...]
    file: str
    concepts: tuple[str, ...] = ()


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """>>> next(read(recipe)).document.id  # doctest: +SKIP
    '1_CancerGov_QA/0000001_1/1'

    A document's id is the path of its file and the number of the pair in it: ids of files repeat in the set. A pair
    without an answer is Rejected (the publisher withdrew some answers and left the questions), and so is a file that
    is no MedQuAD. DataError names a folder that the recipe asks for and no file lies in.
    """
    for item in _records(recipe):
        yield Found(_document(item, recipe), item.file) if isinstance(item, QA) else item


def pairs(recipe: Recipe) -> Iterator[QA]:
    """The questions and answers themselves, in the order of `read`, those that it rejects left out."""
    return (item for item in _records(recipe) if isinstance(item, QA))


def terms(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Each concept with each of its names, in the order of `read`: what pages are about, and its other names."""
    for qa in pairs(recipe):
        for name in (qa.focus, *qa.synonyms):
            yield from ((concept, name) for concept in qa.concepts if name)


def _records(recipe: Recipe) -> Iterator[QA | Rejected | Ignored]:
    folders = set(recipe.options.get("folders", ()))
    named = recipe.options.get("synonyms") == "required"
    seen: set[str] = set()

    def read_member(member: Member) -> Iterator[QA | Rejected | Ignored]:
        inside = folders.intersection(PurePosixPath(member.name).parts[:-1])
        seen.update(inside)
        if folders and not inside:
            return iter([Ignored(member.file, "in a folder that the recipe leaves out")])
        return _of_file(member, named=named)

    yield from read_members(recipe, SUFFIXES, read_member)
    if folders - seen:
        raise DataError(f"corpus '{recipe.name}': no file lies in a folder '{min(folders - seen)}'; correct 'folders'")


def _of_file(member: Member, *, named: bool) -> Iterator[QA | Rejected | Ignored]:
    """`named`: files that give no other names are left out."""
    root = parse_xml(member.read())
    if root.tag not in _ROOTS:
        raise ValueError(f"its root is <{root.tag}>, <Document> was expected: not a file of MedQuAD")
    found = [element for element in root.iter() if element.tag in _PAIR]
    names, concepts = _all(root, "synonym"), _all(root, "cui")  # of the whole file: not to be sought for each pair
    if not found or (named and not names):
        yield Ignored(member.file, "gives no other names" if found else "holds no question")
        return
    for number, pair in enumerate(found, 1):
        yield _qa(pair, root, member, names=names, concepts=concepts) or Rejected(member.file, 0, _lack(pair, number))


def _qa(
    pair: Element, root: Element, member: Member, *, names: tuple[str, ...], concepts: tuple[str, ...]
) -> QA | None:
    question, answer = _question(pair), _answer(pair)
    if not question or not answer:
        return None
    asked = _child(pair, "question")
    return QA(
        document=f"{PurePosixPath(member.name).with_suffix('')}/{pair.get('pid', '')}",
        question=question,
        answer=answer,
        focus=" ".join(next((e.text or "" for e in root if e.tag in _FOCUS), "").split()),
        kind=asked.get("qtype", "") if asked is not None else "",
        publisher=root.get("source") or root.get("corpus") or "",
        url=root.get("url", ""),
        synonyms=names,
        file=member.file,
        concepts=concepts,
    )


def _lack(pair: Element, number: int) -> str:
    return f"pair {pair.get('pid') or number} has no {'answer' if _question(pair) else 'question'}"


def _question(pair: Element) -> str:
    """The files end questions in ` ?` or `? ?`."""
    text = " ".join(_text(_child(pair, "question")).split())
    bare = text.rstrip("? ")
    return (bare if bare == text else bare + "?").lstrip("?")


def _answer(pair: Element) -> str:
    """Paragraphs and list items on lines of their own: the files keep them apart by runs of spaces, or blank lines."""
    text = "\n".join(line.strip() for line in _text(_child(pair, "answer")).strip().split("\n"))
    return re.sub(r"\n{2,}", "\n\n", _SPACES.sub(_kept_apart, text))


def _kept_apart(spaces: re.Match[str]) -> str:
    if spaces["item"]:
        return "\n- "
    return "\n\n" if len(spaces[0]) >= 4 else " "


def _document(qa: QA, recipe: Recipe) -> Document:
    title = qa.focus or qa.question
    publisher = PUBLISHERS.get(qa.publisher, qa.publisher)
    also = f"Also called: {'; '.join(qa.synonyms)}" if qa.synonyms else ""
    return recipe.document(
        qa.document,
        title,
        "\n\n".join(part for part in (qa.question, also, qa.answer) if part),
        source=qa.url or publisher,
        citation=" ".join(part for part in (f"{publisher}: {title}." if publisher else f"{title}.", qa.url) if part),
    )


def _child(pair: Element, name: str) -> Element | None:
    return next((child for child in pair if child.tag.lower() == name), None)


def _text(element: Element | None) -> str:
    return "" if element is None else "".join(element.itertext())


def _all(root: Element, name: str) -> tuple[str, ...]:
    """Texts of all elements of a name, in order, each once."""
    texts = (" ".join((element.text or "").split()) for element in root.iter() if element.tag.lower() == name)
    return tuple(dict.fromkeys(text for text in texts if text))
