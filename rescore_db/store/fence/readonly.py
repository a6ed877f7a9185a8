"""Users' SQL, fenced by the database: it reads, one statement at a time, and not for ever."""

from __future__ import annotations

import difflib
import re
import sqlite3
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Protocol

import psycopg
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError

from rescore_db.errors import BadSqlError, StoreUnusableError, UsageError
from rescore_db.json_exact import UNSTORABLE
from rescore_db.records import SqlResult
from rescore_db.store.engine import backend, reading, reason, safe_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Engine

    from rescore_db.store.fence.refused import Answer, Refused

# Blanks and comments, then the word that every query which reads begins with.
_READS: Final = re.compile(
    r"(?:\s|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/|\()*(?:select|with|values|table|explain)\b",
    re.IGNORECASE,
)
_NEAR: Final = 0.6  # how alike a name must be to be suggested


class Fence(Protocol):
    """What the two databases do differently; `sqlite` and `postgresql` here."""

    def run(self, engine: Engine, query: str, *, max_rows: int, seconds: float) -> Answer:
        """Run a query where it can't write; raises one of `_ERRORS`, or BadSqlError."""

    def limited(self, conn: Connection, seconds: float) -> AbstractContextManager[None]:
        """Stop what runs on a connection after so long."""

    def refused(self, error: BaseException | None, seconds: float) -> Refused | None:
        """Return why a statement failed, None when it is not to blame."""


_ERRORS: Final = (sqlite3.Error, psycopg.Error)


def run_sql(engine: Engine, query: str, *, max_rows: int, seconds: float) -> SqlResult:
    """Run one query of a user's, in the database's own SQL.

    Args:
        engine: a store.
        query: SELECT, WITH, VALUES, TABLE or EXPLAIN.
        max_rows: return no more than so many; the result says whether there were more.
        seconds: stop after so long.

    Returns:
        Rows of plain values: bytes as hex, decimals as float or int, JSONB as Python values,
        dates and times as ISO text.

    Raises:
        BadSqlError: it does more than read, is more than one statement, fails, takes too long.
        UsageError: a limit that is not positive.
        StoreUnusableError: the database failed.
    """
    if max_rows < 1 or not seconds > 0:
        msg = "the limits on rows and seconds must be positive"
        raise UsageError(msg)
    text = query.strip().rstrip(";").rstrip()
    if UNSTORABLE.search(text) or not _READS.match(text):
        msg = "the query can't be run: it must begin with SELECT, WITH, VALUES, TABLE or EXPLAIN"
        raise BadSqlError(msg)
    fence = backend(engine).fence()
    try:
        names, rows = fence.run(engine, text, max_rows=max_rows, seconds=seconds)
    except _ERRORS as error:
        refused = fence.refused(error, seconds)
        if refused is None:
            msg = f"the store {safe_url(engine.url)} can't be used: {reason(error, engine.url)}"
            raise StoreUnusableError(msg) from error
        msg = f"the query can't be run: {refused.message}{_hint(engine, refused)}"
        raise BadSqlError(msg) from error
    shown = tuple(tuple(map(_plain, row)) for row in rows[:max_rows])
    return SqlResult(names, shown, truncated=len(rows) > max_rows)


@contextmanager
def fenced(conn: Connection, seconds: float) -> Iterator[None]:
    """Run statements that hold a user's condition: they can't write, and not for ever.

    Raises:
        BadSqlError: the condition fails or takes too long.
    """
    fence = backend(conn).fence()
    try:
        with fence.limited(conn, seconds):
            yield
    except DBAPIError as error:
        refused = fence.refused(error.orig, seconds)
        if refused is None:
            raise
        msg = f"the condition can't be run: {refused.message}"
        raise BadSqlError(msg) from error


def _hint(engine: Engine, refused: Refused) -> str:
    """Return what a view or column that is not known may have been meant to be."""
    unknown = refused.unknown_table or refused.unknown_column
    if unknown is None:
        return ""
    with reading(engine) as conn:
        inspector = inspect(conn)
        views = sorted(inspector.get_view_names())
        columns = {str(column["name"]) for view in views for column in inspector.get_columns(view)}
    known = views if refused.unknown_table else sorted(columns)
    name = unknown.rpartition(".")[2].strip('"').lower()
    near = difflib.get_close_matches(name, known, n=2, cutoff=_NEAR)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; the views are {', '.join(views)}"


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a database has
    """Return a value as JSON and tables can show it."""
    if value is None or isinstance(value, str | bool | int | float | dict):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return int(value) if isinstance(exponent, int) and exponent >= 0 else float(value)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
