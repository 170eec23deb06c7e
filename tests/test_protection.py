"""What is not open goes to no other machine, and exits with 5."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ragmed.errors import ProtectionError
from ragmed.models import ModelSettings
from ragmed.protection import leaves_this_machine, refuse_leaks
from ragmed.workspace import Workspace

HERE = ModelSettings("endpoint:http://127.0.0.1:8000/v1#m")
WARD = ModelSettings("endpoint:http://gpu.hospital.example:8000/v1#m")
CLOUD = ModelSettings("chat:anthropic:some")


def test_only_servers_elsewhere_are_elsewhere() -> None:
    assert leaves_this_machine(HERE) == ""
    assert leaves_this_machine(ModelSettings("endpoint:http://localhost:8000#m")) == ""
    assert leaves_this_machine(ModelSettings("endpoint:http://[::1]:8000#m")) == ""
    assert leaves_this_machine(ModelSettings("endpoint:http://127.0.0.1.evil.example/v1#m")) == "127.0.0.1.evil.example"
    assert leaves_this_machine(WARD) == "gpu.hospital.example"
    assert "anthropic" in leaves_this_machine(CLOUD)
    assert leaves_this_machine(ModelSettings("scripted:echo")) == ""


@pytest.mark.parametrize("access", ["credentialed", "private"])
@pytest.mark.parametrize("settings", [WARD, CLOUD])
def test_restricted_data_is_refused_elsewhere(access: str, settings: ModelSettings) -> None:
    with pytest.raises(ProtectionError, match=access):
        refuse_leaks(access, [HERE, settings], {})  # type: ignore[arg-type]
    refuse_leaks("open", [settings], {"LANGSMITH_TRACING": "true"})
    refuse_leaks(access, [ModelSettings(settings.name, trusted=True)], {"LANGSMITH_TRACING": "false"})  # type: ignore[arg-type]


def test_tracing_is_refused_for_restricted_data() -> None:
    with pytest.raises(ProtectionError, match="LANGSMITH_TRACING is set"):
        refuse_leaks("private", [HERE], {"LANGSMITH_TRACING": "true"})


def test_the_command_exits_with_5_and_asks_nothing(small: Workspace, tmp_path: Path) -> None:
    recipe = small.corpora / "wards" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("access: open", "access: private"))
    words = ["eval", "-m", "endpoint:http://192.0.2.7:9/v1#m", "-t", "mmlu", "-i", "wards"]
    command = [sys.executable, "-m", "ragmed.cli.main", "--root", str(small.root), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ.copy())
    assert done.returncode == 5
    assert "would send them to 192.0.2.7" in done.stderr
    assert not small.runs.exists()
