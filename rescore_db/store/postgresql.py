"""What PostgreSQL does in its own way."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.types.json import set_json_dumps
from sqlalchemy import Connection, Engine, Table, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from rescore_db.errors import StoreUnusableError
from rescore_db.store.found import Found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import URL

    from rescore_db.store.conditions.values import Dialect
    from rescore_db.store.fence.readonly import Fence
    from rescore_db.store.space import Space

OLDEST: Final = 140000  # 14, as server_version_num
CREATED_ON_OPEN: Final = False  # a database may be empty because the URL is wrong
CONNECT_SECONDS: Final = 10
LOCK_TIMEOUT: Final = "60s"  # a migration that waits longer would stall everybody behind it

# Any two numbers will do, as long as they never change; advisory locks are per database.
_MIGRATION_LOCK: Final = 0x7265_7363_0001
_CONTENT_LOCK: Final = 0x7265_7363_0002


def build(url: URL, *, write: bool) -> Engine:
    """Return an engine; the server is reached at its first connection."""
    given = {key.lower() for key in url.query}
    defaults = {"connect_timeout": CONNECT_SECONDS, "application_name": "rescore"}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        connect_args={key: value for key, value in defaults.items() if key not in given},
    )
    return engine if write else engine.execution_options(postgresql_readonly=True)


def missing(_url: URL, shown: str) -> str:
    """Say that there is no store yet, and how to make one."""
    return f"the database {shown} is empty; run: rescore db init --db '{shown}'"


_LOOK: Final = """
SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
       current_schema(),
       array(SELECT c.relname::text FROM pg_class c
             WHERE c.relnamespace = current_schema()::regnamespace
               AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'))
"""


def look(engine: Engine) -> Found:
    """Read the revision and the names of the tables in the current schema.

    Raises:
        StoreUnusableError: the server is too old, or the database can't hold every text.
    """
    with engine.connect() as conn:
        version, encoding, schema, tables = conn.exec_driver_sql(_LOOK).one()
        if version < OLDEST:
            msg = f"PostgreSQL {version // 10000} is too old; 14 or newer is needed"
            raise StoreUnusableError(msg)
        if encoding != "UTF8":
            msg = f"the database's encoding is {encoding}; a store needs UTF8"
            raise StoreUnusableError(msg)
        if schema is None:
            msg = "no schema of the database's search_path exists"
            raise StoreUnusableError(msg)
        if "alembic_version" not in tables:
            return Found(None, frozenset(tables))
        revision = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return Found(revision, frozenset(tables))


@contextmanager
def migrating(url: URL) -> Iterator[Connection]:
    """Open the one transaction in which migrations run, alone.

    The advisory lock comes first: `lock_timeout` would cut the wait for it, too.

    Raises:
        DBAPIError: the database failed.
    """
    engine = build(url, write=True)
    try:
        with engine.begin() as conn:
            conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            conn.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            yield conn
    finally:
        engine.dispose()


def reader_options() -> Mapping[str, Any]:
    """Return the options of a connection that reads one snapshot, as a reader in SQLite does."""
    return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def is_duplicate(error: IntegrityError) -> bool:
    """Answer whether a unique or primary key was taken."""
    return isinstance(error.orig, psycopg.errors.UniqueViolation)


def is_denied(error: DBAPIError) -> bool:
    """Answer whether the user lacks a right."""
    return isinstance(error.orig, psycopg.errors.InsufficientPrivilege)


def write_rows(
    conn: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """Insert tuples by binary COPY, which reads them one by one; return how many."""
    quote = conn.dialect.identifier_preparer.quote
    names = ", ".join(quote(name) for name in columns)
    statement = f"COPY {quote(table.name)} ({names}) FROM STDIN (FORMAT BINARY)"
    types = [table.c[name].type.compile(conn.dialect).lower() for name in columns]
    written = 0
    driver: psycopg.Connection = conn.connection.driver_connection  # type: ignore[assignment]
    with driver.cursor() as cursor:
        set_json_dumps(_as_it_is, cursor)
        try:
            with cursor.copy(statement) as copy:
                copy.set_types(types)
                for row in rows:
                    copy.write_row(row)
                    written += 1
        except psycopg.Error as error:
            raise DBAPIError.instance(
                statement, None, error, psycopg.Error, hide_parameters=True, dialect=conn.dialect
            ) from error
    return written


def write_missing(
    conn: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """Insert those tuples whose hash the table lacks; return how many.  COPY takes no conflict."""
    at = columns.index("hash")
    new = {row[at]: row for row in rows}
    for (hash_,) in find_rows(conn, table.name, (), list(new)):
        del new[bytes(hash_)]
    return write_rows(conn, table, columns, new.values())


def _as_it_is(json: str) -> str:
    """Take JSON text for a JSONB column as the text it already is."""
    return json


def find_rows(
    conn: Connection, table: str, columns: Sequence[str], hashes: Sequence[bytes]
) -> Sequence[Sequence[Any]]:
    """Return (hash, *columns) of those hashes that a table holds."""
    query = f"SELECT {', '.join(('hash', *columns))} FROM {table} WHERE hash = ANY(%s)"  # noqa: S608
    return conn.exec_driver_sql(query, (list(hashes),)).all()


def lock_content(conn: Connection) -> None:
    """Wait until no other transaction writes content; the lock ends with the transaction."""
    conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_CONTENT_LOCK})")


_DDL: Final = """
SELECT 'column ' || c.relname || '.' || a.attname,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod),
                 CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity::text, ''),
                 nullif(a.attgenerated::text, ''), nullif(a.attcompression::text, ''), a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
UNION ALL
SELECT 'constraint ' || r.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class r ON r.oid = k.conrelid
WHERE k.connamespace = current_schema()::regnamespace AND k.contype <> 'n'
UNION ALL
SELECT 'index ' || indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()
UNION ALL
SELECT 'view ' || c.relname, pg_get_viewdef(c.oid) FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'v'
UNION ALL
SELECT 'function ' || p.proname, pg_get_functiondef(p.oid) FROM pg_proc p
WHERE p.pronamespace = current_schema()::regnamespace AND p.prokind = 'f'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


def ddl(conn: Connection) -> dict[str, str]:
    """Return the catalogue's text of each object of the current schema, by kind and name."""
    schema = conn.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    rows = conn.execute(text(_DDL.replace(":", r"\:")))
    return {name: definition.replace(f"{schema}.", "") for name, definition in rows}


@contextmanager
def scratch(conn: Connection) -> Iterator[Connection]:
    """Open an empty schema in a transaction of its own, which is rolled back at the end."""
    with conn.engine.connect() as fresh:
        other = fresh.execution_options(postgresql_readonly=False)
        with other.begin() as transaction:
            other.exec_driver_sql("CREATE SCHEMA rescore_scratch")
            other.exec_driver_sql("SET LOCAL search_path TO rescore_scratch")
            yield other
            transaction.rollback()


def refresh_statistics(conn: Connection) -> None:
    """Let the planner know how large the tables are, before the server gets round to it."""
    for table in _SMALL:
        conn.exec_driver_sql(f"ANALYZE {table}")


# Joins begin at these; the large tables are left to the server.
_SMALL: Final = (
    "run",
    "task",
    "evaluation",
    "scoring",
    "scored_evaluation",
    "scored_filter",
    "aggregate",
)


def damages(_conn: Connection) -> Iterator[tuple[str, str]]:
    """Yield nothing: the server looks after its own files (checksums, `pg_amcheck`)."""
    yield from ()


def conditions() -> Dialect:
    """Return how users' conditions are written in PostgreSQL."""
    from rescore_db.store.conditions import postgresql

    return postgresql


def fence() -> Fence:
    """Return what fences users' SQL in PostgreSQL."""
    from rescore_db.store.fence import postgresql

    return postgresql


def space() -> Space:
    """Return what knows where PostgreSQL's bytes are."""
    from rescore_db.store.space import postgresql

    return postgresql
