"""A file is whole or not there, and what was there stays unless it is to go."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import OutputError
from rescore_db.export.files import PLAIN, Frame, write_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_records_stand_in_their_frame(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.json"

    written = write_file(target, Frame(b"[", b",", b"]"), [b"1", b"2"], force=False)

    assert target.read_bytes() == b"[1,2]"
    assert (written.records, written.size, written.status) == (2, 5, "written")


def test_the_same_content_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "f"
    write_file(target, PLAIN, [b"same"], force=False)
    before = target.stat()

    assert write_file(target, PLAIN, [b"sa", b"me"], force=True).status == "unchanged"
    after = target.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("other", [b"othe", b"longer content"])
def test_other_content_goes_only_by_force(tmp_path: Path, other: bytes) -> None:
    target = tmp_path / "f"
    target.write_bytes(other)

    assert write_file(target, PLAIN, [b"mine"], force=False).status == "kept"
    assert target.read_bytes() == other
    assert write_file(target, PLAIN, [b"mine"], force=True).status == "written"
    assert target.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["f"]  # noqa: PTH208 - hidden files are the point


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_bytes(b"before")

    def failing() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(target, PLAIN, failing(), force=True)

    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["f"]  # noqa: PTH208 - hidden files are the point


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()

    with pytest.raises(OutputError, match=r"file/f cannot be written: "):
        write_file(tmp_path / "file" / "f", PLAIN, [], force=False)
    with pytest.raises(OutputError, match=r"folder cannot be written: "):
        write_file(tmp_path / "folder", PLAIN, [], force=True)


def test_a_link_that_leads_nowhere_is_something_that_is_there(tmp_path: Path) -> None:
    target = tmp_path / "link"
    target.symlink_to(tmp_path / "nowhere")

    assert write_file(target, PLAIN, [b"x"], force=False).status == "kept"
    assert write_file(target, PLAIN, [b"x"], force=True).status == "written"
    assert not target.is_symlink()
