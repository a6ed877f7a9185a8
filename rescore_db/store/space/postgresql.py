"""PostgreSQL: tables with their TOAST, their indexes, and what is dead in them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import psycopg
from sqlalchemy.exc import OperationalError

from rescore_db.errors import StoreUnusableError
from rescore_db.records import StoreInfo, TableSpace
from rescore_db.store import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

PATIENCE: Final = "5s"  # to wait for a lock before a vacuum is called off

_SIZES: Final = """
SELECT c.relname::text, pg_table_size(c.oid), pg_indexes_size(c.oid)
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
"""

_OTHERS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
  AND backend_type = 'client backend'
"""


def measured(conn: Connection) -> StoreInfo:
    """Return where the bytes are."""
    (version,) = conn.exec_driver_sql("SELECT current_setting('server_version')").one()
    (page_bytes,) = conn.exec_driver_sql("SELECT current_setting('block_size')::int").one()
    sizes = {name: found for name, *found in conn.exec_driver_sql(_SIZES)}
    tables = [
        TableSpace(name, conn.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one(), *size)  # noqa: S608 - ours
        for name in schema.metadata.tables
        if (size := sizes.get(name)) is not None
    ]
    return StoreInfo(
        url="",
        database=f"PostgreSQL {version.split()[0]}",
        revision="",
        bytes=sum((one.bytes or 0) + (one.index_bytes or 0) for one in tables),
        log_bytes=None,
        free_bytes=None,
        page_bytes=page_bytes,
        tables=tuple(tables),
    )


def on_disk(engine: Engine) -> int:
    """Return the bytes of all tables and indexes.

    Raises:
        StoreUnusableError: somebody else has locked a table.
    """
    with _impatient(engine) as conn:
        sizes = {name: sum(found) for name, *found in conn.exec_driver_sql(_SIZES)}
    return sum(size for name, size in sizes.items() if name in schema.metadata.tables)


def vacuum(engine: Engine) -> list[str]:
    """Make the room of dead rows free for new ones, table by table.

    Raises:
        DBAPIError: it failed.
        StoreUnusableError: somebody else has locked a table.
    """
    with _impatient(engine) as conn:
        others = conn.exec_driver_sql(_OTHERS).scalar_one()
        for name in schema.metadata.tables:
            conn.exec_driver_sql(f'VACUUM (ANALYZE) "{name}"')
    notes = ["the database keeps the room that became free for rows to come"]
    if others:
        notes.append("somebody else uses the store: rows that they may still see were left")
    return notes


@contextmanager
def _impatient(engine: Engine) -> Iterator[Connection]:
    """Open a connection without a transaction that waits for no lock for long."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql(f"SET lock_timeout = '{PATIENCE}'")
        try:
            yield conn
        except OperationalError as error:
            if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
                raise
            msg = (
                "somebody else has locked a table of the store, as a migration or another vacuum "
                "does: run this again when they have ended"
            )
            raise StoreUnusableError(msg) from error
