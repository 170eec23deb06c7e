from __future__ import annotations

import re
import stat
from itertools import pairwise

import pytest

from ragmed.comparison.compare import ComparisonSettings, compare
from ragmed.records import Message, Sample
from ragmed.report import wording
from ragmed.report.figures import write_figures
from ragmed.report.markdown import answer, escape, render_report, write_report
from ragmed.report.terminal import render_table

HOSTILE = (
    "<script>alert(1)</script> | a | b\n\n# big\n![x](http://evil.example/p.png) `code` \x1b[31m \u202e "
    "www.evil.example [link](javascript:alert(1))"
)


def sample(number, arm, score, *, task="handbook-questions", metric="accuracy", text="It is A."):
    failed = isinstance(score, str)
    return Sample(
        example=f"e{number:02d}",
        arm=arm,
        task=task,
        status=score if failed else "answered",
        extracted=None if failed else "A",
        gold="A",
        scores={} if failed else {metric: score},
        messages=(Message("system", "Answer."), Message("user", f"Question {number}?")),
        passages=({"id": f"p{number}"},) if arm.endswith("+rag") else (),
        completion=text,
        options=("aspirin", "ibuprofen"),
        input_tokens=100,
        output_tokens=5,
        seconds=0.25,
    )


def trial(text="It is A."):
    """25 fixed, 3 broke, 12 right under both, 20 wrong under both, two of them not readable."""
    outcomes = {
        "general": [0.0] * 25 + [1.0] * 3 + [1.0] * 12 + [0.0] * 20,
        "general+rag": [1.0] * 25 + [0.0] * 3 + [1.0] * 12 + [0.0] * 18 + ["unparsed"] * 2,
        "biomedical": [0.0] * 24 + [1.0] * 4 + [1.0] * 12 + [0.0] * 20,
    }
    return {
        (arm, "handbook-questions"): [sample(i, arm, score, text=text) for i, score in enumerate(values)]
        for arm, values in outcomes.items()
    }


def results_of(samples, run="trial", **words):
    return compare(samples, run=run, settings=ComparisonSettings(baseline="general", resamples=200, **words))


def row(**words):
    found = results_of(trial())["contrasts"][0]
    return {**found, **words}


def test_the_terminal_table():
    text = render_table(results_of(trial()))
    assert re.search(r"general\+rag +0\.617 +\[0\.490, 0\.729\] +60  unparsed 2\n", text)
    assert re.search(r"general\+rag - general +\+36\.7 +\[\+21\.3, \+50\.7\] +<0\.001 +25 +3  better\n", text)
    assert re.search(r"biomedical - general .* 1\.000 +1 +0  cannot tell\n", text)
    assert "not answered counts as: unparsed: wrong; refused: wrong; truncated: wrong; error: wrong" in text
    assert "baselines (accuracy): majority 1.000, longest-option 0.000, shortest-option 1.000, chance 0.500" in text
    assert "Intervals are 95 % each, not adjusted" in text


def test_the_terminal_table_is_narrow_plain_and_cuts_nothing():
    samples = {("x" * 120, "t"): [sample(0, "x", 1.0)], ("général\x1b[31m", "t"): [sample(0, "y", "error")]}
    results = compare(samples, run="r", settings=ComparisonSettings(baseline="x" * 120))
    text = render_table(results)
    assert text.isascii()
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert text.replace("\n", "").replace(" ", "").count("x" * 120) == 2
    assert "g\\xe9n\\xe9ral\\x1b[31m" in text
    assert "error 1" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "**general+rag** is better than **general**: 0.617 vs 0.250, difference +36.7 points [+21.3, +50.7], "
         "adjusted p <0.001, n 60; **general+rag** fixed 25 and broke 3."),
        ({"verdict": "worse"}, "**general+rag** is worse than **general**: "),
        ({"verdict": "equivalent"}, "**general+rag** and **general** are equivalent within 5 points: "),
        ({"verdict": "cannot-tell"}, "it cannot be told whether **general+rag** and **general** differ, "
         "nor that they are the same within 5 points: "),
        ({"higher_is_better": False}, "**general+rag** is higher than **general**: "),
        ({"difference": None, "ci": None, "verdict": "cannot-tell"}, "nothing can be told of"),
    ],
)  # fmt: skip
def test_the_answer_follows_the_verdict(words, said):
    assert said in answer(row(**words))


def test_only_better_and_worse_claim_a_direction():
    for verdict in ("equivalent", "cannot-tell"):
        assert not re.search(r"\b(better|worse|higher|lower)\b", answer(row(verdict=verdict)))


def test_the_page(tmp_path):
    info = {"models": {"general": "packaged:tiny"}, "seeds": [1, 2], "hardware": "2 cores", "index": None}
    samples = trial()
    page = write_report(results_of(samples), run_info=info, samples=samples, folder=tmp_path / "report", mode=0o600)
    text = page.read_text(encoding="utf-8")
    assert page == tmp_path / "report" / "report.md"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert "- On **handbook-questions** (accuracy) **general+rag** is better than **general**" in text
    assert "| general+rag | 0.617 | [0.490, 0.729] | 60 | 58 | 2 | 0 | 0 | 0 |" in text
    assert "| 60 | mcnemar-exact | <0.001 | <0.001 | 25 | 3 | better |" in text
    assert "| handbook-questions | general | 6000 | 300 | 15.0 |" in text
    assert "| models.general | packaged:tiny |" in text
    assert "| seeds | 1, 2 |" in text
    assert "unparsed: wrong; refused: wrong" in text
    assert "![Differences between arms with 95 % intervals and the margin](contrasts.png)" in text
    assert sorted(path.name for path in page.parent.iterdir()) == ["contrasts.png", "report.md", "scores.png"]


def test_worked_examples_show_fixed_and_broken_ones_with_what_each_arm_answered():
    samples = trial()
    text = render_report(results_of(samples), run_info={}, samples=samples)
    assert re.findall(r"### handbook-questions: (\w+)\n\nExample `(\w+)`", text) == [
        ("fixed", "e00"),
        ("broke", "e25"),
        ("fixed", "e01"),
    ]
    assert "Asked: Question 25?" in text
    assert "Expected: A: aspirin" in text
    assert "- **general+rag** (accuracy 1, read as A): It is A. — passages: p0" in text
    assert "- **biomedical** (accuracy 0, read as A): It is A." in text


def test_graded_examples_are_those_with_the_largest_change():
    samples = {("general", "t"): [], ("rag", "t"): []}
    for number, (old, new) in enumerate([(0.5, 0.6), (0.1, 0.9), (0.8, 0.2), (0.5, 0.5)]):
        samples["general", "t"].append(sample(number, "general", old, metric="f1"))
        samples["rag", "t"].append(sample(number, "rag", new, metric="f1"))
    text = render_report(results_of(samples), run_info={}, samples=samples)
    assert re.findall(r"### t: (\w+)\n\nExample `(\w+)`", text) == [
        ("gained", "e01"),
        ("lost", "e02"),
        ("gained", "e00"),
    ]


def test_hostile_text_stays_text():
    samples = {(arm, HOSTILE): given for (arm, _), given in trial(text=HOSTILE + "\ud800").items()}
    results = results_of(samples, run=HOSTILE)
    text = render_report(results, run_info={HOSTILE: [HOSTILE]}, samples=samples)
    text.encode("utf-8")
    for forbidden in ("<script", "![x]", "http://", "www.", "\x1b", "\u202e", "\n# big", "`code`"):
        assert forbidden not in text
    header, rule, *rows = text.split("## Scores\n\n")[1].split("\n\n")[0].splitlines()
    assert {line.count("|") for line in (header, rule, *rows)} == {12}
    assert len(rows) == 3


def test_escape_by_hand():
    assert escape("a|b *c* [d](e) <f> &amp;\n\tg\\") == (
        "a&#124;b &#42;c&#42; &#91;d&#93;(e) &#60;f&#62; &#38;amp; g&#92;"
    )
    assert escape("\u200b") == "(U+200B)"


def test_long_text_says_how_much_more_there_is():
    samples = trial(text="x" * 2000)
    assert "x … (500 more characters)" in render_report(results_of(samples), run_info={}, samples=samples)


def test_what_is_absent_is_said():
    samples = {("general", "t"): [sample(0, "general", "error")], ("rag", "u"): [sample(0, "rag", 1.0)]}
    results = results_of(samples)
    text = render_report(results, run_info={}, samples=samples)
    assert "Not run: rag on t, general on u." in text
    assert "No two arms were compared." in text
    assert "not run: rag on t" in render_table(results)


def test_figures_are_pictures_and_the_same_each_time(tmp_path):
    results = results_of(trial())
    names = [path.name for path in write_figures(results, tmp_path / "a")]
    write_figures(results, tmp_path / "b")
    assert names == ["scores.png", "contrasts.png"]
    for name in names:
        data = (tmp_path / "a" / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert data == (tmp_path / "b" / name).read_bytes()


def test_figures_take_formula_signs_and_one_arm(tmp_path):
    samples = {("a$b^$_{", "t$x$"): [sample(0, "a", 1.0)]}
    results = compare(samples, run="r", settings=ComparisonSettings(baseline="a$b^$_{"))
    assert [path.name for path in write_figures(results, tmp_path)] == ["scores.png"]
    assert write_figures({**results, "scores": []}, tmp_path) == []


def test_no_label_of_a_large_figure_overlaps_another():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from ragmed.report.figures import _contrasts, _scores

    arms = ["general", "general+rag", "biomedical-tuned-on-the-same-references", "biomedical+rag", "general+oracle"]
    samples = {
        (arm, f"task-number-{t}-with-a-long-name"): [sample(i, arm, float((i * (t + 2)) % 5 < a)) for i in range(30)]
        for a, arm in enumerate(arms)
        for t in range(5)
    }
    results = results_of(samples)
    for figure in (_scores(results), _contrasts(results)):
        assert isinstance(figure.canvas, FigureCanvasAgg)
        figure.canvas.draw()
        for axes in figure.axes:
            if axes.get_visible():
                boxes = sorted((t.get_window_extent() for t in axes.get_yticklabels()), key=lambda box: box.y0)
                assert len(boxes) >= 5
                assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
                assert all(box.x0 >= 0 for box in boxes)


def test_numbers_in_words():
    assert wording.points(-0.0001) == "+0.0" == wording.points(0.0)
    assert wording.points(-0.1234) == "-12.3"
    assert wording.p_value(0.0009999) == "<0.001"
    assert wording.fraction(None) == "-"
