"""What came out of scorings: aggregates of tasks and groups, as rows for users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from rescore_db import json_exact
from rescore_db.records import ScoreRow
from rescore_db.store import schema
from rescore_db.store.scores import exact_number

if TYPE_CHECKING:
    from collections.abc import Sequence


def scoring_results(
    conn: Connection, scoring_id: int, evaluation_ids: Sequence[int]
) -> list[ScoreRow]:
    """Return the aggregates of some evaluations under a scoring, by task, filter and metric.

    An evaluation without aggregates (unsupported, failed) gives one row that says so.
    """
    scored, filters, aggregate = (
        schema.scored_evaluation,
        schema.scored_filter,
        schema.aggregate,
    )
    evaluation, task, run, scoring = schema.evaluation, schema.task, schema.run, schema.scoring
    query = (
        select(
            scoring.c.name.label("scoring"),
            run.c.id.label("run"),
            run.c.model,
            task.c.name.label("task"),
            filters.c.name.label("filter"),
            aggregate,
            scored.c.status,
            scored.c.reason,
            scored.c.warnings_json,
            scored.c.n.label("selected"),
        )
        .select_from(scored)
        .join(scoring, scoring.c.id == scored.c.scoring_id)
        .join(evaluation, evaluation.c.id == scored.c.evaluation_id)
        .join(task, task.c.id == evaluation.c.task_id)
        .join(run, run.c.id == evaluation.c.run_id)
        .outerjoin(filters, filters.c.scored_evaluation_id == scored.c.id)
        .outerjoin(aggregate, aggregate.c.scored_filter_id == filters.c.id)
        .where(scored.c.scoring_id == scoring_id, scored.c.evaluation_id.in_(evaluation_ids))
        .order_by(evaluation.c.id, filters.c.index, aggregate.c.index)
    )
    return [_score_row(row) for row in conn.execute(query)]


def logged_groups(conn: Connection, run_id: int) -> list[ScoreRow]:
    """Return the group metrics that lm-eval logged for a run."""
    table = schema.scoring
    query = select(table.c.id).where(table.c.run_id == run_id, table.c.kind == "logged")
    key = conn.scalar(query)
    return [] if key is None else group_results(conn, key)


def _score_row(row: Any) -> ScoreRow:  # noqa: ANN401 - a row of the query above
    return ScoreRow(
        scoring=row.scoring,
        run=row.run,
        model=row.model,
        task=row.task,
        filter=row.filter or "",
        metric=row.metric or "",
        value=exact_number(row.value, row.value_exact),
        stderr=exact_number(row.stderr, row.stderr_exact),
        n=row.selected if row.n is None else row.n,
        status=row.status,
        reason=row.reason,
        warnings=tuple(map(str, json_exact.loads(row.warnings_json))),
    )


def group_results(conn: Connection, scoring_id: int) -> list[ScoreRow]:
    """Return the group metrics of a scoring."""
    table, scoring, run = schema.group_metric, schema.scoring, schema.run
    query = (
        select(table, scoring.c.name.label("scoring"), run.c.id.label("run"), run.c.model)
        .join(scoring, scoring.c.id == table.c.scoring_id)
        .join(run, run.c.id == scoring.c.run_id)
        .where(table.c.scoring_id == scoring_id)
        .order_by(table.c.id)
    )
    return [
        ScoreRow(
            scoring=row.scoring,
            run=row.run,
            model=row.model,
            task=row.group,
            filter=row.filter,
            metric=row.metric,
            value=exact_number(row.value, row.value_exact),
            stderr=exact_number(row.stderr, row.stderr_exact),
            n=row.n or 0,
            status="complete",
            is_group=True,
        )
        for row in conn.execute(query)
    ]
