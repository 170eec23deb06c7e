"""CodiEsp-X: codes with the words that show them, in the publisher's layout, and the real sets where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragmed.errors import DataError
from ragmed.metrics.code_evidence import CODE_EVIDENCE_F1
from ragmed.metrics.codes import CODE_F1
from ragmed.prompts import build_messages
from ragmed.records import Example, Sample
from ragmed.tasks import TaskSettings, invent_sample, load_task
from ragmed.tasks.codiesp import CODIESP_ES
from ragmed.tasks.codiesp_evidence import CODIESP_EVIDENCE
from ragmed.tasks.reading import find_reader
from ragmed.workspace import Workspace

REAL = Workspace.find(Path(__file__).parent.parent)
GOLD = {"codes": ("J45.909", "R05", "R05"), "evidence": ("asma grave", "tos", "tose de noche")}
NOTE = Example("n1", "", gold=GOLD)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    invent_sample("codiesp_evidence", tmp_path / "data")
    return Workspace.find(tmp_path)


@pytest.mark.skipif(not (REAL.data / "codiesp").is_dir(), reason="needs codiesp/ under RAGMED_DATA")
def test_the_real_sets_have_evidence_for_every_code() -> None:
    split, plain = CODIESP_EVIDENCE.load(REAL), CODIESP_ES.load(REAL)
    assert (len(split.examples), len(split.shots)) == (250, 482)
    assert sum(len(example.gold["codes"]) for example in split.examples) == 3431  # rows of diagnoses in devX.tsv
    for mine, other in zip(split.examples, plain.examples, strict=True):
        assert (mine.id, mine.group, mine.context, mine.documents) == (
            other.id, other.group, other.context, other.documents,
        )  # fmt: skip
        assert set(mine.gold["codes"]) == set(other.gold)
    first = {e.id: e for e in split.examples}["S0004-06142005000900016-1"].gold
    assert (first["codes"][0], first["evidence"][0]) == ("Q62.11", "estenosis en la unión pieloureteral derecha")


def test_codes_and_words_are_asked_for_and_shown_side_by_side(here: Workspace) -> None:
    bound = load_task("codiesp_evidence", TaskSettings(shots=1), workspace=here, seed=0)
    assert (len(bound.examples), len(CODIESP_EVIDENCE.load(here).shots)) == (12, 6)
    asthma = next(e for e in bound.examples if e.id == "S0000-DEV0000-1")
    assert asthma.gold == {"codes": ("J45.909", "R05"), "evidence": ("asma", "tos")}
    _, _, shown, asked = build_messages(bound, asthma)
    assert shown.content.startswith('{"codes": ["')
    assert asked.content.endswith("Varón de 40 años con asma y tos. Mejora. Es dado de alta a los 2 días.")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("S0000-DEV0000-1\tDIAGNOSTICO\tr05\ttos\t1 4\tmore", "line 1: a report's id, DIAGNOSTICO or PROCEDIMIENTO"),
        ("S0000-DEV0000-1\tSINTOMA\tr05\ttos\t1 4", "line 1: a report's id, DIAGNOSTICO or PROCEDIMIENTO"),
        ("S0000-DEV0000-1\tDIAGNOSTICO\ttos\tr05\t1 4", "line 1: 'tos' is no ICD-10-CM code"),
        (
            "S0000-DEV0000-1\tDIAGNOSTICO\tr06\ttos\t1 4",
            "'S0000-DEV0000-1' has other codes in devX.tsv than in devD.tsv",
        ),
    ],
)
def test_what_is_not_as_published_is_named(here: Workspace, line: str, said: str) -> None:
    table = here.data / "codiesp" / "dev" / "devX.tsv"
    table.write_text(f"{line}\n{table.read_text(encoding='utf-8')}", encoding="utf-8")
    with pytest.raises(DataError, match=said):
        CODIESP_EVIDENCE.load(here)
    table.unlink()
    with pytest.raises(DataError, match=r"holds no devX\.tsv; fetch it again"):
        CODIESP_EVIDENCE.load(here)


def test_procedures_are_passed_over(here: Workspace) -> None:
    before = CODIESP_EVIDENCE.load(here)
    table = here.data / "codiesp" / "dev" / "devX.tsv"
    table.write_text("S0000-DEV0000-1\tPROCEDIMIENTO\tbt41zzz\teco\t1 4\n" + table.read_text(encoding="utf-8"), "utf-8")
    assert CODIESP_EVIDENCE.load(here) == before


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (GOLD, (2, 0, 0)),
        ({"codes": ["J45909", "r05"], "evidence": ["Asma", "tose mucho de noche"]}, (2, 0, 0)),
        ({"codes": ["R05", "R05"], "evidence": ["fiebre", "tos"]}, (1, 0, 1)),  # one of its quotations is right
        ({"codes": ["R05", "J45.909"], "evidence": ["asma grave", "tos"]}, (0, 2, 2)),  # turned round
        ({"codes": ["R05"], "evidence": []}, (0, 1, 2)),
        ({"codes": ["I10"], "evidence": ["tos"]}, (0, 1, 2)),
        ({"codes": "R05", "evidence": "tos"}, (1, 0, 1)),
        ({"codes": ["R05", 7, None], "evidence": [None, "tos"]}, (0, 1, 2)),
        ({"evidence": ["tos"]}, (0, 0, 2)),
        (("R05",), (0, 0, 2)),
        (None, (0, 0, 2)),
    ],
)
def test_a_code_is_found_on_its_own_words_alone(answer: object, counts: tuple[int, int, int]) -> None:
    assert CODE_EVIDENCE_F1.score([(NOTE, answer)]) == [tuple(map(float, counts))]


def test_codes_count_whatever_is_quoted_for_them() -> None:
    sample = Sample("a", "t", NOTE, completion='Sure: {"codes": ["R05", "I10"], "evidence": ["fiebre"]}', finish="stop")
    status, value = find_reader("json").read(sample)
    assert status == "answered"
    assert CODE_F1.score([(NOTE, value)]) == [(1.0, 1.0, 1.0)]
    assert CODE_EVIDENCE_F1.score([(NOTE, value)]) == [(0.0, 2.0, 2.0)]
