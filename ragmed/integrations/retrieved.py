"""An experiment in, what its retrievers find out: rankings measured and written as TREC files. Loads no language model.

    FOLDER/passages/RETRIEVER-k/TASK.txt      query Q0 passage rank score tag   what another program may read, or rerank
    FOLDER/passages/RETRIEVER-k/TASK.sha256   hash passage                      what they said: a replay is held to it
    FOLDER/runs/RETRIEVER-k/TASK.txt          query Q0 document rank score tag  documents, each at its best passage
    FOLDER/qrels/TASK.txt                     query 0 document relevance

Arms that retrieve alike are one row. Scores in the files count down to 1, as in `integrations/trec.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ragmed.arms import BY_MODEL, Arm, QueryForm
from ragmed.augmentation import Augmentation, text_hash
from ragmed.comparison.diagnosis.gold_documents import ranked_documents
from ragmed.comparison.statistics.intervals import Estimate, generator, group_sums, score_interval
from ragmed.errors import UsageError
from ragmed.experiments.binding import access_of, applies, bind_tasks
from ragmed.experiments.config import Experiment
from ragmed.experiments.references import RecordReferences, References, open_references
from ragmed.experiments.written import recorded_queries
from ragmed.files import make_folder, write_atomic
from ragmed.integrations.trec import encoded, qrels, run_lines
from ragmed.metrics.retrieval import ndcg, recall, reciprocal_rank
from ragmed.records import RECORD, Access, Sample, ShownPassage
from ragmed.retrieval.filtered import FilteredRetriever
from ragmed.retrieval.record import Records
from ragmed.retrieval.trec_run import nothing_file
from ragmed.runs import Run, find_run
from ragmed.tasks import BoundTask
from ragmed.text_table import counted, table, verb
from ragmed.workspace import Workspace

MEASURES = {"ndcg": ndcg, "recall": recall, "mrr": reciprocal_rank}
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Retrieved:
    """How well one retriever ranks for one task; `arms`: those that are shown this.

    `queries`: all that were asked; `n`: those whose gold documents the task names in ids that an index knows, over
    which the measures are means (fractions, documents by their best passage among `k`); the others say nothing.
    `query`: the form of the queries; `filter`: the rule of the retriever's filter, or ''. `left_out`: of how many
    queries a document that the example was made from was among the first k, and taken out; then nothing is measured.
    `empty`: queries that found no passage. `seconds`, `cpu_seconds`: of clock and of processors, a query, without
    opening the index; None where it is not known.
    """

    references: str
    task: str
    arms: tuple[str, ...]
    k: int
    queries: int
    n: int
    empty: int
    seconds: float
    cpu_seconds: float | None
    measures: Mapping[str, Estimate]
    query: QueryForm = "question"
    filter: str = ""
    left_out: int = 0

    @property
    def name(self) -> str:
        """The retriever with the form of the query, where that is not the task's own."""
        return self.references if self.query == "question" else f"{self.references} {self.query}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Rows in the order of the config, the files written, and what a reader must know of them."""

    rows: tuple[Retrieved, ...]
    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def retrieve_experiment(
    experiment: Experiment, *, workspace: Workspace, output: Path | None = None, written_in: str = ""
) -> Outcome:
    """Retrieves for every arm that retrieves:

        retrieve_experiment(load_experiment(path), workspace=Workspace.find()).rows[0].measures["recall"].value

    `output`: a folder for TREC files, of the mode that the strictest data behind them asks for; None: nothing is
    written. A missing index is built first. `written_in`: the run whose arms of the same names hold the queries that
    models wrote. UsageError where no arm retrieves, or a query is still to be written; raises what `open_references`
    and `find_run` raise.
    """
    alike = _alike(experiment, written_in)
    if not alike and any(arm.query in BY_MODEL for arm in experiment.arms.values()):
        raise UsageError(
            "no arm retrieves but those whose models write their queries, and no model is loaded here; name a run that "
            "holds them: --queries RUN"
        )
    if not alike:
        raise UsageError(
            "no arm retrieves: add one with `context: retrieved` that replays no run and has no follow_up, rerank or "
            "evidence_filter"
        )
    bound = bind_tasks(experiment, workspace)
    run = find_run(workspace.runs, written_in) if written_in else None
    rows: list[Retrieved] = []
    samples: dict[str, dict[str, list[Sample]]] = {}
    texts: dict[tuple[str, str], dict[str, str]] = {}
    records = Records()
    for arms in alike:
        references = open_references(arms[0], experiment, workspace=workspace, records=records)
        for task in bound.values():
            asked = [arm for arm in arms if applies(arm, task, experiment)]
            if not asked or not task.examples:
                continue
            if isinstance(references, References):
                references.require_documents(asked[0], task)
            recorded = recorded_queries(run, asked[0], task) if run else {}
            augmenter = references.augmenter(asked[0], seed=experiment.seed, recorded=recorded)
            found = augmenter.augment(task, task.examples, model=None)
            given = _samples(asked[0], task, found)
            filter_ = references.record().get("filter", {}).get("rule", "")
            known = task.task.gold_documents and (
                not isinstance(references, References) or (not task.task.record and references.naming(task.task.ids))
            )
            known = known and not _excludes(references)
            row = row_of(asked, given, found, told=bool(known), seed=experiment.seed)
            rows.append(replace(row, filter=filter_))
            label = "-".join(map(str, _label(asked[0])))
            samples.setdefault(task.name, {})[label] = given
            # An example's record is in no index, and two records may use one id: nothing of one is replayed.
            hits = [hit for one in found for hit in one.hits if hit.passage.corpus != RECORD]
            texts[task.name, label] = {hit.passage.id: text_hash(hit.passage) for hit in hits}
    access = access_of(experiment, bound, workspace)
    paths, notes = _write(samples, texts, output, access) if output else ((), ())
    return Outcome(tuple(rows), paths, (*_left_out(experiment, written_in), *notes))


def _left_out(experiment: Experiment, written_in: str) -> list[str]:
    """Arms that are shown something else than what their retriever ranks, or not yet what they will be."""
    notes = [
        f"{arm.name}: what follow_up, rerank and evidence_filter make of its passages is known from a run alone"
        for arm in experiment.arms.values()
        if any(arm.steps)
    ]
    notes += [
        f"{arm.name}: it is shown what {arm.replay} holds, and retrieves nothing"
        for arm in experiment.arms.values()
        if arm.replay
    ]
    notes += [
        f"{arm.name}: its model writes its queries; name a run that holds them (--queries RUN)"
        for arm in experiment.arms.values()
        if arm.query in BY_MODEL and not written_in
    ]
    if experiment.search:
        notes.append("search: is carried out by ragmed eval; arms are taken here as the config has them before it")
    return notes


def _alike(experiment: Experiment, written_in: str) -> list[list[Arm]]:
    """Arms that retrieve, together where they take as many passages from the same place; those whose models write
    their queries only where these are to be had."""
    kept: dict[tuple[str | int, ...], list[Arm]] = {}
    for arm in experiment.arms.values():
        asks = arm.query not in BY_MODEL or bool(written_in)
        if arm.context == "retrieved" and not arm.replay and not any(arm.steps) and asks:
            kept.setdefault(_label(arm), []).append(arm)
    return list(kept.values())


def _label(arm: Arm) -> tuple[str | int, ...]:
    """What sets apart what arms retrieve: a model writes queries of its own, as each arm's samples hold them."""
    form = () if arm.query == "question" else (arm.query,)
    return (arm.references, arm.k, *form, *((arm.name,) if arm.query in BY_MODEL else ()))


def _excludes(references: References | RecordReferences) -> bool:
    """Whether what the measures look for is taken out of what is found."""
    retriever = references.retriever
    return isinstance(retriever, FilteredRetriever) and bool(retriever.filter.exclude)


def _samples(arm: Arm, bound: BoundTask, found: Sequence[Augmentation]) -> list[Sample]:
    """What was found, as samples hold it, before any budget."""
    return [
        Sample(
            arm.name,
            bound.name,
            example,
            passages=tuple(
                ShownPassage(h.passage.id, str(h.passage.document_key), h.rank, gold=one.gold.get(h.passage.id))
                for h in one.hits
            ),
            left_out=one.left_out,
        )
        for example, one in zip(bound.examples, found, strict=True)
    ]


def row_of(
    arms: Sequence[Arm], given: Sequence[Sample], found: Sequence[Augmentation], *, told: bool, seed: int
) -> Retrieved:
    """The row of one task's samples. `told`: whether passages can be told gold or not, whatever was found: a query that
    found nothing then measures 0, and is no unknown.
    """
    first, task = arms[0], given[0].task
    named = [sample for sample in given if told and sample.example.documents]
    measures = {}
    for name, measure in MEASURES.items() if named else ():
        values = np.array([
            measure(ranked_documents(s)[0], dict.fromkeys(s.example.documents, 1), k=first.k) for s in named
        ])  # fmt: skip
        groups = [f"group {s.example.group}" if s.example.group else f"example {s.example.id}" for s in named]
        interval, method = score_interval(
            *group_sums(values, groups), bounds=(0.0, 1.0), resamples=RESAMPLES,
            rng=generator(seed, "retrieve", task, name, first.references),
        )  # fmt: skip
        measures[name] = Estimate(float(values.mean()), interval, method)
    return Retrieved(
        first.references, task, tuple(arm.name for arm in arms), k=first.k, queries=len(given), n=len(named),
        empty=sum(not sample.passages for sample in given),
        seconds=sum(one.seconds for one in found) / max(1, len(found)),
        cpu_seconds=None if any(one.cpu_seconds is None for one in found)
        else sum(one.cpu_seconds or 0.0 for one in found) / max(1, len(found)), measures=measures,
        query=first.query, left_out=sum(bool(sample.left_out) for sample in given),
    )  # fmt: skip


def _write(
    samples: Mapping[str, Mapping[str, Sequence[Sample]]],
    texts: Mapping[tuple[str, str], Mapping[str, str]],
    folder: Path,
    access: Access,
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    modes = Run(folder, access)
    paths: list[Path] = []
    notes: list[str] = []

    def write(kind: str, parts: Sequence[str], lines: Sequence[str], *, suffix: str = ".txt") -> None:
        *above, last = (quote(part, safe=" +@") for part in parts)
        path = folder.joinpath(kind, *above, f"{last}{suffix}")
        make_folder(path.parent, mode=modes.folder_mode)
        write_atomic(path, "".join(f"{line}\n" for line in lines), mode=modes.file_mode)
        paths.append(path)

    for task, retrievers in samples.items():
        for name, given in retrievers.items():
            write("passages", (name, task), [line for sample in given for line in passage_lines(sample, tag=name)])
            said = [f"{digest} {encoded(id_)}" for id_, digest in sorted(texts[task, name].items())]
            write("passages", (name, task), said, suffix=".sha256")
            nothing_file(paths[-1]).unlink(missing_ok=True)  # one that lies there may be of other questions
            if none := [encoded(sample.example.id) for sample in given if not sample.passages]:
                write("passages", (name, task), none, suffix=".nothing")
            write("runs", (name, task), [line for sample in given for line in run_lines(sample, tag=name)])
        judged, remarks = qrels(retrievers)
        notes += [f"{task}: {remark}" for remark in remarks]
        if judged:
            write("qrels", (task,), [f"{encoded(q)} 0 {encoded(d)} 1" for q, ds in judged.items() for d in ds])
    return tuple(paths), tuple(notes)


def passage_lines(sample: Sample, *, tag: str) -> list[str]:
    """
    >>> from ragmed.records import Example
    >>> passage_lines(Sample("a", "t", Example("q1", "?"), passages=(ShownPassage("b:4#0", "b:4", 1),)), tag="bm25")
    ['q1 Q0 b:4#0 1 1 bm25']
    """
    count = len(sample.passages)
    return [
        f"{encoded(sample.example.id)} Q0 {encoded(shown.id)} {rank} {count + 1 - rank} {encoded(tag)}"
        for rank, shown in enumerate(sorted(sample.passages, key=lambda passage: passage.rank), 1)
    ]


def render_retrieved(outcome: Outcome) -> str:
    """A table of the rows, and lines on what was written."""
    lines = []
    for task in dict.fromkeys(row.task for row in outcome.rows):
        rows = [row for row in outcome.rows if row.task == task]
        cells = [[task, "k", "queries", "nDCG@k", "recall@k", "MRR@k", "ms", "CPU-ms", "without hits"]]
        cells += [
            [row.name, str(row.k), str(row.n), *(_estimate(row.measures.get(name)) for name in MEASURES),
             f"{1000 * row.seconds:.1f}", "-" if row.cpu_seconds is None else f"{1000 * row.cpu_seconds:.1f}",
             str(row.empty)]
            for row in rows
        ]  # fmt: skip
        lines += [*table(cells, right=range(1, 9)), ""]
        lines += [f"  {row.name}: {line}" for row in rows for line in _said(row)]
    lines += ["95 % intervals over queries; ms: of clock and of processors, a query; no language model was loaded"]
    lines += [f"note: {note}" for note in outcome.notes]
    lines += [f"{path}" for path in outcome.paths]
    return "\n".join(lines)


def _said(row: Retrieved) -> list[str]:
    """What a reader must know of a row."""
    lines = [f"filtered: {row.filter}"] if row.filter else []
    if row.query == "question+options":
        lines.append("the options stand in its queries, and one of them is the answer")
    if "exclude" in row.filter:
        lines.append(
            f"for {row.left_out} of {counted(row.queries, 'query')} a document that the question was made from would "
            f"have been among the first {row.k}, and was kept from being found; with these gone nothing is measured"
        )
    elif row.n < row.queries:
        none = row.queries - row.n
        lines.append(
            f"{none} of {counted(row.queries, 'query')} {verb(none, 'has', 'have')} no gold document that the index "
            f"could name; no measure counts {verb(none, 'it', 'them')}"
        )
    return lines


def _estimate(found: Estimate | None) -> str:
    return f"{found.value:.3f} [{found.ci[0]:.3f}, {found.ci[1]:.3f}]" if found else "-"
