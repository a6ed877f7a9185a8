"""What scoring a range of samples gave, on its way into the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rescore_db.errors import TaskError
from rescore_db.harness.interface import Sample
from rescore_db.store import scored
from rescore_db.store.scores import (
    NewAggregate,
    add_aggregate,
    add_scored_filter,
    filtered_columns,
    first_responses,
    iter_values,
    set_aggregate,
    write_filtered,
    write_scores,
)
from rescore_db.typed_values import UntypableError, kind_of, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from rescore_db.harness.interface import Definition, SampleScores
    from rescore_db.records import ScoreKind
    from rescore_db.store.samples import StoredSample

FAILED = None  # the filtered responses of a sample that could not be scored


def as_harness_samples(stored: Iterable[StoredSample]) -> list[Sample]:
    """Turn stored samples into what the harness scores."""
    return [
        Sample(doc=json.loads(one.doc), arguments=one.arguments, responses=one.responses)
        for one in stored
    ]


@dataclass(frozen=True, slots=True)
class ScoredShard:
    """The results of one range, by filter, and the samples that could not be scored."""

    filters: dict[str, list[tuple[StoredSample, SampleScores]]]
    errors: tuple[str, ...]

    @classmethod
    def of(
        cls,
        stored: Sequence[StoredSample],
        results: Sequence[SampleScores],
        definition: Definition,
    ) -> ScoredShard:
        """Sort what `OfflineTask.score` gave by filter, each in position order."""
        filters: dict[str, list[tuple[StoredSample, SampleScores]]] = {
            name: [] for name in definition.filters
        }
        for result in results:
            filters[result.filter].append((stored[result.index], result))
        errors = tuple(
            error_text(sample.position, result)
            for rows in filters.values()
            for sample, result in rows
            if result.error is not None
        )
        return cls(filters, errors)

    def write(self, conn: Connection, scored_evaluation_id: int) -> None:
        """Store filtered responses and scores; the caller holds the scored evaluation's lock."""
        known = {one.name: one.id for one in scored.read_filters(conn, scored_evaluation_id)}
        for index, (name, rows) in enumerate(self.filters.items()):
            key = known.get(name) or add_scored_filter(
                conn, scored_evaluation_id, name, index=index, n=0, complete=True
            )
            write_filtered(conn, _filtered_rows(key, rows))
            _write_metrics(conn, key, rows)


def error_text(position: int, result: SampleScores) -> str:
    """Say of which sample and filter an error is."""
    return f"position {position}, filter {result.filter}: {result.error}"


def _filtered_rows(
    key: int, rows: Sequence[tuple[StoredSample, SampleScores]]
) -> list[tuple[int, int, bool, str, str | None]]:
    """Return the rows that differ from "the first response of each request"."""
    found = []
    for sample, result in rows:
        filtered = result.filtered if result.error is None else FAILED
        if result.error is not None or filtered != first_responses(sample.responses):
            found.append((key, sample.position, *filtered_columns(filtered)))
    return found


def _write_metrics(
    conn: Connection, key: int, rows: Sequence[tuple[StoredSample, SampleScores]]
) -> None:
    """Store the scores of one filter; a metric's first value decides its kind."""
    known = {one.metric: (one.id, one.kind) for one in scored.read_aggregates(conn, key)}
    written: list[tuple[int, int, float | None, str | None]] = []
    for sample, result in rows:
        for name, value in result.metrics.items():
            if name not in known:
                kind = kind_of(value)
                known[name] = (_add_metric(conn, key, name, len(known), kind), kind)
            aggregate_id, kind = known[name]
            written.append((aggregate_id, sample.position, *_split(name, value, kind)))
    written.sort(key=lambda row: row[:2])
    write_scores(conn, written)


def _add_metric(conn: Connection, key: int, name: str, index: int, kind: ScoreKind) -> int:
    return add_aggregate(conn, NewAggregate(key, index, name, kind, n=0))


def _split(name: str, value: Any, kind: ScoreKind) -> tuple[float | None, str | None]:  # noqa: ANN401
    """Split a value; a type that the store can't give back names its metric."""
    try:
        return split(value, kind)
    except UntypableError as error:
        msg = f"metric {name!r}: {error} can't be stored"
        raise TaskError(msg) from None


def read_values(conn: Connection, scored_evaluation_id: int) -> dict[tuple[str, str], list[Any]]:
    """Return (filter, metric) → the values in position order, as aggregation needs them."""
    return {
        (one.name, metric.metric): [value for _, value in iter_values(conn, metric.id, metric.kind)]
        for one in scored.read_filters(conn, scored_evaluation_id)
        for metric in scored.read_aggregates(conn, one.id)
    }


def set_results(
    conn: Connection,
    scored_evaluation_id: int,
    results: dict[tuple[str, str], tuple[Any, Any, int]],
    higher_is_better: dict[str, bool | None],
) -> None:
    """Store aggregates: (filter, metric) → (value, stderr, number of scores)."""
    for one in scored.read_filters(conn, scored_evaluation_id):
        for index, metric in enumerate(scored.read_aggregates(conn, one.id)):
            if (one.name, metric.metric) not in results:
                continue  # an evaluation that can't be scored has none
            value, stderr, n = results[one.name, metric.metric]
            new = NewAggregate(
                one.id,
                index,
                metric.metric,
                metric.kind,
                n,
                value,
                stderr,
                higher_is_better.get(metric.metric),
            )
            set_aggregate(conn, new)
