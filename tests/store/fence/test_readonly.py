from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, inspect, select

from rescore_db.errors import BadSqlError, StoreUnusableError, UsageError
from rescore_db.store import schema, sqlite
from rescore_db.store.engine import open_engine, reading
from rescore_db.store.fence.readonly import run_sql
from tests.store.rows import Answered, add_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from rescore_db.records import SqlResult


def ask(engine: Engine, query: str, *, max_rows: int = 100, seconds: float = 30) -> SqlResult:
    return run_sql(engine, query, max_rows=max_rows, seconds=seconds)


def fill(engine: Engine) -> None:
    add_run(engine, "t", [Answered({"a": number}) for number in range(5)])


@pytest.fixture
def on_postgresql(postgres_url: str) -> Iterator[Engine]:
    engine = open_engine(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def on_sqlite(sqlite_url: str) -> Iterator[Engine]:
    engine = open_engine(sqlite_url)
    yield engine
    engine.dispose()


# ------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("select count(*) as n from samples", [(5,)]),
        ("SELECT position FROM samples WHERE position > 2 ORDER BY position;", [(3,), (4,)]),
        ("-- why\n/* a * comment */ select 'a'", [("a",)]),
        ("with x as (select 1 as a) select a from x", [(1,)]),
        ("with recursive x(n) as (select 1 union select n + 1 from x where n < 3) select n from x",
         [(1,), (2,), (3,)]),
        ("values (1, 'x'), (2, 'y')", [(1, "x"), (2, "y")]),
        ("select '%s', '%(a)s', ':x', '?'", [("%s", "%(a)s", ":x", "?")]),
        ("select 1 as a, 2 as a", [(1, 2)]),
        ("select model, task from samples where 1 = 0", []),
    ],
)  # fmt: skip
def test_queries_that_read_are_answered(engine: Engine, query: str, rows: list[Any]) -> None:
    fill(engine)

    assert list(ask(engine, query).rows) == rows


def test_columns_have_their_names(engine: Engine) -> None:
    assert ask(engine, "select id, model as who from runs").columns == ("id", "who")


def test_what_is_cut_off_is_said(engine: Engine) -> None:
    fill(engine)

    cut = ask(engine, "select position from samples order by 1", max_rows=4)
    whole = ask(engine, "select position from samples order by 1", max_rows=5)

    assert ([row[0] for row in cut.rows], cut.truncated) == ([0, 1, 2, 3], True)
    assert (len(whole.rows), whole.truncated) == (5, False)


def test_values_of_postgresql_are_plain(on_postgresql: Engine) -> None:
    query = """
        select 1.50::numeric, 3::numeric, 'NaN'::numeric, '\\xff00'::bytea, date '2026-03-02',
          timestamp '2026-03-02 10:04:27', array[1.5, 2], '{"b": [1, null]}'::jsonb, null,
          true, int4range(1, 3), 'a1b2c3d4-0000-4000-8000-000000000000'::uuid
    """
    (row,) = ask(on_postgresql, query).rows

    assert row[:2] == (1.5, 3)
    assert isinstance(row[1], int)
    assert row[2] != row[2]
    assert row[3:] == (
        "ff00", "2026-03-02", "2026-03-02T10:04:27", [1.5, 2], {"b": [1, None]}, None, True,
        "[1, 3)", "a1b2c3d4-0000-4000-8000-000000000000",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("'infinity'::date", "infinity"),
        ("'-infinity'::timestamp", "-infinity"),
        ("'infinity'::timestamptz", "infinity"),
        ("date '12026-03-02'", "12026-03-02"),
        ("date '0044-03-15 BC'", "0044-03-15 BC"),
        ("array[date '2026-03-02', 'infinity']", ["2026-03-02", "infinity"]),
        ("time '24:00'", "24:00:00"),
        ("time '10:04'", "10:04:00"),
        ("interval '1 month 2 hours'", "1 mon 02:00:00"),
        ("interval '20000000 years'", "20000000 years"),
        ("timestamptz '2026-03-02 10:04:27+00'", "2026-03-02T10:04:27+00:00"),
    ],
)
def test_moments_that_python_does_not_know_are_texts(
    on_postgresql: Engine, value: str, shown: object
) -> None:
    found = ask(on_postgresql, f"select {value} as it, (select count(*) from runs)")  # noqa: S608

    assert found.rows == ((shown, 0),)


def test_values_of_sqlite_are_plain(on_sqlite: Engine) -> None:
    (row,) = ask(on_sqlite, "select x'ff00', cast(x'41ff' as text), 1.5, 2, null").rows

    assert row == ("ff00", "A\ufffd", 1.5, 2, None)


def test_explain_is_a_query(on_sqlite: Engine, on_postgresql: Engine) -> None:
    assert ask(on_sqlite, "explain query plan select * from docs").rows
    for options in (
        "",
        "analyze",
        "verbose",
        "analyze verbose",
        "(costs off)",
        "(analyze, buffers)",
    ):
        assert ask(on_postgresql, f"EXPLAIN {options} table docs;").rows


def test_table_functions_of_json_work(on_sqlite: Engine) -> None:
    assert ask(on_sqlite, "select value from json_each('[7, 8]')").rows == ((7,), (8,))


# ------------------------------------------------------------------------------------ refusals

WRITES = [
    "delete from run",
    "update run set name = 'x'",
    "insert into run (model) values ('x')",
    "replace into run (model) values ('x')",
    "drop table run",
    "create table x (a int)",
    "create temp table x (a int)",
    "alter table run add column x int",
    "truncate run",
    "vacuum",
    "vacuum into '{stolen}'",
    "reindex",
    "analyze",
    "attach '{stolen}' as x",
    "pragma query_only = off",
    "begin",
    "commit",
    "set statement_timeout = 0",
    "reset all",
    "copy run to '{stolen}'",
    "copy (select 1) to program 'touch {stolen}'",
    "do $$ begin delete from run; end $$",
    "call x()",
    "listen x",
    "lock table run",
    "with x as (delete from run returning 1) select * from x",
    "with x as (insert into run (model) values ('x') returning 1) select 1",
    "with x as (select 1) delete from run",
    "with x as (select 1) insert into run (model) select 'x'",
    "select 1 into x",
    "select * from run for update",
    "explain analyze delete from run",
    "explain (analyze) with x as (delete from run returning 1) select * from x",
    "explain analyze create table x as select 1",
    "explain (analyze, verbose) create table x as select 1",
    "explain analyze verbose create table x as select 1",
    "explain analyze select 1 into x",
    "explain analyze /* select */ create table x as select 1",
    "explain (analyze) execute x",
    "explain analyze create materialized view x as select 1",
    "explain analyze declare x cursor for select 1",
    "select 1; delete from run",
    "select 1; select 2",
    "explain select 1; delete from run",
    "select load_extension('{stolen}')",
    "select writefile('{stolen}', 'x')",
    "select lo_export(1, '{stolen}')",
    "select nextval('run_id_seq')",
    "select * from pragma_journal_mode('delete')",
    "select * from pragma_database_list",
    "select fts3_tokenizer('simple')",
]


@pytest.mark.parametrize("query", WRITES)
def test_nothing_can_be_written(engine: Engine, query: str, tmp_path: Path) -> None:
    fill(engine)
    stolen = tmp_path / "stolen"

    with pytest.raises(BadSqlError):
        ask(engine, query.format(stolen=stolen))

    with reading(engine) as conn:
        assert conn.scalar(select(func.count()).select_from(schema.run)) == 1
        names = conn.scalars(select(schema.run.c.name)).all()
        assert "x" not in inspect(conn).get_table_names()
    assert names == [None]
    assert not stolen.exists()


ESCAPES = [
    "select pg_read_file('/etc/passwd')",
    "select PG_Read_File('/etc/passwd')",
    "select \"pg_read_file\"('/etc/passwd')",
    "select pg_catalog.pg_read_file /* x */ ('/etc/passwd')",
    "select U&\"pg\\005fread_file\"('/etc/passwd')",
    "select u&\"pg!005fread_file\" uescape '!' ('/etc/passwd')",
    "select * from pg_ls_dir('/')",
    "select * from rows from (pg_ls_dir('/')) x",
    "select encode(pg_read_binary_file('/etc/passwd'), 'hex')",
    "select lo_import('/etc/passwd')",
    "select lo_get(1)",
    "select set_config('transaction_read_only', 'off', false)",
    "select set_config('statement_timeout', '0', true)",
    "select set_config('role', 'postgres', true)",
    "select current_setting('data_directory')",
    "select query_to_xml('delete from run', true, true, '')",
    "select table_to_xml(('pg_' || 'authid')::regclass, true, true, '')",
    "select database_to_xml(true, true, '')",
    "select * from ts_stat('select 1')",
    "select ts_rewrite('a'::tsquery, 'select 1')",
    "select * from pg_authid",
    "select * from pg_catalog . pg_shadow",
    "select * from pg_stat_activity",
    "select * from information_schema.user_mapping_options",
    "table pg_largeobject",
    "select pg_terminate_backend(1)",
    "select pg_cancel_backend(1)",
    "select pg_reload_conf()",
    "select pg_advisory_lock(1)",
    "select pg_notify('a', 'b')",
    "select pg_logical_emit_message(true, 'a', 'b')",
    "explain analyze select pg_read_file('/etc/passwd')",
]


@pytest.mark.parametrize("query", ESCAPES)
def test_nothing_around_the_store_can_be_reached(on_postgresql: Engine, query: str) -> None:
    with pytest.raises(BadSqlError, match="not allowed"):
        ask(on_postgresql, query)


def test_functions_that_others_made_and_that_may_do_anything_are_refused(
    on_postgresql: Engine,
) -> None:
    with on_postgresql.begin() as conn:
        conn.exec_driver_sql("CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        conn.exec_driver_sql("CREATE FUNCTION safe() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'")

    with pytest.raises(BadSqlError, match="'MINE' is not allowed"):
        ask(on_postgresql, "select MINE()")

    assert ask(on_postgresql, "select safe()").rows == ((1,),)


def test_a_forbidden_word_is_refused_in_a_text_too_and_allowed_in_two_pieces(
    on_postgresql: Engine,
) -> None:
    for query in ("select 'setval'", "select 1 /* setval */", "select 1 as setval"):
        with pytest.raises(BadSqlError, match="'setval' is not allowed, anywhere in it"):
            ask(on_postgresql, query)

    assert ask(on_postgresql, "select 'set' || 'val'").rows == (("setval",),)


def test_harmless_functions_are_allowed(on_postgresql: Engine) -> None:
    query = "select random() < 2, pg_typeof(1)::text from doc tablesample system (1)"

    assert ask(on_postgresql, query).rows == ()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "must begin with"),
        (" ; ", "must begin with"),
        ("-- select 1", "must begin with"),
        ("/* select 1", "must begin with"),
        ("nonsense", "must begin with"),
        ("select '\x00'", "must begin with"),
        ("select '\ud800'", "must begin with"),
        ("select from where", "error"),
        ("select ?", "bindings|syntax"),
        ("select $1", "bindings|parameter"),
        ("select nothing(1)", "nothing"),
        ("select * from smaples", "smaples.*did you mean samples"),
        ("select promt from samples", "promt.*did you mean prompt"),
        ("select s.respons from samples s", "s.respons.*did you mean response"),
        ("select zzzzzz from runs", "the views are docs, evaluations, "),
        ("/*" + "*/ /*" * 20000 + " select", "must begin with"),
    ],
)
def test_what_cannot_be_run_is_said(engine: Engine, query: str, message: str) -> None:
    with pytest.raises(BadSqlError, match=message):
        ask(engine, query)


ENDLESS = {
    "sqlite": "with recursive x(n) as (select 1 union all select n + 1 from x) select n from x "
    "where n < 0",
    "postgresql": "select pg_sleep(60)",
}


def test_a_query_that_takes_too_long_is_stopped(engine: Engine) -> None:
    with pytest.raises(BadSqlError, match=r"longer than 0\.2 s"):
        ask(engine, ENDLESS[engine.dialect.name], seconds=0.2)

    assert ask(engine, "select 1").rows == ((1,),)


def test_one_value_cannot_fill_the_memory(on_sqlite: Engine) -> None:
    with pytest.raises(BadSqlError, match="too big"):
        ask(on_sqlite, "select zeroblob(900000000)")


def test_limits_must_be_positive(engine: Engine) -> None:
    with pytest.raises(UsageError, match="positive"):
        ask(engine, "select 1", max_rows=0)
    with pytest.raises(UsageError, match="positive"):
        ask(engine, "select 1", seconds=float("nan"))


# ----------------------------------------------------------------------------------- SQLite's files


def test_a_query_leaves_nothing_beside_the_store(sqlite_url: str, tmp_path: Path) -> None:
    with_writer = open_engine(sqlite_url)
    fill(with_writer)
    with_writer.dispose()

    for write in (True, False):
        engine = open_engine(sqlite_url, write=write)
        assert ask(engine, "select count(*) from samples").rows == ((5,),)
        engine.dispose()

    assert [path.name for path in tmp_path.iterdir()] == ["store.db"]


def test_a_query_sees_what_a_writer_has_not_checkpointed(sqlite_url: str) -> None:
    writer = open_engine(sqlite_url)
    reader = open_engine(sqlite_url, write=False)
    fill(writer)

    assert ask(reader, "select count(*) from samples").rows == ((5,),)
    reader.dispose()
    writer.dispose()


def test_a_store_that_cannot_be_written_is_read(
    on_sqlite: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(on_sqlite)
    on_sqlite.dispose()
    monkeypatch.setattr(sqlite, "is_writable", lambda _path: False)

    assert ask(on_sqlite, "select count(*) from samples").rows == ((5,),)


def test_a_damaged_file_is_the_store_s_fault(sqlite_url: str, tmp_path: Path) -> None:
    engine = open_engine(sqlite_url)
    fill(engine)
    engine.dispose()
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as conn:
        (root,) = conn.execute("SELECT rootpage FROM sqlite_master WHERE name = 'doc'").fetchone()
        (size,) = conn.execute("PRAGMA page_size").fetchone()
    conn.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * size : root * size] = b"\xff" * size
    path.write_bytes(content)

    engine = open_engine(sqlite_url)
    with pytest.raises(StoreUnusableError, match="malformed"):
        ask(engine, "select * from docs")
    engine.dispose()
