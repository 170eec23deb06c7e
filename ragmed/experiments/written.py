"""A stored run in, the queries that an arm's own model wrote in it out: what was written once is not written again."""

from __future__ import annotations

from ragmed.arms import BY_MODEL, Arm
from ragmed.experiments.today import same_example
from ragmed.files import whole_text
from ragmed.queries import Asked
from ragmed.records import Sample
from ragmed.runs import Run
from ragmed.tasks import BoundTask


def recorded_queries(run: Run, arm: Arm, bound: BoundTask) -> dict[str, Asked]:
    """
        recorded_queries(find_run(workspace.runs, "trial"), arm, bound)["q1"].queries   # ('gout treatment',)

    By the ids of the examples that are asked as they were; one whose query failed is not among them, and may be asked
    again. Empty for a form that no model writes, and where the run did not ask that. Raises what `samples_of` raises.
    """
    if arm.query not in BY_MODEL or not run.samples_file(arm.name, bound.name).exists():
        return {}
    now = {whole_text(example.id): example for example in bound.examples}
    return {
        sample.example.id: Asked(sample.queries, *_tokens(sample))
        for sample in run.samples_of(arm.name, bound.name)
        if sample.queries and sample.example.id in now and same_example(sample.example, now[sample.example.id])
    }


def _tokens(sample: Sample) -> tuple[int, int]:
    """What the model read and wrote for the queries, without what the steps after them took."""
    steps = [one for step in sample.steps for one in step.completions]
    return (
        sample.retrieval_input_tokens - sum(one.input_tokens for one in steps),
        sample.retrieval_output_tokens - sum(one.output_tokens for one in steps),
    )
