"""Many rows at once, and single ones where an evaluation needs a dozen.

SQLAlchemy's `insert(dicts)` takes seven times as long, its ORM seventy: fine for a row, never for
rows.  Everything here runs inside the caller's transaction.
"""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BindParameter, Update, bindparam

from rescore_db.store.engine import backend

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.sql.dml import ReturningInsert

BATCH: Final = 500  # hashes in one question
_KEY: Final = "row_id"  # a parameter's name, which no column may have


def write_rows(
    conn: Connection,
    table: Table,
    rows: Iterable[Sequence[Any]],
    columns: Sequence[str] | None = None,
) -> int:
    """Insert rows as they come from an iterator, in constant memory.

    Args:
        conn: inside a transaction that its owner rolls back when this raises.
        table: one of `schema`'s.
        rows: tuples in the order of `columns`; a JSONB column takes JSON text.
        columns: names; all of the table's, in its order, unless given.

    Returns:
        How many rows were written.

    Raises:
        DBAPIError: what `atomic()` turns into our errors.
        RuntimeError: outside a transaction.
    """
    _require_transaction(conn)
    names = [column.name for column in table.columns] if columns is None else list(columns)
    return backend(conn).write_rows(conn, table, names, rows)


def add_rows(conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Insert rows whose ids the database assigns; return the ids, in the rows' order.

    Args:
        conn: inside a transaction that its owner rolls back when this raises.
        table: one with a column `id`.
        rows: column → value; all with the same columns.
    """
    if not rows:
        return []
    return [int(key) for key in conn.scalars(_insert(table), list(rows))]


@cache
def _insert(table: Table) -> ReturningInsert[int]:
    """Return the statement; making it anew takes longer than what it does."""
    return table.insert().returning(table.c.id, sort_by_parameter_order=True)


def set_rows(conn: Connection, table: Table, rows: Mapping[int, Mapping[str, Any]]) -> None:
    """Change rows that exist.

    Args:
        conn: inside a transaction that its owner rolls back when this raises.
        table: one with a column `id`.
        rows: id → column → value; all with the same columns.
    """
    for columns in {tuple(row) for row in rows.values()}:
        conn.execute(_update(table, columns), [{_KEY: key, **row} for key, row in rows.items()])


@cache
def _update(table: Table, columns: tuple[str, ...]) -> Update:
    values: dict[str, BindParameter[Any]] = {name: bindparam(name) for name in columns}
    return table.update().where(table.c.id == bindparam(_KEY)).values(values)


def add_contents(
    conn: Connection, table: Table, contents: Mapping[bytes, Sequence[Any]]
) -> dict[bytes, int]:
    """Return the ids of contents by hash, stored where they are new.

    Args:
        conn: inside `atomic()`, after `lock_content`.
        table: one whose first columns are `id` and `hash`.
        contents: SHA-256, 32 bytes each → the other columns; some thousand at most.
    """
    if not contents:
        return {}
    first = next_id(conn, table)
    names = [column.name for column in table.columns]
    rows = ((key, hash_, *columns) for key, (hash_, columns) in enumerate(contents.items(), first))
    if backend(conn).write_missing(conn, table, names, rows) == len(contents):
        return {hash_: key for key, hash_ in enumerate(contents, first)}
    return find_ids(conn, table, contents)


def find_rows(
    conn: Connection, table: Table, columns: Sequence[str], hashes: Iterable[bytes]
) -> Iterator[Sequence[Any]]:
    """Yield (hash, *columns) of those hashes that a content table holds.

    Args:
        conn: any connection.
        table: one with the column `hash`.
        columns: what to return of each row.
        hashes: SHA-256, 32 bytes each; asked for in batches.
    """
    find = backend(conn).find_rows
    left = iter(hashes)
    while batch := list(islice(left, BATCH)):
        yield from find(conn, table.name, columns, batch)


def find_ids(conn: Connection, table: Table, hashes: Iterable[bytes]) -> dict[bytes, int]:
    """Return the ids of those hashes that a content table holds, by hash."""
    return dict(find_rows(conn, table, ("id",), hashes))  # type: ignore[arg-type]  # pairs


def next_id(conn: Connection, table: Table) -> int:
    """Return the first free id of a content table; safe between `lock_content` and the end."""
    query = f"SELECT coalesce(max(id), 0) + 1 FROM {table.name}"  # noqa: S608
    return int(conn.exec_driver_sql(query).scalar_one())


def lock_content(conn: Connection) -> None:
    """Wait until this transaction is the only one that writes content tables.

    Ids and the absence of hashes that are read after this hold until the transaction ends.

    Raises:
        RuntimeError: outside a transaction.
    """
    _require_transaction(conn)
    backend(conn).lock_content(conn)


def refresh_statistics(conn: Connection) -> None:
    """Let the database's planner know how large the tables have become; takes milliseconds.

    Belongs at the end of what writes much: without it, SQLite takes every table for large.

    Raises:
        RuntimeError: outside a transaction.
    """
    _require_transaction(conn)
    backend(conn).refresh_statistics(conn)


def _require_transaction(conn: Connection) -> None:
    if not conn.in_transaction():
        msg = "bulk writes belong inside atomic()"
        raise RuntimeError(msg)
