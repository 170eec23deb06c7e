"""What building an index costs beside embedding: CPU-seconds against bare sentence-transformers, and memory at 4 times.

    OMP_NUM_THREADS=1 python benchmarks/overhead.py --records 1000 4000 --rounds 3

Ours is everything `build_index` does: read the corpus, chunk, count tokens, embed, store, FAISS, self-check, hashes,
fsync. Bare is `SentenceTransformer.encode` (which sorts by length itself) over the very same passages as a list in
memory, at its best batch size of those tried, and `IndexFlatIP.add`. Importing and loading the model are left out on
both sides; reading the passages' file is left out for bare. One process each, one thread, sides interleaved, the best
of the rounds counts. Peak memory is the process's highest resident size, imports and model included. Prints JSON;
exit code 1 where a limit (1.10 times the CPU, 1.15 times the memory) is passed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from ragmed.files import read_jsonl
from ragmed.index.recipe import IndexRecipe
from ragmed.workspace import Workspace

CPU_LIMIT = 1.10
MEMORY_LIMIT = 1.15
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="*", default=[4, 8, 32], help="bare's; none: memory only")
    parser.add_argument("--embedder", default="packaged:minilm")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(json.loads(options.child))))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder), records, options) for records in options.records]
    passed = all(row["cpu_ratio"] is None or row["cpu_ratio"] <= CPU_LIMIT for row in rows)
    growth = [round(b["ours"]["peak_mb"] / a["ours"]["peak_mb"], 3) for a, b in pairwise(rows)]
    print(json.dumps({"runs": rows, "memory_growth": growth}, indent=1))
    sys.exit(0 if passed and all(value <= MEMORY_LIMIT for value in growth) else 1)


def measure(folder: Path, records: int, options: argparse.Namespace) -> dict[str, Any]:
    root = folder / str(records)
    write_corpus(root, records)
    base = {"root": str(root), "embedder": options.embedder}
    ours: list[dict[str, Any]] = []
    bare: list[dict[str, Any]] = []
    for number in range(options.rounds):
        output = str(root / f"index-{number}")
        ours.append(run({**base, "side": "ours", "output": output}))
        bare += [run({**base, "side": "bare", "output": output, "batch": batch}) for batch in options.batches]
        print(f"{records} records, round {number + 1}: {ours[-1]} {bare[-len(options.batches) :]}", file=sys.stderr)
    best, rival = min(ours, key=_cpu), min(bare, key=_cpu, default=None)
    return {
        "records": records,
        "passages": best["passages"],
        "ours": best,
        "bare": rival,
        "cpu_ratio": round(best["cpu_s"] / rival["cpu_s"], 3) if rival else None,
        "wall_ratio": round(best["wall_s"] / rival["wall_s"], 3) if rival else None,
    }


def _cpu(result: dict[str, Any]) -> float:
    return float(result["cpu_s"])


def write_corpus(root: Path, records: int) -> None:
    """The first records of the PubMed sample, under new ids and once more where there are too few."""
    source = Workspace.find().data / "corpora" / "pubmed-sample.jsonl.gz"
    folder = root / "corpora" / "sample"
    folder.mkdir(parents=True)
    lines = [item[1] for item in islice(read_jsonl(source), records) if isinstance(item, tuple)]
    with (folder / "sample.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(records):
            record = lines[number % len(lines)]
            stream.write(json.dumps({"id": str(number), "title": record["title"], "text": record["contents"]}) + "\n")
    (folder / "recipe.yaml").write_text(
        "title: Sample\nreader: jsonl\npaths: [sample.jsonl]\nfields: {id: id, title: title, text: text}\n", "utf-8"
    )


def run(task: dict[str, Any]) -> dict[str, Any]:
    threads = dict.fromkeys(THREADS, "1")
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(task)],
        text=True,
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ | threads,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def child(task: dict[str, Any]) -> dict[str, Any]:
    result = ours(task) if task["side"] == "ours" else bare(task)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**result, "peak_mb": round(peak, 1)}


def ours(task: dict[str, Any]) -> dict[str, Any]:
    import faiss  # noqa: F401  imported here so that the build does not pay for it, as bare does not
    import pyarrow.compute  # noqa: F401

    from ragmed.embedding import load_embedder
    from ragmed.index.build import build_index

    embedder = load_embedder(task["embedder"], device="cpu")
    embedder.embed_passages(["warm"])
    recipe = IndexRecipe("sample", ("sample",), task["embedder"])
    started = time.process_time(), time.perf_counter()
    manifest = build_index(
        recipe, workspace=Workspace(Path(task["root"])), output=Path(task["output"]), embedder=embedder
    )
    return {**_spent(started), "passages": manifest.counts.passages}


def bare(task: dict[str, Any]) -> dict[str, Any]:
    import faiss
    from sentence_transformers import SentenceTransformer

    from ragmed.chunking import embedded_text
    from ragmed.index.store import Index
    from ragmed.packaged import packaged_embedder_folder

    model = SentenceTransformer(str(packaged_embedder_folder("minilm")), device="cpu", local_files_only=True)
    model.encode(["warm"])
    texts = [embedded_text(passage) for passage in Index.open(Path(task["output"]))]
    started = time.process_time(), time.perf_counter()
    vectors = model.encode(texts, batch_size=task["batch"], show_progress_bar=False)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return {**_spent(started), "passages": int(index.ntotal), "batch": task["batch"]}


def _spent(started: tuple[float, float]) -> dict[str, float]:
    return {"cpu_s": round(time.process_time() - started[0], 2), "wall_s": round(time.perf_counter() - started[1], 2)}


if __name__ == "__main__":
    main()
