"""A model's name in, its folder out; its hash, or the model, refused where anything in it is unsafe or missing.

All kinds of models that sentence-transformers loads come through here: embedders, cross-encoders, sparse and
late-interaction encoders.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from ragmed.errors import MissingDependencyError, ModelError, UnknownNameError, UsageError
from ragmed.files import refuse_pointers, sha256_file, sha256_json, user_path
from ragmed.hub import hub_reason
from ragmed.machine import note_slow_dtype

MODEL_FILES = ("*.json", "*.txt", "*.safetensors", "*.model", "*/*.json", "*/*.txt", "*/*.safetensors", "*/*.model")
PRECISIONS = ("bfloat16", "float16", "float32")
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


def model_folder(what: str, name: str) -> tuple[Path, str]:
    """
        model_folder("reranker", "hf:ncbi/MedCPT-Cross-Encoder@1a2b3c4")

    Where the files of `path:DIR` or `hf:ORG/NAME@REVISION` lie, fetched first where they are on a hub, and the commit
    that they are of ('' for a folder). `what`: what the model is, for messages. Raises UnknownNameError, UsageError
    (no revision), ModelError.
    """
    kind, _, rest = name.partition(":")
    if kind == "path":
        folder = user_path(rest)
        if not rest or not folder.is_dir():
            raise ModelError(f"{what} '{name}': there is no folder '{folder}'")
        return folder, ""
    if kind != "hf":
        raise UnknownNameError(what, name, ["hf:ORG/NAME@REVISION", "path:DIR"])
    repository, _, revision = rest.partition("@")
    if not revision or repository.count("/") != 1:
        raise UsageError(f"{what} '{name}': write hf:ORG/NAME@REVISION; a commit hash as the revision never moves")
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=list(MODEL_FILES)))
    except (OSError, ValueError) as error:  # every hub error is one of the two, offline ones included
        reason = hub_reason(error, repository, revision) or f"it could not be fetched: {first_line(error)}"
        raise ModelError(f"{what} '{name}': {reason}") from error
    return folder, folder.name  # a snapshot's folder is named by its commit, also where the revision was a branch


def load_model(
    name: str,
    folder: Path,
    precision: str,
    device: str,
    *,
    kind: str = "SentenceTransformer",
    what: str = "embedder",
    pooling: str = "",
) -> Any:
    """A model of sentence-transformers, for asking only. `kind`: its class. `pooling`: `cls`, `mean` or another of its
    poolings, for an embedder whose folder holds a bare transformer and says nothing of it. `what`: for messages."""
    _refuse_unsafe(f"{what} '{name}'", folder, bare=bool(pooling) or kind != "SentenceTransformer")
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    note_slow_dtype(f"{what} '{name}'", precision, device)
    try:
        import sentence_transformers
        import torch
        from safetensors import SafetensorError
        from transformers.utils import logging
    except ImportError as error:
        raise MissingDependencyError(
            f"{what} '{name}' needs sentence-transformers; run: pip install \"ragmed[cpu]\""
        ) from error
    settings: dict[str, Any] = {"device": device, "local_files_only": True, "trust_remote_code": False}
    loading = {"use_safetensors": True, "dtype": getattr(torch, precision)}
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # 'Loading weights' is not the user's progress
    try:
        make = getattr(sentence_transformers, kind)
        if pooling:
            model = make(modules=_pooled(folder, pooling, loading), **settings)
        else:
            model = make(str(folder), model_kwargs=loading, **settings)
        missing = [key for module in _outermost(model) for key in _missing(module)]
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(f"{what} '{name}' could not be loaded from '{folder}': {first_line(error)}") from error
    finally:
        if shown:
            logging.enable_progress_bar()
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise ModelError(f"{what} '{name}': the weights in '{folder}' lack {shown}; fetch the model again")
    return model.eval()


def _pooled(folder: Path, pooling: str, loading: Mapping[str, Any]) -> list[Any]:
    """A bare transformer's folder with a declared pooling of its tokens."""
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    local = {"local_files_only": True, "trust_remote_code": False}
    tokens = Transformer(
        str(folder), model_kwargs={**loading, **local}, config_kwargs=dict(local), processor_kwargs=dict(local)
    )
    return [tokens, Pooling(tokens.get_embedding_dimension(), pooling_mode=pooling)]


def _outermost(model: Any) -> Iterator[Any]:
    """The transformers of a model, without parts of another, which that one's file holds by longer names."""
    from transformers import PreTrainedModel

    inside: set[int] = set()
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and id(module) not in inside:
            inside.update(id(part) for part in module.modules())
            yield module


def _missing(module: Any) -> list[str]:
    """Tensors of a transformers model that its files do not hold: those were filled with random numbers, and loaded.

    Names in a file may differ from the model's by a prefix or an older spelling; only transformers knows, so where
    names are not found as such, it is asked by loading once more.
    """
    from safetensors import safe_open

    folder = Path(str(getattr(getattr(module, "config", None), "name_or_path", "")))
    if not folder.is_dir():
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
        modules = _modules(folder)
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


def limits_of(model: Any) -> list[int]:
    """How many tokens a model says that it reads, and how many its positions allow; what is not said is left out."""
    return [n for n in (int(model.max_seq_length or 0), positions_of(model)) if n > 0]


def prompts_of(model: Any) -> tuple[str, str]:
    """The prompts that a model declares before queries and before passages; '' where it declares none."""
    prompts = {key: text for key, text in model.prompts.items() if text}
    return prompts.get("query", ""), next(
        (prompts[key] for key in ("document", "passage", "corpus") if key in prompts), ""
    )


def model_identity(folder: Path, revision: str, precision: str) -> dict[str, Any]:
    """All that says which model computes, and by what."""
    libraries = {name: metadata.version(name) for name in ("sentence-transformers", "transformers", "torch")}
    return {"weights": folder_hash(folder), "revision": revision, "precision": precision, "libraries": libraries}


def _refuse_unsafe(who: str, folder: Path, *, bare: bool) -> None:
    """Pickled weights, code from elsewhere, and folders whose pooling nobody declared are refused before loading.

    `bare`: a folder without modules.json is the transformer itself, since what follows it is known.
    """
    refuse_pointers(folder, who)
    try:
        modules = [] if bare and not (folder / "modules.json").exists() else _modules(folder)
        paths = [folder / module["path"] for module in modules]
        foreign = [module["type"] for module in modules if not module["type"].startswith("sentence_transformers.")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{who}: '{folder}' has no readable modules.json, so how it pools tokens is unknown; declare pooling, or "
            "save it with sentence-transformers first"
        ) from error
    if foreign:
        raise ModelError(f"{who} brings its own code ({', '.join(foreign)}), which is not run")
    outside = [path for path in paths if not path.resolve().is_relative_to(folder.resolve())]
    if outside:
        raise ModelError(f"{who}: its modules.json names '{outside[0]}', which lies outside its folder")
    for pattern in PICKLES:
        for path in sorted(folder.rglob(pattern)):
            if not any(path.parent.glob("model*.safetensors")):
                raise ModelError(f"{who}: '{path}' is pickled weights only; safetensors are needed")


def _modules(folder: Path) -> Any:
    return json.loads((folder / "modules.json").read_text("utf-8"))
