"""What bfloat16 embedding and float16 storage do to the ten passages that are found, against float32.

    OMP_NUM_THREADS=1 python benchmarks/precision.py --passages 2000 --queries 200

Passages: the PubMed sample, chunked, every n-th record; queries: BioASQ questions of MIRAGE. Overlap@10 is the mean
part of float32's top ten that the other also finds; `agreement_1` how often the best passage is the same one;
`margin_of_changes` the mean float32 score difference between a passage that left the ten and the one that took its
place. CPU-seconds are of embedding the passages, one thread, after a warm-up, interleaved window by window. Prints
JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ragmed.chunking import Chunking, chunk, embedded_text
from ragmed.corpora import Corpus, load_recipe
from ragmed.embedding import Embedder, load_embedder
from ragmed.files import read_json
from ragmed.workspace import Workspace

K = 10
WINDOW = 256
Vectors = npt.NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--embedder", default="packaged:minilm")
    options = parser.parse_args()
    wide = load_embedder(options.embedder, device="cpu")
    half = load_embedder(options.embedder, precision="bfloat16", device="cpu")
    texts = passages(options.passages, wide)
    asked = questions(options.queries)
    (wide_vectors, half_vectors), seconds = embed_both([wide, half], texts)
    queries, half_queries = wide.embed_queries(asked), half.embed_queries(asked)
    truth = queries @ wide_vectors.T
    stored = wide_vectors.astype(np.float16).astype(np.float32)
    print(
        json.dumps(
            {
                "passages": len(texts),
                "queries": len(asked),
                "float16 storage": compared(truth, queries @ stored.T),
                "bfloat16 embedding": compared(truth, half_queries @ half_vectors.T),
                "bfloat16 embedding, float16 storage": compared(
                    truth, half_queries @ half_vectors.astype(np.float16).astype(np.float32).T
                ),
                "passages_per_cpu_second": {
                    "float32": round(len(texts) / seconds[0], 1),
                    "bfloat16": round(len(texts) / seconds[1], 1),
                },
                "speed_ratio": round(seconds[0] / seconds[1], 2),
            },
            indent=1,
        )
    )


def passages(count: int, embedder: Embedder) -> list[str]:
    workspace = Workspace.find()
    recipe = load_recipe(workspace.recipe("corpora", "pubmed-sample"), data=workspace.data)
    step = max(1, 16_000 // count)
    documents = islice(Corpus(recipe).documents(), 0, None, step)
    made = chunk(documents, chunking=Chunking(), count_tokens=embedder.count_tokens, limit=embedder.max_tokens)
    return [embedded_text(passage) for passage in islice(made, count)]


def questions(count: int) -> list[str]:
    benchmark = read_json(Workspace.find().data / "mirage" / "benchmark.json", "MIRAGE benchmark")
    return [item["question"] for item in islice(benchmark["bioasq"].values(), count)]


def embed_both(embedders: Sequence[Embedder], texts: list[str]) -> tuple[list[Vectors], list[float]]:
    """Each embedder's vectors [n, d], and its CPU-seconds."""
    parts: list[list[Vectors]] = [[] for _ in embedders]
    seconds = [0.0 for _ in embedders]
    for embedder in embedders:
        embedder.embed_passages(texts[:8])
    for first in range(0, len(texts), WINDOW):
        for number, embedder in enumerate(embedders):
            started = time.process_time()
            parts[number].append(embedder.embed_passages(texts[first : first + WINDOW]))
            seconds[number] += time.process_time() - started
    return [np.concatenate(part) for part in parts], seconds


def compared(truth: Vectors, other: Vectors) -> dict[str, Any]:
    """Two score matrices [queries, passages] -> how far their top tens agree."""
    best, found = np.argsort(-truth, axis=1)[:, :K], np.argsort(-other, axis=1)[:, :K]
    overlaps, margins = [], []
    for row, (a, b) in enumerate(zip(best, found, strict=True)):
        lost, won = np.setdiff1d(a, b), np.setdiff1d(b, a)
        overlaps.append(1 - len(lost) / K)
        if len(lost):
            margins.append(float(truth[row, lost].mean() - truth[row, won].mean()))
    return {
        "overlap_10": round(float(np.mean(overlaps)), 4),
        "agreement_1": round(float((best[:, 0] == found[:, 0]).mean()), 4),
        "queries_with_a_change": len(margins),
        "margin_of_changes": round(float(np.mean(margins)), 5) if margins else 0.0,
        "largest_score_error": round(float(np.abs(truth - other).max()), 5),
    }


if __name__ == "__main__":
    main()
