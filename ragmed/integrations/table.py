"""Tables of others' answers in, a run out: one row a question and arm, one file an arm, or one column an arm.

    run = import_table(TableImport(files=(Source("answers.csv"),)), output=Path("runs/answers"))

Where the table has the authors' own reading (`answer`, `correct`) or scores, the run holds these, so that its figures
are the printed ones; what our readers make of the raw outputs stands beside them (`readings`). Every row of every file
is taken or counted with the reason why not.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ragmed.checked import dump
from ragmed.comparison.designs import four_arms
from ragmed.comparison.settings import ComparisonSettings
from ragmed.errors import DataError, UnknownNameError, UsageError
from ragmed.files import sha256_file, sha256_json
from ragmed.integrations.foreign import ForeignTask, control, foreign_metric, write_run
from ragmed.integrations.readings import BOTH, OURS, THEIRS, Readings, Under, held_together, read_together, verdicts
from ragmed.integrations.table_files import TableFile, narrow, read_tables
from ragmed.integrations.table_gold import KnownQuestions, known_questions, read_topics
from ragmed.integrations.table_guess import complete
from ragmed.integrations.table_questions import GoldLabels, Questions, answered_by, questions_of
from ragmed.integrations.table_rows import Entries, Entry, entries_of, refuse_nothing
from ragmed.integrations.table_settings import ARM, Columns, Source, TableImport, column_names, find
from ragmed.integrations.trec_health_logs import PRINTED, read_logs
from ragmed.metrics import METRICS, MetricFacts, metric_facts
from ragmed.metrics.gold import agrees, right_letters
from ragmed.records import Example, Message, Sample, Score
from ragmed.runs import Run, find_run
from ragmed.scores import RECORDED, score_samples
from ragmed.tasks.reading import find_reader
from ragmed.text_table import counted, plural, verb
from ragmed.workspace import Workspace

ACCURACY = "accuracy"
VERSION = 4
"""Raised with every change that can change what an import makes of the same files."""
Find = Callable[[str], Path]
NO_ROW = "no row holds this arm's answer to this question"
DISAGREES = "{are} printed as right or wrong otherwise than their letter and gold say; the print stands."
_SHOWN = 3  # places named with a reason
_MANY = 10  # questions that two arms do not answer alike by chance
_RUN = re.compile(r"(.+?)[\W_]*(?:run|seed|sample|rep|repeat|repetition|epoch|trial|try|iter|iteration)[\W_]*\d+", re.I)
_ROUNDING = 0.02  # of printed probabilities, all options together


@dataclass(slots=True)
class _Task:
    """`samples`, `scores`: arm -> one for each of `examples`, in their order. `ours`: what our reader `read_by` makes
    of the outputs, of arms that have any, where `scores` are the authors'. `raw`: whether there are raw outputs."""

    examples: list[Example]
    reader: str
    metrics: tuple[MetricFacts, ...] = ()
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    scores: dict[str, list[Score]] = field(default_factory=dict)
    ours: dict[str, list[Score]] = field(default_factory=dict)
    read_by: str = ""
    raw: bool = False
    source: str = ""
    license: str = ""


def import_table(
    settings: TableImport, *, output: Path, beside: Path = Path(), workspace: Workspace | None = None
) -> Run:
    """See the module. `beside`: where the settings' paths start; what is not there is looked for under RAGMED_DATA.

    Raises DataError where a file cannot be read, where no row can be taken, where a question has two golds or an arm
    two answers to it, or where a printed figure names an arm that is not there; UnknownNameError for a column or an arm
    that nobody knows; UsageError for settings that make no sense, or where `output` exists.
    """
    workspace = workspace or Workspace.find()
    if not settings.files:
        raise UsageError("no files to import; name them")

    def found(path: str) -> Path:
        return find(path, beside, workspace)

    given = settings
    tables = _tables(settings, found)
    _refuse_unread(tables)
    passed = [note for source, table in tables for note in narrow(table, source.rows, column_names(settings.columns))]
    guessed: list[str] = []
    if settings.kind == "table":
        settings, guessed = complete(settings, [table for _, table in tables])
    if settings.kind == "trec-health":
        settings = replace(settings, columns=Columns(id="id", question="question", output="output", correct="correct"))
    made = entries_of(tables, settings)
    refuse_nothing(made)
    known = _known(settings, found, workspace)
    stems = {PurePosixPath(table.name).stem for _, table in tables}
    unnamed = known[""].name if "" in known else stems.pop() if len(stems) == 1 else output.name
    by_task: dict[str, list[Entry]] = {}
    for entry in made.found:
        by_task.setdefault(entry.task or unnamed, []).append(entry)
    tasks: dict[str, _Task] = {}
    notes: list[str] = []
    arms = list(dict.fromkeys(entry.arm for entry in made.found))
    for name, entries in by_task.items():
        questions = questions_of(entries, settings, made, known.get(name, known.get("")))
        if questions.examples:
            tasks[name] = _task(name, questions, settings, made, notes)
    if not tasks:
        made.found = []
        refuse_nothing(made)
    arms = [arm for arm in arms if any(arm in task.samples for task in tasks.values())]
    comparison, said = _comparison(settings, arms)
    read = Readings(
        tuple(
            held_together(name, task.read_by, task.samples[arm], task.scores[arm], ours)
            for name, task in tasks.items()
            for arm, ours in task.ours.items()
            if task.raw
        ),
        tuple(under for name, task in tasks.items() for under in _verdicts(name, task, comparison)),
    )
    figures = _figures(settings, made, tasks)
    return write_run(
        output,
        samples={(arm, name): task.samples[arm] for name, task in tasks.items() for arm in task.samples},
        scores={(arm, name): task.scores[arm] for name, task in tasks.items() for arm in task.scores},
        arms={arm: _arm(arm, settings) for arm in arms},
        tasks={
            name: ForeignTask(
                task.examples, task.reader, task.metrics, task.source or settings.source,
                task.license or settings.license, scoring="letters" if task.reader == "likelihood" else "generate",
            )
            for name, task in tasks.items()
        },
        comparison=comparison,
        origin={
            "kind": "table",
            "files": _hashed(given, found),
            "settings": _identity(given),
            "rows": {"all": made.rows, "taken": made.rows - _refused(made), "refused": _refused(made)},
            "refused": {reason: len(places) for reason, places in made.refused.items()},
            "figures": figures,
            "readings": asdict(read),
            "notes": [*passed, *guessed, *said, *_row_notes(made), *notes, *_figure_notes(figures), *read.notes()],
        },
        access=settings.access,
    )  # fmt: skip


def import_again(
    settings: TableImport, *, output: Path, beside: Path = Path(), workspace: Workspace | None = None
) -> Run:
    """As `import_table`; where `output` holds this very import of these very files already, it is taken as it is.

    UsageError where it holds anything else.
    """
    workspace = workspace or Workspace.find()
    if not (output / "run.json").exists():
        return import_table(settings, output=output, beside=beside, workspace=workspace)
    run = find_run(workspace.runs, str(output))
    imported = run.info().get("imported", {})
    files = _hashed(settings, lambda path: find(path, beside, workspace))
    if imported.get("settings") == _identity(settings) and imported.get("files") == files:
        return run
    raise UsageError(
        f"'{output}' holds a run of other settings or files already; give another --output, or delete it first"
    )


def _identity(settings: TableImport) -> str:
    return f"{VERSION}:{sha256_json(dump(settings))}"


def _hashed(settings: TableImport, found: Find) -> list[dict[str, str]]:
    paths = dict.fromkeys(found(source.path) for source in settings.files)
    return [{"name": path.name, "sha256": _sha256(path)} for path in paths]


def _sha256(path: Path) -> str:
    """Of a file, or of the names and bytes of all files of a folder."""
    if path.is_file():
        return sha256_file(path)
    inside = sorted(file for file in path.rglob("*") if file.is_file())
    return sha256_json({file.relative_to(path).as_posix(): sha256_file(file) for file in inside})


def _tables(settings: TableImport, found: Find) -> list[tuple[Source, TableFile]]:
    tables: list[tuple[Source, TableFile]] = []
    topics: list[Example] = []
    if settings.kind == "trec-health":
        kind, _, of_topics = settings.gold.partition(":") if isinstance(settings.gold, str) else ("", "", "")
        if kind != "topics":
            raise UsageError("kind trec-health needs the topics: gold: topics:PATH")
        topics = read_topics(found(of_topics))
    for source in settings.files:
        if settings.kind == "trec-health":
            named = replace(source, printed=PRINTED)
            tables += [(named, table) for table in read_logs(found(source.path), topics, only=source.only)]
        else:
            path = found(source.path)
            given = read_tables(path, only=source.only, records=source.records, delimiter=source.delimiter)
            tables += [(source, table) for table in given]
    return tables


def _refuse_unread(tables: Sequence[tuple[Source, TableFile]]) -> None:
    """DataError where no row of any file could be read: what its columns hold cannot be told then."""
    reasons = Counter(reason for _, table in tables for _, reason in table.refused)
    if not any(table.rows for _, table in tables) and reasons:
        table = next(table for _, table in tables if table.refused)
        ((why, count),) = reasons.most_common(1)
        raise DataError(
            f"none of the {sum(reasons.values()):,} rows of '{table.file}' can be read; most often ({count:,}): {why}"
        )


def _known(settings: TableImport, found: Find, workspace: Workspace) -> dict[str, KnownQuestions]:
    """task -> where its questions come from; '' of all tasks."""
    named = {"": settings.gold} if isinstance(settings.gold, str) else settings.gold
    return {
        task: known_questions(gold, settings.gold_columns, find=found, workspace=workspace)
        for task, gold in named.items()
        if gold
    }


def _refused(made: Entries) -> int:
    return sum(made.left_out.values()) + sum(map(len, made.refused.values()))


def _task(name: str, questions: Questions, settings: TableImport, made: Entries, notes: list[str]) -> _Task:
    given = _by_arm(questions, made)
    ids = list(dict.fromkeys(key for answers in given.values() for key in answers))
    order = {key: place for place, key in enumerate(questions.examples)}
    ids.sort(key=lambda id_: (order[id_[0]], id_[1]))
    examples = [_repeated(questions.examples[key], repeat) for key, repeat in ids]
    entries = [entry for answers in given.values() for entry in answers.values()]
    printed = settings.reading == "printed" and any(
        entry.answer is not None or entry.correct is not None or entry.scores for entry in entries
    )
    if settings.columns.scores and not any(_says_something(entry) for entry in entries):
        named = ", ".join(f"'{score.column}'" for score in settings.columns.scores.values())
        raise DataError(f"{name}: no row has a number in the columns of scores ({named}); name another with --score")
    task = _Task(examples, "")
    if questions.known:
        task.source, task.license = questions.known.source, questions.known.license
    for arm, answers in given.items():
        task.samples[arm] = [
            _sample(arm, name, example, answers.get(id_)) for id_, example in zip(ids, examples, strict=True)
        ]
    reader = task.reader = settings.reader or _reader(examples, entries, task.samples)
    find_reader(reader)
    ours = [metric for metric in settings.metrics if metric] or ([ACCURACY] if not printed else [])
    for metric in ours:
        if metric not in METRICS:
            raise UnknownNameError("metric", metric, METRICS, "ragmed")
    notes += [f"{name}: {said}" for said in (*_alike(given), *_runs_as_questions(questions), *_beyond_one(entries))]
    labels = GoldLabels.of(questions.examples)
    for arm, answers in given.items():
        _refuse_texts(arm, answers, questions, settings, labels)
    if not printed:
        task.metrics = metric_facts(ours)
        return task
    odd: Counter[str] = Counter()
    for arm, answers in given.items():
        theirs = [
            _score(example, answers.get(id_), settings, labels, odd) for id_, example in zip(ids, examples, strict=True)
        ]
        task.scores[arm] = _with_ours(theirs, task.samples[arm], reader, ours) if ours else theirs
    task.metrics = _facts(task, settings, ours)
    if any(facts.name == ACCURACY for facts in task.metrics):
        task.read_by, task.ours = reader, read_together(task.samples, reader)
        task.raw = any(entry.output is not None for entry in entries)
    task.reader = reader if not settings.columns.scores and not ours and _same(task) else RECORDED
    for text, count in odd.items():
        many = f"{count:,} {plural('answer', count)}"
        forms = {"are": f"{many} {verb(count, 'is', 'are')}", "answers": f"{many} {verb(count, 'counts', 'count')} as"}
        notes.append(f"{name}: {text.format(**forms)}")
    if questions.as_letters and questions.as_texts:
        notes.append(
            f"{name}: gold answers stand as letters ({questions.as_letters:,}) and as the options' texts "
            f"({questions.as_texts:,}); both are read as letters."
        )
    return task


def _by_arm(questions: Questions, made: Entries) -> dict[str, dict[tuple[str, str], Entry]]:
    """arm -> (key, repeat) -> its row; a row that says again what one said before is counted and passed over."""
    given: dict[str, dict[tuple[str, str], Entry]] = {}
    for key, rows in questions.entries.items():
        for entry in rows:
            answers = given.setdefault(entry.arm, {})
            first = answers.setdefault((key, entry.repeat), entry)
            if first is entry:
                continue
            if _says(first) != _says(entry):
                raise DataError(
                    f"arm '{entry.arm}' has two different answers to '{entry.id or entry.question[:60]}' "
                    f"({first.where} and {entry.where}); name the column that tells them apart with --repeat (a "
                    "sample, a seed) or --task, or that names the arm with --arm"
                )
            made.refuse("the row says again what an earlier one says", entry.where)
    return given


def _alike(given: Mapping[str, Mapping[tuple[str, str], Entry]]) -> Iterator[str]:
    """Arms that say the same everywhere: one arm twice, as a rule, and then no second one."""
    said: dict[Any, list[str]] = {}
    for arm, answers in given.items():
        if len(answers) >= _MANY:
            said.setdefault(repr(sorted((key, _says(entry)) for key, entry in answers.items())), []).append(arm)
    for arms in said.values():
        if len(arms) > 1:
            yield f"{', '.join(arms)} have the same answer to every question, as one arm has that stands there twice."


def _runs_as_questions(questions: Questions) -> Iterator[str]:
    """Ids that name a run of a question (q7_run2), of questions without a text by which the comparison could see it."""
    stems: dict[str, list[str]] = {}
    for key, example in questions.examples.items():
        found = _RUN.match(key) if not example.question and not example.group else None
        if found:
            stems.setdefault(found[1], []).append(key)
    several = {stem: keys for stem, keys in stems.items() if len(keys) > 1}
    one_gold = all(len({str(questions.examples[key].gold) for key in keys}) == 1 for keys in several.values())
    if several and one_gold and sum(map(len, several.values())) > len(questions.examples) / 2:
        first, second = next(iter(several.values()))[:2]
        count = sum(map(len, several.values()))
        yield (
            f"the ids of {count:,} of {len(questions.examples):,} questions look like runs of {len(several):,} "
            f"('{first}', '{second}'). They are counted as so many questions; if they are runs, intervals and p are "
            "too small: name the column that holds the question with --group, or split the id into --id and --repeat."
        )


def _beyond_one(entries: Sequence[Entry]) -> Iterator[str]:
    over = [one for one in entries if sum(map(math.exp, one.log_probabilities.values())) > 1 + _ROUNDING]
    if over:
        yield (
            f"the options' probabilities of {counted(len(over), 'answer')} come to more than 1 (the first: "
            f"{over[0].where.rsplit('/', 1)[-1]}); they are taken in proportion."
        )


def _says_something(entry: Entry) -> bool:
    return any(one is not None for one in (entry.output, entry.answer, entry.correct)) or bool(
        entry.scores or entry.log_probabilities
    )


def _says(entry: Entry) -> tuple[Any, ...]:
    return entry.output, entry.answer, entry.correct, dict(entry.scores), dict(entry.log_probabilities)


def _repeated(example: Example, repeat: str) -> Example:
    return replace(example, id=f"{example.id}#{repeat}", group=example.group or example.id) if repeat else example


def _reader(
    examples: Sequence[Example], entries: Sequence[Entry], samples: Mapping[str, Sequence[Sample]]
) -> str:  # fmt: skip
    """Ours: by the likeliest option where there is nothing but probabilities, by letter or label, else the text.

    Where every question has the same single words for options (A. yes, B. no), answers may be either: whichever more
    of all arms' outputs can be read by, be they right or wrong.
    """
    if not any(example.options for example in examples):
        return "text"
    if all(entry.output is None for entry in entries) and any(entry.log_probabilities for entry in entries):
        return "likelihood"
    choices = {tuple(example.options.values()) for example in examples}
    if len(choices) > 1 or not all(len(text) > 1 and text.isalpha() for text in next(iter(choices))):
        return "letter"
    written = [sample for given in samples.values() for sample in given if sample.completion]
    read = {
        reader: sum(score.status == "answered" for score in score_samples(written, reader, [ACCURACY]))
        for reader in ("label", "letter")
    }
    return max(read, key=lambda reader: read[reader])


def _sample(arm: str, task: str, example: Example, entry: Entry | None) -> Sample:
    options = "\n".join(f"{letter}. {text}" for letter, text in example.options.items())
    asked = f"{example.question}\n{options}".strip()
    messages = (Message("user", asked),) if asked else ()
    if entry is None:
        return Sample(arm, task, example, messages=messages, finish="error", error=NO_ROW)
    letters = tuple(letter for letter in example.options if letter in entry.log_probabilities)
    chosen = len({entry.log_probabilities[letter] for letter in letters}) > 1  # all alike say nothing, and never "A"
    scored = letters if chosen and len(letters) == len(example.options) else ()
    text = entry.output if entry.output is not None else None if scored else entry.answer
    return Sample(
        arm, task, example, messages=messages, completion=text,
        continuations=scored, option_logprobs=tuple(entry.log_probabilities[one] for one in scored),
        option_tokens=(1,) * len(scored),
    )  # fmt: skip


def _refuse_texts(
    arm: str,
    answers: Mapping[tuple[str, str], Entry],
    questions: Questions,
    settings: TableImport,
    labels: GoldLabels,
) -> None:
    """An arm whose answers are, for the most part, texts that nobody has read: all of them would count as wrong."""
    entries = answers.values()
    raw = any(entry.output is not None for entry in entries)
    if raw and (settings.reader or not labels.closed or any(one.options for one in questions.examples.values())):
        return  # read by our reader, or by its authors and beside that by ours
    if any(entry.correct is not None or entry.scores for entry in entries):
        return
    said = [(key, text) for (key, _), entry in answers.items() if (text := entry.answer or entry.output)]
    unread = [text for key, text in said if answered_by(text, questions.examples[key], settings, labels) is None]
    if 2 * len(unread) > len(said):
        example = " ".join(unread[0].split())[:60]
        known = any(example.options for example in questions.examples.values())
        options = f" {labels.remedy}" if labels.closed and not known else ""
        raise UsageError(
            f"{len(unread)} of {len(said)} {plural('answer', len(said))} of '{arm}' "
            f"{verb(len(unread), 'names', 'name')} no gold answer or option, such as '{example}': to "
            f"have texts read, name their column with --raw (--raw '{ARM}' where each arm has a column){options}"
        )


def _score(
    example: Example, entry: Entry | None, settings: TableImport, labels: GoldLabels, odd: Counter[str]
) -> Score:
    """What the authors' own columns say of an answer."""
    if entry is None:
        return Score(example.id, "error")
    value = answered_by(entry.answer or "", example, settings, labels)
    metrics: dict[str, float] = {}
    if entry.correct is not None:
        metrics[ACCURACY] = float(entry.correct)
        told = example.gold not in ("", None)  # else right or wrong is all that is known
        if told and entry.answer and value is not None and entry.correct != _is_right(value, example):
            odd[DISAGREES] += 1
    elif entry.answer is not None:
        metrics[ACCURACY] = float(value is not None and _is_right(value, example))
    metrics |= entry.scores
    unread = entry.answer is not None and value is None and not entry.correct
    if unread and not entry.scores:
        kind = "is empty" if not entry.answer else "names none of the options"
        odd[f"{{answers}} not read: the authors' column {kind}."] += 1
        return Score(example.id, "unparsed")
    return Score(example.id, "answered", value if value is not None else (entry.output or ""), metrics)


def _is_right(value: str, example: Example) -> bool:
    return agrees(value, example.gold) or value in right_letters(example)


def _with_ours(theirs: Sequence[Score], samples: Sequence[Sample], reader: str, ours: Sequence[str]) -> list[Score]:
    made = score_samples(samples, reader, ours)
    return [
        replace(score, metrics={**score.metrics, **own.metrics}) if score.status == "answered" else score
        for score, own in zip(theirs, made, strict=True)
    ]


def _facts(task: _Task, settings: TableImport, ours: Sequence[str]) -> tuple[MetricFacts, ...]:
    """Accuracy first, then the table's own scores in the order of the settings, then ours."""
    pairs = [
        (example, score)
        for scores in task.scores.values()
        for example, score in zip(task.examples, scores, strict=True)
    ]
    named = {metric: True for _, score in pairs for metric in score.metrics if metric == ACCURACY}
    upward: dict[str, bool | None] = {
        **named,
        **{name: one.higher_is_better for name, one in settings.columns.scores.items()},
    }
    units = {name: one.unit for name, one in settings.columns.scores.items()}
    theirs = tuple(
        foreign_metric(metric, pairs, higher_is_better=better, unit=units.get(metric))
        for metric, better in upward.items()
        if any(metric in score.metrics for _, score in pairs)
    )
    return (*theirs, *metric_facts([metric for metric in ours if metric not in upward]))


def _same(task: _Task) -> bool:
    """Whether our reader gives the very numbers of every arm, so that `ragmed score` can make them again."""
    return task.ours.keys() == task.scores.keys() and all(
        [(one.status, one.metrics) for one in task.ours[arm]] == [(one.status, one.metrics) for one in theirs]
        for arm, theirs in task.scores.items()
    )


def _both(task: _Task) -> dict[str, list[Score]]:
    """The authors' reading, and ours of what they could not read."""
    return {
        arm: [
            our if their.status != "answered" and our.status == "answered" else their
            for their, our in zip(theirs, task.ours[arm], strict=True)
        ]
        for arm, theirs in task.scores.items()
    }


def _verdicts(name: str, task: _Task, comparison: ComparisonSettings) -> list[Under]:
    """Nothing where no answer is read differently: there are no two verdicts then."""
    if not task.raw or task.reader != RECORDED or task.ours.keys() != task.scores.keys():
        return []
    return verdicts(name, task.samples, {THEIRS: task.scores, OURS: task.ours, BOTH: _both(task)}, comparison)


def _arm(arm: str, settings: TableImport) -> dict[str, Any]:
    facts = next((one for name, one in settings.arms.items() if (one.name or name) == arm), None)
    if facts is None:
        return {"model": arm}
    known: dict[str, Any] = {"model": facts.model or arm, "context": facts.context}
    if facts.context != "none":
        known |= {name: value for name, value in (("index", facts.index), ("k", facts.k)) if value}
    return known


def _comparison(settings: TableImport, arms: Sequence[str]) -> tuple[ComparisonSettings, list[str]]:
    for named in (*settings.contrasts, *settings.factorials):
        for arm in named:
            if arm not in arms:
                raise UnknownNameError("arm", arm, arms, "the tables")
    if settings.contrasts and not settings.baseline:
        baseline, notes = settings.contrasts[0][0], list[str]()
    else:
        baseline, notes = control(list(arms), settings.baseline or None)
    made = ComparisonSettings(
        baseline,
        contrasts=settings.contrasts,
        factorials=tuple(map(four_arms, settings.factorials)),
        margin=settings.margin,
    )
    return made, notes


def _row_notes(made: Entries) -> Iterator[str]:
    refused = _refused(made)
    if refused:
        taken = made.rows - refused
        of = f"{taken:,} of {made.rows:,} {plural('row', made.rows)}"
        yield f"{of} {verb(taken, 'is', 'are')} taken, {refused:,} {verb(refused, 'is', 'are')} not."
    for reason, places in made.refused.items():
        more = f" and {len(places) - _SHOWN:,} more" if len(places) > _SHOWN else ""
        shown = "; ".join(place.rsplit("/", 1)[-1] for place in places[:_SHOWN])
        yield f"{len(places):,} {plural('row', len(places))} not taken: {reason} ({shown}{more})."
    if made.left_out:
        named = ", ".join(f"{arm} {count:,}" for arm, count in made.left_out.items())
        left = sum(made.left_out.values())
        rows = f"{left:,} {plural('row', left)} {verb(left, 'is', 'are')}"
        yield f"{rows} of arms that the settings do not take: {named}."
    for metric, count in made.empty_scores.items():
        cells = f"{count:,} {plural('cell', count)} of {metric} {verb(count, 'holds', 'hold')}"
        yield f"{cells} no number; {verb(count, 'this answer has', 'these answers have')} no such score."


def _figures(settings: TableImport, made: Entries, tasks: Mapping[str, _Task]) -> list[dict[str, Any]]:
    """Printed shares beside what the run holds: of the settings, else of the files."""
    named = {(arm, task): value for task, arms in settings.printed.items() for arm, value in arms.items()}
    for arm, task in named:
        if task not in tasks or arm not in tasks[task].samples:
            raise DataError(f"printed: no arm '{arm}' on task '{task}' was found; correct the names")
    for (arm, task), shares in made.printed.items():
        task = task if task in tasks else next(iter(tasks))
        total = sum(count for count, _ in shares)
        named.setdefault((arm, task), sum(count * share for count, share in shares) / total)
    rows = []
    for (arm, name), share in named.items():
        scores = tasks[name].scores.get(arm, [])
        numbers = [score.metrics.get(ACCURACY, 0.0) for score in scores if score.status != "error"]
        if numbers:
            found = sum(map(float, numbers)) / len(numbers)  # type: ignore[arg-type]
            rows.append({
                "arm": arm, "task": name, "printed": share, "found": found, "n": len(numbers),
                "agrees": abs(found - share) <= settings.tolerance,
            })  # fmt: skip
    return rows


def _figure_notes(figures: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not figures:
        return
    off = [row for row in figures if not row["agrees"]]
    right = len(figures) - len(off)
    figure = f"{right} of {len(figures)} printed {plural('figure', len(figures))} {verb(right, 'is', 'are')}"
    yield f"{figure} what the rows come to."
    for row in off:
        yield (
            f"'{row['arm']}' on '{row['task']}': {row['printed']:.4f} is printed, and the rows come to "
            f"{row['found']:.4f} (n {row['n']})."
        )
