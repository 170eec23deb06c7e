"""What the form of a query changes in what is found: each form against the question, over the same queries.

    python benchmarks/queries.py --task bioasq --index pubmed-words --methods bm25
    python benchmarks/queries.py --task handbook-questions --index handbook --model packaged:smollm2-135m --written FILE

nDCG@10 and recall@10 of documents, each at its best of 100 passages; relevant are the gold documents that the index
holds, and queries without one are left out and counted. Means with 95 % intervals over queries, and the paired
difference to the question, with its interval (BCa bootstrap, 10,000 draws), a sign-flip test, and Holm's adjustment
over all tests printed. Methods: bm25, dense, and rrf of the two. With `--model`, `hyde` and `rewrite` by it, greedily;
`--written` keeps what it wrote in a JSON file, and takes what is there already. A query that could not be written finds
nothing, and counts as 0. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from ragmed.arms import BY_MODEL, QUERY_FORMS, QueryForm
from ragmed.comparison.statistics.differences import difference_evidence
from ragmed.comparison.statistics.intervals import generator, group_sums, score_interval
from ragmed.comparison.statistics.significance import holm, sign_flip
from ragmed.errors import RagmedError
from ragmed.metrics.retrieval import ndcg, recall
from ragmed.models import ModelSettings, load_model
from ragmed.queries import Asked, Queries, written
from ragmed.records import Hit
from ragmed.retrieval import Retriever
from ragmed.retrieval.fusion import fuse
from ragmed.retrieval.named import open_index
from ragmed.retrieval.spec import RetrieverSpec, make_retriever
from ragmed.tasks import BoundTask, TaskSettings, load_task
from ragmed.workspace import Workspace

K, DEPTH, RESAMPLES, WINDOW = 10, 100, 10_000, 25
MEASURES = {"nDCG@10": ndcg, "recall@10": recall}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="bioasq")
    parser.add_argument("--index", default="pubmed-words")
    parser.add_argument("--limit", type=int, default=0, help="questions (0: all)")
    parser.add_argument("--methods", nargs="+", choices=("bm25", "dense", "rrf"), default=["bm25"])
    parser.add_argument("--model", default="", help="who writes hyde and rewrite")
    parser.add_argument("--forms", nargs="+", choices=tuple(QUERY_FORMS), help="besides the question; default: all")
    parser.add_argument("--written", type=Path, help="a JSON file of written queries")
    parser.add_argument("--root", type=Path, default=Path())
    options = parser.parse_args()
    try:
        print(compared(options))
    except RagmedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def compared(options: argparse.Namespace) -> str:
    workspace = Workspace.find(options.root)
    bound = load_task(options.task, TaskSettings(limit=options.limit), workspace=workspace, seed=0)
    index = open_index(options.index, workspace=workspace)
    held = index.passages_of(sorted({d for e in bound.examples for d in e.documents}), ids=bound.task.ids)
    gold = {e.id: {p.document: 1 for d in e.documents for p in held[d]} for e in bound.examples}
    examples = [example for example in bound.examples if gold[example.id]]
    forms: list[QueryForm] = [
        f for f in options.forms or QUERY_FORMS if f != "question" and (options.model or f not in BY_MODEL)
    ]
    every: list[QueryForm] = ["question", *forms]
    asked = {form: queries_of(form, bound, workspace, options) for form in every}
    specs = {name: RetrieverSpec(name, index=options.index) for name in ("bm25", "dense")}
    specs["rrf"] = RetrieverSpec("rrf", of=("bm25", "dense"))
    lines: list[list[str]] = []
    tests: list[tuple[int, int, float]] = []
    for method in options.methods:
        retriever = make_retriever(specs[method], specs=specs, workspace=workspace, indexes={options.index: index})
        values = {}
        for form, queries in asked.items():
            ranked = [documents(retriever, queries[example.id]) for example in examples]
            values[form] = {
                name: np.array([m(one, gold[e.id], k=K) for one, e in zip(ranked, examples, strict=True)])
                for name, m in MEASURES.items()
            }
            cells = [mean(values[form][name], method, form, name) for name in MEASURES]
            for name in MEASURES if form != "question" else ():
                difference = values[form][name] - values["question"][name]
                said, p = against(difference, method, form, name)
                cells.append(said)
                tests.append((len(lines), len(cells), p))
                cells.append("")
            failed = sum(not queries[example.id].queries for example in examples)
            lines.append([method, f"{form} ({failed} failed)" if failed else form, *cells])
    for (row, place, _), adjusted in zip(tests, holm([p for *_, p in tests]), strict=True):
        lines[row][place + 2] = f"{adjusted:.3g}"
    widest = max(len(line) for line in lines)
    head = [
        "method",
        "query",
        *MEASURES,
        *(part for name in MEASURES for part in (f"{name} - question's", "adjusted p")),
    ]
    table = [head, ["---"] * len(head), *([*line, *[""] * (widest - len(line))] for line in lines)]
    left = len(bound.examples) - len(examples)
    said = (
        f"{options.task} over {options.index}: {len(examples)} queries, {left} without a gold document there left out"
    )
    return "\n".join([said, "", *("| " + " | ".join(line) + " |" for line in table)])


def queries_of(
    form: QueryForm, bound: BoundTask, workspace: Workspace, options: argparse.Namespace
) -> dict[str, Asked]:
    if form not in BY_MODEL:
        return dict(zip((e.id for e in bound.examples), Queries(form).of(bound, bound.examples), strict=True))
    kept = json.loads(options.written.read_text()) if options.written and options.written.exists() else {}
    open_ = [e for e in bound.examples if f"{bound.name} {form} {e.id}" not in kept]
    model = load_model(ModelSettings(options.model), workspace=workspace, seed=0) if open_ else None
    for start in range(0, len(open_), WINDOW):
        assert model is not None
        some = open_[start : start + WINDOW]
        for example, one in zip(some, written(form, bound, some, model), strict=True):
            kept[f"{bound.name} {form} {example.id}"] = [
                list(one.queries), one.input_tokens, one.output_tokens, one.error,
            ]  # fmt: skip
        if options.written:
            options.written.write_text(json.dumps(kept))
    found = {e.id: kept[f"{bound.name} {form} {e.id}"] for e in bound.examples}
    return {id_: Asked(tuple(queries), *rest) for id_, (queries, *rest) in found.items()}


def documents(retriever: Retriever, asked: Asked) -> list[str]:
    """The documents in the order of their best passages."""
    rankings: list[list[Hit]] = retriever.retrieve(list(asked.queries), k=DEPTH) if asked.queries else [[]]
    hits = rankings[0] if len(rankings) == 1 else fuse({str(i): hits for i, hits in enumerate(rankings)})
    return list(dict.fromkeys(hit.passage.document for hit in hits))


def mean(values: np.ndarray, *names: str) -> str:
    sums = group_sums(values, [str(number) for number in range(len(values))])
    (low, high), _ = score_interval(*sums, bounds=(0.0, 1.0), rng=generator(0, *names), resamples=RESAMPLES)
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def against(differences: np.ndarray, *names: str) -> tuple[str, float]:
    sums, sizes = group_sums(differences, [str(number) for number in range(len(differences))])
    found = difference_evidence(sums, sizes, span=1.0, rng=generator(0, "against", *names), resamples=RESAMPLES)
    low, high = found.interval
    p = sign_flip(sums, rng=generator(0, "flip", *names), resamples=RESAMPLES)
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]", p


if __name__ == "__main__":
    sys.exit(main())
