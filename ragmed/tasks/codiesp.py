"""CodiEsp (Miranda-Escalada et al. 2020, CLEF 2020 Working Notes): a case report -> its ICD-10-CM codes.

`codiesp/train` and `codiesp/dev` under RAGMED_DATA: folders, or archives that are read in place (`dev.tar.xz`, .tar.gz,
.zip), laid out as published:

    text_files/ID.txt        the report in Spanish          text_files_en/ID.txt     its machine translation
    devD.tsv                 ID <TAB> q62.11                codes of diagnoses, findings and symptoms, no header

`codiesp` asks in English, `codiesp_es` in Spanish; the codes are the same. The evidence (`devX.tsv`) is read by
`codiesp_evidence`, procedures (`devP.tsv`, ICD-10-PCS) are not read. The annotators leave the seventh character out
where the report does not say the encounter (W19.XXX): such codes stand in no table, and are scored as published.

The report is the example's own material; a retriever is asked its sentences, up to 60 words at a time. Gold documents
are the codes themselves, as a corpus of the ICD-10-CM table names them (`ids: icd10cm`), so the oracle arm shows what
the right codes mean. Reports of one article are one group. The development reports are scored; few-shot examples come
from the training reports, but not from articles of which there is a development report (there are 15).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ragmed.corpora.archives import ARCHIVE_NAME
from ragmed.corpora.members import Member, load_text, members
from ragmed.errors import DataError
from ragmed.metrics.icd10 import is_wellformed
from ragmed.records import ContextDocument, Example
from ragmed.tasks.coding import FURTHER, IDS, METRICS, gold_codes, note_queries
from ragmed.tasks.invented import write_text
from ragmed.tasks.task import Split, Task
from ragmed.tasks.words import CODES
from ragmed.workspace import Workspace

TEXTS = {"en": "text_files_en", "es": "text_files"}


def load_english(workspace: Workspace) -> Split:
    """DataError names the file, and the line, of what is not as published."""
    return _load(workspace, "en")


def load_spanish(workspace: Workspace) -> Split:
    """The same for the reports as they were written."""
    return _load(workspace, "es")


def _load(workspace: Workspace, language: str) -> Split:
    scored, shown = (_examples(place_of(workspace, split), split, language) for split in ("dev", "train"))
    grouped = tuple(_one_group_of_equal_texts([*scored, *shown]))
    examples = grouped[: len(scored)]
    articles = {example.group for example in examples}
    return Split(examples, tuple(example for example in grouped[len(scored) :] if example.group not in articles))


def place_of(workspace: Workspace, split: str) -> Path:
    """The folder of `dev` or `train`, or the archive of it; DataError where there is not one of them."""
    folder = workspace.data / "codiesp"
    if (folder / split).is_dir():
        return folder / split
    found = [path for path in sorted(folder.glob(f"{split}.*")) if ARCHIVE_NAME.search(path.name)]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(
            f"the folder '{folder / split}' or one archive of it ({split}.tar.xz, {split}.zip) was expected, found "
            f"{names}: put CodiEsp's {split} set there, or set RAGMED_DATA to the folder that holds codiesp/"
        )
    return found[0]


def _examples(place: Path, split: str, language: str) -> list[Example]:
    texts: dict[str, str] = {}
    codes: dict[str, list[str]] = {}
    table = f"{split}D.tsv"
    for member in members(place, (".txt", ".tsv")):
        if not isinstance(member, Member):
            continue
        name = PurePosixPath(member.name)
        try:
            if name.name == table:
                codes = _codes(load_text(member), member.file)
            elif name.parent.name == TEXTS[language] and name.suffix == ".txt":
                texts[name.stem] = load_text(member).strip()
        except ValueError as error:
            raise DataError(f"CodiEsp '{member.file}': {error}") from error
    if not codes or not texts:
        missing = table if not codes else f"{TEXTS[language]}/"
        raise DataError(f"CodiEsp '{place}' holds no {missing}; fetch it again")
    if unmatched := sorted(texts.keys() ^ codes.keys()):
        has = "a text and no code" if unmatched[0] in texts else f"codes in {table} and no text in {TEXTS[language]}/"
        raise DataError(f"CodiEsp '{place}': report '{unmatched[0]}' has {has}; fetch it again")
    return [_example(id_, texts[id_], codes[id_]) for id_ in sorted(texts)]


def _codes(text: str, file: str) -> dict[str, list[str]]:
    codes: dict[str, list[str]] = defaultdict(list)
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not line.strip():
            continue
        if len(cells) != 2 or not cells[0] or not is_wellformed(cells[1]):
            raise ValueError(f"line {number}: a report's id and an ICD-10-CM code, separated by a tab, were expected")
        codes[cells[0]].append(cells[1])
    return dict(codes)


def _example(id_: str, text: str, codes: list[str]) -> Example:
    gold = gold_codes(codes)
    return Example(id_, "", (ContextDocument(text),), gold=gold, documents=gold, group=id_.rpartition("-")[0] or id_)


def _one_group_of_equal_texts(examples: list[Example]) -> Iterator[Example]:
    first: dict[str, str] = {}
    for example in examples:
        key = " ".join(example.text.split())
        yield replace(example, group=first.setdefault(key, example.group))


def invent(folder: Path) -> None:
    """Twelve reports to score and six to show, in both languages; none is of a patient."""
    kinds = [
        ("asthma and cough", "asma y tos", {"j45.909": "asma", "r05": "tos"}),
        ("hypertension", "hipertensión", {"i10": "hipertensión"}),
        (
            "type 2 diabetes and a foot ulcer",
            "diabetes tipo 2 y una úlcera del pie",
            {"e11.621": "diabetes tipo 2", "l97.509": "úlcera del pie"},
        ),
    ]
    for split, count, age in (("dev", 12, 40), ("train", 6, 60)):
        coded, evidence = "", ""
        made = [(f"S0000-{split.upper()}{n // 2:04}-{n % 2 + 1}", n, kinds[n % len(kinds)]) for n in range(count)]
        for id_, n, (english, spanish, codes) in made:
            texts = {
                "en": f"A man of {age + n} years is seen for {english}. He recovers. He leaves after {n + 2} days.\n",
                "es": f"Varón de {age + n} años con {spanish}. Mejora. Es dado de alta a los {n + 2} días.\n",
            }
            for language, part in TEXTS.items():
                write_text(folder / "codiesp" / split / part / f"{id_}.txt", texts[language])
            for code, words in codes.items():
                at = texts["es"].index(words)
                coded += f"{id_}\t{code}\n"
                evidence += f"{id_}\tDIAGNOSTICO\t{code}\t{words}\t{at} {at + len(words)}\n"
        write_text(folder / "codiesp" / split / f"{split}D.tsv", coded)
        write_text(folder / "codiesp" / split / f"{split}X.tsv", evidence)


_INSTRUCTION = (
    "You code clinical case reports{language}. Give the ICD-10-CM codes of all diagnoses, symptoms and findings that "
    "the report documents, as specific as the report allows."
)
CODIESP = Task(
    name="codiesp",
    title="CodiEsp in English: case reports, each to be coded in ICD-10-CM",
    kind="text",
    instruction=_INSTRUCTION.format(language=""),
    load=load_english,
    source="CodiEsp 1.4, doi.org/10.5281/zenodo.3625746 (Miranda-Escalada et al. 2020), development set, in English",
    license="CC BY 4.0",
    metrics=METRICS,
    form=CODES,
    query=note_queries,
    gold_documents=True,
    ids=IDS,
    max_tokens=256,
    context_label="Case report",
    further=FURTHER,
    get=(
        "Open: doi.org/10.5281/zenodo.3625746; put the folders train and dev, or an archive of each, into codiesp/ "
        "under RAGMED_DATA."
    ),
    invent=invent,
)
CODIESP_ES = replace(
    CODIESP,
    name="codiesp_es",
    title="CodiEsp: Spanish case reports, each to be coded in ICD-10-CM",
    instruction=_INSTRUCTION.format(language=" that are written in Spanish"),
    load=load_spanish,
    source="CodiEsp 1.4, doi.org/10.5281/zenodo.3625746 (Miranda-Escalada et al. 2020), development set",
)
