from __future__ import annotations

import errno
import gzip
import lzma
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import zstandard

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.files import (
    open_log,
    read_start,
    read_whole,
    size_on_disk,
    split_compression,
)

CONTENT = b'{"a": 1}\n' * 5000
GZIP = gzip.compress(CONTENT, mtime=0)
XZ = lzma.compress(CONTENT)
ZSTD = zstandard.ZstdCompressor().compress(CONTENT)
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"  # a frame that decompressors pass over
HALVES = [CONTENT[: len(CONTENT) // 2], CONTENT[len(CONTENT) // 2 :]]


@pytest.mark.parametrize(
    ("ending", "raw"),
    [
        ("", CONTENT),
        (".gz", GZIP),
        (".gz", b"".join(map(gzip.compress, HALVES))),
        (".xz", XZ),
        (".xz", b"".join(map(lzma.compress, HALVES))),
        (".zst", ZSTD),
        (".zst", b"".join(map(zstandard.compress, HALVES)) + SKIPPABLE),
    ],
    ids=["plain", "gzip", "gzip members", "xz", "xz streams", "zstd", "zstd frames"],
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
        (".xz", XZ[:-9]),
        (".xz", b"no xz at all"),
        (".zst", ZSTD[:-9]),
        (".zst", ZSTD + ZSTD[:20]),
        (".zst", b"no zstd at all"),
        (".zst", ZSTD[:10] + b"\xff" * 20),
    ],
    ids=[
        *("cut", "no gzip", "damaged gzip", "cut xz", "no xz"),
        *("cut zstd", "cut second frame", "no zstd", "damaged zstd"),
    ],
)
def test_damaged_compression_names_the_file(tmp_path: Path, ending: str, raw: bytes) -> None:
    path = tmp_path / f"x.jsonl{ending}"
    path.write_bytes(raw)

    with pytest.raises(LogFormatError, match=r"x\.jsonl.*damaged"):
        read_whole(str(path))


def test_what_expands_without_end_is_read_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(b"\0" * 300_000_000))
    script = (
        "import resource, sys\n"
        "from rescore_db.harness_log.compression import OPENERS\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with open(sys.argv[1], 'rb') as raw, OPENERS['.zst'](raw) as stream:\n"
        "    stream.read(1000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )

    grown = subprocess.check_output([sys.executable, "-c", script, str(path)])  # noqa: S603

    assert int(grown) < 110_000  # kB


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").touch()

    assert read_whole(str(tmp_path / "x.jsonl")) == b""


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_wide_encodings_are_named(tmp_path: Path, encoding: str, ending: str) -> None:
    raw = '{"doc_id": 0}'.encode(encoding)
    path = tmp_path / f"x.jsonl{ending}"
    path.write_bytes(gzip.compress(raw) if ending else raw)

    with pytest.raises(LogFormatError, match=r"encoding is UTF-(16|32).*iconv -f") as caught:
        read_whole(str(path))

    assert encoding.upper()[:6] in caught.value.message


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_is_no_file_is_never_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.jsonl"
    with socket.socket(socket.AF_UNIX) as listening:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            listening.bind(str(path))
        else:
            path = tmp_path / "zero"
            path.symlink_to("/dev/zero")

        with pytest.raises(LogFormatError, match="cannot be read"):
            read_whole(str(path))


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a b.jsonl").write_bytes(CONTENT)

    assert read_whole(f"file://{tmp_path}/a%20b.jsonl") == CONTENT
    assert size_on_disk(f"file://{tmp_path}/a b.jsonl") == len(CONTENT)


def test_what_cannot_be_asked_has_no_size(tmp_path: Path) -> None:
    assert size_on_disk(str(tmp_path / "gone")) == 0
    assert size_on_disk("nul\0") == 0
    assert size_on_disk("memory://gone") == 0


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


READ = """
import os, sys
from rescore_db.errors import LogFormatError
from rescore_db.harness_log.files import read_whole
if os.geteuid() == 0:  # root may read everything
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    read_whole(sys.argv[1])
except LogFormatError as error:
    print(error.message)
"""


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_a_file_that_may_not_be_read_says_so(locked: str) -> None:
    with tempfile.TemporaryDirectory(prefix="rescore-test-") as made:  # unlike pytest's, reachable
        folder = Path(made)
        path = folder / "x.jsonl"
        path.write_bytes(CONTENT)
        (path if locked == "file" else folder).chmod(0o000)
        if locked == "file":
            folder.chmod(0o755)
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True
        )
        folder.chmod(0o755)

    assert done.stdout == "cannot be read: Permission denied\n"


def test_a_file_that_grows_is_read_to_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(CONTENT)

    with open_log(str(path)) as file:
        file.stream.readline()
        with path.open("ab") as growing:
            growing.write(CONTENT)
        assert file.stream.read().endswith(CONTENT)
        assert file.consumed() == path.stat().st_size
