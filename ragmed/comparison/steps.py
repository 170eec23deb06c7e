"""Answers in, what their arms did about passages before the question out: counted, and said in the notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ragmed.comparison.rows import StepRow
from ragmed.records import Answer, Sample
from ragmed.text_table import counted

WHAT = {"follow-up": "queries", "rerank": "orders", "evidence-filter": "verdicts"}
"""What the arm's own model is asked for in each kind of step."""


def step_rows(answers: Mapping[tuple[str, str], Sequence[Answer]]) -> list[StepRow]:
    """
        step_rows(answers)[0].dropped   # 12

    A row for each arm, task and kind of step, in the order in which steps are taken. `left_without`: the examples of
    which an evidence filter dropped every passage, so that they were asked without any.
    """
    rows = []
    for (arm, task), given in answers.items():
        samples = [answer.sample for answer in given]
        kinds = dict.fromkeys(step.kind for sample in samples for step in sample.steps)
        rows += [_row(arm, task, kind, samples) for kind in WHAT if kind in kinds]
    return rows


def _row(arm: str, task: str, kind: str, samples: Sequence[Sample]) -> StepRow:
    taken = [(sample, step) for sample in samples for step in sample.steps if step.kind == kind]
    written = [completion for _, step in taken for completion in step.completions]
    return StepRow(
        arm, task, kind, n=len({sample.example.id for sample, _ in taken}), asked=len(written),
        unread=sum(step.unread for _, step in taken), queries=sum(len(step.queries) for _, step in taken),
        dropped=sum(len(step.dropped) for _, step in taken),
        left_without=sum(bool(step.dropped) and not step.passages for _, step in taken),
        input_tokens=sum(one.input_tokens for one in written), output_tokens=sum(one.output_tokens for one in written),
    )  # fmt: skip


def step_notes(rows: Sequence[StepRow]) -> list[str]:
    """What of these steps changed nothing, or everything: a reader would else take the arm for what it is called."""
    notes = []
    for row in rows:
        where = f"{row.arm} on {row.task}"
        if row.unread:
            kept = {"follow-up": "nothing was searched", "rerank": "the order stayed", "evidence-filter": "kept"}
            notes.append(
                f"{where}: {row.unread} of {row.asked} {WHAT[row.kind]} of its model could not be read "
                f"({kept[row.kind]})"
            )
        if row.left_without:
            notes.append(
                f"{where}: its evidence filter dropped all passages of {row.left_without} of "
                f"{counted(row.n, 'question')}, which were asked without any"
            )
    return notes
