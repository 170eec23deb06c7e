"""Evidence Inference 2.0 (DeYoung et al. 2020, BioNLP, arXiv 2005.04177): the report of a trial, and a question of what
an intervention did to an outcome -> significantly increased, significantly decreased, or no significant difference.

`evidence-inference/prompts_merged.csv` and `evidence-inference/v2_annotations.csv` under RAGMED_DATA, and the articles'
texts in `corpora/pmc-trials-ccby.tar.xz`, which is read in place; only texts that a prompt needs are kept. A prompt and
one of its annotations (shortened):

    PromptID,PMCID,Outcome,Intervention,Comparator
    213,2206488,IL-6r (ng/ml),dextran-70 infusion …,identical amounts of gelatin infusion

    UserID,PromptID,PMCID,Valid Label,Valid Reasoning,Label,Annotations,…,Evidence Start,Evidence End
    0,11166,59610,True,True,significantly decreased,"Total mortality …",…,16280,16349

`significantly increase` is a slip of the pen for `significantly increased`. Every annotator whose label the publisher's
verifier accepted (`Valid Label`) has one vote; the label of a prompt is that of more than half of them. Prompts without
such a label are left out, as are those whose article has no text here; the notes of a run count both.

The article is the example's record: its sections, by the marks in the text, each a document named `section_N`. Gold
documents are the sections that hold evidence which was given for that label and accepted (`Valid Reasoning`), or, where
none was accepted, any that was given for it. The retriever is asked the prompt. An article is a group.
Where the publisher's `splits/` lies beside the tables (`test_article_ids.txt`, `validation_article_ids.txt`,
`train_article_ids.txt`), its test articles are scored, or, where none of them has a text here, its validation articles,
and few-shot examples come from its training articles. Else few-shot examples come from articles whose id hashes into
one part of 16, and all others are scored.

`evidence_inference` asks for the label; `evidence_inference_spans` for a JSON object with the label and the words of
the report that say so. Its gold holds, for each annotator whose evidence counts, the words that they marked. Given as
an answer, it scores 0.991 for `quote_found` on the 1,048 prompts that are scored here, and 1 for the rest: nine marks
begin or end within a word of the text ("he mean improvement", "Weight" of the table's "monthWeight").
"""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ragmed.corpora.members import Member, load_text, members
from ragmed.corpora.pmc import sections
from ragmed.errors import DataError
from ragmed.files import read_text
from ragmed.records import ContextDocument, Example
from ragmed.tasks.invented import AILMENTS, DRUGS, write_rows
from ragmed.tasks.loading import csv_records, data_file, made
from ragmed.tasks.splits import split_by_hash
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import LABEL, PromptForm
from ragmed.text_table import counted, verb
from ragmed.workspace import Workspace

OPTIONS = {"A": "significantly increased", "B": "significantly decreased", "C": "no significant difference"}
LETTERS = {**{text: letter for letter, text in OPTIONS.items()}, "significantly increase": "A"}
PROMPT = ("PromptID", "PMCID", "Outcome", "Intervention", "Comparator")
ANNOTATION = ("UserID", "PromptID", "PMCID", "Valid Label", "Valid Reasoning", "Label", "Annotations",
              "Evidence Start", "Evidence End")  # fmt: skip
DEV_PARTS = 16
FOLDER, NAME = "evidence-inference", "Evidence Inference"
TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class _Annotation:
    annotator: str
    prompt: str
    article: str
    letter: str
    accepted: bool
    reasoned: bool
    start: int
    end: int
    words: str


@dataclass(frozen=True, slots=True)
class _Part:
    start: int
    end: int
    document: ContextDocument


def load_spans(workspace: Workspace) -> Split:
    """As `load`, with the words that were marked as gold."""
    return load(workspace, spans=True)


def load(workspace: Workspace, *, spans: bool = False) -> Split:
    """DataError names the file and the line where a prompt or an annotation cannot be used."""
    prompts: dict[str, Mapping[str, str]] = {}
    for where, row in _rows(workspace, "prompts_merged.csv", PROMPT):
        if prompts.setdefault(row["PromptID"], row) is not row:
            raise DataError(f"{where}: the prompt '{row['PromptID']}' is there twice; keep one")
    given: dict[str, list[_Annotation]] = defaultdict(list)
    for where, row in _rows(workspace, "v2_annotations.csv", ANNOTATION):
        one = made(_annotation, row, where)
        if one.prompt not in prompts or prompts[one.prompt]["PMCID"] != one.article:
            raise DataError(
                f"{where}: no prompt '{one.prompt}' on article {one.article} in prompts_merged.csv; fetch both again"
            )
        given[one.prompt].append(one)
    archive = data_file(workspace, "corpora", "pmc-trials-ccby.tar.xz", of=NAME)
    articles = _articles(archive, {several[0].article for several in given.values()})
    examples: list[Example] = []
    undecided = textless = 0
    for prompt, several in given.items():
        letter = _majority(several)
        if several[0].article not in articles:
            textless += 1
        elif not letter:
            undecided += 1
        else:
            example = _example(prompts[prompt], letter, several, articles[several[0].article])
            examples.append(replace(example, options={}, gold=_spans(letter, several)) if spans else example)
    scored, shown, split_note = _sides(workspace.data / FOLDER / "splits", examples)
    notes = (
        f"{counted(textless, 'prompt')} {verb(textless, 'has', 'have')} no article "
        f"here, and {undecided} no label that more than "
        "half of their accepted "
        f"annotators gave; {counted(len(examples), 'prompt')} {verb(len(examples), 'is', 'are')} left.",
        split_note,
    )
    return Split(scored, shown, notes)


def _rows(workspace: Workspace, name: str, columns: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    path = data_file(workspace, FOLDER, name, of=NAME)
    return csv_records(path, "Evidence Inference table", needs=columns)


def _sides(folder: Path, examples: Sequence[Example]) -> tuple[tuple[Example, ...], tuple[Example, ...], str]:
    """What is scored, what may be shown, and a sentence on which split that is."""
    if not folder.is_dir():
        split = split_by_hash(examples, of="evidence_inference", parts=DEV_PARTS)
        return (
            split.examples,
            split.shots,
            "Without the publisher's split, prompts on one in 16 articles are kept to be shown.",
        )
    on: dict[str, tuple[Example, ...]] = {}
    for name in ("test", "validation", "train"):
        ids = read_text(folder / f"{name}_article_ids.txt", f"Evidence Inference's {name} articles").split()
        on[name] = tuple(example for example in examples if example.group.removeprefix("PMC") in ids)
    scored_of = "test" if on["test"] else "validation"
    return on[scored_of], on["train"], f"Scored are prompts on the publisher's {scored_of} articles."


def _annotation(row: Mapping[str, str]) -> _Annotation:
    label = row["Label"].strip()
    if not row["Annotations"].strip():
        raise DataError("the column 'Annotations' is empty; fetch the file again")
    if label not in LETTERS:
        raise DataError(f"label '{label}'; known: {', '.join(LETTERS)}")
    accepted, reasoned = (TRUTH[row[name].strip().lower()] for name in ("Valid Label", "Valid Reasoning"))
    start, end = int(row["Evidence Start"]), int(row["Evidence End"])
    return _Annotation(
        row["UserID"],
        row["PromptID"],
        row["PMCID"],
        LETTERS[label],
        accepted,
        reasoned,
        start,
        end,
        row["Annotations"].strip(),
    )


def _articles(archive: Path, wanted: set[str]) -> dict[str, tuple[_Part, ...]]:
    found = {}
    for item in members(archive, (".txt",)):
        if isinstance(item, Member) and (id_ := PurePosixPath(item.name).stem.removeprefix("PMC")) in wanted:
            try:
                found[id_] = _parts(load_text(item))
            except ValueError as error:
                raise DataError(f"'{item.file}' cannot be read ({error}); fetch the archive again") from error
    return found


def _parts(text: str) -> tuple[_Part, ...]:
    parts = []
    for number, section in enumerate(sections(text)):
        body = text[section.start : section.end].strip()
        if body:
            title = " > ".join(section.headings)
            parts.append(_Part(section.start, section.end, ContextDocument(body, title, id=f"section_{number}")))
    return tuple(parts)


def _majority(annotations: Sequence[_Annotation]) -> str:
    """The letter that more than half of the annotators with an accepted label gave; '' where there is none."""
    votes = {(one.annotator, one.letter) for one in annotations if one.accepted}
    voters = len({annotator for annotator, _ in votes})
    most = Counter(letter for _, letter in votes).most_common(1)
    return most[0][0] if most and 2 * most[0][1] > voters else ""


def _evidence(letter: str, annotations: Sequence[_Annotation]) -> list[_Annotation]:
    """What was given for a label and accepted; where nothing was accepted, what was given."""
    given = [one for one in annotations if one.letter == letter]
    return [one for one in given if one.reasoned] or given


def _spans(letter: str, annotations: Sequence[_Annotation]) -> dict[str, tuple[str, ...]]:
    """Each annotator's words once: in the published table rows stand twice, and sentences beside their passages."""
    marked: dict[str, list[str]] = defaultdict(list)
    for one in _evidence(letter, annotations):
        marked[one.annotator].append(one.words)
    return {"label": (OPTIONS[letter],), "evidence": tuple("\n".join(_once(words)) for words in marked.values())}


def _once(texts: Sequence[str]) -> list[str]:
    """
    >>> _once(["Sleep was alike.", "p = 0.8", "Sleep was alike. It was short.", "p = 0.8"])
    ['p = 0.8', 'Sleep was alike. It was short.']

    The texts that no other one holds, each once.
    """
    different = list(dict.fromkeys(texts))
    return [one for one in different if not any(one in other for other in different if other != one)]


def _example(
    prompt: Mapping[str, str], letter: str, annotations: Sequence[_Annotation], parts: Sequence[_Part]
) -> Example:
    evidence = [one for one in _evidence(letter, annotations) if one.start >= 0]
    asked = (f"{name}: {prompt[name].strip().rstrip('.')}." for name in ("Intervention", "Comparator", "Outcome"))
    return Example(
        prompt["PromptID"],
        " ".join(asked),
        tuple(part.document for part in parts),
        options=OPTIONS,
        gold=letter,
        documents=tuple(
            part.document.id for part in parts if any(one.start < part.end and part.start < one.end for one in evidence)
        ),
        group=f"PMC{prompt['PMCID']}",
    )


def _label_and_first_words(example: Example) -> str:
    gold = example.gold
    assert isinstance(gold, Mapping)
    return json.dumps({"label": gold["label"][0], "evidence": gold["evidence"][0]}, ensure_ascii=False)


def invent(folder: Path) -> None:
    """Thirty-two articles with two questions each, some of which are held out; no trial was made."""
    prompts: list[tuple[object, ...]] = []
    annotations: list[tuple[object, ...]] = []
    place = folder / "corpora" / "pmc-trials-ccby.tar.xz"
    place.parent.mkdir(parents=True)
    with tarfile.open(place, "w:xz") as archive:
        for n in range(32):
            drug, ill = DRUGS[n % len(DRUGS)], AILMENTS[n % len(AILMENTS)]
            days = f"With {drug} the days with {ill} fell from {n + 9} to {n + 4} (p = 0.01)."
            sleep = f"Sleep did not differ between the {2 * n + 40} people of both groups."
            text = (
                f"TITLE: {drug} in {ill}\n\n  ABSTRACT.METHODS:\nWe gave {drug} to {n + 20} of {2 * n + 40} people.\n\n"
                f"BODY.METHODS.BLINDING:\nNobody knew what was {drug}.\n\nBODY.RESULTS:\n{days}\n\n"
                f"BODY.DISCUSSION:\n{sleep}\n"
            )
            member = tarfile.TarInfo(f"txt_files/PMC{9000 + n}.txt")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
            for outcome, label, words in (
                (f"days with {ill}", OPTIONS["B"], days), ("sleep", OPTIONS["C"], sleep),
            ):  # fmt: skip
                prompts.append((len(prompts), 9000 + n, outcome, drug, "nothing"))
                start = text.index(words)
                given = (0, len(prompts) - 1, 9000 + n, True, True, label, words, start, start + len(words))
                annotations.append(given)
    write_rows(folder / FOLDER / "prompts_merged.csv", PROMPT, prompts)
    write_rows(folder / FOLDER / "v2_annotations.csv", ANNOTATION, annotations)


LABEL_AND_EVIDENCE = PromptForm(
    "label-and-evidence",
    lambda _: (
        'Answer with one JSON object only, {"label": "…", "evidence": "…"}: the label is one of '
        f"{', '.join(OPTIONS.values())}; the evidence is the sentence of the report that says so, word for word."
    ),
    _label_and_first_words,
    "json",
)
EVIDENCE_INFERENCE = Task(
    name="evidence_inference",
    title="Evidence Inference: what a trial's report says an intervention did to an outcome",
    kind="choice",
    instruction=(
        "You read the report of a randomised trial. Tell what it says of the outcome under the intervention, compared "
        "with the comparator."
    ),
    load=load,
    source=(
        "Evidence Inference 2.0, prompts_merged.csv and v2_annotations.csv, github.com/jayded/evidence-inference "
        "(DeYoung et al. 2020, arXiv 2005.04177)"
    ),
    license="MIT (prompts and annotations), CC BY (articles)",
    metrics=("macro_f1", "accuracy"),
    form=LABEL,
    gold_documents=True,
    context_label="Report",
    ids="section",
    record=True,
    get=(
        "From github.com/jayded/evidence-inference, annotations/: put prompts_merged.csv and v2_annotations.csv into "
        "evidence-inference/ under RAGMED_DATA, with splits/ where its split is to be kept, and the "
        "articles' texts (txt_files/PMC*.txt) as "
        "corpora/pmc-trials-ccby.tar.xz."
    ),
    invent=invent,
)
SPANS = replace(
    EVIDENCE_INFERENCE,
    name="evidence_inference_spans",
    title="Evidence Inference: what a trial's report says, with the words that say so",
    kind="text",
    load=load_spans,
    metrics=("evidence_token_f1", "label_accuracy", "quote_found"),
    form=LABEL_AND_EVIDENCE,
    max_tokens=256,
)
