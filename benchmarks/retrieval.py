"""How well each method of retrieval finds documents, what it costs, and which differences between methods stand.

    OMP_NUM_THREADS=1 python benchmarks/retrieval.py --dataset scifact --cache /tmp/rankings --json scifact.json
    OMP_NUM_THREADS=1 python benchmarks/retrieval.py --dataset bioasq --modes bm25 dense bm25+dense
    python benchmarks/retrieval.py --dataset scifact --queries queries.jsonl --qrels qrels/test.tsv --expect 0.645

The modes are the specs in `methods`, each built by `make_retriever` over the index's passages; a document counts by its
best passage. benchmarks/retrieval_models.py makes the two small models that `sparse` and `bm25-reranked` ask. Beside
`bm25`, bare `bm25s` is run with the same tokenisation (its own function, PyStemmer's English stemmer, its English stop
words) on the same texts (accents composed, invisible marks left out: one word that is read otherwise moves all scores):
the scores of the first 100 passages must be within 1e-5, nDCG@10 within 0.002. One mode is no method of ours:

whole     what published SciFact figures do: one vector a document, of title, a blank and text, cut by
          sentence-transformers after the tokens that the model reads (256).

scifact: the claims that the qrels name (by default the training claims) over all abstracts of the index `scifact`;
relevant is what the qrels say (a claim's cited abstracts). bioasq: every question of the 7B-10B golden files, of all
four types, over `pubmed-sample`; relevant are the gold documents (PMIDs) that are in the index, which is also recall's
denominator: what is not there cannot be found. Queries without a relevant document there are left out and counted.

Three tables: the means over queries, with 95 % intervals of nDCG@10; differences of nDCG@10, of every method against
`bm25` and of what is made of others against each of these, by sign flips with Holm's adjustment over all of them; and
processor time a query, as a ratio to bare bm25s, rounds interleaved, the least of three. Queries that share a relevant
document (a claim and its negation) are one group in intervals and tests.

`--cache` keeps the rankings, and the vectors of `whole`, in a folder. Prints Markdown and by how much our measures are
off those of ir_measures over all queries and in the mean; exit code 1 where that is more than 1e-9, where BM25 is not
bm25s's, or where nDCG@10 of the first mode (in the order of `methods`, `whole` before all) is more than 0.005 from
`--expect`.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ragmed.checked import dump
from ragmed.chunking import embedded_text
from ragmed.comparison.statistics.differences import difference_evidence
from ragmed.comparison.statistics.intervals import Estimate, generator, group_sums, score_interval
from ragmed.comparison.statistics.significance import MOST_FLIPS, draws_for, holm, sign_flip
from ragmed.corpora import Corpus, load_recipe
from ragmed.corpora.beir import read_qrels, read_queries
from ragmed.errors import DataError, RagmedError, UsageError
from ragmed.files import BadLine, read_json, read_jsonl, sha256_json, write_json
from ragmed.index.store import Index
from ragmed.machine import Stopwatch
from ragmed.metrics.retrieval import hit, ndcg, precision, recall, reciprocal_rank
from ragmed.records import Passage
from ragmed.retrieval import Retriever
from ragmed.retrieval.named import index_recipe, open_index
from ragmed.retrieval.spec import RetrieverSpec, make_retriever
from ragmed.retrieval.words import plain
from ragmed.workspace import Workspace

K = 10
AGREEMENT = 1e-9
WITHIN = 0.005
SAME_SCORE = 1e-5
SAME_NDCG = 0.002
OURS = {"nDCG@10": ndcg, "R@10": recall, "RR@10": reciprocal_rank, "P@10": precision, "Success@10": hit}
SHOWN = {"R@10": "recall@10", "RR@10": "MRR@10", "P@10": "P@10", "Success@10": "hit@10"}
INDEXES = {"bioasq": "pubmed-sample", "scifact": "scifact"}
SPLADE, RERANKER = "path:models/splade-tiny", "path:models/tiny-reranker"
SEED, RESAMPLES, ALPHA = 15, 10_000, 0.05
ROUNDS = 3
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


def methods(index: str) -> dict[str, RetrieverSpec]:
    """What is compared, each after what it is made of; another method is another entry."""
    return {
        "bm25": RetrieverSpec("bm25", index=index),
        "bm25-title-3": RetrieverSpec("bm25", index=index, title_weight=3),
        "dense": RetrieverSpec("dense", index=index),
        "sparse": RetrieverSpec("sparse", index=index, model=SPLADE),
        "bm25+dense": RetrieverSpec("rrf", of=("bm25", "dense")),
        "bm25+sparse": RetrieverSpec("rrf", of=("bm25", "sparse")),
        "bm25+dense+sparse": RetrieverSpec("rrf", of=("bm25", "dense", "sparse")),
        "bm25+2dense": RetrieverSpec("rrf", of=("bm25", "dense"), weights=(1.0, 2.0)),
        "bm25-reranked": RetrieverSpec("rerank", of=("bm25",), model=RERANKER, depth=4 * K),
        "bm25+dense-mmr": RetrieverSpec("mmr", of=("bm25+dense",), depth=4 * K),
    }


@dataclass(frozen=True)
class Difference:
    """nDCG@10 of `method` less that of `other`, query by query; `adjusted`: p after Holm over all that were tested."""

    method: str
    other: str
    difference: float
    ci: tuple[float, float]
    p: float
    adjusted: float


@dataclass(frozen=True)
class Result:
    """What `--json` holds: measure -> Estimate by method, differences, CPU-seconds a query by contender."""

    dataset: str
    queries: int
    documents: int
    measures: dict[str, dict[str, Estimate]]
    differences: list[Difference]
    cpu_seconds: dict[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    workspace = Workspace.find()
    name = options.index or INDEXES[options.dataset]
    index = open_index(name, workspace=workspace)
    given = bioasq(workspace) if options.dataset == "bioasq" else beir(workspace, options.queries, options.qrels)
    documents = {passage.document for passage in index}
    queries, about = within(given, documents)
    groups = linked(queries.qrels)
    print(f"{options.dataset} over {index.manifest.name}, {len(documents)} documents: {about}\n")
    print(f"| mode | queries | n | nDCG@10 | 95 % interval | {' | '.join(SHOWN.values())} |")
    print(f"|---|---|---:|---:|---|{'---:|' * len(SHOWN)}")
    specs = methods(name)
    difference, same, bare = 0.0, True, ""
    scores: dict[str, Scores] = {}
    for mode in options.modes:
        if mode == "whole":
            rankings = whole_rankings(index.manifest.name, workspace, queries.texts, options.cache)
        else:
            retriever = make_retriever(specs[mode], specs=specs, workspace=workspace, indexes={name: index})
            rankings = kept(options.cache, retriever, queries.texts, len(index))
        scores[mode], worst = compared(rankings, queries.qrels)
        difference = max(difference, worst)
        for line in table(mode, scores[mode], queries.kinds, groups):
            print(line, flush=True)
        if mode == "bm25":
            same, bare = beside_bare_bm25s(retriever, list(index), queries, mean(scores[mode]["nDCG@10"].values()))
    if bare:
        print(f"\n{bare}")
    print(f"\nlargest difference from ir_measures, queries and means: {difference:.1e}")
    tested = differences(scores, specs, groups)
    for line in difference_table(tested):
        print(line)
    took: dict[str, float] = {}
    if options.timed:
        timed = {mode: specs[mode] for mode in options.modes if mode != "whole"}
        took = speeds(timed, specs, index, name, list(queries.texts.values())[: options.timed])
        for line in speed_table(took, min(options.timed, len(queries.texts))):
            print(line)
    if options.json:
        measures = {mode: estimates(one, groups, mode) for mode, one in scores.items()}
        result = Result(options.dataset, len(queries.texts), len(documents), measures, tested, took)
        write_json(options.json, dump(result))
    first = mean(scores[options.modes[0]]["nDCG@10"].values())
    expected = options.expect is None or abs(first - options.expect) <= WITHIN
    if options.expect is not None:
        print(f"nDCG@10 {first:.4f}, expected {options.expect} within {WITHIN}: {'yes' if expected else 'no'}")
    return 0 if difference <= AGREEMENT and expected and same else 1


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=sorted(INDEXES), required=True)
    known = ["whole", *methods("")]
    parser.add_argument("--modes", nargs="+", choices=known, help="default: all but whole")
    parser.add_argument("--queries", type=Path, help="scifact: a queries.jsonl in BEIR's layout")
    parser.add_argument("--qrels", type=Path, help="scifact: the judgements that go with it")
    parser.add_argument("--index", help="another index over the same documents")
    parser.add_argument("--cache", type=Path, help="folder for rankings and for the vectors of `whole`")
    parser.add_argument("--timed", type=int, default=50, help="so many queries are timed (default 50; 0: none)")
    parser.add_argument("--json", type=Path, help="a file for all numbers")
    parser.add_argument("--expect", type=float, help="nDCG@10 that the first mode must come near")
    options = parser.parse_args(arguments)
    if options.dataset == "bioasq" and (options.queries or options.qrels):
        parser.error("--queries and --qrels go with --dataset scifact")
    options.modes = sorted(set(options.modes or known[1:]), key=known.index)
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


def linked(qrels: Qrels) -> dict[str, str]:
    """
    >>> linked({"a": {"1": 1}, "b": {"1": 1, "2": 1}, "c": {"2": 1}, "d": {"3": 1, "1": 0}})
    {'a': 'a', 'b': 'a', 'c': 'a', 'd': 'd'}

    Query -> the first query of its group: those that chains of shared relevant documents link.
    """
    group: dict[str, str] = {}
    for query, judged in qrels.items():
        links = [f"query {query}", *(f"document {document}" for document, grade in judged.items() if grade > 0)]
        names = {group.setdefault(link, query) for link in links}
        if len(names) > 1:
            first = next(name for name in qrels if name in names)
            group.update({link: first for link, name in group.items() if name in names})
    return {query: group[f"query {query}"] for query in qrels}


def kept(folder: Path | None, retriever: Retriever, texts: Mapping[str, str], passages: int) -> Rankings:
    """Rankings from the cache, or made and kept there by the retriever's identity and the queries."""
    path = folder / f"{sha256_json([retriever.identity, K, dict(texts)])[:24]}.json" if folder else None
    if path is not None and path.exists():
        found: Rankings = read_json(path, "rankings")
        return found
    made = passage_rankings(retriever, passages, texts)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, made)
    return made


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
    bare, tokens_of = bare_index(passages)
    asked = list(queries.texts.values())
    words = tokens_of(asked)
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


def bare_index(passages: Sequence[Passage]) -> tuple[Any, Callable[[list[str]], Any]]:
    """bm25s over the passages, without us, and what makes tokens of its queries."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    bare = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    texts = [plain(embedded_text(passage)) for passage in passages]
    bare.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)

    def tokens(asked: list[str]) -> Any:
        return bm25s.tokenize(
            list(map(plain, asked)), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
        )

    return bare, tokens


def bare_bm25s(passages: Sequence[Passage]) -> Callable[[str], object]:
    """A query's best K passages by bm25s alone, whatever settles equal scores."""
    bare, tokens = bare_index(passages)
    return lambda text: bare.retrieve(tokens([text]), k=min(K, len(passages)), show_progress=False)


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


def estimates(scores: Scores, groups: Mapping[str, str], *names: str) -> dict[str, Estimate]:
    """Of each measure the mean over the queries that were scored, with its 95 % interval by group."""
    found = {}
    for measure, values in scores.items():
        sums, sizes = group_sums(np.array(list(values.values())), [groups[query] for query in values])
        interval, method = score_interval(
            sums, sizes, bounds=(0.0, 1.0), rng=generator(SEED, measure, *names), resamples=RESAMPLES
        )
        found[measure] = Estimate(mean(values.values()), interval, method)
    return found


def table(mode: str, scores: Scores, kinds: Mapping[str, str], groups: Mapping[str, str]) -> Iterator[str]:
    """A line for all queries, and one for each kind."""
    for kind in ["", *sorted(set(kinds.values()))]:
        some = {
            name: {query: value for query, value in values.items() if not kind or kinds[query] == kind}
            for name, values in scores.items()
        }
        if some["nDCG@10"]:
            found = estimates(some, groups, mode, kind)
            low, high = found["nDCG@10"].ci
            values = " | ".join(f"{found[name].value:.4f}" for name in SHOWN)
            yield (
                f"| {mode} | {kind or 'all'} | {len(some['nDCG@10'])} | {found['nDCG@10'].value:.4f} "
                f"| {low:.4f} to {high:.4f} | {values} |"
            )


def differences(
    scores: Mapping[str, Scores], specs: Mapping[str, RetrieverSpec], groups: Mapping[str, str]
) -> list[Difference]:
    """Every method against bm25, and what is made of others against each of these, where both were scored."""
    pairs = [
        (mode, other)
        for mode in scores
        if mode in specs
        for other in dict.fromkeys([*specs[mode].of, "bm25"])
        if other != mode and other in scores
    ]
    flips = draws_for(len(pairs), ALPHA, resamples=RESAMPLES, most=MOST_FLIPS)
    rows = []
    for mode, other in pairs:
        mine, theirs = scores[mode]["nDCG@10"], scores[other]["nDCG@10"]
        sums, sizes = group_sums(np.array([mine[q] - theirs[q] for q in mine]), [groups[q] for q in mine])
        rng = generator(SEED, "interval", mode, other)
        ci = difference_evidence(sums, sizes, span=1.0, rng=rng, resamples=RESAMPLES).interval
        p = sign_flip(sums, rng=generator(SEED, "flips", mode, other), resamples=RESAMPLES, most=flips)
        rows.append((mode, other, float(sums.sum() / sizes.sum()), ci, p))
    adjusted = holm([p for *_, p in rows])
    return [Difference(*row, adjusted=one) for row, one in zip(rows, adjusted, strict=True)]


def difference_table(rows: Sequence[Difference]) -> Iterator[str]:
    if rows:
        yield "\n| nDCG@10 | against | difference | 95 % interval | adjusted p | |\n|---|---|---:|---|---:|---|"
    for row in rows:
        way = "cannot tell" if row.adjusted >= ALPHA else "better" if row.difference > 0 else "worse"
        low, high = row.ci
        yield (
            f"| {row.method} | {row.other} | {row.difference:+.4f} | {low:+.4f} to {high:+.4f} "
            f"| {row.adjusted:.2g} | {way} |"
        )


def speeds(
    timed: Mapping[str, RetrieverSpec], specs: Mapping[str, RetrieverSpec], index: Index, name: str, texts: list[str]
) -> dict[str, float]:
    """CPU-seconds a query of bare bm25s and of each method, which finds K passages for one query after another."""
    search = bare_bm25s(list(index))
    contenders: dict[str, Callable[[str], object]] = {"bare bm25s": search}
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as empty:  # without the scores of pairs that were kept before
            for mode, spec in timed.items():
                if mode not in contenders or spec.method == "rerank":
                    made = make_retriever(spec, specs=specs, workspace=Workspace(Path(empty)), indexes={name: index})
                    contenders[mode] = partial(one_by_one, made)
                    contenders[mode]("what is loaded at the first query")
            for mode, find in contenders.items():
                watch = Stopwatch()
                for text in texts:
                    find(text)
                each = (watch.spent().cpu or 0.0) / len(texts)
                best[mode] = min(best.get(mode, each), each)
    return best


def one_by_one(retriever: Retriever, text: str) -> object:
    return retriever.retrieve([text], k=K)


def speed_table(took: Mapping[str, float], n: int) -> Iterator[str]:
    yield f"\n| {n} queries, one by one | CPU-ms a query | times bare bm25s |\n|---|---:|---:|"
    for mode, seconds in took.items():
        yield f"| {mode} | {1000 * seconds:.2f} | {seconds / took['bare bm25s']:.2f} |"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RagmedError as problem:
        sys.exit(f"error: {problem}")
