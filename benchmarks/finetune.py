"""Tokens per CPU-second and peak memory of a training: ragmed's loop against bare peft + torch, and transformers.

    OMP_NUM_THREADS=1 python benchmarks/finetune.py

In: the corpus handbook-2031, `packaged:smollm2-135m` in float32, one thread. Out: a Markdown table of the best of three
rounds; exit code 1 where a target is missed. All loops run on the same peft model from the same adapter, read the same
rows in the same order, and must find the same losses, or the script fails. The bare loop gets the fastest of torch's
forms of AdamW; it runs twice, once with the texts of a row kept apart as ours, which is the peer, and once without
(positions left out): less work for another result, in which texts see their neighbours. Peak memory is
the lower of two processes of their own with the same steps. The last row is all of `finetune()`: loading, texts,
packing, steps, measurements, checkpoint.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragmed.finetuning.recipe import AdapterRecipe, make_adapter_recipe
from ragmed.workspace import Workspace

SPEED_TARGET, MEMORY_TARGET = 0.95, 1.05
RATE = 1e-3
SAME = 1e-3  # nat: losses of a step that differ by less are the same
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
FORMS: dict[str, dict[str, bool]] = {
    "plain": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
OURS, PACKED, UNPACKED, TRAINER = "ragmed's loop", "bare, packed", "bare, unpacked", "transformers' Trainer"
HEADER = """\
| | tokens / CPU-s | ragmed's loop / this | tokens / s | peak memory, MB | ragmed's loop / this |
|---|---:|---:|---:|---:|---:|"""


@dataclass(frozen=True, slots=True)
class Bench:
    """One peft model, the adapter it starts from, and the rows that each step reads."""

    model: Any
    recipe: AdapterRecipe
    rows: Any
    plan: list[Any]
    start: dict[str, Any]

    @property
    def tokens(self) -> int:
        return sum(int(self.rows.used[numbers].sum()) for numbers in self.plan)

    def weights(self) -> dict[str, Any]:
        return {name: one for name, one in self.model.named_parameters() if one.requires_grad}

    def rewind(self) -> None:
        import torch

        with torch.no_grad():
            for name, one in self.weights().items():
                one.copy_(self.start[name])


@dataclass(frozen=True, slots=True)
class Spent:
    cpu: float
    wall: float
    losses: list[float]


def make_recipe(model: str, sequence: int, **training: Any) -> dict[str, Any]:
    fixed = {"learning_rate": RATE, "batch": 2, "micro_batch": 2, "schedule": "constant", "warmup": 0.0}
    device = {"sequence_tokens": sequence, "device": "cpu", "dtype": "float32"}
    return {"base": model, "corpora": ["handbook-2031"], "training": {**fixed, **device, **training}}


def prepare(task: dict[str, Any]) -> Bench:
    import torch

    from ragmed.finetuning.build import make_rows
    from ragmed.finetuning.lora import with_new_adapter
    from ragmed.finetuning.training import plan_steps
    from ragmed.finetuning.training_texts import training_texts
    from ragmed.models import ModelSettings
    from ragmed.models.loading import load_weights, weights_folder

    torch.set_num_threads(1)
    workspace = Workspace.find()
    recipe = make_adapter_recipe(make_recipe(task["model"], task["sequence"]), name="bench", where="benchmark")
    folder, snapshot_of = weights_folder(recipe.base, workspace)
    settings = ModelSettings(recipe.base, device="cpu", dtype="float32")
    model, tokenizer, _ = load_weights(settings, folder, snapshot_of=snapshot_of)
    rows = make_rows(training_texts(recipe, workspace=workspace).texts, tokenizer, recipe, apart=True)
    tuned = with_new_adapter(model, recipe)
    plan = plan_steps(rows, recipe.training, seed=0)[: task["steps"]]
    start = {name: one.detach().clone() for name, one in tuned.named_parameters() if one.requires_grad}
    return Bench(tuned, recipe, rows, plan, start)


def timed(steps: Callable[[], list[float]]) -> Spent:
    cpu, wall = time.process_time(), time.perf_counter()
    losses = steps()
    return Spent(time.process_time() - cpu, time.perf_counter() - wall, losses)


def ours(bench: Bench) -> Spent:
    """The steps that `Trainer.run` takes, without what it does between them."""
    from ragmed.finetuning.parallel import Team
    from ragmed.finetuning.training import Trainer

    bench.rewind()
    trainer = Trainer(bench.model, bench.rows, None, training=bench.recipe.training, seed=0, team=Team())
    trainer.steps = bench.plan
    return timed(lambda: [trainer._step(numbers) for numbers in bench.plan])


def bare(bench: Bench, *, packed: bool, form: str) -> Spent:
    """What one writes by hand: rows, forward, cross-entropy of the next token, backward, clip, step."""
    import torch
    import torch.nn.functional as functional

    bench.rewind()
    weights = list(bench.weights().values())
    optimiser = torch.optim.AdamW(weights, lr=RATE, weight_decay=0.0, **FORMS[form])
    everything = [tensor_rows(bench.rows, numbers) for numbers in bench.plan]

    def steps() -> list[float]:
        losses = []
        for ids, positions, labels in everything:
            options = {"position_ids": positions} if packed else {}
            logits = bench.model(input_ids=ids, use_cache=False, **options).logits
            # The labels are shifted, not the logits: no copy of the largest tensor.
            shifted = functional.pad(labels[:, 1:], (0, 1), value=-100)
            loss = functional.cross_entropy(logits.view(-1, logits.shape[-1]), shifted.reshape(-1))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            optimiser.zero_grad()
            losses.append(float(loss.detach()))
        return losses

    return timed(steps)


def tensor_rows(rows: Any, numbers: Any) -> tuple[Any, Any, Any]:
    import torch

    ids, positions, trained = (torch.from_numpy(one[numbers]) for one in (rows.ids, rows.positions, rows.trained))
    return ids, positions, torch.where(trained, ids, -100)


def by_trainer(bench: Bench) -> Spent:
    """transformers' Trainer, from its first step to its last; saves nothing."""
    from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator

    clocks: list[tuple[float, float]] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            clocks.append((time.process_time(), time.perf_counter()))

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            clocks.append((time.process_time(), time.perf_counter()))

    bench.rewind()
    data = []
    for numbers in bench.plan:
        for ids, positions, labels in zip(*tensor_rows(bench.rows, numbers), strict=True):
            data.append({"input_ids": ids, "position_ids": positions, "labels": labels})
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=len(bench.plan), per_device_train_batch_size=2, learning_rate=RATE, use_cpu=True,
            lr_scheduler_type="constant", max_grad_norm=1.0, save_strategy="no", report_to="none", disable_tqdm=True,
            logging_steps=1, train_sampling_strategy="sequential", dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(
            bench.model, arguments, data_collator=default_data_collator, train_dataset=data, callbacks=[Clock()]
        )
        trainer.log = lambda logs, *_: trainer.state.log_history.append(logs)  # it prints otherwise
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Spent(clocks[-1][0] - clocks[0][0], clocks[-1][1] - clocks[0][1], losses)


def contenders(form: str) -> dict[str, Callable[[Bench], Spent]]:
    return {
        OURS: ours,
        PACKED: lambda bench: bare(bench, packed=True, form=form),
        UNPACKED: lambda bench: bare(bench, packed=False, form=form),
        TRAINER: by_trainer,
    }


def best_form(bench: Bench) -> str:
    """The form of AdamW with the least CPU time over updates alone, since beside forward and backward it drowns."""
    import torch

    costs: dict[str, float] = {}
    bench.rewind()
    weights = list(bench.weights().values())
    for name, options in FORMS.items():
        optimiser = torch.optim.AdamW(weights, lr=0.0, weight_decay=0.0, **options)
        for one in weights:
            one.grad = torch.ones_like(one)
        costs[name] = min(update_cost(optimiser) for _ in range(15))
    for one in weights:
        one.grad = None
    print(f"AdamW, CPU-s an update: { {name: round(cost, 4) for name, cost in costs.items()} }", file=sys.stderr)
    return min(costs, key=lambda name: costs[name])


def update_cost(optimiser: Any) -> float:
    started = time.process_time()
    optimiser.step()
    return time.process_time() - started


def speed(task: dict[str, Any]) -> dict[str, Any]:
    """Rounds of all contenders, one after the other, and the least CPU and wall-clock time of each."""
    bench = prepare(task)
    form = best_form(bench)
    rounds: dict[str, list[Spent]] = {name: [] for name in contenders(form)}
    for number in range(task["rounds"]):
        for name, run in contenders(form).items():
            spent = run(bench)
            rounds[name].append(spent)
            losses = [round(loss, 4) for loss in spent.losses]
            print(f"{number + 1} {name}: {spent.cpu:.2f} CPU-s, {spent.wall:.2f} s, {losses}", file=sys.stderr)
            if name in (PACKED, TRAINER):
                check_same(rounds[OURS][-1].losses, losses, name)
    best = {name: [min(s.cpu for s in each), min(s.wall for s in each)] for name, each in rounds.items()}
    return {"form": form, "tokens": bench.tokens, "best": best}


def check_same(mine: Sequence[float], other: Sequence[float], name: str) -> None:
    for number, (a, b) in enumerate(zip(mine, other, strict=True), 1):
        if abs(a - b) > SAME:
            raise SystemExit(f"step {number}: our loss is {a:.5f}, that of {name} {b:.5f}")


def memory(task: dict[str, Any]) -> dict[str, Any]:
    bench = prepare(task)
    contenders(task["form"])[task["name"]](bench)
    print(f"{task['name']}: peak {peak_mb():.0f} MB", file=sys.stderr)
    return {"peak_mb": peak_mb()}


def whole(task: dict[str, Any]) -> dict[str, Any]:
    """`finetune()` of as many steps, as a user calls it; imports are not counted, loading the model is."""
    import torch

    from ragmed.finetuning.build import finetune

    torch.set_num_threads(1)
    import peft  # noqa: F401  the other contenders do not pay for it either
    import transformers  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        raw = make_recipe(task["model"], task["sequence"], max_tokens=task["tokens"])
        file = Path(folder) / "bench.yaml"
        file.write_text(json.dumps(raw), encoding="utf-8")
        cpu, wall = time.process_time(), time.perf_counter()
        manifest, _ = finetune(str(file), workspace=Workspace.find(), output=Path(folder) / "adapter")
        spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    held = manifest["losses"][-1]["held_out"] is not None
    return {**spent, "steps": manifest["steps"], "tokens": manifest["tokens"], "held": held, "peak_mb": peak_mb()}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


PARTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"speed": speed, "memory": memory, "whole": whole}


def child(task: dict[str, Any]) -> dict[str, Any]:
    """A part in a process of its own. This one loads no weights: a child's peak begins at its parent's."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(task)],
        text=True,
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, **dict.fromkeys(THREADS, "1"), "TOKENIZERS_PARALLELISM": "false"},
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def least_peak(task: dict[str, Any]) -> float:
    """Of two processes: the same steps peaked at 2,005 MB once and at 2,518 MB another time, beside other work."""
    return min(float(child(task)["peak_mb"]) for _ in range(2))


def table(best: dict[str, list[float]], peaks: dict[str, float], tokens: int) -> list[str]:
    lines = []
    for name, (cpu, wall) in best.items():
        ratio, share = cpu / best[OURS][0], peaks[OURS] / peaks[name]
        lines.append(
            f"| {name} | {tokens / cpu:.1f} | {ratio:.3f} | {tokens / wall:.1f} | {peaks[name]:.0f} | {share:.3f} |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2, help="updates a round, each of two rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sequence", type=int, default=256, help="tokens a row")
    parser.add_argument("--model", default="packaged:smollm2-135m")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        task = json.loads(given.child)
        print(json.dumps(PARTS[task["part"]](task)))
        return 0
    shared = {"model": given.model, "sequence": given.sequence, "steps": given.steps, "rounds": given.rounds}
    found = child({**shared, "part": "speed"})
    best, tokens = found["best"], found["tokens"]
    peaks = {name: least_peak({**shared, "part": "memory", "name": name, "form": found["form"]}) for name in best}
    print(f"bare: AdamW {found['form']}; {given.steps} steps, {tokens} tokens, best of {given.rounds}\n\n{HEADER}")
    print("\n".join(table(best, peaks, tokens)))
    all_ = child({**shared, "part": "whole", "tokens": tokens})
    speeds = f"{all_['tokens'] / all_['cpu']:.1f} | | {all_['tokens'] / all_['wall']:.1f}"
    print(f"| `finetune()`, {all_['steps']} steps | {speeds} | {all_['peak_mb']:.0f} | |\n")
    peer = PACKED
    ratio, share = best[peer][0] / best[OURS][0], peaks[OURS] / peaks[peer]
    met = ratio >= SPEED_TARGET, share <= MEMORY_TARGET
    print(f"against '{peer}': speed {ratio:.3f} (at least {SPEED_TARGET}: {'met' if met[0] else 'MISSED'}), ", end="")
    print(f"memory {share:.3f} (at most {MEMORY_TARGET}: {'met' if met[1] else 'MISSED'})")
    print(f"finetune() beside its steps: {all_['cpu'] - all_['tokens'] / tokens * best[OURS][0]:.1f} CPU-s")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
