"""What users get wrong: one message, the documented exit code, nothing half-written."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from rescore_db.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

Captured = pytest.CaptureFixture[str]


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
        (["score", "nobody"], ["nobody"]),
        (["score", "--task", "shop_sum"], ["shop_sums"]),
        (["score", "--subset", "hart"], ["hard"]),
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


def test_a_database_that_cannot_be_reached_shows_no_password(capsys: Captured) -> None:
    url = "postgresql://me:secret@127.0.0.1:1/evals"

    assert main(["runs", "--db", url]) == 3

    assert "secret" not in complaint(capsys)


@pytest.mark.parametrize("url", ["mysql://host/evals", "nonsense", "sqlite:///no/such/folder/x.db"])
def test_an_address_that_cannot_be_a_store_is_refused(url: str, capsys: Captured) -> None:
    assert main(["runs", "--db", url]) == 3

    complaint(capsys)
