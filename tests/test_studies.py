from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from answers import answer, answers_of, facts_of
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.comparison.columns import build_tables
from ragmed.comparison.completeness import Reasons
from ragmed.comparison.designs import four_arms
from ragmed.comparison.factorial import factorials
from ragmed.comparison.overall import pooled
from ragmed.comparison.settings import ComparisonSettings
from ragmed.comparison.statistics.bootstrap import Z
from ragmed.comparison.statistics.differences import tango
from ragmed.comparison.studies import Study, pool
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.integrations.table import import_table
from ragmed.integrations.table_settings import Source, TableImport

SETTINGS = ComparisonSettings(baseline="general", resamples=500)
PAIR = (("general", "tuned"),)


def table(fixed: int, broke: int, same: int, **more):
    scores = {"general": [0] * fixed + [1] * (broke + same), "tuned": [1] * fixed + [0] * broke + [1] * same}
    return tables_of(answers_of(scores, **more))[0]


def tables_of(answers, settings=SETTINGS):
    return build_tables(answers, settings.policy, facts_of(answers))


def test_risk_differences_are_pooled_by_their_intervals():
    sizes = ((30, 10, 160), (12, 20, 68), (9, 9, 32))
    found = pool([Study(str(n), table(*size), PAIR) for n, size in enumerate(sizes)], SETTINGS)
    n = [sum(size) for size in sizes]
    differences = [(f - b) / total for (f, b, _), total in zip(sizes, n, strict=True)]
    spans = [tango(f, b, total) for (f, b, _), total in zip(sizes, n, strict=True)]
    errors = [(high - low) / (2 * Z) for low, high in spans]
    by_hand = pooled(differences, errors)
    assert [row.difference for row in found.studies] == pytest.approx(differences)
    assert [end for row in found.studies for end in row.ci] == pytest.approx([end for span in spans for end in span])
    assert (found.difference, found.ci, found.p) == (by_hand.difference, by_hand.interval, by_hand.p)
    assert sum(row.weight for row in found.studies) == pytest.approx(1)
    mean = sum(row.weight * row.difference for row in found.studies)
    assert mean == pytest.approx(found.difference)  # the weights are those of the mean
    assert found.prediction[0] < found.ci[0] < found.ci[1] < found.prediction[1]


def test_a_study_of_two_pairs_has_the_interval_of_the_effect_of_its_2x2():
    draw = random.Random(1)
    arms = ("general", "tuned", "rag", "both")
    answers = answers_of(
        {arm: [int(draw.random() < 0.4 + 0.1 * place) for _ in range(60)] for place, arm in enumerate(arms)}
    )
    tables = tables_of(answers)
    settings = replace(SETTINGS, factorials=(four_arms(arms),), resamples=10_000)  # enough for its four effects
    effects = {
        one.effect: one
        for one in factorials(tables, settings=settings, sources={}, reasons=Reasons(settings, {}))[0].effects
    }
    tuning = Study("tuning", tables[0], (("rag", "both"), ("general", "tuned")))
    retrieval = Study("retrieval", tables[0], (("general", "rag"), ("tuned", "both")))
    rows = {row.study: row for row in pool([tuning, retrieval], settings).studies}
    for name, row in rows.items():
        assert (row.difference, row.ci, row.interval) == (
            effects[name].difference,
            effects[name].ci,
            effects[name].interval,
        )


def test_studies_in_several_units_are_not_pooled():
    one, words = table(30, 10, 60), table(30, 10, 60)
    metric = next(iter(words.metrics))
    words = replace(words, metrics={metric: replace(words.metrics[metric], unit="words")})
    with pytest.raises(UsageError, match=r"several units \('a' in points; 'b' in words\)"):
        pool([Study("a", one, PAIR), Study("b", words, PAIR)], SETTINGS)


def test_two_undecided_studies_are_no_vote():
    """Neither tells alone; many of them tell together, and their votes would say nothing."""
    studies = [Study(str(n), table(15, 8, 77), PAIR) for n in range(8)]
    found = pool(studies, SETTINGS)
    assert all(row.ci[0] < 0 < row.ci[1] for row in found.studies)
    assert found.ci[0] > 0
    assert found.tau == 0


def test_several_pairs_of_one_study_are_averaged_question_by_question():
    scores = {"a": [0, 0, 1, 1], "a+": [1, 0, 1, 1], "b": [0, 1, 1, 0], "b+": [1, 1, 1, 0]}
    (one,) = tables_of(answers_of(scores))
    found = pool([Study("one", one, (("a", "a+"), ("b", "b+"))), Study("two", table(5, 5, 10), PAIR)], SETTINGS)
    assert found.studies[0].difference == pytest.approx(0.25)
    assert found.studies[0].n == 4
    assert found.prediction is None
    assert any("no prediction interval" in note for note in found.notes)


def test_studies_with_the_same_questions_are_told():
    def asked(arm: str, right: int, prefix: str):
        return [
            answer(f"{prefix}{n}", arm, question=f"What  is {n}?", value="A" if n < right else "B") for n in range(20)
        ]

    tables = [
        tables_of({(arm, "medqa"): asked(arm, right, prefix) for arm, right in (("general", 5), ("tuned", 9))})[0]
        for prefix in ("x", "y")
    ]  # fmt: skip
    found = pool([Study("x", tables[0], PAIR), Study("y", tables[1], PAIR)], SETTINGS)
    assert found.notes[-1].startswith("'x' and 'y' ask 20 questions in common")


@pytest.mark.parametrize(
    ("study", "error", "words"),
    [
        (lambda: Study("s", table(3, 1, 6), (("general", "tunde"),)), UnknownNameError, "did you mean 'tuned'"),
        (lambda: Study("s", table(3, 1, 6), (("general", "general"),)), UsageError, "each pair of two arms once"),
        (lambda: Study("s", table(3, 1, 6), ()), UsageError, "at least one"),
        (lambda: Study("s", table(3, 1, 6), PAIR, "acuracy"), UnknownNameError, "study 's'"),
    ],
)
def test_what_is_no_study_is_refused(study, error, words):
    with pytest.raises(error, match=words):
        pool([Study("other", table(4, 4, 9), PAIR), study()], SETTINGS)


def test_one_study_or_none_with_scores_is_refused():
    with pytest.raises(UsageError, match="one study alone"):
        pool([Study("s", table(3, 1, 6), PAIR)], SETTINGS)
    settings = ComparisonSettings(baseline="general", policy="drop", resamples=500)
    (empty,) = tables_of(answers_of({"general": [1, "unparsed"], "tuned": ["unparsed", 1]}), settings)
    with pytest.raises(DataError, match="no example has a score"):
        pool([Study("s", empty, PAIR), Study("t", table(3, 1, 6), PAIR)], settings)


def test_the_command_pools_runs(small):
    runner = CliRunner()
    root = ["--root", str(small.root)]
    runner.invoke(cli, [*root, "eval", str(small.root / "configs/toy.yaml")], catch_exceptions=False)
    (small.root / "studies.yaml").write_text(
        "title: What passages do\nstudies:\n"
        "  mmlu: {run: toy, task: mmlu, pairs: [[general, general+rag]]}\n"
        "  pubmedqa: {run: toy, task: pubmedqa, pairs: [[general, general+oracle]]}\n"
    )
    shown = runner.invoke(cli, [*root, "pool", str(small.root / "studies.yaml")], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "What passages do" in shown.output
    assert "Together" in shown.output
    numbers = json.loads(runner.invoke(cli, [*root, "pool", str(small.root / "studies.yaml"), "--json"]).output)
    assert [row["study"] for row in numbers["studies"]] == ["mmlu", "pubmedqa"]
    for wrong, words in (
        ("studies: {a: {run: toy, pairs: [[general, general+rag]]}}", "has the tasks mmlu, pubmedqa"),
        ("studies: {a: {run: toy, task: mmul, pairs: [[general, general+rag]]}}", "did you mean 'mmlu'"),
        ("studies: {a: {run: tyo, task: mmlu, pairs: []}}", "tyo"),
        ("studis: {}", "studis"),
    ):
        (small.root / "studies.yaml").write_text(wrong)
        refused = runner.invoke(cli, [*root, "pool", str(small.root / "studies.yaml")])
        assert words in str(refused.exception) + refused.output


def test_the_policy_of_the_command_goes_before_that_of_the_file(tmp_path):
    rows = [("A", "B", "A"), ("B", "B", ""), ("A", "A", ""), ("B", "A", "B"), ("A", "A", "A"), ("B", "B", "B")]
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text(
            "id,gold,base,tuned\n" + "".join(f"{name}{n},{','.join(row)}\n" for n, row in enumerate(rows))
        )
        import_table(TableImport(files=(Source(str(tmp_path / f"{name}.csv")),)), output=tmp_path / "runs" / name)
    file = tmp_path / "studies.yaml"
    pairs = "pairs: [[base, tuned]]"
    file.write_text(f"policy: wrong\nresamples: 200\nstudies: {{a: {{run: one, {pairs}}}, b: {{run: two, {pairs}}}}}\n")
    found = {}
    for policy in ("wrong", "drop"):
        command = ["--root", str(tmp_path), "pool", str(file), "--json", "--policy", policy]
        found[policy] = json.loads(CliRunner().invoke(cli, command, catch_exceptions=False).output)["studies"][0]
    assert (found["wrong"]["n"], found["wrong"]["difference"]) == (6, 0)
    assert (found["drop"]["n"], found["drop"]["difference"]) == (4, 0.5)
