"""A finished run is held to the models, indexes, corpora and questions of today; a corrected one is asked alone."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from encoders import save_bert, save_cross_encoder
from ragmed.cli.main import cli

from ragmed.errors import MismatchError
from ragmed.experiments.config import load_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.models import ModelSettings
from ragmed.models.present import present_files
from ragmed.retrieval.named import build_named, stale
from ragmed.runs import Run, find_run
from ragmed.workspace import Workspace

CONFIG = """
models: {small: "scripted:ROOT/answers.yaml"}
index: wards
seed: 3
window: 4
tasks:
  ours: {file: ours.csv, scoring: generate, max_tokens: 8}
arms:
  general: {model: small}
  rag: {model: small, context: retrieved, k: 2}
comparison: {resamples: 200}
"""
ROWS = "".join(f"q{n},Where is ward {n}?,here,there,A\n" for n in range(10))


@pytest.fixture
def finished(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(small.root)
    (small.root / "answers.yaml").write_text("- {contains: 'ward 3', answer: 'B'}\n- {default: 'A'}\n")
    (small.root / "ours.csv").write_text(f"id,question,A,B,answer\n{ROWS}")
    (small.configs / "own.yaml").write_text(CONFIG.replace("ROOT", str(small.root)))
    again(small)
    return find_run(small.runs, "own")


def again(small: Workspace, **given: bool) -> None:
    run_experiment(load_experiment(small.configs / "own.yaml"), workspace=small, **given)


def edit(path: Path, old: str, new: str, *, unnoticed: bool = False) -> None:
    facts, text = path.stat(), path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    if unnoticed:
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def corpus(small: Workspace) -> None:
    edit(small.corpora / "wards" / "pages" / "elm.md", "4000", "4999", unnoticed=True)


def rebuilt(small: Workspace) -> None:
    corpus(small)
    build_named("wards", workspace=small)


def embedder(small: Workspace) -> None:
    edit(small.root / "indexes" / "wards" / "recipe.yaml", "hashing:64", "hashing:32")
    build_named("wards", workspace=small)


def chunking(small: Workspace) -> None:
    with (small.root / "indexes" / "wards" / "recipe.yaml").open("a") as stream:
        stream.write("chunking: {max_tokens: 40, overlap_sentences: 0}\n")
    build_named("wards", workspace=small)


CHANGES: dict[str, tuple[Callable[[Workspace], object], str]] = {
    "answers": (
        lambda small: edit(small.root / "answers.yaml", "'B'", "'A'"), "the scripted answers of model 'small' differ; ",
    ),
    "corpus of the same size and time": (corpus, "index 'wards' was built before its corpus changed (wards)"),
    "corpus, rebuilt": (rebuilt, "the index 'wards' was rebuilt: 1 document was edited; "),
    "embedder, rebuilt": (embedder, "'wards' was rebuilt: embedder was hashing:64, is now hashing:32; "),
    "chunking, rebuilt": (
        chunking, "'wards' was rebuilt: chunking was splitter structure, max_tokens 0, overlap_sentences 1, is now "
        "splitter structure, max_tokens 40, overlap_sentences 0; ",
    ),
    "most questions": (
        lambda small: edit(small.root / "ours.csv", "Where is", "Where was"),
        "the questions of task 'ours' differ; the words in which task 'ours' is asked differ; ",
    ),
    "one question less": (
        lambda small: edit(small.root / "ours.csv", "q9,Where is ward 9?,here,there,A\n", ""),
        "the questions of task 'ours' differ; ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_finished_run_is_not_passed_off_as_one_of_today(small: Workspace, finished: Run, name: str) -> None:
    change, message = CHANGES[name]
    before = {path: path.read_bytes() for path in finished.folder.rglob("*.json*")}
    change(small)
    with pytest.raises(MismatchError, match=re.escape(message)) as refused:
        again(small)
    assert not re.search("[0-9a-f]{16}", str(refused.value))  # a hash says nothing to who reads it
    assert "keep this run under its name and give the new one its own --output, or ask again" in str(refused.value)
    assert {path: path.read_bytes() for path in before} == before


@pytest.fixture
def reranked(small: Workspace, finished: Run) -> Run:
    save_cross_encoder(small.root / "cross")
    text = (small.configs / "own.yaml").read_text()
    twice = f"{{method: rerank, of: [words], model: 'path:{small.root}/cross'}}"
    retrievers = f"retrievers: {{words: {{method: bm25}}, twice: {twice}}}\n"
    text = text.replace("index: wards\n", f"index: wards\n{retrievers}").replace(
        "retrieved, k", "retrieved, retriever: twice, k"
    )
    (small.configs / "own.yaml").write_text(text)
    again(small, restart=True)
    return find_run(small.runs, "own")


def test_weights_of_a_reranker_are_held_to_as_well(
    small: Workspace, reranked: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"path:{small.root / 'cross'}"
    assert (
        "weights" in reranked.info()["identity"]["retrieval_models"][name]
    )  # known since it was asked, not from now on
    again(small)
    shutil.copytree(small.root / "cross", small.root / "kept")
    save_bert(small.root / "cross", seed=7, kind="BertForSequenceClassification", num_labels=1)
    with pytest.raises(MismatchError, match=re.escape(f"the weights of retrieval model '{name}' differ; ")):
        again(small)
    shutil.rmtree(small.root / "cross")
    again(small)
    assert f"the files of retrieval model '{name}': no longer here" in capsys.readouterr().err
    shutil.copytree(small.root / "kept", small.root / "cross")
    again(small)


def test_asking_again_keeps_the_old_run_under_another_name(small: Workspace, finished: Run) -> None:
    old = finished.samples_file("general", "ours").read_bytes()
    edit(small.root / "answers.yaml", "'A'", "'B'")
    again(small, restart=True)
    assert Run(small.runs / "own.1").samples_file("general", "ours").read_bytes() == old
    assert {sample.completion for sample in finished.samples()["general", "ours"]} == {"B"}


def test_what_is_gone_is_not_compared(small: Workspace, finished: Run) -> None:
    (small.root / "answers.yaml").unlink()
    shutil.rmtree(small.indexes / "wards" / "segments")
    (small.indexes / "wards" / "manifest.json").unlink()
    again(small)


def test_one_corrected_question_is_asked_alone_and_named(
    small: Workspace, finished: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = finished.samples()
    edit(small.root / "ours.csv", "q5,Where is ward 5?", "q5,Where is ward 3?")
    again(small)
    assert "task 'ours': changed since asked, and alone asked again: q5" in capsys.readouterr().err
    after = finished.samples()
    for key, samples in after.items():
        changed = [place for place, pair in enumerate(zip(before[key], samples, strict=True)) if pair[0] != pair[1]]
        assert [samples[place].example.id for place in changed] == ["q5"]
        assert [samples[place].completion for place in changed] == ["B"]
    notes = json.loads(finished.results_file.read_text())["notes"]
    assert any("ours: q5 changed after the task was first asked" in note for note in notes)
    again(small)  # and is what is held to from here on
    assert finished.samples() == after
    assert "q5" not in capsys.readouterr().err


def test_a_corrected_gold_answer_counts(small: Workspace, finished: Run) -> None:
    edit(small.root / "ours.csv", "ward 3?,here,there,A", "ward 3?,here,there,B")
    again(small)
    rows = json.loads(finished.results_file.read_text())["scores"]
    assert [row["value"] for row in rows if row["arm"] == "general"] == [1.0]


def test_an_index_older_than_its_corpus_is_said(small: Workspace, finished: Run) -> None:
    assert stale("wards", small) == ""
    corpus(small)
    said = "was built before its corpus changed (wards); run: ragmed build-index wards"
    assert said in stale("wards", small)
    found = CliRunner().invoke(cli, ["--root", str(small.root), "search", "wards", "Elm ward"])
    assert said in found.stderr
    assert found.stdout.startswith("1. ")
    told = CliRunner().invoke(cli, ["--root", str(small.root), "report", "own"])
    assert told.exit_code == 0
    assert said.replace("'", "&#39;") in (finished.report_folder / "index.html").read_text()
    build_named("wards", workspace=small)
    CliRunner().invoke(cli, ["--root", str(small.root), "report", "own"])
    assert "was built anew after this run" in finished.results_file.read_text()


def test_the_files_of_a_model_are_told_without_loading_it(small: Workspace) -> None:
    folder = small.root / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors", "README.md"):
        (folder / name).write_text("{}")
    settings = ModelSettings(f"path:{folder}")
    before = present_files(settings, small)
    assert set(before) == {"weights", "config.json", "tokenizer.json", "chat_template.jinja"}
    for name, key in (("model.safetensors", "weights"), ("chat_template.jinja", "chat_template.jinja")):
        (folder / name).write_text("{ }")
        now = present_files(settings, small)
        assert [part for part in now if now[part] != before[part]] == [key]
        before = now
    (folder / "chat_template.jinja").unlink()
    assert "chat_template.jinja" not in present_files(settings, small)
    assert present_files(ModelSettings("path:nowhere"), small) == {}


FILES = {
    "model.safetensors": "the weights of model 'tiny' differ",
    "chat_template.jinja": "the chat template of model 'tiny' differs (chat_template.jinja)",
    "tokenizer.json": "the tokenizer of model 'tiny' differs (tokenizer.json)",
    "config.json": "the configuration of model 'tiny' differs (config.json)",
}


@pytest.mark.parametrize("name", FILES)
def test_which_file_of_a_model_changed_is_said_in_words(small: Workspace, finished: Run, name: str) -> None:
    folder = small.root / "model"
    folder.mkdir()
    for file in FILES:
        (folder / file).write_text("{}")
    settings = ModelSettings(f"path:{folder}")
    finished.add_identity("files", {"tiny": present_files(settings, small)})
    (folder / name).write_text("{ }")
    with pytest.raises(MismatchError, match=re.escape(f"{FILES[name]}; samples")):
        finished.add_identity("files", {"tiny": present_files(settings, small)})
    (folder / name).unlink()
    with pytest.raises(MismatchError, match=re.escape(f"{re.sub('differs?', 'is gone', FILES[name])}; samples")):
        finished.add_identity("files", {"tiny": present_files(settings, small)})


def test_every_change_is_named_and_no_hash_is_shown(finished: Run) -> None:
    finished.add_identity("adapters", {"tuned": "0" * 64})
    with pytest.raises(MismatchError) as refused:
        finished.add_identity("adapters", {"tuned": "1" * 64})
    said = "the adapter (its weights, configuration, chat template or tokenizer) of model 'tuned' differs; "
    assert f"'own' is not what would be made now: {said}" in str(refused.value)
    finished.add_identity("weights", {"m": {"template": "a" * 64, "dtype": "float32", "revision": "b" * 40}})
    with pytest.raises(MismatchError) as refused:
        finished.add_identity("weights", {"m": {"template": "c" * 64, "dtype": "bfloat16", "revision": "d" * 40}})
    words = (
        "the chat template of model 'm' differs; the precision of model 'm' was \"float32\", is now \"bfloat16\"; "
        "the revision of model 'm' differs; "
    )
    assert words in str(refused.value)


def test_a_rebuilt_index_says_how_many_documents_are_others(small: Workspace, finished: Run) -> None:
    pages = small.corpora / "wards" / "pages"
    names = sorted(path.name for path in pages.glob("*.md"))
    for name in names[:3]:
        edit(pages / name, ".", "; moved.")
    (pages / names[3]).unlink()
    (pages / "new.md").write_text("# New\n\nA new ward.\n")
    (pages / "newer.md").write_text("# Newer\n\nA newer ward.\n")
    build_named("wards", workspace=small)
    said = "'wards' was rebuilt: 3 documents were edited, 2 documents were added, 1 document was removed; "
    with pytest.raises(MismatchError, match=said):
        again(small)
    edit(pages / names[4], ".", "; moved.")
    build_named("wards", workspace=small)
    with pytest.raises(MismatchError, match=r"'wards' was rebuilt \(more than once, or in another place\); "):
        again(small)


@pytest.mark.parametrize("what", ["a line", "a file", "a file, results too", "an arm"])
def test_samples_that_are_gone_of_a_finished_run_are_named(small: Workspace, finished: Run, what: str) -> None:
    path = finished.samples_file("rag", "ours")
    if what == "a line":
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    elif what == "an arm":
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    if what == "a file, results too":
        finished.results_file.unlink()
    there = 9 if what == "a line" else 0
    for command in ("compare", "report"):
        told = CliRunner().invoke(cli, ["--root", str(small.root), command, "own"])
        assert (told.exit_code, type(told.exception).__name__) == (1, "DamagedError")
        assert str(told.exception) == (
            f"run 'own' lacks samples: 'rag' on 'ours' had answered all 10 examples, and {there} are there; put the "
            "file back, or rerun `ragmed eval` with its config, which asks again what is missing"
        )
    again(small)
    assert len(finished.samples()["rag", "ours"]) == 10
    assert CliRunner().invoke(cli, ["--root", str(small.root), "compare", "own"]).exit_code == 0
