from __future__ import annotations

import math
import subprocess
import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from rescore_db.errors import AlreadyExistsError
from rescore_db.store import schema
from rescore_db.store.bulk import (
    add_contents,
    find_ids,
    lock_content,
    next_id,
    refresh_statistics,
    write_rows,
)
from rescore_db.store.engine import atomic, open_engine, reading
from tests.store.named_rows import add_subset, subset_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine, Table

TEXTS = (
    "",
    "plain",
    "ünïcode 日本語 🎉",
    "\ufffd",
    "tab\tquote'\"\\N\\",
    "line\nline\u2028",
    "x" * 70_000,
)


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def content(*texts: str, start: int = 1) -> list[tuple[Any, ...]]:
    return [(at, digest(at), False, text, None) for at, text in enumerate(texts, start)]


def write(engine: Engine, table: Table, rows: object, columns: list[str] | None = None) -> int:
    with atomic(engine) as conn:
        return write_rows(conn, table, rows, columns)  # type: ignore[arg-type]


def count(engine: Engine, table: Table) -> int:
    with reading(engine) as conn:
        return conn.scalar(select(func.count()).select_from(table)) or 0


# ----------------------------------------------------------------------------------- write_rows


def test_texts_bytes_and_flags_come_back_as_they_were(engine: Engine) -> None:
    rows = content(*TEXTS)
    rows.append((2**40, bytes(range(256)), True, "[1]", '"\\u0000"'))

    assert write(engine, schema.context, rows) == len(rows)

    with reading(engine) as conn:
        found = [tuple(row) for row in conn.execute(select(schema.context))]
    assert sorted(found) == sorted(rows)
    assert all(type(row[2]) is bool for row in found)


@pytest.mark.parametrize(
    "value",
    [None, 0.0, 1.0, -1.5, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, 1, True],
)
def test_numbers_come_back_as_they_were(engine: Engine, value: float | None) -> None:
    row = ("g", "none", "acc", None, value, None, None, None)
    columns = [column.name for column in schema.group_metric.columns if column.name != "id"]
    with atomic(engine) as conn:
        run = (1, "m", "", "", 1, None, None, None, None, None, "[]", "")
        write_rows(conn, schema.run, [run])
        write_rows(conn, schema.scoring, [(1, 1, "logged", "logged", b"", "{}", 1, None, "")])
        assert write_rows(conn, schema.group_metric, [(1, *row)], columns) == 1
        found = conn.execute(
            select(schema.group_metric.c.value, schema.group_metric.c.stderr)
        ).one()
    assert tuple(found) == (value, None)


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_whole_numbers_come_back_as_they_were(engine: Engine, number: int) -> None:
    row = ("file", b"", number, "")
    assert write(engine, schema.source_file, [row], ["path", "digest", "size", "read_at"]) == 1
    with reading(engine) as conn:
        assert conn.scalar(select(schema.source_file.c.size)) == number


def test_json_text_becomes_what_predicates_read(engine: Engine) -> None:
    docs = ['{"level": 3, "tags": ["ä"]}', "[1, 2]", '"text"', "null", "1.5"]
    write(engine, schema.doc, [(at, digest(at), doc, doc) for at, doc in enumerate(docs, 1)])

    level = {"sqlite": "body->>'level' = 3", "postgresql": "(body->>'level')::int = 3"}
    with reading(engine) as conn:
        found = conn.exec_driver_sql(f"SELECT id FROM doc WHERE {level[engine.dialect.name]}")  # noqa: S608
        assert found.scalars().all() == [1]
        assert conn.scalar(select(func.count(schema.doc.c.body))) == 5


def test_no_rows_are_no_rows(engine: Engine) -> None:
    assert write(engine, schema.context, []) == 0
    assert write(engine, schema.context, iter(())) == 0
    assert count(engine, schema.context) == 0


@pytest.mark.parametrize("n", [1, 23, 24, 25, 48, 100])
def test_any_number_of_rows_is_written_in_order(engine: Engine, n: int) -> None:
    rows = content(*map(str, range(n)))
    assert write(engine, schema.context, iter(rows)) == n
    with reading(engine) as conn:
        found = conn.execute(select(schema.context).order_by(schema.context.c.id)).all()
    assert [(key, bytes(hash_), *rest) for key, hash_, *rest in found] == rows


def test_contents_are_stored_where_they_are_new(engine: Engine) -> None:
    first = {digest(at): (False, str(at), None) for at in range(30)}
    more = {digest(at): (False, "the text of a hash that is known", None) for at in range(20, 60)}
    with atomic(engine) as conn:
        ids = add_contents(conn, schema.context, first)
        found = add_contents(conn, schema.context, more)
        assert add_contents(conn, schema.context, {}) == {}

        texts = conn.execute(select(schema.context.c.id, schema.context.c.text)).all()

    assert {digest(at): found[digest(at)] for at in range(20, 30)} == {
        hash_: key for hash_, key in ids.items() if hash_ >= digest(20)
    }
    assert set(found) == set(more)
    assert len(texts) == len({*ids.values(), *found.values()}) == 60
    assert sorted(text for _, text in texts if text.isdigit()) == sorted(map(str, range(30)))


def test_columns_are_chosen_and_the_others_stay_empty(engine: Engine) -> None:
    assert write(engine, schema.subset, [("hard",), ("easy",)], ["name"]) == 2
    assert subset_names(engine) == ["hard", "easy"]


def test_reserved_words_are_names_too(engine: Engine) -> None:
    with atomic(engine) as conn:
        assert write_rows(conn, schema.request_part, [(1, 0, 1)]) == 1


def test_memory_does_not_grow_with_the_rows(engine: Engine) -> None:
    large = 200_000
    rows = ((at, digest(at), False, str(at % 10) * large, None) for at in range(1, 201))
    tracemalloc.start()
    try:
        assert write(engine, schema.context, rows) == 200
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * large


def test_an_iterator_that_fails_leaves_nothing(engine: Engine) -> None:
    def rows() -> Iterator[tuple[Any, ...]]:
        yield from content("a", "b")
        msg = "the log is damaged"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="the log is damaged"):
        write(engine, schema.context, rows())

    assert count(engine, schema.context) == 0
    assert write(engine, schema.context, content("a")) == 1


def test_a_taken_key_is_said_and_leaves_nothing(engine: Engine) -> None:
    write(engine, schema.context, content("a"))
    again = [*content("b", start=2), (3, digest(1), False, "a", None)]
    with pytest.raises(AlreadyExistsError, match="hash"):
        write(engine, schema.context, again)
    assert count(engine, schema.context) == 1


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (schema.context, (1, digest(1), False, None, None)),
        (schema.run_tag, (7, "no such run")),
        (schema.scoring, (1, 1, "guessed", "x", b"", "{}", 1, None, "")),
    ],
)
def test_a_broken_rule_is_our_bug(engine: Engine, table: Table, row: tuple[Any, ...]) -> None:
    with pytest.raises(IntegrityError):
        write(engine, table, [row])
    assert count(engine, table) == 0


def test_a_savepoint_takes_back_rows(engine: Engine) -> None:
    def failing() -> Iterator[tuple[Any, ...]]:
        yield from content("b", start=2)
        raise ZeroDivisionError

    with atomic(engine) as conn:
        write_rows(conn, schema.context, content("a"))
        with pytest.raises(ZeroDivisionError), atomic(conn) as inner:
            write_rows(inner, schema.context, failing())
        write_rows(conn, schema.context, content("c", start=3))

    assert count(engine, schema.context) == 2


def test_outside_a_transaction_nothing_is_written(engine: Engine) -> None:
    with engine.connect() as conn:
        for call in (
            lambda: write_rows(conn, schema.context, content("a")),
            lambda: lock_content(conn),
            lambda: refresh_statistics(conn),
        ):
            with pytest.raises(RuntimeError, match="atomic"):
                call()


# ------------------------------------------------------------------------------ ids and hashes


def test_known_hashes_are_found_in_any_number(engine: Engine) -> None:
    write(engine, schema.context, content(*map(str, range(1200))))
    wanted = [digest(number) for number in range(1001, 2000)]
    with reading(engine) as conn:
        assert find_ids(conn, schema.context, wanted) == {
            digest(number): number for number in range(1001, 1201)
        }
        assert find_ids(conn, schema.context, []) == {}
        assert find_ids(conn, schema.doc, iter(wanted)) == {}


def test_ids_begin_at_one_and_go_on_after_the_largest(engine: Engine) -> None:
    with atomic(engine) as conn:
        lock_content(conn)
        assert next_id(conn, schema.context) == 1
        write_rows(conn, schema.context, content("a", "b", start=41))
        assert next_id(conn, schema.context) == 43


ADD = """
import sys
from rescore_db.store import schema
from rescore_db.store.bulk import *
from rescore_db.store.engine import atomic, open_engine
url, name = sys.argv[1:]
engine = open_engine(url)
for number in range(15):
    with atomic(engine) as conn:
        lock_content(conn)
        first = next_id(conn, schema.context)
        hashes = [f"{name} {number} {at}".encode() for at in range(20)]
        rows = [(first + at, hash_, False, name, None) for at, hash_ in enumerate(hashes)]
        shared = b"shared %d" % number
        if not find_ids(conn, schema.context, [shared]):
            rows.append((first + 20, shared, False, "shared", None))
        write_rows(conn, schema.context, rows)
engine.dispose()
"""


def test_two_processes_share_contents_and_never_an_id(store_url: str) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", ADD, store_url, name])  # noqa: S603 - ours
        for name in ("a", "b")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]

    engine = open_engine(store_url, write=False)
    with reading(engine) as conn:
        ids = conn.scalars(select(schema.context.c.id)).all()
    engine.dispose()
    assert sorted(ids) == list(range(1, 2 * 15 * 20 + 15 + 1))


def test_the_lock_ends_with_its_transaction(engine: Engine) -> None:
    order: list[str] = []

    def second() -> None:
        with atomic(engine) as conn:
            lock_content(conn)
            order.append("second")

    with atomic(engine) as conn:
        lock_content(conn)
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_statistics_can_be_refreshed_at_any_time(engine: Engine) -> None:
    with atomic(engine) as conn:
        add_subset(conn, "hard")
        refresh_statistics(conn)
        write_rows(conn, schema.context, content("a"))
        refresh_statistics(conn)
    assert subset_names(engine) == ["hard"]
