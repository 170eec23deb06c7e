"""A reply as LangChain's packages give it. In: an AIMessage of any provider. Out: a Completion, thinking apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragmed.models.finish import finish_of, may_be_thinking
from ragmed.models.thinking import split_thinking
from ragmed.records import Completion

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

_THOUGHTS = ("thinking", "redacted_thinking", "reasoning", "reasoning_content")
# Where providers say why a text ended.
_PLACES = ("finish_reason", "stop_reason", "stopReason", "done_reason", "incomplete_details", "status")
_UNDONE = ("failed", "cancelled", "in_progress", "queued")  # a `status` of other words speaks of the request


def completion_of(
    reply: AIMessage, prompt_tokens: int, *, count: Callable[[str], int], thinking_tokens: int = 0
) -> Completion:
    """
    >>> from langchain_core.messages import AIMessage
    >>> completion_of(AIMessage("B", response_metadata={"finish_reason": "stop"}), 9, count=len).finish
    'stop'

    Tokens are those that the provider billed; where it says nothing, `prompt_tokens` and `count` of what it wrote.
    `thinking_tokens`: what the model may think. A reply that ended for a reason nobody knows is an `error`; one whose
    provider gives no reason at all ended by itself.
    """
    parts = _parts(reply)
    text, thinking, refusal, apart = parts.text, parts.thinking, parts.refusal, parts.marked
    usage: Mapping[str, Any] = reply.usage_metadata or {}
    details: Mapping[str, Any] = usage.get("output_token_details") or {}
    given = int(usage.get("input_tokens") or prompt_tokens)
    thought = int(details.get("reasoning") or (count(thinking) if thinking else 0))
    written = int(usage.get("output_tokens") or count(text) + thought)
    thought = min(thought, written)
    word = _reason(reply.response_metadata or {})
    finish = "refused" if refusal else finish_of(word)
    if finish is None and word:
        what = "the answer ended" if text.strip() else "the provider ended without an answer,"
        return Completion(text, "error", given, written, f"{what} for the reason '{word[:80]}'", thinking, thought)
    if parts.only_thinking and finish in (None, "stop"):
        reason = (
            "the reply ended by itself with all of its text marked as thinking: thinking without an answer, or an "
            "answer in the wrong field"
        )
        return Completion("", "error", given, written, reason, thinking, thought)
    if is_blank(reply):
        return Completion("", "error", given, 0, "the provider's reply holds nothing", thinking, thought)
    if may_be_thinking(finish, told_apart=apart or thought > 0, budget=thinking_tokens):
        text, thinking, thought = "", text, written
    return Completion(text or refusal, finish or "stop", given, written, "", thinking, thought)


def is_blank(reply: AIMessage) -> bool:
    """
    >>> from langchain_core.messages import AIMessage
    >>> is_blank(AIMessage("", response_metadata={"finish_reason": "stop"}, usage_metadata=None))
    True

    Whether a reply that ended by itself holds nothing at all, not even a token that was billed: the provider lost it.
    """
    parts = _parts(reply)
    usage: Mapping[str, Any] = reply.usage_metadata or {}
    ended = finish_of(_reason(reply.response_metadata or {}) or "stop") == "stop"
    said = parts.text.strip() or parts.refusal or parts.marked or reply.tool_calls or usage.get("output_tokens")
    return ended and not said


@dataclass(frozen=True, slots=True)
class _Parts:
    """`refusal`: the model's own words of it. `marked`: the reply marks thinking in any way. `only_thinking`: all of it
    stands where thinking does, outside of the text.
    """

    text: str
    thinking: str
    refusal: str
    marked: bool
    only_thinking: bool


def _parts(reply: AIMessage) -> _Parts:
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    blocks = [reply.content] if isinstance(reply.content, str) else reply.content
    for block in blocks:
        if isinstance(block, str):
            texts.append(block)
            continue
        kind = str(block.get("type", ""))
        if kind == "refusal":
            refusals.append(str(block.get("refusal", "")))
        elif kind in _THOUGHTS:
            thoughts.append(_thought(block))
        elif kind in ("text", "output_text"):
            texts.append(str(block.get("text", "")))
    extra = reply.additional_kwargs or {}
    refusals.append(str(extra.get("refusal") or ""))
    thoughts.append(str(extra.get("reasoning_content") or ""))
    whole = "".join(texts)
    beside = "\n\n".join(thought for thought in thoughts if thought.strip())
    if beside and not whole.strip() and split_thinking(beside)[1] != beside:  # marks that a parser passed over
        whole, thoughts, beside = beside, [], ""
    inline, text = split_thinking(whole)
    thinking = "\n\n".join(thought for thought in (*thoughts, inline) if thought.strip())
    blocked = any(isinstance(block, Mapping) and block.get("type") in _THOUGHTS for block in blocks)
    marked = bool(thinking) or text != whole or blocked
    return _Parts(text, thinking, "\n".join(filter(None, refusals)), marked, bool(beside) and not whole.strip())


def _thought(block: Mapping[str, Any]) -> str:
    """Anthropic keeps it under `thinking`, LangChain's own blocks under `reasoning`, OpenAI as pieces of a summary."""
    for key in ("thinking", "reasoning", "reasoning_content", "text", "summary"):
        value = block.get(key)
        if isinstance(value, Mapping):
            value = value.get("text")
        if isinstance(value, list):
            value = "\n\n".join(str(piece.get("text", "")) for piece in value if isinstance(piece, Mapping))
        if value:
            return str(value)
    return ""


def _reason(metadata: Mapping[str, Any]) -> str:
    for place in _PLACES:
        value = metadata.get(place)
        if isinstance(value, Mapping):
            value = value.get("reason")
        if place == "status" and finish_of(str(value)) is None and value not in _UNDONE:
            continue
        if value:
            return str(value)
    return ""
