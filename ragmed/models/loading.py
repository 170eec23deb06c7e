"""The load door of local models. In: a folder or a hub name, and perhaps an adapter. Out: a LocalModel, or a sentence.

Weights are read from safetensors only, no code of the model's publisher is run, and nothing is fetched unless the
name says `hf:`. A model that would not be what its files say (tensors missing, an adapter that fits nothing, a text
that is read in both directions) is refused.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ragmed.errors import DataError, MissingDependencyError, ModelError, RagmedError, UsageError
from ragmed.files import read_json, refuse_pointers, sha256_file, sha256_json, user_path
from ragmed.hub import hub_reason, offline
from ragmed.machine import auto_dtype, note_slow_dtype
from ragmed.models.adapted import with_adapter
from ragmed.models.local import Apart, LocalModel
from ragmed.models.names import parse_model_name
from ragmed.models.present import weights_hash
from ragmed.models.settings import DTYPES, ModelSettings
from ragmed.packaged import packaged_model_folder
from ragmed.workspace import Workspace

_PROBE_TOKENS = 8
# Weights in other formats, and what lies in subfolders (other formats of the same weights), are not fetched.
_FETCHED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "*.tiktoken")
_LEFT = ("*/*", "consolidated*")
_TOKENIZERS = ("tokenizer.json", "*.model", "vocab.*", "*.tiktoken")


def load(
    settings: ModelSettings, *, workspace: Workspace, seed: int, while_apart: Callable[[Apart], None] | None = None
) -> LocalModel:
    """The loader of `packaged:`, `path:` and `hf:` names. `seed` is not needed: decoding is greedy."""
    name = parse_model_name(settings.name)
    adapter = workspace.adapter(name.adapter) if name.adapter else None
    folder, snapshot_of = weights_folder(settings.name, workspace)
    return load_folder(settings, folder, snapshot_of=snapshot_of, adapter=adapter, while_apart=while_apart)


def weights_folder(model: str, workspace: Workspace) -> tuple[Path, str]:
    """Where the weights of a local model lie, and the repository of the hub that they are a snapshot of, if any."""
    name = parse_model_name(model)
    if name.scheme == "path":
        return user_path(name.target), ""
    if name.scheme == "packaged":
        return packaged_model_folder(name.target, workspace.models), ""
    return hub_folder(name.target, name.revision), name.target


def hub_folder(repository: str, revision: str) -> Path:
    """
        hub_folder("org/name", "main").name  # '0123456789abcdef0123456789abcdef01234567'

    The snapshot in the hub's local cache, named by its commit, fetched first where it is missing and the hub may be
    asked. ModelError says what to do about a gated, private or misspelt repository, a missing revision, no network.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=list(_FETCHED),
            ignore_patterns=list(_LEFT),
            local_files_only=offline(),
        )
    except Exception as error:  # the hub's errors, its validators' and those of the connection have no common root
        reason = hub_reason(error, repository, revision) or f"it could not be fetched: {_first_line(error)}"
        raise ModelError(f"model 'hf:{repository}': {reason}") from error
    return Path(folder)


def load_folder(
    settings: ModelSettings, folder: Path, *, snapshot_of: str = "", adapter: Path | None = None,
    while_apart: Callable[[Apart], None] | None = None,
) -> LocalModel:  # fmt: skip
    """
        load_folder(ModelSettings("path:models/m"), Path("models/m"))

    `settings.device`: auto, cpu, cuda, cuda:1 …, or map, which spreads the layers over all GPUs; auto takes cuda where
    there is one. `dtype`: auto is float32 on a CPU, bfloat16 elsewhere. `quantization`: 8bit or 4bit (NF4), by
    bitsandbytes while the weights are read. An adapter is a folder with a LoRA adapter in safetensors. `snapshot_of`:
    the repository, where the folder is a snapshot of one, named by its commit. `while_apart`: called with the model
    while its adapter can still be switched off. Raises ModelError, DataError, UsageError, MissingDependencyError.
    """
    import torch

    name = settings.name.partition("+adapter:")[0]
    device = resolve_device(settings.device)
    model, tokenizer, hashes = load_weights(settings, folder, snapshot_of=snapshot_of)
    placed = settings.quantization != "none" or settings.device == "map"
    try:
        model = model.eval() if placed else model.to(device).eval()
    except RuntimeError as error:
        raise ModelError(f"'{name}' does not fit on '{device}': {_first_line(error)}") from error
    notes: dict[str, Any] = {}
    if adapter or parse_model_name(settings.name).adapter:
        place = adapter or user_path(parse_model_name(settings.name).adapter)
        merge = settings.quantization == "none" and model.dtype == torch.float32

        def apart(peft: Any, adapted: Any) -> None:
            if while_apart:
                limit = settings.context_tokens
                while_apart(Apart(settings.name, peft, adapted, hashes=hashes, context_tokens=limit))

        tuned = with_adapter(model, tokenizer, place, name=name, base=hashes["weights"], merge=merge, while_apart=apart)
        model, tokenizer, notes["adapter"] = tuned.model, tuned.tokenizer, tuned.facts
        hashes |= {"adapter": tuned.digest, "tokenizer": tokenizer_hash(tokenizer)}
    try:
        _check_causal(model, name)
        return LocalModel(
            settings.name,
            model,
            tokenizer,
            hashes=hashes,
            thinking_tokens=settings.thinking_tokens,
            context_tokens=settings.context_tokens,
            notes=notes,
        )
    except RagmedError:
        raise
    except Exception as error:
        raise ModelError(f"'{name}' cannot be used as a language model: {_first_line(error)}") from error


def load_weights(settings: ModelSettings, folder: Path, *, snapshot_of: str = "") -> tuple[Any, Any, dict[str, str]]:
    """
        model, tokenizer, hashes = load_weights(ModelSettings("path:m"), Path("m"))

    The transformers model as its files say, its tokenizer, and the hashes of both; no adapter is applied. Raises as
    `load_folder` does.
    """
    name = settings.name.partition("+adapter:")[0]
    dtype = _dtype(settings.dtype, settings.device)
    check_folder(folder, snapshot_of)
    note_slow_dtype(f"model '{name}'", str(dtype).removeprefix("torch."), resolve_device(settings.device))
    placement = _placement(settings, resolve_device(settings.device), dtype)
    try:
        model, tokenizer = _read(folder, dtype, name, placement)
        hashes = file_hashes(folder, tokenizer) | ({"revision": folder.name} if snapshot_of else {})
    except RagmedError:
        raise
    except Exception as error:  # the files are a stranger's, and the libraries that read them fail in their own ways
        raise ModelError(f"'{name}' could not be loaded: {_reason(error, folder)}") from error
    if settings.quantization != "none":
        hashes["quantization"] = settings.quantization
    return model, tokenizer, hashes


def _placement(settings: ModelSettings, device: str, dtype: Any) -> dict[str, Any]:
    """What transformers is passed where the weights do not simply go to one device, as they are."""
    options: dict[str, Any] = {}
    if settings.device == "map":
        _require("accelerate", "device: map")
        options["device_map"] = "auto"
    if settings.quantization != "none":
        _require("bitsandbytes", f"quantization: {settings.quantization}")
        _require("accelerate", f"quantization: {settings.quantization}")
        options["quantization_config"] = _quantization(settings.quantization, dtype)
        options.setdefault("device_map", {"": device})
    return options


def _quantization(kind: str, dtype: Any) -> Any:
    from transformers import BitsAndBytesConfig

    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _require(package: str, what: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise MissingDependencyError(f"{what} needs the package {package}: pip install 'ragmed[large]'")


def _read(folder: Path, dtype: Any, name: str, placement: dict[str, Any]) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    tokenizer = read_tokenizer(folder, name)
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, use_safetensors=True, dtype=dtype, output_loading_info=True, trust_remote_code=False, **placement
    )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(f"'{name}' is an adapter, not a model; name the model, then +adapter: and a folder with it")
    wrong = set(report["missing_keys"]) | {key[0] for key in report["mismatched_keys"]}
    if wrong:  # transformers would put random numbers there
        raise ModelError(
            f"the weights of '{name}' lack {_some(wrong)}, or have them in another shape; fetch them again"
        )
    if "disk" in set(getattr(model, "hf_device_map", {}).values()):
        raise ModelError(f"'{name}' does not fit into the memory of the GPUs and of the machine; quantize it")
    return model, tokenizer


def read_tokenizer(folder: Path, name: str) -> Any:
    """The tokenizer of a folder; DataError where there is none, since transformers would make an empty one up."""
    from transformers import AutoTokenizer

    if not any(path for pattern in _TOKENIZERS for path in folder.glob(pattern)):
        raise DataError(
            f"'{name}' has no tokenizer ({', '.join(_TOKENIZERS)}); copy it from the model that its weights come from"
        )
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # the library has many ways of saying that a package is not here
        lacking = [package for package in ("sentencepiece", "tiktoken") if importlib.util.find_spec(package) is None]
        if (folder / "tokenizer.json").is_file() or not lacking:
            raise
        raise MissingDependencyError(
            f"the tokenizer of '{name}' is no tokenizer.json, and could not be read without {' and '.join(lacking)}: "
            f"pip install {' '.join(lacking)} ({_first_line(error)})"
        ) from error


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


def resolve_device(device: str) -> str:
    """`auto` and `map` as the kind of device they mean here; UsageError for one that is not here."""
    import torch

    if device in ("auto", "map"):
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
    return getattr(torch, auto_dtype(resolve_device(device)) if dtype == "auto" else dtype)


def check_folder(folder: Path, repository: str) -> None:
    """`repository`: its name, where the folder is a snapshot in a cache whose path would mean nothing to a reader."""
    what = f"'{repository}'" if repository else f"model folder '{folder}'"
    if not folder.is_dir():
        raise DataError(f"{what} does not exist")
    if not (folder / "config.json").is_file():
        raise DataError(f"{what} has no config.json; is it a transformers model?")
    read_json(folder / "config.json", "model config")
    if (folder / "adapter_config.json").exists():  # transformers would apply it unasked, or load another base model
        raise DataError(f"{what} holds an adapter too; move it elsewhere and name it with +adapter:")
    if not any(folder.glob("*.safetensors")):
        raise DataError(f"{what} has no *.safetensors; other formats can hold code and are not read")
    refuse_pointers(folder, what)


def _reason(error: BaseException, folder: Path) -> str:
    said = str(error)
    if "trust_remote_code" in said:
        return "it needs code of its publisher, which is not run; choose a model that transformers itself knows"
    config = read_json(folder / "config.json", "model config")
    kind = config.get("model_type")
    if "Unrecognized configuration class" in said:
        if any(key.endswith("_config") and key != "quantization_config" for key in config):
            return (
                f"it is a multimodal model ('{kind}'), which transformers does not load as a language model; serve it, "
                "and name the server: endpoint:URL#MODEL"
            )
        return f"a model of the type '{kind}' is no causal language model; choose one that writes text after text"
    if "does not recognize this architecture" in said:
        return f"the transformers that is installed knows no model type '{kind}'; run: pip install -U transformers"
    if "ignore_mismatched_sizes" in said:
        return (
            "its weights have other shapes than its config.json says; where the vocabulary was resized, save weights "
            "and config.json together (model.save_pretrained)"
        )
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    kind = type(error).__name__
    if not lines:
        return kind
    return lines[0] if isinstance(error, (OSError, ValueError, RuntimeError, ImportError)) else f"{kind}: {lines[0]}"


def file_hashes(folder: Path, tokenizer: Any) -> dict[str, str]:
    """`weights`: over the names and hashes of all safetensors; `config`: of config.json, which says how to compute with
    them; `tokenizer`: of what turns text into ids.
    """
    return {
        "weights": weights_hash(folder),
        "config": sha256_file(folder / "config.json"),
        "tokenizer": tokenizer_hash(tokenizer),
    }


def tokenizer_hash(tokenizer: Any) -> str:
    """Of what turns text into ids."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return sha256_json(backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items()))
