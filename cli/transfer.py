"""`ragmed import` and `ragmed export`: others' runs in, ours out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ragmed.workspace import Workspace

if TYPE_CHECKING:
    from ragmed.records import Access
    from ragmed.runs import Run

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
ANY = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group("import")
def import_() -> None:
    """Take over what others' programs answered, as a run that `compare` and `report` read.

    \b
    Example:
      ragmed import mirage --benchmark benchmark.json --predictions prediction.tar.xz --output runs/mirage
      ragmed compare mirage --policy wrong
    """


@import_.command("mirage")
@click.option("--benchmark", type=FILE, required=True, help="MIRAGE's benchmark.json.")
@click.option("--predictions", type=ANY, multiple=True, required=True, help="Folder or archive; may be repeated.")
@click.option("-o", "--output", type=FOLDER, required=True, help="The run's folder.")
@click.option(
    "--access", type=click.Choice(["open", "credentialed", "private"]), default="open", show_default=True,
    help="Who may see the texts; MIRAGE's released answers are public.",
)  # fmt: skip
def mirage(benchmark: Path, predictions: tuple[Path, ...], output: Path, access: Access) -> None:
    """The answers that MIRAGE's authors released, each model with MedRAG against itself without.

    \b
    Example:
      ragmed import mirage --benchmark benchmark.json --predictions prediction/ --output runs/mirage
    """
    from ragmed.integrations.mirage import import_mirage

    _imported(import_mirage(benchmark, predictions, output=output, access=access))


ACCESS = click.option(
    "--access", type=click.Choice(["open", "credentialed", "private"]), default="private", show_default=True,
    help="Who may see the texts; what is not open stays with its owner.",
)  # fmt: skip


BASELINE = click.option("--baseline", metavar="ARM", help="The control; else what the logs say, or the first arm.")


@import_.command("lm-eval")
@click.argument("path", type=ANY)
@click.option("-o", "--output", type=FOLDER, required=True, help="The run's folder.")
@ACCESS
@BASELINE
def lm_eval(path: Path, output: Path, access: Access, baseline: str | None) -> None:
    """Logs of lm-evaluation-harness, written with --log_samples: a results file, or a folder of them.

    \b
    Example:
      ragmed import lm-eval logs/ --output runs/harness
    """
    from ragmed.integrations.lm_eval_runs import import_lm_eval

    _imported(import_lm_eval(path, output=output, access=access, baseline=baseline))


@import_.command("inspect")
@click.argument("paths", type=ANY, nargs=-1, required=True)
@click.option("-o", "--output", type=FOLDER, required=True, help="The run's folder.")
@ACCESS
@BASELINE
def inspect(paths: tuple[Path, ...], output: Path, access: Access, baseline: str | None) -> None:
    """Logs of inspect_ai (.eval or .json), or folders of them.

    \b
    Example:
      ragmed import inspect logs/ --output runs/inspect
    """
    from ragmed.integrations.inspect_runs import import_inspect

    _imported(import_inspect(paths, output=output, access=access, baseline=baseline))


def _imported(run: Run) -> None:
    from ragmed.integrations.foreign import summary

    click.echo(summary(run))


@click.group("export")
def export() -> None:
    """Hand a run on, in others' formats.

    \b
    Example:
      ragmed export csv quickstart --output quickstart-csv
    """


NEW_FILE = click.Path(path_type=Path, dir_okay=False)
RUN = click.argument("run")
TO_FILE = click.option("-o", "--output", type=NEW_FILE, required=True, help="The file to write.")
TO_FOLDER = click.option("-o", "--output", type=FOLDER, required=True, help="The folder to write into.")
POLICY = click.option("--policy", help="wrong, drop or mirage, where it is not to be the run's; see `ragmed compare`.")
TEXT = click.option("--text/--no-text", default=True, help="With prompts, answers and options, or without.")


@export.command("csv")
@RUN
@TO_FOLDER
@TEXT
@POLICY
@click.pass_obj
def csv_(workspace: Workspace, run: str, output: Path, text: bool, policy: str | None) -> None:
    """Samples and results as CSV, a file each, safe to open in a spreadsheet.

    Text that begins like a formula gets an apostrophe in front.

    \b
    Example:
      ragmed export csv quickstart --output quickstart-csv --no-text
    """
    from ragmed.integrations.tables import export_tables
    from ragmed.runs import find_run

    _written(export_tables(find_run(workspace.runs, run), output, form="csv", text=text, policy=policy))


@export.command("parquet")
@RUN
@TO_FOLDER
@TEXT
@POLICY
@click.pass_obj
def parquet(workspace: Workspace, run: str, output: Path, text: bool, policy: str | None) -> None:
    """Samples and results as Parquet, a file each, with real types and the texts as they are.

    \b
    Example:
      ragmed export parquet quickstart --output quickstart-parquet
    """
    from ragmed.integrations.tables import export_tables
    from ragmed.runs import find_run

    _written(export_tables(find_run(workspace.runs, run), output, form="parquet", text=text, policy=policy))


@export.command("latex")
@RUN
@TO_FILE
@POLICY
@click.pass_obj
def latex(workspace: Workspace, run: str, output: Path, policy: str | None) -> None:
    """Scores, differences and 2x2 effects as LaTeX tables for a paper (booktabs, longtable).

    \b
    Example:
      ragmed export latex quickstart --output tables.tex
    """
    from ragmed.integrations.papers import export_paper
    from ragmed.runs import find_run

    _written([export_paper(find_run(workspace.runs, run), output, form="latex", policy=policy)])


@export.command("markdown")
@RUN
@TO_FILE
@POLICY
@click.pass_obj
def markdown(workspace: Workspace, run: str, output: Path, policy: str | None) -> None:
    """Scores, differences and 2x2 effects as Markdown tables.

    \b
    Example:
      ragmed export markdown quickstart --output tables.md
    """
    from ragmed.integrations.papers import export_paper
    from ragmed.runs import find_run

    _written([export_paper(find_run(workspace.runs, run), output, form="markdown", policy=policy)])


@export.command("trec")
@RUN
@TO_FOLDER
@click.pass_obj
def trec(workspace: Workspace, run: str, output: Path) -> None:
    """What each arm was shown as TREC run files, and qrels where gold documents are known.

    \b
    Example:
      ragmed export trec quickstart --output quickstart-trec
    """
    from ragmed.integrations.trec import export_trec
    from ragmed.runs import find_run

    made = export_trec(find_run(workspace.runs, run), output)
    _written(made.paths, made.notes)


@export.command("bundle")
@RUN
@click.option("-o", "--output", type=ANY, required=True, help="The folder to write, or a zip.")
@click.option("--key", type=FILE, help="The bundle.key of another run, whose ids shall be joined with these.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Another name for an arm or a task; may be repeated.")
@POLICY
@click.pass_obj
def bundle(
    workspace: Workspace, run: str, output: Path, key: Path | None, rename: tuple[str, ...], policy: str | None
) -> None:
    """Scores and hashed ids only, as a run that `compare` takes: to be shared where the texts may not be.

    A folder, or a zip where the output ends in .zip. The key of the hashes stays in the run's folder: keep it secret.

    \b
    Example:
      ragmed export bundle icu-notes --output icu-bundle.zip --rename our-icu=task-1
      ragmed compare icu-bundle.zip
    """
    from ragmed.integrations.bundle import export_bundle, said
    from ragmed.runs import find_run

    click.echo(said(export_bundle(find_run(workspace.runs, run), output, key=key, rename=rename, policy=policy)))


@export.command("lm-eval")
@RUN
@TO_FOLDER
@click.pass_obj
def to_lm_eval(workspace: Workspace, run: str, output: Path) -> None:
    """Results and samples as lm-evaluation-harness writes them. They hold prompts and answers.

    \b
    Example:
      ragmed export lm-eval quickstart --output quickstart-lm-eval
    """
    from ragmed.integrations.carried import texts_note
    from ragmed.integrations.lm_eval_export import export_lm_eval
    from ragmed.runs import find_run

    found = find_run(workspace.runs, run)
    _written(export_lm_eval(found, output), texts_note(found))


@export.command("inspect")
@RUN
@TO_FOLDER
@click.pass_obj
def to_inspect(workspace: Workspace, run: str, output: Path) -> None:
    """Logs of inspect_ai, for its viewer (`inspect view`): one for each arm and task. They hold prompts and answers.

    \b
    Example:
      ragmed export inspect quickstart --output quickstart-logs
    """
    from ragmed.integrations.carried import texts_note
    from ragmed.integrations.inspect_export import export_inspect
    from ragmed.runs import find_run

    found = find_run(workspace.runs, run)
    _written(export_inspect(found, output), texts_note(found))


def _written(paths: Sequence[Path], notes: Sequence[str] = ()) -> None:
    for path in paths:
        click.echo(path)
    for note in notes:
        click.echo(f"note: {note}", err=True)
