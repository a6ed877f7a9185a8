"""Rescored scores of an evaluation that stands unchanged in a newer version of its run.

Everything here takes a connection inside `atomic()` and never commits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, Table, literal, select

from rescore_db.store import schema, scorings
from rescore_db.store.scorings import FINAL

if TYPE_CHECKING:
    from sqlalchemy import Connection

_RESCORED: Final = "rescored"


def carry_scores(conn: Connection, old_id: int, new_id: int) -> int:
    """Give an evaluation the finished rescored scores of its equal in an older version.

    Positions are the same in both, for the samples are.  Groups are not carried: their other
    members may have changed; the next `score` of the same kind aggregates them.

    Args:
        conn: inside `atomic()`, where the new evaluation's samples were written.
        old_id: the older version's evaluation, with the same digest.
        new_id: the newer version's.

    Returns:
        How many scorings it was: none where the two differ in what a scoring reads beside the
        samples (the task's definition, the logged configuration).
    """
    if not _asks_the_same(conn, old_id, new_id):
        return 0
    scored, scoring = schema.scored_evaluation, schema.scoring
    query = (
        select(scored)
        .join(scoring, scoring.c.id == scored.c.scoring_id)
        .where(
            scored.c.evaluation_id == old_id,
            scoring.c.kind == _RESCORED,
            scored.c.status.in_(FINAL),
        )
        .order_by(scored.c.id)
    )
    run_id = conn.execute(
        select(schema.evaluation.c.run_id).where(schema.evaluation.c.id == new_id)
    ).scalar_one()
    rows = conn.execute(query).all()
    for row in rows:
        scoring_id = _scoring(conn, row.scoring_id, run_id)
        _carry(conn, row, {"scoring_id": scoring_id, "evaluation_id": new_id})
    return len(rows)


def _asks_the_same(conn: Connection, *evaluation_ids: int) -> bool:
    table = schema.evaluation
    query = select(table.c.task_id, table.c.config_json).where(table.c.id.in_(evaluation_ids))
    return len(set(conn.execute(query))) == 1


def _scoring(conn: Connection, old_id: int, run_id: int) -> int:
    """Return a run's scoring of the same *how* and attempt as another run's, made if need be.

    It has the same name, unless the run has given that to another way of scoring.
    """
    table = schema.scoring
    old = conn.execute(select(table).where(table.c.id == old_id)).one()
    query = select(table.c.id).where(
        table.c.run_id == run_id, table.c.hash == old.hash, table.c.attempt == old.attempt
    )
    known = conn.scalar(query)
    if known is not None:
        return int(known)
    name = scorings.free_name(old.name, scorings.scoring_names(conn, run_id))
    return _copy(conn, table, old, {"run_id": run_id, "name": name, "groups_json": None})


def _carry(conn: Connection, old: Row[Any], changed: dict[str, Any]) -> None:
    """Copy one scored evaluation with all that hangs on it."""
    filters, aggregates = schema.scored_filter, schema.aggregate
    new_id = _copy(conn, schema.scored_evaluation, old, changed)
    _copy_rows(conn, schema.scored_shard, "scored_evaluation_id", old.id, new_id)
    query = select(filters).where(filters.c.scored_evaluation_id == old.id)
    for one in conn.execute(query.order_by(filters.c.id)).all():
        filter_id = _copy(conn, filters, one, {"scored_evaluation_id": new_id})
        _copy_rows(conn, schema.filtered_response, "scored_filter_id", one.id, filter_id)
        of_filter = select(aggregates).where(aggregates.c.scored_filter_id == one.id)
        for metric in conn.execute(of_filter.order_by(aggregates.c.id)).all():
            aggregate_id = _copy(conn, aggregates, metric, {"scored_filter_id": filter_id})
            _copy_rows(conn, schema.score, "aggregate_id", metric.id, aggregate_id)


def _copy(conn: Connection, table: Table, row: Row[Any], changed: dict[str, Any]) -> int:
    """Store a row again under an id of its own, with other values in some columns."""
    values = {name: value for name, value in row._mapping.items() if name != "id"}  # noqa: SLF001 - SQLAlchemy's public name
    new = table.insert().values(values | changed)
    return int(conn.execute(new.returning(table.c.id)).scalar_one())


def _copy_rows(conn: Connection, table: Table, owner: str, old_id: int, new_id: int) -> None:
    """Store all rows of one owner again for another, inside the database."""
    columns = list(table.columns)
    taken = [literal(new_id).label(owner) if column.name == owner else column for column in columns]
    rows = select(*taken).where(table.c[owner] == old_id)
    conn.execute(table.insert().from_select([column.name for column in columns], rows))
