"""Samples read back, exactly as they were logged, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from rescore_db import json_exact
from rescore_db.errors import NotFoundError
from rescore_db.store import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Column, ColumnElement, Connection, Row

BATCH: Final = 200  # samples in memory at a time
CONTEXTS: Final = 5000  # contexts in one question


@dataclass(frozen=True, slots=True)
class StoredSample:
    """One document as it was answered in one evaluation.

    Attributes:
        position: in the evaluation, from 0, in the file's order.
        doc: the document's JSON text.
        doc_id: primary key of the document in the store.
        nth: occurrence of the document in the evaluation, from 0.
        arguments: one list a request, `[context, continuation or generation arguments]`; what
            was logged in its place where it had no such shape.
        is_regular: the arguments had lm-eval's shape.
        responses: one list a request of one response a repeat, as logged.
        target: the reference as text, JSON where it was logged as another value.
        target_is_json: it was logged as another value.
        logged_doc_id: lm-eval's `doc_id`, None where it is no 64-bit integer.
    """

    position: int
    doc: str
    doc_id: int
    nth: int
    arguments: Any
    is_regular: bool
    responses: Any
    target: str
    target_is_json: bool
    logged_doc_id: int | None


def count_samples(conn: Connection, evaluation_id: int) -> int:
    """Return how many samples an evaluation has."""
    table = schema.sample
    query = select(func.count()).select_from(table).where(table.c.evaluation_id == evaluation_id)
    return int(conn.scalar(query) or 0)


def first_doc(conn: Connection, evaluation_id: int) -> str:
    """Return the JSON text of the document at position 0.

    Raises:
        NotFoundError: the evaluation has no samples.
    """
    sample, doc = schema.sample, schema.doc
    query = (
        select(doc.c.text)
        .join(sample, sample.c.doc_id == doc.c.id)
        .where(sample.c.evaluation_id == evaluation_id, sample.c.position == 0)
    )
    text: str | None = conn.scalar(query)
    if text is None:
        msg = f"evaluation {evaluation_id} has no samples"
        raise NotFoundError(msg)
    return text


def iter_samples(
    conn: Connection,
    evaluation_id: int,
    *,
    start: int = 0,
    stop: int | None = None,
    positions: Iterable[int] | None = None,
) -> Iterator[StoredSample]:
    """Yield samples in position order.

    Args:
        conn: a connection; between two samples it may be used for other things.
        evaluation_id: which evaluation.
        start: the first position.
        stop: the position after the last one; None for all.
        positions: only these, in ascending order, in place of `start` and `stop`.
    """
    if positions is None:
        end = count_samples(conn, evaluation_id)
        positions = range(start, end if stop is None else min(stop, end))
    left = iter(positions)
    while wanted := list(islice(left, BATCH)):
        yield from read_samples(conn, evaluation_id, wanted)


def read_samples(
    conn: Connection, evaluation_id: int, positions: Sequence[int]
) -> list[StoredSample]:
    """Return the samples at some positions, in position order, those that there are."""
    rows = _sample_rows(conn, evaluation_id, positions)
    arguments = _arguments(conn, {row.request_id: row for row in rows})
    return [
        StoredSample(
            position=row.position,
            doc=row.doc,
            doc_id=row.doc_id,
            nth=row.nth,
            arguments=arguments[row.request_id],
            is_regular=row.request_exact is None,
            responses=_responses(row.response_is_json, row.response, row.response_exact),
            target=json_exact.restored(row.target, row.target_exact),
            target_is_json=row.target_is_json,
            logged_doc_id=row.logged_doc_id,
        )
        for row in rows
    ]


def _sample_rows(conn: Connection, evaluation_id: int, positions: Sequence[int]) -> Sequence[Any]:
    """Return rows with what `StoredSample` is made of."""
    sample, doc, request, target = schema.sample, schema.doc, schema.request, schema.target
    query = (
        select(
            sample.c.position,
            sample.c.doc_id,
            sample.c.nth,
            sample.c.request_id,
            sample.c.response_is_json,
            sample.c.response,
            sample.c.response_exact,
            doc.c.text.label("doc"),
            request.c.logged_doc_id,
            request.c.context_id,
            request.c.rest_json,
            request.c.exact.label("request_exact"),
            target.c.is_json.label("target_is_json"),
            target.c.text.label("target"),
            target.c.exact.label("target_exact"),
        )
        .join(doc, doc.c.id == sample.c.doc_id)
        .join(request, request.c.id == sample.c.request_id)
        .join(target, target.c.id == request.c.target_id)
        .where(sample.c.evaluation_id == evaluation_id)
        .order_by(sample.c.position)
    )
    return conn.execute(query.where(among(sample.c.position, positions))).all()


def among(column: Column[int], positions: Sequence[int]) -> ColumnElement[bool]:
    """Return the condition that a column is one of some ascending numbers."""
    if positions and positions[-1] - positions[0] + 1 == len(positions):
        return column.between(positions[0], positions[-1])
    return column.in_(positions)


def _arguments(conn: Connection, requests: dict[int, Row[Any]]) -> dict[int, Any]:
    """Return requests' arguments by request id; each context is read once."""
    found: dict[int, Any] = {}
    used: dict[int, list[int]] = {}  # request → its parts' contexts
    for key, row in requests.items():
        is_regular = row.request_exact is None
        found[key] = json_exact.loads(row.rest_json if is_regular else row.request_exact)
        if is_regular:
            used[key] = [row.context_id] * len(found[key])
    several = [key for key, contexts in used.items() if len(contexts) > 1]
    for key, index, context_id in _other_contexts(conn, several) if several else ():
        used[key][index] = context_id
    contexts = _contexts(conn, {one for ids in used.values() for one in ids})
    for key, ids in used.items():
        pairs = zip(ids, found[key], strict=True)
        found[key] = [[contexts[context_id], *rest] for context_id, rest in pairs]
    return found


def _other_contexts(conn: Connection, requests: Sequence[int]) -> Sequence[Any]:
    """Return (request, index, context) of parts whose context is not that of the first part."""
    part = schema.request_part
    query = select(part.c.request_id, part.c.index, part.c.context_id)
    return conn.execute(query.where(part.c.request_id.in_(requests))).all()


def _contexts(conn: Connection, ids: set[int]) -> dict[int, Any]:
    table = schema.context
    query = select(table.c.id, table.c.is_json, table.c.text, table.c.exact)
    found: dict[int, Any] = {}
    left = iter(ids)
    while batch := list(islice(left, CONTEXTS)):
        for key, is_json, text, exact in conn.execute(query.where(table.c.id.in_(batch))):
            found[key] = json_exact.loads(text) if is_json else json_exact.restored(text, exact)
    return found


def _responses(is_json: bool, text: str, exact: str | None) -> Any:  # noqa: ANN401, FBT001 - columns
    return json_exact.loads(text) if is_json else [[json_exact.restored(text, exact)]]
