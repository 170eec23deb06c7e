"""Nothing leaves the machine: a whole local trial, every import included, without one attempt at a connection."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import save_tiny

from ragmed.workspace import Workspace

# Loopback too: a tracer's collector may sit there. Names are not looked up either.
GUARD = """
import socket, sys
attempts = []

def refuse(kind):
    def refused(*given, **more):
        attempts.append((kind, given[-1] if given else ""))
        raise ConnectionRefusedError(f"{kind} is out of bounds")
    return refused

for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refuse(name))
for name in ("create_connection", "getaddrinfo", "gethostbyname"):
    setattr(socket, name, refuse(name))
"""
TRIAL = (
    GUARD
    + """
from pathlib import Path
from ragmed.experiments.config import load_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.workspace import Workspace

workspace = Workspace.find(Path(sys.argv[1]))
experiment = load_experiment(workspace.configs / "toy.yaml").only(tuple(sys.argv[3:]), (), int(sys.argv[2]))
results = run_experiment(experiment, workspace=workspace)
print("contrasts:", len(results.contrasts))
print("statuses:", sorted({k for row in results.scores for k, n in row.status.items() if n}))
print("attempts:", attempts)
"""
)
TELLTALES = {
    "LANGSMITH_TRACING": "true",
    "LANGCHAIN_TRACING_V2": "true",
    "LANGSMITH_API_KEY": "lsv2_nobody",
    "WANDB_API_KEY": "nobody",
    "COMET_API_KEY": "nobody",
    "HF_TOKEN": "hf_nobody",
}


def run(code: str, *given: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, env={**environment, **TELLTALES}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_guard_sees_an_attempt() -> None:
    code = GUARD + "import urllib.request\ntry: urllib.request.urlopen('http://127.0.0.1:9')\nexcept OSError: pass\n"
    assert "attempts: [('create_connection', " in run(code + "print('attempts:', attempts)")


def test_a_trial_with_doubles_reaches_for_nothing(small: Workspace) -> None:
    said = run(TRIAL, str(small.root), "0")
    assert "attempts: []" in said
    assert "statuses: ['answered'" in said


@pytest.mark.slow
def test_a_trial_with_a_model_and_an_embedder_reaches_for_nothing(small: Workspace) -> None:
    from ragmed.errors import RagmedError
    from ragmed.packaged import packaged_embedder_folder

    try:
        packaged_embedder_folder("minilm")
        embedder = "packaged:minilm"
    except RagmedError as error:
        pytest.skip(f"packaged:minilm is not to be had here ({error})")
    folder = save_tiny(Path(small.root) / "models" / "m", positions=2048)
    config = small.configs / "toy.yaml"
    text = config.read_text().replace('"scripted:first-option"', f'{{name: "path:{folder}", device: cpu}}')
    config.write_text(text.replace("{scoring: generate}", "{scoring: generate, max_tokens: 4}"))
    recipe = small.indexes / "wards" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("hashing:64", embedder))
    said = run(TRIAL, str(small.root), "2", "general", "general+rag")
    assert "attempts: []" in said
    assert "contrasts: " in said


def test_a_chat_model_is_not_traced(tmp_path: Path) -> None:
    code = (
        GUARD
        + """
import langsmith.utils
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from ragmed.models import ModelSettings
from ragmed.models.counting import Estimate
from ragmed.models.langchain_chat import LangChainChat
from ragmed.records import Message

class Double(FakeListChatModel):
    max_tokens: int | None = None

def build(options):
    return Double(responses=["B"], **options)

model = LangChainChat(ModelSettings("chat:double:m"), build, seed=0, counter=Estimate())
print([c.text for c in model.generate([[Message("user", "x")]] * 3, max_tokens=3)])
print("traced by the environment:", langsmith.utils.tracing_is_enabled())
from langchain_core.tracers.langchain import wait_for_all_tracers
wait_for_all_tracers()
print("attempts:", attempts)
"""
    )
    said = run(code)
    assert "['B', 'B', 'B']" in said
    assert "traced by the environment: True" in said
    assert "attempts: []" in said
