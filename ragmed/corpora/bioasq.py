"""Reads BioASQ golden files: the snippets of a PubMed article, from all questions -> one document, its id the PMID.

Only `snippets` are read, never a question or its ideal or exact answer. A document is what experts marked, not the
whole abstract: what lies between two snippets is not in the files.

Paper: Krithara et al. 2023, "BioASQ-QA: a manually curated corpus for biomedical question answering", Scientific Data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ragmed.corpora.members import Member, load_object, members
from ragmed.corpora.recipe import Found, Ignored, OptionCheck, Recipe, Rejected
from ragmed.records import Document

SUFFIXES = (".json",)
OPTIONS: Mapping[str, OptionCheck] = {}

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
    """>>> next(read(recipe)).document.id  # doctest: +SKIP
    '34022131'

    Articles in the order in which they are first met; `line` counts questions. Snippets stand in the order of the
    article, what several share once; a gap between two is a line break. Snippets of the title make the title. All
    snippets are in memory at once (18,646 of four years: 5 MB), since any file may add to any article.
    """
    articles: dict[str, _Article] = {}
    for path in recipe.paths:
        for item in members(path, SUFFIXES):
            if isinstance(item, Member):
                yield from _collect(item, articles)
            else:
                yield item
    for pmid, article in articles.items():
        yield Found(_document(pmid, article, recipe), article.file, article.line)


def _collect(member: Member, articles: dict[str, _Article]) -> Iterator[Rejected]:
    try:
        questions = load_object(member).get("questions")
        if not isinstance(questions, list):
            raise ValueError("no list 'questions': not a BioASQ file")
    except ValueError as error:
        yield Rejected(member.file, 0, str(error))
        return
    for number, question in enumerate(questions, 1):
        snippets = question.get("snippets", []) if isinstance(question, dict) else None
        if not isinstance(snippets, list):
            yield Rejected(member.file, number, "no list 'snippets' in the question")
            continue
        for snippet in snippets:
            reason = _add(snippet, articles, member.file, number)
            if reason:
                yield Rejected(member.file, number, reason)


def _add(snippet: object, articles: dict[str, _Article], file: str, line: int) -> str:
    """Puts a snippet to its article, or says why it cannot be."""
    if not isinstance(snippet, dict):
        return "a snippet is no JSON object"
    text, address, section = (snippet.get(key) for key in ("text", "document", "beginSection"))
    if not isinstance(text, str) or not text.strip():
        return "a snippet without text"
    pmid = _PMID.search(address) if isinstance(address, str) else None
    if not pmid:
        return "a snippet whose document is no PubMed record"
    start = snippet.get("offsetInBeginSection")
    if not isinstance(start, int) or section not in ("title", "abstract"):
        return "a snippet without a place in the title or the abstract"
    article = articles.setdefault(pmid[1], _Article(file, line))
    article.size += len(text)
    if article.size > MAX_ARTICLE:
        return f"the snippets of the article {pmid[1]} are more than {MAX_ARTICLE} characters"
    # Ends are counted from the text: those in the files are off by one at times.
    (article.title if section == "title" else article.abstract).append(_Snippet(start, start + len(text), text))
    return ""


def _document(pmid: str, article: _Article, recipe: Recipe) -> Document:
    title, abstract = _merged(article.title).replace("\n", " "), _merged(article.abstract)
    url = f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/"
    return Document(
        id=pmid,
        title=title,
        text=abstract or title,
        source=url,
        license=recipe.license,
        access=recipe.access,
        date=recipe.date,
        citation=f"{title.rstrip('.')}. PubMed {pmid}. {url}".removeprefix(". "),
    )


def _merged(snippets: list[_Snippet]) -> str:
    """The snippets in the order of the text, what overlaps once.

    Where offsets say two overlap and the words do not (an abstract that was edited between two years), both are kept.
    """
    text, end = "", 0
    for snippet in sorted(snippets, key=lambda one: (one.start, -one.end)):
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
