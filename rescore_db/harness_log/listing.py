"""Every file that some paths lead to: folders, globs, single files and URLs of them."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rescore_db.errors import NotFoundError
from rescore_db.harness_log.locations import WEB, is_data, local_path, parent, parts_of, shown
from rescore_db.records import FileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NO_FILE: Final = "not a file, but a pipe, a socket or a device"
LEADS_NOWHERE: Final = frozenset({errno.ENOENT, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class Found:
    """A file.

    Attributes:
        path: where it is; a URL comes without its credentials.
        same: what is the same for all names of one file.
        alone: it was named by itself or by a glob, not by its folder.
    """

    path: str
    same: str
    alone: bool = False

    @classmethod
    def at(cls, path: str, *, alone: bool = False) -> Found:
        """Return the file at a path."""
        is_here = local_path(path) is not None
        return cls(path, os.path.realpath(path) if is_here else path, alone)


def files_at(paths: Iterable[str], errors: list[FileError]) -> Iterator[Found]:
    """Yield every file under the paths; one that several paths lead to comes several times.

    Args:
        paths: folders, globs, single files, and URLs of any.
        errors: takes note of what cannot be looked into.

    Raises:
        NotFoundError: a path leads nowhere.
        UsageError: a URL that cannot be read without another package.
    """
    for path in paths:
        place = local_path(path)
        if place is None:
            yield from _remote_files(path, errors)
        else:
            yield from _local_files(place, errors)


def files_beside(path: str, errors: list[FileError], guesses: Sequence[str]) -> list[str]:
    """Return the files in the folder of a file, itself among them.

    Args:
        path: the file.
        errors: takes note if the folder cannot be listed.
        guesses: names to try where nothing can be listed, as on most web servers.
    """
    folder = parent(path)
    try:
        if local_path(path) is not None:
            return sorted(str(Path(folder, name)) for name in os.listdir(folder))  # noqa: PTH208
        from rescore_db.harness_log import remote

        listed = remote.beside(path)
        parts = parts_of(folder)
        if listed or parts.protocol not in WEB:
            return listed
        tried = (parts.at(f"{parts.place}/{name}") for name in guesses)
        return [one for one in tried if remote.is_there(one)]
    except OSError as error:
        errors.append(unreadable(error, path))
        return []


def unreadable(error: OSError, place: str) -> FileError:
    """Return what is told of a place that cannot be looked into."""
    return FileError(str(error.filename or place), None, f"cannot be read: {error.strerror}")


# ------------------------------------------------------------------------------------ URLs


def _remote_files(url: str, errors: list[FileError]) -> Iterator[Found]:
    from rescore_db.harness_log import remote

    try:
        starts = remote.expanded(url)
        if not starts:
            msg = f"no such file or folder, or nothing that matches: {shown(url)}"
            raise NotFoundError(msg)
        for start in starts:
            if remote.is_folder(start):
                yield from map(Found.at, remote.files_below(start))
            else:
                yield Found.at(start, alone=True)
    except OSError as error:
        errors.append(unreadable(error, shown(url)))


# ----------------------------------------------------------------------------- this machine


def _local_files(path: str, errors: list[FileError]) -> Iterator[Found]:
    for start in _expanded(path):
        try:
            mode = Path(start).stat().st_mode
        except OSError as error:
            errors.append(unreadable(error, start))
            continue
        if stat.S_ISDIR(mode):
            yield from map(Found.at, _walk(start, errors))
        elif stat.S_ISREG(mode):
            yield Found.at(start, alone=True)
        else:
            errors.append(unreadable(OSError(errno.EINVAL, NO_FILE, start), start))


def _expanded(path: str) -> list[str]:
    if _is_there(path):
        return [path]
    matches = sorted(glob(path, recursive=True)) if has_magic(path) else []  # noqa: PTH207 - any root
    if not matches:
        what = "nothing matches" if has_magic(path) else "no such file or folder:"
        msg = f"{what} {path}"
        raise NotFoundError(msg)
    return matches


def _is_there(path: str) -> bool:
    """Answer whether a path leads to something, if only to what may not be looked into."""
    try:
        os.lstat(path)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _walk(folder: str, errors: list[FileError]) -> Iterator[str]:
    """Yield the files below a folder; links are followed, but no folder is entered twice."""

    def note(error: OSError) -> None:
        errors.append(unreadable(error, folder))

    entered: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=note):
        entered.add(os.path.realpath(root))
        folders[:] = sorted(
            name for name in folders if os.path.realpath(Path(root, name)) not in entered
        )
        for name in sorted(files):
            path = str(Path(root, name))
            try:
                if stat.S_ISREG(Path(path).stat().st_mode):
                    yield path
                elif is_data(path):  # a pipe or a device: opening it might wait for ever
                    note(OSError(errno.EINVAL, NO_FILE, path))
            except OSError as error:  # nobody misses a dangling link, unless data should be there
                if error.errno not in LEADS_NOWHERE or is_data(path):
                    note(error)
