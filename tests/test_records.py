"""Tasks with a record of many documents: shown whole, searched, or not at all; what does not fit is said."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from ragmed.arms import Arm
from ragmed.audit.check import AuditSettings, audit_experiment
from ragmed.augmentation import Augmentation, FromRecord
from ragmed.comparison.results import Results
from ragmed.comparison.rows import Fit
from ragmed.errors import MismatchError, ProtectionError, UsageError
from ragmed.evaluation import answer
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import dry_run, run_experiment
from ragmed.integrations.trec import export_trec
from ragmed.planning.cases import Assumptions
from ragmed.planning.plan import plan_experiment
from ragmed.records import RECORD, Completion, ContextDocument, Example, Sample
from ragmed.report.terminal import render_table
from ragmed.retrieval.record import Records, make_record_retriever, whole_documents
from ragmed.retrieval.spec import RetrieverSpec
from ragmed.runs import Run, find_run
from ragmed.tasks import TASKS, BoundTask, TaskSettings
from ragmed.tasks.task import Split, Task
from ragmed.workspace import Workspace

DRUGS = ("aspirin", "heparin", "warfarin", "insulin", "digoxin", "lithium")
FILLER = " ".join(["The visit was uneventful and the wound dry."] * 12)


def example(number: int, **changes: Any) -> Example:
    drug = DRUGS[number]
    documents = (
        ContextDocument(f"Blood count of the first visit. {FILLER}", "Laboratory", "2031-01-02", id="lab"),
        ContextDocument(f"{drug.title()} was begun at {5 + number} mg in the morning.", "Letter", id="letter"),
        ContextDocument(f"The gait was steady, {drug} was not mentioned. {FILLER}", "Physiotherapy", id="physio"),
    )
    fields = {"context": documents, "options": {"A": f"{5 + number} mg", "B": "90 mg"}, "gold": "A"}
    given = {**fields, "documents": ("letter",), "group": f"patient {number}", **changes}
    return Example(f"r{number}", f"At what dose was {drug} begun?", **given)


def task(**changes: Any) -> Task:
    fields: dict[str, Any] = {
        "name": "chart",
        "title": "Questions on an invented chart",
        "kind": "choice",
        "instruction": "Answer the question on the patient's record.",
        "load": lambda workspace: Split(tuple(example(n) for n in range(5)), (example(5),)),
        "source": "invented",
        "license": "none",
        "metrics": ("accuracy",),
        "gold_documents": True,
        "record": True,
        "context_label": "Record",
    }
    return Task(**{**fields, **changes})


CHART = task()
MIXED = CHART
UNKNOWN = task(
    name="chart-unknown",
    load=lambda workspace: Split(tuple(example(n, documents=()) for n in range(5))),
)
MISNAMED = task(
    name="chart-misnamed",
    load=lambda workspace: Split(tuple(example(n, documents=("leter",)) for n in range(5))),
)


@pytest.fixture
def charts(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name, where in (("chart", "CHART"), ("chart-unknown", "UNKNOWN"), ("chart-misnamed", "MISNAMED")):
        monkeypatch.setitem(TASKS, name, f"{__name__}:{where}")
    return small


ARMS: dict[str, Any] = {
    "closed": {"model": "m"},
    "whole": {"model": "m", "context": "full"},
    "words": {"model": "m", "context": "retrieved", "retriever": "words", "k": 2},
    "vectors": {"model": "m", "context": "retrieved", "retriever": "vectors", "k": 1},
    "fused": {"model": "m", "context": "retrieved", "retriever": "both", "k": 2},
    "right": {"model": "m", "context": "oracle", "retriever": "words", "k": 2},
    "wrong": {"model": "m", "context": "distractor", "retriever": "words", "k": 1},
    "books": {"model": "m", "context": "retrieved", "k": 1},
}
RETRIEVERS: dict[str, Any] = {
    "words": {"method": "bm25", "record": True},
    "vectors": {"method": "dense", "record": True, "embedder": "hashing:256"},
    "both": {"method": "rrf", "of": ["words", "vectors"]},
}


def config(**changes: Any) -> dict[str, Any]:
    raw = {
        "models": {"m": "scripted:first-option"},
        "index": "wards",
        "retrievers": RETRIEVERS,
        "tasks": {"chart": {"shots": 1}},
        "arms": ARMS,
        "comparison": {"resamples": 200},
    }
    return raw | changes


def run(workspace: Workspace, **changes: Any) -> tuple[Run, Results]:
    made = make_experiment(config(**changes), default_name="r", where="config")
    results = run_experiment(made, workspace=workspace)
    return find_run(workspace.runs, "r"), results


@pytest.fixture
def done(charts: Workspace) -> Iterator[dict[str, list[Sample]]]:
    made, _ = run(charts)
    return {arm: samples for (arm, _), samples in made.samples().items()}


def body(sample: Sample) -> str:
    return sample.messages[-1].content


def test_each_arm_sees_what_it_is_called(done: dict[str, list[Sample]]) -> None:
    for sample in done["closed"]:
        assert "mg in the morning" not in "".join(message.content for message in sample.messages)
    for sample in done["whole"]:
        assert [p.id for p in sample.passages] == ["record:lab", "record:letter", "record:physio"]
        assert [p.gold for p in sample.passages] == [False, True, False]
        assert "<document 3>\nPhysiotherapy\n" in body(sample)
        assert "<passage" not in body(sample)
        assert "Laboratory (2031-01-02)" in body(sample)
        assert sample.fits
        assert not sample.dropped
    for arm in ("words", "vectors", "fused"):
        for sample in done[arm]:
            assert {p.gold for p in sample.passages} <= {True, False}
            assert sample.passages[0].gold
            assert all(p.document.startswith("record:") for p in sample.passages)
            assert "Passages from the record" in sample.messages[0].content
            assert "mg in the morning" in body(sample)
            assert "<document" not in body(sample)
    for sample in done["right"]:
        assert [p.document for p in sample.passages] == ["record:letter"]
    for sample in done["wrong"]:
        assert [p.document for p in sample.passages] == ["record:physio"]
    for sample in done["books"]:
        assert [p.gold for p in sample.passages] == [None]
        assert "reference texts" in sample.messages[0].content


def test_few_shot_examples_show_no_record(done: dict[str, list[Sample]]) -> None:
    for arm in ("closed", "whole", "words"):
        shot = done[arm][0].messages[1]
        assert (shot.role, "lithium" in shot.content, "mg in the morning" in shot.content) == ("user", True, False)


def test_what_is_stored_tells_how_records_were_searched(charts: Workspace) -> None:
    made, results = run(charts)
    references = made.info()["identity"]["references"]
    assert {name: entry["method"] for name, entry in references.items()} == {
        "words": "bm25", "vectors": "dense", "both": "rrf", "wards": "dense",
    }  # fmt: skip
    assert references["vectors"]["record"]["by"]["embedder"] == "hashing:256"
    recall = {row.arm: row.recall for row in results.retrieval}
    assert recall["words"] == recall["vectors"] == recall["fused"] == 1.0
    assert "books" not in recall
    assert run_experiment(make_experiment(config(), default_name="r", where="config"), workspace=charts) == results


def test_documents_that_do_not_fit_are_left_out_whole_and_the_last_first(charts: Workspace) -> None:
    arms = {"closed": ARMS["closed"], "whole": {**ARMS["whole"], "context_tokens": 260}}
    made, _results = run(charts, arms=arms)
    for sample in made.samples()["whole", "chart"]:
        assert [p.id for p in sample.passages] == ["record:lab", "record:letter"]
        assert sample.dropped == ("record:physio",)
        assert (sample.fits, sample.finish) == (False, "stop")
        assert sample.note == "1 of 3 documents of its record did not fit: the last, left out whole"
        assert "gait" not in body(sample)


def test_a_record_of_which_no_document_fits_is_an_error(charts: Workspace) -> None:
    arms = {"closed": ARMS["closed"], "whole": {**ARMS["whole"], "context_tokens": 130}}
    made, _ = run(charts, arms=arms)
    for sample in made.samples()["whole", "chart"]:
        assert (sample.fits, sample.finish) == (False, "error")
        assert "tokens with one document of its record; with its answer the budget is 130" in sample.error


def test_arms_that_do_not_apply_say_why(charts: Workspace) -> None:
    arms = {**ARMS, "book-oracle": {"model": "m", "context": "oracle", "k": 1}}
    _, results = run(charts, arms=arms, tasks={"chart": {}, "pubmedqa": {}})
    reasons = {(row.arm, row.task): row.reason for row in results.not_run}
    assert reasons == {
        ("whole", "pubmedqa"): "the task has no records that could be shown whole",
        **{
            (arm, "pubmedqa"): f"retriever '{name}' searches an example's own record, and the task has none"
            for arm, name in (
                ("words", "words"), ("vectors", "vectors"), ("fused", "both"), ("right", "words"), ("wrong", "words"),
            )
        },
        ("book-oracle", "chart"): "'wards' is no record: here 'oracle' needs a retriever with record: true",
    }  # fmt: skip


def test_where_no_gold_document_is_named_there_is_no_oracle_of_it(charts: Workspace) -> None:
    made, results = run(charts, tasks={"chart-unknown": {}})
    samples = {arm: given for (arm, _), given in made.samples().items()}
    assert all(p.gold is None for sample in samples["words"] for p in sample.passages)
    assert not {"right", "wrong"} & samples.keys()
    reasons = {row.arm: row.reason for row in results.not_run if row.failed}
    assert reasons.keys() == {"right", "wrong"}
    for reason in reasons.values():
        assert "no document of its record is known to hold the answer" in reason


def test_gold_documents_that_a_record_has_not_are_refused(charts: Workspace) -> None:
    with pytest.raises(MismatchError, match=r"example 'r\d': its gold document 'leter' is none of its record's"):
        run(charts, tasks={"chart-misnamed": {}})


def test_a_record_is_embedded_once(charts: Workspace) -> None:
    records = Records()
    retriever = make_record_retriever(
        RetrieverSpec("dense", record=True, embedder="hashing:64"), specs={}, records=records
    )
    calls: list[int] = []
    embedder = records.embedder("hashing:64")
    embed = embedder.embed_passages
    embedder.embed_passages = lambda texts: calls.append(len(texts)) or embed(texts)  # type: ignore[method-assign, func-returns-value]
    bound = BoundTask(CHART, TaskSettings(), (example(0), example(0), example(1)), ())
    for name in ("words", "vectors"):
        arm = make_experiment(config(), default_name="r", where="config").arms[name]
        FromRecord(arm, retriever, records).augment(bound, bound.examples, model=None)
    assert len(calls) == 2  # two records, whatever the questions and the arms


def test_passages_of_a_record_are_slices_of_its_documents() -> None:
    texts = {f"{RECORD}:{d.id}": d.text for d in example(0).context}
    for cut in ("", "hashing:64"):
        for passage in Records().of(cut, example(0).context).passages:
            assert texts[str(passage.document_key)][passage.start : passage.end] == passage.text
            assert len(passage.text) <= 1024


def test_documents_of_one_name_are_refused() -> None:
    with pytest.raises(Exception, match="two documents of a record are called 'a'"):
        whole_documents([ContextDocument("x", id="a"), ContextDocument("y", id="a")])


@pytest.mark.parametrize(
    ("retriever", "message"),
    [
        ({"method": "bm25", "record": True, "index": "wards"}, "does not read 'index'"),
        ({"method": "bm25", "embedder": "hashing:64"}, "does not read 'embedder'"),
        (
            {"method": "rrf", "of": ["words", "wards"]},
            "an index or an example's own record, not both; the record: words",
        ),
        ({"method": "rrf", "of": ["words"], "record": True}, "'rrf' searches no record itself"),
        ({"method": "rrf", "of": ["vectors", "other"]}, "cut a record differently"),
    ],
)
def test_retrievers_that_cannot_be_meant_are_refused(retriever: dict[str, Any], message: str) -> None:
    other = {"method": "dense", "record": True, "embedder": "hashing:64"}
    raw = config(retrievers={**RETRIEVERS, "other": other, "mine": retriever})
    with pytest.raises(UsageError, match=message):
        make_experiment(raw, default_name="r", where="config")


def test_a_whole_record_takes_no_index() -> None:
    with pytest.raises(UsageError, match="mean nothing in the context 'full'"):
        make_experiment(config(arms={"w": {**ARMS["whole"], "k": 3}}), default_name="r", where="config")


def test_dry_run_and_plan_know_records(charts: Workspace) -> None:
    arms = {**ARMS, "whole": {**ARMS["whole"], "context_tokens": 260}}
    made = make_experiment(config(arms=arms), default_name="r", where="config")
    text = dry_run(made, workspace=charts)
    assert "(words: bm25 of the example's own record, k 2)" in text
    assert "<document 3>" in text
    assert "Passages from the record" in text
    planned = plan_experiment(made, workspace=charts, given=Assumptions())
    assert any("5 of 5 records do not fit 260 tokens whole" in note for note in planned["notes"])


def test_a_second_table_has_the_items_that_fit_every_arm(charts: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    long = ContextDocument(f"Another visit. {FILLER} {FILLER}", "Visit", id="visit")
    mixed = [example(n) if n < 3 else example(n, context=(*example(n).context, long)) for n in range(5)]
    monkeypatch.setitem(TASKS, "chart-mixed", f"{__name__}:MIXED")
    monkeypatch.setattr(sys.modules[__name__], "MIXED", task(name="chart-mixed", load=lambda w: Split(tuple(mixed))))
    arms = {"closed": ARMS["closed"], "whole": {**ARMS["whole"], "context_tokens": 420}}
    made, results = run(charts, arms=arms, tasks={"chart-mixed": {}})
    assert results.fits == (Fit("whole", "chart-mixed", 5, unasked=0, cut=2),)
    assert [(row.arm, row.n, row.status["answered"]) for row in results.fitting_scores] == [
        ("closed", 3, 3), ("whole", 3, 3),
    ]  # fmt: skip
    assert [row.n for row in results.scores] == [5, 5]
    (row,) = results.fitting_contrasts
    assert (row.baseline, row.arm, row.n, row.left_out) == ("closed", "whole", 3, 0)
    assert (row.difference, row.p_adjusted, row.verdict) == (0.0, None, "secondary")
    assert results.family == 1
    said = "whole: 2 of 5 items did not fit: 2 were asked without some documents of their record"
    assert said in render_table(results)
    assert "accuracy, difference on items that fit every arm" in render_table(results)
    page = (made.report_folder / "index.html").read_text()
    assert "Differences on the items that fit every arm; p is not adjusted" in page
    assert "All arms on the items that fit every arm" in page
    assert "Right and wrong, with and without a gold passage" in page


def test_what_could_not_be_asked_is_counted_and_nothing_else_has_a_second_table(charts: Workspace) -> None:
    arms = {"closed": ARMS["closed"], "words": {**ARMS["words"], "context_tokens": 10}}
    _, results = run(charts, arms=arms)
    assert results.fits == (Fit("words", "chart", 5, unasked=5, cut=0),)
    assert [(row.arm, row.n, row.value) for row in results.fitting_scores] == [
        ("closed", 0, None), ("words", 0, None),
    ]  # fmt: skip
    assert "words: 5 of 5 items did not fit: 5 could not be asked" in render_table(results)


def test_where_all_fits_there_is_no_second_table(charts: Workspace) -> None:
    _, results = run(charts)
    assert (results.fits, results.fitting_scores, results.fitting_contrasts) == ((), (), ())
    assert "did not fit" not in render_table(results)
    assert {row.arm for row in results.evidence} == {"whole", "words", "vectors", "fused"}


def test_what_is_kept_of_private_records_is_their_owners_alone(
    charts: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "MIXED", task(name="chart-private", access="private"))
    monkeypatch.setitem(TASKS, "chart-private", f"{__name__}:MIXED")
    arms = {name: ARMS[name] for name in ("closed", "whole", "vectors")}
    made, _ = run(charts, arms=arms, tasks={"chart-private": {}})
    holding = [path for path in charts.root.rglob("*") if path.is_file() and b"mg in the morning" in path.read_bytes()]
    assert holding
    assert all(path.is_relative_to(made.folder) and path.stat().st_mode & 0o077 == 0 for path in holding)
    with pytest.raises(ProtectionError, match="would send them to"):
        run(charts, models={"m": "endpoint:https://models.example/v1#big"}, arms=arms, tasks={"chart-private": {}})


def test_a_whole_record_is_no_ranking(charts: Workspace) -> None:
    made, _ = run(charts, arms={name: ARMS[name] for name in ("whole", "words")})
    found = export_trec(made, charts.root / "out")
    assert [path.parent.name for path in found.paths if path.is_relative_to(charts.root / "out" / "runs")] == ["words"]


class Refusing:
    """A server whose context is smaller than it says."""

    name, thinking_tokens, context_tokens = "refusing", 0, 4096

    def count_tokens(self, prompts: Sequence[Any]) -> list[int]:
        return [100 for _ in prompts]

    def generate(self, prompts: Sequence[Any], *, max_tokens: int) -> list[Completion]:
        said = ("This model's maximum context length is 512 tokens.", "connection refused")
        return [Completion("", "error", 0, 0, error=reason) for reason, _ in zip(said, prompts, strict=True)]


def test_what_a_server_refuses_as_too_long_did_not_fit() -> None:
    bound = BoundTask(CHART, TaskSettings(), (example(0), example(1)), ())
    model: Any = Refusing()
    found = answer(Arm("a", "m"), bound, bound.examples, [Augmentation(), Augmentation()], model=model, budget=4096)
    assert [(sample.finish, sample.fits) for sample in found] == [("error", False), ("error", True)]


def test_an_arm_over_records_cannot_be_replayed_over_an_index(charts: Workspace) -> None:
    run(charts, arms={name: ARMS[name] for name in ("closed", "whole", "words")})
    for arm, why in (
        ("words", "was shown passages of each example's own record"),
        ("whole", "was shown each example's own record whole"),
    ):
        arms = {"closed": ARMS["closed"], "again": {**ARMS["books"], "replay": f"r/{arm}"}}
        with pytest.raises(MismatchError, match=f"replay: arm '{arm}' of run 'r' {why}; leave replay out"):
            run_experiment(make_experiment(config(arms=arms), default_name="q", where="config"), workspace=charts)
    arms = {"closed": ARMS["closed"], "again": {**ARMS["words"], "replay": "r/words"}}
    with pytest.raises(UsageError, match="searches the example's own record, and finds the same again; leave replay"):
        make_experiment(config(arms=arms), default_name="q", where="config")


def test_an_audit_looks_for_the_question_of_a_record_and_not_for_its_documents(charts: Workspace) -> None:
    pages = charts.corpora / "wards" / "pages"
    (pages / "copied.md").write_text(f"# A copy\n\n{example(1).question} Nobody has said so, and nobody will say so.\n")
    (pages / "letter.md").write_text("# Letters\n\nLetters are sealed in the ward and sent by the porter.\n")
    made = make_experiment(config(), default_name="r", where="config")
    found, _ = audit_experiment(made, workspace=charts, settings=AuditSettings(ngram=4))
    (asked,) = found["tasks"]
    leaked = [one["example"] for one in asked["examples"] if any(finding["counts"] for finding in one["findings"])]
    assert leaked == ["r1"]
    assert "holds what holds its answer" not in json.dumps(asked)
    assert [source["name"] for source in found["sources"]] == ["wards"]
