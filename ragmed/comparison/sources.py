"""What a run records of its adapters and indexes in, the same-corpus rule out: which references stand on each side.

A contrast of an arm whose weights were trained on corpora with an arm that is shown passages of an index compares two
ways of using references only where these are the same references. Otherwise it mixes which references with how they
are used, and every output says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ragmed.arms import SHOWING
from ragmed.comparison.designs import Design
from ragmed.models.names import parse_model_name

Corpora = frozenset[tuple[str, str]]
Rule = Literal["same", "different", "unknown", ""]
UNKNOWN: Corpora = frozenset()


@dataclass(frozen=True, slots=True)
class ArmSources:
    """
    >>> arm_sources(run.info())["general+rag"].shown  # doctest: +SKIP
    frozenset({('handbook', '9f86d0…')})

    `trained_on`, `shown`: corpora (name, sha256) that the weights were trained on, and that passages come from. None:
    none, as where they come from the example's own record; UNKNOWN: some, nobody declared which. `model`, `references`:
    what the arm names, by which two UNKNOWN ones can still be the same. `adapter`, `index`: what the run recorded of
    making them.
    """

    trained_on: Corpora | None = None
    shown: Corpora | None = None
    context: str = "none"
    model: str = ""
    references: str = ""
    adapter: Mapping[str, Any] | None = None
    index: Mapping[str, Any] | None = None


def arm_sources(info: Mapping[str, Any], prefix: str = "") -> dict[str, ArmSources]:
    """Each arm's sources, from `run.json`; `prefix` goes before the arms' names. Runs without records have none."""
    experiment = _mapping(info.get("experiment"))
    references = _mapping(info.get("references"))
    adapters, indexes = (_mapping(references.get(key)) for key in ("adapters", "indexes"))
    models = _mapping(experiment.get("models"))
    search = _mapping(references.get("search"))
    tried = _mapping(_mapping(experiment.get("arms")).get(str(search.get("arm"))))
    searched = tried.get("retriever") or tried.get("index") or ""
    found = {}
    for name, arm in _mapping(experiment.get("arms")).items():
        model, context = arm.get("model", ""), arm.get("context", "none")
        adapter = adapters.get(model)
        tuned = adapter is not None or _has_adapter(_mapping(models.get(model)))
        shown_from = str(arm.get("retriever") or arm.get("index") or "")
        index = indexes.get(shown_from) if context in SHOWING else None
        own = _of_record(shown_from, _mapping(experiment.get("retrievers")))
        if index is not None and shown_from == searched:
            index = {**index, "search": search}
        found[prefix + name] = ArmSources(
            trained_on=_corpora(adapter) if tuned else None,
            shown=_corpora(index) if context in SHOWING and not own else None,
            context=context,
            model=prefix + model,
            references=prefix + shown_from,
            adapter=adapter,
            index=index,
        )
    return found


def _of_record(name: str, retrievers: Mapping[str, Any]) -> bool:
    """Whether a retriever searches an example's own record, which is no reference that weights could be trained on."""
    spec = _mapping(retrievers.get(name))
    return bool(spec.get("record")) or any(
        _of_record(part, retrievers) for part in spec.get("of") or () if part != name
    )


def _has_adapter(model: Mapping[str, Any]) -> bool:
    return bool(model.get("name")) and bool(parse_model_name(str(model["name"])).adapter)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _corpora(record: Any) -> Corpora:
    """UNKNOWN unless every corpus of the record has its hash: half of them is not what was trained on."""
    listed = _mapping(record).get("corpora") or []
    pairs = [(str(c.get("name", "")), str(c.get("sha256") or "")) for c in map(_mapping, listed)]
    return frozenset(pairs) if all(sha256 for _, sha256 in pairs) else UNKNOWN


def declared(sources: Mapping[str, ArmSources], factorials: Sequence[Design]) -> dict[str, ArmSources]:
    """The sources, and what a factorial says of its arms where nothing is recorded: tuned ones were trained on, and
    those with passages are shown, something unknown."""
    known = dict(sources)
    for design in factorials:
        tuned = design.levels[1:] if design.factor == "tuning" else ()
        for level in tuned:
            for arm in (level.closed_book, level.with_passages):
                mine = known.get(arm, ArmSources())
                same = mine.model or level.closed_book  # a level is one model, with and without passages
                known[arm] = replace(mine, trained_on=UNKNOWN, model=same) if mine.trained_on is None else mine
        for arm in (level.with_passages for level in design.levels):
            if arm not in sources:
                known[arm] = replace(known.get(arm, ArmSources()), shown=UNKNOWN, context="retrieved")
    return known


def rule(sources: Mapping[str, ArmSources], arms: Iterable[str]) -> Rule:
    """
    >>> known = {"tuned": ArmSources(trained_on=frozenset({("a", "1")})), "rag": ArmSources(shown=UNKNOWN)}
    >>> rule(known, ["tuned", "rag"])
    'unknown'

    Of arms that are set against each other: whether the references that weights were trained on are those that passages
    come from, by their hashes. Empty where the arms do not differ in both, training and passages: what is the same on
    either side explains no difference, so the rule does not apply.
    """
    arms = list(arms)
    mine = [(arm, sources.get(arm, ArmSources())) for arm in arms]
    trained = {one.model or arm if one.trained_on == UNKNOWN else one.trained_on for arm, one in mine}
    passages = {one.references or arm if one.shown == UNKNOWN else one.shown for arm, one in mine}
    if len(trained) < 2 or len(passages) < 2:
        return ""
    trained_on, shown = _sides(sources, arms)
    hashes = {frozenset(sha256 for _, sha256 in corpora) for corpora in [*trained_on, *shown] if corpora}
    if len(hashes) > 1:
        return "different"
    return "same" if UNKNOWN not in [*trained_on, *shown] else "unknown"


def _sides(sources: Mapping[str, ArmSources], arms: Iterable[str]) -> tuple[list[Corpora], list[Corpora]]:
    mine = [sources[arm] for arm in arms if arm in sources]
    trained_on = dict.fromkeys(one.trained_on for one in mine if one.trained_on is not None)
    return list(trained_on), list(dict.fromkeys(one.shown for one in mine if one.shown is not None))


def corpora_notes(sources: Mapping[str, ArmSources], compared: Iterable[Sequence[str]]) -> list[str]:
    """One note for each two sides that are not known to be the same references, with the corpora of both."""
    notes = []
    for arms in compared:
        found = rule(sources, arms)
        if found not in ("different", "unknown"):
            continue
        trained_on, shown = (_named(sides) for sides in _sides(sources, arms))
        if found == "different":
            notes.append(
                f"different corpora: weights were trained on {trained_on}, passages come from {shown}. What is so "
                "marked mixes which references are used with how they are used; it does not compare fine-tuning with "
                "retrieval alone."
            )
        else:
            notes.append(
                f"corpora not known to be the same: weights were trained on {trained_on}, passages come from {shown}. "
                "What is so marked may mix which references are used with how they are used."
            )
    return list(dict.fromkeys(notes))


def _named(sides: Sequence[Corpora]) -> str:
    """`handbook (9f86d081) and textbooks (2c624232)`; several sides one after the other."""
    said = []
    for corpora in sides:
        names = [f"{name or 'unnamed'} ({sha256[:8]})" for name, sha256 in sorted(corpora)]
        said.append(" and ".join(names) if names else "corpora that nobody declared")
    return "; or ".join(said)
