from __future__ import annotations

import html
import json
import re
import stat
from dataclasses import asdict, replace
from urllib.parse import parse_qsl

import pages
import pytest
from answers import answer, answers_of, changed, compared
from pages import plain

from ragmed.comparison.compare import ComparisonSettings
from ragmed.errors import UsageError
from ragmed.records import ContextDocument
from ragmed.report import browser, cite, sections
from ragmed.report import page as page_module
from ragmed.report.page import render_page, visible, write_page


@pytest.fixture(scope="module")
def samples():
    return pages.samples_of()


@pytest.fixture(scope="module")
def results(samples):
    return pages.results_of(samples)


@pytest.fixture(scope="module")
def text(results):
    held = browser.Browser(("samples/index.js",), examples=120, samples=480, characters=300_000)
    return plain(render_page(results, run_info=pages.INFO, browser=held))


@pytest.mark.parametrize(
    "words",
    [
        "On handbook (accuracy), rag is better than general: 0.667 vs 0.333, difference +33.3 points [",
        "general | wrong | +12.0 | [-5.0, +29.0] | 0.210 | 20 | 10 | 60 |",
        "| general | 0.333 | [0.227, 0.459] | 60 | 60 | 0 | 0 | 0 | 0 |",
        "| rag | 0.550 | [0.425, 0.669] | 60 | 53 | 7 unparsed | 0 | 0 | 0 |",
        "| chance baseline | 0.250 | - | 60 | | | | | |",
        "| accuracy | 2 handbook, handbook-letters | +12.0 | [-5.0, +29.0] | [-30.0, +50.0] | 62 % |",
        "| 62 % | 4.0 | 0.100 | 0.210 | 0.400 | ○ cannot tell |",
        "| untuned | 0.333 [0.227, 0.459] general | 0.667 [",
        "⚑ The comparison of rag with general on handbook (accuracy) depends on the policy.",
        "wrong: rag > general; drop: general > rag.",
        "| general | 0.500 | 60 | 0.550 | 55 |",
        "| accuracy: handbook-letters, handbook (likelihood) | 60 | 0.300 | 0.400 | -10.0 | [-20.0, +0.0] | 0.040 | "
        "-7.0 [-12.0, -2.0] | -3.0 [-10.0, +4.0] | 7 | 3 examples | compliance |",
        "| a loss or gain of form, not of knowledge |",
        "| rag | 60 | 40 | 20 | 2 no readable answer | 3 no gold document shown | 4 gold document shown, right without",
        "( 4 of them broke) | 11 gold document shown, still wrong | 0 |",
        "| rag | 0.667 | 0.333 | 0.800 | - | 18 | 2 | 0 | - | 2 beyond |",
        "| rag | general | 20 fixed by rag against general on handbook | 2 broke by rag against general on handbook |",
        "| general, handbook | general, handbook-letters | 60 | 41 | 0.683 | [0.550, 0.790] | 0.330 | 0.300 |",
        "| general | 60 | 0.110 | [0.070, 0.200] | 0.200 | 0.300 | [0.200, 0.400] |",
        "| rag | 60 | 4 | 0.500 | [0.400, 0.600] | 0.480 | [0.370, 0.580] | 0.750 |",
        "| handbook (3 name no document) | 2 | 60 | 0.800 | 0.900 | 0.700 | 0.900 | 0.700 n 54 | 0.300 n 6 | +40.0 |",
        "| 0.200 | 0.300 | 0.500 | 1.50 GiB process | 0.1250 |",
        "(model ours): trained on wards (aaaaaaaa); 4,096 tokens in 8 steps; 1.5 min on cpu; peak memory 1.00 GiB",
        "| 0 | 0.001 | 0.5 |",
        "| rag | packaged:tiny | retrieved | wards | 2 |",
        "@article{dorfner2025evaluating,",
    ],
)  # fmt: skip
def test_every_section_shows_its_numbers(text, words):
    assert words in text


def test_a_section_without_rows_is_left_out_and_says_what_it_needs(results):
    bare = ("leakage", "order", "ledger", "overall", "calibration", "compliance", "factorials")
    html = render_page(replace(results, **dict.fromkeys(bare, ())), run_info={})
    text = plain(html)
    assert re.findall(r'<section id="(\w+)"', html) == [
        "verdict", "differences", "scores", "failures", "policies", "decomposition", "retrieval", "cost", "made",
        "notes", "cite",
    ]  # fmt: skip
    assert "With and without leaked examples : needs an audit of this run, by ragmed audit." in text
    assert "Samples : needs stored samples." in text
    assert "samples?" not in html


def test_the_page_allows_nothing_inline_and_names_no_other_host(results):
    html = render_page(results, run_info=pages.INFO)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert policy == (
        "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src 'self' file:; base-uri 'none'; "
        "form-action 'none'"
    )
    assert not re.search(r"<style|\sstyle=|\son\w+=|https?://", html)
    assert re.findall(r"<script[^>]*>", html) == ['<script src="page.js" defer>']


def test_what_nobody_sees_is_shown_by_its_number():
    assert visible("a\u202eb\x1b[31m\n\ud800\u200b") == "a(U+202E)b(U+001B)[31m\n(U+D800)(U+200B)"
    assert (visible(None), visible(3)) == ("-", 3)


def _called(path, function):
    text = path.read_text(encoding="ascii")
    assert "<" not in text
    assert text.startswith(f"{function}(")
    assert text.endswith(");\n")
    return json.loads(f"[{text[len(function) + 1 : -3]}]")


def test_the_samples_come_back_as_they_were(tmp_path, results, samples, monkeypatch):
    monkeypatch.setattr(browser, "PIECE", 20_000)
    done = browser.write_browser(results, samples, tmp_path, stamp="now")
    [index] = _called(tmp_path / "samples/index.js", "ragmedIndex")
    assert (done.examples, done.samples, len(index["rows"])) == (120, 480, 120)
    assert index["rows"][2] == [
        "h00002", 0, "On which ward is bed 2 of the annex, and who is told when it moves?", "0101",
    ]  # fmt: skip
    assert index["rows"][60][3] == "uuuu"
    assert index["ledger"][0]["fixed"] == list(range(2, 60, 3))
    assert index["sets"]["part.0.missed"]["rows"] == [7, 10, 13]
    assert index["sets"]["compliance.0"]["rows"] == [60, 69, 78]
    assert len(index["files"]) > 5
    found = []
    for place, name in enumerate(index["files"]):
        number, stamp, held = _called(tmp_path / name, "ragmedPiece")
        assert (number, stamp, index["starts"][place]) == (place, "now", len(found))
        found += held
    assert [one["id"] for one in found] == [row[0] for row in index["rows"]]
    shown, sample = found[62]["answers"][1], samples["rag", "handbook-letters"][2].sample
    assert shown["completion"] == sample.completion == "  It is  ash.\n\tSurely. "
    assert shown["messages"] == [[one.role, one.content] for one in sample.messages]
    assert shown["passages"] == [asdict(passage) for passage in sample.passages]
    assert (shown["extracted"], shown["scores"], shown["seconds"]) == ("C", {"accuracy": 1.0}, 0.25)
    stamp, questions = _called(tmp_path / "samples/questions.js", "ragmedQuestions")
    assert questions[62] == (
        "h00002\non which ward is bed 2 of the annex, and who is told when it moves? \n"
        "ward elm\nward oak\nward ash\nward yew"
    )


def test_each_count_of_failures_opens_the_answers_that_it_counts(tmp_path):
    """Read as the page reads it: the set's rows, of these the answers of the arm in the link."""
    samples = (
        answers_of({"a": [1, "unparsed", "unparsed", 0], "b": ["refused", 1, "unparsed", "truncated"]}, task="words")
        | answers_of({"a": [1, 0, "error", 0], "b": [1, 1, 1, 0]}, metric="abstained", task="no.answer")
        | answers_of({"a": [(2.0, 3.0, 0.0), "unparsed", (1.0, 0.0, 0.0)], "b": [(0.0, 1.0, 0.0)] * 3},
                     metric="valid_codes", task="codes")
        | answers_of({"a": [0.5, 0.0], "b": [0.0, 1.0]}, metric="contradiction", task="statements")
    )  # fmt: skip
    results = compared(samples, ComparisonSettings(baseline="a", resamples=100))
    page = write_page(results, run_info={}, answers=samples, folder=tmp_path).read_text()
    section = page[page.index('id="failures"') :]
    links = re.findall(r'href="#samples\?(\S+?)">(.*?)<span', section[: section.index("</table>")])
    [index] = _called(tmp_path / "samples/index.js", "ragmedIndex")
    opened = []
    for address, text in links:
        asked = dict(parse_qsl(html.unescape(address)))
        rows = [index["rows"][place] for place in index["sets"][asked["set"]]["rows"]]
        kept = [row for row in rows if row[3][index["arms"].index(asked["arm"])] != "-"]
        assert len(kept) == len(rows)
        opened.append((index["sets"][asked["set"]]["label"], [row[0] for row in kept], text))
        assert {index["tasks"][row[1]] for row in rows} == {opened[-1][0].partition(": ")[0].partition(" on ")[2]}
    assert opened == [
        ("a on words: wrong form", ["e001", "e002"], "2"),
        ("b on words: wrong form", ["e002"], "1"),
        ("b on words: refused", ["e000"], "1"),
        ("b on words: cut off", ["e003"], "1"),
        ("a on no.answer: false answers to items without one", ["e001", "e003"], "2"),
        ("b on no.answer: false answers to items without one", ["e003"], "1"),
        ("a on codes: codes that do not exist", ["e000"], "3 in 1 answer"),
        ("b on codes: codes that do not exist", ["e000", "e001", "e002"], "3"),
        ("a on codes: wrong form", ["e001"], "1"),
        ("a on statements: statements contradicted", ["e000"], "in 1 answer"),
        ("b on statements: statements contradicted", ["e001"], "in 1 answer"),
    ]
    assert len(links) == sum(bool(row.examples) for row in results.failures)


def test_the_question_is_shown_with_the_material_it_is_about(tmp_path):
    note = (ContextDocument("The dose was doubled."),)
    given = {("a", "t"): [changed(answer("1", "a", "t", question="Which dose?", gold=("x", "y")), context=note)]}
    browser.write_browser(pages.nothing(), given, tmp_path, stamp="now")
    [index] = _called(tmp_path / "samples/index.js", "ragmedIndex")
    assert index["rows"][0][2] == "The dose was doubled. Which dose?"
    [held] = _called(tmp_path / "samples/0001.js", "ragmedPiece")[2]
    assert (held["question"], held["gold"]) == ("The dose was doubled.\nWhich dose?", "x; y")


def test_graded_and_missing_scores_have_letters_of_their_own(tmp_path):
    rows = [(0.0, "0"), (0.4, "g"), (1.0, "1"), (None, "n")]
    given = [
        answer(f"e{n}", "a", "t", scores={} if score is None else {"f1": score}) for n, (score, _) in enumerate(rows)
    ]
    found = compared({("a", "t"): given}, run="r", settings=ComparisonSettings(baseline="a", resamples=100))
    browser.write_browser(found, {("a", "t"): given}, tmp_path, stamp="now")
    [index] = _called(tmp_path / "samples/index.js", "ragmedIndex")
    assert [row[3] for row in index["rows"]] == [letter for _, letter in rows]


def test_restricted_pages_are_for_their_owner_and_only_own_leavings_go(tmp_path, results, samples, monkeypatch):
    folder = tmp_path / "report"
    monkeypatch.setattr(browser, "PIECE", 20_000)
    page = write_page(results, run_info=pages.INFO, answers=samples, folder=folder, mode=0o600)
    assert page == folder / "index.html"
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    many = len(list(folder.glob("samples/0*.js")))
    for name in ("mine.html", "samples/mine.js", "samples/9999.js", "figures/mine.svg"):
        (folder / name).write_text("mine")
    outside = tmp_path / "outside.js"
    outside.write_text("mine")
    listed = json.loads((folder / "files.json").read_text())
    listed["files"] += ["../outside.js", "samples/../mine.html", "/etc/hostname", "mine.html"]
    (folder / "files.json").write_text(json.dumps(listed))
    few = {key: given[:10] for key, given in samples.items()}
    write_page(pages.results_of(few), run_info={}, answers=few, folder=folder, mode=0o600)
    assert many > len(list(folder.glob("samples/0*.js")))
    assert {path.name for path in folder.rglob("mine.*")} == {"mine.html", "mine.js", "mine.svg"}
    assert (folder / "samples/9999.js").exists()
    assert outside.exists()
    assert not (folder / "figures/training.svg").exists()
    monkeypatch.setattr(page_module, "write_figures", lambda *_, **__: [])
    (folder / "files.json").write_text('{"made_by": "ragmed report"}')
    write_page(results, run_info={}, answers={}, folder=folder)
    for broken in ("", "[]", '{"made_by": "me", "files": []}'):
        (folder / "files.json").write_text(broken)
        with pytest.raises(UsageError, match="holds files that are no report's"):
            write_page(results, run_info={}, answers={}, folder=folder)
    assert (folder / "mine.html").exists()


def test_more_than_three_contrasts_in_words_are_folded(results):
    rows = tuple(replace(results.contrasts[0], arm=f"arm{n}") for n in range(4))
    found = [render_page(replace(results, contrasts=rows[:n]), run_info={}) for n in (3, 4)]
    assert [re.search(r"<details[^>]*><summary>Every contrast", html)[0][8:-23] for html in found] == [
        ' class="words" open>', ' class="words">',
    ]  # fmt: skip


def test_one_contrast_is_spoken_of_as_one():
    given = pages.samples_of(9)
    both = {key: given[key] for key in (("general", "handbook"), ("rag", "handbook"))}
    found = compared(both, run="one", settings=ComparisonSettings(baseline="general", resamples=200))
    text = plain(render_page(found, run_info=pages.INFO))
    assert found.family == 1
    assert not re.search(r"all 1 |p_adjusted|mcnemar exact|1 contrasts", text)
    assert "; p of the exact McNemar test" in text
    assert "within 5 points on either side of 0" in text


def test_the_arms_stand_below_the_verdict(text):
    assert "| general control | packaged:tiny | the question alone (closed book) |" in text
    assert "| rag | packaged:tiny | 2 passages that a search of wards finds |" in text
    named = {"m": {"model": "m", "context": "oracle", "index": "i"}, "n": {"context": "of another kind"}, "o": "no arm"}
    assert [(one["model"], one["shown"]) for one in sections.arms({"experiment": {"arms": named}})] == [
        ("m", "passages of i that hold the answer (oracle)"), ("-", "of another kind"),
    ]  # fmt: skip
    assert sections.arms({}) == sections.arms({"experiment": {"arms": []}}) == []


def test_of_imported_answers_nothing_is_claimed_that_nobody_recorded(tmp_path, results, samples):
    bare = {
        key: [changed(one, input_tokens=0, output_tokens=0, seconds=0.0) for one in given[:3]]
        for key, given in samples.items()
    }
    write_page(results, run_info={"imported": {"kind": "mirage"}}, answers=bare, folder=tmp_path)
    [index] = _called(tmp_path / "samples/index.js", "ragmedIndex")
    assert index["prompt"] == "Prompt, as far as it is recorded"
    shown = _called(tmp_path / "samples/0001.js", "ragmedPiece")[2][0]["answers"][0]
    assert not {"input_tokens", "output_tokens", "seconds"} & set(shown)


def test_each_figure_stands_in_its_section_with_its_files(results):
    names = [f"figures/{stem}.{kind}" for stem in ("forest", "scores", "scores-2", "cost") for kind in ("svg", "png")]
    html = render_page(results, run_info={}, figures=names)
    sections = dict(re.findall(r'<section id="(\w+)"(.*?)</section>', html, re.DOTALL))
    pictures = {name: re.findall(r'<img src="([^"]+)"', text) for name, text in sections.items() if "<img" in text}
    assert pictures == {
        "differences": ["figures/forest.svg"], "scores": ["figures/scores.svg", "figures/scores-2.svg"],
        "cost": ["figures/cost.svg"],
    }  # fmt: skip
    assert sections["scores"].count('<a href="figures/scores-2.png">PNG<span class="sr"> of Scores (2)</span></a>') == 1
    assert 'alt="Score of every arm on every task with its 95 % interval, and what guessing gives"' in html


def test_names_in_bibtex_are_escaped():
    entry = cite.entries("a_b {x} 50% \\ ~", {"started": "2026-11-21T18:29:56Z"})[0]
    assert entry == (
        "@misc{run-a-b-x-50,\n  title = {ragmed run a\\_b \\{x\\} 50\\% \\textbackslash{} \\textasciitilde{}},\n"
        "  year = {2026},\n  note = {started 2026-11-21T18:29:56Z}\n}"
    )
