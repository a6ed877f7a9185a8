"""Opening log files, compressed or not, on this machine or behind a URL.

The only place that knows how bytes come out of a file: another compression is one more entry in
`compression.OPENERS`, another kind of URL a matter of fsspec.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.compression import DAMAGED, OPENERS, split_compression
from rescore_db.harness_log.locations import base_name, local_path, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LogFile", "open_log", "read_start", "read_whole", "size_on_disk", "split_compression"]

BUFFER: Final = 1 << 20  # bytes read at a time

READ_FAILURES: Final = frozenset({errno.EIO, errno.ESTALE, errno.EISDIR})

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_WIDE: Final = {b"\0\0\0": "UTF-32BE", b"\0": "UTF-16BE"}  # an ASCII character comes last


@dataclass(slots=True)
class LogFile:
    """A log file that is open for reading.

    Attributes:
        name: the path as the user gave it, without credentials, for messages.
        stream: its content, uncompressed.
        consumed: returns how many bytes of the file as it lies there have been read.
    """

    name: str
    stream: IO[bytes]
    consumed: Callable[[], int]


def size_on_disk(path: str) -> int:
    """Return a file's size in bytes as it lies there, 0 if it cannot be asked."""
    place = local_path(path)
    if place is None:
        from rescore_db.harness_log.remote import size_of

        return size_of(path) or 0
    try:
        return Path(place).stat().st_size
    except (OSError, ValueError):
        return 0


@contextmanager
def open_log(path: str) -> Iterator[LogFile]:
    """Open a log file; what goes wrong while it is read becomes a message that names it.

    Raises:
        LogFormatError: the file cannot be opened or read, its compression is damaged, or it is
            in an encoding that lm-eval does not write.
        UsageError: it is behind a URL that cannot be read without another package.
    """
    name = shown(path)
    ending = split_compression(base_name(path))[1]
    try:
        with _opened(path) as (raw, consumed):
            if ending not in OPENERS:
                _refuse_wide(raw, name)
                yield LogFile(name, raw, consumed)
                return
            with OPENERS[ending](raw) as stream:
                _refuse_wide(stream, name)
                yield LogFile(name, stream, consumed)
    except DAMAGED as error:
        message = f"damaged {ending} file ({error}): compress the original again, or copy it anew"
        raise LogFormatError(name, None, message) from error
    except OSError as error:
        if error.filename is None and error.errno not in READ_FAILURES:
            raise  # not about this file: a closed terminal, say
        message = f"cannot be read: {error.strerror or error}"
        raise LogFormatError(name, None, message) from error


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


@contextmanager
def _opened(path: str) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
    """Open the bytes as they lie there; yields them, and what tells how many were read."""
    place = local_path(path)
    if place is not None:
        with open(place, "rb", buffering=BUFFER, opener=_open_file) as raw:
            yield raw, raw.tell
        return
    from rescore_db.harness_log.remote import open_url

    with open_url(path) as remote, io.BufferedReader(remote, BUFFER) as raw:
        yield raw, lambda: remote.consumed


def _open_file(place: str, flags: int) -> int:
    """Open a file, and nothing that could make us wait or never end: pipes, sockets, devices.

    Raises:
        OSError: it cannot be opened, or is no file.
    """
    number = os.open(place, flags | os.O_NONBLOCK)
    mode = os.fstat(number).st_mode
    if not stat.S_ISREG(mode):
        os.close(number)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), place)
        raise OSError(errno.EINVAL, "not a file, but a pipe, a socket or a device", place)
    return number


def _refuse_wide(stream: IO[bytes], name: str) -> None:
    """Refuse UTF-16 and UTF-32 by how a file begins.

    Raises:
        LogFormatError: naming the encoding, and how to convert the file.
    """
    start: bytes = stream.peek(4)[:4]  # type: ignore[attr-defined]  # all of ours are buffered
    found = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
    if found is None and b"\0" in start:
        found = next((encoding for lead, encoding in _WIDE.items() if start.startswith(lead)), None)
        found = found or {b"\0\0\0": "UTF-32LE"}.get(start[1:4])
        found = found or ("UTF-16LE" if start[1:2] == b"\0" else None)
    if found is not None:
        message = (
            f"its encoding is {found}, lm-eval writes UTF-8: convert the file, for instance with "
            f"iconv -f {found} -t UTF-8"
        )
        raise LogFormatError(name, None, message)
