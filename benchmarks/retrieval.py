"""How well each retriever finds documents, by our metrics and by ir_measures on the same ranking: both must agree.

    OMP_NUM_THREADS=1 python benchmarks/retrieval.py --dataset scifact --cache /tmp/vectors
    OMP_NUM_THREADS=1 python benchmarks/retrieval.py --dataset scifact --modes dense bm25 rrf
    OMP_NUM_THREADS=1 python benchmarks/retrieval.py --dataset bioasq
    python benchmarks/retrieval.py --dataset scifact --queries queries.jsonl --qrels qrels/test.tsv --expect 0.645

nDCG@10, recall@10 and hit@10, the mean over queries. The modes:

dense     the project's own search by vectors: documents in passages that the embedder reads whole, exact search in the
          built index, a document as good as its best passage.
bm25      BM25 over the same passages. Bare `bm25s` with the same tokenisation (its own function, PyStemmer's English
          stemmer, its English stop words) is run beside it: the scores of the first 100 passages must be within 1e-5,
          nDCG@10 within 0.002.
rrf       both rankings fused by reciprocal ranks, with equal weights and k = 60.
whole     what published SciFact figures do: one vector a document, of title, a blank and text, cut by
          sentence-transformers after the tokens that the model reads (256).

scifact: the claims that the qrels name (by default the training claims) over all abstracts of the index `scifact`;
relevant is what the qrels say (a claim's cited abstracts). bioasq: every question of the 7B-10B golden files, of all
four types, over `pubmed-sample`; relevant are the gold documents (PMIDs) that are in the index, which is also recall's
denominator: what is not there cannot be found. Queries without a relevant document there are left out and counted.

`--cache` keeps the vectors of `whole` in a folder. Prints Markdown and the largest difference between ours and
ir_measures over all queries and in the mean; exit code 1 where that is above 1e-9, where BM25 is not bm25s's, or where
nDCG@10 of the first mode (in the order whole, dense, bm25, rrf) is more than 0.005 from `--expect`.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ragmed.chunking import embedded_text
from ragmed.corpora import Corpus, load_recipe
from ragmed.corpora.beir import read_qrels, read_queries
from ragmed.errors import DataError, RagmedError, UsageError
from ragmed.files import BadLine, read_json, read_jsonl
from ragmed.index.store import Index
from ragmed.metrics.retrieval import hit, ndcg, recall
from ragmed.records import Passage
from ragmed.retrieval import Retriever
from ragmed.retrieval.named import index_recipe, open_index
from ragmed.retrieval.spec import RetrieverSpec, make_retriever
from ragmed.workspace import Workspace

K = 10
AGREEMENT = 1e-9
WITHIN = 0.005
SAME_SCORE = 1e-5
SAME_NDCG = 0.002
OURS = {"nDCG@10": ndcg, "R@10": recall, "Success@10": hit}
SHOWN = {"nDCG@10": "nDCG@10", "R@10": "recall@10", "Success@10": "hit@10"}
INDEXES = {"bioasq": "pubmed-sample", "scifact": "scifact"}
MODES = {"bioasq": ["dense", "bm25", "rrf"], "scifact": ["whole", "dense", "bm25", "rrf"]}
Qrels = dict[str, dict[str, int]]
Rankings = dict[str, list[str]]
Scores = dict[str, dict[str, float]]  # measure -> query -> value
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Queries:
    """Query id -> its words; query id -> document -> relevance; query id -> kind, where a set has kinds."""

    texts: dict[str, str]
    qrels: Qrels
    kinds: dict[str, str] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    workspace = Workspace.find()
    name = options.index or INDEXES[options.dataset]
    index = open_index(name, workspace=workspace)
    given = bioasq(workspace) if options.dataset == "bioasq" else beir(workspace, options.queries, options.qrels)
    documents = [passage.document for passage in index]
    queries, about = within(given, set(documents))
    print(f"{options.dataset} over {index.manifest.name}, {len(set(documents))} documents: {about}\n")
    print(f"| mode | queries | n | {' | '.join(SHOWN.values())} |\n|---|---|---:|{'---:|' * len(SHOWN)}")
    difference, first, same, bare = 0.0, 0.0, True, ""
    for mode in options.modes or MODES[options.dataset]:
        if mode == "whole":
            rankings = whole_rankings(index.manifest.name, workspace, queries.texts, options.cache)
        else:
            retriever = built(mode, name, index, workspace)
            rankings = passage_rankings(retriever, len(index), queries.texts)
        scores, worst = compared(rankings, queries.qrels)
        first, difference = first or mean(scores["nDCG@10"].values()), max(difference, worst)
        for line in table(mode, scores, queries.kinds):
            print(line)
        if mode == "bm25":
            same, bare = beside_bare_bm25s(retriever, list(index), queries, mean(scores["nDCG@10"].values()))
    if bare:
        print(f"\n{bare}")
    print(f"\nlargest difference from ir_measures, queries and means: {difference:.1e}")
    agreed = difference <= AGREEMENT
    expected = options.expect is None or abs(first - options.expect) <= WITHIN
    if options.expect is not None:
        print(f"nDCG@10 {first:.4f}, expected {options.expect} within {WITHIN}: {'yes' if expected else 'no'}")
    return 0 if agreed and expected and same else 1


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=sorted(INDEXES), required=True)
    parser.add_argument("--modes", nargs="+", choices=MODES["scifact"], help="default: all; bioasq: all but whole")
    parser.add_argument("--queries", type=Path, help="scifact: a queries.jsonl in BEIR's layout")
    parser.add_argument("--qrels", type=Path, help="scifact: the judgements that go with it")
    parser.add_argument("--index", help="another index over the same documents")
    parser.add_argument("--cache", type=Path, help="folder for the vectors of `whole`")
    parser.add_argument("--expect", type=float, help="nDCG@10 that the first mode must come near")
    options = parser.parse_args(arguments)
    if options.dataset == "bioasq" and (options.queries or options.qrels):
        parser.error("--queries and --qrels go with --dataset scifact")
    # The published figure is of `whole`, which therefore goes first.
    options.modes = sorted(set(options.modes or ()), key=MODES["scifact"].index)
    return options


def beir(workspace: Workspace, queries: Path | None, qrels: Path | None) -> Queries:
    folder = workspace.data / "scifact-beir"
    texts = read_queries(folder) if queries is None else dict(_queries(queries))
    judged = read_qrels(qrels or folder / "qrels" / "train.tsv")
    lost = [query for query in judged if query not in texts]
    if lost:
        raise DataError(f"the judgements name query '{lost[0]}' and {len(lost) - 1} others that the queries lack")
    return Queries({query: texts[query] for query in judged}, judged)


def _queries(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        yield from read_queries(path).items()
        return
    for item in read_jsonl(path, "BEIR queries"):
        if isinstance(item, BadLine):
            raise DataError(f"BEIR queries '{path}', line {item.number}: {item.reason}")
        number, record = item
        if not record.get("_id") or not str(record.get("text", "")).strip():
            raise DataError(f"BEIR queries '{path}', line {number}: '_id' and 'text' are needed")
        yield str(record["_id"]), str(record["text"])


def bioasq(workspace: Workspace) -> Queries:
    """Every question of the golden files; a gold document is an address that ends in a PMID."""
    folder = workspace.data / "mirage" / "rawdata" / "bioasq"
    files = sorted(folder.glob("Task*BGoldenEnriched/*_golden.json"))
    if not files:
        raise DataError(f"no golden file in '{folder}'; set RAGMED_DATA to the folder that holds mirage/rawdata/bioasq")
    found = Queries({}, {}, {})
    for path in files:
        for question in read_json(path, "BioASQ golden file")["questions"]:
            name = str(question["id"])
            if name in found.texts:
                raise DataError(f"BioASQ golden file '{path}': question '{name}' was met before")
            found.texts[name], found.kinds[name] = question["body"], question["type"]
            found.qrels[name] = {address.rstrip("/").rsplit("/", 1)[1]: 1 for address in question["documents"]}
    return found


def within(queries: Queries, documents: set[str]) -> tuple[Queries, str]:
    """The queries with a relevant document among these, judged on these alone; and what that left out, in words."""
    here = {
        query: {document: grade for document, grade in judged.items() if document in documents}
        for query, judged in queries.qrels.items()
    }
    kept = {query: judged for query, judged in here.items() if any(grade > 0 for grade in judged.values())}
    if not kept:
        raise DataError("no query has a relevant document in the index: are these its judgements?")
    gold, there = (sum(grade > 0 for judged in q.values() for grade in judged.values()) for q in (queries.qrels, kept))
    about = f"{len(kept)} of {len(here)} queries, {there} of {gold} relevant documents are there"
    return Queries({query: queries.texts[query] for query in kept}, kept, queries.kinds), about


def built(mode: str, name: str, index: Index, workspace: Workspace) -> Retriever:
    parts = {part: RetrieverSpec(part, index=name) for part in ("bm25", "dense")}
    spec = RetrieverSpec("rrf", of=("bm25", "dense")) if mode == "rrf" else parts[mode]
    return make_retriever(spec, specs=parts, workspace=workspace, indexes={name: index})


def passage_rankings(retriever: Retriever, passages: int, texts: Mapping[str, str]) -> Rankings:
    """The K documents with the best passages: more passages (of so many in all) are asked for until they are of K
    documents, or no more are found."""
    rankings: Rankings = {}
    open_, depth = list(texts), 4 * K
    while open_:
        hits = retriever.retrieve([texts[query] for query in open_], k=depth)
        for query, line in zip(open_, hits, strict=True):
            rankings[query] = list(dict.fromkeys(hit.passage.document for hit in line))[:K]
        full = {query for query, line in zip(open_, hits, strict=True) if len(line) == depth < passages}
        open_ = [query for query in open_ if len(rankings[query]) < K and query in full]
        depth *= 4
    return rankings


def beside_bare_bm25s(
    retriever: Retriever, passages: Sequence[Passage], queries: Queries, ours: float
) -> tuple[bool, str]:
    """Whether BM25 is what bm25s gives without us, and that in words."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    bare = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    texts = [embedded_text(passage) for passage in passages]
    bare.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    asked = list(queries.texts.values())
    words = bm25s.tokenize(asked, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
    rows = {passage.id: row for row, passage in enumerate(passages)}
    rankings: Rankings = {}
    worst, hits = 0.0, retriever.retrieve(asked, k=10 * K)
    for query, tokens, line in zip(queries.texts, words, hits, strict=True):
        scores = bare.get_scores(tokens)
        best = [int(row) for row in np.argsort(-scores, kind="stable") if scores[row] > 0]
        rankings[query] = list(dict.fromkeys(passages[row].document for row in best[: 100 * K]))[:K]
        ours_here = [hit.score for hit in line]
        theirs_here = [float(scores[rows[hit.passage.id]]) for hit in line]
        # the scores that we give to what we found, and those of what they would have found
        for wanted in (theirs_here, [float(scores[row]) for row in best[: 10 * K]]):
            worst = max(worst, *(abs(a - b) for a, b in zip(ours_here, wanted, strict=True)), 0.0)
    theirs = mean(ndcg(rankings[query], queries.qrels[query], k=K) for query in rankings)
    about = (
        f"bare bm25s: nDCG@10 {theirs:.4f}, ours {ours:.4f}; scores of the first {10 * K} differ by at most {worst:.1e}"
    )
    return worst <= SAME_SCORE and abs(theirs - ours) <= SAME_NDCG, about


def whole_rankings(name: str, workspace: Workspace, texts: Mapping[str, str], cache: Path | None) -> Rankings:
    """The K nearest documents, each one vector; equal scores in the corpus's order."""
    from sentence_transformers import SentenceTransformer

    from ragmed.packaged import packaged_embedder_folder

    recipe = index_recipe(name, workspace)
    kind, _, rest = recipe.embedder.partition(":")
    if kind not in ("packaged", "path"):
        raise UsageError(f"the mode whole takes a packaged: or path: embedder, index '{name}' has '{recipe.embedder}'")
    folder = packaged_embedder_folder(rest) if kind == "packaged" else Path(rest)
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    ids, whole = [], []
    for corpus in recipe.corpora:
        for document in Corpus(load_recipe(workspace.recipe("corpora", corpus), data=workspace.data)).documents():
            ids.append(document.id)
            whole.append(f"{document.title} {document.text}".strip())

    def encode(items: list[str]) -> Vectors:
        vectors: Vectors = model.encode(items, batch_size=8, normalize_embeddings=True, show_progress_bar=False)
        return vectors

    passages = cached(cache, [str(folder), str(model.max_seq_length), *whole], lambda: encode(whole))
    scores = encode(list(texts.values())) @ passages.T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    return {query: [ids[int(row)] for row in line] for query, line in zip(texts, best, strict=True)}


def cached(folder: Path | None, key: Sequence[str], make: Callable[[], Vectors]) -> Vectors:
    """Vectors from the cache, or made and kept there under a hash of everything that goes into them."""
    if folder is None:
        return make()
    path = folder / f"{hashlib.sha256(chr(0).join(key).encode()).hexdigest()[:24]}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".tmp.npy")
        np.save(beside, make(), allow_pickle=False)
        beside.replace(path)
    vectors: Vectors = np.load(path, allow_pickle=False)
    return vectors


def compared(rankings: Rankings, qrels: Qrels) -> tuple[Scores, float]:
    """Our scores, and how far ir_measures is from any of them, or from their means, on the same rankings."""
    import ir_measures

    ours = {name: {q: f(rankings[q], qrels[q], k=K) for q in rankings} for name, f in OURS.items()}
    # Distinct scores: their order is the ranking, and nothing is left for a rule on ties.
    run = {q: {document: -float(rank) for rank, document in enumerate(line)} for q, line in rankings.items()}
    measures = [ir_measures.parse_measure(name) for name in OURS]
    theirs: Scores = {name: {} for name in OURS}
    for value in ir_measures.iter_calc(measures, qrels, run):
        theirs[str(value.measure)][value.query_id] = value.value
    if any(theirs[name].keys() != ours[name].keys() for name in OURS):
        raise DataError("ir_measures did not score the same queries")
    means = ir_measures.calc_aggregate(measures, qrels, run)
    worst = max(abs(ours[name][q] - theirs[name][q]) for name in OURS for q in rankings)
    return ours, max(worst, *(abs(mean(ours[str(m)].values()) - means[m]) for m in measures))


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def table(mode: str, scores: Scores, kinds: Mapping[str, str]) -> Iterator[str]:
    """A line for all queries, and one for each kind."""
    for kind in ["", *sorted(set(kinds.values()))]:
        chosen = [query for query in scores["nDCG@10"] if not kind or kinds[query] == kind]
        if chosen:
            values = " | ".join(f"{mean(scores[name][query] for query in chosen):.4f}" for name in SHOWN)
            yield f"| {mode} | {kind or 'all'} | {len(chosen)} | {values} |"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RagmedError as problem:
        sys.exit(f"error: {problem}")
