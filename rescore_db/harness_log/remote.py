"""Files behind URLs, by fsspec; imported only where a path is one.

Every backend has exceptions of its own: here they all become `OSError` with a reason for the user
and the URL without its credentials.
"""

from __future__ import annotations

import errno
import io
import re
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, cast

from rescore_db.errors import RescoreError, UsageError
from rescore_db.harness_log.locations import (
    ARCHIVES,
    WEB,
    Parts,
    is_data,
    parent,
    parts_of,
    real,
    shown,
    without_secrets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsspec.spec import AbstractFileSystem

EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "hf": "hf"}
"""Protocol → the extra of ours that brings the package for it."""

NOT_FOUND: Final = frozenset({404, 410})
ANSWER_SECONDS: Final = 120  # without any byte; a whole file may take as long as it takes
_MAGIC: Final = re.compile(r"[*?\[]")
_WEB_MAGIC: Final = re.compile(r"[*\[]")  # a question mark begins the query

_sizes: dict[str, int] = {}  # by shown URL, as the last listing said
_archive: dict[str, AbstractFileSystem] = {}  # the last one, which is slow to open
_whole_only: set[str] = set()  # archives on servers that give no parts of files: fetched first


def open_url(url: str) -> RemoteStream:
    """Open a file behind a URL for reading from its start.

    Raises:
        OSError: it cannot be opened; reading it may raise the same.
        UsageError: the protocol is unknown, or its package is missing.
    """
    fs, place = _connect(url)
    with _told(url):
        how = {"block_size": 0} if _is_web(url) else {}  # one stream, not a request a block
        return RemoteStream(fs.open(place, "rb", **how), url, fs)


def size_of(url: str) -> int | None:
    """Return a file's size in bytes; None where nobody tells."""
    key = shown(url)
    if key not in _sizes:
        try:
            fs, place = _connect(url)
            with _told(url):
                size = fs.info(place).get("size")
        except (OSError, UsageError):
            return None
        if not isinstance(size, int):
            return None
        _sizes[key] = size
    return _sizes[key]


def expanded(url: str) -> list[str]:
    """Return what a URL leads to: itself, or what its wildcards match; empty for nothing.

    Raises:
        OSError: nobody answers, or access is denied.
        UsageError: as `open_url`.
    """
    _archive.clear()  # it may have changed
    fs, place = _connect(url)
    magic = (_WEB_MAGIC if _is_web(url) else _MAGIC).search(place) is not None
    with _told(url):
        fs.invalidate_cache()
        if (not magic or not _is_web(url)) and _is_there(fs, url, place):
            return [shown(url)]
        return [_child(url, place, name) for name in sorted(fs.glob(place))] if magic else []


def is_folder(url: str) -> bool:
    """Tell whether a URL that is there leads to a folder.

    A web server knows no folders: what is not named like a file of data is taken for a page that
    lists some.

    Raises:
        OSError: as `expanded`.
    """
    if _is_web(url):
        return not is_data(url)
    fs, place = _connect(url)
    with _told(url):
        return bool(fs.info(place)["type"] == "directory")


def files_below(url: str) -> Iterator[str]:
    """Yield the files below a folder.

    Raises:
        OSError: as `expanded`.
    """
    fs, place = _connect(url)
    if _is_web(url):
        yield from _pages_below(fs, url, place)
        return
    with _told(url):
        found = fs.find(place, detail=True)
    for name, info in sorted(found.items()):
        yield _noted(_child(url, place, name), info)


def beside(url: str) -> list[str]:
    """Return the files in the folder of a file, as far as there is a listing.

    Raises:
        OSError: as `expanded`.
    """
    folder = parent(url)
    fs, place = _connect(folder)
    with _told(url):
        try:
            found = fs.ls(place, detail=True)
        except FileNotFoundError:  # a bucket, a web server: what lies in it may still be read
            return []
    return sorted(
        _noted(_child(folder, place, one["name"]), one) for one in found if one["type"] == "file"
    )


def is_there(url: str) -> bool:
    """Tell whether a file is there.

    Raises:
        OSError: as `expanded`.
    """
    fs, place = _connect(url)
    with _told(url):
        return bool(fs.exists(place))


class RemoteStream(io.RawIOBase):
    """The bytes of a remote file; counts them, and says what went wrong in users' words."""

    def __init__(self, file: IO[bytes], url: str, fs: object = None) -> None:
        """Wrap an open file; archives close their files when their file system goes."""
        super().__init__()
        self._fs = fs
        self.consumed = 0
        self._file = file
        self._url = url

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - any writable buffer
        """Read some bytes; 0 at the end.

        Raises:
            OSError: the connection broke, or the like.
        """
        with _told(self._url):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self.consumed += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file behind it."""
        if not self.closed:
            self._file.close()
        super().close()


def _connect(url: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of a URL, and what the place is called in it."""
    parts = parts_of(real(url))
    if parts.protocol not in ARCHIVES:
        return _file_system(url, parts)
    if not parts.after:
        msg = f"{shown(url)}: it names no archive: write {parts.protocol}://INSIDE::ARCHIVE"
        raise UsageError(msg)
    key = parts.at("")
    if key not in _archive:
        fs, place = _file_system(url, parts)
        _archive.clear()
        _archive[key] = fs
        return fs, place
    return _archive[key], parts.place.strip("/")


def _file_system(url: str, parts: Parts) -> tuple[AbstractFileSystem, str]:
    from fsspec.core import url_to_fs

    whole = parts.at(parts.place)
    cached = parts._replace(after=f"::simplecache{parts.after}").at(parts.place)
    protocols = {link.partition("://")[0] for link in whole.split("::") if "://" in link}
    _require_packages(protocols, url)
    options = {name: {"client_kwargs": _client()} for name in protocols & WEB}
    with _told(url):
        try:
            fs, place = url_to_fs(cached if parts.after in _whole_only else whole, **options)
        except ValueError as error:
            if "range requests" not in str(error) or not parts.after:
                raise
            _whole_only.add(parts.after)
            fs, place = url_to_fs(cached, **options)
    return fs, str(place)


def _client() -> dict[str, Any]:
    """Return how long to wait for web servers: not five minutes for a whole file, as by default."""
    from aiohttp import ClientTimeout

    return {"timeout": ClientTimeout(total=None, sock_connect=30, sock_read=ANSWER_SECONDS)}


def _require_packages(protocols: set[str], url: str) -> None:
    from fsspec.registry import get_filesystem_class

    for protocol in sorted(protocols):
        try:
            get_filesystem_class(protocol)
        except ImportError as error:
            how = f"pip install 'rescore_db[{EXTRAS[protocol]}]'" if protocol in EXTRAS else error
            msg = f"{shown(url)}: {protocol}:// needs a package that is not installed: {how}"
            raise UsageError(msg) from error
        except ValueError as error:
            msg = f"{shown(url)}: there is no way to read {protocol}:// URLs"
            raise UsageError(msg) from error


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn what a backend raises into an `OSError` that can be shown."""
    try:
        yield
    except RescoreError:
        raise
    except FileNotFoundError as error:
        refusal = _refusal(error)
        if refusal is not None:
            raise OSError(errno.EIO, _reason(refusal, url), shown(url)) from error
        raise FileNotFoundError(errno.ENOENT, "no such file", shown(url)) from error
    except Exception as error:  # each backend has exceptions of its own
        raise OSError(errno.EIO, _reason(error, url), shown(url)) from error


def _refusal(error: FileNotFoundError) -> Exception | None:
    """Return why a web server gave nothing, where it is not that there is nothing.

    fsspec says "not found" whatever a server answers, or if there is no server.
    """
    cause = error.__cause__
    status = getattr(cause, "status", None)
    if isinstance(status, int):
        return None if status in NOT_FOUND else cast("Exception", cause)
    is_other = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
    return cast("Exception", cause) if is_other else None


def _reason(error: Exception, url: str) -> str:
    status, message = getattr(error, "status", None), getattr(error, "message", None)
    if isinstance(status, int) and isinstance(message, str):
        return f"the server answers {status} {message}".rstrip()
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return without_secrets(text or type(error).__name__, url)


def _is_web(url: str) -> bool:
    return parts_of(url).protocol.lower() in WEB


def _is_there(fs: AbstractFileSystem, url: str, place: str) -> bool:
    try:
        if _is_web(url) and is_data(url):
            _noted(shown(url), fs.info(place))
        elif _is_web(url):
            fs.ls(place)
        else:
            fs.info(place)
    except FileNotFoundError as error:
        if _refusal(error) is not None:
            raise
        return False
    return True


def _pages_below(fs: AbstractFileSystem, url: str, place: str) -> Iterator[str]:
    """Yield the files that a page lists, and those that the pages below it list."""
    base = place.partition("?")[0].rstrip("/") + "/"
    todo, entered = [place], {base}
    while todo:
        page = todo.pop()
        with _told(url):
            links = sorted(fs.ls(page, detail=False))
        for link in links:
            if not link.startswith(base) or "?" in link or "/../" in link:
                continue
            if not link.endswith("/"):
                yield _child(url, place, link.partition("#")[0])
            elif link not in entered:
                entered.add(link)
                todo.append(link)


def _child(url: str, place: str, name: str) -> str:
    """Return the URL, to be shown, of what a listing of a place names."""
    parts = parts_of(real(url))
    if _is_web(url):
        return shown(parts.at(name.partition("://")[2]))
    ours, root = parts.place.rstrip("/"), place.strip("/")
    head = ours.removesuffix(root).lstrip("/") if ours.endswith(root) else ""
    return shown(parts.at(head + name.lstrip("/")))


def _noted(url: str, info: dict[str, Any]) -> str:
    size = info.get("size")
    if isinstance(size, int):
        _sizes[shown(url)] = size
    return url
