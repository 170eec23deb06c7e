"""A line now and then where stderr is no terminal, a bar where it is."""

import io
import time

import pytest

from ragmed import progress
from ragmed.progress import Lines, open_bar


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
    ("bar", "line"),
    [
        (Lines(total=None, desc="wards: chunk", unit="passages"), "wards: chunk: 0 passages, 2 min"),
        (Lines(total=4_000_000, desc="a.tar", unit="B", scaled=True), "a.tar: 0.00 of 4.00M B, 2 min"),
    ],
)
def test_what_nobody_can_tell_is_left_out(bar: Lines, line: str):
    bar.close()
    assert bar.line(120) == line
