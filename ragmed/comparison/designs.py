"""Names of arms in, factorial designs out: levels of a factor, each closed book and with the same passages.

| factor: tuning | closed book | with passages |     | factor: reasoning | closed book | with passages |
| untuned        | control     | retrieved     |     | direct            | control     | retrieved     |
| tuned          | tuned       | both          |     | reasoning         | reasoning   | both          |

A factor may have more than two levels; the first is the one that the others are held against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ragmed.errors import UsageError

FactorName = Literal["tuning", "reasoning"]


@dataclass(frozen=True, slots=True)
class Factor:
    """
    >>> FACTORS["reasoning"].of("reasoning")
    'answers after reasoning'

    What a factor is called where it is read. `levels`: the usual names of its two levels. `advice`: to do it, as one
    word beside "retrieve". `than`: what has the first level, after "than". `whose`, `when`: what has another level,
    which is filled in, and when. `when_first`: when it is the first. `both`: what has either of the two.
    """

    levels: tuple[str, str]
    advice: str
    than: str
    whose: str
    when: str
    when_first: str
    both: str

    def of(self, level: str) -> str:
        return self.whose.format(level)


FACTORS: dict[str, Factor] = {
    "tuning": Factor(
        ("untuned", "tuned"),
        advice="fine-tune",
        than="the untuned one",
        whose="the {} model",
        when="when {}",
        when_first="when not",
        both="the untuned and the tuned model",
    ),
    "reasoning": Factor(
        ("direct", "reasoning"),
        advice="reason first",
        than="direct ones",
        whose="answers after {}",
        when="after {}",
        when_first="without",
        both="direct answers and answers after reasoning",
    ),
}
"""What a design may cross with retrieval."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level of a factor, and its two arms: `closed_book`, and `with_passages` that are the same at every level."""

    name: str
    closed_book: str
    with_passages: str


@dataclass(frozen=True, slots=True)
class Question:
    """One effect of a design: the arms that are subtracted (`minus`), those they are subtracted from (`plus`), and of
    how many differences it is the mean (`over`). `level`: of the factor, that is held against the first."""

    effect: str
    level: str
    minus: tuple[str, ...]
    plus: tuple[str, ...]
    over: int = 1


@dataclass(frozen=True, slots=True)
class Design:
    """
    >>> design = four_arms(["general", "tuned", "rag", "both"])
    >>> design.arms, design.roles["retrieved"], [question.effect for question in design.questions]
    (('general', 'tuned', 'rag', 'both'), 'rag', ['tuning', 'retrieval', 'interaction', 'tuning-against-retrieval'])

    `levels` of a `factor`, crossed with retrieval; in a config four arms [control, tuned, retrieved, both] are the two
    levels of tuning. UsageError for fewer than two levels, for a name or an arm that stands twice.
    """

    levels: tuple[Level, ...]
    factor: FactorName = "tuning"

    def __post_init__(self) -> None:
        if len(self.levels) < 2:
            raise UsageError(f"factorials: a factor has two levels or more, found {len(self.levels)}")
        for what, names in (("level", [level.name for level in self.levels]), ("arm", list(self.arms))):
            for name in names:
                if names.count(name) > 1:
                    raise UsageError(f"factorials: the {what} '{name}' stands twice in one design; name different ones")

    @property
    def arms(self) -> tuple[str, ...]:
        """Closed book level by level, then with passages."""
        return (*(one.closed_book for one in self.levels), *(one.with_passages for one in self.levels))

    @property
    def shape(self) -> str:
        """`2x2`, or `2x3` where the factor has three levels."""
        return f"2x{len(self.levels)}"

    @property
    def roles(self) -> dict[str, str]:
        """What each arm is in the design -> the arm, in the order of `arms`."""
        return dict(zip((*self._roles(0), *self._roles(1)), self.arms, strict=True))

    def cells(self, level: Level) -> tuple[str, str]:
        """The roles of a level's two arms."""
        place = self.levels.index(level)
        return self._roles(0)[place], self._roles(1)[place]

    def _roles(self, side: int) -> list[str]:
        others = [level.name for level in self.levels[1:]]
        if side == 0:
            return ["control", *others]
        return ["retrieved", *(["both"] if len(others) == 1 else [f"{name}+retrieved" for name in others])]

    @property
    def questions(self) -> tuple[Question, ...]:
        """`FACTOR` and `retrieval`: main effects, each averaged over the other. `interaction`: what retrieval does at a
        level, less what it does at the first. `FACTOR-against-retrieval`: either by itself."""
        first, *others = self.levels
        closed, shown = self.arms[: len(self.levels)], self.arms[len(self.levels) :]
        control, retrieved = first.closed_book, first.with_passages
        return (
            *(
                Question(self.factor, one.name, (control, retrieved), (one.closed_book, one.with_passages), 2)
                for one in others
            ),
            Question("retrieval", "", closed, shown, len(self.levels)),
            *(
                Question("interaction", one.name, (one.closed_book, retrieved), (control, one.with_passages))
                for one in others
            ),
            *(
                Question(f"{self.factor}-against-retrieval", one.name, (retrieved,), (one.closed_book,))
                for one in others
            ),
        )

    def renamed(self, rename: Callable[[str], str]) -> Design:
        """The same design of arms under other names."""
        levels = (Level(one.name, rename(one.closed_book), rename(one.with_passages)) for one in self.levels)
        return replace(self, levels=tuple(levels))


def four_arms(given: Sequence[Any], factor: FactorName = "tuning") -> Design:
    """The design of [control, tuned, retrieved, both], or of the same four of another factor; UsageError for others."""
    if len(given) != 4 or len({*map(str, given)}) != 4 or not all(isinstance(arm, str) for arm in given):
        raise UsageError(
            f"factorials: each names four different arms [control, tuned, retrieved, both], found {list(given)}"
        )
    control, changed, retrieved, both = given
    first, second = FACTORS[factor].levels
    return Design((Level(first, control, retrieved), Level(second, changed, both)), factor)


def against_retrieved(designs: Sequence[Design]) -> list[tuple[str, str]]:
    """The contrasts (baseline, arm) that every design asks for by itself: a factor alone against retrieval alone."""
    return list(
        dict.fromkeys(
            (design.levels[0].with_passages, level.closed_book) for design in designs for level in design.levels[1:]
        )
    )


def shapes(designs: Sequence[Design]) -> str:
    """`2x2`, or `2x2 and 2x3` where there are such."""
    return " and ".join(sorted({design.shape for design in designs}))


def explained(designs: Sequence[Design]) -> str:
    """
    >>> explained([four_arms("abcd")])
    'Tuning and retrieval are each averaged over the other; interaction is what retrieval does for the tuned model, less what it does for the untuned one.'

    What the effects of such designs are, a sentence for each factor.
    """  # noqa: E501
    said = []
    for name in dict.fromkeys(design.factor for design in designs):
        words, levels = FACTORS[name], {len(design.levels) for design in designs if design.factor == name}
        other = words.of(words.levels[1]) if levels == {2} else f"another level of {name} than the first"
        less = words.than if levels == {2} else "the first"
        said.append(
            f"{name.capitalize()} and retrieval are each averaged over the other; interaction is what retrieval does "
            f"for {other}, less what it does for {less}."
        )
    return " ".join(said)
