"""MIRAGE's benchmark and the answers its authors released in, a run out: each model with MedRAG against itself without.

    prediction/SET/cot/ORGANISATION/MODEL/test_ID.json
    prediction/SET/rag_32/ORGANISATION/MODEL/CORPUS/RETRIEVER/test_ID.json

Each file is a list with one text, what the model wrote: `{"step_by_step_thinking": "...", "answer_choice": "B. ..."}`,
most often. Taken as well, and counted: the object itself where there should be a list with its text, and files that are
named by the question's id without the split before it. Layout and reading: github.com/Teddy-XiongGZ/MIRAGE, README.md,
src/evaluate.py and src/utils.py (Xiong et al. 2024, arXiv 2402.13178).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ragmed.comparison.settings import ComparisonSettings
from ragmed.corpora.members import Member, members
from ragmed.corpora.recipe import Rejected
from ragmed.errors import DataError
from ragmed.files import parse_json, read_json, sha256_file
from ragmed.integrations.foreign import ForeignTask, write_run
from ragmed.integrations.reading import reading
from ragmed.metrics import metric_facts
from ragmed.records import Access, Example, Message, Sample
from ragmed.runs import Run
from ragmed.tasks.mirage import read_example
from ragmed.text_table import counted

SOURCE = "MIRAGE, github.com/Teddy-XiongGZ/MIRAGE (Xiong et al. 2024, arXiv 2402.13178), its released answers"
READER = "mirage-strict"
NO_FILE = "no file holds an answer to this question"
EMPTY = "the file holds an empty list"
_PATH = re.compile(
    r"/(?P<set>[^/]+)/(?P<mode>cot|rag_[0-9]+)/(?P<rest>.+)/(?:(?:test|dev|train)_)?(?P<id>[^/]+)\.json\Z"
)
_LARGEST = 4 * 1024 * 1024  # bytes of one answer's file


@dataclass(frozen=True, slots=True)
class Way:
    """One way of answering, as the folders name it: a model, closed book or with passages of a corpus."""

    model: str
    mode: str
    corpus: str = ""
    retriever: str = ""

    @property
    def short(self) -> str:
        return self.model.rsplit("/", 1)[-1]


@dataclass(slots=True)
class _Answers:
    """Raw texts by way, set and question id; None for an empty list. What was out of the ordinary, counted."""

    texts: dict[tuple[Way, str], dict[str, str | None]] = field(default_factory=dict)
    odd: Counter[tuple[str, str]] = field(default_factory=Counter)


def import_mirage(benchmark: Path, predictions: Sequence[Path], *, output: Path, access: Access = "open") -> Run:
    """
        run = import_mirage(Path("benchmark.json"), [Path("prediction.tar.xz")], output=Path("runs/mirage"))

    Arms `MODEL/cot` and `MODEL/rag_32`, tasks `mirage/mmlu` and so on; each model's arms with passages are compared
    with its own closed-book arm. `predictions`: folders or archives. Their texts are kept and read here: by the reader
    `mirage-strict`, which finds a letter by MIRAGE's patterns and nothing where none matches. `mirage` reads as its
    authors do (`ragmed compare RUN --reader mirage`). An empty list and a question without a file are an `error`.
    Raises DataError, naming the file, where the benchmark or an answer cannot be read.
    """
    questions = read_json(benchmark, "MIRAGE file")
    read = _Answers()
    for path in predictions:
        if not path.exists():
            raise DataError(f"predictions '{path}' do not exist; name the folder or the archive that MIRAGE released")
        _collect(path, questions, read)
    if not read.texts:
        raise DataError(
            f"no answers in {', '.join(map(str, predictions))}: files like mmlu/cot/ORG/MODEL/test_ID.json are needed"
        )
    names = _arm_names({way for way, _ in read.texts})
    samples: dict[tuple[str, str], list[Sample]] = {}
    tasks: dict[str, ForeignTask] = {}
    for name in (set_ for set_ in questions if any(set_ == other for _, other in read.texts)):
        task = f"mirage/{name}"
        examples = [read_example(name, id_, record) for id_, record in questions[name].items()]
        tasks[task] = ForeignTask(
            examples, READER, metric_facts(["accuracy"]), f"{SOURCE}, set {name}", "sets MIT, BioASQ's own terms"
        )
        for way in sorted(names, key=lambda way: names[way]):
            if (way, name) in read.texts:
                given = read.texts[way, name]
                samples[names[way], task] = [_sample(names[way], task, example, given) for example in examples]
    asked = {arm for arm, _ in samples}
    return write_run(
        output,
        samples=samples,
        arms={
            arm: _arm_settings(way) for way, arm in sorted(names.items(), key=lambda named: named[1]) if arm in asked
        },
        tasks=tasks,
        comparison=_comparison({way: arm for way, arm in names.items() if arm in asked}),
        origin={
            "kind": "mirage",
            "files": [
                {"name": p.name, "sha256": sha256_file(p) if p.is_file() else ""} for p in (benchmark, *predictions)
            ],
            "notes": _notes(read),
        },
        access=access,
    )


def _collect(path: Path, questions: Mapping[str, Any], read: _Answers) -> None:
    for item in members(path, (".json",)):
        if isinstance(item, Rejected):
            raise DataError(f"'{item.file}': {item.reason}")
        if not isinstance(item, Member):
            continue
        match = _PATH.search(f"/{item.name}")
        if not match:
            read.odd["file", "without answers in MIRAGE's layout"] += item.name != "benchmark.json"
            continue
        name, id_ = match["set"], match["id"]
        if not isinstance(questions.get(name), dict) or id_ not in questions[name]:
            read.odd["answer", f"to questions of {name} that the benchmark file does not hold"] += 1
            continue
        given = read.texts.setdefault((_way(match), name), {})
        if id_ in given:
            raise DataError(f"'{item.file}': there is another answer to '{id_}' in the same way; name each folder once")
        given[id_] = _text(item, read)


def _way(match: re.Match[str]) -> Way:
    parts = match["rest"].split("/")
    if match["mode"] == "cot" or len(parts) < 3:
        return Way("/".join(parts), match["mode"])
    return Way("/".join(parts[:-2]), match["mode"], corpus=parts[-2], retriever=parts[-1])


def _text(item: Member, read: _Answers) -> str | None:
    with reading(f"answer '{item.file}'", remedy="download it again"):
        value = parse_json(item.read(_LARGEST).decode("utf-8-sig"))
    if isinstance(value, dict) and isinstance(value.get("answer_choice"), str):
        read.odd["file", "with the answer as an object, where MIRAGE has a list with its text"] += 1
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DataError(f"answer '{item.file}': a list of texts was expected; download it again")
    if len(value) > 1:
        read.odd["file", "with several answers, of which the first is taken, as MIRAGE's evaluation does"] += 1
    return value[0] if value else None


def _arm_names(ways: set[Way]) -> dict[Way, str]:
    """`gpt-4-32k/rag_32`; the whole path of the model, the corpus and the retriever only where it takes them."""
    names = {way: f"{way.short}/{way.mode}" for way in ways}
    for parts in (("model", "mode"), ("model", "mode", "corpus", "retriever")):
        counts = Counter(names.values())
        longer = {way: "/".join(filter(None, (getattr(way, part) for part in parts))) for way in ways}
        names = {way: longer[way] if counts[name] > 1 else name for way, name in names.items()}
    return names


def _arm_settings(way: Way) -> dict[str, Any]:
    if way.mode == "cot":
        return {"model": way.model, "context": "none"}
    shown = way.mode.removeprefix("rag_")
    k = int(shown) if len(shown) < 10 else 0  # nobody shows a model that many: it is a name, not a number
    return {"model": way.model, "context": "retrieved", "index": way.corpus, "k": k, "retriever": way.retriever}


def _comparison(names: Mapping[Way, str]) -> ComparisonSettings:
    closed = {way.model: arm for way, arm in names.items() if way.mode == "cot"}
    shown = [(closed[way.model], arm) for way, arm in names.items() if way.mode != "cot" and way.model in closed]
    pairs = tuple(sorted(shown))
    first = min(closed.values(), default=min(names.values()))
    return ComparisonSettings(baseline=pairs[0][0] if pairs else first, contrasts=pairs)


def _sample(arm: str, task: str, example: Example, given: Mapping[str, str | None]) -> Sample:
    text = given.get(example.id)
    options = "\n".join(f"{letter}. {option}" for letter, option in example.options.items())
    return Sample(
        arm=arm,
        task=task,
        example=example,
        messages=(Message("user", f"{example.question}\n{options}"),),
        completion=text,
        # an empty list: the model was asked and gave nothing; no file: whether it was asked is unknown
        finish="stop" if text is not None else "refused" if example.id in given else "error",
        error="" if text is not None or example.id in given else NO_FILE,
        note=EMPTY if text is None and example.id in given else "",
    )


def _notes(read: _Answers) -> list[str]:
    return [
        *(f"{counted(count, what)} {which}" for (what, which), count in read.odd.items() if count),
        "The released answers come without their prompts, passages, tokens and times: what stands as prompt is the "
        "question with its options, and costs and retrieval are unknown.",
        "Letters are read by the patterns of MIRAGE's evaluation. Where none matches it takes the answer for A; here "
        "nothing is read, unless --reader mirage is given.",
    ]
