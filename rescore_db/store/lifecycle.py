"""Making, upgrading and checking a store.

Only this module runs migrations; alembic is imported when one does.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Final

from rescore_db.errors import StoreUnusableError
from rescore_db.records import Check, Current, Migration, Problem
from rescore_db.store import engine as engines
from rescore_db.store.found import HEAD, Found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection

MAX_PROBLEMS: Final = 100  # shown; the others are counted
SHOWN_CHARACTERS: Final = 120  # of a definition


def init(url: str) -> Migration:
    """Make a store where there is none; one of this version is left as it is.

    Raises:
        StoreUnusableError: not ours, another revision, unreachable, unwritable.
    """
    address, found = _look(url)
    if found.is_empty:
        _migrate(url)
    else:
        engines.require_head(found, address)
    return Migration(engines.safe_url(url), found.revision, HEAD)


def upgrade(url: str) -> Migration:
    """Bring a store to this version's revision, all steps in one transaction.

    Raises:
        StoreUnusableError: nothing there, not ours, newer, unreachable, unwritable.
    """
    address, found = _look(url)
    if found.is_empty:
        engines.require_head(found, address)
    if found.revision != HEAD:
        _migrate(url)
    return Migration(engines.safe_url(url), found.revision, HEAD)


def current(url: str) -> Current:
    """Return a store's revision.

    Raises:
        StoreUnusableError: not ours, newer, unreachable.
    """
    address, found = _look(url)
    if not found.is_empty:
        engines.refuse_strange(found, address)
    return Current(engines.safe_url(url), found.revision, HEAD)


def check(url: str) -> Check:
    """Look for damage in a store; changes nothing, and takes constant memory.

    SQLite checks its file and its foreign keys, the schema is compared with what the migrations
    make, rows are looked for that refer to nothing, and the identity of every content is derived
    again.

    Raises:
        StoreUnusableError: it can't be opened, or breaks off.
    """
    engine = engines.open_engine(url, write=False)
    counted: Counter[str] = Counter()
    try:
        with engines.reading(engine) as conn:
            found = _problems(conn, counted)
            problems = tuple(islice(found, MAX_PROBLEMS))
            rest = sum(1 for _ in found)
    finally:
        engine.dispose()
    shown = engines.safe_url(url)
    return Check(shown, HEAD, counted.total(), problems, len(problems) + rest)


def _problems(conn: Connection, counted: Counter[str]) -> Iterator[Problem]:
    from rescore_db.store.content_check import checked_contents, orphans

    damages = [Problem(*damage) for damage in engines.backend(conn).damages(conn)]
    yield from damages
    if damages:
        return  # what a damaged file gives back proves nothing
    yield from _schema_differences(conn)
    yield from (Problem(*orphan) for orphan in orphans(conn))
    for table, key, wrong in checked_contents(conn):
        counted[table] += 1
        if wrong is not None:
            yield Problem(f"{table} {key}", wrong)


def _schema_differences(conn: Connection) -> Iterator[Problem]:
    kind = engines.backend(conn)
    with kind.scratch(conn) as scratch:
        run_migrations(scratch)
        expected = kind.ddl(scratch)
    actual = kind.ddl(conn)
    for name in sorted(expected.keys() | actual.keys()):
        if name not in actual:
            yield Problem(name, "it is missing")
        elif name not in expected:
            yield Problem(name, "it is not part of a store")
        elif actual[name] != expected[name]:
            shown = shorten(actual[name], SHOWN_CHARACTERS, placeholder=" …")
            yield Problem(name, f"it is not what the migrations make: {shown}")


def _look(url: str) -> tuple[URL, Found]:
    address = engines.parse_url(url)
    engine = engines.backend(address).build(address, write=False)
    try:
        return address, engines.look(engine)
    finally:
        engine.dispose()


def _migrate(url: str) -> None:
    with migrating(url) as conn:
        run_migrations(conn)


@contextmanager
def migrating(url: str) -> Iterator[Connection]:
    """Open the transaction in which migrations run, on a store of ours or an empty place.

    Raises:
        StoreUnusableError: not ours, newer, unreachable, unwritable.
    """
    current(url)
    address = engines.parse_url(url)
    with engines.translated(address), engines.backend(address).migrating(address) as conn:
        yield conn


def run_migrations(conn: Connection, revision: str = "head") -> None:
    """Run the migrations up to a revision, inside the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    # ConfigParser reads "%" as the beginning of a name.
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    command.upgrade(config, revision)


def migrations_folder() -> Path:
    """Return the folder of the migrations: inside the installed package, else the checkout's.

    Raises:
        StoreUnusableError: neither is there.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    msg = f"the installation is incomplete: no migrations beside {package}"
    raise StoreUnusableError(msg)
