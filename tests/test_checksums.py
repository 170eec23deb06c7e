"""One bit flipped in a record of a run is seen before a number is made of it; so is what contradicts itself."""

import json
import random
from pathlib import Path

import pytest
from exporting import made, write
from sealed import edit_lines

from ragmed.checksums import broken_object, broken_seal, sealed_line, sealed_object
from ragmed.errors import DamagedError, RagmedError
from ragmed.prompts import prompt_hash
from ragmed.records import Message
from ragmed.runs import Run, find_run
from ragmed.scores import scored_answers


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return write(tmp_path / "runs" / "trial", {(arm, "t"): [made(k, arm, "t") for k in range(4)] for arm in ("a", "b")})


def flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def test_a_line_tells_every_flipped_bit() -> None:
    line = sealed_line({"arm": "general", "note": "Grüße", "seconds": 0.5}).encode()
    assert json.loads(line)["note"] == "Grüße"
    assert broken_seal(line) == ""
    for place in range(len(line) - 1):  # but the line feed
        for bit in range(8):
            changed = bytearray(line)
            changed[place] ^= 1 << bit
            assert broken_seal(bytes(changed)), changed
    assert broken_seal(b'{"arm": "general"}\n') == "it has no checksum, which every record of a run ends with"


def test_an_object_tells_what_was_changed_however_it_is_laid_out() -> None:
    value = sealed_object({"alpha": 0.05, "counts": {1: 2}, "names": ("a", "b")})
    read = json.loads(json.dumps(value, indent=3))
    assert broken_object(read) == ""
    assert broken_object({**read, "alpha": 0.5}).startswith("it was changed")
    assert broken_object({key: inner for key, inner in read.items() if key != "sha256"}).startswith(
        "it has no checksum"
    )


@pytest.mark.parametrize("file", ["samples/a/t.jsonl", "run.json"])
def test_no_flipped_bit_of_a_run_is_taken(run: Run, file: str) -> None:
    path, chance = run.folder / file, random.Random(file)
    whole = path.read_bytes()
    for _ in range(150):
        path.write_bytes(flipped(whole, chance))
        with pytest.raises(RagmedError, match=path.name):
            scored_answers(run)
    path.write_bytes(whole)
    assert len(run.samples()) == 2


def test_a_damaged_record_is_named_with_its_line_and_the_remedy(run: Run) -> None:
    path = run.samples_file("a", "t")
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace('"seconds": 0.1', '"seconds": 0.3')
    path.write_text("".join(lines))
    with pytest.raises(DamagedError) as refused:
        scored_answers(run)
    assert f"samples file '{path}', line 3: it was changed after it was written" in str(refused.value)
    assert "delete the line, and `ragmed eval` asks that question again" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[1].update(arm="b"), "line 2: it is a sample of arm 'b' on task 't'"),
        (lambda lines: lines[1].update(task="u"), "line 2: it is a sample of arm 'a' on task 'u'"),
        (lambda lines: lines.append(lines[0]), "line 5: it is a second answer to "),
        (lambda lines: lines[1].update(prompt="0" * 64), "line 2: its messages are not those whose hash"),
        (
            lambda lines: (
                lines[1]["messages"][-1].update(content="<passage 1>\nx\n</passage 1>")
                or lines[1].update(prompt=prompt_hash([Message("user", "<passage 1>\nx\n</passage 1>")]))
            ),
            "line 2: its prompt shows 1 passage, and 0 are listed",
        ),
        (
            lambda lines: lines[1].update(continuations=["A", "B"], option_logprobs=[-1.0]),
            "line 2: its options, their log-likelihoods and their counts of tokens are not equally many",
        ),
        (lambda lines: lines[1].update(seconds=-0.5), r"line 2: its seconds are -0\.5, and none can be below 0"),
        (lambda lines: lines[1].update(output_tokens=-1), "line 2: its output_tokens are -1"),
    ],
)
def test_a_sample_that_contradicts_itself_or_its_place_is_refused(run: Run, change, said: str) -> None:
    path = run.samples_file("a", "t")
    edit_lines(
        path, lambda lines: [line.update(passages=[], messages=[{"role": "user", "content": "?"}]) for line in lines]
    )
    edit_lines(path, change)
    with pytest.raises(DamagedError, match=said):
        run.samples()


def test_a_binary_number_that_is_neither_0_nor_1_is_refused(run: Run) -> None:
    edit_lines(run.scores_file("a", "t"), lambda lines: lines[1]["metrics"].update(accuracy=9.0))
    with pytest.raises(DamagedError, match=r"line 2: accuracy is 9\.0, neither 0 nor 1; import the run again"):
        scored_answers(run)


def test_a_run_file_is_read_with_its_checksum_by_whoever_reads_it(run: Run) -> None:
    text = run.info_file.read_text()
    run.info_file.write_text(text.replace('"access": "open"', '"access": "private"'))
    assert text != run.info_file.read_text()
    with pytest.raises(DamagedError, match=r"its checksum is another; restore it from a copy, or ask again with"):
        find_run(run.folder.parent, "trial")
