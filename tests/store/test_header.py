"""A look at a store takes nothing from those who have it open in the same process."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from rescore_db.errors import StoreUnusableError
from rescore_db.store import header
from rescore_db.store.engine import atomic, open_engine
from tests.store.named_rows import add_subset, subset_names

ANOTHER = """
import sys
from rescore_db.store.engine import atomic, open_engine
from tests.store.named_rows import add_subset
engine = open_engine(sys.argv[1])
with atomic(engine) as conn:
    add_subset(conn, sys.argv[2])
engine.dispose()
"""


def add_elsewhere(url: str, name: str) -> None:
    """Write in a process of its own, which closes the store at its end."""
    line = [sys.executable, "-c", ANOTHER, url, name]
    subprocess.run(line, check=True, cwd=Path(__file__).parents[2])  # noqa: S603 - ours


def test_a_store_opened_twice_loses_nothing_that_others_write_between(sqlite_url: str) -> None:
    first = open_engine(sqlite_url)
    assert subset_names(first) == []
    open_engine(sqlite_url).dispose()

    add_elsewhere(sqlite_url, "theirs")
    with atomic(first) as conn:
        add_subset(conn, "ours")
    add_elsewhere(sqlite_url, "theirs again")

    assert subset_names(first) == ["theirs", "ours", "theirs again"]
    first.dispose()
    fresh = open_engine(sqlite_url)
    assert subset_names(fresh) == ["theirs", "ours", "theirs again"]
    fresh.dispose()


def test_few_descriptors_are_kept_and_none_of_deleted_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header, "KEPT", 3)
    files = [tmp_path / f"{number}.db" for number in range(6)]
    for number, file in enumerate(files):
        file.write_text(f"file {number}")
        assert header.read_header(file) == f"file {number}".encode()
    kept = len(header._descriptors)  # noqa: SLF001 - nothing else tells
    for file in files:
        file.unlink()
    last = tmp_path / "last.db"
    last.write_text("x" * 200)

    assert header.read_header(last) == b"x" * 100

    assert kept == 3
    assert len(header._descriptors) == 1  # noqa: SLF001 - nothing else tells


def test_a_file_that_was_replaced_is_read_anew(sqlite_url: str, tmp_path: Path) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    open_engine(sqlite_url).dispose()
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE theirs (x)")
    (tmp_path / "other.db").replace(path)

    with pytest.raises(StoreUnusableError, match="is not a rescore store"):
        open_engine(sqlite_url)
