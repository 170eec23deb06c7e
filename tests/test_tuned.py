"""Tuned arms in a trial: the two-by-two, the same-corpus rule, the search, and what is private stays so."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tiny import save_tiny

from ragmed.checked import dump
from ragmed.comparison.rows import NotRun
from ragmed.errors import MismatchError, ProtectionError, UnknownNameError, UsageError
from ragmed.experiments.config import Experiment, load_experiment, make_experiment
from ragmed.experiments.results import compare_runs
from ragmed.experiments.trial import run_experiment
from ragmed.report.terminal import render_table
from ragmed.runs import Run
from ragmed.workspace import Workspace

RECIPE = """
base: "path:{base}"
corpora: [wards]
lora: {{rank: 2, alpha: 4}}
training: {{learning_rate: 0.01, epochs: 1, batch: 4, sequence_tokens: 64, held_out: 0}}
"""
CONFIG = """
models:
  small: "path:{base}"
  tuned: "path:{base}+adapter:wards"
index: wards
seed: 3
tasks:
  mmlu: {{scoring: letters}}
arms:
  general: {{model: small}}
  tuned: {{model: tuned}}
  rag: {{model: small, context: retrieved, k: 1}}
  both: {{model: tuned, context: retrieved, k: 1}}
comparison: {{resamples: 200}}
"""


@pytest.fixture
def lab(small: Workspace) -> Workspace:
    base = save_tiny(small.models / "base", positions=2048)
    (small.adapters / "wards").mkdir(parents=True)
    (small.adapters / "wards" / "recipe.yaml").write_text(RECIPE.format(base=base))
    (small.configs / "toy.yaml").write_text(CONFIG.format(base=base))
    return small


def rewrite(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def toy(lab: Workspace) -> Experiment:
    return load_experiment(lab.configs / "toy.yaml")


def test_the_four_arms_of_one_corpus_are_found_trained_asked_and_set_against_each_other(lab: Workspace) -> None:
    results = run_experiment(toy(lab), workspace=lab)
    [found] = results.factorials
    assert found.arms == ("general", "tuned", "rag", "both")
    assert found.same_corpus is True
    assert [one.effect for one in found.effects] == [
        "tuning", "retrieval", "interaction", "tuning-against-retrieval",
    ]  # fmt: skip
    against = next(row for row in results.contrasts if (row.baseline, row.arm) == ("rag", "tuned"))
    assert against.corpora == "same"
    info = Run(lab.runs / "toy").info()
    adapter, index = info["references"]["adapters"]["tuned"], info["references"]["indexes"]["wards"]
    assert adapter["corpora"][0]["sha256"] == index["corpora"][0]["sha256"]
    assert adapter["tokens"] > 0
    assert adapter["cpu_seconds"] > 0
    assert index["cpu_seconds"] > 0
    assert adapter["losses"]
    [cost] = results.economics
    assert cost.tuned == "tuned"
    assert (lab.runs / "toy" / "report" / "index.html").is_file()
    before = (lab.adapters / "wards" / "manifest.json").read_bytes()
    assert run_experiment(toy(lab), workspace=lab) == results  # nothing is trained or asked again
    assert (lab.adapters / "wards" / "manifest.json").read_bytes() == before


def test_an_index_of_another_corpus_is_marked_in_every_output(lab: Workspace) -> None:
    run_experiment(toy(lab).only(arms=("tuned",)), workspace=lab)  # learns the wards as they are
    page = lab.corpora / "wards" / "pages" / "elm.md"
    page.write_text(page.read_text() + "\nVisitors wait outside.\n")
    results = run_experiment(toy(lab), workspace=lab)
    assert results.factorials[0].same_corpus is False
    rows = {(row.baseline, row.arm): row.corpora for row in results.contrasts}
    assert rows["rag", "tuned"] == "different"
    assert rows["general", "rag"] == rows["general", "tuned"] == ""
    report = (lab.runs / "toy" / "report" / "index.html").read_text()
    for output in (render_table(results), report, json.dumps(dump(compare_runs([Run(lab.runs / "toy")])))):
        assert "different" in output
        assert "corpora" in output


def test_an_adapter_of_another_recipe_than_the_one_beside_it_is_refused(lab: Workspace) -> None:
    run_experiment(toy(lab), workspace=lab)
    rewrite(lab.adapters / "wards" / "recipe.yaml", "epochs: 1", "epochs: 2")
    with pytest.raises(MismatchError, match=r"another recipe .*ragmed finetune wards --restart"):
        run_experiment(toy(lab), workspace=lab)


def test_a_run_does_not_take_on_what_is_known_of_another_adapter(lab: Workspace) -> None:
    from ragmed.finetuning.build import finetune

    tuned = toy(lab).only(arms=("tuned",))
    run_experiment(tuned, workspace=lab)
    page = lab.corpora / "wards" / "pages" / "elm.md"
    page.write_text(page.read_text() + "\nVisitors wait outside.\n")
    finetune("wards", workspace=lab, restart=True)
    kept = (lab.runs / "toy" / "run.json").read_bytes()
    with pytest.raises(MismatchError, match=r"the adapter \(its weights.*\) of model 'tuned' differs"):
        run_experiment(tuned, workspace=lab)
    assert (lab.runs / "toy" / "run.json").read_bytes() == kept


def test_a_run_is_closed_when_a_private_arm_is_added(lab: Workspace) -> None:
    run_experiment(toy(lab).only(arms=("general",)), workspace=lab)
    assert stat.S_IMODE((lab.runs / "toy").stat().st_mode) == 0o755
    rewrite(lab.corpora / "wards" / "recipe.yaml", "access: open", "access: private")
    run_experiment(toy(lab).only(arms=("general", "tuned")), workspace=lab)
    assert Run(lab.runs / "toy").info()["access"] == "private"
    for path in (lab.runs / "toy").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_an_adapter_that_read_a_part_of_its_texts_says_so(lab: Workspace) -> None:
    rewrite(lab.adapters / "wards" / "recipe.yaml", "held_out: 0", "held_out: 0.25, max_tokens: 90")
    notes = "\n".join(run_experiment(toy(lab), workspace=lab).notes)
    assert "3 of 12 documents were held out" in notes
    assert "the rest was not trained on" in notes
    assert "its texts were not checked against mmlu" in notes


def test_an_arm_may_be_asked_some_tasks_only(lab: Workspace) -> None:
    config = lab.configs / "toy.yaml"
    rewrite(config, "mmlu: {scoring: letters}", "mmlu: {scoring: letters}\n  pubmedqa: {scoring: letters}")
    rewrite(config, "rag: {model: small,", "rag: {tasks: [mmlu], model: small,")
    results = run_experiment(toy(lab), workspace=lab)
    assert NotRun("rag", "pubmedqa", "the config asks the arm other tasks") in results.not_run
    assert [found.task for found in results.factorials] == ["mmlu"]
    rewrite(config, "[mmlu]", "[mmlq]")
    with pytest.raises(UnknownNameError, match=r"arms.rag.tasks; did you mean 'mmlu'"):
        toy(lab)


def test_k_and_budget_are_chosen_on_development_examples_once(lab: Workspace, tmp_path: Path) -> None:
    questions = [
        {"id": f"q{i}", "split": "dev" if i < 4 else "test", "question": f"Where is ward {i}?",
         "options": {"A": "Here", "B": "There"}, "answer": "AB"[i % 2]}
        for i in range(8)
    ]  # fmt: skip
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in questions))
    config = lab.configs / "toy.yaml"
    rewrite(config, "mmlu: {scoring: letters}", "own: {file: own.jsonl, access: open, scoring: letters}")
    rewrite(config, "comparison:", "search: {arm: rag, task: own, k: [1, 2], context_tokens: [600, 900]}\ncomparison:")
    run_experiment(toy(lab), workspace=lab)
    run = Run(lab.runs / "toy")
    found = json.loads((run.folder / "search.json").read_text())
    cells = found["cells"]
    assert [(cell["k"], cell["context_tokens"]) for cell in cells] == [(1, 600), (1, 900), (2, 600), (2, 900)]
    best = max(cell["score"] for cell in cells)
    chosen = cells[found["chosen"]]
    assert chosen["score"] == best
    assert chosen["input_tokens"] == min(cell["input_tokens"] for cell in cells if cell["score"] == best)
    arms = run.info()["experiment"]["arms"]
    for arm in ("rag", "both"):
        assert (arms[arm]["k"], arms[arm]["context_tokens"]) == (chosen["k"], chosen["context_tokens"])
    assert {sample.example.id for sample in run.samples()["rag", "own"]} == {"q4", "q5", "q6", "q7"}
    assert [cell["n"] for cell in cells] == [4] * 4
    [cost] = compare_runs([run]).economics
    assert cost.index.total_seconds == pytest.approx(cost.index.seconds + found["seconds"])
    kept = (run.folder / "search.json").read_bytes()
    run_experiment(toy(lab), workspace=lab)
    assert (run.folder / "search.json").read_bytes() == kept
    rewrite(config, "rag: {model: small,", "rag: {model: small, tasks: [own],")  # changes no answer
    run_experiment(toy(lab), workspace=lab)
    assert (run.folder / "search.json").read_bytes() == kept
    rewrite(tmp_path / "own.jsonl", "Where is ward 0?", "Where was ward 0?")  # a development example
    with pytest.raises(MismatchError, match="of another search"):
        run_experiment(toy(lab), workspace=lab)
    rewrite(tmp_path / "own.jsonl", "Where was ward 0?", "Where is ward 0?")
    run_experiment(toy(lab), workspace=lab)
    with pytest.raises(UsageError, match="arm 'both' waits for the search"):
        toy(lab).only(arms=("both",))
    assert toy(lab).only(arms=("general",)).search is None
    rewrite(config, "k: [1, 2]", "k: [1, 3]")
    with pytest.raises(MismatchError, match="of another search"):
        run_experiment(toy(lab), workspace=lab)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ("{arm: general, task: mmlu, k: [1]}", "retrieves nothing"),
        ("{arm: rag, task: mmlu}", "give k, context_tokens, retriever or query"),
        ("{arm: rag, task: mmlu, k: [0]}", "at least 1"),
        ("{arm: rag, task: medqa, k: [1]}", "unknown task 'medqa'"),
        ("{task: mmlu, k: [1]}", "'arm' is missing"),
        ("{arm: both, task: mmlu, k: [1]}", "'both' replays a run"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(lab: Workspace, search: str, message: str) -> None:
    if "both" in search:
        rewrite(
            lab.configs / "toy.yaml",
            "model: tuned, context: retrieved",
            "model: tuned, context: retrieved, replay: a/b",
        )
    rewrite(lab.configs / "toy.yaml", "comparison:", f"search: {search}\ncomparison:")
    with pytest.raises(UsageError, match=message):
        toy(lab)


def test_a_private_adapter_makes_the_run_private_and_reaches_no_server(lab: Workspace) -> None:
    rewrite(lab.corpora / "wards" / "recipe.yaml", "access: open", "access: private")
    run_experiment(toy(lab).only(arms=("general", "tuned")), workspace=lab)
    assert stat.S_IMODE((lab.runs / "toy").stat().st_mode) == 0o700
    assert stat.S_IMODE((lab.runs / "toy" / "run.json").stat().st_mode) == 0o600
    config = lab.configs / "toy.yaml"
    rewrite(config, "models:", 'models:\n  far: {name: "endpoint:http://192.0.2.1/v1#m", tuned_by: wards}')
    rewrite(config, "arms:", "arms:\n  far: {model: far}")
    with pytest.raises(ProtectionError, match="private"):
        run_experiment(toy(lab).only(arms=("far",)), workspace=lab, output=lab.runs / "far")


def test_a_private_merged_model_stays_private_under_an_adapter_nobody_declared(lab: Workspace) -> None:
    from ragmed.finetuning.build import finetune
    from ragmed.finetuning.merge import merge_adapter

    rewrite(lab.corpora / "wards" / "recipe.yaml", "access: open", "access: private")
    finetune("wards", workspace=lab)
    merged = merge_adapter(f"path:{lab.models / 'base'}+adapter:wards", lab.models / "merged", workspace=lab)
    (lab.adapters / "wards" / "manifest.json").rename(lab.root / "away.json")
    (lab.adapters / "wards").rename(lab.adapters / "foreign")
    (lab.adapters / "foreign" / "recipe.yaml").unlink()
    config = lab.configs / "toy.yaml"
    rewrite(config, f'tuned: "path:{lab.models / "base"}+adapter:wards"', f'tuned: "path:{merged}+adapter:foreign"')
    run_experiment(toy(lab).only(arms=("tuned",)), workspace=lab)
    assert Run(lab.runs / "toy").info()["access"] == "private"


def test_a_published_fine_tune_takes_part_by_its_declared_base(lab: Workspace) -> None:
    other = save_tiny(lab.models / "published", swap=(7, 9), positions=2048)
    config = lab.configs / "toy.yaml"
    rewrite(config, "+adapter:wards", "")
    rewrite(config, f'tuned: "path:{lab.models / "base"}"', f'tuned: {{name: "path:{other}", base: small}}')
    results = run_experiment(toy(lab), workspace=lab)
    assert results.factorials[0].same_corpus is None
    against = next(row for row in results.contrasts if (row.baseline, row.arm) == ("rag", "tuned"))
    assert against.corpora == "unknown"


@pytest.mark.parametrize(("base", "message"), [("smal", "did you mean 'small'"), ("tuned", "not tuned from itself")])
def test_a_base_that_is_none_is_refused(base: str, message: str) -> None:
    raw: dict[str, Any] = {
        "models": {"small": "path:a", "tuned": {"name": "path:b", "base": base}},
        "tasks": {"mmlu": {}},
        "arms": {"general": {"model": "small"}},
    }
    with pytest.raises(UsageError, match=message):
        make_experiment(raw, default_name="t", where="here")
