import tarfile
from pathlib import Path

import pytest

from ragmed.errors import DataError
from ragmed.tasks.mtsamples_plan import ARCHIVE, MARKER, MTSAMPLES_PLAN, load, note_parts
from ragmed.workspace import Workspace

WORKSPACE = Workspace.find(Path(__file__).parent.parent)
needs_mtsamples = pytest.mark.skipif(
    not (WORKSPACE.data / "mtsamples").is_dir(), reason=f"needs {WORKSPACE.data / 'mtsamples'} (RAGMED_DATA)"
)
BODY = "CHIEF COMPLAINT: The heel number {0} hurts.\nOBJECTIVE: It is tender.PLAN: Rest the heel {0}."


def note(body: str, specialty: str = "Podiatry") -> str:
    head = f"Medical Specialty:{specialty}\nSample Name: Heel\nDescription: Rest of the heel.\n{MARKER}\n"
    return f"{head}{body}\nKeywords: podiatry, rest,\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    folder = tmp_path / "data" / "mtsamples"
    folder.mkdir(parents=True)
    for number in range(40):
        (folder / f"Heel - {number}.txt").write_text(note(BODY.format(number)))
    monkeypatch.setenv("RAGMED_DATA", str(tmp_path / "data"))
    return Workspace.find(tmp_path)


def alone(here: Workspace, *bodies: str) -> Workspace:
    for path in (here.data / "mtsamples").iterdir():
        path.unlink()
    for number, body in enumerate(bodies):
        (here.data / "mtsamples" / f"{number}.txt").write_text(note(body))
    return here


@needs_mtsamples
def test_the_published_notes_that_have_a_reference_are_counted() -> None:
    split = load(WORKSPACE)
    both = (*split.examples, *split.shots)
    print(f"{len(both)} of 828 notes have a reference")
    assert (len(both), len(split.shots)) == (359, 27)
    assert split.notes[0].startswith("mtsamples_plan: 469 of 828 notes have no plan")
    assert not {e.group for e in split.examples} & {e.group for e in split.shots}
    # No reference is left in its input, nor are the lines that were made of the whole note.
    long = [e for e in both if len(str(e.gold)) > 40]
    assert not [e.id for e in long if str(e.gold) in e.context[0].text]
    assert not [e.id for e in both if "Keywords:" in e.context[0].text or "Description:" in e.context[0].text]


def test_the_plan_is_taken_out_else_the_summary_else_the_findings(here: Workspace) -> None:
    split = load(
        alone(here, BODY.format(1), "STUDYDone.FINDINGS: A cyst.SUMMARY1. Benign.", "EXAM: CT.FINDINGS: A cyst.")
    )
    found = {e.id: (e.gold, e.context[0].text) for e in (*split.examples, *split.shots)}
    assert found == {
        "0": ("Rest the heel 1.", "CHIEF COMPLAINT: The heel number 1 hurts.\nOBJECTIVE: It is tender."),
        "1": ("1. Benign.", "STUDYDone.\nFINDINGS: A cyst."),
        "2": ("A cyst.", "EXAM: CT."),
    }


def test_headings_are_found_within_lines() -> None:
    text = "HPI: Ill.ASSESSMENT/PLAN: 1. Rest.\n2. IV: none.DONOR PLANS: None.IMPLANTS: No. He is PLANNED"
    assert [heading for heading, _ in note_parts(text)] == ["HPI", "ASSESSMENT/PLAN", "DONOR PLANS", "IMPLANTS"]


def test_equal_bodies_are_one_group_and_notes_without_a_reference_are_told(here: Workspace) -> None:
    split = load(alone(here, BODY, BODY.replace(" ", "  "), "EXAM: Well.", "PLAN: Rest."))
    assert len({e.group for e in (*split.examples, *split.shots)}) == 1
    assert split.notes[0].startswith("mtsamples_plan: 2 of 4 notes")
    assert MTSAMPLES_PLAN.query((*split.examples, *split.shots)[0])[0] == "The heel number {0} hurts."


def test_the_archive_is_read_as_the_files_are(here: Workspace) -> None:
    unpacked = load(here)
    folder = here.data / "mtsamples"
    with tarfile.open(folder / ARCHIVE, "w:xz") as archive:
        for path in sorted(folder.glob("*.txt")):
            archive.add(path, f"mtsamples_processed/{path.name}")
            path.unlink()
    assert load(here) == unpacked
    (folder / ARCHIVE).write_bytes((folder / ARCHIVE).read_bytes()[:200])
    with pytest.raises(DataError, match=r"mtsamples\.tar\.xz' cannot be read"):
        load(here)


def test_what_is_no_note_is_named(here: Workspace) -> None:
    (here.data / "mtsamples" / "a.txt").write_text("PLAN: Rest.")
    with pytest.raises(DataError, match="note 'a': the line 'Medical Specialty:'"):
        load(here)
    with pytest.raises(DataError, match=r"neither mtsamples\.tar\.xz nor text files"):
        load(alone(here))
