from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import StoreUnusableError
from rescore_db.store import sqlite
from rescore_db.store.engine import atomic, notes, open_engine, parse_url
from tests.store.named_rows import add_subset, subset_names

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
PRAGMAS = {
    "journal_mode": "wal",
    "page_size": sqlite.PAGE_BYTES,
    "foreign_keys": 1,
    "synchronous": 1,
    "busy_timeout": 600_000,
}


def test_an_old_sqlite_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.37.2")
    with pytest.raises(StoreUnusableError, match=r"3\.37\.2; 3\.38\.0 or newer"):
        open_engine("sqlite:///x.db")


def test_a_new_file_is_made_at_head(tmp_path: Path) -> None:
    path = tmp_path / "a b%20c?#é.db"
    engine = open_engine(str(parse_url("sqlite://").set(database=str(path))))
    assert subset_names(engine) == []
    with engine.connect() as conn:
        chosen = {name: conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}
    assert chosen == PRAGMAS
    engine.dispose()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    engine = open_engine(f"sqlite:///{path}")
    assert subset_names(engine) == []
    engine.dispose()


def test_reading_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusableError, match=r"rescore ingest PATH, or rescore db init"):
        open_engine(f"sqlite:///{tmp_path}/none.db", write=False)
    assert list(tmp_path.iterdir()) == []


def test_a_relative_file_stays_the_same_when_the_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    engine = open_engine("sqlite:///here.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert subset_names(engine) == []
    engine.dispose()


def test_a_writer_waits_for_another_and_then_says_so(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_BUSY_SECONDS", "0.1")
    first, second = open_engine(sqlite_url), open_engine(sqlite_url)
    with atomic(first) as conn:
        add_subset(conn, "first")
        with pytest.raises(StoreUnusableError, match="locked"), atomic(second):
            pass
    with atomic(second) as conn:
        add_subset(conn, "second")

    assert subset_names(first) == ["first", "second"]
    first.dispose()
    second.dispose()


@pytest.fixture
def shut_folder(sqlite_template: Path) -> Iterator[Path]:
    """A folder with a store that a user without rights can read and not write."""
    folder = Path("/tmp") / f"rescore-shut-{os.getpid()}"  # noqa: S108 - pytest's are private
    folder.mkdir(mode=0o755)
    shutil.copyfile(sqlite_template, folder / "store.db")
    (folder / "store.db").chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


TRY_BOTH = """
import os
from sqlalchemy import func, select
from rescore_db.errors import StoreUnusableError
from rescore_db.store import lifecycle, schema
from rescore_db.store.engine import open_engine, reading
lifecycle.check({url!r})  # loads what a user without rights may be unable to read
if os.geteuid() == 0:
    os.setgid({nobody}); os.setuid({nobody})
engine = open_engine({url!r}, write=False)
with reading(engine) as conn:
    print(conn.scalar(select(func.count()).select_from(schema.run)))
engine.dispose()
for url in ({url!r}, {other!r}):
    try:
        open_engine(url)
    except StoreUnusableError as error:
        print(error)
print(sorted(os.listdir({folder!r})))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="rights work differently there")
def test_a_place_that_cannot_be_written_can_be_read(shut_folder: Path) -> None:
    script = TRY_BOTH.format(
        nobody=NOBODY,
        url=f"sqlite:///{shut_folder}/store.db",
        other=f"sqlite:///{shut_folder}/other.db",
        folder=str(shut_folder),
    )
    done = subprocess.run(  # noqa: S603 - a script of ours
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd="/"
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "0", done.stderr
    assert "store.db can't be written" in lines[1]
    assert f"{shut_folder} can't be written" in lines[2]
    assert lines[3] == "['store.db']"


MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
35 21 {major}:{minor} / /mnt/x rw - {kind} server:/export rw
"""


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("overlay", False)],
)
def test_network_file_systems_are_recognised(tmp_path: Path, kind: str, expected: bool) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.format(major=os.major(device), minor=os.minor(device), kind=kind))
    assert sqlite.is_on_network(tmp_path / "x.db", mounts) is expected
    assert sqlite.is_on_network(tmp_path / "x.db", tmp_path / "missing") is False


def test_a_network_file_system_gets_a_rollback_journal_and_a_note(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = open_engine(sqlite_url)
    assert notes(local) == ()
    local.dispose()
    monkeypatch.setattr(sqlite, "is_on_network", lambda _path: True)

    engine = open_engine(sqlite_url)

    assert "network file system" in notes(engine)[0]
    with engine.connect() as conn:
        assert conn.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
        assert conn.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    engine.dispose()


def test_a_store_that_is_in_use_opens_in_its_present_journal_mode(sqlite_url: str) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = delete")
    other.execute("BEGIN")
    other.execute("SELECT * FROM run").fetchall()  # holds a lock that forbids a change of mode

    engine = open_engine(sqlite_url)
    assert subset_names(engine) == []
    other.execute("COMMIT")
    other.close()
    engine.dispose()


def test_opening_imports_no_alembic(sqlite_url: str) -> None:
    script = (
        "import sys; from rescore_db.store.engine import open_engine; "
        f"open_engine({sqlite_url!r}).dispose(); print('alembic' in sys.modules)"
    )
    done = subprocess.run(  # noqa: S603 - a script of ours
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
