import csv
from pathlib import Path

import pytest

from ragmed.metrics import METRICS, find_metric
from ragmed.metrics.resources import RESOURCED, make_metric
from ragmed.metrics.sections import HEADINGS, note_sections
from ragmed.metrics.settings import MetricSettings
from ragmed.records import Example
from ragmed.tasks.aci_bench import ACI_BENCH, COLUMNS, load
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
needs_aci = pytest.mark.skipif(
    not (WORKSPACE.data / "aci-bench").is_dir(), reason=f"needs {WORKSPACE.data / 'aci-bench'} (RAGMED_DATA)"
)
NOTE = "CHIEF COMPLAINT\n\nKnee pain.\n\nPHYSICAL EXAM\n\nMSK: Swollen knee.\n\nASSESSMENT\n\nGout.\n\nPLAN\n\nRest."


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    folder = tmp_path / "data" / "aci-bench"
    folder.mkdir(parents=True)
    for number, name in enumerate(("clinicalnlp_taskB_test1.csv", "train.csv")):
        with (folder / name).open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            for i in range(6):
                writer.writerow(["aci", f"D2N{number}{i}", f"[doctor] hi number {number}{i} .\n[patient] ouch .", NOTE])
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


@needs_aci
def test_the_published_visits_are_whole_and_their_notes_have_sections() -> None:
    split = load(WORKSPACE)
    assert (len(split.examples), len(split.shots)) == (40, 67)
    found = [note_sections(str(e.gold)) for e in split.examples]
    assert sum("subjective" in sections for sections in found) == 40
    assert sum("assessment_and_plan" in sections for sections in found) == 40
    assert sum("objective_exam" in sections for sections in found) >= 36


def test_a_note_is_parted_by_its_headings() -> None:
    assert note_sections(NOTE) == {
        "subjective": "Knee pain.", "objective_exam": "MSK: Swollen knee.", "assessment_and_plan": "Gout.\nRest.",
    }  # fmt: skip
    assert note_sections("## Assessment & Plan\n1. Gout: rest.") == {"assessment_and_plan": "1. Gout: rest."}
    assert note_sections("The plan is to rest.\nplan") == {}


def test_a_section_is_scored_by_hand() -> None:
    scores = {d: find_metric(f"rouge_l_{d}") for d in HEADINGS}
    answer = "CC: Pain of the knee.\nRESULTS\nNormal.\nPLAN\nGout. Rest."
    values = {d: metric.score([(Example("n", "", gold=NOTE), answer)])[0] for d, metric in scores.items()}
    # 4 words against 2, one of them in order: P 1/4, R 1/2; the exam is missing; results are not in the reference
    assert values == pytest.approx(
        {"subjective": 1 / 3, "objective_exam": 0, "objective_results": 0, "assessment_and_plan": 1}
    )
    without = [(Example("n", "", gold=NOTE), "PLAN\nRest.")]
    assert scores["objective_results"].score(without) == [1.0]


def test_concepts_of_a_division_are_those_of_that_division_alone(tmp_path: Path) -> None:
    (tmp_path / "words.tsv").write_text("C1\tgout\nC2\tfever\nC3\tcough\n")
    note = Example("n1", "", gold="CHIEF COMPLAINT\n\nFever, cough.\n\nASSESSMENT AND PLAN\n\nGout.")
    answer = "CC: fever\nPLAN: cough"

    def scored(name: str) -> float:
        (score,) = make_metric(name, MetricSettings(lexicon="words.tsv"), tmp_path).score([(note, answer)])
        return float(score)

    assert scored("concept_f1") == 0.8  # fever and cough of fever, cough and gout
    assert scored("concept_f1_subjective") == pytest.approx(2 / 3)
    assert (scored("concept_f1_assessment_and_plan"), scored("concept_f1_objective_exam")) == (0.0, 1.0)
    assert make_metric("concept_f1_subjective", MetricSettings(lexicon="words.tsv"), tmp_path).facts.name == (
        "concept_f1_subjective"
    )
    assert set(ACI_BENCH.further) <= set(METRICS) & set(RESOURCED)
