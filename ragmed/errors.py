"""Every error a user can meet, drawn at the top.

    RagmedError
    ├── UsageError              wrong words: unknown name, bad option, malformed config        exit 2
    │   └── UnknownNameError    a name nobody knows, answered with near ones
    ├── DataError               a file that cannot be read as what it should be                exit 1
    │   ├── DamagedError        bytes differ from what was written: checksum, size, kind       exit 1
    │   └── UnwritableError     a disk that is full, a folder that may not be written to       exit 1
    ├── MismatchError           two things that must not be mixed: run fields, embedders       exit 1
    ├── MissingDependencyError  a package or extra to install                                  exit 1
    ├── ModelError              a model could not be loaded or could not answer                exit 1
    ├── BusyError               somebody else holds the run or the index                       exit 4
    └── ProtectionError         refused so that restricted data stays where it is              exit 5

A message is one sentence or two: it names the thing, and the remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RagmedError(Exception):
    """The root: the command line prints its message, without a traceback, and exits with `exit_code`."""

    exit_code = 1


class UsageError(RagmedError):
    exit_code = 2


class UnknownNameError(UsageError):
    """
    >>> str(UnknownNameError("task", "medqu", ["medqa", "scifact"]))
    "unknown task 'medqu'; did you mean 'medqa'? known: medqa, scifact"
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
        text = f"unknown {kind} '{name}'" + (f" in {where}" if where else "")
        if near:
            text += "; did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
        shown = names[:20]
        text += f"{'' if near else ';'} known: {', '.join(shown)}" if shown else f"; there is no {kind} yet"
        if len(names) > len(shown):
            text += f" and {len(names) - len(shown)} more"
        super().__init__(text)


class DataError(RagmedError):
    pass


class DamagedError(DataError):
    pass


class UnwritableError(DataError):
    pass


class MismatchError(RagmedError):
    pass


class MissingDependencyError(RagmedError):
    pass


class ModelError(RagmedError):
    pass


class BusyError(RagmedError):
    exit_code = 4


class ProtectionError(RagmedError):
    exit_code = 5
