"""Everything that was ever scored about one sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from rescore_db.records import SampleScore
from rescore_db.store import schema
from rescore_db.store.scores import filtered_value, first_responses
from rescore_db.store.selection import is_selected
from rescore_db.typed_values import join, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Row

    from rescore_db.store.samples import StoredSample


def scores_of(conn: Connection, evaluation_id: int, sample: StoredSample) -> Iterator[SampleScore]:
    """Yield the scores of a sample, by scoring, filter and metric.

    A filter without metrics gives one row, whose metric is "", for what the filter left.

    Args:
        conn: a connection.
        evaluation_id: the sample's evaluation.
        sample: the sample.
    """
    for row in _filters(conn, evaluation_id, sample.position):
        if row.text is not None:
            filtered = filtered_value(row.is_json, row.text, row.exact)
        elif row.complete and is_selected(row.selection, sample.position):
            filtered = first_responses(sample.responses)
        else:
            continue
        scores = _scores(conn, row.id, sample.position)
        for score in scores:
            value = plain(join(score.value, score.exact, score.kind))
            yield SampleScore(row.scoring, row.name, score.metric, value, filtered)
        if not scores:
            yield SampleScore(row.scoring, row.name, "", None, filtered)


def _filters(
    conn: Connection, evaluation_id: int, position: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the filters of all scorings, each with the sample's filtered response."""
    scored, scoring, filters = schema.scored_evaluation, schema.scoring, schema.scored_filter
    filtered = schema.filtered_response
    own = (filtered.c.scored_filter_id == filters.c.id) & (filtered.c.position == position)
    query = (
        select(
            filters.c.id,
            filters.c.name,
            filters.c.complete,
            scoring.c.name.label("scoring"),
            scored.c.selection,
            filtered.c.is_json,
            filtered.c.text,
            filtered.c.exact,
        )
        .join(scored, scored.c.id == filters.c.scored_evaluation_id)
        .join(scoring, scoring.c.id == scored.c.scoring_id)
        .outerjoin(filtered, own)
        .where(scored.c.evaluation_id == evaluation_id)
        .order_by(scoring.c.id, filters.c.index)
    )
    return conn.execute(query).all()


def _scores(
    conn: Connection, scored_filter_id: int, position: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    aggregate, score = schema.aggregate, schema.score
    query = (
        select(aggregate.c.metric, aggregate.c.kind, score.c.value, score.c.exact)
        .join(score, score.c.aggregate_id == aggregate.c.id)
        .where(aggregate.c.scored_filter_id == scored_filter_id, score.c.position == position)
        .order_by(aggregate.c.index)
    )
    return conn.execute(query).all()
