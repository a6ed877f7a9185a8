"""What is to be scored, how far it is, and what came out: the state of scorings."""

from __future__ import annotations

import fnmatch
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, select, update

from rescore_db import json_exact
from rescore_db.errors import NotFoundError
from rescore_db.json_exact import text_hash
from rescore_db.records import ScoreRow
from rescore_db.store import schema
from rescore_db.store.scores import exact_number, now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Table


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """One evaluation that has samples."""

    id: int
    run_id: int
    model: str
    task: str
    n_samples: int
    config_json: str | None
    incomplete: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one evaluation is under a scoring; `shards` are the (start, stop) that are done."""

    id: int
    evaluation_id: int
    status: str
    selection: str
    shards: frozenset[tuple[int, int]]


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
            evaluation.c.config_json,
            evaluation.c.incomplete,
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


def results_json(conn: Connection, run_id: int) -> str | None:
    """Return a run's results file as it was, None where there was none."""
    return conn.scalar(select(schema.run.c.results_json).where(schema.run.c.id == run_id))


def find_scoring_of(conn: Connection, run_id: int, how_json: str) -> tuple[int, str] | None:
    """Return (id, name) of a run's newest scoring of the same *how*."""
    table = schema.scoring
    query = (
        select(table.c.id, table.c.name)
        .where(table.c.run_id == run_id, table.c.hash == text_hash(how_json))
        .order_by(table.c.attempt.desc())
        .limit(1)
    )
    row = conn.execute(query).first()
    return None if row is None else (row.id, row.name)


def scoring_names(conn: Connection, run_id: int) -> set[str]:
    """Return the names of a run's scorings."""
    table = schema.scoring
    return set(conn.scalars(select(table.c.name).where(table.c.run_id == run_id)))


def add_recipe(conn: Connection, content_json: str) -> int:
    """Return the id of a recipe, stored if it is new."""
    return _add_once(conn, schema.recipe, content_json, created_at=now())


def add_environment(conn: Connection, content_json: str) -> int:
    """Return the id of an environment, stored if it is new."""
    return _add_once(conn, schema.environment, content_json)


def _add_once(conn: Connection, table: Table, content_json: str, **more: str) -> int:
    digest = text_hash(content_json)
    find = select(table.c.id).where(table.c.hash == digest)
    known = conn.scalar(find)
    if known is not None:
        return int(known)
    row = table.insert().values(hash=digest, content_json=content_json, **more)
    return int(conn.execute(row.returning(table.c.id)).scalar_one())


def standings(conn: Connection, scoring_id: int) -> dict[int, Standing]:
    """Return how far each evaluation is under a scoring, by evaluation id."""
    scored, shard = schema.scored_evaluation, schema.scored_shard
    done: dict[int, set[tuple[int, int]]] = {}
    query = (
        select(shard.c.scored_evaluation_id, shard.c.start, shard.c.stop)
        .join(scored, scored.c.id == shard.c.scored_evaluation_id)
        .where(scored.c.scoring_id == scoring_id)
    )
    for scored_id, start, stop in conn.execute(query):
        done.setdefault(scored_id, set()).add((start, stop))
    rows = conn.execute(
        select(scored.c.id, scored.c.evaluation_id, scored.c.status, scored.c.selection).where(
            scored.c.scoring_id == scoring_id
        )
    )
    return {
        evaluation: Standing(key, evaluation, status, chosen, frozenset(done.get(key, ())))
        for key, evaluation, status, chosen in rows
    }


def lock_scored(conn: Connection, scored_evaluation_id: int) -> None:
    """Keep other writers of this scored evaluation waiting until the transaction ends."""
    table = schema.scored_evaluation
    query = select(table.c.id).where(table.c.id == scored_evaluation_id)
    conn.execute(query.with_for_update())  # SQLite: the transaction itself is the lock


def reset(conn: Connection, scored_evaluation_id: int) -> None:
    """Forget what a scored evaluation that failed had, so that it can be scored again."""
    filters = select(schema.scored_filter.c.id).where(
        schema.scored_filter.c.scored_evaluation_id == scored_evaluation_id
    )
    aggregates = select(schema.aggregate.c.id).where(
        schema.aggregate.c.scored_filter_id.in_(filters)
    )
    conn.execute(delete(schema.score).where(schema.score.c.aggregate_id.in_(aggregates)))
    conn.execute(
        delete(schema.filtered_response).where(
            schema.filtered_response.c.scored_filter_id.in_(filters)
        )
    )
    conn.execute(delete(schema.aggregate).where(schema.aggregate.c.scored_filter_id.in_(filters)))
    for table in (schema.scored_filter, schema.scored_shard):
        conn.execute(delete(table).where(table.c.scored_evaluation_id == scored_evaluation_id))
    set_status(conn, scored_evaluation_id, "pending", None, ())


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What scoring a range of samples had to say.

    Attributes:
        warnings: what users should know.
        errors: one text a filter and sample that could not be scored, in position order.
    """

    warnings: tuple[str, ...]
    errors: tuple[str, ...]


def add_shard(
    conn: Connection, scored_evaluation_id: int, extent: tuple[int, int], report: ShardReport
) -> None:
    """Note that a half-open range of the selection is scored."""
    start, stop = extent
    row = schema.scored_shard.insert().values(
        scored_evaluation_id=scored_evaluation_id,
        start=start,
        stop=stop,
        report_json=json_exact.escaped(asdict(report)),
    )
    conn.execute(row)


def shard_reports(conn: Connection, scored_evaluation_id: int) -> ShardReport:
    """Return what the shards of a scored evaluation had to say, together, in position order."""
    table = schema.scored_shard
    query = (
        select(table.c.report_json)
        .where(table.c.scored_evaluation_id == scored_evaluation_id)
        .order_by(table.c.start)
    )
    found = [json_exact.loads(text) for text in conn.scalars(query)]
    return ShardReport(
        tuple(text for one in found for text in one["warnings"]),
        tuple(text for one in found for text in one["errors"]),
    )


def set_status(
    conn: Connection,
    scored_evaluation_id: int,
    status: str,
    reason: str | None,
    warnings: Sequence[str],
) -> None:
    """Give a scored evaluation its status; a final one ends the bookkeeping of its shards."""
    table = schema.scored_evaluation
    conn.execute(
        update(table)
        .where(table.c.id == scored_evaluation_id)
        .values(status=status, reason=reason, warnings_json=json_exact.escaped(list(warnings)))
    )
    if status != "pending":
        shard = schema.scored_shard
        conn.execute(delete(shard).where(shard.c.scored_evaluation_id == scored_evaluation_id))


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


@dataclass(frozen=True, slots=True)
class Scored:
    """The row of one scored evaluation."""

    id: int
    scoring_id: int
    evaluation_id: int
    selection: str
    status: str
    n: int


def get_scored(conn: Connection, scored_evaluation_id: int) -> Scored:
    """Return one scored evaluation.

    Raises:
        NotFoundError: it was deleted meanwhile.
    """
    table = schema.scored_evaluation
    row = conn.execute(
        select(
            table.c.id,
            table.c.scoring_id,
            table.c.evaluation_id,
            table.c.selection,
            table.c.status,
            table.c.n,
        ).where(table.c.id == scored_evaluation_id)
    ).first()
    if row is None:
        msg = f"scored evaluation {scored_evaluation_id} is no longer in the store"
        raise NotFoundError(msg)
    return Scored(*row)


def stored_config(conn: Connection, evaluation_id: int) -> str | None:
    """Return the config that lm-eval logged for an evaluation, exact, None where it is unknown."""
    table = schema.evaluation
    return conn.scalar(select(table.c.config_json).where(table.c.id == evaluation_id))


def recipes_of(conn: Connection, scoring_id: int) -> dict[int, str]:
    """Return evaluation id → recipe (JSON) of everything that stands under a scoring."""
    table, recipe = schema.scored_evaluation, schema.recipe
    query = (
        select(table.c.evaluation_id, recipe.c.content_json)
        .join(recipe, recipe.c.id == table.c.recipe_id)
        .where(table.c.scoring_id == scoring_id)
    )
    return {row.evaluation_id: row.content_json for row in conn.execute(query)}
