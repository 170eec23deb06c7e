"""A run in, a run without any text out: scores, statuses and hashed ids, for those who may not see the rest.

The bundle is a run folder (or a zip of one) that `ragmed compare` takes, and whose contrasts are those of the original.
What goes in is listed here, field by field; what is not listed stays out:

    plain      names of arms, tasks and metrics (arms and tasks can be renamed), facts of the metrics, status, how an
               answer ended, scores, number of examples, the settings of the comparison, kind of context, k, order of
               passages, kind of scoring, access tier
    hashed     ids of examples, groups, passages, documents; hashes of questions and corpora; the entries of gold lists
               where a metric counts those that an answer misses
    left out   all text (prompts, answers, what was read, gold answers, options, passages, notes, citations), paths,
               models, log-likelihoods, similarities, tokens, seconds, dates, machines: numbers too can tell which text
               they were measured on

A hash is HMAC-SHA256 under a secret key, cut to 128 bits, so that nobody can find an id by hashing the ids they know.
Samples stand in the order of their hashes, which says nothing of the order of the data. Runs exported with one key can
be joined; the key stays in the run's folder (bundle.key) and in no bundle.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import secrets
import shutil
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ragmed
from ragmed.arms import CONTEXTS, PASSAGE_ORDERS
from ragmed.comparison.columns import groups_of
from ragmed.comparison.designs import FACTORS, Design
from ragmed.comparison.diagnosis.gold_documents import ranked_documents
from ragmed.comparison.settings import ComparisonSettings, every_failure
from ragmed.comparison.sources import Corpora, arm_sources
from ragmed.errors import DamagedError, DataError, UnknownNameError, UnwritableError, UsageError
from ragmed.experiments.results import stored_answers, stored_settings
from ragmed.files import fsync_folder, make_folder, read_text, write_atomic, writing
from ragmed.metrics import MetricFacts
from ragmed.records import Answer, Example, Sample, Score, ShownPassage
from ragmed.runs import Run
from ragmed.scores import RECORDED, declared_metrics
from ragmed.stored import INFO_REMEDY, SCHEMA, ScoresHeader
from ragmed.text_table import counted

KEY_FILE = "bundle.key"
NOTE = (
    "this run is a bundle: scores and hashed ids. Its texts, answers, tokens and times stayed where it was made, and "
    "nothing that needs them is reported here"
)
_SETTINGS = ("margin", "alpha", "resamples", "seed", "correction", "proportions")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Where it is, and what stands in it in plain words."""

    path: Path
    arms: tuple[str, ...]
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    samples: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Secret:
    key: bytes

    def hashed(self, kind: str, text: object) -> str:
        """A text's hash, another for each kind of id, so that an id of a group does not show that of an example."""
        data = f"{kind}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.new(self.key, data, hashlib.sha256).hexdigest()[:32]

    def corpora(self, corpora: Corpora) -> list[dict[str, str]]:
        return [{"name": "corpus", "sha256": sha} for sha in sorted(self.hashed("corpus", sha) for _, sha in corpora)]


def export_bundle(
    run: Run, output: Path, *, key: Path | None = None, rename: Sequence[str] = (), policy: str | None = None
) -> Bundle:
    """
        bundle = export_bundle(find_run(runs, "notes"), Path("notes-bundle.zip"), rename=["our-icu=task-1"])
        bundle.tasks  # ("task-1",)

    A folder, or a zip of one where `output` ends in `.zip`; for its owner alone unless the run is open. `key`: the key
    of another run whose ids shall be joined with these; the run's own, made at the first export, where there is none.
    `rename`: `OLD=NEW` for each arm or task that is to have another name; what is resampled draws by these names, so
    that its intervals and p then move within the error of the simulation. `policy`: that of the comparison, where it is
    not to be the run's. Arms that are not through with a task are left out of it, which `notes` say. UsageError where
    `output` exists.
    """
    if output.exists() or output.is_symlink():
        raise UsageError(f"'{output}' exists already; give another --output, or delete it first")
    settings = stored_settings(run)
    settings = settings if policy is None else replace(settings, policy=every_failure(policy))
    answers, notes, empty = stored_answers(run)
    info = run.info()
    notes = [note for note in notes if note not in info.get("imported", {}).get("notes", [])]
    notes += [f"{name} is left out: {reason}" for name, reason in empty.items()]
    names = _names(info, rename)
    secret = _Secret(_key(run, key))
    stem = (output.stem if output.suffix == ".zip" else output.name).lstrip(".") or "bundle"
    measured = {task: declared_metrics(info["tasks"][task]) for _, task in answers}
    metrics = tuple(dict.fromkeys(facts.name for of_task in measured.values() for facts in of_task))
    written = _info(info, stem, names=names, secret=secret, metrics=measured) | {"access": run.access}
    written["experiment"]["comparison"] = _comparison(settings, names)
    beside = output.with_name(f".{output.name}.{os.getpid()}.made")
    made = Run(beside / stem, access=run.access)
    try:
        make_folder(made.folder, mode=run.folder_mode)
        for (arm, task), given in answers.items():
            counts = any(facts.kind == "ratio" for facts in measured[task])
            groups = _shared_groups([answer.example for answer in given])
            mine = [
                _bare(answer, names[arm], names[task], secret, counts=counts, group=groups.get(answer.example.id, ""))
                for answer in given
            ]
            mine.sort(key=lambda answer: answer.example.id)
            made.append(names[arm], names[task], [answer.sample for answer in mine])
            versions = {facts.name: facts.version for facts in measured[task]}
            header = ScoresHeader(made.samples_hash(names[arm], names[task]), RECORDED, 1, versions)
            made.write_scores(names[arm], names[task], header, [answer.score for answer in mine])
        made.write_info(written)
        if output.suffix == ".zip":
            write_atomic(output, _zipped(made), mode=run.file_mode)
        else:
            with writing(output):
                made.folder.rename(output)
                fsync_folder(output.absolute().parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    arms, tasks = (tuple(dict.fromkeys(names[key[place]] for key in answers)) for place in (0, 1))
    return Bundle(output, arms, tasks, metrics, sum(map(len, answers.values())), tuple(notes))


def summary(bundle: Bundle) -> str:
    """What stands in it in plain words, and what to do next, as text."""
    lines = [f"{bundle.path}: {counted(bundle.samples, 'sample')}. Read these names before you share it:"]
    for kind, names in (("arms", bundle.arms), ("tasks", bundle.tasks), ("metrics", bundle.metrics)):
        lines.append(f"  {kind}: {', '.join(names)}")
    lines += [f"note: {note}" for note in bundle.notes]
    return "\n".join([*lines, f"next: ragmed compare {bundle.path}"])


def _names(info: Mapping[str, Any], rename: Sequence[str]) -> dict[str, str]:
    """Every arm and task -> the name it gets. A name may hold `=` itself: the longest one that is known counts."""
    experiment = info["experiment"]
    known = [*experiment["arms"], *experiment["tasks"]]
    names = {name: name for name in known}
    for pair in rename:
        old = max((name for name in known if pair.startswith(f"{name}=")), key=len, default=None)
        if old is None:
            raise UnknownNameError("arm or task", pair.partition("=")[0], known, "--rename OLD=NEW")
        names[old] = pair.removeprefix(f"{old}=").strip()
    for kind in ("arms", "tasks"):
        new = [names[old] for old in experiment[kind]]
        twice = next((name for name in new if not name or new.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"--rename would call two {kind} '{twice}', or one nothing; give each a name of its own")
    return names


def _key(run: Run, shared: Path | None) -> bytes:
    """The secret, 32 bytes; made where the run has none yet."""
    path = shared or run.folder / KEY_FILE
    if shared is None and not (path.exists() and path.stat().st_size):  # an empty one never made an id
        try:
            write_atomic(path, secrets.token_hex(32) + "\n", mode=0o600)
        except UnwritableError as error:
            raise UnwritableError(f"{error}, or give a key of your own with --key") from error
    try:
        key = bytes.fromhex(read_text(path, "bundle key").strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise DataError(f"bundle key '{path}' is not 64 hexadecimal digits; give the bundle.key of a run")
    return key


def _info(
    info: Mapping[str, Any],
    stem: str,
    *,
    names: Mapping[str, str],
    secret: _Secret,
    metrics: Mapping[str, Sequence[MetricFacts]],
) -> dict[str, Any]:
    """`metrics`: those of each task that some arm is through with, which are the bundle's tasks."""
    arms, references = _arms(info, names, secret)
    return {
        "schema": SCHEMA,
        "name": stem,
        "experiment": {
            "name": stem,
            "models": {arm["model"]: {} for arm in arms.values()},
            "arms": arms,
            "tasks": {names[task]: {} for task in metrics},
        },
        "identity": {
            "tasks": {names[task]: _asked(info["identity"]["tasks"].get(task, {}), secret) for task in metrics}
        },
        "tasks": {
            names[task]: {
                "reader": RECORDED,
                "metrics": [asdict(facts) for facts in metrics[task]],
                "examples": _whole(info["tasks"][task]["examples"]),
                "held_out": _whole(info["tasks"][task].get("held_out")),
            }
            for task in metrics
        },
        "references": references,
        "imported": {"kind": "bundle", "files": [], "notes": [NOTE], "key": secret.hashed("key", "")},
        "software": {"ragmed": ragmed.__version__},
    }


def _arms(
    info: Mapping[str, Any], names: Mapping[str, str], secret: _Secret
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Arms with models and indexes by number, and the hashed corpora that these were trained on or show."""
    sources = arm_sources(info)
    given = info["experiment"]["arms"]
    models = list(dict.fromkeys(str(arm.get("model", "")) for arm in given.values()))
    indexes = list(dict.fromkeys(_shown_from(arm) for arm in given.values() if _shown_from(arm)))
    arms: dict[str, dict[str, Any]] = {}
    adapters: dict[str, Any] = {}
    indexes_shown: dict[str, Any] = {}
    for name, arm in given.items():
        model = f"model-{models.index(str(arm.get('model', ''))) + 1}"
        index = f"index-{indexes.index(_shown_from(arm)) + 1}" if _shown_from(arm) else ""
        arms[names[name]] = {"model": model, "index": index, "k": _whole(arm.get("k"))}
        for key, known in (("context", CONTEXTS), ("passage_order", PASSAGE_ORDERS)):
            if isinstance(arm.get(key), str) and arm[key] in known:
                arms[names[name]][key] = arm[key]
        trained_on, shown = sources[name].trained_on, sources[name].shown
        if trained_on is not None:
            adapters[model] = {"corpora": secret.corpora(trained_on)}
        if shown is not None and index:
            indexes_shown[index] = {"corpora": secret.corpora(shown)}
    return arms, {"adapters": adapters, "indexes": indexes_shown}


def _shown_from(arm: Mapping[str, Any]) -> str:
    """The retriever of an arm, or the index that it searches itself."""
    return str(arm.get("retriever") or arm.get("index") or "")


def _asked(identity: Mapping[str, Any], secret: _Secret) -> dict[str, str]:
    """What says whether two runs asked a task in the same way: equal where the originals were, under one key."""
    return {key: secret.hashed(key, identity.get(key)) for key in ("data", "scoring", "normalise")}


def _comparison(settings: ComparisonSettings, names: Mapping[str, str]) -> dict[str, Any]:
    if settings.baseline not in names:
        raise DamagedError(f"the control '{settings.baseline}' is no arm of the run; {INFO_REMEDY}")
    return {
        **{name: getattr(settings, name) for name in _SETTINGS},
        "policy": dict(settings.policy),
        "baseline": names[settings.baseline],
        "contrasts": _renamed(settings.contrasts, names),
        "misled": _renamed(settings.misled, names),
        "factorials": [
            asdict(_hidden(design, names)) for design in settings.factorials if set(design.arms) <= names.keys()
        ],
        "baseline_arms": [names[arm] for arm in settings.baseline_arms if arm in names],
    }


def _hidden(design: Design, names: Mapping[str, str]) -> Design:
    """Of arms under their new names. A level that its owner named is called as its first arm: its name may tell what
    the arm's no longer does."""
    renamed = design.renamed(names.__getitem__)
    usual = FACTORS[design.factor].levels
    levels = (one if one.name in usual else replace(one, name=one.closed_book) for one in renamed.levels)
    return replace(renamed, levels=tuple(levels))


def _renamed(groups: Sequence[Sequence[str]], names: Mapping[str, str]) -> list[list[str]]:
    return [[names[arm] for arm in group] for group in groups if all(arm in names for arm in group)]


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _bare(answer: Answer, arm: str, task: str, secret: _Secret, *, counts: bool, group: str) -> Answer:
    """Only what is listed: everything else keeps the empty default of its field. `group`: the example's; equal
    questions are one, since a bundle holds no question to compare."""
    sample, example = answer.sample, answer.example
    gold = example.gold if counts and isinstance(example.gold, tuple) else ()
    bare = Example(
        secret.hashed("example", example.id),
        "",
        gold=tuple(secret.hashed("gold", entry) for entry in gold) if gold else "",
        documents=tuple(sorted(secret.hashed("document", document) for document in example.documents)),
        group=secret.hashed("group", group) if group else "",
    )
    shown = tuple(_bare_passage(sample, place, secret) for place in range(len(sample.passages)))
    return Answer(
        Sample(arm, task, bare, passages=shown, finish=sample.finish, fits=sample.fits),
        Score(bare.id, answer.score.status, metrics=answer.score.metrics),
    )


def _shared_groups(examples: Sequence[Example]) -> dict[str, str]:
    """The groups of the examples that have one, declared or by asking what another asks."""
    groups = groups_of({example.id: example for example in examples}, sorted(example.id for example in examples))
    sizes = Counter(groups.values())
    declared = {example.id for example in examples if example.group}
    return {id_: group for id_, group in groups.items() if sizes[group] > 1 or id_ in declared}


def _bare_passage(sample: Sample, place: int, secret: _Secret) -> ShownPassage:
    passage = sample.passages[place]
    [document], _ = ranked_documents(replace(sample, passages=(passage,)))
    return ShownPassage(
        secret.hashed("passage", passage.id),
        secret.hashed("document", document),
        passage.rank or place + 1,
        gold=passage.gold,
    )


def _zipped(made: Run) -> bytes:
    """The folder as a zip whose bytes tell neither when nor where it was made."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(made.folder.rglob("*.json*")):
            entry = zipfile.ZipInfo(path.relative_to(made.folder.parent).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, (0o100000 | made.file_mode) << 16
            archive.writestr(entry, path.read_bytes())
    return packed.getvalue()
