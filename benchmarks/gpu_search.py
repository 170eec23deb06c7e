"""Parts of `gpu.py`: the card itself, embedding, exact search, approximate search."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu import Bench

TOKENS_AIM, SEARCH_AIM = 1.2e6, 10.0


def timed(device: str, call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds until the card is done, and the result."""
    wait(device)
    started = time.perf_counter()
    result = call()
    wait(device)
    return time.perf_counter() - started, result


def wait(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def best(device: str, call: Callable[[], Any], times: int = 3) -> float:
    return min(timed(device, call)[0] for _ in range(times))


def product_rate(device: str, size: int) -> float:
    """bfloat16 operations a second of a square product, the ceiling of everything that multiplies matrices."""
    import torch

    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    left @ right
    return 2 * size**3 / best(device, lambda: left @ right, 5)


def machine(bench: Bench) -> None:
    import torch

    if bench.device == "cuda":
        card = torch.cuda.get_device_properties(0)
        free = torch.cuda.mem_get_info()[0]
        bench.say("card", f"{card.name}, {card.total_memory / 1e9:.1f} GB ({free / 1e9:.1f} GB free)")
        bench.say("torch", f"{torch.__version__}, CUDA {torch.version.cuda}, capability {card.major}.{card.minor}")
    else:
        bench.say("torch", f"{torch.__version__}, CPU, {torch.get_num_threads()} threads")
    size = (1 << 20) if bench.small else (1 << 32)
    there = torch.empty(size, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(there)
    bench.say("copy on the card", f"{2 * size / best(bench.device, lambda: target.copy_(there)) / 1e9:,.0f} GB/s")
    if bench.device == "cuda":
        pinned = torch.empty(size // 4, dtype=torch.uint8, pin_memory=True)
        seconds = best(bench.device, lambda: target[: size // 4].copy_(pinned, non_blocking=True))
        bench.say("copy from pinned memory", f"{size / 4 / seconds / 1e9:,.1f} GB/s")
    side = 256 if bench.small else 8192
    bench.say(f"bfloat16 product of {side} squared", f"{product_rate(bench.device, side) / 1e12:,.2f} TFLOP/s")


# --- embedding -------------------------------------------------------------------------------------------------------


def words(count: int) -> list[str]:
    """Made-up words of letters, each a token of its own."""
    rng = random.Random(1)
    made: dict[str, None] = {}
    while len(made) < count:
        made["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9)))] = None
    return list(made)


def make_embedder(folder: Path, *, small: bool) -> list[str]:
    """A sentence-transformers folder of BERT-base's shape with random weights; its words."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocabulary = words(500 if small else 30_000)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *vocabulary]
    bert = folder / "bert"
    bert.mkdir()
    (bert / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    config = BertConfig(vocab_size=len(tokens), **(shape if small else {}))
    torch.manual_seed(0)
    BertModel(config, add_pooling_layer=False).save_pretrained(bert)
    BertTokenizerFast(vocab=str(bert / "vocab.txt"), model_max_length=512).save_pretrained(bert)
    body = Transformer(str(bert), max_seq_length=512)
    pooling = Pooling(body.get_embedding_dimension(), pooling_mode="mean")
    SentenceTransformer(modules=[body, pooling, Normalize()], device="cpu").save(str(folder / "embedder"))
    return vocabulary


def embedding(bench: Bench) -> None:
    import numpy as np

    from ragmed.embedding import SentenceEmbedder, load_embedder
    from ragmed.index.vectors import WINDOW

    rng = np.random.default_rng(2)
    precision = "float32" if bench.small else "float16"
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = make_embedder(Path(folder), small=bench.small)
        ours = load_embedder(f"path:{folder}/embedder", precision=precision, device=bench.device)
    assert isinstance(ours, SentenceEmbedder)
    ours._overlaps = True  # as on a card, on a CPU too
    peer = ours._model
    count = 40 if bench.small else 16_384
    lengths = np.clip(rng.normal(296, 110, count), 16, 510).astype(int)
    numbers = rng.integers(0, len(vocabulary), int(lengths.sum()))
    texts, at = [], 0
    for length in lengths.tolist():
        texts.append(" ".join(vocabulary[number] for number in numbers[at : at + length]))
        at += length
    tokens = int(lengths.sum()) + 2 * count
    ours.embed_passages(texts[: count // 8])  # the card warms up
    seconds, vectors = timed(bench.device, lambda: ours.embed_passages(texts))
    bench.speed(
        f"ragmed, {count} texts, {tokens / count:.0f} tokens each, {precision}",
        f"{tokens / seconds:,.0f} tokens/s",
        aim=f"{TOKENS_AIM:,.0f}",
        met=tokens / seconds >= TOKENS_AIM,
    )
    windows = [texts[i : i + WINDOW] for i in range(0, len(texts), WINDOW)]
    spent, _ = timed(bench.device, lambda: [ours.embed_passages(window) for window in windows])
    bench.say(f"the same in calls of {WINDOW} texts, as build-index makes them", f"{tokens / spent:,.0f} tokens/s")
    part = texts[: 16 if bench.small else 4096]
    part_tokens = int(lengths[: len(part)].sum()) + 2 * len(part)

    def in_file_order(batch: int) -> Any:
        parts = [part[i : i + batch] for i in range(0, len(part), batch)]
        return np.concatenate([peer.encode(some, batch_size=batch, show_progress_bar=False) for some in parts])

    rates: dict[str, float] = {}
    for batch in (8,) if bench.small else (64, 256):
        in_order, _ = timed(bench.device, lambda batch=batch: in_file_order(batch))
        by_length, theirs = timed(
            bench.device, lambda batch=batch: peer.encode(part, batch_size=batch, show_progress_bar=False)
        )
        rates |= {f"in file order, batch {batch}": in_order, f"sorted, batch {batch}": by_length}
    for name, spent in rates.items():
        ratio = (tokens / seconds) / (part_tokens / spent)
        bench.say(
            f"SentenceTransformer.encode, {name}", f"{part_tokens / spent:,.0f} tokens/s; ragmed {ratio:.2f} times"
        )
    apart = float(np.abs(vectors[: len(part)] - theirs).max())
    bench.same("largest difference of a number from encode's", f"{apart:.1e} (bound 1e-2)", met=apart <= 1e-2)
    nearest = (vectors[: len(part)] @ theirs.T).argmax(axis=1)
    bench.same(
        "texts nearest to their own vector",
        f"{float((nearest == np.arange(len(part))).mean()):.4f}",
        met=bool((nearest == np.arange(len(part))).all()),
    )


# --- exact search ----------------------------------------------------------------------------------------------------


def drawn(rows: int, width: int, device: str, *, shard: int, centres: Any = None) -> list[Any]:
    """Shards of float16 unit vectors, drawn on the device; around `centres` where those are given."""
    import torch

    generator = torch.Generator(device).manual_seed(3)
    shards = []
    for first in range(0, rows, shard):
        count = min(shard, rows - first)
        made = torch.empty(count, width, dtype=torch.float16, device=device)
        for start in range(0, count, 200_000):
            size = min(200_000, count - start)
            some = torch.randn(size, width, device=device, generator=generator)
            if centres is not None:
                chosen = torch.randint(len(centres), (size,), device=device, generator=generator)
                some = centres[chosen] + some * (0.5 / width**0.5)
            made[start : start + size] = torch.nn.functional.normalize(some, dim=1).half()
        shards.append(made)
    return shards


def plain(queries: Any, shards: list[Any], k: int, *, dtype: Any, block: int) -> tuple[Any, Any]:
    """What one writes by hand: a product of each block, its top k, and the top k of those."""
    import torch

    scores, rows, first = [], [], 0
    asked = queries.to(dtype)
    for shard in shards:
        for start in range(0, len(shard), block):
            found = (asked @ shard[start : start + block].to(dtype).T).topk(min(k, len(shard) - start), dim=1)
            scores.append(found.values)
            rows.append(found.indices + first + start)
        first += len(shard)
        top = torch.cat(scores, 1).topk(k, dim=1)
        scores, rows = [top.values], [torch.cat(rows, 1).gather(1, top.indices)]
    return scores[0], rows[0]


def overlap(found: Any, expected: Any) -> float:
    """The share of expected rows that are found."""
    hits = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), expected.tolist(), strict=True))
    return hits / expected.size


def search(bench: Bench) -> None:
    import torch

    from ragmed.index.torch_search import TorchSearch

    rows, width, count, k = (20_000, 64, 40, 32) if bench.small else (23_900_000, 768, 7_663, 32)
    shards = drawn(rows, width, bench.device, shard=3_000 if bench.small else 1_000_000)
    asked = torch.nn.functional.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(4)), dim=1)
    queries = asked.numpy()
    found = _held(bench, shards, queries, k)
    _by_hand(bench, shards, asked.to(bench.device), k, found)
    _by_faiss(bench, shards, asked.to(bench.device), k, found)
    _through_an_index(bench, shards[0], queries[: 20 if bench.small else 2_000])
    for number in range(len(shards) // 4, len(shards)):  # in place, so that the card's memory goes back
        shards[number] = shards[number].cpu().numpy()
    partly = TorchSearch(shards, devices=[bench.device], held=0)
    seconds, (_, again) = timed(bench.device, lambda: partly.nearest(queries, k))
    streamed = 1 - partly.held[0] / (rows * width * 2)
    bench.same("share of the vectors that is streamed", f"{streamed:.2f}", met=0.7 < streamed < 0.9)
    bench.say(f"the same, {streamed:.2f} of it streamed from memory", f"{seconds:.2f} s")
    same = float((again == found).mean())
    bench.same("rows that are as when all is held", f"{same:.5f}", met=same > 0.9999)


def _held(bench: Bench, shards: list[Any], queries: Any, k: int) -> Any:
    import torch

    from ragmed.index.torch_search import TorchSearch

    rows, width = sum(map(len, shards)), shards[0].shape[1]
    gigabytes = rows * width * 2 / 1e9
    held = TorchSearch(shards, devices=[bench.device])
    held.nearest(queries[:64], k)
    seconds, (scores, found) = timed(bench.device, lambda: held.nearest(queries, k))
    what = f"{rows:,} x {width} float16 ({gigabytes:.1f} GB), {len(queries):,} queries, k {k}"
    bench.speed(f"ragmed, held: {what}", f"{seconds:.2f} s", aim=f"{SEARCH_AIM:.0f} s", met=seconds <= SEARCH_AIM)
    bench.same("bytes of the vectors kept where they are", f"{held.held[0]:,}", met=held.held[0] == rows * width * 2)
    if bench.device == "cuda":
        bench.say("peak memory beside the vectors", f"{torch.cuda.max_memory_allocated() / 1e9 - gigabytes:.1f} GB")
    some = 20 if bench.small else 256
    asked = torch.from_numpy(queries[:some]).to(bench.device)
    exact_scores, exact = plain(asked, shards, k, dtype=torch.float32, block=200_000)
    share = overlap(found[:some], exact.cpu().numpy())
    bench.same("rows of a plain float32 product that it finds", f"{share:.5f} (bound 0.99)", met=share >= 0.99)
    del exact_scores
    apart = _largest_error(shards, queries[:some], scores[:some], found[:some])
    bound = held.rounding
    bench.same("largest error of a score, against float64", f"{apart:.1e} (bound {bound:.1e})", met=apart <= bound)
    for wide in (64, 256) if bench.small else (384, 1024, 4096):
        vectors = drawn(5_000, wide, bench.device, shard=5_000)
        asked = vectors[0][:200].float().cpu().numpy()  # each finds itself: the sums are as large as they get
        search = TorchSearch(vectors, devices=[bench.device])
        own, rows_of_own = search.nearest(asked, k)
        apart, bound = _largest_error(vectors, asked, own, rows_of_own), search.rounding
        bench.same(f"the same at {wide} dimensions", f"{apart:.1e} (bound {bound:.1e})", met=apart <= bound)
    return found


def _largest_error(shards: list[Any], queries: Any, scores: Any, rows: Any) -> float:
    """Of the scores of unit vectors, against sums in float64."""
    import torch

    starts = torch.tensor([0, *(len(shard) for shard in shards)]).cumsum(0)
    worst = 0.0
    for query, line, places in zip(queries, scores, rows, strict=True):
        at = torch.from_numpy(places)
        numbers = torch.searchsorted(starts, at, right=True) - 1
        stored = torch.stack([shards[n][i - starts[n]] for n, i in zip(numbers.tolist(), at.tolist(), strict=True)])
        exact = stored.double().cpu() @ torch.from_numpy(query).double()
        worst = max(worst, float((exact - torch.from_numpy(line).double()).abs().max()))
    return worst


def _through_an_index(bench: Bench, shard: Any, queries: Any) -> None:
    """The same shard as an index reads it: files on disk, exact scores from them; bit for bit as on a CPU."""
    import numpy as np
    import torch

    from ragmed.index.devices import CPU, Devices
    from ragmed.index.search import Searcher
    from ragmed.index.vectors import Layout

    stored = shard[:200_000].cpu().numpy()
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder), len(stored), stored.shape[1], 100_000)
        layout.vectors(0).parent.mkdir()
        for number in range(layout.shards):
            start, stop = layout.span(number)
            np.save(layout.vectors(number), stored[start:stop])
        gpus = (torch.cuda.current_device(),) if bench.device == "cuda" else ()
        there = Searcher(layout, factory="Flat", devices=Devices(gpus, "torch"))
        there.search(queries[:10], k=32)
        seconds, (scores, rows) = timed(bench.device, lambda: there.search(queries, k=32))
        bench.say(
            f"through an index of {len(stored):,} vectors, {len(queries):,} queries, with exact scores",
            f"{seconds:.2f} s, {1e3 * seconds / len(queries):.2f} ms a query",
        )
        few = queries[:20]
        expected, expected_rows = Searcher(layout, factory="Flat", devices=CPU, streaming=True).search(few, k=32)
    same = (scores[:20] == expected).all() and (rows[:20] == expected_rows).all()
    bench.same("rows and scores as on the CPU, to the last bit", f"{len(few)} queries", met=bool(same))


def _by_hand(bench: Bench, shards: list[Any], queries: Any, k: int, found: Any) -> None:
    import torch

    dtype, block = (torch.float32, 5_000) if bench.small else (torch.float16, 131_072)
    seconds, (_, rows) = timed(bench.device, lambda: plain(queries, shards, k, dtype=dtype, block=block))
    share = overlap(found, rows.cpu().numpy())
    bench.say(f"a plain {dtype} product and top k", f"{seconds:.2f} s; {share:.4f} of its rows are ragmed's")


def _by_faiss(bench: Bench, shards: list[Any], queries: Any, k: int, found: Any) -> None:
    try:
        import faiss
        import faiss.contrib.torch_utils
        import torch

        if not hasattr(faiss, "StandardGpuResources"):
            bench.say("faiss-gpu", "absent: faiss is here without GPUs")
            return
        resources = faiss.StandardGpuResources()

        def all_shards() -> Any:
            scores, rows, first = [], [], 0
            for shard in shards:
                top, places = faiss.knn_gpu(
                    resources, queries.half(), shard, k, metric=faiss.METRIC_INNER_PRODUCT, device=0
                )
                scores.append(top)
                rows.append(places + first)
                first += len(shard)
            best_of = torch.cat(scores, 1).topk(k, dim=1)
            return torch.cat(rows, 1).gather(1, best_of.indices)

        seconds, rows = timed(bench.device, all_shards)
        bench.say(
            "faiss.knn_gpu over the same vectors", f"{seconds:.2f} s; {overlap(found, rows.cpu().numpy()):.4f} equal"
        )
    except ImportError as error:
        bench.say("faiss-gpu", f"absent: {error}")
    except (RuntimeError, TypeError, AttributeError, AssertionError) as error:
        bench.say("faiss.knn_gpu", f"did not run: {str(error).strip().partition(chr(10))[0]}")


# --- approximate search ----------------------------------------------------------------------------------------------


def ivf(bench: Bench) -> None:
    import numpy as np
    import torch

    from ragmed.index.torch_search import TorchSearch

    try:
        import faiss
    except ImportError as error:
        bench.say("IVF on the card", f"absent: {error}")
        return
    on_gpu = bench.device == "cuda"
    if on_gpu and not hasattr(faiss, "StandardGpuResources"):
        bench.say("IVF on the card", "absent: faiss is here without GPUs")
        return
    rows, width, lists, count = (20_000, 64, 64, 50) if bench.small else (10_000_000, 768, 16_384, 2_000)
    nprobe = 8 if bench.small else 64
    centres = torch.nn.functional.normalize(torch.randn(lists * 2, width, device=bench.device), dim=1)
    shards = drawn(rows, width, bench.device, shard=5_000 if bench.small else 500_000, centres=centres)
    queries = drawn(count, width, bench.device, shard=count, centres=centres)[0].float().cpu().numpy()
    index = faiss.index_factory(width, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
    if on_gpu:
        resources = faiss.StandardGpuResources()
        index = faiss.index_cpu_to_gpu(resources, 0, index)
    sample = torch.cat([shard[:: 4 if bench.small else 12] for shard in shards]).float().cpu().numpy()
    name = f"IVF{lists},SQfp16, {rows:,} x {width}"
    bench.say(f"{name}: training on {len(sample):,}", f"{timed(bench.device, lambda: index.train(sample))[0]:.1f} s")

    def add() -> None:
        for shard in shards:
            index.add(shard.float().cpu().numpy())

    bench.say(f"{name}: adding", f"{timed(bench.device, add)[0]:.1f} s")
    index.nprobe = nprobe
    index.search(queries[:10], 10)
    seconds, (_, found) = timed(bench.device, lambda: index.search(queries, 10))
    bench.say(f"{count:,} queries, nprobe {nprobe}", f"{seconds:.3f} s, {count / seconds:,.0f} queries/s")
    _, exact = TorchSearch(shards, devices=[bench.device]).nearest(np.ascontiguousarray(queries), 10)
    bench.say("recall@10 against exact search", f"{overlap(found, exact):.4f}")
