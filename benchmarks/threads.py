"""What waiting threads cost: OMP_WAIT_POLICY unset (they spin) against PASSIVE (they sleep).

    python benchmarks/threads.py --rounds 12 --busy 0 2

Three jobs, of invented texts: embedding (MiniLM), log-likelihoods and greedy answers (`packaged:smollm2-135m`). Each
policy has a process of its own, since OpenMP reads the variable once, when it is loaded; the two take turns, round by
round, after a warm-up. `--busy`: how many processes compute beside, as another's job would. Reported are the least and
the median of each, CPU-seconds of all threads and wall clock: the least is what comes nearest to a quiet machine.
Prints Markdown tables, the load, and the OpenMP runtimes that were loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SPIN = "while True: sum(range(100_000))"
POLICIES = {"unset (spin)": None, "PASSIVE": "PASSIVE"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--busy", type=int, nargs="+", default=[0])
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker()
        return
    workers = {name: started(policy) for name, policy in POLICIES.items()}
    loaded = {library for process in workers.values() for library in told(process)["runtimes"]}
    print(f"OpenMP runtimes loaded: {', '.join(sorted(loaded))}")
    for busy in options.busy:
        beside = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(busy)]
        try:
            rounds = [{name: asked(process) for name, process in workers.items()} for _ in range(options.rounds)]
        finally:
            for process in beside:
                process.kill()
        show(rounds, busy)
    for process in workers.values():
        process.communicate("")


def show(rounds: list[dict[str, Any]], busy: int) -> None:
    print(f"\nprocesses beside: {busy}; load at the end: {os.getloadavg()[0]:.1f}; rounds: {len(rounds)}\n")
    print("| job | OMP_WAIT_POLICY | CPU-s, least | median | wall s, least | median |\n|---|---|---:|---:|---:|---:|")
    for job in next(iter(rounds[0].values())):
        for name in POLICIES:
            took = [[one[name][job][key] for one in rounds] for key in ("cpu", "wall")]
            cells = [f"{value:.2f}" for values in took for value in (min(values), statistics.median(values))]
            print(f"| {job} | {name} | {' | '.join(cells)} |", flush=True)


def started(policy: str | None) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": policy} if policy else {}
    command = [sys.executable, __file__, "--worker"]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    told: dict[str, Any] = json.loads(process.stdout.readline())
    return told


def asked(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdin
    process.stdin.write("once more\n")
    process.stdin.flush()
    return told(process)


def worker() -> None:
    """Says what is loaded, then does the jobs once for each line that it reads."""
    from ragmed.embedding import load_embedder
    from ragmed.models import ModelSettings, load_model
    from ragmed.records import Message
    from ragmed.workspace import Workspace

    embedder = load_embedder("packaged:minilm", device="cpu")
    model = load_model(ModelSettings("packaged:smollm2-135m", device="cpu"), workspace=Workspace.find())
    texts = [f"Rule {n}: the ward on floor {n} keeps its keys with the night nurse. " * (1 + n % 5) for n in range(16)]
    prompts = [[Message("user", f"{text} Who keeps the keys?")] for text in texts[:4]]
    jobs: dict[str, Callable[[], object]] = {
        "embedding 16 passages": lambda: embedder.embed_passages(texts),
        "log-likelihoods of 4 questions": lambda: model.score(prompts, [["the nurse", "the porter"]] * len(prompts)),
        "4 greedy answers of 8 tokens": lambda: model.generate(prompts, max_tokens=8),
    }
    for job in jobs.values():
        job()
    print(json.dumps({"runtimes": runtimes()}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({name: timed(job) for name, job in jobs.items()}), flush=True)


def timed(job: Callable[[], object]) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    job()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def runtimes() -> list[str]:
    """The OpenMP libraries of this process, on Linux."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    except OSError:
        return []
    paths = {line.split()[-1] for line in maps.splitlines() if ".so" in line}
    return sorted({"/".join(p.split("/")[-2:]) for p in paths if "gomp" in p or "iomp" in p or "libomp" in p})


if __name__ == "__main__":
    main()
