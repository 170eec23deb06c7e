"""Bootstrap and sign-flip draws per CPU-second: ragmed's statistics against scipy.stats, on the same differences.

    OMP_NUM_THREADS=1 python benchmarks/statistics.py

In: nothing; paired differences are drawn with a fixed seed, once of right and wrong answers (-1, 0, 1) and once of
continuous scores. Out: Markdown tables of the best of three CPU and wall-clock times, their ratios and the peak memory,
and the time of `compare` on a run of MIRAGE's size. Both sides make the same number of draws; scipy gets its best
`batch` from a sweep with a tenth of them. The intervals and p-values of the two must agree within what so many draws
leave open, or the script fails.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "statistics":
    # A script of this folder asks for the standard library's module, and Python looks into the script's folder first.
    import importlib.util
    import sysconfig

    _file = Path(sysconfig.get_paths()["stdlib"]) / "statistics.py"
    _spec = importlib.util.spec_from_file_location("statistics", _file)
    if _spec is None or _spec.loader is None:
        raise ImportError(f"no module of the standard library in '{_file}'")
    sys.modules[__name__] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[__name__])
else:
    import argparse
    import functools
    import random
    import time
    import tracemalloc
    import warnings
    from collections.abc import Callable, Sequence
    from dataclasses import dataclass
    from typing import Any

    import numpy as np

    from ragmed.comparison.compare import ComparisonSettings, compare
    from ragmed.comparison.statistics.bootstrap import Bootstrap, Z
    from ragmed.comparison.statistics.significance import sign_flip
    from ragmed.metrics import metric_facts
    from ragmed.records import Answer, Example, Sample
    from ragmed.scores import Answers, score_samples

    TARGET = 10.0
    BATCHES = {"bootstrap": (50, 200, 1000), "sign flips": (100, 500, 1000)}
    HEADER = """\
| test | differences | ragmed CPU-s | scipy CPU-s | ratio | wall-clock ratio | ragmed peak MB | scipy peak MB | target |
|---|---|---:|---:|---:|---:|---:|---:|---|"""
    MIRAGE = {"mmlu": 1089, "medqa": 1273, "medmcqa": 4183, "pubmedqa": 500, "bioasq": 618}
    Numbers = tuple[float, ...]
    Call = Callable[[int], Numbers]

    @dataclass(frozen=True, slots=True)
    class Setting:
        """`theirs`: batch -> a call. `near`: how far apart the two answers may be."""

        test: str
        data: str
        ours: Call
        theirs: Callable[[int], Call]
        batches: Sequence[int]
        near: float

    def differences(kind: str, pairs: int) -> Any:
        rng = np.random.default_rng(7)
        if kind == "right/wrong":
            return rng.choice([-1.0, 0.0, 1.0], size=pairs, p=[0.115, 0.76, 0.125])
        return rng.beta(2, 3, pairs) - rng.beta(2, 3.05, pairs)

    def settings(kind: str, pairs: int, draws: int) -> list[Setting]:
        from scipy import stats

        values = differences(kind, pairs)
        spread = float(values.std()) / pairs**0.5

        def bca(count: int) -> Numbers:
            return bootstrap(count)._bca(Z) or ()

        def percentile(count: int) -> Numbers:
            return bootstrap(count).percentile(Z)

        def bootstrap(count: int) -> Bootstrap:
            return Bootstrap.of(values, np.ones(pairs), rng=np.random.default_rng(1), resamples=count)

        def scipys(method: str, batch: int, count: int) -> Numbers:
            found = stats.bootstrap(
                (values,), np.mean, n_resamples=count, batch=batch, method=method, rng=np.random.default_rng(2)
            ).confidence_interval
            return float(found.low), float(found.high)

        def flipped(count: int) -> Numbers:
            return (sign_flip(values, rng=np.random.default_rng(1), resamples=count),)

        def permuted(batch: int, count: int) -> Numbers:
            found = stats.permutation_test(
                (values, np.zeros(pairs)), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples",
                vectorized=True, n_resamples=count, batch=batch, rng=np.random.default_rng(2),
            )  # fmt: skip
            return (float(found.pvalue),)

        made = [
            Setting(name, kind, ours, functools.partial(_batched, scipys, method), BATCHES["bootstrap"], 0.15 * spread)
            for name, ours, method in (
                ("bootstrap, BCa", bca, "BCa"), ("bootstrap, percentile", percentile, "percentile")
            )
        ]  # fmt: skip
        near = 5 * (2 * 0.25 / draws) ** 0.5
        batches = BATCHES["sign flips"]
        return [*made, Setting("sign flips", kind, flipped, lambda b: functools.partial(permuted, b), batches, near)]

    def _batched(call: Callable[[str, int, int], Numbers], method: str, batch: int) -> Call:
        return functools.partial(call, method, batch)

    def timed(call: Call, draws: int) -> tuple[float, float, Numbers]:
        cpu, wall = time.process_time(), time.perf_counter()
        answer = call(draws)
        return time.process_time() - cpu, time.perf_counter() - wall, answer

    def peak(call: Call, draws: int) -> float:
        """Megabytes allocated at most, in a run of its own, because counting takes time."""
        tracemalloc.start()
        call(draws)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most / 1e6

    def measure(setting: Setting, draws: int, repeats: int) -> str:
        batch = min(setting.batches, key=lambda size: timed(setting.theirs(size), max(1000, draws // 10))[0])
        theirs = setting.theirs(batch)
        rounds = []
        for _ in range(repeats):
            mine, other = timed(setting.ours, draws), timed(theirs, draws)
            apart = max(abs(a - b) for a, b in zip(mine[2], other[2], strict=True))
            if apart > setting.near:
                raise SystemExit(f"{setting.test}, {setting.data}: {mine[2]} and scipy's {other[2]} differ too much")
            rounds.append((mine[0], other[0], mine[1], other[1]))
        cpu, cpu_other, wall, wall_other = (min(column) for column in zip(*rounds, strict=True))
        ratio = cpu_other / cpu
        return (
            f"| {setting.test} | {setting.data} | {cpu:.4f} | {cpu_other:.3f} (batch {batch}) | **{ratio:.1f}** | "
            f"{wall_other / wall:.1f} | {peak(setting.ours, draws):.0f} | {peak(theirs, draws):.0f} | "
            f"{TARGET:g} {'met' if ratio >= TARGET else 'MISSED'} |"
        )

    def mirage_like() -> Answers:
        """Written answers of four arms to as many questions as MIRAGE has, 8 % of them unreadable."""
        rng = random.Random(0)
        text = '{"step_by_step_thinking": "' + "word " * 200 + '", "answer_choice": "%s"}'
        answers: Answers = {}
        for task, count in MIRAGE.items():
            golds = rng.choices("ABCD", k=count)
            for arm in ("a/cot", "a/rag_32", "b/cot", "b/rag_32"):
                chosen = [rng.choice("ABCD") if rng.random() < 0.5 else gold for gold in golds]
                texts = [text % one if rng.random() > 0.08 else "No passage says so." for one in chosen]
                samples = [
                    Sample(
                        arm, task, Example(f"{i:05d}", "", options=dict(zip("ABCD", "wxyz")), gold=gold), completion=t
                    )
                    for i, (t, gold) in enumerate(zip(texts, golds, strict=True))
                ]
                scores = score_samples(samples, "mirage-strict", ["accuracy"])
                answers[arm, task] = [Answer(*pair) for pair in zip(samples, scores, strict=True)]
        return answers

    def whole_run(repeats: int) -> str:
        answers = mirage_like()
        accuracy = dict.fromkeys(MIRAGE, metric_facts(["accuracy"]))
        pairs = (("a/cot", "a/rag_32"), ("b/cot", "b/rag_32"))
        asked = ComparisonSettings(baseline="a/cot", contrasts=pairs, resamples=10_000)

        def call(_: int) -> Numbers:
            return (float(len(compare(answers, run="mirage", settings=asked, metrics=accuracy).contrasts)),)

        cpu, wall, (contrasts,) = min(timed(call, 0) for _ in range(repeats))
        count = sum(map(len, answers.values()))
        return f"`compare`: {count} answers, {contrasts:.0f} contrasts: {cpu:.2f} CPU-s, {wall:.2f} s wall-clock"

    def main(arguments: Sequence[str] | None = None) -> int:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--pairs", type=int, default=10_000)
        parser.add_argument("--draws", type=int, default=10_000)
        parser.add_argument("--repeats", type=int, default=3)
        parser.add_argument("--only", help="settings whose name begins so, such as 'bootstrap'")
        given = parser.parse_args(arguments)
        warnings.simplefilter("error")
        print(HEADER)
        for kind in ("right/wrong", "continuous"):
            for setting in settings(kind, given.pairs, given.draws):
                if setting.test.startswith(given.only or ""):
                    print(measure(setting, given.draws, given.repeats), flush=True)
        print(f"\n{whole_run(given.repeats)}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
