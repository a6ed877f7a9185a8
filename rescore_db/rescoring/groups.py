"""Group metrics: from a run's results file which groups there are, from lm-eval how they add up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from rescore_db.errors import TaskError
from rescore_db.harness_log.members import group_members, leaves
from rescore_db.store import results, scorings
from rescore_db.store.bulk import lock_content
from rescore_db.store.engine import atomic, reading
from rescore_db.store.scores import NewGroupMetric, add_group_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Engine

    from rescore_db.records import ScoreRow
    from rescore_db.rescoring.pool import Pool
    from rescore_db.rescoring.slot import Slot

__all__ = [
    "TaskAggregates",
    "aggregate_groups",
    "aggregate_missing",
    "aggregates_of",
    "group_members",
    "leaves",
    "new_metrics",
    "whole_groups",
]


def whole_groups(
    members: Mapping[str, Sequence[str]], scored: Iterable[str]
) -> dict[str, list[str]]:
    """Return the groups, with their members, whose tasks are all scored."""
    have = set(scored)
    return {
        group: list(children)
        for group, children in members.items()
        if leaves(group, members) <= have
    }


@dataclass(frozen=True, slots=True)
class TaskAggregates:
    """What groups are computed from: one task's aggregates over `n` samples.

    Attributes:
        task: its name.
        n: how many samples.
        metrics: (filter, metric, value, standard error), as lm-eval gave them.
    """

    task: str
    n: int
    metrics: tuple[tuple[str, str, Any, Any], ...]

    def as_lm_eval(self) -> dict[str, Any]:
        """Return them in the shape of a task's entry in lm-eval's results."""
        found: dict[str, Any] = {"name": self.task, "alias": self.task, "sample_len": self.n}
        for filter_, metric, value, stderr in self.metrics:
            found[f"{metric},{filter_}"] = value
            found[f"{metric}_stderr,{filter_}"] = stderr
        return found


def aggregates_of(rows: Sequence[ScoreRow]) -> list[TaskAggregates]:
    """Return the aggregates of the tasks among some rows."""
    return [
        TaskAggregates(
            task,
            max(row.n for row in rows if row.task == task),
            tuple((r.filter, r.metric, r.value, r.stderr) for r in rows if r.task == task),
        )
        for task in dict.fromkeys(row.task for row in rows)
    ]


def aggregate_missing(
    pool: Pool,
    engine: Engine,
    scoring_id: int,
    members: Mapping[str, Sequence[str]],
    include_paths: Sequence[str],
) -> str | None:
    """Aggregate the groups of a scoring whose tasks are all in and that were not aggregated yet.

    Args:
        pool: where lm-eval's code runs.
        engine: the store.
        scoring_id: which scoring.
        members: group → its direct members.
        include_paths: where group definitions are looked for first.

    Returns:
        None, or why they could not be aggregated: their tasks' scores stand without them.
    """
    with reading(engine) as conn:
        every = list(scorings.standings(conn, scoring_id))
        rows = results.scoring_results(conn, scoring_id, every)
        before = scorings.grouped(conn, scoring_id)
    scored = [row for row in rows if row.status in {"complete", "nondeterministic"}]
    whole = whole_groups(members, {row.task for row in scored})
    if whole.keys() <= before:
        return None
    unit = partial(aggregate_groups, whole, include_paths, aggregates_of(scored))
    (found,) = pool.run([unit])
    if isinstance(found, str):
        return found
    with atomic(engine) as conn:
        lock_content(conn)
        add_group_metrics(conn, new_metrics(scoring_id, found))
        scorings.set_grouped(conn, scoring_id, before | whole.keys())
    return None


def aggregate_groups(
    members: Mapping[str, Sequence[str]],
    include_paths: Sequence[str],
    tasks: Iterable[TaskAggregates],
    slot: Slot,
) -> dict[str, dict[str, Any]] | str:
    """Let a child aggregate groups; a text says why it could not."""
    metrics = {one.task: one.as_lm_eval() for one in tasks}
    try:
        found: dict[str, dict[str, Any]] = slot.call(
            "groups", members=members, include_paths=list(include_paths), metrics=metrics
        )
    except TaskError as error:
        return str(error)
    return found


def new_metrics(scoring_id: int, found: Mapping[str, Mapping[str, Any]]) -> list[NewGroupMetric]:
    """Turn group → `{"acc,none": …, "acc_stderr,none": …}` into rows for the store."""
    rows = []
    for group, metrics in found.items():
        counts = metrics.get("sample_count") or {}
        for key, value in metrics.items():
            metric, comma, filter_ = key.partition(",")
            if not comma or metric.endswith("_stderr"):
                continue
            stderr = metrics.get(f"{metric}_stderr,{filter_}")
            n = counts.get(key, metrics.get("sample_len"))
            rows.append(NewGroupMetric(scoring_id, group, filter_, metric, n, value, stderr))
    return rows
