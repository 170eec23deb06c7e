"""Submissions to BioASQ task B (exact answers) with golden files in, a run out: yes/no, factoid and list questions.

    submission  {"questions": [{"id": "...", "exact_answer": "yes" | ["best", ...] | [["entry", "synonym"], ...]}]}
    golden      {"questions": [{"id": "...", "type": "yesno|factoid|list", "body": "...", "exact_answer": ...}]}

As BioASQ measures them (Tsatsaronis et al. 2015, BMC Bioinformatics 16:138, and the challenge's guidelines for task B):

    yesno     accuracy; the challenge also prints macro F1, which is made here of the same answers (`macro_f1`)
    factoid   strict accuracy (the first of at most five answers is right), lenient accuracy (any is), MRR
    list      precision, recall and F1 of the entries of each question, averaged over questions

An answer is right where it is one of the golden answer's synonyms, whatever its case and blanks. A question that a
submission leaves out is not answered, and counts as wrong.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragmed.comparison.settings import ComparisonSettings
from ragmed.corpora.members import Member, load_object, members
from ragmed.corpora.recipe import Rejected
from ragmed.errors import DataError, MismatchError
from ragmed.files import sha256_file
from ragmed.integrations.foreign import ForeignTask, control, write_run
from ragmed.integrations.reading import reading
from ragmed.metrics import MetricFacts, find_metric, metric_facts
from ragmed.records import Access, Example, Gold, Message, Sample, Score
from ragmed.runs import Run
from ragmed.scores import RECORDED
from ragmed.text_table import counted, plural

SOURCE = "BioASQ task B, bioasq.org (Tsatsaronis et al. 2015)"
LICENSE = "BioASQ terms"
YES_NO = {"A": "yes", "B": "no"}
MOST_FACTOIDS, MOST_ENTRIES = 5, 100
"""Of a factoid the first five answers count, of a list at most 100 entries."""
FACTS = {
    "yesno": (MetricFacts("accuracy", "binary", matches_gold=True),),
    "factoid": (
        MetricFacts("mrr"),
        MetricFacts("strict_accuracy", "binary"),
        MetricFacts("lenient_accuracy", "binary"),
    ),
    "list": (MetricFacts("f1"), MetricFacts("precision"), MetricFacts("recall")),
}
Entries = tuple[tuple[str, ...], ...]


def import_bioasq(
    submissions: Sequence[Path],
    golden: Sequence[Path],
    *,
    output: Path,
    access: Access = "private",
    baseline: str | None = None,
) -> Run:
    """
        run = import_bioasq([Path("closed.json"), Path("rag.json")], [Path("10B1_golden.json")], output=Path("runs/b"))

    An arm a submission, by its file's name; tasks `bioasq/yesno`, `bioasq/factoid`, `bioasq/list`, as far as the golden
    files have any. `golden`: files, folders or archives of them. Raises DataError where a file is none, where a
    question stands twice in one, or where a submission answers none of the golden questions; MismatchError where two
    submissions have one name.
    """
    questions = _golden(golden)
    names = Counter(path.stem for path in submissions)
    for name, count in names.items():
        if count > 1:
            raise MismatchError(f"two submissions are called '{name}', by which arms are named; rename one")
    given = {path.stem: _submission(path) for path in submissions}
    arm, notes = control(list(given), baseline)
    samples: dict[tuple[str, str], list[Sample]] = {}
    scores: dict[tuple[str, str], list[Score]] = {}
    tasks: dict[str, ForeignTask] = {}
    for kind, of_kind in questions.items():
        task = f"bioasq/{kind}"
        examples = [example for example, _ in of_kind.values()]
        for name, answers in given.items():
            pairs = [_answer(name, task, kind, *question, answers.get(id_)) for id_, question in of_kind.items()]
            samples[name, task] = [sample for sample, _ in pairs]
            scores[name, task] = [score for _, score in pairs]
        facts = (*FACTS[kind], *(metric_facts(["macro_f1"]) if kind == "yesno" else ()))
        tasks[task] = ForeignTask(examples, RECORDED, facts, SOURCE, LICENSE)
    asked = {id_ for of_kind in questions.values() for id_ in of_kind}
    for name, answers in given.items():
        missed, unknown = len(asked - answers.keys()), len(answers.keys() - asked)
        if not asked & answers.keys():
            raise DataError(
                f"submission '{name}' answers none of the {len(asked)} golden questions; name its own round's"
            )
        notes += (
            [f"'{name}' leaves out {missed:,} of {len(asked):,} golden {plural('question', len(asked))}."]
            if missed
            else []
        )
        notes += (
            [f"'{name}' answers {counted(unknown, 'question')} that the golden files do not ask."] if unknown else []
        )
    return write_run(
        output,
        samples=samples,
        scores=_with_macro_f1(samples, scores),
        arms={name: {"model": name} for name in given},
        tasks=tasks,
        comparison=ComparisonSettings(arm),
        origin={
            "kind": "bioasq",
            "files": [{"name": p.name, "sha256": sha256_file(p)} for p in (*submissions, *golden) if p.is_file()],
            "notes": notes,
        },
        access=access,
    )


def _questions(path: Path, what: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each question with its place."""
    if not path.exists():
        raise DataError(f"{what} '{path}' does not exist; name the JSON file")
    for item in members(path, (".json",)):
        if isinstance(item, Rejected):
            raise DataError(f"{what} '{item.file}': {item.reason}")
        if not isinstance(item, Member):
            continue
        with reading(f"{what} '{item.file}'", remedy="a file of BioASQ task B was expected"):
            asked = load_object(item)["questions"]
            if not isinstance(asked, list) or not all(isinstance(one, dict) and "id" in one for one in asked):
                raise ValueError("'questions' is no list of objects with an id")
        yield from ((f"{what} '{item.file}', question '{question['id']}'", question) for question in asked)


def _golden(paths: Sequence[Path]) -> dict[str, dict[str, tuple[Example, Entries]]]:
    """type -> id -> the question, and for factoids and lists each golden entry with its synonyms."""
    found: dict[str, dict[str, tuple[Example, Entries]]] = {}
    for where, question in (one for path in paths for one in _questions(path, "golden file")):
        kind, exact = str(question.get("type")), question.get("exact_answer")
        if kind not in FACTS or exact is None:
            continue  # a summary question, or one without an exact answer
        id_, body = str(question["id"]), str(question.get("body", ""))
        if any(id_ in of_kind for of_kind in found.values()):
            raise DataError(f"{where} is there twice; name each golden file once")
        if kind == "yesno":
            word = str(exact[0] if isinstance(exact, list) and exact else exact).strip().casefold().rstrip(".")
            gold: Gold = next((letter for letter, text in YES_NO.items() if text == word), "")
            entries: Entries = ()
            if not gold:
                raise DataError(f"{where}: exact_answer is neither yes nor no")
        else:
            entries = _entries(exact, where)
            # a factoid's entries are synonyms of one answer, a list's are answers with their synonyms
            entries = (
                (tuple(dict.fromkeys(text for entry in entries for text in entry)),) if kind == "factoid" else entries
            )
            gold = entries[0] if kind == "factoid" else tuple(entry[0] for entry in entries)
        example = Example(id_, body, options=YES_NO if kind == "yesno" else {}, gold=gold)
        found.setdefault(kind, {})[id_] = (example, entries)
    if not found:
        raise DataError(
            f"no yes/no, factoid or list question in {', '.join(map(str, paths))}; name BioASQ's golden files"
        )
    return {kind: found[kind] for kind in FACTS if kind in found}


def _entries(exact: Any, where: str) -> Entries:
    """`["a", "b"]` are two entries, `[["a", "synonym"], ["b"]]` as well, each with its synonyms."""
    listed = exact if isinstance(exact, list) else [exact]
    made = []
    for entry in listed:
        synonyms = entry if isinstance(entry, list) else [entry]
        if not all(isinstance(text, str | int | float) for text in synonyms):
            raise DataError(f"{where}: exact_answer holds what is no text")
        texts = tuple(str(text) for text in synonyms if str(text).strip())
        if texts:
            made.append(texts)
    if not made:
        raise DataError(f"{where}: exact_answer is empty")
    return tuple(made)


def _submission(path: Path) -> dict[str, tuple[str, Any]]:
    answers: dict[str, tuple[str, Any]] = {}
    for where, question in _questions(path, "submission"):
        id_ = str(question["id"])
        if id_ in answers:
            raise DataError(f"{where} is there twice; keep one")
        answers[id_] = where, question.get("exact_answer")
    return answers


def _answer(
    arm: str, task: str, kind: str, example: Example, entries: Entries, given: tuple[str, Any] | None
) -> tuple[Sample, Score]:
    where, exact = given or ("", None)
    text = "" if exact is None else exact if isinstance(exact, str) else json.dumps(exact, ensure_ascii=False)
    messages = (Message("user", example.question),) if example.question else ()
    sample = Sample(arm, task, example, messages=messages, completion=text, note="" if given else "not answered")
    if not text.strip() or exact in ([], [[]]):
        return sample, Score(example.id, "unparsed")
    if kind == "yesno":
        word = str(exact[0] if isinstance(exact, list) else exact).strip().casefold().rstrip(".")
        letter = next((letter for letter, word_ in YES_NO.items() if word_ == word), None)
        if letter is None:
            return sample, Score(example.id, "unparsed")
        return sample, Score(example.id, "answered", letter, {"accuracy": float(letter == example.gold)})
    said = _entries(exact, where)
    if kind == "factoid":
        first = [entry[0] for entry in said][:MOST_FACTOIDS]
        return sample, Score(example.id, "answered", tuple(first), factoid_scores(first, entries[0]))
    listed = said[:MOST_ENTRIES]
    value = tuple(entry[0] for entry in listed)
    return sample, Score(example.id, "answered", value, list_scores(listed, entries))


def factoid_scores(answers: Sequence[str], synonyms: Sequence[str]) -> dict[str, float]:
    """
    >>> factoid_scores(["XIIa", "factor XIa"], ["XIa", "Factor XIa"])
    {'mrr': 0.5, 'strict_accuracy': 0.0, 'lenient_accuracy': 1.0}

    Of at most five answers, the best first: the reciprocal rank of the first right one, whether it is the first,
    whether there is one.
    """
    right = {_plain(text) for text in synonyms}
    rank = next((place for place, text in enumerate(answers[:MOST_FACTOIDS], 1) if _plain(text) in right), 0)
    return {
        "mrr": 1 / rank if rank else 0.0, "strict_accuracy": float(rank == 1), "lenient_accuracy": float(rank > 0),
    }  # fmt: skip


def list_scores(answers: Entries, golden: Entries) -> dict[str, float]:
    """
    >>> list_scores((("imdevimab",), ("aspirin",)), (("casirivimab",), ("Imdevimab", "REGN10987")))
    {'f1': 0.5, 'precision': 0.5, 'recall': 0.5}

    Of one question. An entry is right where one of its texts is a synonym of a golden entry; each golden entry is found
    once, so that two synonyms of one are one right entry and one wrong.
    """
    left = [{_plain(text) for text in entry} for entry in golden]
    right = 0
    for entry in answers:
        texts = {_plain(text) for text in entry}
        hit = next((place for place, synonyms in enumerate(left) if synonyms & texts), None)
        if hit is not None:
            del left[hit]
            right += 1
    precision, recall = right / len(answers) if answers else 0.0, right / len(golden)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"f1": f1, "precision": precision, "recall": recall}


def _plain(text: str) -> str:
    return " ".join(str(text).casefold().split())


def _with_macro_f1(
    samples: Mapping[tuple[str, str], Sequence[Sample]], scores: Mapping[tuple[str, str], Sequence[Score]]
) -> dict[tuple[str, str], list[Score]]:
    """Yes/no answers with the counts of macro F1, by the metric of that name."""
    metric = find_metric("macro_f1")
    made = {key: list(given) for key, given in scores.items()}
    for key, given in made.items():
        if key[1] != "bioasq/yesno":
            continue
        answered = [place for place, score in enumerate(given) if score.status == "answered"]
        counts = metric.score([(samples[key][place].example, given[place].value) for place in answered])
        for place, count in zip(answered, counts, strict=True):
            given[place] = replace(given[place], metrics={**given[place].metrics, "macro_f1": count})
    return made
