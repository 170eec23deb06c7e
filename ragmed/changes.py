"""A field of what made a run, as it was and as it is, in; one clause that says in words what changed out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

ABSENT = "absent"
MOST_NAMED = 4
_HASH = re.compile(r"[0-9a-f]{32,}")

# What fields of a model's files and fingerprint are, where the name alone says too little.
_PARTS = {
    "weights": "the weights",
    "adapter": "the adapter (its weights, configuration, chat template or tokenizer)",
    "template": "the chat template",
    "template_kind": "the kind of chat template",
    "template_date": "the date in the chat template",
    "template_thinking": "the chat template with thinking",
    "tokenizer": "the tokenizer",
    "config": "the configuration",
    "dtype": "the precision",
    "revision": "the revision",
    "scripted": "the scripted answers",
    "recorded": "the recorded answers",
}
_FILES = (
    (re.compile(r"chat_template\.\w+|.*\.jinja"), "the chat template"),
    (re.compile(r"generation_config\.json"), "where an answer ends (generation_config.json)"),
    (re.compile(r".*config\.json"), "the configuration"),
    (re.compile(r".*\.(json|txt|model|tiktoken)"), "the tokenizer"),
)
_TASK = {"data": "the questions of task '{}' differ", "prompts": "the words in which task '{}' is asked differ"}


def in_words(key: Sequence[str], before: Any, now: Any) -> str:
    """
    >>> in_words(("files", "small", "chat_template.jinja"), "0f" * 32, "1e" * 32)
    "the chat template of model 'small' differs (chat_template.jinja)"
    >>> in_words(("arms", "rag", "k"), 2, 3)
    'arms.rag.k was 2, is now 3'

    `key`: part, name and field of a run's identity. A hash is never shown: that it is another one says nothing.
    """
    part, name, field = key[0], key[1], ".".join(key[2:])
    if part in ("files", "weights", "embedders", "retrieval_models"):
        kind = {"embedders": "embedder", "retrieval_models": "retrieval model"}.get(part, "model")
        of = f"{kind} '{name}'"
        return _of_model(of, field, before, now)
    if part == "models" and field in ("recorded", "scripted"):
        return _of_model(f"model '{name}'", field, before, now)
    if part == "adapters":
        return _of_model(f"model '{name}'", "adapter", before, now)
    if part == "indexes":
        return f"the index '{name}' was rebuilt"
    if part == "replays":
        return f"the passages to be shown again to '{name}' differ"
    if part == "tasks" and field in _TASK:
        return _TASK[field].format(name)
    where = ".".join(key[1:] if part in ("run", "versions") else key)
    return f"{where} {_was_is(before, now)}"


def _of_model(of: str, field: str, before: Any, now: Any) -> str:
    file = field.rpartition("/")[2]
    what = _PARTS.get(file) or next((words for form, words in _FILES if form.fullmatch(file)), "")
    if not what:
        return f"'{field}' of {of} {_was_is(before, now)}"
    shown = f" ({field})" if "." in field and f"({field})" not in what else ""
    if _hash(before) or _hash(now):
        several = what.endswith(("weights", "answers"))
        word = "is new" if before is None else "is gone" if now is None else "differ" if several else "differs"
        return f"{what} of {of} {word}{shown}"
    return f"{what} of {of} {_was_is(before, now)}"


def _was_is(before: Any, now: Any) -> str:
    if _hash(before) and _hash(now):
        return "differs"
    return f"was {_short(before)}, is now {_short(now)}"


def _hash(value: Any) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))


def _short(value: Any) -> str:
    if value is None:
        return ABSENT
    if _hash(value):
        return "another"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def together(clauses: Sequence[str]) -> str:
    """
    >>> together(["the weights of model 'small' differ", "seed was 1, is now 2"])
    "the weights of model 'small' differ; seed was 1, is now 2"

    The first few, each once, and how many more there are.
    """
    unlike = list(dict.fromkeys(clauses))
    more = f"; and {len(unlike) - MOST_NAMED} more" if len(unlike) > MOST_NAMED else ""
    return "; ".join(unlike[:MOST_NAMED]) + more
