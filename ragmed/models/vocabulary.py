"""The vocabulary that an adapter was trained with. In: a model, its tokenizer, an adapter's folder. Out: them, resized.

Who adds tokens for a training resizes embedding and head, and peft then saves both whole, beside the adapter. They are
all that is known of the new tokens: an adapter is loaded on a resized base where its files hold both, and the tokenizer
that knows the tokens; otherwise random rows would answer.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ragmed.adapters import CONFIG, TOKENIZER, VOCABULARY, WEIGHTS, own_template
from ragmed.errors import ModelError
from ragmed.files import read_json

_FORMS = ("", ".base_layer", ".modules_to_save")
_PREFIX = "base_model.model."
MERGE_IT = (
    "merge it into its resized base: load that with peft (model.resize_token_embeddings to the adapter's tokenizer), "
    "call merge_and_unload, save model and tokenizer into one folder, and name that as path:DIR"
)


def resized(model: Any, tokenizer: Any, folder: Path) -> tuple[Any, str]:
    """
        tokenizer, note = resized(model, tokenizer, Path("adapters/mine"))

    The tokenizer to use, and what a run notes of it; the model's own and '' where the adapter was trained with the
    model's vocabulary. Rows that the adapter brings are 0 until it is loaded. ModelError, with the remedy, where its
    files do not hold what the new tokens need.
    """
    differs = other_vocabulary(folder, tokenizer)
    now = int(model.get_input_embeddings().weight.shape[0])
    embedding, head = _rows(model, folder)
    rows = embedding or head or now
    if not differs and rows == now and head in (0, now):
        return tokenizer, ""
    if not differs and not (folder / VOCABULARY).is_file():
        raise ModelError(
            f"the adapter '{folder}' has an embedding or a head of {rows} rows, its base {now}: the vocabulary was "
            f"resized for it, and its tokenizer is not there; copy {VOCABULARY} and {TOKENIZER} of the training into "
            "its folder"
        )
    used = _tokenizer(folder, tokenizer) if differs else tokenizer
    whole = embedding > 0 and embedding == head
    spare = rows == now and tokenizer.get_vocab().items() <= used.get_vocab().items()  # rows that the base had free
    if len(used) > rows or not (whole or spare):
        why = differs or f"its embedding or head has {rows} rows, the model's {now}"
        raise ModelError(
            f"the adapter '{folder}': {why}: the vocabulary was resized for it, and {WEIGHTS} lacks the whole "
            "embedding or the whole head, so that its tokens are not known here; train it with modules_to_save: "
            f"[embed_tokens, lm_head], or {MERGE_IT}"
        )
    if rows != now:
        _resize(model, rows)
    return (
        used,
        f"{len(used)} tokens in {rows} rows, of the adapter's tokenizer; the base has {len(tokenizer)} in {now}",
    )


def refuse_other_vocabulary(folder: Path, tokenizer: Any) -> None:
    """For what cannot resize: ModelError where an adapter's tokenizer has other tokens than the model's."""
    if differs := other_vocabulary(folder, tokenizer):
        raise ModelError(
            f"the adapter '{folder}': {differs}: the vocabulary was resized for it, which cannot be served beside its "
            f"base; {MERGE_IT}"
        )


def other_vocabulary(folder: Path, tokenizer: Any) -> str:
    """In which tokens the tokenizer in an adapter's folder differs from the model's; '' where in none, or there is
    none."""
    if not (folder / VOCABULARY).is_file():
        return ""
    from tokenizers import Tokenizer

    try:
        own = Tokenizer.from_file(str(folder / VOCABULARY)).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library raises nothing narrower
        raise ModelError(f"'{folder / VOCABULARY}' cannot be read as a tokenizer: {error}; copy it again") from error
    known = tokenizer.get_vocab()
    if own == known:
        return ""
    added, gone = sorted(own.keys() - known.keys()), sorted(known.keys() - own.keys())
    if added:
        return f"its tokenizer has {some(added)}, which the model's lacks"
    return f"its tokenizer lacks {some(gone)}, which the model's has" if gone else "its tokenizer numbers tokens anew"


def some(keys: Collection[str]) -> str:
    """The first three, and how many more."""
    shown = sorted(keys)[:3]
    more = f" and {len(keys) - len(shown)} more" if len(keys) > len(shown) else ""
    return ", ".join(shown) + more


def _rows(model: Any, folder: Path) -> tuple[int, int]:
    """The rows of embedding and head that the adapter's file holds whole, 0 where it does not; a head that shares the
    embedding's matrix, and is no copy that was trained apart, has the embedding's.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            shapes = {key.removeprefix(_PREFIX): file.get_slice(key).get_shape() for key in list(file.keys())}
    except SafetensorError as error:
        raise ModelError(
            f"the adapter '{folder}' does not fit: {WEIGHTS} cannot be read ({error}); copy it again"
        ) from error
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    names = {id(module): name for name, module in model.named_modules()}
    found = []
    for module in (embedding, head):
        keys = [f"{names.get(id(module), '')}{form}.weight" for form in _FORMS]
        found.append(next((int(shapes[key][0]) for key in keys if shapes.get(key)), 0))
    tied = head is not None and head.weight.data_ptr() == embedding.weight.data_ptr()
    direct = not _trained_whole(folder, names.get(id(embedding), ""))
    return (found[0], found[0]) if tied and direct and not found[1] else (found[0], found[1])


def _trained_whole(folder: Path, name: str) -> bool:
    """Whether peft trained a copy of that layer (`modules_to_save`): a head that shares its matrix keeps the first."""
    listed = read_json(folder / CONFIG, "adapter configuration", finite=True).get("modules_to_save") or []
    return isinstance(listed, list) and any(name == one or name.endswith(f".{one}") for one in listed)


def _tokenizer(folder: Path, tokenizer: Any) -> Any:
    """The adapter's own; the model's chat template stays where the folder has none."""
    from transformers import AutoTokenizer

    if not (folder / TOKENIZER).is_file():
        raise ModelError(
            f"the adapter '{folder}' has a tokenizer of its own, and no {TOKENIZER} says how it is used; copy that of "
            "the training into its folder"
        )
    try:
        own = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the files are a stranger's
        raise ModelError(
            f"the tokenizer of the adapter '{folder}' could not be read ({type(error).__name__}: {error})"
        ) from error
    if not own_template(folder):
        own.chat_template = tokenizer.chat_template
    return own


def _resize(model: Any, rows: int) -> None:
    import torch

    before = int(model.get_input_embeddings().weight.shape[0])
    model.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():  # the library draws new rows by lot; no two loads would be the same before the adapter's come
        for module in (model.get_input_embeddings(), model.get_output_embeddings()):
            if module is not None:
                module.weight[before:] = 0
                if getattr(module, "bias", None) is not None:
                    module.bias[before:] = 0
