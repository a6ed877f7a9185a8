"""SQLite: one file, its pages, and the write-ahead log beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError

from rescore_db.errors import StoreUnusableError
from rescore_db.records import StoreInfo, TableSpace
from rescore_db.store import schema
from rescore_db.store.sqlite import beside, file_of

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

PATIENCE: Final = 2000  # milliseconds to wait for others before a vacuum is called off
STATEMENTS: Final = ("PRAGMA analysis_limit = 1000", "ANALYZE", "VACUUM")
_IN_USE: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

# A table with row ids has its rows in the leaves alone, one without in all of its tree.
_PAGES: Final = """
SELECT m.tbl_name, m.type = 'index', sum(s.pgsize),
       sum(CASE WHEN s.pagetype = 'leaf' OR t.wr AND s.pagetype = 'internal' THEN s.ncell
                ELSE 0 END)
FROM dbstat s
JOIN sqlite_master m ON m.name = s.name
JOIN pragma_table_list t ON t.schema = 'main' AND t.name = m.tbl_name
GROUP BY m.tbl_name, m.type = 'index'
"""


def measured(conn: Connection) -> StoreInfo:
    """Return where the bytes are; a library without `dbstat` tells rows only."""
    path = file_of(conn.engine.url)
    (page_bytes,) = conn.exec_driver_sql("PRAGMA page_size").one()
    (free,) = conn.exec_driver_sql("PRAGMA freelist_count").one()
    return StoreInfo(
        url="",
        database=f"SQLite {sqlite3.sqlite_version}",
        revision="",
        bytes=_size(path),
        log_bytes=_size(beside(path, "-wal")),
        free_bytes=free * page_bytes,
        page_bytes=page_bytes,
        tables=tuple(_by_pages(conn) if knows_pages(conn) else _by_rows(conn)),
    )


def knows_pages(conn: Connection) -> bool:
    """Answer whether the library has the table `dbstat`, which not every build has."""
    query = "SELECT count(*) FROM pragma_module_list WHERE name = 'dbstat'"
    return bool(conn.exec_driver_sql(query).scalar())


def _by_pages(conn: Connection) -> list[TableSpace]:
    names = set(schema.metadata.tables)
    rows: dict[str, int] = {}
    sizes: dict[tuple[str, bool], int] = {}
    for table, is_index, size, cells in conn.exec_driver_sql(_PAGES):
        sizes[table, bool(is_index)] = size
        if not is_index:
            rows[table] = cells
    return [
        TableSpace(name, rows[name], sizes[name, False], sizes.get((name, True), 0))
        for name in rows
        if name in names
    ]


def _by_rows(conn: Connection) -> list[TableSpace]:
    count = 'SELECT count(*) FROM "{}"'
    return [
        TableSpace(name, conn.exec_driver_sql(count.format(name)).scalar_one(), None, None)
        for name in schema.metadata.tables
    ]


def on_disk(engine: Engine) -> int:
    """Return the bytes of the file and of its write-ahead log."""
    path = file_of(engine.url)
    return _size(path) + _size(beside(path, "-wal"))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def vacuum(engine: Engine) -> list[str]:
    """Write the file anew without free pages, and empty the log.

    Raises:
        DBAPIError: it failed: the disk is full.
        StoreUnusableError: somebody else uses the store.
    """
    path = file_of(engine.url)
    with closing(engine.raw_connection()) as raw:
        conn: sqlite3.Connection = raw.driver_connection  # type: ignore[assignment]
        conn.execute(f"PRAGMA busy_timeout = {PATIENCE}")
        if _checkpoint_is_kept_back(conn):
            raise _in_use(path)
        for statement in STATEMENTS:
            try:
                conn.execute(statement)
            except sqlite3.Error as error:
                if (error.sqlite_errorcode or 0) & 0xFF in _IN_USE:
                    raise _in_use(path) from error
                raise DBAPIError.instance(statement, None, error, sqlite3.Error) from error
        if _checkpoint_is_kept_back(conn):
            return ["somebody reads the store: its file shrinks once they have ended"]
    return []


def _checkpoint_is_kept_back(conn: sqlite3.Connection) -> bool:
    """Bring the log into the file and empty it; answer whether somebody else prevents that."""
    is_busy, _, _ = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return bool(is_busy)


def _in_use(path: Path) -> StoreUnusableError:
    return StoreUnusableError(
        f"somebody else uses the store {path}, so it can't be written anew: "
        "run this again when they have ended"
    )
