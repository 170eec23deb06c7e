"""A server's reply read as an answer. In: a Reply. Out: a Completion, whatever the reply is; nothing is raised.

What is not certain is an `error` with its reason, never an empty answer: an empty answer would be scored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ragmed.files import parse_json
from ragmed.models.endpoint.client import Reply
from ragmed.models.endpoint.secret import Secret
from ragmed.models.finish import Finish, finish_of, may_be_thinking
from ragmed.models.refusals import lasts
from ragmed.models.thinking import split_thinking
from ragmed.records import Completion

_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
_NEVER_BEGUN = ("load", "abort", "error")  # Ollama has only loaded the model; the request was ended, not the answer
NOTHING_BUT_REASONING = (
    "the reply ended by itself with all of its text in the reasoning field: thinking without an answer, or an answer "
    "in the wrong field; start the server without its reasoning parser, or with the one that belongs to the model"
)
_ROOM_FOR_TEMPLATES = 16  # tokens by which a server's template may be shorter than ours, beside a tenth of the prompt


class UnreadError(Exception):
    """A reply that is no answer; its words say why."""


def read_object(reply: Reply, secret: Secret) -> dict[str, Any]:
    """The JSON object of a reply with status 200; UnreadError says what stands in its way."""
    if reply.failure:
        raise UnreadError(reply.failure)
    if reply.status != 200:
        raise UnreadError(f"the server answered with status {reply.status}: {server_words(reply, secret)}")
    try:
        value = parse_json(reply.text)
    except (ValueError, RecursionError) as error:
        kind = f", with content type {reply.kind}" if "json" not in reply.kind else ""
        raise UnreadError(f"the reply is no whole JSON{kind}: {secret.quote(reply.text[:2000])}") from error
    if not isinstance(value, dict):
        raise UnreadError("the reply is JSON, but no object")
    if value.get("error"):
        raise UnreadError(f"the server reports an error: {server_words(reply, secret)}")
    return value


def _times(reply: Reply) -> str:
    return f" (asked {reply.asked} times)" if reply.asked > 1 else ""


def no_object(reply: Reply) -> bool:
    """
    >>> no_object(Reply(200, "<html>")), no_object(Reply(200, "{}"))
    (True, False)

    Whether a reply with status 200 is none: another's page, JSON that was cut, a server's error that may pass.
    """
    if reply.failure:
        return False
    try:
        value = parse_json(reply.text)
    except (ValueError, RecursionError):
        return True
    if not isinstance(value, dict):
        return True
    if not value.get("error"):
        return False
    code = dig(value, "error", "code")
    refused = isinstance(code, int) and 400 <= code < 500 and code not in (408, 425, 429)
    return not refused and not lasts(reply.text[:20_000])


def no_answer(reply: Reply) -> bool:
    """Whether a reply with status 200 to a chat request is none, or holds no answer where one should be."""
    if reply.failure or no_object(reply):
        return not reply.failure
    value = parse_json(reply.text)
    if value.get("error"):  # one that lasts
        return False
    choice = dig(value, "choices", 0)
    message = dig(choice, "message")
    if not isinstance(message, dict) or choice.get("finish_reason") in _NEVER_BEGUN:
        return True
    said = any(message.get(key) for key in ("refusal", "tool_calls", "function_call", *_THOUGHTS))
    content, finish = message.get("content"), choice.get("finish_reason")
    # An empty text that ended by itself is what the model wrote; one of which nobody says how it ended is none.
    return not said and finish != "length" and (_is_absent(content) or (content == "" and finish is None))


def _is_absent(content: object) -> bool:
    """Whether a message has no content: null, or a list of no pieces."""
    return content is None or content == []


def dig(value: Any, *path: str | int) -> Any:
    """
    >>> dig({"choices": [{"text": "B"}]}, "choices", 0, "text"), dig({"choices": []}, "choices", 0, "text")
    ('B', None)

    What lies in JSON behind these keys and places; None where one of them is missing, or something else stands there.
    """
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def whole_number(value: object) -> int:
    """A number that counts something; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else 0


def server_words(reply: Reply, secret: Secret) -> str:
    """What a server said about an error, in one bounded line without the key."""
    value: Any = reply.text
    with suppress(ValueError, RecursionError):
        value = json.loads(reply.text)
    for key in ("error", "message", "detail"):
        if isinstance(value, Mapping) and value.get(key):
            value = value[key]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return secret.quote(text[:20_000]) or "nothing more"


def read_answer(
    reply: Reply,
    *,
    secret: Secret,
    stop: Sequence[str] = (),
    expected: int = 0,
    least: int = 0,
    thinking_tokens: int = 0,
    in_reasoning: bool = False,
    count: Callable[[str], int] | None = None,
) -> Completion:
    """
    >>> read_answer(Reply(200, "<html>"), secret=Secret("", "")).finish
    'error'

    `stop`: strings that end the text; some servers leave them in it. `expected`: the prompt's tokens, where they are
    known: a server that read far fewer has cut the prompt; `least`: fewer than these it cannot have. `thinking_tokens`:
    what the model may think. `in_reasoning`: this server puts whole answers into its reasoning field (see
    `find_form`). `count`: counts thinking whose tokens the server leaves out.
    """
    try:
        value = read_object(reply, secret)
    except UnreadError as error:
        return Completion("", "error", 0, 0, f"{error}{_times(reply)}")
    usage = value.get("usage")
    given, written = (whole_number(dig(usage, key)) for key in ("prompt_tokens", "completion_tokens"))
    # Not all servers count what they had read of the prompt before among the prompt's tokens.
    kept = whole_number(dig(usage, "prompt_tokens_details", "cached_tokens"))
    thought = whole_number(dig(usage, "completion_tokens_details", "reasoning_tokens"))
    thought = thought or whole_number(dig(usage, "reasoning_tokens"))
    choice = dig(value, "choices", 0)
    message = dig(choice, "message")
    if not isinstance(message, dict):
        reason = f"the reply holds no answer (no choices with a message){_times(reply)}"
        return Completion("", "error", given, written, reason)
    texts = _texts(message, in_reasoning=in_reasoning)
    text, thinking, trouble = texts.answer, texts.thinking, texts.trouble
    finish, reason = _finish(choice, message, text=text, thinking=thinking)
    if finish == "stop" and texts.only_reasoning and not reason:
        trouble = NOTHING_BUT_REASONING
    if in_reasoning and not thinking:
        thought = 0
    if may_be_thinking(finish, told_apart=bool(texts.marked or thought), budget=thinking_tokens):
        text, thinking, thought = "", text, written
    if thinking and not thought and count is not None:
        thought = min(count(thinking), written) if written else count(thinking)
    if 0 < given < 0.9 * expected - _ROOM_FOR_TEMPLATES:
        trouble = f"the server read {given} of the prompt's {expected} tokens: it cut the prompt; give it more context"
    elif 0 < given + kept < least:
        trouble = (
            f"the server read {given} tokens of a prompt that has at least {least}: it cut the prompt; "
            "give it more context, or set context_tokens to what it has"
        )
    if trouble or reason:
        reason = trouble or f"{secret.quote(reason)}{_times(reply)}"
        return Completion(text, "error", given, written, reason, thinking, thought)
    if finish == "refused":
        refusal = message.get("refusal")
        text = text or (refusal if isinstance(refusal, str) else "")
    cuts = [text.index(mark) for mark in stop if mark and mark in text]
    if cuts:
        text, finish = text[: min(cuts)], "refused" if finish == "refused" else "stop"
    return Completion(text, finish, given, written, "", thinking, thought)


@dataclass(frozen=True, slots=True)
class _Texts:
    """`marked`: the reply marks thinking in any way. `only_reasoning`: all of it stands in the reasoning field."""

    answer: str = ""
    thinking: str = ""
    marked: bool = False
    only_reasoning: bool = False
    trouble: str = ""


def _texts(message: Mapping[str, Any], *, in_reasoning: bool) -> _Texts:
    """What the message holds. A reasoning field beside an empty answer is read for marks of thinking itself: a server
    whose parser passed them over puts both there.
    """
    content, pieces = _content(message.get("content"))
    if content is None:
        return _Texts(trouble="the answer's content is neither text nor null")
    field = next((t for key in _THOUGHTS if isinstance(t := message.get(key), str) and t.strip()), "")
    apart = "\n\n".join(filter(None, (field.strip(), pieces)))
    if apart and not content.strip():
        thought, answer = split_thinking(apart)
        if answer != apart:
            return _Texts(answer, thought, True)
        return _Texts(apart) if in_reasoning else _Texts("", apart, True, only_reasoning=True)
    inline, answer = split_thinking(content)
    thinking = "\n\n".join(part for part in (apart, inline) if part)
    # The template's line breaks between thinking and answer belong to neither.
    return _Texts(answer.lstrip("\n") if thinking else answer, thinking, bool(thinking) or answer != content)


def _content(content: object) -> tuple[str | None, str]:
    """Text of the answer (None where it is of another kind), and thinking that stands in pieces beside it."""
    if not isinstance(content, list):
        return ("" if content is None else content if isinstance(content, str) else None), ""
    texts: list[str] = []
    thoughts: list[str] = []
    for piece in content:
        kind = piece.get("type") if isinstance(piece, dict) else None
        if kind == "text" and isinstance(piece.get("text"), str):
            texts.append(piece["text"])
        elif kind in _THOUGHTS:  # Mistral's: a list of pieces of text again
            inner = piece.get(kind, piece.get("text"))
            thoughts.append(inner if isinstance(inner, str) else _content(inner)[0] or "")
        else:
            return None, ""
    return "".join(texts), "\n\n".join(filter(None, map(str.strip, thoughts)))


def _finish(choice: Mapping[str, Any], message: Mapping[str, Any], *, text: str, thinking: str) -> tuple[Finish, str]:
    """How the answer ended, or why it is none."""
    word = choice.get("finish_reason")
    if isinstance(message.get("refusal"), str) and message["refusal"].strip():
        return "refused", ""
    finish = finish_of(word) if isinstance(word, str) else None
    if finish is None:
        if word in ("tool_calls", "function_call"):
            return "stop", "the model called a tool instead of answering"
        ending = f"ended for the reason {str(word)[:80]!r}" if word is not None else "does not report how it ended"
        return "stop", f"the answer {ending}"
    empty = _is_absent(message.get("content")) and not text and not thinking
    return finish, "the answer's content is null or an empty list" if empty and finish == "stop" else ""
