"""Inputs that failed once, each through the command that a user gives; and twins of them that are always here."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner, Result
from ragmed.cli.main import cli, main

from ragmed.runs import find_run

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not beside the checkout")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace that the commands run in, with the cases in it where there are any."""
    monkeypatch.chdir(tmp_path)
    for folder in ("corpora", "indexes", "configs"):
        (tmp_path / folder).mkdir()
    if CASES.is_dir():
        (tmp_path / "cases").symlink_to(CASES)
    return tmp_path


def ragmed(*words: str) -> Result:
    return CliRunner().invoke(cli, ["--root", ".", *words])


def said(*words: str) -> str:
    """What a command that must succeed prints."""
    result = ragmed(*words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout


def refused(*words: str) -> str:
    """The sentence with which a command ends that must not succeed."""
    result = ragmed(*words)
    assert result.exit_code != 0, (words, result.output)
    assert result.exception is not None
    return str(result.exception)


def config(here: Path, name: str, model: str, file: str, **more: Any) -> str:
    settings = {
        "models": {"m": model},
        "tasks": {"questions": {"file": file, "scoring": "generate", "access": "open"}},
        "arms": {"general": {"model": "m"}},
        "comparison": {"resamples": 200},
        **more,
    }
    (here / "configs" / f"{name}.yaml").write_text(yaml.safe_dump(settings))
    return f"configs/{name}.yaml"


def values(here: Path, run: str) -> dict[str, Any]:
    """What was read from each answer of the arm `general`."""
    found = find_run(here / "runs", run).scores("general", "questions")
    assert found is not None
    return {score.example: score.value for score in found[1]}


# ---- answers and questions


@needs_cases
@pytest.mark.parametrize("name", ["23-answer-wordings", "24-letters-in-medical-names"])
def test_wordings_of_answers(here: Path, name: str) -> None:
    folder = f"cases/{name}"
    said("eval", config(here, "w", f"recorded:{folder}/answers.jsonl", f"{folder}/questions.csv"))
    gold = {s.example.id: s.example.gold for s in find_run(here / "runs", "w").samples()["general", "questions"]}
    read = values(here, "w")
    unread = {id_ for id_, value in read.items() if value is None}
    assert {id_: value for id_, value in read.items() if value != gold[id_] and id_ not in unread} == {}
    assert unread == (set() if name.startswith("23") else {"w10", "w15", "w16", "w18"})


def test_letters_in_medical_names_of_a_file_of_letters(here: Path) -> None:
    rows = [
        "q1,Which?,Hepatitis B,Hepatitis A,none,A",
        "q2,Which?,O,A,B,B",
        "q3,Dose?,1 mg,2 mg,3 mg,C",
        "q4,?,x,y,z,A",
    ]
    (here / "q.csv").write_text("\n".join(["id,question,A,B,C,answer", *rows]) + "\n")
    texts = {
        "q1": "Hepatitis B.",
        "q2": "The blood group is A.",
        "q3": "Vitamin A is of no use. Answer: 3 mg",
        "q4": "A",
    }
    lines = [json.dumps({"task": "questions", "id": id_, "text": text}) for id_, text in texts.items()]
    (here / "a.jsonl").write_text("\n".join(lines) + "\n")
    path = config(here, "w", f"recorded:{here / 'a.jsonl'}", str(here / "q.csv"))
    assert "were taken as letters" in ragmed("eval", path).stderr
    assert values(here, "w") == {"q1": "A", "q2": "B", "q3": "C", "q4": "A"}


@needs_cases
def test_files_of_questions(here: Path) -> None:
    folder = "cases/22-question-files"
    answers = f"recorded:{folder}/blood-groups.answers.jsonl"
    blood = config(here, "b", answers, f"{folder}/blood-groups.csv", tasks={
        "blood-groups": {"file": f"{folder}/blood-groups.csv", "scoring": "generate"}})  # fmt: skip
    said("eval", blood)
    run = find_run(here / "runs", "b").scores("general", "blood-groups")
    assert run is not None
    read = {score.example: (score.value, score.metrics.get("accuracy")) for score in run[1]}
    assert read == {"q1": ("D", 1.0), "q2": ("D", 1.0), "q3": (None, None), "q4": ("B", 1.0)}  # q3: B is group A

    def asked(name: str) -> tuple[str, ...]:
        return ("eval", config(here, "d", "scripted:echo", f"{folder}/{name}.csv"), "--dry-run")

    assert "columns that are not read: explanation" in said(*asked("extra"))
    cp1252 = said(*asked("cp1252"))
    assert "not UTF-8 and was read as Windows-1252; check its letters" in cp1252
    assert "Dosis für Säuglinge?" in cp1252
    assert "a column D and none for option C" in refused(*asked("gap"))
    assert "in 2 of 2 examples the right option's text stands under several letters" in said(*asked("same-options"))
    repeats = "examples ask what another one asks"
    assert repeats in said("eval", config(here, "dup", "scripted:echo", f"{folder}/dup-question.csv"))


@needs_cases
def test_either_of_two_equal_options_is_right(here: Path) -> None:
    folder = "cases/25-same-options"
    path = config(here, "s", f"recorded:{folder}/answers.jsonl", f"{folder}/q.csv", tasks={
        "q": {"file": f"{folder}/q.csv", "scoring": "generate"}})  # fmt: skip
    words = said("eval", path)
    assert "general   1.000" in words
    assert "stands under several letters; any of them counts as right" in " ".join(words.split())


VERDICTS = {
    "two-answered": (1, "No verdict on two-answered: only 2 of 120 answers of each of one, two could be read"),
    "same-question": (0, "cannot tell"),
    "identical": (0, "cannot tell"),
    "single": (0, "cannot tell"),
}


@needs_cases
@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, words = VERDICTS[name]
    monkeypatch.setattr(sys, "argv", ["ragmed", "--root", ".", "eval", f"cases/30-statistics/{name}.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code or 0) == code
    shown = capsys.readouterr().out
    assert words in shown
    assert ("39 of 40 examples ask what another one asks" in shown) is (name == "same-question")


# ---- servers


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> str:
        port = 42_000 + os.getpid() % 18_000 + len(started)
        script = [sys.executable, str(CASES / "quirky_server.py"), str(port), *words]
        started.append(subprocess.Popen(script, cwd=tmp_path))
        for _ in range(200):
            try:
                httpx.get(f"http://127.0.0.1:{port}/v1/models", trust_env=False)
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        return f"endpoint:http://127.0.0.1:{port}/v1#m"

    yield start
    for process in started:
        process.kill()
        process.wait()


@needs_cases
def test_a_server_that_takes_no_system_turn(here: Path, serve: Callable[..., str]) -> None:
    model = serve("vllm-no-system", "A")
    words = said("eval", config(here, "n", model, "cases/21-hundred/q.csv"))
    assert set(values(here, "n").values()) == {"A"}
    assert " 120  -" in words


THOUGHTS = {
    "medgemma": "<unused94>thought\nOption A is likely. C is not.<unused95>B",
    "gemma 4": "<|channel>thought\nIt may be A.\n<channel|>B",
    "harmony": "<|channel|>analysis<|message|>A or C?<|end|><|start|>assistant<|channel|>final<|message|>B",
    "seed": "<seed:think>A, perhaps.</seed:think>B",
    "apertus": "<|inner_prefix|>Perhaps A.<|inner_suffix|>B",
}


@needs_cases
@pytest.mark.parametrize("family", THOUGHTS)
def test_thinking_is_no_answer(here: Path, serve: Callable[..., str], family: str) -> None:
    said("eval", config(here, "t", serve("plain", THOUGHTS[family]), "cases/20-basic/q.csv"))
    assert set(values(here, "t").values()) == {"B"}


@needs_cases
def test_documents_with_a_suffix(here: Path, serve: Callable[..., str]) -> None:
    said("corpora", "new", "t09b", "cases/09b-documents-with-suffix/guidelines")
    (here / "indexes" / "t09b").mkdir()
    (here / "indexes" / "t09b" / "recipe.yaml").write_text("corpora: [t09b]\nembedder: hashing:64\n")
    said("build-index", "t09b")
    settings = yaml.safe_load(Path("cases/09b-documents-with-suffix/trial-120.yaml").read_text())
    settings["models"] = {"m": {"name": serve("plain", "A"), "trusted": True}}
    (here / "configs" / "suffix.yaml").write_text(yaml.safe_dump(settings))
    assert "1 of 1 gold document is not in 't09b': 'Sepsis.md' (there is 'Sepsis')" in refused(
        "eval", "configs/suffix.yaml"
    )
    assert list((here / "runs").glob("*/samples/*/*.jsonl")) == []


# ---- models


@needs_cases
@pytest.mark.slow
@pytest.mark.parametrize("model", ["strftime", "parts", "tied+adapter:adapters/plain", "tied+adapter:adapters/lmhead"])
def test_small_models(here: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.setattr(sys, "argv", ["make_tiny_models.py", str(here / "made")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_path(str(CASES / "70-models" / "make_tiny_models.py"))
    name, _, adapter = model.partition("+adapter:")
    named = f"path:{here / 'made' / name}" + (f"+adapter:{here / 'made' / adapter}" if adapter else "")
    said("eval", config(here, "m", named, "cases/20-basic/q.csv"), "--limit", "2")
    run = find_run(here / "runs", next((here / "runs").glob("m*/run.json")).parent.name)
    samples = run.samples()["general", "questions"]
    assert {sample.finish for sample in samples} <= {"stop", "length"}
    assert len({sample.prompt for sample in samples}) == 2


# ---- references


def built(here: Path, name: str, *paths: str, recipe: str = "") -> str:
    """What building an index over a new corpus prints, or the sentence that refuses it."""
    said("corpora", "new", name, *paths)
    if recipe:
        with (here / "corpora" / name / "recipe.yaml").open("a") as stream:
            stream.write(recipe)
    (here / "indexes" / name).mkdir()
    (here / "indexes" / name / "recipe.yaml").write_text(f"corpora: [{name}]\nembedder: hashing:64\n")
    result = ragmed("build-index", name)
    return str(result.exception) if result.exit_code else result.stdout


def passages(here: Path, name: str, query: str, k: int = 20) -> list[dict[str, Any]]:
    hits = json.loads(said("search", name, query, "-k", str(k), "--json"))["hits"]
    return [hit["passage"] for hit in hits]


@needs_cases
def test_pages_and_pdfs(here: Path) -> None:
    built(here, "neutropenia", "cases/02-pdf-superscripts/neutropenia.pdf")
    text = " ".join(p["text"] for p in passages(here, "neutropenia", "neutrophils"))
    assert "109/L" not in text
    assert "10⁹/L" in text or "10^9/L" in text
    built(here, "ligatures", "cases/05-ligatures/ligatures.pdf")
    text = " ".join(p["text"] for p in passages(here, "ligatures", "dose"))
    assert "TNF-alpha" in text
    assert "low-dose" in text
    built(here, "page", "cases/06-html-page/page.html")
    shown = " ".join(p["text"] for p in passages(here, "page", "dose"))
    assert "Halve the dose when eGFR is under 30." in shown
    assert not any(word in shown for word in ("cookies", "900 mg", "Loading", "Last reviewed"))


REASONS = {
    "04-scan/scan-only.pdf": "page 1 holds an image and no text",
    "07-csv/cp1252.csv": "is not UTF-8 (byte 0xe9 at offset 5); convert it to UTF-8, or write what it is into",
    "09-archives/only-nested.zip": ".zip: an archive within an archive, which is not opened",
    "11-jsonl/array.jsonl": "is one JSON list, which is no JSON Lines; write an object a line",
    "12-parquet/nested.parquet": "'context' (text) is a ",
}


@needs_cases
@pytest.mark.parametrize("name", REASONS)
def test_why_there_is_no_document(here: Path, name: str) -> None:
    fields = "fields: {text: context}\n" if name.endswith("parquet") else ""
    assert REASONS[name] in built(here, "one", f"cases/{name}", recipe=fields)
    assert REASONS[name] in refused("corpora", "info", "one")


def test_why_records_and_files_are_left_out_is_said_by_the_building_itself(here: Path) -> None:
    pages = here / "pages"
    pages.mkdir()
    (pages / "good.md").write_text("# Zelvarin\n\nThe dose is 24 mg.\n")
    (pages / "bad.md").write_bytes(b"Dosis f\xfcr S\xe4uglinge")
    for number in range(3):
        (pages / f"letter{number}.docx").write_bytes(b"PK\x03\x04")
    words = built(here, "mixed", str(pages))
    info = said("corpora", "info", "mixed")
    reasons = [line for line in info.splitlines() if line.startswith(("rejected: ", "ignored: "))]
    assert len(reasons) == 2
    assert all(f"\n  {line}\n" in words for line in reasons)
    assert "(and 2 more like it)" in words
    assert all(f"  {line}" in said("build-index", "mixed") for line in reasons)  # though nothing is built again


@needs_cases
def test_tables_and_archives(here: Path) -> None:
    assert "of 2 documents" in built(here, "mac-csv", "cases/07-csv/mac.csv")
    assert "Columns: code, description, name. Name it" in built(here, "c", "cases/07-csv/codes.csv")
    fields = "fields: {id: code, title: name, text: description}\n"
    assert "of 4 documents" in built(here, "codes", "cases/07-csv/codes.csv", recipe=fields)
    assert {"008.45", "8.45", "NA"} < {passage["document"] for passage in passages(here, "codes", "code")}
    assert "has the column 'text' more than once" in built(here, "dup", "cases/07-csv/dup.csv")
    for name in ("windows", "mac"):
        assert "passage" in built(here, f"{name}-zip", f"cases/09-archives/{name}.zip")
    built(here, "giant", "cases/13-giant/table.jsonl")
    found = passages(here, "giant", "dose", k=50)
    assert len(found) > 1
    assert all("|" in passage["heading"] or "|" in passage["text"].splitlines()[0] for passage in found)


def test_a_table_in_windows_1252_is_read_where_the_recipe_says_so(here: Path) -> None:
    (here / "t.csv").write_bytes("id,text\n1,Säuglinge bekommen 5 µg.\n".encode("cp1252"))
    assert "or write what it is into the recipe, such as encoding: windows-1252" in built(here, "wrong", "t.csv")
    assert "1 passage of 1 document" in built(here, "right", "t.csv", recipe="encoding: windows-1252\n")
    assert passages(here, "right", "Säuglinge")[0]["text"] == "Säuglinge bekommen 5 µg."


# ---- others' runs


@needs_cases
def test_a_placeholder_is_no_score(here: Path) -> None:
    words = refused("import", "lm-eval", "cases/40-lm-eval-logs/g-predict-only", "--output", "runs/g")
    assert "'bypass'" in words
    assert "left out, a placeholder" in words


@needs_cases
@pytest.mark.slow
def test_a_retry_replaces_a_failed_log(here: Path) -> None:
    code = (CASES / "41-inspect-logs" / "make_logs.py").read_text()
    made = subprocess.run([sys.executable, "-c", code, str(here / "made")], capture_output=True, check=False)
    if b"No module named" in made.stderr:
        pytest.skip("inspect_ai is not installed")
    assert made.returncode == 0, made.stderr
    assert "6 samples" in said("import", "inspect", str(here / "made" / "a-retry"), "--output", "runs/i")
