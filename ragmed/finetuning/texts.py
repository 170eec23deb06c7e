"""Corpora -> the texts that are learnt: passages as they are, or chat turns of which the last one is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ragmed.records import Message


@dataclass(frozen=True, slots=True)
class TrainingText:
    """One thing to learn. Either `text`, all of whose tokens are learnt, or `messages`, of which the last one, the
    assistant's, is learnt and the rest is only read.

    `id` is unique in a training; `document`: the key of the document that it comes from, which is held out whole or
    not at all. `question`: what it asks, where it asks something, for the overlap check.
    """

    id: str
    document: str
    way: Literal["passages", "pairs", "raft"]
    text: str = ""
    messages: tuple[Message, ...] = ()
    question: str = ""
