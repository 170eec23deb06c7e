"""CodiEsp-X (Miranda-Escalada et al. 2020, CLEF 2020 Working Notes): a Spanish case report -> its ICD-10-CM codes, each
with the words of the report that show it.

The files of `codiesp_es` (see `ragmed.tasks.codiesp`), and beside them `devX.tsv` and `trainX.tsv`, no header, a row a
place: report, DIAGNOSTICO or PROCEDIMIENTO, code, the words, and where they stand in the Spanish report:

    S0000-DEV0001-1 <TAB> DIAGNOSTICO <TAB> q62.11 <TAB> estenosis en la unión <TAB> 540 561

Reports, groups, scored and shown examples, queries and gold documents are those of `codiesp_es`. Gold is two lists,
`codes` and `evidence`: a code stands as often as the report shows it. The English reports are machine translations in
which nobody marked evidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ragmed.corpora.members import Member, load_text, members
from ragmed.errors import DataError
from ragmed.metrics.icd10 import dotted, is_wellformed
from ragmed.records import Example
from ragmed.tasks.codiesp import CODIESP_ES, load_spanish, place_of
from ragmed.tasks.coding import METRICS
from ragmed.tasks.task import Split
from ragmed.tasks.words import JSON
from ragmed.workspace import Workspace

DIAGNOSIS = "DIAGNOSTICO"
KINDS = (DIAGNOSIS, "PROCEDIMIENTO")
Evidence = Mapping[str, list[tuple[str, str]]]


def load(workspace: Workspace) -> Split:
    """DataError names the file, and the line, of what is not as published, and a report whose codes with evidence are
    not its codes.
    """
    split = load_spanish(workspace)
    scored, shown = (_evidence(place_of(workspace, name), name) for name in ("dev", "train"))
    return Split(tuple(_with(split.examples, scored, "dev")), tuple(_with(split.shots, shown, "train")))


def _evidence(place: Path, split: str) -> Evidence:
    """Report -> its codes of diagnoses and the words that show them, row by row."""
    table = f"{split}X.tsv"
    for member in members(place, (".tsv",)):
        if isinstance(member, Member) and Path(member.name).name == table:
            try:
                return _rows(load_text(member))
            except ValueError as error:
                raise DataError(f"CodiEsp '{member.file}': {error}") from error
    raise DataError(f"CodiEsp '{place}' holds no {table}; fetch it again")


def _rows(text: str) -> Evidence:
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not line.strip():
            continue
        if len(cells) != 5 or not all(cells) or cells[1] not in KINDS:
            raise ValueError(
                f"line {number}: a report's id, {' or '.join(KINDS)}, a code, its words and their places were "
                "expected, separated by tabs"
            )
        if cells[1] == DIAGNOSIS:
            if not is_wellformed(cells[2]):
                raise ValueError(f"line {number}: '{cells[2]}' is no ICD-10-CM code")
            found[cells[0]].append((dotted(cells[2]), cells[3]))
    return found


def _with(examples: Iterable[Example], evidence: Evidence, split: str) -> Iterable[Example]:
    for example in examples:
        rows = evidence.get(example.id, [])
        if {code for code, _ in rows} != set(example.gold):
            raise DataError(
                f"CodiEsp: report '{example.id}' has other codes in {split}X.tsv than in {split}D.tsv; fetch it again"
            )
        codes, words = zip(*rows, strict=True)
        yield replace(example, gold={"codes": codes, "evidence": words})


CODIESP_EVIDENCE = replace(
    CODIESP_ES,
    name="codiesp_evidence",
    title="CodiEsp-X: Spanish case reports, each to be coded in ICD-10-CM with the words that show each code",
    instruction=(
        "You code clinical case reports that are written in Spanish. Give the ICD-10-CM codes of all diagnoses, "
        "symptoms and findings that the report documents, as specific as the report allows, and for each code the "
        'words of the report that show it, word for word, as {"codes": ["..."], "evidence": ["..."]}: the first words '
        "belong to the first code, and so on."
    ),
    load=load,
    metrics=("code_evidence_f1", *METRICS),
    form=JSON,
    max_tokens=1024,
)
