"""How compressed bytes become plain ones: one opener for each ending of a file's name."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

ZSTD_PIECE: Final = 2048
"""Compressed bytes expanded at once: hostile ones become 64 MB at most, usual ones 20 kB."""

ZSTD_WINDOW: Final = 1 << 27  # bytes, as the zstd program allows unless it is told --long=31


class ZstdDamagedError(Exception):
    """Bytes that are no Zstandard frames."""


class _ZstdStream(io.RawIOBase):
    """Plain bytes of Zstandard frames that follow each other.

    `zstandard`'s own reader does not tell a file that was cut from one that is complete.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        super().__init__()
        self._raw = raw
        self._frame: Any = None
        self._plain = memoryview(b"")
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        while not self._plain:
            piece = self._rest or self._raw.read(ZSTD_PIECE)
            self._rest = b""
            if not piece:
                if self._frame is not None:
                    msg = "it ends in the middle of a frame"
                    raise EOFError(msg)
                return 0
            self._plain = memoryview(self._expand(piece))
        size = min(len(buffer), len(self._plain))
        buffer[:size] = self._plain[:size]
        self._plain = self._plain[size:]
        return size

    def _expand(self, piece: bytes) -> bytes:
        import zstandard

        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
        try:
            plain = self._frame.decompress(piece)
        except zstandard.ZstdError as error:
            raise ZstdDamagedError(str(error)) from error
        if self._frame.eof:
            self._rest = self._frame.unused_data
            self._frame = None
        return cast("bytes", plain)


def _gunzip(raw: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))


def _unxz(raw: IO[bytes]) -> IO[bytes]:
    return lzma.LZMAFile(raw)


def _unzstd(raw: IO[bytes]) -> IO[bytes]:
    return io.BufferedReader(_ZstdStream(raw), 1 << 17)


OPENERS: Final[dict[str, Callable[[IO[bytes]], IO[bytes]]]] = {
    ".gz": _gunzip,
    ".xz": _unxz,
    ".zst": _unzstd,
}

DAMAGED: Final = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ZstdDamagedError)
"""What reading damaged compressed bytes raises."""


def split_compression(name: str) -> tuple[str, str]:
    """Split a file's name into what it is called uncompressed and the compression's ending.

    `samples_x.jsonl.gz` gives `("samples_x.jsonl", ".gz")`, a plain name `(name, "")`.
    """
    ending = PurePath(name).suffix
    return (name[: -len(ending)], ending) if ending in OPENERS else (name, "")
