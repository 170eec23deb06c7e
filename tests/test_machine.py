"""What computing takes, by clock and processor; which processors compute in bfloat16, and what is said of others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ragmed import machine
from ragmed.machine import Spent, Stopwatch, bfloat16_of, note_slow_dtype, total


def test_waiting_takes_no_processor_and_computing_does():
    watch = Stopwatch()
    time.sleep(0.2)
    waited = watch.spent()
    assert waited.wall >= 0.19
    assert waited.cpu is not None
    assert waited.cpu < 0.1
    assert waited.gpu is None
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert watch.spent().cpu >= 0.1


def test_the_share_of_one_and_what_is_written_down():
    assert Spent(6.0, 9.0).of_each(3) == Spent(2.0, 3.0)
    assert Spent(1.23456, None, 2.34567).rounded() == Spent(1.235, None, 2.346)
    assert total([]) == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 avx2 avx512f avx512_bf16\n", True),
        ("processor\t: 0\nflags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nflags\t\t: fpu sse2 avx2 avx512f\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd\n", False),
        ("vendor: nobody\n", None),
    ],
)
def test_which_processors_compute_in_bfloat16(tmp_path: Path, text: str, expected: bool | None):
    (tmp_path / "cpuinfo").write_text(text)
    assert bfloat16_of(tmp_path / "cpuinfo", "Linux") is expected
    assert bfloat16_of(tmp_path / "cpuinfo", "Darwin") is None
    assert bfloat16_of(tmp_path / "none", "Linux") is None


@pytest.mark.parametrize(
    ("dtype", "device", "able", "said"),
    [
        ("bfloat16", "cpu", False, True), ("bfloat16", "cpu", True, False), ("bfloat16", "cpu", None, False),
        ("float32", "cpu", False, False), ("bfloat16", "cuda:0", False, False),
    ],
)  # fmt: skip
def test_slow_bfloat16_is_said_once(capsys, monkeypatch, dtype, device, able, said):
    monkeypatch.setattr(machine, "computes_bfloat16", lambda: able)
    note_slow_dtype.cache_clear()
    for _ in range(2):
        note_slow_dtype("model 'path:m'", dtype, device)
    note_slow_dtype.cache_clear()
    told = capsys.readouterr().err
    assert told.count("model 'path:m' computes in bfloat16 on this CPU") == int(said)
    assert ("take float32" in told) == said
