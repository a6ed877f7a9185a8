"""Opening log files, compressed or not.

The only place that knows how bytes come out of a file: another compression is one more entry in
`_OPENERS`, another kind of location another way to make a `LogFile`.
"""

from __future__ import annotations

import errno
import gzip
import lzma
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from rescore_db.errors import LogFormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUFFER: Final = 1 << 20  # bytes read at a time


def _gunzip(raw: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))


def _unxz(raw: IO[bytes]) -> IO[bytes]:
    return lzma.LZMAFile(raw)


_OPENERS: Final[dict[str, Callable[[IO[bytes]], IO[bytes]]]] = {".gz": _gunzip, ".xz": _unxz}
UNREADABLE: Final = {".zst": "compressed with Zstandard, which is not read yet: run unzstd on it"}
"""Endings of compressed files that are recognised, each with the reason why it stays out."""

READ_FAILURES: Final = frozenset({errno.EIO, errno.ESTALE, errno.EISDIR})


@dataclass(slots=True)
class LogFile:
    """A log file that is open for reading.

    Attributes:
        name: the path as the user gave it, for messages.
        stream: its content, uncompressed.
        raw: its bytes on disk, of which `consumed` tells how many were read.
    """

    name: str
    stream: IO[bytes]
    raw: IO[bytes]

    def consumed(self) -> int:
        """Return how many bytes of the file on disk have been read, for progress."""
        return self.raw.tell()


def split_compression(name: str) -> tuple[str, str]:
    """Split a file's name into what it is called uncompressed and the compression's ending.

    `samples_x.jsonl.gz` gives `("samples_x.jsonl", ".gz")`, a plain name `(name, "")`.
    """
    ending = Path(name).suffix
    if ending in _OPENERS or ending in UNREADABLE:
        return name[: -len(ending)], ending
    return name, ""


def size_on_disk(path: str) -> int:
    """Return a file's size in bytes, 0 if it cannot be asked."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


@contextmanager
def open_log(path: str) -> Iterator[LogFile]:
    """Open a log file; what goes wrong while it is read becomes a message that names it.

    Raises:
        LogFormatError: the file cannot be opened or read, or its compression is damaged.
    """
    ending = split_compression(path)[1]
    if ending in UNREADABLE:
        raise LogFormatError(path, None, UNREADABLE[ending])
    try:
        with Path(path).open("rb", buffering=BUFFER) as raw:
            if ending not in _OPENERS:
                yield LogFile(path, raw, raw)
                return
            with _OPENERS[ending](raw) as stream:
                yield LogFile(path, stream, raw)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        message = f"damaged {ending} file ({error}): compress the original again, or copy it anew"
        raise LogFormatError(path, None, message) from error
    except OSError as error:
        if error.filename is None and error.errno not in READ_FAILURES:
            raise  # not about this file: a closed terminal, say
        message = f"cannot be read: {error.strerror or error}"
        raise LogFormatError(path, None, message) from error


def read_whole(path: str) -> bytes:
    """Return a file's content, uncompressed.

    Raises:
        LogFormatError: as `open_log`.
    """
    with open_log(path) as file:
        return file.stream.read()


def read_start(path: str, size: int) -> bytes:
    """Return the first `size` bytes of a file's content, fewer if it is shorter.

    Raises:
        LogFormatError: as `open_log`.
    """
    with open_log(path) as file:
        return file.stream.read(size)
