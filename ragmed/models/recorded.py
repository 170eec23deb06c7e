"""Answers that are there already. In: an arm of a stored run, or a JSON Lines file. Out: completions by task and id.

Nothing is asked: what was answered once is read and scored again, by the parsers and the policy of today. A file holds
lines of `{"task": …, "id": …, "text": …}`; `task` may be left out of all of them where the file is for one task.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import cast, get_args

from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import records, sha256_file, sha256_json, user_path
from ragmed.models.names import MODEL_SCHEMES, parse_model_name
from ragmed.models.settings import ModelSettings
from ragmed.models.thinking import split_thinking
from ragmed.records import Access, Completion, Example, Message, OptionScores, Sample
from ragmed.stored import read_info, read_samples
from ragmed.workspace import Workspace

_KEYS = ("task", "id", "text")


class RecordedAnswers:
    """
    It is asked by task and id, never by messages: `generate` and `score` refuse.

        model = load(ModelSettings("recorded:answers.jsonl"), workspace=Workspace.find(), seed=0)
        model.stored("medqa", "0001").completion

    `scorings`: task -> how a run chose among the options, since likelihoods of letters are not those of the options'
    texts. `reasoned`: whether the run's arm was asked to reason first; None: not known. `access`: the run's; answers
    from a file may quote anything, and count as private.
    """

    context_tokens = 1_000_000
    thinking_tokens = 0

    def __init__(
        self,
        name: str,
        answers: Mapping[tuple[str, str], Sample],
        *,
        digest: str,
        scorings: Mapping[str, str] | None = None,
        reasoned: bool | None = None,
        access: Access = "private",
    ) -> None:
        self.name = name
        self.reasoned = reasoned
        self.access = access
        self._answers = dict(answers)
        self._digest = digest
        self._scorings = dict(scorings or {})
        self._tasks = {task for task, _ in self._answers}
        self._only = ""

    def fingerprint(self) -> dict[str, str]:
        return {"recorded": self._digest}

    def stored(self, task: str, example: str) -> Sample | None:
        """The recorded sample; of a file, one that knows no more than its id and its text. None where there is none."""
        return self._answers.get((self._key(task), example))

    def scoring(self, task: str) -> str:
        """How the run scored this task; empty where it is not recorded."""
        return self._scorings.get(task, "")

    def unasked(self, task: str, asked: Collection[str]) -> int:
        """How many of the task's recorded answers are of no example that is asked."""
        key = self._key(task)
        return sum(1 for name, example in self._answers if name == key and example not in asked)

    def held(self) -> str:
        """What it holds, in words: `answers to 'medqa' (0001, 0002, …)`."""
        by_task: dict[str, list[str]] = {}
        for task, example in self._answers:
            by_task.setdefault(task, []).append(example)
        named = [
            f"{f'{task!r}' if task else 'examples'} ({', '.join(ids[:3])}{', …' if len(ids) > 3 else ''})"
            for task, ids in list(by_task.items())[:5]
        ]
        return f"answers to {', '.join(named)}" if named else "no answers"

    def count_tokens(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        return [0 for _ in prompts]

    def generate(
        self, prompts: Sequence[Sequence[Message]], *, max_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        raise UsageError(f"'{self.name}' holds answers by task and id; it cannot answer a prompt")

    def score(self, prompts: Sequence[Sequence[Message]], continuations: Sequence[Sequence[str]]) -> list[OptionScores]:
        raise UsageError(f"'{self.name}' holds answers by task and id; it cannot score a prompt")

    def _key(self, task: str) -> str:
        if self._tasks != {""}:
            return task
        if self._only and self._only != task:
            raise DataError(f"'{self.name}' names no tasks, and both '{self._only}' and '{task}' are asked; add 'task'")
        self._only = task
        return ""


def load(settings: ModelSettings, *, workspace: Workspace, seed: int) -> RecordedAnswers:
    """The loader of `recorded:` names. DataError for a file that is none, a broken line, two answers to one example."""
    target = parse_model_name(settings.name).target
    path = user_path(target)
    if path.is_file() or path.suffix == ".jsonl":
        return _load_file(settings.name, path)
    run, slash, arm = target.rpartition("/")
    if not slash or not run or not arm:
        raise UsageError(f"model name '{settings.name}' cannot be read; write it as {MODEL_SCHEMES['recorded']}")
    return _load_run(settings.name, run, arm, workspace)


def _load_file(name: str, path: Path) -> RecordedAnswers:
    answers: dict[tuple[str, str], Sample] = {}
    tasks = set()
    for where, record in records(path, "recorded answers"):
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
        answers[key] = Sample("", key[0], Example(key[1], ""), completion=text, thinking=thinking)
    return RecordedAnswers(name, answers, digest=sha256_file(path))


def _load_run(name: str, run: str, arm: str, workspace: Workspace) -> RecordedAnswers:
    places = (user_path(run), workspace.runs / run)
    folder = next((place for place in places if (place / "run.json").is_file()), None)
    if folder is None:
        raise DataError(f"model '{name}': there is no run '{run}' here or under '{workspace.runs}'")
    arms = sorted(path.name for path in (folder / "samples").glob("*") if path.is_dir())
    if arm not in arms:
        raise UnknownNameError("arm", arm, arms, f"run '{folder}'")
    answers: dict[tuple[str, str], Sample] = {}
    hashes = {}
    info = read_info(folder / "run.json")  # first: what another version wrote is no damage
    for path in sorted((folder / "samples" / arm).glob("*.jsonl")):
        if not path.stat().st_size:
            continue
        hashes[path.stem] = sha256_file(path)
        for number, sample in enumerate(read_samples(path), 1):
            key = (sample.task, sample.example.id)
            _refuse_second(key, answers, f"samples file '{path}', sample {number}")
            answers[key] = sample
    experiment, access = info.get("experiment"), info.get("access")
    tasks = experiment.get("tasks") if isinstance(experiment, dict) else None
    known = tasks if isinstance(tasks, dict) else {}
    scorings = {
        task: str(settings.get("scoring", "")) for task, settings in known.items() if isinstance(settings, dict)
    }
    asked = experiment.get("arms", {}).get(arm) if isinstance(experiment, dict) else None
    reasoned = bool(asked.get("cot")) if isinstance(asked, dict) else None
    tier = cast(Access, access if access in get_args(Access) else "private")
    return RecordedAnswers(name, answers, digest=sha256_json(hashes), scorings=scorings, reasoned=reasoned, access=tier)


def _refuse_second(key: tuple[str, str], answers: Collection[tuple[str, str]], where: str) -> None:
    if key in answers:
        of = f" of task '{key[0]}'" if key[0] else ""
        raise DataError(f"{where}: a second answer to '{key[1]}'{of}; keep one")
