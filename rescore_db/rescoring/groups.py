"""Group metrics: from a run's results file which groups there are, from lm-eval how they add up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from rescore_db.errors import TaskError
from rescore_db.store import scorings
from rescore_db.store.engine import atomic, reading
from rescore_db.store.scores import NewGroupMetric, add_group_metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Engine

    from rescore_db.records import ScoreRow
    from rescore_db.rescoring.plan import Job
    from rescore_db.rescoring.pool import Pool
    from rescore_db.rescoring.slot import Slot


def group_members(results: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return group → its direct members, as a results file names them; plain tasks left out."""
    logged = results.get("group_subtasks")
    if not isinstance(logged, dict):
        return {}
    return {
        group: list(members)
        for group, members in logged.items()
        if isinstance(members, list) and members
    }


def leaves(group: str, members: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the names of the tasks below a group."""
    found: set[str] = set()
    todo, seen = [group], set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in members:
            todo.extend(members[name])
        else:
            found.add(name)
    return found


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


def metrics_of(rows: Iterable[ScoreRow]) -> dict[str, dict[str, Any]]:
    """Return task → its aggregates in the shape that lm-eval's groups are computed from."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        metrics = found.setdefault(row.task, {"name": row.task, "alias": row.task, "sample_len": 0})
        metrics["sample_len"] = max(metrics["sample_len"], row.n)
        metrics[f"{row.metric},{row.filter}"] = row.value
        metrics[f"{row.metric}_stderr,{row.filter}"] = row.stderr
    return found


def aggregate_groups_of(
    pool: Pool,
    engine: Engine,
    jobs: Sequence[Job],
    members_of: Mapping[int, Mapping[str, Sequence[str]]],
    include_paths: Sequence[str],
) -> dict[int, str | None]:
    """Aggregate the groups whose tasks are all in, for every scoring that the jobs touched.

    Args:
        pool: where lm-eval's code runs.
        engine: the store.
        jobs: what was asked for.
        members_of: run id → group → its direct members.
        include_paths: where group definitions are looked for first.

    Returns:
        Scoring id → None, or why its groups could not be aggregated (their tasks' scores stand).
    """
    changed = {job.scoring_id: job.evaluation.run_id for job in jobs if not job.is_known}
    done: dict[int, str | None] = {}
    for scoring_id, run_id in changed.items():
        with reading(engine) as conn:
            every = [one.evaluation_id for one in scorings.standings(conn, scoring_id).values()]
            rows = scorings.scoring_results(conn, scoring_id, every)
        scored = [row for row in rows if row.status in {"complete", "nondeterministic"}]
        whole = whole_groups(members_of[run_id], {row.task for row in scored})
        if not whole:
            continue
        (found,) = pool.run([partial(aggregate_groups, whole, include_paths, metrics_of(scored))])
        if isinstance(found, str):
            done[scoring_id] = found
            continue
        with atomic(engine) as conn:
            add_group_metrics(conn, new_metrics(scoring_id, found))
        done[scoring_id] = None
    return done


def aggregate_groups(
    members: Mapping[str, Sequence[str]],
    include_paths: Sequence[str],
    metrics: Mapping[str, Mapping[str, Any]],
    slot: Slot,
) -> dict[str, dict[str, Any]] | str:
    """Let a child aggregate groups; a text says why it could not."""
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
