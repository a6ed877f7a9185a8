"""Scorings, as the listings show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, func, select

from rescore_db import json_exact
from rescore_db.errors import NotFoundError
from rescore_db.records import ScoredRow, ScoringDetail, ScoringRow
from rescore_db.store import schema
from rescore_db.store.quarantine import lines_of
from rescore_db.store.results import group_results, scoring_results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row, Select

# A scoring is what its worst evaluation is.
_WORST_FIRST: Final = ("failed", "pending", "unsupported", "nondeterministic", "complete")


def list_scorings(
    conn: Connection, *, run_id: int | None = None, scoring_id: int | None = None
) -> list[ScoringRow]:
    """Return the scorings, of one run or of all, or one of them, by run and id."""
    query = _scorings()
    if run_id is not None:
        query = query.where(schema.run.c.id == run_id)
    if scoring_id is not None:
        query = query.where(schema.scoring.c.id == scoring_id)
    return [
        ScoringRow(
            id=row.id,
            name=row.name,
            run=row.run,
            model=row.model,
            date=row.date,
            kind=row.kind,
            subset=row.subset,
            status="pending" if row.rank is None else _WORST_FIRST[row.rank],
            evaluations=row.evaluations,
            n=int(row.n),
            created_at=row.created_at,
        )
        for row in conn.execute(query)
    ]


def _scorings() -> Select[*tuple[Any, ...]]:
    scoring, scored, run = schema.scoring, schema.scored_evaluation, schema.run
    rank = case({status: at for at, status in enumerate(_WORST_FIRST)}, value=scored.c.status)
    return (
        select(
            scoring.c.id,
            scoring.c.name,
            scoring.c.kind,
            scoring.c.created_at,
            run.c.id.label("run"),
            run.c.model,
            func.nullif(run.c.date, "").label("date"),
            func.count(scored.c.id).label("evaluations"),
            func.coalesce(func.sum(scored.c.n), 0).label("n"),
            func.min(rank).label("rank"),
            func.max(scored.c.subset).label("subset"),
        )
        .join(run, run.c.id == scoring.c.run_id)
        .outerjoin(scored, scored.c.scoring_id == scoring.c.id)
        .group_by(scoring.c.id, run.c.id)
        .order_by(run.c.id, scoring.c.id)
    )


def get_scoring(conn: Connection, scoring_id: int) -> ScoringDetail:
    """Return one scoring: how, what was scored, and what came out.

    Raises:
        NotFoundError: there is no such scoring.
    """
    found = list_scorings(conn, scoring_id=scoring_id)
    table = schema.scoring
    if not found:
        known = map(str, conn.scalars(select(table.c.id)))
        unknown = NotFoundError.among("scoring", str(scoring_id), known)
        raise unknown
    own = conn.execute(
        select(table.c.attempt, table.c.how_json).where(table.c.id == scoring_id)
    ).one()
    rows = _scored_rows(conn, scoring_id)
    recipes = {_short(row.recipe_hash): row.recipe for row in rows if row.recipe is not None}
    environments = {str(row.environment_id): row.environment for row in rows if row.environment}
    results = scoring_results(conn, scoring_id, [row.evaluation_id for row in rows])
    return ScoringDetail(
        scoring=found[0],
        attempt=own.attempt,
        how=json_exact.loads(own.how_json),
        evaluations=tuple(map(_scored, rows)),
        recipes={key: json_exact.loads(text) for key, text in recipes.items()},
        environments={key: json_exact.loads(text) for key, text in environments.items()},
        results=(*results, *group_results(conn, scoring_id)),
    )


def _scored_rows(conn: Connection, scoring_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
    scored, recipe, environment = schema.scored_evaluation, schema.recipe, schema.environment
    evaluation, task = schema.evaluation, schema.task
    query = (
        select(
            scored,
            task.c.name.label("task"),
            recipe.c.hash.label("recipe_hash"),
            recipe.c.content_json.label("recipe"),
            environment.c.content_json.label("environment"),
            lines_of(evaluation.c.id).label("quarantined"),
        )
        .join(evaluation, evaluation.c.id == scored.c.evaluation_id)
        .join(task, task.c.id == evaluation.c.task_id)
        .outerjoin(recipe, recipe.c.id == scored.c.recipe_id)
        .outerjoin(environment, environment.c.id == scored.c.environment_id)
        .where(scored.c.scoring_id == scoring_id)
        .order_by(scored.c.evaluation_id)
    )
    return conn.execute(query).all()


def _scored(row: Row[*tuple[Any, ...]]) -> ScoredRow:
    return ScoredRow(
        evaluation=row.evaluation_id,
        task=row.task,
        status=row.status,
        reason=row.reason,
        n=row.n,
        selection=row.selection,
        subset=row.subset,
        recipe=None if row.recipe_hash is None else _short(row.recipe_hash),
        environment=row.environment_id,
        warnings=tuple(map(str, json_exact.loads(row.warnings_json))),
        quarantined=row.quarantined,
    )


def _short(digest: bytes) -> str:
    return digest.hex()[:12]
