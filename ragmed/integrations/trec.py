"""A run in, TREC run files and qrels out: what each arm was shown, as trec_eval and its kin read it.

    FOLDER/runs/ARM/TASK.txt   query Q0 document rank score tag
    FOLDER/qrels/TASK.txt      query 0 document relevance

A document stands once for each query, at its best passage. trec_eval orders by score and, among equal scores, by name:
so the score here is not the similarity, but counts down to 1 at the last document. White space, `%` and what cannot be
printed are percent-encoded in queries, documents and tags (`urllib.parse.unquote` turns them back).

A gold document has the name that its example has for it (a PMID), any other is `CORPUS:DOCUMENT`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ragmed.comparison.diagnosis.gold_documents import ranked_documents, tells_gold
from ragmed.errors import DataError
from ragmed.files import make_folder, write_atomic
from ragmed.records import Example, Sample, ShownPassage
from ragmed.runs import Run
from ragmed.text_table import counted, verb

NOT_RETRIEVED = ("full", "oracle", "distractor", "conflict", "poisoned")


@dataclass(frozen=True, slots=True)
class TrecFiles:
    """What was written, and what a reader must know of it."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def export_trec(run: Run, folder: Path) -> TrecFiles:
    """
        export_trec(find_run(runs, "trial"), Path("out")).paths
        # (Path("out/runs/general+rag/medqa.txt"), Path("out/qrels/medqa.txt"))

    Arms that retrieve, task by task. Left out are those that are shown records whole, and those whose passages were
    chosen (oracle, distractor, conflict) or planted among the retrieved ones (poisoned). Relevant are the
    gold documents of an example; where a run keeps no such list, those that an arm was shown and that are known to be
    gold, which a note says: recall then counts only what was found. DataError where no arm was shown a passage.
    """
    contexts = {name: arm.get("context") for name, arm in run.info()["experiment"]["arms"].items()}
    tasks: dict[str, dict[str, list[Sample]]] = {}
    for arm, task, sample in run.stream():
        if contexts.get(arm) not in NOT_RETRIEVED:
            tasks.setdefault(task, {}).setdefault(arm, []).append(_slim(sample))
    paths: list[Path] = []
    notes = [f"{a}: {c} passages were not retrieved, left out" for a, c in contexts.items() if c in NOT_RETRIEVED]
    for task, arms in tasks.items():
        shown = {arm: given for arm, given in arms.items() if any(sample.passages for sample in given)}
        if not shown:
            continue
        for arm, given in shown.items():
            lines = [line for sample in given for line in run_lines(sample, tag=arm)]
            paths.append(_write(run, folder / "runs", run.samples_file(arm, task), lines, parts=2))
        judged, remarks = qrels(shown)
        notes += [f"{task}: {remark}" for remark in remarks]
        if judged:
            lines = [f"{encoded(q)} 0 {encoded(d)} 1" for q, documents in judged.items() for d in documents]
            paths.append(_write(run, folder / "qrels", run.samples_file(arm, task), lines, parts=1))
    if not paths:
        raise DataError(f"no arm of run '{run.name}' was shown retrieved passages: there is nothing to rank")
    return TrecFiles(tuple(paths), tuple(notes))


def _slim(sample: Sample) -> Sample:
    """Without what is not needed here, which is nearly all of it."""
    example = Example(sample.example.id, "", documents=sample.example.documents)
    passages = tuple(ShownPassage(p.id, p.document, p.rank, gold=p.gold) for p in sample.passages)
    return Sample(sample.arm, sample.task, example, passages=passages)


def _write(run: Run, folder: Path, samples_file: Path, lines: Sequence[str], *, parts: int) -> Path:
    path = folder.joinpath(*samples_file.parts[-parts:]).with_suffix(".txt")
    make_folder(path.parent, mode=run.folder_mode)
    write_atomic(path, "".join(f"{line}\n" for line in lines), mode=run.file_mode)
    return path


def run_lines(sample: Sample, *, tag: str) -> Iterator[str]:
    """
    list(run_lines(sample, tag="general+rag"))
    # ["q1 Q0 books:4 1 2 general+rag", "q1 Q0 books:9 2 1 general+rag"]
    """
    documents, _ = ranked_documents(sample)
    for rank, document in enumerate(documents, 1):
        score = len(documents) + 1 - rank
        yield f"{encoded(sample.example.id)} Q0 {encoded(document)} {rank} {score} {encoded(tag)}"


def qrels(arms: Mapping[str, Sequence[Sample]]) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Query -> its relevant documents, for the queries that have any, and remarks on them."""
    relevant: dict[str, dict[str, None]] = {}
    for given in arms.values():
        for sample in given:
            relevant.setdefault(sample.example.id, {}).update(dict.fromkeys(sample.example.documents))
    listed = any(relevant.values())
    if not listed:
        for given in arms.values():
            for sample in given:
                gold = ranked_documents(sample)[1]
                relevant[sample.example.id].update(
                    dict.fromkeys(document for document, is_gold in gold.items() if is_gold)
                )
    known = {query: list(documents) for query, documents in relevant.items() if documents}
    every = [sample for given in arms.values() for sample in given]
    any_shown = any(sample.passages for sample in every)
    if known and any_shown and not tells_gold(every) and not any(_shares_a_name(sample) for sample in every):
        return {}, ("the index does not name documents as the task does: no run could be held against qrels",)
    if not known:
        return {}, ("no gold documents are known, so that there are no qrels",)
    missing = len(relevant) - len(known)
    remarks = (
        [f"{missing} of {counted(len(relevant), 'query')} {verb(missing, 'has', 'have')} no gold document"]
        if missing
        else []
    )
    if not listed:
        remarks.append("the qrels hold only gold documents that an arm was shown: recall is of what was found")
    return known, tuple(remarks)


def _shares_a_name(sample: Sample) -> bool:
    return any(passage.document in sample.example.documents for passage in sample.passages)


def encoded(name: str) -> str:
    """
    >>> encoded("case 7/b"), encoded("100%"), encoded("é")
    ('case%207/b', '100%25', 'é')

    One word of a TREC file. DataError for an empty name, which would shift the columns.
    """
    if not name:
        raise DataError("an example, document or arm without a name cannot stand in a TREC file; give it an id")
    return "".join(
        quote(c.encode("utf-8", "replace"), safe="") if c == "%" or c.isspace() or not c.isprintable() else c
        for c in name
    )
