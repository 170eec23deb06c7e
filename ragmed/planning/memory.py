"""A model's files and the longest prompt in, bytes of memory out; an index's manifest in, bytes on disk and held out.

No weights are read, only the heads of their files, which say how many numbers there are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragmed.errors import DamagedError
from ragmed.index.manifest import read_manifest
from ragmed.models import ModelSettings
from ragmed.planning.tokens import built, config_of, folder_of
from ragmed.retrieval.named import index_folder
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
