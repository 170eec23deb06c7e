"""`--fail-if`: a condition in words and the results of a comparison in, whether it holds and on which tasks out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragmed.comparison.rows import Contrast
from ragmed.errors import UnknownNameError, UsageError

WORDS: dict[str, tuple[str, bool]] = {
    "not better than": ("better", False),
    "not worse than": ("worse", False),
    "not equivalent to": ("equivalent", False),
    "better than": ("better", True),
    "worse than": ("worse", True),
    "equivalent to": ("equivalent", True),
}
"""What may be said of two arms: the verdict, and whether it is wanted or must be missing."""
_TURNED = {"better": "worse", "worse": "better"}
_FORM = re.compile(rf"(?P<arm>.+?)\s+(?P<words>{'|'.join(WORDS)})\s+(?P<other>.+?)(?:\s+on\s+(?P<task>\S+))?")


@dataclass(frozen=True, slots=True)
class Condition:
    """
    >>> Condition.of("rag worse than closed on medqa")
    Condition(arm='rag', words='worse than', other='closed', task='medqa')

    That a verdict stands (or, with "not", does not stand) on any task, or on the one that is named.
    """

    arm: str
    words: str
    other: str
    task: str = ""

    @staticmethod
    def of(text: str) -> Condition:
        """Raises UsageError where the text is none."""
        found = _FORM.fullmatch(" ".join(text.split()))
        if not found:
            raise UsageError(
                f"'{text}' is no condition; write 'ARM WORDS ARM' or 'ARM WORDS ARM on TASK', with WORDS one of "
                + ", ".join(WORDS)
            )
        return Condition(found["arm"], found["words"], found["other"], found["task"] or "")

    def where(self, contrasts: Sequence[Contrast]) -> list[str]:
        """The tasks on which it holds, by their primary metric. `no-verdict` is neither better, worse nor equivalent.

        UnknownNameError for an arm or task that is in no contrast; UsageError where the two are not compared.
        """
        rows = [row for row in contrasts if row.primary]
        for arm in (self.arm, self.other):
            known = {name for row in rows for name in (row.arm, row.baseline)}
            if arm not in known:
                raise UnknownNameError("arm", arm, known, "the contrasts")
        if self.task and self.task not in {row.task for row in rows}:
            raise UnknownNameError("task", self.task, {row.task for row in rows}, "the contrasts")
        pair = {self.arm, self.other}
        mine = [row for row in rows if {row.arm, row.baseline} == pair and self.task in ("", row.task)]
        if not mine:
            raise UsageError(
                f"'{self.arm}' and '{self.other}' are not compared; name one of them as the --baseline, or add the "
                "pair to the config's contrasts"
            )
        wanted, stands = WORDS[self.words]
        return [row.task for row in mine if (_verdict(row, self.arm) == wanted) == stands]


def _verdict(row: Contrast, arm: str) -> str:
    return row.verdict if row.arm == arm else _TURNED.get(row.verdict, row.verdict)
