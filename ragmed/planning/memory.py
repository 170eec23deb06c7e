"""A model's files and the longest prompt in, bytes of memory out; an index's manifest in, bytes on disk and held out.

No weights are read, only the heads of their files, which say how many numbers there are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragmed.errors import DamagedError, MissingDependencyError
from ragmed.experiments.config import Experiment
from ragmed.experiments.references import specs_behind
from ragmed.index.manifest import read_manifest
from ragmed.models import ModelSettings
from ragmed.packaged import packaged_embedder_folder
from ragmed.planning.tokens import built, config_of, folder_of
from ragmed.retrieval.named import index_folder, index_recipe
from ragmed.workspace import Workspace

Row = dict[str, Any]
BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
QUANTIZED = {"8bit": 1.0, "4bit": 0.5}
WRITING = {"cpu": 8192, "gpu": 65536}
"""Tokens of a batch that is generated, as `models.generation` takes them."""

READING = {"cpu": 512, "gpu": 32768}
"""Tokens of a batch whose options are scored, as `models.scoring` takes them."""

_LARGEST_HEAD = 100_000_000


def model_memory(settings: ModelSettings, *, longest: int, writes: bool, workspace: Workspace) -> Row:
    """
    >>> model_memory(settings, longest=900, writes=True, workspace=Workspace.find())["weights_bytes"]  # doctest: +SKIP
    538060032

    Weights (parameters times bytes of the type they are held in) and the keys and values of one batch, whose longest
    prompt and answer have `longest` tokens. None where it is not known, as of servers. What a layer computes meanwhile
    comes on top.
    """
    row: Row = {"model": settings.name, "parameters": None, "dtype": None, "weights_bytes": None, "cache_bytes": None}
    row["total_bytes"] = None
    if settings.scheme not in ("packaged", "path", "hf"):
        return row
    folder = folder_of(settings.name.partition("+adapter:")[0], workspace)
    parameters = count_parameters(folder) if folder else 0
    if not parameters:
        return row
    place = "gpu" if _on_gpu(settings.device) else "cpu"
    dtype = {"cpu": "float32", "gpu": "bfloat16"}[place] if settings.dtype == "auto" else settings.dtype
    each = BYTES[dtype]
    row["parameters"], row["dtype"] = parameters, settings.quantization if settings.quantization != "none" else dtype
    row["weights_bytes"] = round(parameters * QUANTIZED.get(settings.quantization, each))
    token = cache_of_a_token(config_of(settings.name, workspace))
    if token is not None:
        batch = max(longest, (WRITING if writes else READING)[place])
        row["cache_bytes"] = round(token * each * batch)
        row["total_bytes"] = row["weights_bytes"] + row["cache_bytes"]
    return row


def cache_of_a_token(config: Mapping[str, Any]) -> int | None:
    """
    >>> cache_of_a_token({"num_hidden_layers": 30, "num_key_value_heads": 3, "head_dim": 64})
    11520

    Numbers kept of every token: a key and a value, in every layer and head. None where the config does not say.
    """
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    shared = config.get("num_key_value_heads") or heads
    size = config.get("head_dim")
    if not size and heads and config.get("hidden_size"):
        size = int(config["hidden_size"]) // int(heads)
    if not (isinstance(layers, int) and isinstance(shared, int) and isinstance(size, int)):
        return None
    return 2 * layers * shared * size


def count_parameters(folder: Path) -> int:
    """How many numbers the safetensors of a folder hold, by their heads; 0 where there are none."""
    return sum(_count(path) for path in sorted(folder.glob("*.safetensors")))


def _count(path: Path) -> int:
    try:
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if not 0 < size <= _LARGEST_HEAD:
                raise ValueError("the head's length makes no sense")
            head = json.loads(stream.read(size))
        return sum(math.prod(one["shape"]) for name, one in head.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"'{path}' is no safetensors file: {error}; fetch it anew") from error


def retrieval_memory(name: str, precision: str, workspace: Workspace) -> Row:
    """
    >>> retrieval_memory("hashing:64", "float32", Workspace.find())["weights_bytes"]
    0

    Bytes of the weights of an embedder, a sparse encoder or a reranker, in which it reads queries or pairs; None where
    its files are not here, as of one of a hub that was never fetched.
    """
    scheme, _, rest = name.partition(":")
    row: Row = {"reads": name, "dtype": precision, "parameters": None, "weights_bytes": None}
    if scheme == "hashing":
        return {**row, "dtype": None, "parameters": 0, "weights_bytes": 0}
    if precision == "auto":
        precision = row["dtype"] = "bfloat16" if _on_gpu("auto") else "float32"
    try:
        folder = packaged_embedder_folder(rest) if scheme == "packaged" else folder_of(name, workspace)
    except MissingDependencyError:
        return row
    if folder and (parameters := sum(_count(path) for path in sorted(folder.rglob("*.safetensors")))):
        row["parameters"], row["weights_bytes"] = parameters, round(parameters * BYTES[precision])
    return row


def retrieval_rows(experiment: Experiment, workspace: Workspace) -> list[Row]:
    """A row for each model that reads queries or pairs for an arm; BM25 reads by none."""
    read: dict[str, str] = {}
    for spec in specs_behind(experiment, list(experiment.arms.values())):
        if spec.model:
            read[spec.model] = spec.precision
        elif spec.method == "dense" and spec.record:
            read[spec.embedder] = "float32"
        elif spec.method == "dense":
            recipe = index_recipe(spec.index, workspace)
            read[recipe.embedder] = recipe.precision
    return [retrieval_memory(name, precision, workspace) for name, precision in read.items() if name]


def _on_gpu(device: str) -> bool:
    """`auto` and `map` mean this machine's GPU, where it has one."""
    if device in ("auto", "map"):
        import torch

        return bool(torch.cuda.is_available())
    return device.startswith("cuda")


def index_memory(name: str, workspace: Workspace) -> Row:
    """Bytes of an index on disk and of its float32 vectors in memory; None where it is not built yet."""
    row: Row = {"index": name, "built": built(name, workspace), "disk_bytes": None, "vectors_bytes": None}
    if row["built"]:
        manifest = read_manifest(index_folder(name, workspace))
        row["disk_bytes"] = sum(file.bytes for file in manifest.files.values())
        row["vectors_bytes"] = manifest.counts.vectors * manifest.dimension * 4
    return row
