"""Named entities: micro-F1 over the mentions that answers list, by their type and their place in the text.

An answer lists mentions and no offsets, so it is located: a mention stands wherever the example's text has the same
characters between two words' bounds. Blanks, case and the form of an apostrophe do not count ("L-dopa" is "L - dopa").
Since a list cannot say which occurrence is meant, a mention counts once for each example and type, however often the
text or the answer repeats it: of the 9,593 mentions of BC5CDR's development half 9,031 count.

    entity_f1            strict: the whole mention, and its type (as "exact" in SemEval 2013 task 9.1)
    entity_f1_overlap    a word in common, and its type (as "type" there); one answer matches one gold mention at most,
                         so that an answer of the whole sentence finds one of its mentions and not all
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ragmed.errors import UsageError
from ragmed.metrics import Batch, Metric, MetricFacts
from ragmed.metrics.f1 import micro_f1, set_counts
from ragmed.records import Example, Value


def entity_counts(batch: Batch) -> list[tuple[float, ...]]:
    """
    >>> from ragmed.records import ContextDocument
    >>> gold = {"chemicals": ("L - dopa",), "diseases": ("renal failure",)}
    >>> example = Example("s1", "", (ContextDocument("L - dopa caused renal failure ."),), gold=gold)
    >>> entity_counts([(example, {"chemicals": ["L-dopa"], "diseases": ["failure"]})])
    [(1.0, 1.0, 1.0)]

    (tp, fp, fn) of each answer. Types are the names of the gold lists; an answer's list under another name is none of
    them. What is no text, or stands nowhere in the text, is a wrong mention. Raises UsageError for a gold answer that
    has no named lists.
    """
    counts = (set_counts(*map(_flat, _mentions(example, value))) for example, value in batch)
    return [tuple(map(float, three)) for three in counts]


def overlap_counts(batch: Batch) -> list[tuple[float, ...]]:
    """
    >>> from ragmed.records import ContextDocument
    >>> gold = {"chemicals": (), "diseases": ("renal failure", "anaemia")}
    >>> example = Example("s1", "", (ContextDocument("Anaemia and renal failure ."),), gold=gold)
    >>> overlap_counts([(example, {"diseases": ["failure", "renal"]})])
    [(1.0, 1.0, 1.0)]

    (tp, fp, fn): tp is the most pairs of an answer's mention and a gold one, of one type and with a word in common (or
    equal), that can be made with each of them in one pair.
    """
    counts: list[tuple[float, ...]] = []
    for example, value in batch:
        predicted, gold = _mentions(example, value)
        pairs = sum(_pairs(_Located(example.text), predicted[kind], gold[kind]) for kind in gold)
        sizes = (sum(map(len, predicted.values())), sum(map(len, gold.values())))
        counts.append((float(pairs), float(sizes[0] - pairs), float(sizes[1] - pairs)))
    return counts


def _mentions(example: Example, value: Value) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Type -> the mentions that are answered, and that are right, each once, as they are compared."""
    if not isinstance(example.gold, Mapping):
        raise UsageError(f"example '{example.id}' has no named lists of mentions; entity_f1 measures nothing else")
    named = {name.strip().casefold(): given for name, given in value.items()} if isinstance(value, Mapping) else {}
    predicted = {kind: _keys(_entries(named.get(kind.casefold()))) for kind in example.gold}
    return predicted, {kind: _keys(entries) for kind, entries in example.gold.items()}


def _entries(given: Any) -> Sequence[Any]:
    if isinstance(given, str):
        return given.split(";")
    return given if isinstance(given, list | tuple) else [] if given is None else [given]


def _keys(entries: Sequence[Any]) -> list[str]:
    keys = (_key(entry) if isinstance(entry, str) else f"\x00{entry!r}" for entry in entries)
    return list(dict.fromkeys(key for key in keys if key))


def _key(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text.replace("’", "'")).casefold().split())


def _flat(mentions: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{kind}\x00{key}" for kind, keys in mentions.items() for key in keys]


class _Located:
    """Where mentions stand in a text: `words(key)` are the places of the words of all its occurrences."""

    def __init__(self, text: str) -> None:
        self._text, self._starts, self._ends = "", {}, {}  # type: tuple[str, dict[int, int], dict[int, int]]
        for place, word in enumerate(text.split()):
            self._starts[len(self._text)] = place
            self._text += _key(word)
            self._ends[len(self._text)] = place

    def words(self, key: str) -> set[int]:
        found: set[int] = set()
        at = self._text.find(key)
        while at >= 0:
            if at in self._starts and at + len(key) in self._ends:
                found.update(range(self._starts[at], self._ends[at + len(key)] + 1))
            at = self._text.find(key, at + 1)
        return found


def _pairs(text: _Located, predicted: Sequence[str], gold: Sequence[str]) -> int:
    """How many pairs of mentions with a word in common can be made, each mention in one (a maximum matching)."""
    places = [text.words(key) for key in gold]
    near = [[one == other or bool(text.words(one) & places[j]) for j, other in enumerate(gold)] for one in predicted]
    near = [row for row in near if any(row)]
    if not near:
        return 0
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    return int((maximum_bipartite_matching(csr_array(near), perm_type="column") >= 0).sum())


ENTITY_F1 = Metric(MetricFacts("entity_f1", "ratio"), entity_counts, micro_f1)
ENTITY_F1_OVERLAP = Metric(MetricFacts("entity_f1_overlap", "ratio"), overlap_counts, micro_f1)
