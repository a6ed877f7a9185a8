"""Scratch = migrated = every step, compared on the database's own DDL."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from rescore_db.store import engine as engines
from rescore_db.store import lifecycle, schema
from rescore_db.store.engine import open_engine, reading
from rescore_db.store.found import HEAD, REVISIONS
from tests.store.named_rows import add_subset, subset_names

if TYPE_CHECKING:
    from sqlalchemy import Connection

CHECKOUT = Path(__file__).parents[2]
VERSIONS = CHECKOUT / "migrations" / "versions"


def ddl(conn: Connection) -> dict[str, str]:
    return engines.backend(conn).ddl(conn)


def ddl_at(url: str) -> dict[str, str]:
    engine = open_engine(url, write=False)
    with reading(engine) as conn:
        found = ddl(conn)
    engine.dispose()
    return found


def parts(text: str) -> tuple[list[str], list[str]]:
    """Split DDL into columns, whose order counts, and constraints, whose order does not."""
    lines = [line.strip().rstrip(", ") for line in text.splitlines()]
    constraints = [line for line in lines if line.startswith("CONSTRAINT")]
    return [line for line in lines if line not in constraints], sorted(constraints)


@pytest.fixture
def store_ddl(empty_url: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """The DDL of a store of the kind of `empty_url`, made at once."""
    kind = empty_url.partition(":")[0].replace("postgresql", "postgres")
    return ddl_at(request.getfixturevalue(f"{kind}_url"))


def test_the_known_revisions_are_the_scripts() -> None:
    config = Config()
    config.set_main_option("script_location", str(lifecycle.migrations_folder()))
    scripts = ScriptDirectory.from_config(config)
    known = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(known)) == REVISIONS
    assert scripts.get_current_head() == HEAD


def test_the_migrations_make_what_the_schema_says(
    empty_url: str, store_ddl: dict[str, str]
) -> None:
    engine = create_engine(re.sub("^postgresql:", "postgresql+psycopg:", empty_url))
    schema.metadata.create_all(engine)
    with engine.connect() as conn:
        expected = ddl(conn)
    engine.dispose()

    found = {
        name: text
        for name, text in store_ddl.items()
        if not name.startswith(("view ", "function ")) and "alembic_version" not in name
    }

    assert found.keys() == expected.keys()
    for name, text in expected.items():
        assert parts(found[name]) == parts(text), name


def test_step_by_step_with_rows_is_the_same_as_at_once(
    empty_url: str, store_ddl: dict[str, str]
) -> None:
    for revision in REVISIONS:
        with lifecycle.migrating(empty_url) as conn:
            lifecycle.run_migrations(conn, revision)
            add_subset(conn, f"at {revision}")

    assert ddl_at(empty_url) == store_ddl
    engine = open_engine(empty_url, write=False)
    assert subset_names(engine) == [f"at {revision}" for revision in REVISIONS]
    engine.dispose()


def test_tables_that_are_keyed_by_more_than_an_id_have_no_rowid(sqlite_url: str) -> None:
    tables = {name: text for name, text in ddl_at(sqlite_url).items() if name.startswith("table ")}
    without = {
        name.removeprefix("table ") for name, text in tables.items() if "WITHOUT ROWID" in text
    }
    expected = "sample line request_part score filtered_response subset_doc run_tag"
    assert without == set(expected.split())


def test_json_is_jsonb_only_in_postgresql(store_url: str) -> None:
    found = ddl_at(store_url)
    if store_url.startswith("sqlite"):
        assert "body TEXT" in found["table doc"]
    else:
        assert found["column doc.body"].startswith("jsonb")
        assert found["column doc.id"].startswith("bigint NOT NULL")
        assert "nextval" in found["column run.id"]
        assert "nextval" not in found["column doc.id"]


@pytest.mark.parametrize("script", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_revisions_import_nothing_of_ours_and_tell_about_rows(script: Path) -> None:
    tree = ast.parse(script.read_text())
    assert "rescore_db" not in script.read_text()
    about = ast.get_docstring(tree) or ""
    assert re.search("(?i)rows|there were none before", about)
    assert script.stem.startswith(tuple(REVISIONS))


# ------------------------------------------------------------------ the plain alembic command


def alembic(*args: str, url: str | None, cwd: Path = CHECKOUT) -> str:
    env = {**os.environ, "RESCORE_DB": url or ""}
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", "alembic", *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_plain_command_makes_checks_and_unmakes_a_store(
    empty_url: str, store_ddl: dict[str, str]
) -> None:
    alembic("upgrade", "head", url=empty_url)
    assert HEAD in alembic("current", url=empty_url)
    assert "No new upgrade operations detected" in alembic("check", url=empty_url)
    assert ddl_at(empty_url) == store_ddl

    alembic("downgrade", "base", url=empty_url)
    alembic("upgrade", "head", url=empty_url)
    assert ddl_at(empty_url) == store_ddl


def test_without_a_url_the_store_is_made_here(tmp_path: Path) -> None:
    alembic("-c", str(CHECKOUT / "alembic.ini"), "upgrade", "head", url=None, cwd=tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["rescore.db"]


@pytest.mark.parametrize("url", ["sqlite:///x.db", "postgresql://host/db"])
def test_the_statements_can_be_read_instead(url: str, tmp_path: Path) -> None:
    ini = str(CHECKOUT / "alembic.ini")
    found = alembic("-c", ini, "upgrade", "head", "--sql", url=url, cwd=tmp_path)
    assert "CREATE TABLE scored_evaluation" in found
    assert "CREATE VIEW history" in found
    assert ("SET COMPRESSION lz4" in found) is url.startswith("postgresql")
    assert list(tmp_path.iterdir()) == []


def test_a_new_revision_names_only_what_it_imports(sqlite_url: str, tmp_path: Path) -> None:
    """`render_item` writes our two-database types; what is generated has to run."""
    engine = open_engine(sqlite_url)
    with engine.begin() as conn:
        conn.exec_driver_sql("DROP VIEW samples")
        conn.exec_driver_sql("DROP VIEW docs")
        conn.exec_driver_sql("ALTER TABLE doc DROP COLUMN body")
    engine.dispose()
    copy = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / "migrations", copy / "migrations")
    shutil.copy(CHECKOUT / "alembic.ini", copy)

    alembic(
        "revision", "--autogenerate", "--rev-id", "9000", "-m", "body", url=sqlite_url, cwd=copy
    )

    generated = (copy / "migrations/versions/9000_body.py").read_text()
    assert "postgresql.JSONB().with_variant(sa.Text(), 'sqlite')" in generated
    assert "rescore_db" not in generated
    exec(compile(generated, "9000_body.py", "exec"), {"__name__": "revision"})  # noqa: S102
