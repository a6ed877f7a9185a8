"""Identity is checked: hashes derived again from what is stored, as scoring reads it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from itertools import groupby, product
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Table, func, select

from rescore_db import json_exact
from rescore_db.store import schema
from rescore_db.store.content import json_key, text_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Row, Select

    Write = Callable[[Any], str]

STREAMED: Final = {"yield_per": 200}  # rows in memory at a time; one may hold a megabyte

Checked = tuple[str, int, str | None]
"""Table, id, and what is wrong with the row or None."""

_WRONG: Final = "its hash is not that of its content"
_UNREADABLE: Final = "its JSON can't be read"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def orphans(conn: Connection) -> Iterator[tuple[str, str]]:
    """Look for rows that refer to nothing, in the tables that declare no foreign keys.

    Args:
        conn: a reading connection.

    Yields:
        A table, and what is wrong there; one item for each missing row that is referred to.
    """
    tables = schema.metadata.tables
    for name, references in schema.bulk_references.items():
        for column, parent in references.items():
            refers, known = tables[name].c[column], tables[parent].c.id
            is_known = select(known).where(known == refers).exists()
            query = (
                select(refers, func.count())
                .where(refers.is_not(None), ~is_known)
                .group_by(refers)
                .order_by(refers)
            )
            for missing, count in _streamed(conn, query):
                rows = "1 row refers" if count == 1 else f"{count} rows refer"
                yield name, f"{rows} to {parent} {missing}, which does not exist"


def checked_contents(conn: Connection) -> Iterator[Checked]:
    """Derive the hash of every doc, context, target, request and recipe again.

    Args:
        conn: a reading connection; rows are streamed, memory does not grow with the store.

    Yields:
        One item a row.
    """
    yield from _checked_docs(conn)
    for table in (schema.context, schema.target):
        yield from _checked_texts(conn, table)
    yield from _checked_requests(conn)
    for table in (schema.recipe, schema.named_recipe):
        yield from _checked_recipes(conn, table)


def _streamed(conn: Connection, query: Select[Any]) -> Iterator[Any]:
    return iter(conn.execute(query, execution_options=STREAMED))


def _checked_docs(conn: Connection) -> Iterator[Checked]:
    table = schema.doc
    for key, hash_, text in _streamed(conn, select(table.c.id, table.c.hash, table.c.text)):
        try:
            is_right = json_exact.doc_hash(json_exact.loads(text)) == hash_
        except ValueError as error:
            yield "doc", key, f"{_UNREADABLE}: {error}"
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


def _checked_recipes(conn: Connection, table: Table) -> Iterator[Checked]:
    columns = (table.c.id, table.c.hash, table.c.content_json)
    for key, hash_, content in _streamed(conn, select(*columns)):
        yield table.name, key, None if json_exact.text_hash(content) == hash_ else _WRONG


# -------------------------------------------------------------------------------------- requests


def _checked_requests(conn: Connection) -> Iterator[Checked]:
    for key, rows in groupby(_streamed(conn, _requests()), key=attrgetter("id")):
        try:
            wrong = _what_is_wrong(list(rows))
        except ValueError as error:
            yield "request", key, f"{_UNREADABLE}: {error}"
        else:
            yield "request", key, wrong


def _requests() -> Select[Any]:
    """Select requests with their contents, one row for each context but the first."""
    request, part = schema.request, schema.request_part
    doc, target, first = schema.doc, schema.target, schema.context.alias("first")
    other = schema.context.alias("other")
    return (
        select(
            request,
            doc.c.hash.label("doc_hash"),
            doc.c.text.label("doc"),
            *_labelled(target, "target"),
            *_labelled(first, "first"),
            part.c.index.label("part_index"),
            *_labelled(other, "other"),
        )
        .outerjoin_from(request, doc, doc.c.id == request.c.doc_id)
        .outerjoin(target, target.c.id == request.c.target_id)
        .outerjoin(first, first.c.id == request.c.context_id)
        .outerjoin(part, part.c.request_id == request.c.id)
        .outerjoin(other, other.c.id == part.c.context_id)
        .order_by(request.c.id, part.c.index)
    )


def _labelled(table: Any, name: str) -> list[Any]:  # noqa: ANN401 - a table or its alias
    columns = (table.c.is_json, table.c.text, table.c.exact)
    return [column.label(f"{name}_{column.name}") for column in columns]


def _content(row: Row[Any], name: str) -> Any:  # noqa: ANN401 - as logged
    """Return a context or target as logged."""
    is_json, text, exact = (getattr(row, f"{name}_{one}") for one in ("is_json", "text", "exact"))
    if text is None:
        msg = f"a content that it refers to is missing ({name})"
        raise ValueError(msg)
    return json_exact.loads(text) if is_json else json_exact.restored(text, exact)


@dataclass(frozen=True, slots=True)
class _Head:
    """What a request's hash is made of: the fields, and the hashes that lm-eval computes.

    `doc` and, unless it is a string, `target` are kept as they were written.
    """

    doc_id: int | None
    doc: str
    target: Any
    target_text: str | None
    arguments: Any
    hashes: tuple[bytes, bytes | None, bytes]


def _what_is_wrong(rows: list[Row[Any]]) -> str | None:
    """Compare a request's hashes with those of its contents; None where they agree."""
    row = rows[0]
    if row.doc is None:
        return "its doc is missing"
    arguments, prompt_hash = _arguments(rows)
    if prompt_hash != row.prompt_hash:
        return "its prompt's hash is not that of its prompt"
    target = _content(row, "target")
    if not row.hashes_fit:  # what was logged in their place is part of its hash, and not kept here
        return None
    head = _Head(
        row.logged_doc_id,
        row.doc,
        target,
        row.target_text if row.target_is_json else None,
        arguments,
        (row.doc_hash, prompt_hash, json_exact.text_hash(str(target))),
    )
    return None if any(key == row.hash for key in _keys(head)) else _WRONG


def _arguments(rows: list[Row[Any]]) -> tuple[Any, bytes | None]:
    """Put the logged `arguments` of a request together; return lm-eval's prompt hash, too."""
    row = rows[0]
    if row.exact is not None:
        return json_exact.loads(row.exact), None
    rests = json_exact.loads(row.rest_json)
    if not rests:
        return {}, None
    first = _content(row, "first")
    others = {one.part_index: _content(one, "other") for one in rows if one.part_index is not None}
    parts = {
        f"gen_args_{index}": {
            f"arg_{at}": value for at, value in enumerate((others.get(index, first), *rest))
        }
        for index, rest in enumerate(rests)
    }
    return parts, _prompt_hash(first)


def _prompt_hash(context: Any) -> bytes | None:  # noqa: ANN401 - as logged
    """Return lm-eval's hash of a prompt: a text, or the one text in its list."""
    match context:
        case str(prompt) | [str(prompt)]:
            return json_exact.text_hash(prompt)
    return None


def _compact(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _compact_ascii(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return json.dumps(value, separators=(",", ":"))


_SPELLINGS: Final[tuple[Write, ...]] = (
    json_exact.dumps,
    json_exact.escaped,
    _compact,
    _compact_ascii,
)
"""How logs are written: by lm-eval, and by those who wrote its lines again."""


def _keys(head: _Head) -> Iterator[bytes]:
    """Yield the hashes that a request may have, the likeliest first.

    A line may lack any of its hashes, and `doc_id`.
    """
    hashes = ["" if one is None else f'"{one.hex()}"' for one in head.hashes]
    logged = dict.fromkeys("\n".join(some) for some in product(*((one, "") for one in hashes)))
    doc_id = "" if head.doc_id is None else str(head.doc_id)
    for write, is_own in product(_SPELLINGS, (True, False)):
        doc = head.doc if is_own else write(json_exact.loads(head.doc))
        target = head.target_text if is_own and head.target_text else write(head.target)
        begin = (
            f'{{"doc_id": {doc_id}, "doc": {doc}, "target": {target}, '
            f'"arguments": {write(head.arguments)}'
        )
        whole = hashlib.sha256(_encoded(f"{begin}\n"))
        for tail in logged:
            key = whole.copy()
            key.update(tail.encode())
            yield key.digest()


def _encoded(text: str) -> bytes:
    """Encode JSON text; UTF-8 holds no lone surrogates, so they are escapes in every log."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(lambda one: f"\\u{ord(one[0]):04x}", text).encode()
