"""Docs, prompts, requests, responses and targets: each distinct one is stored once.

Everything here runs inside `atomic()`, after `bulk.lock_content`: then no other writer can add
what was found missing, and ids can be handed out here.
"""

from __future__ import annotations

import hashlib
import re
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import JSON, select

from rescore_db import json_exact
from rescore_db.store import schema
from rescore_db.store.bulk import find_ids, next_id, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection, Table

BATCH: Final = 500  # hashes in one question

Columns = tuple[bool, str, str | None]
"""(is_json, text, exact) of a content table."""

DOUBTFUL: Final = ("\\u0000", "\\ud", "\\uD", "NaN", "Infinity")
"""What JSON text must lack to be read by every database's JSON functions as it stands."""

FAR: Final = re.compile(r"[0-9][eE][+-]?[0-9]{3,}")
"""Numbers that may lie beyond what PostgreSQL's can hold; it takes them or fails."""


class NewPart(NamedTuple):
    """One of a request's parts: its context by hash, and arg_1 … as the JSON text of a list."""

    context: bytes
    rest_json: str


class NewRequest(NamedTuple):
    """A request before it has an id; `exact` is its JSON where it has no regular parts."""

    prompt_hash: bytes | None
    exact: str | None
    parts: tuple[NewPart, ...]


class KnownRequest(NamedTuple):
    """A stored request."""

    id: int
    prompt_hash: bytes | None


def text_key(text: str) -> bytes:
    """Return the identity of a content that is a string."""
    return json_exact.text_hash(text)


def json_key(raw: bytes) -> bytes:
    """Return the identity of a content that is any other JSON value, from its JSON text.

    The byte in front is in no UTF-8 text, so that the string "1" and the number 1 stay apart.
    """
    return hashlib.sha256(b"\xff" + raw).digest()


def add_docs(conn: Connection, docs: Mapping[bytes, str]) -> dict[bytes, int]:
    """Return the ids of docs, stored where they are new.

    Args:
        conn: inside `atomic()`, after `lock_content`.
        docs: lm-eval's doc hash of the content → its JSON text.
    """
    ids = find_ids(conn, schema.doc, docs)
    new = [hash_ for hash_ in docs if hash_ not in ids]
    if new:
        # A column that is JSON by its own type always has the copy, a text column a mended one.
        is_json = isinstance(schema.doc.c.body.type.dialect_impl(conn.dialect), JSON)
        copy = query_json if is_json else mended_json
        first = next_id(conn, schema.doc)
        numbered = enumerate(new, first)
        write_rows(
            conn,
            schema.doc,
            ((key, hash_, docs[hash_], copy(docs[hash_])) for key, hash_ in numbered),
        )
        ids.update({hash_: key for key, hash_ in enumerate(new, first)})
    return ids


def mended_json(text: str) -> str | None:
    """Return JSON text that SQLite can query, None where the given text already is."""
    is_shallow = text.count("[") + text.count("{") < json_exact.MAX_QUERY_DEPTH
    if is_shallow and not any(mark in text for mark in DOUBTFUL):
        return None
    value = json_exact.loads(text)
    mended = json_exact.queryable(value)
    return None if mended == value else json_exact.dumps(mended)


def query_json(text: str) -> str:
    """Return JSON text that PostgreSQL can take as JSONB."""
    if FAR.search(text) is not None:
        return json_exact.dumps(json_exact.queryable(json_exact.loads(text)))
    return mended_json(text) or text


def add_texts(conn: Connection, table: Table, texts: Mapping[bytes, Columns]) -> dict[bytes, int]:
    """Return the ids of contexts, targets or responses, stored where they are new.

    Args:
        conn: inside `atomic()`, after `lock_content`.
        table: `schema.context`, `.target` or `.response`.
        texts: hash (see `text_key`, `json_key`) → columns.
    """
    ids = find_ids(conn, table, texts)
    new = [hash_ for hash_ in texts if hash_ not in ids]
    if new:
        first = next_id(conn, table)
        write_rows(
            conn, table, ((first + at, hash_, *texts[hash_]) for at, hash_ in enumerate(new))
        )
        ids.update({hash_: first + at for at, hash_ in enumerate(new)})
    return ids


def find_requests(conn: Connection, hashes: Iterable[bytes]) -> dict[bytes, KnownRequest]:
    """Return those of some requests that are stored, by hash; asked for in batches."""
    table = schema.request
    query = select(table.c.hash, table.c.id, table.c.prompt_hash)
    known: dict[bytes, KnownRequest] = {}
    left = iter(hashes)
    while batch := list(islice(left, BATCH)):
        for hash_, key, prompt_hash in conn.execute(query.where(table.c.hash.in_(batch))):
            known[hash_] = KnownRequest(key, prompt_hash)
    return known


def add_requests(
    conn: Connection, requests: Mapping[bytes, NewRequest], contexts: Mapping[bytes, Columns]
) -> dict[bytes, KnownRequest]:
    """Store requests that `find_requests` did not find, with their contexts; return them.

    Args:
        conn: inside `atomic()`, after `lock_content`.
        requests: hash of the canonical arguments → the request.
        contexts: every context that their parts name, by hash.
    """
    if not requests:
        return {}
    context_ids = add_texts(conn, schema.context, contexts)
    first = next_id(conn, schema.request)
    numbered = list(enumerate(requests.items(), first))
    write_rows(
        conn,
        schema.request,
        ((key, hash_, one.prompt_hash, one.exact) for key, (hash_, one) in numbered),
    )
    parts = (
        (key, index, context_ids[part.context], part.rest_json)
        for key, (_, one) in numbered
        for index, part in enumerate(one.parts)
    )
    write_rows(conn, schema.request_part, parts)
    return {hash_: KnownRequest(key, one.prompt_hash) for key, (hash_, one) in numbered}
