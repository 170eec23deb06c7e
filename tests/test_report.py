from __future__ import annotations

import re
from dataclasses import replace

import pytest
from answers import answer, compared
from pages import plain

from ragmed.comparison.compare import ComparisonSettings
from ragmed.comparison.rows import Noninferiority, NotRun
from ragmed.records import Message, ShownPassage
from ragmed.report import wording
from ragmed.report.escaping import escape
from ragmed.report.page import render_page
from ragmed.report.terminal import render_table
from ragmed.report.verdict import sentence


def sample(number, arm, score, *, task="handbook-questions", metric="accuracy", text="It is A."):
    status = score if isinstance(score, str) else "answered"
    return answer(
        f"e{number:02d}", arm, task, status=status, scores={metric: score}, options=("aspirin", "ibuprofen"),
        messages=(Message("system", "Answer."), Message("user", f"Question {number}?")), completion=text,
        passages=(ShownPassage(f"p{number}", ""),) if arm.endswith("+rag") else (),
        input_tokens=100, output_tokens=5, seconds=0.25,
    )  # fmt: skip


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
    return compared(samples, ComparisonSettings(baseline="general", resamples=200, **words), run=run)


def row(**words):
    return replace(results_of(trial()).contrasts[0], **{"noninferiority": Noninferiority()} | words)


def test_the_terminal_table():
    text = render_table(results_of(trial()))
    assert re.search(r"general\+rag +0\.617 +\[0\.490, 0\.729\] +60  unparsed 2\n", text)
    assert re.search(r"general\+rag - general +\+36\.7 +\[\+21\.3, \+50\.7\] +<0\.001 +25 +3  better\n", text)
    assert re.search(r"biomedical - general .* 1\.000 +1 +0  cannot tell\n", text)
    assert "not answered counts as: unparsed: wrong; refused: wrong; truncated: wrong" in text
    assert "baselines (accuracy): majority 1.000, longest-option 0.000, shortest-option 1.000, chance 0.500" in text
    assert "Intervals are 95 % each, not adjusted" in text
    assert "too few answers differ to show a difference; the least p they could give: biomedical - general 1.000" in (
        " ".join(text.split())
    )


def test_mid_p_and_the_least_p_stand_on_the_page():
    results = results_of(trial())
    text = plain(render_page(results, run_info={}))
    assert "<0.001 mid-p <0.001" in text
    assert "1.000 mid-p 0.500 least 1.000" in text
    assert "above 0.05 too few differ for any test to show a difference" in text


def test_the_terminal_table_is_narrow_plain_and_cuts_nothing():
    samples = {("x" * 120, "t"): [sample(0, "x", 1.0)], ("général\x1b[31m", "t"): [sample(0, "y", "error")]}
    results = compared(samples, run="r", settings=ComparisonSettings(baseline="x" * 120))
    text = render_table(results)
    assert text.isascii()
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert text.replace("\n", "").replace(" ", "").count("x" * 120) >= 2
    assert "g\\xe9n\\xe9ral\\x1b[31m" in text
    assert "error 1" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "general+rag is better than general: 0.617 vs 0.250, difference +36.7 points [+21.3, +50.7], "
         "adjusted p <0.001, n 60; general+rag fixed 25 and broke 3."),
        ({"verdict": "worse"}, "general+rag is worse than general: "),
        ({"verdict": "equivalent"}, "general+rag and general are equivalent within 5 points: "),
        ({"verdict": "cannot-tell"}, "it cannot be told whether general+rag and general differ, "
         "nor that they are the same within 5 points: "),
        ({"verdict": "cannot-tell", "noninferiority": Noninferiority(shown=True)},
         "it cannot be told whether general+rag is better than general, but it is not worse by 5 points or more: "),
        ({"higher_is_better": None}, "general+rag is higher than general: "),
        ({"difference": None, "ci": None, "verdict": "cannot-tell"}, "nothing can be told of"),
    ],
)  # fmt: skip
def test_the_answer_follows_the_verdict(words, said):
    assert said in sentence(row(**words))


def test_only_better_and_worse_claim_a_direction():
    for verdict in ("equivalent", "cannot-tell"):
        assert not re.search(r"\b(better|worse|higher|lower)\b", sentence(row(verdict=verdict)))


def test_escape_by_hand():
    assert escape("a|b *c* [d](e) <f> &amp;\n\tg\\") == (
        "a&#124;b &#42;c&#42; &#91;d&#93;(e) &#60;f&#62; &#38;amp; g&#92;"
    )
    assert escape("\u200b") == "(U+200B)"


def test_what_is_absent_is_said():
    samples = {("general", "t"): [sample(0, "general", "error")], ("rag", "u"): [sample(0, "rag", 1.0)]}
    results = results_of(samples)
    text = plain(render_page(results, run_info={}))
    assert "Not run: 2 pairs of arm and task rag on t general on u" in text
    assert "No two arms were compared." in text
    assert "Nothing is recorded of what made this run." in text
    assert "not run: rag on t" in render_table(results)
    not_run = [NotRun("rag", task, "no options") for task in "ab"] + [NotRun("rag", "c", "no index")]
    told = render_table(replace(results, not_run=tuple(not_run)))
    assert "not run: rag on a, b: no options\nnot run: rag on c: no index\n" in told


def test_numbers_in_words():
    assert wording.points(-0.0001) == "+0.0" == wording.points(0.0)
    assert wording.points(-0.1234) == "-12.3"
    assert wording.p_value(0.0009999) == "<0.001"
    assert wording.fraction(None) == "-"
