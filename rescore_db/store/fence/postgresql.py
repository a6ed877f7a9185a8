"""Users' SQL in PostgreSQL: a cursor in a read-only transaction, and a clock.

DECLARE CURSOR takes exactly one statement, and only one that reads; the transaction refuses what
would write all the same.  What reads more than the store (files, other databases, the catalogue
with its passwords) or changes the session does so through functions, so the words of a query are
held against the functions that the database itself calls volatile.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.adapt import Loader
from psycopg.types.string import TextLoader

from rescore_db.errors import BadSqlError
from rescore_db.store.engine import reading
from rescore_db.store.fence.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.abc import AdaptContext, Buffer
    from sqlalchemy import Connection, Engine

    from rescore_db.store.fence.refused import Answer

_CURSOR: Final = "rescore_query"
_EXPLAIN: Final = re.compile(
    r"explain\s*(?:\([^()]*\)|(?:analyze\b)?\s*(?:verbose\b)?)", re.IGNORECASE
)
_WORD: Final = re.compile(r"[^\W\d][\w$]*")

# Volatile, yet they read and change nothing; the last two are sampling methods.
_HARMLESS: Final = frozenset(
    (
        *("array_sample", "array_shuffle", "random", "random_normal", "pg_sleep"),
        *("clock_timestamp", "timeofday", "gen_random_uuid", "uuidv4", "uuidv7"),
        *("bernoulli", "system"),
    )
)
_CATALOGUE: Final = re.compile(
    r"_?pg_(?!catalog$|column_size$|input_is_valid$|size_pretty$|sleep$|typeof$).*"
    r"|information_schema|current_setting|\w+_to_xml\w*"
)
# A word written by its code points would not be seen: U&"\0070g_read_file".
_ESCAPED_WORD: Final = re.compile(r'u&"', re.IGNORECASE)

_OF_STATEMENT: Final = ("0A", "08P01", "21", "22", "24", "25006", "2F", "34", "38", "39", "3F",
                        "42", "44", "53", "54", "57014", "P0")  # fmt: skip
_UNKNOWN: Final = re.compile(r'(?:relation|column) "?([^"\s]+)"? does not exist')
_SEVERAL: Final = "cannot insert multiple commands"


def run(engine: Engine, query: str, *, max_rows: int, seconds: float) -> Answer:
    """Run a query on a connection of the engine; raises psycopg.Error.

    Raises:
        BadSqlError: the query names what it may not use.
    """
    with reading(engine) as conn:
        conn.exec_driver_sql(f"SET LOCAL statement_timeout = {_milliseconds(seconds)}")
        _refuse_words(conn, query)
        driver: Any = conn.connection.driver_connection
        try:
            return _run(driver, query, max_rows)
        finally:
            driver.rollback()  # whatever it was, nothing of it stays


def _run(driver: psycopg.Connection[Any], query: str, max_rows: int) -> Answer:
    explained = _EXPLAIN.match(query)
    with driver.cursor(name=_CURSOR) as declared:
        _load_all_moments(declared)
        # A read-only transaction lets EXPLAIN ANALYZE CREATE TABLE AS make a table: what is
        # explained must be a query that can be declared, too.
        declared.execute(query[explained.end() :] if explained else query)
        if not explained:
            return _fetch(declared, max_rows)
    with driver.cursor() as plain:
        plain.execute(query, prepare=True)
        return _fetch(plain, max_rows)


class _Moment(Loader):
    """Loads a date or time, as its text where Python has none such: infinity, BC, 24:00."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        standard = psycopg.adapters.get_loader(oid, self.format)
        if standard is None:
            msg = f"psycopg knows no type {oid}"
            raise TypeError(msg)
        self._standard = standard(oid, context)

    def load(self, data: Buffer) -> Any:  # noqa: ANN401 - a date, a time, or a text
        try:
            return self._standard.load(data)
        except (psycopg.DataError, NotImplementedError):
            return bytes(data).decode()


def _load_all_moments(cursor: psycopg.ServerCursor[Any]) -> None:
    """Let no date, time or interval that the database has fail a query."""
    for name in ("date", "time", "timetz", "timestamp", "timestamptz"):
        cursor.adapters.register_loader(name, _Moment)
    cursor.adapters.register_loader("interval", TextLoader)  # a month is no number of days


def _fetch(cursor: psycopg.Cursor[Any] | psycopg.ServerCursor[Any], max_rows: int) -> Answer:
    names = tuple(column.name for column in cursor.description or ())
    return names, cursor.fetchmany(max_rows + 1)


def _milliseconds(seconds: float) -> int:
    return max(1, min(round(seconds * 1000), 2**31 - 1))


def _refuse_words(conn: Connection, query: str) -> None:
    """Refuse a query that names a function or a table that it may not use.

    The query is not parsed: a word is refused wherever it stands, in quotes or in a comment too.
    """
    if _ESCAPED_WORD.search(query):
        msg = 'the query can\'t be run: names written as U&"…" are not allowed'
        raise BadSqlError(msg)
    volatile = conn.exec_driver_sql("SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v'")
    forbidden = set(volatile.scalars()) - _HARMLESS
    for word in _WORD.findall(query):
        # Unquoted words are read in lower case; names longer than 63 bytes are cut.
        name = word.lower().encode()[:63].decode(errors="ignore")
        if name in forbidden or word in forbidden or _CATALOGUE.fullmatch(name):
            msg = (
                f"the query can't be run: {word!r} is not allowed, anywhere in it; queries read "
                "the store's own views, and can't reach what lies around them"
            )
            raise BadSqlError(msg)


@contextmanager
def limited(conn: Connection, seconds: float) -> Iterator[None]:
    """Stop what runs inside after so long; a failure leaves the transaction usable."""
    before = conn.exec_driver_sql("SELECT current_setting('statement_timeout')").scalar_one()
    with conn.begin_nested():
        conn.exec_driver_sql(f"SET LOCAL statement_timeout = {_milliseconds(seconds)}")
        yield
        conn.exec_driver_sql(f"SET LOCAL statement_timeout = '{before}'")


def refused(error: BaseException | None, seconds: float) -> Refused | None:
    """Return why a statement failed, None when it is not to blame."""
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate is None:  # psycopg's own: a date beyond year 9999
        is_data = isinstance(error, psycopg.DataError)
        return Refused(" ".join(str(error).split())) if is_data else None
    return _refused(error, seconds) if error.sqlstate.startswith(_OF_STATEMENT) else None


def _refused(error: psycopg.Error, seconds: float) -> Refused:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return Refused(f"it took longer than {seconds:g} s and was stopped")
    message = " ".join(str(error.diag.message_primary).split())
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return Refused(f"only reading is allowed ({message})")
    if message.startswith(_SEVERAL):
        return Refused("only one statement at a time can be run")
    match = _UNKNOWN.match(message)
    name = match[1] if match else None
    is_table = isinstance(error, psycopg.errors.UndefinedTable)
    return Refused(message, name, None) if is_table else Refused(message, None, name)
