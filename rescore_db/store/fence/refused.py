"""What a database gives back for users' SQL: an answer, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

Answer: TypeAlias = tuple[tuple[str, ...], list[tuple[Any, ...]]]
"""Names of columns, and rows: one more than asked for where there are more."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a statement failed.

    Attributes:
        message: the database's, in one line.
        unknown_table: the table that it does not know, if that was it.
        unknown_column: the column that it does not know, if that was it.
    """

    message: str
    unknown_table: str | None = None
    unknown_column: str | None = None
