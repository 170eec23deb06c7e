"""Figures as SVG and PNG: what is drawn says what results.json says, safely, and the same each time."""

import copy
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from pages import nothing, row_of

from ragmed.checked import dump, parse
from ragmed.comparison.costs.rows import BreakEven, Line
from ragmed.comparison.diagnosis.rows import Bin, Cause, Side
from ragmed.comparison.results import Results
from ragmed.comparison.rows import Noninferiority
from ragmed.comparison.statistics.intervals import Estimate
from ragmed.report.figures import drawing
from ragmed.report.figures.rows import Chart, Group, Row, draw_rows
from ragmed.report.figures.write import FIGURES, caption, write_figures

HOSTILE = [
    "<script>alert(1)</script>", "$x^2_{$", "\u202eevil\u202c", "腕" * 60, "a" * 300, "</svg>&amp;\"'",
    "\ud800\x00\x1b[31m", "e\u0301" * 40, "", "\\$\\frac{",
]  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"
CI = (0.55, 0.65)


def results(arms=("general", "general+rag"), tasks=("handbook",)):
    """Every kind of row that a figure shows, with two arms' numbers chosen by hand."""
    pairs = [(arm, task) for task in tasks for arm in arms]
    metric = {"metric": "accuracy"}
    same = metric | {"higher_is_better": True, "primary": True, "corpora": "", "margin": 0.05}
    cell = Estimate(0.25, (0.175, 0.328), "wilson")
    parts = (("form", 2), ("missed", 11), ("misled", 3), ("ignored", 7), ("unknown", 0))
    counted = tuple(Cause(part, count, (), ()) for part, count in parts)
    bins = (Bin(0.4, 0.5, 23, 0.45, 0.4), Bin(0.9, 1.0, 37, 0.95, 0.8), Bin(0.0, 0.1, 0, None, None))
    after = BreakEven(
        "CPU-seconds", Line(3164.5, 0.162, 0.01), Line(428.5, 0.425, 0.02), "after", 10408, (6449, 15066), ()
    )
    interaction = replace(
        row_of("factorials").effects[0], effect="interaction", difference=0.525, ci=(0.4, 0.65), p_adjusted=0.0004,
        margin=0.05, verdict="better",
    )  # fmt: skip
    return nothing(
        run="trial",
        scores=tuple(
            row_of("scores", arm=a, task=t, **metric, value=0.617, ci=CI, n=60, status={"answered": 58, "unparsed": 2})
            for a, t in pairs
        ),
        baselines=tuple(row_of("baselines", task=t, **metric, name="chance", value=0.25) for t in tasks),
        contrasts=tuple(
            row_of("contrasts", **same, task=t, baseline=arms[0], arm=a, difference=0.367, ci=(0.213, 0.507), p=1e-5,
                   p_adjusted=2e-5, verdict="better", n=60)
            for a, t in pairs if a != arms[0]
        ),
        overall=(
            row_of("overall", **same, baseline=arms[0], arm=arms[-1], k=2, difference=0.111, ci=(0.01, 0.21),
                   prediction=(-0.2, 0.4), p_adjusted=0.031, verdict="cannot-tell", tasks=tuple(tasks),
                   noninferiority=Noninferiority(shown=True)),
        ),
        policies=tuple(
            row_of("policies", arm=a, task=t, **metric, values={"wrong": 0.617, "drop": 0.638}) for a, t in pairs
        ),
        policy_rankings=tuple(row_of("policy_rankings", task=t, **metric, depends=True) for t in tasks),
        decomposition=tuple(
            row_of("decomposition", task=t, **metric, arm=arms[-1], n=60, right=37, wrong=23, parts=counted)
            for t in tasks
        ),
        calibration=tuple(
            row_of("calibration", arm=a, task=t, n=60, ece=0.123, ece_ci=(0.09, 0.17), brier=0.204, aurc=0.311,
                   aurc_ci=(0.25, 0.38), curve=((0.5, 0.2), (1.0, 0.4)), bins=bins)
            for a, t in pairs
        ),
        retrieval=tuple(
            row_of("retrieval", arm=arms[-1], task=t, k=5, n=60, hit=0.75, found=Side(45, 0.711),
                   missed=Side(15, 0.333), difference=0.378, ci=(0.1, 0.6))
            for t in tasks
        ),
        factorials=tuple(
            row_of("factorials", **same, task=t, n=60, control=arms[0], tuned="tuned", retrieved=arms[-1], both="both",
                   cells={"control": cell, "tuned": cell, "retrieved": cell,
                          "both": Estimate(0.775, (0.7, 0.85), "wilson")},
                   simple={"retrieval": {"untuned": 0.0, "tuned": 0.525}}, effects=(interaction,))
            for t in tasks
        ),
        economics=tuple(
            row_of("economics", task=t, control=arms[0], tuned="tuned", retrieved=arms[-1], both="both",
                   break_even=(after,))
            for t in tasks
        ),
    )  # fmt: skip


ADAPTERS = {"ours": {"name": "ours", "losses": [{"tokens": 512, "train": 2.5}, {"tokens": 1024, "train": 1.875}]}}


def texts(path: Path) -> str:
    """All texts of an SVG, in one line."""
    return " ".join("".join(node.itertext()) for node in ET.parse(path).iter(f"{SVG}text"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    write_figures(results(), folder, adapters=ADAPTERS)
    return folder


def test_every_figure_comes_as_svg_and_png(drawn, tmp_path):
    names = sorted(path.name for path in drawn.iterdir())
    assert names == sorted(f"{stem}.{kind}" for stem in FIGURES for kind in ("svg", "png"))
    for stem in FIGURES:
        assert caption(f"{stem}.svg") == FIGURES[stem]
    assert caption("scores-2.png")[0] == "Scores (2)"


@pytest.mark.parametrize(
    ("stem", "said"),
    [
        ("scores", ["handbook: accuracy", "0.617", "[0.550, 0.650]", "60", "2", "what guessing gives"]),
        ("forest", ["general+rag − general", "+36.7", "[+21.3, +50.7]", "<0.001", "better", "margin of 5 points"]),
        ("forest", ["Over 2 tasks: accuracy", "+11.1", "0.031", "cannot tell *", "further task"]),
        ("factorial", ["0.250", "0.775", "interaction +52.5 points [+40.0, +65.0],", "p <0.001"]),
        ("decomposition", ["60 37 2 11 3 7 ", "ignored: gold document shown, still wrong"]),
        ("policies", ["0.617 0.638", "the order of the arms depends on the policy"]),
        ("calibration", ["ECE 0.123 [0.090, 0.170], n 60", "AURC 0.311 [0.250, 0.380]"]),
        ("retrieval", ["general+rag, k 5", "0.750 0.711 (45) 0.333 (15) +37.8 [+10.0, +60.0]"]),
        ("cost", ["10,408", "from about 10,408 (6,449 to 15,066) questions", "CPU-hours"]),
        ("training", ["at the end: training 1.875", "tokens of training"]),
    ],
)
def test_the_texts_of_a_figure_are_the_numbers_of_the_results(drawn, stem, said):
    found = " ".join(texts(drawn / f"{stem}.svg").split())
    for text in said:
        assert text.strip() in found


def test_marks_stand_where_the_numbers_are():
    from ragmed.report.figures.forest import forest

    with drawing.settings():
        (figure,) = forest(results())
    found = {line.get_marker(): list(line.get_xdata()) for line in figure.axes[0].lines}
    assert found["^"] == pytest.approx([21.3, 36.7, 50.7])  # better
    assert found["o"] == pytest.approx([1.0, 11.1, 21.0])  # over the tasks: cannot tell
    assert found["|"] == pytest.approx([-20.0, 40.0])  # its prediction interval


def test_an_interval_that_is_wider_than_all_contrasts_leaves_the_axis_with_an_arrow():
    from ragmed.report.figures.forest import forest

    def drawn(ci, prediction):
        given = results()
        given = replace(given, overall=(replace(given.overall[0], ci=ci, prediction=prediction),))
        with drawing.settings():
            (figure,) = forest(given)
        arrows = [line.get_marker() for line in figure.axes[0].lines if line.get_marker() in ("<", ">")]
        return arrows, [round(float(end), 1) for end in figure.axes[0].get_xlim()]

    assert drawn((0.01, 0.21), None) == ([], [-7.3, 53.0])  # from the margin of 5 points to +50.7
    assert drawn((-0.2, 0.4), (-0.3, 0.5)) == ([], [-33.3, 54.0])
    assert drawn((-0.2, 0.4), (-9.0, 0.5)) == (["<"], [-36.3, 54.1])
    assert drawn((-3.0, 4.0), (-9.0, 9.0)) == (["<", ">"], [-37.4, 83.1])


def test_names_of_rows_stand_on_even_baselines():
    names = ("rag", "tuned", "both", "general", "x", "(ly)")
    group = Group("g", tuple(Row(name, lambda axes, y: None) for name in names))
    chart = Chart(title="T", groups=(group,), columns=(), ends=(0, 1), axis="x")
    with drawing.settings():
        (figure,) = draw_rows(chart)
    heights = [text.get_position()[1] for text in figure.axes[0].texts if text.get_text() in names]
    assert [round(high - low, 6) for low, high in pairwise(heights)] == [0.17] * 5
    assert {text.get_va() for text in figure.axes[0].texts if text.get_text() in names} == {"baseline"}


def test_the_key_of_a_figure_names_only_what_is_drawn():
    from ragmed.report.figures.training import losses

    for held_out, names in (({}, ["training"]), ({"held_out": 2.0}, ["training", "held out"])):
        records = [{"tokens": 512 * n, "train": 2.5 - n, **held_out} for n in (1, 2)]
        with drawing.settings():
            (figure,) = losses({"tuned": {"losses": records}})
        assert [text.get_text() for text in figure.legends[0].get_texts()] == names


def test_a_verdict_has_one_sign_on_the_page_and_in_the_figures():
    from ragmed.report.figures.forest import VERDICTS
    from ragmed.report.wording import SIGNS

    shapes = {"▲": "^", "▼": "v", "◆": "D", "○": "o", "□": "s", "✕": "x"}
    assert {verdict: shapes[sign] for verdict, sign in SIGNS.items()} == {v: m for v, (_, m) in VERDICTS.items()}


def test_a_secondary_metric_has_a_hollow_square_and_no_adjusted_p(tmp_path):
    given = results()
    (contrast,), (square,) = given.contrasts, given.factorials
    contrast = replace(contrast, metric="rouge_l", primary=False, verdict="secondary", p_adjusted=None)
    effect = replace(square.effects[0], verdict="secondary", p=0.25, p_adjusted=None)
    write_figures(nothing(contrasts=(contrast,), factorials=(replace(square, effects=(effect,)),)), tmp_path)
    said = " ".join(texts(tmp_path / "forest.svg").split())
    assert "+36.7 [+21.3, +50.7] - secondary" in said
    assert "secondary metric, no verdict" in said
    assert "p 0.250, not adjusted: secondary" in " ".join(texts(tmp_path / "factorial.svg").split())


def test_bars_add_up_to_all_examples():
    from ragmed.report.figures.decomposition import decomposition

    with drawing.settings():
        (figure,) = decomposition(results())
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == pytest.approx([100 * n / 60 for n in (37, 2, 11, 3, 7)])
    assert sum(widths) == pytest.approx(100)


def test_an_svg_is_xml_without_scripts_or_other_files(drawn):
    for path in drawn.glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        assert "<!DOCTYPE" not in text
        for node in ET.fromstring(text).iter():
            assert node.tag.split("}")[-1] not in ("script", "image", "foreignObject", "a", "metadata")
            for name, value in node.attrib.items():
                assert not name.lower().startswith("on")
                assert "://" not in value
                assert not name.endswith("href") or value.startswith("#")
                assert "url(" not in value or "url(#" in value
        sizes = [float(size) for size in re.findall(r"font-size: ([0-9.]+)px", text)]
        assert sizes
        assert min(sizes) >= 7
        assert "sans-serif" in text


def test_the_same_results_give_the_same_bytes(drawn, tmp_path):
    read = parse(Results, json.loads(json.dumps(dump(results()))), "results")
    assert read == results()
    write_figures(read, tmp_path, adapters=ADAPTERS)
    for path in drawn.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_pictures_fit_a_page(drawn):
    for path in drawn.glob("*.png"):
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG")
        width, height = (int.from_bytes(data[at : at + 4]) for at in (16, 20))
        assert 3.3 * 200 <= width <= 7.3 * 200
        assert 100 <= height <= 9.1 * 200


def test_what_is_absent_is_not_drawn_and_nothing_is_removed(tmp_path):
    few = nothing(scores=results().scores)
    (tmp_path / "mine.svg").write_text("kept")
    (tmp_path / "forest-2.png").write_text("whose is it?")
    assert [path.name for path in write_figures(few, tmp_path)] == ["scores.svg", "scores.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["forest-2.png", "mine.svg", "scores.png", "scores.svg"]
    assert write_figures(nothing(), tmp_path) == []


def test_a_row_without_a_value_stays_and_says_so(tmp_path):
    whole = results(arms=("general", "other", "general+rag"))
    scores, contrasts, retrieval = (list(rows) for rows in (whole.scores, whole.contrasts, whole.retrieval))
    scores[0] = replace(scores[0], value=None, ci=None)
    contrasts[0] = replace(contrasts[0], difference=None, ci=None, verdict="cannot-tell")
    retrieval[0] = replace(retrieval[0], missed=Side(0, None), difference=None, ci=None)
    given = nothing(scores=tuple(scores), contrasts=tuple(contrasts), retrieval=tuple(retrieval))
    write_figures(given, tmp_path)
    assert "general - 60 2" in " ".join(texts(tmp_path / "scores.svg").split())
    assert "other − general - <0.001 cannot tell" in " ".join(texts(tmp_path / "forest.svg").split())
    assert "0.711 (45) - (0) -" in " ".join(texts(tmp_path / "retrieval.svg").split())


def test_hostile_names_are_text_and_nothing_else(tmp_path):
    given = results(arms=HOSTILE, tasks=[HOSTILE[0]])
    written = write_figures(given, tmp_path, adapters={HOSTILE[0]: ADAPTERS["ours"]})
    assert len(written) >= 2 * len(FIGURES)
    shown = ""
    for path in written:
        if path.suffix == ".svg":
            shown += texts(path)
            assert not [node for node in ET.parse(path).iter() if node.tag.endswith("script")]
            assert "\u202e" not in shown
            assert "\x1b" not in shown
    assert "<script>alert(1)</script>" in shown
    assert "$x^2_{$" in shown
    assert "?evil?" in shown
    assert "\\$\\frac{" in shown


def test_long_names_and_many_rows_never_overlap_and_stay_on_the_sheet():
    from ragmed.report.figures.forest import forest
    from ragmed.report.figures.scores import scores

    arms = [
        "general",
        "general+rag",
        "biomedical-tuned-on-the-same-references-with-a-long-name",
        "x" * 90,
        "gpt/rag_32",
    ]
    given = results(arms=arms, tasks=[f"task-number-{n}-with-a-long-name" for n in range(13)])
    with drawing.settings():
        figures = [*forest(given), *scores(given)]
        assert len(figures) >= 4
        for figure in figures:
            figure.canvas.draw()
            assert figure.get_size_inches()[1] <= 9.05
            boxes = [text.get_window_extent() for text in [*figure.axes[0].texts, *figure.texts]]
            assert len(boxes) > 20
            assert min(box.x0 for box in boxes) >= 0
            assert max(box.x1 for box in boxes) <= figure.bbox.width
            for edge in ("x0", "x1"):
                columns: dict[int, list] = {}
                for box in boxes:
                    columns.setdefault(round(getattr(box, edge)), []).append(box)
                for column in columns.values():
                    column.sort(key=lambda box: box.y0)
                    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(column))


def test_a_group_goes_on_over_pages_and_no_row_is_lost():
    rows = tuple(Row(f"arm {n}", lambda axes, y: None, (str(n),)) for n in range(200))
    chart = Chart(title="T", groups=(Group("g", rows),), columns=("n",), ends=(0, 1), axis="x")
    with drawing.settings():
        pages = draw_rows(chart)
    names = [text.get_text() for page in pages for text in page.axes[0].texts]
    assert [name for name in names if name.startswith("arm")] == [f"arm {n}" for n in range(200)]
    assert names.count("g") == 1
    assert names.count("g (continued)") == len(pages) - 1 > 0


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("tuned+retrieved", 9, ["tuned+", "retrieved"]),
        ("腕腕腕腕", 4, ["腕腕", "腕腕"]),
        ("aaaaaaaa", 3, ["aaa", "aaa", "aa"]),
        ("", 5, [""]),
        ("a\nb\tc\u202e", 9, ["a b c?"]),
    ],
)
def test_wrapping_by_hand(text, width, lines):
    assert drawing.wrap(text, width) == lines


def test_results_are_left_as_they_are(tmp_path):
    given = results()
    before = copy.deepcopy(given)
    write_figures(given, tmp_path, mode=0o600)
    assert given == before
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())
