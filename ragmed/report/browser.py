"""Samples and results in, the script files of the page's sample browser out: a small index, then texts in pieces.

    samples/index.js      what the list and its filters need: ids, how questions begin, one letter for each outcome
    samples/questions.js  whole questions, loaded at the first search
    samples/0001.js …     everything else, a few hundred kilobytes each, loaded when an example is opened

A page from disk may not fetch, so each file calls one function with JSON. The JSON holds no `<` and nothing but ASCII:
no text can end a script or a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragmed.files import write_atomic
from ragmed.records import STATUSES, Sample
from ragmed.report.wording import Row

Samples = Mapping[tuple[str, str], Sequence[Sample]]
PIECE = 400_000  # characters of JSON, about
BEGINNING = 160  # characters of a question in the list
OUTCOMES = {"unparsed": "u", "refused": "r", "truncated": "t", "error": "e"}
_AFTER_PASSAGES = "\n</passages>\n\n"
_LABEL = re.compile(r"\A[A-Z][\w -]{0,30}: ")
HIDDEN = "(not shown)"
SENT, RECORDED = "Prompt, as it was sent", "Prompt, as far as it is recorded"


@dataclass(frozen=True, slots=True)
class Browser:
    """What was written: names of files within the page's folder, examples, samples, characters of text."""

    files: tuple[str, ...]
    examples: int
    samples: int
    characters: int


class _Pieces:
    """Examples as JSON in, files of about PIECE characters out; `starts`: the first example of each."""

    def __init__(self, folder: Path, *, stamp: str, mode: int) -> None:
        self.folder, self.stamp, self.mode = folder, stamp, mode
        self.files: list[str] = []
        self.starts: list[int] = []
        self.characters = self._size = self._before = 0
        self._held: list[str] = []

    def add(self, text: str) -> None:
        if self._held and self._size + len(text) > PIECE:
            self.flush()
        self._held.append(text)
        self._size += len(text)

    def flush(self) -> None:
        if self._held:
            name = f"samples/{len(self.files) + 1:04d}.js"
            arguments = f'{len(self.files)},"{self.stamp}",[{",".join(self._held)}]'
            self.characters += _call(self.folder / name, "ragmedPiece", arguments, self.mode)
            self.starts.append(self._before)
            self.files.append(name)
            self._before += len(self._held)
            self._held, self._size = [], 0


def write_browser(
    results: Row, samples: Samples, folder: Path, *, stamp: str, mode: int = 0o644, imported: bool = False
) -> Browser:
    """
    >>> write_browser(results, samples, Path("report"), stamp="3f2a").examples  # doctest: +SKIP
    120

    Streams the pieces, so that memory holds one of them at a time beside the samples. `stamp` names the results: the
    page refuses pieces of another writing. `imported`: the answers were made elsewhere, so that nobody here knows
    whether their prompts are whole.
    """
    (folder / "samples").mkdir(parents=True, exist_ok=True, mode=0o755 if mode & 0o044 else 0o700)
    arms = list(dict.fromkeys(arm for arm, _ in samples))
    tasks = list(dict.fromkeys(task for _, task in samples))
    metrics = [_metric(results, task) for task in tasks]
    rows: list[tuple[str, int, str, str]] = []
    questions: list[str] = []
    pieces = _Pieces(folder, stamp=stamp, mode=mode)
    for number, task in enumerate(tasks):
        for id_, given in _examples(samples, task, arms):
            question = question_of(given)
            rows.append((id_, number, _beginning(question), _outcomes(given, arms, metrics[number])))
            questions.append("\n".join((id_, question, *_expected(given))).lower())
            pieces.add(_json(_example(id_, task, question, given, arms)))
    pieces.flush()
    places = {(tasks[row[1]], row[0]): place for place, row in enumerate(rows)}
    index = {
        "stamp": stamp, "arms": arms, "tasks": tasks, "metrics": metrics, "rows": rows, "starts": pieces.starts,
        "files": pieces.files, "prompt": RECORDED if imported else SENT,
        "ledger": [_ledger(row, places) for row in results.get("ledger") or []],
        "sets": {key: _set(said, task, ids, places) for key, said, task, ids in named_sets(results)},
    }  # fmt: skip
    _call(folder / "samples/questions.js", "ragmedQuestions", f'"{stamp}",{_json(questions)}', mode)
    _call(folder / "samples/index.js", "ragmedIndex", _json(index), mode)
    files = ("samples/index.js", "samples/questions.js", *pieces.files)
    return Browser(files, len(rows), sum(len(given) for given in samples.values()), pieces.characters)


def _call(path: Path, function: str, arguments: str, mode: int) -> int:
    write_atomic(path, f"{function}({arguments});\n", mode=mode)
    return len(arguments)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _metric(results: Row, task: str) -> str:
    """The first metric of a task: what its outcomes are told by."""
    return next((str(row["metric"]) for row in results["scores"] if row["task"] == task), "")


def _examples(samples: Samples, task: str, arms: Sequence[str]) -> Iterator[tuple[str, dict[str, Sample]]]:
    by_arm = {arm: {s.example: s for s in samples[arm, task]} for arm in arms if (arm, task) in samples}
    for id_ in dict.fromkeys(id_ for given in by_arm.values() for id_ in given):
        yield id_, {arm: given[id_] for arm, given in by_arm.items() if id_ in given}


def question_of(given: Mapping[str, Sample]) -> str:
    """What was asked, without passages and options: from an arm that was shown it, best one without passages."""
    asked = ""
    for sample in sorted(given.values(), key=lambda one: bool(one.passages)):
        users = [message.content for message in sample.messages if message.role == "user"]
        if users:
            asked = users[-1].rpartition(_AFTER_PASSAGES)[2] if sample.passages else users[-1]
            asked = _without_options(_LABEL.sub("", asked, count=1), sample.options)
            if not asked.startswith(HIDDEN):
                return asked
    return asked


def _without_options(question: str, options: Sequence[str]) -> str:
    lines = "".join(f"\n{chr(65 + place)}. {text}" for place, text in enumerate(options))
    return question.removesuffix(lines) if lines else question


def _beginning(question: str) -> str:
    line = " ".join(question[: 4 * BEGINNING].split())
    return line if len(line) <= BEGINNING else line[: BEGINNING - 1].rstrip() + "…"


def _outcomes(given: Mapping[str, Sample], arms: Sequence[str], metric: str) -> str:
    """A letter an arm: 1 right, 0 wrong, g a score between, n no score, u r t e not answered, - not asked."""
    return "".join(_outcome(given[arm], metric) if arm in given else "-" for arm in arms)


def _outcome(sample: Sample, metric: str) -> str:
    if sample.status != STATUSES[0]:
        return OUTCOMES[sample.status]
    score = sample.scores.get(metric)
    return "n" if score is None else "1" if score == 1 else "0" if score == 0 else "g"


def _expected(given: Mapping[str, Sample]) -> tuple[str, ...]:
    """The options, or the answer that is expected where there are none."""
    return next((one.options for one in given.values() if one.options), (next(iter(given.values())).gold,))


def _example(id_: str, task: str, question: str, given: Mapping[str, Sample], arms: Sequence[str]) -> dict[str, Any]:
    first = next(iter(given.values()))
    known: dict[str, Any] = {"id": id_, "task": task, "question": question, "gold": first.gold, "group": first.group}
    known["documents"] = list(getattr(first, "documents", ()))
    known["options"] = list(next((one.options for one in given.values() if one.options), ()))
    return known | {"answers": [_answer(sample, arms.index(arm)) for arm, sample in given.items()]}


def _answer(sample: Sample, arm: int) -> dict[str, Any]:
    """Everything of a sample but what its example says already; what is empty is left out."""
    answer: dict[str, Any] = {"arm": arm, "status": sample.status, "scores": dict(sample.scores)}
    answer["messages"] = [[message.role, message.content] for message in sample.messages]
    answer |= {"passages": [dict(passage) for passage in sample.passages], "dropped": list(sample.dropped)}
    answer |= {"options": list(sample.options), "logprobs": list(sample.option_logprobs)}
    answer |= {name: getattr(sample, name) for name in ("extracted", "completion", "note", "thinking")}
    if sample.input_tokens or sample.output_tokens:  # no model reads nothing: 0 and 0 were never counted
        answer |= {"input_tokens": sample.input_tokens, "output_tokens": sample.output_tokens}
    answer["seconds"] = sample.seconds or None
    return {key: value for key, value in answer.items() if value not in (None, [], {})}


def _ledger(row: Row, places: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    found = {key: [places[row["task"], id_] for id_ in row[key] if (row["task"], id_) in places] for key in _CHANGES}
    return {key: row[key] for key in ("task", "metric", "baseline", "arm")} | found


_CHANGES = ("fixed", "broke")


def _set(said: str, task: str, ids: Sequence[str], places: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    return {"said": said, "rows": [places[task, id_] for id_ in ids if (task, id_) in places]}


PARTS = {
    "form": "the answer's form failed",
    "missed": "retrieval missed the document",
    "misled": "a gold passage was there, and right closed book",
    "ignored": "a gold passage was there, and wrong closed book too",
    "unknown": "gold documents are not known",
}
"""Parts of the wrong answers of an arm that retrieves -> what each says."""


def named_sets(results: Row) -> Iterator[tuple[str, str, str, Sequence[str]]]:
    """Lists of examples that the page links to: their key, what they are, their task, their ids."""
    for place, row in enumerate(results.get("decomposition") or []):
        here = f"{row['arm']} on {row['task']}"
        for part in row["parts"]:
            said = PARTS.get(part["part"], part["part"])
            yield f"part.{place}.{part['part']}", f"{here}: {said}", row["task"], part["examples"]
            yield f"broke.{place}.{part['part']}", f"{here}: {said}; broke", row["task"], part.get("broke") or []
        for name, said in (
            ("distracted", "wrong with distractors, right closed book"),
            ("beyond", "wrong with oracle"),
        ):
            if row.get(name):
                yield f"{name}.{place}", f"{here}: {said}", row["task"], row[name]["examples"]
    for place, row in enumerate(results.get("compliance") or []):
        said = f"{row['arm']}: knew the answer by log-likelihood, wrote none that could be read"
        yield f"compliance.{place}", said, row["generate_task"], row.get("examples") or []
