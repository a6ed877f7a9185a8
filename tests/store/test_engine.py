from __future__ import annotations

import os
import sqlite3
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from rescore_db.errors import AlreadyExistsError, StoreUnusableError
from rescore_db.store import schema
from rescore_db.store.engine import atomic, open_engine, reading
from rescore_db.store.found import HEAD, REVISIONS
from tests.store.named_rows import add_subset, subset_names

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Table

NOBODY = 65534


def add_both(on: Engine | Connection, first: str, second: str) -> None:
    with atomic(on) as conn:
        add_subset(conn, first)
        add_subset(conn, second)


def stumble_after(on: Engine | Connection, *statements: str) -> None:
    with atomic(on) as conn:
        for statement in statements:
            conn.exec_driver_sql(statement)
        add_subset(conn, "hard")
        raise ZeroDivisionError


# ------------------------------------------------------------------------------------ threshold


def test_a_block_is_kept_when_it_ends(engine: Engine) -> None:
    with atomic(engine) as conn:
        add_subset(conn, "hard")

    assert subset_names(engine) == ["hard"]


def test_a_taken_name_leaves_the_store_as_it_was(engine: Engine) -> None:
    with atomic(engine) as conn:
        add_subset(conn, "hard")

    with pytest.raises(AlreadyExistsError, match="name"):
        add_both(engine, "easy", "hard")

    assert subset_names(engine) == ["hard"]


def test_an_error_of_ours_leaves_the_store_as_it_was(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        stumble_after(engine)

    assert subset_names(engine) == []


def test_an_inner_block_is_a_savepoint(engine: Engine) -> None:
    with atomic(engine) as conn:
        add_subset(conn, "outer")
        with pytest.raises(AlreadyExistsError):
            add_both(conn, "inner", "outer")
        add_subset(conn, "after")

    assert subset_names(engine) == ["outer", "after"]


def test_a_connection_without_an_owner_is_refused(engine: Engine) -> None:
    with engine.connect() as conn, pytest.raises(RuntimeError, match="owner"), atomic(conn):
        add_subset(conn, "hard")

    assert subset_names(engine) == []


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (schema.subset, {"name": None}),
        (schema.evaluation, {"run_id": 7}),
        (
            schema.scoring,
            {
                "run_id": 1,
                "kind": "guessed",
                "name": "x",
                "hash": b"",
                "how_json": "{}",
                "attempt": 1,
                "created_at": "",
            },
        ),
    ],
)
def test_a_broken_rule_that_is_not_a_taken_name_is_our_bug(
    engine: Engine, table: Table, row: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError), atomic(engine) as conn:
        conn.execute(insert(table).values(**row))


def test_what_is_asked_wrongly_is_our_bug_in_postgresql(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    with pytest.raises(ProgrammingError), reading(engine) as conn:
        conn.exec_driver_sql("SELECT nonsense FROM run")
    engine.dispose()


def test_messages_hold_no_parameters(engine: Engine) -> None:
    with pytest.raises(IntegrityError) as caught, atomic(engine) as conn:
        conn.execute(insert(schema.run).values(model="a secret prompt"))

    assert "secret" not in str(caught.value).partition("DETAIL")[0]


def test_rows_and_tables_of_a_failed_block_are_gone(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        stumble_after(engine, "CREATE TABLE extra (x INTEGER)", "SAVEPOINT inner_one")

    with reading(engine) as conn:
        names = (
            "SELECT name FROM sqlite_master"
            if engine.dialect.name == "sqlite"
            else "SELECT relname FROM pg_class"
        )
        assert "extra" not in conn.exec_driver_sql(names).scalars().all()
    assert subset_names(engine) == []


# ------------------------------------------------------------------------- readers and writers


def test_a_reader_sees_one_snapshot_and_keeps_no_writer_waiting(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_BUSY_SECONDS", "0.2")
    count = select(func.count()).select_from(schema.subset)
    with reading(engine) as reader:
        assert reader.scalar(count) == 0
        with atomic(engine) as writer:
            add_subset(writer, "hard")
        assert reader.scalar(count) == 0

    with reading(engine) as reader:
        assert reader.scalar(count) == 1


def test_a_reading_connection_of_postgresql_refuses_to_write(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    with pytest.raises(StoreUnusableError, match="read-only"), reading(engine) as conn:
        add_subset(conn, "hard")
    engine.dispose()


def test_a_store_opened_for_reading_refuses_to_write(store_url: str) -> None:
    engine = open_engine(store_url, write=False)
    with pytest.raises(StoreUnusableError, match=r"read-?only"), atomic(engine) as conn:
        add_subset(conn, "hard")
    engine.dispose()


def test_writers_take_turns(store_url: str) -> None:
    def work(name: str) -> None:
        engine = open_engine(store_url)
        for number in range(20):
            with atomic(engine) as conn:
                add_subset(conn, f"{name}{number}")
        engine.dispose()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    engine = open_engine(store_url, write=False)
    assert len(subset_names(engine)) == 60
    engine.dispose()


def test_a_long_result_of_postgresql_is_streamed(postgres_url: str) -> None:
    engine = open_engine(postgres_url, write=False)
    with reading(engine) as conn:
        result = conn.exec_driver_sql(
            "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)",
            execution_options={"yield_per": 100},
        )
        assert len(next(iter(result))[0]) == 1000  # a million rows would take a gigabyte
        result.close()
    engine.dispose()


# ---------------------------------------------------------------------------------- addresses


def test_a_password_with_an_at_sign_is_asked_for_in_its_escaped_form() -> None:
    with pytest.raises(StoreUnusableError, match="%40") as caught:
        open_engine("postgresql://me:hunter@two@127.0.0.1:1/db")
    assert "hunter" not in str(caught.value)
    assert "two" not in str(caught.value)


@pytest.mark.parametrize("start", ["postgres://", "postgresql://", "postgresql+psycopg://"])
def test_every_usual_way_of_naming_postgresql_is_understood(postgres_url: str, start: str) -> None:
    engine = open_engine(postgres_url.replace("postgresql://", start))
    assert subset_names(engine) == []
    engine.dispose()


@pytest.mark.parametrize(
    "url", ["rescore.db", "", "mysql://host/db", "sqlite3:///x.db", "mysql://me:secret@host:x/db"]
)
def test_what_is_no_url_of_a_store_is_refused(url: str) -> None:
    with pytest.raises(StoreUnusableError, match="sqlite:///FILE or postgresql://") as caught:
        open_engine(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite://", "sqlite:///:memory:", "sqlite:///x.db?mode=ro", "sqlite:///file:x.db"),
        "sqlite:///x.db?password=secret",
    ],
)
def test_a_url_of_sqlite_has_to_name_a_file(url: str) -> None:
    with pytest.raises(StoreUnusableError, match="does not name a file") as caught:
        open_engine(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("write", [True, False])
def test_a_missing_folder_is_named(tmp_path: Path, write: bool) -> None:
    with pytest.raises(StoreUnusableError, match=r"folder .*/nowhere does not exist"):
        open_engine(f"sqlite:///{tmp_path}/nowhere/x.db", write=write)


def foreign_database(path: Path, mode: str) -> None:
    conn = sqlite3.connect(path)
    conn.execute(f"PRAGMA journal_mode = {mode}")
    conn.execute("CREATE TABLE song (title)")
    conn.commit()
    conn.close()


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize("kind", ["text", "delete", "wal", "alembic", "folder"])
def test_what_is_not_ours_is_left_as_it_is(
    tmp_path: Path,
    kind: str,
    write: bool,
) -> None:
    path = tmp_path / "theirs.db"
    if kind == "text":
        path.write_text("dear diary\n" * 100)
    elif kind == "folder":
        path.mkdir()
    else:
        foreign_database(path, "wal" if kind == "wal" else "delete")
    if kind == "alembic":
        conn = sqlite3.connect(path)
        conn.execute("CREATE TABLE alembic_version (version_num)")
        conn.execute("INSERT INTO alembic_version VALUES (?)", (HEAD,))
        conn.commit()
        conn.close()
    before = path.read_bytes() if path.is_file() else b""

    with pytest.raises(StoreUnusableError, match=r"theirs\.db"):
        open_engine(f"sqlite:///{path}", write=write)

    assert (path.read_bytes() if path.is_file() else b"") == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["theirs.db"]


def set_revision(url: str, revision: str) -> None:
    engine = open_engine(url)
    with atomic(engine) as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": revision})
    engine.dispose()


@pytest.mark.parametrize("write", [True, False])
def test_an_older_store_says_how_to_upgrade_it(store_url: str, write: bool) -> None:
    set_revision(store_url, REVISIONS[0])
    with pytest.raises(
        StoreUnusableError, match=rf"revision {REVISIONS[0]}.*rescore db upgrade --db"
    ):
        open_engine(store_url, write=write)


@pytest.mark.parametrize("write", [True, False])
def test_a_newer_store_is_refused_with_both_versions(store_url: str, write: bool) -> None:
    set_revision(store_url, "9999")
    with pytest.raises(StoreUnusableError, match=rf"9999, newer than .*\(up to {HEAD}\)"):
        open_engine(store_url, write=write)


@pytest.mark.parametrize("write", [True, False])
def test_an_empty_postgresql_database_says_how_to_begin(
    empty_postgres_url: str,
    write: bool,
) -> None:
    with pytest.raises(StoreUnusableError, match="is empty; run: rescore db init"):
        open_engine(empty_postgres_url, write=write)


@pytest.mark.parametrize("option", ["password", "sslpassword", "pass%77ord"])
def test_an_empty_database_is_named_without_the_password(
    empty_postgres_url: str, option: str
) -> None:
    joint = "&" if "?" in empty_postgres_url else "?"
    with pytest.raises(StoreUnusableError, match="rescore db init") as caught:
        open_engine(f"{empty_postgres_url}{joint}{option}=hunter2")
    assert "hunter2" not in str(caught.value)


def test_somebody_elses_postgresql_database_is_refused(empty_postgres_url: str) -> None:
    with psycopg.connect(empty_postgres_url, autocommit=True) as conn:
        conn.execute("CREATE TABLE song (title text)")
    with pytest.raises(StoreUnusableError, match=r"not a rescore store \(it holds: song\)"):
        open_engine(empty_postgres_url)


SECRETIVE = [
    "postgresql://me:hunter2@127.0.0.1:1/db",
    "postgresql://me:%68unter2@127.0.0.1:1/db",
    "postgresql://127.0.0.1:1/db?password=hunter2",
    "postgresql://127.0.0.1:1/db?password=%68unter2&application_name=x",
    "postgresql://127.0.0.1:1/db?sslpassword=hunter2&passfile=hunter2",
]


@pytest.mark.parametrize("url", SECRETIVE)
def test_an_unreachable_server_is_named_without_the_password(url: str) -> None:
    with pytest.raises(StoreUnusableError, match=r"127\.0\.0\.1") as caught:
        open_engine(url)
    assert "hunter2" not in str(caught.value)
    assert "%68unter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_database_is_named(postgres_url: str) -> None:
    gone = postgres_url.replace("/rescore_test_", "/no_such_")
    with pytest.raises(StoreUnusableError, match=r"no_such_.* does not exist"):
        open_engine(gone)


def test_a_missing_right_is_no_bug_of_ours(postgres_url: str) -> None:
    role = f"reader_{os.getpid()}"
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role}".encode())
    engine = open_engine(postgres_url)
    with pytest.raises(StoreUnusableError, match="permission denied"):
        stumble_after(engine, f"SET LOCAL ROLE {role}")
    engine.dispose()
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(f"DROP ROLE {role}".encode())


def test_an_old_server_is_refused(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rescore_db.store.postgresql.OLDEST", 990000)
    with pytest.raises(StoreUnusableError, match="too old; 14 or newer"):
        open_engine(postgres_url)
