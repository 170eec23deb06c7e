"""The folder a run leaves behind: what made it, every sample, and nothing twice.

    runs/NAME/run.json               resolved experiment, identity of what can change an answer, versions, hardware
    runs/NAME/samples/ARM/TASK.jsonl one sample a line, appended in windows of a fixed size
    runs/NAME/scores/ARM/TASK.jsonl  what was read from each sample and what metrics make of it: derived, made again
                                     whenever samples, reader or metrics are others
    runs/NAME/results.json           the comparison, made from samples and scores alone
    runs/NAME/report/                the page to look at

A window is appended whole. A kill leaves at most one torn window, which is taken off and asked again as a
whole: batches are then the same as if nothing had happened, and so are the samples.

`identity` in run.json is what can change an answer: part -> name -> fields, such as arms -> general -> model. A name
may be added; what is there already may not differ, and a field that is absent counts as the default of its kind. No
source file is hashed: rendered prompts are, and readers, metrics and retrieval methods carry versions of their own.
"""

from __future__ import annotations

import atexit
import json
import lzma
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, unquote

from ragmed.changes import in_words, together
from ragmed.checksums import broken_seal
from ragmed.errors import DamagedError, DataError, MismatchError, UsageError
from ragmed.files import (
    exclusive,
    fsync_folder,
    make_folder,
    parse_json,
    sha256_file,
    sweep,
    user_path,
    whole_text,
    write_atomic,
    writing,
)
from ragmed.prompts import prompt_hash
from ragmed.records import Access, Sample, Score, strictest
from ragmed.stored import (
    INFO_REMEDY,
    SAMPLE_REMEDY,
    RunInfo,
    ScoresHeader,
    info_text,
    misfit,
    numbered_samples,
    read_info,
    read_scores,
    record_line,
    scores_text,
)
from ragmed.text_table import counted, verb

Identity = Mapping[str, Mapping[str, Any]]
CHOICE = (
    "samples of the two must not mix: keep this run under its name and give the new one its own --output, or ask again "
    "with --restart, which keeps this run's folder under another name"
)
"""What can be done where a run is not what would be made today."""
MAX_UNPACKED = 2 << 30
MAX_NAME = 220  # bytes: of the 255 that file systems allow, some are for what is written beside (`.NAME.jsonl.PID.tmp`)
_COUNTED = (
    *("input_tokens", "output_tokens", "thinking_tokens", "place"),
    *("seconds", "retrieval_seconds", "request_seconds", "cpu_seconds", "gpu_seconds"),
)
# one folder with a run in it; no part begins with a dot, so that none leads upwards
_PACKED = re.compile(r"[^./\\\0][^/\\\0]*/(run\.json|(?:samples|scores)/[^./\\\0][^/\\\0]*/[^./\\\0][^/\\\0]*\.jsonl)")


@dataclass(frozen=True, slots=True)
class Run:
    """
        run = Run(Path("runs/quickstart"))
        with run.held():
            run.append("general", "medqa", samples)

    A run's folder, and its files by their names.
    """

    folder: Path
    access: Access = "open"

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def info_file(self) -> Path:
        return self.folder / "run.json"

    @property
    def results_file(self) -> Path:
        return self.folder / "results.json"

    @property
    def report_folder(self) -> Path:
        return self.folder / "report"

    def samples_file(self, arm: str, task: str) -> Path:
        """Names that came from others' runs may hold a slash: in a path it is `%2F`."""
        return self.folder / "samples" / _path_part(arm) / f"{_path_part(task)}.jsonl"

    def scores_file(self, arm: str, task: str) -> Path:
        return self.folder / "scores" / _path_part(arm) / f"{_path_part(task)}.jsonl"

    @property
    def folder_mode(self) -> int:
        """What is not open is for its owner alone."""
        return 0o755 if self.access == "open" else 0o700

    @property
    def file_mode(self) -> int:
        return 0o644 if self.access == "open" else 0o600

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else writes to the run meanwhile; BusyError where somebody does."""
        if self.folder.exists() and not self.folder.is_dir():
            raise DataError(f"run folder '{self.folder}' is a file; choose another --output")
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=self.folder_mode)
        with exclusive(self.folder / ".lock", f"run '{self.name}'"):
            sweep(self.folder, deep=True)
            yield

    def set_aside(self) -> Path | None:
        """Moves what lies in the folder, if anything, to `NAME.1`, `NAME.2` …, and returns where that is."""
        if not self.folder.is_dir():
            return None
        numbers = (self.folder.with_name(f"{self.folder.name}.{number}") for number in count(1))
        aside = next(folder for folder in numbers if not folder.exists())
        with self.held(), writing(aside):
            self.folder.rename(aside)
        return aside

    def info(self) -> dict[str, Any]:
        if not self.folder.is_dir():
            raise DataError(f"there is no run at '{self.folder}'")
        info = read_info(self.info_file)
        wrong = misfit(RunInfo, info)
        if wrong:
            raise DamagedError(f"run file '{self.info_file}': {wrong}; {INFO_REMEDY}")
        if wrong := _at_odds(info):
            raise DamagedError(f"run file '{self.info_file}': {wrong}; {INFO_REMEDY}")
        return info

    def write_info(self, info: Mapping[str, Any], *, access: Access | None = None) -> None:
        """run.json, whole or not at all, with its checksum; `access`: of what it tells, where that is closer held."""
        mode = Run(self.folder, strictest([self.access, access or self.access])).file_mode
        write_atomic(self.info_file, info_text(info), mode=mode)

    def begin(
        self, info: Mapping[str, Any], *, defaults: Identity | None = None, corrected: Collection[str] = ()
    ) -> dict[str, Any]:
        """Writes run.json, or checks it against what is there: arms and tasks may be added, nothing may differ.

        `defaults`: part of the identity -> its fields' default values, which count where a field is absent.
        `corrected`: tasks whose examples may differ, since those that do are asked again. Raises MismatchError that
        says in words what differs.
        """
        answered = any((self.folder / "samples").glob("*/*.jsonl"))
        if answered and not self.info_file.exists():
            raise DamagedError(f"run '{self.name}' has samples but no run.json; {INFO_REMEDY}")
        if not answered:
            merged = dict(info)  # nothing has been answered yet, so nothing can mix
        else:
            known = self.info()
            files = self._sample_files()
            there = _behind(info["identity"], {arm for arm, _, _ in files}) | {"tasks": {task for _, task, _ in files}}
            before = {**known["identity"], "tasks": {**known["identity"].get("tasks", {})}}
            for task in corrected:
                before["tasks"][task] = {**before["tasks"][task], **_examples_of(info["identity"]["tasks"][task])}
            _refuse_difference(self.name, before, info["identity"], defaults or {}, there)
            merged = {**known, "identity": _merged(known["identity"], info["identity"])}
            merged["access"] = max(known["access"], info["access"], key=get_args(Access).index)
            if merged["access"] != known["access"]:
                self._close()
            for part in ("experiment", "tasks"):
                merged[part] = _merged(known[part], info[part])
            for task in known["tasks"].keys() & info["tasks"].keys():  # metrics that were asked for since stay
                metrics = merged["tasks"][task]["metrics"]
                names = {metric["name"] for metric in metrics}
                more = [metric for metric in known["tasks"][task]["metrics"] if metric["name"] not in names]
                merged["tasks"][task] = {**merged["tasks"][task], "metrics": [*metrics, *more]}
            if merged == known:
                return known
        self.write_info(merged, access=merged["access"])
        return merged

    def _close(self) -> None:
        """What was open until now is for its owner alone: an arm that is added may bring restricted text."""
        for path in [self.folder, *self.folder.rglob("*")]:
            path.chmod(0o700 if path.is_dir() else 0o600)

    def add_identity(self, part: str, values: Mapping[str, Any], *, why: Mapping[str, str] | None = None) -> None:
        """Records what only loading reveals (a model's weights, an index's files), or refuses where it changed. `why`:
        name -> what changed of it, in words, where the caller knows more than that it did.
        """
        known = self.info()
        _refuse_difference(self.name, known["identity"], {part: dict(values)}, {}, why=why)
        merged = _merged(known["identity"], {part: dict(values)})
        if merged != known["identity"]:
            self.write_info({**known, "identity": merged})

    def add_references(self, part: str, values: Mapping[str, Any]) -> None:
        """Records what made an adapter or an index that the arms use: for the comparison, not what changes answers."""
        known = self.info()
        references = dict(known.get("references", {}))
        references[part] = {**references.get(part, {}), **values}
        if references != known.get("references"):
            self.write_info({**known, "references": references})

    def add_metrics(self, task: str, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Declares further metrics of a task, after its own: what answers are measured by changes none of them."""
        known = self.info()
        record = known["tasks"][task]
        record["metrics"] = [*record["metrics"], *metrics]
        self.write_info(known)

    def missing(
        self, arm: str, task: str, examples: Sequence[str], *, window: int, one_by_one: bool = False
    ) -> list[int]:
        """The places of the `examples` that are to be asked; what a kill tore is taken off the file, whose lines are
        in the order of the examples when this returns.

        A window of which something is missing is asked again whole, so that every batch has the neighbours that it
        has in a run that is not disturbed; `one_by_one`: answers do not depend on neighbours, and each is kept.
        DamagedError names the line of a sample that is damaged, or of no example that is asked.
        """
        path = self.samples_file(arm, task)
        if path.exists() and not path.is_file():  # opening a pipe to append would wait for ever
            raise DamagedError(f"'{path}' is not a regular file; move it away to ask again")
        if not path.exists() or path.stat().st_size == 0:
            return list(range(len(examples)))
        places = {whole_text(example): place for place, example in enumerate(examples)}
        lines: dict[int, bytes] = {}
        for number, example, line in _scan(path):
            place = places.get(example)
            if place is None or place in lines:
                what = "not an example that is asked" if place is None else "answered on a line before it"
                raise DamagedError(
                    f"'{path}', line {number}: the sample is of '{example}', which is {what}; {SAMPLE_REMEDY}"
                )
            lines[place] = line
        kept = sorted(lines)
        if not one_by_one:
            torn = {place // window for place in range(len(examples)) if place not in lines}
            kept = [place for place in kept if place // window not in torn]
        text = b"".join(lines[place] for place in kept)
        if text != path.read_bytes():
            write_atomic(path, text, mode=self.file_mode)
        there = set(kept)
        return [place for place in range(len(examples)) if place not in there]

    def replace(self, arm: str, task: str, samples: Sequence[Sample]) -> None:
        """All samples of an arm on a task, whole or not at all: for those that were asked again."""
        write_atomic(self.samples_file(arm, task), _lines(samples), mode=self.file_mode)

    def append(self, arm: str, task: str, samples: Sequence[Sample]) -> None:
        """One window of samples, on disk when this returns."""
        path = self.samples_file(arm, task)
        text = _lines(samples)
        with writing(path):
            for folder in (path.parent.parent, path.parent):  # parents=True would give the upper one the default mode
                folder.mkdir(exist_ok=True, mode=self.folder_mode)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, self.file_mode), "ab") as stream:
                stream.write(text.encode("utf-8"))
                stream.flush()
                os.fsync(stream.fileno())
            fsync_folder(path.parent)

    def stream(self) -> Iterator[tuple[str, str, Sample]]:
        """Arm, task and sample, one at a time, in the order of `samples`: for what needs no more than one at once."""
        for arm, task, _ in self._sample_files():
            for sample in self.samples_of(arm, task):
                yield arm, task, sample

    def samples(self) -> dict[tuple[str, str], list[Sample]]:
        """All samples by (arm, task), in the order of the examples. DamagedError names file and line of one that cannot
        be read, or contradicts itself or its place.
        """
        return {(arm, task): self.ordered_samples(arm, task) for arm, task, _ in self._sample_files()}

    def ordered_samples(self, arm: str, task: str) -> list[Sample]:
        """The samples of one arm on one task, in the order of the examples."""
        return sorted(self.samples_of(arm, task), key=lambda sample: sample.place)

    def asked(self) -> list[tuple[str, str]]:
        """The arms and tasks that have samples."""
        return [(arm, task) for arm, task, _ in self._sample_files()]

    def samples_of(self, arm: str, task: str) -> Iterator[Sample]:
        """The samples of one arm on one task, streamed as they were written: those of a server that is still at work
        stand in the order in which it answered. Raises what `samples` raises.
        """
        path = self.samples_file(arm, task)
        seen: set[str] = set()
        for number, sample in numbered_samples(path):
            wrong = _contradiction(sample, arm, task)
            if not wrong and sample.example.id in seen:
                wrong = f"it is a second answer to '{sample.example.id}'"
            if wrong:
                raise DamagedError(f"samples file '{path}', line {number}: {wrong}; {SAMPLE_REMEDY}")
            seen.add(sample.example.id)
            yield sample

    def _sample_files(self) -> list[tuple[str, str, Path]]:
        paths = [path for path in sorted((self.folder / "samples").glob("*/*.jsonl")) if path.stat().st_size]
        return [(unquote(path.parent.name), unquote(path.stem), path) for path in paths]

    def samples_hash(self, arm: str, task: str) -> str:
        """sha256 of a samples file: other samples, other scores."""
        return sha256_file(self.samples_file(arm, task))

    def scores(self, arm: str, task: str) -> tuple[ScoresHeader, list[Score]] | None:
        """The stored scores and what they were made of; None where there are none yet."""
        path = self.scores_file(arm, task)
        return read_scores(path) if path.exists() else None

    def write_scores(self, arm: str, task: str, header: ScoresHeader, scores: Sequence[Score]) -> None:
        """All scores of an arm on a task, whole or not at all."""
        path = self.scores_file(arm, task)
        make_folder(path.parent, mode=self.folder_mode)
        write_atomic(path, scores_text(header, scores), mode=self.file_mode)


def _path_part(name: str) -> str:
    """One part of a path, whatever the name holds; the names that configs allow stay as they are."""
    part = quote(whole_text(name), safe="+@")
    part = f"%2E{part[1:]}" if part.startswith(".") else part
    if len(part) > MAX_NAME:
        raise UsageError(
            f"the name '{name[:40]}…' takes {len(part)} bytes as the name of a file, {MAX_NAME} are the most; rename "
            "the arm or the task (anything but ASCII letters, digits and _.-~+@ takes three for each byte)"
        )
    return part


def _lines(samples: Sequence[Sample]) -> str:
    return "".join(map(record_line, samples))


def find_run(runs: Path, name_or_path: str, *, packed: bool = False) -> Run:
    """A run by its name or its folder; UsageError says where it was looked for.

    `packed`: a zip of one will do too; it is unpacked where nobody else can read it, until the program ends.
    """
    if name_or_path.endswith(".zip") and user_path(name_or_path).is_file():
        if not packed:
            raise UsageError(f"'{name_or_path}' is a packed run; unzip it, and name the folder that comes out")
        return find_run(runs, str(_unpacked(user_path(name_or_path))))
    for folder in (user_path(name_or_path), runs / name_or_path):
        if (folder / "run.json").is_file():
            run = Run(folder.resolve())
            return Run(run.folder, access=run.info().get("access", "private"))
    known = sorted(p.parent.name for p in runs.glob("*/run.json"))
    there = f"; there are: {', '.join(known)}" if known else "; there is none yet: `ragmed eval CONFIG` makes one"
    raise UsageError(f"no run '{name_or_path}' here or under '{runs}'{there}")


def _unpacked(path: Path) -> Path:
    """The run folder out of a zip, which may hold nothing else: its names can lead to no other place."""
    folder = Path(tempfile.mkdtemp(prefix="ragmed-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            names = {entry.filename.split("/")[0] for entry in entries}
            strange = next((e.filename for e in entries if not _PACKED.fullmatch(e.filename)), None)
            if strange is not None or len(names) != 1:
                raise DataError(f"'{path}' is no packed run: it holds {strange or 'files of several folders'!r}")
            if sum(entry.file_size for entry in entries) > MAX_UNPACKED:
                raise DataError(f"'{path}' unpacks to more than {MAX_UNPACKED >> 30} GiB; unzip it yourself")
            for entry in entries:
                write_atomic(folder / entry.filename, archive.read(entry), mode=0o600)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"'{path}' cannot be unpacked: {error}") from error
    return folder / names.pop()


def _at_odds(info: Mapping[str, Any]) -> str:
    """Where the experiment of a run.json says otherwise than what its answers are held to; '' where it does not."""
    for part in ("models", "arms", "tasks"):
        for name, fields in info["identity"].get(part, {}).items():
            stated = info["experiment"][part].get(name, {})
            if differing := sorted(field for field in fields.keys() & stated.keys() if fields[field] != stated[field]):
                field = f"{part}.{name}.{differing[0]}"
                return f"experiment.{field} is not what identity.{field} is"
    return ""


def _contradiction(sample: Sample, arm: str, task: str) -> str:
    """What in a sample does not go with the rest of it, or with the file it stands in; '' where all does."""
    if (sample.arm, sample.task) != (whole_text(arm), whole_text(task)):
        return f"it is a sample of arm '{sample.arm}' on task '{sample.task}'"
    if sample.prompt and sample.messages and sample.prompt != prompt_hash(sample.messages):
        return "its messages are not those whose hash stands beside them"
    shown = sample.messages[-1].content.count("\n</passage ") if sample.messages else 0
    listed = len(sample.passages)
    if sample.prompt and shown > listed:  # prompts of others' runs are not listed by passages
        return f"its prompt shows {counted(shown, 'passage')}, and {listed} {verb(listed, 'is', 'are')} listed"
    numbers = {name: getattr(sample, name) for name in _COUNTED}
    if below := next((name for name, number in numbers.items() if number is not None and number < 0), ""):
        return f"its {below} are {numbers[below]}, and none can be below 0"
    counts = {len(sample.continuations), len(sample.option_logprobs), len(sample.option_tokens)} - {0}
    if sample.finish != "error" and len(counts) > 1:
        return "its options, their log-likelihoods and their counts of tokens are not equally many"
    return ""


def _scan(path: Path) -> Iterator[tuple[int, str, bytes]]:
    """Number, example and bytes of each whole line of a samples file."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return  # torn by a kill
            if not line.strip():
                continue
            try:
                example = parse_json(line.decode("utf-8"))["example"]["id"]
                wrong = broken_seal(line)
            except (ValueError, KeyError, TypeError, RecursionError):
                wrong = "it is no sample"
            if wrong:
                raise DamagedError(f"'{path}', line {number}: {wrong}; {SAMPLE_REMEDY}")
            yield number, example, line


def _refuse_difference(
    run: str,
    known: Identity,
    new: Identity,
    defaults: Identity,
    answered: Mapping[str, Collection[str]] | None = None,
    *,
    why: Mapping[str, str] | None = None,
) -> None:
    """MismatchError, in words, for what differs of entries that are there already, or that must be: `answered` are the
    arms and tasks that have samples, and what those arms are made of, whose fields count as their defaults where the
    run does not hold them. `why`: name -> words that say more of it than its fields do.
    """
    found: list[str] = []
    nested = defaults.get("nested", {})

    def filled(field: str, value: Any) -> Any:
        value = _plain(value)
        return {**_plain(nested[field]), **value} if field in nested and isinstance(value, dict) else value

    def compare(key: tuple[str, ...], before: Any, now: Any) -> None:
        before, now = filled(key[-1], before), filled(key[-1], now)
        if before != now:
            found.append((why or {}).get(key[1]) or in_words(key, before, now))

    for part, entries in new.items():
        usual, must = defaults.get(part, {}), (answered or {}).get(part, ())
        for name, entry in entries.items():
            if not isinstance(entry, Mapping):
                if name in usual or name in known.get(part, {}):
                    compare((part, name), known.get(part, {}).get(name, usual.get(name)), entry)
                continue
            before = _plain(known.get(part, {}).get(name, {} if name in must else None))
            if before is not None and not isinstance(before, dict):
                compare((part, name), before, entry)
                continue
            if before is None:
                continue
            for field in dict.fromkeys((*entry, *before)):
                default = usual.get(field)
                compare((part, name, field), before.get(field, default), entry.get(field, default))
    if found:
        raise MismatchError(f"run '{run}' is not what would be made now: {together(found)}; {CHOICE}")


def _behind(identity: Identity, arms: Collection[str]) -> dict[str, set[str]]:
    """These arms, the models that answer for them, and the retrievers that they search with, in turn through others."""
    own = [fields for arm, fields in identity.get("arms", {}).items() if arm in arms]
    retrievers: set[str] = set()
    waiting = [fields.get("retriever", "") for fields in own]
    while waiting:
        name = waiting.pop()
        if name and name not in retrievers:
            retrievers.add(name)
            waiting += identity.get("retrievers", {}).get(name, {}).get("of", ())
    return {
        "arms": set(arms),
        "models": {fields["model"] for fields in own if "model" in fields},
        "retrievers": retrievers,
    }


def _examples_of(task: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a task's identity that its examples make."""
    return {field: task[field] for field in ("data", "prompts")}


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result
