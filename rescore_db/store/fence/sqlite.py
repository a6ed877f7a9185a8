"""Users' SQL in SQLite: a connection that can't write, an authorizer, and a clock."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from rescore_db.store import sqlite
from rescore_db.store.fence.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from rescore_db.store.fence.refused import Answer

STEPS: Final = 5000  # of SQLite's virtual machine between two looks at the clock
MAX_VALUE_BYTES: Final = 300_000_000  # the longest line that is read has 256 MB
_BUSY_MILLISECONDS: Final = 10_000

# SQLite's number for a recursive query, which Python's module does not name.
_RECURSIVE: Final = 33
_ALLOWED: Final = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, _RECURSIVE)
)
_FORBIDDEN_FUNCTIONS: Final = frozenset(("load_extension", "fts3_tokenizer", "sqlite_log"))

# What the statement is to blame for; anything else (locked, damaged, unreadable) is the store.
_OF_STATEMENT: Final = frozenset(
    (
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_RANGE,
    )
)
_UNKNOWN_TABLE: Final = re.compile(r"no such table: (\S+)")
_UNKNOWN_COLUMN: Final = re.compile(r"no such column: (\S+)")


def run(engine: Engine, query: str, *, max_rows: int, seconds: float) -> Answer:
    """Run a query on a connection of its own; raises sqlite3.Error."""
    # A pooled connection that is open until the end removes what SQLite keeps beside a store.
    with engine.connect() as keeper:
        keeper.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        with closing(_open(engine)) as conn, _clock(conn, seconds):
            cursor = conn.execute(query)
            names = tuple(column[0] for column in cursor.description or ())
            return names, cursor.fetchmany(max_rows + 1)


def _open(engine: Engine) -> sqlite3.Connection:
    path = sqlite.file_of(engine.url)
    log = path.with_name(f"{path.name}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    # Where nothing can be written, SQLite can't make the files that it shares with writers.
    mode = "mode=ro" if has_log or sqlite.is_writable(path) else "immutable=1"
    conn = sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, isolation_level=None)
    conn.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    conn.execute("PRAGMA query_only = ON")
    # Table functions declare themselves at their first use, which the authorizer would forbid.
    conn.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')")
    conn.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    conn.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    conn.text_factory = _text
    conn.set_authorizer(_authorize)
    return conn


def _text(raw: bytes) -> str:
    """Return a text; a query can make some that are not UTF-8."""
    return raw.decode("utf-8", "replace")


def _authorize(action: int, _one: str | None, two: str | None, *_: str | None) -> int:
    if action not in _ALLOWED:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and two in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


@contextmanager
def limited(conn: Connection, seconds: float) -> Iterator[None]:
    """Let a connection only read, and only for so long."""
    driver: Any = conn.connection.driver_connection
    with _clock(driver, seconds):
        driver.set_authorizer(_authorize)
        try:
            yield
        finally:
            driver.set_authorizer(None)


@contextmanager
def _clock(conn: sqlite3.Connection, seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    conn.set_progress_handler(lambda: time.monotonic() > end, STEPS)
    try:
        yield
    except Exception as error:
        # Ctrl-C in the handler stops the statement, and sqlite3 swallows the KeyboardInterrupt.
        if _was_interrupted(error) and time.monotonic() <= end:
            raise KeyboardInterrupt from error
        raise
    finally:
        conn.set_progress_handler(None, 0)


def _was_interrupted(error: Exception) -> bool:
    driver_error = getattr(error, "orig", error)
    return getattr(driver_error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT


def refused(error: BaseException | None, seconds: float) -> Refused | None:
    """Return why a statement failed, None when it is not to blame."""
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # the module's own: several statements, parameters
        return Refused(str(error)) if isinstance(error, sqlite3.ProgrammingError) else None
    if code & 0xFF not in _OF_STATEMENT:
        return None
    if code == sqlite3.SQLITE_INTERRUPT:
        return Refused(f"it took longer than {seconds:g} s and was stopped")
    message = str(error)
    if code & 0xFF in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY) or "authoriz" in message:
        return Refused(f"only reading is allowed ({message})")
    return Refused(
        message,
        unknown_table=match[1] if (match := _UNKNOWN_TABLE.match(message)) else None,
        unknown_column=match[1] if (match := _UNKNOWN_COLUMN.match(message)) else None,
    )
