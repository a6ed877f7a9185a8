from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
CHAT = ['[{"role": "user"}]']
DOCS = ('{"q": "ü", "n": [1.0, -0.0, 1e16, NaN]}', '"text"', '{"q": "\\u0000\\ud800"}', "{}")
CONTEXTS = ("plain", STRANGE, CHAT)
TARGETS = ("plain", STRANGE, [1, "ü"])
# (doc, target, parts as (context, rest) or what was logged in their place), each from 1
REQUESTS: tuple[tuple[int, int, Any], ...] = (
    (1, 1, [(1, [{"until": ["\n"], "temperature": 0.0}])]),
    (2, 2, [(2, [" a"]), (1, [""])]),
    (3, 3, [(3, [{}])]),
    (4, 3, [(1, []), (1, ["ü"])]),
    (1, 1, ["no", "parts", STRANGE]),
    (1, 1, []),
)


def columns(values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Return the rows of contexts or targets."""
    rows: list[tuple[Any, ...]] = []
    for key, value in enumerate(values, 1):
        if isinstance(value, str):
            rows.append((key, text_key(value), False, *json_exact.storable(value)))
        else:
            text = json_exact.dumps(value)
            rows.append((key, json_key(text.encode()), True, text, None))
    return rows


def written(value: Any) -> bytes:
    """Return JSON as a log holds it: lone surrogates only as escapes."""
    return json_exact.dumps(value).replace("\ud800", "\\ud800").encode()


def fields_of(key: int) -> dict[str, bytes]:
    """Return the fields of the line that a request came from."""
    doc, target, parts = REQUESTS[key - 1]
    arguments, prompt = parts or {}, None
    if parts and isinstance(parts[0], tuple):
        first = CONTEXTS[parts[0][0] - 1]
        prompt = first if isinstance(first, str) else first[0]
        arguments = {
            f"gen_args_{at}": {
                f"arg_{index}": value for index, value in enumerate([CONTEXTS[context - 1], *rest])
            }
            for at, (context, rest) in enumerate(parts)
        }
    fields = {
        "doc_id": b"%d" % key,
        "doc": DOCS[doc - 1].encode(),
        "target": written(TARGETS[target - 1]),
        "arguments": written(arguments),
        "doc_hash": quoted(json_exact.doc_hash(json_exact.loads(DOCS[doc - 1]))),
        "target_hash": quoted(json_exact.text_hash(str(TARGETS[target - 1]))),
    }
    return (
        fields
        if prompt is None
        else {**fields, "prompt_hash": quoted(json_exact.text_hash(prompt))}
    )


def quoted(hash_: bytes) -> bytes:
    return b'"%b"' % hash_.hex().encode()


def request_row(key: int, fields: dict[str, bytes], *, fit: bool | None = True) -> tuple[Any, ...]:
    """Return the row of a request; its hash is that of these fields."""
    doc, target, parts = REQUESTS[key - 1]
    is_regular = not parts or isinstance(parts[0], tuple)
    names = ("doc_id", "doc", "target", "arguments")
    head = b", ".join(b'"%b": %b' % (name.encode(), fields.get(name, b"")) for name in names)
    hashes = b"\n".join(
        fields.get(name, b"") for name in ("doc_hash", "prompt_hash", "target_hash")
    )
    prompt = fields_of(key).get("prompt_hash")
    return (
        key,
        hashlib.sha256(b"{%b\n%b" % (head, hashes)).digest(),
        doc,
        target,
        key if "doc_id" in fields else None,
        parts[0][0] if parts and is_regular else None,
        json_exact.dumps([rest for _, rest in parts]) if is_regular else None,
        None if is_regular else json_exact.escaped(parts),
        bytes.fromhex(prompt[1:-1].decode()) if prompt else None,
        fit,
    )


def fill(engine: Engine) -> int:
    """Store every kind of content; return how many there are."""
    docs = [
        (at, json_exact.doc_hash(json_exact.loads(doc)), doc, None)
        for at, doc in enumerate(DOCS, 1)
    ]
    keys = range(1, len(REQUESTS) + 1)
    with atomic(engine) as conn:
        write_rows(conn, schema.doc, docs)
        write_rows(conn, schema.context, columns(CONTEXTS))
        write_rows(conn, schema.target, columns(TARGETS))
        write_rows(conn, schema.request, [request_row(key, fields_of(key)) for key in keys])
        write_rows(conn, schema.request_part, [(2, 1, 1)])
    return len(docs) + len(CONTEXTS) + len(TARGETS) + len(REQUESTS)


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
        ("UPDATE target SET text = 'plane' WHERE id = 1", "target 1", "its hash is not"),
        ("UPDATE target SET exact = 'x' WHERE id = 2", "target 2", "its exact text can't be read"),
        ("UPDATE context SET exact = NULL WHERE id = 2", "context 2", "its hash is not"),
        ("UPDATE context SET is_json = (1 = 0) WHERE id = 3", "context 3", "its hash is not"),
        ("UPDATE request SET exact = '[]' WHERE id = 5", "request 5", "its hash is not"),
        ("UPDATE request SET doc_id = 4 WHERE id = 5", "request 5", "its hash is not"),
        ("UPDATE request SET target_id = 3 WHERE id = 1", "request 1", "its hash is not"),
        ("UPDATE request SET logged_doc_id = 7 WHERE id = 1", "request 1", "its hash is not"),
        ("UPDATE request SET context_id = 2 WHERE id = 1", "request 1", "its prompt's hash"),
        ("UPDATE request SET rest_json = 'x' WHERE id = 1", "request 1", "its JSON"),
        ("DELETE FROM request_part WHERE request_id = 2", "request 2", "its hash is not"),
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
    if where.startswith("request "):  # other contents are part of a request as well
        assert len(found.problems) == 1


def test_problems_are_counted_and_the_first_are_shown(engine: Engine, store_url: str) -> None:
    wrong = [(at, at.to_bytes(32, "big"), False, "x", None) for at in range(1, 251)]
    with atomic(engine) as conn:
        write_rows(conn, schema.context, wrong)
    found = lifecycle.check(store_url)
    assert (len(found.problems), found.n_problems) == (lifecycle.MAX_PROBLEMS, 250)


def test_a_damaged_file_is_seen(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    with atomic(engine) as conn:
        rows = [(at, at.to_bytes(32, "big"), False, "x" * 3000, None) for at in range(1, 200)]
        write_rows(conn, schema.context, rows)
    engine.dispose()
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    content = bytearray(path.read_bytes())
    content[-40_000:-20_000] = b"\xff" * 20_000
    path.write_bytes(content)

    assert lifecycle.check(sqlite_url).n_problems > 0


def test_rows_that_refer_to_nothing_are_seen(sqlite_url: str) -> None:
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as conn:
        conn.execute("INSERT INTO subset_version VALUES (7, 7, 1, '', NULL, 0, '')")
        conn.commit()
    found = lifecycle.check(sqlite_url)
    assert {problem.where for problem in found.problems} == {"subset_version"}


def test_rows_written_in_bulk_that_refer_to_nothing_are_seen(
    engine: Engine, store_url: str
) -> None:
    fill(engine)
    with atomic(engine) as conn:
        write_rows(conn, schema.score, [(4, position, 1.0, None) for position in range(3)])
        write_rows(conn, schema.request_part, [(9, 1, 1)])
        conn.exec_driver_sql("DELETE FROM doc WHERE id = 4")

    found = lifecycle.check(store_url).problems

    assert [(problem.where, problem.what) for problem in found] == [
        ("request", "1 row refers to doc 4, which does not exist"),
        ("request_part", "1 row refers to request 9, which does not exist"),
        ("score", "3 rows refer to aggregate 4, which does not exist"),
        ("request 4", "its doc is missing"),
    ]


@pytest.mark.parametrize(
    "write",
    [
        json_exact.dumps,
        json_exact.escaped,
        lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
        lambda value: json.dumps(value, separators=(",", ":")),
    ],
    ids=["as lm-eval", "ASCII", "compact", "compact ASCII"],
)
def test_requests_may_come_from_lines_that_were_written_again(
    engine: Engine, store_url: str, write: Callable[[Any], str]
) -> None:
    fill(engine)
    with atomic(engine) as conn:
        conn.execute(schema.request.delete())
        for key in range(1, len(REQUESTS) + 1):
            fields = {
                name: write(json_exact.loads(value)).replace("\ud800", "\\ud800").encode()
                for name, value in fields_of(key).items()
            }
            write_rows(conn, schema.request, [request_row(key, fields)])
    assert lifecycle.check(store_url).problems == ()


@pytest.mark.parametrize("missing", ["doc_id", "doc_hash", "prompt_hash", "target_hash", "_hash"])
def test_a_request_may_come_from_a_line_without_some_fields(
    engine: Engine, store_url: str, missing: str
) -> None:
    fields = {name: text for name, text in fields_of(2).items() if not name.endswith(missing)}
    fill(engine)
    with atomic(engine) as conn:
        conn.execute(schema.request.delete().where(schema.request.c.id == 2))
        write_rows(conn, schema.request, [request_row(2, fields)])
    assert lifecycle.check(store_url).problems == ()


@pytest.mark.parametrize("fit", [False, None])
def test_a_request_whose_logged_hashes_are_unknown_is_checked_by_its_prompt(
    engine: Engine, store_url: str, fit: bool | None
) -> None:
    fields = {**fields_of(1), "doc_hash": b'"0"'}
    fill(engine)
    with atomic(engine) as conn:
        conn.execute(schema.request.delete().where(schema.request.c.id == 1))
        write_rows(conn, schema.request, [request_row(1, fields, fit=fit)])
    assert lifecycle.check(store_url).problems == ()

    with atomic(engine) as conn:
        conn.exec_driver_sql("UPDATE request SET context_id = 2 WHERE id = 1")
    (problem,) = lifecycle.check(store_url).problems
    assert problem.what == "its prompt's hash is not that of its prompt"


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
