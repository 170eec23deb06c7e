"""Rotary positions that change with a text's length. In: a model's config. Out: the length up to which they do not.

`longrope` and `dynamic` turn all positions of a text, its first ones too, by other angles once the text is long. What
was read for a short text then cannot serve a long one, nor a long text stand in one batch with a short one.
"""

from __future__ import annotations

from typing import Any


def length_dependent(config: Any) -> set[str]:
    """
        length_dependent(model.config)  # {'longrope'}

    Those of the config's rotary embeddings (one, or one for each type of layer) that look at a text's length.
    """
    return {kind for kind in ("longrope", "dynamic") for entry in _entries(config) if kind in _kind(entry)}


def unchanged_up_to(config: Any) -> int | None:
    """The most tokens at which every position is still turned as in a short text; None where length changes nothing."""
    text = config.get_text_config()
    limits = []
    for entry in _entries(config):
        if "longrope" in _kind(entry):
            limits.append(entry.get("original_max_position_embeddings") or text.original_max_position_embeddings)
        elif "dynamic" in _kind(entry):
            # One less: a text of exactly this length does not undo what a longer one before it has changed.
            limits.append(text.max_position_embeddings - 1)
    return min(map(int, limits), default=None)


def _entries(config: Any) -> list[dict[str, Any]]:
    text = config.get_text_config()
    parameters = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    nested = [entry for entry in parameters.values() if isinstance(entry, dict)]
    return nested or [parameters]


def _kind(entry: dict[str, Any]) -> str:
    return str(entry.get("rope_type") or entry.get("type") or "")
