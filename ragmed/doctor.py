"""What this machine can do: one finding a line, `ok`, `note` or `missing`."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from ragmed.errors import RagmedError
from ragmed.machine import SLOW_BFLOAT16, computes_bfloat16
from ragmed.protection import TRACING
from ragmed.workspace import Workspace

# Each of these, when set, makes some library send prompts, answers or file names to somebody else.
LEAKS = (
    *TRACING,
    "LANGSMITH_API_KEY",
    "WANDB_API_KEY",
    "COMET_API_KEY",
    "MLFLOW_TRACKING_URI",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)


@dataclass(frozen=True, slots=True)
class Finding:
    level: Literal["ok", "note", "missing"]
    about: str
    text: str


def examine(workspace: Workspace) -> Iterator[Finding]:
    """
    >>> next(examine(Workspace.find())).about
    'python'

    Findings as they are made; none of them raises.
    """
    yield Finding("ok", "python", f"{platform.python_version()} in {sys.prefix}")
    yield Finding("ok", "machine", f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}")
    yield _bfloat16()
    yield from _faiss()
    yield from _torch()
    yield from _packages()
    yield from _models(workspace)
    yield from _data(workspace)
    yield from _leaks()


def _bfloat16() -> Finding:
    match computes_bfloat16():
        case True:
            return Finding("ok", "bfloat16", "the CPU has instructions for it; `auto` is float32 there all the same")
        case False:
            return Finding("note", "bfloat16", f"this CPU is without it: {SLOW_BFLOAT16} (`auto` does)")
    return Finding("note", "bfloat16", "the system does not say whether the CPU has instructions for it")


def _faiss() -> Iterator[Finding]:
    from ragmed.index.devices import import_faiss

    try:
        faiss = import_faiss()
    except RagmedError as error:
        yield Finding("missing", "faiss", str(error))
        return
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    where = f"{gpus} GPUs" if gpus else "CPU only"
    yield Finding("ok", "faiss", f"{faiss.__version__}, {where}")


def _torch() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        yield Finding("ok", "torch", f"{torch.__version__}, CUDA {torch.version.cuda}: {names}")
    else:
        yield Finding("ok", "torch", f"{torch.__version__}, CPU with {torch.get_num_threads()} threads; no GPU is seen")


def _packages() -> Iterator[Finding]:
    for name in ("transformers", "sentence-transformers", "peft", "langchain", "bm25s", "PyStemmer"):
        try:
            yield Finding("ok", name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding("missing", name, f"run: pip install {name}")


def _models(workspace: Workspace) -> Iterator[Finding]:
    from ragmed.packaged import packaged_embedder_folder

    try:
        yield Finding("ok", "packaged:minilm", str(packaged_embedder_folder("minilm")))
    except RagmedError as error:
        yield Finding("missing", "packaged:minilm", str(error))
    folder = workspace.models / "smollm2-135m"
    if (folder / "ragmed.json").is_file():
        yield Finding("ok", "smollm2-135m", str(folder))
    else:
        yield Finding("missing", "smollm2-135m", "run: ragmed models fetch packaged:smollm2-135m")


def _data(workspace: Workspace) -> Iterator[Finding]:
    from ragmed.index.manifest import MANIFEST, read_manifest

    names = workspace.names("corpora")
    yield Finding("ok" if names else "note", "corpora", ", ".join(names) or f"none under {workspace.corpora}")
    names = workspace.names("indexes")
    there = [name for name in names if (workspace.indexes / name / MANIFEST).is_file()]
    refused: dict[str, str] = {}
    for name in there:
        try:
            read_manifest(workspace.indexes / name)
        except RagmedError as error:  # damaged, or of another version
            refused[name] = str(error)
    built = [name for name in there if name not in refused]
    yield Finding("ok" if built else "note", "indexes built", ", ".join(built) or f"none under {workspace.indexes}")
    for name, reason in refused.items():
        yield Finding("note", f"index {name}", reason)
    if waiting := [name for name in names if name not in there]:
        text = f"{', '.join(waiting)}; where one is needed: ragmed build-index NAME"
        yield Finding("note", "not built yet", text)
    data = workspace.data.is_dir()
    text = str(workspace.data) if data else f"'{workspace.data}' is not there; RAGMED_DATA names it (MIRAGE needs it)"
    yield Finding("ok" if data else "note", "RAGMED_DATA", text)


def _leaks() -> Iterator[Finding]:
    names = [name for name in LEAKS if os.environ.get(name)]
    for name in names:
        yield Finding(
            "note", "environment", f"{name} is set: a library may send data out; unset it for restricted data"
        )
    if not names:
        yield Finding("ok", "environment", "no tracing variable is set")
