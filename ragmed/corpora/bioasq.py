"""Reads BioASQ golden files: the snippets of a PubMed article, from all questions -> one document, its id the PMID.

Only `snippets` are read, never a question or its ideal or exact answer. A document is what experts marked, not the
whole abstract: what lies between two snippets is not in the files.

Paper: Krithara et al. 2023, "BioASQ-QA: a manually curated corpus for biomedical question answering", Scientific Data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ragmed.corpora.members import Member, load_object, read_members
from ragmed.corpora.recipe import Found, Ignored, Recipe, Rejected
from ragmed.records import Document

SUFFIXES = (".json",)

NEXT = 2
"""Snippets at most this many characters apart are neighbours: a space, and offsets that are off by one."""

MIN_SHARED = 8
"""Characters that the end of one snippet and the start of the next must share to be taken for the same words."""

MAX_ARTICLE = 256 * 1024
MAX_SHARED = 32 * 1024
"""Characters of an article's snippets, and those looked through for shared words; an abstract has a few thousand. Both
are compared with what came before, so that a file of a million snippets of one article would take days."""

_PMID = re.compile(r"/pubmed/([0-9]+)/?\Z")


@dataclass(frozen=True, slots=True)
class _Snippet:
    start: int
    end: int
    text: str


@dataclass(slots=True)
class _Article:
    file: str
    line: int
    title: list[_Snippet] = field(default_factory=list)
    abstract: list[_Snippet] = field(default_factory=list)
    size: int = 0


def read(recipe: Recipe) -> Iterator[Found | Rejected | Ignored]:
    """
        next(read(recipe)).document.id  # '34022131'

    Articles in the order in which they are first met; `line` counts questions. Snippets stand in the order of the
    article, what several share once; a gap between two is a line break. Snippets of the title make the title. All
    snippets are in memory at once (18,646 of four years: 5 MB), since any file may add to any article.
    """
    articles: dict[str, _Article] = {}
    yield from read_members(recipe, SUFFIXES, lambda member: _collect(member, articles))
    for pmid, article in articles.items():
        yield Found(_document(pmid, article, recipe), article.file, article.line)


def _collect(member: Member, articles: dict[str, _Article]) -> Iterator[Rejected]:
    questions = load_object(member).get("questions")
    if not isinstance(questions, list):
        raise ValueError("no list 'questions': not a BioASQ file")
    for number, question in enumerate(questions, 1):
        snippets = question.get("snippets", []) if isinstance(question, dict) else None
        if not isinstance(snippets, list):
            yield Rejected(member.file, number, "no list 'snippets' in the question")
            continue
        for snippet in snippets:
            try:
                _add(snippet, articles, member.file, number)
            except ValueError as error:
                yield Rejected(member.file, number, str(error))


def _add(snippet: object, articles: dict[str, _Article], file: str, line: int) -> None:
    """Puts a snippet to its article; ValueError where it cannot be."""
    if not isinstance(snippet, dict):
        raise ValueError("a snippet is no JSON object")
    text, address, section = (snippet.get(key) for key in ("text", "document", "beginSection"))
    if not isinstance(text, str) or not text.strip():
        raise ValueError("a snippet without text")
    pmid = _PMID.search(address) if isinstance(address, str) else None
    if not pmid:
        raise ValueError("a snippet whose document is no PubMed record")
    start = snippet.get("offsetInBeginSection")
    if not isinstance(start, int) or section not in ("title", "abstract"):
        raise ValueError("a snippet without a position in the title or the abstract")
    article = articles.setdefault(pmid[1], _Article(file, line))
    article.size += len(text)
    if article.size > MAX_ARTICLE:
        raise ValueError(f"the snippets of the article {pmid[1]} are more than {MAX_ARTICLE} characters")
    # Ends are counted from the text: those in the files are off by one at times.
    (article.title if section == "title" else article.abstract).append(_Snippet(start, start + len(text), text))


def _document(pmid: str, article: _Article, recipe: Recipe) -> Document:
    title, abstract = _merged(article.title).replace("\n", " "), _merged(article.abstract)
    url = f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/"
    citation = f"{title.rstrip('.')}. PubMed {pmid}. {url}".removeprefix(". ")
    return recipe.document(pmid, title, abstract or title, source=url, citation=citation)


def _merged(snippets: list[_Snippet]) -> str:
    """The snippets in the order of the text, what overlaps once.

    Where offsets say two overlap and the words do not (an abstract that was edited between two years), both are kept.
    """
    text, end = "", 0
    for snippet in sorted(snippets, key=lambda snippet: (snippet.start, -snippet.end)):
        own = snippet.text.strip()
        if own in text:
            continue
        shared = _shared(text, own) if snippet.start < end + NEXT else 0
        if shared:
            text += own[shared:]
        elif text:
            text += (" " if 0 <= snippet.start - end <= NEXT else "\n") + own
        else:
            text = own
        end = max(end, snippet.end)
    return text


def _shared(text: str, more: str) -> int:
    """How many characters at the start of `more` are the end of `text`."""
    for count in range(min(len(text), len(more), MAX_SHARED), MIN_SHARED - 1, -1):
        if text.endswith(more[:count]):
            return count
    return 0
