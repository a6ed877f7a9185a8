"""What stands under scorings: each metric with the conditions under which it came about.

Reads aggregates only, never scores: it works for runs that were stored without samples.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import select

from rescore_db.store import schema
from rescore_db.store.runs import has_newer
from rescore_db.store.scores import exact_number

if TYPE_CHECKING:
    from sqlalchemy import Column, ColumnElement, Connection, Row

    from rescore_db.records import ScoreKind

_LOGGED_NUMBER: Final = re.compile(
    r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?inf|nan", re.IGNORECASE
)

_OF_EVALUATION: Final = ("num_fewshot", "n_samples", "n_effective", "incomplete")


@dataclass(frozen=True, slots=True)
class Conditions:
    """One evaluation under one scoring: what its numbers depend on besides the model.

    `n_samples` counts the stored samples, 0 for aggregates only; `n_effective` is how many lm-eval
    says it aggregated.  The rest is as in the schema.
    """

    scored_evaluation_id: int
    evaluation_id: int
    scoring_id: int
    task: str
    task_hash: bytes
    task_version: str
    num_fewshot: int | None
    n_samples: int
    n_effective: int | None
    incomplete: bool
    status: str
    reason: str | None
    recipe_id: int | None
    environment_id: int | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of one filter of a scored evaluation.

    Attributes:
        conditions: the scored evaluation.
        filter: the filter's name.
        place: position of the filter, then of the metric, as lm-eval orders them.
        metric: the metric's name.
        aggregate_id: primary key of `aggregate`, under which the scores stand.
        kind: what the per-sample values are.
        n: samples that have a score.
        value: the stored aggregate, as lm-eval gave it; None if there is none.
        stderr: its standard error, likewise; lm-eval writes "N/A" where it has none.
        higher_is_better: the good direction, None where nothing tells.
    """

    conditions: Conditions
    filter: str
    place: tuple[int, int]
    metric: str
    aggregate_id: int
    kind: ScoreKind
    n: int
    value: Any
    stderr: Any
    higher_is_better: bool | None

    @property
    def task(self) -> str:
        """The task's name."""
        return self.conditions.task


@dataclass(frozen=True, slots=True)
class GroupMetric:
    """One metric of the group `task` under one scoring; `value` and `stderr` as in `Metric`."""

    scoring_id: int
    task: str
    filter: str
    place: tuple[int, int]
    metric: str
    n: int | None
    value: Any
    stderr: Any


@dataclass(frozen=True, slots=True)
class ScoringOfRun:
    """A scoring and the run that it belongs to; `how` tells equal requests apart from others."""

    id: int
    name: str
    kind: str
    how: bytes
    attempt: int
    run_id: int
    model: str
    date: str
    step: int | None
    lm_eval_version: str | None


def as_number(value: Any) -> float | None:  # noqa: ANN401 - a metric's value of any type
    """Return a metric's value as a number, None if it is not one.

    Booleans count, and so do texts such as "True" and "0.25", which is how lm-eval up to 0.4.12
    logs numpy's types.
    """
    if isinstance(value, str):
        if value in ("True", "False"):
            return float(value == "True")
        return float(value) if _LOGGED_NUMBER.fullmatch(value) else None
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    if not isinstance(value, bool | int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return math.inf if value > 0 else -math.inf


def scoring_metrics(conn: Connection, scoring_id: int) -> tuple[list[Conditions], list[Metric]]:
    """Return the evaluations under a scoring, and their metrics, in the order they were stored.

    An evaluation that could not be scored has conditions and no metrics.
    """
    return _metrics(conn, schema.scored_evaluation.c.scoring_id == scoring_id)


def task_metrics(conn: Connection, task: str) -> tuple[list[Conditions], list[Metric]]:
    """Return the evaluations of a task under every scoring, and their metrics."""
    return _metrics(conn, schema.task.c.name == task)


def group_metrics(conn: Connection, group: str) -> list[GroupMetric]:
    """Return the metrics of a group under every scoring."""
    return _group_metrics(conn, schema.group_metric.c.group == group)


def scoring_group_metrics(conn: Connection, scoring_id: int) -> list[GroupMetric]:
    """Return the metrics of all groups under a scoring, in the order they were stored."""
    return _group_metrics(conn, schema.group_metric.c.scoring_id == scoring_id)


def _group_metrics(conn: Connection, condition: ColumnElement[bool]) -> list[GroupMetric]:
    table = schema.group_metric
    rows = conn.execute(select(table).where(condition).order_by(table.c.id))
    return [
        GroupMetric(
            scoring_id=row.scoring_id,
            task=row.group,
            filter=row.filter,
            place=(0, row.id),
            metric=row.metric,
            n=row.n,
            value=exact_number(row.value, row.value_exact),
            stderr=exact_number(row.stderr, row.stderr_exact),
        )
        for row in rows
    ]


def scorings_of_newest_runs(conn: Connection) -> list[ScoringOfRun]:
    """Return every scoring of the newest version of each (model, date, origin)."""
    scoring, run = schema.scoring, schema.run
    columns: list[Column[Any]] = [
        *(scoring.c[name] for name in ("id", "name", "kind", "hash", "attempt")),
        *(run.c[name] for name in ("id", "model", "date", "step", "lm_eval_version")),
    ]
    query = (
        select(*columns)
        .join(run, run.c.id == scoring.c.run_id)
        .where(~has_newer())
        .order_by(scoring.c.id)
    )
    return [ScoringOfRun(*tuple(row)) for row in conn.execute(query)]


def known_tasks(conn: Connection) -> set[str]:
    """Return the names of all tasks and groups in the store."""
    names = conn.scalars(select(schema.task.c.name).union(select(schema.group_metric.c.group)))
    return set(names)


def task_definition(conn: Connection, task: str, task_hash: bytes) -> str | None:
    """Return the JSON of a task's definition, None where the log had none."""
    table = schema.task
    query = select(table.c.definition_json)
    return conn.scalar(query.where(table.c.name == task, table.c.hash == task_hash))


def _metrics(
    conn: Connection, condition: ColumnElement[bool]
) -> tuple[list[Conditions], list[Metric]]:
    """Return scored evaluations that satisfy a condition, and their metrics."""
    scored, evaluation, task = schema.scored_evaluation, schema.evaluation, schema.task
    columns: list[Column[Any]] = [
        scored.c.id,
        evaluation.c.id,
        scored.c.scoring_id,
        *(task.c[name] for name in ("name", "hash", "version")),
        *(evaluation.c[name] for name in _OF_EVALUATION),
        *(scored.c[name] for name in ("status", "reason", "recipe_id", "environment_id")),
    ]
    query = (
        select(*columns)
        .select_from(scored)
        .join(evaluation, evaluation.c.id == scored.c.evaluation_id)
        .join(task, task.c.id == evaluation.c.task_id)
        .where(condition)
        .order_by(scored.c.id)
    )
    conditions = [Conditions(*row) for row in conn.execute(query)]
    by_id = {one.scored_evaluation_id: one for one in conditions}
    filters, aggregate = schema.scored_filter, schema.aggregate
    found = conn.execute(
        select(
            filters.c.scored_evaluation_id,
            filters.c.name.label("filter"),
            filters.c.index.label("filter_index"),
            aggregate.c.index.label("metric_index"),
            *(column for column in aggregate.c if column.name != "index"),  # a Row's own method
        )
        .join(aggregate, aggregate.c.scored_filter_id == filters.c.id)
        .join(scored, scored.c.id == filters.c.scored_evaluation_id)
        .join(evaluation, evaluation.c.id == scored.c.evaluation_id)
        .join(task, task.c.id == evaluation.c.task_id)
        .where(condition)
        .order_by(scored.c.id, filters.c.index, aggregate.c.index)
    )
    metrics = [_metric(by_id[row.scored_evaluation_id], row) for row in found]
    return conditions, metrics


def _metric(conditions: Conditions, row: Row[Any]) -> Metric:
    return Metric(
        conditions=conditions,
        filter=row.filter,
        place=(row.filter_index, row.metric_index),
        metric=row.metric,
        aggregate_id=row.id,
        kind=cast("ScoreKind", row.kind),
        n=row.n,
        value=exact_number(row.value, row.value_exact),
        stderr=exact_number(row.stderr, row.stderr_exact),
        higher_is_better=row.higher_is_better,
    )
