"""The options of `ragmed import table` in, the settings that an import YAML would say out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ragmed.errors import UsageError
from ragmed.integrations.foreign import lettered
from ragmed.integrations.table_gold import KINDS
from ragmed.integrations.table_settings import ARM, ArmFacts, Columns, ScoreColumn, Source, TableImport
from ragmed.text_table import counted

_PROBABILITIES = ("probabilities", "log_probabilities")


def settings_of_options(files: Sequence[str], names: Sequence[str], given: Mapping[str, Any]) -> TableImport:
    """
        settings_of_options(["a.csv", "b.csv"], ["base", "rag"], {"id_": "qid", "gold": "label"}).files[1].arm  # 'rag'

    UsageError where options contradict each other.
    """
    for option, given_names in (("--names", names), ("--arms", given["arms"])):
        twice = next((name for place, name in enumerate(given_names) if name in given_names[:place]), None)
        if twice is not None:
            raise UsageError(f"{option} names '{twice}' twice; name each arm once")
    if names and len(names) != len(files):
        raise UsageError(
            f"--names has {counted(len(names), 'name')} for {counted(len(files), 'file')}; give one for each, "
            "in their order"
        )
    if (
        not names
        and len(files) > 1
        and len({PurePosixPath(file).stem for file in files}) < len(files)
        and not given["arm"]
    ):
        raise UsageError("two files have one name, by which arms are called; name the arms with --names A,B")
    known = str(given["gold"]).partition(":")[0] in KINDS and ":" in given["gold"]
    arms: Sequence[str] = given["arms"]
    answer, output, correct = given["answer"], given["output_column"], given["correct"]
    wide = bool(arms) and not given["arm"] and ARM not in correct
    if wide and not any(ARM in name for name in (answer, output)) and (answer or output):
        raise UsageError(
            f"--arms names one column an arm; --answer and --raw then hold {ARM} in the column's name, or are left out"
        )
    if wide and not answer and not output:
        answer = ARM
    options = given["options"]
    likely, logs = (given[name][0] if len(given[name]) == 1 else lettered(given[name]) for name in _PROBABILITIES)
    scores = {
        name.removeprefix("-"): ScoreColumn(name.removeprefix("-"), not name.startswith("-"))
        for name in given["scores"]
    }
    return TableImport(
        files=tuple(
            Source(file, arm=names[place] if names else "", delimiter=given["delimiter"].replace("\\t", "\t"))
            for place, file in enumerate(files)
        ),
        columns=Columns(
            id=given["id_"], question=given["question"], gold="" if known else given["gold"], output=output,
            answer=answer, correct=correct, arm=given["arm"], task=given["task"], group=given["group"],
            repeat=given["repeat"], options=options[0] if len(options) == 1 else tuple(options), scores=scores,
            probabilities=likely, log_probabilities=logs,
        ),
        key=given["key"] or "",
        arms={arm: ArmFacts() for arm in arms},
        gold=given["gold"] if known else "",
        labels=tuple(given["labels"]),
        options_in_question=given["options_in_question"],
        numbers_from=given["numbers_from"],
        reader=given["reader"],
        reading="ours" if given["ours"] else "printed",
        access=given["access"],
        baseline=given["baseline"],
    )  # fmt: skip
