"""What a training must store to resume as if it had never stopped: tensors in safetensors, the rest in JSON.

FOLDER/state-000120.safetensors   the adapter and the two moments of AdamW, float32
FOLDER/best-000080.safetensors    the adapter where the held-out loss was lowest, with early stopping
FOLDER/state.json                 step, losses, what made it; names the files above, written last
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ragmed.errors import DamagedError, DataError, MismatchError
from ragmed.files import fsync_file, fsync_folder, read_json, sha256_file, write_json

STATE = "state.json"
Tensors = Mapping[str, Any]


@dataclass(slots=True)
class Progress:
    """Where a training stands. `step`: updates done; `tokens`: read so far, without padding; `trained_tokens`:
    those with a loss. `losses`: one record a measurement. `window_*`: what was summed since the last one. `seconds`,
    `cpu_seconds`, `gpu_seconds`, `joules`: of all sittings and processes, None where they are not known. `micro_batch`:
    what memory allowed, once it had to be halved.
    """

    step: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    losses: list[dict[str, Any]] = field(default_factory=list)
    window_loss: float = 0.0
    window_tokens: int = 0
    best: float | None = None
    best_step: int = 0
    waited: int = 0
    stopped_early: bool = False
    seconds: float = 0.0
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None
    joules: float | None = None
    peak_memory: int = 0
    micro_batch: int = 0
    notes: list[str] = field(default_factory=list)


def save(
    folder: Path, progress: Progress, state: Tensors, best: Tensors | None, *, identity: Mapping[str, Any]
) -> None:
    """Tensors first, then state.json, which names them; then what it no longer names goes. `best`: only when new."""
    files = {"state": _write(folder / f"state-{progress.step:06d}.safetensors", state)}
    if best is not None:
        files["best"] = _write(folder / f"best-{progress.best_step:06d}.safetensors", best)
    elif progress.best_step:
        kept = folder / f"best-{progress.best_step:06d}.safetensors"
        if kept.is_file():
            files["best"] = {"name": kept.name, "sha256": sha256_file(kept)}
    fsync_folder(folder)
    write_json(folder / STATE, {"identity": identity, "progress": asdict(progress), "files": files}, mode=_mode(folder))
    named = {entry["name"] for entry in files.values()}
    for path in folder.glob("*.safetensors"):
        if path.name not in named:
            path.unlink()


def load(folder: Path, *, identity: Mapping[str, Any], remedy: str) -> tuple[Progress, Tensors, Tensors | None] | None:
    """What was saved last, or None; MismatchError where another training left it, DamagedError where a file differs."""
    if not (folder / STATE).is_file():
        return None
    from safetensors.torch import load_file

    stored = read_json(folder / STATE, "training state")
    refuse_other(folder, stored["identity"], identity, remedy=remedy)
    known = {field.name for field in fields(Progress)}
    if set(stored["progress"]) != known:
        raise MismatchError(f"'{folder}' holds a training of another version; to start again: {remedy}")
    tensors: dict[str, Tensors] = {}
    for key, entry in stored["files"].items():
        path = folder / entry["name"]
        if not path.is_file() or sha256_file(path) != entry["sha256"]:
            raise DamagedError(f"'{path}' is missing or damaged; to start again: {remedy}")
        tensors[key] = load_file(path)
    return Progress(**stored["progress"]), tensors["state"], tensors.get("best")


def refuse_other(folder: Path, stored: Mapping[str, Any], identity: Mapping[str, Any], *, remedy: str) -> None:
    """MismatchError with the name of the first part in which two trainings differ."""
    for key in identity:
        if stored.get(key) != identity[key]:
            raise MismatchError(
                f"'{folder}' holds a training that was begun with another {key}; to start again: {remedy}"
            )


def _write(path: Path, tensors: Tensors) -> dict[str, str]:
    write_tensors(path, tensors, mode=_mode(path.parent))
    return {"name": path.name, "sha256": sha256_file(path)}


def write_tensors(path: Path, tensors: Tensors, *, mode: int) -> None:
    """Safetensors, whole or not at all; DataError where they cannot be written, as on a full disk."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    beside = path.with_name(f".{path.name}.tmp")
    try:
        beside.touch(mode)  # before anything is in it
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, beside, metadata={"format": "pt"})
        beside.chmod(mode)
        fsync_file(beside)
        beside.replace(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"'{path}' could not be written ({error}); make room, then run the same again") from error
    finally:
        beside.unlink(missing_ok=True)


def _mode(folder: Path) -> int:
    """Files are as private as their folder."""
    return folder.stat().st_mode & 0o666
