"""Clinical concepts of an answer against those of its reference: a linker in, precision, recall and F1 out.

A linker finds concepts in a text. The one that comes along looks terms up in a lexicon, a TSV file of concept ids and
terms, longest first; `ragmed corpora lexicon` writes one from a corpus that carries concept ids (MedQuAD's CUIs and
their synonyms). CLUE's own metric is scispaCy with UMLS: `lexicon: scispacy:en_core_sci_sm` (needs `scispacy` and its
model, which are not dependencies; by its first candidate, as CLUE does).

A concept that is denied is another one than the same affirmed: "no fever" is not "fever". What is denied is decided
by rules after NegEx (Chapman et al. 2001, J Biomed Inform 34:301): a denial holds for the concepts after it, up to
the end of the sentence or a word that ends its reach (but, except, although), within eight words; "ruled out", "was
excluded", "is absent" deny what stands before. CLUE's metric knows no denial; with `scispacy:` it is told
nevertheless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from ragmed.errors import DataError, MissingDependencyError
from ragmed.files import user_path
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.gold import accepted

_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_END = re.compile(r"[.;:!?\n]+(?=\s|$)")
_BEFORE = re.compile(
    r"\b(?:no evidence of|no signs? of|no history of|negative for|free of|absence of|without|deny|denie[sd]|denying"
    r"|never had|rules? out|ruled out|not|no|nor|neither|cannot see|fails? to (?:show|reveal)|didn't have"
    r"|doesn't have)\b",
    re.IGNORECASE,
)
_NO_DENIAL = re.compile(
    r"\b(?:no (?:(?:significant|interval|definite|suspicious|further) )?(?:increase|change)|no longer than|no doubt"
    r"|not only|not necessarily|gram negative|without (?:difficulty|delay)"
    r"|(?:not|never|didn't|doesn't|don't) (?:deny|denied|denying|without)"
    r"|(?:cannot|can't|could not|couldn't|not|unable to) (?:be )?(?:rule[ds]? out|exclude[d]?))\b",
    re.IGNORECASE,
)
_VERB = re.compile(r"\s*(?:had|has|have|having|been)\b", re.IGNORECASE)  # "has not had any pain": "had" ends no reach
_REACH_ENDS = re.compile(
    r"\b(?:but|however|although|though|except|apart from|aside from|secondary to|due to|because of|yet|still has|has"
    r"|had|presents? with|complains? of|reports?|developed|started|then)\b",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"\W*(?:(?:was|were|is|are|has been|have been)\s+)?(?:ruled out|excluded|absent"
    r"|not (?:seen|found|present|detected|noted|observed|identified)|negative|unlikely|denied)\b",
    re.IGNORECASE,
)
REACH = 8  # words after a denial


@dataclass(frozen=True, slots=True)
class Concept:
    """`start`, `end`: where it stands, in characters. `denied`: whether the text says that it is not there."""

    id: str
    start: int
    end: int
    denied: bool = False


class Linker(Protocol):
    """What finds concepts in a text, in the order in which they stand."""

    def concepts(self, text: str) -> list[Concept]: ...


class Lexicon:
    """
    >>> lexicon = Lexicon({"fever": "C0015967", "low back pain": "C0024031", "back pain": "C0004604"})
    >>> [(c.id, c.denied) for c in lexicon.concepts("No fever; low back pain.")]
    [('C0015967', True), ('C0024031', False)]

    Terms, folded, and the concept, or concepts, of each: a term of several stands for all of them. The longest term
    wins, and no two overlap. Plural s of the last word counts as the same term.
    """

    def __init__(self, terms: Mapping[str, str | Sequence[str]]) -> None:
        self._terms: dict[str, list[str]] = {}
        for term, named in terms.items():
            if folded := _folded(term):
                kept = self._terms.setdefault(folded, [])
                kept += [one for one in ((named,) if isinstance(named, str) else named) if one not in kept]
        self._longest = max((term.count(" ") + 1 for term in self._terms), default=1)

    def concepts(self, text: str) -> list[Concept]:
        """By the words of the text, from left to right."""
        words = [(match.start(), match.end(), match.group().casefold()) for match in _WORD.finditer(text)]
        found, place = [], 0
        while place < len(words):
            for length in range(min(self._longest, len(words) - place), 0, -1):
                term = " ".join(word for *_, word in words[place : place + length])
                named = self._terms.get(term) or (self._terms.get(term[:-1]) if term.endswith("s") else None)
                if named:
                    start, end = words[place][0], words[place + length - 1][1]
                    denied = is_denied(text, start, end)
                    found += [Concept(concept, start, end, denied) for concept in named]
                    place += length
                    break
            else:
                place += 1
        return found


class ScispaCy:
    """CLUE's linker: entities of a scispaCy model, each by its first candidate in UMLS.

    ScispaCy(load_scispacy("en_core_sci_sm")).concepts("No fever.")
    """

    def __init__(self, nlp: Any) -> None:
        self._nlp = nlp

    def concepts(self, text: str) -> list[Concept]:
        """An entity without a candidate is none."""
        return [
            Concept(entity._.kb_ents[0][0], entity.start_char, entity.end_char,
                    is_denied(text, entity.start_char, entity.end_char))
            for entity in self._nlp(text).ents
            if entity._.kb_ents
        ]  # fmt: skip


def load_scispacy(model: str) -> Any:
    """The pipeline with the UMLS linker, as CLUE sets it up; MissingDependencyError where it is not installed."""
    try:
        import spacy
        from scispacy.linking import EntityLinker  # noqa: F401  it registers the part of the pipeline
    except ImportError as error:
        raise MissingDependencyError(
            f"lexicon 'scispacy:{model}' needs scispaCy: pip install scispacy, then the package of its model"
        ) from error
    try:
        nlp = spacy.load(model)
    except OSError as error:
        raise MissingDependencyError(f"scispaCy's model '{model}' is not installed; pip install its package") from error
    nlp.add_pipe("scispacy_linker", config={"resolve_abbreviations": True, "linker_name": "umls"})
    return nlp


def is_denied(text: str, start: int, end: int) -> bool:
    """
    >>> text = "Denies chest pain but has a cough; pneumonia was ruled out."
    >>> [is_denied(text, text.index(w), text.index(w) + len(w)) for w in ("chest pain", "cough", "pneumonia")]
    [True, False, True]
    """
    before = _END.split(text[max(0, start - 200) : start])[-1]
    before = _NO_DENIAL.sub(lambda match: "_" * len(match.group()), before)
    marks = list(_BEFORE.finditer(before))
    if marks:
        verb = _VERB.match(before, marks[-1].end())
        between = before[verb.end() if verb else marks[-1].end() :]
        if not _REACH_ENDS.search(between) and len(_WORD.findall(between)) < REACH:
            return True
    return _AFTER.match(text, end) is not None


def _folded(term: str) -> str:
    return " ".join(word.casefold() for word in _WORD.findall(term))


def read_lexicon(path: Path) -> Lexicon:
    """A TSV file, `concept TAB term` a line; a term on several lines has all their concepts. DataError names a bad
    line.
    """
    terms: dict[str, list[str]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"lexicon '{path}' cannot be read ({error}); it is UTF-8, a concept, a tab and a term a line"
        ) from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        concept, tab, term = line.partition("\t")
        if not tab or not concept.strip() or not term.strip():
            raise DataError(f"lexicon '{path}', line {number}: a concept, a tab and a term were expected")
        terms.setdefault(_folded(term), []).append(concept.strip())
    if not terms:
        raise DataError(f"lexicon '{path}' holds no term")
    return Lexicon(terms)


def concept_set(linker: Linker, text: str) -> frozenset[tuple[str, bool]]:
    """The concepts of a text, each with whether it is denied."""
    return frozenset((concept.id, concept.denied) for concept in linker.concepts(text))


def overlap(answer: frozenset[Any], reference: frozenset[Any]) -> tuple[float, float, float]:
    """
    >>> overlap(frozenset("ab"), frozenset("bcd"))
    (0.5, 0.3333333333333333, 0.4)

    Precision, recall and F1 of two sets. Where neither text has a concept they agree, and all three are 1; where one of
    them has none they are 0. (CLUE's script counts 0 for both.)
    """
    if not answer and not reference:
        return 1.0, 1.0, 1.0
    common = len(answer & reference)
    precision = common / len(answer) if answer else 0.0
    recall = common / len(reference) if reference else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if common else 0.0


@lru_cache(maxsize=2)
def _linker(lexicon: str, root: Path) -> Linker:
    scheme, _, model = lexicon.partition(":")
    if scheme == "scispacy":
        return ScispaCy(load_scispacy(model or "en_core_sci_sm"))
    return read_lexicon(root / user_path(lexicon))


def concept_metric(name: str, linker: Linker) -> Metric:
    """
    >>> from ragmed.records import Example
    >>> metric = concept_metric("concept_f1", Lexicon({"fever": "C1", "cough": "C2"}))
    >>> metric.score([(Example("1", "?", gold="fever, no cough"), "fever and cough")])
    [0.5]

    `concept_precision`, `concept_recall` or `concept_f1`, a graded metric; of several accepted answers the nearest.
    """
    place = ("concept_precision", "concept_recall", "concept_f1").index(name)

    def score(batch: Batch) -> list[float]:
        seen: dict[str, frozenset[tuple[str, bool]]] = {}

        def of(text: str) -> frozenset[tuple[str, bool]]:
            if text not in seen:
                seen[text] = concept_set(linker, text)
            return seen[text]

        return [
            max((overlap(of(str(value)), of(text)) for text in accepted(example.gold)), key=lambda found: found[2])[
                place
            ]
            for example, value in batch
        ]

    return Metric(MetricFacts(name, version=2), score)


def make_concept_metric(name: str, lexicon: str, root: Path) -> Metric:
    """
        make_concept_metric("concept_f1", "lexicons/topics.tsv", workspace.root)

    Raises what `read_lexicon` and `load_scispacy` raise.
    """
    return concept_metric(name, _linker(lexicon, root))


def lexicon_lines(terms: Iterable[tuple[str, str]]) -> list[str]:
    """
    >>> lexicon_lines([("C2", "Fever"), ("C1", "FEVER"), ("C1", "fever"), ("C3", "-")])
    ['C1\\tfever', 'C2\\tfever']

    The lines of a lexicon file, of pairs of concept and term: each pair once, by term and concept.
    """
    pairs = {(_folded(term), concept) for concept, term in terms}
    return [f"{concept}\t{term}" for term, concept in sorted(pairs) if term]
