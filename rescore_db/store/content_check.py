"""Identity is checked: hashes derived again from what is stored, as scoring reads it."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Table, select

from rescore_db import json_exact
from rescore_db.store import schema
from rescore_db.store.content import json_key, text_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Row, Select

STREAMED: Final = {"yield_per": 200}  # rows in memory at a time; one may hold a megabyte

Checked = tuple[str, int, str | None]
"""Table, id, and what is wrong with the row or None."""

_WRONG: Final = "its hash is not that of its content"


def checked_contents(conn: Connection) -> Iterator[Checked]:
    """Derive the hash of every doc, context, target, response and request again.

    Args:
        conn: a reading connection; rows are streamed, memory does not grow with the store.

    Yields:
        One item a row.
    """
    yield from _checked_docs(conn)
    for table in (schema.context, schema.target, schema.response):
        yield from _checked_texts(conn, table)
    yield from _checked_requests(conn)


def _streamed(conn: Connection, query: Select[Any]) -> Iterator[Any]:
    return iter(conn.execute(query, execution_options=STREAMED))


def _checked_docs(conn: Connection) -> Iterator[Checked]:
    table = schema.doc
    for key, hash_, text in _streamed(conn, select(table.c.id, table.c.hash, table.c.text)):
        try:
            is_right = json_exact.doc_hash(json_exact.loads(text)) == hash_
        except ValueError as error:
            yield "doc", key, f"its JSON can't be read: {error}"
        else:
            yield "doc", key, None if is_right else _WRONG


def _checked_texts(conn: Connection, table: Table) -> Iterator[Checked]:
    columns = (table.c.id, table.c.hash, table.c.is_json, table.c.text, table.c.exact)
    for key, hash_, is_json, text, exact in _streamed(conn, select(*columns)):
        try:
            derived = (
                json_key(text.encode()) if is_json else text_key(json_exact.restored(text, exact))
            )
        except ValueError as error:
            yield table.name, key, f"its exact text can't be read: {error}"
        else:
            yield table.name, key, None if derived == hash_ else _WRONG


def _checked_requests(conn: Connection) -> Iterator[Checked]:
    request, part, context = schema.request, schema.request_part, schema.context
    query = (
        select(
            request.c.id,
            request.c.hash,
            request.c.exact,
            part.c.index,
            part.c.rest_json,
            context.c.is_json,
            context.c.text,
            context.c.exact.label("context_exact"),
        )
        .outerjoin_from(request, part, part.c.request_id == request.c.id)
        .outerjoin(context, context.c.id == part.c.context_id)
        .order_by(request.c.id, part.c.index)
    )
    for (key, hash_), rows in groupby(_streamed(conn, query), key=itemgetter(0, 1)):
        try:
            is_right = json_exact.text_hash(json_exact.dumps(_arguments(list(rows)))) == hash_
        except ValueError as error:
            yield "request", key, f"its JSON can't be read: {error}"
        else:
            yield "request", key, None if is_right else _WRONG


def _arguments(rows: list[Row[Any]]) -> Any:  # noqa: ANN401 - as logged
    """Put the logged `arguments` together from the rows of one request."""
    if rows[0].exact is not None:
        return json_exact.loads(rows[0].exact)
    return {f"gen_args_{row.index}": _part(row) for row in rows if row.index is not None}


def _part(row: Row[Any]) -> dict[str, Any]:
    context = (
        json_exact.loads(row.text)
        if row.is_json
        else json_exact.restored(row.text, row.context_exact)
    )
    return {
        f"arg_{at}": value for at, value in enumerate([context, *json_exact.loads(row.rest_json)])
    }
