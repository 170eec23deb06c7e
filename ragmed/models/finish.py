"""Why a text ended, in the words of servers and providers. In: a word. Out: stop, length or refused, or None.

A word that is not known here shows nothing for certain, and makes an error of the answer.
"""

from __future__ import annotations

from typing import Literal

Finish = Literal["stop", "length", "refused"]
_STOP = ("stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "completed", "finish", "finished")
_LENGTH = (
    "length",
    "max_tokens",
    "max_output_tokens",
    "model_length",
    "incomplete",
    "model_context_window_exceeded",
    "repetition",
)  # ended by the server, not by the model
_REFUSED = (
    "content_filter", "content_filtered", "refusal", "safety", "sensitive", "guardrail_intervened",
    "prohibited_content", "blocklist", "spii", "recitation", "error_toxic",
)  # fmt: skip
_ENDS: dict[str, Finish] = {
    **dict.fromkeys(_STOP, "stop"),
    **dict.fromkeys(_LENGTH, "length"),
    **dict.fromkeys(_REFUSED, "refused"),
}


def finish_of(word: str) -> Finish | None:
    """
    >>> finish_of("MAX_TOKENS"), finish_of("FinishReason.STOP"), finish_of("abort")
    ('length', 'stop', None)
    """
    return _ENDS.get(word.rpartition(".")[2].lower())


def may_be_thinking(finish: Finish | None, *, told_apart: bool, budget: int) -> bool:
    """
    >>> may_be_thinking("length", told_apart=False, budget=512)
    True

    Whether a text may be nothing but thinking that was cut. Some templates open the thinking in the prompt; where a
    server does not take it apart, the text has no tag before the closing one, and a cut text has none at all.
    `told_apart`: the reply marks thinking in any way. `budget`: tokens that the model may think.
    """
    return finish == "length" and budget > 0 and not told_apart
