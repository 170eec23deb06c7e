import errno
import hashlib
import json
import re
import stat
import zipfile

import pytest
from click.testing import CliRunner
from exporting import ARMS, graded, made, trial, write
from ragmed.cli.main import cli
from sealed import edit_lines, read_lines, write_lines

from ragmed.checked import dump
from ragmed.errors import DamagedError, DataError, UnknownNameError, UnwritableError, UsageError
from ragmed.experiments.results import compare_runs
from ragmed.files import read_json, write_json
from ragmed.integrations.bundle import export_bundle
from ragmed.prompts import prompt_hash
from ragmed.records import Message
from ragmed.runs import Run, find_run

SECRET = "MARKER-7f3a"
HIDDEN_NUMBERS = {0.7357, 73577357, 7357.7357}
NAMES = {"arm", "task"}


def opened(path):
    return find_run(path.parent, str(path), packed=True)


def everything(path):
    """All bytes of a folder or a zip, with the names of what is in it."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            inside = b"".join(archive.read(name) + name.encode() for name in archive.namelist())
            return inside + path.read_bytes()
    return b"".join(
        str(p.relative_to(path)).encode() + (p.read_bytes() if p.is_file() else b"") for p in path.rglob("*")
    )


def marked(value, keep=()):
    """Every text below `value` is the marker, but for what stands under `keep`; a marker is added to every mapping."""
    if isinstance(value, dict):
        inner = {key: one if key in keep else marked(one, keep) for key, one in value.items()}
        return inner | {f"{SECRET} added": SECRET}
    if isinstance(value, list):
        return [marked(one, keep) for one in value]
    return f"{SECRET} {value}" if isinstance(value, str) else value


def soiled(folder):
    """A run with the marker in every text of its samples, of what was read from them, and of run.json, but for names of
    arms, tasks and metrics."""
    run = trial(folder, n=20, access="credentialed")
    for path in (run.folder / "samples").rglob("*.jsonl"):
        scores = run.folder / "scores" / path.relative_to(run.folder / "samples")
        for file, soiled_line in ((path, _soiled_sample), (scores, _soiled_score)):
            write_lines(file, [soiled_line(line) for line in read_lines(file)])
    info = run.info()
    comparison, arms, tasks = (info["experiment"][key] for key in ("comparison", "arms", "tasks"))
    soiled = marked(info, keep=("schema", "access", "metrics", "reader", "context", "comparison"))
    soiled["experiment"]["comparison"] = {**comparison, "prices": {"currency": SECRET}}
    for known, found in ((arms, "arms"), (tasks, "tasks")):
        del soiled["experiment"][found][f"{SECRET} added"]
        assert soiled["experiment"][found].keys() == known.keys()
    for arm, plain in soiled["experiment"]["arms"].items():
        plain["index"] = SECRET if ARMS[arm] == "retrieved" else ""
    models = soiled["experiment"]["models"]
    del soiled["identity"][f"{SECRET} added"]
    for table in (models, soiled["identity"]["tasks"]):
        table[f"{SECRET} added"] = {"name": SECRET}
    soiled["tasks"][f"{SECRET} added"] = {"examples": 1, "reader": "recorded", "metrics": [], "source": SECRET}
    for arm in soiled["experiment"]["arms"].values():
        models[arm["model"]] = {"name": f"path:/{SECRET}+adapter:{SECRET}"}
    soiled["references"] = {
        "adapters": {
            soiled["experiment"]["arms"]["tuned"]["model"]: {
                "name": SECRET,
                "corpora": [{"name": SECRET, "sha256": SECRET}],
            }
        },
        "indexes": {SECRET: {"corpora": [{"name": SECRET, "sha256": SECRET}], "device": SECRET}},
    }
    run.write_info(soiled)
    write_json(run.folder / "audit.json", {SECRET: SECRET})
    return find_run(folder.parent, str(folder))


def _soiled_sample(line):
    """The fields are those of a sample, since no other is read."""
    soiled = _without_added(marked(line, keep=(*NAMES, "finish", "role")))
    soiled["messages"] = [{"role": "user", "content": SECRET}]
    soiled["prompt"] = prompt_hash([Message("user", SECRET)])
    for passage in soiled["passages"]:
        passage["score"] = 0.7357
    return {**soiled, "input_tokens": 73577357, "seconds": 7357.7357}


def _soiled_score(line):
    if "status" not in line:
        return line  # the header
    return {**line, "example": f"{SECRET} {line['example']}", "value": SECRET}


def _without_added(value):
    if isinstance(value, list):
        return [_without_added(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_added(one) for key, one in value.items() if key != f"{SECRET} added"}
    return value


def records(path):
    """What stands in the files of a bundle, parsed."""
    files = sorted(opened(path).folder.rglob("*.json*"))
    return [
        json.loads(line)
        for file in files
        for line in (file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()])
    ]


@pytest.mark.parametrize("name", ["shared", "shared.zip"])
def test_no_text_of_any_field_gets_into_a_bundle(tmp_path, name):
    run = soiled(tmp_path / SECRET)
    assert SECRET.encode() in everything(run.folder)
    export_bundle(run, tmp_path / name)
    found = everything(tmp_path / name)
    assert len(found) > 1000
    for hidden in (SECRET, SECRET[:6], "books", (run.folder / "bundle.key").read_text().strip()):
        assert hidden.encode() not in found, hidden
    values = list(leaves(records(tmp_path / name)))
    assert len(values) > 1000
    assert not HIDDEN_NUMBERS & set(values)
    # As words: four hexadecimal digits stand in some hash by chance, but never between two boundaries of words.
    assert not [value for value in values if re.search(r"\b(e003|g1|d5)\b", str(value))]


def test_what_stands_in_a_bundle_field_by_field(tmp_path):
    export_bundle(soiled(tmp_path / "run"), tmp_path / "shared")
    lines = (tmp_path / "shared" / "samples" / "m%2Frag_32" / "medqa.jsonl").read_text().splitlines()
    for line in map(json.loads, lines):
        filled = {key for key, value in line.items() if value}
        assert filled == {"arm", "task", "example", "passages", "finish", "fits", "sha256"}
        example = {key: value for key, value in line["example"].items() if value}
        assert example.keys() == {"id", "group", "documents"}
        assert all(len(found) == 32 for found in (example["id"], example["group"], *example["documents"]))
        for passage in line["passages"]:
            assert {key for key, value in passage.items() if value} <= {"id", "document", "rank", "gold"}
    scores = (tmp_path / "shared" / "scores" / "m%2Frag_32" / "medqa.jsonl").read_text().splitlines()
    assert {score["value"] for score in map(json.loads, scores[1:])} == {None}
    info = read_json(tmp_path / "shared" / "run.json", "run file")
    assert info["experiment"]["arms"]["m/rag_32"] == {
        "model": "model-3",
        "index": "index-1",
        "k": 3,
        "context": "retrieved",
    }


@pytest.mark.parametrize("name", ["shared", "shared.zip"])
def test_a_bundle_compares_as_the_run_does(tmp_path, name):
    run = trial(tmp_path / "run", n=80)
    export_bundle(run, tmp_path / name)
    one, other = compare_runs([run]), compare_runs([opened(tmp_path / name)])
    assert len(one.contrasts) == 12 + 4
    for key in ("scores", "contrasts", "factorials", "retrieval"):
        mine, theirs = (dump(getattr(results, key)) for results in (one, other))
        assert numbers(theirs) == pytest.approx(numbers(mine), abs=1e-12)
        assert texts(theirs) == texts(mine)
    assert other.baselines == other.costs == ()
    assert "secondary" in {row.verdict for row in other.contrasts}
    assert any("this run is a bundle" in note for note in other.notes)
    assert any("gold answers are not in this run" in note for note in other.notes)


def leaves(value):
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from leaves(one)
    if not isinstance(value, dict | list):
        yield value


def numbers(value):
    return [one for one in leaves(value) if isinstance(one, int | float)]


def texts(value):
    return [one for one in leaves(value) if not isinstance(one, int | float)]


def ids(path, arm="general", task="medqa"):
    return {sample.example.id for sample in opened(path).samples()[arm, task]}


def test_ids_join_under_one_key_and_cannot_be_guessed_without_it(tmp_path):
    run, other = trial(tmp_path / "run"), trial(tmp_path / "other")
    export_bundle(run, tmp_path / "a")
    export_bundle(run, tmp_path / "b")
    export_bundle(other, tmp_path / "c", key=run.folder / "bundle.key")
    export_bundle(other, tmp_path / "d")
    assert ids(tmp_path / "a") == ids(tmp_path / "b") == ids(tmp_path / "c") == ids(tmp_path / "a", arm="tuned")
    assert not ids(tmp_path / "a") & ids(tmp_path / "d")
    assert len(ids(tmp_path / "a")) == 60
    guessed = {
        hashlib.sha256(f"{kind}e{i:03d}".encode()).hexdigest()[:32] for i in range(60) for kind in ("", "example\0")
    }
    assert not ids(tmp_path / "a") & guessed
    joined = compare_runs([opened(tmp_path / "a"), opened(tmp_path / "c")])
    assert {row.n for row in joined.contrasts} == {60}


def test_the_order_of_samples_says_nothing_of_the_order_of_the_data(tmp_path):
    run = trial(tmp_path / "run")
    export_bundle(run, tmp_path / "a")
    given = [sample.example.id for sample in opened(tmp_path / "a").samples()["general", "medqa"]]
    assert given == sorted(given)


def test_names_can_be_changed_and_unknown_or_equal_ones_are_refused(tmp_path):
    samples = {(arm, "our=icu"): graded(arm, "our=icu", 30) for arm in ("general", "tuned")}
    run = write(tmp_path / "run", samples)
    bundle = export_bundle(run, tmp_path / "a", rename=["our=icu=task=1", "tuned=B"])
    assert (bundle.arms, bundle.tasks) == (("general", "B"), ("task=1",))
    assert b"icu" not in everything(tmp_path / "a")
    row = compare_runs([opened(tmp_path / "a")]).contrasts[0]
    assert (row.task, row.baseline, row.arm) == ("task=1", "general", "B")
    with pytest.raises(UnknownNameError, match="unknown arm or task 'nobody'"):
        export_bundle(run, tmp_path / "b", rename=["nobody=x"])
    with pytest.raises(UsageError, match="two arms 'general'"):
        export_bundle(run, tmp_path / "b", rename=["tuned=general"])
    assert not (tmp_path / "b").exists()


def test_key_and_bundle_are_for_their_owner_alone(tmp_path):
    run = trial(tmp_path / "run", n=10, access="private")
    for name in ("a", "a.zip"):
        export_bundle(run, tmp_path / name)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert modes | {stat.S_IMODE((run.folder / "bundle.key").stat().st_mode)} == {0o600}
    assert stat.S_IMODE((tmp_path / "a.zip").stat().st_mode) == 0o600
    assert opened(tmp_path / "a").access == "private"
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {(e.date_time, e.external_attr >> 16) for e in archive.infolist()} == {((1980, 1, 1, 0, 0, 0), 0o100600)}


def test_a_key_that_is_none_and_an_output_that_exists_are_refused(tmp_path):
    run = trial(tmp_path / "run", n=10)
    (tmp_path / "key").write_text("secret\n")
    with pytest.raises(DataError, match="is not 64 hexadecimal digits"):
        export_bundle(run, tmp_path / "a", key=tmp_path / "key")
    with pytest.raises(DataError, match="does not exist"):
        export_bundle(run, tmp_path / "a", key=tmp_path / "absent")
    export_bundle(run, tmp_path / "a")
    with pytest.raises(UsageError, match="exists already"):
        export_bundle(run, tmp_path / "a")


def test_a_score_that_is_a_text_is_refused_without_repeating_it(tmp_path):
    run = write(tmp_path / "run", {(arm, "t"): [made(i, arm, "t") for i in range(4)] for arm in ("a", "b")})
    path = run.scores_file("a", "t")
    edit_lines(path, lambda lines: lines[1]["metrics"].update(accuracy=SECRET))
    with pytest.raises(DamagedError, match=r"scores file '.*', line 2, metrics.accuracy") as refused:
        export_bundle(run, tmp_path / "bundle")
    assert SECRET not in str(refused.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


@pytest.mark.parametrize(
    "name", ["../run.json", "r/../../x/run.json", "/r/run.json", "r/samples/..a/x.jsonl", "r/a.py"]
)
def test_a_zip_that_leads_elsewhere_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("r/run.json", "{}")
        archive.writestr(name, "{}")
    with pytest.raises(DataError, match="is no packed run"):
        opened(tmp_path / "evil.zip")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match="cannot be unpacked"):
        opened(tmp_path / "cut.zip")


def test_by_command(tmp_path):
    trial(tmp_path / "runs" / "icu", n=30)
    runner, root = CliRunner(), ["--root", str(tmp_path)]
    made = runner.invoke(cli, [*root, "export", "bundle", "icu", "-o", str(tmp_path / "x.zip"), "--rename", "names=t1"])
    assert made.exit_code == 0, made.output
    assert "x.zip: 240 samples. Read these names before you share it:" in made.output
    assert "tasks: medqa, t1" in made.output
    compared = runner.invoke(cli, [*root, "compare", str(tmp_path / "x.zip"), "--json"])
    assert json.loads(compared.output)["run"] == "x"
    for kind in ("csv", "parquet", "latex", "markdown", "trec"):
        done = runner.invoke(cli, [*root, "export", kind, "icu", "-o", str(tmp_path / f"out-{kind}")])
        assert done.exit_code == 0, done.output
        assert (tmp_path / f"out-{kind}").exists()


def test_the_bundle_of_a_bundle_is_one_too(tmp_path):
    export_bundle(trial(tmp_path / "run", n=20), tmp_path / "a")
    export_bundle(Run(tmp_path / "a"), tmp_path / "b")
    assert compare_runs([opened(tmp_path / "b")]).contrasts[0].n == 20


def test_a_bundle_can_be_of_another_policy(tmp_path):
    run = trial(tmp_path / "run", n=20)
    export_bundle(run, tmp_path / "a", policy="drop")
    results = compare_runs([opened(tmp_path / "a")])
    assert results.policy["unparsed"] == "drop"
    assert results.contrasts[0].n < 20


def test_of_a_ratio_the_counts_are_in_a_bundle_and_gold_entries_are_hashed(tmp_path):
    def coded(arm, right):
        gold = ("I10", "E11.9", "J45")
        answers = [made(i, arm, "notes", metrics={"code_f1": (right, 1.0, 3.0 - right)}, gold=gold) for i in range(11)]
        return [*answers, made(11, arm, "notes", status="unparsed", gold=gold)]

    run = write(tmp_path / "run", {("a", "notes"): coded("a", 1.0), ("b", "notes"): coded("b", 2.0)})
    export_bundle(run, tmp_path / "shared")
    one, other = compare_runs([run]), compare_runs([opened(tmp_path / "shared")])
    assert [row.value for row in one.scores] == pytest.approx([2 * 11 / (2 * 11 + 11 + 25), 44 / (44 + 11 + 14)])
    for key in ("scores", "contrasts"):
        mine, theirs = (dump(getattr(results, key)) for results in (one, other))
        assert numbers(theirs) == pytest.approx(numbers(mine), abs=1e-12)
    assert not [value for value in leaves(records(tmp_path / "shared")) if value in ("I10", "E11.9", "J45")]


def test_scores_of_a_bundle_stay_as_they_came(tmp_path):
    trial(tmp_path / "runs" / "icu", n=10)
    runner, root = CliRunner(), ["--root", str(tmp_path)]
    assert runner.invoke(cli, [*root, "export", "bundle", "icu", "-o", str(tmp_path / "runs" / "b")]).exit_code == 0
    before = everything(tmp_path / "runs" / "b" / "scores")
    done = runner.invoke(cli, [*root, "score", "b"])
    assert done.exit_code == 0, done.output
    assert "of 10 answered; accuracy, overlap as imported" in done.output
    assert everything(tmp_path / "runs" / "b" / "scores") == before


def test_a_full_disk_leaves_no_empty_key(tmp_path, monkeypatch):
    run = trial(tmp_path / "run", n=6)
    (run.folder / "bundle.key").write_text("")  # as an earlier failure may have left it
    with monkeypatch.context() as full:
        full.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        with pytest.raises(UnwritableError, match=r"cannot write .*bundle\.key': No space left; make room"):
            export_bundle(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export_bundle(run, tmp_path / "out").samples
    assert len((run.folder / "bundle.key").read_text().strip()) == 64
