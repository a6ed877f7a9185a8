"""Which documents and samples a user's condition chooses.

The language is that of `conditions`.  Everything here runs under the fence of `fence.readonly`:
a condition can't write, and it is stopped after RESCORE_SQL_SECONDS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from rescore_db.settings import Settings
from rescore_db.store import schema
from rescore_db.store.conditions.language import Condition, compile_condition
from rescore_db.store.conditions.nodes import Scope
from rescore_db.store.engine import backend
from rescore_db.store.fence.readonly import fenced

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection, FromClause, Row, Select

__all__ = [
    "Scope",
    "matching_docs",
    "matching_positions",
    "matching_samples",
    "run_condition",
]

_OF_RUN: Final = frozenset({"run", "model", "date"})
_OF_REQUEST: Final = frozenset({"prompt", "target"})


def matching_docs(
    conn: Connection,
    where: str,
    *,
    run_ids: Collection[int] | None = None,
    scope: Scope = Scope.SAMPLE,
) -> list[tuple[str, int]]:
    """Return the documents of which a sample satisfies a condition.

    Args:
        conn: a connection; in PostgreSQL inside a transaction.
        where: the condition.
        run_ids: only samples of these runs; None means any run's.
        scope: what bare names mean.

    Returns:
        Sorted pairs of task name and primary key of `doc`, each once.

    Raises:
        BadSqlError: the condition can't be read, fails, or takes too long.
    """
    condition = _condition(conn, where, scope)
    columns = select(schema.task.c.name, schema.sample.c.doc_id).distinct()
    if run_ids is None and condition.fields == {"doc"}:  # asked once a document, not a sample
        chosen = schema.sample.c.doc_id.in_(select(schema.doc.c.id).where(condition.where))
        query = columns.select_from(_joined({"task"})).where(chosen)
    else:
        tables = _joined(condition.fields | {"task"})
        query = columns.select_from(tables).where(condition.where)
        if run_ids is not None:
            query = query.where(schema.evaluation.c.run_id.in_(list(run_ids)))
    return sorted((task, doc_id) for task, doc_id in run_condition(conn, query))


def matching_positions(conn: Connection, evaluation_id: int, where: str) -> list[int]:
    """Return the positions of an evaluation whose documents a condition chooses.

    A document that occurs twice is chosen, both times, when one of its samples in the evaluation
    satisfies the condition: conditions choose documents, as in a subset.

    Args:
        conn: a connection; in PostgreSQL inside a transaction.
        evaluation_id: primary key of `evaluation`.
        where: the condition.

    Returns:
        Positions, ascending.

    Raises:
        BadSqlError: the condition can't be read, fails, or takes too long.
    """
    condition = _condition(conn, where, Scope.SAMPLE)
    docs = (
        select(schema.sample.c.doc_id)
        .select_from(_joined(condition.fields))
        .where(schema.sample.c.evaluation_id == evaluation_id, condition.where)
    )
    found = {doc_id for (doc_id,) in run_condition(conn, docs)}
    sample = schema.sample.c
    rows = conn.execute(
        select(sample.position, sample.doc_id)
        .where(sample.evaluation_id == evaluation_id)
        .order_by(sample.position)
    )
    return [position for position, doc_id in rows if doc_id in found]


def matching_samples(
    conn: Connection, query: Select[*tuple[Any, ...]], where: str
) -> Select[*tuple[Any, ...]]:
    """Narrow a query over `sample` to the samples that satisfy a condition.

    Args:
        conn: the connection that `run_condition` will run the query on.
        query: selects columns of `sample`, and has no joins.
        where: the condition.

    Raises:
        BadSqlError: the condition can't be read.
    """
    condition = _condition(conn, where, Scope.SAMPLE)
    return query.select_from(_joined(condition.fields)).where(condition.where)


def run_condition(
    conn: Connection, query: Select[*tuple[Any, ...]]
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Run a query that holds a condition, under the fence; return all its rows.

    Raises:
        BadSqlError: it fails or takes too long.
    """
    with fenced(conn, Settings.from_environment().sql_seconds):
        return conn.execute(query).all()


def _condition(conn: Connection, where: str, scope: Scope) -> Condition:
    dialect = backend(conn).conditions()
    dialect.prepare(conn)
    return compile_condition(where, dialect, scope)


def _joined(fields: Collection[str]) -> FromClause:
    """Return the samples with their evaluation, joined with the tables of the fields alone."""
    sample, evaluation, request = schema.sample, schema.evaluation, schema.request
    tables: FromClause = sample.join(evaluation, evaluation.c.id == sample.c.evaluation_id)
    if "task" in fields:
        tables = tables.join(schema.task, schema.task.c.id == evaluation.c.task_id)
    if _OF_RUN & set(fields):
        tables = tables.join(schema.run, schema.run.c.id == evaluation.c.run_id)
    if "doc" in fields:
        tables = tables.join(schema.doc, schema.doc.c.id == sample.c.doc_id)
    if _OF_REQUEST & set(fields):
        tables = tables.join(request, request.c.id == sample.c.request_id)
    if "target" in fields:
        tables = tables.join(schema.target, schema.target.c.id == request.c.target_id)
    if "prompt" in fields:
        tables = tables.outerjoin(schema.context, schema.context.c.id == request.c.context_id)
    return tables
