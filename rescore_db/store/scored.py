"""Reading back what stands under a scored evaluation, exactly as it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, select

from rescore_db.store import schema
from rescore_db.store.scores import exact_number, filtered_value

if TYPE_CHECKING:
    from rescore_db.records import ScoreKind


@dataclass(frozen=True, slots=True)
class StoredFilter:
    """One filter of a scored evaluation."""

    id: int
    name: str
    index: int
    n: int
    complete: bool


@dataclass(frozen=True, slots=True)
class StoredAggregate:
    """One metric of a scored filter; `value` and `stderr` as lm-eval gave them."""

    id: int
    metric: str
    kind: ScoreKind
    n: int
    value: Any
    stderr: Any
    higher_is_better: bool | None = None


def logged_evaluation(conn: Connection, evaluation_id: int) -> int | None:
    """Return the id of the scored evaluation that holds what lm-eval logged."""
    scored, scoring = schema.scored_evaluation, schema.scoring
    query = (
        select(scored.c.id)
        .join(scoring, scoring.c.id == scored.c.scoring_id)
        .where(scored.c.evaluation_id == evaluation_id, scoring.c.kind == "logged")
    )
    return conn.scalar(query)


def read_filters(conn: Connection, scored_evaluation_id: int) -> list[StoredFilter]:
    """Return the filters of a scored evaluation in their order."""
    table = schema.scored_filter
    query = (
        select(table.c.id, table.c.name, table.c.index, table.c.n, table.c.complete)
        .where(table.c.scored_evaluation_id == scored_evaluation_id)
        .order_by(table.c.index)
    )
    return [StoredFilter(*row) for row in conn.execute(query)]


def read_aggregates(conn: Connection, scored_filter_id: int) -> list[StoredAggregate]:
    """Return the metrics of a scored filter in their order."""
    table = schema.aggregate
    query = select(table).where(table.c.scored_filter_id == scored_filter_id)
    return [
        StoredAggregate(
            row.id,
            row.metric,
            cast("ScoreKind", row.kind),
            row.n,
            exact_number(row.value, row.value_exact),
            exact_number(row.stderr, row.stderr_exact),
            row.higher_is_better,
        )
        for row in conn.execute(query.order_by(table.c.index))
    ]


def read_filtered(
    conn: Connection, scored_filter_id: int, extent: tuple[int, int] | None = None
) -> dict[int, Any]:
    """Return position → filtered responses, where they are stored (see `filtered_response`).

    Args:
        conn: a connection.
        scored_filter_id: which filter.
        extent: first and last position that matter; None means all.
    """
    table = schema.filtered_response
    query = select(table.c.position, table.c.is_json, table.c.text, table.c.exact)
    query = query.where(table.c.scored_filter_id == scored_filter_id)
    rows = conn.execute(query if extent is None else query.where(table.c.position.between(*extent)))
    return {position: filtered_value(*columns) for position, *columns in rows}
