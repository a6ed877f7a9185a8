"""Stores that the command line itself has filled with the demo's logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rescore_db import demo
from rescore_db.cli.main import main
from tests.conftest import Databases

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGS = str(demo.HERE / "logs")
TASKS = str(demo.HERE / "tasks")
LAST_NUMBER = str(demo.HERE / "last-number.yaml")


def filled(url: str) -> str:
    """Fill a store with the demo's logs, a scoring of them and a subset; return its URL."""
    assert main(["ingest", LOGS, "--db", url]) == 0
    create = ["subset", "create", "hard", "--where", "doc->>'level' >= 3"]
    assert main([*create, "--db", url]) == 0
    score = ["score", "--task", "shop_sums", "--filters", LAST_NUMBER, "--include-path", TASKS]
    assert main([*score, "--name", "lenient", "--db", url]) == 0
    return url


@pytest.fixture(scope="session")
def filled_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A filled SQLite store, which tests only read."""
    return filled(f"sqlite:///{tmp_path_factory.mktemp('filled')}/store.db")


@pytest.fixture(scope="session")
def filled_postgresql(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """A filled PostgreSQL store, which tests only read."""
    databases = Databases(postgres_server)
    yield filled(databases.url(databases.make(postgres_template)))
    databases.drop_all()


@pytest.fixture(params=["sqlite", "postgresql"])
def filled_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A filled store on each database in turn, which is also the default store; only to read."""
    url: str = request.getfixturevalue(f"filled_{request.param}")
    monkeypatch.setenv("RESCORE_DB", url)
    return url
