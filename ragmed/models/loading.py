"""The load door of local models. In: a folder or a hub name, and perhaps an adapter. Out: a LocalModel, or a sentence.

Weights are read from safetensors only, no code of the model's publisher is run, and nothing is fetched unless the
name says `hf:`. A model that would not be what its files say (tensors missing, an adapter that fits nothing, a text
that is read in both directions) is refused.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ragmed.errors import DataError, ModelError, RagmedError, UsageError
from ragmed.files import read_json, sha256_file, sha256_json
from ragmed.models.local import LocalModel

DTYPES = ("auto", "float32", "bfloat16", "float16")
_PROBE_TOKENS = 8


def load_local(
    name: str, source: str | Path, *, revision: str = "", adapter: str = "", device: str = "auto", dtype: str = "auto"
) -> LocalModel:
    """>>> load_local("path:models/m", Path("models/m"))  # doctest: +SKIP

    `source`: a folder, or ORG/NAME for the hub (its local cache alone where HF_HUB_OFFLINE=1). `device`: auto, cpu,
    cuda, cuda:1 …; auto takes cuda where there is one. `dtype`: auto is float32 on a CPU, bfloat16 elsewhere.
    `adapter`: a folder with a LoRA adapter in safetensors. Raises ModelError, DataError, UsageError.
    """
    device_, dtype_ = _device(device), _dtype(dtype, device)
    if isinstance(source, Path):
        _check_folder(source)
    base = name.partition("+")[0]
    try:
        model, tokenizer = _read(source, revision, dtype_, base)
        hashes = _hashes(source, model, tokenizer)
    except RagmedError:
        raise
    except Exception as error:  # the files are a stranger's, and the libraries that read them fail in their own ways
        raise ModelError(f"'{base}' could not be loaded: {_first_line(error)}{_hint(source)}") from error
    if adapter:
        model, hashes["adapter"] = _with_adapter(model, Path(adapter).expanduser(), base, hashes["weights"])
    try:
        model = model.to(device_).eval()
    except RuntimeError as error:
        raise ModelError(f"'{base}' does not fit on '{device_}': {_first_line(error)}") from error
    try:
        _check_causal(model, base)
        return LocalModel(name, model, tokenizer, hashes=hashes)
    except RagmedError:
        raise
    except Exception as error:
        raise ModelError(f"'{base}' cannot be used as a language model: {_first_line(error)}") from error


def _read(source: str | Path, revision: str, dtype: Any, name: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    options: dict[str, Any] = {"trust_remote_code": False}
    if revision:
        options["revision"] = revision
    tokenizer = AutoTokenizer.from_pretrained(source, **options)
    model, report = AutoModelForCausalLM.from_pretrained(
        source, use_safetensors=True, dtype=dtype, output_loading_info=True, **options
    )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(f"'{name}' is an adapter, not a model; name the model, then +adapter: and a folder with it")
    wrong = set(report["missing_keys"]) | {key[0] for key in report["mismatched_keys"]}
    if wrong:  # transformers would put random numbers there
        raise ModelError(f"the weights of '{name}' lack {_some(wrong)}, or have them in another shape; fetch them anew")
    return model, tokenizer


def _some(keys: Collection[str]) -> str:
    shown = sorted(keys)[:3]
    more = f" and {len(keys) - len(shown)} more tensors" if len(keys) > len(shown) else ""
    return ", ".join(shown) + more


def _check_causal(model: Any, name: str) -> None:
    """Two texts that differ in their second half must give the same predictions in the first.

    Encoders (BERT and its like) load as language models too, and would score an answer that they have already seen.
    """
    import torch

    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    one = [(7 * place + 3) % vocabulary for place in range(_PROBE_TOKENS)]
    half = _PROBE_TOKENS // 2
    other = one[:half] + [(token + vocabulary // 2) % vocabulary for token in one[half:]]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([one, other], device=model.device), use_cache=False).logits.float()
    change = (logits[0] - logits[1]).abs().amax(-1)
    # Both rows are read at once, so that little rounding is seen; in 16 bits it is allowed for where no layer says
    # of itself that it looks ahead.
    ahead = any(getattr(module, "is_causal", None) is False for module in model.modules())
    rounding = 1e-4 if ahead or model.dtype == torch.float32 else 2e-2
    if change[:half].max() > rounding * change[half:].max():
        raise ModelError(f"'{name}' reads texts in both directions (an encoder); a causal language model is needed")


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"device '{device}' was asked for, and torch sees no GPU here; use --device cpu")
    try:
        return str(torch.device(device))
    except RuntimeError as error:
        raise UsageError(f"device '{device}' is not one that torch knows; use cpu, cuda or cuda:N") from error


def _dtype(dtype: str, device: str) -> Any:
    import torch

    if dtype not in DTYPES:
        raise UsageError(f"dtype '{dtype}' is not one of {', '.join(DTYPES)}")
    if dtype == "auto":  # most CPUs compute bfloat16 slower than float32, and less exactly
        return torch.float32 if _device(device) == "cpu" else torch.bfloat16
    return getattr(torch, dtype)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"model folder '{folder}' does not exist")
    if not (folder / "config.json").is_file():
        raise DataError(f"model folder '{folder}' has no config.json; is it a transformers model?")
    read_json(folder / "config.json", "model config")
    if (folder / "adapter_config.json").exists():  # transformers would apply it unasked, or load another base model
        raise DataError(f"model folder '{folder}' holds an adapter too; move it elsewhere and name it with +adapter:")
    if not any(folder.glob("*.safetensors")):
        raise DataError(f"model folder '{folder}' has no *.safetensors; other formats can hold code and are not read")


def _hint(source: str | Path) -> str:
    if isinstance(source, Path):
        return ""
    if os.environ.get("HF_HUB_OFFLINE", "") in ("1", "true", "True", "ON", "YES"):
        return " (HF_HUB_OFFLINE is set, so only models already in the local cache can be used)"
    return ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    kind = type(error).__name__
    if not lines:
        return kind
    return lines[0] if isinstance(error, (OSError, ValueError, RuntimeError, ImportError)) else f"{kind}: {lines[0]}"


def _hashes(source: str | Path, model: Any, tokenizer: Any) -> dict[str, str]:
    """`weights`: over the names and hashes of all safetensors; `config`: of config.json, which says how to compute with
    them; `tokenizer`: of what turns text into ids.
    """
    hashes: dict[str, str] = {}
    if isinstance(source, Path):
        folder = source
    else:
        from huggingface_hub import snapshot_download

        revision = str(getattr(model.config, "_commit_hash", "") or "")
        hashes["revision"] = revision
        folder = Path(snapshot_download(source, revision=revision or None, local_files_only=True))
    hashes["weights"] = weights_hash(folder)
    hashes["config"] = sha256_file(folder / "config.json")
    backend = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    hashes["tokenizer"] = sha256_json(vocabulary)
    return hashes


def weights_hash(folder: Path) -> str:
    """>>> weights_hash(Path("models/m"))  # doctest: +SKIP

    One hash over the names and sha256 of a folder's safetensors. Read anew each time (about 1 s a gigabyte): a hash
    kept beside the weights could outlive a change of them. In the hub's cache a file is a link to a blob that the hub
    named after its sha256, and the name is taken.
    """
    hashes = {}
    for path in sorted(folder.glob("*.safetensors")):
        blob = path.resolve()
        named = path.is_symlink() and len(blob.name) == 64 and all(c in "0123456789abcdef" for c in blob.name)
        hashes[path.name] = blob.name if named else sha256_file(path)
    return sha256_json(hashes)


def _with_adapter(model: Any, folder: Path, name: str, base: str) -> tuple[Any, str]:
    """The model with the LoRA adapter, and the adapter's hash.

    In float32 the adapter is merged into the weights, exact to 1e-6 and as fast as no adapter. In 16 bits merging
    would round away small updates, so there it stays beside the weights, as it was trained.
    """
    import torch
    from peft import PeftModel

    if not (folder / "adapter_config.json").is_file() or not (folder / "adapter_model.safetensors").is_file():
        raise DataError(f"adapter folder '{folder}' lacks adapter_config.json or adapter_model.safetensors")
    _check_base(folder, name, base)
    config = read_json(folder / "adapter_config.json", "adapter configuration")
    if config.get("peft_type") != "LORA":
        raise ModelError(f"the adapter '{folder}' is of type {config.get('peft_type')}; only LORA can be loaded")
    try:
        digest = sha256_json([sha256_json(config), sha256_file(folder / "adapter_model.safetensors")])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 asks transformers 5 for a renamed attribute
            warnings.filterwarnings("ignore", message=".*missing adapter keys")  # an error of ours, below
            tuned = PeftModel.from_pretrained(model, str(folder), use_safetensors=True)
            _check_adapter_fits(tuned, folder)
            if model.dtype == torch.float32:
                return tuned.merge_and_unload(), digest
            return tuned.get_base_model(), digest
    except Exception as error:
        reason = str(error) if isinstance(error, RagmedError) else _first_line(error)
        raise ModelError(
            f"the adapter '{folder}' does not fit '{name}': {reason}; load it on the model it was trained on"
        ) from error


def _check_adapter_fits(tuned: Any, folder: Path) -> None:
    """Every tensor of the file must have found its place, and every place its tensor: peft only warns of the latter."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        given = set(file.keys())
    expected = set(get_peft_model_state_dict(tuned, save_embedding_layers=False))
    if missing := expected - given:
        raise ModelError(f"it lacks {_some(missing)}")
    # Trained embeddings and heads lie in the file under the names they have in the model.
    if unknown := given - expected - set(tuned.state_dict()):
        raise ModelError(f"the model has no place for {_some(unknown)}")


def _check_base(folder: Path, name: str, base: str) -> None:
    """An adapter trained here says in ragmed.json which weights it belongs to: {"base_weights": HASH}."""
    note = folder / "ragmed.json"
    if not note.is_file():
        return
    expected = read_json(note, "adapter note").get("base_weights")
    if expected and expected != base:
        raise ModelError(
            f"the adapter '{folder}' was trained on other weights than '{name}' has "
            f"({str(expected)[:12]}…, not {base[:12]}…); load it on the model it was trained on"
        )
