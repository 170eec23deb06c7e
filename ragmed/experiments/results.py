"""Stored samples -> scores, results.json and the report. Calls no model, and can be done again with other settings.

results = compare_runs([find_run(workspace.runs, "quickstart")], Rules(margin=0.03))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ragmed.arms import Arm
from ragmed.changes import together
from ragmed.checked import dump, parse
from ragmed.comparison.compare import ComparisonSettings, Prices, Results, compare
from ragmed.comparison.results import read_results
from ragmed.comparison.rows import NotRun
from ragmed.comparison.settings import every_failure
from ragmed.comparison.sources import ArmSources, arm_sources
from ragmed.errors import DamagedError, DataError, MismatchError, RagmedError, UnknownNameError, UsageError
from ragmed.experiments.facts import run_facts
from ragmed.experiments.joining import join_by_text
from ragmed.experiments.run_list import update_list
from ragmed.files import write_json
from ragmed.metrics import MetricFacts
from ragmed.retrieval.named import current_manifest
from ragmed.runs import Run
from ragmed.scores import RESOURCES, Answers, declared_metrics, fits, found_nothing, scored_answers
from ragmed.stored import INFO_REMEDY
from ragmed.text_table import counted, verb
from ragmed.workspace import Workspace

Join = Literal["id", "text"]
"""By what questions of several runs are the same: their ids (and all else that is known of them), or their texts."""


def write_results(run: Run, settings: ComparisonSettings) -> Results:
    """Compares the stored samples, writes results.json, the page, and the list of all runs beside this one."""
    results, _ = _written(run, settings, run.report_folder)
    return results


def report_run(
    run: Run, *, folder: Path | None = None, rules: Rules | None = None, workspace: Workspace | None = None
) -> Path:
    """Writes results.json and the page of a run again, from its samples, and returns where the page lies.

    `rules`: others than the run's config declares. Then the page alone is written, into a `folder` of its own, and
    results.json stays what the config makes of the samples; UsageError without a folder. `workspace`: where the run was
    made; the notes then say which of its indexes are older than their corpora, or were built anew since.
    """
    today = _outdated(run, workspace) if workspace else []
    if rules is None:
        return _written(run, stored_settings(run), folder or run.report_folder, today)[1]
    if folder is None or folder.resolve() == run.report_folder.resolve():
        raise UsageError("other rules than the config's need a page of their own: give --output FOLDER")
    return _page(run, *_results(run, stored_settings(run), rules, today), folder)


def _written(run: Run, settings: ComparisonSettings, folder: Path, today: Sequence[str] = ()) -> tuple[Results, Path]:
    results, answers = _results(run, settings, today=today)
    write_json(run.results_file, dump(results), mode=run.file_mode)
    page = _page(run, results, answers, folder)
    runs = run.folder.resolve().parent
    if folder == run.report_folder and runs.name == "runs":  # a run elsewhere stands alone: no list beside it
        update_list(runs)
    return results, page


def _page(run: Run, results: Results, answers: Answers, folder: Path) -> Path:
    from ragmed.report.page import write_page

    return write_page(results, run_info=run.info(), answers=answers, folder=folder, mode=run.file_mode)


def _results(
    run: Run, settings: ComparisonSettings, rules: Rules | None = None, today: Sequence[str] = ()
) -> tuple[Results, Answers]:
    rules = rules or Rules()
    answers, unfinished, empty = stored_answers(run, reader=rules.reader)
    settings = rules.over(settings, answers)
    present, notes = _present(settings, answers)
    info = run.info()
    results = compare(
        answers,
        run=run.name,
        settings=present,
        metrics=metrics_of([run], rules.reader, answers),
        notes=unfinished + notes + _read_otherwise(rules),
        sources=_asked(arm_sources(info), answers),
        facts=run_facts([run], answers),
    )
    # An arm that ran on no task at all is unknown to the samples.
    pairs = [(arm, task) for task in info["experiment"]["tasks"] for arm in info["experiment"]["arms"]]
    reasons, lost = (info.get("references", {}).get(part, {}) for part in ("not_asked", "not_retrieved"))
    lost = {**lost, **empty}
    not_run = tuple(
        NotRun(arm, task, lost.get(name) or reasons.get(name, ""), failed=name in lost)
        for arm, task in pairs
        if (arm, task) not in answers and (name := f"{arm} on {task}")
    )
    held_out = [
        f"{task}: not scored, because its few-shot examples come from them: {counted(facts['held_out'], 'example')}"
        for task, facts in info["tasks"].items()
        if facts.get("held_out")
    ]
    every = (
        *results.notes,
        *today,
        *_searched(info),
        *_sought(info, answers),
        *_corrected(info),
        *_unchecked(info, answers),
        *_constrained(info, answers),
        *_unseen(info, answers),
        *held_out,
    )
    return dataclasses.replace(results, not_run=not_run, notes=every), answers


def _read_otherwise(rules: Rules) -> list[str]:
    return [f"Answers were read by the reader '{rules.reader}', not by the run's own."] if rules.reader else []


def _sought(info: Mapping[str, Any], answers: Answers) -> list[str]:
    """What filters let through and take out, and arms whose queries hold more than the question."""
    notes = []
    indexes, arms = info.get("references", {}).get("indexes", {}), info["experiment"]["arms"]
    for (name, task), given in answers.items():
        arm = arms.get(name, {})
        rule = indexes.get(arm.get("retriever", ""), {}).get("filter", {}).get("rule", "")
        if "exclude source" in rule and arm["context"] in ("retrieved", "poisoned") and not arm.get("replay"):
            made_from = [answer.sample for answer in given if answer.sample.example.documents]
            left_out = sum(bool(sample.left_out) for sample in made_from)
            where = f"run.json, experiment.arms.{name}"
            searched = parse(Arm, arm, where, error=DamagedError, remedy=INFO_REMEDY).searched
            notes.append(
                f"'{name}' on '{task}': the documents that it was made from are named for {len(made_from)} of "
                f"{counted(len(given), 'question')}; for {left_out} of these one would have been among the first "
                f"{counted(searched, 'passage')}, and was kept from being found"
            )
    for name, record in indexes.items():
        if found := record.get("filter"):
            undated = f"; {found['undated']} have no date" if "before" in found["rule"] else ""
            notes.append(
                f"retriever {name} is filtered ({found['rule']}): whatever the example, {found['passing']} of "
                f"{found['documents']} documents can be found{undated}"
            )
    for name, arm in arms.items():
        if arm.get("query") == "question+options":
            notes.append(f"the retriever of {name} was asked with the options, of which one is the answer")
    return notes


def _searched(info: Mapping[str, Any]) -> list[str]:
    search = info.get("references", {}).get("search")
    if not search:
        return []
    cell = search["cells"][search["chosen"]]
    by = f"{cell.get('retriever') or cell.get('index')}, query {cell.get('query')}, "
    shown = f", {cell['passages']:.1f} passages shown a question" if "passages" in cell else ""
    gone = len(search.get("unanswered", ()))
    without = f"; {gone} more, which a server did not answer in every cell, are left out of all" if gone else ""
    return [
        f"{by}k {cell['k']} and context_tokens {cell['context_tokens']} were chosen out of {len(search['cells'])} on "
        f"{search['n']} development examples of {search['task']}: {cell['score']:.3f}{shown}{without}"
    ]


def _outdated(run: Run, workspace: Workspace) -> list[str]:
    """A note for each index that is no longer what the run was made with, if it was made in this workspace."""
    if run.folder.parent != workspace.runs.resolve():
        return []
    info = run.info()
    used = [name for of in info.get("references", {}).get("indexes", {}).values() for name in of.get("indexes", [])]
    notes = []
    for name in dict.fromkeys(used):
        made = info["identity"].get("indexes", {}).get(name, {}).get("identity")
        try:
            manifest = current_manifest(name, workspace=workspace)
            if manifest is not None and manifest.searches != made:
                notes.append(f"index '{name}' was built anew after this run; `ragmed eval` says what can be done.")
        except MismatchError as error:
            notes.append(f"{error} (this run was made before)")
        except RagmedError:  # its corpus or its recipe is gone: nothing to compare with
            continue
    return notes


def _constrained(info: Mapping[str, Any], answers: Answers) -> list[str]:
    """Notes that name the arms whose answers are held to the valid forms, by how they are held."""
    arms = [name for name, arm in info["experiment"]["arms"].items() if arm.get("constrained")]
    by_how: dict[str, list[str]] = {}
    for name in [name for name in arms if any(name == arm for arm, _ in answers)]:
        how = str(info["identity"].get("arms", {}).get(name, {}).get("held_by", "")).partition(" ")[0]
        by_how.setdefault(how, []).append(name)
    return [
        f"{', '.join(named)}: constrained, so that every answer has a valid form: "
        + (
            "the most likely of the options, asked for in the same words."
            if how in ("", "likelihood")
            else f"what is written is held to a form by its server ({how}), asked for in the same words."
        )
        + " Beside the same arm that writes freely it shows what is lost by form, not by medicine; with other arms "
        "that write freely it mixes the two."
        for how, named in by_how.items()
    ]


def _unseen(info: Mapping[str, Any], answers: Answers) -> list[str]:
    """A note for each tuned model whose adapter was not seen in effect, or whose chat template not compared."""
    notes = []
    asked = {info["experiment"]["arms"][arm].get("model") for arm, _ in answers}
    for model, known in info.get("references", {}).get("models", {}).items():
        adapter = known.get("adapter", {})
        if model in asked and adapter.get("unseen"):
            notes.append(f"model {model}: that its adapter is in effect was not checked: {adapter['unseen']}.")
        if model in asked and adapter.get("template_unlike"):
            notes.append(f"model {model}: {adapter['template_unlike']}.")
    return notes


def _corrected(info: Mapping[str, Any]) -> list[str]:
    return [
        f"{task}: {', '.join(ids[:10])}{f' and {len(ids) - 10} more' if len(ids) > 10 else ''} changed after the task "
        "was first asked, and alone were asked again."
        for task, ids in info.get("references", {}).get("corrected", {}).items()
    ]


def _unchecked(info: Mapping[str, Any], answers: Answers) -> list[str]:
    """A note for each adapter of ours that was asked tasks whose examples its training was never checked against."""
    notes = []
    for model, adapter in info.get("references", {}).get("adapters", {}).items():
        arms = [name for name, arm in info["experiment"]["arms"].items() if arm.get("model") == model]
        asked = dict.fromkeys(task for arm, task in answers if arm in arms)
        checked = adapter.get("overlap", {}).get("tasks", asked)
        files = {task: keys.get("file") or keys.get("task") for task, keys in info["experiment"]["tasks"].items()}
        open_ = [task for task in asked if task not in checked and files.get(task) not in checked]
        if open_:
            notes.append(
                f"adapter {adapter['name']}: its texts were not checked against {', '.join(open_)}; name them in "
                "keep_out (tasks, or files), to be sure that it was not trained on the questions"
            )
        notes += _trained_in_part(adapter)
    return notes


def _trained_in_part(adapter: Mapping[str, Any]) -> list[str]:
    """The index holds all of the corpora; a note where the adapter did not read all of them."""
    notes = []
    held = adapter.get("held_out_documents") or []
    documents = sum(corpus.get("documents", 0) for corpus in adapter.get("corpora", []))
    if held:
        of = f"{len(held)} of {counted(documents, 'document')} {verb(len(held), 'was', 'were')}"
        notes.append(f"adapter {adapter['name']}: {of} held out, not trained on")
    whole = adapter.get("rows", {}).get("tokens", 0)
    if whole and adapter["tokens"] < 0.999 * whole:
        notes.append(
            f"adapter {adapter['name']}: {adapter['tokens']:,} of the {whole:,} tokens of its texts were read, the "
            "rest was not trained on"
        )
    return notes


@dataclass(frozen=True, slots=True)
class Rules:
    """What a comparison is asked otherwise than its config does; None: as the config does.

        compare_runs([run], Rules(policy="drop", margin=0.03))

    `prices`: where they are 0, those of the config hold. `policy`: what every status other than `answered` counts as.
    `reader`: reads all answers by this reader instead of the task's own, and stores nothing.
    """

    baseline: str | None = None
    margin: float | None = None
    prices: Prices | None = None
    policy: str | None = None
    correction: str | None = None
    reader: str = ""

    def over(self, settings: ComparisonSettings, answers: Answers) -> ComparisonSettings:
        """UnknownNameError where `baseline` is no arm to compare with."""
        if self.baseline is not None:
            known = {arm for arm, _ in answers} - set(settings.baseline_arms)
            if self.baseline not in known:
                raise UnknownNameError("arm", self.baseline, known, "what can be compared with")
            settings = dataclasses.replace(settings, baseline=self.baseline, contrasts=())
        if self.margin is not None:
            settings = dataclasses.replace(settings, margin=self.margin)
        if self.policy is not None:
            settings = dataclasses.replace(settings, policy=every_failure(self.policy))
        if self.correction is not None:
            settings = dataclasses.replace(settings, correction=self.correction)
        if self.prices is not None:
            settings = dataclasses.replace(settings, prices=self.prices.over(settings.prices))
        return settings


def compare_runs(runs: Sequence[Run], rules: Rules | None = None, *, join: Join = "id") -> Results:
    """Statistics from stored samples:

        compare_runs([find_run(Path("runs"), "quickstart")], Rules(margin=0.03)).contrasts

    Of one run, what its results.json holds. Arms of several are named RUN/ARM; each task they share must have been
    asked in the same words, else MismatchError. The first run's config holds, but for `rules`. `join`: `text` takes
    questions of one text for one, whatever they are called (see `joining`). UsageError where two runs have one name,
    where one shares no task with the others, and where a bundle's answers are to be read again.
    """
    if len(runs) == 1:
        return _results(runs[0], stored_settings(runs[0]), rules)[0]
    rules = rules or Rules()
    answers, notes, settings = _joined(runs, stored_settings(runs[0]), reader=rules.reader, join=join)
    settings = rules.over(settings, answers)
    present, more = _present(settings, answers)
    sources = {name: one for r in runs for name, one in arm_sources(r.info(), _prefix(r, runs)).items()}
    return compare(
        answers,
        run="+".join(r.name for r in runs),
        settings=present,
        metrics=metrics_of(runs, rules.reader, answers),
        notes=notes + more + _read_otherwise(rules),
        sources=_asked(sources, answers),
        facts=run_facts(runs, answers),
    )


def _prefix(run: Run, runs: Sequence[Run]) -> str:
    return f"{run.name}/" if len(runs) > 1 else ""


def _asked(sources: Mapping[str, ArmSources], answers: Answers) -> dict[str, ArmSources]:
    """Those of arms that were asked; the others are in no comparison."""
    arms = {arm for arm, _ in answers}
    return {arm: one for arm, one in sources.items() if arm in arms}


def _joined(
    runs: Sequence[Run], settings: ComparisonSettings, *, reader: str, join: Join
) -> tuple[Answers, list[str], ComparisonSettings]:
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two of the runs are called '{name}'; give each once, from folders of different names")
    if join == "id":
        _refuse_other_questions(runs)
    by_run: dict[str, Answers] = {}
    notes: list[str] = []
    for run in runs:
        by_run[run.name], unfinished, empty = stored_answers(run, reader=reader)
        notes += [f"{run.name}: {note}" for note in unfinished]
        notes += [f"{run.name}: {name} has no row: {reason}" for name, reason in empty.items()]
    if join == "text":
        by_run, said = join_by_text(by_run)
        notes += [*said, *_asked_otherwise(runs)]
    answers = {(f"{run}/{arm}", task): given for run, stored in by_run.items() for (arm, task), given in stored.items()}
    notes += _in_some_runs({run: list(dict.fromkeys(task for _, task in found)) for run, found in by_run.items()})
    leaks = tuple(f"{r.name}/{a}" for r in runs for a in stored_settings(r).baseline_arms)
    designs = tuple(design.renamed(f"{r.name}/{{}}".format) for r in runs for design in stored_settings(r).factorials)
    first = f"{runs[0].name}/{settings.baseline}"
    misled = tuple((f"{r.name}/{a}", f"{r.name}/{b}") for r in runs for a, b in stored_settings(r).misled)
    joined = dataclasses.replace(
        settings, baseline=first, contrasts=(), baseline_arms=leaks, factorials=designs, misled=misled
    )
    return answers, notes, joined


def _asked_otherwise(runs: Sequence[Run]) -> list[str]:
    """A note where runs that are joined by text differ in how an answer is got, which is then in every difference."""
    ways = {run.name: sorted({str(t.get("scoring")) for t in run.info()["identity"]["tasks"].values()}) for run in runs}
    if len({tuple(way) for way in ways.values()}) < 2:
        return []
    said = "; ".join(f"{run}: {', '.join(way)}" for run, way in ways.items())
    return [f"Answers were got in several ways ({said}): differences between arms of these runs are of that too."]


def _in_some_runs(asked: Mapping[str, Sequence[str]]) -> list[str]:
    """A note for each task that not all runs have; UsageError where a run has none in common with another."""
    where = {task: [run for run in asked if task in asked[run]] for tasks in asked.values() for task in tasks}
    for run, tasks in asked.items():
        if all(where[task] == [run] for task in tasks):
            named = "; ".join(f"'{name}' has {', '.join(its)}" for name, its in asked.items())
            raise UsageError(
                f"run '{run}' shares no task with the others, so nothing can be compared: {named}; compare runs of the "
                "same tasks, or each by itself; questions that are the same under other names: --join text"
            )
    return [
        f"{task} was asked in {', '.join(its)} only: no contrast on it with arms of "
        + ", ".join(run for run in asked if run not in its)
        for task, its in where.items()
        if len(its) < len(asked)
    ]


def _refuse_other_questions(runs: Sequence[Run]) -> None:
    first: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for run in runs:
        for task, identity in run.info()["identity"]["tasks"].items():
            other, known = first.setdefault(task, (run.name, identity))
            for key in ("data", "scoring", "normalise", "prompts", "form"):
                # what was imported does not hold the words in which it was asked
                if key in known and key in identity and known[key] != identity[key]:
                    remedy = "; where questions are the same but for their ids: --join text" if key == "data" else ""
                    raise MismatchError(
                        f"runs '{other}' and '{run.name}' asked task '{task}' differently ({key}); they cannot be "
                        f"compared on it{remedy}"
                    )
    _refuse_other_measures(runs)


def _refuse_other_measures(runs: Sequence[Run]) -> None:
    """MismatchError where a metric of a task was measured with one model or file in a run, with another in the next."""
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for run in runs:
        info = run.info()
        named = info.get("references", {}).get(RESOURCES, {})
        measured = [(task, m["name"]) for task, record in info["tasks"].items() for m in record["metrics"]]
        for task, metric in ((task, metric) for task, metric in measured if metric in named):
            other, known = first.setdefault((task, metric), (run.name, named[metric]["sha256"]))
            if known != named[metric]["sha256"]:
                raise MismatchError(
                    f"runs '{other}' and '{run.name}' measured {metric} of task '{task}' with different models or "
                    f"files; score one again with the other's: ragmed score {run.name} --metric {metric}"
                )


def _present(settings: ComparisonSettings, answers: Answers) -> tuple[ComparisonSettings, list[str]]:
    """The settings as far as arms have been asked (a run may be carried out arm by arm), and notes on what differs."""
    arms = list(dict.fromkeys(arm for arm, _ in answers))
    leaks = tuple(a for a in settings.baseline_arms if a in arms)
    tested = [a for a in arms if a not in leaks]
    if not tested:
        raise DataError("no arm but the baselines has been asked yet; there is nothing to compare")
    notes = []
    baseline = settings.baseline
    if baseline not in tested:
        baseline = tested[0]
        if settings.baseline:
            notes.append(f"the control '{settings.baseline}' has no row yet: '{baseline}' stands in for it here")
    contrasts = tuple(pair for pair in settings.contrasts if set(pair) <= set(tested))
    designs = tuple(design for design in settings.factorials if set(design.arms) <= set(tested))
    for design in settings.factorials:
        absent = [arm for arm in design.arms if arm not in tested]
        if absent:
            notes.append(f"no {design.shape} of {', '.join(design.arms)} yet: {', '.join(absent)} has no row")
    present = dataclasses.replace(
        settings, baseline=baseline, contrasts=contrasts, baseline_arms=leaks, factorials=designs
    )
    return present, notes


def stored_answers(run: Run, *, reader: str = "") -> tuple[Answers, list[str], dict[str, str]]:
    """The answers of a run, in the order in which its experiment names tasks and arms, notes on what is missing, and
    `ARM on TASK` -> why its answers are none of that arm.

    An arm that is not through with a task is left out of it, and that is noted: half of its answers are not its score.
    So is one whose model or server wrote the queries, and that found nothing by any: it is the closed-book arm.
    """
    info = run.info()
    tasks, arms = list(info["experiment"]["tasks"]), list(info["experiment"]["arms"])
    before = _were_whole(run, info)
    scored = scored_answers(run, reader=reader)
    _require_what_was_there(run, info, before, scored)
    for arm, task in scored:
        if arm not in arms or task not in tasks:
            raise DamagedError(f"'{run.samples_file(arm, task)}' belongs to no arm and task of run '{run.name}'")
    whole: Answers = {}
    notes = list(info.get("imported", {}).get("notes", []))
    for task in tasks:
        counts = {arm: len(scored[arm, task]) for arm in arms if (arm, task) in scored}
        asked = int(info["tasks"][task]["examples"])
        for arm, count in counts.items():
            if count == asked:
                whole[arm, task] = scored[arm, task]
            else:
                notes.append(f"'{arm}' has answered {count} of {asked} of '{task}', and is left out of it until then")
    for task, found in {task: found for (_, task), found in whole.items()}.items() if reader else ():
        if not fits(reader, [answer.sample for answer in found]):
            notes.append(f"{task}: reader '{reader}' reads no such answers; the task's own reading stands")
    gone = found_nothing(info, whole)
    empty = {f"{arm} on {task}": reason for (arm, task), reason in gone.items()}
    whole = {pair: found for pair, found in whole.items() if pair not in gone}
    if not whole:
        reasons = {**info.get("references", {}).get("not_retrieved", {}), **empty}
        if lost := [f"{name}: {reason}" for name, reason in reasons.items()]:
            raise DataError(f"run '{run.name}' has no arm with answers, for none could retrieve ({'; '.join(lost)})")
        raise DataError(f"run '{run.name}' has no finished arm yet; rerun `ragmed eval` with its config to resume it")
    return whole, notes, empty


def _require_what_was_there(
    run: Run, info: Mapping[str, Any], before: Sequence[tuple[str, str, int]], scored: Answers
) -> None:
    """DamagedError, with arm, task and how many, where samples are gone of what was answered to its end before."""
    lacking = []
    for arm, task, all_ in before:
        now = len(scored.get((arm, task), ()))
        if now < all_:
            there_now = f"{now:,} {verb(now, 'is', 'are')} there"
            lacking.append(f"'{arm}' on '{task}' had answered all {counted(all_, 'example')}, and {there_now}")
    if lacking:
        remedy = (
            "import it again"
            if "imported" in info
            else "put the file back, or rerun `ragmed eval` with its config, which asks again what is missing"
        )
        raise DamagedError(f"run '{run.name}' lacks samples: {together(lacking)}; {remedy}")


def _were_whole(run: Run, info: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """The arms and tasks that were answered to their end, as scores or results tell, and of how many examples.

    Neither is needed: what both are gone of counts as never asked.
    """
    found = []
    try:
        compared = {(row.arm, row.task) for row in read_results(run.results_file).scores}
    except RagmedError:  # written again from the samples
        compared = set()
    for task, facts in info["tasks"].items():
        for arm in info["experiment"]["arms"]:
            if not ((arm, task) in compared or run.scores_file(arm, task).is_file()):
                continue
            whole = (arm, task) in compared or _scored(run, arm, task) >= facts["examples"]
            found += [(arm, task, int(facts["examples"]))] if whole else []
    return found


def _scored(run: Run, arm: str, task: str) -> int:
    try:
        scores = run.scores(arm, task)
    except RagmedError:  # made again from the samples
        return 0
    return len(scores[1]) if scores else 0


def stored_settings(run: Run) -> ComparisonSettings:
    """The comparison's settings as the run's config gave them; what is absent counts as its default."""
    return parse(
        ComparisonSettings,
        run.info()["experiment"]["comparison"],
        f"run file '{run.info_file}', experiment.comparison",
        error=DamagedError,
        remedy=INFO_REMEDY,
    )


def metrics_of(runs: Sequence[Run], reader: str, answers: Answers) -> dict[str, tuple[MetricFacts, ...]]:
    """What each task measures, so that an arm none of whose answers could be scored keeps its row."""
    read = {task for (_, task), found in answers.items() if reader and fits(reader, [a.sample for a in found])}
    return {
        task: declared_metrics(record, reader=reader if task in read else "")
        for run in runs
        for task, record in run.info()["tasks"].items()
    }
