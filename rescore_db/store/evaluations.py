"""Evaluations as work to be done: which there are, and with what config they were logged."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from rescore_db.errors import NotFoundError
from rescore_db.store import schema
from rescore_db.store.quarantine import lines_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """One evaluation that has samples.

    Attributes:
        id: primary key.
        run_id: of its run.
        model: of its run.
        task: name of the task.
        n_samples: how many.
        n_quarantined: lines of its file that could not be stored.
    """

    id: int
    run_id: int
    model: str
    task: str
    n_samples: int
    n_quarantined: int = 0

    @property
    def note(self) -> str | None:
        """What users should know of all that is computed from it."""
        if not self.n_quarantined:
            return None
        lines = "1 line" if self.n_quarantined == 1 else f"{self.n_quarantined} lines"
        return f"{lines} of the log could not be stored (rescore ingest --errors)"


def stored_evaluations(
    conn: Connection, run_ids: Sequence[int], patterns: Sequence[str]
) -> list[StoredEvaluation]:
    """Return the evaluations of some runs that have samples, by run and file order.

    Args:
        conn: a connection.
        run_ids: which runs.
        patterns: task names or `fnmatch` patterns; none means all.

    Raises:
        NotFoundError: a pattern matches no evaluation of these runs.
    """
    evaluation, task, run = schema.evaluation, schema.task, schema.run
    query = (
        select(
            evaluation.c.id,
            run.c.id,
            run.c.model,
            task.c.name,
            evaluation.c.n_samples,
            lines_of(evaluation.c.id),
        )
        .join(task, task.c.id == evaluation.c.task_id)
        .join(run, run.c.id == evaluation.c.run_id)
        .where(run.c.id.in_(run_ids), evaluation.c.n_samples > 0)
        .order_by(run.c.id, evaluation.c.id)
    )
    found = [StoredEvaluation(*row) for row in conn.execute(query)]
    kind = "task"
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(one.task, pattern) for one in found):
            raise NotFoundError.among(kind, pattern, {one.task for one in found})
    if not patterns:
        return found
    return [one for one in found if any(fnmatch.fnmatchcase(one.task, p) for p in patterns)]


def task_names(conn: Connection) -> set[str]:
    """Return the names of all tasks that the store knows."""
    return set(conn.scalars(select(schema.task.c.name)))


def stored_config(conn: Connection, evaluation_id: int) -> str | None:
    """Return the config that lm-eval logged for an evaluation, exact, None where it is unknown."""
    table = schema.evaluation
    return conn.scalar(select(table.c.config_json).where(table.c.id == evaluation_id))


def announced_samples(conn: Connection, evaluation_id: int) -> int | None:
    """Return how many samples the results file says were aggregated, None where it does not."""
    table = schema.evaluation
    return conn.scalar(select(table.c.n_effective).where(table.c.id == evaluation_id))
