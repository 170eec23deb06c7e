"""Baselines that answer from the example and its passages: by hand, in a trial, and where they mean nothing."""

from typing import Any

import pytest

from ragmed.errors import MismatchError, UnknownNameError, UsageError
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.models import ReadsExamples, load_model
from ragmed.models.extract import RULES, best_sentence, lead, nearest_codes, sentences_of
from ragmed.models.present import present_files
from ragmed.models.settings import ModelSettings
from ragmed.records import ContextDocument, Example, Passage
from ragmed.runs import find_run
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find()


def passage(text: str, document: str = "d") -> Passage:
    return Passage(f"{document}#0", document, "", "", text, 0, len(text))


def test_the_first_three_sentences_are_of_the_material_without_headings() -> None:
    note = Example(
        "n1", "What now?", (ContextDocument("# Note\n\nOne 3.5 mg\npill. Two."), ContextDocument("Three. Four."))
    )
    assert lead(note, (), ()) == "One 3.5 mg pill. Two. Three."
    assert lead(Example("q1", "One. Two."), (), ()) == "One. Two."
    assert sentences_of("# Only a heading") == ["# Only a heading"]


def test_the_best_sentence_is_worked_out_by_hand() -> None:
    # Of the query's stems dose and amoxicillin, by cosine: 1 / sqrt(2 * 2), 2 / sqrt(2 * 5), 2 / sqrt(2 * 6).
    passages = [
        passage("The dose is low. Amoxicillin doses depend upon weight."),
        passage("Give amoxicillin doses of 40 mg twice."),
    ]
    asked = ["the dose of amoxicillin"]
    assert best_sentence(Example("q", "?"), asked, passages) == "Amoxicillin doses depend upon weight."
    assert best_sentence(Example("q", "?"), asked, passages[1:]) == passages[1].text
    assert best_sentence(Example("q", "?"), ["low"], passages) == "The dose is low."
    assert best_sentence(Example("q", "?"), ["x"], [passage("No match."), passage("Nor here.")]) == "No match."
    assert best_sentence(Example("q", "?"), ["x"], []) == ""


def test_of_several_queries_the_nearest_counts() -> None:
    passages = [passage("He has asthma. She has a fracture of the hip.")]
    assert best_sentence(Example("q", "?"), ["knee pain", "hip fracture"], passages) == "She has a fracture of the hip."


def test_the_nearest_codes_are_the_documents_in_their_rank() -> None:
    found = [passage("", "I10"), passage("", "E11.9"), passage("", "I10")]
    assert nearest_codes(Example("n", ""), (), found) == "I10; E11.9"
    with pytest.raises(UsageError, match="document 'elm', whose name is no ICD-10-CM code"):
        nearest_codes(Example("n", ""), (), [passage("", "elm")])


@pytest.mark.parametrize("rule", RULES)
def test_a_baseline_is_a_model_that_costs_nothing_and_answers_no_prompt(rule: str) -> None:
    model = load_model(f"extract:{rule}", workspace=WORKSPACE)
    assert isinstance(model, ReadsExamples)
    assert model.fingerprint() == {"extract": f"{rule} 1"}
    assert model.count_tokens([[], []]) == [0, 0]
    assert present_files(ModelSettings(model.name), WORKSPACE) == {}
    with pytest.raises(UsageError, match="cannot answer a prompt"):
        model.generate([[]], max_tokens=1)
    with pytest.raises(UsageError, match="no log-likelihoods"):
        model.score([[]], [["a"]])


def test_an_unknown_rule_and_a_setting_that_means_nothing_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown rule 'lead-4'.*did you mean 'lead-3'"):
        load_model("extract:lead-4", workspace=WORKSPACE)
    with pytest.raises(UsageError, match="temperature: it means nothing for 'extract:' models"):
        load_model(ModelSettings("extract:lead-3", temperature=1.0), workspace=WORKSPACE)


QUESTIONS = "\n".join(
    f"q{i},What is the extension of {ward} ward?,The extension of {ward} ward is {number}."
    for i, (ward, number) in enumerate([("Elm", 4000), ("Oak", 5001), ("Ash", 4002), ("Fir", 5003)])
)


def config(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "models": {"m": "scripted:echo", "best": "extract:best-sentence", "lead": "extract:lead-3"},
        "index": "wards",
        "tasks": {"mine": {"file": "mine.csv", "access": "open"}},
        "arms": {
            "best-sentence": {"model": "best", "context": "retrieved", "k": 3},
            "lead-3": {"model": "lead"},
            "general": {"model": "m"},
            "general+rag": {"model": "m", "context": "retrieved", "k": 3},
        },
        "comparison": {"resamples": 100},
    }
    return raw | changes


@pytest.fixture
def wards(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (small.root / "mine.csv").write_text(f"id,question,answer\n{QUESTIONS}\n")
    monkeypatch.chdir(small.root)
    return small


def run(raw: dict[str, Any], workspace: Workspace) -> Any:
    return run_experiment(make_experiment(raw, default_name="r", where="config"), workspace=workspace)


def test_a_trial_lists_them_with_the_baselines_and_resumes(wards: Workspace) -> None:
    results = run(config(), wards)
    assert {(row.baseline, row.arm) for row in results.contrasts} == {("general", "general+rag")}
    assert {row.name for row in results.baselines} >= {"best-sentence", "lead-3"}
    done = find_run(wards.runs, "r")
    samples = {sample.example.id: sample for sample in done.samples()["best-sentence", "mine"]}
    assert samples["q1"].completion == "The extension of Oak ward is 5001."
    assert len(samples["q1"].passages) == 3
    assert (samples["q1"].input_tokens, samples["q1"].output_tokens) == (0, 0)
    assert done.info()["identity"]["weights"]["best"] == {"extract": "best-sentence 1"}
    assert run(config(), wards).baselines == results.baselines
    changed = config(models=config()["models"] | {"best": "extract:lead-3"})
    changed["arms"]["best-sentence"] = {"model": "best"}
    with pytest.raises(MismatchError, match=r"models\.best\.name"):
        run(changed, wards)


def test_one_that_a_contrast_names_is_compared(wards: Workspace) -> None:
    results = run(config(comparison={"resamples": 100, "contrasts": [["best-sentence", "general+rag"]]}), wards)
    assert {(row.baseline, row.arm) for row in results.contrasts} == {("best-sentence", "general+rag")}
    assert "best-sentence" not in {row.name for row in results.baselines}


def test_of_baselines_alone_the_first_is_the_control(wards: Workspace) -> None:
    arms = {name: arm for name, arm in config()["arms"].items() if name in ("lead-3", "best-sentence")}
    results = run(config(arms=arms), wards)
    assert {(row.baseline, row.arm) for row in results.contrasts} == set()
    assert {row.arm for row in results.scores} == {"best-sentence"}
    assert "lead-3" in {row.name for row in results.baselines}


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"model": "best"}, "answers from passages; its context must be retrieved, oracle or distractor, not 'none'"),
        ({"model": "lead", "context": "retrieved", "k": 1}, "looks at no passages; its context must be none"),
    ],
)
def test_a_context_that_means_nothing_is_refused(arm: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_experiment(config(arms={"a": arm}), default_name="r", where="config")


def test_a_task_with_options_is_refused_and_the_remedy_said(wards: Workspace) -> None:
    raw = config(tasks=config()["tasks"] | {"pubmedqa": {}})
    with pytest.raises(UsageError, match=r"and task 'pubmedqa' is read by 'letter'; name .* arms.best-sentence.tasks"):
        run(raw, wards)
    for name in ("best-sentence", "lead-3"):
        raw["arms"][name]["tasks"] = ["mine"]
    run(raw, wards)


def test_codes_are_answered_where_codes_are_read(wards: Workspace) -> None:
    raw = config(models=config()["models"] | {"best": "extract:nearest-code"})
    with pytest.raises(UsageError, match="answers with 'codes', and task 'mine' is read by 'text'"):
        run(raw, wards)
