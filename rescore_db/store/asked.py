"""What was asked of documents in the evaluations of a task: how responses find their requests."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Select, func, select

from rescore_db import json_exact
from rescore_db.store import schema
from rescore_db.store.samples import read_samples

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy import Connection

BATCH: Final = 500  # keys in one question


@dataclass(frozen=True, slots=True)
class AskedRequest:
    """One way in which a document was asked, as it was logged last.

    Attributes:
        id: primary key of `request`.
        logged_doc_id: lm-eval's number of the document.
        arguments: one list a request; as logged where they had no such shape.
        is_regular: the arguments have lm-eval's shape.
        target: the reference.
    """

    id: int
    logged_doc_id: int | None
    arguments: Any
    is_regular: bool
    target: Any


def docs_numbered(
    conn: Connection, task: str, logged_ids: Collection[int]
) -> dict[int, frozenset[int]]:
    """Return lm-eval's numbers → primary keys of all documents that have them in a task."""
    request = schema.request
    found: dict[int, set[int]] = {}
    for batch in _batches(logged_ids):
        query = _of_task(select(request.c.logged_doc_id, request.c.doc_id).distinct(), task)
        for number, doc in conn.execute(query.where(request.c.logged_doc_id.in_(batch))):
            found.setdefault(number, set()).add(doc)
    return {number: frozenset(docs) for number, docs in found.items()}


def docs_hashed(conn: Connection, task: str, hashes: Collection[bytes]) -> dict[bytes, int]:
    """Return hashes → primary keys of those documents that a task has."""
    doc, request = schema.doc, schema.request
    found: dict[bytes, int] = {}
    for batch in _batches(hashes):
        query = _of_task(select(doc.c.hash, doc.c.id).distinct(), task)
        query = query.join(doc, doc.c.id == request.c.doc_id).where(doc.c.hash.in_(batch))
        found.update((bytes(hash_), key) for hash_, key in conn.execute(query))
    return found


def doc_texts(conn: Connection, keys: Collection[int]) -> dict[int, str]:
    """Return documents' JSON texts by primary key."""
    doc = schema.doc
    found: dict[int, str] = {}
    for batch in _batches(keys):
        query = select(doc.c.id, doc.c.text).where(doc.c.id.in_(batch))
        found |= {key: text for key, text in conn.execute(query)}  # noqa: C416 - rows have `keys`
    return found


def requests_of(
    conn: Connection, task: str, docs: Collection[int]
) -> dict[int, list[AskedRequest]]:
    """Return documents → the distinct arguments with which a task asked them.

    Where only numbers, targets or logged hashes differ, it is one way of asking, and the request
    that was stored last stands for it.
    """
    found: dict[int, list[AskedRequest]] = {}
    for batch in _batches(docs):
        places = _places(conn, task, batch)
        ways = _ways(conn, places)
        for doc, one in _read(conn, {key: places[key] for key in ways}):
            found.setdefault(doc, []).append(one)
    return found


def _places(conn: Connection, task: str, docs: Collection[int]) -> dict[int, tuple[int, int]]:
    """Return request → (evaluation, position) of a sample that it was asked in."""
    sample = schema.sample
    columns = (sample.c.request_id, sample.c.evaluation_id)
    query = _of_task(select(*columns, func.min(sample.c.position)), task)
    query = query.where(sample.c.doc_id.in_(docs)).group_by(*columns)
    return {key: (evaluation, at) for key, evaluation, at in sorted(conn.execute(query))}


def _ways(conn: Connection, requests: Collection[int]) -> list[int]:
    """Return those of some requests that ask in different ways, the last of each."""
    table, part = schema.request, schema.request_part
    columns = (table.c.doc_id, table.c.context_id, table.c.rest_json, table.c.exact)
    ways: dict[tuple[Any, ...], int] = {}
    for batch in _batches(sorted(requests)):
        parts: dict[int, list[tuple[int, int]]] = {}
        others = select(part.c.request_id, part.c.index, part.c.context_id)
        others = others.where(part.c.request_id.in_(batch))
        for key, index, context_id in conn.execute(others.order_by(part.c.index)):
            parts.setdefault(key, []).append((index, context_id))
        query = select(table.c.id, *columns).where(table.c.id.in_(batch)).order_by(table.c.id)
        for key, *way in conn.execute(query):
            ways[(*way, *parts.get(key, ()))] = key
    return list(ways.values())


def _read(
    conn: Connection, places: dict[int, tuple[int, int]]
) -> Iterator[tuple[int, AskedRequest]]:
    """Yield document and request, from the samples that ask them."""
    by_evaluation: dict[int, dict[int, int]] = {}
    for key, (evaluation_id, position) in places.items():
        by_evaluation.setdefault(evaluation_id, {})[position] = key
    for evaluation_id, requests in by_evaluation.items():
        for sample in read_samples(conn, evaluation_id, sorted(requests)):
            target = json_exact.loads(sample.target) if sample.target_is_json else sample.target
            yield (
                sample.doc_id,
                AskedRequest(
                    id=requests[sample.position],
                    logged_doc_id=sample.logged_doc_id,
                    arguments=sample.arguments,
                    is_regular=sample.is_regular,
                    target=target,
                ),
            )


def _of_task(query: Select[Any], task: str) -> Select[Any]:
    """Let a query range over the samples of a task and their requests."""
    sample, request, evaluation = schema.sample, schema.request, schema.evaluation
    return (
        query.select_from(sample)
        .join(request, request.c.id == sample.c.request_id)
        .join(evaluation, evaluation.c.id == sample.c.evaluation_id)
        .join(schema.task, schema.task.c.id == evaluation.c.task_id)
        .where(schema.task.c.name == task)
    )


def _batches(keys: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(keys)
    while batch := list(islice(left, BATCH)):
        yield batch
