"""Everything of ragmed that a GPU changes, shown and measured on one card in at most eight minutes.

    python benchmarks/gpu.py                 # or: make gpu-check
    python benchmarks/gpu.py --only search   # one part
    python benchmarks/gpu.py --small         # the same, tiny, on a CPU: shows that it runs, measures nothing

In: nothing. Models have random weights of real shapes, vectors are drawn; no network, no files but a small packaged
model where it is at hand. Needs torch, numpy, transformers, sentence-transformers, peft, pyarrow and safetensors; what
else is absent is named. Out: a Markdown table on the screen, and `gpu.md` and `gpu.json` under --output. Each part runs
in a process of its own with a time limit of its own; its rows are printed and written as they are measured, so that
a cut loses only the rest. Exit code 1 where a part failed or ran out of time, or where two results that must be equal
differ; a missed speed is reported, and is no failure.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # seeing a card must not take it, before others start
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it a product may add in another order each time
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}
os.environ |= {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}

SECONDS = 480
NEEDED = ("torch", "numpy", "transformers", "sentence-transformers", "peft", "pyarrow", "safetensors")
OPTIONAL = ("faiss-gpu", "faiss-cpu", "lm_eval", "flash-attn", "kernels", "bitsandbytes", "vllm")
HEADER = "| part | what | measured | aim | |\n|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Part:
    """`run`: MODULE:FUNCTION, called with a `Bench`. `seconds`: its time limit."""

    name: str
    run: str
    seconds: float


PARTS = (
    Part("machine", "gpu_search:machine", 25),
    Part("embedding", "gpu_search:embedding", 75),
    Part("search", "gpu_search:search", 80),
    Part("ivf", "gpu_search:ivf", 60),
    Part("scoring", "gpu_models:scoring", 80),
    Part("generation", "gpu_models:generation", 50),
    Part("training", "gpu_models:training", 70),
    Part("small-model", "gpu_models:small_model", 40),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `met`: whether an aim or an equality holds; None where there is none. `kind`: speed,
    equality, failed; else measure."""

    part: str
    what: str
    measured: str
    aim: str = ""
    met: bool | None = None
    kind: str = "measure"

    def line(self) -> str:
        missed = {"speed": "MISSED", "equality": "DIFFERS"}.get(self.kind, "FAILED")
        verdict = "" if self.met is None else "met" if self.met else missed
        return f"| {self.part} | {self.what} | {self.measured} | {self.aim} | {verdict} |"


@dataclass(frozen=True, slots=True)
class Bench:
    """What a part gets: where to run, how large, and where to say what it saw."""

    part: str
    device: str
    small: bool
    file: Path

    def _put(self, row: Row) -> None:
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(row)) + "\n")
        print(row.line(), flush=True)

    def say(self, what: str, measured: str) -> None:
        """A figure, or why there is none."""
        self._put(Row(self.part, what, measured))

    def speed(self, what: str, measured: str, *, aim: str, met: bool) -> None:
        """A figure with an aim, which holds for the full size on a card and is left out otherwise."""
        self._put(Row(self.part, what, measured) if self.small else Row(self.part, what, measured, aim, met, "speed"))

    def same(self, what: str, measured: str, *, met: bool) -> None:
        """Something that must be so at any size."""
        self._put(Row(self.part, what, measured, "equal", met, "equality"))


def run_part(part: Part, context: Any, *, device: str, small: bool, folder: Path, seconds: float) -> list[Row]:
    """Runs one part in a process of its own; its rows, the last of which says so where it did not end well."""
    file = folder / f"{part.name}.jsonl"
    file.unlink(missing_ok=True)
    file.touch()
    process = context.Process(target=_call, args=(part.run, Bench(part.name, device, small, file)))
    started = time.monotonic()
    process.start()
    process.join(seconds)
    if late := process.is_alive():
        process.kill()
        process.join()
    rows = [Row(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]
    took = f"{time.monotonic() - started:.0f} s"
    if late:
        rows.append(Row(part.name, "cut", f"not ended after its limit of {seconds:.0f} s", "", False, "failed"))
    elif process.exitcode:
        words = (folder / f"{part.name}.error").read_text("utf-8") if (folder / f"{part.name}.error").exists() else ""
        last = words.strip().rpartition("\n")[2] or f"exit code {process.exitcode}"
        rows.append(Row(part.name, "failed", f"{last} (see {part.name}.error)", "", False, "failed"))
    else:
        rows.append(Row(part.name, "took", took))
    print(rows[-1].line(), flush=True)
    return rows


def _call(run: str, bench: Bench) -> None:
    module, function = run.split(":")
    error = bench.file.with_suffix(".error")
    error.unlink(missing_ok=True)
    try:
        getattr(importlib.import_module(module), function)(bench)
    except BaseException:
        error.write_text(traceback.format_exc(), encoding="utf-8")
        sys.stdout.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)  # what a library would still do at its end (join threads, free a card) can only hang


def installed() -> dict[str, str]:
    """Versions by distribution; '' for what is absent."""
    found = {}
    for name in (*NEEDED, *OPTIONAL):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def smi(fields: str) -> str:
    """What nvidia-smi says of the first card; '' where there is none."""
    try:
        asked = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=20).stdout.strip().partition("\n")[0]
    except (OSError, subprocess.TimeoutExpired):
        return ""


def write(folder: Path, name: str, rows: Sequence[Row], facts: dict[str, Any]) -> None:
    table = "\n".join([HEADER, *(row.line() for row in rows)])
    have = ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if version)
    absent = ", ".join(name for name, version in facts["versions"].items() if not version) or "nothing"
    head = (
        f"{facts['date']}, `{facts['command']}`, {facts['card'] or 'no GPU'}, driver {facts['driver'] or 'none'}, "
        f"{facts['seconds']} s. {have}. Absent: {absent}.\n"
    )
    (folder / f"{name}.md").write_text(f"{head}\n{table}\n", encoding="utf-8")
    (folder / f"{name}.json").write_text(json.dumps({**facts, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="tiny sizes, on a CPU")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], help="these parts alone")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all parts together")
    parser.add_argument("--output", type=Path, default=Path(os.environ.get("OUT", "gpu-check")), help="a folder")
    given = parser.parse_args(arguments)
    started = time.monotonic()
    versions = installed()
    missing = [name for name in NEEDED if not versions[name]]
    if missing:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    import torch

    if not given.small and not torch.cuda.is_available():
        print("torch sees no GPU here; --small runs the same on a CPU, tiny", file=sys.stderr)
        return 2
    given.output.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": " ".join(["python", "benchmarks/gpu.py", *(arguments or sys.argv[1:])]),
        "card": smi("name,memory.total"),
        "driver": smi("driver_version"),
        "versions": versions,
        "seconds": 0,
    }
    # A process that was forked cannot use a card that its parent has touched, and libraries touch it as they are
    # imported. Without a card, one import serves all parts.
    context = multiprocessing.get_context("forkserver" if given.small else "spawn")
    if given.small:
        context.set_forkserver_preload(["sentence_transformers", "peft", "transformers.models.llama.modeling_llama"])
    device = "cpu" if given.small else "cuda"
    rows: list[Row] = []
    print(HEADER, flush=True)
    for part in PARTS:
        left = given.seconds - (time.monotonic() - started)
        if given.only and part.name not in given.only:
            continue
        if left < 5:
            over = f"the {given.seconds:.0f} s for all parts were over"
            rows.append(Row(part.name, "not run", over, "", False, "failed"))
            print(rows[-1].line(), flush=True)
        else:
            limit = min(part.seconds, left)
            rows += run_part(part, context, device=device, small=given.small, folder=given.output, seconds=limit)
        facts["seconds"] = round(time.monotonic() - started)
        write(given.output, "-".join(["gpu", *(given.only or ())]), rows, facts)
    bad = [row for row in rows if row.met is False and row.kind != "speed"]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
