"""An adapter that would have to be trained first in, the tokens that its training reads out."""

from __future__ import annotations

from typing import Any

from ragmed.finetuning.raft import searches
from ragmed.finetuning.recipe import AdapterRecipe, load_adapter_recipe
from ragmed.finetuning.training_texts import training_texts
from ragmed.models import ModelSettings
from ragmed.planning.tokens import find_counter
from ragmed.workspace import Workspace


def training_tokens(name: str, workspace: Workspace) -> dict[str, Any]:
    """
    >>> training_tokens("handbook-2031", Workspace.find())  # doctest: +SKIP
    {'adapter': 'handbook-2031', 'base': 'packaged:smollm2-135m', 'cells': 4, 'tokens': 235000, 'unknown': ''}

    The texts are made and counted as the recipe says, times its epochs, summed over the cells of its grid. `tokens` is
    None, with the reason under `unknown`, where a model would have to write texts first, or an index to be searched.
    """
    recipe = load_adapter_recipe(workspace.recipe("adapters", name))
    cells = recipe.cells()
    row: dict[str, Any] = {"adapter": name, "base": recipe.base, "cells": len(cells), "tokens": None, "unknown": ""}
    if recipe.paraphrases.model:
        return row | {"unknown": f"{recipe.paraphrases.model} writes a part of its texts first"}
    if searches(recipe):
        return row | {"unknown": "a part of its texts comes from a search in an index"}
    counter, note = find_counter(ModelSettings(recipe.base), workspace)
    texts = training_texts(recipe, workspace=workspace).texts
    once = sum(counter.count([one.messages])[0] if one.messages else counter.count_text(one.text) for one in texts)
    return row | {"tokens": sum(_read(once, cell) for cell in cells), "note": note}


def _read(once: int, recipe: AdapterRecipe) -> int:
    """Tokens of one training: the texts that are not held out, as often as they are read."""
    training = recipe.training
    tokens = round(once * (1 - training.held_out) * training.epochs)
    return min(tokens, training.max_tokens) if training.max_tokens else tokens
