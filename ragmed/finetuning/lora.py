"""A base model in, the same with a LoRA adapter that can be trained out; and the adapter's files from it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ragmed.adapters import CONFIG, WEIGHTS, check_adapter
from ragmed.errors import UnknownNameError, UsageError
from ragmed.files import write_json
from ragmed.finetuning.checkpoints import write_tensors
from ragmed.finetuning.recipe import AdapterRecipe
from ragmed.models.adapted import check_adapter_fits


def with_new_adapter(model: Any, recipe: AdapterRecipe, *, initial: Path | None = None, base: str = "") -> Any:
    """
        with_new_adapter(model, recipe).print_trainable_parameters()

    The peft model, in training mode. Its A matrices are drawn from the recipe's seed, its B matrices are 0, so that it
    answers as its base does until the first step. `initial`: an adapter to continue; then `base` is the hash of the
    weights it must have been trained on. UsageError where the model has no layer of a target's name.
    """
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model

    lora, training = recipe.lora, recipe.training
    with foreign_warnings(), torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        if initial:
            _refuse_other_shape(recipe, check_adapter(initial, recipe.base, base))
            tuned = PeftModel.from_pretrained(model, str(initial), is_trainable=True, use_safetensors=True)
            check_adapter_fits(tuned, initial)
        else:
            whole = lora.targets == ("all-linear",)
            if not whole:
                _refuse_unknown_targets(model, lora.targets)
            config = LoraConfig(
                r=lora.rank,
                lora_alpha=lora.alpha,
                lora_dropout=lora.dropout,
                target_modules="all-linear" if whole else list(lora.targets),
                task_type="CAUSAL_LM",
            )
            tuned = get_peft_model(model, config)
    if training.gradient_checkpointing:
        tuned.enable_input_require_grads()
        with foreign_warnings():  # the name that all of transformers 5 knows; later ones of it prefer another
            tuned.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return tuned.train()


def _refuse_unknown_targets(model: Any, targets: Sequence[str]) -> None:
    """peft would train those that it finds, and not report the others."""
    from torch.nn import Linear

    known = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, Linear)}
    for target in targets:
        if target not in known:
            raise UnknownNameError("layer", target, [*known, "all-linear (alone)"], "lora.targets")


def _refuse_other_shape(recipe: AdapterRecipe, config: Mapping[str, Any]) -> None:
    """An adapter keeps the shape it has: a recipe with another would be recorded, and not be true."""
    for key, name in (("rank", "r"), ("alpha", "lora_alpha"), ("dropout", "lora_dropout")):
        if getattr(recipe.lora, key) != config.get(name):
            raise UsageError(
                f"lora.{key}: the adapter '{recipe.initial}' that is continued has {config.get(name)}, the recipe "
                f"has {getattr(recipe.lora, key)}"
            )


def save_adapter(model: Any, folder: Path, recipe: AdapterRecipe, *, mode: int) -> None:
    """Configuration and weights as peft reads them, the weights in the recipe's type; the same bytes each time."""
    import torch
    from peft import get_peft_model_state_dict

    dtype = getattr(torch, recipe.saved)
    with foreign_warnings():
        tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    plain = {name: tensor.detach().to("cpu", dtype) for name, tensor in tensors.items()}
    write_tensors(folder / WEIGHTS, plain, mode=mode)
    config = {name: _json(value) for name, value in model.peft_config["default"].to_dict().items()}
    # Where the weights lay on this machine says nothing on another.
    config |= {"base_model_name_or_path": recipe.base, "inference_mode": True}
    write_json(folder / CONFIG, config, mode=mode)


def _json(value: Any) -> Any:
    """peft keeps names in sets, whose order changes from one process to the next."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return getattr(value, "value", value) if not isinstance(value, (str, int, float, dict, list)) else value


@contextmanager
def foreign_warnings() -> Iterator[None]:
    """peft 0.21 asks transformers 5 for an attribute that was renamed, and warns of merging into a head that is shared
    with the embedding: where ours are merged, the two are parted (`models.adapted`).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings")
        yield
