"""`ragmed import` and `ragmed export`: others' runs in, ours out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import ACCESS, RUN, exit_without_verdict, named, say, together

if TYPE_CHECKING:
    from ragmed.records import Access
    from ragmed.runs import Run
    from ragmed.workspace import Workspace

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
ANY = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)
TO_RUN = click.option("-o", "--output", type=FOLDER, required=True, help="The run's folder.")
TO_FILE = click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to write."
)
TO_FOLDER = click.option("-o", "--output", type=FOLDER, required=True, help="The folder to write into.")
POLICY = click.option("--policy", help="wrong or drop, where it is not to be the run's; see `ragmed compare`.")
TEXT = click.option("--text/--no-text", default=True, help="With questions, prompts, answers and options, or without.")
FOREIGN = together(
    TO_RUN,
    click.option(
        "--access", type=ACCESS, default="private", show_default=True,
        help="Who may see the texts; what is not open stays with its owner.",
    ),
    click.option("--baseline", metavar="ARM", help="The control; else the first arm."),
)  # fmt: skip


class ImportGroup(click.Group):
    """`ragmed import NAME.yaml` is `ragmed import file NAME.yaml`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0].lower().endswith((".yaml", ".yml")):
            args = ["file", *args]
        return super().resolve_command(ctx, args)


@click.group("import", cls=ImportGroup)
def import_() -> None:
    """Import what others' programs answered, as a run that `compare`, `score` and `report` read.

    \b
    Example:
      ragmed import table answers.csv --output runs/answers
      ragmed import configs/released/afrimed-qa.yaml
      ragmed import mirage --benchmark benchmark.json --predictions prediction.tar.xz --output runs/mirage
      ragmed compare mirage --reader mirage
    """


@import_.command("mirage")
@click.option("--benchmark", type=FILE, required=True, help="MIRAGE's benchmark.json.")
@click.option("--predictions", type=ANY, multiple=True, required=True, help="Folder or archive; may be repeated.")
@TO_RUN
@click.option(
    "--access", type=ACCESS, default="open", show_default=True,
    help="Who may see the texts; MIRAGE's released answers are public.",
)  # fmt: skip
def mirage(benchmark: Path, predictions: tuple[Path, ...], output: Path, access: Access) -> None:
    """The answers that MIRAGE's authors released, each model with MedRAG against itself without.

    A letter is read by MIRAGE's patterns; where none matches nothing is. `ragmed compare RUN --reader mirage` reads as
    its authors do, who then take the answer for A.

    \b
    Example:
      ragmed import mirage --benchmark benchmark.json --predictions prediction/ --output runs/mirage
    """
    from ragmed.integrations.mirage import import_mirage

    _imported(import_mirage(benchmark, predictions, output=output, access=access))


@import_.command("bioasq")
@click.argument("submissions", type=FILE, nargs=-1, required=True)
@click.option("--golden", type=ANY, multiple=True, required=True, help="Golden file or folder; may be repeated.")
@FOREIGN
def bioasq(submissions: tuple[Path, ...], golden: tuple[Path, ...], **given: Any) -> None:
    """Submissions to BioASQ task B, an arm each, with the golden files: yes/no, factoid and list questions.

    Accuracy, MRR and F1 as BioASQ defines them.

    \b
    Example:
      ragmed import bioasq closed.json rag.json --golden 10B1_golden.json --output runs/bioasq
    """
    from ragmed.integrations.bioasq_runs import import_bioasq

    _imported(import_bioasq(submissions, golden, **given))


@import_.command("lm-eval")
@click.argument("path", type=ANY)
@FOREIGN
def lm_eval(path: Path, **given: Any) -> None:
    """Logs of lm-evaluation-harness, written with --log_samples: a results file, or a folder of them.

    Its own numbers are kept, and checked against what it printed.

    \b
    Example:
      ragmed import lm-eval logs/ --output runs/harness
    """
    from ragmed.integrations.lm_eval_runs import import_lm_eval

    _imported(import_lm_eval(path, **given))


@import_.command("inspect")
@click.argument("paths", type=ANY, nargs=-1, required=True)
@FOREIGN
def inspect(paths: tuple[Path, ...], **given: Any) -> None:
    """Logs of inspect_ai (.eval or .json), or folders of them. Needs `ragmed[inspect]`.

    Its scorers' numbers are kept, and checked against what it printed; `ragmed score` can make them again where a
    reader of ours gives the same ones.

    \b
    Example:
      ragmed import inspect logs/ --output runs/inspect
    """
    from ragmed.integrations.inspect_runs import import_inspect

    _imported(import_inspect(paths, **given))


@import_.command("table")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@TO_RUN
@click.option("--id", "id_", metavar="COLUMN", default="", help="What a row is about; rows of one id are one question.")
@click.option("--question", metavar="COLUMN", default="", help="Its text, which can stand in for the id.")
@click.option("--key", type=click.Choice(["id", "question"]), help="By which rows are joined; default: the id.")
@click.option(
    "--gold",
    metavar="COLUMN",
    default="",
    help="The right answer; or mirage:SET, task:NAME, topics:PATH, whose gold answers are joined by id or text.",
)
@click.option("--answer", metavar="COLUMN", default="", help="What was chosen, or what its authors read in the output.")
@click.option("--raw", "output_column", metavar="COLUMN", default="", help="The raw output, which our readers read.")
@click.option("--correct", metavar="COLUMN", default="", help="Whether its authors count it as right.")
@named("--options", help="Columns of the options (opa,opb,opc,opd), or one that holds a list.")
@named("--labels", help="What can be answered to every question, such as yes,no.")
@click.option("--options-in-question", is_flag=True, help="The options stand at the end of the question's text.")
@click.option("--numbers-from", type=click.IntRange(0, 1), help="Answers are numbers of options, from 0 or 1.")
@named("--arms", help="One column an arm: these columns. Else the arms that are taken.")
@click.option("--arm", metavar="COLUMN", default="", help="One row a question and arm: the column that names the arm.")
@named("--names", help="One file an arm: the arms' names in the order of the files; default: the files' names.")
@click.option("--task", metavar="COLUMN", default="", help="The column that names the task.")
@click.option("--group", metavar="COLUMN", default="", help="Rows that belong together, such as a patient's.")
@click.option("--repeat", metavar="COLUMN", default="", help="Which sample or seed of one question it is.")
@click.option("--score", "scores", metavar="COLUMN", multiple=True, help="A score; -COLUMN where less is better.")
@named("--probabilities", help="The options' probabilities: columns in their order, or one that holds an object.")
@named("--log-probabilities", help="The same of their logarithms, as lm-eval writes them.")
@click.option("--delimiter", default="", help="What separates the columns of CSV, where it is not to be guessed.")
@click.option("--reader", default="", help="How raw outputs are read; default: letter, label or text.")
@click.option("--ours", is_flag=True, help="The run holds our reading; default: the authors', where they give one.")
@click.option(
    "--access",
    type=ACCESS,
    default="private",
    show_default=True,
    help="Who may see the texts; what is not open stays with its owner.",
)
@click.option("--baseline", metavar="ARM", default="", help="The control; else the first arm.")
@click.pass_obj
def table(workspace: Workspace, files: tuple[str, ...], output: Path, names: tuple[str, ...], **given: Any) -> None:
    """Tables of answers: CSV, TSV, JSON, JSON Lines, Parquet. Prints the comparison.

    One row a question and arm, one file an arm, or one column an arm. What is not named is taken by its usual name (id,
    question, gold, answer, A to E ...), and a note says so. Every row is taken, or counted with the reason why not.

    \b
    Example:
      ragmed import table answers.csv --output runs/answers
      ragmed import table answers.csv --id qid --gold label --arms base,tuned,rag --output runs/answers
      ragmed import table base.jsonl rag.jsonl --gold mirage:medqa --raw response --output runs/medqa
    """
    from ragmed.integrations.table import import_table
    from ragmed.integrations.table_options import settings_of_options

    settings = settings_of_options(files, names, given)
    _compared(import_table(settings, output=output, workspace=workspace))


@import_.command("file", hidden=True)
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=FOLDER, help="The run's folder; default: runs/NAME of NAME.yaml.")
@click.pass_obj
def file_(workspace: Workspace, file: Path, output: Path | None) -> None:
    """An import that a YAML says: ragmed import NAME.yaml.

    \b
    Example:
      ragmed import configs/released/afrimed-qa.yaml
    """
    from ragmed.integrations.table import import_again
    from ragmed.integrations.table_settings import read_import

    output = output or workspace.runs / file.stem
    _compared(import_again(read_import(file), output=output, beside=file.parent, workspace=workspace))


def _compared(run: Run) -> None:
    from ragmed.experiments.results import compare_runs
    from ragmed.report.terminal import render_table

    results = compare_runs([run])
    say(render_table(results))
    say(f"run {run.name}: {run.folder} ({run.access})\nnext: ragmed report {run.folder}")
    exit_without_verdict(results)


def _imported(run: Run) -> None:
    from ragmed.integrations.foreign import summary

    say(summary(run))


@click.group("export")
def export() -> None:
    """Hand a run on, in others' formats.

    \b
    Example:
      ragmed export csv quickstart --output quickstart-csv
    """


@export.command("csv")
@RUN
@TO_FOLDER
@TEXT
@POLICY
def csv_(run: Run, output: Path, **given: Any) -> None:
    """Samples and results as CSV, a file each, safe to open in a spreadsheet.

    Text that begins like a formula gets an apostrophe in front.

    \b
    Example:
      ragmed export csv quickstart --output quickstart-csv --no-text
    """
    from ragmed.integrations.tables import export_tables

    _written(export_tables(run, output, form="csv", **given))


@export.command("parquet")
@RUN
@TO_FOLDER
@TEXT
@POLICY
def parquet(run: Run, output: Path, **given: Any) -> None:
    """Samples and results as Parquet, a file each, with real types and the texts as they are.

    \b
    Example:
      ragmed export parquet quickstart --output quickstart-parquet
    """
    from ragmed.integrations.tables import export_tables

    _written(export_tables(run, output, form="parquet", **given))


@export.command("latex")
@RUN
@TO_FILE
@POLICY
def latex(run: Run, output: Path, policy: str | None) -> None:
    """Scores, differences and 2x2 effects as LaTeX tables for a paper (booktabs, tabularx).

    \b
    Example:
      ragmed export latex quickstart --output tables.tex
    """
    from ragmed.integrations.papers import export_paper

    _written([export_paper(run, output, form="latex", policy=policy)])


@export.command("markdown")
@RUN
@TO_FILE
@POLICY
def markdown(run: Run, output: Path, policy: str | None) -> None:
    """Scores, differences and 2x2 effects as Markdown tables.

    \b
    Example:
      ragmed export markdown quickstart --output tables.md
    """
    from ragmed.integrations.papers import export_paper

    _written([export_paper(run, output, form="markdown", policy=policy)])


@export.command("trec")
@RUN
@TO_FOLDER
def trec(run: Run, output: Path) -> None:
    """What each arm was shown as TREC run files, and qrels where gold documents are known.

    \b
    Example:
      ragmed export trec quickstart --output quickstart-trec
    """
    from ragmed.integrations.trec import export_trec

    made = export_trec(run, output)
    _written(made.paths, made.notes)


@export.command("bundle")
@RUN
@click.option("-o", "--output", type=ANY, required=True, help="The folder to write, or a zip.")
@click.option("--key", type=FILE, help="The bundle.key of another run, whose ids shall be joined with these.")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="Another name for an arm or a task; may be repeated.")
@POLICY
def bundle(run: Run, output: Path, key: Path | None, rename: tuple[str, ...], policy: str | None) -> None:
    """Scores and hashed ids only, as a run that `compare` takes: to be shared where the texts may not be.

    A folder, or a zip where the output ends in .zip. The key of the hashes stays in the run's folder: keep it secret.

    \b
    Example:
      ragmed export bundle icu-notes --output icu-bundle.zip --rename our-icu=task-1
      ragmed compare icu-bundle.zip
    """
    from ragmed.integrations.bundle import export_bundle, summary

    say(summary(export_bundle(run, output, key=key, rename=rename, policy=policy)))


@export.command("lm-eval")
@RUN
@TO_FOLDER
def to_lm_eval(run: Run, output: Path) -> None:
    """Results and samples as lm-evaluation-harness writes them. They hold prompts and answers.

    \b
    Example:
      ragmed export lm-eval quickstart --output quickstart-lm-eval
    """
    from ragmed.integrations.exports import ratios_note, texts_note
    from ragmed.integrations.lm_eval_export import export_lm_eval

    _written(export_lm_eval(run, output), [*texts_note(run), *ratios_note(run)])


@export.command("inspect")
@RUN
@TO_FOLDER
def to_inspect(run: Run, output: Path) -> None:
    """Logs of inspect_ai, for its viewer (`inspect view`): one for each arm and task. They hold prompts and answers.

    Needs `ragmed[inspect]`.

    \b
    Example:
      ragmed export inspect quickstart --output quickstart-logs
    """
    from ragmed.integrations.exports import ratios_note, texts_note
    from ragmed.integrations.inspect_export import export_inspect

    _written(export_inspect(run, output), [*texts_note(run), *ratios_note(run)])


@export.command("every-eval")
@RUN
@TO_FOLDER
@click.option(
    "--developer", "developers", multiple=True, metavar="MODEL=NAME",
    help="Who made a model whose name does not say (DEVELOPER/MODEL); may be repeated.",
)  # fmt: skip
def to_every_eval(run: Run, output: Path, developers: tuple[str, ...]) -> None:
    """Records of the Every Eval Ever schema: one for each arm and task. They hold questions and answers.

    \b
    Example:
      ragmed export every-eval quickstart --output every-eval --developer smollm2=HuggingFaceTB
    """
    from ragmed.integrations.every_eval_export import developers_note, developers_of, export_every_eval
    from ragmed.integrations.exports import ratios_note, texts_note

    made_by = developers_of(developers)
    paths = export_every_eval(run, output, developers=made_by)
    _written(paths, [*texts_note(run), *ratios_note(run), *developers_note(run, made_by)])


def _written(paths: Sequence[Path], notes: Sequence[str] = ()) -> None:
    for path in paths:
        say(path)
    for note in notes:
        say(f"note: {note}", err=True)
