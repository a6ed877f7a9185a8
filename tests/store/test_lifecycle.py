from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import text

from rescore_db import json_exact
from rescore_db.errors import StoreUnusableError
from rescore_db.store import lifecycle, schema
from rescore_db.store.bulk import write_rows
from rescore_db.store.content import json_key, text_key
from rescore_db.store.engine import atomic, open_engine
from rescore_db.store.found import HEAD, REVISIONS
from tests.store.named_rows import add_subset, subset_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine


def run(script: str, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *args])  # noqa: S603 - ours


# ---------------------------------------------------------------------- init, upgrade, current


def test_a_store_is_made_once(empty_url: str) -> None:
    assert lifecycle.current(empty_url).revision is None

    made = lifecycle.init(empty_url)
    assert (made.before, made.after) == (None, HEAD)
    assert lifecycle.current(empty_url).revision == HEAD

    engine = open_engine(empty_url)
    with atomic(engine) as conn:
        add_subset(conn, "hard")
    again = lifecycle.init(empty_url)
    assert (again.before, again.after) == (HEAD, HEAD)
    assert subset_names(engine) == ["hard"]
    engine.dispose()


def test_asking_makes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/none.db"
    assert lifecycle.current(url).revision is None
    with pytest.raises(StoreUnusableError, match="there is no store at"):
        lifecycle.upgrade(url)
    with pytest.raises(StoreUnusableError, match="there is no store at"):
        lifecycle.check(url)
    assert list(tmp_path.iterdir()) == []


def test_an_older_store_is_upgraded_with_its_rows(empty_url: str) -> None:
    with lifecycle.migrating(empty_url) as conn:
        lifecycle.run_migrations(conn, REVISIONS[0])
        add_subset(conn, "hard")
    with pytest.raises(StoreUnusableError, match="rescore db upgrade"):
        lifecycle.init(empty_url)

    done = lifecycle.upgrade(empty_url)

    assert (done.before, done.after) == (REVISIONS[0], HEAD)
    engine = open_engine(empty_url)
    assert subset_names(engine) == ["hard"]
    engine.dispose()
    assert lifecycle.check(empty_url).problems == ()
    assert lifecycle.upgrade(empty_url).before == HEAD


@pytest.mark.parametrize("verb", [lifecycle.init, lifecycle.upgrade, lifecycle.current])
def test_nothing_is_done_to_a_newer_store(store_url: str, verb: Callable[[str], object]) -> None:
    engine = open_engine(store_url)
    with atomic(engine) as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreUnusableError, match="newer"):
        verb(store_url)


@pytest.mark.parametrize("verb", [lifecycle.init, lifecycle.upgrade, lifecycle.current])
def test_nothing_is_done_to_somebody_elses_database(
    empty_url: str, verb: Callable[[str], object]
) -> None:
    create = "CREATE TABLE song (title text)"
    if empty_url.startswith("sqlite"):
        with closing(sqlite3.connect(empty_url.removeprefix("sqlite:///"))) as theirs:
            theirs.execute(create)
    else:
        with psycopg.connect(empty_url) as theirs_too:
            theirs_too.execute(create)
    with pytest.raises(StoreUnusableError, match=r"not a rescore store \(it holds: song\)"):
        verb(empty_url)


def test_a_migration_that_fails_leaves_the_store_as_it_was(empty_url: str) -> None:
    with lifecycle.migrating(empty_url) as conn:
        lifecycle.run_migrations(conn, REVISIONS[0])
        conn.exec_driver_sql("CREATE VIEW history AS SELECT 1 AS x")  # in the way of the last step

    with pytest.raises(Exception, match="history"):
        lifecycle.upgrade(empty_url)

    assert lifecycle.current(empty_url).revision == REVISIONS[0]
    with lifecycle.migrating(empty_url) as conn:
        conn.exec_driver_sql("DROP VIEW history")
    assert lifecycle.upgrade(empty_url).after == HEAD


def test_a_migration_may_not_leave_orphans(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    lifecycle.init(url)
    with pytest.raises(StoreUnusableError, match="rows of evaluation refer to rows of"):
        leave_orphan(url)
    assert lifecycle.check(url).problems == ()


def leave_orphan(url: str) -> None:
    with lifecycle.migrating(url) as conn:
        row = (1, 7, 7, None, None, None, "{}", 0, 0, None, None, None, 0, False, False, "[]")
        write_rows(conn, schema.evaluation, [row])


# ------------------------------------------------------------------------- kills, and at once

KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
from rescore_db.store import engine, lifecycle
url, last = sys.argv[1], int(sys.argv[2])
seen = 0
@event.listens_for(Engine, "after_cursor_execute")
def count(*args):
    global seen
    seen += 1
    if seen == last:
        os.kill(os.getpid(), signal.SIGKILL)
@event.listens_for(Engine, "commit")
def commit(conn):
    if last == 0:
        os.kill(os.getpid(), signal.SIGKILL)
lifecycle.init(url)
"""


@pytest.mark.parametrize("statements", [1, 2, 12, 40, 0])
def test_a_process_that_is_killed_while_it_makes_a_store_leaves_none(
    empty_url: str, statements: int
) -> None:
    assert run(KILLED, empty_url, str(statements)).wait(60) == -signal.SIGKILL

    assert lifecycle.current(empty_url).revision is None
    with pytest.raises(StoreUnusableError, match=r"rescore db init"):
        open_engine(empty_url, write=False)
    assert lifecycle.init(empty_url).before is None
    assert lifecycle.check(empty_url).problems == ()


def test_a_process_that_is_killed_while_it_upgrades_leaves_the_old_store(empty_url: str) -> None:
    with lifecycle.migrating(empty_url) as conn:
        lifecycle.run_migrations(conn, REVISIONS[0])
    script = KILLED.replace("lifecycle.init(url)", "lifecycle.upgrade(url)")

    assert run(script, empty_url, "12").wait(60) == -signal.SIGKILL

    assert lifecycle.current(empty_url).revision == REVISIONS[0]
    lifecycle.upgrade(empty_url)
    assert lifecycle.check(empty_url).problems == ()


MAKE_AND_WRITE = """
import sys
from sqlalchemy import insert
from rescore_db.store import lifecycle, schema
from rescore_db.store.engine import atomic, open_engine
url, name = sys.argv[1:]
lifecycle.init(url)
engine = open_engine(url)
with atomic(engine) as conn:
    conn.execute(insert(schema.subset).values(name=name))
engine.dispose()
"""


def test_of_processes_that_make_a_store_at_once_each_finds_its_rows(empty_url: str) -> None:
    writers = [run(MAKE_AND_WRITE, empty_url, name) for name in "abcd"]
    assert [writer.wait(60) for writer in writers] == [0] * 4

    engine = open_engine(empty_url, write=False)
    assert sorted(subset_names(engine)) == list("abcd")
    engine.dispose()
    assert lifecycle.check(empty_url).problems == ()


# ---------------------------------------------------------------------------------------- check

STRANGE = "a\x00b\ud800c"
ARGUMENTS = {
    1: {"gen_args_0": {"arg_0": "plain", "arg_1": {"until": ["\n"], "temperature": 0.0}}},
    2: {
        "gen_args_0": {"arg_0": STRANGE, "arg_1": " a"},
        "gen_args_1": {"arg_0": "plain", "arg_1": ""},
    },
    3: {"gen_args_0": {"arg_0": ['[{"role": "user"}]'], "arg_1": {}}},
    4: {"gen_args_0": {"arg_0": "plain"}},
    5: ["no", "parts", STRANGE],
}
CONTEXTS = {"plain": 1, STRANGE: 2, json_exact.dumps(['[{"role": "user"}]']): 3}
DOCS = ('{"q": "ü", "n": [1.0, -0.0, 1e16, NaN]}', '"text"', '{"q": "\\u0000\\ud800"}', "{}")


def fill(engine: Engine) -> int:
    """Store every kind of content; return how many there are."""
    texts = [
        (1, text_key("plain"), False, "plain", None),
        (2, text_key(STRANGE), False, *json_exact.storable(STRANGE)),
        (
            3,
            json_key(b'["[{\\"role\\": \\"user\\"}]"]'),
            True,
            '["[{\\"role\\": \\"user\\"}]"]',
            None,
        ),
    ]
    docs = [
        (at, json_exact.doc_hash(json_exact.loads(doc)), doc, None)
        for at, doc in enumerate(DOCS, 1)
    ]
    with atomic(engine) as conn:
        write_rows(conn, schema.doc, docs)
        for table in (schema.context, schema.target, schema.response):
            write_rows(conn, table, texts)
        for key, arguments in ARGUMENTS.items():
            hash_ = json_exact.text_hash(json_exact.dumps(arguments))
            exact = None if isinstance(arguments, dict) else json_exact.escaped(arguments)
            write_rows(conn, schema.request, [(key, hash_, None, exact)])
            if isinstance(arguments, dict):
                for index, part in enumerate(arguments.values()):
                    first, *rest = part.values()
                    context = CONTEXTS[first if isinstance(first, str) else json_exact.dumps(first)]
                    row = (key, index, context, json_exact.dumps(rest))
                    write_rows(conn, schema.request_part, [row])
    return len(docs) + 3 * len(texts) + len(ARGUMENTS)


def test_a_sound_store_has_no_problems(engine: Engine, store_url: str) -> None:
    contents = fill(engine)
    found = lifecycle.check(store_url)
    assert found.problems == ()
    assert (found.contents, found.revision, found.n_problems) == (contents, HEAD, 0)


@pytest.mark.parametrize(
    ("statement", "where", "what"),
    [
        ("UPDATE doc SET text = '{\"q\": 2}' WHERE id = 2", "doc 2", "its hash is not that"),
        ("UPDATE doc SET text = 'broken' WHERE id = 2", "doc 2", "its JSON can't be read"),
        ("UPDATE response SET text = 'plane' WHERE id = 1", "response 1", "its hash is not"),
        ("UPDATE response SET exact = NULL WHERE id = 2", "response 2", "its hash is not"),
        ("UPDATE target SET exact = 'x' WHERE id = 2", "target 2", "its exact text can't be read"),
        ("UPDATE context SET is_json = (1 = 0) WHERE id = 3", "context 3", "its hash is not"),
        ("UPDATE request SET exact = '[]' WHERE id = 5", "request 5", "its hash is not"),
        ("DELETE FROM request_part WHERE request_id = 4", "request 4", "its hash is not"),
        ("UPDATE request_part SET rest_json = 'x' WHERE request_id = 1", "request 1", "its JSON"),
        ("DROP VIEW history", "view history", "it is missing"),
        ("DROP INDEX ix_sample_doc_id", "index ix_sample_doc_id", "it is missing"),
        ("CREATE INDEX mine ON doc (text)", "index mine", "it is not part of a store"),
        ("ALTER TABLE run RENAME COLUMN notes_json TO notes", "run", "it is"),
    ],
)
def test_what_is_wrong_is_named(
    engine: Engine, store_url: str, statement: str, where: str, what: str
) -> None:
    fill(engine)
    with atomic(engine) as conn:
        conn.exec_driver_sql(statement)

    found = lifecycle.check(store_url)

    assert found.n_problems == len(found.problems)
    named = [problem for problem in found.problems if where in f"{problem.where} {problem.what}"]
    assert named
    assert named[0].what.startswith(what)
    if where[-1].isdigit() and where != "context 3":  # a context is part of a request as well
        assert len(found.problems) == 1


def test_problems_are_counted_and_the_first_are_shown(engine: Engine, store_url: str) -> None:
    wrong = [(at, at.to_bytes(32, "big"), False, "x", None) for at in range(1, 251)]
    with atomic(engine) as conn:
        write_rows(conn, schema.response, wrong)
    found = lifecycle.check(store_url)
    assert (len(found.problems), found.n_problems) == (lifecycle.MAX_PROBLEMS, 250)


def test_a_damaged_file_is_seen(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with atomic(engine) as conn:
        rows = [(at, at.to_bytes(32, "big"), False, "x" * 3000, None) for at in range(1, 200)]
        write_rows(conn, schema.response, rows)
    engine.dispose()
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    content = bytearray(path.read_bytes())
    content[-40_000:-20_000] = b"\xff" * 20_000
    path.write_bytes(content)

    assert lifecycle.check(sqlite_url).n_problems > 0


def test_rows_that_refer_to_nothing_are_seen(sqlite_url: str) -> None:
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as conn:
        conn.execute("INSERT INTO request_part VALUES (7, 0, 7, '[]')")
        conn.commit()
    found = lifecycle.check(sqlite_url)
    assert {problem.where for problem in found.problems} == {"request_part"}


def test_checking_changes_nothing(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    before = path.read_bytes()
    lifecycle.check(sqlite_url)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_installation_without_migrations_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "__file__", str(tmp_path / "rescore_db/store/lifecycle.py"))
    with pytest.raises(StoreUnusableError, match="installation is incomplete"):
        lifecycle.migrations_folder()


def test_migrations_in_the_package_come_before_the_checkouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "rescore_db/_migrations"
    for folder in (packed, tmp_path / "migrations"):
        folder.mkdir(parents=True)
        (folder / "env.py").touch()
    monkeypatch.setattr(lifecycle, "__file__", str(tmp_path / "rescore_db/store/lifecycle.py"))
    assert lifecycle.migrations_folder() == packed
