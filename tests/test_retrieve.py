"""`ragmed retrieve`: rankings measured and written without a language model."""

import json
from typing import Any

import ir_measures
import pytest
from click.testing import CliRunner
from ir_measures import RR, R, nDCG
from ragmed.cli.main import cli

from ragmed.arms import Arm
from ragmed.augmentation import Augmentation
from ragmed.errors import DataError, MismatchError, UsageError
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.index.store import Index
from ragmed.integrations.retrieved import render_retrieved, retrieve_experiment, row_of
from ragmed.records import Example, Sample, ShownPassage
from ragmed.retrieval.named import build_named
from ragmed.retrieval.trec_run import read_trec_run
from ragmed.runs import find_run
from ragmed.workspace import Workspace


def experiment(**changes: Any) -> Any:
    raw: dict[str, Any] = {
        "models": {"m": "path:/nowhere/no-weights-here"},
        "index": "wards",
        "retrievers": {"words": {"method": "bm25"}},
        "tasks": {"pubmedqa": {}},
        "arms": {
            "closed": {"model": "m"},
            "dense": {"model": "m", "context": "retrieved", "k": 2},
            "again": {"model": "m", "context": "retrieved", "k": 2},
            "lexical": {"model": "m", "context": "retrieved", "retriever": "words", "k": 2},
        },
    }
    return make_experiment(raw | changes, default_name="r", where="config")


def test_retrieves_once_for_arms_alike_and_never_loads_the_model(small: Workspace, tmp_path: Any) -> None:
    build_named("wards", workspace=small)
    outcome = retrieve_experiment(experiment(), workspace=small, output=tmp_path / "out")
    assert [(row.references, row.arms) for row in outcome.rows] == [
        ("wards", ("dense", "again")), ("words", ("lexical",)),
    ]  # fmt: skip
    assert {str(path.relative_to(tmp_path / "out")) for path in outcome.paths} >= {
        "passages/wards-2/pubmedqa.txt", "runs/words-2/pubmedqa.txt",
    }  # fmt: skip
    line = (tmp_path / "out/passages/wards-2/pubmedqa.txt").read_text().splitlines()[0].split()
    assert "#" in line[2]
    assert [line[1], *line[3:]] == ["Q0", "1", "2", "wards-2"]
    assert "wards     2        8  1.000 [" in render_retrieved(outcome)
    run = list(ir_measures.read_trec_run(str(tmp_path / "out/runs/words-2/pubmedqa.txt")))
    judged = list(ir_measures.read_trec_qrels(str(tmp_path / "out/qrels/pubmedqa.txt")))
    theirs = ir_measures.calc_aggregate([nDCG @ 2, R @ 2, RR @ 2], judged, run)
    ours = [outcome.rows[1].measures[name].value for name in ("ndcg", "recall", "mrr")]
    assert ours == pytest.approx([theirs[nDCG @ 2], theirs[R @ 2], theirs[RR @ 2]], abs=1e-9)


def test_a_trec_run_is_replayed_as_it_was_retrieved_and_held_to_its_bytes(small: Workspace, tmp_path: Any) -> None:
    build_named("wards", workspace=small)
    retrieve_experiment(experiment(), workspace=small, output=tmp_path / "out")
    folder = tmp_path / "out/passages/words-2"
    arm = {"model": "m", "context": "retrieved", "k": 2}
    arms = {"found": {**arm, "retriever": "words"}, "again": {**arm, "replay": f"trec:{folder}"}}
    made = experiment(models={"m": "scripted:first-option"}, arms=arms)
    run_experiment(made, workspace=small)
    samples = find_run(small.runs, "r").samples()

    def shown(name: str) -> list[list[tuple[str, int, bool | None]]]:
        return [[(p.id, p.rank, p.gold) for p in s.passages] for s in samples[name, "pubmedqa"]]

    assert shown("again") == shown("found")
    path = folder / "pubmedqa.txt"
    lines = path.read_text().splitlines()
    swapped = [lines[0].replace(" 1 2 ", " 2 1 "), lines[1].replace(" 2 1 ", " 1 2 "), *lines[2:]]
    path.write_text("\n".join(swapped))
    with pytest.raises(MismatchError, match="the passages to be shown again to 'again on pubmedqa' differ"):
        run_experiment(made, workspace=small)
    path.write_text("\n".join(lines[2:]))
    with pytest.raises(MismatchError, match=f"ranks no passage for example '{lines[0].split()[0]}'"):
        run_experiment(made, workspace=small, output=small.runs / "x")
    deeper = experiment(models={"m": "scripted:echo"}, arms={"deep": {**arms["again"], "k": 3}})
    with pytest.raises(MismatchError, match="ranks 2 passages, and k 3 asks for more; write k: 2"):
        run_experiment(deeper, workspace=small, output=small.runs / "y")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 c:d#0 1 2", "line 1: 5 columns"),
        ("q Q0 c:d#0 1 nan t", "score 'nan' is no finite number"),
        ("q Q0 c:d#0 one 2 t", "rank 'one' and score '2' must be numbers"),
        ("q Q0 c:d 1 2 t", "'c:d' is no passage's id"),
        ("q Q0 c:d#0 1 2 t\nq Q0 c:d#0 2 1 t", "line 2: passage 'c:d#0' is ranked twice for query 'q'"),
        ("\n", "ranks nothing"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer, not the file"),
        ("", "is empty"),
    ],
)
def test_what_is_no_run_of_passages_is_refused_by_its_line(tmp_path: Any, text: str, message: str) -> None:
    path = tmp_path / "run.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_trec_run(path)


def test_scores_order_a_trec_run_then_ranks_then_ids(tmp_path: Any) -> None:
    path = tmp_path / "run.txt"
    path.write_text("a%20b Q0 c:z#0 1 1 t\na%20b Q0 c:y#0 2 5 t\na%20b Q0 c:x#0 1 1 t\n")
    assert [one.id for one in read_trec_run(path)["a b"]] == ["c:y#0", "c:x#0", "c:z#0"]


def test_a_query_that_found_nothing_measures_zero_and_one_without_gold_is_left_out() -> None:
    arm = Arm("a", "m", "retrieved", index="i", k=2)
    shown = (ShownPassage("c:x#0", "c:x", 1, gold=False), ShownPassage("c:d#0", "c:d", 2, gold=True))
    given = [
        Sample("a", "t", Example("1", "?", documents=("d",)), passages=shown),
        Sample("a", "t", Example("2", "?", documents=("d",))),
        Sample("a", "t", Example("3", "?"), passages=shown[:1]),
    ]
    row = row_of([arm], given, [Augmentation(seconds=0.5, cpu_seconds=0.25)] * 3, told=True, seed=0)
    assert (row.queries, row.n, row.empty, row.seconds, row.cpu_seconds) == (3, 2, 1, 0.5, 0.25)
    elsewhere = [Augmentation(cpu_seconds=None), *[Augmentation()] * 2]
    assert row_of([arm], given, elsewhere, told=True, seed=0).cpu_seconds is None
    values = {name: round(found.value, 4) for name, found in row.measures.items()}
    assert values == {"ndcg": 0.3155, "recall": 0.5, "mrr": 0.25}
    assert row_of([arm], given, [Augmentation()] * 3, told=False, seed=0).measures == {}


def own(workspace: Workspace, *named: list[str]) -> Any:
    questions = [
        {"id": f"q {i}", "question": f"What is the extension of {name} ward?", "options": {"A": "1", "B": "2"},
         "answer": "A", "documents": documents}
        for i, (name, documents) in enumerate(zip(("Oak", "Elm", "Ash"), named, strict=True))
    ]  # fmt: skip
    lines = [json.dumps({key: value for key, value in one.items() if value != []}) + "\n" for one in questions]
    (workspace.root / "own.jsonl").write_text("".join(lines))
    return experiment(tasks={"own": {"file": "own.jsonl"}})


def test_a_question_without_documents_costs_the_others_no_measure(small: Workspace, tmp_path: Any) -> None:
    build_named("wards", workspace=small)
    pages = [one.document for one in Index.open(small.indexes / "wards")][:2]
    outcome = retrieve_experiment(own(small, pages[:1], pages[1:], []), workspace=small, output=tmp_path / "out")
    row = outcome.rows[1]
    assert (row.n, row.queries) == (2, 3)
    assert "1 of 3 queries has no gold document" in render_retrieved(outcome)
    run = list(ir_measures.read_trec_run(str(tmp_path / "out/runs/words-2/own.txt")))
    judged = list(ir_measures.read_trec_qrels(str(tmp_path / "out/qrels/own.txt")))
    assert {one.query_id for one in judged} == {"q%200", "q%201"}
    theirs = ir_measures.calc_aggregate([nDCG @ 2, R @ 2], judged, run)
    assert [row.measures[name].value for name in ("ndcg", "recall")] == pytest.approx(
        [theirs[nDCG @ 2], theirs[R @ 2]], abs=1e-9
    )


def test_a_question_for_which_nothing_was_found_is_replayed_as_that(small: Workspace, tmp_path: Any) -> None:
    build_named("wards", workspace=small)
    questions = [
        {"id": name, "question": question, "options": {"A": "1", "B": "2"}, "answer": "A"}
        for name, question in (("q 0", "What is the extension of Oak ward?"), ("q 1", "Zzz?"))
    ]
    (small.root / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in questions))
    tasks = {"own": {"file": "own.jsonl"}}
    outcome = retrieve_experiment(experiment(tasks=tasks), workspace=small, output=tmp_path / "out")
    folder = tmp_path / "out/passages/words-2"
    assert (outcome.rows[1].empty, (folder / "own.nothing").read_text()) == (1, "q%201\n")
    arms = {"again": {"model": "m", "context": "retrieved", "k": 2, "replay": f"trec:{folder}"}}
    made = experiment(models={"m": "scripted:first-option"}, tasks=tasks, arms=arms)
    run_experiment(made, workspace=small)
    samples = {sample.example.id: sample for sample in find_run(small.runs, "r").samples()["again", "own"]}
    assert {name: len(sample.passages) for name, sample in samples.items()} == {"q 0": 2, "q 1": 0}
    assert "only 0 of 2 passages are ranked" in samples["q 1"].note
    (small.root / "own.jsonl").write_text(json.dumps(questions[0]) + "\n")
    retrieve_experiment(experiment(tasks=tasks), workspace=small, output=tmp_path / "out")
    assert not (folder / "own.nothing").exists()  # of the questions that are not retrieved for any more
    (small.root / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in questions))
    with pytest.raises(MismatchError, match="ranks no passage for example 'q 1'"):
        run_experiment(made, workspace=small, output=small.runs / "y")


def test_runs_that_name_documents_otherwise_have_no_qrels(small: Workspace, tmp_path: Any) -> None:
    recipe = small.root / "corpora/wards/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("ids: pmid\n", "ids: ward\n"))
    build_named("wards", workspace=small)
    outcome = retrieve_experiment(experiment(), workspace=small, output=tmp_path / "out")
    assert not (tmp_path / "out/qrels").exists()
    assert any("the index does not name documents as the task does" in note for note in outcome.notes)
    assert outcome.rows[0].measures == {}


def test_no_arm_that_retrieves_is_refused(small: Workspace) -> None:
    with pytest.raises(UsageError, match="no arm retrieves: add one"):
        retrieve_experiment(experiment(arms={"closed": {"model": "m"}}, retrievers={}), workspace=small)


def test_the_command_prints_a_table_or_data(small: Workspace, tmp_path: Any) -> None:
    build_named("wards", workspace=small)
    path = tmp_path / "c.yaml"
    path.write_text(
        "models: {m: scripted:echo}\nindex: wards\ntasks: {pubmedqa: {}}\n"
        "arms: {rag: {model: m, context: retrieved, k: 2}}\n"
    )
    asked = ["--root", str(small.root), "retrieve", str(path), "--limit", "3"]
    done = CliRunner().invoke(cli, asked, catch_exceptions=False)
    assert "no language model was loaded" in done.output
    (row,) = json.loads(CliRunner().invoke(cli, [*asked, "--json"], catch_exceptions=False).stdout)
    assert (row["references"], row["queries"], row["measures"]["recall"]["value"]) == ("wards", 3, 1.0)


def changed_pages(workspace: Workspace) -> None:
    """Other words under the same names, and the index made of them."""
    for page in (workspace.root / "corpora/wards/pages").glob("*.md"):
        page.write_text(page.read_text().replace("extension", "telephone extension"))
    build_named("wards", workspace=workspace)


def test_nothing_else_is_shown_again_under_the_same_ids(small: Workspace, tmp_path: Any) -> None:
    build_named("wards", workspace=small)
    arm = {"model": "m", "context": "retrieved", "k": 2}
    made = experiment(models={"m": "scripted:first-option"}, arms={"found": {**arm, "retriever": "words"}})
    run_experiment(made, workspace=small)
    retrieve_experiment(experiment(), workspace=small, output=tmp_path / "out")
    folder = tmp_path / "out/passages/words-2"
    of_run, of_file = ({"again": {**arm, "replay": replay}} for replay in ("r/found", f"trec:{folder}"))

    def replayed(name: str, arms: dict[str, Any]) -> list[tuple[Any, ...]]:
        again = experiment(models={"m": "scripted:first-option"}, arms={"closed": {"model": "m"}, **arms}, name=name)
        run_experiment(again, workspace=small)
        return [sample.messages for sample in find_run(small.runs, name).samples()["again", "pubmedqa"]]

    first = [sample.messages for sample in find_run(small.runs, "r").samples()["found", "pubmedqa"]]
    assert replayed("a", of_run) == replayed("b", of_file) == first
    changed_pages(small)
    with pytest.raises(MismatchError, match="says something else in the index now than what was shown for example"):
        replayed("c", of_run)
    with pytest.raises(MismatchError, match="says something else in the index than where it was found"):
        replayed("d", of_file)
    beside = folder / "pubmedqa.sha256"
    beside.write_text(beside.read_text().replace(" ", "  ", 1))
    with pytest.raises(DataError, match=r"pubmedqa.sha256', line 1: not the sha256 of a passage's text"):
        replayed("e", of_file)
    beside.unlink()  # as beside a file of another program, which names passages and not what they say
    assert replayed("f", of_file) != first
