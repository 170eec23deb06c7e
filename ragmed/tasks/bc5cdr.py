"""BC5CDR (Li et al. 2016, 10.1093/database/baw068): a sentence of a PubMed abstract -> its chemicals and diseases.

`bc5cdr/train.tsv` and `bc5cdr/devel.tsv` under RAGMED_DATA, in the IOB form of MTL-Bioinformatics-2016 (Crichton et al.
2017, 10.1186/s12859-017-1776-8): a token and its label a line, with a tab between, and an empty line after a sentence.

    Lithium\\tB-Chemical
    caused\\tO
    renal\\tB-Disease
    failure\\tI-Disease
    .\\tO

    (empty line)

An example is a sentence, its tokens joined by blanks ("Lithium caused renal failure ."), with the mentions of either
type as gold, in their order, each once; sentences without any are asked too, since what is found in them is wrong.
devel is scored, few-shot examples come from train. The retriever is asked the sentence.

The files do not say where a document ends, and sentences of one abstract go together. So BLOCK consecutive sentences
are one group, joined with any other block that holds the same sentence. An abstract has nine sentences on average
(4,581 of devel for 500 abstracts), so that of all pairs of sentences of one abstract about nine in ten are resampled
together (two that stand d apart are in one block 1 - d / BLOCK of the time), beside many pairs of two abstracts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ragmed.errors import DataError
from ragmed.files import read_text
from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import DRUGS, write_text
from ragmed.tasks.loading import data_file
from ragmed.tasks.splits import linked
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import JSON
from ragmed.workspace import Workspace

TYPES = {"Chemical": "chemicals", "Disease": "diseases"}
"""The types of the labels -> their names in an answer."""
BLOCK = 30

Sentence = list[tuple[str, str]]


def load(workspace: Workspace) -> Split:
    """DataError names the file and the line where a label cannot be used."""
    scored, shown = (
        _examples(data_file(workspace, "bc5cdr", f"{part}.tsv", of="BC5CDR")) for part in ("devel", "train")
    )
    return Split(scored, shown)


def _examples(path: Path) -> tuple[Example, ...]:
    """An example a sentence, in order."""
    part, sentences = path.stem, list(_sentences(path))
    texts = [" ".join(token for token, _ in sentence) for sentence in sentences]
    groups = linked([(("block", i // BLOCK), text) for i, text in enumerate(texts)])
    return tuple(
        Example(
            f"{part}-{number + 1:05d}",
            "",
            (ContextDocument(text),),
            gold=_gold(sentence),
            group=f"{part}-{group + 1:05d}",
        )
        for number, (sentence, text, group) in enumerate(zip(sentences, texts, groups, strict=True))
    )


def _sentences(path: Path) -> Iterator[Sentence]:
    sentence: Sentence = []
    for number, line in enumerate(read_text(path, "BC5CDR sentences").split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip():
            if sentence:
                yield sentence
            sentence = []
            continue
        token, tab, label = line.partition("\t")
        where = f"BC5CDR sentences '{path}', line {number}"
        if not tab or not token.strip() or "\t" in label:
            raise DataError(f"{where}: a token, a tab and a label were expected, found '{line[:60]}'; fetch it again")
        place, _, kind = label.partition("-")
        if label != "O" and (place not in ("B", "I") or kind not in TYPES):
            known = ", ".join(f"{place}-{kind}" for kind in TYPES for place in "BI")
            raise DataError(f"{where}: label '{label[:60]}'; known: O, {known}")
        if place == "I" and not (sentence and sentence[-1][1] in (f"B-{kind}", f"I-{kind}")):
            raise DataError(f"{where}: 'I-{kind}' goes on with a mention that was not begun; B-{kind} begins one")
        sentence.append((token.strip(), label))
    if sentence:
        yield sentence


def _gold(sentence: Sentence) -> dict[str, tuple[str, ...]]:
    mentions: dict[str, list[str]] = {name: [] for name in TYPES.values()}
    for token, label in sentence:
        place, _, kind = label.partition("-")
        if place == "B":
            mentions[TYPES[kind]].append(token)
        elif place == "I":
            mentions[TYPES[kind]][-1] += f" {token}"
    return {name: tuple(dict.fromkeys(found)) for name, found in mentions.items()}


def invent(folder: Path) -> None:
    """Twelve sentences to score and twelve to show."""
    for place, part in enumerate(("devel", "train")):
        lines = []
        for n, drug in enumerate(DRUGS):
            lines += [f"{drug}\tB-Chemical", "caused\tO", "renal\tB-Disease", "failure\tI-Disease", "in\tO"]
            lines += [f"{40 * place + n + 2}\tO", "wards\tO", ".\tO", ""]
        write_text(folder / "bc5cdr" / f"{part}.tsv", "\n".join([*lines, ""]))


BC5CDR = Task(
    name="bc5cdr",
    title="BC5CDR: which chemicals and which diseases does a sentence name?",
    kind="text",
    instruction=(
        "You are given a sentence of a scientific abstract. List every chemical or drug and every disease that it "
        'names, word for word as it stands there, as {"chemicals": ["..."], "diseases": ["..."]}; a list is empty '
        "where it names none."
    ),
    load=load,
    source=(
        "BC5CDR-IOB, github.com/cambridgeltl/MTL-Bioinformatics-2016 (Crichton et al. 2017); corpus of Li et al. 2016, "
        "Database 2016 baw068"
    ),
    license="CC BY 4.0",
    metrics=("entity_f1", "entity_f1_overlap"),
    form=JSON,
    max_tokens=256,
    context_label="Sentence",
    get=(
        "Open: data/BC5CDR-IOB/train.tsv and devel.tsv of github.com/cambridgeltl/MTL-Bioinformatics-2016, into "
        "bc5cdr/ under RAGMED_DATA."
    ),
    invent=invent,
)
