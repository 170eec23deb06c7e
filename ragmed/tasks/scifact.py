"""SciFact (Wadden et al. 2020, arXiv 2004.14974): a scientific claim -> supported, refuted or not enough information.

`scifact/claims_train.jsonl` under RAGMED_DATA, one claim a line, as published:

    {"id": 2, "claim": "1 in 5 million in UK have abnormal PrP positivity.", "cited_doc_ids": [13734012],
     "evidence": {"13734012": [{"sentences": [4], "label": "CONTRADICT"}]}}

The paper's labels are SUPPORTS, REFUTES and NOINFO, the files' SUPPORT, CONTRADICT and no evidence at all; the options
here say the same in words. The paper labels pairs of a claim and an abstract; the label of a claim is that of its
evidence. None of the 809 training claims has evidence of both kinds (332 are supported, 173 refuted, 304 have none);
one that had would have no single right answer, and is refused.

`documents`: for a claim with evidence, the abstracts that hold it, not the others that were cited beside them. For a
claim without, the abstracts that were cited and read in vain: its label says that these do not settle it, nothing
about other abstracts. So the oracle arm shows the annotators' abstracts for every claim, and whether there are
passages gives nothing of the label away; and the distractor arm never shows an abstract that a label rests on. What
retrieval adds for such a claim may well settle it, and closed-book arms have nothing that the label could refer to:
read the effect for that label apart from the others.

Claims that cite a common abstract (often one and its negation), or have the same words, are one group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ragmed.errors import DataError
from ragmed.records import Example
from ragmed.tasks.invented import AILMENTS, DRUGS, write_lines
from ragmed.tasks.loading import data_file, examples_of, id_of, json_records, text_of
from ragmed.tasks.task import Split, Task
from ragmed.workspace import Workspace

OPTIONS = {"A": "supported", "B": "refuted", "C": "not enough information"}
LETTERS = {"SUPPORT": "A", "CONTRADICT": "B"}
NO_EVIDENCE = "C"


def load(workspace: Workspace) -> Split:
    """DataError names the file and the line where a claim cannot be used."""
    path = data_file(workspace, "scifact", "claims_train.jsonl", of="SciFact")
    cited: list[tuple[str, ...]] = []
    examples = examples_of(json_records(path, "SciFact claims"), partial(_example, cited=cited))
    return Split(tuple(_grouped(examples, cited)))


def _example(record: Mapping[str, Any], *, cited: list[tuple[str, ...]]) -> Example:
    """The example; `cited` gets the abstracts that its claim cites."""
    for field, kind in (("cited_doc_ids", list), ("evidence", dict)):
        if not isinstance(record.get(field), kind):
            raise DataError(f"'{field}' is {'no ' + kind.__name__ if field in record else 'missing'}")
    abstracts = tuple(str(document) for document in record["cited_doc_ids"])
    labels = {str(doc): {str(part["label"]) for part in parts} for doc, parts in record["evidence"].items()}
    key, claim = id_of(record, "id"), text_of(record, "claim")
    if not abstracts:
        raise DataError("'cited_doc_ids' names no abstract")
    if not set(labels) <= set(abstracts) or not all(labels.values()):
        raise DataError("there is evidence without a label, or from an abstract that is not cited")
    verdicts = set().union(*labels.values())
    if not verdicts <= set(LETTERS):
        raise DataError(f"label '{min(verdicts - set(LETTERS))}'; known: {', '.join(LETTERS)}")
    if len(verdicts) > 1:
        raise DataError(f"claim '{key}' has evidence for and against it, and so no single right answer")
    gold = LETTERS[verdicts.pop()] if verdicts else NO_EVIDENCE
    documents = tuple(doc for doc in abstracts if doc in labels) or abstracts
    cited.append(abstracts)
    return Example(key, claim, options=OPTIONS, gold=gold, documents=documents)


# Not by `splits.linked`: that finds the same groups and names some of them by another abstract (those of 11 published
# claims), and an example whose group's name is another is another example to every run that holds it.
def _grouped(examples: Sequence[Example], cited: Sequence[Sequence[str]]) -> list[Example]:
    """The examples with their groups, each named by its first abstract: chains of shared abstracts and words."""
    group: dict[str, str] = {}
    for example, abstracts in zip(examples, cited, strict=True):
        links = [*abstracts, f"claim {_key(example)}"]
        names = {group.setdefault(link, abstracts[0]) for link in links}
        keep = group[links[0]]
        if len(names) > 1:
            group.update({link: keep for link, name in group.items() if name in names})
    return [replace(example, group=group[abstracts[0]]) for example, abstracts in zip(examples, cited, strict=True)]


def _key(example: Example) -> str:
    return " ".join(example.question.casefold().split())


def invent(folder: Path) -> None:
    """36 claims on as many invented abstracts; the abstracts (`scifact-beir/corpus.jsonl`) can be made an index of."""
    claims, abstracts = [], []
    for n in range(36):
        drug, ill, doc = DRUGS[n % len(DRUGS)], AILMENTS[n // 3], str(9000 + n)
        label = ("SUPPORT", "CONTRADICT", "")[n % 3]
        found = {"SUPPORT": "halved", "CONTRADICT": "did not change", "": "has never been asked whether it changed"}
        evidence = {doc: [{"sentences": [1], "label": label}]} if label else {}
        claim = f"{drug} halved the number of people with {ill} in ward {n}."
        claims.append({"id": n, "claim": claim, "evidence": evidence, "cited_doc_ids": [int(doc)]})
        text = f"We gave {drug} in ward {n}. It {found[label]} the number of people with {ill}."
        abstracts.append({"_id": doc, "title": f"{drug} in ward {n}", "text": text, "metadata": {}})
    write_lines(folder / "scifact" / "claims_train.jsonl", claims)
    write_lines(folder / "scifact-beir" / "corpus.jsonl", abstracts)


SCIFACT = Task(
    name="scifact",
    title="SciFact, training claims: supported, refuted or not enough information",
    kind="choice",
    instruction=(
        "You check scientific claims against published research. A claim is supported, refuted, or there is not enough "
        "information to say."
    ),
    load=load,
    source="SciFact claims_train.jsonl, github.com/allenai/scifact (Wadden et al. 2020, arXiv 2004.14974)",
    license="CC BY 4.0 (claims), ODC-By 1.0 (abstracts)",
    metrics=("macro_f1", "accuracy"),
    gold_documents=True,
    ids="scifact",
    label="Claim",
    get=(
        "Open: data.tar.gz of github.com/allenai/scifact holds claims_train.jsonl, which goes into scifact/ under "
        "RAGMED_DATA; the abstracts, to be searched, come in BEIR's layout (scifact.zip), into scifact-beir/."
    ),
    invent=invent,
)
