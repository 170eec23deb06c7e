"""What a model is trained on: passages as they are, or chat turns of which the last one is trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ragmed.prompts import harmless
from ragmed.records import Access, Message

Way = Literal["passages", "pairs", "raft", "raft-sections"]
Wording = Literal["", "template", "model"]

CORPUS_FACTS = ("name", "sha256", "documents", "rejected", "license", "access", "citation")
"""What is kept of a corpus. `sha256` is the one that an index's manifest records for it: equal hash, same corpus."""


@dataclass(frozen=True, slots=True)
class TrainingText:
    """One thing to train on. Either `text`, all of whose tokens are trained on, or `messages`, of which the last one,
    the assistant's, is trained on and the rest is only read.

    `id` is unique in a training; `document`: the key of the document that it comes from, which is held out whole or
    not at all. `question`: what it asks, where it asks something, for the overlap check. `wording`: empty for the
    words of the corpus, else who found other words for them.
    """

    id: str
    document: str
    way: Way
    text: str = ""
    messages: tuple[Message, ...] = ()
    question: str = ""
    wording: Wording = ""


@dataclass(frozen=True, slots=True)
class TextSet:
    """All that a model is trained on, in an order that corpora and recipe alone decide.

    `corpora`: one record a corpus, see CORPUS_FACTS. `access`: the strictest tier among them. `counts`: texts a way,
    how many of all are wordings by templates and by a model, and what later steps add.
    """

    texts: tuple[TrainingText, ...]
    corpora: tuple[Mapping[str, Any], ...]
    access: Access
    counts: Mapping[str, int]


def count_texts(texts: Sequence[TrainingText]) -> dict[str, int]:
    """Texts a way; how many of all are wordings; all of them."""
    ways, wordings = Counter(text.way for text in texts), Counter(text.wording for text in texts)
    by_way = {way: ways[way] for way in get_args(Way)}
    return {**by_way, "templates": wordings["template"], "by_model": wordings["model"], "texts": len(texts)}


def text_id(way: Way, document: str, wording: str = "") -> str:
    """
    >>> text_id("pairs", "medquad:1/2", "t1")
    'pairs+t1:medquad:1/2'

    The wording stands before the key, which may hold any character, so that no two ids can meet.
    """
    return f"{way}+{wording}:{document}" if wording else f"{way}:{document}"


def chat(question: str, answer: str) -> tuple[Message, ...]:
    """A question and its answer as turns that no text in them can end."""
    return Message("user", harmless(question)), Message("assistant", harmless(answer))
