"""The list of runs: runs/index.html, written with each report."""

import re
import stat

from ragmed.experiments.run_list import update_list
from ragmed.files import write_json
from ragmed.report.run_list import RunEntry, render_list, write_list
from ragmed.runs import Run
from ragmed.stored import SCHEMA


def test_a_run_has_its_verdict_its_date_its_size_and_a_link():
    entry = RunEntry(
        "a & b", question="Which?", headline=("rag is better, -3.0 points.", "2", "3", "4"), arms=("x", "y"),
        started="2026-11-21 18:29 UTC", examples={"t": 60},
    )  # fmt: skip
    html = render_list([entry])
    assert '<h2><a href="a%20%26%20b/report/index.html">a &amp; b</a></h2>' in html
    assert "<li>rag is better, −3.0 points.</li>" in html
    assert "<summary>1 more</summary>" in html
    assert "2026-11-21 18:29 UTC" in html
    assert 't <span class="soft">(n&nbsp;60)</span>' in html
    assert "<title>1 run: ragmed</title>" in html


def test_names_and_texts_are_escaped_and_nothing_runs():
    html = render_list([RunEntry("<script>alert(1)</script>", question="\u202e\"'<img src=x>", note="{{ 7 * 7 }}")])
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert '<a href="%3Cscript%3Ealert%281%29%3C%2Fscript%3E/report/index.html">' in html
    assert "(U+202E)" in html
    assert "{{ 7 * 7 }}" in html
    assert not re.search(r"<script|<img|<style|\sstyle=|\son\w+=|https?://", html)
    assert "Content-Security-Policy\" content=\"default-src 'none';" in html


def test_a_list_with_a_private_run_is_for_its_owner_alone(tmp_path):
    def modes():
        return [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("index.html", "index.css")]

    write_list([RunEntry("a")], tmp_path)
    assert modes() == [0o644, 0o644]
    write_list([RunEntry("a"), RunEntry("b", access="private")], tmp_path)
    assert modes() == [0o600, 0o644]


def test_somebody_elses_page_is_left_alone(tmp_path):
    (tmp_path / "index.html").write_text("<h1>mine</h1>")
    assert write_list([RunEntry("a")], tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text() == "<h1>mine</h1>"


def test_every_run_is_listed_also_one_that_cannot_be_read(tmp_path):
    runs = tmp_path / "runs"
    whole = {
        "experiment": {"models": {}, "tasks": {}, "arms": {}, "comparison": {}},
        "identity": {"tasks": {}},
        "tasks": {},
    }
    info = {"schema": SCHEMA, "name": "n", "access": "open", **whole}
    Run(runs / "old").write_info(info | {"started": "2026-01-02T03:04:05Z"})
    Run(runs / "new").write_info(info | {"started": "2026-11-02T03:04:05Z"})
    Run(runs / "bad").write_info({"schema": SCHEMA})
    (runs / "new" / "report").mkdir()
    (runs / "new" / "report" / "index.html").write_text("")
    write_json(Run(runs / "new").results_file, {"scores": "nonsense"})
    (runs / "no-run").mkdir()
    html = update_list(runs).read_text()
    assert re.findall(r"<h2>(?:<a[^>]*>)?([\w-]+)", html) == ["new", "old", "bad"]
    assert "2026-11-02 03:04 UTC" in html
    assert "This run has no page: ragmed report old" in html
    assert "This run cannot be read: " in html
    assert "Its results.json cannot be read: ragmed report new writes it again." in html
    assert '<a href="old/' not in html
    assert stat.S_IMODE((runs / "index.html").stat().st_mode) == 0o600
