"""Published figures, totals and pairs; and what stands beside them in a run."""

import csv
import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.comparison.protocols import protocol_notes
from ragmed.comparison.published import beside_published, suite_totals
from ragmed.comparison.rows import Score
from ragmed.errors import UnknownNameError, UsageError
from ragmed.experiments.config import load_experiment, make_experiment
from ragmed.experiments.trial import dry_run, run_experiment
from ragmed.published import FOLDER, WITH_RECORD, find_suite
from ragmed.tasks import find_task, invent_sample
from ragmed.workspace import Workspace

CLUE = find_suite("clue")
CONFIGS = Path(__file__).parent.parent / "configs"
REFERENCE = Path(__file__).parent.parent.parent / "shared" / "reference"


def test_the_totals_of_the_25_models_are_the_published_ones():
    with (FOLDER / "clue_totals.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} == set(CLUE.models)
    for row in rows:
        totals = CLUE.totals(CLUE.figures(row["model"]))
        for level in ("1", "2"):
            found, printed = totals[f"level {level}"], row[f"level{level}"]
            if printed:
                assert 100 * found == pytest.approx(float(printed), abs=0.0101), (row["model"], level)
            else:  # seven models were not asked the long tasks
                assert found is None


@pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"needs {REFERENCE}")
def test_figures_bases_and_totals_are_those_of_the_reference_tables():
    with (REFERENCE / "clue_models.csv").open(newline="") as file:
        models = list(csv.DictReader(file))
    assert {(row["model"], row["kind"], row["base"]) for row in models} == {
        (name, model.kind, model.base) for name, model in CLUE.models.items()
    }
    with (REFERENCE / "clue_results.csv").open(newline="") as file:
        figures = sorted(float(row["value"]) for row in csv.DictReader(file))
    ours = sorted(round(100 * value, 6) for name in CLUE.models for value in CLUE.figures(name).values())
    assert ours == pytest.approx(figures)


def test_a_total_without_one_of_its_scores_is_none_and_says_what_is_missing():
    figures = dict(CLUE.figures("BioMistral-7B"))
    del figures["meqsum", "bertscore"]
    assert CLUE.totals(figures)["level 1"] is None
    assert CLUE.missing(figures, "level 1") == (("meqsum", "bertscore"),)
    assert CLUE.totals(figures)["level 2"] == pytest.approx(0.2383, abs=1e-4)


def test_pairs_by_size():
    assert ("Meta-Llama-3-8B-Instruct", "Llama3-OpenBioLLM-8B") in CLUE.pairs("8b")
    assert {CLUE.models[tuned].size for _, tuned in CLUE.pairs("7b-8b")} == {"7b", "8b"}
    with pytest.raises(UsageError, match="sizes with pairs: 7b, 8b, 70b"):
        CLUE.pairs("13b")
    with pytest.raises(UnknownNameError, match="clue"):
        find_suite("clu")


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("hf:mistralai/Mistral-7B-Instruct-v0.1", "Mistral-7B-Instruct-v0.1"),
        ("endpoint:http://127.0.0.1:8000/v1#BioMistral/BioMistral-7B", "BioMistral-7B"),
        ("hf:BioMistral/BioMistral-7B@abc123", "BioMistral-7B"),
        ("hf:BioMistral/BioMistral-7B+adapter:mine", ""),
        ("packaged:smollm2-135m", ""),
    ],
)
def test_a_models_figures_are_found_by_its_full_name(name: str, model: str):
    assert CLUE.model_of(name) == model


def score(arm: str, task: str, metric: str, value: float, ci: tuple[float, float]) -> Score:
    return Score(arm, task, metric, True, value, ci, 100, {"answered": 100}, 100, 0, "wilson")


def test_published_figures_stand_beside_measured_ones():
    arms = {
        "bio": {"model_name": "hf:BioMistral/BioMistral-7B", "context": "none"},
        "bio+rag": {"model_name": "hf:BioMistral/BioMistral-7B", "context": "retrieved"},
    }
    scores = [score(arm, "nli", "accuracy", 0.7, (0.6, 0.8)) for arm in arms]
    rows = beside_published(scores, arms, {"nli": {"task": "mednli"}, "other": {}}, ["clue"])
    assert [(row.arm, row.published, row.measured, row.within) for row in rows] == [("bio", 0.6275, 0.7, True)]
    low = beside_published([score("bio", "mednli", "accuracy", 0.5, (0.4, 0.6))], arms, {"mednli": {}}, ["clue"])
    assert low[0].within is False
    totals = suite_totals([score("bio", "mednli", "accuracy", 0.7, (0.6, 0.8))], arms, ["clue"])
    assert [(row.level, row.value, round(row.published, 4)) for row in totals] == [("level 1", None, 0.4057)]
    assert "bertscore of meqsum" in totals[0].missing


def test_published_figures_of_records_stand_beside_the_arm_that_is_shown_them():
    arms = {
        "bio": {"model": "b", "model_name": "hf:BioMistral/BioMistral-7B", "context": "none"},
        "bio+record": {"model": "b", "model_name": "hf:BioMistral/BioMistral-7B", "context": "full"},
        "bio-cot": {"model": "b", "model_name": "hf:BioMistral/BioMistral-7B", "context": "none", "cot": True},
    }
    figures = CLUE.figures("BioMistral-7B")
    tasks: dict[str, dict[str, str]] = {task: {} for task, _ in figures}
    found = [
        score("bio", task, metric, 0.0 if task in WITH_RECORD else value, (0, 1))
        for (task, metric), value in figures.items()
    ]
    shown = [
        score("bio+record", task, metric, value, (0, 1))
        for (task, metric), value in figures.items()
        if task in WITH_RECORD
    ]
    rows = beside_published([*found, *shown], arms, tasks, ["clue"])
    assert {row.task for row in rows if row.arm == "bio+record"} == set(WITH_RECORD)
    assert {row.arm for row in rows} == {"bio", "bio+record"}
    assert all(row.measured == row.published for row in rows)
    totals = suite_totals([*found, *shown], arms, ["clue"])
    assert [(row.arm, row.level, row.value) for row in totals] == [
        ("bio", level, pytest.approx(value)) for level, value in CLUE.totals(figures).items()
    ]
    alone = suite_totals(found, {"bio": arms["bio"]}, ["clue"])[1]
    assert (alone.value, alone.missing) == (None, tuple(f"accuracy of {task}" for task in WITH_RECORD))


def test_tasks_with_records_are_known_as_such():
    published = {task for groups in CLUE.levels.values() for keys in groups.values() for task, _ in keys}
    assert {task for task in published if find_task(task).record} == set(WITH_RECORD)


def test_pairs_are_shown_the_records_of_tasks_that_have_them():
    tasks = {"mednli": None, "long": {"task": "longhealth_1"}, "longhealth_3": None}
    raw = {"arms": "pairs(clue, 8b, k=5)", "index": "handbook", "tasks": tasks}
    arm = make_experiment(raw, default_name="pairs", where="config").arms["Llama3-OpenBioLLM-8B+record"]
    assert (arm.context, arm.tasks) == ("full", ("long", "longhealth_3"))
    experiment = make_experiment(raw, default_name="pairs", where="config")
    arm = experiment.arms["Llama3-OpenBioLLM-8B+record-rag"]
    assert (arm.context, arm.retriever, arm.k, arm.tasks) == ("retrieved", "record", 5, ("long", "longhealth_3"))
    assert experiment.retrievers["record"].record
    own = {"record": {"method": "dense", "embedder": "hashing:64", "record": True}}
    given = make_experiment({**raw, "retrievers": own}, default_name="pairs", where="config")
    assert given.retrievers["record"].method == "dense"
    closed = make_experiment({**raw, "arms": "pairs(clue, 8b)"}, default_name="pairs", where="config")
    assert not any("record-rag" in name for name in closed.arms)
    assert not closed.retrievers


def test_arms_of_a_config_can_be_the_pairs_of_a_suite():
    raw = {"arms": "pairs(clue, 8b, k=5)", "index": "handbook", "tasks": {"medqa": None}}
    experiment = make_experiment(raw, default_name="pairs", where="config")
    assert experiment.models["Llama3-OpenBioLLM-8B"].name == "hf:aaditya/Llama3-OpenBioLLM-8B"
    assert experiment.models["Llama3-OpenBioLLM-8B"].base == "Meta-Llama-3-8B-Instruct"
    assert experiment.arms["Llama3-OpenBioLLM-8B+rag"].k == 5
    assert len(experiment.comparison.factorials) == 5
    served = {"Llama3-OpenBioLLM-8B": {"name": "endpoint:http://127.0.0.1:1/v1#m", "base": "Meta-Llama-3-8B-Instruct"}}
    own = make_experiment({**raw, "models": served}, default_name="pairs", where="config")
    assert own.models["Llama3-OpenBioLLM-8B"].scheme == "endpoint"
    for words in ("pairs(clue", "pairs(clue, big)", "all"):
        with pytest.raises(UsageError, match="write pairs"):
            make_experiment({**raw, "arms": words}, default_name="pairs", where="config")
    with pytest.raises(UsageError, match="needs an index"):
        make_experiment({**raw, "index": ""}, default_name="pairs", where="config")


def test_pairs_are_listed_with_what_was_published_of_them():
    result = CliRunner().invoke(cli, ["models", "pairs", "clue"])
    assert result.exit_code == 0
    assert "published: level 1 48.37 -> 33.20; level 2 40.61 -> 25.44" in result.output
    assert "in doubt: its base is Meta-Llama-3-8B-Instruct by one source" in result.output


INVENTED = {
    "clue": ("mednli", "problem_summary", "longhealth_1", "medisumqa", "medisumcode"),
    "jamia": ("nejm_cases", "jama_cases"),
}


ENDS = {"clue": ("", "+rag", "+record", "+record-rag"), "jamia": ("", "+rag")}


@pytest.fixture
def invented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with invented records of all credentialed tasks, and a reference to search."""
    data = tmp_path / "data"
    for place, name in enumerate(task for tasks in INVENTED.values() for task in tasks):
        invent_sample(name, tmp_path / f"{place}")
        for folder in (tmp_path / f"{place}").iterdir():
            (data / folder.name).mkdir(parents=True, exist_ok=True)
            for file in folder.iterdir():
                file.rename(data / folder.name / file.name)
    monkeypatch.setenv("RAGMED_DATA", str(data))
    here = tmp_path / "here"
    (here / "corpora" / "pages").mkdir(parents=True)
    (here / "corpora" / "pages" / "pages.csv").write_text("id,text\n1,Gout is painful.\n2,A fever lasts for days.\n")
    (here / "corpora" / "pages" / "recipe.yaml").write_text(
        "{title: Pages, reader: csv, paths: [pages.csv], license: CC0, access: open, citation: nobody, "
        "fields: {id: id, text: text}}"
    )
    (here / "indexes" / "references").mkdir(parents=True)
    (here / "indexes" / "references" / "recipe.yaml").write_text("corpora: [pages]\nembedder: hashing:64\n")
    return Workspace.find(here)


@pytest.mark.parametrize("name", ["clue", "jamia"])
def test_the_papers_configs_run_to_their_end_on_invented_records(invented: Workspace, name: str):
    experiment = load_experiment(CONFIGS / f"{name}.yaml")
    asked = INVENTED[name]
    kept = tuple(task for task, settings in experiment.tasks.items() if (settings.task or task) in asked)
    pair = ("Meta-Llama-3-8B-Instruct", "Llama3-OpenBioLLM-8B")
    experiment = experiment.only(arms=tuple(f"{model}{end}" for model in pair for end in ENDS[name]), tasks=kept)
    assert "Llama3-OpenBioLLM-8B+rag" in dry_run(experiment, workspace=invented)
    # scripted models stand in for those of the hub, whose names the published figures are found by
    models = {
        key: dataclasses.replace(model, name="scripted:echo", context_tokens=0)
        for key, model in experiment.models.items()
    }
    comparison = dataclasses.replace(experiment.comparison, resamples=200)
    results = run_experiment(dataclasses.replace(experiment, models=models, comparison=comparison), workspace=invented)
    assert {row.task for row in results.scores} == set(kept)
    assert results.factorials
    assert (invented.runs / name / "report" / "index.html").is_file()
    if name == "clue":
        assert {row.level for row in results.suites} == {"level 1", "level 2"}
        assert all(row.value is None and row.missing for row in results.suites)


def test_where_the_protocol_changes_the_order_of_arms_it_is_said():
    tasks = {"mednli": {}, "mednli-clue": {"task": "mednli", "protocol": "clue"}, "meqsum": {}}
    values = {("a", "mednli"): 0.7, ("b", "mednli"): 0.6, ("a", "mednli-clue"): 0.5, ("b", "mednli-clue"): 0.8}
    scores = [score(arm, task, "accuracy", value, (0, 1)) for (arm, task), value in values.items()]
    assert protocol_notes(scores, tasks) == [
        "mednli: the protocol 'clue' puts the arms in another order than the default (default: a 0.700, b 0.600; "
        "clue: b 0.800, a 0.500)."
    ]
    same = [score(row.arm, row.task, "accuracy", values[row.arm, "mednli"], (0, 1)) for row in scores]
    assert "in the same order as the default" in protocol_notes(same, tasks)[0]
    assert protocol_notes(scores[:1], tasks) == []


def test_pairs_have_the_baselines_that_their_tasks_have_beside_them():
    tasks = {"mednli": None, "cases": {"task": "jama_cases"}, "meqsum": None, "medisumcode": None, "bc5cdr": None}
    raw = {
        "arms": "pairs(clue, 8b, k=5)", "index": "handbook", "tasks": tasks,
        "retrievers": {"codes": {"method": "dense", "index": "icd10cm"}},
    }  # fmt: skip
    experiment = make_experiment(raw, default_name="pairs", where="config")
    beside = {name: experiment.arms[name] for name in experiment.comparison.baseline_arms}
    assert {name: arm.tasks for name, arm in beside.items()} == {
        "options-only": ("cases",), "lead-3": ("meqsum",), "best-sentence": ("meqsum",),
        "nearest-code": ("medisumcode",),
    }  # fmt: skip
    assert beside["options-only"].model == "Meta-Llama-3-8B-Instruct"
    assert (beside["best-sentence"].k, beside["nearest-code"].k, beside["nearest-code"].retriever) == (5, 10, "codes")
    other = {**raw, "comparison": {"baseline": "Llama3-OpenBioLLM-8B"}}
    given = make_experiment(other, default_name="pairs", where="config")
    assert given.arms["options-only"].model == "Llama3-OpenBioLLM-8B"
    closed = {"arms": "pairs(clue, 8b)", "tasks": tasks}
    assert {"lead-3", "options-only"} == set(
        make_experiment(closed, default_name="pairs", where="config").comparison.baseline_arms
    )


@pytest.mark.parametrize("config", ["clue", "jamia"])
def test_the_papers_configs_can_be_seen_on_invented_records(config, tmp_path, monkeypatch):
    root = Workspace.find(Path(__file__).parent.parent).root
    for folder in ("corpora", "indexes", "configs"):
        (tmp_path / folder).symlink_to(root / folder)
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    experiment = load_experiment(tmp_path / "configs" / f"{config}.yaml")
    for invent in dict.fromkeys(find_task(s.task or name).invent for name, s in experiment.tasks.items()):
        invent(tmp_path / "data")
    told = dry_run(experiment, workspace=Workspace.find(tmp_path))
    for name in experiment.tasks:
        assert f"\n{name}: " in f"\n{told}"
    assert "options-only: hf:meta-llama/Meta-Llama-3-8B-Instruct" in told
