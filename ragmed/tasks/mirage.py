"""MIRAGE (Xiong et al. 2024, arXiv 2402.13178): five sets of multiple-choice questions, one published file.

`mirage/benchmark.json` under RAGMED_DATA, `{set: {id: {question, options, answer, [PMID]}}}`; a record of `bioasq`:

    {"question": "Do only changes in coding regions of MEF2C cause developmental disorders?",
     "options": {"A": "yes", "B": "no"}, "answer": "B", "PMID": [34022131]}

The retriever sees the question alone (section 3.1, "question-only retrieval"). Few-shot examples of `medqa` are MedQA's
development questions where `medqa/dev_4_options.jsonl` is there; the other sets have no split for them and give up some
of their own, see `ragmed.tasks.load_task`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.records import Example
from ragmed.tasks import medqa
from ragmed.tasks.invented import AILMENTS, DRUGS, write_text
from ragmed.tasks.loading import as_given, data_file, id_of, json_object, made
from ragmed.tasks.task import Split, Task
from ragmed.workspace import Workspace

SOURCE = "MIRAGE benchmark.json, github.com/Teddy-XiongGZ/MIRAGE (Xiong et al. 2024, arXiv 2402.13178)"
INSTRUCTION = "You answer medical questions. Exactly one of the options is right."
YES_NO = "You answer questions on biomedical research. Exactly one of the options is right."
_INVENTED = {
    "medqa": ("at noon", "at night", "twice a day", "never"),
    "medmcqa": ("by mouth", "by vein", "on the skin", "never"),
    "mmlu": ("in winter", "in spring", "in summer", "never"),
    "pubmedqa": ("yes", "no", "maybe"),
    "bioasq": ("yes", "no"),
}


def _reader(name: str) -> Callable[[Workspace], Split]:
    def load(workspace: Workspace) -> Split:
        path = data_file(workspace, "mirage", "benchmark.json", of="MIRAGE")
        sets = json_object(path, "MIRAGE file")
        if not isinstance(sets.get(name), dict):
            raise DataError(f"MIRAGE file '{path}' has no set '{name}'; fetch the file again")
        shown = name == "medqa" and (workspace.data / medqa.FOLDER / medqa.FOUR_OPTIONS).exists()
        return Split(
            tuple(read_example(name, key, record) for key, record in sets[name].items()),
            medqa.development(workspace, medqa.FOUR_OPTIONS) if shown else (),
        )

    return load


def read_example(name: str, key: str, record: Any) -> Example:
    """A record of a set, its texts as they stand; DataError names set, record and field where it cannot be used."""
    return made(lambda given: _example(str(key), given), record, f"MIRAGE set '{name}', record '{key}'")


def _example(key: str, record: Mapping[str, Any]) -> Example:
    if not isinstance(record, Mapping) or not isinstance(record.get("options"), Mapping):
        raise DataError("question, options and answer are needed")
    options = {str(letter): as_given(record["options"], letter) for letter in record["options"]}
    documents = tuple(id_of({"PMID": pmid}, "PMID") for pmid in record.get("PMID", ()))
    question, answer = as_given(record, "question"), as_given(record, "answer")
    return Example(key, question, options=options, gold=answer, documents=documents)


def invent(folder: Path) -> None:
    """All five sets in one file, 36 questions each: so many that some can be held out and shown."""
    sets: dict[str, dict[str, Any]] = {}
    for name, texts in _INVENTED.items():
        sets[name] = {}
        for n in range(36):
            drug, ill = DRUGS[n % len(DRUGS)], AILMENTS[(n // 3) % len(AILMENTS)]
            asked = f"Invented question {n} of {name}: does {drug} help with {ill}, and when is it given?"
            record: dict[str, Any] = {"question": asked, "options": dict(zip("ABCD", texts, strict=False))}
            record["answer"] = "ABCD"[n % len(texts)]
            if name in ("pubmedqa", "bioasq"):
                record["PMID"] = [90000000 + n]
            sets[name][f"{name}-{n}"] = record
    write_text(folder / "mirage" / "benchmark.json", json.dumps(sets, indent=1))


def _task(name: str, title: str, instruction: str, license: str, *, gold_documents: bool = False) -> Task:
    return Task(
        name=name,
        title=title,
        kind="choice",
        instruction=instruction,
        load=_reader(name),
        source=SOURCE,
        license=license,
        metrics=("accuracy",),
        gold_documents=gold_documents,
        ids="pmid" if gold_documents else "",
        get="Open: benchmark.json of github.com/Teddy-XiongGZ/MIRAGE, into mirage/ under RAGMED_DATA.",
        invent=invent,
    )


MEDQA = _task("medqa", "MedQA (US): licensing examination vignettes", INSTRUCTION, "MIT")
MEDMCQA = _task("medmcqa", "MedMCQA: Indian entrance examinations, development set", INSTRUCTION, "MIT")
MMLU = _task("mmlu", "MMLU: its six biomedical subjects", INSTRUCTION, "MIT")
PUBMEDQA = _task("pubmedqa", "PubMedQA without its contexts: yes, no or maybe", YES_NO, "MIT", gold_documents=True)
BIOASQ = _task("bioasq", "BioASQ task B, yes/no questions", YES_NO, "BioASQ terms", gold_documents=True)
