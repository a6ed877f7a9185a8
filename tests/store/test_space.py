"""Where bytes are, and giving them back, on both databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import func, select

from rescore_db.errors import StoreUnusableError
from rescore_db.managing import delete_runs
from rescore_db.store import schema, space
from rescore_db.store.engine import atomic, open_engine, reading
from rescore_db.store.found import HEAD
from rescore_db.store.space import postgresql as of_postgresql
from rescore_db.store.space import sqlite as of_sqlite
from tests.ingest.logs import Log, sha, sums_line
from tests.store.test_deletion import take

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

NOISE = ["".join(sha(f"{n} {part}") for part in range(32)) for n in range(300)]
LARGE = Log({"sums": [sums_line(n, "strict", resps=[[text]]) for n, text in enumerate(NOISE)]})


def counted(engine: Engine) -> dict[str, int]:
    with reading(engine) as conn:
        return {
            name: conn.scalar(select(func.count()).select_from(table)) or 0
            for name, table in schema.metadata.tables.items()
        }


def file_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


def test_every_table_has_its_rows_and_bytes(engine: Engine, store_url: str, tmp_path: Path) -> None:
    take(engine, tmp_path, LARGE)

    found = space.store_info(store_url)

    assert {one.name: one.rows for one in found.tables} == counted(engine)
    assert found.tables[0].name == "sample"
    assert all((one.bytes or 0) % found.page_bytes == 0 for one in found.tables)
    total = sum((one.bytes or 0) + (one.index_bytes or 0) for one in found.tables)
    assert 300 * 1000 < total <= found.bytes + (found.log_bytes or 0)
    assert found.revision == HEAD
    assert found.database.split()[0].lower() == engine.dialect.name
    assert "secret" not in found.url


def test_a_library_that_knows_no_pages_tells_rows(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(sqlite_url)
    take(engine, tmp_path, LARGE)
    monkeypatch.setattr(of_sqlite, "knows_pages", lambda _conn: False)

    found = space.store_info(sqlite_url)

    assert {one.name: one.rows for one in found.tables} == counted(engine)
    assert {(one.bytes, one.index_bytes) for one in found.tables} == {(None, None)}
    assert found.tables[0].rows >= found.tables[-1].rows
    assert found.bytes > 0
    engine.dispose()


def test_a_vacuum_gives_deleted_rows_back(sqlite_url: str, tmp_path: Path) -> None:
    engine = open_engine(sqlite_url)
    empty = space.vacuum(sqlite_url).after
    take(engine, tmp_path, LARGE)
    delete_runs(engine, ["latest"])
    free = space.store_info(sqlite_url).free_bytes

    done = space.vacuum(sqlite_url)

    assert free is not None
    assert free > 300 * 2000
    assert (done.before > free, done.after, done.notes) == (True, empty, ())
    assert space.store_info(sqlite_url).free_bytes == 0
    engine.dispose()


def test_postgresql_keeps_the_room_for_new_rows(postgres_url: str, tmp_path: Path) -> None:
    engine = open_engine(postgres_url)
    take(engine, tmp_path, LARGE)
    delete_runs(engine, ["latest"])

    done = space.vacuum(postgres_url)

    assert done.after <= done.before
    assert "rows to come" in done.notes[0]
    take(engine, tmp_path, LARGE)
    engine.dispose()


@pytest.mark.parametrize("statement", ["SELECT count(*) FROM run", "BEGIN IMMEDIATE"])
def test_a_store_that_somebody_uses_is_left_alone(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(of_sqlite, "PATIENCE", 50)
    engine = open_engine(sqlite_url)
    take(engine, tmp_path, LARGE)
    with closing(sqlite3.connect(file_of(sqlite_url), isolation_level=None)) as other:
        if statement.startswith("SELECT"):
            other.execute("BEGIN")
        other.execute(statement).fetchall()
        with pytest.raises(StoreUnusableError, match="somebody else uses the store"):
            space.vacuum(sqlite_url)

    assert space.vacuum(sqlite_url).notes == ()
    engine.dispose()


@pytest.mark.parametrize("mode", ["ACCESS EXCLUSIVE", "SHARE UPDATE EXCLUSIVE"])
def test_a_table_that_somebody_has_locked_is_not_waited_for(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(of_postgresql, "PATIENCE", "50ms")
    with psycopg.connect(postgres_url) as other:
        other.execute(f"LOCK TABLE sample IN {mode} MODE".encode())
        with pytest.raises(StoreUnusableError, match="somebody else has locked a table"):
            space.vacuum(postgres_url)


def test_who_still_reads_is_told_of(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT count(*) FROM run")
        assert "rows that they may still see" in space.vacuum(postgres_url).notes[1]


def test_a_vacuum_that_fails_leaves_the_store_whole(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(sqlite_url)
    take(engine, tmp_path, LARGE)
    before = counted(engine)
    too_small: Any = ("PRAGMA max_page_count = 1", "VACUUM", "CREATE TABLE x AS SELECT * FROM nil")
    monkeypatch.setattr(of_sqlite, "STATEMENTS", too_small)

    with pytest.raises(StoreUnusableError, match="no such table"):
        space.vacuum(sqlite_url)

    assert counted(engine) == before
    with atomic(engine):
        pass
    engine.dispose()
