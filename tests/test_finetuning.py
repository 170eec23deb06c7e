"""Fine-tuning on a tiny random model: what is trained on, what a kill changes (nothing), and what stops it by name."""

import json
import math
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import save_tiny

from ragmed.adapters import read_manifest
from ragmed.errors import DamagedError, DataError, MismatchError, ModelError, UnknownNameError, UsageError
from ragmed.finetuning import build
from ragmed.finetuning.recipe import AdapterRecipe, Training, make_adapter_recipe
from ragmed.finetuning.sequences import Encoded, encode, pack, packs
from ragmed.finetuning.texts import TrainingText
from ragmed.finetuning.training import Trainer, learning_rate, plan_steps
from ragmed.models import ModelSettings, load_model
from ragmed.models.loading import load_weights
from ragmed.records import Message
from ragmed.workspace import Workspace

RECIPE = """
base: "path:{base}"
corpora: [wards]
seed: 5
lora: {{rank: 4, alpha: 8}}
saved: float32
training:
  learning_rate: 0.01
  epochs: 2
  batch: 2
  micro_batch: 2
  sequence_tokens: 64
  held_out: 0.2
  evaluate_every: 2
  checkpoint_every: 2
"""


@pytest.fixture
def lab(small: Workspace) -> Workspace:
    """The small workspace with a tiny base model and the recipe of an adapter over its twelve pages."""
    base = save_tiny(small.models / "base")
    (small.adapters / "wards").mkdir(parents=True)
    (small.adapters / "wards" / "recipe.yaml").write_text(RECIPE.format(base=base))
    return small


def rewrite(lab: Workspace, old: str, new: str) -> None:
    file = lab.adapters / "wards" / "recipe.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def make(**training: Any) -> AdapterRecipe:
    raw = {"base": "path:m", "corpora": ["c"], "training": training}
    return make_adapter_recipe(raw, name="a", where="here")


def trainer(folder: Path, **training: Any) -> Trainer:
    """A trainer over 12 rows of tokens drawn by lot."""
    from ragmed.finetuning.lora import with_new_adapter
    from ragmed.finetuning.parallel import Team

    recipe = make(**{"learning_rate": 0.01, "batch": 2, "micro_batch": 2, "sequence_tokens": 16, **training})
    model, _, _ = load_weights(ModelSettings(f"path:{folder}", device="cpu"), folder)
    rng = np.random.default_rng(1)
    pieces = [Encoded(f"t{i}", rng.integers(5, 200, 16), np.ones(16, dtype=np.bool_)) for i in range(12)]
    rows = pack(pieces, length=16, pad=0)
    return Trainer(with_new_adapter(model, recipe), rows, None, training=recipe.training, seed=0, team=Team())


def place(folder: Path) -> build.Place:
    folder.mkdir(exist_ok=True)
    return build.Place(folder, {"recipe": 1}, "ragmed finetune a --restart")


def test_the_loss_falls_and_the_manifest_says_what_made_the_adapter(lab: Workspace) -> None:
    manifest, fresh = build.finetune("wards", workspace=lab)
    assert fresh
    assert manifest == read_manifest(lab.adapters / "wards")
    assert [one["name"] for one in manifest["corpora"]] == ["wards"]
    assert manifest["base"]["name"].startswith("path:")
    assert manifest["losses"][-1]["train"] < manifest["losses"][0]["train"] - 0.2
    assert manifest["losses"][-1]["held_out"] is not None
    assert len(manifest["held_out_documents"]) == 2
    assert manifest["steps"] == manifest["steps_planned"] == len(manifest["losses"]) * 2
    assert manifest["tokens"] > manifest["learnt_tokens"] > 0
    assert manifest["peak_memory_bytes"] > 50e6
    assert manifest["seconds"] > 0
    assert set(manifest["files"]) == {"adapter_config.json", "adapter_model.safetensors"}
    assert not (lab.adapters / "wards" / ".training").exists()
    again, fresh = build.finetune("wards", workspace=lab)
    assert again == manifest
    assert not fresh


def test_a_tuned_model_answers_otherwise_and_an_untrained_adapter_changes_nothing(lab: Workspace) -> None:
    base = f"path:{lab.models / 'base'}"
    prompt, options = [[Message("user", "The extension of Elm ward")]], [["is 4000", "is 5000"]]
    plain = load_model(base, workspace=lab).score(prompt, options)
    rewrite(lab, "epochs: 2", "epochs: 0.1")  # a step or two,
    rewrite(lab, "learning_rate: 0.01", "learning_rate: 1.0e-9")  # so small that nothing changes
    build.finetune("wards", workspace=lab)
    untrained = load_model(f"{base}+adapter:wards", workspace=lab).score(prompt, options)
    np.testing.assert_allclose(untrained[0].logprobs, plain[0].logprobs, atol=1e-5)
    rewrite(lab, "learning_rate: 1.0e-9", "learning_rate: 0.01")
    build.finetune("wards", workspace=lab, restart=True)
    tuned = load_model(f"{base}+adapter:wards", workspace=lab).score(prompt, options)
    assert max(abs(a - b) for a, b in zip(tuned[0].logprobs, plain[0].logprobs, strict=True)) > 0.01


class Killed(Exception):
    """Stands for a kill: raised from the callback after a step, when nothing can be tidied up."""


def killed_after(step: int) -> Any:
    def bars(name: str) -> Any:
        def show(progress: Any, steps: int, loss: float, speed: float) -> None:
            if progress.step == step:
                raise Killed

        return show

    return bars


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_resuming_equals_not_stopping_to_the_byte(lab: Workspace, tmp_path: Path, dropout: float) -> None:
    rewrite(lab, "alpha: 8", f"alpha: 8, dropout: {dropout}")
    whole, _ = build.finetune("wards", workspace=lab, output=tmp_path / "whole")
    for step in (1, 3, 6):
        with pytest.raises(Killed):
            build.finetune("wards", workspace=lab, output=tmp_path / "torn", bars=killed_after(step))
    torn, _ = build.finetune("wards", workspace=lab, output=tmp_path / "torn")
    assert torn["files"] == whole["files"]
    losses = [[(one["step"], one["train"], one["held_out"]) for one in each["losses"]] for each in (torn, whole)]
    assert losses[0] == losses[1]
    assert (torn["tokens"], torn["steps"]) == (whole["tokens"], whole["steps"])


@pytest.mark.slow
def test_a_kill_that_takes_the_process_resumes_to_the_same_bytes(lab: Workspace, tmp_path: Path) -> None:
    whole, _ = build.finetune("wards", workspace=lab, output=tmp_path / "whole")
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from ragmed.finetuning import build, training\n"
        "from ragmed.workspace import Workspace\n"
        "bars = lambda name: lambda p, n, l, s: p.step == 3 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "build.finetune('wards', workspace=Workspace(Path(sys.argv[1])), output=Path(sys.argv[2]), bars=bars)\n"
    )
    arguments = [sys.executable, "-c", code, str(lab.root), str(tmp_path / "torn")]
    assert subprocess.run(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode == -9
    assert (tmp_path / "torn" / ".training" / "wards" / "state-000002.safetensors").is_file()
    torn, _ = build.finetune("wards", workspace=lab, output=tmp_path / "torn")
    assert torn["files"] == whole["files"]


def test_a_checkpoint_of_another_recipe_or_a_damaged_one_is_refused(lab: Workspace) -> None:
    with pytest.raises(Killed):
        build.finetune("wards", workspace=lab, bars=killed_after(3))
    rewrite(lab, "learning_rate: 0.01", "learning_rate: 0.02")
    with pytest.raises(MismatchError, match=r"begun with another recipe; .*ragmed finetune wards --restart"):
        build.finetune("wards", workspace=lab)
    rewrite(lab, "learning_rate: 0.02", "learning_rate: 0.01")
    state = lab.adapters / "wards" / ".training" / "wards" / "state-000002.safetensors"
    state.write_bytes(state.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedError, match="missing or damaged"):
        build.finetune("wards", workspace=lab)
    assert build.finetune("wards", workspace=lab, restart=True)[1]


def test_an_adapter_of_another_corpus_or_recipe_is_not_replaced_unasked(lab: Workspace) -> None:
    build.finetune("wards", workspace=lab)
    page = lab.corpora / "wards" / "pages" / "elm.md"
    page.write_text(page.read_text() + "\nVisitors wait outside.\n")
    with pytest.raises(MismatchError, match="made of another corpora; to replace it"):
        build.finetune("wards", workspace=lab)
    weights = lab.adapters / "wards" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedError, match="its sha256 differs"):
        read_manifest(lab.adapters / "wards")


def test_an_evaluation_question_among_the_texts_stops_it_before_anything_is_trained(lab: Workspace) -> None:
    rewrite(lab, "seed: 5", "seed: 5\nkeep_out: {tasks: [mmlu], words: 6}")
    page = lab.corpora / "wards" / "pages" / "elm.md"
    page.write_text(page.read_text() + "\nWhat is the extension of Elm ward? Ask the clerk.\n")
    with pytest.raises(DataError, match=r"wards:elm.*mmlu"):
        build.finetune("wards", workspace=lab)
    assert not (lab.adapters / "wards" / "manifest.json").exists()


def test_what_is_made_from_private_text_is_private(lab: Workspace) -> None:
    file = lab.corpora / "wards" / "recipe.yaml"
    file.write_text(file.read_text().replace("access: open", "access: private"))
    output = lab.root / "out"
    output.mkdir()  # a folder that was there before, and open
    manifest, _ = build.finetune("wards", workspace=lab, output=output)
    assert manifest["access"] == "private"
    assert stat.S_IMODE(output.stat().st_mode) == 0o700
    for name in ("manifest.json", "adapter_config.json", "adapter_model.safetensors"):
        assert stat.S_IMODE((output / name).stat().st_mode) == 0o600, name


def test_a_loss_that_is_no_number_stops_it_by_name(tmp_path: Path) -> None:
    import torch

    one = trainer(save_tiny(tmp_path / "m"))
    with torch.no_grad():
        next(iter(one.weights.values())).fill_(math.inf)
    with pytest.raises(ModelError, match=r"stopped at step 1 of 6: its loss is nan .*texts t\d+.*learning_rate"):
        one.run(place(tmp_path / "work"))


def test_memory_that_runs_out_halves_the_micro_batch_and_the_update_stays_the_same(tmp_path: Path) -> None:
    import torch

    folder = save_tiny(tmp_path / "m")
    calm = trainer(folder, batch=4, micro_batch=4)
    calm.run(place(tmp_path / "calm"))
    tight = trainer(folder, batch=4, micro_batch=4)
    whole = tight._loss

    def limited(rows: Any, numbers: Any, *, draw: Any) -> Any:
        if len(numbers) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(rows, numbers, draw=draw)

    tight._loss = limited  # type: ignore[method-assign]
    progress = tight.run(place(tmp_path / "tight"))
    assert progress.micro_batch == 2
    assert progress.notes == [
        "memory ran out at step 1: rows are read 2 at a time from there on; a step is still an update on the same rows"
    ]
    for name, weight in calm.weights.items():
        torch.testing.assert_close(tight.weights[name], weight, atol=1e-5, rtol=1e-4)

    def none(rows: Any, numbers: Any, *, draw: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    tight._loss = none  # type: ignore[method-assign]
    with pytest.raises(torch.OutOfMemoryError):
        tight._backward([0, 1, 2, 3], 10)


def test_gradient_checkpointing_and_whole_logits_change_no_update(tmp_path: Path) -> None:
    import torch

    folder = save_tiny(tmp_path / "m")
    plain, saving, whole = (trainer(folder, gradient_checkpointing=on) for on in (False, True, False))
    assert plain._body_and_head
    whole._body_and_head = None  # as where an architecture scales what comes out of its head
    for name, one in (("plain", plain), ("saving", saving), ("whole", whole)):
        one.run(place(tmp_path / name))
    for name, weight in plain.weights.items():
        torch.testing.assert_close(saving.weights[name], weight, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(whole.weights[name], weight, atol=1e-6, rtol=1e-5)


def test_the_base_may_be_in_bfloat16_while_the_adapter_learns_in_float32(lab: Workspace) -> None:
    rewrite(lab, "epochs: 2", "epochs: 2\n  dtype: bfloat16")
    rewrite(lab, "saved: float32", "saved: bfloat16")
    manifest, _ = build.finetune("wards", workspace=lab)
    assert manifest["dtype"] == "bfloat16"
    assert manifest["losses"][-1]["train"] < manifest["losses"][0]["train"] - 0.2
    from safetensors import safe_open

    with safe_open(lab.adapters / "wards" / "adapter_model.safetensors", framework="pt") as file:
        assert {str(file.get_slice(name).get_dtype()) for name in file.keys()} == {"BF16"}  # noqa: SIM118


def test_early_stopping_keeps_the_best_weights_also_across_a_kill(lab: Workspace, tmp_path: Path) -> None:
    rewrite(lab, "learning_rate: 0.01", "learning_rate: 0.5\n  patience: 2\n  schedule: constant")
    rewrite(lab, "epochs: 2", "epochs: 12")
    rewrite(lab, "checkpoint_every: 2", "checkpoint_every: 1")
    whole, _ = build.finetune("wards", workspace=lab, output=tmp_path / "whole")
    assert whole["stopped_early"]
    assert whole["steps"] < whole["steps_planned"]
    held = [one["held_out"] for one in whole["losses"]]
    assert whole["kept_step"] == whole["losses"][held.index(min(held))]["step"]
    with pytest.raises(Killed):
        build.finetune("wards", workspace=lab, output=tmp_path / "torn", bars=killed_after(whole["steps"] - 1))
    torn, _ = build.finetune("wards", workspace=lab, output=tmp_path / "torn")
    assert torn["files"] == whole["files"]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(lab: Workspace, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    rewrite(lab, "batch: 2", "batch: 3")  # the last update has fewer rows than there are processes
    alone, _ = build.finetune("wards", workspace=lab, output=tmp_path / "alone")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517"]
    command += [
        "-m",
        "ragmed.cli.main",
        "--root",
        str(lab.root),
        "finetune",
        "wards",
        "--output",
        str(tmp_path / "two"),
    ]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    together = read_manifest(tmp_path / "two")
    assert together["processes"] == 2
    assert together["tokens"] == alone["tokens"]
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("alone", "two"))
    for name, tensor in one.items():
        np.testing.assert_allclose(two[name], tensor, atol=2e-4, err_msg=name)


def test_packed_texts_do_not_see_each_other(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "m")
    model, _, _ = load_weights(ModelSettings(f"path:{folder}", device="cpu"), folder)
    assert packs(model)


def test_rows_are_full_and_every_token_has_its_place() -> None:
    rng = np.random.default_rng(0)
    pieces = [
        Encoded(f"t{i}", rng.integers(1, 50, n), np.ones(n, dtype=np.bool_)) for i, n in enumerate([7, 3, 5, 1, 8])
    ]
    rows = pack(pieces, length=8, pad=0)
    assert rows.ids.shape == (3, 8)
    assert rows.tokens == 24
    assert sorted(name for row in rows.texts for name in row) == ["t0", "t1", "t2", "t3", "t4"]
    assert rows.trained.sum() == 24 - 5  # the first token of a text is predicted from nothing
    assert sorted(rows.ids[rows.ids > 0].tolist()) == sorted(np.concatenate([p.ids for p in pieces]).tolist())
    for row in range(3):
        starts = np.flatnonzero(rows.positions[row] == 0)
        assert not rows.trained[row, starts].any()
    apart = pack(pieces, length=8, pad=0, share_rows=False)
    assert len(apart) == 5


def test_only_the_answer_is_trained_on_and_it_ends_the_turn(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(save_tiny(tmp_path / "m"))
    turns = (Message("system", "Be brief."), Message("user", "the fever"), Message("assistant", "the cough"))
    [piece], split = encode([TrainingText("a", "d", "pairs", messages=turns)], tokenizer, length=128)
    answer = tokenizer.decode(piece.ids[piece.trained])
    assert answer.startswith("the cough")
    assert "fever" not in answer
    assert split == 0
    prompt = load_model(f"path:{tmp_path / 'm'}", workspace=Workspace(tmp_path))
    assert (~piece.trained).sum() == prompt.count_tokens([turns[:2]])[0]
    long = (*turns[:2], Message("assistant", "the cough and the fever, " * 20))
    pieces, split = encode([TrainingText("a", "d", "pairs", messages=long)], tokenizer, length=64)
    assert split == 1
    assert all(len(piece.ids) <= 64 for piece in pieces)
    whole, _ = encode([TrainingText("a", "d", "pairs", messages=long)], tokenizer, length=4096)
    assert sum(int(piece.trained.sum()) for piece in pieces) == int(whole[0].trained.sum())  # each token once
    assert all(not piece.trained[: 64 // 2].any() for piece in pieces[1:])
    with pytest.raises(UsageError, match=r"'a' has a prompt of .* raise training.sequence_tokens"):
        encode([TrainingText("a", "d", "pairs", messages=turns)], tokenizer, length=16)


def test_a_long_text_is_trained_on_in_pieces_of_one_size(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(save_tiny(tmp_path / "m"))
    pieces, split = encode([TrainingText("a", "d", "passages", text="the fever, " * 40)], tokenizer, length=32)
    assert split == 1
    assert max(len(p.ids) for p in pieces) <= 32
    assert max(len(p.ids) for p in pieces) - min(len(p.ids) for p in pieces) <= 1
    assert pieces[-1].ids[-1] == tokenizer.eos_token_id


def test_steps_and_learning_rates_are_those_declared() -> None:
    pieces = [Encoded(f"t{i}", np.arange(4), np.ones(4, dtype=np.bool_)) for i in range(10)]
    rows = pack(pieces, length=4, pad=0)
    steps = plan_steps(rows, Training(epochs=2.5, batch=4), seed=0)
    order = np.concatenate(steps)
    assert len(order) == 25
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert list(order[:10]) != list(order[10:20])
    assert sum(len(s) for s in plan_steps(rows, Training(epochs=9, batch=4, max_tokens=30), seed=0)) == 8
    declared = Training(learning_rate=1.0, warmup=0.2, schedule="cosine")
    rates = [learning_rate(step, 10, declared) for step in range(10)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)
    assert rates == sorted(rates[:2]) + sorted(rates[2:], reverse=True)
    assert learning_rate(9, 10, replace(declared, schedule="linear")) == pytest.approx(1 / 8)
    assert learning_rate(9, 10, replace(declared, schedule="constant")) == 1.0


@pytest.mark.parametrize(
    ("raw", "error", "message"),
    [
        ({"bas": "path:m"}, UnknownNameError, "unknown key 'bas'.*did you mean 'base'"),
        ({"base": "path:m"}, UsageError, "'corpora' is missing"),
        ({"base": "endpoint:http://h/v1#m", "corpora": ["c"]}, UsageError, "does not run here"),
        ({"base": "path:m+adapter:a", "corpora": ["c"]}, UsageError, "name it as `initial`"),
        ({"base": "path:m", "corpora": ["c"], "learn": ["pasages"]}, UnknownNameError, "did you mean 'passages'"),
        ({"base": "path:m", "corpora": ["c"], "training": {"epochs": 0}}, UsageError, "training.epochs: it is 0"),
        ({"base": "path:m", "corpora": ["c"], "training": {"epochs": "many"}}, UsageError, "a number was expected"),
        ({"base": "path:m", "corpora": ["c"], "training": {"learning_rate": math.nan}}, UsageError, "learning_rate"),
        ({"base": "path:m", "corpora": ["c"], "lora": {"rank": 0}}, UsageError, "lora.rank"),
        ({"base": "path:m", "corpora": ["c"], "keep_out": {"tasks": ["medqu"]}}, UnknownNameError, "medqa"),
        ({"base": "path:m", "corpora": ["c"], "grid": {"epochs": [1]}}, UsageError, "a grid needs `select`"),
        ({"base": "path:m", "corpora": ["c"], "training": {"schedule": "cosin"}}, UnknownNameError, "cosine"),
    ],
)
def test_a_malformed_recipe_is_refused_by_name(raw: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_adapter_recipe(raw, name="a", where="here")


def test_the_grid_is_searched_on_development_examples_and_recorded(lab: Workspace) -> None:
    from ragmed.finetuning.selection import choose, development_task
    from ragmed.tasks import find_task

    search = (
        "grid: {learning_rate: [0.001, 0.01], epochs: [0.5, 1]}\nselect: {task: handbook-questions, scoring: letters}"
    )
    rewrite(lab, "seed: 5", f"seed: 5\n{search}")
    base = save_tiny(lab.models / "long", positions=2048)
    rewrite(lab, str(lab.models / "base"), str(base))
    with pytest.raises(Killed):  # in the last cell
        build.finetune("wards", workspace=lab, bars=lambda name: killed_after(2 if "lr0.01-ep1" in name else 99)(name))
    manifest, _ = build.finetune("wards", workspace=lab)
    found = manifest["search"]
    cells = [(cell["learning_rate"], cell["epochs"]) for cell in found["cells"]]
    assert cells == [(0.001, 0.5), (0.001, 1), (0.01, 0.5), (0.01, 1)]
    assert found["chosen"] == choose(found["cells"])
    asked = len(find_task("handbook-questions").load(lab).shots)
    assert [cell["n"] for cell in found["cells"]] == [asked] * 4
    assert found["tokens"] == sum(cell["tokens"] for cell in found["cells"])
    assert manifest["tokens"] == found["cells"][found["chosen"]]["tokens"]
    recipe = build.load_adapter_recipe(lab.adapters / "wards" / "recipe.yaml")
    scored = {example.id for example in find_task("handbook-questions").load(lab).examples}
    assert not scored & {example.id for example in development_task(recipe, lab).examples}
    assert choose([{"score": 0.5, "tokens": 9}, {"score": 0.5, "tokens": 3}, {"score": 0.2, "tokens": 1}]) == 1


def test_going_on_from_an_adapter_needs_one_of_the_same_base(lab: Workspace) -> None:
    first, _ = build.finetune("wards", workspace=lab)
    other = lab.adapters / "second" / "recipe.yaml"
    other.parent.mkdir()
    other.write_text((lab.adapters / "wards" / "recipe.yaml").read_text() + "initial: wards\n")
    second, _ = build.finetune("second", workspace=lab)
    assert second["losses"][0]["train"] < first["losses"][0]["train"]
    other.write_text(other.read_text().replace(str(lab.models / "base"), str(save_tiny(lab.models / "b", swap=(7, 9)))))
    with pytest.raises(ModelError, match="trained on other weights"):
        build.finetune("second", workspace=lab, restart=True)


def test_a_full_disk_is_said_in_words_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.torch

    one = trainer(save_tiny(tmp_path / "m"))

    def full(tensors: Any, file: Path, metadata: Any) -> None:
        Path(file).write_bytes(b"half")
        raise safetensors.SafetensorError("No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(DataError, match="No space left on device"):
        one.run(place(tmp_path / "work"))
    assert list((tmp_path / "work").iterdir()) == []


def test_what_was_trained_on_before_stays_known(lab: Workspace) -> None:
    from ragmed.finetuning.merge import merge_adapter

    first, _ = build.finetune("wards", workspace=lab)
    page = lab.corpora / "wards" / "pages" / "elm.md"
    page.write_text(page.read_text() + "\nVisitors wait outside.\n")
    recipe = (lab.adapters / "wards" / "recipe.yaml").read_text()
    for name, changed in (
        ("second", recipe + "initial: wards\n"),
        ("third", recipe.replace(str(lab.models / "base"), str(lab.models / "merged"))),
    ):
        (lab.adapters / name).mkdir()
        (lab.adapters / name / "recipe.yaml").write_text(changed)
    merge_adapter(f"path:{lab.models / 'base'}+adapter:wards", lab.models / "merged", workspace=lab)
    for name in ("second", "third"):
        hashes = [one["sha256"] for one in build.finetune(name, workspace=lab)[0]["corpora"]]
        assert len(hashes) == 2, name
        assert hashes[1] == first["corpora"][0]["sha256"]


def test_an_adapter_gone_on_from_keeps_its_shape(lab: Workspace) -> None:
    build.finetune("wards", workspace=lab)
    (lab.adapters / "second").mkdir()
    recipe = (lab.adapters / "wards" / "recipe.yaml").read_text() + "initial: wards\n"
    (lab.adapters / "second" / "recipe.yaml").write_text(recipe.replace("rank: 4", "rank: 8"))
    with pytest.raises(UsageError, match=r"lora.rank: the adapter 'wards' .* has 4, the recipe has 8"):
        build.finetune("second", workspace=lab)


@pytest.mark.parametrize("targets", ["[q_proj, v_porj]", "[all-linear, q_proj]"])
def test_a_target_that_the_model_lacks_is_named(lab: Workspace, targets: str) -> None:
    rewrite(lab, "alpha: 8", f"alpha: 8, targets: {targets}")
    with pytest.raises(UnknownNameError, match=r"lora\.targets"):
        build.finetune("wards", workspace=lab)


def test_a_restart_that_is_killed_goes_on_as_a_new_training(lab: Workspace) -> None:
    first, _ = build.finetune("wards", workspace=lab)
    with pytest.raises(Killed):
        build.finetune("wards", workspace=lab, restart=True, bars=killed_after(3))
    again, fresh = build.finetune("wards", workspace=lab)
    assert fresh
    assert again["files"] == first["files"]


def test_development_scores_of_another_question_are_asked_again(lab: Workspace) -> None:
    search = "grid: {epochs: [0.5]}\nselect: {task: handbook-questions, scoring: letters}"
    rewrite(lab, "seed: 5", f"seed: 5\n{search}")
    rewrite(lab, str(lab.models / "base"), str(save_tiny(lab.models / "long", positions=2048)))
    recipe = build.load_adapter_recipe(lab.adapters / "wards" / "recipe.yaml")
    folder = lab.adapters / "wards"
    material = build.gather(recipe, folder, lab)
    job = build.AdapterJob(recipe, folder, lab, build.Team(), material, build.origin(recipe, material, lab), "again")
    letters = build._development(job, None, folder / "score.json")
    assert build._development(job, None, folder / "score.json") == letters
    texts = replace(job, recipe=replace(recipe, select=replace(recipe.select, scoring="option-text")))
    assert build._development(texts, None, folder / "score.json")["input_tokens"] != letters["input_tokens"]


def test_a_task_without_development_examples_chooses_nothing_and_says_so_at_once(lab: Workspace) -> None:
    rewrite(lab, "seed: 5", "seed: 5\ngrid: {epochs: [0.5]}\nselect: {task: mmlu, scoring: letters}")
    with pytest.raises(UsageError, match="'mmlu' has no development examples"):
        build.finetune("wards", workspace=lab)
    assert not list((lab.adapters / "wards").glob(".training/*/*"))


def test_questions_of_ones_own_are_kept_out_too(lab: Workspace) -> None:
    question = {"id": "q", "question": "Where is the extension of Elm ward written down?", "answer": "on the door"}
    (lab.root / "own.jsonl").write_text(json.dumps(question) + "\n")
    rewrite(lab, "seed: 5", "seed: 5\nkeep_out: {files: [own.jsonl]}")
    build.gather(build.load_adapter_recipe(lab.adapters / "wards" / "recipe.yaml"), lab.adapters / "wards", lab)
    page = lab.corpora / "wards" / "pages" / "elm.md"
    page.write_text(page.read_text() + "\nWhere is the exten-\nsion[1] of Elm ward written down? On the door.\n")
    with pytest.raises(DataError, match=r"wards:elm.*own.jsonl"):
        build.finetune("wards", workspace=lab)


def test_the_adapter_loads_in_peft_alone(lab: Workspace) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from ragmed.finetuning.lora import foreign_warnings

    build.finetune("wards", workspace=lab)
    config = json.loads((lab.adapters / "wards" / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    with foreign_warnings():
        model = AutoModelForCausalLM.from_pretrained(lab.models / "base")
        tuned = PeftModel.from_pretrained(model, str(lab.adapters / "wards"))
    assert sum("lora_B" in name for name, _ in tuned.named_parameters()) == 14
