"""A reply as LangChain's packages give it. In: an AIMessage of any provider. Out: a Completion, thinking apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ragmed.models.thinking import split_thinking
from ragmed.records import Completion

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

Finish = Literal["stop", "length", "refused"]
# Where providers say why a text ended, and their words for it (in lower case).
_PLACES = ("finish_reason", "stop_reason", "stopReason", "done_reason", "incomplete_details", "status")
_REASONS: dict[str, Finish] = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "complete", "completed", "eos_token"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length", "incomplete"), "length"),
    **dict.fromkeys(("model_context_window_exceeded",), "length"),
    **dict.fromkeys(("content_filter", "content_filtered", "refusal", "guardrail_intervened", "safety"), "refused"),
    **dict.fromkeys(("prohibited_content", "blocklist", "spii", "recitation", "error_toxic"), "refused"),
}


def completion_of(reply: AIMessage, prompt_tokens: int, count: Callable[[str], int]) -> Completion:
    """>>> completion_of(AIMessage("B"), 9, len)  # doctest: +SKIP
    Completion(text='B', finish='stop', input_tokens=9, output_tokens=1, …)

    Tokens are those that the provider billed; where it says nothing, `prompt_tokens` and `count` of what it wrote.
    A reply without a text that ended for a reason nobody knows is an `error`: it is no answer.
    """
    text, thinking, refusal = _parts(reply)
    usage: Mapping[str, Any] = reply.usage_metadata or {}
    details: Mapping[str, Any] = usage.get("output_token_details") or {}
    given = int(usage.get("input_tokens") or prompt_tokens)
    thought = int(details.get("reasoning") or (count(thinking) if thinking else 0))
    written = int(usage.get("output_tokens") or count(text) + thought)
    thought = min(thought, written)
    word = _reason(reply.response_metadata or {})
    finish = "refused" if refusal else _REASONS.get(word.lower())
    if finish is None and word and not text.strip():
        reason = f"the provider ended without an answer, for the reason '{word}'"
        return Completion("", "error", given, written, reason, thinking, thought)
    return Completion(text or refusal, finish or "stop", given, written, "", thinking, thought)


def _parts(reply: AIMessage) -> tuple[str, str, str]:
    """The text, the thinking, the model's own words of refusal."""
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
        elif kind in ("thinking", "reasoning", "reasoning_content"):
            thoughts.append(_thought(block))
        elif kind in ("text", "output_text"):
            texts.append(str(block.get("text", "")))
    extra = reply.additional_kwargs or {}
    refusals.append(str(extra.get("refusal") or ""))
    thoughts.append(str(extra.get("reasoning_content") or ""))
    inline, text = split_thinking("".join(texts))
    thinking = "\n\n".join(thought for thought in (*thoughts, inline) if thought.strip())
    return text, thinking, "\n".join(filter(None, refusals))


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
        if value:
            return str(value)
    return ""
