"""Whatever stands in a config, a recipe, a manifest or a command: an answer, or a message of ours; never a defect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from ragmed.cli.main import cli

from ragmed.adapters import check_adapter, read_manifest
from ragmed.embedding import load_embedder
from ragmed.errors import DataError, MismatchError, RagmedError, UnknownNameError, UsageError
from ragmed.files import sha256_json, user_path
from ragmed.finetuning.recipe import load_adapter_recipe
from ragmed.index.devices import choose_devices
from ragmed.integrations.lm_eval_export import _is_number
from ragmed.integrations.table_files import _reach
from ragmed.metrics.corrections import corrected_fields
from ragmed.planted import planted_again
from ragmed.records import Example
from ragmed.steps.prompts import read_order
from ragmed.tasks.medec import numbered
from ragmed.tasks.medisumcode import _whole
from ragmed.workspace import Workspace

LONG = "9" * 5000
HOSTILE = [
    0, -1, 10**30, True, None, "", "~nobody-here/x", "a\x00b", [], {}, [[]], float("nan"), float("inf"), 0.5, "x" * 300,
]  # fmt: skip
ADAPTER = {"base": "packaged:smollm2-135m", "corpora": ["wards"]}
TRAINING = ("sequence_tokens", "batch_tokens", "epochs", "learning_rate", "warmup", "micro_batch", "patience")


def call(workspace: Workspace, *words: str) -> str:
    """What a command says; fails where it ends in anything but an answer, a usage error, or an error of ours or of a
    disk, which the command line turns into a sentence.
    """
    done = CliRunner().invoke(cli, ["--root", str(workspace.root), *words])
    error = done.exception
    if error is not None and not isinstance(error, (RagmedError, OSError, SystemExit)):
        raise AssertionError(f"{words}: {type(error).__name__}: {str(error)[:200]}") from error
    return str(error) if isinstance(error, RagmedError) else done.output


def test_what_a_model_writes_as_a_number_is_no_defect() -> None:
    assert read_order(f"[{LONG}] > [1]", 3) is None
    for flag in (float("inf"), float("nan"), 10**5000):
        assert corrected_fields({"error_flag": flag, "error_sentence_id": flag})[:2] == ("", "")
    assert corrected_fields({"error_flag": 1.0, "error_sentence_id": -1})[:2] == ("1", "-1")


def test_numbers_of_thousands_of_digits_in_files_and_flags() -> None:
    for name in (f"hashing:{LONG}", f"hashing:{'0' * 5000}8"):
        with pytest.raises(UsageError, match="a number from 1 to 65536"):
            load_embedder(name)
    with pytest.raises(UnknownNameError, match="unknown device"):
        choose_devices(f"cuda:{LONG}")
    with pytest.raises(MismatchError, match="was planted for no option"):
        planted_again(f"planted:q1/A#{LONG}", Example("q1", "Which?", options={"A": "5 mg", "B": "50 mg"}, gold="A"))
    for text in (LONG, "\N{SUPERSCRIPT TWO}"):
        with pytest.raises(DataError, match="is no whole number"):
            _whole(text, "line 1", "seq_num")
    assert _whole("12", "line 1", "seq_num") == 12
    assert numbered(f"0 A fever.\n{LONG} of it.") == [f"A fever. {LONG} of it."]
    assert _reach(["a"], [LONG]) is None
    assert [_is_number(text) for text in ("0", "17", "017", "-1", LONG)] == [True, True, False, False, False]


@pytest.fixture
def built(small: Workspace) -> Workspace:
    assert "12 passages" in call(small, "build-index", "wards")
    return small


def test_hostile_values_on_the_command_line(built: Workspace) -> None:
    for number in ("0", "-1", "1" * 30, LONG, "nan", "inf", "1e400", "~", "\udcff", ""):
        call(built, "search", "wards", "Elm", "-k", number)
        call(built, "plan", "-n", number)
        for flag in ("--power", "--discordance", "--sd", "--icc", "--difference"):
            call(built, "plan", "-n", "20", flag, number)
        call(built, "eval", str(built.configs / "toy.yaml"), "--limit", number, "--dry-run")
        for flag in ("-k", "--num-fewshot", "--batch-size", "--seed", "--model-args", "--gen-kwargs", "--limit"):
            call(built, "eval", "-m", "scripted:first-option", "-t", "mmlu", "-i", "wards", flag, number, "--dry-run")
    for name in ("~nobody-here", "~nobody-here/x.yaml", "a\tb", "x" * 5000, "..", "", "/", "~", "*"):
        for words in (
            ["search", name, "Elm"], ["search", "wards", name], ["build-index", name], ["finetune", name],
            ["compare", name], ["report", name], ["score", name], ["audit", name], ["plan", name], ["eval", name],
            ["corpora", "info", name], ["search", "wards", "Elm", "--device", name], ["finetune", name, "--dry-run"],
            ["eval", "-m", f"path:{name}", "-t", "mmlu", "--dry-run"], ["eval", "-m", name, "-t", "mmlu"],
            ["eval", "-m", f"scripted:{name}", "-t", "mmlu"], ["eval", "-m", f"recorded:{name}", "-t", "mmlu"],
            ["eval", "-m", "scripted:echo", "-t", name], ["export", "csv", name], ["import", "mirage", name],
            ["build-index", "wards", "--embedder", f"path:{name}"], ["build-index", "wards", "--factory", name],
        ):  # fmt: skip
            call(built, *words)


@pytest.mark.parametrize("kind", ["corpora", "indexes", "configs"])
def test_hostile_values_in_every_field_of_a_file(small: Workspace, kind: str) -> None:
    path = {
        "corpora": small.corpora / "wards" / "recipe.yaml", "indexes": small.indexes / "wards" / "recipe.yaml",
        "configs": small.configs / "toy.yaml",
    }[kind]  # fmt: skip
    words = {
        "corpora": ["corpora", "info", "wards"], "indexes": ["build-index", "wards"],
        "configs": ["eval", str(path), "--dry-run"],
    }[kind]  # fmt: skip
    more = {
        "corpora": ("files", "columns", "cite", "options", "reader", "ids", "license", "source"),
        "indexes": ("shard_size", "factory", "search", "precision", "metric", "normalise", "chunking", "embedder"),
        "configs": ("context_tokens", "question", "retrievers", "search", "name", "plan", "window", "seed", "index"),
    }[kind]  # fmt: skip
    whole = yaml.safe_load(path.read_text())
    for key in dict.fromkeys([*whole, *more]):
        for value in HOSTILE:
            path.write_text(yaml.safe_dump({**whole, key: value}, allow_unicode=True))
            call(small, *words)
    for line in (f"seed: 0x{LONG}", f"seed: {LONG}", f"0x{LONG}: 1", f"shard_size: -0x{LONG}", "<<: [1]", "? [a]\n: b"):
        path.write_text(f"{yaml.safe_dump(whole)}\n{line}\n")
        assert len(call(small, *words)) < 2000


def test_hostile_values_in_an_adapter_s_recipe(small: Workspace) -> None:
    folder = small.adapters / "wards"
    folder.mkdir(parents=True)
    path = folder / "recipe.yaml"
    nested = [{"training": {key: value}} for key in TRAINING for value in HOSTILE]
    nested += [{"lora": {key: value}} for key in ("rank", "alpha", "dropout", "modules") for value in HOSTILE]
    fields = ("base", "corpora", "lora", "training", "select", "seed", "texts", "initial", "saved")
    plain = [{key: value} for key in fields for value in HOSTILE]
    for more in [*nested, *plain]:
        path.write_text(yaml.safe_dump({**ADAPTER, **more}))
        try:
            load_adapter_recipe(path)
        except RagmedError:
            continue


@pytest.mark.parametrize("config", [{"lora_alpha": float("nan")}, {"r": float("inf")}, {"bias": float("nan")}])
def test_an_adapter_s_configuration_with_a_number_that_is_none(tmp_path: Path, config: dict[str, object]) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8, **config}))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(RagmedError, match=r"adapter_config\.json.*is not JSON: .*(NaN|Infinity)"):
        check_adapter(tmp_path, "m", "")


@pytest.mark.parametrize("files", [[], None, 5, {"adapter_model.safetensors": 5}, {"../x": "0"}, {"": "0"}])
def test_an_adapter_s_manifest_whose_files_are_none(tmp_path: Path, files: object) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": 1, "files": files}))
    with pytest.raises(RagmedError, match=r"manifest\.json|another version|is missing"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"files": []}, {"files": None}, {"segments": []}, {"counts": 5}, {"recipe": {"shard_size": 0}},
        {"seconds": "x"}, {"seconds": float("nan")}, {"schema": []}, {"embedder": None},
        {"tombstones": {"segments/0000": 5}},
    ],
)  # fmt: skip
def test_an_index_s_manifest_that_is_none(built: Workspace, change: dict[str, object]) -> None:
    path = built.indexes / "wards" / "manifest.json"
    values = json.loads(path.read_text())
    del values["checksum"]
    for key, value in change.items():
        values[key] = {**values[key], **value} if key == "recipe" else value
    try:
        checksum = sha256_json(values)
    except ValueError:
        checksum = "0"
    path.write_text(json.dumps(values | {"checksum": checksum}, ensure_ascii=False, indent=1) + "\n")
    for words in (["search", "wards", "Elm"], ["indexes", "list"], ["build-index", "wards"]):
        call(built, *words)


def test_a_home_that_nobody_has_is_a_name() -> None:
    assert user_path("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")
    assert user_path("~/x") == Path.home() / "x"


def test_ctrl_c_that_a_library_makes_another_error_of_is_still_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import os
    import signal

    from ragmed.cli import main as entry

    def swallowed(**given: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ValueError("Error building a validator") from error

    def defect(**given: object) -> None:
        raise ValueError("Error building a validator")

    before = signal.getsignal(signal.SIGINT)
    try:
        for fails, code, said in ((swallowed, 130, "interrupted; run the same"), (defect, 1, "this is a defect")):
            monkeypatch.setattr(entry.cli, "main", fails)
            with pytest.raises(SystemExit) as stop:
                entry.main()
            assert (stop.value.code, said in capsys.readouterr().err) == (code, True)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_name_that_is_too_long_for_a_file_is_refused_before_a_run() -> None:
    from ragmed.experiments.config import make_experiment

    raw = {"models": {"m": "scripted:echo"}, "tasks": {"mmlu": {}}, "arms": {"x" * 221: {"model": "m"}}}
    with pytest.raises(RagmedError, match=r"has 221 letters, 220 are the most"):
        make_experiment(raw, default_name="toy", where="here")
    raw["arms"] = {"x" * 220: {"model": "m"}}
    make_experiment(raw, default_name="toy", where="here")


def test_a_number_of_thousands_of_digits_is_said_short(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import signal

    import click
    from ragmed.cli import main as entry

    def ours(**given: object) -> None:
        load_embedder(f"hashing:{LONG}")

    def words(**given: object) -> None:
        raise click.UsageError(f"'{LONG}' is not in the range")

    before = signal.getsignal(signal.SIGINT)
    try:
        for fails in (ours, words):
            monkeypatch.setattr(entry.cli, "main", fails)
            with pytest.raises(SystemExit):
                entry.main()
            said = capsys.readouterr().err
            assert "999999999999… (5000 digits)'" in said
            assert len(said) < 200
    finally:
        signal.signal(signal.SIGINT, before)
