"""Docs, prompts, targets and requests: each distinct one is stored once.

Everything here runs inside `atomic()`, after `bulk.lock_content`: then no other writer can add
what was found missing, and ids can be handed out here.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import JSON

from rescore_db import json_exact
from rescore_db.store import schema
from rescore_db.store.bulk import add_contents, find_rows, next_id, write_rows
from rescore_db.store.columns import QueryJson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection, Table

Columns = tuple[bool, str, str | None]
"""(is_json, text, exact) of a content table."""

DOUBTFUL: Final = re.compile(r"\\u(?:0000|[dD])|NaN|Infinity")
"""What JSON text must lack to be read by every database's JSON functions as it stands."""

FAR: Final = re.compile(r"[0-9][eE][+-]?[0-9]{3,}")
"""Numbers that may lie beyond what PostgreSQL's can hold; it takes them or fails."""


class NewRequest(NamedTuple):
    """A request before it has an id; contents by hash, the other fields as in the schema."""

    doc: bytes
    target: bytes
    logged_doc_id: int | None
    contexts: tuple[bytes, ...]
    rest_json: str | None
    exact: str | None
    prompt_hash: bytes | None
    hashes_fit: bool | None


class KnownRequest(NamedTuple):
    """A stored request."""

    id: int
    doc_id: int
    hashes_fit: bool | None


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
    # A column that is JSON by its own type always has the copy, a text column a mended one.
    is_json = isinstance(QueryJson().load_dialect_impl(conn.dialect), JSON)
    copy = query_json if is_json else mended_json
    contents = {hash_: (text, copy(text)) for hash_, text in docs.items()}
    return add_contents(conn, schema.doc, contents)


def mended_json(text: str) -> str | None:
    """Return JSON text that SQLite can query, None where the given text already is."""
    is_shallow = text.count("[") + text.count("{") < json_exact.MAX_QUERY_DEPTH
    is_plain = "\\u" not in text and "NaN" not in text and "Infinity" not in text
    if is_shallow and (is_plain or DOUBTFUL.search(text) is None):
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
    """Return the ids of contexts or targets, stored where they are new.

    Args:
        conn: inside `atomic()`, after `lock_content`.
        table: `schema.context` or `.target`.
        texts: hash (see `text_key`, `json_key`) → columns.
    """
    return add_contents(conn, table, texts)


def deletions(conn: Connection) -> int:
    """Return how often something was deleted: ids that were seen before may be gone since."""
    return next_id(conn, schema.deletion) - 1


def find_requests(conn: Connection, hashes: Iterable[bytes]) -> dict[bytes, KnownRequest]:
    """Return those of some requests that are stored, by hash; asked for in batches."""
    columns = ("id", "doc_id", "hashes_fit")
    return {
        hash_: KnownRequest(key, doc_id, None if fit is None else bool(fit))
        for hash_, key, doc_id, fit in find_rows(conn, schema.request, columns, hashes)
    }


def add_requests(
    conn: Connection,
    requests: Mapping[bytes, NewRequest],
    ids: Mapping[str, Mapping[bytes, int]],
) -> dict[bytes, KnownRequest]:
    """Store requests that `find_requests` did not find; return them by hash.

    Args:
        conn: inside `atomic()`, after `lock_content`.
        requests: hash → the request.
        ids: for "doc", "target" and "context", the ids of all that the requests name, by hash.
    """
    docs, targets, contexts = ids["doc"], ids["target"], ids["context"]
    rows, parts = [], []
    known = {}
    for key, (hash_, one) in enumerate(requests.items(), next_id(conn, schema.request)):
        doc_id = docs[one.doc]
        first = one.contexts[0] if one.contexts else None
        known[hash_] = KnownRequest(key, doc_id, one.hashes_fit)
        rows.append(
            (
                key,
                hash_,
                doc_id,
                targets[one.target],
                one.logged_doc_id,
                None if first is None else contexts[first],
                *one[4:],
            )
        )
        if one.contexts.count(first or b"") < len(one.contexts):  # mostly all are the first
            parts += [
                (key, index, contexts[context])
                for index, context in enumerate(one.contexts)
                if context != first
            ]
    write_rows(conn, schema.request, rows)
    write_rows(conn, schema.request_part, parts)
    return known
