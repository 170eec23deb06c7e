import json
import os
from pathlib import Path

import pytest

from ragmed.errors import BusyError, DamagedError, MismatchError, UsageError
from ragmed.records import Example, Message, Sample, ShownPassage
from ragmed.runs import Run, find_run
from ragmed.stored import SCHEMA, info_text

IDS = ["a", "b", "c", "d", "e"]
INFO = {
    "schema": SCHEMA,
    "name": "trial",
    "access": "open",
    "identity": {"run": {"seed": 0}, "tasks": {"toy": {"data": "1"}}},
    "experiment": {"models": {}, "tasks": {}, "arms": {}, "comparison": {}},
    "tasks": {},
}


def sample(example: str, text: str = "Ja\u2028wohl") -> Sample:
    return Sample(
        arm="general",
        task="toy",
        example=Example(example, "?", options={"A": "x", "B": "y"}, gold="A"),
        messages=(Message("user", text),),
        passages=(ShownPassage("p", "d", 1),),
        completion="A",
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "trial")
    run.begin(INFO)
    return run


def test_samples_come_back_as_they_were(run: Run) -> None:
    run.append("general", "toy", [sample("a"), sample("b")])
    assert run.samples() == {("general", "toy"): [sample("a"), sample("b")]}


def test_whole_windows_are_kept_and_a_torn_one_is_taken_off(run: Run) -> None:
    run.append("general", "toy", [sample("a"), sample("b")])
    run.append("general", "toy", [sample("c"), sample("d")])
    path = run.samples_file("general", "toy")
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:cut])
        done = 5 - len(run.missing("general", "toy", IDS, window=2))
        assert done in (0, 2)
        assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:done])
    path.write_bytes(whole)
    assert run.missing("general", "toy", IDS, window=2) == [4]


def test_a_pipe_in_the_place_of_samples_is_told(run: Run) -> None:
    path = run.samples_file("general", "toy")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(DamagedError, match="is not a regular file; move it away"):
        run.missing("general", "toy", IDS, window=2)


def test_a_short_last_window_is_whole_when_it_ends_the_task(run: Run) -> None:
    run.append("general", "toy", [sample(i) for i in IDS[:4]])
    run.append("general", "toy", [sample("e")])
    assert run.missing("general", "toy", IDS, window=4) == []


def test_samples_of_other_examples_are_refused(run: Run) -> None:
    run.append("general", "toy", [sample("a"), sample("x")])
    with pytest.raises(DamagedError, match=r"line 2: the sample is of 'x'"):
        run.missing("general", "toy", IDS, window=2)


def test_a_line_that_is_no_sample_is_named(run: Run) -> None:
    run.append("general", "toy", [sample("a")])
    with run.samples_file("general", "toy").open("a") as stream:
        stream.write("{}\n")
    with pytest.raises(DamagedError, match=r"toy.jsonl', line 2"):
        run.missing("general", "toy", IDS, window=1)
    with pytest.raises(DamagedError, match=r"toy.jsonl', line 2"):
        run.samples()


def test_a_changed_field_is_refused_by_its_name_and_new_ones_join(run: Run) -> None:
    changed = {**INFO, "identity": {"run": {"seed": 0}, "tasks": {"toy": {"data": "2"}}}}
    run.begin(changed)  # no sample yet: nothing can mix
    run.begin(INFO)
    run.append("general", "toy", [sample("a")])
    with pytest.raises(MismatchError, match="the questions of task 'toy' differ; samples"):
        run.begin(changed)
    joined = {**INFO, "identity": {"run": {"seed": 0}, "tasks": {"other": {"data": "3"}}}}
    assert set(run.begin(joined)["identity"]["tasks"]) == {"toy", "other"}
    run.add_identity("weights", {"small": {"sha256": "4"}})
    with pytest.raises(MismatchError, match="'sha256' of model 'small' was \"4\", is now \"5\""):
        run.add_identity("weights", {"small": {"sha256": "5"}})


def test_two_processes_cannot_hold_one_run(run: Run) -> None:
    with run.held(), pytest.raises(BusyError, match="in use"), Run(run.folder).held():
        pass


def test_what_is_not_open_is_for_its_owner_alone(tmp_path: Path) -> None:
    run = Run(tmp_path / "secret", access="private")
    with run.held():
        run.begin(INFO)
        run.append("general", "toy", [sample("a")])
    path = run.samples_file("general", "toy")
    assert run.folder.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert run.info_file.stat().st_mode & 0o777 == 0o600


def test_an_unknown_run_is_answered_with_those_that_are_there(run: Run) -> None:
    assert find_run(run.folder.parent, "trial").folder == run.folder
    with pytest.raises(UsageError, match="there are: trial"):
        find_run(run.folder.parent, "trail")


def test_samples_are_plain_json_lines(run: Run) -> None:
    run.append("general", "toy", [sample("a")])
    (line,) = run.samples_file("general", "toy").read_bytes().split(b"\n")[:-1]
    assert json.loads(line)["example"]["gold"] == "A"
    assert "scores" not in json.loads(line)


def test_a_run_file_that_lacks_a_part_is_named(run: Run) -> None:
    run.info_file.write_text('{"schema": 1}')
    with pytest.raises(
        MismatchError, match=r"has schema 1, this version reads 3; .* `ragmed eval CONFIG --restart` keeps this one as"
    ):
        run.info()
    run.info_file.write_text(info_text({"schema": SCHEMA, "name": "trial"}))
    with pytest.raises(DamagedError, match=r"run.json': experiment: field required"):
        run.info()
