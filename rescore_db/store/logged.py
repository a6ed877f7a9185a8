"""What lm-eval itself logged: the first scoring of every run, named "logged".

Everything here takes a connection inside `atomic()` and never commits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from rescore_db.store import schema, scored, scores, scorings
from rescore_db.store.bulk import set_rows
from rescore_db.store.samples import among

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

LOGGED: Final = "logged"
HOW_JSON: Final = '{"source": "logged"}'

Metrics = dict[tuple[str, str], tuple[Any, Any]]
"""(filter, metric) → (value, standard error), exactly as logged."""

Aggregates = tuple[Metrics, Mapping[str, bool | None]]
"""What a results file says of a task: its metrics, and of which higher values are better."""


def find_or_add_scoring(conn: Connection, run_id: int) -> int:
    """Return the id of a run's logged scoring, which is made if there is none."""
    table = schema.scoring
    query = select(table.c.id).where(table.c.run_id == run_id, table.c.kind == LOGGED)
    known = conn.scalar(query)
    if known is not None:
        return int(known)
    return scores.add_scoring(conn, run_id=run_id, kind=LOGGED, name=LOGGED, how_json=HOW_JSON)


def open_evaluation(conn: Connection, scoring_id: int, evaluation_id: int) -> int:
    """Return the id of the logged scores of an evaluation, emptied if there were any."""
    known = scored.logged_evaluation(conn, evaluation_id)
    if known is not None:
        scorings.reset(conn, known)
        return known
    new = scores.NewScoredEvaluation(scoring_id, evaluation_id, n=0, status="pending")
    return scores.add_scored_evaluation(conn, new)


def close_evaluation(conn: Connection, scored_evaluation_id: int, n: int) -> None:
    """Note that all logged scores of `n` samples are written."""
    row = {"n": n, "status": "complete", "reason": None, "warnings_json": "[]"}
    set_rows(conn, schema.scored_evaluation, {scored_evaluation_id: row})


def set_filter(conn: Connection, scored_filter_id: int, *, n: int, complete: bool) -> None:
    """Note how many samples have a filter, and whether all have it."""
    set_rows(conn, schema.scored_filter, {scored_filter_id: {"n": n, "complete": complete}})


def positions_with_row(
    conn: Connection, scored_filter_id: int, positions: Sequence[int]
) -> set[int]:
    """Return those of some ascending positions that have a row in `filtered_response`."""
    table = schema.filtered_response
    query = select(table.c.position).where(
        table.c.scored_filter_id == scored_filter_id, among(table.c.position, positions)
    )
    return set(conn.scalars(query))


def set_aggregates(
    conn: Connection,
    scored_evaluation_id: int,
    metrics: Metrics,
    higher_is_better: Mapping[str, bool | None],
) -> None:
    """Store the aggregates of an evaluation, exactly as logged.

    Filters and metrics that have scores keep them; the others are added without any.
    """
    filters = {one.name: one.id for one in scored.read_filters(conn, scored_evaluation_id)}
    known = {
        (name, one.metric): one
        for name, key in filters.items()
        for one in scored.read_aggregates(conn, key)
    }
    for (filter_, metric), (value, stderr) in metrics.items():
        if filter_ not in filters:
            filters[filter_] = scores.add_scored_filter(
                conn, scored_evaluation_id, filter_, index=len(filters), n=0, complete=False
            )
        one = known.get((filter_, metric))
        new = scores.NewAggregate(
            scored_filter_id=filters[filter_],
            index=sum(1 for name, _ in known if name == filter_),
            metric=metric,
            kind="float" if one is None else one.kind,
            n=0 if one is None else one.n,
            value=value,
            stderr=stderr,
            higher_is_better=higher_is_better.get(metric),
        )
        if one is None:
            key = scores.add_aggregate(conn, new)
            known[filter_, metric] = scored.StoredAggregate(key, metric, new.kind, 0, value, stderr)
        else:
            scores.set_aggregate(conn, new)


def add_bare_evaluations(
    conn: Connection, scoring_id: int, evaluation_ids: Sequence[int], logged: Sequence[Aggregates]
) -> None:
    """Store the aggregates of evaluations that have no samples, all at once.

    Args:
        conn: inside `atomic()`.
        scoring_id: the run's logged scoring.
        evaluation_ids: which.
        logged: of each, its metrics and whether higher is better.
    """
    scored_ids = scores.add_scored_evaluations(
        conn,
        [
            scores.NewScoredEvaluation(scoring_id, key, n=0, status="complete")
            for key in evaluation_ids
        ],
    )
    named = [
        (scored_id, filter_, index)
        for scored_id, (metrics, _) in zip(scored_ids, logged, strict=True)
        for index, filter_ in enumerate(dict.fromkeys(filter_ for filter_, _ in metrics))
    ]
    filters = scores.add_scored_filters(conn, named)
    ranks: Counter[int] = Counter()
    new = []
    for scored_id, (metrics, higher_is_better) in zip(scored_ids, logged, strict=True):
        for (filter_, metric), (value, stderr) in metrics.items():
            key = filters[scored_id, filter_]
            new.append(
                scores.NewAggregate(
                    key,
                    ranks[key],
                    metric,
                    kind="float",
                    n=0,
                    value=value,
                    stderr=stderr,
                    higher_is_better=higher_is_better.get(metric),
                )
            )
            ranks[key] += 1
    scores.add_aggregates(conn, new)


def add_aggregates(
    conn: Connection,
    evaluation_id: int,
    metrics: Metrics,
    higher_is_better: Mapping[str, bool | None],
) -> None:
    """Store the aggregates of an evaluation whose samples came without a results file."""
    key = scored.logged_evaluation(conn, evaluation_id)
    if key is not None:
        set_aggregates(conn, key, metrics, higher_is_better)


def set_counts(conn: Connection, counts: Mapping[int, int]) -> None:
    """Note how many scores metrics have: aggregate id → number."""
    set_rows(conn, schema.aggregate, {key: {"n": n} for key, n in counts.items()})


def add_groups(
    conn: Connection, scoring_id: int, groups: Sequence[tuple[str, Metrics, Mapping[Any, Any]]]
) -> None:
    """Store groups as logged: (name, metrics, samples behind each metric)."""
    scores.add_group_metrics(
        conn,
        [
            scores.NewGroupMetric(
                scoring_id, name, filter_, metric, n.get((filter_, metric)), *found
            )
            for name, metrics, n in groups
            for (filter_, metric), found in metrics.items()
        ],
    )
