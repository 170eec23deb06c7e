"""Plans of experiments: tokens, memory, pilots, groups, the table, the command."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import answer, compared, metrics_named
from click.testing import CliRunner
from encoders import save_cross_encoder
from ragmed.cli.main import cli
from scipy.stats import chi2, f_oneway
from statsmodels.stats.proportion import proportion_confint
from tiny import save_tiny

from ragmed.comparison.columns import build_tables
from ragmed.comparison.costs.prices import Prices
from ragmed.comparison.settings import ComparisonSettings, every_failure
from ragmed.errors import UsageError
from ragmed.experiments.config import Experiment, load_experiment, make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.metrics.f1 import micro_f1
from ragmed.models import ModelSettings
from ragmed.planning import pilot
from ragmed.planning import plan as plan_module
from ragmed.planning.cases import Assumptions, Question, task_row
from ragmed.planning.memory import READING, WRITING, cache_of_a_token, count_parameters, model_memory
from ragmed.planning.pilot import PairFacts, Pilot
from ragmed.planning.plan import plan_examples, plan_experiment
from ragmed.planning.table import duration, render_plan, size
from ragmed.runs import find_run
from ragmed.tasks import BoundTask
from ragmed.workspace import Workspace

QUESTION = Question(alpha=0.05, family=1, power=0.8, difference=0.05, margin=0.05)
PAIR = ("general", "rag")


def planned(
    groups: Sequence[str], given: Assumptions, facts: PairFacts | None = None, *, binary: bool = True
) -> dict[str, Any]:
    known = Pilot("pilot", {("task", "score", *PAIR): facts}) if facts else None
    question = dataclasses.replace(QUESTION, difference=given.difference or QUESTION.difference)
    return task_row("task", "score", groups, [PAIR], binary=binary, question=question, given=given, pilot=known)


def test_seventy_examples_of_one_task() -> None:
    case = plan_examples(70, Assumptions(discordance=0.3))["tasks"][0]["cases"][0]
    assert case["needed"] == 975
    assert case["detectable"] == pytest.approx(0.187, abs=5e-4)
    text = render_plan(plan_examples(70, Assumptions(discordance=0.3)))
    assert "70 examples can show differences of 18.7 points or more; 5 points need 975" in text
    assert "WARNING: equivalence within 5 points cannot be shown with 70 examples; it needs 1,265." in text


def test_one_example_shows_nothing_and_says_so() -> None:
    text = render_plan(plan_examples(1, Assumptions()))
    assert "1 example can show no difference with this power" in text
    assert all(len(line) <= 100 and line.isascii() for line in text.splitlines())


def test_a_difference_beyond_the_discordance_cannot_be_shown() -> None:
    with pytest.raises(UsageError, match=r"difference of 0\.3 with a discordance of 0\.25"):
        Assumptions(discordance=0.25, difference=0.3)
    row = planned([""] * 200, Assumptions(difference=0.1), PairFacts(100, 2, 2, 0.04, (0.0157, 0.0984)))
    assert [case["needed"] for case in row["cases"]] == [None, None]
    assert "10 points cannot be shown" in render_plan({**plan_examples(1, Assumptions(difference=0.1)), "tasks": [row]})


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("discordance of 0 cannot", {"discordance": 0.0}),
        ("power of 1 cannot", {"power": 1.0}),
        ("sd of 0:", {"sd": 0.0}),
        ("icc of 1.5", {"icc": 1.5}),
        ("the number of examples is 0", {"n": 0}),
        ("99,999,999 examples are more", {"n": 99_999_999}),
        ("0 tokens a second", {"tokens_per_second": 0.0}),
        ("inf tokens a second", {"tokens_per_second": float("inf")}),
        ("difference of -0.1", {"difference": -0.1}),
        ("power of nan", {"power": float("nan")}),
    ],
)
def test_assumptions_that_make_no_sense_are_refused(words: str, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=words):
        Assumptions(**given)


def test_groups_count_for_less() -> None:
    groups = [name for name in "abcdefghij" for _ in range(4)]
    alike = planned(groups, Assumptions(icc=1.0))
    assert (alike["design_effect"], alike["effective_n"], alike["groups"]) == (4.0, 10, 10)
    half = planned(groups, Assumptions(icc=0.5))
    assert (half["design_effect"], half["effective_n"]) == (2.5, 16)
    free = planned(groups, Assumptions())
    assert (free["effective_n"], free["icc_source"]) == (40, "assumed")
    needed = planned([""] * 40, Assumptions())["cases"][0]["needed"]
    assert half["cases"][0]["needed"] == pytest.approx(needed * 2.5, rel=0.15)  # simulated; 2.5 is the design effect
    uneven = planned(["a", "a", "a", "b"], Assumptions(icc=1.0))
    assert uneven["design_effect"] == pytest.approx((9 + 1) / 4)  # Kish: the sum of squares over the sum


def test_a_pilot_is_planned_at_its_estimate_and_at_its_upper_bound() -> None:
    row = planned([""] * 300, Assumptions(), PairFacts(20, 3, 1, 0.2, (0.0807, 0.416)))
    assert [(case["source"], case["discordance"]) for case in row["cases"]] == [("pilot", 0.2), ("pilot-upper", 0.416)]
    assert row["cases"][0]["detectable"] < row["cases"][1]["detectable"]


def test_a_pilot_without_discordant_pairs_is_planned_at_its_upper_bound() -> None:
    row = planned([""] * 300, Assumptions(), PairFacts(20, 0, 0, 0.0, (0.0, 0.161)))
    assert [case["source"] for case in row["cases"]] == ["pilot-upper"]
    text = render_plan({**plan_examples(300, Assumptions()), "tasks": [row]})
    assert "the pilot of 20 saw no difference; its upper bound is used" in text


def test_what_the_user_says_stands_above_the_pilot() -> None:
    row = planned([""] * 300, Assumptions(discordance=0.1), PairFacts(20, 3, 1, 0.2, (0.0807, 0.416)))
    assert [(case["source"], case["discordance"]) for case in row["cases"]] == [("given", 0.1)]


def test_graded_scores_by_their_spread() -> None:
    row = planned([""] * 34, Assumptions(), PairFacts(50, sd=0.1, sd_ci=(0.0835, 0.1246)), binary=False)
    assert [case["sd"] for case in row["cases"]] == [0.1, 0.1246]
    assert row["cases"][0]["detectable"] == pytest.approx(0.0495, abs=1e-4)  # half an sd less a hair: Cohen's 34
    assert planned([""] * 34, Assumptions(), binary=False)["cases"][0]["sd"] == 0.25


def test_intervals_and_correlation_of_a_pilot_are_those_of_the_books() -> None:
    low, high = pilot._sd_interval(2.0, 12)
    assert (low, high) == pytest.approx((2 * np.sqrt(11 / chi2.ppf(0.975, 11)), 2 * np.sqrt(11 / chi2.ppf(0.025, 11))))
    rng = np.random.default_rng(5)
    table = rng.normal(size=(12, 1)) + rng.normal(size=(12, 3))  # 12 groups of 3, correlation 0.5
    f = f_oneway(*table).statistic
    found = pilot._icc(table.ravel(), [str(i) for i in range(12) for _ in range(3)])
    assert found == pytest.approx((f - 1) / (f + 2))
    assert pilot._icc(table.ravel()[:6], list("aabbcc")) is None
    assert pilot._icc(np.zeros(36), [str(i // 3) for i in range(36)]) == 0.0


def test_a_stored_run_as_pilot(small: Workspace) -> None:
    experiment = load_experiment(small.configs / "toy.yaml")
    results = run_experiment(experiment, workspace=small)
    plan = plan_experiment(experiment, workspace=small, given=Assumptions(), pilot=find_run(small.runs, "toy"))
    (untold,) = (row for row in results.not_run if row.failed)  # found nothing: a plan cannot know that
    assert plan["family"] == results.family + 1
    tested = [*((row.task, row.baseline, row.arm) for row in results.contrasts), (untold.task, "general", untold.arm)]
    cases = {(row["task"], *pair) for row in plan["tasks"] for case in row["cases"] for pair in case["contrasts"]}
    assert cases == set(tested)
    for row in results.contrasts:
        of_task = next(one for one in plan["tasks"] if one["task"] == row.task)
        upper = next(
            case for case in of_task["cases"]
            if case["source"] == "pilot-upper" and case["contrasts"] == [[row.baseline, row.arm]]
        )  # fmt: skip
        bound = proportion_confint(row.fixed + row.broke, row.n, method="wilson")[1]
        assert upper["discordance"] == pytest.approx(bound)
    spent = {(row.arm, row.task): (row.input_tokens, row.output_tokens) for row in results.costs}
    assert {
        (row["arm"], row["task"]): (row["input_tokens"], row["output_tokens"])
        for row in plan["costs"] if (row["arm"], row["task"]) != (untold.arm, untold.task)
    } == spent  # fmt: skip
    assert all(row["seconds_source"] == "pilot" for row in plan["costs"] if row["arm"] != untold.arm)
    assert "plan of toy" in render_plan(plan)


def test_a_pilot_asked_otherwise_is_set_aside(small: Workspace) -> None:
    experiment = load_experiment(small.configs / "toy.yaml")
    run_experiment(experiment.only(arms=("general", "general+rag"), tasks=("mmlu",)), workspace=small)
    text = (small.configs / "toy.yaml").read_text().replace("scoring: letters", "scoring: generate")
    (small.configs / "other.yaml").write_text(
        text.replace("k: 2}", "k: 1}").replace("scripted:first-option", "scripted:echo")
    )
    other = load_experiment(small.configs / "other.yaml")
    plan = plan_experiment(other, workspace=small, given=Assumptions(), pilot=find_run(small.runs, "toy"))
    assert {case["source"] for row in plan["tasks"] for case in row["cases"]} == {"assumed"}
    assert "the pilot asked mmlu otherwise (scoring): set aside" in plan["notes"]
    assert "the pilot's arm general is another one (model): set aside" in plan["notes"]


def test_time_is_unknown_unless_it_is_said_and_money_follows(small: Workspace) -> None:
    experiment = load_experiment(small.configs / "toy.yaml").only(arms=("general", "general+rag"))
    unknown = plan_experiment(experiment, workspace=small, given=Assumptions(prices=Prices("EUR", machine_hour=3.6)))
    assert {(row["seconds"], row["price"]) for row in unknown["costs"]} == {(None, None)}
    assert "time unknown" in render_plan(unknown)
    given = Assumptions(tokens_per_second=10.0, prices=Prices("EUR", machine_hour=3.6))
    row = plan_experiment(experiment, workspace=small, given=given)["costs"][0]
    assert row["seconds"] == pytest.approx((row["input_tokens"] + row["output_tokens"]) / 10)
    assert row["price"] == pytest.approx(row["seconds"] / 1000)
    by_token = Assumptions(prices=Prices("EUR", million_input_tokens=2.0, million_output_tokens=8.0))
    row = plan_experiment(experiment, workspace=small, given=by_token)["costs"][0]
    assert row["price"] == pytest.approx((2 * row["input_tokens"] + 8 * row["output_tokens"]) / 1e6)


def test_as_many_examples_as_asked_scale_what_it_takes(small: Workspace) -> None:
    experiment = load_experiment(small.configs / "toy.yaml").only(arms=("general", "general+rag"), tasks=("mmlu",))
    plain = plan_experiment(experiment, workspace=small, given=Assumptions())
    more = plan_experiment(experiment, workspace=small, given=Assumptions(n=1200))
    assert more["tasks"][0]["n"] == 1200
    assert [row["input_tokens"] for row in more["costs"]] == [100 * row["input_tokens"] for row in plain["costs"]]


CONFIG = """
models: {tiny: "path:MODEL"}
index: wards
tasks: {mmlu: {scoring: letters}, pubmedqa: {scoring: generate}}
arms:
  general: {model: tiny}
  general+rag: {model: tiny, context: retrieved, k: 2}
  options-only: {model: tiny, context: options-only}
comparison: {resamples: 200}
"""


def test_planned_tokens_are_those_that_a_run_counts(small: Workspace) -> None:
    folder = save_tiny(small.root / "tiny", positions=2048)
    (small.configs / "tiny.yaml").write_text(CONFIG.replace("MODEL", str(folder)))
    experiment = load_experiment(small.configs / "tiny.yaml")
    before = plan_experiment(experiment, workspace=small, given=Assumptions())
    assert "index wards: it is not built yet" in " ".join(before["notes"])
    results = run_experiment(experiment, workspace=small)
    after = {(row.arm, row.task): row for row in results.costs}
    plan = plan_experiment(experiment, workspace=small, given=Assumptions())
    for row in plan["costs"]:
        counted = after[row["arm"], row["task"]]
        if row["passages"]:  # all pages of the wards are about equally long, those retrieved too
            assert row["input_tokens"] == pytest.approx(counted.input_tokens, rel=0.03)
        else:
            assert row["input_tokens"] == counted.input_tokens
        if row["output_source"] == "options":
            assert row["output_tokens"] == counted.output_tokens
        else:
            assert row["output_tokens"] >= counted.output_tokens


def test_passages_that_do_not_fit_are_left_out_and_prompts_that_do_not_fit_are_named(small: Workspace) -> None:
    folder = save_tiny(small.root / "tiny", positions=2048)
    text = CONFIG.replace("MODEL", str(folder)).replace("tasks: {", "context_tokens: 700\ntasks: {", 1)
    (small.configs / "tight.yaml").write_text(text.replace("k: 2", "k: 50"))
    plan = plan_experiment(load_experiment(small.configs / "tight.yaml"), workspace=small, given=Assumptions())
    rag = next(row for row in plan["costs"] if row["arm"] == "general+rag")
    assert 0 <= rag["passages"] < 50
    assert rag["input_tokens"] / rag["n"] < 700
    assert any("of 50 passages fit 700 tokens; the others are left out" in note for note in plan["notes"])
    (small.configs / "tight.yaml").write_text(text.replace("700", "40"))
    plan = plan_experiment(load_experiment(small.configs / "tight.yaml"), workspace=small, given=Assumptions())
    assert any("general on mmlu: 12 prompts do not fit 40 tokens: errors" in note for note in plan["notes"])


def test_memory_is_counted_from_the_files_heads(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from ragmed.models.generation import Generator
    from ragmed.models.scoring import CPU_BUDGET, GPU_BUDGET

    folder = save_tiny(tmp_path / "tiny")
    model = AutoModelForCausalLM.from_pretrained(folder)
    parameters = sum(p.numel() for p in model.parameters())
    assert count_parameters(folder) == parameters
    settings = ModelSettings(f"path:{folder}", device="cpu")
    row = model_memory(settings, longest=100, writes=False, workspace=Workspace.find(tmp_path))
    assert (row["weights_bytes"], row["cache_bytes"]) == (4 * parameters, 4 * CPU_BUDGET * 2 * 2 * 2 * 8)
    half = ModelSettings(f"path:{folder}", device="cpu", dtype="bfloat16")
    halved = model_memory(half, longest=100, writes=False, workspace=Workspace.find(tmp_path))
    assert 2 * halved["total_bytes"] == row["total_bytes"]
    assert Generator(model, str, eos=frozenset()).token_budget == WRITING["cpu"]
    assert READING == {"cpu": CPU_BUDGET, "gpu": GPU_BUDGET}
    cache = model(input_ids=model.dummy_inputs["input_ids"][:1, :3], use_cache=True).past_key_values
    held = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert held == 3 * (cache_of_a_token(model.config.to_dict()) or 0)


def test_the_weights_that_find_passages_are_counted(small: Workspace) -> None:
    save_cross_encoder(small.root / "cross")
    numbers = count_parameters(small.root / "cross")
    retrievers = {
        "words": {"method": "bm25", "index": "wards"},
        "both": {"method": "rrf", "of": ["words", "wards"]},
        "read": {"method": "rerank", "of": ["both"], "model": f"path:{small.root / 'cross'}", "precision": "bfloat16"},
        "learned": {"method": "sparse", "index": "wards", "model": "path:nowhere"},
    }
    raw = {
        "models": {"ward": "endpoint:http://127.0.0.1:9/v1#medllama"},
        "retrievers": retrievers,
        "tasks": {"mmlu": {"scoring": "generate"}},
        "arms": {
            name: {"model": "ward", "context": "retrieved", "retriever": name, "k": 2}
            for name in ("words", "read", "learned")
        },
    }

    def rows(**some: object) -> dict[str, tuple[object, object]]:
        given = {**raw, "arms": {name: raw["arms"][name] for name in some or raw["arms"]}}
        plan = plan_experiment(
            make_experiment(given, default_name="p", where="test"), workspace=small, given=Assumptions()
        )
        rendered = render_plan(plan)
        found = {row["reads"]: (row["dtype"], row["weights_bytes"]) for row in plan["memory"] if "reads" in row}
        assert all(name.removeprefix("path:")[:8] in rendered for name in found)
        assert ("finds passages" in rendered) == bool(found)
        return found

    assert rows(words=True) == {}  # BM25 loads none
    assert rows(read=True) == {
        f"path:{small.root / 'cross'}": ("bfloat16", 2 * numbers),
        "hashing:64": (None, 0),
    }
    assert rows(learned=True) == {"path:nowhere": ("float32", None)}  # its files are not here


def test_what_is_not_known_of_a_server_is_unknown(small: Workspace) -> None:
    raw = {
        "models": {"ward": "endpoint:http://127.0.0.1:9/v1#medllama"},
        "tasks": {"mmlu": {"scoring": "generate"}},
        "arms": {"general": {"model": "ward"}, "other": {"model": "ward"}},
    }
    experiment = make_experiment(raw, default_name="server", where="test")
    plan = plan_experiment(experiment, workspace=small, given=Assumptions())
    assert plan["memory"][0]["total_bytes"] is None
    assert plan["costs"][0]["output_tokens"] == 12 * 16
    assert any("tokens are estimated: one for 3 bytes" in note for note in plan["notes"])
    assert "<=192" in render_plan(plan)


def test_an_adapter_to_train_is_counted(small: Workspace) -> None:
    folder = save_tiny(small.root / "tiny")
    recipe = f"base: 'path:{folder}'\ncorpora: [wards]\nlearn: [passages]\ntraining: {{epochs: 2.0, held_out: 0.0}}\n"
    (small.adapters / "mine").mkdir(parents=True)
    (small.adapters / "mine" / "recipe.yaml").write_text(recipe)
    raw = {
        "models": {"tiny": f"path:{folder}", "tuned": f"path:{folder}+adapter:mine"},
        "tasks": {"mmlu": {"scoring": "letters"}},
        "arms": {"general": {"model": "tiny"}, "tuned": {"model": "tuned"}},
    }
    experiment = make_experiment(raw, default_name="tuned", where="test")
    (row,) = plan_experiment(experiment, workspace=small, given=Assumptions())["training"]
    from transformers import AutoTokenizer

    from ragmed.finetuning.recipe import load_adapter_recipe
    from ragmed.finetuning.sequences import encode
    from ragmed.finetuning.training_texts import training_texts

    recipe_ = load_adapter_recipe(small.adapters / "mine" / "recipe.yaml")
    texts = training_texts(recipe_, workspace=small).texts
    pieces, _ = encode(texts, AutoTokenizer.from_pretrained(folder), length=256)
    assert len(pieces) == 12
    assert row["tokens"] == pytest.approx(2 * sum(len(piece.ids) for piece in pieces), rel=0.03)  # and an end each


def test_the_command(small: Workspace) -> None:
    root = ["--root", str(small.root), "plan"]
    done = CliRunner().invoke(cli, [*root, "-n", "70", "--discordance", "0.3"])
    assert "18.7 points" in done.output
    done = CliRunner().invoke(cli, [*root, str(small.configs / "toy.yaml"), "--json", "--price-hour", "2"])
    plan = json.loads(done.output)
    assert plan["family"] == 5  # mmlu names no gold documents, so it has no oracle arm
    assert plan["prices"]["machine_hour"] == 2.0
    fewer = json.loads(CliRunner().invoke(cli, [*root, str(small.configs / "toy.yaml"), "--json", "-L", "3"]).output)
    assert {row["n"] for row in fewer["tasks"]} == {3}
    assert {row["n"] for row in plan["tasks"]}.isdisjoint({3})
    done = CliRunner().invoke(cli, [*root, "-n", "70", "--limit", "3"])
    assert done.exit_code == 2
    assert "--limit is for the tasks of a config" in done.output
    done = CliRunner().invoke(cli, [*root])
    assert done.exit_code == 2
    assert "ragmed plan -n 70" in done.output
    done = CliRunner().invoke(cli, [*root, "-n", "50", "--discordance", "0.1", "--difference", "0.2"])
    assert isinstance(done.exception, UsageError)
    assert not (small.root / "runs").exists()


def test_words_for_sizes_and_times() -> None:
    assert [duration(seconds) for seconds in (45, 400, 9000, 200_000)] == ["45 s", "6.7 min", "2.5 h", "2.3 days"]
    assert [size(count) for count in (1500, 538_060_032, 14_000_000_000, None)] == [
        "2 kB",
        "538 MB",
        "14.0 GB",
        "unknown",
    ]


def test_only_primary_metrics_are_planned(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    bound_as_they_are = plan_module.bind_tasks

    def with_more_metrics(experiment: Experiment, workspace: Workspace) -> dict[str, BoundTask]:
        bound = bound_as_they_are(experiment, workspace)
        return {
            name: dataclasses.replace(task, task=dataclasses.replace(task.task, metrics=("accuracy", "rouge_l")))
            for name, task in bound.items()
        }

    experiment = load_experiment(small.configs / "toy.yaml")
    before = plan_experiment(experiment, workspace=small, given=Assumptions())
    monkeypatch.setattr(plan_module, "bind_tasks", with_more_metrics)
    plan = plan_experiment(experiment, workspace=small, given=Assumptions())
    assert plan["family"] == before["family"] > 1
    assert [(row["task"], row["metric"]) for row in plan["tasks"]] == [("mmlu", "accuracy"), ("pubmedqa", "accuracy")]


def test_a_ratio_is_planned_by_what_each_example_adds_to_it() -> None:
    rng = np.random.default_rng(3)
    counts = {arm: rng.poisson((mean, 1, 3 - mean), size=(80, 3)) for arm, mean in (("general", 1), ("rag", 2))}
    answers = {
        (arm, "notes"): [answer(f"n{i}", arm, "notes", scores={"code_f1": row}) for i, row in enumerate(rows)]
        for arm, rows in ((arm, [tuple(map(float, row)) for row in found]) for arm, found in counts.items())
    }
    (table,) = build_tables(answers, every_failure("wrong"), {"notes": metrics_named("code_f1")})
    facts = pilot._facts(table, PAIR, "code_f1")
    without = [
        float(micro_f1(np.delete(counts["rag"], i, axis=0).sum(axis=0)))
        - float(micro_f1(np.delete(counts["general"], i, axis=0).sum(axis=0)))
        for i in range(80)
    ]
    jackknife = (79 / 80 * ((np.array(without) - np.mean(without)) ** 2).sum()) ** 0.5
    assert facts.sd == pytest.approx(jackknife * 80**0.5)
    assert (facts.n, facts.discordance) == (80, None)
    # the standard error that it plans with is about that of the comparison's interval
    row = compared(answers, ComparisonSettings(baseline="general")).contrasts[0]
    assert (row.ci[1] - row.ci[0]) / (2 * 1.96) == pytest.approx(jackknife, rel=0.1)


def test_plans_of_examples_alone_name_no_metric() -> None:
    assert render_plan(plan_examples(70, Assumptions())).splitlines()[5].startswith("one task: 70 examples (right or")
