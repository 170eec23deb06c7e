"""A run in, a run without any text out: scores, statuses and hashed ids, for those who may not see the rest.

The bundle is a run folder (or a zip of one) that `ragmed compare` takes, and whose contrasts are those of the original.
What goes in is listed here, field by field; what is not listed stays out:

    plain      names of arms, tasks and metrics (arms and tasks can be renamed), status, scores, number of examples,
               the settings of the comparison, kind of context, k, order of passages, kind of scoring, access tier
    hashed     ids of examples, groups, passages, documents; hashes of questions and corpora
    left out   all text (prompts, answers, what was extracted, gold answers, options, passages, notes, citations),
               paths, models, log-likelihoods, similarities, tokens, seconds, dates, machines: numbers too can tell
               which text they were measured on

A hash is HMAC-SHA256 under a secret key, cut to 128 bits, so that nobody can find an id by hashing the ids they know.
Samples stand in the order of their hashes, which says nothing of the order of the data. Runs exported with one key can
be joined; the key stays in the run's folder (bundle.key) and in no bundle.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import math
import os
import secrets
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ragmed
from ragmed.arms import CONTEXTS, PASSAGE_ORDERS
from ragmed.comparison.gold import ranked_documents
from ragmed.comparison.settings import ComparisonSettings, every_failure
from ragmed.comparison.sources import Corpora, arm_sources
from ragmed.errors import DamagedError, DataError, UnknownNameError, UsageError
from ragmed.experiments.results import stored_samples, stored_settings
from ragmed.files import fsync_folder, make_folder, read_text, write_atomic, write_json
from ragmed.records import Sample
from ragmed.runs import SCHEMA, Run

KEY_FILE = "bundle.key"
NOTE = (
    "this run is a bundle: scores and hashed ids. Its texts, answers, tokens and times stayed where it was made, and "
    "nothing is said here that needs them"
)
_SETTINGS = ("margin", "alpha", "resamples", "seed", "correction", "proportions")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Where it lies, and what it says in plain words."""

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
    >>> export_bundle(find_run(runs, "notes"), Path("notes-bundle.zip"), rename=["our-icu=task-1"])  # doctest: +SKIP
    Bundle(path=PosixPath('notes-bundle.zip'), arms=('general', 'general+rag'), tasks=('task-1',), ...)

    A folder, or a zip of one where `output` ends in `.zip`; for its owner alone unless the run is open. `key`: the key
    of another run whose ids shall be joined with these; the run's own, made at the first export, where there is none.
    `rename`: `OLD=NEW` for each arm or task that is to have another name; what is resampled draws by these names, so
    that its intervals and p then move within the error of the simulation. `policy`: that of the comparison, where it is
    not to be the run's. Arms that are not through with a task are left out of it, which `notes` say. UsageError where
    `output` exists, or where the policy is `mirage`, which reads the answers again.
    """
    if output.exists() or output.is_symlink():
        raise UsageError(f"'{output}' exists already; give another --output, or delete it first")
    settings = stored_settings(run)
    settings = settings if policy is None else replace(settings, policy=every_failure(policy))
    if "mirage" in settings.policy.values():
        raise UsageError(
            f"run '{run.name}' is compared under the policy 'mirage', which reads its answers again, and a bundle has "
            "none; give it another with --policy wrong or --policy drop"
        )
    samples, notes = stored_samples(run)
    info = run.info()
    notes = [note for note in notes if note not in info.get("imported", {}).get("notes", [])]
    names = _names(info, rename)
    secret = _Secret(_key(run, key))
    stem = (output.stem if output.suffix == ".zip" else output.name).lstrip(".") or "bundle"
    metrics = tuple(dict.fromkeys(m for given in samples.values() for sample in given for m in sample.scores))
    written = _info(info, stem, names=names, secret=secret, metrics=metrics) | {"access": run.access}
    written["experiment"]["comparison"] = _comparison(settings, names, metrics)
    beside = output.with_name(f".{output.name}.{os.getpid()}.made")
    made = Run(beside / stem, access=run.access)
    try:
        make_folder(made.folder, mode=run.folder_mode)
        for (arm, task), given in samples.items():
            mine = [_bare(sample, names[arm], names[task], secret) for sample in given]
            made.append(names[arm], names[task], sorted(mine, key=lambda sample: sample.example))
        write_json(made.info_file, written, mode=run.file_mode)
        if output.suffix == ".zip":
            write_atomic(output, _zipped(made), mode=run.file_mode)
        else:
            made.folder.rename(output)
            fsync_folder(output.absolute().parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    arms, tasks = (tuple(dict.fromkeys(names[key[place]] for key in samples)) for place in (0, 1))
    return Bundle(output, arms, tasks, metrics, sum(map(len, samples.values())), tuple(notes))


def said(bundle: Bundle) -> str:
    """What stands in it in plain words, and what comes next, as text."""
    lines = [f"{bundle.path}: {bundle.samples:,} samples. Read these names before you share it:"]
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
    if shared is None and not path.exists():
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise DataError(f"cannot write '{path}': {error.strerror}; give a key of your own with --key") from error
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
    try:
        key = bytes.fromhex(read_text(path, "bundle key").strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise DataError(f"bundle key '{path}' is not 64 hexadecimal digits; give the bundle.key of a run")
    return key


def _info(
    info: Mapping[str, Any], stem: str, *, names: Mapping[str, str], secret: _Secret, metrics: Sequence[str]
) -> dict[str, Any]:
    experiment = info["experiment"]
    arms, references = _arms(info, names, secret)
    asked = {t: experiment["tasks"][t] for t in experiment["tasks"]}
    facts = {t: info["tasks"].get(t, {}) for t in asked}
    measured = {t: [m for m in metrics if m in facts[t].get("metrics", metrics)] for t in asked}
    return {
        "schema": SCHEMA,
        "name": stem,
        "experiment": {
            "name": stem,
            "models": {arm["model"]: {} for arm in arms.values()},
            "arms": arms,
            "tasks": {names[t]: {} for t in asked},
        },
        "identity": {"tasks": {names[t]: _asked(info["identity"]["tasks"].get(t, {}), secret) for t in asked}},
        "tasks": {
            names[t]: {
                "source": "",
                "license": "",
                "metrics": measured[t],
                "examples": _whole(facts[t].get("examples")),
                "held_out": _whole(facts[t].get("held_out")),
            }
            for t in asked
        },
        "references": references,
        "imported": {"kind": "bundle", "files": [], "notes": [NOTE], "key": secret.hashed("key", "")},
        "software": {"ragmed": ragmed.__version__},
    }


def _arms(
    info: Mapping[str, Any], names: Mapping[str, str], secret: _Secret
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Arms with models and indexes by number, and the hashed corpora that these learnt from or show."""
    sources = arm_sources(info)
    given = info["experiment"]["arms"]
    models = list(dict.fromkeys(str(arm.get("model", "")) for arm in given.values()))
    indexes = list(dict.fromkeys(str(arm["index"]) for arm in given.values() if arm.get("index")))
    arms: dict[str, dict[str, Any]] = {}
    adapters: dict[str, Any] = {}
    shown: dict[str, Any] = {}
    for name, arm in given.items():
        model = f"model-{models.index(str(arm.get('model', ''))) + 1}"
        index = f"index-{indexes.index(str(arm['index'])) + 1}" if arm.get("index") else ""
        arms[names[name]] = {"model": model, "index": index, "k": _whole(arm.get("k"))}
        for key, known in (("context", CONTEXTS), ("passage_order", PASSAGE_ORDERS)):
            if isinstance(arm.get(key), str) and arm[key] in known:
                arms[names[name]][key] = arm[key]
        learnt, seen = sources[name].learnt, sources[name].shown
        if learnt is not None:
            adapters[model] = {"corpora": secret.corpora(learnt)}
        if seen is not None and index:
            shown[index] = {"corpora": secret.corpora(seen)}
    return arms, {"adapters": adapters, "indexes": shown}


def _asked(identity: Mapping[str, Any], secret: _Secret) -> dict[str, str]:
    """What says whether two runs asked a task in the same way: equal where the originals were, under one key."""
    return {key: secret.hashed(key, identity.get(key)) for key in ("sha256", "scoring", "normalise")}


def _comparison(settings: ComparisonSettings, names: Mapping[str, str], metrics: Sequence[str]) -> dict[str, Any]:
    if settings.baseline not in names:
        raise DamagedError(f"the control '{settings.baseline}' is no arm of the run; name one of its arms in run.json")
    return {
        **{name: getattr(settings, name) for name in _SETTINGS},
        "policy": dict(settings.policy),
        "baseline": names[settings.baseline],
        "contrasts": _renamed(settings.contrasts, names),
        "factorials": _renamed(settings.factorials, names),
        "baseline_arms": [names[arm] for arm in settings.baseline_arms if arm in names],
        "binary_metrics": sorted(set(metrics) & settings.binary_metrics),
        "descriptive_metrics": sorted(set(metrics) & settings.descriptive_metrics),
    }


def _renamed(groups: Sequence[Sequence[str]], names: Mapping[str, str]) -> list[list[str]]:
    return [[names[arm] for arm in group] for group in groups if all(arm in names for arm in group)]


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _bare(sample: Sample, arm: str, task: str, secret: _Secret) -> Sample:
    """Only what is listed: everything else keeps the empty default of its field."""
    for metric, value in sample.scores.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DamagedError(f"a sample of '{arm}' on '{task}' has a {metric} that is no finite number; mend the run")
    shown = tuple(_bare_passage(sample, place, secret) for place in range(len(sample.passages)))
    return Sample(
        example=secret.hashed("example", sample.example),
        arm=arm,
        task=task,
        status=sample.status,
        extracted=None,
        gold="",
        scores=dict(sample.scores),
        group=secret.hashed("group", sample.group) if sample.group else "",
        passages=shown,
        documents=tuple(sorted(secret.hashed("document", document) for document in sample.documents)),
    )


def _bare_passage(sample: Sample, place: int, secret: _Secret) -> dict[str, Any]:
    passage = sample.passages[place]
    named = {key: str(passage[key]) for key in ("id", "document") if passage.get(key)} or {"id": "unnamed"}
    gold = passage.get("gold") if isinstance(passage.get("gold"), bool) else None
    [document], _ = ranked_documents(replace(sample, passages=({**named, "gold": gold},)))
    return {
        "id": secret.hashed("passage", named.get("id", "")),
        "document": secret.hashed("document", document),
        "rank": _whole(passage.get("rank")) or place + 1,
        "gold": gold,
    }


def _zipped(made: Run) -> bytes:
    """The folder as a zip whose bytes tell neither when nor where it was made."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(made.folder.rglob("*.json*")):
            entry = zipfile.ZipInfo(path.relative_to(made.folder.parent).as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, (0o100000 | made.file_mode) << 16
            archive.writestr(entry, path.read_bytes())
    return packed.getvalue()
