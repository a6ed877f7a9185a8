"""What users get wrong: one message, the documented exit code, nothing half-written."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from rescore_db.cli.main import main
from rescore_db.store.engine import atomic, open_engine
from rescore_db.store.found import REVISIONS
from tests.cli.conftest import LOGS, TASKS

if TYPE_CHECKING:
    from pathlib import Path

Captured = pytest.CaptureFixture[str]
SCORE = ["score", "--include-path", TASKS]


def complaint(capsys: Captured) -> str:
    """Return what stderr holds, which must be one message and nothing on stdout."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rescore: ")
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.usefixtures("filled_url")
@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (["ingest", "no/such/folder"], ["no/such/folder"]),
        (["runs", "show", "tern-ai/heron-8b"], ["tern-ai/heron-8b", "tern-ai/heron-7b"]),
        (["runs", "show", "99"], ["99"]),
        (["tasks", "show", "shop_sum"], ["did you mean shop_sums?"]),
        (["samples", "--run", "heron"], ["heron"]),
        (["samples", "--task", "shop_sum"], ["shop_sums"]),
        (["samples", "--where", "doc->>'level' >"], ["the condition"]),
        (["samples", "--where", "level > 3"], ["level", "doc", "response"]),
        (["samples", "--where", "1=1; DROP TABLE run"], []),
        (["samples", "show", "nonsense"], ["nonsense"]),
        (["samples", "show", "999:0"], ["999"]),
        (["scorings", "--run", "nobody"], ["nobody"]),
        (["scorings", "show", "1:lenjent"], ["lenient"]),
        (["subset", "show", "hart"], ["hard"]),
        (["subset", "create", "hard", "--where", "task = 'shop_sums'"], ["hard"]),
        (["subset", "create", "none", "--where", "task = 'no such task'"], []),
        (["subset", "create", "none", "--where", "doc->>'level' >"], ["the condition"]),
        (["subset", "create", "none", "--where", "level > 3"], ["level", "doc", "response"]),
        (["subset", "create", "none", "--where", ""], ["the condition is empty"]),
        (["score", "nobody"], ["nobody"]),
        (["score", "--task", "shop_sum"], ["shop_sums"]),
        (["score", "--subset", "hart"], ["hard"]),
        ([*SCORE, "--where", "doc->>'level' >"], ["the condition"]),
        ([*SCORE, "--where", "level > 3"], ["level", "doc", "response"]),
        ([*SCORE, "--where", "1=1; DROP TABLE run"], ["the condition"]),
        (["score", "--filters", "no/such.yaml"], ["no/such.yaml"]),
        (["score", "--metrics", "no/such.yaml"], ["no/such.yaml"]),
        (["score", "--include-path", "no/such/folder"], ["no/such/folder"]),
        (["verify", "nobody"], ["nobody"]),
        (["verify", "--task", "shop_sum"], ["shop_sums"]),
        (["compare", "1"], []),
        (["compare", "1", "nobody"], ["nobody"]),
        (["compare", "1", "4/strict-mach"], ["strict-match"]),
        (["compare", "1", "4", "--task", "shop_sum"], ["shop_sums"]),
        (["compare", "1", "4", "--filter", "strict-mach"], ["strict-match"]),
        (["compare", "1", "4", "--subset", "hart"], ["hard"]),
        (["compare", "1", "4", "--where", "doc->>'level' >"], ["the condition"]),
        (["compare", "1", "4", "--where", "response = 'x'"], ["'response' belongs to a sample"]),
        (["compare", "1", "4", "--where", "1=1; DROP TABLE run"], ["the condition"]),
        (["history", "--task", "shop_sum"], ["shop_sums"]),
        (["history", "--task", "shop_sums", "--scoring", "lenjent"], ["lenient"]),
        (["sql", "SELECT * FROM nowhere"], ["nowhere"]),
        (["sql", "DELETE FROM runs"], []),
        (["sql", "SELECT 1; SELECT 2"], []),
        (["sql", ""], []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_message_names_what_is_wrong_and_what_was_meant(
    line: list[str], parts: list[str], capsys: Captured
) -> None:
    assert main(line) == 2

    message = complaint(capsys)
    for part in parts:
        assert part in message


def test_a_folder_without_logs_is_an_error(
    store_url: str, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "empty").mkdir()

    assert main(["ingest", str(tmp_path / "empty"), "--db", store_url]) == 2

    assert "empty" in complaint(capsys)


def test_a_store_that_is_not_there_is_not_made_by_reading(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "store.db"

    assert main(["runs", "--db", f"sqlite:///{path}"]) == 3

    assert "rescore ingest" in complaint(capsys)
    assert not path.exists()


def test_a_database_of_another_program_is_refused(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE orders (id INTEGER)")
    conn.close()

    for command in (["runs"], ["ingest", "."], ["db", "upgrade"], ["db", "current"]):
        assert main([*command, "--db", f"sqlite:///{path}"]) == 3
        assert "other.db" in complaint(capsys)


def test_an_older_store_says_how_to_upgrade_it(store_url: str, capsys: Captured) -> None:
    set_revision(store_url, REVISIONS[0])

    for command in (["runs"], ["ingest", "."], ["score"], ["db", "check"]):
        assert main([*command, "--db", store_url]) == 3
        assert "rescore db upgrade" in complaint(capsys)


def test_a_newer_store_is_refused(store_url: str, capsys: Captured) -> None:
    set_revision(store_url, "9999")

    for command in (["runs"], ["ingest", "."], ["score"], ["db", "upgrade"], ["db", "check"]):
        assert main([*command, "--db", store_url]) == 3
        assert "upgrade rescore_db" in complaint(capsys)


def set_revision(url: str, revision: str) -> None:
    engine = open_engine(url)
    with atomic(engine) as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": revision})
    engine.dispose()


def test_a_truncated_line_is_named_and_the_other_files_go_in(
    store_url: str, tmp_path: Path, capsys: Captured
) -> None:
    logs = shutil.copytree(LOGS, tmp_path / "logs")
    file = next(logs.rglob("samples_household_*T11-40-10*.jsonl"))
    lines = file.read_text(encoding="utf-8").rstrip("\n")
    file.write_text(lines[:-20], encoding="utf-8")

    assert main(["ingest", str(logs), "--db", store_url]) == 1

    captured = capsys.readouterr()
    assert f"{file.name}:{len(lines.splitlines())}: " in captured.err
    assert "Traceback" not in captured.err
    assert "162 samples" in captured.out


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@127.0.0.1:1/evals",
        "postgresql://me@firm:secret@127.0.0.1:1/evals",
        "postgresql://me:%73ecret@127.0.0.1:1/evals",
        "postgresql://me:se/secret@127.0.0.1:1/evals",
        "postgresql://me:x@secret@127.0.0.1:1/evals",
        "postgresql://127.0.0.1:1/evals?password=secret",
        "postgresql://127.0.0.1:1/evals?password=%73ecret",
        "postgresql://127.0.0.1:1/evals?pass%77ord=secret",
        "postgresql://127.0.0.1:1/evals?sslpassword=secret&passfile=secret",
        "mysql://me:secret@127.0.0.1/evals",
    ],
)
@pytest.mark.parametrize("command", ["runs", "ingest .", "db init", "db current", "db check"])
def test_a_database_that_cannot_be_reached_shows_no_password(
    url: str, command: str, capsys: Captured
) -> None:
    assert main([*command.split(), "--db", url]) == 3

    message = complaint(capsys)
    assert "secret" not in message
    assert "%73ecret" not in message


@pytest.mark.parametrize("option", ["password", "sslpassword", "pass%77ord"])
def test_an_empty_database_shows_no_password(
    empty_postgres_url: str, option: str, capsys: Captured
) -> None:
    joint = "&" if "?" in empty_postgres_url else "?"
    url = f"{empty_postgres_url}{joint}{option}=secret"

    assert main(["runs", "--db", url]) == 3
    assert "secret" not in complaint(capsys)
    assert main(["db", "init", "--db", url]) == 0
    assert "secret" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("option", ["foo=bar", "connect_timeout=abc", "sslmode=foo"])
@pytest.mark.parametrize("command", ["runs", "db init"])
def test_an_option_that_the_driver_refuses_is_named(
    option: str, command: str, capsys: Captured
) -> None:
    url = f"postgresql://me@127.0.0.1:1/evals?{option}"

    assert main([*command.split(), "--db", url]) == 3

    message = complaint(capsys)
    assert url in message
    for part in option.split("="):
        assert part in message.partition(" can't be used: ")[2] or part == "bar"


@pytest.mark.parametrize(
    "url",
    ["postgresql:/me:secret@host", "me:secret@host/x", "postgresql:///me:secret@host/x"],
)
def test_a_mistyped_url_shows_no_password(url: str, capsys: Captured) -> None:
    assert main(["runs", "--db", url]) == 3

    message = complaint(capsys)
    assert "is not a store's URL" in message
    assert "me:***@host" in message
    assert "secret" not in message


def test_the_hint_for_an_empty_database_can_be_pasted(
    empty_postgres_url: str, capsys: Captured
) -> None:
    assert main(["runs", "--db", empty_postgres_url]) == 3

    hint = complaint(capsys).strip().partition("run: rescore ")[2]
    assert "***" not in hint
    assert "%" not in hint
    assert main(shlex.split(hint)) == 0


def test_a_missing_folder_says_how_to_make_it(tmp_path: Path, capsys: Captured) -> None:
    folder = tmp_path / "no such" / "folder"

    assert main(["ingest", LOGS, "--db", f"sqlite:///{folder}/x.db"]) == 3

    assert complaint(capsys).endswith(f"make the folder: mkdir -p '{folder}'\n")


@pytest.mark.parametrize("url", ["mysql://host/evals", "nonsense", "sqlite:///no/such/folder/x.db"])
def test_an_address_that_cannot_be_a_store_is_refused(url: str, capsys: Captured) -> None:
    assert main(["runs", "--db", url]) == 3

    complaint(capsys)
