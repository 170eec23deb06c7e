"""Answers that are there already. In: an arm of a stored run, or a JSON Lines file. Out: completions by task and id.

Nothing is asked: what was answered once is read and scored again, by the parsers and the policy of today. A file holds
lines of `{"task": …, "id": …, "text": …}`; `task` may be left out of all of them where the file is for one task.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import BadLine, read_json, read_jsonl, sha256_file, sha256_json
from ragmed.models.names import MODEL_SCHEMES, parse_model_name
from ragmed.models.settings import ModelSettings
from ragmed.models.thinking import split_thinking
from ragmed.records import Access, Completion, Message, OptionScores
from ragmed.workspace import Workspace

_KEYS = ("task", "id", "text")
_FINISH: dict[str, Literal["length", "refused"]] = {"truncated": "length", "refused": "refused"}


@dataclass(frozen=True, slots=True)
class Stored:
    """One answer; of a run, what was put before the model too. `logprobs`: of `options`, in their order."""

    completion: Completion
    logprobs: tuple[float, ...] = ()
    options: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    passages: tuple[Mapping[str, Any], ...] = ()
    dropped: tuple[str, ...] = ()
    seconds: float = 0.0
    note: str = ""
    option_tokens: tuple[int, ...] = ()


class RecordedAnswers:
    """>>> load(ModelSettings("recorded:answers.jsonl"), workspace=Workspace.find(), seed=0)  # doctest: +SKIP

    It is asked by task and id, never by messages: `generate` and `score` refuse. `scorings`: task -> how a run chose
    among the options, since likelihoods of letters are not those of the options' texts. `access`: the run's; answers
    from a file may quote anything, and count as private.
    """

    context_tokens = 1_000_000
    thinking_tokens = 0

    def __init__(
        self,
        name: str,
        answers: Mapping[tuple[str, str], Stored],
        *,
        digest: str,
        scorings: Mapping[str, str] | None = None,
        access: Access = "private",
    ) -> None:
        self.name = name
        self.access = access
        self._answers = dict(answers)
        self._digest = digest
        self._scorings = dict(scorings or {})
        self._tasks = {task for task, _ in self._answers}
        self._only = ""

    def fingerprint(self) -> dict[str, str]:
        return {"recorded": self._digest}

    def completions(self, task: str, examples: Sequence[str]) -> list[Completion]:
        """The answers to the examples with these ids, in order; one that is missing has finish `error`."""
        return [
            Completion("", "error", 0, 0, self._missing(task, one)) if stored is None else stored.completion
            for one, stored in self._found(task, examples)
        ]

    def option_scores(self, task: str, examples: Sequence[str]) -> list[OptionScores]:
        """The stored log-likelihoods; how many tokens each option had is not stored, and is 0 here."""
        scores = []
        for one, stored in self._found(task, examples):
            error = ""
            if stored is None:
                error = self._missing(task, one)
            elif stored.completion.finish == "error":
                error = stored.completion.error
            elif not stored.logprobs:
                error = f"'{self.name}' holds no log-likelihoods of the options of '{one}'; score it by generate"
            count = 0 if stored is None or error else len(stored.logprobs)
            logprobs = stored.logprobs if stored and not error else ()
            tokens = stored.completion.input_tokens if stored else 0
            scores.append(OptionScores(logprobs, (0,) * count, (False,) * count, tokens, error))
        return scores

    def stored(self, task: str, example: str) -> Stored | None:
        """All that is kept of one answer; None where there is none."""
        return self._found(task, [example])[0][1]

    def scoring(self, task: str) -> str:
        """How the run scored this task; empty where nobody says."""
        return self._scorings.get(task, "")

    def unasked(self, task: str, asked: Collection[str]) -> int:
        """How many of the task's recorded answers are of no example that is asked."""
        key = self._key(task)
        return sum(1 for one, example in self._answers if one == key and example not in asked)

    def count_tokens(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        return [0 for _ in prompts]

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        raise UsageError(f"'{self.name}' holds answers by task and id; it cannot answer a prompt")

    def score(self, prompts: Sequence[Sequence[Message]], continuations: Sequence[Sequence[str]]) -> list[OptionScores]:
        raise UsageError(f"'{self.name}' holds answers by task and id; it cannot score a prompt")

    def _found(self, task: str, examples: Sequence[str]) -> list[tuple[str, Stored | None]]:
        key = self._key(task)
        return [(one, self._answers.get((key, one))) for one in examples]

    def _key(self, task: str) -> str:
        if self._tasks != {""}:
            return task
        if self._only and self._only != task:
            raise DataError(f"'{self.name}' names no tasks, and both '{self._only}' and '{task}' are asked; add 'task'")
        self._only = task
        return ""

    def _missing(self, task: str, example: str) -> str:
        return f"'{self.name}' holds no answer to '{example}' of task '{task}'"


def load(settings: ModelSettings, *, workspace: Workspace, seed: int) -> RecordedAnswers:
    """The loader of `recorded:` names. DataError for a file that is none, a broken line, two answers to one example."""
    target = parse_model_name(settings.name).target
    path = Path(target).expanduser()
    if path.is_file() or path.suffix == ".jsonl":
        return _load_file(settings.name, path)
    run, slash, arm = target.rpartition("/")
    if not slash or not run or not arm:
        raise UsageError(f"model name '{settings.name}' cannot be read; write it as {MODEL_SCHEMES['recorded']}")
    return _load_run(settings.name, run, arm, workspace)


def _load_file(name: str, path: Path) -> RecordedAnswers:
    answers: dict[tuple[str, str], Stored] = {}
    tasks = set()
    for number, record in _lines(path, "recorded answers"):
        where = f"recorded answers '{path}', line {number}"
        wrong = sorted(set(record) - set(_KEYS))
        if wrong or not {"id", "text"} <= set(record) or not all(isinstance(v, str) for v in record.values()):
            found = f"; found {', '.join(sorted(record))}" if wrong else ""
            raise DataError(f"{where}: expected id and text, and perhaps task, each of them text{found}")
        thinking, text = split_thinking(record["text"])
        key = (record.get("task", ""), record["id"])
        _refuse_second(key, answers, where)
        tasks.add("task" in record)
        if len(tasks) > 1:
            raise DataError(f"{where}: some lines name their task and some do not; name it in all of them, or in none")
        answers[key] = Stored(Completion(text, "stop", 0, 0, "", thinking))
    return RecordedAnswers(name, answers, digest=sha256_file(path))


def _load_run(name: str, run: str, arm: str, workspace: Workspace) -> RecordedAnswers:
    places = (Path(run).expanduser(), workspace.runs / run)
    folder = next((place for place in places if (place / "run.json").is_file()), None)
    if folder is None:
        raise DataError(f"model '{name}': there is no run '{run}' here or under '{workspace.runs}'")
    arms = sorted(path.name for path in (folder / "samples").glob("*") if path.is_dir())
    if arm not in arms:
        raise UnknownNameError("arm", arm, arms, f"run '{folder}'")
    answers: dict[tuple[str, str], Stored] = {}
    hashes = {}
    for path in sorted((folder / "samples" / arm).glob("*.jsonl")):
        if not path.stat().st_size:
            continue
        hashes[path.stem] = sha256_file(path)
        for number, record in _lines(path, "samples file"):
            where = f"samples file '{path}', line {number}"
            try:
                key, stored = (path.stem, str(record["example"])), _stored(record)
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{where} is no sample: {error}") from error
            _refuse_second(key, answers, where)
            answers[key] = stored
    info = read_json(folder / "run.json", "run file")
    experiment, access = info.get("experiment"), info.get("access")
    tasks = experiment.get("tasks") if isinstance(experiment, dict) else None
    known = tasks if isinstance(tasks, dict) else {}
    scorings = {task: str(one.get("scoring", "")) for task, one in known.items() if isinstance(one, dict)}
    tier = cast(Access, access if access in get_args(Access) else "private")
    return RecordedAnswers(name, answers, digest=sha256_json(hashes), scorings=scorings, access=tier)


def _stored(record: Mapping[str, Any]) -> Stored:
    status, text = record["status"], record["completion"]
    tokens = int(record["input_tokens"]), int(record["output_tokens"])
    note = str(record.get("note", ""))
    logprobs = tuple(map(float, record["option_logprobs"]))
    if status == "error":
        completion = Completion("", "error", *tokens, note or "the recorded sample is an error without a reason")
    elif text is None:
        reason = "" if logprobs else "the recorded sample holds neither a text nor log-likelihoods"
        completion = Completion("", "error" if reason else "stop", *tokens, reason)
    else:
        thinking, thought = str(record.get("thinking", "")), int(record.get("thinking_tokens", 0))
        took = float(record.get("request_seconds", 0.0))
        completion = Completion(str(text), _FINISH.get(status, "stop"), *tokens, "", thinking, thought, took)
    return Stored(
        completion,
        logprobs=logprobs,
        options=tuple(record["options"]),
        messages=tuple(Message(**message) for message in record["messages"]),
        passages=tuple(record["passages"]),
        dropped=tuple(record["dropped"]),
        seconds=float(record["seconds"]),
        note=note,
        option_tokens=tuple(record.get("option_tokens", ())),
    )


def _lines(path: Path, what: str) -> list[tuple[int, dict[str, Any]]]:
    lines = []
    for line in read_jsonl(path, what):
        if isinstance(line, BadLine):
            raise DataError(f"{what} '{path}', line {line.number}: {line.reason}")
        lines.append(line)
    return lines


def _refuse_second(key: tuple[str, str], answers: Collection[tuple[str, str]], where: str) -> None:
    if key in answers:
        of = f" of task '{key[0]}'" if key[0] else ""
        raise DataError(f"{where}: a second answer to '{key[1]}'{of}; keep one")
