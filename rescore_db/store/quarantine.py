"""Lines that could not be stored: kept beside the evaluation that lacks them.

Everything here takes a connection inside `atomic()` (or a reading one) and never commits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy import func, select, update

from rescore_db import json_exact
from rescore_db.records import QuarantineRow
from rescore_db.store import schema
from rescore_db.store.bulk import write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement, Connection, ScalarSelect

MOST_KEPT: Final = 1_000_000  # bytes of a line
_COLUMNS: Final = ("evaluation_id", "number", "reason", "size", "content")


class Unstored(Protocol):
    """A line that is left out."""

    @property
    def number(self) -> int:
        """Its 1-based number in the file."""

    @property
    def reason(self) -> str:
        """Why, and what to do."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    @property
    def content(self) -> bytes:
        """The line, or how it begins."""


def add_lines(
    conn: Connection, evaluation_id: int, lines: Iterable[Unstored], notes: Sequence[str]
) -> int:
    """Keep the lines that an evaluation lacks, and mark it incomplete; return how many.

    Args:
        conn: inside `atomic()`, where the samples were written.
        evaluation_id: which has all its other lines.
        lines: what it lacks; of each at most `MOST_KEPT` bytes are kept.
        notes: what users should know of the evaluation, as `runs.set_samples` has them.
    """
    rows = [
        (evaluation_id, one.number, _text(one.reason), one.size, one.content[:MOST_KEPT])
        for one in lines
    ]
    if rows:
        write_rows(conn, schema.quarantine, rows, _COLUMNS)
        table = schema.evaluation
        row = update(table).where(table.c.id == evaluation_id)
        conn.execute(row.values(incomplete=True, notes_json=json_exact.escaped(list(notes))))
    return len(rows)


def lines_of(evaluation_id: ColumnElement[int]) -> ScalarSelect[int]:
    """Return the expression for how many lines an evaluation of a query lacks."""
    kept = schema.quarantine
    return select(func.count()).where(kept.c.evaluation_id == evaluation_id).scalar_subquery()


def list_lines(conn: Connection) -> list[QuarantineRow]:
    """Return what is in the quarantine, by run, evaluation and line."""
    kept, evaluation = schema.quarantine, schema.evaluation
    task, source = schema.task, schema.source_file
    query = (
        select(
            source.c.path,
            kept.c.number,
            task.c.name,
            evaluation.c.run_id,
            evaluation.c.id,
            kept.c.reason,
            kept.c.size,
        )
        .join(evaluation, evaluation.c.id == kept.c.evaluation_id)
        .join(task, task.c.id == evaluation.c.task_id)
        .join(source, source.c.id == evaluation.c.source_file_id)
        .order_by(evaluation.c.run_id, evaluation.c.id, kept.c.number)
    )
    return [QuarantineRow(*row) for row in conn.execute(query)]


def _text(reason: str) -> str:
    """Return a reason as both databases hold it."""
    return json_exact.storable(reason)[0]
