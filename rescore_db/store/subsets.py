"""Subsets as they are stored: a name, its versions, and the documents of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from rescore_db.records import SubsetRow
from rescore_db.store import schema
from rescore_db.store.bulk import write_rows
from rescore_db.store.scores import now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Select

TaskDoc = tuple[str, int]
"""A task's name and the primary key of one of its docs: a member of a subset."""


def add_subset(
    conn: Connection, *, name: str, predicate: str, run: str | None, docs: Iterable[TaskDoc]
) -> SubsetRow:
    """Store a subset under a new name, as its first version.

    Args:
        conn: inside `atomic()`, which commits.
        name: unique in the store.
        predicate: the SQL that chose the docs, kept to refresh the subset.
        run: the ids of the runs whose samples were asked, "3,7"; None for any run's.
        docs: the members, in any order; repeats count once.

    Raises:
        AlreadyExistsError: the name is taken (raised by `atomic()`).
    """
    subset, version = schema.subset, schema.subset_version
    row = subset.insert().values(name=name)
    subset_id = conn.execute(row.returning(subset.c.id)).scalar_one()
    members = sorted(set(docs))
    created_at = now()
    row = version.insert().values(
        subset_id=subset_id,
        version=1,
        predicate=predicate,
        run=run,
        n=len(members),
        created_at=created_at,
    )
    key = int(conn.execute(row.returning(version.c.id)).scalar_one())
    write_rows(conn, schema.subset_doc, ((key, *member) for member in members))
    return SubsetRow(key, name, 1, len(members), predicate, run, created_at)


def find_subset(conn: Connection, name: str, number: int | None = None) -> SubsetRow | None:
    """Return one version of a subset, its newest unless a number is given; None if unknown."""
    subset, version = schema.subset, schema.subset_version
    query = _rows().where(subset.c.name == name)
    if number is not None:
        query = query.where(version.c.version == number)
    row = conn.execute(query.order_by(version.c.version.desc()).limit(1)).first()
    return None if row is None else SubsetRow(*row)


def list_subsets(conn: Connection) -> list[SubsetRow]:
    """Return the newest version of each subset, in the order they were made."""
    subset, version = schema.subset, schema.subset_version
    other = version.alias()
    newest = (
        select(func.max(other.c.version))
        .where(other.c.subset_id == version.c.subset_id)
        .scalar_subquery()
    )
    query = _rows().where(version.c.version == newest).order_by(subset.c.id)
    return [SubsetRow(*row) for row in conn.execute(query)]


def members(conn: Connection, subset_version_id: int) -> set[TaskDoc]:
    """Return the members of one version of a subset."""
    table = schema.subset_doc
    query = select(table.c.task_name, table.c.doc_id)
    rows = conn.execute(query.where(table.c.subset_version_id == subset_version_id))
    return {(task, doc_id) for task, doc_id in rows}


def member_positions(conn: Connection, subset_version_id: int, evaluation_id: int) -> list[int]:
    """Return the positions, ascending, of an evaluation's samples whose docs are members."""
    table, sample = schema.subset_doc, schema.sample
    name = (
        select(schema.task.c.name)
        .join(schema.evaluation, schema.evaluation.c.task_id == schema.task.c.id)
        .where(schema.evaluation.c.id == evaluation_id)
        .scalar_subquery()
    )
    docs = select(table.c.doc_id).where(
        table.c.subset_version_id == subset_version_id, table.c.task_name == name
    )
    query = (
        select(sample.c.position)
        .where(sample.c.evaluation_id == evaluation_id, sample.c.doc_id.in_(docs))
        .order_by(sample.c.position)
    )
    return list(conn.scalars(query))


def _rows() -> Select[int, str, int, int, str, str | None, str]:
    subset, version = schema.subset, schema.subset_version
    return select(
        version.c.id,
        subset.c.name,
        version.c.version,
        version.c.n,
        version.c.predicate,
        version.c.run,
        version.c.created_at,
    ).join(subset, subset.c.id == version.c.subset_id)
