"""Which files runs came from, as far as their content is stored: what an export can write."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from rescore_db import json_exact
from rescore_db.errors import NotFoundError
from rescore_db.store import schema
from rescore_db.store.quarantine import lines_of
from rescore_db.store.runs import has_newer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class LoggedSamples:
    """One evaluation's samples.

    Attributes:
        evaluation_id: primary key of `evaluation`.
        task: the task's name.
        n_samples: 0 where there are aggregates only.
        n_lines: records of the file.
        has_lines: lm-eval logged them; else the responses were made elsewhere.
        form: what the file had or lacked, see `evaluation.layout_json`.
        n_quarantined: lines of the file that could not be stored.
    """

    evaluation_id: int
    task: str
    n_samples: int
    n_lines: int
    has_lines: bool
    form: dict[str, Any]
    n_quarantined: int


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """One run; `evaluations` in the order in which they came in."""

    id: int
    model: str
    date: str
    origin: str
    has_results: bool
    evaluations: list[LoggedSamples] = field(default_factory=list)


def older_versions(conn: Connection) -> list[int]:
    """Return the ids of the runs that have a newer version."""
    run = schema.run
    return list(conn.scalars(select(run.c.id).where(has_newer()).order_by(run.c.id)))


def logged_runs(
    conn: Connection, run_ids: Sequence[int], patterns: Sequence[str]
) -> list[LoggedRun]:
    """Return some runs with their evaluations, by id.

    Args:
        conn: a connection.
        run_ids: which runs.
        patterns: task names or `fnmatch` patterns, none for all; with any, runs that have none
            of these tasks are left out.

    Raises:
        NotFoundError: a pattern matches no task of these runs.
    """
    table = schema.run
    has_results = table.c.results_json.is_not(None)
    query = select(table.c.id, table.c.model, table.c.date, table.c.origin, has_results)
    rows = conn.execute(query.where(table.c.id.in_(run_ids)).order_by(table.c.id))
    found = {row.id: LoggedRun(*row) for row in rows}
    tasks = set()
    for run_id, one in _evaluations(conn, run_ids):
        tasks.add(one.task)
        if not patterns or any(fnmatch.fnmatchcase(one.task, each) for each in patterns):
            found[run_id].evaluations.append(one)
    for pattern in patterns:
        if not fnmatch.filter(tasks, pattern):
            kind = "task"
            raise NotFoundError.among(kind, pattern, tasks)
    return [run for run in found.values() if run.evaluations or not patterns]


def name_sources(conn: Connection, folder: str) -> None:
    """Leave a folder out of the paths of what was read from it: it is about to go.

    Args:
        conn: inside `atomic()`.
        folder: with a slash at its end.
    """
    path = schema.source_file.c.path
    row = update(schema.source_file).where(path.startswith(folder, autoescape=True))
    conn.execute(row.values(path=func.substr(path, len(folder) + 1)))


def _evaluations(conn: Connection, run_ids: Sequence[int]) -> list[tuple[int, LoggedSamples]]:
    """Return run id and evaluation, by run and evaluation."""
    evaluation, task = schema.evaluation, schema.task
    query = (
        select(evaluation, task.c.name, lines_of(evaluation.c.id).label("n_quarantined"))
        .join(task, task.c.id == evaluation.c.task_id)
        .where(evaluation.c.run_id.in_(run_ids))
        .order_by(evaluation.c.run_id, evaluation.c.id)
    )
    return [(row.run_id, _samples(row)) for row in conn.execute(query)]


def _samples(row: Any) -> LoggedSamples:  # noqa: ANN401 - a row of the query above
    layout = json_exact.loads(row.layout_json)
    return LoggedSamples(
        evaluation_id=row.id,
        task=row.name,
        n_samples=row.n_samples,
        n_lines=row.n_lines,
        has_lines=bool(layout.get("filters")),
        form=layout.get("form", {}),
        n_quarantined=row.n_quarantined,
    )
