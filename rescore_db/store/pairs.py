"""Scores as arrays, paired by document.

Two samples are a pair when they answer the same document for the same time: (doc, n-th occurrence
in file order).  Positions never pair anything: runs of one task may have other limits or orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import numpy as np
from sqlalchemy import func, intersect, select

from rescore_db.store import schema
from rescore_db.store.metrics import as_number
from rescore_db.typed_values import join

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt
    from sqlalchemy import Connection, Select

    from rescore_db.records import ScoreKind
    from rescore_db.store.metrics import Metric

    IntArray = npt.NDArray[np.int64]
    FloatArray = npt.NDArray[np.float64]
    Number = TypeVar("Number", np.int64, np.float64)

BATCH: Final = 20_000  # rows that are Python objects at one time


@dataclass(frozen=True, slots=True)
class Scores:
    """One metric's scores in no particular order; all arrays have shape (n,).

    Attributes:
        doc_ids: primary keys of `doc`.
        nths: 0 where the document stands for the first time in its evaluation, then 1, 2 …
        request_ids: primary keys of `request`: equal where the same was asked.
        values: the scores; None when they are not one number each (pairs for a corpus metric,
            lists, null).  Booleans are 0 and 1.
    """

    doc_ids: IntArray
    nths: IntArray
    request_ids: IntArray
    values: FloatArray | None


@dataclass(frozen=True, slots=True)
class Paired:
    """Two metrics' scores over the samples that both have, by document; arrays of shape (n,).

    Attributes:
        doc_ids: primary keys of `doc`.
        a: the first side's values, None when they are not one number each.
        b: the second side's.
        unpaired_a: chosen scores of the first side without a partner.
        unpaired_b: of the second.
        left_out: scores of either side whose documents were not chosen.
        asked_differently: pairs whose two requests are not the same.
    """

    doc_ids: IntArray
    a: FloatArray | None
    b: FloatArray | None
    unpaired_a: int
    unpaired_b: int
    left_out: int
    asked_differently: int


def pair(a: Scores, b: Scores, doc_ids: Collection[int] | None = None) -> Paired:
    """Pair two metrics' scores, over some documents or all."""
    total = len(a.doc_ids) + len(b.doc_ids)
    if doc_ids is not None:
        chosen = np.fromiter(doc_ids, np.int64, len(doc_ids))
        a, b = (_taken(side, np.isin(side.doc_ids, chosen)) for side in (a, b))
    span = 1 + max(_highest(a.nths), _highest(b.nths))
    _, at_a, at_b = np.intersect1d(
        a.doc_ids * span + a.nths,
        b.doc_ids * span + b.nths,
        assume_unique=True,
        return_indices=True,
    )
    left, right = _taken(a, at_a), _taken(b, at_b)
    return Paired(
        doc_ids=left.doc_ids,
        a=left.values,
        b=right.values,
        unpaired_a=len(a.doc_ids) - len(at_a),
        unpaired_b=len(b.doc_ids) - len(at_b),
        left_out=total - len(a.doc_ids) - len(b.doc_ids),
        asked_differently=int(np.count_nonzero(left.request_ids != right.request_ids)),
    )


@dataclass(frozen=True, slots=True)
class _Samples:
    """One evaluation's samples by position; the fields are those of `Scores`."""

    positions: IntArray
    doc_ids: IntArray
    nths: IntArray
    request_ids: IntArray


class ScoreReader:
    """Reads metrics' scores as arrays.

    The samples of the last two evaluations are kept: several metrics of two sides, one after the
    other, read each side's samples once.
    """

    KEPT: Final = 2

    def __init__(self, conn: Connection) -> None:
        """Read through a connection."""
        self._conn = conn
        self._samples: dict[int, _Samples] = {}

    def read(self, aggregate_id: int) -> Scores:
        """Return all scores of one metric, with the documents that they belong to."""
        kind, evaluation_id = _source(self._conn, aggregate_id)
        positions, values = _positions_and_values(self._conn, aggregate_id, kind)
        samples = self._samples_of(evaluation_id)
        if np.array_equal(positions, samples.positions):
            return Scores(samples.doc_ids, samples.nths, samples.request_ids, values)
        at = np.searchsorted(samples.positions, positions)
        return Scores(samples.doc_ids[at], samples.nths[at], samples.request_ids[at], values)

    def count(self, aggregate_id: int, doc_ids: Collection[int]) -> int:
        """Return how many scores a metric has over some documents."""
        chosen = np.fromiter(doc_ids, np.int64, len(doc_ids))
        return int(np.count_nonzero(np.isin(self.read(aggregate_id).doc_ids, chosen)))

    def _samples_of(self, evaluation_id: int) -> _Samples:
        if evaluation_id not in self._samples:
            while len(self._samples) >= self.KEPT:
                self._samples.pop(next(iter(self._samples)))
            self._samples[evaluation_id] = _read_samples(self._conn, evaluation_id)
        return self._samples[evaluation_id]


class SharedSamples:
    """Counts the samples that two metrics have in common, by document.

    Reads samples, and scores only where a metric is over a part of its evaluation's samples; the
    metrics of two evaluations that are over all of theirs are counted once.
    """

    def __init__(self, conn: Connection) -> None:
        """Count over a connection."""
        self._conn = conn
        self._known: dict[tuple[tuple[int, int | None], ...], int] = {}

    def count(self, a: Metric, b: Metric) -> int | None:
        """Return how many samples of `a` are of a document of `b`; None if nothing tells."""
        if not (a.conditions.n_samples and b.conditions.n_samples):
            return None
        key = (_whole_or_part(a), _whole_or_part(b))
        if key not in self._known:
            common = intersect(*(_scored_docs(*side) for side in key)).subquery()
            query = select(func.count()).select_from(common)
            self._known[key] = self._conn.execute(query).scalar_one()
        return self._known[key]


def _whole_or_part(metric: Metric) -> tuple[int, int | None]:
    """Return a metric's evaluation, with its aggregate where not every sample has a score."""
    is_whole = metric.n == metric.conditions.n_samples
    return metric.conditions.evaluation_id, None if is_whole else metric.aggregate_id


def _scored_docs(evaluation_id: int, aggregate_id: int | None) -> Select[tuple[int, int]]:
    sample, score = schema.sample.c, schema.score.c
    query = select(sample.doc_id, sample.nth).where(sample.evaluation_id == evaluation_id)
    if aggregate_id is None:
        return query
    scored = select(score.position).where(score.aggregate_id == aggregate_id)
    return query.where(sample.position.in_(scored))


def _read_samples(conn: Connection, evaluation_id: int) -> _Samples:
    """Return an evaluation's samples in position order."""
    sample = schema.sample.c
    query = (
        select(sample.position, sample.doc_id, sample.nth, sample.request_id)
        .where(sample.evaluation_id == evaluation_id)
        .order_by(sample.position)
    )
    return _Samples(*_columns(conn, query, np.int64))


def _positions_and_values(
    conn: Connection, aggregate_id: int, kind: ScoreKind
) -> tuple[IntArray, FloatArray | None]:
    """Return the positions that a metric has scores for, in order, and the scores."""
    score = schema.score.c
    query = select(score.position).where(score.aggregate_id == aggregate_id)
    in_order = query.order_by(score.position)
    if conn.scalar(query.where(score.exact.is_not(None)).limit(1)) is None:
        # Positions are far below 2**53, beyond which a float would not hold them.
        at, numbers = _columns(conn, in_order.add_columns(score.value), np.float64)
        return at.astype(np.int64), numbers
    if kind == "json" and not _first_is_number(conn, aggregate_id):
        return _columns(conn, in_order, np.int64)[0], None
    rows = conn.execute(in_order.add_columns(score.value, score.exact)).all()
    values = [
        value if exact is None else as_number(join(value, exact, kind)) for _, value, exact in rows
    ]
    positions = np.array([row.position for row in rows], np.int64)
    return positions, None if None in values else np.array(values, np.float64)


def _columns(
    conn: Connection, query: Select[tuple[Any, ...]], dtype: type[Number]
) -> list[npt.NDArray[Number]]:
    """Return the columns of a query, all numbers, as arrays."""
    width = len(query.selected_columns)
    batches = [np.empty((0, width), dtype)]
    for rows in conn.execute(query.execution_options(yield_per=BATCH)).partitions():
        flat = np.fromiter(chain.from_iterable(rows), dtype, width * len(rows))
        batches.append(flat.reshape(-1, width))
    return list(np.ascontiguousarray(np.concatenate(batches).T))


def _source(conn: Connection, aggregate_id: int) -> tuple[ScoreKind, int]:
    """Return a metric's kind and the evaluation that it was scored on."""
    filters, scored = schema.scored_filter, schema.scored_evaluation
    kind, evaluation_id = conn.execute(
        select(schema.aggregate.c.kind, scored.c.evaluation_id)
        .join(filters, filters.c.id == schema.aggregate.c.scored_filter_id)
        .join(scored, scored.c.id == filters.c.scored_evaluation_id)
        .where(schema.aggregate.c.id == aggregate_id)
    ).one()
    return cast("ScoreKind", kind), evaluation_id


def _first_is_number(conn: Connection, aggregate_id: int) -> bool:
    """Answer whether a metric of kind "json" may be numbers, without reading all its texts."""
    table = schema.score
    query = select(table.c.value, table.c.exact).where(table.c.aggregate_id == aggregate_id)
    row = conn.execute(query.order_by(table.c.position).limit(1)).first()
    return row is not None and as_number(join(row.value, row.exact, "json")) is not None


def _taken(scores: Scores, at: npt.NDArray[Any]) -> Scores:
    """Return some of the scores: an index array, or a mask."""
    return Scores(
        scores.doc_ids[at],
        scores.nths[at],
        scores.request_ids[at],
        None if scores.values is None else scores.values[at],
    )


def _highest(numbers: IntArray) -> int:
    return int(numbers.max()) if len(numbers) else 0
