"""Answers of a server are kept as they come, in whatever order that is; what a Ctrl-C leaves is not asked again."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from ragmed.experiments import trial
from ragmed.experiments.config import Experiment, make_experiment
from ragmed.experiments.trial import run_experiment
from ragmed.models import OneByOne
from ragmed.models.scripted import ScriptedModel
from ragmed.records import Completion, Message, OptionScores, Sample
from ragmed.runs import Run, find_run
from ragmed.workspace import Workspace


class Backwards(ScriptedModel):
    """Answers the last prompt of a call first; ends with `stop` after `most` answers of all calls together."""

    def __init__(self, most: int = 10**6, stop: BaseException | None = None) -> None:
        super().__init__("scripted:first-option")
        self.asked: list[str] = []
        self.most, self.stop = most, stop or KeyboardInterrupt()

    def generate_each(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        each: Callable[[int, Completion], None],
        stop: Sequence[str] = (),
    ) -> None:
        for place, completion in reversed(list(enumerate(self.generate(prompts, max_tokens=max_tokens, stop=stop)))):
            if len(self.asked) == self.most:
                raise self.stop
            self.asked.append(prompts[place][-1].content)
            each(place, completion)

    def score_each(
        self,
        prompts: Sequence[Sequence[Message]],
        continuations: Sequence[Sequence[str]],
        *,
        each: Callable[[int, OptionScores], None],
    ) -> None:
        for place, scores in reversed(list(enumerate(self.score(prompts, continuations)))):
            each(place, scores)


def experiment(scoring: str = "generate") -> Experiment:
    raw = {
        "models": {"served": "endpoint:http://127.0.0.1:9/v1#m"},
        "tasks": {"mmlu": {"scoring": scoring}},
        "arms": {"general": {"model": "served"}},
        "comparison": {"resamples": 200},
    }
    return make_experiment(raw, default_name="served", where="config")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[ScriptedModel], None]:
    return lambda model: monkeypatch.setattr(trial, "load_model", lambda settings, **given: model)


def timeless(run: Run) -> list[Sample]:
    return [dataclasses.replace(sample, seconds=0) for sample in run.samples_of("general", "mmlu")]


def test_what_came_before_a_ctrl_c_stays_and_the_rest_is_asked(
    small: Workspace, load: Callable[[ScriptedModel], None]
) -> None:
    whole = Backwards()
    assert isinstance(whole, OneByOne)
    load(whole)
    run_experiment(experiment(), workspace=small, output=small.runs / "whole")
    undisturbed = timeless(find_run(small.runs, "whole"))
    assert [sample.place for sample in undisturbed] == list(range(12))
    assert {sample.example.id: sample.completion for sample in undisturbed}.keys() == {f"m{i}" for i in range(12)}

    first = Backwards(most=5)
    load(first)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment(), workspace=small)
    run = find_run(small.runs, "served")
    assert [sample.place for sample in timeless(run)] == [11, 10, 9, 8, 7]
    second = Backwards()
    load(second)
    run_experiment(experiment(), workspace=small)
    assert (len(first.asked), len(second.asked), len({*first.asked, *second.asked})) == (5, 7, 12)
    assert timeless(run) == undisturbed


def test_what_is_asked_again_stays_too(small: Workspace, load: Callable[[ScriptedModel], None]) -> None:
    load(Backwards())
    run_experiment(experiment(), workspace=small)
    run = find_run(small.runs, "served")
    lost = [
        dataclasses.replace(s, finish="error", completion=None, error="503") for s in run.samples_of("general", "mmlu")
    ]
    run.replace("general", "mmlu", lost)
    load(Backwards(most=4))
    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment(), workspace=small, retry_errors=True)
    assert [sample.finish for sample in run.samples_of("general", "mmlu")] == ["error"] * 8 + ["stop"] * 4


def test_a_line_that_was_taken_out_is_asked_alone(small: Workspace, load: Callable[[ScriptedModel], None]) -> None:
    load(Backwards())
    run_experiment(experiment(), workspace=small)
    run = find_run(small.runs, "served")
    before, path = timeless(run), run.samples_file("general", "mmlu")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    model = Backwards()
    load(model)
    run_experiment(experiment(), workspace=small)
    assert len(model.asked) == 1
    assert timeless(run) == before


def test_log_likelihoods_are_kept_as_they_come(small: Workspace, load: Callable[[ScriptedModel], None]) -> None:
    load(Backwards())
    run_experiment(experiment("letters"), workspace=small)
    samples = timeless(find_run(small.runs, "served"))
    assert [len(sample.option_logprobs) for sample in samples] == [2] * 12
