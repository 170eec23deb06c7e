"""A model with a fresh adapter and rows of tokens in, a trained adapter out: the loop, and nothing else.

One optimiser step is one update on `batch` rows, whatever the micro-batch: the loss is the mean over the tokens
of the step that are trained on. Randomness is drawn from (seed, step) alone, so that a training that was stopped ends
as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ragmed.errors import ModelError
from ragmed.finetuning import checkpoints
from ragmed.finetuning.checkpoints import Progress, Tensors
from ragmed.finetuning.measure import Meter
from ragmed.finetuning.parallel import Team
from ragmed.finetuning.recipe import Training
from ragmed.finetuning.sequences import Ints, Rows
from ragmed.machine import Spent

Show = Callable[[Progress, int, float, float], None]
"""Called after each step with the progress, the number of steps, the loss of the step and tokens a second."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where checkpoints lie, and what they must have been made by to be resumed."""

    folder: Path
    identity: dict[str, Any]
    remedy: str


def plan_steps(rows: Rows, training: Training, *, seed: int) -> list[Ints]:
    """The rows that each step reads: every row once an epoch, each epoch in an order of its own."""
    total = max(1, round(training.epochs * len(rows)))
    epochs = -(-total // len(rows))
    orders = [np.random.default_rng([seed, epoch]).permutation(len(rows)) for epoch in range(epochs)]
    order = np.concatenate(orders)[:total]
    if training.max_tokens:
        reached = int(np.searchsorted(np.cumsum(rows.used[order]), training.max_tokens)) + 1
        order = order[:reached]
    return [order[start : start + training.batch] for start in range(0, len(order), training.batch)]


def learning_rate(step: int, steps: int, training: Training) -> float:
    """Of step `step` (from 0) of `steps`: rises over the warm-up, then follows the schedule towards 0."""
    rising = round(training.warmup * steps)
    if step < rising:
        return training.learning_rate * (step + 1) / rising
    if training.schedule == "constant":
        return training.learning_rate
    gone = (step - rising) / max(1, steps - rising)
    left = 0.5 * (1 + math.cos(math.pi * gone)) if training.schedule == "cosine" else 1 - gone
    return training.learning_rate * left


class Trainer:
    """
        Trainer(model, rows, held, training=recipe.training, seed=0, team=Team()).run(place)

    `model`: a peft model in which the adapter alone asks for gradients. `held`: rows that are only measured on, or
    None. ModelError names a loss that is no number; memory that runs out halves the micro-batch and is noted.
    """

    def __init__(self, model: Any, rows: Rows, held: Rows | None, *, training: Training, seed: int, team: Team) -> None:
        import torch

        self.model = model
        self.rows = rows
        self.held = held
        self.training = training
        self.seed = seed
        self.team = team
        self.device = next(model.parameters()).device
        self.steps = plan_steps(rows, training, seed=seed)
        self.weights = {name: one for name, one in model.named_parameters() if one.requires_grad}
        self.optimiser = torch.optim.AdamW(
            self.weights.values(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        self._body_and_head = body_and_head(model)
        self.progress = Progress(micro_batch=training.micro_batch, cpu_seconds=0.0)
        self.best: Tensors | None = None
        self._new_best = False

    def run(self, place: Place, *, show: Show | None = None) -> Progress:
        """Trains to the end, from the last checkpoint where there is one; the weights are then those to keep."""
        self._resume(place)
        progress = self.progress
        before, joules = Spent(progress.seconds, progress.cpu_seconds, progress.gpu_seconds), progress.joules or 0.0
        meter = Meter(str(self.device))

        def note_costs() -> None:
            now = meter.spent()
            progress.seconds = round(before.wall + now.wall, 3)
            # One process cannot tell what the processors of the others did; cards are held by all for the same time.
            alone = self.team.size == 1 and before.cpu is not None and now.cpu is not None
            progress.cpu_seconds = round((before.cpu or 0.0) + (now.cpu or 0.0), 3) if alone else None
            if now.gpu is not None:
                progress.gpu_seconds = round((before.gpu or 0.0) + now.gpu * self.team.size, 3)
            progress.peak_memory = max(progress.peak_memory, meter.peak_memory())
            spent = meter.energy()
            progress.joules = None if spent is None else round(joules + spent, 1)

        first = progress.tokens
        while progress.step < len(self.steps) and not progress.stopped_early:
            loss = self._step(self.steps[progress.step])
            last = progress.step == len(self.steps)
            if last or progress.step % self.training.evaluate_every == 0:
                note_costs()
                self._measure()
            if last or progress.stopped_early or progress.step % self.training.checkpoint_every == 0:
                note_costs()
                self._checkpoint(place)
            if show:
                show(progress, len(self.steps), loss, (progress.tokens - first) / max(1e-9, meter.spent().wall))
        if self.best is not None:
            self._put(self.best)
        return progress

    def _step(self, numbers: Ints) -> float:
        progress, rate = self.progress, learning_rate(self.progress.step, len(self.steps), self.training)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        trained = int(self.rows.trained[numbers].sum())
        loss = self._backward(self.team.mine(numbers.tolist()), max(1, trained))
        import torch

        for weight in self.weights.values():  # a process without rows, or a layer that no token went through
            weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
        self.team.add([*(weight.grad for weight in self.weights.values()), loss])

        norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), self.training.clip or math.inf)
        value = float(loss)
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            self._refuse_nan(value, rate, numbers)
        self.optimiser.step()
        self.optimiser.zero_grad()
        progress.step += 1
        progress.tokens += int(self.rows.used[numbers].sum())
        progress.trained_tokens += trained
        progress.window_loss += value * trained
        progress.window_tokens += trained
        return value

    def _backward(self, numbers: Sequence[int], trained: int) -> Any:
        """Gradients of the mean loss of the step over this process's rows; where memory runs out, in smaller bites."""
        import torch

        while True:
            try:
                return self._summed(numbers, trained)
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error) or self.progress.micro_batch == 1:
                    raise
            self.optimiser.zero_grad()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            self.progress.micro_batch = max(1, self.progress.micro_batch // 2)
            self.progress.notes.append(
                f"memory ran out at step {self.progress.step + 1}: rows are read {self.progress.micro_batch} at a time "
                "from there on; a step is still an update on the same rows"
            )

    def _summed(self, numbers: Sequence[int], trained: int) -> Any:
        """One try; its own frame, so that nothing keeps the graph of what did not fit alive for the next."""
        import torch

        total = torch.zeros((), device=self.device)
        size = self.progress.micro_batch
        for start in range(0, len(numbers), size):
            loss = self._loss(self.rows, numbers[start : start + size], draw=start) / trained
            loss.backward()
            total += loss.detach()
        return total

    def _loss(self, rows: Rows, numbers: Sequence[int], *, draw: int | None) -> Any:
        """Summed cross-entropy of the tokens that are trained on. `draw` None: measured without dropout."""
        import torch
        import torch.nn.functional as functional

        chosen = np.asarray(numbers)
        ids = torch.from_numpy(rows.ids[chosen]).to(self.device)
        positions = torch.from_numpy(rows.positions[chosen]).to(self.device)
        trained = torch.from_numpy(rows.trained[chosen][:, 1:]).to(self.device)
        gpus = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus, enabled=draw is not None):
            if draw is not None:
                torch.manual_seed(_seed(self.seed, self.progress.step, draw, self.team.rank))
            logits = self._predictions(ids, positions, trained)
        return functional.cross_entropy(logits.float(), ids[:, 1:][trained], reduction="sum")

    def _predictions(self, ids: Any, positions: Any, trained: Any) -> Any:
        """Logits (tokens trained on, vocabulary): of those tokens alone, where the head can be applied by itself."""
        given = {"input_ids": ids, "position_ids": positions, "use_cache": False}
        if not self._body_and_head:
            return self.model(**given).logits[:, :-1][trained]
        body, head = self._body_and_head
        return head(body(**given).last_hidden_state[:, :-1][trained])

    def held_out_loss(self) -> float | None:
        """Mean over the tokens of the held-out rows that a training would train on, in nats."""
        if self.held is None:
            return None
        import torch

        self.model.eval()
        total, size = 0.0, self.progress.micro_batch
        with torch.inference_mode():
            for start in range(0, len(self.held), size):
                total += float(self._loss(self.held, range(start, min(start + size, len(self.held))), draw=None))
        self.model.train()
        return total / max(1, int(self.held.trained.sum()))

    def _measure(self) -> None:
        progress = self.progress
        held = self.held_out_loss()
        if held is not None and not math.isfinite(held):
            raise ModelError(
                f"training stopped after step {progress.step} of {len(self.steps)}: the held-out loss is {held:g}; "
                "lower training.learning_rate, or train in float32; the last checkpoint is kept"
            )
        progress.losses.append(
            {
                "step": progress.step,
                "tokens": progress.tokens,
                "seconds": progress.seconds,
                "train": progress.window_loss / max(1, progress.window_tokens),
                "held_out": held,
            }
        )
        progress.window_loss, progress.window_tokens = 0.0, 0
        if held is None or not self.training.patience:
            return
        if progress.best is None or held < progress.best:
            progress.best, progress.best_step, progress.waited = held, progress.step, 0
            self.best = {name: weight.detach().clone() for name, weight in self.weights.items()}
            self._new_best = True
        else:
            progress.waited += 1
            progress.stopped_early = progress.waited >= self.training.patience

    def _checkpoint(self, place: Place) -> None:
        if self.team.first:
            best = self.best if self._new_best else None
            checkpoints.save(place.folder, self.progress, self._state(), best, identity=place.identity)
        self._new_best = False
        self.team.wait()

    def _state(self) -> dict[str, Any]:
        tensors = {f"weight.{name}": weight.detach() for name, weight in self.weights.items()}
        for name, weight in self.weights.items():
            for moment in ("exp_avg", "exp_avg_sq"):
                tensors[f"{moment}.{name}"] = self.optimiser.state[weight][moment]
        return tensors

    def _resume(self, place: Place) -> None:
        checkpoint = checkpoints.load(place.folder, identity=place.identity, remedy=place.remedy)
        if not checkpoint:
            return
        import torch

        self.progress, state, self.best = checkpoint
        self._put({name: state[f"weight.{name}"] for name in self.weights})
        for name, weight in self.weights.items():
            self.optimiser.state[weight] = {
                "step": torch.tensor(float(self.progress.step)),
                **{key: state[f"{key}.{name}"].to(self.device) for key in ("exp_avg", "exp_avg_sq")},
            }

    def _put(self, tensors: Tensors) -> None:
        import torch

        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(tensors[name])

    def _refuse_nan(self, loss: float, rate: float, numbers: Ints) -> None:
        named = ", ".join(dict.fromkeys(text for number in numbers for text in self.rows.texts[number]))
        raise ModelError(
            f"training stopped at step {self.progress.step + 1} of {len(self.steps)}: its loss is {loss:g} or its "
            f"gradient is no number (learning rate {rate:g}, texts {named[:200]}); lower training.learning_rate, set "
            "training.clip, or train in float32; the last checkpoint is kept"
        )


def body_and_head(model: Any) -> tuple[Any, Any] | None:
    """The layers and the output matrix of a peft model, if they give what the whole gives; None where they do not.

    The output matrix is a fifth of a small model's work and most of its memory, and of many rows a part is trained on.
    Some architectures scale or cap what comes out of it: asking once is surer than knowing them all.
    """
    import torch

    whole = model.get_base_model()
    body, head = getattr(whole, whole.base_model_prefix, None), whole.get_output_embeddings()
    if body is None or head is None or body is whole:
        return None
    ids = torch.arange(8, device=next(model.parameters()).device)[None]
    given = {"input_ids": ids, "position_ids": ids, "use_cache": False}
    training = model.training
    model.eval()
    with torch.inference_mode():
        expected = model(**given).logits
        logits = head(body(**given).last_hidden_state)
    model.train(training)
    return (body, head) if torch.allclose(logits, expected, rtol=1e-5, atol=1e-5) else None


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def _out_of_memory(error: BaseException) -> bool:
    """torch says it in its own class on a GPU, and in words on a CPU."""
    import torch

    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(w in str(error).lower() for w in words)
