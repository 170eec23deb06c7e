"""The shape of the code: who may import whom, that nobody imports in a circle, what `--help` loads."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = [
    "errors", "text_table", "progress", "checked", "records", "hub", "files", "checksums", "yaml_files",
    "published", "matching", "metrics", "stored", "workspace", "machine", "packaged", "corpora", "chunking",
    "embedding", "index", "retrieval", "adapters", "models", "protection", "tasks", "prompts", "arms", "queries",
    "planted", "augmentation", "steps", "evaluation", "changes", "runs", "support_error", "scores", "finetuning",
    "comparison", "report", "experiments", "audit", "planning", "integrations", "doctor",
]  # fmt: skip
SOURCES = sorted((ROOT / "ragmed").rglob("*.py")) + sorted((ROOT / "cli").glob("*.py"))


def module_of(path: Path) -> str:
    """`cli/` is packaged as `ragmed.cli`."""
    inside = path.relative_to(ROOT).with_suffix("").parts
    parts = ("ragmed", *inside) if inside[0] == "cli" else inside
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}


@cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


def imports(source: str, package: str, modules: set[str]) -> set[str]:
    """The modules that a source imports, at its top, within functions, for type checkers alone, or relatively.

    `package`: the one that a leading dot means. `from ragmed.files import x` is an import of `ragmed.files`, unless
    `ragmed.files.x` is a module.
    """
    found = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found.add(f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base)
    return found & modules


def imported_by(module: str) -> set[str]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return imports(path.read_text(encoding="utf-8"), package, set(MODULES)) - {module}


def circle(graph: dict[str, set[str]]) -> str:
    """The first circle of imports, `a imports b imports a`; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " imports ".join(reversed(error.args[1]))
    return ""


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_those_above_it(module: str) -> None:
    if module == "ragmed" or module.startswith("ragmed.cli"):
        return
    own = module.split(".")[1]
    for name in imported_by(module) - {"ragmed"}:
        assert ORDER.index(name.split(".")[1]) <= ORDER.index(own), f"{module} imports {name}, which stands below it"


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle({module: imported_by(module) for module in MODULES}) == ""


def test_a_circle_is_seen_wherever_it_is_imported_and_is_named() -> None:
    sources = {
        "ragmed.a": "from .b import x",
        "ragmed.b": "def f():\n    from ragmed import c",
        "ragmed.c": "if TYPE_CHECKING:\n    import ragmed.a",
        "ragmed.d": "from ragmed.a import b, y",
    }
    graph = {module: imports(source, "ragmed", set(sources)) for module, source in sources.items()}
    assert graph["ragmed.d"] == {"ragmed.a"}
    assert graph["ragmed.c"] == {"ragmed.a"}
    assert set(circle(graph).split(" imports ")) == {"ragmed.a", "ragmed.b", "ragmed.c"}
    assert "ragmed.a imports ragmed.b" in circle(graph)
    assert circle({**graph, "ragmed.c": set()}) == ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_each_file_opens_with_a_sentence(path: Path) -> None:
    assert ast.get_docstring(parsed(path.read_text(encoding="utf-8"))), "what goes in, what comes out?"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_named_as_pytest_names_tests(path: Path) -> None:
    """pytest takes such names of a module, and those that it imports, for tests where it is given the path."""
    named = [
        node.name
        for node in parsed(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name.startswith(("test", "Test"))
    ]
    assert not named


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_runs_what_it_reads(path: Path) -> None:
    for node in ast.walk(parsed(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {"pickle", "dill", "shelve", "marshal"} & {alias.name for alias in node.names}
        if isinstance(node, ast.keyword):
            assert not (node.arg in ("shell", "trust_remote_code") and getattr(node.value, "value", None) is True)
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: a bare except"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_verb_is_in_the_plural_whatever_its_number(path: Path) -> None:
    """`{n} of {total} are`: one of them is. `text_table.verb` gives the form."""
    texts = (
        "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        for node in ast.walk(parsed(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr)
    )
    wrong = re.compile(
        r"(?<!of )\{\} of (?:its )?\{\}(?: [a-z-]+){0,4}? (?:are|were|have|do|hold|ask|differ|name|lack)\b"
    )
    assert not [text for text in texts if wrong.search(text)]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['ragmed', '--help']\n"
        "from ragmed.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'faiss', 'transformers', 'langchain', 'langchain_core', 'numpy', 'pyarrow', 'pydantic',\n"
        "         'pydantic_core', 'yaml'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout, done.stdout
    assert "build-index" in done.stdout


def test_lists_load_no_models(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from ragmed.cli.main import cli\n"
        "for kind in ('adapters', 'corpora', 'indexes', 'models', 'tasks'):\n"
        f"    cli.main(['--root', {str(tmp_path)!r}, kind, 'list'], standalone_mode=False)\n"
        "print('heavy:', sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout, done.stdout
