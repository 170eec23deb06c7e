"""Filters over retrievers: only what passes is found, all k of it, and what they leave out is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ragmed.augmentation import FromReferences
from ragmed.errors import MismatchError, UnknownNameError, UsageError
from ragmed.experiments.config import load_experiment, make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.index.store import Index
from ragmed.integrations.retrieved import render_retrieved, retrieve_experiment
from ragmed.machine import Spent, count_as_spent
from ragmed.records import DocumentKey, Hit, Passage
from ragmed.retrieval.filtered import FilteredRetriever
from ragmed.retrieval.filters import Filter
from ragmed.retrieval.named import build_named
from ragmed.retrieval.spec import RetrieverSpec, make_retriever
from ragmed.runs import find_run
from ragmed.workspace import Workspace

YEARS = ("2012", "2014-03", "2014-11-30", "2015", "2015-02", "2016", "", "n.d.")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Sixty records on gout, eight a year or without one, every third of another publisher, half of them private."""
    for name, access in (("notes", "open"), ("wards", "private")):
        (tmp_path / "corpora" / name).mkdir(parents=True)
        recipe = f"title: {name}\nreader: jsonl\npaths: [notes.jsonl]\nids: note\naccess: {access}\n"
        (tmp_path / "corpora" / name / "recipe.yaml").write_text(recipe)
        records = [
            {"id": f"{name[0]}{i}", "text": f"Gout is treated with colchicine{' again' * i}.", "date": YEARS[i % 8],
             "source": "https://a.example" if i % 3 else "https://b.example"}
            for i in range(30)
        ]  # fmt: skip
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / "corpora" / name / "notes.jsonl").write_text(lines)
    (tmp_path / "indexes" / "all").mkdir(parents=True)
    (tmp_path / "indexes" / "all" / "recipe.yaml").write_text("corpora: [notes, wards]\nembedder: hashing:64\n")
    build_named("all", workspace=Workspace(tmp_path))
    return Workspace(tmp_path)


SPECS = {
    "words": RetrieverSpec("bm25", index="all"),
    "both": RetrieverSpec("rrf", of=("words", "all")),
    "varied": RetrieverSpec("mmr", of=("both",), mmr_lambda=0.5, depth=20),
}


def found(workspace: Workspace, of: str, filter_: Filter, *, k: int = 10) -> list[Passage]:
    spec = RetrieverSpec("filter", of=(of,), filter=filter_)
    retriever = make_retriever(spec, specs=SPECS, workspace=workspace)
    hits = retriever.retrieve(["how is gout treated"], k=k)[0]
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    return [hit.passage for hit in hits]


@pytest.mark.parametrize("of", ["all", "words", "both"])
@pytest.mark.parametrize(
    ("filter_", "passing"),
    [
        (Filter(corpora=("wards",)), lambda p: p.corpus == "wards"),
        (Filter(access="open"), lambda p: p.corpus == "notes"),
        (Filter(sources=("https://b.*",)), lambda p: p.source == "https://b.example"),
        (Filter(documents=("n1", "wards:w1.")), lambda p: p.document == "n1" or p.document[:2] == "w1" != p.document),
        (Filter(not_documents=("n.*",)), lambda p: p.corpus == "wards"),
        (Filter(before="2015"), lambda p: p.date in ("2012", "2014-03", "2014-11-30")),
        (Filter(before="2015-02-01"), lambda p: p.date in ("2012", "2014-03", "2014-11-30")),
        (Filter(before="2014-11", undated="keep"), lambda p: p.date in ("2012", "2014-03", "", "n.d.")),
        (Filter(before="2016", access="open"), lambda p: p.corpus == "notes" and "2011" < p.date < "2016"),
    ],
)  # fmt: skip
def test_what_passes_is_found_as_if_the_index_held_nothing_else(
    workspace: Workspace, of: str, filter_: Filter, passing: Any
) -> None:
    whole = make_retriever(SPECS.get(of, RetrieverSpec(index=of)), specs=SPECS, workspace=workspace)
    every = [hit.passage for hit in whole.retrieve(["how is gout treated"], k=60)[0]]
    assert len(every) == 60
    mine = found(workspace, of, filter_, k=60)
    assert {p.id for p in mine} == {p.id for p in every if passing(p)}
    assert found(workspace, of, filter_, k=4) == mine[:4]
    if of != "both":  # ranks of parts are counted among what passes, so a fusion's order may be another
        assert mine == [p for p in every if passing(p)]


def test_a_filter_over_a_fusion_is_put_before_its_parts(workspace: Workspace) -> None:
    hits = make_retriever(
        RetrieverSpec("filter", of=("both",), filter=Filter(corpora=("wards",))), specs=SPECS, workspace=workspace
    ).retrieve(["how is gout treated"], k=3)[0]
    assert hits[0].parts == {"words": 1, "all": 1}


def test_a_filter_over_a_fusion_of_two_indexes_narrows_each(workspace: Workspace) -> None:
    for name in ("notes", "wards"):
        (workspace.indexes / f"of-{name}").mkdir()
        (workspace.indexes / f"of-{name}" / "recipe.yaml").write_text(f"corpora: [{name}]\nembedder: hashing:64\n")
        build_named(f"of-{name}", workspace=workspace)
    specs = {name: RetrieverSpec("bm25", index=f"of-{name}") for name in ("notes", "wards")}
    specs |= {"two": RetrieverSpec("rrf", of=("notes", "of-wards"))}

    def through(filter_: Filter, of: str = "two") -> list[Hit]:
        spec = RetrieverSpec("filter", of=(of,), filter=filter_)
        return make_retriever(spec, specs=specs, workspace=workspace).retrieve(["how is gout treated"], k=60)[0]

    old = through(Filter(before="2014"))
    ranks = {hit.passage.id: rank for of in ("notes", "of-wards") for rank, hit in enumerate(
        through(Filter(before="2014"), of), 1)}  # fmt: skip
    assert {hit.passage.id: next(iter(hit.parts.values())) for hit in old} == ranks
    assert [rank for hit in old for rank in hit.parts.values()] == sorted(ranks.values())
    assert {hit.passage.corpus for hit in old} == {"notes", "wards"}
    # Where an index holds nothing that passes, the others are what is found, and it is no error.
    assert {hit.passage.corpus for hit in through(Filter(access="open"))} == {"notes"}
    assert {hit.passage.corpus for hit in through(Filter(corpora=("wards",)))} == {"wards"}


def test_a_passage_keeps_date_and_access_of_its_document(workspace: Workspace) -> None:
    first = found(workspace, "words", Filter(corpora=("wards",)), k=1)[0]
    assert (first.date, first.access) == ("2012", "private")


@pytest.mark.parametrize(
    ("filter_", "error", "message"),
    [
        (Filter(), UsageError, "its filter says nothing"),
        (Filter(undated="keep"), UsageError, "its filter says nothing"),
        (Filter(access="open", undated="keep"), UsageError, "undated means nothing without filter.before"),
        (Filter(before="soon"), UsageError, "'soon' is neither 'question' nor a date"),
        (Filter(before="2015-13"), UsageError, "'2015-13' is neither 'question' nor a date"),
        (Filter(documents=("(",)), UsageError, "is no regular expression"),
        (Filter(corpora=("note",)), UnknownNameError, "unknown corpus 'note'.*did you mean 'notes'"),
        (Filter(before="2011"), MismatchError, r"none of the 60 documents of all through \(12 have no date\)"),
        (Filter(documents=("x",)), MismatchError, "none of the 60 documents of all through: nothing could be"),
    ],
)
def test_what_filters_nothing_or_everything_is_refused(
    workspace: Workspace, filter_: Filter, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        found(workspace, "all", filter_)


def test_a_filter_that_looks_at_examples_is_over_all_that_is_fused(workspace: Workspace) -> None:
    specs = {**SPECS, "then": RetrieverSpec("filter", of=("words",), filter=Filter(before="question"))}
    with pytest.raises(UsageError, match="'then' is a part of another, and its filter looks at each example"):
        make_retriever(RetrieverSpec("rrf", of=("then", "all")), specs=specs, workspace=workspace)
    with pytest.raises(UsageError, match="a query alone is of none"):
        make_retriever(specs["then"], specs=specs, workspace=workspace).retrieve(["gout"], k=1)


def trial(workspace: Workspace, filter_: Any, of: str = "both", **changes: Any) -> Any:
    questions = [
        {"id": f"q{year}", "question": "How is gout treated?", "options": {"A": "Colchicine", "B": "Casts"},
         "answer": "A", "date": str(year), "documents": [f"n{i}"]}
        for i, year in enumerate((2011, 2012, 2015, 2019))
    ]  # fmt: skip
    (workspace.root / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in questions))
    raw: dict[str, Any] = {
        "models": {"m": "scripted:first-option"},
        "index": "all",
        "retrievers": {
            "words": {"method": "bm25"}, "both": {"method": "rrf", "of": ["words", "all"]},
            "some": {"method": "filter", "of": [of], "filter": filter_},
        },
        "tasks": {"own": {"file": "own.jsonl", "access": "private"}},
        "arms": {
            "closed": {"model": "m"}, "rag": {"model": "m", "context": "retrieved", "retriever": "some", "k": 5},
        },
    }  # fmt: skip
    return make_experiment(raw | changes, default_name="t", where="config")


def test_nothing_newer_than_the_question_and_no_closed_book_where_nothing_is_left(workspace: Workspace) -> None:
    results = run_experiment(trial(workspace, {"before": "question"}), workspace=workspace)
    samples = {s.example.id: s for s in find_run(workspace.runs, "t").samples()["rag", "own"]}
    years = {f"{c}:{c[0]}{i}": YEARS[i % 8] for c in ("notes", "wards") for i in range(30)}
    shown = {id_: {years[p.document] for p in sample.passages} for id_, sample in samples.items()}
    assert shown["q2011"] == set()
    assert (samples["q2011"].finish, samples["q2011"].completion) == ("error", None)
    assert "the filter of 'some' leaves no passage that could be found for it: not asked" in samples["q2011"].error
    assert shown["q2012"] == {"2012"}
    assert all(date <= "2015-12" for date in shown["q2015"])
    assert {len(samples[f"q{year}"].passages) for year in (2012, 2015, 2019)} == {5}
    notes = "\n".join(results.notes)
    assert "some is filtered (before question (undated: drop)): whatever the example, 60 of 60 documents" in notes
    assert "12 have no date" in notes
    run_experiment(trial(workspace, {"before": "question"}), workspace=workspace)  # the same trial still
    with pytest.raises(MismatchError, match=r"retrievers.some.filter"):
        run_experiment(trial(workspace, {"before": "2015"}), workspace=workspace)


@pytest.mark.parametrize("of", ["all", "words", "both"])
def test_the_document_that_a_question_was_made_from_is_left_out_and_counted(workspace: Workspace, of: str) -> None:
    experiment = trial(workspace, {"exclude": "source"}, of)
    results = run_experiment(experiment, workspace=workspace)
    samples = find_run(workspace.runs, "t").samples()["rag", "own"]
    assert all(len(sample.passages) == 5 for sample in samples)
    assert not any(p.document == f"notes:{sample.example.documents[0]}" for sample in samples for p in sample.passages)
    plain = make_retriever(SPECS.get(of, RetrieverSpec(index=of)), specs=SPECS, workspace=workspace)
    first = {hit.passage.document for hit in plain.retrieve(["How is gout treated?"], k=5)[0]}
    expected = [sample.example.id for sample in samples if sample.example.documents[0] in first]
    assert [sample.example.id for sample in samples if sample.left_out] == expected
    counted = "'rag' on 'own': the documents that it was made from are named for 4 of 4 questions; "
    counted += f"for {len(expected)} of these one would have been among the first 5 passages, and was kept from being"
    assert sum(counted in note for note in results.notes) == 1
    outcome = retrieve_experiment(experiment, workspace=workspace)
    assert (outcome.rows[0].left_out, outcome.rows[0].measures) == (len(expected), {})
    assert f"for {len(expected)} of 4 queries a document that the question was made from" in render_retrieved(outcome)


def test_counting_what_was_kept_out_is_no_cost_of_a_question(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, counted = FromReferences.kept_out, []

    def slow(self: FromReferences, *given: Any, k: int) -> list[tuple[str, ...]]:
        counted.append(k)
        count_as_spent(Spent(1000.0, 1000.0))
        return whole(self, *given, k=k)

    monkeypatch.setattr(FromReferences, "kept_out", slow)
    run_experiment(trial(workspace, {"exclude": "source"}), workspace=workspace)
    samples = find_run(workspace.runs, "t").samples()["rag", "own"]
    assert counted == [5]
    assert all(sample.retrieval_seconds < 100 > (sample.retrieval_cpu_seconds or 0) for sample in samples)


@pytest.mark.parametrize("of", ["all", "words", "both", "varied"])
def test_a_source_is_out_before_anything_is_ranked(workspace: Workspace, of: str) -> None:
    sources = [frozenset({DocumentKey("notes", f"n{i}"), DocumentKey("wards", f"w{i}")}) for i in (3, 9)]
    queries, dates = ["how is gout treated", "how is gout treated", "again"], ["2014", "2014", ""]
    out = [*sources, sources[0]]

    def over(filter_: Filter) -> FilteredRetriever:
        spec = RetrieverSpec("filter", of=(of,), filter=filter_)
        return cast(FilteredRetriever, make_retriever(spec, specs=SPECS, workspace=workspace))

    for rule in (Filter(exclude="source"), Filter(exclude="source", before="question")):
        asked = dates if rule.before else [""] * 3
        together = over(rule).retrieve_at(queries, asked, k=12, without=out)
        for query, date, source, hits in zip(queries, asked, out, together, strict=True):
            plain = replace(rule, exclude="", not_documents=tuple(map(str, source)))
            as_if = over(plain).retrieve_at([query], [date], k=12)[0] if date or not rule.before else []
            assert hits == as_if  # scores, ranks and the ranks of parts, as if those documents were in no index
            assert hits or (rule.before and not date)
        assert [hits[:4] for hits in together] == over(rule).retrieve_at(queries, asked, k=4, without=out)


def test_what_a_filter_needs_of_a_task_is_seen_before_anything_is_asked(workspace: Workspace) -> None:
    def without(key: str, filter_: Any) -> Any:
        experiment = trial(workspace, filter_)
        records = [json.loads(line) for line in (workspace.root / "own.jsonl").read_text().splitlines()]
        del records[1][key]
        (workspace.root / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
        return experiment

    for call in (run_experiment, retrieve_experiment):
        with pytest.raises(MismatchError, match=r"needs the date of every example, and 1 of 4 has none \('q2012'\)"):
            call(without("date", {"before": "question"}), workspace=workspace)
    assert not (workspace.runs / "t" / "samples").exists()
    experiment = trial(workspace, {"exclude": "source"})
    text = (workspace.root / "own.jsonl").read_text()
    records = [{k: v for k, v in json.loads(line).items() if k != "documents"} for line in text.splitlines()]
    (workspace.root / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    with pytest.raises(MismatchError, match="names none that a corpus of 'some' would know"):
        run_experiment(experiment, workspace=workspace)


def test_dates_and_ids_are_taken_as_yaml_reads_them(workspace: Workspace) -> None:
    (workspace.root / "t.yaml").write_text(
        "models: {m: scripted:echo}\nindex: all\ntasks: {mmlu: {}}\n"
        "arms: {rag: {model: m, context: retrieved, retriever: old, k: 1}}\nretrievers:\n  words: {method: bm25}\n"
        "  old: {method: filter, of: [words], filter: {before: 2015-07-01, documents: [17]}}\n"
        "  older: {method: filter, of: [words], filter: {before: 2015}}\n"
    )
    retrievers = load_experiment(workspace.root / "t.yaml").retrievers
    assert retrievers["old"].filter == Filter(before="2015-07-01", documents=("17",))
    assert retrievers["older"].filter == Filter(before="2015")


def test_a_record_has_no_filter(workspace: Workspace) -> None:
    retrievers = {
        "mine": {"method": "bm25", "record": True},
        "some": {"method": "filter", "of": ["mine"], "filter": {"before": "2015"}},
    }
    with pytest.raises(UsageError, match="a filter narrows what an index holds, and is none of a record"):
        trial(workspace, {}, retrievers=retrievers)


def samples_of(workspace: Workspace, arm: str = "rag") -> dict[str, Any]:
    return {sample.example.id: sample for sample in find_run(workspace.runs, "t").samples()[arm, "own"]}


@pytest.mark.parametrize("context", ["poisoned", "distractor"])
def test_where_a_filter_leaves_nothing_no_context_asks_all_the_same(workspace: Workspace, context: str) -> None:
    arm = {"model": "m", "context": context, "retriever": "some", "k": 3}
    experiment = trial(workspace, {"before": "question"}, arms={"closed": {"model": "m"}, "rag": arm})
    run_experiment(experiment, workspace=workspace)
    samples = samples_of(workspace)
    assert (samples["q2011"].finish, samples["q2011"].passages) == ("error", ())
    assert "the filter of 'some' leaves no passage" in samples["q2011"].error
    assert {samples[f"q{year}"].finish for year in (2012, 2015, 2019)} == {"stop"}


def test_a_distractor_of_another_question_is_no_newer_than_the_one_that_it_is_shown_for(workspace: Workspace) -> None:
    arm = {"model": "m", "context": "distractor", "retriever": "some", "k": 3}
    experiment = trial(workspace, {"before": "question"}, "words", arms={"rag": arm})
    records = [json.loads(line) for line in (workspace.root / "own.jsonl").read_text().splitlines()][1:]
    for record in records:
        record["documents"] = ["elsewhere"]  # which no index holds
    records[0]["question"] = "Which?"  # finds nothing itself, so that all that is found for another is left
    (workspace.root / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    run_experiment(experiment, workspace=workspace)
    years = {f"{c}:{c[0]}{i}": YEARS[i % 8] for c in ("notes", "wards") for i in range(30)}
    assert [years[p.document] for p in samples_of(workspace)["q2012"].passages] == ["2012"] * 3


def test_a_source_stays_out_in_every_round_and_each_time_is_counted(workspace: Workspace) -> None:
    (workspace.root / "script.yaml").write_text(
        '- {contains: "short search queries", answer: "gout again again again again"}\n- {default: "A"}\n'
    )
    arm = {"model": "m", "context": "retrieved", "retriever": "some", "k": 5, "follow_up": {"queries": 1}}
    experiment = trial(
        workspace, {"before": "question", "exclude": "source"}, "words",
        models={"m": f"scripted:{workspace.root / 'script.yaml'}"}, arms={"rag": arm},
    )  # fmt: skip
    records = [json.loads(line) for line in (workspace.root / "own.jsonl").read_text().splitlines()]
    records[3] |= {"documents": ["n28"]}  # no early hit of the question, but one of the query that follows
    (workspace.root / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records[1:]))
    run_experiment(experiment, workspace=workspace)
    years = {f"{c}:{c[0]}{i}": YEARS[i % 8] for c in ("notes", "wards") for i in range(30)}
    for sample in samples_of(workspace).values():
        source = f"notes:{sample.example.documents[0]}"
        assert [step.queries for step in sample.steps] == [("gout again again again again",)]
        assert len(sample.passages) == 5
        assert source not in {passage.document for passage in sample.passages}
        assert all(years[p.document] <= f"{sample.example.date}-12" for p in sample.passages)
    assert samples_of(workspace)["q2019"].left_out == ("notes:n28",)


def test_a_replay_of_a_question_that_was_not_asked_asks_it_no_more(workspace: Workspace) -> None:
    run_experiment(trial(workspace, {"before": "question"}), workspace=workspace)
    again = {"model": "m", "context": "retrieved", "k": 5, "replay": "t/rag"}
    raw = trial(workspace, {"before": "question"}, arms={"again": again}, name="u")
    run_experiment(raw, workspace=workspace)
    samples = {s.example.id: s for s in find_run(workspace.runs, "u").samples()["again", "own"]}
    first = samples_of(workspace)
    assert samples["q2011"].error == f"not asked in the run that is replayed: {first['q2011'].error}"
    assert [p.id for p in samples["q2019"].passages] == [p.id for p in first["q2019"].passages]


def again(workspace: Workspace, replay: str, filter_: Any, name: str = "u") -> Any:
    arm = {"model": "m", "context": "retrieved", "retriever": "some", "k": 5, "replay": replay}
    experiment = trial(workspace, filter_, "words", arms={"closed": {"model": "m"}, "again": arm}, name=name)
    text = (workspace.root / "own.jsonl").read_text().splitlines(keepends=True)
    (workspace.root / "own.jsonl").write_text("".join(text[1:]))  # without the question for which nothing passes
    run_experiment(experiment, workspace=workspace)
    return find_run(workspace.runs, name).samples()["again", "own"]


def test_what_is_replayed_is_held_to_the_filter_of_the_arm(workspace: Workspace, tmp_path: Path) -> None:
    """Else the results would say of it that it is filtered."""
    filter_ = {"before": "question", "exclude": "source"}
    run_experiment(trial(workspace, filter_, "words"), workspace=workspace)
    first = [sample for sample in samples_of(workspace).values() if sample.passages]
    path = tmp_path / "own.txt"

    def write(change: Any = lambda sample, id_: id_) -> str:
        lines = [
            f"{s.example.id} Q0 {change(s, p.id)} {p.rank} {6 - p.rank} x\n" for s in first for p in s.passages
        ]  # fmt: skip
        path.write_text("".join(lines))
        return f"trec:{path}"

    for name, replay in (("u", "t/rag"), ("v", write())):
        shown = again(workspace, replay, filter_, name)
        assert [[p.id for p in s.passages] for s in shown] == [[p.id for p in s.passages] for s in first]
    newer = write(lambda s, id_: "wards:w5#0" if (s.example.id, id_) == ("q2012", s.passages[4].id) else id_)
    with pytest.raises(
        MismatchError, match=r"'wards:w5#0', replayed for example 'q2012', does not pass, and the filter"
    ):
        again(workspace, newer, filter_, "w")
    source = write(lambda s, id_: "notes:n2#0" if (s.example.id, id_) == ("q2015", s.passages[4].id) else id_)
    with pytest.raises(MismatchError, match="'notes:n2#0', replayed for example 'q2015', is of a document that it was"):
        again(workspace, source, filter_, "x")
    unfiltered = {"closed": {"model": "m"}, "rag": {"model": "m", "context": "retrieved", "retriever": "words", "k": 5}}
    run_experiment(trial(workspace, filter_, "words", arms=unfiltered, name="plain"), workspace=workspace)
    with pytest.raises(MismatchError, match="replay what was found through that filter, or name the index instead"):
        again(workspace, "plain/rag", filter_, "y")


@pytest.mark.parametrize("of", ["words", "both"])
def test_the_documents_are_read_once_however_many_dates_are_asked_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    reads = 0
    documents = Index.documents

    def counted(index: Index) -> Any:
        nonlocal reads
        reads += 1
        return documents(index)

    monkeypatch.setattr(Index, "documents", counted)
    specs = {**SPECS, "open": RetrieverSpec("filter", of=(of,), filter=Filter(access="open"))}
    spec = RetrieverSpec("filter", of=("open",), filter=Filter(before="question"))
    retriever = make_retriever(spec, specs=specs, workspace=workspace)
    assert isinstance(retriever, FilteredRetriever)
    dates = [f"20{year}-0{month}" for year in range(12, 17) for month in range(1, 10)]
    found = retriever.retrieve_at(["how is gout treated"] * len(dates), dates, k=30)
    assert reads == 2  # once a filter
    for date, hits in zip(dates, found, strict=True):
        passing = [i for i in range(30) if YEARS[i % 8][:2] == "20" and (YEARS[i % 8] + "-12-31")[:10] <= f"{date}-31"]
        latest = {f"n{i}" for i in passing if YEARS[i % 8] + "-12-31"[len(YEARS[i % 8]) - 4 :] <= f"{date}-31"}
        assert {hit.passage.document for hit in hits} == latest


def test_the_last_date_of_a_task_is_the_one_that_lets_the_most_through(workspace: Workspace) -> None:
    """A year alone means its last day, though it is written before its months."""
    experiment = trial(workspace, {"before": "question", "documents": ["n4"]}, "words")  # of 2015-02
    records = [json.loads(line) for line in (workspace.root / "own.jsonl").read_text().splitlines()][1:3]
    records[0]["date"], records[1]["date"] = "2015", "2015-01-31"
    (workspace.root / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    run_experiment(experiment, workspace=workspace)
    assert [p.document for p in samples_of(workspace)["q2012"].passages] == ["notes:n4"]
    assert "leaves no passage" in samples_of(workspace)["q2015"].error
