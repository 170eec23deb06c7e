"""What is in the wheel: every package of the checkout, listed by name."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_package_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {str(p.parent.relative_to(ROOT)).replace("/", ".") for p in (ROOT / "ragmed").rglob("__init__.py")}
    assert set(listed) == there | {"ragmed.cli"}
