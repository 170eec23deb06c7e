"""A line now and then where stderr is no terminal, a bar where it is."""

import io
import time
from typing import Any

import pytest

from ragmed import progress
from ragmed.progress import Lines, open_bar, tell, telling


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_a_line_at_each_interval_and_none_after_the_end(monkeypatch: pytest.MonkeyPatch):
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    monkeypatch.setattr(progress, "EVERY", 0.02)
    with open_bar(total=500, initial=100, desc="general\x1b on medqa", unit="questions") as bar:
        bar.update(50)
        for _ in range(500):
            time.sleep(0.01)
            if log.getvalue().count("\n") > 1:
                break
    lines = log.getvalue().splitlines()
    assert lines[-1].startswith("general\\x1b on medqa: 150 of 500 questions, 0 s, about ")
    assert len(lines) > 1
    said = log.getvalue()
    time.sleep(0.1)
    assert log.getvalue().count("\n") <= said.count("\n") + 1  # one may have been under way


def test_batches_are_told_before_their_window_is_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with open_bar(total=10, desc="general on medqa", unit="questions") as bar, telling(bar.ahead):
        tell(3)
        tell(1)
        assert (
            bar.line(60) == "general on medqa: 0 of 10 questions, 4 more done and not kept yet, 60 s, about 2 min left"
        )
        bar.update(5)
        assert bar.line(60) == "general on medqa: 5 of 10 questions, 60 s, about 60 s left"
    tell(1)
    assert bar.line(60).startswith("general on medqa: 5 of 10 questions, 60 s")


def test_a_terminal_is_told_of_batches_too(monkeypatch: pytest.MonkeyPatch):
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    with open_bar(total=10, desc="general on medqa", unit="questions") as bar, telling(bar.ahead):
        tell(4)
        bar.update(5)
    assert "4 more at work" in shown.getvalue()
    assert "more at work" not in shown.getvalue().rpartition("5/10")[2]


def test_work_that_is_soon_done_says_nothing(monkeypatch: pytest.MonkeyPatch):
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    monkeypatch.setattr(progress, "_before", time.monotonic())
    with open_bar(total=5, desc="general on medqa", unit="questions") as bar:
        bar.update(5)
    assert log.getvalue() == ""


def test_a_terminal_has_a_bar_whatever_the_environment_says_of_others(monkeypatch: pytest.MonkeyPatch):
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    with open_bar(total=5, desc="general on medqa", unit="questions") as bar:
        bar.update(5)
    assert "general on medqa" in shown.getvalue()
    assert "5/5" in shown.getvalue()


@pytest.mark.parametrize(
    ("of", "line"),
    [
        ({"total": None, "desc": "wards: chunk", "unit": "passages"}, "wards: chunk: 0 passages, 2 min"),
        ({"total": 4_000_000, "desc": "a.tar", "unit": "B", "scaled": True}, "a.tar: 0.00 of 4.00M B, 2 min"),
    ],
)
def test_what_nobody_can_tell_is_left_out(of: dict[str, Any], line: str):
    bar = Lines(**of)
    bar.close()
    assert bar.line(120) == line
