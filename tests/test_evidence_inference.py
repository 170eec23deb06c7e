import csv
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from ragmed.errors import DataError
from ragmed.metrics import find_metric
from ragmed.records import ContextDocument, Example, Sample
from ragmed.scores import score_samples
from ragmed.tasks import evidence_inference as task
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
TABLES = WORKSPACE.data / "evidence-inference"
ARCHIVE = WORKSPACE.data / "corpora" / "pmc-trials-ccby.tar.xz"
needs_articles = pytest.mark.skipif(
    not (TABLES.is_dir() and ARCHIVE.is_file()), reason=f"needs {TABLES} and {ARCHIVE} (RAGMED_DATA)"
)
# Invented, in the publisher's format.
ARTICLE = (
    "TITLE: Warm socks in cold wards\n\n  ABSTRACT.RESULTS:\nFeet were warmer with socks (p = 0.01).\n\n"
    "BODY.METHODS.BLINDING:\nNobody was blind.\n\nBODY.RESULTS:\nSocks warmed feet by 2 degrees. Sleep was alike.\n"
)
QUOTES = ("Feet were warmer with socks (p = 0.01).", "Socks warmed feet by 2 degrees.", "Sleep was alike.")
UP, DOWN, SAME = "significantly increased", "significantly decreased", "no significant difference"
Row = tuple[str, str, bool, bool, str]  # annotator, label, whether label and reasoning were accepted, quote


def write(folder: Path, **prompts: list[Row]) -> Workspace:
    """An article 77, and prompts named p1 … with their annotations; `gone` is one whose article is not there."""
    (folder / "data" / "evidence-inference").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "corpora").mkdir(exist_ok=True)
    with tarfile.open(folder / "data" / "corpora" / "pmc-trials-ccby.tar.xz", "w:xz") as archive:
        for number in ("77", "78"):
            member = tarfile.TarInfo(f"txt_files/PMC{number}.txt")
            member.size = len(ARTICLE.encode())
            archive.addfile(member, io.BytesIO(ARTICLE.encode()))
    tables: dict[str, list[list[object]]] = {
        "prompts_merged.csv": [["PromptID", "PMCID", "Outcome", "Intervention", "Comparator"]],
        "v2_annotations.csv": [
            ["UserID", "PromptID", "PMCID", "Valid Label", "Valid Reasoning", "Label", "Annotations", "Label Code",
             "In Abstract", "Evidence Start", "Evidence End"]
        ],
    }  # fmt: skip
    for name, rows in prompts.items():
        article = "404" if name == "gone" else "77"
        tables["prompts_merged.csv"].append([name, article, "warmth ", "socks, woollen", "bare feet"])
        for user, label, accepted, reasoned, quote in rows:
            start = ARTICLE.index(quote)
            tables["v2_annotations.csv"].append(
                [user, name, article, accepted, reasoned, label, quote, 0, "UNK", start, start + len(quote)]
            )
    for name, lines in tables.items():
        with (folder / "data" / "evidence-inference" / name).open("w", newline="") as stream:
            csv.writer(stream).writerows(lines)
    return Workspace.find(folder)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return tmp_path


def loaded(workspace: Workspace) -> dict[str, Example]:
    split = task.load(workspace)
    return {example.id: example for example in (*split.examples, *split.shots)}


@needs_articles
def test_the_prompts_that_have_an_article_and_a_label_are_whole() -> None:
    split = task.load(WORKSPACE)
    every = (*split.examples, *split.shots)
    assert (len(split.examples), len(split.shots)) == (1048, 91)
    assert Counter(example.gold for example in every) == {"A": 323, "B": 271, "C": 545}
    assert split.notes[0].startswith("1,019 prompts have no article here, and 29 no label")
    assert all(set(e.documents) <= {document.id for document in e.context} for e in every)
    assert all(e.documents for e in every)
    assert not {e.group for e in split.examples} & {e.group for e in split.shots}


@needs_articles
def test_gold_sections_hold_the_annotated_words() -> None:
    quotes: dict[str, list[str]] = {}
    with (TABLES / "v2_annotations.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            quotes.setdefault(row["PromptID"], []).append(" ".join(row["Annotations"].split()))
    found = 0
    examples = task.load(WORKSPACE).examples
    for example in examples:
        shown = {document.id: " ".join(document.text.split()) for document in example.context}
        found += any(quote and quote in shown[name] for quote in quotes[example.id] for name in example.documents)
    assert found >= 0.98 * len(examples)  # a few go over the end of a section


def test_accepted_annotators_vote_and_the_typing_error_is_a_label(folder: Path) -> None:
    found = loaded(
        write(
            folder,
            p1=[("0", UP, True, True, QUOTES[0]), ("3", "significantly increase", True, True, QUOTES[1])],
            p2=[("0", DOWN, False, True, QUOTES[1]), ("3", SAME, True, True, QUOTES[2])],
            p3=[("0", UP, True, True, QUOTES[0]), ("3", SAME, True, True, QUOTES[2])],
            p4=[("0", UP, False, False, QUOTES[0])],
            p5=[("0", UP, True, False, QUOTES[0]), ("3", UP, True, True, QUOTES[1])],
            gone=[("0", UP, True, True, QUOTES[0])],
        )
    )
    assert {name: example.gold for name, example in found.items()} == {"p1": "A", "p2": "C", "p5": "A"}
    assert found["p1"].documents == ("section_1", "section_3")
    assert found["p5"].documents == ("section_3",)
    assert found["p1"].question == "Intervention: socks, woollen. Comparator: bare feet. Outcome: warmth."
    assert [(d.id, d.title) for d in found["p1"].context[1:]] == [
        ("section_1", "ABSTRACT > RESULTS"), ("section_2", "METHODS > BLINDING"), ("section_3", "RESULTS"),
    ]  # fmt: skip
    assert found["p1"].group == found["p2"].group == "PMC77"
    split = task.load(Workspace.find(folder))
    assert split.notes[0].startswith("1 prompt has no article here, and 2 no label")


def test_what_cannot_be_used_is_named(folder: Path) -> None:
    here = write(folder, p1=[("0", "better", True, True, QUOTES[0])])
    with pytest.raises(DataError, match=r"v2_annotations.csv', line 2: label 'better'; known: sig"):
        task.load(here)
    table = folder / "data" / "evidence-inference" / "prompts_merged.csv"
    table.write_text(table.read_text().replace("p1,77", "p1,78"))
    write_again = folder / "data" / "evidence-inference" / "v2_annotations.csv"
    write_again.write_text(write_again.read_text().replace("better", UP))
    with pytest.raises(DataError, match=r"no prompt 'p1' on article 77 in prompts_merged.csv"):
        task.load(here)


def test_label_and_quotation_are_scored_apart(folder: Path) -> None:
    write(folder, p1=[("0", UP, True, True, QUOTES[0]), ("3", UP, True, True, QUOTES[1])])
    split = task.load_spans(Workspace.find(folder))
    (example,) = (*split.examples, *split.shots)
    assert example.gold == {"label": (UP,), "evidence": QUOTES[:2]}
    completions = {
        json.dumps({"label": "Significantly increased.", "evidence": QUOTES[1]}): (1.0, 1.0, 1.0),
        json.dumps({"label": DOWN, "evidence": ["Socks warmed feet"]}): (0.0, 2 * 3 / (3 + 6), 1.0),
        json.dumps({"label": UP, "evidence": "Feet were warmer without socks."}): (1.0, 2 * 4 / (5 + 8), 0.0),
        json.dumps({"label": 3, "evidence": None}): (0.0, 0.0, 0.0),
    }
    samples = [Sample("a", "t", example, completion=text) for text in completions]
    scores = score_samples(samples, task.SPANS.form.reader, task.SPANS.metrics)
    found = [tuple(s.metrics[n] for n in ("label_accuracy", "evidence_token_f1", "quote_found")) for s in scores]
    assert found == [pytest.approx(expected) for expected in completions.values()]
    unread = score_samples([Sample("a", "t", example, completion=UP)], "json", task.SPANS.metrics)
    assert unread[0].status == "unparsed"


def test_the_gold_answer_in_the_words_that_are_shown_scores_in_full(folder: Path) -> None:
    write(folder, p1=[("0", UP, True, True, QUOTES[0]), ("3", UP, True, True, QUOTES[1])])
    split = task.load_spans(Workspace.find(folder))
    (example,) = (*split.examples, *split.shots)
    sample = Sample("a", "t", example, completion=task.SPANS.form.gold(example))
    assert set(score_samples([sample], "json", task.SPANS.metrics)[0].metrics.values()) == {1.0}


def quoted(*lines: str) -> list[float]:
    """Of the lines as one text, and as a list of texts."""
    report = (
        ContextDocument("Sleep was alike (P\u2009>\u20090.05).Table 3Mean age of both."),
        ContextDocument("Pain fell by 2 points in 12 weeks."),
    )
    example = Example("p1", "?", report)
    return list(find_metric("quote_found").score([(example, {"evidence": e}) for e in ("\n".join(lines), list(lines))]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["Sleep was alike (P > 0.05).Table 3"], 1.0),  # the report runs the number on to the caption
        (["Sleep was alike", "pain fell by 2 points"], 1.0),  # two places, as annotators give them
        (["Sleep was alike", "pain fell by 3 points"], 0.0),
        (["Pain fell by 2points in 12 weeks"], 1.0),
        (["by 2 points in 1"], 0.0),  # of 12
        (["leep was alike"], 0.0),
        (["alike", ""], 1.0),
        (["–"], 0.0),
    ],
)
def test_a_quotation_stands_in_the_report_word_for_word(lines: list[str], found: float) -> None:
    assert quoted(*lines) == [found, found]


def test_words_that_an_annotator_marked_twice_are_wanted_once(folder: Path) -> None:
    part = QUOTES[0][2:]
    write(folder, p1=[("0", UP, True, True, QUOTES[0]), ("0", UP, True, True, part), ("0", UP, True, True, QUOTES[0])])
    split = task.load_spans(Workspace.find(folder))
    (example,) = (*split.examples, *split.shots)
    assert example.gold == {"label": (UP,), "evidence": QUOTES[:1]}


@pytest.mark.parametrize(
    ("test", "validation", "train", "scored", "shown"),
    [("77", "78", "5", 1, 0), ("5", "77", "78", 1, 0), ("78", "5", "77", 0, 1)],
)
def test_the_publishers_split_is_kept_where_it_is_there(
    folder: Path, test: str, validation: str, train: str, scored: int, shown: int
) -> None:
    here = write(folder, p1=[("0", UP, True, True, QUOTES[0])])
    splits = folder / "data" / "evidence-inference" / "splits"
    splits.mkdir()
    for name, ids in (("test", test), ("validation", validation)):
        (splits / f"{name}_article_ids.txt").write_text(f"{ids}\n")
    with pytest.raises(DataError, match=r"train articles '.*' does not exist"):
        task.load(here)
    (splits / "train_article_ids.txt").write_text(f"{train}\n")
    split = task.load(here)
    assert (len(split.examples), len(split.shots)) == (scored, shown)
    assert "publisher's" in split.notes[1]
