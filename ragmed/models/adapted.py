"""A model and the folder of a LoRA adapter in; the model with the adapter, and what that changes, out.

In float32 the adapter is merged into the weights: as fast as no adapter. In 16 bits and below merging would round away
small updates, so there it stays beside the weights, as it was trained. Merged and unmerged are
compared.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragmed.adapters import WEIGHTS, adapter_hash, check_adapter, check_template, own_template
from ragmed.errors import ModelError, RagmedError
from ragmed.files import sha256_json
from ragmed.models.vocabulary import resized, some

_PROBES = (
    "The patient was admitted with a fever and a cough.",
    "Question: Which dose is given at night?\nAnswer: 12 mg",
    "A blood pressure of 120/80 mmHg is normal.",
)
_SPREAD = 16  # tokens of the text that no tokenizer would write: an adapter of embeddings changes each token otherwise
_WHOLE = ".modules_to_save."
_TOLERANCE = 0.01  # nats: float32 rounds merged weights to about 1e-5; what a wrong merge changes is 100 times more


@dataclass(frozen=True, slots=True)
class Adapted:
    """A model with its adapter, the tokenizer it reads by, the adapter's hash, and what a run notes of it.

    `facts`: `merged`, `untied`, `changes` (the largest change of a log-probability on a few probe texts, in nats; 0
    where the adapter changes nothing), `merged_differs` (of merged from unmerged), `template` (whose chat template is
    used), `vocabulary` (where it is the adapter's own).
    """

    model: Any
    tokenizer: Any
    digest: str
    facts: dict[str, Any]


def with_adapter(
    model: Any, tokenizer: Any, folder: Path, *, name: str, base: str, merge: bool,
    while_apart: Callable[[Any, Any], None] | None = None,
) -> Adapted:  # fmt: skip
    """
        tuned = with_adapter(model, tokenizer, folder, name="path:m", base=hash_of_weights, merge=True)

    `base`: the hash of the model's weights. The adapter's own chat template is put into the tokenizer; where the
    vocabulary was resized for it, the model is resized and the tokenizer is the adapter's. `while_apart`: called with
    the peft model and its tokenizer before anything is merged. ModelError or DataError for an adapter that does not
    fit, or that could not be merged into the same model.
    """
    from peft import PeftModel

    config = check_adapter(folder, name, base)
    tokenizer, vocabulary = resized(model, tokenizer, folder)
    own = use_template(tokenizer, folder, name)
    with _fitting(folder, name):
        digest = adapter_hash(folder, config)
        tuned = PeftModel.from_pretrained(model, str(folder), use_safetensors=True).eval()
        check_adapter_fits(tuned, folder)
        facts: dict[str, Any] = {"template": "the adapter's own" if own else "the model's"}
        facts |= {"vocabulary": vocabulary} if vocabulary else {}
    if while_apart:
        while_apart(tuned, tokenizer)
    with _fitting(folder, name):
        return Adapted(_compared(tuned, tokenizer, merge, facts), tokenizer, digest, facts)


@contextmanager
def _fitting(folder: Path, name: str) -> Iterator[None]:
    """ModelError, with what went wrong, for whatever is raised within; what peft warns of is seen to here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 asks transformers 5 for a renamed attribute
            warnings.filterwarnings("ignore", message=".*missing adapter keys")  # an error: `check_adapter_fits`
            warnings.filterwarnings("ignore", message=".*tie_word_embeddings")  # it is untied: `untie`
            yield
    except Exception as error:
        reason = str(error) if isinstance(error, RagmedError) else _peft_reason(error)
        raise ModelError(
            f"the adapter '{folder}' does not fit '{name}': {reason}; load it on the model it was trained on"
        ) from error


def _compared(tuned: Any, tokenizer: Any, merge: bool, facts: dict[str, Any]) -> Any:
    """The model with the adapter on, measured against the adapter off; merged if it may be and measures the same."""
    probes = _probes(tokenizer, int(tuned.get_base_model().config.get_text_config().vocab_size))
    with tuned.disable_adapter():
        off = _logprobs(tuned, probes)
    on = _logprobs(tuned, probes)
    facts |= {"merged": merge, "changes": _largest(on, off)}
    if not merge:
        return tuned.get_base_model()
    facts["untied"] = untie(tuned)
    merged = tuned.merge_and_unload()
    facts["merged_differs"] = _largest(_logprobs(merged, probes), on)
    if not facts["merged_differs"] <= _TOLERANCE:  # also where it is no number
        raise ModelError(
            "merged into the weights it gives other log-probabilities than beside them "
            f"(by {facts['merged_differs']:g} nats); use it unmerged, with dtype bfloat16"
        )
    return merged


def untie(tuned: Any) -> bool:
    """Gives the head of a peft model weights of its own where it shares them with the embedding and the adapter changes
    one of the two: merged into the shared matrix, a change of one would change the other as well.
    """
    import torch

    whole = tuned.get_base_model()
    embedding, head = whole.get_input_embeddings(), whole.get_output_embeddings()
    if head is None:
        return False
    plain_embedding, plain_head = _unwrapped(embedding), _unwrapped(head)
    changed = plain_embedding is not embedding or plain_head is not head
    if not changed or plain_embedding.weight.data_ptr() != plain_head.weight.data_ptr():
        return False
    plain_head.weight = torch.nn.Parameter(plain_head.weight.detach().clone(), requires_grad=False)
    for config in (whole.config, whole.config.get_text_config()):  # else saved weights are tied again when loaded
        config.tie_word_embeddings = False
    return True


def _unwrapped(module: Any) -> Any:
    """The layer of the model under those of peft: LoRA's, and the one that keeps a layer trained as a whole."""
    for name in ("base_layer", "original_module"):
        inner = dict(module.named_children()).get(name)
        if inner is not None:
            return inner
    return module


def _probes(tokenizer: Any, vocabulary: int) -> list[list[int]]:
    texts = [list(map(int, tokenizer(text, add_special_tokens=False)["input_ids"])) for text in _PROBES]
    return [*(ids for ids in texts if ids), [place * vocabulary // _SPREAD for place in range(_SPREAD)]]


def _logprobs(model: Any, probes: list[list[int]]) -> list[Any]:
    import torch

    device = next(model.parameters()).device
    with torch.inference_mode():
        logits = [model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits[0] for ids in probes]
        return [one.float().log_softmax(-1) for one in logits]


def _largest(one: list[Any], other: list[Any]) -> float:
    """Of the differences; NaN where there is one."""
    differences = [float((a - b).abs().max()) for a, b in zip(one, other, strict=True)]
    return next((value for value in differences if value != value), max(differences))


def use_template(tokenizer: Any, folder: Path, name: str) -> bool:
    """Puts the chat template of an adapter's folder into the tokenizer; whether it is another one than was there.

    ModelError where the adapter learnt turns in yet another template.
    """
    template = own_template(folder)
    own = bool(template) and template != tokenizer.chat_template
    if own:
        tokenizer.chat_template = template
    check_template(folder, name, template_hash(tokenizer))
    return own


def template_hash(tokenizer: Any) -> str:
    """Of the chat template's source; of a model without one too."""
    return sha256_json(tokenizer.chat_template or "")


def check_adapter_fits(tuned: Any, folder: Path) -> None:
    """Every tensor of the file must have found its place, and every place its tensor: peft only warns of the latter."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    expected = set(get_peft_model_state_dict(tuned, save_embedding_layers=False))
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        given = set(file.keys())
        # Of a layer that was trained whole and resized peft writes the same once more, under its name in the wrapper.
        twice = {name for name in given if (short := name.replace(_WHOLE, ".")) != name and short in given}
        twice = {name for name in twice if file.get_tensor(name).equal(file.get_tensor(name.replace(_WHOLE, ".")))}
    multimodal = any("language_model" in key for key in given) != any("language_model" in key for key in expected)
    remedy = (
        " (one of the two is the multimodal form of the model, whose layers have other names: merge the adapter into "
        "the form it was trained on, with peft, and name the merged folder)"
        if multimodal
        else ""
    )
    if missing := expected - given:
        raise ModelError(f"it lacks {some(missing)}{remedy}")
    # Trained embeddings and heads lie in the file under the names they have in the model.
    if unknown := given - expected - twice - set(tuned.state_dict()):
        raise ModelError(f"the model has no place for {some(unknown)}{remedy}")


def _peft_reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines()]
    sizes = [line for line in lines if line.startswith("size mismatch")]
    if sizes:
        return sizes[0]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
