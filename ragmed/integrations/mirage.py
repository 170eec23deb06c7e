"""MIRAGE's benchmark and the answers its authors released in, a run out: each model with MedRAG against itself without.

    prediction/SET/cot/ORGANISATION/MODEL/test_ID.json
    prediction/SET/rag_32/ORGANISATION/MODEL/CORPUS/RETRIEVER/test_ID.json

Each file is a list with one text, what the model wrote: `{"step_by_step_thinking": "...", "answer_choice": "B. ..."}`,
most often. Layout and reading: github.com/Teddy-XiongGZ/MIRAGE, README.md, src/evaluate.py and src/utils.py
(Xiong et al. 2024, arXiv 2402.13178).
"""

from __future__ import annotations

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
from ragmed.records import Access, Message, Sample, Status
from ragmed.runs import Run
from ragmed.tasks.answers import is_refusal, mirage_answer, mirage_letter

SOURCE = "MIRAGE, github.com/Teddy-XiongGZ/MIRAGE (Xiong et al. 2024, arXiv 2402.13178), its released answers"
NO_FILE = "no file holds an answer to this question"
EMPTY = "the file holds an empty list"
_PATH = re.compile(r"/(?P<set>[^/]+)/(?P<mode>cot|rag_[0-9]+)/(?P<rest>.+)/(?:test|dev|train)_(?P<id>[^/]+)\.json\Z")
# What stands where the letter should: that there is no answer to give, or the words of a server that gave none.
_DECLINED = re.compile(
    r"\W*(?:(?:it |the answer )?(?:can ?not|can't) be determined|(?:can ?not|can't) determine|unknown|n/a|inconclusive"
    r"|no answer|(?:not enough|insufficient) (?:information|data|evidence)"
    r"|not (?:provided|available|mentioned|specified|stated|determinable|clear|sure|known|found)"
    r"|the response was filtered)\b",
    re.IGNORECASE,
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
class _Found:
    """Raw texts by way, set and question id; None for an empty list. What was out of the ordinary, counted."""

    answers: dict[tuple[Way, str], dict[str, str | None]] = field(default_factory=dict)
    odd: Counter[str] = field(default_factory=Counter)


def import_mirage(benchmark: Path, predictions: Sequence[Path], *, output: Path, access: Access = "open") -> Run:
    """
    >>> import_mirage(Path("benchmark.json"), [Path("prediction.tar.xz")], output=Path("runs/mirage"))  # doctest: +SKIP
    Run(folder=PosixPath('runs/mirage'), access='open')

    Arms `MODEL/cot` and `MODEL/rag_32`, tasks `mirage/mmlu` and so on; each model's arms with passages are compared
    with its own closed-book arm. `predictions`: folders or archives. A letter is read by MIRAGE's patterns, but where
    none matches nothing is read: the answer is `unparsed`, or `refused`. An empty list and a question without a file
    are an `error`. Raises DataError, naming the file, where the benchmark or an answer cannot be read.
    """
    questions = read_json(benchmark, "MIRAGE file")
    found = _Found()
    for path in predictions:
        if not path.exists():
            raise DataError(f"predictions '{path}' do not exist; name the folder or the archive that MIRAGE released")
        _collect(path, questions, found)
    if not found.answers:
        raise DataError(
            f"no answers in {', '.join(map(str, predictions))}: files like mmlu/cot/ORG/MODEL/test_ID.json are needed"
        )
    names = _arm_names({way for way, _ in found.answers})
    samples: dict[tuple[str, str], list[Sample]] = {}
    tasks: dict[str, ForeignTask] = {}
    for name in (s for s in questions if any(s == other for _, other in found.answers)):
        tasks[f"mirage/{name}"] = _task(name, questions[name], benchmark)
        for way in sorted(names, key=lambda way: names[way]):
            if (way, name) in found.answers:
                given = found.answers[way, name]
                samples[names[way], f"mirage/{name}"] = [
                    _sample(names[way], name, id_, record, given) for id_, record in questions[name].items()
                ]
    asked = {arm for arm, _ in samples}
    return write_run(
        output,
        samples=samples,
        arms={arm: _described(way) for way, arm in sorted(names.items(), key=lambda one: one[1]) if arm in asked},
        tasks=tasks,
        comparison=_comparison({way: arm for way, arm in names.items() if arm in asked}),
        origin={
            "kind": "mirage",
            "files": [
                {"name": p.name, "sha256": sha256_file(p) if p.is_file() else ""} for p in (benchmark, *predictions)
            ],
            "notes": _notes(found),
        },
        access=access,
    )


def _collect(path: Path, questions: Mapping[str, Any], found: _Found) -> None:
    for item in members(path, (".json",)):
        if isinstance(item, Rejected):
            raise DataError(f"'{item.file}': {item.reason}")
        if not isinstance(item, Member):
            continue
        match = _PATH.search(f"/{item.name}")
        if not match:
            found.odd["files are no answers of MIRAGE's layout"] += item.name != "benchmark.json"
            continue
        name, id_ = match["set"], match["id"]
        if not isinstance(questions.get(name), dict) or id_ not in questions[name]:
            found.odd[f"answers are to questions of {name} that the benchmark file does not hold"] += 1
            continue
        given = found.answers.setdefault((_way(match), name), {})
        if id_ in given:
            raise DataError(f"'{item.file}': there is another answer to '{id_}' in the same way; name each folder once")
        given[id_] = _text(item, found)


def _way(match: re.Match[str]) -> Way:
    parts = match["rest"].split("/")
    if match["mode"] == "cot" or len(parts) < 3:
        return Way("/".join(parts), match["mode"])
    return Way("/".join(parts[:-2]), match["mode"], corpus=parts[-2], retriever=parts[-1])


def _text(item: Member, found: _Found) -> str | None:
    try:
        value = parse_json(item.read(_LARGEST).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"'{item.file}' is no answer ({error}); fetch it again") from error
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DataError(f"'{item.file}' is no answer: a list of texts was expected")
    if len(value) > 1:
        found.odd["files hold several answers, of which the first is taken, as MIRAGE's evaluation does"] += 1
    return value[0] if value else None


def _arm_names(ways: set[Way]) -> dict[Way, str]:
    """`gpt-4-32k/rag_32`; the whole path of the model, the corpus and the retriever only where it takes them."""
    names = {way: f"{way.short}/{way.mode}" for way in ways}
    for parts in (("model", "mode"), ("model", "mode", "corpus", "retriever")):
        counts = Counter(names.values())
        longer = {way: "/".join(filter(None, (getattr(way, part) for part in parts))) for way in ways}
        names = {way: longer[way] if counts[name] > 1 else name for way, name in names.items()}
    return names


def _described(way: Way) -> dict[str, Any]:
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


def _task(name: str, records: Mapping[str, Any], benchmark: Path) -> ForeignTask:
    try:
        examples = [
            [id_, str(r["question"]), str(r["answer"]), [str(text) for text in r["options"].values()]]
            for id_, r in records.items()
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"MIRAGE file '{benchmark}', set '{name}': question, options and answer are needed") from error
    return ForeignTask(examples, ("accuracy",), f"{SOURCE}, set {name}", "sets MIT, BioASQ's own terms")


def _sample(arm: str, name: str, id_: str, record: Mapping[str, Any], given: Mapping[str, str | None]) -> Sample:
    text = given.get(id_)
    letter = mirage_letter(text) if text is not None else None
    options = "\n".join(f"{letter}. {option}" for letter, option in record["options"].items())
    gold = str(record["answer"])
    return Sample(
        example=id_,
        arm=arm,
        task=f"mirage/{name}",
        status=_status(text, letter),
        extracted=letter,
        gold=gold,
        scores={"accuracy": float(letter == gold)} if letter else {},
        messages=(Message("user", f"{record['question']}\n{options}"),),
        completion=text,
        options=tuple(str(option) for option in record["options"].values()),
        note="" if text is not None else EMPTY if id_ in given else NO_FILE,
    )


def _status(text: str | None, letter: str | None) -> Status:
    if text is None:
        return "error"
    if letter is not None:
        return "answered"
    return "refused" if is_refusal(text) or _DECLINED.match(mirage_answer(text)) else "unparsed"


def _notes(found: _Found) -> list[str]:
    said = [f"{count:,} {what}" for what, count in found.odd.items() if count]
    return [
        *said,
        "The released answers come without their prompts, passages, tokens and times: what stands as prompt is the "
        "question with its options, and costs and retrieval are unknown.",
        "Letters are read by the patterns of MIRAGE's evaluation. Where none matches it takes the answer for A; here "
        "nothing is read, unless the policy is mirage.",
    ]
