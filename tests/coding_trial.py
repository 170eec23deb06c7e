"""A whole trial of a coding task on five examples: a small ICD-10-CM table as a corpus, every arm, no weights."""

from pathlib import Path

from ragmed.comparison.results import Results
from ragmed.experiments.config import make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.workspace import Workspace

TABLE = """code\tbillable\tlong_desc
A04\t0\tOther bacterial intestinal infections
A047\t1\tEnterocolitis due to Clostridium difficile, an infection of the gut
E11\t0\tType 2 diabetes mellitus
E11621\t1\tType 2 diabetes mellitus with foot ulcer
E876\t1\tHypokalemia
I10\t1\tEssential (primary) hypertension
J189\t1\tPneumonia, unspecified organism
J45909\t1\tUnspecified asthma, uncomplicated
L97509\t1\tUlcer of the foot
R05\t1\tCough
"""


def run_coding_trial(task: str, folder: Path) -> tuple[Results, Workspace]:
    """`folder`: a workspace; the task's data lie under RAGMED_DATA already."""
    workspace = Workspace.find(folder)
    (workspace.corpora / "codes").mkdir(parents=True)
    (workspace.corpora / "codes" / "t.tsv").write_text(TABLE)
    recipe = "title: Codes\nreader: icd10cm\npaths: [t.tsv]\naccess: open\nids: icd10cm\n"
    (workspace.corpora / "codes" / "recipe.yaml").write_text(recipe)
    (workspace.indexes / "codes").mkdir(parents=True)
    (workspace.indexes / "codes" / "recipe.yaml").write_text("corpora: [codes]\nembedder: hashing:64\n")
    raw = {
        "models": {"echo": "scripted:echo", "lead": "extract:lead-3", "nearest": "extract:nearest-code"},
        "index": "codes",
        "tasks": {task: {"limit": 5, "shots": 1}},
        "arms": {
            "lead-3": {"model": "lead"},
            "general": {"model": "echo"},
            "general+rag": {"model": "echo", "context": "retrieved", "k": 2},
            "general+oracle": {"model": "echo", "context": "oracle", "k": 2},
            "general+distractor": {"model": "echo", "context": "distractor", "k": 2},
            "nearest-code": {"model": "nearest", "context": "retrieved", "k": 2},
        },
        "comparison": {"resamples": 100},
    }
    return run_experiment(make_experiment(raw, default_name="r", where="config"), workspace=workspace), workspace
