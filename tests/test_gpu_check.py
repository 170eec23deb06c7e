"""benchmarks/gpu.py on a CPU: every part runs and says what it saw; limits cut one part and lose no other's rows."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu

    return gpu


def test_all_parts_run_small(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--small", "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((tmp_path / "out" / "gpu.json").read_text())
    rows = facts["rows"]
    ended = {row["part"] for row in rows if row["what"] == "took"}
    assert ended == {"machine", "embedding", "search", "ivf", "scoring", "generation", "training", "small-model"}
    equal = [row for row in rows if row["kind"] == "equality"]
    assert len(equal) >= 14
    assert all(row["met"] for row in equal)
    assert [row for row in rows if row["aim"] and row["aim"] != "equal"] == []  # speeds are of no card
    table = (tmp_path / "out" / "gpu.md").read_text()
    assert table.count("\n| ") == len(rows) + 1
    assert "no GPU" in table
    assert f"torch {facts['versions']['torch']}" in table
    assert all(line in done.stdout for line in table.splitlines() if line.startswith("| "))


def test_parts_for_which_no_time_is_left_are_failures_in_the_table(gpu, tmp_path: Path) -> None:
    assert gpu.main(["--small", "--seconds", "1", "--only", "ivf", "--output", str(tmp_path)]) == 1
    assert "| ivf | not run | the 1 s for all parts were over |  | FAILED |" in (tmp_path / "gpu-ivf.md").read_text()
    assert not (tmp_path / "gpu.md").exists()


def slow(bench) -> None:
    import time

    bench.say("first", "1")
    time.sleep(60)
    bench.say("second", "2")


def broken(bench) -> None:
    bench.same("a and b", "unlike", met=False)
    raise ValueError("no such card")


@pytest.mark.parametrize(
    ("run", "what", "measured"),
    [
        ("slow", ["first", "cut"], "not ended after its limit of 8 s"),
        ("broken", ["a and b", "failed"], "ValueError: no such card (see part.error)"),
    ],
)
def test_a_part_that_is_late_or_breaks_keeps_its_rows(gpu, tmp_path: Path, run: str, what: list, measured: str) -> None:
    part = gpu.Part("part", f"test_gpu_check:{run}", 8)
    context = multiprocessing.get_context("spawn")
    rows = gpu.run_part(part, context, device="cpu", small=True, folder=tmp_path, seconds=8 if run == "slow" else 60)
    assert [row.what for row in rows] == what
    assert rows[-1].measured == measured
    assert rows[-1].line().endswith("| FAILED |")


def test_verdicts_of_rows(gpu) -> None:
    aim = gpu.Row("search", "held", "12 s", "10 s", False, "speed")
    assert aim.line() == "| search | held | 12 s | 10 s | MISSED |"
    assert gpu.Row("search", "ids", "0.98", "equal", False, "equality").line().endswith("| equal | DIFFERS |")
    assert gpu.Row("search", "ids", "1.0", "equal", True, "equality").line().endswith("| equal | met |")


def test_without_a_card_the_full_size_is_refused(gpu, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert gpu.main(["--output", str(tmp_path / "out")]) == 2
    assert "--small" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
