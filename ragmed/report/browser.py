"""Samples and results in, the script files of the page's sample browser out: a small index, then texts in pieces.

    samples/index.js      what the list and its filters need: ids, how questions begin, one letter for each outcome
    samples/questions.js  whole questions, loaded at the first search
    samples/0001.js …     everything else, a few hundred kilobytes each, loaded when an example is opened

A page from disk may not fetch, so each file calls one function with JSON. The JSON holds no `<` and nothing but ASCII:
no text can end a script or a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ragmed.comparison.columns import total_of
from ragmed.comparison.diagnosis.rows import Ledger
from ragmed.comparison.results import Results
from ragmed.files import write_atomic
from ragmed.records import STATUSES, Answer, Step, Value
from ragmed.report.wording import CAUSES, FAILURES, held
from ragmed.tasks.words import gold_text

Answers = Mapping[tuple[str, str], Sequence[Answer]]
PIECE = 400_000  # characters of JSON, about
BEGINNING = 160  # characters of a question in the list
OUTCOMES = {"unparsed": "u", "refused": "r", "truncated": "t", "error": "e"}
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
    results: Results, answers: Answers, folder: Path, *, stamp: str, mode: int = 0o644, imported: bool = False
) -> Browser:
    """
    The script files of the sample browser:

        write_browser(results, answers, Path("report"), stamp="3f2a").examples   # 120

    Streams the pieces, so that memory holds one of them at a time beside the samples. `stamp` names the results: the
    page refuses pieces of another writing. `imported`: the answers were made elsewhere, so that nobody here knows
    whether their prompts are whole.
    """
    (folder / "samples").mkdir(parents=True, exist_ok=True, mode=0o755 if mode & 0o044 else 0o700)
    arms = list(dict.fromkeys(arm for arm, _ in answers))
    tasks = list(dict.fromkeys(task for _, task in answers))
    metrics = [_metric(results, task) for task in tasks]
    rows: list[tuple[str, int, str, str]] = []
    questions: list[str] = []
    pieces = _Pieces(folder, stamp=stamp, mode=mode)
    for number, task in enumerate(tasks):
        for id_, given in _examples(answers, task, arms):
            question = next(iter(given.values())).example.text
            rows.append((id_, number, _beginning(question), _outcomes(given, arms, metrics[number])))
            questions.append("\n".join((id_, question, *_expected(given))).lower())
            pieces.add(_json(_example(id_, task, question, given, arms)))
    pieces.flush()
    row_of = {(tasks[task], id_): row for row, (id_, task, *_) in enumerate(rows)}
    index = {
        "stamp": stamp, "arms": arms, "tasks": tasks, "metrics": metrics, "rows": rows, "starts": pieces.starts,
        "files": pieces.files, "prompt": RECORDED if imported else SENT,
        "ledger": [_ledger(row, row_of) for row in results.ledger],
        "sets": {key: _set(label, task, ids, row_of) for key, label, task, ids in named_sets(results)},
    }  # fmt: skip
    _call(folder / "samples/questions.js", "ragmedQuestions", f'"{stamp}",{_json(questions)}', mode)
    _call(folder / "samples/index.js", "ragmedIndex", _json(index), mode)
    files = ("samples/index.js", "samples/questions.js", *pieces.files)
    return Browser(files, len(rows), sum(len(given) for given in answers.values()), pieces.characters)


def _call(path: Path, function: str, arguments: str, mode: int) -> int:
    write_atomic(path, f"{function}({arguments});\n", mode=mode)
    return len(arguments)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _metric(results: Results, task: str) -> str:
    """The primary metric of a task: what its outcomes are told by."""
    return next((str(row.metric) for row in results.scores if row.task == task and row.primary), "")


def _examples(answers: Answers, task: str, arms: Sequence[str]) -> Iterator[tuple[str, dict[str, Answer]]]:
    by_arm = {arm: {a.example.id: a for a in answers[arm, task]} for arm in arms if (arm, task) in answers}
    for id_ in dict.fromkeys(id_ for given in by_arm.values() for id_ in given):
        yield id_, {arm: given[id_] for arm, given in by_arm.items() if id_ in given}


def _beginning(question: str) -> str:
    line = " ".join(question[: 4 * BEGINNING].split())
    return line if len(line) <= BEGINNING else line[: BEGINNING - 1].rstrip() + "…"


def _outcomes(given: Mapping[str, Answer], arms: Sequence[str], metric: str) -> str:
    """A letter an arm: 1 right, 0 wrong, g a score between, n no score, u r t e not answered, - not asked."""
    return "".join(_outcome(given[arm], metric) if arm in given else "-" for arm in arms)


def _outcome(answer: Answer, metric: str) -> str:
    if answer.score.status != STATUSES[0]:
        return OUTCOMES[answer.score.status]
    score = _of_one(answer, metric)
    return "n" if score is None else "1" if score == 1 else "0" if score == 0 else "g"


def _of_one(answer: Answer, metric: str) -> float | None:
    """The score of an answer; of a ratio that of its own counts, None where these are all 0 and say nothing."""
    score = answer.score.metrics.get(metric)
    if not isinstance(score, tuple):
        return score
    return float(total_of(metric)(score)) if any(score) else None


def _expected(given: Mapping[str, Answer]) -> tuple[str, ...]:
    """The options, or the answer that is expected where there are none."""
    example = next(iter(given.values())).example
    return tuple(example.options.values()) or (gold_text(example),)


def _example(id_: str, task: str, question: str, given: Mapping[str, Answer], arms: Sequence[str]) -> dict[str, Any]:
    example = next(iter(given.values())).example
    known: dict[str, Any] = {"id": id_, "task": task, "question": question, "gold": gold_text(example)}
    known |= {"group": example.group, "documents": list(example.documents), "options": list(example.options.values())}
    return known | {"answers": [_answer(answer, arms.index(arm)) for arm, answer in given.items()]}


def _answer(given: Answer, arm: int) -> dict[str, Any]:
    """Everything of an answer but what its example holds already; what is empty is left out."""
    sample, score = given.sample, given.score
    answer: dict[str, Any] = {"arm": arm, "status": score.status}
    answer["scores"] = {name: value for name in score.metrics if (value := _of_one(given, name)) is not None}
    answer["counts"] = {name: list(value) for name, value in score.metrics.items() if isinstance(value, tuple)}
    answer["messages"] = [[message.role, message.content] for message in sample.messages]
    answer |= {"passages": [asdict(passage) for passage in sample.passages], "dropped": list(sample.dropped)}
    answer |= {"queries": list(sample.queries), "left_out": list(sample.left_out)}
    answer["steps"] = [_step(step) for step in sample.steps]
    answer |= {"options": list(sample.example.options.values()), "logprobs": list(sample.option_logprobs)}
    answer |= {"extracted": _plain(score.value), "completion": sample.completion, "thinking": sample.thinking}
    answer["note"] = "; ".join(filter(None, (sample.error, sample.note)))
    if sample.input_tokens or sample.output_tokens:  # no model reads nothing: 0 and 0 were never counted
        answer |= {"input_tokens": sample.input_tokens, "output_tokens": sample.output_tokens}
    answer["seconds"] = sample.seconds or None
    return {key: value for key, value in answer.items() if value not in (None, [], {})}


def _step(step: Step) -> dict[str, Any]:
    """What was done about passages before the question; what is empty is left out."""
    written = [one.text for one in step.completions]
    tokens = [sum(one.input_tokens for one in step.completions), sum(one.output_tokens for one in step.completions)]
    known: dict[str, Any] = {
        "kind": step.kind,
        "queries": list(step.queries),
        "passages": list(step.passages),
        "written": written,
    }
    known |= {"dropped": [list(pair) for pair in step.dropped.items()], "note": step.note}
    return {key: value for key, value in (known | {"tokens": tokens if written else []}).items() if value}


def _plain(value: Value) -> str | None:
    """A value that was read, as one line for people."""
    if value is None or isinstance(value, str):
        return value
    return "; ".join(value) if isinstance(value, tuple) else json.dumps(value, ensure_ascii=False)


def _ledger(row: Ledger, row_of: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    changed = {
        name: [row_of[row.task, id_] for id_ in ids if (row.task, id_) in row_of]
        for name, ids in (("fixed", row.fixed), ("broke", row.broke))
    }
    return {"task": row.task, "metric": row.metric, "baseline": row.baseline, "arm": row.arm} | changed


def _set(label: str, task: str, ids: Sequence[str], row_of: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    return {"label": label, "rows": [row_of[task, id_] for id_ in ids if (task, id_) in row_of]}


def named_sets(results: Results) -> Iterator[tuple[str, str, str, Sequence[str]]]:
    """Lists of examples that the page links to: their key, what they are, their task, their ids."""
    for number, row in enumerate(results.decomposition):
        here = f"{row.arm} on {row.task}"
        for part in row.parts:
            cause = CAUSES[part.part]
            yield f"part.{number}.{part.part}", f"{here}: {cause}", row.task, part.examples
            yield f"broke.{number}.{part.part}", f"{here}: {cause}; broke", row.task, part.broke
        for name, label, listed in (
            ("distracted", "wrong with distractors, right closed book", row.distracted),
            ("beyond", "wrong with oracle", row.beyond),
        ):
            if listed:
                yield f"{name}.{number}", f"{here}: {label}", row.task, listed.examples
    for number, asked in enumerate(results.compliance):
        label = f"{asked.arm}: knew the answer {held(asked.held_by)}, wrote none that could be read"
        yield f"compliance.{number}", label, asked.generate_task, asked.examples
    for number, failure in enumerate(results.failures):
        if failure.examples:
            label = f"{failure.arm} on {failure.task}: {FAILURES[failure.kind]}"
            yield f"failure.{number}", label, failure.task, failure.examples
