"""A corpus whose documents carry concept ids in, a lexicon file out: concepts and their names, for `concept_f1`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ragmed.corpora.recipe import Recipe, reader_module
from ragmed.errors import DataError, UsageError
from ragmed.files import write_atomic
from ragmed.metrics.concepts import lexicon_lines
from ragmed.text_table import counted, verb


def write_lexicon(recipe: Recipe, path: Path) -> str:
    """
        write_lexicon(load_recipe(workspace.recipe("corpora", "medquad"), data=workspace.data), Path("medquad.tsv"))

    What was written, in a sentence. UsageError for a corpus whose reader knows no concept ids, DataError for one that
    holds none.
    """
    terms = getattr(reader_module(recipe.reader), "terms", None)
    if terms is None:
        raise UsageError(
            f"corpus '{recipe.name}': what the reader '{recipe.reader}' reads carries no concept ids; take a corpus "
            "that does, such as MedQuAD (reader medquad)"
        )
    lines = lexicon_lines(terms(recipe))
    if not lines:
        raise DataError(f"corpus '{recipe.name}' names no concept; nothing was written")
    mode = 0o644 if recipe.access == "open" else 0o600
    about = f"# concepts and names of {recipe.name}: {recipe.source or recipe.title}"
    write_atomic(path, "\n".join([" ".join(about.split()), *lines, ""]), mode=mode)
    of = Counter(line.partition("\t")[2] for line in lines)
    several = sum(count > 1 for count in of.values())
    concepts = len({line.partition("\t")[0] for line in lines})
    ambiguous = f"{counted(several, 'term')} {verb(several, 'stands', 'stand')} for several"
    return f"{path}: {counted(len(of), 'term')} of {counted(concepts, 'concept')}; {ambiguous}"
