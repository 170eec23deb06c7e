"""K-QA (Manes et al. 2024, ACL 2024.bionlp-1.22, arXiv 2401.14493): a patient's question -> a physician's answer.

`k-qa/questions_w_answers.jsonl` under RAGMED_DATA, one question a line, as published:

    {"Question": "What if I miss a dose?", "Free_form_answer": "Take it as soon as you remember …",
     "Must_have": ["A missed dose should be taken on the same day."], "Nice_to_have": ["…"],
     "Sources": "https://…", "ICD_10_diag": null}

Gold are the physicians' statements: those that an answer must have, and those that are nice to have. `answer` is the
physicians' own text, which few-shot examples show. A statement without a word (the file has one, a blank) is left out,
as is a question without a must-have statement, by which no answer could be measured; both are said. `lexical_coverage`
is primary since it needs nothing; where an experiment names a model of entailment, `completeness` and `contradiction`
are measured, the paper's comprehensiveness and hallucination rate.

The physicians' own text, given as an answer, covers 0.942 of the statements of the 86 questions that are scored here,
by their words, and not all: statements were written apart from it, in other words ("pass on to breastmilk" for "pass
into breast milk"), and some say what it does not.

The set has no split of its own: about one question in PARTS, by a hash of its words, is held out for few-shot examples.
The same question, however spaced or cased, is one group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.metrics.coverage import MUST_HAVE, NICE_TO_HAVE, content_words
from ragmed.records import Example
from ragmed.tasks.invented import AILMENTS, DRUGS, write_lines
from ragmed.tasks.loading import data_file, examples_of, json_records
from ragmed.tasks.splits import split_by_hash
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import PromptForm
from ragmed.workspace import Workspace

ANSWER = "answer"
FIELDS = {MUST_HAVE: "Must_have", NICE_TO_HAVE: "Nice_to_have"}
PARTS = 16

STATED = PromptForm("statements", lambda _: "", lambda example: _of(example.gold, ANSWER)[0], "text")
"""Free text, of which the gold answer names the statements, and holds a text that makes them."""


def load(workspace: Workspace) -> Split:
    """DataError names the file, the line and the field where a question cannot be used."""
    path = data_file(workspace, "k-qa", "questions_w_answers.jsonl", of="K-QA")
    wordless: list[str] = []
    read = examples_of(json_records(path, "K-QA questions"), partial(_example, wordless=wordless))
    examples = [example for example in read if _of(example.gold, MUST_HAVE)]
    split = split_by_hash(examples, of="k_qa", parts=PARTS)
    unmeasured = [example.id for example in read if not _of(example.gold, MUST_HAVE)]
    notes = (
        _note("a statement without a word was left out of", wordless),
        _note("there is no must-have statement, which leaves out", unmeasured),
    )
    return Split(split.examples, split.shots, tuple(filter(None, notes)))


def _note(what: str, questions: Sequence[str]) -> str:
    named = "; ".join(questions[:5]) + (" …" if len(questions) > 5 else "")
    return f"k_qa: {what} {len(questions)} of the questions ({named})." if questions else ""


def _example(record: Mapping[str, Any], *, wordless: list[str]) -> Example:
    """The example; `wordless` gets its id where one of its statements has no words."""
    question = _text(record, "Question")
    listed = {name: _statements(record, field) for name, field in FIELDS.items()}
    gold = {name: tuple(one for one in found if content_words(one)) for name, found in listed.items()}
    group = " ".join(question.casefold().split())
    if sum(map(len, gold.values())) < sum(map(len, listed.values())):
        wordless.append(question.strip())
    gold[ANSWER] = (_text(record, "Free_form_answer"),)
    return Example(question.strip(), question, gold=gold, group=group)


def _text(record: Mapping[str, Any], field: str) -> str:
    text = record[field]
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"'{field}' is empty or no text")
    return text


def _statements(record: Mapping[str, Any], field: str) -> tuple[str, ...]:
    given = record[field]
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise DataError(f"'{field}' is no list of texts")
    return tuple(dict.fromkeys(given))


def _of(gold: Any, name: str) -> Sequence[str]:
    found: Sequence[str] = gold[name]
    return found


def invent(folder: Path) -> None:
    """Sixty questions, some of which are held out; nobody asked them."""
    records = []
    for n in range(60):
        drug, ill = DRUGS[n % len(DRUGS)], AILMENTS[n // 5]
        must = [f"{drug} is swallowed with water.", f"{ill.capitalize()} passes within {n + 2} days."]
        record: dict[str, Any] = {"Question": f"How do I take {drug} for {ill}, and for how long?"}
        record |= {"Free_form_answer": " ".join(must), "Must_have": must, "Nice_to_have": ["Rest helps."]}
        records.append(record | {"Sources": "https://example.org", "ICD_10_diag": None})
    write_lines(folder / "k-qa" / "questions_w_answers.jsonl", records)


K_QA = Task(
    name="k_qa",
    title="K-QA: patients' questions, answered with the statements that physicians say an answer must have",
    kind="text",
    instruction=(
        "You are a physician who answers a patient's question. Give all that the patient must know, in a few plain "
        "sentences, and nothing that is not known to be true."
    ),
    load=load,
    source=(
        "K-QA questions_w_answers.jsonl, github.com/Itaymanes/K-QA (Manes et al. 2024, ACL 2024.bionlp-1.22, arXiv "
        "2401.14493)"
    ),
    license="MIT",
    metrics=("lexical_coverage",),
    further=("completeness", "contradiction", "unsupported"),
    form=STATED,
    max_tokens=384,
    label="Question",
    get="Open: dataset/questions_w_answers.jsonl of github.com/Itaymanes/K-QA, into k-qa/ under RAGMED_DATA.",
    invent=invent,
)
