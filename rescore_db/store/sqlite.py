"""What SQLite does in its own way."""

from __future__ import annotations

import os
import shlex
import sqlite3
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from rescore_db.errors import StoreUnusableError
from rescore_db.masking import masked_url
from rescore_db.settings import Settings
from rescore_db.store.found import Found
from rescore_db.store.header import read_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import URL

    from rescore_db.store.conditions.values import Dialect
    from rescore_db.store.fence.readonly import Fence
    from rescore_db.store.space import Space

OLDEST: Final = (3, 38, 0)  # the first with ->>
PAGE_BYTES: Final = 16384  # a fifth less work than 4096 to write; 32768 gains nothing more
CACHE_KIB: Final = 16384
ROWS_A_STATEMENT: Final = 24  # two fifths less time than one by one; more gain nothing
CREATED_ON_OPEN: Final = True
_HEADER: Final = b"SQLite format 3\x00"
_READER: Final = "rescore_reader"

# File systems on which the shared memory of a write-ahead log is not shared by all machines.
_NETWORK: Final = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "glusterfs", "gpfs", "lustre", "ncpfs"),
        *("nfs", "nfs4", "orangefs", "smb3", "smbfs"),
        *("fuse.ceph", "fuse.glusterfs", "fuse.sshfs"),
    }
)


def build(url: URL, *, write: bool) -> Engine:
    """Return an engine; files are touched at its first connection, which never makes one.

    Raises:
        StoreUnusableError: the URL names no file, or one that can't be written.
    """
    path = file_of(url)
    options: dict[str, Any] = {}
    if write:
        _refuse_unwritable(path)
        if is_on_network(path):
            note = (
                f"{path} lies on a network file system, which is slow, and readers wait for writers"
            )
            options["notes"] = (note,)
    connect = partial(_connect, path, write=write)
    return _engine(url, connect, "BEGIN IMMEDIATE" if write else "BEGIN", options)


def _engine(url: URL, connect: Any, begin: str, options: Mapping[str, Any]) -> Engine:  # noqa: ANN401
    engine = create_engine(url, creator=connect, hide_parameters=True, execution_options=options)

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        is_reader = conn.get_execution_options().get(_READER, False)
        conn.exec_driver_sql("BEGIN" if is_reader else begin)

    return engine


def file_of(url: URL) -> Path:
    """Return the absolute path that a URL names.

    Raises:
        StoreUnusableError: no file is named, the URL has options, or the library is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        msg = f"Python's SQLite is {sqlite3.sqlite_version}; {oldest} or newer is needed"
        raise StoreUnusableError(msg)
    name = url.database
    if not name or name == ":memory:" or name.startswith("file:") or url.query:
        shown = masked_url(url.render_as_string(hide_password=False))
        msg = f"{shown} does not name a file: write sqlite:///FILE"
        raise StoreUnusableError(msg)
    return Path(name).absolute()


def missing(url: URL, _shown: str) -> str:
    """Say that there is no store yet, and how to make one."""
    path = file_of(url)
    return f"there is no store at {path}; make one: rescore ingest PATH, or rescore db init"


def look(engine: Engine) -> Found:
    """Read the revision and the names of the tables, without changing a byte."""
    path = file_of(engine.url)
    if not path.parent.is_dir():
        msg = (
            f"the folder {path.parent} does not exist, so there is no store at {path}; check the "
            f"path or, for a new store, make the folder: mkdir -p {shlex.quote(str(path.parent))}"
        )
        raise StoreUnusableError(msg)
    if not path.exists():
        return Found()
    try:
        header = read_header(path)
        if not header:
            return Found()
        if not header.startswith(_HEADER):
            msg = f"{path} is not an SQLite database; it was left as it is"
            raise StoreUnusableError(msg)
        with closing(sqlite3.connect(_looking_uri(path, header), uri=True)) as conn:
            return _found(conn)
    except (OSError, sqlite3.Error) as error:
        msg = f"the store {path} can't be read: {getattr(error, 'strerror', None) or error}"
        raise StoreUnusableError(msg) from error


def _found(conn: sqlite3.Connection) -> Found:
    names = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
    tables = frozenset(name for (name,) in conn.execute(names))
    if "alembic_version" not in tables:
        return Found(None, tables)
    row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    return Found(row[0] if row else None, tables)


def _looking_uri(path: Path, header: bytes) -> str:
    """Return the URI under which a look leaves nothing behind.

    A database in WAL mode that nobody has open would get its side files, and a read-only
    connection leaves them there; one that is complete in its file is read as immutable.  A hot
    journal must be rolled back by whoever comes next, which needs a writer.
    """
    uses_wal = header[18:19] == b"\x02"
    if uses_wal and not _holds_something(beside(path, "-wal")):
        return f"{path.as_uri()}?immutable=1"
    has_journal = _holds_something(beside(path, "-journal"))
    return f"{path.as_uri()}?mode={'rw' if has_journal and is_writable(path) else 'ro'}"


def beside(path: Path, suffix: str) -> Path:
    """Return the path of one of a database's side files."""
    return path.with_name(path.name + suffix)


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def is_writable(path: Path) -> bool:
    """Answer whether a database can be changed: its file, and its folder for the side files."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _refuse_unwritable(path: Path) -> None:
    """Refuse a file or a folder without the right to write; missing ones are judged elsewhere."""
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK):
            msg = f"{place} can't be written, so the store {path} can only be read"
            raise StoreUnusableError(msg)


def is_on_network(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Answer whether a path lies on a network file system; False where nothing tells."""
    try:
        number = path.parent.stat().st_dev
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return False
    device = f"{os.major(number)}:{os.minor(number)}"
    for line in lines:
        head, _, tail = line.partition(" - ")
        if head.split()[2] == device:
            return tail.split()[0] in _NETWORK
    return False


def _connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Connect to a file that exists; SQLAlchemy turns the errors of sqlite3 into its own."""
    can_write = is_writable(path)
    options = "mode=rw" if can_write else "mode=ro"
    if not can_write and not _holds_something(beside(path, "-wal")):
        options = "immutable=1"
    conn = _open(path, options)
    if write:
        _choose_journal(conn, path)
    else:
        conn.execute("PRAGMA query_only = ON")
    return conn


def _open(path: Path, options: str) -> sqlite3.Connection:
    seconds = Settings.from_environment().busy_seconds
    conn = sqlite3.connect(
        f"{path.as_uri()}?{options}",
        uri=True,
        timeout=seconds,
        isolation_level=None,  # or sqlite3 begins and commits on its own account
        check_same_thread=False,  # the pool hands a connection to one thread at a time
    )
    conn.execute("PRAGMA foreign_keys = ON")
    conn.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return conn


def _choose_journal(conn: sqlite3.Connection, path: Path) -> None:
    """Use a write-ahead log, on a network file system a rollback journal.

    Changing the mode needs the file alone.  Where another process has it, the mode stays for
    now: both are safe, and a later connection will find a quieter moment.
    """
    wanted = "delete" if is_on_network(path) else "wal"
    (mode,) = conn.execute("PRAGMA journal_mode").fetchone()
    if mode != wanted:
        (milliseconds,) = conn.execute("PRAGMA busy_timeout").fetchone()
        conn.execute("PRAGMA busy_timeout = 200")
        try:
            (mode,) = conn.execute(f"PRAGMA journal_mode = {wanted}").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                conn.close()
                raise
        conn.execute(f"PRAGMA busy_timeout = {milliseconds}")
    # A commit in a write-ahead log survives a crash of the program without a sync each.
    conn.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")


@contextmanager
def migrating(url: URL) -> Iterator[Connection]:
    """Open the one transaction in which migrations run; makes the file where there is none.

    A process that is killed in here leaves the store as it was: what SQLite has not committed it
    rolls back.  Of two processes the second waits, and finds the work done.

    Raises:
        DBAPIError: the file can't be made or changed.
        StoreUnusableError: there is no right to, or rows would be left that refer to nothing.
    """
    path = file_of(url)
    _refuse_unwritable(path)

    def connect() -> sqlite3.Connection:
        conn = _open(path, "mode=rwc")
        conn.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # heeded while the file is empty
        # ON, a rebuilt table empties the tables that refer to it; inside BEGIN it can't be set.
        conn.execute("PRAGMA foreign_keys = OFF")
        return conn

    engine = _engine(url, connect, "BEGIN IMMEDIATE", {})
    try:
        with engine.begin() as conn:
            yield conn
            _refuse_orphans(conn, path)
    finally:
        engine.dispose()


def _refuse_orphans(conn: Connection, path: Path) -> None:
    orphan = conn.exec_driver_sql("PRAGMA foreign_key_check").first()
    if orphan is not None:
        msg = f"{path}: rows of {orphan[0]} refer to rows of {orphan[2]} that do not exist"
        raise StoreUnusableError(msg)


def reader_options() -> Mapping[str, Any]:
    """Return the options of a connection whose transaction takes no write lock."""
    return {_READER: True}


def is_duplicate(error: IntegrityError) -> bool:
    """Answer whether a unique or primary key was taken."""
    taken = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
    return getattr(error.orig, "sqlite_errorcode", None) in taken


def is_denied(_error: DBAPIError) -> bool:
    """Answer False: SQLite knows no users."""
    return False


def write_missing(
    conn: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """Insert those tuples whose hash the table lacks, as its index tells; return how many."""
    return write_rows(conn, table, columns, rows, " ON CONFLICT (hash) DO NOTHING")


def write_rows(
    conn: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    but: str = "",
) -> int:
    """Insert tuples, read some at a time, with `but` at the statement's end; return how many.

    The driver's own cursor is used: SQLAlchemy would want them all in a list.
    """
    quote = conn.dialect.identifier_preparer.quote
    marks = f"({', '.join('?' * len(columns))})"
    # Whoever owns the transaction undoes all of it when a row is refused, so nothing need be kept
    # to undo one statement: FAIL where ABORT, the default, copies each page that it changes.
    names = ", ".join(map(quote, columns))
    into = f"INSERT OR FAIL INTO {quote(table.name)} ({names}) VALUES "  # noqa: S608
    many = f"{into}{', '.join([marks] * ROWS_A_STATEMENT)}{but}"
    left = iter(rows)
    written = 0
    with closing(conn.connection.cursor()) as cursor:
        try:
            while len(some := list(islice(left, ROWS_A_STATEMENT))) == ROWS_A_STATEMENT:
                cursor.execute(many, tuple(chain.from_iterable(some)))
                written += cursor.rowcount
                some.clear()  # or twice as many are in memory while the next ones come
            cursor.executemany(f"{into}{marks}{but}", some)
        except sqlite3.Error as error:
            raise DBAPIError.instance(
                many, None, error, sqlite3.Error, hide_parameters=True
            ) from error
        return written + max(cursor.rowcount, 0)


def find_rows(
    conn: Connection, table: str, columns: Sequence[str], hashes: Sequence[bytes]
) -> Sequence[Sequence[Any]]:
    """Return (hash, *columns) of those hashes that a table holds."""
    marks = ", ".join("?" * len(hashes))
    query = f"SELECT hash, {', '.join(columns)} FROM {table} WHERE hash IN ({marks})"  # noqa: S608
    return conn.exec_driver_sql(query, tuple(hashes)).all()


def lock_content(conn: Connection) -> None:
    """Return at once: a transaction that writes has had the whole file since BEGIN IMMEDIATE."""


def ddl(conn: Connection) -> dict[str, str]:
    """Return `sqlite_master`'s text of each object, by kind and name."""
    rows = conn.exec_driver_sql(
        "SELECT type, name, sql FROM sqlite_master "
        "WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    )
    return {f"{kind} {name}": text for kind, name, text in rows}


@contextmanager
def scratch(_conn: Connection) -> Iterator[Connection]:
    """Open a database in memory that vanishes at the end."""
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as conn:
            yield conn
    finally:
        engine.dispose()


def refresh_statistics(conn: Connection) -> None:
    """Let the planner know how large the tables are; some milliseconds, however large."""
    conn.exec_driver_sql("PRAGMA analysis_limit = 1000")
    conn.exec_driver_sql("ANALYZE")


def damages(conn: Connection) -> Iterator[tuple[str, str]]:
    """Yield what `integrity_check` and `foreign_key_check` find."""
    for (text,) in conn.exec_driver_sql("PRAGMA integrity_check"):
        if text != "ok":
            yield "file", text
    for table, _rowid, parent, _key in conn.exec_driver_sql("PRAGMA foreign_key_check"):
        yield table, f"a row refers to a row of {parent} that does not exist"


def conditions() -> Dialect:
    """Return how users' conditions are written in SQLite."""
    from rescore_db.store.conditions import sqlite

    return sqlite


def fence() -> Fence:
    """Return what fences users' SQL in SQLite."""
    from rescore_db.store.fence import sqlite

    return sqlite


def space() -> Space:
    """Return what knows where SQLite's bytes are."""
    from rescore_db.store.space import sqlite

    return sqlite
