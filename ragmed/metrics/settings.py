"""What a config may say of a metric that needs a model or a file, and where that lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ragmed.checked import Bounds
from ragmed.errors import DataError, UsageError
from ragmed.files import user_path

MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """
    >>> MetricSettings(model="path:models/minilm", layer=6).layer
    6

    `model`: `path:FOLDER`, or `hf:ORG/NAME@REVISION`, pinned (of `unsupported` also `lexical`, no model). `layer`:
    whose outputs are taken. `lexicon`: a TSV file of concept ids and terms, or `scispacy:MODEL`. `table`: an ICD-10-CM
    table of the year that is meant.
    """

    model: str = ""
    layer: Annotated[int, Bounds(ge=0)] = 0
    lexicon: str = ""
    table: str = ""


def model_folder(model: str, root: Path, metric: str) -> Path:
    """The folder of a `path:` model, or of a pinned one of the hub, fetched where it is not kept yet.

    UsageError for a name that is neither, or has no revision; DataError for a folder that is not there.
    """
    scheme, _, rest = model.partition(":")
    if scheme == "path":
        folder = root / user_path(rest)
        if not (folder / "config.json").is_file():
            raise DataError(f"metric '{metric}': '{folder}' is no folder of a model (there is no config.json)")
        return folder
    if scheme != "hf" or "@" not in rest:
        raise UsageError(f"metric '{metric}': model '{model}'; write path:FOLDER, or hf:ORG/NAME@REVISION, pinned")
    from huggingface_hub import snapshot_download

    from ragmed.hub import hub_reason

    repository, _, revision = rest.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(MODEL_FILES)))
    except Exception as error:  # the hub's library raises much
        reason = hub_reason(error, repository, revision) or " ".join(str(error).split())[:200]
        raise DataError(f"metric '{metric}': {reason}") from error


def named_file(name: str, path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"metric '{name}': '{path}' does not exist; name a file that does")
    return path
