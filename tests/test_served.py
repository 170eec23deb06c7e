"""A real server: `transformers serve` on this machine must answer as the same weights do when they run in this process.

8 questions, since one takes a second or so on a processor; RAGMED_FULL=1 asks 200.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ragmed.errors import ModelError
from ragmed.models import ModelSettings, load_model
from ragmed.prompts import build_messages
from ragmed.records import Message
from ragmed.tasks import TaskSettings, load_task
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
FOLDER = WORKSPACE.models / "smollm2-135m"
COUNT = 200 if os.environ.get("RAGMED_FULL") else 8
NEEDED = ("fastapi", "uvicorn", "openai")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
START_S = 180

pytestmark = [
    pytest.mark.skipif(not (FOLDER / "ragmed.json").is_file(), reason="smollm2-135m is not fetched"),
    pytest.mark.skipif(bool(MISSING), reason=f"transformers serve needs {', '.join(MISSING)}"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path_factory.mktemp("served")
    log = home / "log.txt"
    script = Path(sys.executable).parent / "transformers"
    options = ["--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as out:
        server = subprocess.Popen(
            [script, "serve", FOLDER, *options], stdout=out, stderr=out, env=environment, start_new_session=True
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_until_ready(health: str, server: subprocess.Popen[bytes], log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with direct.open(health, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AssertionError(f"transformers serve did not start:\n{log.read_text(errors='replace')[-2000:]}")


def questions(count: int) -> list[tuple[Message, ...]]:
    """The handbook's questions with their options, and then the same behind a worked example."""
    made: list[tuple[Message, ...]] = []
    for shots in (0, 1):
        bound = load_task("handbook-questions", TaskSettings(shots=shots), workspace=WORKSPACE, seed=0)
        made += [build_messages(bound, example) for example in bound.examples]
    return made[:count]


def served(url: str, **settings: Any) -> Any:
    given = ModelSettings(f"endpoint:{url}#{FOLDER}", tokenizer=f"path:{FOLDER}", concurrency=2, **settings)
    return load_model(given, workspace=WORKSPACE, seed=0)


def test_a_served_model_answers_as_it_does_here(url: str) -> None:
    local = load_model(ModelSettings("packaged:smollm2-135m", device="cpu", dtype="float32"), workspace=WORKSPACE)
    prompts = questions(COUNT)
    assert len(prompts) == COUNT
    remote = served(url, timeout=300.0)
    there = remote.generate(prompts, max_tokens=16)
    here = [local.generate([prompt], max_tokens=16)[0] for prompt in prompts]  # one by one, as the server reads them
    different = [(h.text, t.text) for h, t in zip(here, there, strict=True) if h.text != t.text]
    print(f"{COUNT} prompts, {len(different)} different texts")
    assert different == []
    for h, t in zip(here, there, strict=True):
        # This server also calls an answer cut when its last permitted token is the end mark.
        assert t.finish == h.finish or (t.finish == "length" and t.output_tokens == 16), (h, t)
    assert [t.input_tokens for t in there] == [h.input_tokens for h in here] == remote.count_tokens(prompts)


def test_a_served_model_without_log_likelihoods_says_so_at_once(url: str) -> None:
    with pytest.raises(ModelError, match=r"cannot give log-likelihoods: .*scoring: generate"):
        served(url).score([questions(1)[0]], [["A", "B"]])


def test_a_server_pinned_to_another_model_says_so(url: str) -> None:
    with pytest.raises(ModelError, match="pinned to"):
        load_model(ModelSettings(f"endpoint:{url}#medllama"), workspace=WORKSPACE)
