"""Every error that a user can cause, and the exit code that each one becomes.

    RescoreError                    2   anything the user can mend by typing something else
    ├── UsageError                  2   a combination of options that makes no sense
    │   ├── NotFoundError           2   an unknown run, task, subset, filter, file …
    │   ├── AlreadyExistsError      2   a name that is taken
    │   └── BadSqlError             2   a condition or query that cannot be run
    ├── LogFormatError              1   a file that is not what lm-eval writes
    ├── TaskError                   1   a task that cannot be resolved or scored
    ├── OutputError                 1   a file or folder that cannot be written
    └── StoreUnusableError          3   the store cannot be reached, opened or trusted

Messages are for the user: what is wrong, where, and what to do.  They never hold a password.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class RescoreError(Exception):
    """The root of all errors that are shown to users as one message."""

    exit_code: ClassVar[int] = 2


class UsageError(RescoreError):
    """What was asked for makes no sense or does not exist."""


class NotFoundError(UsageError):
    """A name or path that leads nowhere."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> NotFoundError:
        """Build the error for a name that is not among the known ones, naming the nearest.

        Args:
            kind: what the name stands for, as users say it ("run", "filter" …).
            name: what the user typed.
            known: every name that would have been accepted.
        """
        names = sorted(set(known))
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        elif names:
            shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")  # noqa: PLR2004 - a line's worth
            hint = f"there are: {shown}"
        else:
            hint = "there are none yet"
        return cls(f"no {kind} named {name!r}; {hint}")


class AlreadyExistsError(UsageError):
    """A name that is taken."""


class BadSqlError(UsageError):
    """A condition or a query that the store cannot run."""


class LogFormatError(RescoreError):
    """A file that lm-eval did not write, or that was damaged since.

    Attributes:
        file: the path or URL as the user gave it.
        line: 1-based line number, every line counted; None when the whole file is meant.
        message: what is wrong and what to do, without the place.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, file: str, line: int | None, message: str) -> None:
        """Keep the place apart from the message, so that reports can show both."""
        super().__init__(f"{file}:{line}: {message}" if line else f"{file}: {message}")
        self.file = file
        self.line = line
        self.message = message


class TaskError(RescoreError):
    """A task that cannot be resolved, built or scored; says what is missing."""

    exit_code: ClassVar[int] = 1


class DriftError(TaskError):
    """A definition that is not the one the run was logged with, where `strict` was asked for."""


class OutputError(RescoreError):
    """A file or folder that cannot be written."""

    exit_code: ClassVar[int] = 1


class StoreUnusableError(RescoreError):
    """The store cannot be reached, opened, or is not one of ours."""

    exit_code: ClassVar[int] = 3
