"""Open-i chest X-ray reports (Demner-Fushman et al. 2016, doi 10.1093/jamia/ocv080): findings -> impression.

`openi/train.jsonl` and `openi/validate.jsonl` under RAGMED_DATA, as Van Veen et al. (2024, doi
10.1038/s41591-024-02855-5) publish them, one report a line:

    {"idx": 7, "inputs": "The heart is normal in size. The lungs are clear.", "target": "No acute disease."}

The validation reports are scored, few-shot examples come from the training reports. Many reports have the same
findings: these are one group, and what is scored is never shown (470 of 2,735 training reports are left out). The
retriever is asked the sentences of the findings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import write_lines
from ragmed.tasks.loading import data_file, examples_of, id_of, json_records, text_of
from ragmed.tasks.queries import short_queries
from ragmed.tasks.splits import apart, text_key
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import TEXT
from ragmed.workspace import Workspace


def load(workspace: Workspace) -> Split:
    """DataError names the file and the line of a report that cannot be used, or whose idx occurs twice."""
    return apart(_read(workspace, "validate"), _read(workspace, "train"), of="radiology_impression")


def _read(workspace: Workspace, side: str) -> list[Example]:
    def example(record: Any) -> Example:
        findings, impression = text_of(record, "inputs"), text_of(record, "target")
        name = f"{side}-{id_of(record, 'idx')}"
        return Example(name, "", (ContextDocument(findings),), gold=impression, group=text_key(findings))

    path = data_file(workspace, "openi", f"{side}.jsonl", of="Open-i")
    return examples_of(json_records(path, "Open-i reports"), example)


def invent(folder: Path) -> None:
    """Twelve reports to score and six to show; no picture was taken."""
    for side, count, first in (("validate", 12, 0), ("train", 6, 30)):
        found = [
            {
                "idx": n,
                "inputs": f"The heart is normal in size. There is a nodule of {n + 3} mm in the left lung. No fluid.",
                "target": f"Nodule of {n + 3} mm in the left lung.",
            }
            for n in range(first, first + count)
        ]
        write_lines(folder / "openi" / f"{side}.jsonl", found)


RADIOLOGY_IMPRESSION = Task(
    name="radiology_impression",
    title="Open-i: the impression of a chest X-ray from its findings",
    kind="text",
    instruction=(
        "You are given the findings of a chest X-ray report. Summarise them as the report's impression, in as few "
        "words as a radiologist would. Answer with the impression only."
    ),
    load=load,
    source="Open-i by way of github.com/StanfordMIMI/clin-summ (Demner-Fushman et al. 2016, doi 10.1093/jamia/ocv080)",
    license="MIT (repository)",
    metrics=("rouge_l", "rouge_1", "rouge_2"),
    further=("bertscore", "concept_f1", "unsupported"),
    form=TEXT,
    query=lambda example: short_queries(example.context[0].text),
    max_tokens=128,
    context_label="Findings",
    get="Open: put train.jsonl and validate.jsonl of data/opi in github.com/StanfordMIMI/clin-summ into openi/.",
    invent=invent,
)
