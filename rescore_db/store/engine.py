"""Opening a store, and the threshold where a driver's errors become ours.

A store is opened only when it is at the schema revision that this version writes.  Everything
else (nothing there, somebody else's database, an older or a newer store) is one message.
"""

from __future__ import annotations

import importlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, cast

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)

from rescore_db.errors import AlreadyExistsError, StoreUnusableError
from rescore_db.masking import masked, masked_url
from rescore_db.store.found import HEAD, REVISIONS, Found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from sqlalchemy import URL, Table

    from rescore_db.store.conditions.values import Dialect
    from rescore_db.store.fence.readonly import Fence
    from rescore_db.store.space import Space


class Backend(Protocol):
    """What the two databases do differently; `sqlite` and `postgresql` are the implementations."""

    @property
    def CREATED_ON_OPEN(self) -> bool:  # noqa: N802 - a module's constant
        """Whether opening a store for writing makes it where there is none."""

    def build(self, url: URL, *, write: bool) -> Engine:
        """Return an engine for an address; nothing is touched yet."""

    def look(self, engine: Engine) -> Found:
        """Return what lies at the engine's address, without changing it."""

    def migrating(self, url: URL) -> AbstractContextManager[Connection]:
        """Open the one transaction in which migrations run, alone; commits at the end."""

    def missing(self, url: URL, shown: str) -> str:
        """Say that there is no store yet, and how to make one; `shown` is the URL for people."""

    def reader_options(self) -> Mapping[str, Any]:
        """Return the execution options of a connection that only reads one snapshot."""

    def is_duplicate(self, error: IntegrityError) -> bool:
        """Answer whether a unique or primary key was taken."""

    def is_denied(self, error: DBAPIError) -> bool:
        """Answer whether the user lacks a right, which is no bug of ours."""

    def write_rows(
        self, conn: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> int:
        """Insert tuples, return how many."""

    def write_missing(
        self, conn: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> int:
        """Insert those tuples whose hash a table lacks, return how many; some hundred at a time."""

    def find_rows(
        self, conn: Connection, table: str, columns: Sequence[str], hashes: Sequence[bytes]
    ) -> Sequence[Sequence[Any]]:
        """Return (hash, *columns) of those hashes that a table holds; some hundred at a time."""

    def lock_content(self, conn: Connection) -> None:
        """Wait until this transaction is the only one that writes content."""

    def ddl(self, conn: Connection) -> dict[str, str]:
        """Return the database's own text of each of its objects, by kind and name."""

    def scratch(self, conn: Connection) -> AbstractContextManager[Connection]:
        """Open an empty place of the same kind that vanishes at the end."""

    def refresh_statistics(self, conn: Connection) -> None:
        """Let the planner know how large the tables are."""

    def damages(self, conn: Connection) -> Iterator[tuple[str, str]]:
        """Yield what the database itself finds wrong with its files: (where, what)."""

    def conditions(self) -> Dialect:
        """Return how users' conditions are written for it."""

    def fence(self) -> Fence:
        """Return what keeps users' SQL from writing, and from running for ever."""

    def space(self) -> Space:
        """Return what knows where its bytes are."""


_BACKENDS: Final = ("sqlite", "postgresql")
"""Names of SQLAlchemy's dialects and of the modules here that know them."""


_MISPLACED: Final = re.compile(":.*@")
"""What a slash too many makes of USER:PASSWORD@HOST: the name of a database."""


def backend(on: Engine | Connection | URL) -> Backend:
    """Return the implementation for a database."""
    name = on.dialect.name if isinstance(on, Engine | Connection) else on.get_backend_name()
    # Imported when it is met: psycopg takes longer to import than SQLite's whole query.
    return cast("Backend", importlib.import_module(f"rescore_db.store.{name}"))


def parse_url(url: str) -> URL:
    """Read a store's URL; `postgres://` is `postgresql://`.

    Raises:
        StoreUnusableError: not a URL, or of a database that is not supported.
    """
    text = re.sub(r"^postgres://", "postgresql://", url)
    try:
        address = make_url(text)
        name = address.get_backend_name()
    except (ArgumentError, ValueError):
        name = None
    if name not in _BACKENDS or (name != "sqlite" and _MISPLACED.search(address.database or "")):
        msg = (
            f"{safe_url(url)!r} is not a store's URL: "
            "write sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        )
        raise StoreUnusableError(msg)
    if "@" in (address.host or ""):  # the end of a password, which a driver would show
        msg = f"{safe_url(url)!r} holds more than one @: write those of the password as %40"
        raise StoreUnusableError(msg)
    return address


def safe_url(url: str | URL) -> str:
    """Return a URL as users write it, with every password in it masked: for messages and pages."""
    if isinstance(url, str):
        return masked_url(url)
    address, mark, options = _plain(url.set(drivername=url.get_backend_name())).partition("?")
    for code, char in (("%2F", "/"), ("%3A", ":"), ("%2C", ",")):  # no need of a code in options
        options = options.replace(code, char)
    return masked_url(f"{address}{mark}{options}")


def open_engine(url: str, *, write: bool = True) -> Engine:
    """Open a store that is at this version's schema revision.

    Args:
        url: `sqlite:///FILE`, or `postgresql://…`.
        write: a new SQLite file is made where there is none.  Without it nothing is ever made
            or changed, and the connections refuse to write.

    Returns:
        An engine; the caller disposes of it.  `notes(engine)` holds what users should know.

    Raises:
        StoreUnusableError: nothing there, not ours, another revision, unreachable, unwritable.
    """
    address = parse_url(url)
    kind = backend(address)
    engine = kind.build(address, write=write)
    try:
        found = look(engine)
        if found.is_empty and write and kind.CREATED_ON_OPEN:
            from rescore_db.store import lifecycle

            lifecycle.init(url)
        else:
            require_head(found, engine.url)
    except BaseException:
        engine.dispose()
        raise
    return engine


def look(engine: Engine) -> Found:
    """Return what lies at an engine's address; raises StoreUnusableError."""
    with translated(engine.url):
        return backend(engine).look(engine)


def require_head(found: Found, url: URL) -> None:
    """Refuse what is not a store at this version's revision; raises StoreUnusableError."""
    if found.is_empty:
        raise StoreUnusableError(backend(url).missing(url, safe_url(url)))
    refuse_strange(found, url)
    if found.revision != HEAD:
        msg = (
            f"the store {safe_url(url)} is at schema revision {found.revision}, older than "
            f"{HEAD}; run: rescore db upgrade --db '{safe_url(url)}'"
        )
        raise StoreUnusableError(msg)


def refuse_strange(found: Found, url: URL) -> None:
    """Refuse a database that is not ours, and a store that a newer version made.

    Raises:
        StoreUnusableError: either.
    """
    if not found.is_ours:
        tables = ", ".join(sorted(found.tables)[:5])
        msg = f"{safe_url(url)} is not a rescore store (it holds: {tables}); it was left as it is"
        raise StoreUnusableError(msg)
    if found.revision not in REVISIONS:
        from importlib.metadata import version

        msg = (
            f"the store {safe_url(url)} is at schema revision {found.revision}, newer than this "
            f"rescore_db {version('rescore_db')} knows (up to {HEAD}); upgrade rescore_db"
        )
        raise StoreUnusableError(msg)


def notes(engine: Engine) -> tuple[str, ...]:
    """Return what users should be told, once, about how a store was opened."""
    said: tuple[str, ...] = engine.get_execution_options().get("notes", ())
    return said


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn a driver's errors into ours; bugs of ours keep their traceback.

    Raises:
        AlreadyExistsError: a unique name or key is taken.
        StoreUnusableError: the database failed: unreachable, full, locked, damaged, forbidden.
    """
    kind = backend(url)
    try:
        yield
    except IntegrityError as error:
        if not kind.is_duplicate(error):  # NOT NULL, CHECK, foreign key
            raise
        msg = f"already in the store: {reason(error.orig, url)}"
        raise AlreadyExistsError(msg) from error
    except DBAPIError as error:
        is_bug = isinstance(error, ProgrammingError | DataError | NotSupportedError)
        is_bug = is_bug and error.statement is not None  # else connecting: an option of the URL
        if is_bug and not kind.is_denied(error):
            raise
        msg = f"the store {safe_url(url)} can't be used: {reason(error.orig, url)}"
        raise StoreUnusableError(msg) from error


def reason(error: BaseException | None, url: URL) -> str:
    """Return a driver's own words in one line, without passwords."""
    return masked(" ".join(str(error).split()), url=_plain(url))


def _plain(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@contextmanager
def atomic(on: Engine | Connection) -> Iterator[Connection]:
    """Run a block as one unit: a transaction on an engine, a savepoint inside one.

    Raises:
        AlreadyExistsError: a unique name or key is taken.
        StoreUnusableError: the database failed.
        RuntimeError: a connection that has not begun: its owner would be unclear.
    """
    if isinstance(on, Connection) and not on.in_transaction():
        msg = "atomic() inside a connection needs the transaction of its owner"
        raise RuntimeError(msg)
    with translated(on.engine.url):
        if isinstance(on, Connection):
            with on.begin_nested():
                yield on
        else:
            with on.begin() as conn:
                yield conn


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Read one snapshot of the store; writers are not kept waiting.

    Long results can be streamed: `conn.execute(query, execution_options={"yield_per": 500})`.

    Raises:
        StoreUnusableError: the database failed.
    """
    with translated(engine.url), engine.connect() as fresh:
        conn = fresh.execution_options(**backend(engine).reader_options())
        with conn.begin():
            yield conn
