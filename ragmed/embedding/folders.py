"""A sentence-transformers folder in; its hash, or the model out, refused where anything in it is unsafe or missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ragmed.errors import MissingDependencyError, ModelError
from ragmed.files import sha256_file, sha256_json
from ragmed.machine import note_slow_dtype

MODEL_FILES = ("*.json", "*.txt", "*.safetensors", "*.model", "*/*.json", "*/*.txt", "*/*.safetensors", "*/*.model")
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt")
UNUSED = "pooler."  # a head of BERT-like models that sentence embeddings never read, and which many saved without


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def folder_hash(folder: Path) -> str:
    """One hash of every file that takes part in embedding: weights, configuration, tokenizer."""
    names = {pattern.rpartition("/")[2] for pattern in MODEL_FILES}
    wanted = {path for name in names for path in folder.rglob(name) if path.is_file() and not _hidden(path, folder)}
    return sha256_json({path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(wanted)})


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def load_model(name: str, folder: Path, precision: str, device: str) -> Any:
    _refuse_unsafe(name, folder)
    note_slow_dtype(f"embedder '{name}'", precision, device)
    try:
        import torch
        from safetensors import SafetensorError
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except ImportError as error:
        raise MissingDependencyError(
            f"embedder '{name}' needs sentence-transformers; run: pip install \"ragmed[cpu]\""
        ) from error
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # 'Loading weights' is not the user's progress
    try:
        model = SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": getattr(torch, precision)},
        )
        missing = [key for module in model.modules() for key in _missing(module)]
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(f"embedder '{name}' could not be loaded from '{folder}': {first_line(error)}") from error
    finally:
        if shown:
            logging.enable_progress_bar()
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise ModelError(f"embedder '{name}': the weights in '{folder}' lack {shown}; fetch the model again")
    return model.eval()


def _missing(module: Any) -> list[str]:
    """Tensors of a transformers model that its files do not hold: those were filled with random numbers, and loaded.

    Names in a file may differ from the model's by a prefix or an older spelling; only transformers knows, so where
    names are not found as such, it is asked by loading once more.
    """
    from safetensors import safe_open
    from transformers import PreTrainedModel

    folder = Path(str(getattr(getattr(module, "config", None), "name_or_path", "")))
    if not isinstance(module, PreTrainedModel) or not folder.is_dir():
        return []
    stored: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as tensors:
            stored.update(tensors.keys())
    if module.state_dict().keys() <= stored:
        return []
    _, loading = type(module).from_pretrained(
        folder, config=module.config, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    return sorted(key for key in loading["missing_keys"] if not key.startswith(UNUSED))


def declared_similarity(name: str, folder: Path, *, metric: str | None, normalise: bool | None) -> tuple[str, bool]:
    """Metric and normalisation of a model: what was declared (`metric`, `normalise`), else what its folder declares.

    ModelError where the folder names a similarity that is neither, or is declared to give vectors of any length while
    it holds a Normalize module.
    """
    try:
        modules = json.loads((folder / "modules.json").read_text("utf-8"))
        unit = any(str(module["type"]).rpartition(".")[2] == "Normalize" for module in modules)
        config = folder / "config_sentence_transformers.json"
        similarity = json.loads(config.read_text("utf-8")).get("similarity_fn_name") if config.is_file() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        unit, similarity = False, None  # loading reports what is wrong with it
    if unit and normalise is False:
        raise ModelError(f"embedder '{name}' normalises its vectors itself; take 'normalise: false' away")
    known = {"cosine": ("inner_product", True), "dot": ("inner_product", unit), "euclidean": ("l2", unit)}
    if similarity not in (None, *known) and not metric:
        raise ModelError(
            f"embedder '{name}' compares by '{similarity}', which no index can; declare"
            " 'metric: inner_product' or 'metric: l2'"
        )
    by_folder = known.get(similarity or "cosine", known["cosine"])
    lengths = normalise if normalise is not None else unit if metric == "l2" else by_folder[1]
    return metric or by_folder[0], lengths


def positions_of(model: Any) -> int:
    """How many tokens the position tables of a model hold; 0 where it has none, or computes positions."""
    from torch.nn import Embedding

    sizes = [
        # tables with a padding index (RoBERTa's) count from after it
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        for path, table in model.named_modules()
        if isinstance(table, Embedding) and path.endswith(".position_embeddings")
    ]
    return min(sizes, default=0)


def _refuse_unsafe(name: str, folder: Path) -> None:
    """Pickled weights, code from elsewhere, and folders whose pooling nobody declared are refused before loading."""
    try:
        modules = json.loads((folder / "modules.json").read_text("utf-8"))
        paths = [folder / module["path"] for module in modules]
        foreign = [module["type"] for module in modules if not module["type"].startswith("sentence_transformers.")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"embedder '{name}': '{folder}' has no readable modules.json, so how it pools tokens is unknown; "
            "save it with sentence-transformers first"
        ) from error
    if foreign:
        raise ModelError(f"embedder '{name}' brings its own code ({', '.join(foreign)}), which is not run")
    outside = [path for path in paths if not path.resolve().is_relative_to(folder.resolve())]
    if outside:
        raise ModelError(f"embedder '{name}': its modules.json names '{outside[0]}', which lies outside its folder")
    for pattern in PICKLES:
        for path in sorted(folder.rglob(pattern)):
            if not any(path.parent.glob("model*.safetensors")):
                raise ModelError(f"embedder '{name}': '{path}' is pickled weights only; safetensors are needed")
