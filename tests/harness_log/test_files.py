from __future__ import annotations

import errno
import gzip
import lzma
from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.files import open_log, read_start, read_whole, split_compression

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b'{"a": 1}\n' * 5000
GZIP = gzip.compress(CONTENT, mtime=0)


@pytest.mark.parametrize(
    ("ending", "raw"),
    [("", CONTENT), (".gz", GZIP), (".xz", lzma.compress(CONTENT))],
    ids=["plain", "gzip", "xz"],
)
def test_content_comes_out_uncompressed(tmp_path: Path, ending: str, raw: bytes) -> None:
    path = tmp_path / f"x.jsonl{ending}"
    path.write_bytes(raw)

    assert read_whole(str(path)) == CONTENT
    assert read_start(str(path), 8) == CONTENT[:8]
    with open_log(str(path)) as file:
        assert file.stream.readline() == CONTENT[:9]
        file.stream.read()
        assert file.consumed() == len(raw)


@pytest.mark.parametrize(
    ("ending", "raw"),
    [
        (".gz", GZIP[:-9]),
        (".gz", b"no gzip at all"),
        (".gz", GZIP[:20] + b"\xff" * 20),
        (".xz", lzma.compress(CONTENT)[:-9]),
        (".xz", b"no xz at all"),
    ],
    ids=["cut", "no gzip", "damaged gzip", "cut xz", "no xz"],
)
def test_damaged_compression_names_the_file(tmp_path: Path, ending: str, raw: bytes) -> None:
    path = tmp_path / f"x.jsonl{ending}"
    path.write_bytes(raw)

    with pytest.raises(LogFormatError, match=r"x\.jsonl.*damaged"):
        read_whole(str(path))


def test_what_is_not_read_yet_says_so(tmp_path: Path) -> None:
    with pytest.raises(LogFormatError, match="Zstandard"):
        read_whole(str(tmp_path / "x.jsonl.zst"))


@pytest.mark.parametrize("name", ["missing.json", "folder"])
def test_a_file_that_cannot_be_opened_names_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(LogFormatError, match=rf"{name}: cannot be read"):
        read_whole(str(tmp_path / name))


def test_errors_of_whoever_reads_stay_theirs(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(CONTENT)

    with pytest.raises(BrokenPipeError), open_log(str(path)):
        raise BrokenPipeError(errno.EPIPE, "a closed terminal")


def test_only_known_endings_are_split_off() -> None:
    assert split_compression("a/x.jsonl.gz") == ("a/x.jsonl", ".gz")
    assert split_compression("a/x.jsonl") == ("a/x.jsonl", "")
